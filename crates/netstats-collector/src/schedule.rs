//! Which slots are due. Pure: it is told the time and the inventory, and answers with runs and misses.
//!
//! Regular slots are the inventory's arithmetic. On top of it comes at most one *fresh* slot a plan: soon after a
//! destination joins a running job, and soon after slots were missed. Every slot leaves [`Schedule::due`] exactly once,
//! as a run or inside a miss.
//!
//! A clock that is set back makes wall time repeat itself. Slots that were run already are then skipped for at most one
//! interval, so that a small correction repeats nothing and a large one silences nobody.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use netstats_event::{DestinationId, Event, JobId, MissReason, Position, ProbeKind, Timestamp};
use netstats_inventory::{Inventory, Job, SlotRun, Slots, phase, probes};

use crate::limits::{FRESH_NEAR, FRESH_SPREAD, FRESH_SPREAD_EACH, FRESH_WITHIN, GRACE};

/// What is planned: a probe of a job on a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) job: JobId,
    pub(crate) destination: DestinationId,
    pub(crate) probe: ProbeKind,
}

/// What a slot is called in the log: `JOB-DESTINATION-PROBE-MILLISECONDS`, all of which its event holds too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotId(pub(crate) Key, pub(crate) Timestamp);

impl fmt::Display for SlotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(Key { job, destination, probe }, at) = self;
        write!(f, "{}-{}-{}-{}", job.0, destination.0, probe.name(), at.as_nanos() / 1_000_000)
    }
}

impl SlotId {
    /// The slot whose outcome this event is; of several missed ones the first.
    pub(crate) fn of(event: &Event) -> Option<Self> {
        let at = match event {
            Event::SlotsMissed(missed) => missed.first_slot_at,
            Event::SlotsSuppressed(suppressed) => suppressed.first_slot_at,
            other => other.head()?.slot_at,
        };
        let (job, destination, probe) = (event.job()?, event.destination()?, event.probe()?);
        Some(Self(Key { job, destination, probe }, at))
    }
}

/// A slot leaves the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// To be run now.
    Run(Key, Timestamp),
    /// Not to be run any more.
    Missed(Key, SlotRun, MissReason),
}

#[derive(Debug)]
struct Plan {
    slots: Arc<Slots>,
    interval: Duration,
    /// The job's and the destination's last change: a plan with others is a new one.
    made_of: (Position, Position),
    /// Every regular slot up to here has left.
    covered: Timestamp,
    /// The fresh slot, if one is planned.
    fresh: Option<Timestamp>,
    /// The time under which the plan is in the heap; an entry with another one is stale.
    next: Option<Timestamp>,
}

/// The plans and when each is next due.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    plans: BTreeMap<Key, Plan>,
    heap: BinaryHeap<Reverse<(Timestamp, Key)>>,
}

impl Schedule {
    /// Plans in it.
    pub(crate) fn len(&self) -> usize {
        self.plans.len()
    }

    /// When [`Self::due`] has something to say; none if never.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes up the plans at the start of the program. `covered` says up to where a plan's slots had an outcome before;
    /// none if it had not begun then. What lies between is missed, and a fresh run catches up.
    pub(crate) fn resume(
        &mut self,
        inventory: &Inventory,
        now: Timestamp,
        covered: impl Fn(&Key, &Job) -> Option<Timestamp>,
    ) -> Vec<Due> {
        self.apply(inventory, now);
        let mut missed = Vec::new();
        for (key, plan) in &mut self.plans {
            let Some(covered) = covered(key, &inventory.jobs[&key.job]).filter(|covered| *covered <= now) else {
                continue;
            };
            match plan.slots.between(key.destination, key.probe, covered, now) {
                Some(run) => missed.push(Due::Missed(*key, run, MissReason::CollectorDown)),
                // A short absence in which nothing was due: it goes on as if nothing had been.
                None => plan.fresh = None,
            }
        }
        self.rebuild();
        missed
    }

