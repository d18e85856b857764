//! How destinations did at a position of the past: what [`Series::latest`] answered then, to the bit.
//!
//! Each page of the index begins with the tally of all before it, and changes of status have rows of their own. So a
//! moment is taken up at the page that it falls into, and at most a page of outcomes is folded again, for each stream.
//! Decoded pages are kept for a while: whoever scrubs through time asks for the same pages over and over.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use netstats_event::{DestinationId, Envelope, Event, JobId, Position, ProbeKind};
use netstats_projector::{Error, EventReader};

use crate::bytes::{Reader, damaged};
use crate::fold::{Change, DestinationState, change_key};
use crate::latest::{Failure, leads};
use crate::limits::{MAX_NOTED_PAGES, NOTED_AHEAD, RECENT_MEDIANS};
use crate::outcome::{self, Outcome, outcome_of};
use crate::page::{self, Entry};
use crate::query::Series;
use crate::stream::{StreamKey, Tally, tag};
use crate::{DestinationLatest, ProbeLatest};

/// An outcome as the fold saw it.
#[derive(Clone, Copy, Debug)]
struct Note {
    position: u64,
    outcome: Outcome,
    median: Option<u32>,
}

/// A page's outcomes, from its first on.
#[derive(Debug, Default)]
struct Notes {
    /// Before the first.
    tally: Tally,
    /// Where its outcomes are in the log, those that were not read yet too.
    positions: Arc<[u64]>,
    /// No outcome will be added.
    is_closed: bool,
    outcomes: Vec<Note>,
    /// All outcomes at positions before this one are here.
    until: u64,
}

type Generation = HashMap<(StreamKey, usize), Arc<Notes>>;
/// Key and row.
type StoredRow = (Vec<u8>, Vec<u8>);

/// Pages asked for lately, in two generations: when the young are many, the old ones that nobody asked for go.
#[derive(Debug, Default)]
pub(crate) struct NotesCache(Mutex<[Generation; 2]>);

impl NotesCache {
    fn lock(&self) -> std::sync::MutexGuard<'_, [Generation; 2]> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn clear(&self) {
        *self.lock() = Default::default();
    }

    fn get(&self, page: (StreamKey, usize)) -> Option<Arc<Notes>> {
        let mut generations = self.lock();
        if let Some(notes) = generations[0].get(&page) {
            return Some(notes.clone());
        }
        let notes = generations[1].remove(&page)?;
        Self::insert(&mut generations, page, notes.clone());
        Some(notes)
    }

    fn put(&self, page: (StreamKey, usize), notes: Arc<Notes>) {
        Self::insert(&mut self.lock(), page, notes);
    }

    fn insert([young, old]: &mut [Generation; 2], page: (StreamKey, usize), notes: Arc<Notes>) {
        if young.len() >= MAX_NOTED_PAGES / 2 {
            *old = std::mem::take(young);
        }
        young.insert(page, notes);
    }
}

/// A stream at a position of the past.
struct Past {
    key: StreamKey,
    tally: Tally,
    /// Pages begun up to then, the one that the position falls into included.
    begun: usize,
}

impl Series {
    /// The latest of a destination as known at `position`; none if nothing was recorded of it until then.
    ///
    /// # Errors
    /// The stored rows or the log cannot be read.
    pub fn latest_as_of(
        &self,
        reader: &dyn EventReader,
        destination: DestinationId,
        position: Position,
    ) -> Result<Option<DestinationLatest>, Error> {
        let Some(change) = self.last_change(destination, position.0)? else { return Ok(None) };
        let keys: Vec<StreamKey> = self.shared.read().streams_of(destination).map(|stream| stream.key).collect();
        let streams = self.pasts(reader, &keys, position.0)?;

        let mut state = DestinationState::new(destination);
        (state.status, state.since) = (change.status, change.at);
        state.last_sample = streams.iter().filter_map(|stream| stream.tally.last_sample).max();
        let sampled = streams.iter().filter(|stream| stream.tally.samples > 0);
        state.leading = sampled.map(|stream| stream.key.probe).reduce(|a, b| if leads(b, a) { b } else { a });
        let shown = streams.iter().filter(|stream| Some(stream.key.probe) == state.leading);
        let newest = shown.filter_map(|stream| Some((stream.tally.last_sample?.0, stream))).max_by_key(|(at, _)| *at);
        if let Some((at, stream)) = newest
            && let Some(note) = self.note(reader, stream.key, at)?
        {
            state.show(&note.outcome, note.median);
        }
        state.recent = self.recent(reader, &streams, state.leading, position.0)?;
        if let Some(failure) = streams.iter().filter_map(|stream| stream.tally.last_failure).max() {
            let event = reader.get(&[Position(failure)])?.pop();
            state.last_failure = event.and_then(|Envelope { position, event, .. }| match event {
                Event::SlotFailed(failed) => Some(Failure::of(position, &failed)),
                _ => None,
            });
        }
        let probes = streams.iter().filter_map(|stream| stream.tally.latest(stream.key)).collect();
        Ok(Some(state.latest(probes)))
    }

