//! Exact descriptions of a set of values.

/// A figure that is not given, because too few values would carry it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("n too small: {has} values, {needs} needed")]
pub struct TooFew {
    /// Values there are.
    pub has: usize,
    /// Values it takes.
    pub needs: usize,
}

/// What a set of values looks like. Units are the caller's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// How many values.
    pub n: usize,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// Arithmetic mean.
    pub mean: f64,
    /// Median.
    pub median: f64,
    /// Sample standard deviation (n - 1); from two values on.
    pub stddev: Option<f64>,
    /// 95th percentile; from 20 values on.
    pub p95: Result<f64, TooFew>,
    /// 99th percentile; from 100 values on.
    pub p99: Result<f64, TooFew>,
}

/// Describes `values`; none if there are none or one is not finite.
#[must_use]
pub fn summarise(values: &[f64]) -> Option<Summary> {
    let mut values = finite(values)?;
    let (mean, stddev) = (mean(&values)?, stddev(&values));
    let (min, max) = values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), v| (min.min(*v), max.max(*v)));
    let n = values.len();
    let few = |q| TooFew { has: n, needs: percentile_needs(q) };
    let [median, p95, p99] = select(&mut values, [0.5, 0.95, 0.99])?;
    let given = |q, value| if n < few(q).needs { Err(few(q)) } else { Ok(value) };
    Some(Summary { n, min, max, mean, median, stddev, p95: given(0.95, p95), p99: given(0.99, p99) })
}

/// The quantiles of values in any order, as [`quantile`] gives them, without sorting all of them. None of nothing, where
/// a value is not finite, or for a `q` outside 0 to 1.
#[must_use]
pub fn quantiles<const N: usize>(values: &[f64], qs: [f64; N]) -> Option<[f64; N]> {
    select(&mut finite(values)?, qs)
}

/// Values that are sorted sooner than sought in: those of a burst.
const FEW: usize = 20;

/// Puts each quantile's neighbours where they belong, the smallest first, so that the next one seeks above it only.
fn select<const N: usize>(values: &mut [f64], qs: [f64; N]) -> Option<[f64; N]> {
    if values.is_empty() || !qs.iter().all(|q| (0.0..=1.0).contains(q)) {
        return None;
    }
    if values.len() <= FEW {
        values.sort_unstable_by(f64::total_cmp);
        return Some(qs.map(|q| quantile(values, q).unwrap_or(f64::NAN)));
    }
    let last = count(values.len() - 1);
    let mut order: [usize; N] = std::array::from_fn(|i| i);
    order.sort_by(|a, b| qs[*a].total_cmp(&qs[*b]));
    let (mut found, mut settled) = ([0.0; N], 0);
    for i in order {
        let place = qs[i] * last;
        let low = index(place);
        if low >= settled {
            values[settled..].select_nth_unstable_by(low - settled, f64::total_cmp);
            settled = low + 1;
        }
        let next = values.get(low + 1..).unwrap_or_default().iter().copied().min_by(f64::total_cmp);
        let (below, above) = (values[low], next.unwrap_or(values[low]));
        found[i] = below + (above - below) * place.fract();
    }
    Some(found)
}

/// A copy; none if a value is not finite.
fn finite(values: &[f64]) -> Option<Vec<f64>> {
    values.iter().all(|value| value.is_finite()).then(|| values.to_vec())
}

/// The values in ascending order; none if one is not finite.
#[must_use]
pub fn sorted(values: &[f64]) -> Option<Vec<f64>> {
    let mut sorted = finite(values)?;
    sorted.sort_unstable_by(f64::total_cmp);
    Some(sorted)
}

/// Values added up plainly before the error of an addition is carried along, and how many such sums go on side by side
/// so that the processor adds several values at a time. Always the same ones: the same values give the same bits.
pub(crate) const BLOCK: usize = 128;
pub(crate) const LANES: usize = 8;

/// As [`sum`], for many values: each block of 128 is off by what 16 additions lose, and a million values by no more.
pub(crate) fn sum_of(values: &[f64], map: impl Fn(f64) -> f64) -> f64 {
    sum(values.chunks(BLOCK).map(|block| {
        let mut totals = [0.0_f64; LANES];
        let (whole, rest) = block.as_chunks::<LANES>();
        for some in whole {
            (0..LANES).for_each(|lane| totals[lane] += map(some[lane]));
        }
        totals.iter().sum::<f64>() + rest.iter().map(|value| map(*value)).sum::<f64>()
    }))
}

/// Sum with the error of each addition carried along (Neumaier), so that a million values add up as well as ten.
pub(crate) fn sum(values: impl IntoIterator<Item = f64>) -> f64 {
    let (mut total, mut carry) = (0.0_f64, 0.0_f64);
    for value in values {
        let next = total + value;
        carry += if total.abs() >= value.abs() { (total - next) + value } else { (value - next) + total };
        total = next;
    }
    total + carry
}

