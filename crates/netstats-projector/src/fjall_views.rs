//! Views on fjall, all in one keyspace:
//!
//! ```text
//! c VIEW          checkpoint: version u32, position u64, recorded_at i64 (little-endian)
//! r VIEW 0 KEY    a row
//! t number        (empty) the receipt of a commit, numbered from 1 without gaps; u64, big-endian
//! ```
//!
//! Commits are not synced: what a power cut takes is folded again from the log. fjall writes tables of a keyspace by
//! itself, and syncs them; since rows and checkpoint live in one keyspace, a table that outlives the newest part of
//! the journal holds both of the same moment.
//!
//! fjall opens a journal with a hole in it, and a folder with a file missing, without a word; a commit is then gone
//! while later ones are there. The receipts show that. A store that is damaged is removed and everything is folded
//! anew, since nothing in it is a fact.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

use fjall::config::PinningPolicy;
use fjall::{AbstractTree, Database, Keyspace, KeyspaceCreateOptions, LsmError};
use netstats_event::{Position, Timestamp};
use netstats_log::ErrorKind;

use crate::limits::{COMMITS_PER_TABLE, RECEIPTS, ROWS_PER_REMOVAL};
use crate::reader::Error;
use crate::store::check_rows;
use crate::{Checkpoint, RowBatch, ViewStore};

const CACHE_BYTES: u64 = 48 * 1024 * 1024;
const MEMTABLE_BYTES: u64 = 8 * 1024 * 1024;
const MAX_JOURNALING_BYTES: u64 = 64 * 1024 * 1024;
/// Bytes of a journal at which a new one is begun, if it also holds many commits: a rebuild's are large, and it is not
/// held up.
const WORN_JOURNAL_BYTES: u64 = 2 * 1024 * 1024;
const WORN_JOURNAL_COMMITS: u64 = 16;
const UNPOISONED: &str = "no code panics while it holds this lock";

/// Views in a folder.
pub struct FjallViews {
    folder: PathBuf,
    /// None after a failure that fjall's handle does not survive.
    open: RwLock<Option<Open>>,
    /// How many commits there are: one at a time.
    commits: Mutex<u64>,
    /// Bytes committed since the store's journal was begun.
    journaled: AtomicU64,
}

struct Open {
    /// Counted, so that it is known whether somebody reads.
    rows: Arc<Keyspace>,
    // After its keyspace: fjall waits for it when the database goes.
    database: Database,
}

