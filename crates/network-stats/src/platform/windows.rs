//! Windows.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::windows::ffi::OsStrExt;
use std::path::{Component, Path, Prefix};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use windows_sys::Win32::Globalization::CP_UTF8;
use windows_sys::Win32::Storage::FileSystem::GetDriveTypeW;
use windows_sys::Win32::System::Console::SetConsoleOutputCP;
use windows_sys::Win32::System::ProcessStatus::{K32GetProcessMemoryInfo, PROCESS_MEMORY_COUNTERS};
use windows_sys::Win32::System::Threading::GetCurrentProcess;

use super::service::{Phase, report};
use super::{PingGroups, State};
use crate::signal::Signal;

/// Where the system is told how names resolve.
pub(crate) const RESOLVER: &str =
    "look at the name servers of the network adapter, and at System32\\drivers\\etc\\hosts";
/// Scanners open files while they are written.
pub(crate) const HAS_SCANNERS: bool = true;
/// `DRIVE_REMOTE` and `DRIVE_RAMDISK` of `GetDriveTypeW`.
const REMOTE: u32 = 4;
const RAM_DISK: u32 = 6;

/// Names and messages are UTF-8; the console is told so.
#[expect(unsafe_code, reason = "the console has no safe wrapper in std")]
pub(crate) fn speak_utf8() {
    // SAFETY: takes a number; without a console it does nothing.
    let _ = unsafe { SetConsoleOutputCP(CP_UTF8) };
}

/// The time service's word: it answers with success only while it runs and knows a source.
pub(crate) fn is_clock_synchronised() -> Option<bool> {
    let output = Command::new("w32tm").args(["/query", "/source"]).output().ok()?;
    let source = String::from_utf8_lossy(&output.stdout).into_owned();
    Some(output.status.success() && !source.contains("Local CMOS Clock") && !source.contains("Free-running"))
}

/// `network`, `ram`, or `local`: Windows tells no more without opening the volume.
#[expect(unsafe_code, reason = "the drive's type has no safe wrapper in std")]
pub(crate) fn file_system(path: &Path) -> Option<String> {
    let path = std::path::absolute(path).ok()?;
    let Some(Component::Prefix(prefix)) = path.components().next() else { return None };
    if matches!(prefix.kind(), Prefix::UNC(..) | Prefix::VerbatimUNC(..)) {
        return Some("network".to_owned());
    }
    let root: Vec<u16> = prefix.as_os_str().encode_wide().chain("\\\0".encode_utf16()).collect();
    // SAFETY: `root` ends with a zero and lives until the call is over.
    let kind = unsafe { GetDriveTypeW(root.as_ptr()) };
    let name = match kind {
        REMOTE => "network",
        RAM_DISK => "ram",
        _ => "local",
    };
    Some(name.to_owned())
}

/// There is no such limit that one could meet.
pub(crate) fn open_files() -> Option<u64> {
    None
}

/// Everybody may ping.
pub(crate) fn ping_groups() -> Option<PingGroups> {
    None
}

/// Not told in a file.
pub(crate) fn name_servers() -> Option<usize> {
    None
}

/// Memory of this process that is in RAM: its working set.
#[expect(unsafe_code, reason = "a process's memory has no safe wrapper in std")]
pub(crate) fn resident_bytes() -> Option<u64> {
    let mut counters = PROCESS_MEMORY_COUNTERS::default();
    let size = u32::try_from(size_of::<PROCESS_MEMORY_COUNTERS>()).ok()?;
    // SAFETY: `counters` is as long as we say, and this process's own handle needs no closing.
    let is_read = unsafe { K32GetProcessMemoryInfo(GetCurrentProcess(), &raw mut counters, size) } != 0;
    is_read.then(|| u64::try_from(counters.WorkingSetSize).ok()).flatten()
}

/// There is none: data is in one place for all.
pub(crate) fn is_root() -> bool {
    false
}

/// Rights are access lists here.
pub(crate) fn mode(_: &Path) -> Option<u32> {
    None
}

/// What is made has the folder's access list, which the service's installation closes to others.
pub(crate) fn for_owner(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// Makes a folder.
///
/// # Errors
/// The system refuses.
pub(crate) fn make_folder(path: &Path) -> Result<()> {
    Ok(fs::create_dir_all(path)?)
}

/// Tells the service manager, if it started us; it does not ask whether we live.
pub(crate) fn tell(state: State) {
    match state {
        State::Running => report(Phase::Running),
        State::Stopping => report(Phase::Stopping),
        State::Alive => {}
    }
}

/// It does not ask.
pub(crate) fn watched_within() -> Option<Duration> {
    None
}

/// What the service manager of Windows wishes: it has no signals.
mod wishes {
    pub(super) static STOP: tokio::sync::Notify = tokio::sync::Notify::const_new();
    pub(super) static RELOAD: tokio::sync::Notify = tokio::sync::Notify::const_new();
}

/// A stop, as if by a signal.
pub(crate) fn stop() {
    wishes::STOP.notify_one();
}

/// A reload, as if by a signal.
pub(crate) fn reload() {
    wishes::RELOAD.notify_one();
}

/// Ctrl-C, Ctrl-Break, the closed window, the shutdown, and the service manager.
pub(crate) struct Signals {
    c: tokio::signal::windows::CtrlC,
    break_: tokio::signal::windows::CtrlBreak,
    close: tokio::signal::windows::CtrlClose,
    shutdown: tokio::signal::windows::CtrlShutdown,
}

impl Signals {
    /// From now on they are ours.
    ///
    /// # Errors
    /// The system refuses.
    pub(crate) fn new() -> io::Result<Self> {
        use tokio::signal::windows::{ctrl_break, ctrl_c, ctrl_close, ctrl_shutdown};
        Ok(Self { c: ctrl_c()?, break_: ctrl_break()?, close: ctrl_close()?, shutdown: ctrl_shutdown()? })
    }

    /// The next one.
    pub(crate) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.c.recv() => Signal::Stop,
            _ = self.break_.recv() => Signal::Stop,
            _ = self.close.recv() => Signal::Stop,
            _ = self.shutdown.recv() => Signal::Stop,
            () = wishes::STOP.notified() => Signal::Stop,
            () = wishes::RELOAD.notified() => Signal::Reload,
        }
    }
}
