//! Lost packets: how many, how sure, in which pattern.

use crate::mean::{Interval, normal_quantile};

/// A count of packets and of those that were lost. Adds up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Packets that left.
    pub sent: u64,
    /// Of these, the lost.
    pub lost: u64,
}

impl Loss {
    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self { sent: self.sent + other.sent, lost: self.lost + other.lost }
    }

    /// Lost share, 0 to 1; none if nothing was sent.
    #[must_use]
    pub fn ratio(self) -> Option<f64> {
        (self.sent > 0).then(|| exact(self.lost) / exact(self.sent))
    }

    /// Wilson score interval of the lost share (Wilson 1927) at `confidence`, as 0.95: what the count says of the path.
    /// One of 20 lost is 5 %, and says 0.9 % to 24 %.
    #[must_use]
    pub fn interval(self, confidence: f64) -> Option<Interval> {
        let p = self.ratio()?;
        let z = normal_quantile(0.5 + confidence / 2.0)?;
        let n = exact(self.sent);
        let scale = 1.0 + z * z / n;
        let centre = (p + z * z / (2.0 * n)) / scale;
        let half = z / scale * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
        // At the ends the formula gives 0 and 1 but for rounding.
        let low = if self.lost == 0 { 0.0 } else { (centre - half).max(0.0) };
        let high = if self.lost == self.sent { 1.0 } else { (centre + half).min(1.0) };
        Some(Interval { low, high, confidence })
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
const fn exact(n: u64) -> f64 {
    n as f64
}

/// A run of packets lost one after another (RFC 3357 loss period).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LossPeriod {
    /// Number of the first lost packet, from 0.
    pub first: usize,
    /// How many were lost.
    pub length: usize,
}

/// The pattern of loss (RFC 3357).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LossPattern {
    /// Runs of lost packets, in order.
    pub periods: Vec<LossPeriod>,
    /// From each lost packet to the lost one before it, in packets (1: neighbours); the first has none.
    pub distances: Vec<usize>,
}

impl LossPattern {
    /// The pattern of a stream: true is lost.
    #[must_use]
    pub fn of(stream: impl IntoIterator<Item = bool>) -> Self {
        let mut pattern = Self::default();
        let mut before: Option<usize> = None;
        for (i, _) in stream.into_iter().enumerate().filter(|(_, lost)| *lost) {
            match pattern.periods.last_mut() {
                Some(period) if period.first + period.length == i => period.length += 1,
                _ => pattern.periods.push(LossPeriod { first: i, length: 1 }),
            }
            if let Some(before) = before.replace(i) {
                pattern.distances.push(i - before);
            }
        }
        pattern
    }

    /// The longest run; 0 without loss.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.periods.iter().map(|period| period.length).max().unwrap_or(0)
    }

    /// Share of the losses whose distance is `delta` or less (RFC 3357 loss noticeable rate); none without loss.
    #[must_use]
    pub fn noticeable_rate(&self, delta: usize) -> Option<f64> {
        let lost: usize = self.periods.iter().map(|period| period.length).sum();
        let noticed = self.distances.iter().filter(|distance| **distance <= delta).count();
        (lost > 0).then(|| crate::summary::count(noticed) / crate::summary::count(lost))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_twenty_is_five_percent_and_says_little() {
        let loss = Loss { sent: 20, lost: 1 };
        let interval = loss.interval(0.95).unwrap();
        assert_eq!(loss.ratio(), Some(0.05));
        assert!((interval.low - 0.009).abs() < 0.001 && (interval.high - 0.24).abs() < 0.01, "{interval:?}");
    }

    #[test]
    fn nothing_sent_is_no_loss_ratio() {
        assert_eq!(Loss::default().ratio(), None);
        assert_eq!(Loss::default().interval(0.95), None);
        assert_eq!(Loss { sent: 5, lost: 0 }.interval(0.95).unwrap().low, 0.0);
        assert_eq!(Loss { sent: 5, lost: 5 }.interval(0.95).unwrap().high, 1.0);
    }

    #[test]
    fn the_pattern_of_the_rfc_example() {
        // RFC 3357 section 5.4: packets 1..10 with 0-delays lost at 3, 4, 6 (numbers from 0: 2, 3, 5).
        let pattern = LossPattern::of([false, false, true, true, false, true, false, false, false, true]);
        assert_eq!(
            pattern.periods,
            [
                LossPeriod { first: 2, length: 2 },
                LossPeriod { first: 5, length: 1 },
                LossPeriod { first: 9, length: 1 }
            ]
        );
        assert_eq!(pattern.distances, [1, 2, 4]);
        assert_eq!(pattern.longest(), 2);
        assert_eq!(pattern.noticeable_rate(2), Some(0.5));
        assert_eq!(LossPattern::of([false; 4]).longest(), 0);
        assert_eq!(LossPattern::of([false; 4]).noticeable_rate(1), None);
    }
}
