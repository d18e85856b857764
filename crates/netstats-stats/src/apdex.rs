//! Apdex: one number for how satisfied waiting people are.

use crate::summary::count;

/// How many were satisfied (within T), tolerating (within 4 T) and frustrated (beyond, or nothing came back).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Apdex {
    /// Within T.
    pub satisfied: usize,
    /// Within 4 T.
    pub tolerating: usize,
    /// Beyond, or lost.
    pub frustrated: usize,
}

impl Apdex {
    /// `(satisfied + tolerating / 2) / n`; none of nothing.
    #[must_use]
    pub fn score(self) -> Option<f64> {
        let n = self.satisfied + self.tolerating + self.frustrated;
        (n > 0).then(|| (count(self.satisfied) + count(self.tolerating) / 2.0) / count(n))
    }
}

/// Counts response times (none: lost) against the threshold T, in the same unit.
#[must_use]
pub fn apdex(times: impl IntoIterator<Item = Option<f64>>, t: f64) -> Apdex {
    let mut counts = Apdex::default();
    for time in times {
        match time {
            Some(time) if time <= t => counts.satisfied += 1,
            Some(time) if time <= 4.0 * t => counts.tolerating += 1,
            _ => counts.frustrated += 1,
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_answer_frustrates() {
        let counts = apdex([Some(0.5), Some(1.0), Some(3.0), Some(9.0), None], 1.0);
        assert_eq!(counts, Apdex { satisfied: 2, tolerating: 1, frustrated: 2 });
        assert_eq!(counts.score(), Some(0.5));
        assert_eq!(Apdex::default().score(), None);
    }
}
