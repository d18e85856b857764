//! The only writer: typed, group-committing.

use std::sync::Arc;
use std::time::Duration;

use netstats_event::{Envelope, Event, Position};

use crate::{Appended, Error, Head, Log, ReadLimit};

/// A batch on its way. Await it or `wait` for it: it is durable when it answers `Ok`.
#[derive(Debug)]
pub struct AppendTicket {}

impl AppendTicket {
    /// Blocks until the batch is durable.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub fn wait(self) -> Result<Appended, Error> {
        unimplemented!()
    }
}

impl Future for AppendTicket {
    type Output = Result<Appended, Error>;

    fn poll(self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        unimplemented!()
    }
}

/// The typed door to the log: encodes, stamps the recorded time, gathers concurrent batches into one durable commit.
pub struct Journal {
    log: Arc<dyn Log>,
}

impl Journal {
    /// Starts the writer thread in front of `log`.
    ///
    /// # Errors
    /// The thread cannot be started, or the log cannot be read.
    pub fn open(_log: Arc<dyn Log>) -> Result<Arc<Self>, Error> {
        unimplemented!()
    }

    /// Hands a batch to the writer and returns at once. The batch's events get consecutive positions.
    #[must_use]
    pub fn submit(&self, _events: Vec<Event>) -> AppendTicket {
        unimplemented!()
    }

    /// Appends and waits until durable.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub fn append(&self, events: Vec<Event>) -> Result<Appended, Error> {
        self.submit(events).wait()
    }

    /// Appends only if no config event was appended after `unmoved_since`: otherwise Conflict, and nothing is written.
    #[must_use]
    pub fn submit_if_config_unmoved(&self, _events: Vec<Event>, _unmoved_since: Position) -> AppendTicket {
        unimplemented!()
    }

    /// Decoded events from `from` on.
    ///
    /// # Errors
    /// As [`Log::read`].
    pub fn read(&self, _from: Position, _limit: ReadLimit) -> Result<Vec<Envelope>, Error> {
        unimplemented!()
    }

    /// The decoded events at these positions (ascending).
    ///
    /// # Errors
    /// As [`Log::get`].
    pub fn get(&self, _positions: &[Position]) -> Result<Vec<Envelope>, Error> {
        unimplemented!()
    }

    /// The first position kept.
    #[must_use]
    pub fn first(&self) -> Position {
        self.log.first()
    }

    /// The first position not written.
    #[must_use]
    pub fn tail(&self) -> Position {
        self.log.tail()
    }

    /// The last record and the chain after it.
    #[must_use]
    pub fn head(&self) -> Head {
        self.log.head()
    }

    /// As [`Log::wait`].
    #[must_use]
    pub fn wait(&self, past: Position, at_most: Duration) -> Position {
        self.log.wait(past, at_most)
    }

    /// Commits what was submitted, then stops the writer and closes the log.
    pub fn close(&self) {
        unimplemented!()
    }
}
