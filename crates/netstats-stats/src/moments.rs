//! Sums of whole numbers: they merge exactly, in any order, on any machine.

/// Count, sum, sum of squares and extremes of whole values (round trips in microseconds).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moments {
    /// How many.
    pub n: u64,
    /// Their sum.
    pub sum: u64,
    /// Sum of their squares.
    pub sum_sq: u128,
    /// Smallest and largest.
    pub extremes: Option<(u32, u32)>,
}

impl Moments {
    /// Takes a value.
    pub fn add(&mut self, value: u32) {
        self.n += 1;
        self.sum += u64::from(value);
        self.sum_sq += u128::from(u64::from(value) * u64::from(value));
        let (low, high) = self.extremes.unwrap_or((value, value));
        self.extremes = Some((low.min(value), high.max(value)));
    }

    /// Takes all that `other` took.
    pub fn merge(&mut self, other: &Self) {
        self.n += other.n;
        self.sum += other.sum;
        self.sum_sq += other.sum_sq;
        self.extremes = match (self.extremes, other.extremes) {
            (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
            (a, b) => a.or(b),
        };
    }

    /// Arithmetic mean.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "sums stay below 2^53 for a century of samples; rounding is fine")]
    pub fn mean(&self) -> Option<f64> {
        (self.n > 0).then(|| self.sum as f64 / self.n as f64)
    }

    /// Sample standard deviation (n - 1). The difference that cancels in floats is taken in whole numbers.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "only the exact difference is rounded")]
    pub fn stddev(&self) -> Option<f64> {
        if self.n < 2 {
            return None;
        }
        let n = u128::from(self.n);
        let sum = u128::from(self.sum);
        let spread = (n * self.sum_sq).saturating_sub(sum * sum);
        Some((spread as f64 / (n * (n - 1)) as f64).sqrt())
    }
}

impl Extend<u32> for Moments {
    fn extend<T: IntoIterator<Item = u32>>(&mut self, values: T) {
        values.into_iter().for_each(|value| self.add(value));
    }
}
