//! Questions to the view.

use std::collections::BinaryHeap;
use std::ops::Range;
use std::sync::Arc;

use netstats_event::{DestinationId, Envelope, JobId, Metric, Position, ProbeKind, Timestamp};
use netstats_projector::{Error, EventReader};

use crate::bytes::{Reader, damaged};
use crate::fold::{Shared, State};
use crate::limits::{MAX_RAW_OUTCOMES, READ_CHUNK};
use crate::page::{self, Entry, Span};
use crate::stream::{Stream, tag};
use crate::{Cursor, DestinationLatest, ProbeLatest, Row, rows_of};

/// Which rows.
#[derive(Clone, Debug, PartialEq)]
pub struct RawQuery {
    /// Of this job; none for all.
    pub job: Option<JobId>,
    /// Of these destinations; empty for all.
    pub destinations: Vec<DestinationId>,
    /// These metrics, in this order for each event; empty for all.
    pub metrics: Vec<Metric>,
    /// From this slot on.
    pub from: Timestamp,
    /// Up to, and without, this slot.
    pub to: Timestamp,
    /// Events (slots with an outcome) at most, [`crate::MAX_RAW_OUTCOMES`] at most; each gives a row for each of its
    /// metrics.
    pub limit: usize,
    /// Go on after this one.
    pub after: Option<Cursor>,
    /// The newest slots first.
    pub newest_first: bool,
    /// As known at this position; none for now.
    pub as_of: Option<Position>,
}

impl Default for RawQuery {
    fn default() -> Self {
        Self {
            job: None,
            destinations: Vec::new(),
            metrics: Vec::new(),
            from: Timestamp::from_nanos(i64::MIN),
            to: Timestamp::from_nanos(i64::MAX),
            limit: 1_000,
            after: None,
            newest_first: false,
            as_of: None,
        }
    }
}

/// The handle for queries. Cheap to clone; answers from memory, stored rows and the log.
#[derive(Clone, Default)]
pub struct Series {
    pub(crate) shared: Arc<Shared>,
}

impl std::fmt::Debug for Series {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Series").field("position", &self.position()).finish_non_exhaustive()
    }
}

impl Series {
    /// The last event folded.
    #[must_use]
    pub fn position(&self) -> Position {
        Position(self.shared.read().position)
    }

    /// The latest of a destination; none if nothing was ever recorded of it.
    #[must_use]
    pub fn latest(&self, destination: DestinationId) -> Option<DestinationLatest> {
        self.shared.read().latest(destination)
    }

    /// The latest of all destinations, by id.
    #[must_use]
    pub fn latest_all(&self) -> Vec<DestinationLatest> {
        self.shared.read().latest_all()
    }

    /// The latest of each destination and probe of a job, by destination and probe.
    #[must_use]
    pub fn latest_of_job(&self, job: JobId) -> Vec<ProbeLatest> {
        let state = self.shared.read();
        state.streams(Some(job), &[], |_| true).filter_map(|stream| stream.tally.latest(stream.key)).collect()
    }

    /// Since when our own network is down; none while it is up.
    #[must_use]
    pub fn uplink_lost_since(&self) -> Option<Timestamp> {
        self.shared.read().uplink_lost_at.map(Timestamp::from_millis)
    }

