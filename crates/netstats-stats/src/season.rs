//! What comes back every day, or every week, and what is left of a series without it.

use crate::baseline::Baseline;
use crate::changes::robust_noise;
use crate::limits::MAX_CHANGE_POINTS_INPUT;
use crate::summary::{SPREAD_OF_MAD, count, quantile, sorted, sum};

/// Values of a cell from which on it has a usual of its own, and periods that a series has to cover.
const LEAST: usize = 3;
/// A season is one if what is left without it is less than this share of what was there.
const WORTHWHILE: f64 = 0.9;
/// Times noise^2 ln n. Of 500 noisy rhythms of 3, 4, 5 and 7 days it finds a change in 4, 1, 1 and 1.
const PENALTY: f64 = 5.0;

/// A length of time after which things may come back, and how finely it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// In the unit of the points' times.
    pub length: i64,
    /// Equal parts of it (24 hours of a day), each with a usual of its own.
    pub cells: u32,
}

impl Period {
    fn cell(self, time: i64) -> usize {
        let part = i128::from(time.rem_euclid(self.length)) * i128::from(self.cells) / i128::from(self.length);
        usize::try_from(part).unwrap_or(0)
    }
}

/// A series without its season.
#[derive(Clone, Debug, PartialEq)]
pub struct Deseasonalised {
    /// The period that came back.
    pub period: Period,
    /// The values, each less what its part of the period adds.
    pub values: Vec<f64>,
    /// The noise of the series without season and level changes: from how much the step from one point to the next
    /// differs from the same step a period before. [`crate::robust_noise`] of the values would be too small: taking out a
    /// cell's median takes some of the noise with it.
    pub noise: f64,
    /// Mean distance of what is left from the level.
    left: f64,
}

impl Deseasonalised {
    /// What a change of level in the values has to be worth ([`crate::change_points`]): more than in a series without a
    /// season, for the season is itself only known from the values. The noise is taken to be `least_noise` at least.
    #[must_use]
    pub fn penalty(&self, least_noise: f64) -> f64 {
        let noise = self.noise.max(least_noise);
        PENALTY * noise * noise * count(self.values.len()).ln()
    }
}

/// Takes the season out of a series (times ascending): the one of `periods` that explains most of it.
///
/// The level is the running median over one period, so that a period's own ups and downs do not move it, while a change
/// for good does. What each cell adds is the median of its values' distances from the level (the same [`Baseline`] that
/// scores anomalies): one period in which something changed does not bend it.
///
/// None if no period comes back at least three times, if without its season a series is not at least a tenth steadier,
/// where times do not ascend or a value is not finite, and over [`MAX_CHANGE_POINTS_INPUT`] values.
#[must_use]
pub fn deseasonalise(points: &[(i64, f64)], periods: &[Period]) -> Option<Deseasonalised> {
    let is_good = points.is_sorted_by_key(|(time, _)| *time) && points.iter().all(|(_, value)| value.is_finite());
    if points.len() > MAX_CHANGE_POINTS_INPUT || !is_good {
        return None;
    }
    let mut best: Option<Deseasonalised> = None;
    for period in periods.iter().filter(|period| period.length > 0 && period.cells > 0) {
        let Some((found, before)) = without(points, *period) else { continue };
        let least = best.as_ref().map_or(before, |best| best.left);
        if found.left < WORTHWHILE * least {
            best = Some(found);
        }
    }
    best
}

