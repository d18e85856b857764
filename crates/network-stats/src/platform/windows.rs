//! Windows.

use std::os::windows::ffi::OsStrExt;
use std::path::{Component, Path, Prefix};
use std::process::Command;

use windows_sys::Win32::Globalization::CP_UTF8;
use windows_sys::Win32::Storage::FileSystem::GetDriveTypeW;
use windows_sys::Win32::System::Console::SetConsoleOutputCP;

use super::PingGroups;

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
