//! How much is done at once, and how much a row may hold.

use std::time::Duration;

/// Decoded batches kept for the projectors that come to the same events a little later.
pub const SHARED_BATCHES: usize = 4;
/// Events of one stretch that a rebuild decodes ahead of the folds.
pub(crate) const EVENTS_AHEAD: u64 = 4_096;
/// Stretches that each decoding thread of a rebuild is ahead, at most.
pub(crate) const BATCHES_AHEAD: usize = 2;
/// Events folded between two commits of a view's rows, at most (a batch more).
pub const EVENTS_PER_COMMIT: u64 = 50_000;
/// How long folded events wait for the commit of their rows, at most.
pub const COMMIT_EVERY: Duration = Duration::from_secs(1);
/// Bytes of a row's key. fjall cuts silently what is over 64 KiB; this is far below.
pub const MAX_ROW_KEY_BYTES: usize = 1_024;
/// Bytes of a row's value.
pub const MAX_ROW_VALUE_BYTES: usize = 16 * 1024 * 1024;
/// How often an idle projector looks whether it is to stop.
pub(crate) const IDLE_LOOK: Duration = Duration::from_millis(100);
/// Between two attempts at a log that cannot be read.
pub(crate) const RETRY_EVERY: Duration = Duration::from_secs(1);
/// Rows removed in one batch when a view is emptied.
pub(crate) const ROWS_PER_REMOVAL: usize = 10_000;
/// Commits after which the store's memtable is written to a table: its journal, where a hole may come from, then
/// reaches back less far than the receipts.
pub(crate) const COMMITS_PER_TABLE: u64 = 4_096;
/// Receipts of commits that the store keeps.
pub(crate) const RECEIPTS: u64 = 4 * COMMITS_PER_TABLE;
