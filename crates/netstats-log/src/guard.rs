//! The log as the running product holds it: it stops taking events before the disk is full, opens itself again after a
//! disk error, and finds out what became of a batch whose sync failed. Reads go on meanwhile.
//!
//! ```text
//!            room above the floor, no error, appends come back
//!   writable <-----------------------------------------------> read-only: the reason is `refusal()`
//! ```
//! A failed sync means "unknown". Only one append is under way, so the batch in doubt is kept, the store is opened again,
//! and the log itself answers: the batch is there, byte by byte, or it is not and is appended again. Its caller waits for
//! that and learns the truth; no event is written twice.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use netstats_event::{Condense, Draft, Envelope, Kind, Position, Record, Timestamp};

use crate::limits::{DROP_WITHIN, STUCK_AFTER};
use crate::{
    Appended, Condensed, Damage, Error, ErrorKind, FjallLog, Head, Log, LogOptions, ReadLimit, SealedSeries,
    SegmentInfo, SeriesKey, SeriesPage, StoreId,
};

const UNPOISONED: &str = "no code panics while it holds this lock";

/// How much of the disk is left free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpaceFloor {
    /// Bytes; none: a twentieth of the disk, at least 256 MiB, at most 4 GiB.
    pub bytes: Option<u64>,
}

impl SpaceFloor {
    /// The floor on a disk of that size.
    #[must_use]
    pub fn on(self, disk_bytes: u64) -> u64 {
        self.bytes.unwrap_or((disk_bytes / 20).clamp(256 << 20, 4 << 30))
    }
}

/// A [`FjallLog`] that heals itself.
pub struct GuardedLog {
    shared: Arc<Shared>,
    watcher: Mutex<Option<JoinHandle<()>>>,
}

/// What a guard is set up with.
struct Watch {
    folder: PathBuf,
    store: StoreId,
    opener: Opener,
    floor: SpaceFloor,
    every: Duration,
    stuck_after: Duration,
}

/// An engine, and how to open it again.
type Engine = Arc<Box<dyn Log>>;
type Opener = Box<dyn Fn() -> Result<Box<dyn Log>, Error> + Send + Sync>;

struct Shared {
    watch: Watch,
    state: Mutex<State>,
    changed: Condvar,
    /// One append at a time, doubts included.
    appending: Mutex<()>,
}

struct State {
    /// None while it is opened again.
    log: Option<Engine>,
    /// What a log that is being opened again answers.
    known: Known,
    /// Why nothing is taken.
    refusal: Option<Error>,
    /// A commit failed: only a reopened log knows more.
    is_in_doubt: bool,
    is_closed: bool,
    /// Number of the append under way; 0 if there is none.
    under_way: u64,
    appends: u64,
}

#[derive(Clone, Copy)]
struct Known {
    first: Position,
    head: Head,
    last_config: Position,
}

impl Known {
    fn of(log: &dyn Log) -> Self {
        Self { first: log.first(), head: log.head(), last_config: log.last_config() }
    }
}

impl std::fmt::Debug for GuardedLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GuardedLog").field("folder", &self.shared.watch.folder).finish_non_exhaustive()
    }
}

impl GuardedLog {
    /// Opens the log in `folder` as [`FjallLog::open_with`] does, and looks after it every `every`.
    ///
    /// # Errors
    /// As [`FjallLog::open`].
    pub fn open(
        folder: impl AsRef<Path>,
        options: LogOptions,
        floor: SpaceFloor,
        every: Duration,
    ) -> Result<Self, Error> {
        let folder = folder.as_ref().to_owned();
        let log = FjallLog::open_with(&folder, options)?;
        let store = log.store_id();
        let again = folder.clone();
        let opener = Box::new(move || Ok(Box::new(FjallLog::open_with(&again, options)?) as Box<dyn Log>));
        Self::guard(Box::new(log), Watch { folder, store, opener, floor, every, stuck_after: STUCK_AFTER })
    }

