//! What the service manager is told: that we run, that we live, that we stop. Where there is none, nobody is told.

use std::time::Duration;

/// A look at the product; it does not come back if something inside stands still.
pub(crate) type Look = Box<dyn Fn() + Send + Sync>;

/// We run.
pub(crate) fn ready() {
    #[cfg(target_os = "linux")]
    linux::tell(&[sd_notify::NotifyState::Ready]);
    #[cfg(windows)]
    crate::service::report(crate::service::Phase::Running);
}

/// We stop.
pub(crate) fn stopping() {
    #[cfg(target_os = "linux")]
    linux::tell(&[sd_notify::NotifyState::Stopping]);
    #[cfg(windows)]
    crate::service::report(crate::service::Phase::Stopping);
}

/// Says that we live as often as the manager wants to hear it, as long as looking at the product comes back. Ends at
/// once where nobody wants to hear it.
pub(crate) async fn live(look: Look) {
    let Some(every) = watched_every() else { return };
    let look = std::sync::Arc::new(look);
    loop {
        let look = std::sync::Arc::clone(&look);
        // One look at a time: one that hangs silences us, and the manager starts us again.
        if tokio::task::spawn_blocking(move || look()).await.is_err() {
            return tracing::error!("looking at the product broke: the service manager will start it again");
        }
        #[cfg(target_os = "linux")]
        linux::tell(&[sd_notify::NotifyState::Watchdog]);
        tokio::time::sleep(every).await;
    }
}

/// Twice as often as the manager asks for.
fn watched_every() -> Option<Duration> {
    #[cfg(target_os = "linux")]
    return sd_notify::watchdog_enabled().map(|within| within / 2);
    #[cfg(not(target_os = "linux"))]
    None
}

#[cfg(target_os = "linux")]
mod linux {
    /// To systemd, if it started us.
    pub(super) fn tell(state: &[sd_notify::NotifyState<'_>]) {
        if let Err(error) = sd_notify::notify(state) {
            tracing::warn!(%error, "the service manager cannot be told how we do");
        }
    }
}
