//! The collector against a log in memory and probes that do as they are told.
#![expect(clippy::disallowed_methods, reason = "tests wait for conditions with a bound")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use netstats_collector::{Collector, CollectorConfig};
use netstats_event::{
    BandwidthMeasured, BandwidthOptions, ClockSource, DestinationAdded, DestinationId, DestinationSpec, Draft, Echo,
    Envelope, Event, FailReason, Hop, HopAnswer, JobAdded, JobId, JobSpec, JobStopped, Meta, Metric, MissReason,
    PingMeasured, Position, ProbeKind, ProbeOptions, Record, RouteTraced, Rtt, SampleFlags, SuppressReason, Throughput,
    TracerouteProtocol, Transport,
};
use netstats_inventory::{InventoryHandle, InventoryProjector};
use netstats_log::{Appended, Error, ErrorKind, Head, Journal, Log, MemoryLog, ReadLimit};
use netstats_probe::{
    BoxFuture, Burst, BurstResult, IcmpTransport, Outcome, Probe, Probes, Report, Request, TransportError,
};
use netstats_projector::Projector;

/// Answers after a while, or never, or panics, by the host asked for.
struct Puppet;

impl Probe for Puppet {
    fn kind(&self) -> ProbeKind {
        ProbeKind::Ping
    }

    fn run<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Report> {
        Box::pin(async {
            match request.host.as_str() {
                "hangs" => std::future::pending().await,
                "panics" => panic!("as told"),
                "moves" => {
                    static CALLS: AtomicUsize = AtomicUsize::new(0);
                    let last = u8::try_from(CALLS.fetch_add(1, Ordering::Relaxed) % 250).unwrap();
                    sample(vec![IpAddr::from([192, 0, 2, last])])
                }
                "loses" => {
                    let mut report = sample(Vec::new());
                    if let Outcome::Ping(sample) = &mut report.outcome {
                        sample.echoes = vec![Echo::Lost; 3];
                    }
                    report
                }
                "refused" => Report::failed(FailReason::NotPermitted, "sudo something"),
                _ => sample(Vec::new()),
            }
        })
    }
}

fn sample(answers: Vec<IpAddr>) -> Report {
    let outcome = Outcome::Ping(PingMeasured {
        head: Outcome::BLANK,
        address: IpAddr::from([127, 0, 0, 1]),
        transport: Transport::IcmpRaw,
        clock: ClockSource::Kernel,
        payload_bytes: 56,
        spacing_ms: 10,
        timeout_ms: 1_000,
        echoes: vec![Echo::Reply(Rtt::from_micros(5))],
        ttl: None,
        duplicates: 0,
        reordered: 0,
        bad_replies: 0,
    });
    Report { outcome, first_sent: Some(Instant::now()), flags: SampleFlags::default(), answers }
}

/// Journal, inventory and a runtime; the inventory follows the journal when told.
struct Rig {
    journal: Arc<Journal>,
    projector: Mutex<(InventoryProjector, Position)>,
    inventory: InventoryHandle,
    runtime: tokio::runtime::Runtime,
}

impl Rig {
    fn new(log: Arc<dyn Log>) -> Self {
        let (projector, inventory) = InventoryProjector::new();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        Self {
            journal: Journal::open(log).unwrap(),
            projector: Mutex::new((projector, Position(1))),
            inventory,
            runtime,
        }
    }

    fn append(&self, event: impl Into<Event>) {
        self.journal.append(vec![event.into()]).unwrap();
        let mut projector = self.projector.lock().unwrap();
        let from = projector.1;
        let events = self.journal.read(from, ReadLimit::default()).unwrap();
        projector.1 = events.last().unwrap().position.next();
        projector.0.apply(&events);
    }

    fn destination(&self, id: u32, host: &str) {
        let spec = DestinationSpec {
            name: format!("d{id}"),
            host: host.into(),
            tags: vec!["all".into()],
            ..Default::default()
        };
        self.append(DestinationAdded { id: DestinationId(id), spec, meta: Meta::by("test") });
    }

