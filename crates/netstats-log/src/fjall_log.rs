//! The engine on fjall. fjall is the store, not the proof: what must be in it is known outside of it (`manifest.rs`).
//!
//! ```text
//!   data/log/lock       held while open, with the holder's process id
//!            MANIFEST   which store this is and what belongs to it
//!            witness    the newest record known to be durable, and the chain after it
//!            head       the newest acknowledged record, exact after a kill (`head.rs`)
//!            recovery/  the journals as they were before a start after an unclean stop
//!            segments/  closed epochs, sealed (`segment/`, `seal.rs`)
//!            fjall/     the LSM store: one keyspace per epoch of positions that is not sealed
//! ```

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use fjall::config::{BlockSizePolicy, FilterPolicy};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Slice};
use netstats_event::{Condense, Draft, Envelope, Kind, Position, Record, Timestamp};

use crate::engine::{check_batch, check_range, envelope, is_config};
use crate::files::rfc3339;
use crate::head::HeadFile;
use crate::lock_file::LockFile;
use crate::manifest::{Epoch, Manifest, Sealed, StoreId, Witness};
use crate::page::{Packer, PageError, Unpacker, key, last_key, parse_key};
use crate::platform::sync_folder;
use crate::preflight::Refused;
use crate::recovery::Journals;
use crate::retain::check_facts;
use crate::segment::{Cache, Segment};
use crate::{
    Appended, Condensed, Damage, Error, ErrorKind, Head, Log, ReadLimit, RetainStep, SealStep, SealedSeries,
    SegmentInfo, SeriesKey, SeriesPage, limits, preflight, recovery,
};

const UNPOISONED: &str = "no code panics while it holds this lock";

const CACHE_BYTES: u64 = 64 * 1024 * 1024;
const MEMTABLE_BYTES: u64 = 16 * 1024 * 1024;
const BLOCK_BYTES: u32 = 16 * 1024;
const MAX_JOURNALING_BYTES: u64 = 256 * 1024 * 1024;

/// How an engine is opened.
#[derive(Clone, Copy, Debug)]
pub struct LogOptions {
    /// Events of one epoch: one keyspace, and later one sealed segment. It is closed by the first of this limit and the
    /// next two.
    pub epoch_events: u64,
    /// Bytes of records of one epoch.
    pub epoch_bytes: u64,
    /// From the recorded time of an epoch's first event to the one that begins the next epoch.
    pub epoch_age: Duration,
    /// Whether closed epochs are sealed in the background.
    pub seals: bool,
    /// Is told each step of a sealing, on the thread that takes it: for proofs of what a crash leaves.
    pub seal_hook: Option<fn(SealStep)>,
    /// The same of retention.
    pub retain_hook: Option<fn(RetainStep)>,
    /// How often the witness is written while events come in.
    pub witness_every: Duration,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            epoch_events: 1 << 18,
            epoch_bytes: 48 * 1024 * 1024,
            epoch_age: Duration::from_secs(24 * 60 * 60),
            seals: true,
            seal_hook: None,
            retain_hook: None,
            witness_every: Duration::from_secs(1),
        }
    }
}

/// A durable log in a folder of its own. One process at a time.
pub struct FjallLog {
    shared: Arc<Shared>,
    /// The witness's keeper and the sealer.
    threads: Mutex<Vec<JoinHandle<()>>>,
}

pub(crate) struct Shared {
    pub(crate) folder: PathBuf,
    pub(crate) options: LogOptions,
    pub(crate) store: StoreId,
    /// Keyspaces go before the database they belong to.
    parts: RwLock<Arc<Parts>>,
    writer: Mutex<Writer>,
    /// Saved when an epoch begins and when one is sealed; never while an append waits but for the first.
    pub(crate) manifest: Mutex<Manifest>,
    /// Held by whoever seals.
    pub(crate) sealing: Mutex<()>,
    /// An epoch was sealed since the log was opened.
    pub(crate) has_sealed: AtomicBool,
    pub(crate) cache: Cache,
    state: Mutex<State>,
    /// An append is done, or the log is closed.
    moved: Condvar,
    /// The keeper and the sealer are to stop.
    stopped: Condvar,
    /// An epoch was closed, or the sealer is to stop.
    pub(crate) rolled: Condvar,
    /// The witness as it is on disk.
    witness: Mutex<Witness>,
    _lock: LockFile,
}

/// What holds the log's records, in the order of positions: segments, then epochs, the last of which is written to.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) epochs: Vec<(Epoch, Keyspace)>,
}

impl Parts {
    fn first(&self) -> Position {
        self.segments.first().map_or(self.epochs[0].0.first, |segment| segment.first())
    }

    /// The segment that holds a position; none if it is in an epoch, or before all.
    fn segment(&self, position: Position) -> Option<&Segment> {
        let index = self.segments.partition_point(|segment| segment.last() < position);
        self.segments.get(index).map(AsRef::as_ref).filter(|segment| segment.first() <= position)
    }
}

struct Writer {
    packer: Packer,
    database: Database,
    head_file: HeadFile,
    /// Of the current epoch.
    epoch: EpochState,
    /// Bytes of records written since the log was opened: about what is in the newest journal.
    journaled: u64,
    /// A journal was begun at the opening: the old ones go with the next table that is written.
    has_old_journals: bool,
}

/// How far an epoch has come to its limits.
#[derive(Clone, Copy, Debug, Default)]
struct EpochState {
    bytes: u64,
    /// When its first event was recorded.
    since: Option<Timestamp>,
}

