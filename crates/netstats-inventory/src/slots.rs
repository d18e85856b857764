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
