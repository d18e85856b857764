//! The loop: clocks and inventory in, runs out, outcomes to the recorder.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use netstats_event::{
    AnswerChanged, ClockStepped, CollectorStalled, CollectorStarted, CollectorStopped, DestinationId, Event,
    FailReason, HostSlept, MissReason, ProbeKind, SampleHead, SlotsMissed, SlotsSuppressed, SuppressReason, Timestamp,
};
use netstats_inventory::{Inventory, InventoryHandle, SlotRun};
use netstats_log::Journal;
use netstats_probe::{Outcome, Probes, Report, Request};
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tracing::Instrument;

use crate::clock::{Clock, Reading};
use crate::limits::{COALESCE, LATENESS_SAMPLES, MAX_OVERLAP, MAX_WAITING, STALL, TICK, max_running};
use crate::load::OwnLoad;
use crate::recorder::{self, Recording};
use crate::resume::{LastRun, read_back};
use crate::route::Routes;
use crate::schedule::{Due, Key, Schedule, SlotId};
use crate::uplink::Uplink;
use crate::{CollectorConfig, Meter, StartError, Status, platform};

/// What the handle sees of the loop.
#[derive(Default)]
pub(crate) struct Shared {
    counts: Mutex<Counts>,
    pub(crate) recording: recorder::Shared,
}

#[derive(Default)]
struct Counts {
    status: Status,
    lateness_us: VecDeque<u32>,
}

impl Shared {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn status(&self) -> Status {
        let counts = self.counts();
        let mut status = counts.status.clone();
        let mut lateness: Vec<u32> = counts.lateness_us.iter().copied().collect();
        drop(counts);
        lateness.sort_unstable();
        let quantile = |permille: usize| lateness.get(lateness.len() * permille / 1_000).copied().unwrap_or(0);
        status.lateness_p50_us = quantile(500);
        status.lateness_p95_us = quantile(950);
        status.lateness_p99_us = quantile(990);
        let Recording { unrecorded, dropped, problem, .. } =
            self.recording.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (status.unrecorded, status.dropped) = (unrecorded, dropped);
        status.problems.extend(problem);
        if dropped > 0 {
            status.problems.push(format!("{dropped} events were given up because the log refused them for too long"));
        }
        status
    }
}

/// A run under way or waiting.
#[derive(Clone, Copy, Debug)]
struct Run {
    key: Key,
    slot_at: Timestamp,
    /// Clock steps seen when it began: more at its end make its times suspect.
    jumps: u64,
}

struct Done {
    report: Report,
    began: Instant,
    /// Our own network was down while it ran.
    is_uplink_down: bool,
}

/// Misses of one plan and reason in a row, not yet recorded.
struct Held {
    missed: SlotRun,
    reason: MissReason,
    since: Instant,
}

pub(crate) struct Loop {
    inventory: InventoryHandle,
    current: Arc<Inventory>,
    probes: Probes,
    events: UnboundedSender<Event>,
    shared: Arc<Shared>,
    clock: Clock,
    schedule: Schedule,
    tasks: JoinSet<Done>,
    runs: HashMap<Id, Run>,
    overlap: HashMap<Key, u32>,
    running: BTreeMap<ProbeKind, usize>,
    waiting: BTreeMap<ProbeKind, VecDeque<Run>>,
    held: BTreeMap<Key, Held>,
    answers: HashMap<DestinationId, (String, Vec<IpAddr>)>,
    jumps: u64,
    version: String,
    last_run: LastRun,
    routes: Routes,
    load: OwnLoad,
    uplink: Arc<Uplink>,
    meter: Option<Arc<Meter>>,
    bulk: Option<Handle>,
    watch: Option<tokio::task::JoinHandle<()>>,
}

impl Loop {
    pub(crate) fn new(
        inventory: InventoryHandle,
        journal: &Journal,
        probes: Probes,
        config: CollectorConfig,
        events: UnboundedSender<Event>,
        shared: Arc<Shared>,
    ) -> Result<Self, StartError> {
        let mut last_run = read_back(journal)?;
        let uplink = Arc::new(Uplink::new(config.gateway, probes.icmp().cloned(), events.clone()));
        let current = Arc::new(Inventory::default());
        Ok(Self {
            inventory,
            current,
            probes,
            events,
            shared,
            clock: Clock::new(Reading::now()),
            schedule: Schedule::default(),
            tasks: JoinSet::new(),
            runs: HashMap::new(),
            overlap: HashMap::new(),
            running: BTreeMap::new(),
            waiting: BTreeMap::new(),
            held: BTreeMap::new(),
            answers: HashMap::new(),
            jumps: 0,
            version: config.version,
            load: std::mem::take(&mut last_run.load),
            last_run,
            routes: Routes::default(),
            uplink,
            meter: config.meter,
            bulk: config.bulk,
            watch: None,
        })
    }

