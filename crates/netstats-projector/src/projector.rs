//! What a projector is.

use std::ops::Range;
use std::sync::Arc;

use netstats_event::{Envelope, Position};

use crate::reader::Error;

/// Folds events into a view: state in memory for queries, rows in the view store so that a start need not fold
/// everything again. Pure: no clock, no I/O, no randomness, no order that depends on hashing.
pub trait Projector: Send + 'static {
    /// Unique, stable: it names the view's rows.
    fn name(&self) -> &'static str;

    /// Raised when the fold or its rows change: the view is then rebuilt from the log.
    fn version(&self) -> u32;

    /// True for a projector that keeps nothing and cares for what comes only: it starts at the log's end, has no rows,
    /// and its `load` and `flush` are never called.
    fn starts_at_tail(&self) -> bool {
        false
    }

    /// Tells a projector that starts at the tail after which event that is.
    fn started_after(&mut self, _position: Position) {}

    /// Hands over a reader of this view's rows that queries may use from any thread, for answers that are not kept in
    /// memory. It shows what is stored: a row of the last `flush` is there, at the latest, when `flush` or `load` is
    /// called again. Called before `load`, and again when the rows move (a rebuild).
    fn attach(&mut self, _rows: Arc<dyn RowReader>) {}

    /// Takes up the state that the rows hold (empty rows: the state before the first event).
    ///
    /// # Errors
    /// The rows cannot be read: the runner rebuilds.
    fn load(&mut self, rows: &dyn RowReader) -> Result<(), Error>;

    /// Folds a run of consecutive events. Queries see all of it or nothing of it.
    fn apply(&mut self, events: &[Envelope]);

    /// Puts what changed since the last call into `rows`. The rows after any sequence of `apply` and `flush` depend
    /// on the events alone, not on how they were cut into calls.
    fn flush(&mut self, rows: &mut RowBatch);
}

/// Reads a view's rows.
pub trait RowReader: Send + Sync + 'static {
    /// One row.
    ///
    /// # Errors
    /// The store cannot be read.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error>;

    /// All rows whose key starts with `prefix`, by key; stops when `visit` returns false.
    ///
    /// # Errors
    /// The store cannot be read.
    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), Error>;

    /// The rows whose keys are in `keys`, by key, or the last first if `descending`; stops when `visit` returns false.
    ///
    /// # Errors
    /// The store cannot be read.
    fn range(
        &self,
        keys: Range<&[u8]>,
        descending: bool,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), Error>;
}

/// Rows to write, together with the checkpoint, in one atomic batch.
#[derive(Debug, Default)]
pub struct RowBatch {
    /// Key and new value; none removes.
    pub changes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl RowBatch {
    /// Writes a row.
    pub fn put(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.changes.push((key.into(), Some(value.into())));
    }

    /// Removes a row.
    pub fn remove(&mut self, key: impl Into<Vec<u8>>) {
        self.changes.push((key.into(), None));
    }
}