#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) head: Head,
    recorded_at: Timestamp,
    last_config: Position,
    pub(crate) is_closed: bool,
    /// Why appends are refused until the log is opened again.
    failure: Option<Error>,
}

impl std::fmt::Debug for FjallLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FjallLog")
            .field("folder", &self.shared.folder)
            .field("head", &self.head())
            .finish_non_exhaustive()
    }
}

impl FjallLog {
    /// Opens the log in `folder`; makes an empty one if there is nothing.
    ///
    /// # Errors
    /// Unavailable: another process has it, or the folder cannot be used. Invalid: a newer program's. Corrupt: what is
    /// there is less than what was acknowledged, or is damaged; nothing was changed, and the message says what to run.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, Error> {
        Self::open_with(folder, LogOptions::default())
    }

    /// The same with other options.
    ///
    /// # Errors
    /// As [`FjallLog::open`].
    pub fn open_with(folder: impl AsRef<Path>, options: LogOptions) -> Result<Self, Error> {
        let folder = folder.as_ref().to_owned();
        std::fs::create_dir_all(&folder).map_err(|error| {
            let message = format!("the log's folder {} cannot be made: {error}", folder.display());
            Error::new(ErrorKind::Unavailable, message).in_file(&folder).because(error)
        })?;
        let lock = lock(&folder)?;
        let (manifest, witness) = load_or_create(&folder)?;
        // Before anything is touched: what is sealed must be there.
        let segments = open_segments(&folder, &manifest)?;
        let (head_file, witness) = HeadFile::open(&folder, witness)?;
        preflight::check(&folder, &manifest, &witness).map_err(|refused| refuse(&folder, &witness, refused))?;
        let journals = recovery::prepare(&folder, &witness).map_err(|refused| refuse(&folder, &witness, refused))?;
        let has_begun = recovery::begin_journal(&folder, &witness, &journals).unwrap_or_else(|error| {
            tracing::warn!(%error, "the store's journal is not begun anew: it takes more room than it needs");
            false
        });
        let database = open_database(&folder, &witness)?;
        let mut epochs = Vec::with_capacity(manifest.epochs.len());
        for epoch in &manifest.epochs {
            epochs.push((*epoch, open_keyspace(&database, *epoch).map_err(|error| damaged(&folder, &witness, error))?));
        }
        remove_sealed(&database, &manifest).map_err(|error| damaged(&folder, &witness, error))?;
        let shared = Shared {
            options,
            store: manifest.store,
            parts: RwLock::new(Arc::new(Parts { segments, epochs })),
            writer: Mutex::new(Writer {
                packer: Packer::default(),
                database,
                head_file,
                epoch: EpochState::default(),
                journaled: if has_begun { 0 } else { journals.newest_bytes },
                has_old_journals: has_begun,
            }),
            manifest: Mutex::new(manifest),
            sealing: Mutex::new(()),
            has_sealed: AtomicBool::new(false),
            cache: Cache::new(limits::SEGMENT_CACHE_BYTES),
            state: Mutex::new(State {
                head: witness.head,
                recorded_at: witness.recorded_at,
                last_config: witness.last_config,
                is_closed: false,
                failure: None,
            }),
            moved: Condvar::new(),
            stopped: Condvar::new(),
            rolled: Condvar::new(),
            witness: Mutex::new(witness),
            _lock: lock,
            folder,
        };
        shared.recover(&witness, &journals)?;
        // From here on the log counts as not closed in order, until it is.
        shared.save_witness(false)?;
        let shared = Arc::new(shared);
        let start = |name: &str, work: fn(&Shared)| {
            let shared = shared.clone();
            std::thread::Builder::new().name(name.to_owned()).spawn(move || work(&shared)).map_err(|error| {
                Error::new(ErrorKind::Unavailable, format!("the thread {name} cannot be started")).because(error)
            })
        };
        let mut threads = vec![start("log-witness", Shared::keep_witness)?];
        if options.seals {
            threads.push(start("log-sealer", Shared::keep_sealing)?);
        }
        Ok(Self { shared, threads: Mutex::new(threads) })
    }

    /// Closes the current epoch and seals all closed ones, on this thread; how many were sealed. For tools and benches:
    /// a running log seals by itself.
    ///
    /// # Errors
    /// Unavailable (disk, closed), Corrupt (what is to be sealed, or what was written of it; the epoch stays as it is).
    pub fn seal_now(&self) -> Result<usize, Error> {
        self.shared.close_epoch()?;
        self.shared.seal_closed()
    }

    /// The sealed segments' files, in the order of positions, with the first and last position of each.
    #[must_use]
    pub fn segments(&self) -> Vec<(PathBuf, Position, Position)> {
        let parts = self.shared.parts();
        parts.segments.iter().map(|segment| (segment.path().to_owned(), segment.first(), segment.last())).collect()
    }

    /// Names this store for ever.
    #[must_use]
    pub fn store_id(&self) -> StoreId {
        self.shared.store
    }
}

impl FjallLog {
    /// Refuses positions that are not in the log; the tail.
    fn check_there(&self, positions: &[Position]) -> Result<Position, Error> {
        let (first, tail) = (self.first(), self.tail());
        let outside = positions.iter().find(|position| **position < first || **position >= tail);
        outside.map_or(Ok(tail), |position| Err(not_there(*position)))
    }
}

