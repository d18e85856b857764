//! What the system tells about itself.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub(crate) use linux::{COUNTS_SLEEP, asleep, boot_id, host, monotonic_ns};

#[cfg(target_os = "macos")]
mod macos;
#[cfg(target_os = "macos")]
pub(crate) use macos::{COUNTS_SLEEP, asleep, boot_id, host, monotonic_ns};

#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub(crate) use windows::{COUNTS_SLEEP, asleep, boot_id, host, monotonic_ns};
