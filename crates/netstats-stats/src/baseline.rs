//! What is usual at this hour of the week, and how far off is this?

use crate::summary::{SPREAD_OF_MAD, quantile, sorted};

/// What is usual in one cell of the season (say, Monday 14:00).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cell {
    /// Values seen.
    pub n: usize,
    /// Their median.
    pub median: f64,
    /// Their spread: 1.4826 times the median absolute deviation, which for normal noise is the standard deviation.
    pub spread: f64,
}

impl Cell {
    fn of(values: &[f64], floor: f64) -> Option<Self> {
        let ascending = sorted(values)?;
        let median = quantile(&ascending, 0.5)?;
        let distances: Vec<f64> = ascending.iter().map(|value| (value - median).abs()).collect();
        let spread = SPREAD_OF_MAD * quantile(&sorted(&distances)?, 0.5)?;
        Some(Self { n: ascending.len(), median, spread: spread.max(floor) })
    }
}

/// A robust seasonal baseline: median and spread of each cell. Which moment falls into which cell (time zones!) is for
/// the caller; 168 hours of the week are usual. A cell with few values borrows from all of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Baseline {
    cells: Vec<Option<Cell>>,
    overall: Cell,
}

impl Baseline {
    /// Learns from `history` (cell and value). Cells with fewer than `min_n` values fall back to all values together.
    /// Spreads are at least `floor`, so that a quiet link is not alarmed by its first microsecond.
    ///
    /// None without history, or where a value is not finite or a cell out of range.
    #[must_use]
    pub fn learn(cells: usize, history: &[(usize, f64)], min_n: usize, floor: f64) -> Option<Self> {
        let mut by_cell = vec![Vec::new(); cells];
        for (cell, value) in history {
            by_cell.get_mut(*cell)?.push(*value);
        }
        let overall = Cell::of(&history.iter().map(|(_, value)| *value).collect::<Vec<_>>(), floor)?;
        let cells = by_cell.iter().map(|values| Cell::of(values, floor).filter(|cell| cell.n >= min_n)).collect();
        Some(Self { cells, overall })
    }

    /// What is usual in a cell.
    #[must_use]
    pub fn usual(&self, cell: usize) -> &Cell {
        self.cells.get(cell).and_then(Option::as_ref).unwrap_or(&self.overall)
    }

    /// How unusual a value is: its distance from the cell's median in spreads, positive above. Beyond 3.5 is commonly
    /// called an outlier (Iglewicz and Hoaglin 1993, there with the factor 0.6745 that is in the spread here).
    #[must_use]
    pub fn score(&self, cell: usize, value: f64) -> Option<f64> {
        let usual = self.usual(cell);
        let score = (value - usual.median) / usual.spread;
        score.is_finite().then_some(score)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_hour_has_its_own_usual() {
        let history: Vec<(usize, f64)> =
            (0..200).map(|i| (i % 2, if i % 2 == 0 { 10.0 } else { 50.0 } + (i % 5) as f64 * 0.1)).collect();
        let baseline = Baseline::learn(3, &history, 10, 0.05).unwrap();
        assert!((baseline.usual(0).median - 10.2).abs() < 1e-9);
        assert!(baseline.score(0, 50.0).unwrap() > 100.0, "usual at one hour, far off at another");
        assert!(baseline.score(1, 50.0).unwrap().abs() < 3.5);
        assert_eq!(baseline.usual(2).n, 200, "an empty cell borrows from all");
    }

    #[test]
    fn a_constant_link_has_a_floor() {
        let baseline = Baseline::learn(1, &[(0, 5.0); 20], 10, 0.1).unwrap();
        assert!((baseline.score(0, 5.2).unwrap() - 2.0).abs() < 1e-9);
        assert_eq!(Baseline::learn(1, &[(0, 5.0); 20], 10, 0.0).unwrap().score(0, 5.2), None);
        assert_eq!(Baseline::learn(1, &[], 10, 0.1), None);
        assert_eq!(Baseline::learn(1, &[(1, 5.0)], 10, 0.1), None);
    }
}
