//! Who has come how far, and who waits for it.

use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use netstats_event::Position;

const UNPOISONED: &str = "no code panics while it holds the board";

/// How far a projector has folded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The projector.
    pub name: &'static str,
    /// The last position that queries see.
    pub visible: Position,
    /// The last position that the view store holds.
    pub stored: Position,
    /// Why it stands still, or what it tries again every second: rows that are not stored, a log that is not read.
    pub failure: Option<String>,
}

/// The progress of all projectors.
#[derive(Debug, Default)]
pub(crate) struct Board {
    state: Mutex<State>,
    moved: Condvar,
    stopping: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<Line>,
    waiting: Vec<Waiter>,
    waiters: u64,
    is_stopping: bool,
    is_stopped: bool,
}

#[derive(Debug)]
struct Line {
    progress: Progress,
    /// It stands still until the next start.
    has_ended: bool,
}

#[derive(Debug)]
struct Waiter {
    number: u64,
    position: Position,
    waker: Waker,
}

impl State {
    /// What every projector that works has reached.
    fn reached(&self) -> Position {
        let working = self.lines.iter().filter(|line| !line.has_ended);
        working.map(|line| line.progress.visible).min().unwrap_or(Position(u64::MAX))
    }

    /// Whether a wait for `position` is over, and how.
    fn answer(&self, position: Position) -> Option<bool> {
        let is_reached = self.reached() >= position;
        (is_reached || self.is_stopped).then_some(is_reached)
    }
}

impl Board {
    pub(crate) fn new(progress: Vec<Progress>) -> Self {
        let lines = progress.into_iter().map(|progress| Line { progress, has_ended: false }).collect();
        Self { state: Mutex::new(State { lines, ..State::default() }), ..Self::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect(UNPOISONED)
    }

    /// Changes the board and tells those whose wait is over.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        let over: Vec<Waker> = if state.waiting.is_empty() {
            Vec::new()
        } else {
            let (over, waiting): (Vec<_>, _) =
                std::mem::take(&mut state.waiting).into_iter().partition(|one| state.answer(one.position).is_some());
            state.waiting = waiting;
            over.into_iter().map(|one| one.waker).collect()
        };
        drop(state);
        self.moved.notify_all();
        over.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn update(&self, index: usize, change: impl FnOnce(&mut Progress)) {
        self.change(|state| change(&mut state.lines[index].progress));
    }

    /// This one goes no further, and is waited for no more.
    pub(crate) fn end(&self, index: usize, failure: String) {
        self.change(|state| {
            state.lines[index].progress.failure = Some(failure);
            state.lines[index].has_ended = true;
        });
    }

    /// Asks the projectors to come to an end.
    pub(crate) fn ask_to_stop(&self) {
        self.state().is_stopping = true;
        self.stopping.notify_all();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.state().is_stopping
    }

    /// Passes time, unless it is time to stop.
    pub(crate) fn pause(&self, at_most: Duration) {
        let waited = self.stopping.wait_timeout_while(self.state(), at_most, |state| !state.is_stopping);
        drop(waited.expect(UNPOISONED));
    }

    /// Nothing will move any more: whoever waits is told.
    pub(crate) fn stop(&self) {
        self.change(|state| state.is_stopped = true);
    }

    pub(crate) fn lines(&self) -> Vec<Progress> {
        self.state().lines.iter().map(|line| line.progress.clone()).collect()
    }

    pub(crate) fn wait_for(&self, position: Position, at_most: Duration) -> bool {
        let is_open = |state: &mut State| state.answer(position).is_none();
        let waited = self.moved.wait_timeout_while(self.state(), at_most, is_open);
        waited.expect(UNPOISONED).0.answer(position) == Some(true)
    }
}

/// Ready with true when a position is reached, with false when nothing moves any more. Dropped, it leaves nothing.
pub(crate) struct Reached {
    board: Arc<Board>,
    position: Position,
    /// Its number among those who wait.
    number: Option<u64>,
}

impl Reached {
    pub(crate) const fn new(board: Arc<Board>, position: Position) -> Self {
        Self { board, position, number: None }
    }
}

impl Future for Reached {
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<bool> {
        let board = self.board.clone();
        let mut state = board.state();
        if let Some(answer) = state.answer(self.position) {
            return Poll::Ready(answer);
        }
        if let Some(known) = state.waiting.iter_mut().find(|one| Some(one.number) == self.number) {
            known.waker.clone_from(context.waker());
        } else {
            state.waiters += 1;
            let (number, position) = (state.waiters, self.position);
            state.waiting.push(Waiter { number, position, waker: context.waker().clone() });
            self.number = Some(number);
        }
        Poll::Pending
    }
}

impl Drop for Reached {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.board.state().waiting.retain(|one| one.number != number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn futures_that_are_polled_often_or_given_up_leave_nothing_behind() {
        let line = Progress { name: "one", visible: Position(0), stored: Position(0), failure: None };
        let board = Arc::new(Board::new(vec![line]));
        let mut context = Context::from_waker(Waker::noop());
        let mut waiting = Vec::new();
        for _ in 0..10 {
            let mut one = Box::pin(Reached::new(board.clone(), Position(1)));
            for _ in 0..100 {
                assert!(one.as_mut().poll(&mut context).is_pending());
            }
            waiting.push(one);
        }
        assert_eq!(board.state().waiting.len(), 10);
        waiting.truncate(1);
        assert_eq!(board.state().waiting.len(), 1);
        board.update(0, |line| line.visible = Position(1));
        assert_eq!(waiting[0].as_mut().poll(&mut context), Poll::Ready(true));
        assert_eq!(board.state().waiting.len(), 0);
    }
}
