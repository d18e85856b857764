//! The clocks, as probes read them.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use netstats_event::Rtt;

#[expect(clippy::disallowed_methods, reason = "a probe reads the monotonic clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Nanoseconds of the clock that the kernel stamps packets with.
#[expect(clippy::disallowed_methods, reason = "kernel time stamps are wall time; steps are looked for and flagged")]
#[cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "of the Linux engine, which times with the kernel's stamps")
)]
pub(crate) fn wall_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// How long ago `begin` was.
pub(crate) fn since(begin: Instant) -> Rtt {
    span(begin, now())
}

pub(crate) fn span(begin: Instant, end: Instant) -> Rtt {
    Rtt::from_nanos(u64::try_from(end.saturating_duration_since(begin).as_nanos()).unwrap_or(u64::MAX))
}
