//! Linux and macOS.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Result, bail};

use crate::signal::Signal;

/// Where the system is told how names resolve.
pub(crate) const RESOLVER: &str = "look at /etc/hosts and /etc/nsswitch.conf";
/// Nothing looks into each file that is written.
pub(crate) const HAS_SCANNERS: bool = false;

/// Terminals speak it.
pub(crate) fn speak_utf8() {}

/// Rights of a file or folder.
pub(crate) fn mode(path: &Path) -> Option<u32> {
    Some(fs::metadata(path).ok()?.permissions().mode() & 0o777)
}

/// What is made is for its owner alone.
pub(crate) fn for_owner(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600)
}

/// Makes a folder for its owner alone, or closes one to others that is there.
///
/// # Errors
/// The system refuses; others can read it, and it holds other things than ours.
pub(crate) fn make_folder(path: &Path) -> Result<()> {
    if !path.exists() {
        return Ok(fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?);
    }
    let mode = fs::metadata(path)?.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    // A folder made for us (mkdir, StateDirectory=) is closed; a folder with other things in it is left alone.
    let is_ours = path.join("log").is_dir() || fs::read_dir(path)?.next().is_none();
    if !is_ours {
        bail!(
            "others can read it (mode {mode:03o}) and it holds other things: give a folder of its own, or chmod 700 it"
        );
    }
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o700))?)
}

/// SIGINT, SIGTERM, SIGHUP.
pub(crate) struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

impl Signals {
    /// From now on they are ours.
    ///
    /// # Errors
    /// The system refuses.
    pub(crate) fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// The next one.
    pub(crate) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.hang_up.recv() => Signal::Reload,
        }
    }
}
