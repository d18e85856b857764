//! macOS.

use std::time::Duration;

/// `Instant` stands still while the host sleeps.
pub(crate) const COUNTS_SLEEP: bool = false;

/// How long the host has slept since it booted: the continuous clock counts it, the uptime clock does not.
pub(crate) fn asleep() -> Option<Duration> {
    read(libc::CLOCK_MONOTONIC_RAW)?.checked_sub(read(libc::CLOCK_UPTIME_RAW)?)
}

#[expect(unsafe_code, reason = "these clocks have no safe wrapper in std")]
fn read(clock: libc::clockid_t) -> Option<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec that the call fills.
    let is_read = unsafe { libc::clock_gettime(clock, &raw mut time) } == 0;
    is_read.then(|| Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0)))
}

/// Not told without privileges.
pub(crate) fn boot_id() -> String {
    String::new()
}

/// Host name.
pub(crate) fn host() -> String {
    std::env::var("HOSTNAME").unwrap_or_default()
}

/// Nanoseconds of the monotonic clock.
pub(crate) fn monotonic_ns() -> u64 {
    read(libc::CLOCK_UPTIME_RAW).map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(0))
}
