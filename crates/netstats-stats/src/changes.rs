//! When did the level change?

use crate::limits::MAX_CHANGE_POINTS_INPUT;
use crate::summary::{SPREAD_OF_MAD, count, quantile, sorted};

/// A change of level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChangePoint {
    /// Number of the first value of the new level.
    pub at: usize,
    /// Mean of the level before.
    pub before: f64,
    /// Mean of the level from here on.
    pub after: f64,
}

/// The noise of a series without its level changes: from the median of the absolute first differences (times 1.4826,
/// by the square root of two). None below two values.
#[must_use]
pub fn robust_noise(values: &[f64]) -> Option<f64> {
    let steps: Vec<f64> = values.windows(2).map(|pair| (pair[1] - pair[0]).abs()).collect();
    Some(SPREAD_OF_MAD * quantile(&sorted(&steps)?, 0.5)? / std::f64::consts::SQRT_2)
}

/// What a change has to be worth where nothing else is said: `3 * noise^2 * ln(n)`, with [`robust_noise`], or
/// `least_noise` if that is more. None below two values.
#[must_use]
pub fn change_penalty(values: &[f64], least_noise: f64) -> Option<f64> {
    let noise = robust_noise(values)?.max(least_noise);
    Some(3.0 * noise * noise * count(values.len()).ln())
}

/// The cut of the series into levels of at least `min_length` values for which the squared distances from the levels'
/// means plus `penalty` for each change are least (PELT: Killick, Fearnhead and Eckley 2012). Exact and deterministic.
///
/// The default, [`change_penalty`], finds no change in pure noise nearly always. Bring medians of
/// buckets rather than raw round trips: a single wild value weighs its square.
///
/// None over [`MAX_CHANGE_POINTS_INPUT`] values, or where a value is not finite.
#[must_use]
pub fn change_points(values: &[f64], penalty: Option<f64>, min_length: usize) -> Option<Vec<ChangePoint>> {
    let n = values.len();
    if n > MAX_CHANGE_POINTS_INPUT {
        return None;
    }
    let centre = quantile(&sorted(values)?, 0.5).unwrap_or(0.0);
    let min_length = min_length.max(1);
    if n < 2 * min_length {
        return Some(Vec::new());
    }
    let penalty = match penalty {
        Some(penalty) => penalty,
        None => change_penalty(values, 0.0)?,
    };

    // Sums from the start, around the centre so that little cancels.
    let mut sums = vec![(0.0_f64, 0.0_f64); n + 1];
    for (i, value) in values.iter().enumerate() {
        let value = value - centre;
        sums[i + 1] = (sums[i].0 + value, sums[i].1 + value * value);
    }
    let cost = |from: usize, to: usize| {
        let sum = sums[to].0 - sums[from].0;
        (sums[to].1 - sums[from].1 - sum * sum / count(to - from)).max(0.0)
    };

    // best[t]: the least total of the first t values; last[t]: where its last level begins.
    let mut best = vec![f64::INFINITY; n + 1];
    let mut last = vec![0_usize; n + 1];
    best[0] = -penalty;
    // Places where the last level may begin, each with the end from which it can no longer be best.
    let mut open: Vec<(usize, usize)> = Vec::new();
    for end in min_length..=n {
        let newest = end - min_length;
        if best[newest].is_finite() {
            open.push((newest, usize::MAX));
        }
        for (start, _) in &open {
            let total = best[*start] + cost(*start, end) + penalty;
            if total < best[end] {
                best[end] = total;
                last[end] = *start;
            }
        }
        // A start that is worse than a change right here stays worse for every end that leaves room for that change.
        open.retain_mut(|(start, until)| {
            if *until == usize::MAX && best[*start] + cost(*start, end) > best[end] {
                *until = end + min_length;
            }
            end + 1 < *until
        });
    }

    let mut starts = Vec::new();
    let mut end = n;
    while end > 0 {
        starts.push(last[end]);
        end = last[end];
    }
    starts.reverse();
    let level = |i: usize| {
        let (from, to) = (starts[i], starts.get(i + 1).copied().unwrap_or(n));
        centre + (sums[to].0 - sums[from].0) / count(to - from)
    };
    Some((1..starts.len()).map(|i| ChangePoint { at: starts[i], before: level(i - 1), after: level(i) }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_found_where_it_is() {
        let values: Vec<f64> = (0..60).map(|i| if i < 25 { 10.0 } else { 14.0 } + f64::from(i % 3) * 0.1).collect();
        let changes = change_points(&values, None, 3).unwrap();
        assert_eq!(changes.len(), 1, "{changes:?}");
        assert_eq!(changes[0].at, 25);
        assert!((changes[0].before - 10.1).abs() < 0.05 && (changes[0].after - 14.1).abs() < 0.05);
    }

    #[test]
    fn short_series_have_no_changes_and_long_ones_are_refused() {
        assert_eq!(change_points(&[], None, 3), Some(vec![]));
        assert_eq!(change_points(&[1.0, 9.0], None, 3), Some(vec![]));
        assert_eq!(change_points(&[f64::NAN; 10], None, 3), None);
        assert_eq!(change_points(&vec![0.0; MAX_CHANGE_POINTS_INPUT + 1], None, 3), None);
        assert_eq!(change_points(&[5.0; 100], None, 3), Some(vec![]));
    }
}