impl std::fmt::Debug for FjallViews {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FjallViews").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl FjallViews {
    /// Opens the views in `folder`, or makes an empty store. A store that is damaged is removed: the views are then
    /// folded anew from the log. The caller holds the log's lock, so that no other process uses the folder.
    ///
    /// # Errors
    /// Unavailable: the folder cannot be used, or another process has it.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, Error> {
        let folder = folder.as_ref().to_owned();
        let views = Self { folder, open: RwLock::new(None), commits: Mutex::new(0), journaled: AtomicU64::new(0) };
        match views.reopen() {
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                tracing::warn!(%error, "the views are damaged and are rebuilt from the log");
                views.wipe()?;
            }
            result => result?,
        }
        Ok(views)
    }

    /// Makes new views beside those in `folder` with `fill`, and puts them in their place when they are whole. Until
    /// then, and if it fails or is cut off, the old ones are as they were.
    ///
    /// # Errors
    /// Those of `fill`. Unavailable: the folders cannot be written. Nobody may have the views open.
    pub fn replace<T>(
        folder: impl AsRef<Path>,
        fill: impl FnOnce(&Arc<dyn ViewStore>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let folder = folder.as_ref();
        let (fresh, old) = (folder.with_extension("new"), folder.with_extension("old"));
        let failed = |error: std::io::Error| {
            let message = format!("the views in {} cannot be replaced: {error}", folder.display());
            Error::new(ErrorKind::Unavailable, message).in_file(folder).because(error)
        };
        // What a rebuild that was cut off left.
        [&fresh, &old].into_iter().try_for_each(|left| remove(left)).map_err(failed)?;
        let filled = {
            let store: Arc<dyn ViewStore> = Arc::new(Self::open(&fresh)?);
            fill(&store)?
        };
        let swap = || {
            match netstats_log::rename(folder, &old) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                // Cut off here there are no views, and the next start folds them.
                _ => netstats_log::rename(&fresh, folder)?,
            }
            remove(&old)
        };
        swap().map_err(failed)?;
        Ok(filled)
    }

    fn read_handle(&self) -> RwLockReadGuard<'_, Option<Open>> {
        self.open.read().expect(UNPOISONED)
    }

    fn write_handle(&self) -> RwLockWriteGuard<'_, Option<Open>> {
        self.open.write().expect(UNPOISONED)
    }

    fn commits(&self) -> MutexGuard<'_, u64> {
        self.commits.lock().expect(UNPOISONED)
    }

    fn reopen(&self) -> Result<(), Error> {
        let mut commits = self.commits();
        let mut handle = self.write_handle();
        self.open_again(&mut commits, &mut handle)
    }

    fn open_again(&self, commits: &mut u64, handle: &mut Option<Open>) -> Result<(), Error> {
        *handle = None;
        let (open, found) = self.try_open()?;
        // What was committed through this handle must be there still: views go on from it, in memory.
        if found < *commits {
            let message = format!("the views have lost {} commits", *commits - found);
            return Err(Error::new(ErrorKind::Corrupt, message).in_file(&self.folder));
        }
        (*handle, *commits) = (Some(open), found);
        Ok(())
    }

    /// Begins a new journal, by opening the store anew: fjall itself does so when 64 MB are written, and what is in them
    /// is in tables long before. Later, if somebody reads just now. What goes wrong is told by the next commit.
    fn renew(&self) {
        let mut commits = self.commits();
        let mut handle = self.write_handle();
        if handle.as_ref().is_none_or(|open| Arc::strong_count(&open.rows) > 1) {
            return;
        }
        *handle = None;
        self.journaled.store(0, Ordering::Relaxed);
        if let Err(error) = begin_journal(&self.folder) {
            tracing::warn!(%error, "the views' journal is not begun anew");
        }
        // Readers wait meanwhile.
        if let Err(error) = self.open_again(&mut commits, &mut handle) {
            tracing::warn!(%error, "the views are opened again with the next commit");
        }
    }

    /// The store and how many commits it has taken.
    fn try_open(&self) -> Result<(Open, u64), Error> {
        // fjall panics on some damaged bytes instead of refusing them.
        let opened = std::panic::catch_unwind(|| -> Result<Open, fjall::Error> {
            let database = Database::builder(&self.folder)
                .cache_size(CACHE_BYTES)
                .max_journaling_size(MAX_JOURNALING_BYTES)
                .worker_threads(1)
                .open()?;
            // Of a large table, index and filter are half a megabyte each: read again for every row, they would cost
            // more than all rows. Who asks for a row knows that it is there, so the last level needs no filter.
            let rows = database.keyspace("rows", || {
                KeyspaceCreateOptions::default()
                    .max_memtable_size(MEMTABLE_BYTES)
                    .index_block_pinning_policy(PinningPolicy::all(true))
                    .filter_block_pinning_policy(PinningPolicy::all(true))
                    .expect_point_read_hits(true)
            })?;
            Ok(Open { rows: Arc::new(rows), database })
        });
        let open = match opened {
            Ok(opened) => opened.map_err(|error| self.error("opened", error))?,
            Err(_) => {
                let message = "opening the views panicked: they are damaged";
                return Err(Error::new(ErrorKind::Corrupt, message).in_file(&self.folder));
            }
        };
        // Without its newest journal fjall counts from 0 again, and what is written then hides behind older rows.
        if open.rows.tree.get_highest_seqno().is_some_and(|highest| open.database.seqno() <= highest) {
            let message = "the newest journal of the views is gone";
            return Err(Error::new(ErrorKind::Corrupt, message).in_file(&self.folder));
        }
        let commits = self.count_receipts(&open.rows)?;
        Ok((open, commits))
    }

    fn count_receipts(&self, rows: &Keyspace) -> Result<u64, Error> {
        let mut numbers = Vec::new();
        for row in rows.prefix(b"t") {
            let key = row.key().map_err(|error| self.error("read", error))?;
            numbers.push(key[1..].try_into().map(u64::from_be_bytes).unwrap_or_default());
        }
        let Some(last) = numbers.last().copied() else { return Ok(0) };
        if numbers.into_iter().eq(first_receipt(last)..=last) {
            return Ok(last);
        }
        let message = format!("of the {last} commits of the views some are missing");
        Err(Error::new(ErrorKind::Corrupt, message).in_file(&self.folder))
    }

    /// The keyspace, for reading without holding up anybody.
    fn rows(&self) -> Result<Arc<Keyspace>, Error> {
        self.read_handle().as_ref().map(|open| open.rows.clone()).ok_or_else(|| self.closed())
    }

    fn closed(&self) -> Error {
        let message = "the views are closed after a failed write and are opened again with the next one";
        Error::new(ErrorKind::Unavailable, message).in_file(&self.folder)
    }

    fn error(&self, done: &str, error: fjall::Error) -> Error {
        let kind = match &error {
            fjall::Error::Locked | fjall::Error::Poisoned => ErrorKind::Unavailable,
            fjall::Error::Io(io) | fjall::Error::Storage(LsmError::Io(io)) if !is_damage(io) => ErrorKind::Unavailable,
            _ => ErrorKind::Corrupt,
        };
        let advice = match &error {
            fjall::Error::Locked => ": another process uses them, stop it first",
            _ if kind == ErrorKind::Unavailable => ": is there room on the disk, and may we write there?",
            _ => "",
        };
        Error::new(kind, format!("the views cannot be {done}: {error}{advice}")).in_file(&self.folder).because(error)
    }

    /// One batch with its receipt: what all writing goes through.
    fn write(&self, changes: &mut dyn Iterator<Item = (Vec<u8>, Option<&[u8]>)>) -> Result<(), Error> {
        let is_closed = self.read_handle().is_none();
        if is_closed {
            self.reopen()?;
        }
        let mut commits = self.commits();
        let number = *commits + 1;
        let mut bytes = 0;
        let result = {
            let handle = self.read_handle();
            let Some(Open { rows, database }) = handle.as_ref() else { return Err(self.closed()) };
            let mut batch = database.batch();
            for (key, value) in changes {
                bytes += (key.len() + value.map_or(0, <[u8]>::len)) as u64;
                match value {
                    Some(value) => batch.insert(rows.as_ref(), key, value),
                    None => batch.remove(rows.as_ref(), key),
                }
            }
            batch.insert(rows.as_ref(), receipt_key(number), []);
            if first_receipt(number) > first_receipt(number - 1) {
                batch.remove(rows.as_ref(), receipt_key(number - RECEIPTS));
            }
            let written = batch.commit();
            if written.is_ok() && number.is_multiple_of(COMMITS_PER_TABLE) {
                rows.rotate_memtable().map(drop)
            } else {
                written
            }
        };
        match result {
            Ok(()) => {
                *commits = number;
                drop(commits);
                let journaled = self.journaled.fetch_add(bytes, Ordering::Relaxed) + bytes;
                if journaled >= WORN_JOURNAL_BYTES.max(WORN_JOURNAL_COMMITS * bytes) {
                    self.renew();
                }
                Ok(())
            }
            Err(error) => {
                // fjall takes nothing more after a failed write; the next one opens it again.
                *self.write_handle() = None;
                Err(self.error("written", error))
            }
        }
    }
}