    fn guard(log: Box<dyn Log>, watch: Watch) -> Result<Self, Error> {
        let state = State {
            known: Known::of(log.as_ref()),
            refusal: None,
            is_in_doubt: false,
            is_closed: false,
            under_way: 0,
            appends: 0,
            log: Some(Arc::new(log)),
        };
        let shared =
            Arc::new(Shared { watch, state: Mutex::new(state), changed: Condvar::new(), appending: Mutex::new(()) });
        shared.look_at_space();
        let watched = shared.clone();
        let watcher =
            std::thread::Builder::new().name("log-guard".to_owned()).spawn(move || watched.look_after()).map_err(
                |error| Error::new(ErrorKind::Unavailable, "the log's guard thread cannot be started").because(error),
            )?;
        Ok(Self { shared, watcher: Mutex::new(Some(watcher)) })
    }

    /// Names this store for ever.
    #[must_use]
    pub fn store_id(&self) -> StoreId {
        self.shared.watch.store
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect(UNPOISONED)
    }

    /// The open log; waits while it is opened again.
    fn log(&self) -> Result<Engine, Error> {
        let is_away = |state: &mut State| state.log.is_none() && !state.is_closed;
        let (state, _) = self.changed.wait_timeout_while(self.state(), DROP_WITHIN, is_away).expect(UNPOISONED);
        state.log.clone().ok_or_else(|| {
            let message = "the log is being opened again after a disk error: try again in a moment";
            Error::new(ErrorKind::Unavailable, message).in_file(&self.watch.folder)
        })
    }

    fn look_after(&self) {
        let mut stuck_for = Duration::ZERO;
        let mut last_seen = 0;
        loop {
            let state = self.state();
            if state.is_closed {
                return;
            }
            let waits = |state: &mut State| !state.is_closed && !state.is_in_doubt;
            let (state, _) = self.changed.wait_timeout_while(state, self.watch.every, waits).expect(UNPOISONED);
            let (is_closed, is_in_doubt, under_way) = (state.is_closed, state.is_in_doubt, state.under_way);
            drop(state);
            if is_closed {
                return;
            }
            if is_in_doubt {
                self.reopen();
                stuck_for = Duration::ZERO;
                continue;
            }
            stuck_for =
                if under_way != 0 && under_way == last_seen { stuck_for + self.watch.every } else { Duration::ZERO };
            last_seen = under_way;
            if stuck_for >= self.watch.stuck_after {
                let message = format!(
                    "read-only: the disk has not answered an append for {} s; nothing new is taken until it does",
                    stuck_for.as_secs()
                );
                self.refuse(Some(Error::new(ErrorKind::Unavailable, message).in_file(&self.watch.folder)));
            } else if stuck_for.is_zero() {
                // A disk that does not answer an append would not answer this either.
                self.look_at_space();
                self.renew();
            }
        }
    }

    /// Opens a worn log again while nobody appends or reads: once after a sealing, in a moment.
    fn renew(&self) {
        let Ok(_one) = self.appending.try_lock() else { return };
        {
            let mut state = self.state();
            let is_idle = |log: &Engine| Arc::strong_count(log) == 1 && log.is_worn();
            if state.is_closed || state.refusal.is_some() || !state.log.as_ref().is_some_and(is_idle) {
                return;
            }
            // As after a failure: until it is open again, nothing is taken.
            state.is_in_doubt = true;
        }
        tracing::debug!("the log is opened anew: its store's journal holds what is sealed");
        self.reopen();
    }

    /// Read-only below the floor, writable above it.
    fn look_at_space(&self) {
        let space =
            fs4::available_space(&self.watch.folder).and_then(|free| Ok((free, fs4::total_space(&self.watch.folder)?)));
        let refusal = match space {
            Ok((free, total)) if free < self.watch.floor.on(total) => {
                let message = format!(
                    "read-only: the disk of {} has {} MiB free and {} MiB must stay free; make room, and writing goes on by itself",
                    self.watch.folder.display(),
                    free >> 20,
                    self.watch.floor.on(total) >> 20,
                );
                Some(Error::new(ErrorKind::Unavailable, message).in_file(&self.watch.folder))
            }
            Ok(_) => None,
            Err(error) => {
                tracing::warn!(%error, "how much room the disk has is not known");
                None
            }
        };
        self.refuse(refusal);
    }