    /// Brings the plans in line with the inventory. To be called after [`Self::due`] of the same `now`, so that slots of
    /// the old plans have left.
    pub(crate) fn apply(&mut self, inventory: &Inventory, now: Timestamp) {
        let mut old = std::mem::take(&mut self.plans);
        let mut fresh = Vec::new();
        for job in inventory.jobs.values().filter(|job| job.spec.enabled) {
            let slots = Arc::new(Slots::of(job));
            let probes = probes(&job.spec);
            for destination in inventory.members(job) {
                let Some(measured) = inventory.destinations.get(&destination).filter(|d| !d.spec.paused) else {
                    continue;
                };
                for &probe in &probes {
                    let key = Key { job: job.id, destination, probe };
                    let made_of = (job.changed, measured.changed);
                    let plan = match old.remove(&key) {
                        Some(plan) if plan.made_of == made_of => plan,
                        Some(plan) => Plan {
                            slots: Arc::clone(&slots),
                            interval: Duration::from_secs(u64::from(job.spec.interval_s)),
                            made_of,
                            // The new slots begin now; those of the old plan up to here have left.
                            covered: plan.covered.max(now),
                            ..plan
                        },
                        None => {
                            fresh.push(key);
                            Plan {
                                slots: Arc::clone(&slots),
                                interval: Duration::from_secs(u64::from(job.spec.interval_s)),
                                made_of,
                                covered: now,
                                fresh: None,
                                next: None,
                            }
                        }
                    };
                    self.plans.insert(key, plan);
                }
            }
        }
        self.freshen(&fresh, now);
        self.rebuild();
    }

    /// The slots up to `now`, each once. `reason` is why, should some be too late to be run.
    pub(crate) fn due(&mut self, now: Timestamp, reason: MissReason) -> Vec<Due> {
        let (mut due, mut behind) = (Vec::new(), Vec::new());
        while let Some(Reverse((at, key))) = self.heap.peek().copied() {
            if at > now {
                break;
            }
            self.heap.pop();
            let Some(plan) = self.plans.get_mut(&key).filter(|plan| plan.next == Some(at)) else { continue };
            let is_late = |at: Timestamp| now.since(at) > GRACE;
            let mut is_behind = false;
            if let Some(fresh) = plan.fresh.take_if(|fresh| *fresh <= now) {
                is_behind = is_late(fresh);
                due.push(if is_behind {
                    Due::Missed(key, SlotRun { first: fresh, last: fresh, count: 1 }, reason)
                } else {
                    Due::Run(key, fresh)
                });
            }
            if let Some(run) = plan.slots.between(key.destination, key.probe, plan.covered, now) {
                is_behind = is_late(run.last);
                let missed = if is_behind { Some(run) } else { before_last(plan, key, run) };
                due.extend(missed.map(|missed| Due::Missed(key, missed, reason)));
                if !is_behind {
                    due.push(Due::Run(key, run.last));
                }
            }
            plan.covered = plan.covered.max(now);
            if is_behind {
                behind.push(key);
            }
            plan.next = None;
            self.enter(key);
        }
        self.freshen(&behind, now);
        for key in behind {
            self.enter(key);
        }
        due
    }

    /// The wall clock was set back to `now`.
    pub(crate) fn set_back(&mut self, now: Timestamp) {
        for plan in self.plans.values_mut() {
            plan.covered = plan.covered.min(now.plus(plan.interval)).max(now);
            plan.fresh = plan.fresh.map(|fresh| fresh.min(now.plus(FRESH_WITHIN)));
            plan.next = None;
        }
        self.rebuild();
    }

    /// Plans a fresh slot for each of these, spread in time, unless a regular one is near or the window is closed.
    fn freshen(&mut self, keys: &[Key], now: Timestamp) {
        let each = FRESH_SPREAD_EACH.saturating_mul(u32::try_from(keys.len()).unwrap_or(u32::MAX));
        let spread = each.min(FRESH_SPREAD);
        for key in keys {
            let Some(plan) = self.plans.get_mut(key) else { continue };
            let offset = phase(key.job, key.destination, key.probe, spread);
            let fresh = now.plus(offset + Duration::from_millis(1)).to_whole_millis();
            let regular = plan.slots.next(key.destination, key.probe, plan.covered);
            // A regular slot stands in for the fresh one only if it comes at nearly the same time: waiting longer for it
            // would leave no time for its burst.
            let near = fresh.plus(FRESH_NEAR).min(now.plus(FRESH_WITHIN));
            let is_near = regular.is_some_and(|regular| regular <= near);
            plan.fresh = (!is_near && plan.slots.window().contains(fresh)).then_some(fresh);
            plan.next = None;
        }
    }