    fn job(&self, interval_s: u32) {
        self.job_of(interval_s, vec![Metric::Ping], ProbeOptions::default());
    }

    fn job_of(&self, interval_s: u32, metrics: Vec<Metric>, options: ProbeOptions) {
        let spec = JobSpec {
            name: "job".into(),
            enabled: true,
            interval_s,
            metrics,
            options,
            destination_tags: vec!["all".into()],
            ..Default::default()
        };
        self.append(JobAdded { id: JobId(1), spec, meta: Meta::by("test") });
    }

    fn start(&self) -> Collector {
        self.start_with(Probes::of(vec![Arc::new(Puppet)]), None)
    }

    fn start_with(&self, probes: Probes, gateway: Option<fn() -> Option<IpAddr>>) -> Collector {
        let config = CollectorConfig { version: "0.1.0".into(), gateway, ..CollectorConfig::default() };
        let (inventory, journal) = (self.inventory.clone(), Arc::clone(&self.journal));
        Collector::start(inventory, journal, probes, config, self.runtime.handle()).unwrap()
    }

    fn events(&self) -> Vec<Envelope> {
        self.journal.read(self.journal.first(), ReadLimit { records: 100_000, bytes: 1 << 30 }).unwrap()
    }

    fn wait(&self, what: &str, mut is_there: impl FnMut(&[Envelope]) -> bool) {
        let end = Instant::now() + Duration::from_secs(15);
        while !is_there(&self.events()) {
            assert!(Instant::now() < end, "{what}: not within 15 s; {:?}", self.events().last());
            let _ = self.journal.wait(Position(self.journal.tail().0 - 1), Duration::from_millis(50));
        }
    }
}

fn samples(events: &[Envelope]) -> usize {
    events.iter().filter(|envelope| matches!(envelope.event, Event::PingMeasured(_))).count()
}

#[test]
fn samples_flow_within_five_seconds_of_a_start_and_a_join() {
    let rig = Rig::new(Arc::new(MemoryLog::new()));
    rig.destination(1, "a");
    rig.destination(2, "b");
    rig.job(3_600);
    let begin = Instant::now();
    let collector = rig.start();
    rig.wait("both measured", |events| samples(events) == 2);
    rig.destination(3, "c");
    rig.wait("the new one measured", |events| samples(events) == 3);
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    let status = collector.status();
    assert_eq!((status.slots_run, status.slots_failed, status.problems.len()), (3, 0, 0));
    assert!(status.lateness_p99_us < 200_000, "{status:?}");
    collector.stop("signal");
    collector.stop("again");
    let events = rig.events();
    let names: Vec<&str> =
        events.iter().map(|envelope| envelope.event.name()).filter(|n| n.starts_with("coll")).collect();
    assert_eq!(names, ["collector_started", "collector_stopped"]);
    assert!(matches!(&events.last().unwrap().event, Event::CollectorStopped(stopped) if stopped.reason == "signal"));
}

#[test]
fn a_stop_cuts_what_hangs_and_every_slot_has_one_outcome() {
    let rig = Rig::new(Arc::new(MemoryLog::new()));
    rig.destination(1, "a");
    rig.destination(2, "hangs");
    rig.destination(3, "panics");
    rig.destination(4, "refused");
    rig.job(1);
    let collector = rig.start();
    rig.wait("some samples", |events| samples(events) >= 6);
    let begin = Instant::now();
    collector.stop("signal");
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    let mut outcomes: BTreeMap<u32, Vec<(i64, i64, u32)>> = BTreeMap::new();
    let mut reasons = BTreeSet::new();
    for envelope in rig.events() {
        let (at, last, count) = match &envelope.event {
            Event::PingMeasured(e) => (e.head.slot_at, e.head.slot_at, 1),
            Event::SlotFailed(e) => {
                reasons.insert(format!("{:?}", e.reason));
                (e.head.slot_at, e.head.slot_at, 1)
            }
            Event::SlotsMissed(e) => {
                reasons.insert(format!("{:?}", e.reason));
                (e.first_slot_at, e.last_slot_at, e.count)
            }
            _ => continue,
        };
        let id = envelope.event.destination().unwrap().0;
        outcomes.entry(id).or_default().push((at.as_millis(), last.as_millis(), count));
    }
    assert_eq!(reasons.into_iter().collect::<Vec<_>>(), ["CollectorDown", "Internal", "NotPermitted", "Overrun"]);
    for (id, mut outcomes) in outcomes {
        outcomes.sort_unstable();
        let count: u32 = outcomes.iter().map(|outcome| outcome.2).sum();
        let span = (outcomes.last().unwrap().1 - outcomes[0].0) / 1_000 + 1;
        assert_eq!(i64::from(count), span, "destination {id}: one outcome a second: {outcomes:?}");
        assert!(outcomes.windows(2).all(|pair| pair[0].1 < pair[1].0), "destination {id}: {outcomes:?}");
    }
}

