//! How values are spread.

use crate::limits::MAX_HISTOGRAM_BINS;
use crate::summary::count;

/// Counts of values between edges. A bin holds its lower edge and not its upper; the last holds both, as in NumPy.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// Ascending, one more than there are bins.
    pub edges: Vec<f64>,
    /// Values in each bin.
    pub counts: Vec<u64>,
    /// Values below the first edge.
    pub below: u64,
    /// Values above the last edge.
    pub above: u64,
}

/// Counts `values` between `edges`. None if the edges are fewer than two, too many or not ascending, or if a value is
/// not finite.
#[must_use]
pub fn histogram(values: &[f64], edges: &[f64]) -> Option<Histogram> {
    let ascending = edges.windows(2).all(|pair| pair[0] < pair[1]);
    if edges.len() < 2 || edges.len() > MAX_HISTOGRAM_BINS + 1 || !ascending {
        return None;
    }
    let bins = edges.len() - 1;
    let mut result = Histogram { edges: edges.to_vec(), counts: vec![0; bins], below: 0, above: 0 };
    for value in values {
        if !value.is_finite() {
            return None;
        }
        match edges.partition_point(|edge| edge <= value) {
            0 => result.below += 1,
            at if at <= bins => result.counts[at - 1] += 1,
            _ if *value == edges[bins] => result.counts[bins - 1] += 1,
            _ => result.above += 1,
        }
    }
    Some(result)
}

/// Edges of `bins` bins from `low` to `high` that each grow by the same factor: round trips spread over decades. Empty
/// unless `0 < low < high` and there are bins.
#[must_use]
pub fn log_edges(low: f64, high: f64, bins: usize) -> Vec<f64> {
    if !(low > 0.0 && low < high && high.is_finite()) || bins == 0 || bins > MAX_HISTOGRAM_BINS {
        return Vec::new();
    }
    let step = (high / low).ln() / count(bins);
    let mut edges: Vec<f64> = (0..=bins).map(|i| low * (step * count(i)).exp()).collect();
    // The last one exactly, so that the largest value is inside.
    edges[bins] = high;
    edges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_bin_holds_its_upper_edge() {
        let histogram = histogram(&[0.0, 1.0, 1.5, 2.0, 3.0, -1.0], &[0.0, 1.0, 2.0]).unwrap();
        assert_eq!((histogram.counts, histogram.below, histogram.above), (vec![1, 3], 1, 1));
    }

    #[test]
    fn edges_that_do_not_ascend_are_refused() {
        assert_eq!(histogram(&[1.0], &[1.0]), None);
        assert_eq!(histogram(&[1.0], &[2.0, 1.0]), None);
        assert_eq!(histogram(&[1.0], &vec![0.0; MAX_HISTOGRAM_BINS + 2]), None);
        assert_eq!(histogram(&[f64::NAN], &[0.0, 1.0]), None);
        assert!(log_edges(0.0, 1.0, 3).is_empty());
        assert!(log_edges(1.0, 10.0, MAX_HISTOGRAM_BINS + 1).is_empty());
        assert_eq!(log_edges(1.0, 100.0, 2).len(), 3);
    }
}
