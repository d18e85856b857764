//! What the system or the terminal tells us.

use std::io;

/// A wish from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// End in order.
    Stop,
    /// Take up the config file again.
    Reload,
}

/// SIGINT, SIGTERM, SIGHUP.
#[cfg(unix)]
pub(crate) struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

#[cfg(unix)]
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

/// What the service manager of Windows wishes: it has no signals.
#[cfg(windows)]
mod wishes {
    pub(super) static STOP: tokio::sync::Notify = tokio::sync::Notify::const_new();
    pub(super) static RELOAD: tokio::sync::Notify = tokio::sync::Notify::const_new();
}

/// A stop, as if by a signal.
#[cfg(windows)]
pub(crate) fn stop() {
    wishes::STOP.notify_one();
}

/// A reload, as if by a signal.
#[cfg(windows)]
pub(crate) fn reload() {
    wishes::RELOAD.notify_one();
}

/// Ctrl-C, Ctrl-Break, the closed window, the shutdown, and the service manager.
#[cfg(windows)]
pub(crate) struct Signals {
    c: tokio::signal::windows::CtrlC,
    break_: tokio::signal::windows::CtrlBreak,
    close: tokio::signal::windows::CtrlClose,
    shutdown: tokio::signal::windows::CtrlShutdown,
}

#[cfg(windows)]
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