#[test]
fn a_restart_tells_what_was_missed_and_whether_the_last_run_was_cut_off() {
    let rig = Rig::new(Arc::new(MemoryLog::new()));
    rig.destination(1, "a");
    rig.job(1);
    let collector = rig.start();
    rig.wait("samples", |events| samples(events) >= 2);
    collector.stop("signal");
    let stopped = rig.journal.tail();
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(2_500) {
        let _ = rig.journal.wait(Position(stopped.0 - 1), Duration::from_millis(100));
    }
    let collector = rig.start();
    rig.wait("missed slots", |events| {
        events.iter().any(|envelope| {
            matches!(&envelope.event, Event::SlotsMissed(e)
                if e.reason == MissReason::CollectorDown && (2..=4).contains(&e.count))
        })
    });
    drop(collector);
    rig.wait("the end", |events| events.iter().filter(|e| matches!(e.event, Event::CollectorStopped(_))).count() == 2);
    let started: Vec<bool> = rig
        .events()
        .iter()
        .filter_map(|e| if let Event::CollectorStarted(e) = &e.event { Some(e.is_after_crash) } else { None })
        .collect();
    assert_eq!(started, [false, false]);
}

#[test]
fn a_change_of_answers_is_an_event_and_a_stopped_job_rests() {
    let rig = Rig::new(Arc::new(MemoryLog::new()));
    rig.destination(1, "moves");
    rig.job(1);
    let collector = rig.start();
    rig.wait("a change", |events| events.iter().any(|e| matches!(e.event, Event::AnswerChanged(_))));
    rig.append(JobStopped { job: JobId(1), meta: Meta::by("test") });
    let end = Instant::now() + Duration::from_secs(5);
    while collector.status().planned > 0 {
        assert!(Instant::now() < end);
        let _ = rig.journal.wait(rig.journal.tail(), Duration::from_millis(50));
    }
    collector.stop("signal");
}

/// A log that refuses for a while.
struct Moody {
    inner: MemoryLog,
    refusals: AtomicUsize,
}

impl Log for Moody {
    fn append(&self, batch: &[Draft]) -> Result<Appended, Error> {
        if self.refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            return Err(Error::new(ErrorKind::Unavailable, "the disk is full"));
        }
        self.inner.append(batch)
    }
    fn read(&self, from: Position, limit: ReadLimit) -> Result<Vec<Record>, Error> {
        self.inner.read(from, limit)
    }
    fn get(&self, positions: &[Position]) -> Result<Vec<Record>, Error> {
        self.inner.get(positions)
    }
    fn first(&self) -> Position {
        self.inner.first()
    }
    fn tail(&self) -> Position {
        self.inner.tail()
    }
    fn head(&self) -> Head {
        self.inner.head()
    }
    fn last_config(&self) -> Position {
        self.inner.last_config()
    }
    fn wait(&self, past: Position, at_most: Duration) -> Position {
        self.inner.wait(past, at_most)
    }
    fn close(&self) {
        self.inner.close();
    }
}