fn not_there(position: Position) -> Error {
    let message = format!("there is no event at position {position}");
    Error::new(ErrorKind::NotFound, message).at(position, position)
}

impl Drop for FjallLog {
    fn drop(&mut self) {
        self.close();
    }
}

/// Takes the lock file or says who has it.
pub(crate) fn lock(folder: &Path) -> Result<LockFile, Error> {
    let path = folder.join("lock");
    let unusable = |error: std::io::Error| {
        let message = format!("{} cannot be written: {error}", path.display());
        Error::new(ErrorKind::Unavailable, message).in_file(&path).because(error)
    };
    let Some(mut lock) = LockFile::take(&path).map_err(unusable)? else {
        let who = LockFile::signer(&path).map_or(String::new(), |holder| format!(" (process {holder})"));
        let message = format!(
            "the log in {} is in use by another process{who}: stop that one, or give another data folder",
            folder.display()
        );
        return Err(Error::new(ErrorKind::Unavailable, message).in_file(path));
    };
    lock.sign().map_err(unusable)?;
    Ok(lock)
}

/// Reads the manifest and the witness, or makes both for a new store.
fn load_or_create(folder: &Path) -> Result<(Manifest, Witness), Error> {
    let missing = |path: PathBuf| {
        let message = format!(
            "{} is missing: a log is there and this file must be with it; put it back from a backup, or run {}",
            path.display(),
            repair_command(folder),
        );
        Error::new(ErrorKind::Corrupt, message).in_file(path)
    };
    match (Manifest::load(folder)?, Witness::load(folder)?) {
        (Some(manifest), Some(witness)) if manifest.store == witness.store => Ok((manifest, witness)),
        (Some(manifest), Some(witness)) => {
            let message = format!(
                "the files in {} are of two stores: the manifest of {}, the witness of {}; put the right ones back",
                folder.display(),
                manifest.store,
                witness.store
            );
            Err(Error::new(ErrorKind::Corrupt, message).in_file(Witness::path(folder)))
        }
        (Some(_), None) => Err(missing(Witness::path(folder))),
        // A new store writes its witness first, so that a witness of nothing without a manifest is an unfinished start.
        (None, witness) if witness.is_none_or(|witness| witness.head.last == 0) && !folder.join("fjall").exists() => {
            let store = StoreId::random()?;
            let witness = Witness {
                store,
                head: Head::default(),
                recorded_at: Timestamp::default(),
                last_config: Position::START,
                is_closed: true,
            };
            let epochs = vec![Epoch { first: Position(1) }];
            let manifest = Manifest { store, segments: Vec::new(), dropping: Vec::new(), epochs };
            witness.save(folder)?;
            manifest.save(folder)?;
            Ok((manifest, witness))
        }
        (None, _) => Err(missing(Manifest::path(folder))),
    }
}

/// What people run when the log is damaged.
fn repair_command(folder: &Path) -> String {
    let data = folder.parent().unwrap_or(folder);
    format!("`network-stats log repair --dry-run --data-dir {}`", data.display())
}

fn refuse(folder: &Path, witness: &Witness, refused: Refused) -> Error {
    let Refused { file, error, positions, is_unavailable } = refused;
    let error = if is_unavailable {
        let message = format!("the log in {} cannot be opened now: {}: {error}", folder.display(), file.display());
        Error::new(ErrorKind::Unavailable, message).because(error)
    } else {
        damaged(folder, witness, error)
    };
    let error = error.in_file(file);
    positions.map_or(error.clone(), |(first, last)| error.at(first, last))
}

fn damaged(folder: &Path, witness: &Witness, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    let message = format!(
        "the log in {} is damaged and was left as it is: {error}. Positions up to {} were acknowledged (last good time {}). See what can be saved: {}",
        folder.display(),
        witness.head.last,
        rfc3339(witness.recorded_at),
        repair_command(folder),
    );
    Error::new(ErrorKind::Corrupt, message).in_file(folder.join("fjall")).because(error)
}

fn open_database(folder: &Path, witness: &Witness) -> Result<Database, Error> {
    let path = folder.join("fjall");
    // Some damage makes fjall panic; it must not take the process along.
    match catch_unwind(AssertUnwindSafe(|| open_store(&path))) {
        Ok(Ok(database)) => Ok(database),
        Ok(Err(fjall::Error::Io(error))) => {
            let message = format!("the log's store {} cannot be opened: {error}", path.display());
            Err(Error::new(ErrorKind::Unavailable, message).in_file(path).because(error))
        }
        Ok(Err(error)) => Err(damaged(folder, witness, error)),
        Err(_) => Err(damaged(folder, witness, std::io::Error::other("the store panicked while it was opened"))),
    }
}

/// fjall's own opening, with our settings.
pub(crate) fn open_store(path: &Path) -> Result<Database, fjall::Error> {
    Database::builder(path)
        .cache_size(CACHE_BYTES)
        .worker_threads(2)
        .max_cached_files(Some(256))
        .max_journaling_size(MAX_JOURNALING_BYTES)
        .open()
}

fn open_keyspace(database: &Database, epoch: Epoch) -> Result<Keyspace, fjall::Error> {
    open_keyspace_named(database, &epoch.keyspace())
}

