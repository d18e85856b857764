//! A segment that is there: its records, its events, its series.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use netstats_event::{ChainHash, DestinationId, Envelope, JobId, Kind, Position, Record, SampleSummary, Timestamp};

use super::cache::{Cache, Decoded, Part, Place};
use super::column::Reader;
use super::format::{
    ENTRY_BYTES, Extent, FOOTER_BYTES, FORMAT, Footer, HEADER_BYTES, MARK_EVERY, PageEntry, SUMMARISED, format_of,
};
use super::page::Page;
use crate::limits::MAX_SEGMENT_EVENTS;
use crate::manifest::Summary;
use crate::{Error, ErrorKind, ReadLimit};

/// One series: the outcomes of one kind, of one job at one destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesKey {
    /// The job.
    pub job: JobId,
    /// The destination.
    pub destination: DestinationId,
    /// A kind with a slot: a sample, or a failed slot.
    pub kind: Kind,
}

/// A page of a sealed segment: consecutive outcomes of one series. [`crate::Log::series_events`] reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeriesPage {
    /// How many outcomes.
    pub events: u32,
    /// First and last slot, by time, both within the page.
    pub slots: (Timestamp, Timestamp),
    /// Positions of the first and the last outcome; those of other series lie between them.
    pub positions: (Position, Position),
    /// First position of the segment, and which file.
    pub(crate) segment: Place,
    pub(crate) number: u32,
}

/// What the sealed part of a log holds of a series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedSeries {
    /// Pages that may hold slots of the range asked for, by position.
    pub pages: Vec<SeriesPage>,
    /// Outcomes at this position and after it are not in pages: read them from the log.
    pub until: Position,
}

/// Samples of one kind in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawSamples {
    /// The kind.
    pub kind: Kind,
    /// How many.
    pub events: u64,
    /// The newest slot.
    pub newest: Timestamp,
}

/// Neighbours in a segment: from a position up to and without another.
enum Run {
    /// Records, and the chain before the first.
    Kept(u64, u64, ChainHash),
    /// What is left of records: up to and without that position.
    Left(u64),
}

/// For each record of a segment its page, and its row in it.
pub(super) struct Order {
    pages: Vec<u32>,
    rows: Vec<u32>,
}

/// One place of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// The record, and the chain before it.
    Kept(Record, ChainHash),
    /// What is left of one: the version of its kind, its recorded time in whole seconds.
    Left(Position, u16, Timestamp, Box<SampleSummary>),
}

/// An immutable file with the records of one closed epoch.
#[derive(Debug)]
pub(crate) struct Segment {
    path: PathBuf,
    /// Another file has taken its place: it goes when the last reader is done.
    is_replaced: AtomicBool,
    /// What retention did to it, as the manifest says.
    pub(crate) summary: Option<Summary>,
    pub(crate) footer: Footer,
    /// Bytes of the file.
    pub(crate) length: u64,
    /// CRC-32C of the footer, which proves the index, which proves the pages.
    pub(crate) digest: u32,
}

