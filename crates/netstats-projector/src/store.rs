//! Where rows live: by view and key, each view with a checkpoint that moves in the same batch as its rows.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use std::sync::{Arc, Mutex, MutexGuard};

use netstats_event::{Position, Timestamp};
use netstats_log::ErrorKind;

use crate::limits::{MAX_ROW_KEY_BYTES, MAX_ROW_VALUE_BYTES};
use crate::reader::Error;
use crate::{RowBatch, RowReader};

/// How far a view's rows go, and which fold made them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// [`Projector::version`](crate::Projector::version) of the fold.
    pub version: u32,
    /// The last event in the rows.
    pub position: Position,
    /// When that event was recorded: the rows are of this log only if its event at that position says the same.
    pub recorded_at: Timestamp,
}

/// A store of views. All of it is derived: it may be deleted at any time.
pub trait ViewStore: Send + Sync + 'static {
    /// A view's checkpoint; none if it has no rows yet, or is being emptied.
    ///
    /// # Errors
    /// Unavailable: the store cannot be read now. Corrupt: it never will be, [`wipe`](Self::wipe) it.
    fn checkpoint(&self, view: &str) -> Result<Option<Checkpoint>, Error>;

    /// Writes rows and checkpoint: both or neither, whatever happens. Of several changes to a row the last one counts.
    ///
    /// # Errors
    /// Invalid: a row is over its limit. Unavailable: not now; try the same again. Corrupt: the store has lost
    /// something that was committed, and no view in it can be gone on with.
    fn commit(&self, view: &str, rows: &RowBatch, checkpoint: Checkpoint) -> Result<(), Error>;

    /// Removes a view's checkpoint, then its rows.
    ///
    /// # Errors
    /// The store cannot be written.
    fn empty(&self, view: &str) -> Result<(), Error>;

    /// One row.
    ///
    /// # Errors
    /// The store cannot be read.
    fn get(&self, view: &str, key: &[u8]) -> Result<Option<Vec<u8>>, Error>;

    /// All rows of a view whose key starts with `prefix`, by key; stops when `visit` returns false.
    ///
    /// # Errors
    /// The store cannot be read.
    fn scan(&self, view: &str, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), Error>;

    /// The rows of a view whose keys are in `keys`, as [`RowReader::range`].
    ///
    /// # Errors
    /// The store cannot be read.
    fn range(
        &self,
        view: &str,
        keys: Range<&[u8]>,
        descending: bool,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), Error>;

    /// Removes all views, readable or not.
    ///
    /// # Errors
    /// Unavailable: it cannot be removed now.
    fn wipe(&self) -> Result<(), Error>;
}

/// Refuses rows that are over the limits.
pub(crate) fn check_rows(view: &str, rows: &RowBatch) -> Result<(), Error> {
    let is_over = |(key, value): &&(Vec<u8>, Option<Vec<u8>>)| {
        key.len() > MAX_ROW_KEY_BYTES || value.as_ref().is_some_and(|value| value.len() > MAX_ROW_VALUE_BYTES)
    };
    rows.changes.iter().find(is_over).map_or(Ok(()), |(key, value)| {
        let message = format!(
            "a row of the view {view} has a key of {} bytes and a value of {}; the limits are {MAX_ROW_KEY_BYTES} and \
             {MAX_ROW_VALUE_BYTES}",
            key.len(),
            value.as_ref().map_or(0, Vec::len)
        );
        Err(Error::new(ErrorKind::Invalid, message))
    })
}

/// The rows of one view.
#[derive(Clone)]
pub(crate) struct ViewRows {
    pub(crate) store: Arc<dyn ViewStore>,
    pub(crate) view: &'static str,
}

impl RowReader for ViewRows {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.store.get(self.view, key)
    }

    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), Error> {
        self.store.scan(self.view, prefix, visit)
    }

    fn range(
        &self,
        keys: Range<&[u8]>,
        descending: bool,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), Error> {
        self.store.range(self.view, keys, descending, visit)
    }
}

/// BLAKE3 over a view's checkpoint position and rows in the order of their keys: two views are the same if their
/// digests are.
///
/// # Errors
/// The store cannot be read.
pub fn digest(store: &dyn ViewStore, view: &str) -> Result<[u8; 32], Error> {
    let mut hasher = blake3::Hasher::new();
    let position = store.checkpoint(view)?.map_or(0, |checkpoint| checkpoint.position.0);
    hasher.update(&position.to_le_bytes());
    store.scan(view, &[], &mut |key, value| {
        for bytes in [key, value] {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        }
        true
    })?;
    Ok(hasher.finalize().into())
}

/// Views in memory: for tests, simulations and comparisons.
#[derive(Debug, Default)]
pub struct MemoryViews {
    views: Mutex<BTreeMap<String, MemoryView>>,
}

#[derive(Debug, Default)]
struct MemoryView {
    checkpoint: Option<Checkpoint>,
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl MemoryViews {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn views(&self) -> MutexGuard<'_, BTreeMap<String, MemoryView>> {
        self.views.lock().expect("no code panics while it holds the views")
    }
}

impl ViewStore for MemoryViews {
    fn checkpoint(&self, view: &str) -> Result<Option<Checkpoint>, Error> {
        Ok(self.views().get(view).and_then(|view| view.checkpoint))
    }

    fn commit(&self, view: &str, rows: &RowBatch, checkpoint: Checkpoint) -> Result<(), Error> {
        check_rows(view, rows)?;
        let mut views = self.views();
        let view = views.entry(view.to_owned()).or_default();
        for (key, value) in &rows.changes {
            match value {
                Some(value) => view.rows.insert(key.clone(), value.clone()),
                None => view.rows.remove(key),
            };
        }
        view.checkpoint = Some(checkpoint);
        Ok(())
    }

    fn empty(&self, view: &str) -> Result<(), Error> {
        self.views().remove(view);
        Ok(())
    }

    fn get(&self, view: &str, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.views().get(view).and_then(|view| view.rows.get(key).cloned()))
    }

    fn scan(&self, view: &str, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), Error> {
        // Copied out first: `visit` may come back to the store.
        let rows: Vec<(Vec<u8>, Vec<u8>)> = self.views().get(view).map_or_else(Vec::new, |view| {
            let from_prefix = view.rows.range(prefix.to_vec()..);
            from_prefix
                .take_while(|(key, _)| key.starts_with(prefix))
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect()
        });
        let _ = rows.iter().all(|(key, value)| visit(key, value));
        Ok(())
    }

    fn range(
        &self,
        view: &str,
        keys: Range<&[u8]>,
        descending: bool,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), Error> {
        // Copied out first, as above.
        let rows: Vec<(Vec<u8>, Vec<u8>)> =
            self.views().get(view).filter(|_| keys.start < keys.end).map_or_else(Vec::new, |view| {
                let found = view.rows.range::<[u8], _>((Bound::Included(keys.start), Bound::Excluded(keys.end)));
                found.map(|(key, value)| (key.clone(), value.clone())).collect()
            });
        let _ = if descending {
            rows.iter().rev().all(|(key, value)| visit(key, value))
        } else {
            rows.iter().all(|(key, value)| visit(key, value))
        };
        Ok(())
    }

    fn wipe(&self) -> Result<(), Error> {
        self.views().clear();
        Ok(())
    }
}