    /// The latest of all destinations as known at `position`, by id.
    ///
    /// # Errors
    /// The stored rows or the log cannot be read.
    pub fn latest_all_as_of(
        &self,
        reader: &dyn EventReader,
        position: Position,
    ) -> Result<Vec<DestinationLatest>, Error> {
        let ids: Vec<DestinationId> = self.shared.read().ids().collect();
        let latest = ids.into_iter().map(|id| self.latest_as_of(reader, id, position).transpose());
        latest.flatten().collect()
    }

    /// The latest of each destination and probe of a job as known at `position`, by destination and probe.
    ///
    /// # Errors
    /// The stored rows or the log cannot be read.
    pub fn latest_of_job_as_of(
        &self,
        reader: &dyn EventReader,
        job: JobId,
        position: Position,
    ) -> Result<Vec<ProbeLatest>, Error> {
        let keys: Vec<StreamKey> =
            self.shared.read().streams(Some(job), &[], |_| true).map(|stream| stream.key).collect();
        let streams = self.pasts(reader, &keys, position.0)?;
        Ok(streams.iter().filter_map(|stream| stream.tally.latest(stream.key)).collect())
    }

    /// The last change of a destination's status up to a position.
    fn last_change(&self, destination: DestinationId, position: u64) -> Result<Option<Change>, Error> {
        let (first, end) = (change_key(destination, 0), change_key(destination, position.saturating_add(1)));
        self.last_row(&first, &end)?.map(|(key, row)| Change::decode(&key, &row)).transpose()
    }

    /// The last row with a key in a range, stored or not yet.
    fn last_row(&self, first: &[u8], end: &[u8]) -> Result<Option<StoredRow>, Error> {
        // Memory first: what is stored in between is then seen twice, not missed.
        let unstored = self.shared.read().unstored(first..end).map(|(key, row)| (key.clone(), row.clone())).max();
        let mut stored = None;
        if let Some(rows) = self.shared.rows() {
            rows.range(first..end, true, &mut |key, row| {
                stored = Some((key.to_vec(), row.to_vec()));
                false
            })?;
        }
        Ok(unstored.max(stored))
    }

    /// Streams as they were at a position; those that had no outcome are left out.
    fn pasts(&self, reader: &dyn EventReader, keys: &[StreamKey], position: u64) -> Result<Vec<Past>, Error> {
        let begun: Vec<usize> = {
            let state = self.shared.read();
            keys.iter().map(|key| state.stream(*key).map_or(0, |stream| stream.pages_begun(position))).collect()
        };
        let streams = keys.iter().zip(begun).filter(|(_, begun)| *begun > 0);
        streams.map(|(key, begun)| self.past(reader, *key, begun, position)).collect()
    }

    fn past(&self, reader: &dyn EventReader, key: StreamKey, begun: usize, position: u64) -> Result<Past, Error> {
        let notes = self.notes(reader, key, begun - 1, position)?;
        let mut tally = notes.tally;
        for note in notes.outcomes.iter().take_while(|note| note.position <= position) {
            tally.add(note.position, &note.outcome, note.median);
        }
        let since = tally.last.map_or(0, |last| last.position);
        let (first, end) = (key.at(tag::SUPPRESSED, since), key.at(tag::SUPPRESSED, position.saturating_add(1)));
        tally.is_suppressed = self.last_row(&first, &end)?.is_some();
        Ok(Past { key, tally, begun })
    }

    /// The outcome at a position.
    fn note(&self, reader: &dyn EventReader, key: StreamKey, position: u64) -> Result<Option<Note>, Error> {
        let begun = self.shared.read().stream(key).map_or(0, |stream| stream.pages_begun(position));
        let Some(index) = begun.checked_sub(1) else { return Ok(None) };
        let notes = self.notes(reader, key, index, position)?;
        let found = notes.outcomes.binary_search_by_key(&position, |note| note.position);
        Ok(found.ok().map(|at| notes.outcomes[at]))
    }

