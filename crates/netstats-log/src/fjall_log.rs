//! The engine on fjall. fjall is the store, not the proof: what must be in it is known outside of it (`manifest.rs`).
//!
//! ```text
//!   data/log/lock       held while open, with the holder's process id
//!            MANIFEST   which store this is and what belongs to it
//!            witness    the newest record known to be durable, and the chain after it
//!            head       the newest acknowledged record, exact after a kill (`head.rs`)
//!            recovery/  the journals as they were before a start after an unclean stop
//!            fjall/     the LSM store: one keyspace per epoch of positions
//! ```

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use fjall::config::{BlockSizePolicy, FilterPolicy};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Slice};
use netstats_event::{Draft, Position, Record, Timestamp};

use crate::engine::{check_batch, check_range, is_config};
use crate::files::rfc3339;
use crate::head::HeadFile;
use crate::manifest::{Epoch, Manifest, StoreId, Witness};
use crate::page::{Packer, PageError, Unpacker, key, last_key, parse_key};
use crate::preflight::Refused;
use crate::recovery::Journals;
use crate::{Appended, Error, ErrorKind, Head, Log, ReadLimit, preflight, recovery};

const UNPOISONED: &str = "no code panics while it holds this lock";

const CACHE_BYTES: u64 = 64 * 1024 * 1024;
const MEMTABLE_BYTES: u64 = 16 * 1024 * 1024;
const BLOCK_BYTES: u32 = 16 * 1024;
const MAX_JOURNALING_BYTES: u64 = 256 * 1024 * 1024;

/// How an engine is opened.
#[derive(Clone, Copy, Debug)]
pub struct LogOptions {
    /// Events of one epoch: one keyspace, and later one sealed segment.
    pub epoch_events: u64,
    /// How often the witness is written while events come in.
    pub witness_every: Duration,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { epoch_events: 1 << 20, witness_every: Duration::from_secs(1) }
    }
}

/// A durable log in a folder of its own. One process at a time.
pub struct FjallLog {
    shared: Arc<Shared>,
    keeper: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    folder: PathBuf,
    options: LogOptions,
    store: StoreId,
    /// Keyspaces go before the database they belong to.
    epochs: RwLock<Arc<Vec<(Epoch, Keyspace)>>>,
    writer: Mutex<Writer>,
    state: Mutex<State>,
    /// An append is done, or the log is closed.
    moved: Condvar,
    /// The keeper is to stop.
    stopped: Condvar,
    /// The witness as it is on disk.
    witness: Mutex<Witness>,
    _lock: File,
}

struct Writer {
    packer: Packer,
    manifest: Manifest,
    database: Database,
    head_file: HeadFile,
}

#[derive(Clone, Debug)]
struct State {
    head: Head,
    recorded_at: Timestamp,
    last_config: Position,
    is_closed: bool,
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
        let (head_file, witness) = HeadFile::open(&folder, witness)?;
        preflight::check(&folder, &manifest, &witness).map_err(|refused| refuse(&folder, &witness, refused))?;
        let journals = recovery::prepare(&folder, &witness).map_err(|refused| refuse(&folder, &witness, refused))?;
        let database = open_database(&folder, &witness)?;
        let mut epochs = Vec::with_capacity(manifest.epochs.len());
        for epoch in &manifest.epochs {
            epochs.push((*epoch, open_keyspace(&database, *epoch).map_err(|error| damaged(&folder, &witness, error))?));
        }
        let shared = Shared {
            options,
            store: manifest.store,
            epochs: RwLock::new(Arc::new(epochs)),
            writer: Mutex::new(Writer { packer: Packer::default(), manifest, database, head_file }),
            state: Mutex::new(State {
                head: witness.head,
                recorded_at: witness.recorded_at,
                last_config: witness.last_config,
                is_closed: false,
                failure: None,
            }),
            moved: Condvar::new(),
            stopped: Condvar::new(),
            witness: Mutex::new(witness),
            _lock: lock,
            folder,
        };
        shared.recover(&witness, &journals)?;
        // From here on the log counts as not closed in order, until it is.
        shared.save_witness(false)?;
        let shared = Arc::new(shared);
        let keepers = shared.clone();
        let keeper =
            std::thread::Builder::new().name("log-witness".to_owned()).spawn(move || keepers.keep_witness()).map_err(
                |error| Error::new(ErrorKind::Unavailable, "the log's witness thread cannot be started").because(error),
            )?;
        Ok(Self { shared, keeper: Mutex::new(Some(keeper)) })
    }

    /// Names this store for ever.
    #[must_use]
    pub fn store_id(&self) -> StoreId {
        self.shared.store
    }

    /// Bytes on disk: the store and its journals.
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        self.shared.writer.lock().expect(UNPOISONED).database.disk_space().unwrap_or(0)
    }
}

impl Drop for FjallLog {
    fn drop(&mut self) {
        self.close();
    }
}

