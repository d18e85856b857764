//! What the system says of itself, and the only place of this crate where `unsafe` may be.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub(crate) use linux::{file_system, is_clock_synchronised, open_files, ping_groups};

#[cfg(target_os = "macos")]
mod macos;
#[cfg(target_os = "macos")]
pub(crate) use macos::{file_system, is_clock_synchronised, open_files, ping_groups};

#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub(crate) use windows::{file_system, is_clock_synchronised, open_files, ping_groups, speak_utf8};

/// Who may ping without privileges, and whether this process is one of them (Linux).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "only Linux has such a range"))]
pub(crate) struct PingGroups {
    /// The range of groups, as the kernel gives it.
    pub(crate) range: (u32, u32),
    /// Groups of this process.
    pub(crate) own: Vec<u32>,
    /// It may open raw sockets.
    pub(crate) has_raw: bool,
}