    fn enter(&mut self, key: Key) {
        let Some(plan) = self.plans.get_mut(&key) else { return };
        let regular = plan.slots.next(key.destination, key.probe, plan.covered);
        let next = [plan.fresh, regular].into_iter().flatten().min();
        if plan.next != next {
            plan.next = next;
            self.heap.extend(next.map(|next| Reverse((next, key))));
        }
    }

    fn rebuild(&mut self) {
        self.heap.clear();
        for plan in self.plans.values_mut() {
            plan.next = None;
        }
        let keys: Vec<Key> = self.plans.keys().copied().collect();
        for key in keys {
            self.enter(key);
        }
    }
}

/// A run of slots without its last.
fn before_last(plan: &Plan, key: Key, run: SlotRun) -> Option<SlotRun> {
    let end = run.last.minus(Duration::from_millis(1));
    let last = (run.count > 1).then(|| plan.slots.previous(key.destination, key.probe, end)).flatten()?;
    Some(SlotRun { last, count: run.count - 1, ..run })
}

#[cfg(test)]
mod tests {
    use netstats_event::{
        DestinationAdded, DestinationChanged, DestinationSpec, Envelope, Event, JobAdded, JobChanged, JobSpec,
        JobStarted, JobStopped, Meta, Metric, WeeklyHours, WeeklySpan,
    };
    use proptest::prelude::*;

    use super::*;

    const START: Timestamp = Timestamp::from_secs(1_790_000_000);

    /// An inventory under edit.
    #[derive(Default)]
    struct World(Inventory);

    impl World {
        fn apply(&mut self, now: Timestamp, event: impl Into<Event>) {
            let position = self.0.position.next();
            self.0.apply(&Envelope { position, recorded_at: now, event: event.into() });
        }

        fn destination(&mut self, id: u32, paused: bool, now: Timestamp) {
            let spec = DestinationSpec {
                name: format!("d{id}"),
                host: "127.0.0.1".into(),
                tags: vec!["all".into()],
                paused,
                ..DestinationSpec::default()
            };
            let (id, meta) = (DestinationId(id), Meta::by("test"));
            if self.0.destinations.contains_key(&id) {
                self.apply(now, DestinationChanged { id, spec, meta });
            } else {
                self.apply(now, DestinationAdded { id, spec, meta });
            }
        }

        fn job(&mut self, id: u32, interval_s: u32, hours: Option<WeeklyHours>, now: Timestamp) {
            let spec = JobSpec {
                name: format!("j{id}"),
                enabled: true,
                interval_s,
                metrics: vec![Metric::Ping, Metric::PacketLoss],
                destination_tags: vec!["all".into()],
                active_hours: hours,
                ..JobSpec::default()
            };
            let (id, meta) = (JobId(id), Meta::by("test"));
            if self.0.jobs.contains_key(&id) {
                self.apply(now, JobChanged { id, spec, meta });
            } else {
                self.apply(now, JobAdded { id, spec, meta });
            }
        }

        fn enable(&mut self, id: u32, enabled: bool, now: Timestamp) {
            let (job, meta) = (JobId(id), Meta::by("test"));
            if enabled {
                self.apply(now, JobStarted { job, meta });
            } else {
                self.apply(now, JobStopped { job, meta });
            }
        }
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn runs(due: &[Due]) -> Vec<Timestamp> {
        due.iter().filter_map(|due| if let Due::Run(_, at) = due { Some(*at) } else { None }).collect()
    }

    /// Lets time pass without a hitch; what came due.
    fn pass(schedule: &mut Schedule, from: Timestamp, until: Timestamp) -> Vec<Due> {
        let mut all = Vec::new();
        let mut now = from;
        while let Some(next) = schedule.next().filter(|next| *next <= until) {
            now = now.max(next);
            all.extend(schedule.due(now, MissReason::Stalled));
        }
        all
    }