    /// Bytes of memory that the view holds, about.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.shared.read().memory_bytes()
    }

    /// Positions of the slots' outcomes (samples and failed slots) of one probe with a slot in `range`, by slot and
    /// position; the newest first if so asked. At most `limit`, and [`crate::MAX_RAW_OUTCOMES`].
    ///
    /// # Errors
    /// The stored rows cannot be read.
    pub fn index(
        &self,
        job: Option<JobId>,
        destination: Option<DestinationId>,
        probe: ProbeKind,
        range: Range<Timestamp>,
        limit: usize,
        newest_first: bool,
    ) -> Result<Vec<Position>, Error> {
        let query = RawQuery {
            job,
            destinations: destination.into_iter().collect(),
            from: range.start,
            to: range.end,
            limit,
            newest_first,
            ..RawQuery::default()
        };
        let entries = self.entries(&query, |of| of == probe)?;
        Ok(entries.into_iter().map(|(_, position)| Position(position)).collect())
    }

    /// Rows by slot and position (newest first if so asked), each computed from its raw event.
    ///
    /// # Errors
    /// The stored rows or the log cannot be read.
    pub fn raw(&self, reader: &dyn EventReader, query: &RawQuery) -> Result<Vec<Row>, Error> {
        let mut rows = Vec::new();
        self.visit(reader, query, &mut |envelope| rows.extend(rows_of(envelope, &query.metrics)))?;
        Ok(rows)
    }

    /// The raw events behind [`Series::raw`], in the same order.
    ///
    /// # Errors
    /// The stored rows or the log cannot be read.
    pub fn events(&self, reader: &dyn EventReader, query: &RawQuery) -> Result<Vec<Envelope>, Error> {
        let mut events = Vec::new();
        self.visit(reader, query, &mut |envelope| events.push(envelope.clone()))?;
        Ok(events)
    }

    /// All events of a query, however many, in portions of `size`: memory holds one of them. The query's own limit
    /// does not count. Ends with the first error.
    pub fn portions<'a>(
        &'a self,
        reader: &'a dyn EventReader,
        query: &RawQuery,
        size: usize,
    ) -> impl Iterator<Item = Result<Vec<Envelope>, Error>> + 'a {
        let mut next = Some(RawQuery { limit: size.clamp(1, MAX_RAW_OUTCOMES), ..query.clone() });
        std::iter::from_fn(move || {
            let query = next.take()?;
            let mut events = Vec::new();
            let last = match self.visit(reader, &query, &mut |envelope| events.push(envelope.clone())) {
                Ok(last) => last,
                Err(error) => return Some(Err(error)),
            };
            if events.len() == query.limit {
                next = Some(RawQuery { after: last, ..query });
            }
            (!events.is_empty()).then_some(Ok(events))
        })
    }

    /// Hands on the events of a query; returns where it ended.
    pub(crate) fn visit(
        &self,
        reader: &dyn EventReader,
        query: &RawQuery,
        visit: &mut dyn FnMut(&Envelope),
    ) -> Result<Option<Cursor>, Error> {
        let asked = |probe| query.metrics.is_empty() || query.metrics.iter().any(|metric| metric.probe() == probe);
        let entries = self.entries(query, asked)?;
        hand_on(reader, &entries, visit)?;
        Ok(entries
            .last()
            .map(|(at, position)| Cursor { at: Timestamp::from_millis(*at), position: Position(*position) }))
    }

    /// Slots and positions that a query is about, in its order.
    pub(crate) fn entries(&self, query: &RawQuery, probe: impl Fn(ProbeKind) -> bool) -> Result<Vec<Entry>, Error> {
        let wanted = Wanted::of(query);
        let mut pages = {
            let state = self.shared.read();
            let streams = state.streams(query.job, &query.destinations, probe);
            streams.flat_map(|stream| wanted.pages(&state, stream)).collect::<Vec<_>>()
        };
        // The pages that may hold the first entries come first: as soon as a page cannot add to a full answer, none
        // behind it can. Memory is bounded by the limit, whatever the range.
        pages.sort_unstable_by_key(|(bound, _)| *bound);
        let stored = self.shared.rows();
        let mut best: BinaryHeap<Entry> = BinaryHeap::new();
        for (bound, source) in pages {
            if best.len() >= wanted.limit && best.peek().is_none_or(|worst| bound > *worst) {
                break;
            }
            let entries = match source {
                Source::Memory(entries) => entries,
                Source::Row(row) => page::read(&mut Reader(&row))?,
                Source::Stored(key) => {
                    let rows = stored.as_ref().ok_or_else(|| damaged("no reader of stored rows is attached"))?;
                    let row = rows.get(&key)?.ok_or_else(|| damaged("a page of the index is missing"))?;
                    page::read(&mut Reader(&row))?
                }
            };
            for entry in entries.into_iter().filter(|entry| wanted.has(entry)) {
                best.push(wanted.turned(entry));
                if best.len() > wanted.limit {
                    best.pop();
                }
            }
        }
        Ok(best.into_sorted_vec().into_iter().map(|entry| wanted.turned(entry)).collect())
    }
}

