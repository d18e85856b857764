//! What is usual at which hour of which day of the week.

use crate::{Loss, Moments};

/// Days of the week, Monday first, and hours of the day.
pub const WEEK: (usize, usize) = (7, 24);

/// One hour of the week.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeatmapCell {
    /// Round trips in it.
    pub times: Moments,
    /// Packets in it.
    pub loss: Loss,
    /// Buckets that fell into it.
    pub buckets: u64,
}

/// Sums by weekday and hour. Which moment is which hour of which day (time zones!) is for the caller. Heatmaps of
/// different times or destinations merge, in any order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heatmap {
    cells: Vec<HeatmapCell>,
}

impl Default for Heatmap {
    fn default() -> Self {
        Self { cells: vec![HeatmapCell::default(); WEEK.0 * WEEK.1] }
    }
}

impl Heatmap {
    /// Takes what happened in a part of an hour; weekday 0 is Monday. False, and nothing taken, outside of the week.
    pub fn add(&mut self, weekday: usize, hour: usize, times: &Moments, loss: Loss) -> bool {
        if weekday >= WEEK.0 || hour >= WEEK.1 {
            return false;
        }
        let cell = &mut self.cells[weekday * WEEK.1 + hour];
        cell.times.merge(times);
        cell.loss = cell.loss.plus(loss);
        cell.buckets += 1;
        true
    }

    /// Takes all that `other` took.
    pub fn merge(&mut self, other: &Self) {
        for (cell, other) in self.cells.iter_mut().zip(&other.cells) {
            cell.times.merge(&other.times);
            cell.loss = cell.loss.plus(other.loss);
            cell.buckets += other.buckets;
        }
    }

    /// The cell of a weekday and hour; none outside of the week.
    #[must_use]
    pub fn cell(&self, weekday: usize, hour: usize) -> Option<&HeatmapCell> {
        (weekday < WEEK.0 && hour < WEEK.1).then(|| &self.cells[weekday * WEEK.1 + hour])
    }

    /// Weekday, hour and cell, Monday midnight first.
    pub fn iter(&self) -> impl Iterator<Item = (usize, usize, &HeatmapCell)> {
        self.cells.iter().enumerate().map(|(i, cell)| (i / WEEK.1, i % WEEK.1, cell))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_week_merge_to_the_whole() {
        let (mut left, mut right, mut whole) = (Heatmap::default(), Heatmap::default(), Heatmap::default());
        for i in 0..500_u32 {
            let mut times = Moments::default();
            times.extend([i, i * i]);
            let (day, hour) = (i as usize % 7, i as usize % 24);
            let loss = Loss { sent: 10, lost: u64::from(i % 3) };
            assert!(whole.add(day, hour, &times, loss));
            assert!(if i % 2 == 0 { &mut left } else { &mut right }.add(day, hour, &times, loss));
        }
        right.merge(&left);
        assert_eq!(right, whole);
        assert_eq!(whole.iter().map(|(.., cell)| cell.buckets).sum::<u64>(), 500);
        assert_eq!(whole.iter().map(|(.., cell)| cell.times.n).sum::<u64>(), 1_000);
    }

    #[test]
    fn there_is_no_eighth_day() {
        let mut map = Heatmap::default();
        assert!(!map.add(7, 0, &Moments::default(), Loss::default()));
        assert!(!map.add(0, 24, &Moments::default(), Loss::default()));
        assert_eq!(map.cell(7, 0), None);
        assert_eq!(map.cell(6, 23), Some(&HeatmapCell::default()));
        assert_eq!(map, Heatmap::default());
    }
}