    #[test]
    fn a_destination_is_measured_within_five_seconds_of_joining_and_then_on_its_phase() {
        let (mut world, mut schedule) = (World::default(), Schedule::default());
        (1..=1_000).for_each(|id| world.destination(id, false, START));
        world.job(1, 3_600, None, START);
        schedule.apply(&world.0, START);
        let first = pass(&mut schedule, START, START.plus(secs(5)));
        assert!((1_000..1_010).contains(&first.len()), "{}", first.len());
        let mut seconds = [0; 5];
        runs(&first).iter().for_each(|at| seconds[usize::try_from(at.since(START).as_secs()).unwrap()] += 1);
        assert!(seconds[..4].iter().all(|count| (150..400).contains(count)), "spread: {seconds:?}");
        let hour = pass(&mut schedule, START.plus(secs(5)), START.plus(secs(5 + 3_600)));
        assert_eq!(hour.len(), 1_000, "then once an hour");
        // One that joins later is measured at once, and no other is disturbed.
        let later = START.plus(secs(3_700));
        pass(&mut schedule, START.plus(secs(3_605)), later);
        world.destination(1_001, false, later);
        schedule.apply(&world.0, later);
        let joined = schedule.due(later.plus(secs(1)), MissReason::Stalled);
        assert!(joined.iter().any(|due| matches!(due, Due::Run(key, _) if key.destination.0 == 1_001)));
        assert!(joined.len() < 5);
    }

    #[test]
    fn whatever_the_second_of_the_start_the_first_run_leaves_time_for_its_burst() {
        // The default burst takes two seconds, and a sample is promised within five.
        let latest = FRESH_NEAR + FRESH_SPREAD_EACH * 2 + Duration::from_millis(1);
        for offset_ms in (0..60_000).step_by(250) {
            let (mut world, mut schedule) = (World::default(), Schedule::default());
            let start = START.plus(Duration::from_millis(offset_ms));
            (1..=2).for_each(|id| world.destination(id, false, start));
            world.job(1, 60, None, start);
            schedule.apply(&world.0, start);
            let due = pass(&mut schedule, start, start.plus(secs(60)));
            for id in 1..=2 {
                let runs: Vec<Duration> = due
                    .iter()
                    .filter_map(|due| match due {
                        Due::Run(key, at) if key.destination.0 == id => Some(at.since(start)),
                        _ => None,
                    })
                    .collect();
                let said = format!("destination {id}, started {offset_ms} ms into the minute: {runs:?}");
                assert!(runs[0] <= latest, "{said}");
                assert!(runs.windows(2).all(|pair| pair[1] - pair[0] > FRESH_NEAR), "{said}");
            }
        }
    }

    #[test]
    fn a_stopped_job_and_a_paused_destination_rest() {
        let (mut world, mut schedule) = (World::default(), Schedule::default());
        world.destination(1, false, START);
        world.destination(2, true, START);
        world.job(1, 60, None, START);
        schedule.apply(&world.0, START);
        assert_eq!(schedule.len(), 1);
        world.enable(1, false, START);
        schedule.apply(&world.0, START);
        assert_eq!((schedule.len(), schedule.next()), (0, None));
    }

    #[test]
    fn after_a_sleep_each_plan_runs_once_and_the_slots_slept_through_are_missed() {
        let (mut world, mut schedule) = (World::default(), Schedule::default());
        (1..=100).for_each(|id| world.destination(id, false, START));
        world.job(1, 60, None, START);
        schedule.apply(&world.0, START);
        let asleep = START.plus(secs(600));
        pass(&mut schedule, START, asleep);
        let woken = asleep.plus(secs(8 * 3_600));
        let due = schedule.due(woken, MissReason::HostSlept);
        let missed: u64 = due
            .iter()
            .map(|due| if let Due::Missed(_, run, MissReason::HostSlept) = due { run.count } else { 0 })
            .sum();
        let late = runs(&due).len() as u64;
        assert_eq!(missed + late, 100 * 480);
        let after = pass(&mut schedule, woken, woken.plus(secs(5)));
        let soon = late + runs(&after).len() as u64;
        assert!((100..130).contains(&soon), "each once, and some whose slot comes then: {soon}");
    }

