//! What every engine does. One conformance suite holds them all to it.
//!
//! ```text
//!   position   1     2     3     4     5     6
//!            +-----+-----+-----+-----+-----+ - - -
//!            |  a  |  b  |  c  |  d  |  e  |  (unwritten)
//!            +-----+-----+-----+-----+-----+ - - -
//!            ^ first                 ^ last  ^ tail
//! ```
//! An empty log has `first() == tail() == 1`. After retention `first()` is larger than 1.

use std::time::Duration;

use netstats_event::{ChainHash, Draft, Position, Record};

use crate::Error;

/// Where a batch went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Position of its first record.
    pub first: Position,
    /// Position of its last record.
    pub last: Position,
}

/// The end of the log: everything before is proved by this chain value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Number of the last record; 0 if there is none.
    pub last: u64,
    /// The chain's value after it.
    pub chain: ChainHash,
}

/// How much one read returns at most; at least one record if there is one.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimit {
    /// Records.
    pub records: usize,
    /// Bytes of records.
    pub bytes: usize,
}

impl Default for ReadLimit {
    fn default() -> Self {
        Self { records: 4_096, bytes: 4 * 1024 * 1024 }
    }
}

/// The ordered bytes. Readers may be many; appends are serialised by the engine.
pub trait Log: Send + Sync + 'static {
    /// Appends a batch atomically. When it returns `Ok` the batch survives a power cut. An error of kind
    /// `Unavailable` may mean "unknown": the batch may be found after a reopen.
    ///
    /// # Errors
    /// Unavailable (disk, closed), Invalid (empty batch, a record over the limit).
    fn append(&self, batch: &[Draft]) -> Result<Appended, Error>;

    /// Records from `from` on, in order, without gaps. Empty at the tail.
    ///
    /// # Errors
    /// `NotFound` before `first()` or past `tail()`, Corrupt, Unavailable.
    fn read(&self, from: Position, limit: ReadLimit) -> Result<Vec<Record>, Error>;

    /// The records at these positions (ascending, any gaps), in that order.
    ///
    /// # Errors
    /// `NotFound` if one is not there, Corrupt, Unavailable.
    fn get(&self, positions: &[Position]) -> Result<Vec<Record>, Error>;

    /// The first position kept (equal to `tail()` in an empty log).
    fn first(&self) -> Position;

    /// The first position not written.
    fn tail(&self) -> Position;

    /// The last record and the chain after it.
    fn head(&self) -> Head;

    /// Waits until `tail() > past.next()`, that is until there is an event after `past`, or the time is over; returns
    /// `tail()`.
    fn wait(&self, past: Position, at_most: Duration) -> Position;

    /// Stops taking appends and wakes all waiters. Reads go on.
    fn close(&self);
}