/// The series without one season, and the mean distance from the level with it.
fn without(points: &[(i64, f64)], period: Period) -> Option<(Deseasonalised, f64)> {
    let (first, _) = *points.first()?;
    let levels = running_medians(points, period.length);
    let distances: Vec<(usize, f64)> =
        points.iter().zip(&levels).map(|((time, value), level)| (period.cell(*time), value - level)).collect();

    // Of each cell: values, and periods with one.
    let mut seen = vec![(0_usize, 0_usize, None); usize::try_from(period.cells).ok()?];
    for ((time, _), (cell, _)) in points.iter().zip(&distances) {
        let turn = (time - first).div_euclid(period.length);
        let (values, turns, last) = seen.get_mut(*cell)?;
        *values += 1;
        if *last != Some(turn) {
            (*turns, *last) = (*turns + 1, Some(turn));
        }
    }
    seen.retain(|(values, ..)| *values > 0);
    let middle = |of: fn(&(usize, usize, Option<i64>)) -> usize| {
        let all: Vec<f64> = seen.iter().map(|cell| count(of(cell))).collect();
        quantile(&sorted(&all)?, 0.5)
    };
    if middle(|(_, turns, _)| *turns)? < count(LEAST) {
        return None;
    }
    // A median takes some of the noise with it, the more the fewer values it is of.
    let values_of_a_cell = middle(|(values, ..)| *values)?;
    let taken = values_of_a_cell / (values_of_a_cell - 1.0);

    let baseline = Baseline::learn(usize::try_from(period.cells).ok()?, &distances, LEAST, 0.0)?;
    let adds = |cell: usize| baseline.usual(cell).median;
    let values = points.iter().zip(&distances).map(|((_, value), (cell, _))| value - adds(*cell)).collect::<Vec<_>>();
    let mean = |distances: &mut dyn Iterator<Item = f64>| sum(distances.map(f64::abs)) / count(points.len());
    let before = mean(&mut distances.iter().map(|(_, distance)| *distance));
    let left = taken * mean(&mut distances.iter().map(|(cell, distance)| distance - adds(*cell)));
    let noise = noise_between_periods(points, period.length).or_else(|| Some(taken * robust_noise(&values)?))?;
    Some((Deseasonalised { period, values, noise, left }, before))
}

/// The noise of single points, from second differences: of each step and the same step a period before. A rhythm falls
/// out of them, a level too. None where fewer than half of the steps have one.
fn noise_between_periods(points: &[(i64, f64)], length: i64) -> Option<f64> {
    let mut before = points.windows(2).peekable();
    let mut differences = Vec::with_capacity(points.len());
    for step in points.windows(2) {
        let wanted = step[0].0 - length;
        while before.next_if(|then| then[0].0 < wanted).is_some() {}
        let Some(then) = before.peek().filter(|then| then[0].0 == wanted && then[1].0 == step[1].0 - length) else {
            continue;
        };
        differences.push(((step[1].1 - step[0].1) - (then[1].1 - then[0].1)).abs());
    }
    if differences.len() * 2 < points.len() {
        return None;
    }
    // The difference of four values has twice the spread of one.
    Some(SPREAD_OF_MAD * quantile(&sorted(&differences)?, 0.5)? / 2.0)
}