    #[test]
    fn no_slot_lies_outside_the_window() {
        let (mut world, mut schedule) = (World::default(), Schedule::default());
        let spans = (0..7).map(|weekday| WeeklySpan { weekday, from_minute: 8 * 60, to_minute: 9 * 60 }).collect();
        world.destination(1, false, START);
        world.job(1, 60, Some(WeeklyHours { time_zone: "UTC".into(), spans }), START);
        schedule.apply(&world.0, START);
        let slots = runs(&pass(&mut schedule, START, START.plus(secs(7 * 86_400))));
        assert_eq!(slots.len(), 7 * 60);
        assert!(slots.iter().all(|at| (8 * 3_600..9 * 3_600).contains(&(at.as_secs() % 86_400))));
    }

    #[test]
    fn what_was_missed_while_the_program_was_down_is_told_once() {
        let mut world = World::default();
        world.destination(1, false, START);
        world.job(1, 60, None, START);
        let (down, up) = (START.plus(secs(3_600)), START.plus(secs(7_200)));
        let mut schedule = Schedule::default();
        let missed = schedule.resume(&world.0, up, |_, _| Some(down));
        assert!(matches!(missed[..], [Due::Missed(_, SlotRun { count: 60, .. }, MissReason::CollectorDown)]));
        let soon = pass(&mut schedule, up, up.plus(secs(5)));
        assert_eq!(runs(&soon).len(), 1, "one run catches up");
        // Nothing was due in a short absence: nothing is told and nothing runs early.
        let mut schedule = Schedule::default();
        let next = Slots::of(&world.0.jobs[&JobId(1)]).next(DestinationId(1), ProbeKind::Ping, up).unwrap();
        let now = next.plus(Duration::from_millis(500));
        assert!(schedule.resume(&world.0, now, |_, _| Some(next.plus(Duration::from_millis(1)))).is_empty());
        assert_eq!(schedule.next(), Some(next.plus(secs(60))));
    }

    #[test]
    fn a_clock_set_back_repeats_nothing_near_and_silences_nobody() {
        for back in [1, 30, 59, 61, 3_600, 86_400] {
            let (mut world, mut schedule) = (World::default(), Schedule::default());
            (1..=50).for_each(|id| world.destination(id, false, START));
            world.job(1, 60, None, START);
            schedule.apply(&world.0, START);
            let stepped = START.plus(secs(6_000));
            let before = runs(&pass(&mut schedule, START, stepped));
            let now = stepped.minus(secs(back));
            schedule.set_back(now);
            let after = runs(&pass(&mut schedule, now, now.plus(secs(120))));
            assert!((50..=100).contains(&after.len()), "back {back} s: {}", after.len());
            if back < 60 {
                assert!(after.iter().all(|at| !before.contains(at)), "back {back} s");
            }
        }
    }

    /// What may happen to a schedule.
    #[derive(Clone, Debug)]
    enum Op {
        /// Seconds without a hitch.
        Pass(u64),
        /// Seconds asleep, stalled, or stepped over.
        Gap(u64),
        Interval(u32, u32),
        Enable(u32, bool),
        Destination(u32, bool),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            4 => (1_u64..20_000).prop_map(Op::Pass),
            2 => (1_u64..100_000).prop_map(Op::Gap),
            1 => (1_u32..=2, prop_oneof![Just(7_u32), Just(60), Just(300), Just(3_600)])
                .prop_map(|(job, interval)| Op::Interval(job, interval)),
            1 => (1_u32..=2, any::<bool>()).prop_map(|(job, enabled)| Op::Enable(job, enabled)),
            1 => (1_u32..=4, any::<bool>()).prop_map(|(id, paused)| Op::Destination(id, paused)),
        ]
    }

    /// Counts what left the schedule against what the inventory's arithmetic says was due.
    #[derive(Default)]
    struct Ledger {
        since: BTreeMap<Key, ((Position, Position), Timestamp)>,
        last: BTreeMap<Key, Timestamp>,
        regular: BTreeMap<Key, u64>,
    }