fn open_keyspace_named(database: &Database, name: &str) -> Result<Keyspace, fjall::Error> {
    database.keyspace(name, || {
        KeyspaceCreateOptions::default()
            .max_memtable_size(MEMTABLE_BYTES)
            .data_block_size_policy(BlockSizePolicy::all(BLOCK_BYTES))
            // Every look-up is "the page at or before": filters would never be asked.
            .filter_policy(FilterPolicy::disabled())
    })
}

/// Opens the segments that the manifest names: each is there and is the one that was sealed.
fn open_segments(folder: &Path, manifest: &Manifest) -> Result<Vec<Arc<Segment>>, Error> {
    let open = |sealed: &Sealed| {
        let path = sealed.path(folder);
        let mut segment = Segment::open(&path).map_err(|error| error.at(sealed.first, sealed.last))?;
        segment.summary = sealed.summary;
        let is_right = sealed_of(&segment) == *sealed && segment.is_summarised() == sealed.summary.is_some();
        if !is_right || segment.footer.store != manifest.store {
            let message = format!(
                "the segment {} is not the one that was sealed; put it back from a backup, or run {}",
                path.display(),
                repair_command(folder)
            );
            return Err(Error::new(ErrorKind::Corrupt, message).in_file(path).at(sealed.first, sealed.last));
        }
        Ok(Arc::new(segment))
    };
    manifest.segments.iter().map(open).collect()
}

/// The manifest's line for a segment.
pub(crate) fn sealed_of(segment: &Segment) -> Sealed {
    Sealed {
        first: segment.first(),
        last: segment.last(),
        length: segment.length,
        digest: segment.digest,
        chain: segment.footer.chain_after,
        summary: segment.summary,
    }
}

/// Removes keyspaces whose records are in segments: a crash came between.
fn remove_sealed(database: &Database, manifest: &Manifest) -> Result<(), fjall::Error> {
    let unsealed = manifest.epochs[0];
    for name in database.list_keyspace_names() {
        let is_sealed = Epoch::parse(&name).is_some_and(|epoch| epoch.first < unsealed.first);
        if is_sealed {
            database.delete_keyspace(open_keyspace_named(database, &name)?)?;
        }
    }
    Ok(())
}