/// A count as a float: exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
pub(crate) const fn count(n: usize) -> f64 {
    n as f64
}

/// Arithmetic mean; none of nothing, or where a value is not finite.
#[must_use]
pub fn mean(values: &[f64]) -> Option<f64> {
    let mean = sum_of(values, |value| value) / count(values.len());
    (!values.is_empty() && mean.is_finite()).then_some(mean)
}

/// Sample standard deviation (n - 1), in two passes; none below two values.
#[must_use]
pub fn stddev(values: &[f64]) -> Option<f64> {
    if values.len() < 2 {
        return None;
    }
    let mean = mean(values)?;
    let squares = sum_of(values, |value| (value - mean) * (value - mean));
    Some((squares / count(values.len() - 1)).sqrt())
}

/// The `q`-quantile (0 to 1) of values in ascending order, by linear interpolation: type 7 of Hyndman and Fan (1996),
/// the default of NumPy, R and Excel. None of nothing, or for a `q` outside 0 to 1.
#[must_use]
pub fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    quantile_of(sorted.len(), q, |place| sorted[place])
}

/// The same of `n` values that are not at hand: `at` tells the value at a place from 0, in ascending order. It is asked
/// for two places at most.
#[must_use]
pub fn quantile_of(n: usize, q: f64, mut at: impl FnMut(usize) -> f64) -> Option<f64> {
    if !(0.0..=1.0).contains(&q) {
        return None;
    }
    let last = n.checked_sub(1)?;
    let place = q * count(last);
    let (low, part) = (index(place), place.fract());
    let (below, above) = (at(low), at((low + 1).min(last)));
    Some(below + (above - below) * part)
}

/// The whole part of a place in a slice.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place is 0 to a slice's length")]
pub(crate) const fn index(place: f64) -> usize {
    place as usize
}

/// The standard deviation of normal noise, in its median absolute deviations.
pub(crate) const SPREAD_OF_MAD: f64 = 1.482_602_218_505_602;

/// How many values a `q`-quantile takes to say something: one at least has to lie beyond it on average, so 20 for p95
/// and p5, 100 for p99 and p1. The median takes one.
#[must_use]
pub fn percentile_needs(q: f64) -> usize {
    let tail = q.min(1.0 - q);
    // Exact where q is a decimal fraction: 1/(1 - 0.95) is a little more than 20 in binary.
    if tail >= 0.5 || tail <= 0.0 { 1 } else { index((1.0 / tail - 1e-6).ceil()) }
}

/// As [`quantile`], refused where there are fewer values than [`percentile_needs`].
///
/// # Errors
/// Too few values.
pub fn percentile(sorted: &[f64], q: f64) -> Result<f64, TooFew> {
    let too_few = TooFew { has: sorted.len(), needs: percentile_needs(q) };
    if sorted.len() < too_few.needs {
        return Err(too_few);
    }
    quantile(sorted, q).ok_or(too_few)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_takes_enough_values() {
        assert_eq!([0.5, 0.25, 0.05, 0.95, 0.99, 0.01, 0.999].map(percentile_needs), [1, 4, 20, 20, 100, 100, 1_000]);
        let few: Vec<f64> = (0..19).map(f64::from).collect();
        assert_eq!(percentile(&few, 0.95), Err(TooFew { has: 19, needs: 20 }));
        assert_eq!(percentile(&few, 0.95).unwrap_err().to_string(), "n too small: 19 values, 20 needed");
        let enough: Vec<f64> = (0..20).map(f64::from).collect();
        assert!((percentile(&enough, 0.95).unwrap() - 18.05).abs() < 1e-12);
        let (few, enough): (Vec<_>, Vec<_>) = ((0..99).map(f64::from).collect(), (0..100).map(f64::from).collect());
        assert!(percentile(&few, 0.99).is_err());
        assert!(percentile(&enough, 0.99).is_ok());
    }

    #[test]
    fn nothing_and_what_is_no_number_have_no_summary() {
        assert_eq!(summarise(&[]), None);
        assert_eq!(summarise(&[1.0, f64::NAN]), None);
        assert_eq!(summarise(&[1.0, f64::INFINITY]), None);
        assert_eq!(summarise(&[7.0]).unwrap().stddev, None);
        assert_eq!(quantile(&[1.0, 2.0], 1.5), None);
        assert_eq!(quantile(&[1.0, 2.0], 1.0), Some(2.0));
    }

    #[test]
    fn a_sum_does_not_forget_small_values() {
        assert_eq!(sum([1.0, 1e100, 1.0, -1e100]), 2.0);
        // Ten million tenths, added one by one, are off by 2e-4.
        assert!((sum_of(&vec![0.1; 10_000_000], |value| value) - 1_000_000.0).abs() < 1e-8);
    }
}
