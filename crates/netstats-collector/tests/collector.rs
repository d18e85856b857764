//! The collector against a log in memory and probes that do as they are told.
#![expect(clippy::disallowed_methods, reason = "tests wait for conditions with a bound")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use netstats_collector::{Collector, CollectorConfig};
use netstats_event::{
    ClockSource, DestinationAdded, DestinationId, DestinationSpec, Draft, Echo, Envelope, Event, FailReason, JobAdded,
    JobId, JobSpec, JobStopped, Meta, Metric, MissReason, PingMeasured, Position, ProbeKind, Record, Rtt, SampleFlags,
    Transport,
};
use netstats_inventory::{InventoryHandle, InventoryProjector};
use netstats_log::{Appended, Error, ErrorKind, Head, Journal, Log, MemoryLog, ReadLimit};
use netstats_probe::{BoxFuture, Outcome, Probe, Probes, Report, Request};
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
        let spec = JobSpec {
            name: "job".into(),
            enabled: true,
            interval_s,
            metrics: vec![Metric::Ping],
            destination_tags: vec!["all".into()],
            ..Default::default()
        };
        self.append(JobAdded { id: JobId(1), spec, meta: Meta::by("test") });
    }

    fn start(&self) -> Collector {
        let probes = Probes::of(vec![Arc::new(Puppet)]);
        let config = CollectorConfig { version: "0.1.0".into() };
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
