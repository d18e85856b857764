//! The wall clock as the monotonic clock carries it forward: between two looks it cannot be stepped.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use netstats_event::Timestamp;

use crate::limits::{CLOCK_STEP, HOST_SLEEP};
use crate::platform;

/// What happened to time since the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Jump {
    /// The host slept this long.
    pub(crate) slept: Option<Duration>,
    /// The wall clock was stepped by this many nanoseconds.
    pub(crate) stepped_ns: Option<i64>,
}

/// One reading of the three clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    pub(crate) monotonic: Instant,
    pub(crate) wall: Timestamp,
    pub(crate) asleep: Option<Duration>,
}

impl Reading {
    /// Wall and monotonic clock of one moment: a reading that was interrupted in between is repeated.
    #[expect(clippy::disallowed_methods, reason = "the collector's loop reads the clocks here")]
    pub(crate) fn now() -> Self {
        let mut best: Option<(Duration, Instant, SystemTime)> = None;
        for _ in 0..3 {
            let before = Instant::now();
            let wall = SystemTime::now();
            let bracket = before.elapsed();
            if best.is_none_or(|(shortest, ..)| bracket < shortest) {
                best = Some((bracket, before + bracket / 2, wall));
            }
            if bracket < Duration::from_micros(50) {
                break;
            }
        }
        let (_, monotonic, wall) = best.expect("read at least once");
        let nanos = match wall.duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |nanos| -nanos),
        };
        Self { monotonic, wall: Timestamp::from_nanos(nanos), asleep: platform::asleep() }
    }
}

/// The anchor of wall time on the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    anchor: Reading,
    /// The monotonic clock goes on while the host sleeps.
    counts_sleep: bool,
}

impl Clock {
    pub(crate) const fn new(reading: Reading) -> Self {
        Self { anchor: reading, counts_sleep: platform::COUNTS_SLEEP }
    }

    /// The wall time of a monotonic moment.
    pub(crate) fn wall(&self, at: Instant) -> Timestamp {
        match at.checked_duration_since(self.anchor.monotonic) {
            Some(after) => self.anchor.wall.plus(after),
            None => self.anchor.wall.minus(self.anchor.monotonic.duration_since(at)),
        }
    }

    /// The monotonic moment of a wall time.
    pub(crate) fn instant(&self, at: Timestamp) -> Instant {
        let anchor = self.anchor;
        if at >= anchor.wall {
            anchor.monotonic + at.since(anchor.wall)
        } else {
            anchor.monotonic.checked_sub(anchor.wall.since(at)).unwrap_or(anchor.monotonic)
        }
    }

    /// Compares a new reading with the old anchor and takes it as the new one.
    pub(crate) fn look(&mut self, reading: Reading) -> Jump {
        let drift_ns = reading.wall.as_nanos() - self.wall(reading.monotonic).as_nanos();
        let slept = match (self.anchor.asleep, reading.asleep) {
            (Some(before), Some(now)) => now.saturating_sub(before),
            _ => Duration::ZERO,
        };
        self.anchor = reading;
        let slept = Some(slept).filter(|slept| *slept >= HOST_SLEEP);
        let unseen = slept.filter(|_| !self.counts_sleep);
        let stepped_ns = drift_ns - unseen.map_or(0, |slept| i64::try_from(slept.as_nanos()).unwrap_or(i64::MAX));
        let is_step = stepped_ns.unsigned_abs() > u64::try_from(CLOCK_STEP.as_nanos()).unwrap_or(u64::MAX);
        Jump { slept, stepped_ns: is_step.then_some(stepped_ns) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(from: Reading, monotonic_ms: u64, wall_ms: i64, asleep_ms: u64) -> Reading {
        Reading {
            monotonic: from.monotonic + Duration::from_millis(monotonic_ms),
            wall: Timestamp::from_nanos(from.wall.as_nanos() + wall_ms * 1_000_000),
            asleep: from.asleep.map(|asleep| asleep + Duration::from_millis(asleep_ms)),
        }
    }

    fn start() -> (Clock, Reading) {
        let reading = Reading { asleep: Some(Duration::ZERO), ..Reading::now() };
        (Clock { anchor: reading, counts_sleep: false }, reading)
    }

    #[test]
    fn time_that_passes_is_no_jump() {
        let (mut clock, begin) = start();
        assert_eq!(clock.look(moved(begin, 1_000, 1_010, 0)), Jump::default(), "slewing is not stepping");
        assert_eq!(clock.look(moved(begin, 2_000, 2_050, 0)), Jump::default());
    }

    #[test]
    fn a_step_is_told_from_a_sleep() {
        let (mut clock, begin) = start();
        let stepped = clock.look(moved(begin, 1_000, 3_601_000, 0));
        assert_eq!(stepped, Jump { slept: None, stepped_ns: Some(3_600_000_000_000) });
        let (mut clock, begin) = start();
        let back = clock.look(moved(begin, 1_000, -59_000, 0));
        assert_eq!(back, Jump { slept: None, stepped_ns: Some(-60_000_000_000) });
        let (mut clock, begin) = start();
        let slept = clock.look(moved(begin, 1_000, 3_601_000, 3_600_000));
        assert_eq!(slept, Jump { slept: Some(Duration::from_secs(3_600)), stepped_ns: None });
    }

    #[test]
    fn a_sleep_is_no_step_where_the_monotonic_clock_counts_it() {
        let (clock, begin) = start();
        let mut clock = Clock { counts_sleep: true, ..clock };
        let slept = clock.look(moved(begin, 3_601_000, 3_601_000, 3_600_000));
        assert_eq!(slept, Jump { slept: Some(Duration::from_secs(3_600)), stepped_ns: None });
    }

    #[test]
    fn wall_and_monotonic_convert_both_ways() {
        let (clock, begin) = start();
        for offset in [Duration::ZERO, Duration::from_secs(5)] {
            let at = begin.monotonic + offset;
            assert_eq!(clock.instant(clock.wall(at)), at);
        }
    }
}