    impl Ledger {
        fn take(&mut self, inventory: &Inventory, due: &[Due]) {
            for due in due {
                let (key, run) = match *due {
                    Due::Run(key, at) => (key, SlotRun { first: at, last: at, count: 1 }),
                    Due::Missed(key, run, _) => (key, run),
                };
                let slots = Slots::of(&inventory.jobs[&key.job]);
                let before = run.first.minus(Duration::from_millis(1));
                if slots.next(key.destination, key.probe, before) != Some(run.first) {
                    assert_eq!(run.count, 1, "a fresh slot is one");
                    continue;
                }
                assert!(self.last.get(&key).is_none_or(|last| *last < run.first), "a slot left twice");
                self.last.insert(key, run.last);
                *self.regular.entry(key).or_insert(0) += run.count;
            }
        }

        /// The inventory changed at `now`, or the end has come.
        fn settle(&mut self, before: &Inventory, after: &Inventory, now: Timestamp) {
            let made_of = |inventory: &Inventory, key: &Key| {
                let job = inventory.jobs.get(&key.job).filter(|job| job.spec.enabled)?;
                let measured = inventory.destinations.get(&key.destination).filter(|d| !d.spec.paused)?;
                Some((job.changed, measured.changed))
            };
            let known: Vec<Key> = self.since.keys().copied().collect();
            for key in known {
                let (old, since) = self.since[&key];
                if made_of(after, &key) == Some(old) && !std::ptr::eq(before, after) {
                    continue;
                }
                self.since.remove(&key);
                let slots = Slots::of(&before.jobs[&key.job]);
                let expected = slots.between(key.destination, key.probe, since, now).map_or(0, |run| run.count);
                assert_eq!(
                    self.regular.remove(&key).unwrap_or(0),
                    expected,
                    "{key:?} from {since:?} to {now:?}, every {} s",
                    before.jobs[&key.job].spec.interval_s
                );
            }
            for job in after.jobs.values() {
                for destination in after.members(job) {
                    let key = Key { job: job.id, destination, probe: ProbeKind::Ping };
                    if let Some(made_of) = made_of(after, &key) {
                        self.since.entry(key).or_insert((made_of, now));
                    }
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]

        /// Thirty days and more of running, sleeping and editing.
        #[test]
        fn every_slot_has_exactly_one_outcome(ops in proptest::collection::vec(op(), 100..200)) {
            let (mut world, mut schedule, mut ledger) = (World::default(), Schedule::default(), Ledger::default());
            let mut now = START;
            (1..=3).for_each(|id| world.destination(id, false, now));
            world.job(1, 60, None, now);
            world.job(2, 300, None, now);
            schedule.apply(&world.0, now);
            ledger.settle(&Inventory::default(), &world.0, now);
            for op in ops {
                let before = world.0.clone();
                let keys = schedule.len();
                match op {
                    Op::Pass(seconds) => {
                        let until = now.plus(secs(seconds));
                        let due = pass(&mut schedule, now, until);
                        prop_assert!(due.iter().all(|due| matches!(due, Due::Run(..))), "nothing is missed in good times");
                        ledger.take(&world.0, &due);
                        now = until;
                    }
                    Op::Gap(seconds) => {
                        now = now.plus(secs(seconds));
                        let due = schedule.due(now, MissReason::HostSlept);
                        prop_assert!(runs(&due).len() <= keys, "no storm");
                        ledger.take(&world.0, &due);
                        let soon = now.plus(secs(5));
                        let due = pass(&mut schedule, now, soon);
                        prop_assert!(runs(&due).len() <= keys * 2, "no storm");
                        ledger.take(&world.0, &due);
                        now = soon;
                    }
                    Op::Interval(job, interval_s) => world.job(job, interval_s, None, now),
                    Op::Enable(job, enabled) => world.enable(job, enabled, now),
                    Op::Destination(id, paused) => world.destination(id, paused, now),
                }
                if world.0.position != before.position {
                    ledger.take(&before, &schedule.due(now, MissReason::Stalled));
                    schedule.apply(&world.0, now);
                    ledger.settle(&before, &world.0, now);
                }
            }
            ledger.take(&world.0, &schedule.due(now, MissReason::Stalled));
            ledger.settle(&world.0, &world.0, now);
        }
    }
}
