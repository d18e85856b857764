//! Windows.

use std::time::Duration;

/// Not told: the performance counter that `Instant` reads goes on while the host sleeps, so a sleep shows as a stall.
pub(crate) fn asleep() -> Option<Duration> {
    None
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