/// Hands on the events of entries, in their order.
pub(crate) fn hand_on(
    reader: &dyn EventReader,
    entries: &[Entry],
    visit: &mut dyn FnMut(&Envelope),
) -> Result<(), Error> {
    for part in entries.chunks(READ_CHUNK) {
        // The log reads positions in ascending order; slots may be in another.
        let mut order: Vec<usize> = (0..part.len()).collect();
        order.sort_unstable_by_key(|i| part[*i].1);
        let positions: Vec<Position> = order.iter().map(|i| Position(part[*i].1)).collect();
        let events = reader.get(&positions)?;
        let mut places = vec![0; part.len()];
        order.iter().enumerate().for_each(|(read, place)| places[*place] = read);
        places.iter().filter_map(|read| events.get(*read)).for_each(&mut *visit);
    }
    Ok(())
}

/// Where a page's entries are.
enum Source {
    Memory(Vec<Entry>),
    Row(Vec<u8>),
    Stored(Vec<u8>),
}

/// A query's conditions on an entry.
struct Wanted {
    from: i64,
    to: i64,
    after: Option<Entry>,
    as_of: u64,
    newest_first: bool,
    limit: usize,
}

impl Wanted {
    fn of(query: &RawQuery) -> Self {
        Self {
            from: ceil_millis(query.from),
            to: ceil_millis(query.to),
            after: query.after.map(|cursor| (cursor.at.as_millis(), cursor.position.0)),
            as_of: query.as_of.map_or(u64::MAX, |position| position.0),
            newest_first: query.newest_first,
            limit: query.limit.min(MAX_RAW_OUTCOMES),
        }
    }

    /// An entry such that the wanted order is the ascending one; and back.
    const fn turned(&self, (slot, position): Entry) -> Entry {
        if self.newest_first { (!slot, !position) } else { (slot, position) }
    }

    fn has(&self, entry: &Entry) -> bool {
        (self.from..self.to).contains(&entry.0)
            && entry.1 <= self.as_of
            && self.after.is_none_or(|after| self.turned(*entry) > self.turned(after))
    }

    fn overlaps(&self, span: Span) -> bool {
        let goes_on =
            self.after.is_none_or(|(at, _)| if self.newest_first { span.first <= at } else { span.last >= at });
        span.position <= self.as_of && span.first < self.to && span.last >= self.from && goes_on
    }

    /// The least turned entry that a page of this span may hold.
    const fn bound(&self, span: Span) -> Entry {
        if self.newest_first { (!span.last, 0) } else { (span.first, 0) }
    }

    fn pages(&self, state: &State, stream: &Stream) -> Vec<(Entry, Source)> {
        let open = stream.page.span().filter(|span| self.overlaps(*span));
        let open = open.map(|span| (self.bound(span), Source::Memory(stream.page.entries())));
        let slots = self.from..self.to;
        let near = stream.closed.near(&slots).filter(|(_, span)| self.overlaps(**span));
        let closed = near.map(|(i, span)| {
            let key = stream.key.numbered(tag::PAGE, u32::try_from(i).unwrap_or(u32::MAX));
            let kept = state.fresh.get(&key).or_else(|| state.storing.get(&key));
            (self.bound(*span), kept.map_or(Source::Stored(key), |row| Source::Row(row.clone())))
        });
        closed.chain(open).collect()
    }
}

/// The first whole millisecond that is not before `time`: slots are whole milliseconds.
pub(crate) const fn ceil_millis(time: Timestamp) -> i64 {
    time.as_millis() + (time.as_nanos().rem_euclid(1_000_000) != 0) as i64
}

/// A metric that the probe measures: asks for each of its outcomes once.
pub(crate) fn metrics_of(probe: ProbeKind) -> Vec<Metric> {
    Metric::ALL.into_iter().filter(|metric| metric.probe() == probe).take(1).collect()
}