impl Segment {
    /// Opens a segment: format and footer are checked, nothing else is read.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let damaged = |what: &str| {
            let message = format!("the segment {} is damaged: {what}", path.display());
            Error::new(ErrorKind::Corrupt, message).in_file(path)
        };
        let mut file = File::open(path).map_err(|error| unreadable(path, error))?;
        let length = file.metadata().map_err(|error| unreadable(path, error))?.len();
        if length < (HEADER_BYTES + FOOTER_BYTES) as u64 {
            return Err(damaged("it is cut off"));
        }
        let mut header = [0; HEADER_BYTES];
        file.read_exact(&mut header).map_err(|error| unreadable(path, error))?;
        match format_of(&header) {
            Some(FORMAT | SUMMARISED) => {}
            Some(newer) if newer > SUMMARISED => {
                let message = format!(
                    "the segment {} is of format {newer} and this program knows {SUMMARISED}: use a newer program; nothing was changed",
                    path.display()
                );
                return Err(Error::new(ErrorKind::Invalid, message).in_file(path));
            }
            _ => return Err(damaged("its header is not a segment's")),
        }
        let mut bytes = [0; FOOTER_BYTES];
        file.seek(SeekFrom::End(-(FOOTER_BYTES as i64)))
            .and_then(|_| file.read_exact(&mut bytes))
            .map_err(|error| unreadable(path, error))?;
        let footer = Footer::read(&bytes, length)
            .filter(|footer| Some(footer.format) == format_of(&header))
            .ok_or_else(|| damaged("its footer's checksum does not match"))?;
        let digest = Reader(&bytes[FOOTER_BYTES - 4..]).u32().unwrap_or(0);
        Ok(Self { path: path.to_owned(), is_replaced: AtomicBool::new(false), summary: None, footer, length, digest })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Which file of this place it is.
    pub(crate) const fn place(&self) -> Place {
        (self.footer.first, self.digest)
    }

    /// Whether samples in it are summarised.
    pub(crate) const fn is_summarised(&self) -> bool {
        self.footer.format == SUMMARISED
    }

    /// The file goes when nobody reads it any more.
    pub(crate) fn replace(&self) {
        self.is_replaced.store(true, Ordering::Release);
    }

    /// BLAKE3 of the whole file.
    pub(crate) fn file_digest(&self) -> Result<[u8; 32], Error> {
        let mut hasher = blake3::Hasher::new();
        let mut read = || hasher.update_reader(File::open(&self.path)?).map(drop);
        read().map_err(|error| unreadable(&self.path, error))?;
        Ok(*hasher.finalize().as_bytes())
    }

    /// The samples whose records it holds, by kind: how many, and the newest slot.
    pub(crate) fn samples(&self, cache: &Cache) -> Result<Vec<RawSamples>, Error> {
        let mut all: Vec<RawSamples> = Vec::new();
        for entry in self.index(cache)?.iter().filter(|entry| !entry.is_summary) {
            let Some(kind) = Kind::from_code(entry.kind).filter(|kind| kind.probe().is_some()) else { continue };
            let newest = Timestamp::from_millis(entry.slots.1);
            match all.iter_mut().find(|of| of.kind == kind) {
                Some(of) => (of.events, of.newest) = (of.events + u64::from(entry.rows), of.newest.max(newest)),
                None => all.push(RawSamples { kind, events: entry.rows.into(), newest }),
            }
        }
        Ok(all)
    }

    /// Up to `limit` places from `from` on. At least one.
    ///
    /// # Errors
    /// Corrupt, Unavailable.
    pub(crate) fn items(&self, cache: &Cache, from: Position, limit: ReadLimit) -> Result<Vec<Item>, Error> {
        if !self.is_summarised() {
            let records = self.records(cache, from, limit)?;
            let mut before = match from.0 - self.footer.first {
                0 => self.footer.chain_before,
                _ => {
                    let one = self.records(cache, Position(from.0 - 1), ReadLimit { records: 1, bytes: 1 })?;
                    one.first().map_or_else(ChainHash::default, |record| record.chain)
                }
            };
            let item = |record: Record| {
                let before = std::mem::replace(&mut before, record.chain);
                Item::Kept(record, before)
            };
            return Ok(records.into_iter().map(item).collect());
        }
        let mut items: Vec<Item> = Vec::new();
        let mut next = from;
        while next <= self.last() && items.len() < limit.records {
            match self.run(cache, next)? {
                Run::Kept(start, end, chain) => {
                    let rest = limit.records - items.len();
                    let run = self.run_records(cache, start, end, chain, next, ReadLimit { records: rest, ..limit })?;
                    next = Position(next.0 + run.len() as u64);
                    items.extend(run.into_iter().map(|(record, before)| Item::Kept(record, before)));
                }
                Run::Left(end) => {
                    let end = end.min(next.0 + (limit.records - items.len()) as u64);
                    self.rows(cache, self.at(next), &mut |at, page, row| {
                        let position = self.footer.first + at as u64;
                        if position < end {
                            let damaged =
                                || self.damaged("what is left of a sample makes no sense", (position, position));
                            let left = page.summary(row).zip(page.recorded_at(row)).ok_or_else(damaged)?;
                            items.push(Item::Left(Position(position), page.version(), left.1, Box::new(left.0)));
                        }
                        Ok(position + 1 < end)
                    })?;
                    next = Position(end);
                }
            }
        }
        Ok(items)
    }

    /// The run of kept records, or of records that are not, that a place belongs to.
    fn run(&self, cache: &Cache, position: Position) -> Result<Run, Error> {
        let (order, index) = (self.order(cache)?, self.index(cache)?);
        let is_left = |at: usize| index.get(order.pages[at] as usize).is_some_and(|entry| entry.is_summary);
        let wanted = self.at(position);
        let of = is_left(wanted);
        let start = (0..wanted).rev().find(|at| is_left(*at) != of).map_or(0, |at| at + 1);
        let end = (wanted..order.pages.len()).find(|at| is_left(*at) != of).unwrap_or(order.pages.len());
        let place = |at: usize| self.footer.first + at as u64;
        if of {
            return Ok(Run::Left(place(end)));
        }
        // How many runs of kept records there are before it.
        let number = (1..=start).filter(|at| is_left(at - 1) && !is_left(*at)).count() + usize::from(!is_left(0));
        let marks = self.part(self.footer.marks, "its marks")?;
        let mark = marks.get((number - 1) * 16..number * 16).and_then(|mark| mark.try_into().ok());
        let chain = mark.ok_or_else(|| self.damaged("a mark is missing", (place(start), place(end) - 1)))?;
        Ok(Run::Kept(place(start), place(end), ChainHash(chain)))
    }

    /// Records of a run from `from` on, with the chain before each. At least one.
    fn run_records(
        &self,
        cache: &Cache,
        start: u64,
        end: u64,
        mut chain: ChainHash,
        from: Position,
        limit: ReadLimit,
    ) -> Result<Vec<(Record, ChainHash)>, Error> {
        let (mut records, mut bytes) = (Vec::new(), 0);
        self.rows(cache, self.at(Position(start)), &mut |at, page, row| {
            let position = self.footer.first + at as u64;
            let draft = page.draft(row);
            let draft = draft.ok_or_else(|| self.damaged("a record makes no sense", (position, end - 1)))?;
            let record = draft.at(Position(position), chain);
            let before = std::mem::replace(&mut chain, record.chain);
            if position + 1 == self.footer.first + self.footer.events && record.chain != self.footer.chain_after {
                return Err(self.damaged("the chain is broken", (start, position)));
            }
            if position >= from.0 && (records.is_empty() || bytes + record.len() <= limit.bytes) {
                bytes += record.len();
                records.push((record, before));
            }
            Ok(position + 1 < end && records.len() < limit.records && bytes < limit.bytes)
        })?;
        Ok(records)
    }

    /// A place counted from the segment's first.
    fn at(&self, position: Position) -> usize {
        usize::try_from(position.0 - self.footer.first).expect("a place in this segment")
    }

    pub(crate) const fn first(&self) -> Position {
        Position(self.footer.first)
    }

    pub(crate) const fn last(&self) -> Position {
        Position(self.footer.first + self.footer.events - 1)
    }

    fn damaged(&self, what: &str, at: (u64, u64)) -> Error {
        let (first, last) = (Position(at.0), Position(at.1));
        let message = format!("the segment {} is damaged: {what} (positions {first} to {last})", self.path.display());
        Error::new(ErrorKind::Corrupt, message).in_file(&self.path).at(first, last)
    }

    fn whole(&self) -> (u64, u64) {
        (self.first().0, self.last().0)
    }

    /// A part of the file whose checksum holds.
    fn part(&self, extent: Extent, what: &str) -> Result<Vec<u8>, Error> {
        let end = extent.offset.checked_add(extent.length.into());
        if end.is_none_or(|end| end > self.length) {
            return Err(self.damaged(&format!("{what} is outside of the file"), self.whole()));
        }
        let read = || -> std::io::Result<Vec<u8>> {
            let mut file = File::open(&self.path)?;
            file.seek(SeekFrom::Start(extent.offset))?;
            let mut bytes = vec![0; extent.length as usize];
            file.read_exact(&mut bytes)?;
            Ok(bytes)
        };
        let bytes = read().map_err(|error| unreadable(&self.path, error))?;
        if crc32c::crc32c(&bytes) != extent.crc {
            return Err(self.damaged(&format!("the checksum of {what} does not match"), self.whole()));
        }
        Ok(bytes)
    }

    fn index(&self, cache: &Cache) -> Result<Arc<Vec<PageEntry>>, Error> {
        let decoded = cache.get(Part::Index(self.place()), || {
            let bytes = self.part(self.footer.index, "its index")?;
            let entries = PageEntry::read_all(&bytes).filter(|entries| {
                let rows: u64 = entries.iter().map(|entry| u64::from(entry.rows)).sum();
                rows == self.footer.events
            });
            let entries = entries.ok_or_else(|| self.damaged("its index makes no sense", self.whole()))?;
            let bytes = entries.len() * ENTRY_BYTES.max(size_of::<PageEntry>());
            Ok((Decoded::Index(Arc::new(entries)), bytes))
        })?;
        let Decoded::Index(index) = decoded else { unreachable!("what was put under an index") };
        Ok(index)
    }

    fn order(&self, cache: &Cache) -> Result<Arc<Order>, Error> {
        let decoded = cache.get(Part::Order(self.place()), || {
            let index = self.index(cache)?;
            let bytes = self.part(self.footer.order, "its order")?;
            let order = Order::read(&bytes, self.footer.events, &index)
                .ok_or_else(|| self.damaged("its order makes no sense", self.whole()))?;
            let bytes = (order.pages.capacity() + order.rows.capacity()) * 4;
            Ok((Decoded::Order(Arc::new(order)), bytes))
        })?;
        let Decoded::Order(order) = decoded else { unreachable!("what was put under an order") };
        Ok(order)
    }

    fn page(&self, cache: &Cache, number: u32) -> Result<Arc<Page>, Error> {
        let decoded = cache.get(Part::Page(self.place(), number), || {
            let index = self.index(cache)?;
            let entry = index.get(number as usize).ok_or_else(|| self.damaged("a page is unknown", self.whole()))?;
            let bytes = self.part(entry.extent, "a page")?;
            let page = Page::read(entry, &bytes).ok_or_else(|| self.damaged("a page makes no sense", self.whole()))?;
            let bytes = page.heap_bytes();
            Ok((Decoded::Page(Arc::new(page)), bytes))
        })?;
        let Decoded::Page(page) = decoded else { unreachable!("what was put under a page") };
        Ok(page)
    }

    /// Visits the rows from record `from` on (counted from the segment's first) while `visit` says so. Each page is
    /// decoded once, however many are needed.
    fn rows(
        &self,
        cache: &Cache,
        from: usize,
        visit: &mut dyn FnMut(usize, &Page, usize) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let order = self.order(cache)?;
        let mut pages: HashMap<u32, Arc<Page>> = HashMap::new();
        for at in from..order.pages.len() {
            let number = order.pages[at];
            let page = match pages.get(&number) {
                Some(page) => page,
                None => {
                    let position = self.footer.first + at as u64;
                    let page = self.page(cache, number).map_err(|error| self.up_to_mark(error, position))?;
                    pages.entry(number).or_insert(page)
                }
            };
            if !visit(at, page, order.rows[at] as usize)? {
                break;
            }
        }
        Ok(())
    }

    /// What cannot be read from here on: the chain of the records behind it is unknown up to the next mark.
    fn up_to_mark(&self, error: Error, position: u64) -> Error {
        if error.kind() != ErrorKind::Corrupt {
            return error;
        }
        let mark = (position - self.footer.first) / MARK_EVERY as u64 + 1;
        let end = (self.footer.first + mark * MARK_EVERY as u64 - 1).min(self.last().0);
        error.at(Position(position), Position(end))
    }

    /// Records from `from` on, with their chain, proved at each mark that is passed. At least one.
    ///
    /// # Errors
    /// Corrupt, Unavailable. What comes before a damaged page is answered.
    /// Gone where a sample is summarised: its record is gone.
    pub(crate) fn records(&self, cache: &Cache, from: Position, limit: ReadLimit) -> Result<Vec<Record>, Error> {
        if self.is_summarised() {
            return match self.run(cache, from)? {
                Run::Kept(start, end, chain) => {
                    let run = self.run_records(cache, start, end, chain, from, limit)?;
                    Ok(run.into_iter().map(|(record, _)| record).collect())
                }
                Run::Left(end) => Err(gone(from, Position(end - 1))),
            };
        }
        let marks = self.part(self.footer.marks, "its marks")?;
        let mark = |number: usize| {
            let bytes = marks.get(number * 16..number * 16 + 16)?;
            Some(ChainHash(bytes.try_into().ok()?))
        };
        let wanted = usize::try_from(from.0 - self.footer.first).expect("a place in this segment");
        let start = wanted / MARK_EVERY * MARK_EVERY;
        let events = self.footer.events as usize;
        let broken = |at: usize| {
            self.up_to_mark(self.damaged("the chain is broken", self.whole()), self.footer.first + at as u64)
        };
        let mut chain = mark(start / MARK_EVERY).ok_or_else(|| broken(wanted))?;
        let (mut records, mut bytes): (Vec<Record>, usize) = (Vec::new(), 0);
        let mut marked = 0;
        let walked = self.rows(cache, start, &mut |at, page, row| {
            let position = Position(self.footer.first + at as u64);
            let draft = page.draft(row);
            let draft = draft
                .ok_or_else(|| self.up_to_mark(self.damaged("a record makes no sense", self.whole()), position.0))?;
            let record = draft.at(position, chain);
            chain = record.chain;
            let after = if at + 1 == events { Some(self.footer.chain_after) } else { mark((at + 1) / MARK_EVERY) };
            if ((at + 1).is_multiple_of(MARK_EVERY) || at + 1 == events) && after != Some(chain) {
                // Nothing since the mark before is proved.
                records.truncate(marked);
                return Err(broken(at / MARK_EVERY * MARK_EVERY));
            }
            if at >= wanted {
                bytes += record.len();
                if records.is_empty() || bytes <= limit.bytes {
                    records.push(record);
                }
            }
            if (at + 1).is_multiple_of(MARK_EVERY) {
                marked = records.len();
            }
            Ok(records.len() < limit.records && bytes < limit.bytes)
        });
        match walked {
            Err(error) if records.is_empty() => Err(match error.positions {
                Some((first, last)) if error.kind() == ErrorKind::Corrupt && first < from => error.at(from, last),
                _ => error,
            }),
            _ => Ok(records),
        }
    }

    /// Events from `from` on. Pages are proved by their checksums; the chain is not computed.
    ///
    /// # Errors
    /// Corrupt, Unavailable. What comes before a damaged page is answered.
    pub(crate) fn events(&self, cache: &Cache, from: Position, limit: ReadLimit) -> Result<Vec<Envelope>, Error> {
        let start = usize::try_from(from.0 - self.footer.first).expect("a place in this segment");
        let (mut events, mut bytes) = (Vec::new(), 0);
        let walked = self.rows(cache, start, &mut |at, page, row| {
            events.push(self.envelope(at, page, row)?);
            bytes += HEADER_BYTES + page.weight(row);
            Ok(events.len() < limit.records && bytes < limit.bytes)
        });
        match walked {
            Err(error) if events.is_empty() => Err(error),
            _ => Ok(events),
        }
    }

    /// The events at these positions of this segment: only their pages are decoded.
    pub(crate) fn events_at(&self, cache: &Cache, positions: &[Position]) -> Result<Vec<Envelope>, Error> {
        let order = self.order(cache)?;
        let event = |position: &Position| {
            let at = usize::try_from(position.0 - self.footer.first).expect("a place in this segment");
            let page = self.page(cache, order.pages[at]).map_err(|error| self.up_to_mark(error, position.0))?;
            self.envelope(at, &page, order.rows[at] as usize)
        };
        positions.iter().map(event).collect()
    }

    fn envelope(&self, at: usize, page: &Page, row: usize) -> Result<Envelope, Error> {
        let position = self.footer.first + at as u64;
        let whole = page.event(row).zip(page.recorded_at(row));
        let (event, recorded_at) =
            whole.ok_or_else(|| self.damaged("an event makes no sense", (position, position)))?;
        Ok(Envelope { position: Position(position), recorded_at, event })
    }

    /// Pages of a series that may hold slots of the range.
    pub(crate) fn series(
        &self,
        cache: &Cache,
        key: SeriesKey,
        slots: &Range<Timestamp>,
    ) -> Result<Vec<SeriesPage>, Error> {
        let index = self.index(cache)?;
        let wanted = |entry: &PageEntry| {
            entry.kind == key.kind.code()
                && !entry.is_summary
                && entry.series == Some((key.job, key.destination))
                && Timestamp::from_millis(entry.slots.0) < slots.end
                && Timestamp::from_millis(entry.slots.1) >= slots.start
        };
        let page = |(number, entry): (u32, &PageEntry)| SeriesPage {
            events: entry.rows,
            slots: (Timestamp::from_millis(entry.slots.0), Timestamp::from_millis(entry.slots.1)),
            positions: (
                Position(self.footer.first + u64::from(entry.at.0)),
                Position(self.footer.first + u64::from(entry.at.1)),
            ),
            segment: self.place(),
            number,
        };
        let mut pages: Vec<SeriesPage> = (0..).zip(index.iter()).filter(|(_, entry)| wanted(entry)).map(page).collect();
        pages.sort_unstable_by_key(|page| page.positions);
        Ok(pages)
    }

    /// The outcomes of a page with a slot in the range, by position.
    pub(crate) fn series_events(
        &self,
        cache: &Cache,
        number: u32,
        slots: &Range<Timestamp>,
    ) -> Result<Vec<Envelope>, Error> {
        let order = self.order(cache)?;
        let page = self.page(cache, number)?;
        let mut events = Vec::with_capacity(page.rows());
        for (at, _) in order.pages.iter().enumerate().filter(|(_, page)| **page == number) {
            let row = order.rows[at] as usize;
            let is_outside = |slot| !slots.contains(&Timestamp::from_millis(slot));
            if page.slot_at_ms(row).is_some_and(is_outside) {
                continue;
            }
            let envelope = self.envelope(at, &page, row)?;
            if envelope.event.head().is_none_or(|head| slots.contains(&head.slot_at)) {
                events.push(envelope);
            }
        }
        Ok(events)
    }
}

