//! How views get at raw events again: by position.

use netstats_event::{Envelope, Position};
pub(crate) use netstats_log::Error;
use netstats_log::{Journal, ReadLimit};

/// Reads decoded events: what queries use to answer with raw samples without a copy of their own.
pub trait EventReader: Send + Sync + 'static {
    /// Events from `from` on, in order.
    ///
    /// # Errors
    /// As [`netstats_log::Log::read`].
    fn read(&self, from: Position, limit: ReadLimit) -> Result<Vec<Envelope>, Error>;

    /// The events at these positions (ascending).
    ///
    /// # Errors
    /// As [`netstats_log::Log::get`].
    fn get(&self, positions: &[Position]) -> Result<Vec<Envelope>, Error>;
}

impl EventReader for Journal {
    fn read(&self, from: Position, limit: ReadLimit) -> Result<Vec<Envelope>, Error> {
        Self::read(self, from, limit)
    }

    fn get(&self, positions: &[Position]) -> Result<Vec<Envelope>, Error> {
        Self::get(self, positions)
    }
}
