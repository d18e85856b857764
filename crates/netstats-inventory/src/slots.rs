//! Slots: when each probe of a job is due on each destination. Pure arithmetic on description and time.
//!
//! Time since 1970 is cut into cycles of the job's interval. Each cycle that is open at any time holds exactly one
//! slot: at `k * interval + phase`, or, if the window is closed then, inside the first open part of the cycle. So slots
//! do not depend on when a program started, a job with a short window and a long interval still runs once a cycle, and
//! destinations do not herd: the phase is a hash.
//!
//! ```text
//!   |     cycle k     |    cycle k+1    |    cycle k+2    |
//!   |----*------------|----*------------|--~~~~~~~*-------|      * slot   ~ window closed
//!     phase             phase             moved into the open part
//! ```

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use netstats_event::{DestinationId, JobId, JobSpec, ProbeKind, Timestamp};

use crate::limits::MAX_PREVIEW_SLOTS;
use crate::model::{Inventory, Job};
use crate::window::Window;

/// One planned run. Slots are ordered by time, then by job, destination and probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot {
    /// When, in whole milliseconds.
    pub at: Timestamp,
    /// Of which job.
    pub job: JobId,
    /// On which destination.
    pub destination: DestinationId,
    /// With which probe.
    pub probe: ProbeKind,
}

/// Slots in a row that had no run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotRun {
    /// The first.
    pub first: Timestamp,
    /// The last; the first, if there is one only.
    pub last: Timestamp,
    /// How many.
    pub count: u64,
}

/// A job's slots, ready to be asked many times.
#[derive(Clone, Debug)]
pub struct Slots {
    job: JobId,
    interval_ms: i64,
    window: Window,
}

/// The probes that a job's metrics ask for, in order, without repeats.
#[must_use]
pub fn probes(spec: &JobSpec) -> Vec<ProbeKind> {
    ProbeKind::ALL.into_iter().filter(|kind| spec.metrics.iter().any(|metric| metric.probe() == *kind)).collect()
}

/// Where in each cycle the slot lies: whole milliseconds below `interval`, the same for the same arguments in every
/// program of ours, for ever. The hash is `SplitMix64`'s output function (Steele, Lea, Flood, OOPSLA 2014), twice, over
/// job and destination, then the probe.
#[must_use]
pub fn phase(job: JobId, destination: DestinationId, probe: ProbeKind, interval: Duration) -> Duration {
    let probe = match probe {
        ProbeKind::Ping => 1,
        ProbeKind::Traceroute => 2,
        ProbeKind::Dns => 3,
        ProbeKind::Bandwidth => 4,
        ProbeKind::Tcp => 5,
        ProbeKind::Http => 6,
    };
    let hash = mix(mix(u64::from(job.0) << 32 | u64::from(destination.0)) ^ probe);
    let interval_ms = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX).max(1);
    Duration::from_millis(hash % interval_ms)
}

const fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

impl Slots {
    /// The slots of a job, whether or not it is enabled: who asks knows.
    #[must_use]
    pub fn of(job: &Job) -> Self {
        let interval_ms = i64::from(job.spec.interval_s.max(1)) * 1_000;
        Self { job: job.id, interval_ms, window: Window::of(&job.spec) }
    }

    /// The job's window.
    #[must_use]
    pub const fn window(&self) -> &Window {
        &self.window
    }

    /// The first slot after `after`; none if the window does not open again.
    #[must_use]
    pub fn next(&self, destination: DestinationId, probe: ProbeKind, after: Timestamp) -> Option<Timestamp> {
        let phase = self.phase_ms(destination, probe);
        let mut cycle = after.as_millis().div_euclid(self.interval_ms);
        // The cycle of `after` may have no slot left, and the one after it none at all: the third try has one.
        for _ in 0..4 {
            match self.in_cycle(cycle, phase) {
                Some(slot) if slot > after => return Some(slot),
                Some(_) => cycle += 1,
                None => {
                    let opens = self.window.next_open(self.start_of(cycle + 1))?;
                    cycle = opens.as_millis().div_euclid(self.interval_ms);
                }
            }
        }
        None
    }

