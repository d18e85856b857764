//! Runs projectors, each on a thread of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use netstats_event::Position;
use netstats_log::{ErrorKind, Journal};

use crate::feed::Feed;
use crate::limits::{COMMIT_EVERY, EVENTS_PER_COMMIT, IDLE_LOOK};
use crate::progress::{Board, Progress};
use crate::reader::Error;
use crate::store::ViewRows;
use crate::{Checkpoint, Projector, RowBatch, ViewStore};

/// Projectors at work: folds what comes, publishes it to queries, stores it now and then.
pub struct Runner {
    board: Arc<Board>,
    is_stopping: Arc<AtomicBool>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner").field("progress", &self.progress()).finish_non_exhaustive()
    }
}

impl Runner {
    /// Loads every projector from its rows, or empties its view where the fold's version is another one, and starts
    /// their threads, which fold what the rows lack and then follow the log.
    ///
    /// # Errors
    /// Corrupt: a checkpoint beyond the log's tail, so acknowledged events were lost. Unavailable: the store cannot be
    /// used, or a thread cannot be started.
    pub fn start(
        journal: Arc<Journal>,
        store: Arc<dyn ViewStore>,
        projectors: Vec<Box<dyn Projector>>,
    ) -> Result<Self, Error> {
        let feed = Arc::new(Feed::new(journal.clone()));
        let mut works = Vec::with_capacity(projectors.len());
        for projector in projectors {
            works.push(Work::load(projector, &store, &journal)?);
        }
        let lines = works.iter().map(Work::progress).collect();
        let runner = Self {
            board: Arc::new(Board::new(lines)),
            is_stopping: Arc::new(AtomicBool::new(false)),
            threads: Mutex::default(),
        };
        for (index, work) in works.into_iter().enumerate() {
            let (feed, board, is_stopping) = (feed.clone(), runner.board.clone(), runner.is_stopping.clone());
            let thread = std::thread::Builder::new()
                .name(format!("view-{}", work.projector.name()))
                .spawn(move || work.run(index, &feed, &board, &is_stopping))
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

    /// Blocks until every working projector shows `position` or the time is over; true if they do.
    #[must_use]
    pub fn wait_for(&self, position: Position, at_most: Duration) -> bool {
        self.board.wait_for(position, at_most)
    }

    /// The same as a future, without a time limit: true when they do, false when the runner stopped before.
    pub fn wait_for_async(&self, position: Position) -> impl Future<Output = bool> + Send + use<> {
        let board = self.board.clone();
        std::future::poll_fn(move |context| board.poll(position, context))
    }

    /// How far each has come.
    #[must_use]
    pub fn progress(&self) -> Vec<Progress> {
        self.board.lines()
    }

    /// Stores what is folded and ends the threads.
    pub fn stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
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

/// Folds the whole log into an emptied view, without threads; returns the last position folded. For rebuilds and
/// comparisons.
///
/// # Errors
/// The log or the store cannot be used.
pub fn rebuild(
    journal: &Arc<Journal>,
    store: &Arc<dyn ViewStore>,
    projector: Box<dyn Projector>,
) -> Result<Position, Error> {
    store.empty(projector.name())?;
    let mut work = Work::load(projector, store, journal)?;
    let feed = Feed::new(journal.clone());
    while let Some(batch) = feed.after(work.visible, Duration::ZERO)? {
        work.apply(batch.events());
        if work.uncommitted >= EVENTS_PER_COMMIT {
            work.commit()?;
        }
    }
    work.commit()?;
    Ok(work.visible)
}

/// One projector with its view.
struct Work {
    projector: Box<dyn Projector>,
    store: Arc<dyn ViewStore>,
    visible: Position,
    stored: Position,
    uncommitted: u64,
}

impl Work {
    fn load(mut projector: Box<dyn Projector>, store: &Arc<dyn ViewStore>, journal: &Journal) -> Result<Self, Error> {
        let (name, version) = (projector.name(), projector.version());
        let rows = ViewRows { store: store.clone(), view: name };
        projector.attach(Arc::new(rows.clone()));
        let mut position = Position::START;
        match store.checkpoint(name)? {
            _ if projector.starts_at_tail() => {
                position = Position(journal.head().last);
                projector.started_after(position);
            }
            Some(checkpoint) if checkpoint.position >= journal.tail() => {
                let (has, last) = (checkpoint.position, journal.head().last);
                let message = format!(
                    "the view {name} knows events up to position {has}, but the log ends at {last}: acknowledged events \
                     were lost. Nothing was changed. Run `network-stats log verify`, and `network-stats log repair` to \
                     see what can be saved; if the loss is known and accepted, delete the folder of the views"
                );
                return Err(Error::new(ErrorKind::Corrupt, message).at(Position(last + 1), has));
            }
            Some(checkpoint) if checkpoint.version == version => match projector.load(&rows) {
                Ok(()) => position = checkpoint.position,
                Err(error) => {
                    tracing::warn!(view = name, %error, "a view's rows cannot be read: it is rebuilt from the log");
                    store.empty(name)?;
                    projector.load(&rows)?;
                }
            },
            other => {
                if let Some(checkpoint) = other {
                    tracing::info!(
                        view = name,
                        was = checkpoint.version,
                        now = version,
                        "a view's fold is new: rebuilding"
                    );
                }
                store.empty(name)?;
                projector.load(&rows)?;
            }
        }
        Ok(Self { projector, store: store.clone(), visible: position, stored: position, uncommitted: 0 })
    }

    fn progress(&self) -> Progress {
        Progress { name: self.projector.name(), visible: self.visible, stored: self.stored, failure: None }
    }

    fn apply(&mut self, events: &[netstats_event::Envelope]) {
        self.projector.apply(events);
        if let Some(last) = events.last() {
            self.visible = last.position;
            self.uncommitted += events.len() as u64;
        }
    }

    fn commit(&mut self) -> Result<(), Error> {
        if self.visible == self.stored {
            return Ok(());
        }
        if !self.projector.starts_at_tail() {
            let mut rows = RowBatch::default();
            self.projector.flush(&mut rows);
            let checkpoint = Checkpoint { version: self.projector.version(), position: self.visible };
            self.store.commit(self.projector.name(), rows, checkpoint)?;
        }
        self.stored = self.visible;
        self.uncommitted = 0;
        Ok(())
    }

    /// Follows the log until told to stop. A fold that panics, or a store that fails, ends this view and no other.
    fn run(mut self, index: usize, feed: &Feed, board: &Board, is_stopping: &AtomicBool) {
        let followed = catch_unwind(AssertUnwindSafe(|| self.follow(index, feed, board, is_stopping)));
        let failure = match followed {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(panic) => {
                let why = panic
                    .downcast_ref::<String>()
                    .map(String::as_str)
                    .or_else(|| panic.downcast_ref::<&str>().copied())
                    .unwrap_or("no message");
                format!("the fold of an event after position {} panicked: {why}", self.visible)
            }
        };
        tracing::error!(view = self.projector.name(), %failure, "a view stands still; restart to try again");
        board.update(index, |line| line.failure = Some(failure));
    }

    fn follow(&mut self, index: usize, feed: &Feed, board: &Board, is_stopping: &AtomicBool) -> Result<(), Error> {
        let mut committed_at = now();
        loop {
            let stopping = is_stopping.load(Ordering::Acquire);
            let patience = if stopping { Duration::ZERO } else { IDLE_LOOK };
            let batch = feed.after(self.visible, patience)?;
            let is_at_tail = batch.is_none();
            if let Some(batch) = batch {
                self.apply(batch.events());
                let visible = self.visible;
                board.update(index, |line| line.visible = visible);
            }
            let is_due = self.uncommitted >= EVENTS_PER_COMMIT || committed_at.elapsed() >= COMMIT_EVERY;
            if stopping || is_due {
                self.commit()?;
                committed_at = now();
                let stored = self.stored;
                board.update(index, |line| line.stored = stored);
            }
            // A stop does not wait for a view that is far behind: it goes on from its checkpoint at the next start.
            if stopping && (is_at_tail || self.uncommitted == 0) {
                return Ok(());
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the runner is where the age of uncommitted rows is measured")]
fn now() -> Instant {
    Instant::now()
}