    /// Runs until told to stop.
    pub(crate) async fn run(mut self, mut stopped: watch::Receiver<Option<String>>) {
        self.begin();
        loop {
            let now = now();
            // Slots are whole milliseconds, and so is the grain of the timer: a moment later is not too early.
            let due = self.schedule.next().map(|at| self.clock.instant(at));
            let wake = due.map_or(now + TICK, |due| due.min(now + TICK));
            tokio::select! {
                changed = stopped.changed() => {
                    let reason = stopped.borrow().clone();
                    if let Some(reason) = reason {
                        return self.end(&reason).await;
                    }
                    if changed.is_err() {
                        return self.end("dropped").await;
                    }
                }
                Some(done) = self.tasks.join_next_with_id() => self.take(done),
                () = tokio::time::sleep_until(wake.into()) => self.turn(wake),
            }
        }
    }

    fn begin(&mut self) {
        let now = self.clock.wall(now()).to_whole_millis();
        let last = std::mem::take(&mut self.last_run);
        self.send(CollectorStarted {
            version: self.version.clone(),
            boot_id: platform::boot_id(),
            host: platform::host(),
            system: std::env::consts::OS.to_owned(),
            monotonic_ns: platform::monotonic_ns(),
            is_after_crash: last.is_cut_off,
            last_seen: last.last_seen,
        });
        self.current = self.inventory.current();
        let inventory = Arc::clone(&self.current);
        let due = self.schedule.resume(&inventory, now, |key, job| last.covered_of(&inventory, key, job));
        self.handle(due);
        self.flush(true);
        self.watch = Some(tokio::spawn(Arc::clone(&self.uplink).watch()));
    }

    /// One turn of the loop, planned for `planned`.
    fn turn(&mut self, planned: Instant) {
        let woken = now();
        let jump = self.clock.look(Reading::now());
        let mut reason = MissReason::Stalled;
        if let Some(slept) = jump.slept {
            reason = MissReason::HostSlept;
            self.send(HostSlept { for_ns: nanos(slept) });
        }
        if let Some(by_ns) = jump.stepped_ns {
            self.jumps += 1;
            reason = if jump.slept.is_some() { reason } else { MissReason::ClockStepped };
            tracing::warn!(by_ns, "the wall clock was stepped");
            self.send(ClockStepped { by_ns });
        }
        let late = woken.saturating_duration_since(planned);
        if late >= STALL && jump.slept.is_none() {
            self.send(CollectorStalled { for_ns: nanos(late) });
        }
        let now = self.clock.wall(now());
        if jump.stepped_ns.is_some_and(|by_ns| by_ns < 0) {
            self.schedule.set_back(now);
        }
        let due = self.schedule.due(now, reason);
        self.handle(due);
        let current = self.inventory.current();
        if current.position != self.current.position {
            self.current = current;
            self.schedule.apply(&self.current, now.to_whole_millis());
            let Inventory { jobs, destinations, .. } = &*self.current;
            self.routes.keep(|key| jobs.contains_key(&key.job) && destinations.contains_key(&key.destination));
        }
        self.flush(false);
        let mut counts = self.shared.counts();
        counts.status.planned = self.schedule.len();
        counts.status.running = self.runs.len();
        counts.status.waiting = self.waiting.values().map(VecDeque::len).sum();
    }

    fn handle(&mut self, due: Vec<Due>) {
        for due in due {
            match due {
                Due::Missed(key, missed, reason) => self.miss(key, missed, reason),
                Due::Run(key, slot_at) => {
                    let run = Run { key, slot_at, jumps: self.jumps };
                    if self.running.get(&key.probe).is_none_or(|running| *running < max_running(key.probe)) {
                        self.launch(run);
                    } else if self.waiting.values().map(VecDeque::len).sum::<usize>() < MAX_WAITING {
                        tracing::debug!(slot = %SlotId(key, slot_at), "waits for a worker");
                        self.waiting.entry(key.probe).or_default().push_back(run);
                    } else {
                        self.miss(key, one(slot_at), MissReason::QueueFull);
                    }
                }
            }
        }
    }