#[test]
fn what_the_journal_refuses_is_kept_and_shown_and_recorded_later() {
    let log = Arc::new(Moody { inner: MemoryLog::new(), refusals: AtomicUsize::new(0) });
    let rig = Rig::new(Arc::clone(&log) as Arc<dyn Log>);
    rig.destination(1, "a");
    rig.job(1);
    log.refusals.store(4, Ordering::SeqCst);
    let collector = rig.start();
    let end = Instant::now() + Duration::from_secs(10);
    while collector.status().problems.is_empty() {
        assert!(Instant::now() < end);
        let _ = rig.journal.wait(rig.journal.tail(), Duration::from_millis(20));
    }
    assert!(collector.status().unrecorded > 0);
    rig.wait("samples after all", |events| samples(events) >= 3);
    collector.stop("signal");
    let status = collector.status();
    assert_eq!((status.unrecorded, status.dropped, status.problems.len()), (0, 0, 0));
    assert!(rig.events().iter().any(|e| matches!(e.event, Event::CollectorStarted(_))));
}

/// A gateway that answers echoes, or does not.
struct Gateway(AtomicBool);

impl IcmpTransport for Gateway {
    fn name(&self) -> &'static str {
        "gateway"
    }

    fn burst(&self, burst: Burst) -> BoxFuture<'_, Result<BurstResult, TransportError>> {
        let answers = self.0.load(Ordering::SeqCst);
        let echo = if answers { Echo::Reply(Rtt::from_micros(300)) } else { Echo::Lost };
        Box::pin(async move {
            Ok(BurstResult {
                transport: Transport::IcmpRaw,
                clock: ClockSource::Kernel,
                echoes: vec![echo; usize::from(burst.packets)],
                hops: Vec::new(),
                mpls: Vec::new(),
                ttl: None,
                duplicates: 0,
                reordered: 0,
                bad_replies: 0,
                first_sent: None,
                flags: SampleFlags::default(),
            })
        })
    }
}

#[test]
fn what_is_lost_while_our_own_network_is_down_is_not_blamed_on_the_destination() {
    let rig = Rig::new(Arc::new(MemoryLog::new()));
    rig.destination(1, "loses");
    rig.destination(2, "a");
    rig.job(1);
    let gateway = Arc::new(Gateway(AtomicBool::new(true)));
    let probes = Probes::of(vec![Arc::new(Puppet)]).with_icmp(Arc::clone(&gateway) as Arc<dyn IcmpTransport>);
    let collector = rig.start_with(probes, Some(|| Some(IpAddr::from([192, 0, 2, 1]))));
    let flagged = |events: &[Envelope], destination: u32, is_down: bool| {
        events.iter().any(|envelope| match &envelope.event {
            Event::PingMeasured(e) => {
                e.head.destination == DestinationId(destination) && e.head.flags.uplink_down == is_down
            }
            _ => false,
        })
    };
    rig.wait("a loss with our network up", |events| flagged(events, 1, false));
    gateway.0.store(false, Ordering::SeqCst);
    rig.wait("a loss that says nothing", |events| flagged(events, 1, true));
    gateway.0.store(true, Ordering::SeqCst);
    let is_back = |events: &[Envelope]| events.iter().any(|e| matches!(e.event, Event::UplinkRestored(_)));
    rig.wait("our network is back", is_back);
    collector.stop("signal");
    let events = rig.events();
    assert!(!flagged(&events, 2, true), "what was answered is taken for what it is");
    let lost = events.iter().position(|e| matches!(&e.event, Event::UplinkLost(e) if e.reason == "gateway silent"));
    let first = events.iter().position(|e| matches!(&e.event, Event::PingMeasured(e) if e.head.flags.uplink_down));
    assert!(lost.unwrap() < first.unwrap(), "the outage is told before what it explains");
}

/// Traces one route three times, then another; moves bytes for most of each second.
struct Scripted(ProbeKind, AtomicUsize);

impl Probe for Scripted {
    fn kind(&self) -> ProbeKind {
        self.0
    }

