//! Are two sets of values different, which way, and by how much?

use std::collections::BTreeMap;

use crate::mean::{Interval, normal_quantile, two_sided};
use crate::summary::{count, index, sorted};

/// The answer for two sets, `a` and `b`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// Mann-Whitney U of `a`: pairs in which `a` is larger, ties half.
    pub u: f64,
    /// Two-sided p-value: normal approximation, corrected for ties and continuity. From about 8 values each.
    pub p: f64,
    /// How often a value of `b` is larger than one of `a`, ties half: 0.5 is no difference.
    pub probability_larger: f64,
    /// Rank-biserial effect size (Cliff's delta), -1 to 1: positive where `b` is larger. Below 0.147 negligible, 0.33
    /// small, 0.474 medium (Romano et al. 2006).
    pub effect: f64,
    /// Hodges-Lehmann shift: the median of all differences `b - a`, in the values' unit.
    pub shift: f64,
    /// Its confidence interval (Moses); none where there are too few values for it.
    pub shift_interval: Option<Interval>,
}

/// Compares two sets with the rank test of Mann and Whitney (1947) and the shift of Hodges and Lehmann (1963). Cost
/// grows with the number of values, not of pairs. None if a set is empty or a value not finite.
#[must_use]
pub fn compare(a: &[f64], b: &[f64], confidence: f64) -> Option<Comparison> {
    let (a, b) = (sorted(a)?, sorted(b)?);
    if a.is_empty() || b.is_empty() {
        return None;
    }
    let pairs = count(a.len()) * count(b.len());
    let all = count(a.len() + b.len());

    let (mut larger_twice, mut below, mut upto) = (0_usize, 0, 0);
    for value in &a {
        while below < b.len() && b[below] < *value {
            below += 1;
        }
        upto = upto.max(below);
        while upto < b.len() && b[upto] <= *value {
            upto += 1;
        }
        larger_twice += below + upto;
    }
    let u = count(larger_twice) / 2.0;

    let ties: f64 = runs(a.iter().chain(&b)).map(|t| t * t * t - t).sum();
    let spread = (pairs / 12.0 * (all + 1.0 - ties / (all * (all - 1.0)))).sqrt();
    let p = if spread > 0.0 { two_sided(((u.max(pairs - u) - pairs / 2.0 - 0.5) / spread).max(0.0)) } else { 1.0 };

    let differences = Differences { a: &a, b: &b };
    let total = a.len() * b.len();
    let shift = differences.nth(total.div_ceil(2)) / 2.0 + differences.nth(total / 2 + 1) / 2.0;
    let shift_interval = normal_quantile(0.5 + confidence / 2.0).and_then(|z| {
        let rank = (pairs / 2.0 - z * (pairs * (all + 1.0) / 12.0).sqrt()).floor();
        (rank >= 1.0).then(|| {
            let rank = index(rank);
            Interval { low: differences.nth(rank), high: differences.nth(total + 1 - rank), confidence }
        })
    });
    Some(Comparison { u, p, probability_larger: 1.0 - u / pairs, effect: 1.0 - 2.0 * u / pairs, shift, shift_interval })
}

/// How often each value occurs.
pub(crate) fn runs<'a>(values: impl Iterator<Item = &'a f64>) -> impl Iterator<Item = f64> {
    let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
    // -0.0 and 0.0 are one value: adding 0.0 makes them so.
    values.for_each(|value| *counts.entry((value + 0.0).to_bits()).or_default() += 1);
    counts.into_values().map(count)
}

/// All differences `b - a` of two ascending sets, without writing them down.
struct Differences<'a> {
    a: &'a [f64],
    b: &'a [f64],
}

impl Differences<'_> {
    /// How many are at most `limit`. As `a` grows, more of `b` qualifies: one pass over both.
    fn at_most(&self, limit: f64) -> usize {
        let (mut total, mut upto) = (0, 0);
        for a in self.a {
            while upto < self.b.len() && self.b[upto] - a <= limit {
                upto += 1;
            }
            total += upto;
        }
        total
    }

    /// The difference at a place in ascending order, from 1: the smallest float that so many are at most.
    fn nth(&self, place: usize) -> f64 {
        let (mut low, mut high) = (to_ordered(f64::NEG_INFINITY), to_ordered(f64::INFINITY));
        while low < high {
            let middle = low + (high - low) / 2;
            if self.at_most(from_ordered(middle)) >= place { high = middle } else { low = middle + 1 }
        }
        from_ordered(low) + 0.0
    }
}

/// Whole numbers in the order of the floats.
const fn to_ordered(value: f64) -> u64 {
    let bits = value.to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

const fn from_ordered(key: u64) -> f64 {
    f64::from_bits(if key >> 63 == 1 { key & !(1 << 63) } else { !key })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_sets_do_not_differ() {
        let same = compare(&[5.0; 12], &[5.0; 9], 0.95).unwrap();
        assert_eq!((same.p, same.effect, same.shift, same.probability_larger), (1.0, 0.0, 0.0, 0.5));
        assert_eq!(compare(&[], &[1.0], 0.95), None);
        assert_eq!(compare(&[f64::NAN], &[1.0], 0.95), None);
    }

    #[test]
    fn too_few_values_have_no_interval() {
        assert_eq!(compare(&[1.0, 2.0], &[3.0], 0.95).unwrap().shift_interval, None);
        assert_eq!(compare(&[1.0, 2.0], &[3.0], 0.95).unwrap().shift, 1.5);
    }
}