    fn launch(&mut self, run: Run) {
        let Run { key, slot_at, .. } = run;
        let overlap = self.overlap.get(&key).copied().unwrap_or(0);
        let most = if key.probe == ProbeKind::Ping { MAX_OVERLAP } else { 1 };
        if overlap >= most {
            return self.miss(key, one(slot_at), MissReason::Overrun);
        }
        let (Some(job), Some(destination)) =
            (self.current.jobs.get(&key.job), self.current.destinations.get(&key.destination))
        else {
            // Removed while it waited.
            return self.miss(key, one(slot_at), MissReason::QueueFull);
        };
        let Some(probe) = self.probes.get(key.probe).cloned() else {
            let detail = format!("this program cannot measure {}", key.probe.name());
            let report = Report::failed(FailReason::BadOptions, detail);
            return self.outcome(run, Done { report, began: now(), is_uplink_down: false });
        };
        let taken = self
            .meter
            .as_ref()
            .map_or(Ok(()), |meter| meter.take(&destination.spec.host, key.probe, &job.spec.options, now()));
        if let Err(why) = taken {
            let report =
                Report::failed(FailReason::Denied, format!("{} is not probed now: {why}", destination.spec.host));
            return self.outcome(run, Done { report, began: now(), is_uplink_down: false });
        }
        if key.probe == ProbeKind::Bandwidth {
            let budget = &job.spec.options.bandwidth;
            if !self.load.allows(key.job, slot_at, budget.max_run_bytes, budget.max_day_bytes) {
                return self.suppress(key, slot_at, SuppressReason::Budget);
            }
            self.load.begin(now());
        }
        let request = Request {
            host: destination.spec.host.clone(),
            port: destination.spec.port,
            options: Arc::new(job.spec.options.clone()),
        };
        let uplink = Arc::clone(&self.uplink);
        let span = tracing::debug_span!("run", slot = %SlotId(key, slot_at), host = request.host);
        let run_it = async move {
            let began = now();
            tracing::debug!("begins");
            let report = probe.run(&request).await;
            let is_uplink_down = !report.outcome.is_answered() && uplink.was_down_since(began).await;
            tracing::debug!(answered = report.outcome.is_answered(), is_uplink_down, "ends");
            Done { report, began, is_uplink_down }
        };
        let run_it = run_it.instrument(span);
        let task = match &self.bulk {
            Some(bulk) if key.probe == ProbeKind::Bandwidth => self.tasks.spawn_on(run_it, bulk),
            _ => self.tasks.spawn(run_it),
        };
        self.runs.insert(task.id(), run);
        *self.overlap.entry(key).or_insert(0) += 1;
        *self.running.entry(key.probe).or_insert(0) += 1;
    }

    /// A task has ended.
    fn take(&mut self, done: Result<(Id, Done), JoinError>) {
        let (id, result) = match done {
            Ok((id, done)) => (id, Ok(done)),
            Err(error) => (error.id(), Err(error)),
        };
        let Some(run) = self.runs.remove(&id) else { return };
        let kind = run.key.probe;
        if let Some(running) = self.running.get_mut(&kind) {
            *running -= 1;
        }
        if let Some(overlap) = self.overlap.get_mut(&run.key) {
            *overlap -= 1;
            if *overlap == 0 {
                self.overlap.remove(&run.key);
            }
        }
        if kind == ProbeKind::Bandwidth {
            self.load.end(now());
        }
        match result {
            Ok(done) => self.outcome(run, done),
            Err(error) if error.is_panic() => {
                let report =
                    Report::failed(FailReason::Internal, "the probe stopped on a fault of ours; see the log file");
                self.outcome(run, Done { report, began: now(), is_uplink_down: false });
            }
            Err(_) => self.miss(run.key, one(run.slot_at), MissReason::CollectorDown),
        }
        while self.running.get(&kind).is_none_or(|running| *running < max_running(kind)) {
            let Some(next) = self.waiting.get_mut(&kind).and_then(VecDeque::pop_front) else { break };
            self.launch(next);
        }
    }

    fn outcome(&mut self, run: Run, done: Done) {
        let Run { key, slot_at, jumps } = run;
        let Done { report, began, is_uplink_down } = done;
        let planned = self.clock.instant(slot_at);
        let lateness = report.first_sent.unwrap_or(began).saturating_duration_since(planned);
        let lateness_us = u32::try_from(lateness.as_micros()).unwrap_or(u32::MAX);
        let mut flags = report.flags;
        flags.clock_suspect |= jumps != self.jumps;
        flags.uplink_down |= is_uplink_down;
        flags.under_own_load |= key.probe != ProbeKind::Bandwidth && self.load.overlaps(began, now());
        let head = SampleHead { job: key.job, destination: key.destination, slot_at, lateness_us, flags };
        let is_failed = matches!(report.outcome, Outcome::Failed { .. });
        self.notice_answers(key.destination, report.answers);
        // What was missed before this slot is recorded before it.
        if let Some(held) = self.held.remove(&key) {
            self.record_missed(key, &held);
        }
        let event = report.outcome.into_event(key.probe, head);
        let change = match &event {
            Event::RouteTraced(route) => self.routes.take(key, route),
            Event::BandwidthMeasured(run) => {
                self.load.moved(key.job, slot_at, run);
                None
            }
            _ => None,
        };
        self.send(event);
        if let Some(change) = change {
            self.send(change);
        }
        let mut counts = self.shared.counts();
        counts.status.slots_run += 1;
        counts.status.slots_failed += u64::from(is_failed);
        if counts.lateness_us.len() >= LATENESS_SAMPLES {
            counts.lateness_us.pop_front();
        }
        counts.lateness_us.push_back(lateness_us);
    }

