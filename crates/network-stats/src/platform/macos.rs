//! macOS.

use std::path::Path;
use std::process::Command;

use super::PingGroups;

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
