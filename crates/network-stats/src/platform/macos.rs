//! macOS.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::{PingGroups, State};

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Not told without an administrator's rights.
pub(crate) fn is_clock_synchronised() -> Option<bool> {
    None
}

/// What kind of file system a path is on: `mount` lists `DEVICE on PLACE (KIND, ...)`.
pub(crate) fn file_system(path: &Path) -> Option<String> {
    let path = std::fs::canonicalize(path).ok()?;
    let mounts = output("mount", &[])?;
    let parsed = mounts.lines().filter_map(|line| {
        let (place, kind) = line.split_once(" on ")?.1.rsplit_once(" (")?;
        let is_above = path.starts_with(place);
        is_above.then(|| (place.len(), kind.split([',', ')']).next().unwrap_or_default().to_owned()))
    });
    parsed.max().map(|(_, kind)| kind)
}

/// Files that this process may have open.
pub(crate) fn open_files() -> Option<u64> {
    let soft = output("sh", &["-c", "ulimit -n"])?;
    if soft.trim() == "unlimited" { Some(u64::MAX) } else { soft.trim().parse().ok() }
}

/// Everybody may ping.
pub(crate) fn ping_groups() -> Option<PingGroups> {
    None
}

/// `nameserver` lines of resolv.conf(5), which the system keeps for programs that look there.
pub(crate) fn name_servers() -> Option<usize> {
    let text = std::fs::read_to_string("/etc/resolv.conf").ok()?;
    Some(text.lines().filter(|line| line.trim_start().starts_with("nameserver")).count())
}

/// Not asked.
pub(crate) fn resident_bytes() -> Option<u64> {
    None
}

/// Whether this process is the administrator's. launchd sets no variable that would say so.
#[expect(unsafe_code, reason = "the user's number has no safe wrapper in std")]
pub(crate) fn is_root() -> bool {
    // SAFETY: the call takes nothing and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// launchd wants to hear nothing.
pub(crate) fn tell(_: State) {}

/// Nor does it ask.
pub(crate) fn watched_within() -> Option<Duration> {
    None
}