impl Order {
    fn read(bytes: &[u8], events: u64, index: &[PageEntry]) -> Option<Self> {
        let events = usize::try_from(events.min(MAX_SEGMENT_EVENTS)).ok()?;
        let column = Reader(bytes).column::<u32>(events)?;
        let mut counts = vec![0_u32; index.len()];
        let (mut pages, mut rows) = (Vec::with_capacity(events), Vec::with_capacity(events));
        for at in 0..events {
            let page = column.at(at)?;
            let count = counts.get_mut(page as usize)?;
            pages.push(page);
            rows.push(*count);
            *count += 1;
        }
        counts.iter().zip(index).all(|(count, entry)| *count == entry.rows).then_some(Self { pages, rows })
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        if self.is_replaced.load(Ordering::Acquire)
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::warn!(%error, file = %self.path.display(), "a segment that was replaced is removed at the next start");
        }
    }
}

/// Records that retention has taken.
pub(crate) fn gone(first: Position, last: Position) -> Error {
    let message =
        format!("the raw samples at positions {first} to {last} are gone by retention: their summaries are left");
    Error::new(ErrorKind::Gone, message).at(first, last)
}

fn unreadable(path: &Path, error: std::io::Error) -> Error {
    let is_missing = error.kind() == std::io::ErrorKind::NotFound;
    let kind = if is_missing { ErrorKind::Corrupt } else { ErrorKind::Unavailable };
    let message = format!("the segment {} cannot be read: {error}", path.display());
    Error::new(kind, message).in_file(path).because(error)
}
