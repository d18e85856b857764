//! How views get at raw events again: by position.

use std::ops::Range;

use netstats_event::{Envelope, Kind, Position, Timestamp};
pub(crate) use netstats_log::Error;
use netstats_log::{ErrorKind, Journal, ReadLimit, SealedSeries, SeriesKey, SeriesPage};

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

    /// The first position from which on every sample of a kind is there with its raw values; before it retention may
    /// have left summaries.
    fn raw_from(&self, kind: Kind) -> Position {
        let _ = kind;
        Position(1)
    }

    /// The pages in which the sealed part of the log holds a series, for slots in a range, by position. Each says how
    /// many outcomes it holds and between which slots, so that a query need not read what it does not need. A reader
    /// without sealed pages has none.
    ///
    /// # Errors
    /// As [`netstats_log::Log::series`].
    fn series(&self, key: SeriesKey, slots: Range<Timestamp>) -> Result<SealedSeries, Error> {
        let _ = (key, slots);
        Ok(SealedSeries { pages: Vec::new(), until: Position(1) })
    }

    /// The outcomes of such a page with a slot in the range, by position.
    ///
    /// # Errors
    /// As [`netstats_log::Log::series_events`].
    fn series_events(&self, page: &SeriesPage, slots: Range<Timestamp>) -> Result<Vec<Envelope>, Error> {
        let _ = slots;
        let (first, last) = page.positions;
        let message = format!("there is no sealed page with positions {first} to {last}");
        Err(Error::new(ErrorKind::NotFound, message).at(first, last))
    }
}

impl EventReader for Journal {
    fn read(&self, from: Position, limit: ReadLimit) -> Result<Vec<Envelope>, Error> {
        Self::read(self, from, limit)
    }

    fn get(&self, positions: &[Position]) -> Result<Vec<Envelope>, Error> {
        Self::get(self, positions)
    }

    fn raw_from(&self, kind: Kind) -> Position {
        Self::raw_from(self, kind)
    }

    fn series(&self, key: SeriesKey, slots: Range<Timestamp>) -> Result<SealedSeries, Error> {
        Self::series(self, key, slots)
    }

    fn series_events(&self, page: &SeriesPage, slots: Range<Timestamp>) -> Result<Vec<Envelope>, Error> {
        Self::series_events(self, page, slots)
    }
}