/// A new, empty journal after the newest: when the store is opened, what the older ones hold goes into tables.
fn begin_journal(folder: &Path) -> std::io::Result<()> {
    let mut newest = None;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let number = path.file_stem().and_then(|name| name.to_str()?.parse::<u64>().ok());
        if path.extension().is_some_and(|extension| extension == "jnl") {
            newest = newest.max(number);
        }
    }
    let Some(newest) = newest else { return Ok(()) };
    std::fs::File::create_new(folder.join(format!("{}.jnl", newest + 1)))?.sync_all()
}

/// Removes a folder if it is there.
fn remove(folder: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// What the system says about files that are not as they should be, rather than about itself.
fn is_damage(error: &std::io::Error) -> bool {
    use std::io::ErrorKind as Io;
    matches!(
        error.kind(),
        Io::NotFound | Io::AlreadyExists | Io::UnexpectedEof | Io::InvalidData | Io::InvalidInput | Io::Other
    )
}

/// The first receipt that is kept when `last` is the newest.
const fn first_receipt(last: u64) -> u64 {
    if last > RECEIPTS { last - RECEIPTS + 1 } else { 1 }
}

fn receipt_key(number: u64) -> Vec<u8> {
    [b"t".as_slice(), &number.to_be_bytes()].concat()
}

fn checkpoint_key(view: &str) -> Vec<u8> {
    [b"c", view.as_bytes()].concat()
}

fn row_key(view: &str, key: &[u8]) -> Vec<u8> {
    [b"r", view.as_bytes(), &[0], key].concat()
}

fn checkpoint_bytes(checkpoint: Checkpoint) -> Vec<u8> {
    let Checkpoint { version, position, recorded_at } = checkpoint;
    [version.to_le_bytes().as_slice(), &position.0.to_le_bytes(), &recorded_at.as_nanos().to_le_bytes()].concat()
}

fn to_checkpoint(bytes: &[u8]) -> Option<Checkpoint> {
    let (version, rest) = bytes.split_first_chunk()?;
    let (position, rest) = rest.split_first_chunk()?;
    Some(Checkpoint {
        version: u32::from_le_bytes(*version),
        position: Position(u64::from_le_bytes(*position)),
        recorded_at: Timestamp::from_nanos(i64::from_le_bytes(rest.try_into().ok()?)),
    })
}

impl ViewStore for FjallViews {
    fn checkpoint(&self, view: &str) -> Result<Option<Checkpoint>, Error> {
        let bytes = self.rows()?.get(checkpoint_key(view)).map_err(|error| self.error("read", error))?;
        Ok(bytes.and_then(|bytes| to_checkpoint(&bytes)))
    }

    fn commit(&self, view: &str, rows: &RowBatch, checkpoint: Checkpoint) -> Result<(), Error> {
        check_rows(view, rows)?;
        let bytes = checkpoint_bytes(checkpoint);
        let rows = rows.changes.iter().map(|(key, value)| (row_key(view, key), value.as_deref()));
        self.write(&mut rows.chain([(checkpoint_key(view), Some(bytes.as_slice()))]))
    }

    fn empty(&self, view: &str) -> Result<(), Error> {
        // Without a checkpoint the rows count for nothing, so a crash half-way is harmless.
        self.write(&mut [(checkpoint_key(view), None)].into_iter())?;
        loop {
            let mut keys = Vec::new();
            for row in self.rows()?.prefix(row_key(view, &[])).take(ROWS_PER_REMOVAL) {
                keys.push(row.key().map_err(|error| self.error("read", error))?.to_vec());
            }
            if keys.is_empty() {
                return Ok(());
            }
            self.write(&mut keys.into_iter().map(|key| (key, None)))?;
        }
    }

    fn get(&self, view: &str, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let value = self.rows()?.get(row_key(view, key)).map_err(|error| self.error("read", error))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn scan(&self, view: &str, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), Error> {
        let skip = view.len() + 2;
        for row in self.rows()?.prefix(row_key(view, prefix)) {
            let (key, value) = row.into_inner().map_err(|error| self.error("read", error))?;
            if !visit(&key[skip..], &value) {
                break;
            }
        }
        Ok(())
    }

    fn range(
        &self,
        view: &str,
        keys: Range<&[u8]>,
        descending: bool,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), Error> {
        let skip = view.len() + 2;
        let keyspace = self.rows()?;
        let mut rows = keyspace.range(row_key(view, keys.start)..row_key(view, keys.end));
        while let Some(row) = if descending { rows.next_back() } else { rows.next() } {
            let (key, value) = row.into_inner().map_err(|error| self.error("read", error))?;
            if !visit(&key[skip..], &value) {
                break;
            }
        }
        Ok(())
    }

    fn wipe(&self) -> Result<(), Error> {
        let mut commits = self.commits();
        let mut handle = self.write_handle();
        *handle = None;
        if let Err(error) = remove(&self.folder) {
            let message = format!("the views cannot be removed: {error}");
            return Err(Error::new(ErrorKind::Unavailable, message).in_file(&self.folder).because(error));
        }
        let (open, found) = self.try_open()?;
        (*handle, *commits) = (Some(open), found);
        Ok(())
    }
}
