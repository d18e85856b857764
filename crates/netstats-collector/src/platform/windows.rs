//! Windows.

use std::time::Duration;

use windows_sys::Win32::System::SystemInformation::GetTickCount64;
use windows_sys::Win32::System::WindowsProgramming::QueryUnbiasedInterruptTime;

/// The performance counter that `Instant` reads goes on while the host sleeps.
pub(crate) const COUNTS_SLEEP: bool = true;

/// How long the host has slept since it booted, to some 16 ms: the tick count counts it, the unbiased time does not.
#[expect(unsafe_code, reason = "these clocks have no safe wrapper in std")]
pub(crate) fn asleep() -> Option<Duration> {
    let mut awake_100ns = 0;
    // SAFETY: `awake_100ns` is a number that the call fills.
    let is_read = unsafe { QueryUnbiasedInterruptTime(&raw mut awake_100ns) } != 0;
    // SAFETY: takes nothing.
    let all = Duration::from_millis(unsafe { GetTickCount64() });
    is_read.then(|| all.saturating_sub(Duration::from_nanos(awake_100ns.saturating_mul(100))))
}

/// Not told.
pub(crate) fn boot_id() -> String {
    String::new()
}

/// Host name.
pub(crate) fn host() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_default()
}

/// Not read: the wall clock of the event orders runs well enough here.
pub(crate) fn monotonic_ns() -> u64 {
    0
}