    /// Sets why nothing is taken, and says so once.
    fn refuse(&self, refusal: Option<Error>) {
        let mut state = self.state();
        match (&state.refusal, &refusal) {
            (None, Some(why)) => tracing::error!("{why}"),
            (Some(_), None) => tracing::info!("the log is writable again"),
            _ => {}
        }
        state.refusal = refusal;
    }

    /// Drops every handle of the failed store and opens it again. What fails now is tried again at the next look.
    fn reopen(&self) {
        let Some(log) = self.take_out() else { return };
        if let Some(log) = log {
            log.close();
            if let Err(log) = self.until_unshared(log) {
                tracing::error!("the failed log is still being read: it is opened again later");
                self.state().log = Some(log);
                return self.pause();
            }
        }
        match (self.watch.opener)() {
            Ok(log) => {
                tracing::info!(last = log.head().last, "the log was opened again");
                let mut state = self.state();
                state.known = Known::of(log.as_ref());
                if state.is_closed {
                    return log.close();
                }
                state.log = Some(Arc::new(log));
                (state.is_in_doubt, state.refusal) = (false, None);
                drop(state);
                self.changed.notify_all();
            }
            Err(error) => {
                self.refuse(Some(error));
                self.pause();
            }
        }
    }

    /// The log out of its place; the outer none if there is nothing to do any more.
    fn take_out(&self) -> Option<Option<Engine>> {
        let mut state = self.state();
        if state.is_closed {
            return None;
        }
        if let Some(log) = &state.log {
            state.known = Known::of(log.as_ref().as_ref());
        }
        Some(state.log.take())
    }

    /// Drops the log when nobody reads it any more.
    fn until_unshared(&self, mut log: Engine) -> Result<(), Engine> {
        const LOOK: Duration = Duration::from_millis(10);
        let mut waited = Duration::ZERO;
        loop {
            match Arc::try_unwrap(log) {
                Ok(_) => return Ok(()),
                Err(shared) if waited >= DROP_WITHIN => return Err(shared),
                Err(shared) => log = shared,
            }
            // Readers tell nobody when they are done.
            drop(self.changed.wait_timeout_while(self.state(), LOOK, |_| true).expect(UNPOISONED));
            waited += LOOK;
        }
    }

    fn pause(&self) {
        let goes_on = |state: &mut State| !state.is_closed;
        drop(self.changed.wait_timeout_while(self.state(), self.watch.every, goes_on).expect(UNPOISONED));
    }

    /// What became of a batch whose commit failed: none if it is not in the log.
    fn resolve(&self, batch: &[Draft], first: Position, why: &Error) -> Result<Option<Appended>, Error> {
        {
            let mut state = self.state();
            state.is_in_doubt = true;
            state.refusal = Some(why.clone());
        }
        self.changed.notify_all();
        let waits = |state: &mut State| state.is_in_doubt && !state.is_closed;
        let log = {
            let state = self.changed.wait_while(self.state(), waits).expect(UNPOISONED);
            if state.is_in_doubt {
                return Err(why.clone());
            }
            state.log.clone().ok_or_else(|| why.clone())?
        };
        if log.head().last < first.0 {
            return Ok(None);
        }
        let last = Position(first.0 + batch.len() as u64 - 1);
        let limit = ReadLimit { records: batch.len(), bytes: usize::MAX };
        let found = if log.head().last == last.0 { log.read(first, limit)? } else { Vec::new() };
        let is_same = |(record, draft): (&Record, &Draft)| {
            (record.kind, record.version, record.recorded_at) == (draft.kind, draft.version, draft.recorded_at)
                && record.payload == draft.payload
        };
        if found.len() == batch.len() && found.iter().zip(batch).all(is_same) {
            return Ok(Some(Appended { first, last }));
        }
        let message =
            format!("positions from {first} on are not what was appended there: the log was changed by another");
        Err(Error::new(ErrorKind::Corrupt, message).in_file(&self.watch.folder).at(first, last))
    }

    fn set_under_way(&self, is_under_way: bool) {
        let mut state = self.state();
        state.appends += u64::from(is_under_way);
        state.under_way = if is_under_way { state.appends } else { 0 };
    }
}