    /// The last slot at or before `at`; none if the window was not open before.
    #[must_use]
    pub fn previous(&self, destination: DestinationId, probe: ProbeKind, at: Timestamp) -> Option<Timestamp> {
        let phase = self.phase_ms(destination, probe);
        let mut cycle = at.as_millis().div_euclid(self.interval_ms);
        for _ in 0..4 {
            match self.in_cycle(cycle, phase) {
                Some(slot) if slot <= at => return Some(slot),
                Some(_) => cycle -= 1,
                None => {
                    let closed = self.window.last_close(self.start_of(cycle))?;
                    cycle = (closed.as_millis() - 1).div_euclid(self.interval_ms);
                }
            }
        }
        None
    }

    /// The slots after `after`, up to and with `until`; none if there are none. Takes no longer for more slots.
    #[must_use]
    pub fn between(
        &self,
        destination: DestinationId,
        probe: ProbeKind,
        after: Timestamp,
        until: Timestamp,
    ) -> Option<SlotRun> {
        let first = self.next(destination, probe, after).filter(|first| *first <= until)?;
        let last = self.previous(destination, probe, until)?;
        let cycle_of = |at: Timestamp| at.as_millis().div_euclid(self.interval_ms);
        let (first_cycle, last_cycle) = (cycle_of(first), cycle_of(last));
        if self.window.is_unbounded() {
            let count = u64::try_from(last_cycle - first_cycle + 1).unwrap_or(0);
            return Some(SlotRun { first, last, count });
        }
        // Cycles that an open part of the window touches, each once.
        let (mut count, mut counted, mut at) = (0, first_cycle - 1, self.start_of(first_cycle));
        let end = self.start_of(last_cycle + 1);
        while let Some(open) = self.window.next_open(at).filter(|open| *open < end) {
            let close = self.window.next_close(open).map_or(end, |close| close.min(end));
            let last_touched = cycle_of(close.minus(Duration::from_millis(1)));
            count += last_touched - cycle_of(open).max(counted + 1) + 1;
            (counted, at) = (last_touched, close);
        }
        Some(SlotRun { first, last, count: u64::try_from(count).unwrap_or(0) })
    }

    fn phase_ms(&self, destination: DestinationId, probe: ProbeKind) -> i64 {
        let interval = Duration::from_millis(self.interval_ms.unsigned_abs());
        i64::try_from(phase(self.job, destination, probe, interval).as_millis()).unwrap_or(0)
    }

    fn start_of(&self, cycle: i64) -> Timestamp {
        Timestamp::from_millis(cycle.saturating_mul(self.interval_ms))
    }

    /// The slot of a cycle; none if it is never open. The window's edges are whole milliseconds.
    fn in_cycle(&self, cycle: i64, phase_ms: i64) -> Option<Timestamp> {
        let start = self.start_of(cycle);
        let slot = Timestamp::from_millis(start.as_millis().saturating_add(phase_ms));
        if self.window.contains(slot) {
            return Some(slot);
        }
        let end = self.start_of(cycle + 1);
        let open = self.window.next_open(start).filter(|open| *open < end)?;
        let close = self.window.next_close(open).map_or(end, |close| close.min(end));
        let length_ms = close.as_millis() - open.as_millis();
        (length_ms > 0).then(|| Timestamp::from_millis(open.as_millis() + phase_ms % length_ms))
    }
}

/// As [`Slots::next`], for one question.
#[must_use]
pub fn next_slot(job: &Job, destination: DestinationId, probe: ProbeKind, after: Timestamp) -> Option<Timestamp> {
    Slots::of(job).next(destination, probe, after)
}

