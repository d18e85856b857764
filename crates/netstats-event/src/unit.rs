//! Units: wall time in nanoseconds, round trips in whole microseconds.

use std::fmt;
use std::time::Duration;

/// A moment of wall time: nanoseconds since 1970-01-01T00:00:00Z, leap seconds ignored (POSIX time).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From nanoseconds since the Unix epoch.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// From milliseconds since the Unix epoch; saturates past the years 1678 and 2262.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// From seconds since the Unix epoch; saturates past the years 1678 and 2262.
    #[must_use]
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1_000_000_000))
    }

    /// Nanoseconds since the Unix epoch.
    #[must_use]
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// Whole milliseconds since the Unix epoch, rounded down.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Whole seconds since the Unix epoch, rounded down.
    #[must_use]
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1_000_000_000)
    }

    /// This moment and `span` later; saturates.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// This moment and `span` earlier; saturates.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; zero if it is not after.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Cut to whole milliseconds: the resolution at which the log keeps wall times
    /// (`docs/decisions/0001-resolution.md`).
    #[must_use]
    pub const fn to_whole_millis(self) -> Self {
        Self::from_millis(self.as_millis())
    }
}

/// A round trip (RFC 2681 Type-P round-trip delay), in whole microseconds, at least one.
///
/// One microsecond is below the error of the best software time stamps and is what makes a year of pings fit on a
/// small disk (`docs/decisions/0001-resolution.md`). There is no zero and no "infinite": a lost packet has no `Rtt`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rtt(u32);

impl Rtt {
    /// From nanoseconds, rounded to the nearest microsecond; at least 1 us, at most 71 minutes.
    #[must_use]
    pub fn from_nanos(nanos: u64) -> Self {
        Self::from_micros(u32::try_from(nanos.saturating_add(500) / 1_000).unwrap_or(u32::MAX))
    }

    /// From microseconds; 0 becomes 1.
    #[must_use]
    pub const fn from_micros(micros: u32) -> Self {
        Self(if micros == 0 { 1 } else { micros })
    }

    /// Whole microseconds.
    #[must_use]
    pub const fn as_micros(self) -> u32 {
        self.0
    }

    /// Nanoseconds.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0 as u64 * 1_000
    }

    /// Milliseconds, for the doors.
    #[must_use]
    pub fn as_millis_f64(self) -> f64 {
        f64::from(self.0) / 1_000.0
    }
}

impl From<Duration> for Rtt {
    fn from(span: Duration) -> Self {
        Self::from_nanos(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Rtt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} ms", self.as_millis_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_trip_is_never_zero() {
        assert_eq!(Rtt::from_nanos(0).as_micros(), 1);
        assert_eq!(Rtt::from_nanos(400).as_micros(), 1);
        assert_eq!(Rtt::from_nanos(1_500).as_micros(), 2);
        assert_eq!(Rtt::from_nanos(u64::MAX).as_micros(), u32::MAX);
    }

    #[test]
    fn times_before_1970_round_down() {
        assert_eq!(Timestamp::from_nanos(-1).as_millis(), -1);
        assert_eq!(Timestamp::from_nanos(-1).to_whole_millis(), Timestamp::from_millis(-1));
        assert_eq!(Timestamp::from_millis(5).since(Timestamp::from_millis(7)), Duration::ZERO);
    }
}