impl Shared {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect(UNPOISONED)
    }

    pub(crate) fn parts(&self) -> Arc<Parts> {
        self.parts.read().expect(UNPOISONED).clone()
    }

    pub(crate) fn change_parts(&self, change: impl FnOnce(&mut Parts)) {
        let mut parts = self.parts.write().expect(UNPOISONED);
        let mut changed = Parts::clone(&parts);
        change(&mut changed);
        *parts = Arc::new(changed);
    }

    pub(crate) fn database(&self) -> Database {
        self.writer.lock().expect(UNPOISONED).database.clone()
    }

    /// Finds the head, proves that nothing acknowledged is missing, and that the chain holds since the witness.
    fn recover(&self, witness: &Witness, journals: &Journals) -> Result<(), Error> {
        let parts = self.parts();
        let epochs = &parts.epochs;
        let mut found = Position(epochs[0].0.first.0 - 1);
        self.check_border(witness)?;
        for (index, (epoch, keyspace)) in epochs.iter().enumerate() {
            let (first, last) = self.ends(keyspace)?;
            let is_seamless = match (first, last) {
                (Some(first), Some(last)) => {
                    found = last;
                    first == epoch.first && epochs.get(index + 1).is_none_or(|(next, _)| next.first == last.next())
                }
                // An epoch is named before its first event is written; the last one may be empty.
                _ => index + 1 == epochs.len() && epoch.first == found.next(),
            };
            if !is_seamless && found.0 >= witness.head.last {
                let error = std::io::Error::other(format!("epoch {} does not meet the next one", epoch.keyspace()));
                return Err(damaged(&self.folder, witness, error).at(epoch.first, found));
            }
        }
        if found.0 < witness.head.last {
            let message = format!(
                "the log in {} ends at position {found}, but positions up to {} were acknowledged (last good time {}): {} events are missing. Nothing was changed. See what can be saved: {}",
                self.folder.display(),
                witness.head.last,
                rfc3339(witness.recorded_at),
                witness.head.last - found.0,
                repair_command(&self.folder),
            );
            let error = Error::new(ErrorKind::Corrupt, message).in_file(self.folder.join("fjall"));
            return Err(error.at(found.next(), Position(witness.head.last)));
        }
        self.check_journals(witness, journals, found)?;
        self.check_since(witness, found)?;
        let (epoch, keyspace) = epochs.last().expect("a manifest names an epoch");
        let mut state = EpochState::default();
        if epoch.first <= found {
            let one = self.read_epochs(&parts, epoch.first, epoch.first.next(), ReadLimit { records: 1, bytes: 1 })?;
            if let Some(record) = one.first() {
                // About: what is not in tables yet is as many records as there are, of the first one's length.
                let about = (found.0 - epoch.first.0 + 1) * record.len() as u64;
                state = EpochState { bytes: keyspace.disk_space().max(about), since: Some(record.recorded_at) };
            }
        }
        self.writer.lock().expect(UNPOISONED).epoch = state;
        Ok(())
    }

    /// The witness is written before an epoch is sealed: it is never older than a segment, and knows the same chain.
    fn check_border(&self, witness: &Witness) -> Result<(), Error> {
        let parts = self.parts();
        let Some(segment) = parts.segments.last() else { return Ok(()) };
        let (last, chain) = (segment.last(), segment.footer.chain_after);
        if witness.head.last < last.0 || (witness.head.last == last.0 && witness.head.chain != chain) {
            let error = std::io::Error::other(format!(
                "the witness ends at position {}, the sealed segments at {last}, and they do not belong together",
                witness.head.last
            ));
            return Err(damaged(&self.folder, witness, error).in_file(Witness::path(&self.folder)).at(last, last));
        }
        Ok(())
    }

    /// Proves that the store took up everything the journals hold, and that what it has on disk reaches up to them.
    fn check_journals(&self, witness: &Witness, journals: &Journals, found: Position) -> Result<(), Error> {
        let (Some(first), Some(head)) = (journals.first, journals.head) else { return Ok(()) };
        let broken = |first: Position, last: Position, why: String| {
            Err(damaged(&self.folder, witness, std::io::Error::other(why)).at(first, last))
        };
        if found.0 < head.last {
            let why = format!("the journals hold positions up to {}, the opened store up to {found}", head.last);
            return broken(found.next(), Position(head.last), why);
        }
        let parts = self.parts();
        if first <= parts.epochs[0].0.first {
            return Ok(());
        }
        let limit = ReadLimit { records: 2, bytes: usize::MAX }.bounded();
        let before = Position(first.0 - 1);
        let border = self.read_epochs(&parts, before, found.next(), limit).unwrap_or_default();
        match &border[..] {
            [before, first] if first.verify_chain(before.chain).is_ok() => Ok(()),
            _ => {
                let why = format!(
                    "the journals begin at position {first} and the record before it is missing: a journal is gone"
                );
                broken(before, before, why)
            }
        }
    }

    /// Walks from the witness's record to the end: checksums, positions, chain.
    fn check_since(&self, witness: &Witness, last: Position) -> Result<(), Error> {
        let broken = |position: Position| {
            let error = std::io::Error::other(format!("the chain is broken at position {position}"));
            damaged(&self.folder, witness, error).at(position, position)
        };
        let parts = self.parts();
        let mut next = Position(witness.head.last.max(parts.epochs[0].0.first.0));
        let mut state = self.state().clone();
        while next <= last {
            let records = self.read_epochs(&parts, next, last.next(), ReadLimit::default().bounded())?;
            for record in &records {
                if record.position.0 == witness.head.last {
                    if record.chain != witness.head.chain {
                        return Err(broken(record.position));
                    }
                } else {
                    record.verify_chain(state.head.chain).map_err(|_| broken(record.position))?;
                    state.head = Head { last: record.position.0, chain: record.chain };
                    state.recorded_at = record.recorded_at;
                    if is_config(record.kind) {
                        state.last_config = record.position;
                    }
                }
            }
            next = records.last().ok_or_else(|| broken(next))?.position.next();
        }
        *self.state() = state;
        Ok(())
    }

    /// First and last position of a keyspace.
    fn ends(&self, keyspace: &Keyspace) -> Result<(Option<Position>, Option<Position>), Error> {
        let position = |guard: fjall::Guard| {
            let key = guard.key().map_err(|error| self.unreadable(error))?;
            parse_key(&key).map(|(position, _)| position).ok_or_else(|| self.not_records(PageError::Key, Position(0)))
        };
        let first = keyspace.first_key_value().map(position).transpose()?;
        let Some(page) = keyspace.last_key_value().map(position).transpose()? else { return Ok((first, None)) };
        let mut last = None;
        let mut unpacker = Unpacker::default();
        for guard in keyspace.range(key(page, 0)..) {
            let (key, value) = guard.into_inner().map_err(|error| self.unreadable(error))?;
            unpacker
                .push(&key, &value, |record| last = Some(record.position))
                .map_err(|error| self.not_records(error, page))?;
        }
        if last.is_none() || !unpacker.is_complete() {
            return Err(self.not_records(PageError::Part, page));
        }
        Ok((first, last))
    }

    fn unreadable(&self, error: fjall::Error) -> Error {
        let kind = if matches!(error, fjall::Error::Io(_)) { ErrorKind::Unavailable } else { ErrorKind::Corrupt };
        let message = format!("the log's store in {} cannot be read: {error}", self.folder.display());
        Error::new(kind, message).in_file(self.folder.join("fjall")).because(error)
    }

    fn not_records(&self, error: PageError, position: Position) -> Error {
        let message = format!(
            "the log in {} is damaged at position {position}: {error}; run {}",
            self.folder.display(),
            repair_command(&self.folder)
        );
        Error::new(ErrorKind::Corrupt, message).in_file(self.folder.join("fjall")).at(position, position).because(error)
    }

    /// Goes through segments and epochs from `from` up to and without `tail`, until the limit is reached; `weigh` tells
    /// an item's bytes.
    fn read_parts<T>(
        &self,
        (from, tail): (Position, Position),
        limit: ReadLimit,
        read: impl Fn(&Parts, Option<&Segment>, Position, ReadLimit) -> Result<Vec<T>, Error>,
        weigh: impl Fn(&T) -> usize,
    ) -> Result<Vec<T>, Error> {
        let parts = self.parts();
        let mut all: Vec<T> = Vec::new();
        let mut bytes = 0;
        loop {
            let next = Position(from.0 + all.len() as u64);
            let segment = parts.segment(next);
            let rest = ReadLimit { records: limit.records - all.len(), bytes: limit.bytes - bytes };
            match read(&parts, segment, next, rest) {
                Ok(part) => {
                    for item in part {
                        let weight = weigh(&item);
                        if !all.is_empty() && bytes + weight > limit.bytes {
                            return Ok(all);
                        }
                        bytes += weight;
                        all.push(item);
                    }
                }
                // What is before a hole is answered; a read that begins in the hole is told.
                Err(error) if all.is_empty() => return Err(error),
                Err(_) => return Ok(all),
            }
            // Only a segment ends before the tail or the limit.
            let end = Position(from.0 + all.len() as u64);
            let goes_on = segment.is_some_and(|segment| segment.last().next() == end) && end < tail;
            if !goes_on || all.len() >= limit.records || bytes >= limit.bytes {
                return Ok(all);
            }
        }
    }

    fn read_records(&self, from: Position, tail: Position, limit: ReadLimit) -> Result<Vec<Record>, Error> {
        let read = |parts: &Parts, segment: Option<&Segment>, next, rest| match segment {
            Some(segment) => segment.records(&self.cache, next, rest),
            None => self.read_epochs(parts, next, tail, rest),
        };
        self.read_parts((from, tail), limit, read, Record::len)
    }

    fn read_events(&self, from: Position, tail: Position, limit: ReadLimit) -> Result<Vec<Envelope>, Error> {
        let read = |parts: &Parts, segment: Option<&Segment>, next, rest| match segment {
            Some(segment) => segment.events(&self.cache, next, rest),
            None => self.read_epochs(parts, next, tail, rest)?.iter().map(envelope).collect(),
        };
        // An event's bytes are about those of a burst of ten.
        self.read_parts((from, tail), limit, read, |_| 256)
    }

    /// Records of the epochs from `from` up to and without `tail`.
    pub(crate) fn read_epochs(
        &self,
        parts: &Parts,
        from: Position,
        tail: Position,
        limit: ReadLimit,
    ) -> Result<Vec<Record>, Error> {
        let epochs = &parts.epochs;
        let mut records = Vec::new();
        let (mut next, mut bytes) = (from, 0);
        let mut index = epochs.partition_point(|(epoch, _)| epoch.first <= from).saturating_sub(1);
        let is_full = |records: &[Record], bytes| records.len() >= limit.records || bytes >= limit.bytes;
        while next < tail && index < epochs.len() && !is_full(&records, bytes) {
            let keyspace = &epochs[index].1;
            let floor = keyspace.range(..=last_key(next)).next_back().map(fjall::Guard::key).transpose();
            let floor = floor.map_err(|error| self.unreadable(error).at(next, next))?;
            let start = floor.and_then(|key| parse_key(&key)).map_or(next, |(position, _)| position);
            let mut unpacker = Unpacker::default();
            for guard in keyspace.range(key(start, 0)..) {
                let (key, value) = guard.into_inner().map_err(|error| self.unreadable(error).at(next, next))?;
                let mut gap = None;
                let take = |record: Record| {
                    if record.position == next && record.position < tail && !is_full(&records, bytes) {
                        bytes += record.len();
                        if records.is_empty() || bytes <= limit.bytes {
                            next = next.next();
                            records.push(record);
                        }
                    } else if record.position > next && !is_full(&records, bytes) {
                        gap = Some(record.position);
                    }
                };
                unpacker.push(&key, &value, take).map_err(|error| self.not_records(error, next))?;
                if let Some(found) = gap {
                    return self.ended(records, next, Position(found.0 - 1));
                }
                if next >= tail || is_full(&records, bytes) {
                    break;
                }
            }
            index += 1;
            let end = epochs.get(index).map_or(tail, |(epoch, _)| epoch.first.min(tail));
            if next < end && !is_full(&records, bytes) {
                return self.ended(records, next, Position(end.0 - 1));
            }
        }
        Ok(records)
    }

    /// Records before a hole are answered; a read that begins in the hole is told.
    fn ended(&self, records: Vec<Record>, first: Position, last: Position) -> Result<Vec<Record>, Error> {
        if !records.is_empty() {
            return Ok(records);
        }
        let message = format!(
            "positions {first} to {last} of the log in {} are missing; run {}",
            self.folder.display(),
            repair_command(&self.folder)
        );
        Err(Error::new(ErrorKind::Corrupt, message).in_file(self.folder.join("fjall")).at(first, last))
    }

    /// Begins a new epoch. Named in the manifest first: no keyspace is ever unknown.
    fn roll(&self, writer: &mut Writer, first: Position) -> Result<(), Error> {
        let epoch = Epoch { first };
        self.change_manifest(|manifest| manifest.epochs.push(epoch))?;
        let keyspace = open_keyspace(&writer.database, epoch).map_err(|error| self.unreadable(error))?;
        self.change_parts(|parts| parts.epochs.push((epoch, keyspace)));
        writer.epoch = EpochState::default();
        self.rolled.notify_all();
        Ok(())
    }

    /// Saves a changed manifest. Keyspaces whose removal is over are no longer named.
    pub(crate) fn change_manifest(&self, change: impl FnOnce(&mut Manifest)) -> Result<(), Error> {
        let mut manifest = self.manifest.lock().expect(UNPOISONED);
        let mut changed = manifest.clone();
        let keyspaces = self.folder.join("fjall").join("keyspaces");
        let is_there = |number: &u64| keyspaces.join(number.to_string()).exists();
        let (there, gone): (Vec<u64>, Vec<u64>) = manifest.dropping.iter().partition(|number| is_there(number));
        // Durable before it is no longer named: a power cut could bring half of a keyspace back, which looks like damage.
        if !gone.is_empty() && sync_folder(&keyspaces).is_ok() {
            changed.dropping = there;
        }
        change(&mut changed);
        changed.save(&self.folder)?;
        *manifest = changed;
        Ok(())
    }

    /// Closes the current epoch, if it holds anything.
    fn close_epoch(&self) -> Result<(), Error> {
        let mut writer = self.writer.lock().expect(UNPOISONED);
        let (first, is_closed) = {
            let state = self.state();
            (Position(state.head.last + 1), state.is_closed || state.failure.is_some())
        };
        if is_closed {
            return Err(Error::new(ErrorKind::Unavailable, "the log takes no appends: nothing can be sealed"));
        }
        if self.parts().epochs.last().is_some_and(|(epoch, _)| epoch.first < first) {
            self.roll(&mut writer, first)?;
        }
        Ok(())
    }

    /// Whether the current epoch, which begins at `epoch`, is to end before an event at `first`.
    fn is_full(&self, state: EpochState, epoch: Position, first: Position, recorded_at: Timestamp) -> bool {
        let LogOptions { epoch_events, epoch_bytes, epoch_age, .. } = self.options;
        let is_old = state.since.is_some_and(|since| recorded_at.since(since) >= epoch_age);
        first > epoch && (first.0 - epoch.0 >= epoch_events || state.bytes >= epoch_bytes || is_old)
    }

    /// Writes the witness if the head moved since, or the log is being closed.
    pub(crate) fn save_witness(&self, is_closed: bool) -> Result<(), Error> {
        let mut saved = self.witness.lock().expect(UNPOISONED);
        let State { head, recorded_at, last_config, .. } = *self.state();
        let witness = Witness { store: self.store, head, recorded_at, last_config, is_closed };
        if *saved != witness {
            witness.save(&self.folder)?;
            *saved = witness;
        }
        Ok(())
    }

    fn keep_witness(&self) {
        let mut state = self.state();
        loop {
            let every = self.options.witness_every;
            (state, _) = self.stopped.wait_timeout_while(state, every, |state| !state.is_closed).expect(UNPOISONED);
            if state.is_closed {
                return;
            }
            drop(state);
            if let Err(error) = self.save_witness(false) {
                tracing::error!(%error, "the log's witness is not up to date");
            }
            state = self.state();
        }
    }
}