/// The next slots of a job after `after`, over all its members that are not paused and all its probes, in order; at
/// most `limit` and at most [`MAX_PREVIEW_SLOTS`]. Whether the job is enabled does not matter: it shows what would be.
#[must_use]
pub fn preview(inventory: &Inventory, job: &Job, limit: usize, after: Timestamp) -> Vec<Slot> {
    let (slots, probes) = (Slots::of(job), probes(&job.spec));
    let mut next = BinaryHeap::new();
    for destination in inventory.members(job) {
        if inventory.destinations.get(&destination).is_none_or(|destination| destination.spec.paused) {
            continue;
        }
        for &probe in &probes {
            let at = slots.next(destination, probe, after);
            next.extend(at.map(|at| Reverse(Slot { at, job: job.id, destination, probe })));
        }
    }
    let mut preview = Vec::new();
    while preview.len() < limit.min(MAX_PREVIEW_SLOTS) {
        let Some(Reverse(slot)) = next.pop() else { break };
        preview.push(slot);
        let at = slots.next(slot.destination, slot.probe, slot.at);
        next.extend(at.map(|at| Reverse(Slot { at, ..slot })));
    }
    preview
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use netstats_event::{Meta, Metric, Position, WeeklyHours, WeeklySpan};
    use proptest::prelude::*;

    use super::*;
    use crate::model::Destination;

    const MINUTE: Duration = Duration::from_secs(60);
    const DAY_S: u32 = 86_400;

    fn job(id: u32, spec: JobSpec) -> Job {
        let at = Timestamp::default();
        Job {
            id: JobId(id),
            spec,
            created_at: at,
            updated_at: at,
            added: Position(1),
            changed: Position(1),
            enabled_since: Some(at),
            enabled_changed: Position(1),
            enabled_changed_at: at,
            enabled_by: Meta::by("api:local"),
        }
    }

    fn every(interval_s: u32) -> JobSpec {
        JobSpec { enabled: true, interval_s, metrics: vec![Metric::Ping], ..JobSpec::default() }
    }

    fn hours(interval_s: u32, spans: &[(u8, u16, u16)]) -> JobSpec {
        let spans =
            spans.iter().map(|&(weekday, from_minute, to_minute)| WeeklySpan { weekday, from_minute, to_minute });
        let hours = WeeklyHours { time_zone: "Europe/Berlin".to_owned(), spans: spans.collect() };
        JobSpec { active_hours: Some(hours), ..every(interval_s) }
    }

    fn some_slots(slots: &Slots, destination: u32, from: Timestamp, count: usize) -> Vec<Timestamp> {
        let next = |at: &Timestamp| slots.next(DestinationId(destination), ProbeKind::Ping, *at);
        std::iter::successors(next(&from), next).take(count).collect()
    }

    // These numbers are a promise: a change moves every slot of every installation. `mix(0)` is the published first
    // output of SplitMix64 for the seed 0; the others were computed by a second implementation.
    #[test]
    fn phases_are_the_same_for_ever() {
        assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf);
        let phases = |interval: Duration| {
            [(1, 1, ProbeKind::Ping), (1, 2, ProbeKind::Ping), (2, 1, ProbeKind::Ping), (1, 1, ProbeKind::Http)]
                .map(|(j, d, probe)| phase(JobId(j), DestinationId(d), probe, interval).as_millis())
        };
        assert_eq!(phases(MINUTE), [42_654, 23_687, 2_643, 38_938]);
        assert_eq!(phases(Duration::from_secs(300)), [222_654, 23_687, 62_643, 158_938]);
    }

    #[test]
    fn destinations_do_not_herd() {
        let mut seconds = [0_u32; 60];
        for destination in 1..=6_000 {
            let phase = phase(JobId(1), DestinationId(destination), ProbeKind::Ping, MINUTE);
            assert!(phase < MINUTE);
            seconds[usize::try_from(phase.as_secs()).unwrap()] += 1;
        }
        // 100 are expected in each; chi-square with 59 degrees of freedom is below 98 in 99.9 % of honest draws.
        let chi_square: f64 = seconds.iter().map(|n| (f64::from(*n) - 100.0).powi(2) / 100.0).sum();
        assert!(chi_square < 98.0, "{chi_square}: {seconds:?}");
    }

    #[test]
    fn slots_are_an_interval_apart_wherever_one_starts_to_look() {
        let slots = Slots::of(&job(1, every(60)));
        let from = Timestamp::from_millis(1_767_225_600_123);
        let all = some_slots(&slots, 7, from, 100);
        assert!(all.windows(2).all(|pair| pair[1].since(pair[0]) == MINUTE));
        assert!(all[0] > from && all[0].since(from) <= MINUTE);
        assert_eq!(some_slots(&slots, 7, all[49], 50), all[50..], "a slot is after its own time, never at it");
        assert_eq!(some_slots(&slots, 7, all[49].minus(Duration::from_nanos(1)), 1), all[49..50]);
        assert_eq!(
            all[0].as_millis() % 60_000,
            i64::try_from(phase(JobId(1), DestinationId(7), ProbeKind::Ping, MINUTE).as_millis()).unwrap()
        );
    }

    #[test]
    fn times_before_1970_have_slots_too() {
        let slots = Slots::of(&job(1, every(60)));
        let all = some_slots(&slots, 7, Timestamp::from_secs(-100), 4);
        assert!(all.windows(2).all(|pair| pair[1].since(pair[0]) == MINUTE));
    }

    #[test]
    fn the_ends_of_time_do_not_panic() {
        for spec in [every(1), every(7 * DAY_S), hours(60, &[(0, 480, 1_080)])] {
            let slots = Slots::of(&job(1, spec));
            for at in [i64::MIN, i64::MIN + 1, 0, i64::MAX - 1, i64::MAX].map(Timestamp::from_nanos) {
                let _ = slots.next(DestinationId(1), ProbeKind::Ping, at);
                let _ = slots.previous(DestinationId(1), ProbeKind::Ping, at);
            }
        }
    }

    #[test]
    fn a_long_interval_with_a_short_window_still_runs_once_a_cycle() {
        let from = Timestamp::from_secs(1_767_225_600);
        // Mondays, 08:00 to 08:30, each half hour, day and week: one slot a week, whatever the destination's phase.
        for interval_s in [1_800, DAY_S, 7 * DAY_S] {
            let slots = Slots::of(&job(3, hours(interval_s, &[(0, 480, 510)])));
            for destination in 1..50 {
                let all = some_slots(&slots, destination, from, 10);
                assert_eq!(all.len(), 10);
                assert!(all.iter().all(|at| slots.window().contains(*at)));
                for pair in all.windows(2) {
                    let days = (pair[1].since(pair[0]).as_secs() + 43_200) / 86_400;
                    assert_eq!(days, 7, "{interval_s} s, destination {destination}: {all:?}");
                }
            }
        }
    }

    #[test]
    fn no_slot_is_at_or_past_the_end() {
        let end = Timestamp::from_secs(1_767_225_600);
        let slots = Slots::of(&job(1, JobSpec { end_time: Some(end), ..every(60) }));
        let last = slots.previous(DestinationId(1), ProbeKind::Ping, end.plus(MINUTE * 100)).unwrap();
        assert!(last < end);
        assert_eq!(slots.next(DestinationId(1), ProbeKind::Ping, last), None);
        let run =
            slots.between(DestinationId(1), ProbeKind::Ping, last.minus(MINUTE * 2), end.plus(MINUTE * 9)).unwrap();
        assert_eq!((run.last, run.count), (last, 2));
    }

    #[test]
    fn a_year_of_missed_slots_is_counted_at_once() {
        let from = Timestamp::from_secs(1_767_225_600);
        let year = Duration::from_secs(365 * 86_400);
        let slots = Slots::of(&job(1, every(1)));
        let run = slots.between(DestinationId(1), ProbeKind::Ping, from, from.plus(year)).unwrap();
        assert_eq!(run.count, 365 * 86_400);
        let slots = Slots::of(&job(1, hours(1, &[(0, 480, 1_080), (1, 480, 1_080)])));
        let run = slots.between(DestinationId(1), ProbeKind::Ping, from, from.plus(year)).unwrap();
        assert_eq!(run.count, 52 * 2 * 36_000);
    }

    #[test]
    fn a_preview_is_in_order_and_leaves_paused_destinations_out() {
        let mut inventory = Inventory::default();
        for id in 1..=3 {
            let spec = netstats_event::DestinationSpec {
                name: format!("d{id}"),
                tags: vec!["t".to_owned()],
                paused: id == 2,
                ..Default::default()
            };
            let at = Timestamp::default();
            let destination = Destination {
                id: DestinationId(id),
                spec,
                created_at: at,
                updated_at: at,
                added: Position(1),
                changed: Position(1),
            };
            inventory.destinations.insert(DestinationId(id), Arc::new(destination));
        }
        let spec = JobSpec {
            destination_tags: vec!["t".to_owned()],
            metrics: vec![Metric::Jitter, Metric::Ping, Metric::Dns],
            ..every(60)
        };
        let job = job(1, spec);
        let from = Timestamp::from_secs(1_767_225_600);
        let slots = preview(&inventory, &job, 8, from);
        assert_eq!(slots.len(), 8);
        assert!(slots.is_sorted());
        let whom: std::collections::BTreeSet<_> =
            slots[..4].iter().map(|slot| (slot.destination.0, slot.probe)).collect();
        assert_eq!(whom.len(), 4, "each of two destinations and two probes once before any comes again");
        assert!(slots.iter().all(|slot| slot.destination != DestinationId(2)));
        assert_eq!(preview(&inventory, &job, usize::MAX, from).len(), MAX_PREVIEW_SLOTS);
    }

    fn specs() -> impl Strategy<Value = JobSpec> {
        let intervals = prop::sample::select(vec![1_800_u32, 3_600, 7_777, DAY_S, 3 * DAY_S, 7 * DAY_S]);
        let spans = prop::collection::vec((0..7_u8, 0..1_440_u16, 1..=1_440_u16), 0..5);
        let ends = (prop::option::of(-20..0_i64), prop::option::of(1..40_i64));
        (intervals, spans, ends).prop_map(|(interval_s, spans, (start, end))| {
            let mut spec = if spans.is_empty() { every(interval_s) } else { hours(interval_s, &spans) };
            spec.start_time = start.map(|days| Timestamp::from_secs(1_774_000_000 + days * 80_000));
            spec.end_time = end.map(|days| Timestamp::from_secs(1_774_000_000 + days * 80_000));
            spec
        })
    }

    proptest! {
        #[test]
        fn each_open_cycle_has_one_slot_and_all_questions_agree(spec in specs(), destination in 1..20_u32, minutes in 0..20_000_i64) {
            let slots = Slots::of(&job(1, spec.clone()));
            let id = DestinationId(destination);
            let from = Timestamp::from_secs(1_774_000_000 + 60 * minutes);
            let all = some_slots(&slots, destination, from, 40);
            let cycle = |at: Timestamp| at.as_secs().div_euclid(i64::from(spec.interval_s));
            for at in &all {
                prop_assert!(slots.window().contains(*at));
            }
            for pair in all.windows(2) {
                prop_assert!(cycle(pair[0]) < cycle(pair[1]));
                prop_assert_eq!(slots.previous(id, ProbeKind::Ping, pair[1].minus(Duration::from_nanos(1))), Some(pair[0]));
                // No open cycle is passed over.
                for k in cycle(pair[0]) + 1..cycle(pair[1]) {
                    let start = Timestamp::from_secs(k * i64::from(spec.interval_s));
                    let open = slots.window().next_open(start);
                    prop_assert!(open.is_none_or(|open| cycle(open) > k));
                }
            }
            if let (Some(first), Some(last)) = (all.first(), all.last()) {
                let run = slots.between(id, ProbeKind::Ping, from, *last);
                prop_assert_eq!(run, Some(SlotRun { first: *first, last: *last, count: all.len() as u64 }));
                prop_assert_eq!(slots.previous(id, ProbeKind::Ping, *last), Some(*last));
            }
        }
    }
}
