//! What every engine does. One conformance suite holds them all to it.
//!
//! ```text
//!   position   1     2     3     4     5     6
//!            +-----+-----+-----+-----+-----+ - - -
//!            |  a  |  b  |  c  |  d  |  e  |  (unwritten)
//!            +-----+-----+-----+-----+-----+ - - -
//!            ^ first                 ^ last  ^ tail
//! ```
//! An empty log has `first() == tail() == 1`. Retention takes no position away: see [`Log::raw_from`].

use std::ops::Range;
use std::time::Duration;

use netstats_event::{
    ChainHash, Condense, Draft, Envelope, Kind, MAX_PAYLOAD_BYTES, Position, Record, Timestamp, decode,
};

use crate::{Condensed, Damage, Error, ErrorKind, SealedSeries, SegmentInfo, SeriesKey, SeriesPage, limits};

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
    /// `NotFound` before `first()` or past `tail()`, Gone where a sample is summarised (a read that begins before it ends
    /// there), Corrupt, Unavailable.
    fn read(&self, from: Position, limit: ReadLimit) -> Result<Vec<Record>, Error>;

    /// The records at these positions (ascending, any gaps), in that order.
    ///
    /// # Errors
    /// `NotFound` if one is not there, Gone if it is summarised, Corrupt, Unavailable.
    fn get(&self, positions: &[Position]) -> Result<Vec<Record>, Error>;

    /// The same as decoded events, without their chain: an engine that keeps records in another form than their bytes
    /// need not make the bytes again. Where a sample is summarised, what is left of it.
    ///
    /// # Errors
    /// As [`Log::read`]; Corrupt if an event does not decode.
    fn events(&self, from: Position, limit: ReadLimit) -> Result<Vec<Envelope>, Error> {
        self.read(from, limit)?.iter().map(envelope).collect()
    }

    /// The events at these positions (ascending, any gaps), in that order.
    ///
    /// # Errors
    /// As [`Log::get`]; Corrupt if an event does not decode.
    fn events_at(&self, positions: &[Position]) -> Result<Vec<Envelope>, Error> {
        self.get(positions)?.iter().map(envelope).collect()
    }

    /// The pages in which the sealed part of the log holds a series, for slots in a range: only what is needed is then
    /// decoded. An engine that seals nothing has none, and everything is from `until` on.
    ///
    /// # Errors
    /// Corrupt, Unavailable.
    fn series(&self, key: SeriesKey, slots: Range<Timestamp>) -> Result<SealedSeries, Error> {
        let _ = (key, slots);
        Ok(SealedSeries { pages: Vec::new(), until: self.first() })
    }

    /// The outcomes of a page with a slot in the range, by position.
    ///
    /// # Errors
    /// `NotFound` for a page that is not there (any more), Corrupt, Unavailable.
    fn series_events(&self, page: &SeriesPage, slots: Range<Timestamp>) -> Result<Vec<Envelope>, Error> {
        let _ = slots;
        let (first, last) = page.positions;
        let message = format!("the log holds no sealed page with positions {first} to {last}");
        Err(Error::new(ErrorKind::NotFound, message).at(first, last))
    }

    /// The sealed segments, oldest first, with the samples that they hold. An engine that seals nothing has none.
    ///
    /// # Errors
    /// Corrupt, Unavailable.
    fn segment_infos(&self) -> Result<Vec<SegmentInfo>, Error> {
        Ok(Vec::new())
    }

    /// Whether it would take less room if it were closed and opened again: its store keeps a journal of what is sealed.
    fn is_worn(&self) -> bool {
        false
    }

    /// Bytes on disk, journals included.
    fn disk_bytes(&self) -> u64 {
        0
    }

    /// The first position from which on every sample of a kind is there with its raw values. Before it a sample may be
    /// summarised: its event is [`netstats_event::Event::Summarised`], its record is gone.
    fn raw_from(&self, kind: Kind) -> Position {
        let _ = kind;
        self.first()
    }

    /// Makes what is to take the place of the sealed segment that begins at `first`, with the samples of these kinds
    /// summarised. Nothing changes yet. None if there is nothing to summarise, or the log is being closed.
    ///
    /// # Errors
    /// `NotFound`: no such segment. Corrupt, Unavailable.
    fn condense(&self, first: Position, kinds: &[Kind], by: &mut dyn Condense) -> Result<Option<Condensed>, Error> {
        let _ = (kinds, by);
        let message = format!("no sealed segment begins at position {first}");
        Err(Error::new(ErrorKind::NotFound, message).at(first, first))
    }

    /// Puts it in its place, durably. Its fact must be in the log, at `event`.
    ///
    /// # Errors
    /// Conflict: the segment was replaced meanwhile. Unavailable.
    fn replace_segment(&self, condensed: Condensed, event: Position) -> Result<(), Error> {
        let (first, last) = (condensed.fact().first, condensed.fact().last);
        let _ = event;
        Err(Error::new(ErrorKind::Conflict, "this log has no such segment").at(first, last))
    }

    /// What is wrong with what retention left: each file must be the one that its fact in the log names.
    fn check_facts(&self) -> Vec<Damage> {
        Vec::new()
    }

    /// The first position kept (equal to `tail()` in an empty log).
    fn first(&self) -> Position;

    /// The first position not written.
    fn tail(&self) -> Position;

    /// The last record and the chain after it.
    fn head(&self) -> Head;

    /// The position of the last event of the config family; [`Position::START`] if there is none.
    fn last_config(&self) -> Position;

    /// Waits until `tail() > past.next()`, that is until there is an event after `past`, or the time is over, or the
    /// log is closed; returns `tail()`.
    fn wait(&self, past: Position, at_most: Duration) -> Position;

    /// Why appends are refused for now, if they are: the log is read-only until this is none again.
    fn refusal(&self) -> Option<Error> {
        None
    }

    /// Stops taking appends and wakes all waiters. Reads go on.
    fn close(&self);
}