impl Log for FjallLog {
    fn append(&self, batch: &[Draft]) -> Result<Appended, Error> {
        check_batch(batch)?;
        let shared = &self.shared;
        let mut writer = shared.writer.lock().expect(UNPOISONED);
        let writer = &mut *writer;
        let head = {
            let state = shared.state();
            if state.is_closed {
                return Err(Error::new(ErrorKind::Unavailable, "the log is closed: nothing was appended"));
            }
            if let Some(failure) = &state.failure {
                return Err(failure.clone());
            }
            state.head
        };
        let first = Position(head.last + 1);
        let newest = |parts: &Parts| parts.epochs.last().expect("a manifest names an epoch").clone();
        let (mut epoch, mut keyspace) = newest(&shared.parts());
        if shared.is_full(writer.epoch, epoch.first, first, batch[0].recorded_at) {
            shared.roll(writer, first)?;
            (epoch, keyspace) = newest(&shared.parts());
        }

        writer.packer.clear();
        let (mut position, mut chain) = (first, head.chain);
        let mut last_config = None;
        for draft in batch {
            chain = writer.packer.push(position, |out| draft.write(position, chain, out));
            if is_config(draft.kind) {
                last_config = Some(position);
            }
            position = position.next();
        }
        let mut commit = fjall::OwnedWriteBatch::with_capacity(writer.database.clone(), writer.packer.len())
            .durability(Some(PersistMode::SyncData));
        for (key, value) in writer.packer.values() {
            commit.insert(&keyspace, Slice::from(key), Slice::from(value));
        }
        if let Err(error) = commit.commit() {
            let message = format!(
                "the disk did not confirm positions {first} to {}: whether they are kept is unknown until the log is opened again ({error})",
                position.0 - 1
            );
            let failure = Error::new(ErrorKind::Unavailable, message).in_file(shared.folder.join("fjall"));
            let failure = failure.at(first, Position(position.0 - 1)).because(error);
            shared.state().failure = Some(failure.clone());
            return Err(failure);
        }
        writer.epoch.bytes += writer.packer.bytes();
        writer.journaled += writer.packer.bytes();
        if std::mem::take(&mut writer.has_old_journals)
            && let Err(error) = keyspace.rotate_memtable()
        {
            tracing::warn!(%error, "the store's old journals stay for now");
        }
        if epoch.first == first {
            writer.epoch.since = Some(batch[0].recorded_at);
        }
        {
            let mut state = shared.state();
            state.head = Head { last: position.0 - 1, chain };
            state.recorded_at = batch.last().map_or(state.recorded_at, |draft| draft.recorded_at);
            state.last_config = last_config.unwrap_or(state.last_config);
            let State { head, recorded_at, last_config, .. } = *state;
            drop(state);
            if let Err(error) = writer.head_file.note(shared.store, head, recorded_at, last_config) {
                // The events are durable, and the witness follows within a second.
                tracing::error!(%error, "the newest acknowledged position is not noted");
            }
        }
        shared.moved.notify_all();
        if last_config.is_some()
            && let Err(error) = shared.save_witness(false)
        {
            // The events are durable; only their outside proof is late.
            tracing::error!(%error, "the log's witness is not up to date");
        }
        Ok(Appended { first, last: Position(position.0 - 1) })
    }

