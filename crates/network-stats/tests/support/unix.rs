//! Linux and macOS.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// A signal goes to one process here.
pub(crate) fn signalled_alone(command: &mut Command) -> &mut Command {
    command
}

/// Sends a signal by name.
pub(crate) fn signal(process: u32, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &process.to_string()]).status().unwrap();
    assert!(status.success());
}

/// By its rights.
pub(crate) fn close_to_others(folder: &Path) {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
}