impl Log for GuardedLog {
    fn append(&self, batch: &[Draft]) -> Result<Appended, Error> {
        let shared = &self.shared;
        let _one = shared.appending.lock().expect(UNPOISONED);
        loop {
            if let Some(refusal) = self.refusal() {
                return Err(refusal);
            }
            let log = shared.log()?;
            let first = Position(log.head().last + 1);
            shared.set_under_way(true);
            let result = log.append(batch);
            shared.set_under_way(false);
            drop(log);
            match result {
                // Only a commit that failed names the positions it was about.
                Err(error) if error.kind() == ErrorKind::Unavailable && error.positions.is_some() => {
                    tracing::error!(%error, "the log is opened again to find out");
                    if let Some(appended) = shared.resolve(batch, first, &error)? {
                        return Ok(appended);
                    }
                }
                result => return result,
            }
        }
    }

    fn read(&self, from: Position, limit: ReadLimit) -> Result<Vec<Record>, Error> {
        self.shared.log()?.read(from, limit)
    }

    fn get(&self, positions: &[Position]) -> Result<Vec<Record>, Error> {
        self.shared.log()?.get(positions)
    }

    fn events(&self, from: Position, limit: ReadLimit) -> Result<Vec<Envelope>, Error> {
        self.shared.log()?.events(from, limit)
    }

    fn events_at(&self, positions: &[Position]) -> Result<Vec<Envelope>, Error> {
        self.shared.log()?.events_at(positions)
    }

    fn series(&self, key: SeriesKey, slots: Range<Timestamp>) -> Result<SealedSeries, Error> {
        self.shared.log()?.series(key, slots)
    }

    fn series_events(&self, page: &SeriesPage, slots: Range<Timestamp>) -> Result<Vec<Envelope>, Error> {
        self.shared.log()?.series_events(page, slots)
    }

    fn segment_infos(&self) -> Result<Vec<SegmentInfo>, Error> {
        self.shared.log()?.segment_infos()
    }

    fn disk_bytes(&self) -> u64 {
        self.shared.log().map_or(0, |log| log.disk_bytes())
    }

    fn raw_from(&self, kind: Kind) -> Position {
        self.shared.log().map_or(Position(1), |log| log.raw_from(kind))
    }

    fn condense(&self, first: Position, kinds: &[Kind], by: &mut dyn Condense) -> Result<Option<Condensed>, Error> {
        self.shared.log()?.condense(first, kinds, by)
    }

    fn replace_segment(&self, condensed: Condensed, event: Position) -> Result<(), Error> {
        self.shared.log()?.replace_segment(condensed, event)
    }

    fn check_facts(&self) -> Vec<Damage> {
        self.shared.log().map_or_else(|_| Vec::new(), |log| log.check_facts())
    }

    fn first(&self) -> Position {
        let state = self.shared.state();
        state.log.as_ref().map_or(state.known.first, |log| log.first())
    }

    fn tail(&self) -> Position {
        Position(self.head().last + 1)
    }

    fn head(&self) -> Head {
        let state = self.shared.state();
        state.log.as_ref().map_or(state.known.head, |log| log.head())
    }

    fn last_config(&self) -> Position {
        let state = self.shared.state();
        state.log.as_ref().map_or(state.known.last_config, |log| log.last_config())
    }

    fn refusal(&self) -> Option<Error> {
        self.shared.state().refusal.clone()
    }

    fn wait(&self, past: Position, at_most: Duration) -> Position {
        let state = self.shared.state();
        if let Some(log) = state.log.clone().filter(|_| !state.is_in_doubt || state.is_closed) {
            drop(state);
            return log.wait(past, at_most);
        }
        let is_away = |state: &mut State| state.is_in_doubt && !state.is_closed;
        drop(self.shared.changed.wait_timeout_while(state, at_most, is_away).expect(UNPOISONED));
        self.tail()
    }

    fn close(&self) {
        let log = {
            let mut state = self.shared.state();
            state.is_closed = true;
            state.log.clone()
        };
        self.shared.changed.notify_all();
        if let Some(watcher) = self.watcher.lock().expect(UNPOISONED).take()
            && watcher.join().is_err()
        {
            tracing::error!("the log's guard ended by a panic");
        }
        if let Some(log) = log {
            log.close();
        }
    }
}

impl Drop for GuardedLog {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests;
