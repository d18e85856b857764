//! The whole way of a sample under simulated time: one seed drives the clock, the disk, the probes and the clients
//! through the code as it is: commands, journal, log, runner, views, schedule, and what a restart reads back.
//!
//! A failing seed is named; `NETSTATS_SEED=S cargo test -p netstats-collector simulation` runs it alone, and
//! `NETSTATS_LONG=N` runs more. Views are stored only where the simulation stops them, so that threads decide nothing.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, Ordering};
use std::time::Duration;

use netstats_event::{
    ClockSource, CollectorStarted, CollectorStopped, DestinationId, DestinationSpec, Draft, Echo, Envelope, Event,
    FailReason, JobSpec, Meta, Metric, MissReason, PingMeasured, Position, Record, Rtt, SampleFlags, SampleHead,
    SlotFailed, SlotsMissed, Timestamp, Transport,
};
use netstats_inventory::{Command, InventoryHandle, InventoryProjector, Policy, SlotRun, Slots, decide};
use netstats_log::{Appended, Error, ErrorKind, Head, Journal, Log, MemoryLog, ReadLimit, verify};
use netstats_projector::{Checkpoint, MemoryViews, Projector, RowBatch, Runner, ViewStore, digest, rebuild_all};
use netstats_series::{Series, SeriesProjector};

use crate::resume::read_back;
use crate::schedule::{Due, Key, Schedule};

const START: Timestamp = Timestamp::from_secs(1_790_000_000);
const PATIENCE: Duration = Duration::from_secs(60);
/// Histories in one run of the tests.
const SEEDS: u64 = 200;

/// A disk that keeps what it took, refuses, or takes and says it does not know.
struct Disk {
    log: MemoryLog,
    now: Arc<AtomicI64>,
    trouble: AtomicU8,
    is_closed: AtomicBool,
}

/// The next appends are refused, and nothing is kept.
const FULL: u8 = 1;
/// The next append is kept, and its sync fails: whoever asked does not know; nothing is taken until a restart.
const UNKNOWN: u8 = 2;
const BROKEN: u8 = 3;

impl Log for Disk {
    fn append(&self, batch: &[Draft]) -> Result<Appended, Error> {
        let refused = |message| Err(Error::new(ErrorKind::Unavailable, message));
        // The journal reads the machine's clock; here it is simulated time that counts.
        let now = Timestamp::from_millis(self.now.load(Ordering::SeqCst));
        let batch: Vec<Draft> = batch.iter().map(|draft| Draft { recorded_at: now, ..draft.clone() }).collect();
        match self.trouble.load(Ordering::SeqCst) {
            FULL => refused("no space"),
            BROKEN => refused("broken"),
            UNKNOWN => {
                self.log.append(&batch)?;
                self.trouble.store(BROKEN, Ordering::SeqCst);
                refused("unknown")
            }
            _ => self.log.append(&batch),
        }
    }
    fn read(&self, from: Position, limit: ReadLimit) -> Result<Vec<Record>, Error> {
        self.log.read(from, limit)
    }
    fn get(&self, positions: &[Position]) -> Result<Vec<Record>, Error> {
        self.log.get(positions)
    }
    fn first(&self) -> Position {
        self.log.first()
    }
    fn tail(&self) -> Position {
        self.log.tail()
    }
    fn head(&self) -> Head {
        self.log.head()
    }
    fn last_config(&self) -> Position {
        self.log.last_config()
    }
    fn wait(&self, past: Position, at_most: Duration) -> Position {
        // A closed journal must not close the disk: the next process opens it. Nobody waits long for the stop.
        self.log.wait(past, at_most.min(Duration::from_millis(2)))
    }
    fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
    }
}

/// Views that are stored only when they may be: a killed process stores nothing more.
struct Views {
    views: MemoryViews,
    may_store: AtomicBool,
}