    fn run<'a>(&'a self, _: &'a Request) -> BoxFuture<'a, Report> {
        let nth = self.1.fetch_add(1, Ordering::SeqCst);
        let address = IpAddr::from([192, 0, 2, 9]);
        Box::pin(async move {
            let outcome = if self.0 == ProbeKind::Traceroute {
                let from = |last: u8| HopAnswer::Answer {
                    from: IpAddr::from([192, 0, 2, last]),
                    rtt: Rtt::from_micros(7),
                    icmp_type: 11,
                    icmp_code: 0,
                };
                let hop = |ttl, last| Hop { ttl, answers: vec![from(last)], ..Hop::default() };
                Outcome::Traceroute(RouteTraced {
                    head: Outcome::BLANK,
                    address,
                    protocol: TracerouteProtocol::Icmp,
                    clock: ClockSource::Kernel,
                    hops: vec![hop(1, if nth < 3 { 1 } else { 2 }), hop(2, 9)],
                    reached: true,
                    duration_us: 5,
                })
            } else {
                tokio::time::sleep(Duration::from_millis(1_500)).await;
                let down = Throughput { bytes_per_100ms: vec![1_000; 10], skipped: 0, retransmits: None };
                Outcome::Bandwidth(BandwidthMeasured {
                    head: Outcome::BLANK,
                    address,
                    engine: "responder".into(),
                    down: Some(down),
                    up: None,
                    idle_rtt: None,
                    loaded_rtt_p95: None,
                    is_cpu_bound: false,
                    cpu_permille: 0,
                    failure: None,
                })
            };
            Report { outcome, first_sent: None, flags: SampleFlags::default(), answers: Vec::new() }
        })
    }
}

#[test]
fn a_route_that_stays_another_is_told_once() {
    let rig = Rig::new(Arc::new(MemoryLog::new()));
    rig.destination(1, "a");
    rig.job_of(1, vec![Metric::Traceroute], ProbeOptions::default());
    let probes = Probes::of(vec![Arc::new(Scripted(ProbeKind::Traceroute, AtomicUsize::new(0)))]);
    let collector = rig.start_with(probes, None);
    let changes =
        |events: &[Envelope]| events.iter().filter(|envelope| matches!(envelope.event, Event::PathChanged(_))).count();
    let traces =
        |events: &[Envelope]| events.iter().filter(|envelope| matches!(envelope.event, Event::RouteTraced(_))).count();
    rig.wait("a change", |events| changes(events) == 1);
    assert!(traces(&rig.events()) >= 5, "three of one, two of the other");
    rig.wait("more traces", |events| traces(events) >= 7);
    collector.stop("signal");
    assert_eq!(changes(&rig.events()), 1);
}

#[test]
fn what_runs_beside_our_own_load_says_so_and_a_days_bytes_end() {
    let rig = Rig::new(Arc::new(MemoryLog::new()));
    rig.destination(1, "a");
    let bandwidth =
        BandwidthOptions { max_run_bytes: 10_000, max_day_bytes: 25_000, duration_s: 2, ..BandwidthOptions::default() };
    let options = ProbeOptions { bandwidth, ..ProbeOptions::default() };
    rig.job_of(2, vec![Metric::Ping, Metric::Bandwidth], options);
    let probes = Probes::of(vec![Arc::new(Puppet), Arc::new(Scripted(ProbeKind::Bandwidth, AtomicUsize::new(0)))]);
    let collector = rig.start_with(probes, None);
    let is_budget = |envelope: &Envelope| matches!(&envelope.event, Event::SlotsSuppressed(e) if e.reason == SuppressReason::Budget);
    rig.wait("a slot without bytes", |events| events.iter().any(is_budget));
    collector.stop("signal");
    let events = rig.events();
    let runs = events.iter().filter(|envelope| matches!(envelope.event, Event::BandwidthMeasured(_))).count();
    assert_eq!(runs, 2, "of 10 kB each, with 25 kB for the day");
    let is_loaded =
        |envelope: &Envelope| matches!(&envelope.event, Event::PingMeasured(e) if e.head.flags.under_own_load);
    assert!(events.iter().any(is_loaded), "a ping every 2 s beside tests of 1.5 s");
}
