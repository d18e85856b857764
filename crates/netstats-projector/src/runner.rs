//! Runs projectors, each on a thread of its own.

use std::any::Any;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use netstats_event::{Envelope, Position, Timestamp};
use netstats_log::{ErrorKind, Journal};

use crate::ahead;
use crate::feed::Feed;
use crate::limits::{COMMIT_EVERY, EVENTS_PER_COMMIT, IDLE_LOOK, RETRY_EVERY, SHARED_BATCHES};
use crate::progress::{Board, Progress, Reached};
use crate::reader::Error;
use crate::store::ViewRows;
use crate::{Checkpoint, Projector, RowBatch, ViewStore};

/// Projectors at work: folds what comes, publishes it to queries, stores it now and then.
pub struct Runner {
    board: Arc<Board>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner").field("progress", &self.progress()).finish_non_exhaustive()
    }
}

impl Runner {
    /// Loads every projector from its rows, or empties its view where the rows are of another fold or another log, and
    /// starts their threads, which fold what the rows lack and then follow the log. A store that cannot be read is
    /// wiped, and everything is folded anew.
    ///
    /// # Errors
    /// Corrupt: a checkpoint beyond the log's tail, so acknowledged events were lost. Unavailable: the store cannot be
    /// used, or a thread cannot be started. Invalid: two projectors of one name.
    pub fn start(
        journal: Arc<Journal>,
        store: Arc<dyn ViewStore>,
        projectors: Vec<Box<dyn Projector>>,
    ) -> Result<Self, Error> {
        for (number, projector) in projectors.iter().enumerate() {
            let name = projector.name();
            if projectors[..number].iter().any(|other| other.name() == name) {
                let message = format!("two projectors are named {name}: they would write the same rows");
                return Err(Error::new(ErrorKind::Invalid, message));
            }
        }
        let feed = Arc::new(Feed::new(journal.clone()));
        let mut works: Vec<Work> = projectors.into_iter().map(|projector| Work::new(projector, &store)).collect();
        let mut load_all = || works.iter_mut().try_for_each(|work| work.load(&journal));
        match load_all() {
            // What concerns the log names positions; the store has none.
            Err(error) if error.kind() == ErrorKind::Corrupt && error.positions.is_none() => {
                tracing::warn!(%error, "the views are damaged and are rebuilt from the log");
                store.wipe()?;
                load_all()?;
            }
            loaded => loaded?,
        }
        let board = Arc::new(Board::new(works.iter().map(Work::progress).collect()));
        let runner = Self { board, threads: Mutex::default() };
        for (index, work) in works.into_iter().enumerate() {
            if let Some(failure) = work.panic.clone() {
                runner.board.end(index, failure);
                continue;
            }
            let (feed, board) = (feed.clone(), runner.board.clone());
            let thread = std::thread::Builder::new()
                .name(format!("view-{}", work.projector.name()))
                .spawn(move || work.run(index, &feed, &board))
                .map_err(|error| {
                    Error::new(ErrorKind::Unavailable, "a projector's thread cannot be started").because(error)
                })?;
            runner.threads().push(thread);
        }
        Ok(runner)
    }

