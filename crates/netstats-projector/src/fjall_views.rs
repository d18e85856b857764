//! Views on fjall. Keys are the view's name, a zero byte, and the row's key; checkpoints stand in a keyspace of their
//! own and are written in the same batch as their rows.
//!
//! Batches are not synced: what a power cut takes is folded again from the log. A store that does not open is set
//! aside and rebuilt, since nothing in it is a fact.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions};
use netstats_event::Position;
use netstats_log::ErrorKind;

use crate::limits::ROWS_PER_REMOVAL;
use crate::reader::Error;
use crate::{Checkpoint, RowBatch, ViewStore};

const CACHE_BYTES: u64 = 32 * 1024 * 1024;
const MAX_JOURNALING_BYTES: u64 = 128 * 1024 * 1024;

/// Views in a folder.
pub struct FjallViews {
    rows: Keyspace,
    checkpoints: Keyspace,
    // After its keyspaces: fjall waits for them when the database goes.
    database: Database,
}

impl std::fmt::Debug for FjallViews {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FjallViews").finish_non_exhaustive()
    }
}

impl FjallViews {
    /// Opens the views in `folder`, or makes an empty store. A store that is damaged is removed: the views are then
    /// folded anew from the log. The caller holds the log's lock, so that no other process uses the folder.
    ///
    /// # Errors
    /// Unavailable: the folder cannot be used, or another process has it.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, Error> {
        let folder = folder.as_ref();
        // fjall panics on some damaged bytes instead of refusing them.
        let damage = match std::panic::catch_unwind(|| Self::try_open(folder)) {
            Ok(Ok(views)) => return Ok(views),
            Ok(Err(error @ (fjall::Error::Locked | fjall::Error::Io(_)))) => {
                return Err(unavailable("opened", &error).in_file(folder));
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "opening them panicked".to_owned(),
        };
        tracing::warn!(%damage, folder = %folder.display(), "the views are damaged and are rebuilt from the log");
        std::fs::remove_dir_all(folder).map_err(|error| unavailable("removed", &error).in_file(folder))?;
        Self::try_open(folder).map_err(|error| unavailable("opened", &error).in_file(folder))
    }

    fn try_open(folder: &Path) -> Result<Self, fjall::Error> {
        let database = Database::builder(folder)
            .cache_size(CACHE_BYTES)
            .max_journaling_size(MAX_JOURNALING_BYTES)
            .worker_threads(1)
            .open()?;
        let rows = database.keyspace("rows", KeyspaceCreateOptions::default)?;
        let checkpoints = database.keyspace("checkpoints", KeyspaceCreateOptions::default)?;
        Ok(Self { rows, checkpoints, database })
    }
}

fn unavailable(done: &str, error: &(dyn std::error::Error + 'static)) -> Error {
    Error::new(ErrorKind::Unavailable, format!("the views cannot be {done}: {error}"))
}

fn full_key(view: &str, key: &[u8]) -> Vec<u8> {
    let mut full = Vec::with_capacity(view.len() + 1 + key.len());
    full.extend_from_slice(view.as_bytes());
    full.push(0);
    full.extend_from_slice(key);
    full
}

impl ViewStore for FjallViews {
    fn checkpoint(&self, view: &str) -> Result<Option<Checkpoint>, Error> {
        let bytes = self.checkpoints.get(view).map_err(|error| unavailable("read", &error))?;
        Ok(bytes.and_then(|bytes| {
            let (version, position) = bytes.split_first_chunk::<4>()?;
            Some(Checkpoint {
                version: u32::from_le_bytes(*version),
                position: Position(u64::from_le_bytes(position.try_into().ok()?)),
            })
        }))
    }

    fn commit(&self, view: &str, rows: RowBatch, checkpoint: Checkpoint) -> Result<(), Error> {
        let mut batch = self.database.batch();
        for (key, value) in rows.changes {
            match value {
                Some(value) => batch.insert(&self.rows, full_key(view, &key), value),
                None => batch.remove(&self.rows, full_key(view, &key)),
            }
        }
        let mut bytes = checkpoint.version.to_le_bytes().to_vec();
        bytes.extend_from_slice(&checkpoint.position.0.to_le_bytes());
        batch.insert(&self.checkpoints, view, bytes);
        batch.commit().map_err(|error| unavailable("written", &error))
    }

    fn empty(&self, view: &str) -> Result<(), Error> {
        // Without a checkpoint the rows count for nothing, so a crash half-way is harmless.
        self.checkpoints.remove(view).map_err(|error| unavailable("written", &error))?;
        loop {
            let mut batch = self.database.batch();
            let mut removed = 0;
            for row in self.rows.prefix(full_key(view, &[])).take(ROWS_PER_REMOVAL) {
                let key = row.key().map_err(|error| unavailable("read", &error))?;
                batch.remove(&self.rows, key);
                removed += 1;
            }
            if removed == 0 {
                return Ok(());
            }
            batch.commit().map_err(|error| unavailable("written", &error))?;
        }
    }

    fn get(&self, view: &str, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let value = self.rows.get(full_key(view, key)).map_err(|error| unavailable("read", &error))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn scan(&self, view: &str, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), Error> {
        let skip = view.len() + 1;
        for row in self.rows.prefix(full_key(view, prefix)) {
            let (key, value) = row.into_inner().map_err(|error| unavailable("read", &error))?;
            if !visit(&key[skip..], &value) {
                break;
            }
        }
        Ok(())
    }
}
