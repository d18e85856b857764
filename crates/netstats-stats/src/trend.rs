//! Does it rise or fall?

use crate::compare::runs;
use crate::limits::MAX_TREND_POINTS;
use crate::mean::{Interval, normal_quantile};
use crate::summary::{count, index, quantile, sorted};

/// A straight line through points, and how sure its slope is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trend {
    /// Change of y for each unit of x.
    pub slope: f64,
    /// The line's y at x = 0.
    pub intercept: f64,
    /// Confidence interval of the slope (Sen 1968). The trend is real, at that confidence, if 0 lies outside.
    pub interval: Option<Interval>,
    /// Points used: fewer than given where they were thinned.
    pub points: usize,
}

/// The line of Theil (1950) and Sen (1968): its slope is the median of the slopes between all pairs, so that up to
/// 29 % of wild values do not bend it. More than [`MAX_TREND_POINTS`] points, taken to be in order of x, are thinned to
/// the medians of equal blocks. None where fewer than two x differ, or a number is not finite.
#[must_use]
pub fn theil_sen(points: &[(f64, f64)], confidence: f64) -> Option<Trend> {
    let points = thin(points)?;
    let xs: Vec<f64> = points.iter().map(|(x, _)| *x).collect();
    let ys: Vec<f64> = points.iter().map(|(_, y)| *y).collect();
    let mut slopes = Vec::with_capacity(points.len() * points.len().saturating_sub(1) / 2);
    for (i, (x1, y1)) in points.iter().enumerate() {
        slopes.extend(points[i + 1..].iter().filter(|(x2, _)| x2 != x1).map(|(x2, y2)| (y2 - y1) / (x2 - x1)));
    }
    let slopes = sorted(&slopes)?;
    let slope = quantile(&slopes, 0.5)?;
    let intercept = quantile(&sorted(&ys)?, 0.5)? - slope * quantile(&sorted(&xs)?, 0.5)?;

    let interval = normal_quantile(0.5 + confidence / 2.0).and_then(|z| {
        let pairs = count(slopes.len());
        let term = |n: f64| n * (n - 1.0) * (2.0 * n + 5.0);
        let ties: f64 = runs(xs.iter()).chain(runs(ys.iter())).map(term).sum();
        let sigma = ((term(count(points.len())) - ties) / 18.0).sqrt();
        let low = ((pairs - z * sigma) / 2.0).round_ties_even() - 1.0;
        let high = ((pairs + z * sigma) / 2.0).round_ties_even();
        sigma.is_finite().then(|| Interval {
            low: slopes[index(low.max(0.0))],
            high: slopes[index(high.clamp(0.0, pairs - 1.0))],
            confidence,
        })
    });
    Some(Trend { slope, intercept, interval, points: points.len() })
}

fn thin(points: &[(f64, f64)]) -> Option<Vec<(f64, f64)>> {
    if points.len() <= MAX_TREND_POINTS {
        return Some(points.to_vec());
    }
    points
        .chunks(points.len().div_ceil(MAX_TREND_POINTS))
        .map(|block| {
            let middle = |pick: fn(&(f64, f64)) -> f64| -> Option<f64> {
                quantile(&sorted(&block.iter().map(pick).collect::<Vec<_>>())?, 0.5)
            };
            Some((middle(|(x, _)| *x)?, middle(|(_, y)| *y)?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_wild_values_do_not_bend_the_line() {
        let points: Vec<(f64, f64)> =
            (0..100).map(f64::from).map(|x| (x, if x % 10.0 == 0.0 { 9_999.0 } else { 2.0 * x + 3.0 })).collect();
        let trend = theil_sen(&points, 0.95).unwrap();
        assert!((trend.slope - 2.0).abs() < 0.05, "{trend:?}");
    }

    #[test]
    fn many_points_are_thinned_and_say_so() {
        let points: Vec<(f64, f64)> = (0..10_000).map(f64::from).map(|x| (x, 0.5 * x)).collect();
        let trend = theil_sen(&points, 0.95).unwrap();
        assert!(trend.points <= MAX_TREND_POINTS);
        assert!((trend.slope - 0.5).abs() < 1e-12);
    }

    #[test]
    fn no_line_through_one_moment() {
        assert_eq!(theil_sen(&[], 0.95), None);
        assert_eq!(theil_sen(&[(1.0, 2.0), (1.0, 3.0)], 0.95), None);
        assert_eq!(theil_sen(&[(1.0, f64::NAN), (2.0, 3.0)], 0.95), None);
        assert_eq!(theil_sen(&[(0.0, 1.0), (1.0, 3.0)], 0.95).unwrap().slope, 2.0);
    }
}
