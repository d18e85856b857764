//! The engine in memory: for tests and simulations.

use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use netstats_event::{Draft, Position, Record};

use crate::engine::{check_batch, check_range, is_config};
use crate::{Appended, Error, ErrorKind, Head, Log, ReadLimit};

/// A log in memory. Nothing survives it.
#[derive(Debug, Default)]
pub struct MemoryLog {
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Debug, Default)]
struct State {
    records: Vec<Record>,
    last_config: u64,
    is_closed: bool,
}

impl State {
    fn head(&self) -> Head {
        self.records.last().map_or_else(Head::default, |record| Head { last: record.position.0, chain: record.chain })
    }
}

impl MemoryLog {
    /// An empty log.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code panics while it holds the log")
    }
}

impl Log for MemoryLog {
    fn append(&self, batch: &[Draft]) -> Result<Appended, Error> {
        check_batch(batch)?;
        let mut state = self.state();
        if state.is_closed {
            return Err(Error::new(ErrorKind::Unavailable, "the log is closed"));
        }
        let first = state.head().last + 1;
        for draft in batch {
            let Head { last, chain } = state.head();
            if is_config(draft.kind) {
                state.last_config = last + 1;
            }
            state.records.push(draft.clone().at(Position(last + 1), chain));
        }
        let last = state.head().last;
        drop(state);
        self.moved.notify_all();
        Ok(Appended { first: Position(first), last: Position(last) })
    }

    fn read(&self, from: Position, limit: ReadLimit) -> Result<Vec<Record>, Error> {
        let state = self.state();
        check_range(from, Position(1), Position(state.head().last + 1))?;
        let start = usize::try_from(from.0 - 1).expect("a position of a record in memory");
        let limit = limit.bounded();
        let mut bytes = 0;
        let fits = |record: &&Record| {
            let is_first = bytes == 0;
            bytes += record.len();
            is_first || bytes <= limit.bytes
        };
        Ok(state.records[start..].iter().take(limit.records).take_while(fits).cloned().collect())
    }

    fn get(&self, positions: &[Position]) -> Result<Vec<Record>, Error> {
        let state = self.state();
        let record = |position: &Position| {
            let index = usize::try_from(position.0).ok().and_then(|number| number.checked_sub(1));
            index.and_then(|index| state.records.get(index)).cloned().ok_or_else(|| {
                Error::new(ErrorKind::NotFound, format!("there is no event at position {position}"))
                    .at(*position, *position)
            })
        };
        positions.iter().map(record).collect()
    }

    fn first(&self) -> Position {
        Position(1)
    }

    fn tail(&self) -> Position {
        Position(self.state().head().last + 1)
    }

    fn head(&self) -> Head {
        self.state().head()
    }

    fn last_config(&self) -> Position {
        Position(self.state().last_config)
    }

    fn wait(&self, past: Position, at_most: Duration) -> Position {
        let nothing_new = |state: &mut State| !state.is_closed && state.head().last <= past.0;
        let (state, _) = self
            .moved
            .wait_timeout_while(self.state(), at_most, nothing_new)
            .expect("no code panics while it holds the log");
        Position(state.head().last + 1)
    }

    fn close(&self) {
        self.state().is_closed = true;
        self.moved.notify_all();
    }
}
