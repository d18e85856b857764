//! What differs between systems, and the only place of this crate where `unsafe` may be.

mod gateway;
pub(crate) mod service;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux as system;

#[cfg(target_os = "macos")]
mod macos;
#[cfg(target_os = "macos")]
use macos as system;

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(crate) use unix::{HAS_SCANNERS, RESOLVER, Signals, for_owner, make_folder, mode, speak_utf8};

#[cfg(windows)]
mod windows;
#[cfg(windows)]
use windows as system;
#[cfg(windows)]
pub(crate) use windows::{HAS_SCANNERS, RESOLVER, Signals, for_owner, make_folder, mode, speak_utf8};

pub(crate) use gateway::find as gateway;
pub(crate) use system::{
    file_system, is_clock_synchronised, is_root, name_servers, open_files, ping_groups, resident_bytes, tell,
    watched_within,
};

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

/// What the service manager is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Running,
    /// Still.
    Alive,
    Stopping,
}
