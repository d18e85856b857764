//! How sure a mean is.

use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

use crate::summary::{count, mean, stddev};

/// A confidence interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Confidence, as 0.95.
    pub confidence: f64,
}

/// The standard normal quantile; none outside 0 to 1, ends excluded.
pub(crate) fn normal_quantile(p: f64) -> Option<f64> {
    (p > 0.0 && p < 1.0).then(|| Normal::standard().inverse_cdf(p))
}

/// Two-sided p-value of a standard normal deviate.
pub(crate) fn two_sided(z: f64) -> f64 {
    (2.0 * Normal::standard().sf(z.abs())).clamp(0.0, 1.0)
}

/// Two-sided p-value of Student's t.
pub(crate) fn two_sided_t(t: f64, freedom: f64) -> Option<f64> {
    if t.is_infinite() {
        return Some(0.0);
    }
    let student = StudentsT::new(0.0, 1.0, freedom).ok()?;
    Some((2.0 * student.sf(t.abs())).clamp(0.0, 1.0))
}

/// Student's confidence interval of the mean: it takes the values for independent, which neighbouring round trips are
/// not quite. None below two values.
#[must_use]
pub fn mean_interval(values: &[f64], confidence: f64) -> Option<Interval> {
    if !(confidence > 0.0 && confidence < 1.0) {
        return None;
    }
    let (mean, stddev) = (mean(values)?, stddev(values)?);
    let student = StudentsT::new(0.0, 1.0, count(values.len() - 1)).ok()?;
    let half = student.inverse_cdf(0.5 + confidence / 2.0) * stddev / count(values.len()).sqrt();
    Some(Interval { low: mean - half, high: mean + half, confidence })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_has_no_interval() {
        assert_eq!(mean_interval(&[1.0], 0.95), None);
        assert_eq!(mean_interval(&[1.0, 2.0], 1.0), None);
        assert_eq!(mean_interval(&[1.0, 2.0], f64::NAN), None);
        assert_eq!(mean_interval(&[3.0, 3.0, 3.0], 0.95).unwrap().low, 3.0);
    }
}
