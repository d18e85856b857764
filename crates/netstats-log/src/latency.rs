//! How long appends take, counted in steps: cheap to keep, and a scraper can make any percentile of any time from it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper edges of the steps, in microseconds: from a memory log's to a disk that is in trouble.
const STEPS_US: [u64; 12] =
    [250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000];

/// What [`crate::Journal::append_latency`] gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendLatency {
    /// Up to and with each duration, the batches that took no longer, ascending.
    pub steps: Vec<(Duration, u64)>,
    /// All batches that became durable.
    pub batches: u64,
    /// What they took together, from the submission to durable.
    pub total: Duration,
}

/// Counts, without a lock.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// One more than the steps: the last counts what took longer than all.
    counts: [AtomicU64; STEPS_US.len() + 1],
    total_us: AtomicU64,
}

impl Meter {
    pub(crate) fn note(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.counts[STEPS_US.partition_point(|edge| *edge < us)].fetch_add(1, Ordering::Relaxed);
        self.total_us.fetch_add(us, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> AppendLatency {
        let mut batches = 0;
        let mut sums = self.counts.iter().map(|count| {
            batches += count.load(Ordering::Relaxed);
            batches
        });
        let steps = STEPS_US.iter().zip(sums.by_ref()).map(|(edge, sum)| (Duration::from_micros(*edge), sum)).collect();
        let batches = sums.next().unwrap_or_default();
        AppendLatency { steps, batches, total: Duration::from_micros(self.total_us.load(Ordering::Relaxed)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_batch_is_in_the_steps_at_and_above_it() {
        let meter = Meter::default();
        for us in [0, 250, 251, 9_000, 6_000_000] {
            meter.note(Duration::from_micros(us));
        }
        let read = meter.read();
        let at = |us| read.steps.iter().find(|(edge, _)| *edge == Duration::from_micros(us)).unwrap().1;
        assert_eq!((at(250), at(500), at(5_000), at(10_000), at(5_000_000)), (2, 3, 3, 4, 4));
        assert_eq!((read.batches, read.total), (5, Duration::from_micros(6_009_501)));
        assert!(read.steps.is_sorted());
    }
}
