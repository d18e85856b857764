//! Our own bandwidth tests: when they ran, and what they have moved today.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use netstats_event::{BandwidthMeasured, JobId, Throughput, Timestamp};

use crate::limits::LOADS_KEPT;

const DAY_MS: i64 = 24 * 3_600 * 1_000;

/// Spans of own load, and bytes by job and UTC day.
#[derive(Debug, Default)]
pub(crate) struct OwnLoad {
    running: Option<Instant>,
    past: VecDeque<(Instant, Instant)>,
    spent: BTreeMap<JobId, (i64, u64)>,
}

impl OwnLoad {
    /// A test begins.
    pub(crate) fn begin(&mut self, at: Instant) {
        self.running = Some(at);
    }

    /// It has ended.
    pub(crate) fn end(&mut self, at: Instant) {
        if let Some(began) = self.running.take() {
            self.past.push_back((began, at));
            if self.past.len() > LOADS_KEPT {
                self.past.pop_front();
            }
        }
    }

    /// True if a test ran at any moment of this span.
    pub(crate) fn overlaps(&self, begin: Instant, end: Instant) -> bool {
        self.running.is_some_and(|began| began <= end)
            || self.past.iter().any(|(began, ended)| *began <= end && *ended >= begin)
    }

    /// Counts what a run has moved.
    pub(crate) fn moved(&mut self, job: JobId, at: Timestamp, run: &BandwidthMeasured) {
        let sum = |way: &Option<Throughput>| {
            way.iter().flat_map(|way| &way.bytes_per_100ms).map(|bytes| u64::from(*bytes)).sum::<u64>()
        };
        let day = at.as_millis().div_euclid(DAY_MS);
        let entry = self.spent.entry(job).or_insert((day, 0));
        if entry.0 < day {
            *entry = (day, 0);
        }
        if entry.0 == day {
            entry.1 = entry.1.saturating_add(sum(&run.down)).saturating_add(sum(&run.up));
        }
    }

    /// True if a run of `run_bytes` may still be made on that day. 0 bytes a day: no limit.
    pub(crate) fn allows(&self, job: JobId, at: Timestamp, run_bytes: u64, day_bytes: u64) -> bool {
        let day = at.as_millis().div_euclid(DAY_MS);
        let spent = self.spent.get(&job).filter(|(of, _)| *of == day).map_or(0, |(_, bytes)| *bytes);
        // The first run of a day is made whatever it may cost: it is bounded by its own budget.
        day_bytes == 0 || spent == 0 || spent.saturating_add(run_bytes) <= day_bytes
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use netstats_probe::Outcome;

    use super::*;

    fn run(bytes: u32) -> BandwidthMeasured {
        let down = Throughput { bytes_per_100ms: vec![bytes; 10], skipped: 0, retransmits: None };
        BandwidthMeasured {
            head: Outcome::BLANK,
            address: [192, 0, 2, 1].into(),
            engine: "responder".into(),
            down: Some(down),
            up: None,
            idle_rtt: None,
            loaded_rtt_p95: None,
            is_cpu_bound: false,
            cpu_permille: 0,
            failure: None,
        }
    }

    #[test]
    fn what_overlaps_a_test_is_under_load() {
        let start = crate::clock::Reading::now().monotonic;
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut load = OwnLoad::default();
        assert!(!load.overlaps(at(0), at(100)));
        load.begin(at(10));
        assert!(load.overlaps(at(5), at(12)));
        assert!(!load.overlaps(at(5), at(9)), "it had ended before");
        load.end(at(20));
        assert!(load.overlaps(at(19), at(25)));
        assert!(!load.overlaps(at(21), at(25)));
        for _ in 0..2 * LOADS_KEPT {
            load.begin(at(30));
            load.end(at(31));
        }
        assert!(!load.overlaps(at(19), at(25)), "long past and forgotten");
    }

    #[test]
    fn a_days_bytes_are_spent_until_the_next_day() {
        let mut load = OwnLoad::default();
        let noon = Timestamp::from_secs(20_000 * 86_400 + 43_200);
        let job = JobId(1);
        assert!(load.allows(job, noon, 5_000, 1_000), "the first one");
        load.moved(job, noon, &run(60));
        assert!(load.allows(job, noon, 400, 1_000) && !load.allows(job, noon, 401, 1_000));
        assert!(load.allows(job, noon, 401, 0), "no limit");
        assert!(load.allows(JobId(2), noon, 5_000, 1_000), "another job's budget is its own");
        let tomorrow = noon.plus(Duration::from_secs(86_400));
        assert!(load.allows(job, tomorrow, 5_000, 1_000));
        load.moved(job, tomorrow, &run(1));
        load.moved(job, noon, &run(1_000));
        assert!(load.allows(job, tomorrow, 990, 1_000), "yesterday's late word does not count today");
    }
}