impl ViewStore for Views {
    fn checkpoint(&self, view: &str) -> Result<Option<Checkpoint>, Error> {
        self.views.checkpoint(view)
    }
    fn commit(&self, view: &str, rows: &RowBatch, checkpoint: Checkpoint) -> Result<(), Error> {
        if self.may_store.load(Ordering::SeqCst) {
            return self.views.commit(view, rows, checkpoint);
        }
        Err(Error::new(ErrorKind::Unavailable, "not now"))
    }
    fn empty(&self, view: &str) -> Result<(), Error> {
        self.views.empty(view)
    }
    fn get(&self, view: &str, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.views.get(view, key)
    }
    fn scan(&self, view: &str, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), Error> {
        self.views.scan(view, prefix, visit)
    }
    fn range(
        &self,
        view: &str,
        keys: std::ops::Range<&[u8]>,
        descending: bool,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), Error> {
        self.views.range(view, keys, descending, visit)
    }
    fn wipe(&self) -> Result<(), Error> {
        self.views.wipe()
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
    fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

fn projectors() -> (Vec<Box<dyn Projector>>, InventoryHandle, Series) {
    let (inventory, inventory_handle) = InventoryProjector::new();
    let (series, series_handle) = SeriesProjector::new();
    (vec![Box::new(inventory), Box::new(series)], inventory_handle, series_handle)
}

/// One run of the program.
struct Process {
    journal: Arc<Journal>,
    runner: Runner,
    inventory: InventoryHandle,
    series: Series,
    schedule: Schedule,
    seen: Position,
    /// Probes under way: when they end, what they measure.
    running: Vec<(Timestamp, Key, Timestamp)>,
    /// Outcomes that the journal has not taken yet.
    ring: VecDeque<Event>,
}

/// A time in which a plan was in force: its slots after the first and up to the second moment are due.
struct Planned {
    slots: Slots,
    made_of: (Position, Position),
    from: Timestamp,
    to: Option<Timestamp>,
}

/// Everything that outlives a process, and what must come out.
struct World {
    random: Random,
    now: Timestamp,
    clock: Arc<AtomicI64>,
    disk: Arc<Disk>,
    views: Arc<Views>,
    planned: BTreeMap<Key, Vec<Planned>>,
    /// Slots that were under way, or not recorded yet, when the process was killed.
    cut: Vec<(Key, Timestamp)>,
    acknowledged: Vec<(Position, netstats_event::ChainHash)>,
}

impl World {
    fn new(seed: u64) -> Self {
        let clock = Arc::new(AtomicI64::new(START.as_millis()));
        let disk = Disk {
            log: MemoryLog::new(),
            now: clock.clone(),
            trouble: AtomicU8::new(0),
            is_closed: AtomicBool::new(false),
        };
        let views = Views { views: MemoryViews::new(), may_store: AtomicBool::new(false) };
        Self {
            random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            now: START,
            clock,
            disk: Arc::new(disk),
            views: Arc::new(views),
            planned: BTreeMap::new(),
            cut: Vec::new(),
            acknowledged: Vec::new(),
        }
    }

    fn pass(&mut self, until: Timestamp) {
        self.now = self.now.max(until);
        self.clock.store(self.now.as_millis(), Ordering::SeqCst);
    }

    fn start(&mut self) -> Process {
        self.disk.trouble.store(0, Ordering::SeqCst);
        let journal = Journal::open(self.disk.clone() as Arc<dyn Log>).unwrap();
        let (projectors, inventory, series) = projectors();
        let runner = Runner::start(journal.clone(), self.views.clone(), projectors).unwrap();
        assert!(runner.wait_for(Position(journal.head().last), PATIENCE));
        let last = read_back(&journal).unwrap();
        let current = inventory.current();
        let mut schedule = Schedule::default();
        let due = schedule.resume(&current, self.now, |key, job| last.covered_of(&current, key, job));
        // Plans of which the last run may not have heard begin now.
        for (key, plans) in &mut self.planned {
            let is_known = current.jobs.get(&key.job).is_some_and(|job| last.covered_of(&current, key, job).is_some());
            for plan in plans.iter_mut().filter(|plan| !is_known && plan.to.is_none()) {
                plan.from = self.now;
            }
        }
        let mut process = Process {
            journal,
            runner,
            inventory,
            series,
            schedule,
            seen: current.position,
            running: Vec::new(),
            ring: VecDeque::new(),
        };
        process.ring.push_back(
            CollectorStarted {
                version: String::new(),
                boot_id: String::new(),
                host: String::new(),
                system: String::new(),
                monotonic_ns: 0,
                is_after_crash: last.is_cut_off,
                last_seen: last.last_seen,
            }
            .into(),
        );
        self.note_plans(&process);
        self.handle(&mut process, due);
        self.record(&mut process);
        process
    }

    /// Writes down which plans are in force from now on.
    fn note_plans(&mut self, process: &Process) {
        let current = process.inventory.current();
        let mut in_force = BTreeMap::new();
        for job in current.jobs.values().filter(|job| job.spec.enabled) {
            for destination in current.members(job) {
                let measured = &current.destinations[&destination];
                for probe in netstats_inventory::probes(&job.spec).into_iter().filter(|_| !measured.spec.paused) {
                    let key = Key { job: job.id, destination, probe };
                    in_force.insert(key, ((job.changed, measured.changed), Slots::of(job)));
                }
            }
        }
        let now = self.now;
        for (key, plans) in &mut self.planned {
            let made_of = in_force.get(key).map(|(made_of, _)| *made_of);
            for plan in plans.iter_mut().filter(|plan| plan.to.is_none() && Some(plan.made_of) != made_of) {
                plan.to = Some(now);
            }
        }
        for (key, (made_of, slots)) in in_force {
            let plans = self.planned.entry(key).or_default();
            if plans.last().is_none_or(|plan| plan.to.is_some()) {
                plans.push(Planned { slots, made_of, from: now, to: None });
            }
        }
    }

    fn handle(&mut self, process: &mut Process, due: Vec<Due>) {
        for due in due {
            match due {
                Due::Run(key, slot_at) => {
                    let takes = Duration::from_millis(1 + self.random.below(3_000));
                    process.running.push((self.now.plus(takes), key, slot_at));
                }
                Due::Missed(key, run, reason) => process.ring.push_back(missed(key, run, reason)),
            }
        }
    }

    /// What the recorder does: in order, kept while the journal refuses.
    fn record(&mut self, process: &mut Process) {
        if process.ring.is_empty() {
            return;
        }
        let batch: Vec<Event> = process.ring.iter().cloned().collect();
        if let Ok(appended) = process.journal.append(batch) {
            process.ring.clear();
            self.acknowledge(appended);
            assert!(process.runner.wait_for(appended.last, PATIENCE));
        }
    }

    fn acknowledge(&mut self, appended: Appended) {
        let record = &self.disk.get(&[appended.last]).unwrap()[0];
        self.acknowledged.push((appended.last, record.chain));
    }

    /// A turn of the loop: probes that end, slots that are due, plans that changed.
    fn turn(&mut self, process: &mut Process, reason: MissReason) {
        let now = self.now;
        let mut ended: Vec<_> = process.running.extract_if(.., |(end, ..)| *end <= now).collect();
        ended.sort_unstable_by_key(|(end, key, _)| (*end, *key));
        for (_, key, slot_at) in ended {
            let event = self.measured(key, slot_at);
            process.ring.push_back(event);
        }
        let due = process.schedule.due(now, reason);
        self.handle(process, due);
        let current = process.inventory.current();
        if current.position != process.seen {
            process.seen = current.position;
            process.schedule.apply(&current, now);
            self.note_plans(process);
        }
        self.record(process);
    }

    fn measured(&mut self, key: Key, slot_at: Timestamp) -> Event {
        let flags = SampleFlags::default();
        let head = SampleHead { job: key.job, destination: key.destination, slot_at, lateness_us: 7, flags };
        if self.random.one_in(20) {
            let (probe, reason) = (key.probe, FailReason::Internal);
            return SlotFailed { head, probe, reason, detail: "simulated".into() }.into();
        }
        let mut echo = || match self.random.below(10) {
            0 => Echo::Lost,
            1 => Echo::Late(Rtt::from_micros(1_200_000)),
            n => Echo::Reply(Rtt::from_micros(400 + u32::try_from(n * 17).unwrap())),
        };
        let echoes = (0..3).map(|_| echo()).collect();
        PingMeasured {
            head,
            address: std::net::IpAddr::from([192, 0, 2, 1]),
            transport: Transport::IcmpRaw,
            clock: ClockSource::Kernel,
            payload_bytes: 56,
            spacing_ms: 10,
            timeout_ms: 1_000,
            echoes,
            ttl: None,
            duplicates: 0,
            reordered: 0,
            bad_replies: 0,
        }
        .into()
    }

    /// What a client does: a command, decided and appended as the API does it.
    fn command(&mut self, process: &mut Process) {
        let current = process.inventory.current();
        let number = self.random.below(1_000_000);
        let destination = |random: &mut Random| DestinationSpec {
            name: format!("d{number}"),
            host: "192.0.2.1".into(),
            tags: vec!["all".into()],
            paused: random.one_in(8),
            ..DestinationSpec::default()
        };
        let job = |random: &mut Random| JobSpec {
            name: format!("j{number}"),
            enabled: !random.one_in(4),
            interval_s: 60 + u32::try_from(random.below(5)).unwrap() * 30,
            metrics: vec![Metric::Ping, Metric::PacketLoss],
            destination_tags: vec!["all".into()],
            ..JobSpec::default()
        };
        let pick = |random: &mut Random, count: usize| usize::try_from(random.below(count.max(1) as u64)).unwrap();
        let random = &mut self.random;
        let some_destination = current.destinations.keys().nth(pick(random, current.destinations.len())).copied();
        let some_job = current.jobs.keys().nth(pick(random, current.jobs.len())).copied();
        let command = match (random.below(9), some_destination, some_job) {
            (0..3, ..) => Command::AddDestination(destination(random)),
            (3, ..) => Command::AddJob(job(random)),
            (4, Some(id), _) => Command::ChangeDestination { id, spec: destination(random) },
            (5, Some(id), _) => Command::RemoveDestination { id },
            (6, _, Some(id)) => Command::ChangeJob { id, spec: job(random) },
            (7, _, Some(id)) if random.one_in(3) => Command::RemoveJob { id },
            (7, _, Some(id)) => Command::StopJob { id },
            (8, _, Some(id)) => Command::StartJob { id },
            _ => Command::AddJob(job(random)),
        };
        let events = match decide(&current, command, &Meta::by("api:simulation"), &Policy::default()) {
            Ok(events) if !events.is_empty() => events,
            _ => return,
        };
        // What was there before is due under the old plans until the loop hears of the new ones: at once.
        if let Ok(appended) = process.journal.submit_if_config_unmoved(events, current.position).wait() {
            self.acknowledge(appended);
            assert!(process.runner.wait_for(appended.last, PATIENCE));
        }
        self.turn(process, MissReason::Stalled);
    }

    /// The process is gone without a word: what was not acknowledged may be lost, views are as they were stored last.
    fn kill(&mut self, process: Process) {
        self.cut.extend(process.running.iter().map(|(_, key, slot_at)| (*key, *slot_at)));
        self.cut.extend(process.ring.iter().filter_map(outcome_of).map(|(key, (_, last, _))| (key, last)));
        process.journal.close();
        process.runner.stop();
    }

    /// It ends in order: what runs is cut and told, views are stored.
    fn stop(&mut self, mut process: Process) {
        for (_, key, slot_at) in std::mem::take(&mut process.running) {
            let run = SlotRun { first: slot_at, last: slot_at, count: 1 };
            process.ring.push_back(missed(key, run, MissReason::CollectorDown));
        }
        process.ring.push_back(CollectorStopped { reason: "simulation".into() }.into());
        self.record(&mut process);
        self.views.may_store.store(true, Ordering::SeqCst);
        process.journal.close();
        process.runner.stop();
        self.views.may_store.store(false, Ordering::SeqCst);
    }

    /// Something happens; the process that goes on.
    fn happen(&mut self, mut process: Process) -> Process {
        match self.random.below(40) {
            0..12 => self.command(&mut process),
            12..14 => {
                // The machine slept, or the clock was set forward.
                let jump = Duration::from_millis(5_000 + self.random.below(1_800_000));
                self.pass(self.now.plus(jump));
                let reason = if self.random.one_in(2) { MissReason::HostSlept } else { MissReason::ClockStepped };
                self.turn(&mut process, reason);
            }
            14 => self.disk.trouble.store(FULL, Ordering::SeqCst),
            15..18 => {
                let _ = self.disk.trouble.compare_exchange(FULL, 0, Ordering::SeqCst, Ordering::SeqCst);
            }
            18..20 => {
                if self.random.one_in(3) {
                    self.disk.trouble.store(UNKNOWN, Ordering::SeqCst);
                    self.turn(&mut process, MissReason::Stalled);
                }
                self.kill(process);
                let down = Duration::from_millis(self.random.below(600_000));
                self.pass(self.now.plus(down));
                return self.start();
            }
            20 => {
                self.disk.trouble.store(0, Ordering::SeqCst);
                self.stop(process);
                let down = Duration::from_millis(self.random.below(600_000));
                self.pass(self.now.plus(down));
                return self.start();
            }
            _ => {}
        }
        process
    }
}

fn missed(key: Key, run: SlotRun, reason: MissReason) -> Event {
    SlotsMissed {
        job: key.job,
        destination: key.destination,
        probe: key.probe,
        first_slot_at: run.first,
        last_slot_at: run.last,
        count: u32::try_from(run.count).unwrap(),
        reason,
    }
    .into()
}

fn read_all(journal: &Journal) -> Vec<Envelope> {
    let mut events: Vec<Envelope> = Vec::new();
    while (events.len() as u64) < journal.head().last {
        events.extend(journal.read(Position(events.len() as u64 + 1), ReadLimit::default()).unwrap());
    }
    events
}

/// Whose outcome an event is: first and last slot, and how many.
fn outcome_of(event: &Event) -> Option<(Key, (Timestamp, Timestamp, u64))> {
    if let Event::SlotsMissed(e) = event {
        let key = Key { job: e.job, destination: e.destination, probe: e.probe };
        return Some((key, (e.first_slot_at, e.last_slot_at, u64::from(e.count))));
    }
    let (head, probe) = (event.head()?, event.probe()?);
    let key = Key { job: head.job, destination: head.destination, probe };
    Some((key, (head.slot_at, head.slot_at, 1)))
}

/// Every due slot has exactly one recorded outcome. One exception is known: what was under way at a kill is told by
/// the next start from the plan as it is then, so nobody tells it if the plan was changed in between.
fn check_slots(world: &World, events: &[Envelope]) {
    let mut outcomes: BTreeMap<Key, Vec<(Timestamp, Timestamp, u64)>> = BTreeMap::new();
    for (key, outcome) in events.iter().filter_map(|envelope| outcome_of(&envelope.event)) {
        outcomes.entry(key).or_default().push(outcome);
    }
    let millisecond = Duration::from_millis(1);
    for (key, plans) in &world.planned {
        let mut recorded = outcomes.get(key).cloned().unwrap_or_default();
        recorded.sort_unstable();
        let overlaps = recorded.windows(2).find(|pair| pair[0].1 >= pair[1].0);
        assert!(overlaps.is_none(), "{key:?}: two outcomes for a slot: {overlaps:?}");
        for plan in plans {
            let end = plan.to.unwrap_or(world.now);
            let between =
                |from, to| plan.slots.between(key.destination, key.probe, from, to).map_or(0, |run| run.count);
            let due = between(plan.from, end);
            // Of a run of misses the part in this time counts; fresh slots are none of the regular ones.
            let told: u64 = recorded
                .iter()
                .map(|(first, last, _)| between(plan.from.max(first.minus(millisecond)), end.min(*last)))
                .sum();
            let is_forgotten = |(cut, at): &&(Key, Timestamp)| cut == key && plan.from < *at && *at <= end;
            let forgotten = world.cut.iter().filter(is_forgotten).filter(|_| plan.to.is_some()).count() as u64;
            assert!(
                told <= due && due <= told + forgotten,
                "{key:?}: {due} slots due, {told} outcomes recorded from {:?} to {end:?}: {recorded:?}",
                plan.from
            );
        }
    }
}

/// The series view answers as a list of the events does.
fn check_series(series: &Series, events: &[Envelope]) {
    let mut naive: BTreeMap<DestinationId, Vec<(Timestamp, Position)>> = BTreeMap::new();
    for envelope in events {
        if let Some(head) = envelope.event.head() {
            naive.entry(head.destination).or_default().push((head.slot_at, envelope.position));
        }
    }
    for (destination, mut expected) in naive {
        expected.sort_unstable();
        let range = START.minus(Duration::from_secs(1))..Timestamp::from_secs(1_890_000_000);
        let expected: Vec<Position> = expected.into_iter().map(|(_, position)| position).collect();
        let found = series
            .index(None, Some(destination), netstats_event::ProbeKind::Ping, range, expected.len() + 1, false)
            .unwrap();
        assert_eq!(found, expected, "{destination:?}");
    }
}

/// One history, and all that must hold at its end.
fn live(seed: u64) -> u64 {
    let mut world = World::new(seed);
    let mut process = world.start();
    let steps = 150 + world.random.below(150);
    for _ in 0..steps {
        process = world.happen(process);
        // Time passes to the next thing that is due, or a little.
        let probes = process.running.iter().map(|(end, ..)| *end).min();
        let next = [process.schedule.next(), probes].into_iter().flatten().min();
        let little = world.now.plus(Duration::from_millis(1 + world.random.below(20_000)));
        world.pass(next.map_or(little, |next| next.min(little)));
        world.turn(&mut process, MissReason::Stalled);
    }
    world.disk.trouble.store(0, Ordering::SeqCst);
    world.stop(process);
    // The next start tells what this one knows nothing of, and the views come from their rows.
    let process = world.start();
    let journal = process.journal.clone();
    let events = read_all(&journal);
    let report = verify(world.disk.as_ref(), NonZero::<usize>::MIN).unwrap();
    assert!(report.is_whole() && report.records == events.len() as u64, "{report:?}");
    for (position, chain) in &world.acknowledged {
        assert_eq!(world.disk.get(&[*position]).unwrap()[0].chain, *chain, "an acknowledged event is another one");
    }
    check_slots(&world, &events);
    check_series(&process.series, &events);
    world.stop(process);
    let fresh: Arc<dyn ViewStore> = Arc::new(MemoryViews::new());
    let threads = NonZero::new(1 + usize::try_from(seed % 4).unwrap()).unwrap();
    rebuild_all(&journal, &fresh, projectors().0, threads).unwrap();
    for projector in projectors().0 {
        let name = projector.name();
        assert_eq!(
            digest(world.views.as_ref(), name).unwrap(),
            digest(fresh.as_ref(), name).unwrap(),
            "the view {name} is not what a rebuild makes"
        );
    }
    events.len() as u64
}

#[test]
#[expect(clippy::print_stderr, reason = "the count belongs into the test's output")]
fn every_seed_keeps_every_promise() {
    if let Ok(seed) = std::env::var("NETSTATS_SEED") {
        live(seed.parse().expect("a whole number"));
        return;
    }
    let times = std::env::var("NETSTATS_LONG").map_or(1, |times| times.parse().expect("a whole number"));
    let (mut events, mut failed) = (0, Vec::new());
    for seed in 1..=SEEDS * times {
        match catch_unwind(AssertUnwindSafe(|| live(seed))) {
            Ok(count) => events += count,
            Err(_) => failed.push(seed),
        }
    }
    eprintln!("{} histories, {events} events", SEEDS * times);
    assert!(failed.is_empty(), "seeds that failed (NETSTATS_SEED=N repeats one): {failed:?}");
}
