//! Who has come how far, and who waits for it.

use std::sync::{Condvar, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use netstats_event::Position;

/// How far a projector has folded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The projector.
    pub name: &'static str,
    /// The last position that queries see.
    pub visible: Position,
    /// The last position that the view store holds.
    pub stored: Position,
    /// Why it stands still, if it does.
    pub failure: Option<String>,
}

/// The progress of all projectors.
#[derive(Debug, Default)]
pub(crate) struct Board {
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<Progress>,
    waiting: Vec<(Position, Waker)>,
    is_stopped: bool,
}

impl State {
    /// What every projector that works has reached.
    fn reached(&self) -> Position {
        let working = self.lines.iter().filter(|line| line.failure.is_none());
        working.map(|line| line.visible).min().unwrap_or(Position(u64::MAX))
    }
}

impl Board {
    pub(crate) fn new(lines: Vec<Progress>) -> Self {
        Self { state: Mutex::new(State { lines, ..State::default() }), moved: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code panics while it holds the board")
    }

    pub(crate) fn update(&self, index: usize, change: impl FnOnce(&mut Progress)) {
        let woken = {
            let mut state = self.state();
            change(&mut state.lines[index]);
            let reached = state.reached();
            let (woken, waiting) = state.waiting.drain(..).partition(|(position, _)| *position <= reached);
            state.waiting = waiting;
            woken
        };
        self.moved.notify_all();
        let woken: Vec<(Position, Waker)> = woken;
        woken.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// Nothing will move any more: whoever waits is told.
    pub(crate) fn stop(&self) {
        let woken = {
            let mut state = self.state();
            state.is_stopped = true;
            std::mem::take(&mut state.waiting)
        };
        self.moved.notify_all();
        woken.into_iter().for_each(|(_, waker)| waker.wake());
    }

    pub(crate) fn lines(&self) -> Vec<Progress> {
        self.state().lines.clone()
    }

    pub(crate) fn wait_for(&self, position: Position, at_most: Duration) -> bool {
        let is_waiting = |state: &mut State| state.reached() < position && !state.is_stopped;
        let (state, _) =
            self.moved.wait_timeout_while(self.state(), at_most, is_waiting).expect("no code panics while it holds it");
        state.reached() >= position
    }

    /// Ready with true when `position` is reached, with false when nothing moves any more.
    pub(crate) fn poll(&self, position: Position, context: &Context<'_>) -> Poll<bool> {
        let mut state = self.state();
        if state.reached() >= position {
            return Poll::Ready(true);
        }
        if state.is_stopped {
            return Poll::Ready(false);
        }
        state.waiting.push((position, context.waker().clone()));
        Poll::Pending
    }
}