impl ReadLimit {
    /// The same, with at least one record and at most what any read answers.
    pub(crate) fn bounded(self) -> Self {
        Self {
            records: self.records.clamp(1, limits::MAX_READ_RECORDS),
            bytes: self.bytes.clamp(1, limits::MAX_READ_BYTES),
        }
    }
}

/// The event of a record.
pub(crate) fn envelope(record: &Record) -> Result<Envelope, Error> {
    let event = decode(record.kind, record.version, &record.payload).map_err(|error| {
        let message = format!("the event at position {} does not decode: {error}", record.position);
        Error::new(ErrorKind::Corrupt, message).at(record.position, record.position).because(error)
    })?;
    Ok(Envelope { position: record.position, recorded_at: record.recorded_at, event })
}

/// Whether a kind's number is of the config family: 100 to 199, kinds of newer programs included.
pub(crate) const fn is_config(kind: u16) -> bool {
    kind / 100 == 1
}

/// Refuses what no engine appends.
pub(crate) fn check_batch(batch: &[Draft]) -> Result<(), Error> {
    let invalid = |message: String| Err(Error::new(ErrorKind::Invalid, message));
    if batch.is_empty() {
        return invalid("a batch holds at least one event".to_owned());
    }
    if batch.len() > limits::MAX_BATCH_EVENTS {
        return invalid(format!("a batch holds at most {} events, not {}", limits::MAX_BATCH_EVENTS, batch.len()));
    }
    if let Some(draft) = batch.iter().find(|draft| draft.payload.len() > MAX_PAYLOAD_BYTES) {
        let has = draft.payload.len();
        return invalid(format!("an event's payload holds at most {MAX_PAYLOAD_BYTES} bytes, not {has}"));
    }
    let bytes: usize = batch.iter().map(|draft| draft.payload.len()).sum();
    if bytes > limits::MAX_BATCH_BYTES {
        return invalid(format!("a batch holds at most {} bytes, not {bytes}", limits::MAX_BATCH_BYTES));
    }
    Ok(())
}

/// Refuses a read that begins outside the log.
pub(crate) fn check_range(from: Position, first: Position, tail: Position) -> Result<(), Error> {
    if from < first {
        let message = format!("the log begins at position {first}: {from} is before it");
        return Err(Error::new(ErrorKind::NotFound, message).at(from, from));
    }
    if from > tail {
        let message = format!("the log ends before position {tail}: {from} is not written yet");
        return Err(Error::new(ErrorKind::NotFound, message).at(from, from));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use netstats_event::Family;

    use super::*;

    #[test]
    fn the_config_family_is_the_kinds_from_100_to_199() {
        for kind in Kind::ALL {
            assert_eq!(is_config(kind.code()), kind.family() == Family::Config, "{}", kind.name());
        }
    }
}
