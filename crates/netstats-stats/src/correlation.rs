//! Do two series move together?

use crate::mean::{Interval, normal_quantile, two_sided_t};
use crate::summary::{count, mean, sum};

/// A correlation of paired values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Correlation {
    /// -1 to 1.
    pub r: f64,
    /// Two-sided p-value, for independent pairs. Neighbouring buckets are not quite independent.
    pub p: f64,
    /// Confidence interval (Fisher's z); from four pairs on, and for |r| below 1.
    pub interval: Option<Interval>,
    /// Pairs.
    pub n: usize,
}

/// Pearson's product-moment correlation. None below three pairs, for a constant series, or where a value is not finite.
#[must_use]
pub fn pearson(pairs: &[(f64, f64)], confidence: f64) -> Option<Correlation> {
    let n = pairs.len();
    if n < 3 {
        return None;
    }
    let mean_x = mean(&pairs.iter().map(|(x, _)| *x).collect::<Vec<_>>())?;
    let mean_y = mean(&pairs.iter().map(|(_, y)| *y).collect::<Vec<_>>())?;
    let product = |f: fn(f64, f64) -> f64| sum(pairs.iter().map(|(x, y)| f(x - mean_x, y - mean_y)));
    let (xx, yy, xy) = (product(|x, _| x * x), product(|_, y| y * y), product(|x, y| x * y));
    let r = (xy / (xx.sqrt() * yy.sqrt())).clamp(-1.0, 1.0);
    if r.is_nan() {
        return None;
    }
    let freedom = count(n - 2);
    let p = two_sided_t(r * (freedom / (1.0 - r * r)).sqrt(), freedom)?;
    let interval = normal_quantile(0.5 + confidence / 2.0).filter(|_| n > 3 && r.abs() < 1.0).map(|z| {
        let (centre, half) = (r.atanh(), z / count(n - 3).sqrt());
        Interval { low: (centre - half).tanh(), high: (centre + half).tanh(), confidence }
    });
    Some(Correlation { r, p, interval, n })
}

/// Spearman's rank correlation: Pearson's of the ranks, equal values sharing theirs. Its interval is none.
#[must_use]
pub fn spearman(pairs: &[(f64, f64)]) -> Option<Correlation> {
    let x = ranks(&pairs.iter().map(|(x, _)| *x).collect::<Vec<_>>())?;
    let y = ranks(&pairs.iter().map(|(_, y)| *y).collect::<Vec<_>>())?;
    let ranked: Vec<(f64, f64)> = x.into_iter().zip(y).collect();
    Some(Correlation { interval: None, ..pearson(&ranked, 0.95)? })
}

/// Ranks from 1; equal values get the mean of theirs.
fn ranks(values: &[f64]) -> Option<Vec<f64>> {
    if !values.iter().all(|value| value.is_finite()) {
        return None;
    }
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|a, b| values[*a].total_cmp(&values[*b]).then(a.cmp(b)));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for run in order.chunk_by(|a, b| values[*a] == values[*b]) {
        let shared = (count(before + 1) + count(before + run.len())) / 2.0;
        run.iter().for_each(|i| ranks[*i] = shared);
        before += run.len();
    }
    Some(ranks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_correlates_fully() {
        let line: Vec<(f64, f64)> = (0..10).map(f64::from).map(|x| (x, 2.0 * x)).collect();
        let correlation = pearson(&line, 0.95).unwrap();
        assert!((correlation.r - 1.0).abs() < 1e-12 && correlation.p < 1e-12);
        let falling: Vec<(f64, f64)> = (0..10).map(f64::from).map(|x| (x, -x * x * x)).collect();
        assert!((spearman(&falling).unwrap().r + 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_constant_or_two_pairs_correlate_with_nothing() {
        assert_eq!(pearson(&[(1.0, 1.0), (1.0, 2.0), (1.0, 3.0)], 0.95), None);
        assert_eq!(pearson(&[(1.0, 1.0), (2.0, 2.0)], 0.95), None);
        assert_eq!(spearman(&[(f64::NAN, 1.0), (2.0, 2.0), (3.0, 3.0)]), None);
    }
}
