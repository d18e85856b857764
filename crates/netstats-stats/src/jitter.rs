//! The four things called jitter. `docs/METRICS.md` says which one is shown where.

use crate::summary::{BLOCK, LANES, count, sum};

/// Inter-packet delay variation (RFC 3393, RFC 5481 section 4.1): each delay minus the one before. A lost packet
/// breaks the pair: nothing is compared across a gap.
pub fn ipdv(delays: impl IntoIterator<Item = Option<f64>>) -> impl Iterator<Item = f64> {
    let mut before: Option<f64> = None;
    delays.into_iter().filter_map(move |delay| {
        let before = std::mem::replace(&mut before, delay);
        Some(delay? - before?)
    })
}

/// Mean |IPDV|: the headline jitter. None where no two neighbours came back, or where a pair is not finite.
///
/// Each delay costs a subtraction and no branch, and the sums go on side by side: they do not wait for each other.
#[must_use]
pub fn mean_abs_ipdv(delays: impl IntoIterator<Item = Option<f64>>) -> Option<f64> {
    let mut delays = delays.into_iter();
    let (mut before, mut pairs, mut is_over) = (None::<f64>, 0, false);
    let blocks = std::iter::from_fn(|| {
        if is_over {
            return None;
        }
        let mut totals = [0.0_f64; LANES];
        'block: for _ in 0..BLOCK / LANES {
            for total in &mut totals {
                let Some(delay) = delays.next() else {
                    is_over = true;
                    break 'block;
                };
                let is_pair = delay.is_some() & before.is_some();
                let distance = (delay.unwrap_or(0.0) - before.unwrap_or(0.0)).abs();
                *total += if is_pair { distance } else { 0.0 };
                pairs += usize::from(is_pair);
                before = delay;
            }
        }
        Some(totals.iter().sum())
    });
    let total = sum(blocks);
    (pairs > 0 && total.is_finite()).then(|| total / count(pairs))
}

/// Packet delay variation (RFC 5481 section 4.2): each delay minus the smallest, in ascending order. Its percentiles
/// size a play-out buffer. None if a value is not finite.
#[must_use]
pub fn pdv(delays: &[f64]) -> Option<Vec<f64>> {
    let mut sorted = crate::sorted(delays)?;
    let least = sorted.first().copied().unwrap_or(0.0);
    sorted.iter_mut().for_each(|delay| *delay -= least);
    Some(sorted)
}

/// The smoothed jitter of RFC 3550 section 6.4.1: `J += (|D| - J) / 16`, over packets in the order in which they came,
/// lost ones left out as there. The RFC means one-way transit times; of round trips it is an estimate.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SmoothedJitter {
    before: Option<f64>,
    jitter: f64,
}

impl SmoothedJitter {
    /// Takes the next delay.
    pub fn add(&mut self, delay: f64) {
        if let Some(before) = self.before.replace(delay) {
            self.jitter += ((delay - before).abs() - self.jitter) / 16.0;
        }
    }

    /// The jitter now, in the unit of the delays; none before the second.
    #[must_use]
    pub fn value(&self) -> Option<f64> {
        self.before.map(|_| self.jitter)
    }
}

/// The integer form of RFC 3550 appendix A.8, which keeps 16 times the jitter. Reading it without `>> 4` shows 16
/// times too much, as some tools do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IntegerJitter {
    transit: Option<u32>,
    scaled: u32,
}

impl IntegerJitter {
    /// Takes the next transit time, in any unit.
    pub fn add(&mut self, transit: u32) {
        if let Some(before) = self.transit.replace(transit) {
            let d = transit.abs_diff(before);
            self.scaled = self.scaled.saturating_sub(self.scaled.saturating_add(8) >> 4).saturating_add(d);
        }
    }

    /// The jitter now, in the unit of the transit times.
    #[must_use]
    pub const fn value(&self) -> u32 {
        self.scaled >> 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_packet_breaks_the_pair() {
        let delays = [Some(1.0), None, Some(5.0), Some(6.0), None, Some(9.0)];
        assert_eq!(ipdv(delays).collect::<Vec<_>>(), [1.0]);
        assert_eq!(mean_abs_ipdv([Some(1.0), None, Some(2.0)]), None);
        assert_eq!(mean_abs_ipdv([None, None]), None);
        assert_eq!(mean_abs_ipdv([]), None);
    }

    #[test]
    fn what_is_not_finite_is_no_loss() {
        for odd in [f64::NAN, f64::INFINITY] {
            assert_eq!(mean_abs_ipdv([Some(1.0), Some(2.0), Some(odd), Some(odd)]), None);
        }
    }

    #[test]
    fn blocks_are_paired_across_their_edges() {
        for n in [BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 2 * BLOCK + 1] {
            let rising = (0..n).map(|i| Some((i * i) as f64));
            assert_eq!(mean_abs_ipdv(rising), Some((n - 1) as f64), "{n}: (n-1)^2 over n - 1 pairs");
            let gap = (0..n).map(|i| (i != BLOCK - 1).then_some(i as f64));
            assert_eq!(mean_abs_ipdv(gap), Some(1.0), "{n}");
        }
    }

    #[test]
    fn constant_jitter_reads_as_itself() {
        // Transit times 0, d, 0, d, ... differ by d each time: RFC jitter goes to d; not to 16 d, not to 8 d.
        for d in [200_u32, 1_000, 10_000] {
            let (mut smoothed, mut integer) = (SmoothedJitter::default(), IntegerJitter::default());
            for i in 0..400 {
                let transit = 50_000 + (i % 2) * d;
                smoothed.add(f64::from(transit));
                integer.add(transit);
            }
            assert!((smoothed.value().unwrap() - f64::from(d)).abs() < 1e-3 * f64::from(d));
            assert!(integer.value().abs_diff(d) <= 1, "{} for {d}", integer.value());
        }
    }

    #[test]
    fn the_smoothed_jitter_follows_the_recurrence() {
        let mut jitter = SmoothedJitter::default();
        assert_eq!(jitter.value(), None);
        [10.0, 26.0, 10.0].into_iter().for_each(|delay| jitter.add(delay));
        assert_eq!(jitter.value(), Some(1.0 + (16.0 - 1.0) / 16.0));
    }

    #[test]
    fn pdv_is_measured_from_the_smallest() {
        assert_eq!(pdv(&[12.0, 10.0, 15.0]).unwrap(), [0.0, 2.0, 5.0]);
        assert_eq!(pdv(&[]).unwrap(), Vec::<f64>::new());
        assert_eq!(pdv(&[f64::NAN]), None);
    }
}
