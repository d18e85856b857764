//! Linux.

use std::time::Duration;

/// `Instant` stands still while the host sleeps.
pub(crate) const COUNTS_SLEEP: bool = false;

/// How long the host has slept since it booted: the boot-time clock counts it, the monotonic clock does not.
pub(crate) fn asleep() -> Option<Duration> {
    let (before, boot, after) =
        (read(libc::CLOCK_MONOTONIC)?, read(libc::CLOCK_BOOTTIME)?, read(libc::CLOCK_MONOTONIC)?);
    // The two clocks are read one after the other; the middle of the bracket halves the error.
    boot.checked_sub((before + after) / 2)
}

#[expect(unsafe_code, reason = "the boot-time clock has no safe wrapper in std")]
fn read(clock: libc::clockid_t) -> Option<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec that the call fills.
    let is_read = unsafe { libc::clock_gettime(clock, &raw mut time) } == 0;
    is_read.then(|| Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0)))
}

/// This boot, by the kernel's name for it.
pub(crate) fn boot_id() -> String {
    line("/proc/sys/kernel/random/boot_id")
}

/// Host name.
pub(crate) fn host() -> String {
    line("/proc/sys/kernel/hostname")
}

fn line(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

/// Nanoseconds of the monotonic clock.
pub(crate) fn monotonic_ns() -> u64 {
    read(libc::CLOCK_MONOTONIC).map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(0))
}