    fn threads(&self) -> std::sync::MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().expect("no code panics while it holds the threads")
    }

    /// Blocks until every projector shows `position` or the time is over; true if they do. One that has ended with a
    /// failure is not waited for.
    #[must_use]
    pub fn wait_for(&self, position: Position, at_most: Duration) -> bool {
        self.board.wait_for(position, at_most)
    }

    /// The same as a future of any runtime, without a time limit: true when they do, false when the runner stopped
    /// before.
    pub fn wait_for_async(&self, position: Position) -> impl Future<Output = bool> + Send + use<> {
        Reached::new(self.board.clone(), position)
    }

    /// How far each has come.
    #[must_use]
    pub fn progress(&self) -> Vec<Progress> {
        self.board.lines()
    }

    /// Stores what is folded and ends the threads.
    pub fn stop(&self) {
        self.board.ask_to_stop();
        for thread in self.threads().drain(..) {
            if thread.join().is_err() {
                tracing::error!("a projector's thread ended by a panic");
            }
        }
        self.board.stop();
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Folds the whole log into an emptied view; returns the last position folded. For comparisons.
///
/// # Errors
/// The log or the store cannot be used.
pub fn rebuild(
    journal: &Arc<Journal>,
    store: &Arc<dyn ViewStore>,
    projector: Box<dyn Projector>,
) -> Result<Position, Error> {
    rebuild_all(journal, store, vec![projector], NonZero::<usize>::MIN)
}

/// Folds the whole log, as it is now, into emptied views, each on a thread of its own, while that many threads decode
/// ahead of them; returns the last position folded. The views have the same bytes whatever the number of threads.
///
/// # Errors
/// The log or the store cannot be used, or a fold panicked.
pub fn rebuild_all(
    journal: &Arc<Journal>,
    store: &Arc<dyn ViewStore>,
    projectors: Vec<Box<dyn Projector>>,
    decoders: NonZero<usize>,
) -> Result<Position, Error> {
    let last = Position(journal.head().last);
    let mut works = Vec::with_capacity(projectors.len());
    for projector in projectors {
        store.empty(projector.name())?;
        let mut work = Work::new(projector, store);
        work.load(journal)?;
        works.push(work);
    }
    std::thread::scope(|scope| {
        let mut folding = Vec::with_capacity(works.len());
        let mut doors = Vec::with_capacity(works.len());
        for work in works {
            let (door, batches) = sync_channel(SHARED_BATCHES);
            doors.push(door);
            folding.push(scope.spawn(move || work.fold_all(&batches)));
        }
        let decoded = ahead::decode(scope, journal, last, decoders);
        // A fold that has ended with a failure hears no more; the others go on.
        let handed = decoded.into_iter().try_for_each(|batch| {
            batch.map(|batch: Arc<[Envelope]>| doors.iter().for_each(|door| drop(door.send(batch.clone()))))
        });
        drop(doors);
        let ends = folding.into_iter().map(|thread| thread.join().expect("panics of folds are caught"));
        ends.fold(handed, Result::and)
    })?;
    Ok(last)
}

/// One projector with its view.
struct Work {
    projector: Box<dyn Projector>,
    store: Arc<dyn ViewStore>,
    visible: Position,
    /// When the last visible event was recorded.
    visible_at: Timestamp,
    stored: Position,
    /// Events folded since the last flush.
    uncommitted: u64,
    /// Rows that the store has not taken yet, and what they stand for.
    pending: Option<(RowBatch, Checkpoint)>,
    /// What the projector's own code died of.
    panic: Option<String>,
}

impl Work {
    fn new(projector: Box<dyn Projector>, store: &Arc<dyn ViewStore>) -> Self {
        Self {
            projector,
            store: store.clone(),
            visible: Position::START,
            visible_at: Timestamp::default(),
            stored: Position::START,
            uncommitted: 0,
            pending: None,
            panic: None,
        }
    }

    fn name(&self) -> &'static str {
        self.projector.name()
    }

    /// Runs the projector's own code; none if it panicked.
    fn guarded<T>(&mut self, what: &str, work: impl FnOnce(&mut dyn Projector) -> T) -> Option<T> {
        match catch_unwind(AssertUnwindSafe(|| work(self.projector.as_mut()))) {
            Ok(value) => Some(value),
            Err(panic) => {
                self.panic = Some(format!("{what} panicked: {}", words(panic.as_ref())));
                None
            }
        }
    }

    /// Takes up the rows, or empties them where they are of no use.
    fn load(&mut self, journal: &Journal) -> Result<(), Error> {
        let (name, version) = (self.name(), self.projector.version());
        if self.projector.starts_at_tail() {
            let last = Position(journal.head().last);
            (self.visible, self.stored) = (last, last);
            self.guarded("starting", |projector| projector.started_after(last));
            return Ok(());
        }
        (self.visible, self.stored, self.panic) = (Position::START, Position::START, None);
        let rows = ViewRows { store: self.store.clone(), view: name };
        self.guarded("attaching", |projector| projector.attach(Arc::new(rows.clone())));
        let why = match self.store.checkpoint(name)? {
            Some(checkpoint) if checkpoint.position >= journal.tail() => {
                let (has, last) = (checkpoint.position, journal.head().last);
                let message = format!(
                    "the view {name} knows events up to position {has}, but the log ends at {last}: acknowledged events \
                     were lost. Nothing was changed. Run `network-stats log verify`, and `network-stats log repair` to \
                     see what can be saved; if the loss is known and accepted, delete the folder of the views"
                );
                return Err(Error::new(ErrorKind::Corrupt, message).at(Position(last + 1), has));
            }
            Some(checkpoint) if checkpoint.version != version => {
                Some(format!("its fold was version {} and is now {version}", checkpoint.version))
            }
            Some(checkpoint) if !is_of_this_log(journal, checkpoint)? => {
                Some(format!("its last event, at position {}, is another one in this log", checkpoint.position))
            }
            Some(checkpoint) => match self.guarded("loading", |projector| projector.load(&rows)) {
                Some(Ok(())) => {
                    (self.visible, self.stored) = (checkpoint.position, checkpoint.position);
                    self.visible_at = checkpoint.recorded_at;
                    return Ok(());
                }
                Some(Err(error)) if error.kind() == ErrorKind::Unavailable => return Err(error),
                Some(Err(error)) => Some(error.to_string()),
                None => self.panic.take(),
            },
            None => None,
        };
        if let Some(why) = why {
            tracing::warn!(view = name, %why, "a view is rebuilt from the log");
        }
        self.store.empty(name)?;
        self.guarded("loading", |projector| projector.load(&rows)).unwrap_or(Ok(()))
    }

    /// Folds what comes, to the end, and stores it.
    fn fold_all(mut self, batches: &Receiver<Arc<[Envelope]>>) -> Result<(), Error> {
        loop {
            let batch = batches.recv().ok();
            let is_over = batch.is_none();
            if let Some(batch) = batch {
                self.apply(&batch);
            }
            if is_over || self.uncommitted >= EVENTS_PER_COMMIT {
                self.commit()?;
            }
            if let Some(panic) = self.panic {
                return Err(Error::new(ErrorKind::Unavailable, panic));
            }
            if is_over {
                return Ok(());
            }
        }
    }

    fn progress(&self) -> Progress {
        Progress { name: self.name(), visible: self.visible, stored: self.stored, failure: None }
    }

    fn apply(&mut self, events: &[Envelope]) {
        let Some(last) = events.last() else { return };
        let what = format!("the fold of an event after position {}", self.visible);
        if self.guarded(&what, |projector| projector.apply(events)).is_some() {
            (self.visible, self.visible_at) = (last.position, last.recorded_at);
            self.uncommitted += events.len() as u64;
        }
    }

    /// Stores the rows of what is folded. Rows that the store does not take are kept and tried again, alone, so that
    /// what it holds is always one state of the view.
    fn commit(&mut self) -> Result<(), Error> {
        if self.projector.starts_at_tail() {
            (self.stored, self.uncommitted) = (self.visible, 0);
            return Ok(());
        }
        if self.pending.is_none() && self.uncommitted > 0 && self.panic.is_none() {
            let mut rows = RowBatch::default();
            if self.guarded("flushing", |projector| projector.flush(&mut rows)).is_none() {
                return Ok(());
            }
            let checkpoint =
                Checkpoint { version: self.projector.version(), position: self.visible, recorded_at: self.visible_at };
            self.pending = Some((rows, checkpoint));
            self.uncommitted = 0;
        }
        if let Some((rows, checkpoint)) = &self.pending {
            self.store.commit(self.projector.name(), rows, *checkpoint)?;
            self.stored = checkpoint.position;
            self.pending = None;
        }
        Ok(())
    }

    /// Follows the log until told to stop. What ends this view ends no other.
    fn run(mut self, index: usize, feed: &Feed, board: &Board) {
        // The projector's own panics are told apart by `guarded`; what is left is the store's or the log's.
        let failure = match catch_unwind(AssertUnwindSafe(|| self.follow(index, feed, board))) {
            Ok(Ok(())) => self.panic.take(),
            Ok(Err(error)) => Some(error.to_string()),
            Err(panic) => Some(format!("its store or the log panicked: {}", words(panic.as_ref()))),
        };
        if let Some(failure) = failure {
            tracing::error!(view = self.name(), %failure, "a view stands still; restart to try again");
            board.end(index, failure);
        }
        // What a panic left behind may panic again.
        if catch_unwind(AssertUnwindSafe(|| drop(self))).is_err() {
            tracing::error!("a projector panicked at its end");
        }
    }

    fn follow(&mut self, index: usize, feed: &Feed, board: &Board) -> Result<(), Error> {
        let mut committed_at = now();
        let mut store_trouble = None;
        loop {
            let is_stopping = board.is_stopping();
            let asked_at = now();
            let mut pause = Duration::ZERO;
            let mut log_trouble = None;
            match feed.after(self.visible, if is_stopping { Duration::ZERO } else { IDLE_LOOK }) {
                Ok(Some(batch)) => self.apply(batch.events()),
                // A closed log answers at once, for ever.
                Ok(None) if asked_at.elapsed() < IDLE_LOOK / 2 => pause = IDLE_LOOK / 10,
                Ok(None) => {}
                Err(error) => {
                    log_trouble = Some(passing(error)?);
                    pause = RETRY_EVERY;
                }
            }
            let is_full = self.uncommitted >= EVENTS_PER_COMMIT && self.pending.is_none();
            if is_stopping || is_full || committed_at.elapsed() >= COMMIT_EVERY {
                store_trouble = self.commit().err().map(passing).transpose()?;
                committed_at = now();
            }
            if self.panic.is_some() {
                return Ok(());
            }
            self.tell(index, board, log_trouble.as_ref().or(store_trouble.as_ref()));
            // A stop waits for one batch, not for a view that is far behind: it goes on from its checkpoint at the
            // next start. Rows that had waited for the store may have left newer ones to be asked for.
            if is_stopping && (self.uncommitted == 0 || store_trouble.is_some()) {
                return Ok(());
            }
            if !pause.is_zero() {
                board.pause(pause);
            }
        }
    }

    /// Puts on the board what has changed.
    fn tell(&self, index: usize, board: &Board, trouble: Option<&String>) {
        board.update(index, |line| {
            if let Some(trouble) = trouble.filter(|_| line.failure.is_none()) {
                tracing::warn!(view = line.name, %trouble, "tried again every second");
            }
            (line.visible, line.stored) = (self.visible, self.stored);
            line.failure = trouble.cloned();
        });
    }
}

/// What a panic said.
fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

/// The words of an error that may pass; any other is given back.
fn passing(error: Error) -> Result<String, Error> {
    if error.kind() == ErrorKind::Unavailable { Ok(error.to_string()) } else { Err(error) }
}

/// Views of another log (a restored one that has grown again) have checkpoints like ours; the event's time tells.
fn is_of_this_log(journal: &Journal, checkpoint: Checkpoint) -> Result<bool, Error> {
    if checkpoint.position < journal.first() {
        return Ok(true);
    }
    Ok(journal.get(&[checkpoint.position])?.first().is_some_and(|event| event.recorded_at == checkpoint.recorded_at))
}

#[expect(clippy::disallowed_methods, reason = "the runner is where the age of uncommitted rows is measured")]
fn now() -> Instant {
    Instant::now()
}