    fn notice_answers(&mut self, destination: DestinationId, answers: Vec<IpAddr>) {
        if answers.is_empty() {
            return;
        }
        let Some(host) = self.current.destinations.get(&destination).map(|known| known.spec.host.clone()) else {
            return;
        };
        match self.answers.get_mut(&destination) {
            Some((known, before)) if *known == host => {
                if *before != answers {
                    let before = std::mem::replace(before, answers.clone());
                    self.send(AnswerChanged { destination, host, before, after: answers });
                }
            }
            _ => {
                self.answers.insert(destination, (host, answers));
            }
        }
    }

    /// Holds a miss back for a while: the next of the same plan and reason may join it.
    fn miss(&mut self, key: Key, missed: SlotRun, reason: MissReason) {
        tracing::debug!(slot = %SlotId(key, missed.first), count = missed.count, ?reason, "missed");
        self.shared.counts().status.slots_missed += missed.count;
        if let Some(held) = self.held.get_mut(&key)
            && held.reason == reason
            // What a stop cuts short began before what it keeps from beginning; other outcomes lie between the two.
            && reason != MissReason::CollectorDown
            && held.missed.last <= missed.first
        {
            held.missed = SlotRun { last: missed.last, count: held.missed.count + missed.count, ..held.missed };
            return;
        }
        if let Some(before) = self.held.insert(key, Held { missed, reason, since: now() }) {
            self.record_missed(key, &before);
        }
    }

    /// A slot that is left out on purpose.
    fn suppress(&mut self, key: Key, slot_at: Timestamp, reason: SuppressReason) {
        tracing::debug!(slot = %SlotId(key, slot_at), ?reason, "left out");
        if let Some(held) = self.held.remove(&key) {
            self.record_missed(key, &held);
        }
        self.send(SlotsSuppressed {
            job: key.job,
            destination: key.destination,
            probe: key.probe,
            first_slot_at: slot_at,
            last_slot_at: slot_at,
            count: 1,
            reason,
        });
    }

    fn record_missed(&self, key: Key, held: &Held) {
        self.send(SlotsMissed {
            job: key.job,
            destination: key.destination,
            probe: key.probe,
            first_slot_at: held.missed.first,
            last_slot_at: held.missed.last,
            count: u32::try_from(held.missed.count).unwrap_or(u32::MAX),
            reason: held.reason,
        });
    }

    /// Records the misses held back: those for long enough, or all.
    fn flush(&mut self, all: bool) {
        if self.held.is_empty() {
            return;
        }
        let now = now();
        let is_ripe = |held: &Held| all || now.saturating_duration_since(held.since) >= COALESCE;
        let ripe: Vec<Key> = self.held.iter().filter(|(_, held)| is_ripe(held)).map(|(key, _)| *key).collect();
        for key in ripe {
            if let Some(held) = self.held.remove(&key) {
                self.record_missed(key, &held);
            }
        }
    }

    /// Cuts what runs. A cut burst says nothing about its destination: its slot was missed.
    async fn end(mut self, reason: &str) {
        let waiting: Vec<Run> = std::mem::take(&mut self.waiting).into_values().flatten().collect();
        for run in waiting {
            self.miss(run.key, one(run.slot_at), MissReason::CollectorDown);
        }
        if let Some(watch) = self.watch.take() {
            watch.abort();
            let _ = watch.await;
        }
        self.tasks.abort_all();
        while let Some(done) = self.tasks.join_next_with_id().await {
            self.take(done);
        }
        self.flush(true);
        self.send(CollectorStopped { reason: reason.to_owned() });
        let mut counts = self.shared.counts();
        (counts.status.running, counts.status.waiting, counts.status.planned) = (0, 0, 0);
    }

    fn send(&self, event: impl Into<Event>) {
        // The recorder outlives the loop; if the runtime is torn down under both, nobody is left to tell.
        let _ = self.events.send(event.into());
    }
}

const fn one(at: Timestamp) -> SlotRun {
    SlotRun { first: at, last: at, count: 1 }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[expect(clippy::disallowed_methods, reason = "the collector's loop reads the monotonic clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
