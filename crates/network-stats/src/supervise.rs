//! What the service manager is told: that we run, that we live, that we stop. Where there is none, nobody is told.

use crate::platform::{self, State, tell};

/// A look at the product; it does not come back if something inside stands still.
pub(crate) type Look = Box<dyn Fn() + Send + Sync>;

/// Says that we live twice as often as the manager wants to hear it, as long as looking at the product comes back. Ends
/// at once where nobody wants to hear it.
pub(crate) async fn live(look: Look) {
    let Some(within) = platform::watched_within() else { return };
    let look = std::sync::Arc::new(look);
    loop {
        let look = std::sync::Arc::clone(&look);
        // One look at a time: one that hangs silences us, and the manager starts us again.
        if tokio::task::spawn_blocking(move || look()).await.is_err() {
            return tracing::error!("looking at the product broke: the service manager will start it again");
        }
        tell(State::Alive);
        tokio::time::sleep(within / 2).await;
    }
}
