//! A small disk that fills up: a tmpfs of its own, for root.
#![allow(dead_code, reason = "each test file uses its part")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) const MIB: u64 = 1024 * 1024;

/// A mounted tmpfs, unmounted at the end.
pub(crate) struct Disk(tempfile::TempDir);

impl Disk {
    /// Mounts one; none, after it said so, where that is not allowed.
    pub(crate) fn mount(mib: u64) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={mib}m");
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).output();
        if done.is_ok_and(|output| output.status.success()) {
            return Some(Self(folder));
        }
        println!("SKIP: a tmpfs cannot be mounted here (needs root)");
        None
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn grow(&self, mib: u64) {
        let size = format!("remount,size={mib}m");
        assert!(Command::new("mount").args(["-o", &size]).arg(self.0.path()).status().unwrap().success());
    }

    /// Another program takes all room but for `left` bytes (all of it: 0).
    pub(crate) fn fill(&self, left: u64) -> Hog {
        let path = self.0.path().join("hog");
        let output = Command::new("df").args(["--block-size=1", "--output=avail"]).arg(self.0.path()).output().unwrap();
        let free: u64 = String::from_utf8(output.stdout).unwrap().lines().last().unwrap().trim().parse().unwrap();
        let _ = fs::write(&path, vec![1; free.saturating_sub(left) as usize]);
        Hog(path)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

/// The file that takes the room.
pub(crate) struct Hog(PathBuf);

impl Hog {
    pub(crate) fn make_room(self) {
        fs::remove_file(&self.0).unwrap();
    }
}
