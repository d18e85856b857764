//! Bytes by tenth of a second.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use netstats_event::Throughput;

use crate::clock::now;
use crate::limits::MAX_BINS;

const BIN: Duration = Duration::from_millis(100);
/// Bins of the start-up, which the result leaves out.
const START_UP: usize = 10;

/// What all streams of one way have moved, in bins of 100 ms from the first byte on.
#[derive(Debug)]
pub(super) struct Meter {
    begin: OnceLock<Instant>,
    bins: Vec<AtomicU64>,
    total: AtomicU64,
    max_bytes: u64,
}

impl Meter {
    /// For at most so many bytes.
    pub(super) fn new(max_bytes: u64) -> Self {
        let bins = (0..MAX_BINS).map(|_| AtomicU64::new(0)).collect();
        Self { begin: OnceLock::new(), bins, total: AtomicU64::new(0), max_bytes }
    }

    /// So many more; false if that was the last.
    pub(super) fn add(&self, bytes: usize) -> bool {
        let begin = *self.begin.get_or_init(now);
        self.spread(begin.elapsed(), bytes as u64)
    }

    fn spread(&self, at: Duration, bytes: u64) -> bool {
        if let Some(bin) = self.bins.get(usize::try_from(at.as_millis() / BIN.as_millis()).unwrap_or(usize::MAX)) {
            bin.fetch_add(bytes, Ordering::Relaxed);
        }
        self.total.fetch_add(bytes, Ordering::Relaxed) + bytes < self.max_bytes
    }

    /// The other end says that it had so many in all by that time.
    pub(super) fn reported(&self, at: Duration, total: u64) {
        self.begin.get_or_init(now);
        let more = total.saturating_sub(self.total());
        self.spread(at.saturating_sub(Duration::from_millis(1)), more);
    }

    pub(super) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    pub(super) fn is_spent(&self) -> bool {
        self.total() >= self.max_bytes
    }

    /// Whole bins up to now.
    pub(super) fn whole_bins(&self) -> Vec<u32> {
        let elapsed = self.begin.get().map_or(Duration::ZERO, Instant::elapsed);
        let whole = usize::try_from(elapsed.as_millis() / BIN.as_millis()).unwrap_or(usize::MAX);
        let value = |bin: &AtomicU64| u32::try_from(bin.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
        self.bins.iter().take(whole).map(value).collect()
    }
}

/// Goodput out of bins; none if there is not one whole bin. The start-up is left out, or half, if it was all.
pub(super) fn throughput(mut bins: Vec<u32>, seconds: Duration, retransmits: Option<u32>) -> Option<Throughput> {
    // What still trickles in when the sender has stopped is the emptying of buffers, not the rate.
    bins.truncate(usize::try_from(seconds.as_millis() / BIN.as_millis()).unwrap_or(usize::MAX));
    let skipped = u16::try_from(START_UP.min(bins.len() / 2)).unwrap_or(0);
    (!bins.is_empty()).then_some(Throughput { bytes_per_100ms: bins, skipped, retransmits })
}

/// The sender's bins without what the receiver says it never had: that lies in buffers, which fill at the start.
pub(super) fn without_buffered(mut bins: Vec<u32>, sent: u64, received: u64) -> Vec<u32> {
    let mut buffered = sent.saturating_sub(received);
    for bin in &mut bins {
        let less = u32::try_from(buffered.min(u64::from(*bin))).unwrap_or(*bin);
        *bin -= less;
        buffered -= u64::from(less);
    }
    bins
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_fall_into_their_tenth_and_a_budget_ends_them() {
        let meter = Meter::new(1_000);
        assert!(meter.spread(Duration::from_millis(99), 400));
        assert!(meter.spread(Duration::from_millis(100), 500));
        assert!(!meter.is_spent());
        assert!(!meter.spread(Duration::from_secs(100_000), 100), "past the last bin only the total counts");
        assert!(meter.is_spent());
        assert_eq!(meter.bins[..3].iter().map(|bin| bin.load(Ordering::Relaxed)).collect::<Vec<_>>(), [400, 500, 0]);
        assert!(meter.whole_bins().is_empty(), "nothing has begun");
    }

    #[test]
    fn the_start_up_is_left_out_and_never_all() {
        let of = |bins: usize| throughput(vec![1; bins], Duration::from_secs(8), None).map(|found| found.skipped);
        assert_eq!((of(0), of(1), of(6), of(80)), (None, Some(0), Some(3), Some(10)));
        let long = throughput(vec![1; 95], Duration::from_secs(8), None).unwrap();
        assert_eq!(long.bytes_per_100ms.len(), 80);
        assert_eq!(without_buffered(vec![100, 50, 50], 200, 80), [0, 30, 50]);
        assert_eq!(without_buffered(vec![100, 50], 0, 75), [100, 50]);
    }
}
