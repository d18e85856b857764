//! How much is done at once.

use std::time::Duration;

/// Decoded batches kept for the projectors that come to the same events a little later.
pub const SHARED_BATCHES: usize = 4;
/// Events folded between two commits of a view's rows, at most (a batch more).
pub const EVENTS_PER_COMMIT: u64 = 50_000;
/// How long folded events wait for the commit of their rows, at most.
pub const COMMIT_EVERY: Duration = Duration::from_secs(1);
/// How often an idle projector looks whether it is to stop.
pub(crate) const IDLE_LOOK: Duration = Duration::from_millis(100);
/// Rows removed in one batch when a view is emptied.
pub(crate) const ROWS_PER_REMOVAL: usize = 10_000;