/// Takes the lock file or says who has it.
fn lock(folder: &Path) -> Result<File, Error> {
    let path = folder.join("lock");
    let unusable = |error: std::io::Error| {
        let message = format!("{} cannot be written: {error}", path.display());
        Error::new(ErrorKind::Unavailable, message).in_file(&path).because(error)
    };
    let mut file =
        OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path).map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let holder = std::fs::read_to_string(&path).ok();
            let holder = holder.as_deref().map_or("", str::trim);
            let who = if holder.is_empty() { String::new() } else { format!(" (process {holder})") };
            let message = format!(
                "the log in {} is in use by another process{who}: stop that one, or give another data folder",
                folder.display()
            );
            return Err(Error::new(ErrorKind::Unavailable, message).in_file(path));
        }
        Err(TryLockError::Error(error)) => return Err(unusable(error)),
    }
    let write_pid = |file: &mut File| {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    };
    write_pid(&mut file).map_err(unusable)?;
    Ok(file)
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
            let manifest = Manifest { store, epochs: vec![Epoch { first: Position(1) }] };
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
    let open = || {
        Database::builder(&path)
            .cache_size(CACHE_BYTES)
            .worker_threads(2)
            .max_cached_files(Some(256))
            .max_journaling_size(MAX_JOURNALING_BYTES)
            .open()
    };
    // Some damage makes fjall panic; it must not take the process along.
    match catch_unwind(AssertUnwindSafe(open)) {
        Ok(Ok(database)) => Ok(database),
        Ok(Err(fjall::Error::Io(error))) => {
            let message = format!("the log's store {} cannot be opened: {error}", path.display());
            Err(Error::new(ErrorKind::Unavailable, message).in_file(path).because(error))
        }
        Ok(Err(error)) => Err(damaged(folder, witness, error)),
        Err(_) => Err(damaged(folder, witness, std::io::Error::other("the store panicked while it was opened"))),
    }
}

fn open_keyspace(database: &Database, epoch: Epoch) -> Result<Keyspace, fjall::Error> {
    database.keyspace(&epoch.keyspace(), || {
        KeyspaceCreateOptions::default()
            .max_memtable_size(MEMTABLE_BYTES)
            .data_block_size_policy(BlockSizePolicy::all(BLOCK_BYTES))
            // Every look-up is "the page at or before": filters would never be asked.
            .filter_policy(FilterPolicy::disabled())
    })
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect(UNPOISONED)
    }

    fn epochs(&self) -> Arc<Vec<(Epoch, Keyspace)>> {
        self.epochs.read().expect(UNPOISONED).clone()
    }

    /// Finds the head, proves that nothing acknowledged is missing, and that the chain holds since the witness.
    fn recover(&self, witness: &Witness, journals: &Journals) -> Result<(), Error> {
        let epochs = self.epochs();
        let mut found = Position(epochs[0].0.first.0 - 1);
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
        self.check_since(witness, found)
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
        if first <= self.epochs()[0].0.first {
            return Ok(());
        }
        let limit = ReadLimit { records: 2, bytes: usize::MAX }.bounded();
        let before = Position(first.0 - 1);
        let border = self.read_stored(before, found.next(), limit).unwrap_or_default();
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
        let mut next = Position(witness.head.last.max(self.epochs()[0].0.first.0));
        let mut state = self.state().clone();
        while next <= last {
            let records = self.read_stored(next, last.next(), ReadLimit::default().bounded())?;
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

    /// Records from `from` up to and without `tail`.
    fn read_stored(&self, from: Position, tail: Position, limit: ReadLimit) -> Result<Vec<Record>, Error> {
        let epochs = self.epochs();
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

    /// Begins a new epoch when the current one is full. Named in the manifest first: no keyspace is ever unknown.
    fn roll(&self, writer: &mut Writer, first: Position) -> Result<(), Error> {
        let epoch = Epoch { first };
        let mut manifest = writer.manifest.clone();
        manifest.epochs.push(epoch);
        manifest.save(&self.folder)?;
        writer.manifest = manifest;
        let keyspace = open_keyspace(&writer.database, epoch).map_err(|error| self.unreadable(error))?;
        let mut epochs = self.epochs.write().expect(UNPOISONED);
        let mut all = Vec::clone(&epochs);
        all.push((epoch, keyspace));
        *epochs = Arc::new(all);
        Ok(())
    }

    /// Writes the witness if the head moved since, or the log is being closed.
    fn save_witness(&self, is_closed: bool) -> Result<(), Error> {
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
        let epoch = *writer.manifest.epochs.last().expect("a manifest names an epoch");
        if first.0 - epoch.first.0 >= shared.options.epoch_events {
            shared.roll(writer, first)?;
        }
        let keyspace = &shared.epochs().last().expect("as the manifest").1.clone();

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
            commit.insert(keyspace, Slice::from(key), Slice::from(value));
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
        self.shared.read_stored(from, tail, limit.bounded())
    }

    fn get(&self, positions: &[Position]) -> Result<Vec<Record>, Error> {
        let (first, tail) = (self.first(), self.tail());
        positions
            .iter()
            .map(|position| {
                let not_there = || {
                    let message = format!("there is no event at position {position}");
                    Error::new(ErrorKind::NotFound, message).at(*position, *position)
                };
                if *position < first || *position >= tail {
                    return Err(not_there());
                }
                let limit = ReadLimit { records: 1, bytes: 1 };
                self.shared.read_stored(*position, tail, limit)?.pop().ok_or_else(not_there)
            })
            .collect()
    }

    fn first(&self) -> Position {
        self.shared.epochs()[0].0.first
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
        let Some(keeper) = self.keeper.lock().expect(UNPOISONED).take() else { return };
        let is_healthy = {
            // No append is under way while the writer is held.
            let _writer = self.shared.writer.lock().expect(UNPOISONED);
            let mut state = self.shared.state();
            state.is_closed = true;
            state.failure.is_none()
        };
        self.shared.moved.notify_all();
        self.shared.stopped.notify_all();
        if keeper.join().is_err() {
            tracing::error!("the log's witness thread ended by a panic");
        }
        if let Err(error) = self.shared.save_witness(is_healthy) {
            tracing::error!(%error, "the log was not closed in order; the next start checks it");
        }
    }
}