/// For each point the median of the points within one `length` around it; at the ends, within the first and the last.
fn running_medians(points: &[(i64, f64)], length: i64) -> Vec<f64> {
    let (Some((first, _)), Some((last, _))) = (points.first(), points.last()) else { return Vec::new() };
    let latest = last.saturating_add(1).saturating_sub(length).max(*first);
    let mut window: Vec<f64> = Vec::new();
    let (mut from, mut to) = (0, 0);
    let mut medians = Vec::with_capacity(points.len());
    for (time, _) in points {
        let start = time.saturating_sub(length / 2).clamp(*first, latest);
        while to < points.len() && points[to].0 < start.saturating_add(length) {
            let at = window.partition_point(|value| *value < points[to].1);
            window.insert(at, points[to].1);
            to += 1;
        }
        while points[from].0 < start {
            let at = window.partition_point(|value| *value < points[from].1);
            window.remove(at);
            from += 1;
        }
        medians.push(quantile(&window, 0.5).unwrap_or(0.0));
    }
    medians
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change_points;

    const DAY: Period = Period { length: 24, cells: 24 };
    const WEEK: Period = Period { length: 168, cells: 168 };

    /// Noise of about 0.3, the same in every run.
    fn noise(seed: u64, i: i64) -> f64 {
        let mut state =
            seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ i.cast_unsigned().wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mut draw = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            f64::from(u32::try_from(state >> 33).unwrap()) / f64::from(1_u32 << 31)
        };
        (0..4).map(|_| draw() - 0.5).sum::<f64>() * 0.52
    }

    /// Hours of some days that start at any hour, each with `value` of its hour.
    fn hours(days: i64, seed: u64, value: impl Fn(i64) -> f64) -> Vec<(i64, f64)> {
        let start = 1_000 + i64::try_from(seed % 24).unwrap();
        (0..days * 24).map(|i| (start + i, value(start + i) + noise(seed, i))).collect()
    }

    fn changes(points: &[(i64, f64)], periods: &[Period]) -> Vec<crate::ChangePoint> {
        let plain: Vec<f64> = points.iter().map(|(_, value)| *value).collect();
        let found = deseasonalise(points, periods);
        let values = found.as_ref().map_or(&plain, |found| &found.values);
        change_points(values, found.as_ref().map(|found| found.penalty(0.0)), 5).unwrap()
    }

    fn office(hour: i64) -> f64 {
        if (8..18).contains(&hour.rem_euclid(24)) { 18.0 } else { 10.0 }
    }

    fn wave(hour: i64) -> f64 {
        10.0 + 4.0 * (std::f64::consts::TAU * hour as f64 / 24.0).sin()
    }

    #[test]
    fn a_rhythm_alone_has_no_change_of_level() {
        for days in [3, 5, 14, 28] {
            for rhythm in [office, wave] {
                let all = || (0..100).map(|seed| hours(days, seed, rhythm));
                assert!(all().all(|points| deseasonalise(&points, &[DAY, WEEK]).is_some()));
                let wrong = all().filter(|points| !changes(points, &[DAY, WEEK]).is_empty()).count();
                // Of noise alone, without a rhythm, no other can be said.
                assert!(wrong <= 2, "{days} days: {wrong} of 100");
            }
        }
    }

    #[test]
    fn a_shift_on_top_of_a_rhythm_is_found_where_it_is() {
        for days in [4, 7, 30] {
            let shift = 1_000 + days * 24 / 2 + 5;
            let is_found = |seed: &u64| {
                let points = hours(days, *seed, |hour| wave(hour) + if hour >= shift { 3.0 } else { 0.0 });
                let found = changes(&points, &[DAY, WEEK]);
                let [change] = found[..] else { return false };
                (points[change.at].0 - shift).abs() <= 2 && (change.after - change.before - 3.0).abs() < 0.7
            };
            let found = (0..100).filter(is_found).count();
            assert!(found >= 98, "{days} days: {found} of 100");
        }
    }

    #[test]
    fn a_week_is_taken_for_one_where_its_days_differ() {
        let weekend = |hour: i64| if hour.div_euclid(24).rem_euclid(7) >= 5 { 10.0 } else { office(hour) };
        let points = hours(28, 1, weekend);
        assert_eq!(deseasonalise(&points, &[DAY, WEEK]).unwrap().period, WEEK);
        assert!(changes(&points, &[DAY, WEEK]).is_empty());
        assert_eq!(
            deseasonalise(&hours(28, 1, wave), &[DAY, WEEK]).unwrap().period,
            DAY,
            "the shorter one, if it does"
        );
    }

    #[test]
    fn noise_has_no_season_and_a_short_series_none_that_is_known() {
        for days in [3, 4, 7, 28] {
            let taken = (0..100).filter(|seed| deseasonalise(&hours(days, *seed, |_| 10.0), &[DAY]).is_some()).count();
            // Where it is, it is taken out and nothing is lost by it.
            assert!(taken <= 3, "{days} days: noise was taken for a season in {taken} of 100");
        }
        assert_eq!(deseasonalise(&hours(2, 1, wave), &[DAY]), None);
        assert_eq!(deseasonalise(&[], &[DAY]), None);
        assert_eq!(deseasonalise(&[(0, f64::NAN); 100], &[DAY]), None);
        assert_eq!(deseasonalise(&hours(4, 1, wave), &[Period { length: 0, cells: 24 }]), None);
        assert_eq!(deseasonalise(&vec![(0, 1.0); MAX_CHANGE_POINTS_INPUT + 1], &[DAY]), None);
    }

    #[test]
    fn the_same_points_give_the_same_bits_and_gaps_do_not_matter() {
        let points: Vec<_> = hours(6, 3, wave).into_iter().filter(|(hour, _)| hour % 11 != 0).collect();
        let (a, b) = (deseasonalise(&points, &[DAY]).unwrap(), deseasonalise(&points, &[DAY]).unwrap());
        assert!(a.values.iter().zip(&b.values).all(|(a, b)| a.to_bits() == b.to_bits()));
        assert!(changes(&points, &[DAY]).is_empty());
    }
}