    fn read(&self, from: Position, limit: ReadLimit) -> Result<Vec<Record>, Error> {
        let tail = self.tail();
        check_range(from, self.first(), tail)?;
        if from == tail {
            return Ok(Vec::new());
        }
        self.shared.read_records(from, tail, limit.bounded())
    }

    fn events(&self, from: Position, limit: ReadLimit) -> Result<Vec<Envelope>, Error> {
        let tail = self.tail();
        check_range(from, self.first(), tail)?;
        self.shared.read_events(from, tail, limit.bounded())
    }

    fn get(&self, positions: &[Position]) -> Result<Vec<Record>, Error> {
        let tail = self.check_there(positions)?;
        let one = ReadLimit { records: 1, bytes: 1 };
        let read = |position: &Position| {
            self.shared.read_records(*position, tail, one)?.pop().ok_or_else(|| not_there(*position))
        };
        positions.iter().map(read).collect()
    }

    fn events_at(&self, positions: &[Position]) -> Result<Vec<Envelope>, Error> {
        let tail = self.check_there(positions)?;
        let parts = self.shared.parts();
        let mut events = Vec::with_capacity(positions.len());
        let mut rest = positions;
        while let Some(next) = rest.first() {
            let Some(segment) = parts.segment(*next) else {
                let one = ReadLimit { records: 1, bytes: 1 };
                let record = self.shared.read_epochs(&parts, *next, tail, one)?.pop();
                events.push(envelope(&record.ok_or_else(|| not_there(*next))?)?);
                rest = &rest[1..];
                continue;
            };
            let end = rest.iter().position(|at| *at < segment.first() || *at > segment.last()).unwrap_or(rest.len());
            events.extend(segment.events_at(&self.shared.cache, &rest[..end])?);
            rest = &rest[end..];
        }
        Ok(events)
    }