    /// The medians of a probe's last samples up to a position, oldest first; 0 where nothing came back.
    fn recent(
        &self,
        reader: &dyn EventReader,
        streams: &[Past],
        probe: Option<ProbeKind>,
        position: u64,
    ) -> Result<VecDeque<u32>, Error> {
        let mut medians: Vec<(u64, u32)> = Vec::new();
        for stream in streams.iter().filter(|stream| Some(stream.key.probe) == probe) {
            let (mut found, mut index) = (0, stream.begun.checked_sub(1));
            while let Some(at) = index.filter(|_| found < RECENT_MEDIANS) {
                let notes = self.notes(reader, stream.key, at, position)?;
                let bursts = notes.outcomes.iter().rev().filter(|note| note.position <= position);
                let bursts = bursts.filter(|note| note.outcome.is_sample && note.outcome.is_known());
                for note in bursts.take(RECENT_MEDIANS - found) {
                    medians.push((note.position, note.median.unwrap_or(0)));
                    found += 1;
                }
                // To the page of the sample before: pages of failed slots alone are passed over.
                index = notes.tally.last_sample.and_then(|(sample, _)| {
                    let state = self.shared.read();
                    state.stream(stream.key)?.pages_begun(sample).checked_sub(1)
                });
            }
        }
        medians.sort_unstable();
        let surplus = medians.len().saturating_sub(RECENT_MEDIANS);
        Ok(medians.into_iter().skip(surplus).map(|(_, median)| median).collect())
    }

    /// A page's outcomes, at least those up to a position: no more are read from the log than a little ahead of it, since
    /// whoever scrubs through time enters the same page of every stream at nearly the same moment.
    fn notes(
        &self,
        reader: &dyn EventReader,
        key: StreamKey,
        index: usize,
        position: u64,
    ) -> Result<Arc<Notes>, Error> {
        let page = (key, index);
        let kept = self.shared.notes.get(page);
        if let Some(notes) = kept.as_ref().filter(|notes| position < notes.until) {
            return Ok(notes.clone());
        }
        let (tally, positions, is_closed) = match &kept {
            Some(notes) if notes.is_closed => (notes.tally, notes.positions.clone(), true),
            _ => {
                let (tally, entries, is_closed) = self.page(key, index)?;
                (tally, entries.into_iter().map(|(_, position)| position).collect(), is_closed)
            }
        };
        let needed = positions.partition_point(|at| *at <= position);
        let end = needed.next_multiple_of(NOTED_AHEAD).min(positions.len());
        let until = match positions.get(end) {
            Some(next) => *next,
            None if is_closed => u64::MAX,
            // The next one is still to come.
            None => positions.last().map_or(0, |last| last + 1),
        };
        let mut outcomes = kept.map_or_else(Vec::new, |notes| notes.outcomes.clone());
        let missing: Vec<Position> = positions[outcomes.len().min(end)..end].iter().copied().map(Position).collect();
        let mut times = Vec::new();
        for envelope in reader.get(&missing)? {
            if let Some(outcome) = outcome_of(&envelope.event, &mut times) {
                outcomes.push(Note {
                    position: envelope.position.0,
                    outcome,
                    median: outcome::median_of(&envelope.event, &times),
                });
            }
        }
        let notes = Arc::new(Notes { tally, positions, is_closed, outcomes, until });
        self.shared.notes.put(page, notes.clone());
        Ok(notes)
    }

    /// A page of the index: the tally before it, its entries in the order of the log, and whether it is closed.
    pub(crate) fn page(&self, key: StreamKey, index: usize) -> Result<(Tally, Vec<Entry>, bool), Error> {
        let row_key = key.numbered(tag::PAGE, u32::try_from(index).unwrap_or(u32::MAX));
        let unstored = {
            let state = self.shared.read();
            let stream = state.stream(key).ok_or_else(|| damaged("a stream is missing"))?;
            if index >= stream.closed.len() {
                let tally = Tally::decode(&mut Reader(&stream.page_tally))?;
                return Ok((tally, stream.page.entries(), false));
            }
            state.fresh.get(&row_key).or_else(|| state.storing.get(&row_key)).cloned()
        };
        let row = match (unstored, self.shared.rows()) {
            (Some(row), _) => row,
            (None, Some(rows)) => rows.get(&row_key)?.ok_or_else(|| damaged("a page of the index is missing"))?,
            (None, None) => return Err(damaged("no reader of stored rows is attached")),
        };
        let mut reader = Reader(&row);
        let entries = page::read(&mut reader)?;
        Ok((Tally::decode(&mut reader)?, entries, true))
    }
}