    fn series(&self, key: SeriesKey, slots: Range<Timestamp>) -> Result<SealedSeries, Error> {
        let parts = self.shared.parts();
        let mut pages = Vec::new();
        for segment in &parts.segments {
            pages.extend(segment.series(&self.shared.cache, key, &slots)?);
        }
        Ok(SealedSeries { pages, until: parts.epochs[0].0.first })
    }

    fn series_events(&self, page: &SeriesPage, slots: Range<Timestamp>) -> Result<Vec<Envelope>, Error> {
        let parts = self.shared.parts();
        let segment = parts.segment(Position(page.segment.0)).filter(|segment| segment.place() == page.segment);
        let segment = segment.ok_or_else(|| not_there(page.positions.0))?;
        segment.series_events(&self.shared.cache, page.number, &slots)
    }

    fn is_worn(&self) -> bool {
        let is_sealed = self.shared.parts().epochs.len() == 1;
        is_sealed
            && self.shared.writer.try_lock().is_ok_and(|writer| writer.journaled >= limits::WORN_JOURNAL_BYTES)
            && self.shared.has_sealed.load(Ordering::Relaxed)
    }

    fn segment_infos(&self) -> Result<Vec<SegmentInfo>, Error> {
        self.shared.segment_infos()
    }

    fn disk_bytes(&self) -> u64 {
        let segments: u64 = self.shared.parts().segments.iter().map(|segment| segment.length).sum();
        segments + self.shared.database().disk_space().unwrap_or(0)
    }

    fn raw_from(&self, kind: Kind) -> Position {
        self.shared.raw_from(kind).unwrap_or_else(|| self.first())
    }

    fn condense(&self, first: Position, kinds: &[Kind], by: &mut dyn Condense) -> Result<Option<Condensed>, Error> {
        self.shared.condense(first, kinds, by)
    }

    fn replace_segment(&self, condensed: Condensed, event: Position) -> Result<(), Error> {
        self.shared.replace_segment(condensed, event)
    }

    fn check_facts(&self) -> Vec<Damage> {
        check_facts(self, &self.shared.parts().segments)
    }

    fn first(&self) -> Position {
        self.shared.parts().first()
    }

    fn tail(&self) -> Position {
        Position(self.shared.state().head.last + 1)
    }

    fn head(&self) -> Head {
        self.shared.state().head
    }

    fn last_config(&self) -> Position {
        self.shared.state().last_config
    }

    fn wait(&self, past: Position, at_most: Duration) -> Position {
        let nothing_new = |state: &mut State| !state.is_closed && state.head.last <= past.0;
        let (state, _) =
            self.shared.moved.wait_timeout_while(self.shared.state(), at_most, nothing_new).expect(UNPOISONED);
        Position(state.head.last + 1)
    }

    fn close(&self) {
        let threads = std::mem::take(&mut *self.threads.lock().expect(UNPOISONED));
        if threads.is_empty() {
            return;
        }
        let is_healthy = {
            // No append is under way while the writer is held.
            let _writer = self.shared.writer.lock().expect(UNPOISONED);
            let mut state = self.shared.state();
            state.is_closed = true;
            state.failure.is_none()
        };
        self.shared.moved.notify_all();
        self.shared.stopped.notify_all();
        self.shared.rolled.notify_all();
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the log ended by a panic");
            }
        }
        if let Err(error) = self.shared.save_witness(is_healthy) {
            tracing::error!(%error, "the log was not closed in order; the next start checks it");
        }
    }
}
