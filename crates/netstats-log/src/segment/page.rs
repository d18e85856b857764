//! One page: some records of one series, in the order of their positions.
//!
//! ```text
//!  0  form         u8    1: columns, 2: payloads, 3: summaries
//!  1  unit         u8    of recorded times: 0 whole milliseconds, 1 nanoseconds, 2 whole seconds
//!  2  recorded     column: recorded time less the time at which the sample says it was over
//!     form 1: the columns of the kind and version (`netstats_event::ColumnWriter`)
//!     form 3: the columns of what is left of samples (`netstats_event::SampleSummary`), column of the lengths of the sums
//!             that stand with them (0: none), then all sums after each other, deflated; recorded times in whole seconds
//!     form 2: column of the payloads' lengths, then all payloads after each other, deflated
//! ```

use netstats_event::{
    Column, ColumnWriter, Columns, DestinationId, Draft, Event, JobId, Kind, Record, SampleSummary, TimesSummary,
    Timestamp, decode,
};

use super::column::{Numbers, Reader, put};
use super::format::PageEntry;
use crate::limits::{MAX_PAGE_PAYLOAD_BYTES, MAX_PAGE_ROWS, MAX_PAGE_VALUES};

const COLUMNS: u8 = 1;
const PAYLOADS: u8 = 2;
const SUMMARIES: u8 = 3;
const MILLIS: u8 = 0;
const NANOS: u8 = 1;
const SECONDS: u8 = 2;
const NANOS_PER_MILLI: i64 = 1_000_000;
const NANOS_PER_SECOND: i64 = 1_000_000_000;
const DEFLATE_LEVEL: u8 = 9;

/// A page that is being filled.
pub(super) struct OpenPage {
    /// Recorded time, and the time at which the sample was over (0 where it does not tell), in nanoseconds.
    recorded: Vec<(i64, i64)>,
    body: OpenBody,
}

enum OpenBody {
    Columns(ColumnWriter),
    Payloads { lengths: Vec<u32>, bytes: Vec<u8> },
    Summaries { columns: Vec<Vec<u32>>, lengths: Vec<u32>, bytes: Vec<u8> },
}

impl OpenPage {
    /// A page of what is left of samples.
    pub(super) fn summaries() -> Self {
        let columns = vec![Vec::new(); SampleSummary::COLUMNS];
        Self { recorded: Vec::new(), body: OpenBody::Summaries { columns, lengths: Vec::new(), bytes: Vec::new() } }
    }

    /// Takes what is left of a sample; false if this is no page of such.
    pub(super) fn push_summary(&mut self, recorded_at: Timestamp, left: &SampleSummary) -> bool {
        let OpenBody::Summaries { columns, lengths, bytes } = &mut self.body else { return false };
        columns.iter_mut().zip(left.numbers()).for_each(|(column, number)| column.push(number));
        let sums = left.times.as_ref().map_or_else(Vec::new, |times| times.to_bytes());
        lengths.push(u32::try_from(sums.len()).expect("sums are bounded"));
        bytes.extend_from_slice(&sums);
        self.recorded.push((recorded_at.as_nanos(), left.head.slot_at.as_nanos()));
        true
    }

    /// A page in columns.
    pub(super) const fn columns(writer: ColumnWriter) -> Self {
        Self { recorded: Vec::new(), body: OpenBody::Columns(writer) }
    }

    /// A page of payloads as they are.
    pub(super) const fn payloads() -> Self {
        Self { recorded: Vec::new(), body: OpenBody::Payloads { lengths: Vec::new(), bytes: Vec::new() } }
    }

    /// Takes a record; false, and nothing is changed, if its payload would not come back byte by byte.
    pub(super) fn push(&mut self, record: &Record) -> bool {
        let end_ms = match &mut self.body {
            OpenBody::Columns(writer) => {
                if !writer.push(&record.payload) {
                    return false;
                }
                writer.last_end_ms()
            }
            OpenBody::Payloads { lengths, bytes } => {
                lengths.push(u32::try_from(record.payload.len()).expect("a payload is bounded"));
                bytes.extend_from_slice(&record.payload);
                0
            }
            OpenBody::Summaries { .. } => return false,
        };
        self.recorded.push((record.recorded_at.as_nanos(), end_ms.wrapping_mul(NANOS_PER_MILLI)));
        true
    }

    pub(super) fn is_full(&self) -> bool {
        self.recorded.len() >= MAX_PAGE_ROWS
            || match &self.body {
                OpenBody::Columns(writer) => writer.values() >= MAX_PAGE_VALUES,
                OpenBody::Payloads { bytes, .. } | OpenBody::Summaries { bytes, .. } => {
                    bytes.len() >= MAX_PAGE_PAYLOAD_BYTES
                }
            }
    }

    /// The page's bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        let is_whole = self.recorded.iter().all(|(at, _)| at % NANOS_PER_MILLI == 0);
        let (form, (unit, divisor)) = match &self.body {
            OpenBody::Summaries { .. } => (SUMMARIES, (SECONDS, NANOS_PER_SECOND)),
            OpenBody::Columns(_) if is_whole => (COLUMNS, (MILLIS, NANOS_PER_MILLI)),
            OpenBody::Columns(_) => (COLUMNS, (NANOS, 1)),
            OpenBody::Payloads { .. } if is_whole => (PAYLOADS, (MILLIS, NANOS_PER_MILLI)),
            OpenBody::Payloads { .. } => (PAYLOADS, (NANOS, 1)),
        };
        let recorded: Vec<i64> =
            self.recorded.iter().map(|(at, end)| (at / divisor).wrapping_sub(end / divisor)).collect();
        let mut out = vec![form, unit];
        put(&recorded, &mut out);
        match &self.body {
            OpenBody::Columns(writer) => writer.columns().for_each(|column| match column {
                Column::Constant(number) => put(&[*number], &mut out),
                Column::Values(numbers) => put(numbers, &mut out),
            }),
            OpenBody::Payloads { lengths, bytes } => {
                put(lengths, &mut out);
                out.extend_from_slice(&miniz_oxide::deflate::compress_to_vec(bytes, DEFLATE_LEVEL));
            }
            OpenBody::Summaries { columns, lengths, bytes } => {
                columns.iter().for_each(|column| put(column, &mut out));
                put(lengths, &mut out);
                out.extend_from_slice(&miniz_oxide::deflate::compress_to_vec(bytes, DEFLATE_LEVEL));
            }
        }
        out
    }
}

/// A page as it was read.
pub(super) struct Page {
    kind: u16,
    version: u16,
    rows: usize,
    unit: i64,
    recorded: Numbers<i64>,
    body: Body,
}

enum Body {
    Columns(Columns),
    /// Where each payload begins, and the end of the last one.
    Payloads {
        starts: Vec<u32>,
        bytes: Vec<u8>,
    },
    /// Where the sums of each begin, as above.
    Summaries {
        kind: Kind,
        series: (JobId, DestinationId),
        columns: Vec<Numbers<u32>>,
        starts: Vec<u32>,
        bytes: Vec<u8>,
    },
}

impl Page {
    /// Reads a page whose checksum holds; none if it is not what its entry says.
    pub(super) fn read(entry: &PageEntry, bytes: &[u8]) -> Option<Self> {
        let rows = entry.rows as usize;
        let mut reader = Reader(bytes);
        let [form, unit] = reader.array()?;
        let unit = match unit {
            MILLIS => NANOS_PER_MILLI,
            NANOS => 1,
            SECONDS => NANOS_PER_SECOND,
            _ => return None,
        };
        (entry.is_summary == (form == SUMMARIES)).then_some(())?;
        let recorded = reader.column(rows)?;
        let body = match form {
            COLUMNS => {
                let mut next = |length| {
                    Some(match reader.column::<u32>(length)? {
                        Numbers::Constant(number) => Column::Constant(number),
                        Numbers::Values(numbers) => Column::Values(numbers),
                    })
                };
                let most = MAX_PAGE_ROWS.max(MAX_PAGE_VALUES) + netstats_event::MAX_BURST_PACKETS;
                let columns = Columns::read((entry.kind, entry.version), entry.series?, rows, most, &mut next)?;
                reader.0.is_empty().then_some(Body::Columns(columns))?
            }
            PAYLOADS => {
                let (starts, bytes) = payloads(rows, reader)?;
                Body::Payloads { starts, bytes }
            }
            SUMMARIES => {
                let columns = (0..SampleSummary::COLUMNS).map(|_| reader.column(rows)).collect::<Option<Vec<_>>>()?;
                let (starts, bytes) = payloads(rows, reader)?;
                Body::Summaries { kind: Kind::from_code(entry.kind)?, series: entry.series?, columns, starts, bytes }
            }
            _ => return None,
        };
        Some(Self { kind: entry.kind, version: entry.version, rows, unit, recorded, body })
    }

    /// The record of a row but for its place; none past the end, or if the numbers have no meaning.
    pub(super) fn draft(&self, row: usize) -> Option<Draft> {
        let payload = match &self.body {
            Body::Columns(columns) => columns.payload(row)?,
            Body::Payloads { starts, bytes } => slice(starts, bytes, row)?.to_vec(),
            Body::Summaries { .. } => return None,
        };
        Some(Draft { kind: self.kind, version: self.version, recorded_at: self.recorded_at(row)?, payload })
    }

    /// The event of a row, without a detour over its payload where the page is in columns.
    pub(super) fn event(&self, row: usize) -> Option<Event> {
        match &self.body {
            Body::Columns(columns) => columns.event(row),
            Body::Payloads { starts, bytes } => decode(self.kind, self.version, slice(starts, bytes, row)?).ok(),
            Body::Summaries { .. } => self.summary(row).map(|left| Event::Summarised(Box::new(left))),
        }
    }

    /// What is left of the record of a row; none if the page holds records.
    pub(super) fn summary(&self, row: usize) -> Option<SampleSummary> {
        let Body::Summaries { kind, series, columns, starts, bytes } = &self.body else { return None };
        let mut numbers = [0; SampleSummary::COLUMNS];
        for (number, column) in numbers.iter_mut().zip(columns) {
            *number = column.at(row)?;
        }
        let times = match slice(starts, bytes, row)? {
            [] => None,
            sums => Some(TimesSummary::read(sums)?),
        };
        SampleSummary::read(*kind, *series, numbers, times)
    }

    pub(super) fn recorded_at(&self, row: usize) -> Option<Timestamp> {
        let end = match &self.body {
            Body::Columns(columns) => columns.end_ms(row).wrapping_mul(NANOS_PER_MILLI),
            Body::Payloads { .. } => 0,
            Body::Summaries { columns, .. } => slot_of(columns, row)?.wrapping_mul(NANOS_PER_MILLI),
        };
        let number = self.recorded.at(row).filter(|_| row < self.rows)?;
        Some(Timestamp::from_nanos(number.wrapping_add(end / self.unit).wrapping_mul(self.unit)))
    }

    /// The slot of a row in milliseconds, if that is known without decoding the payload.
    pub(super) fn slot_at_ms(&self, row: usize) -> Option<i64> {
        match &self.body {
            Body::Columns(columns) => Some(columns.slot_at_ms(row)),
            Body::Payloads { .. } => None,
            Body::Summaries { columns, .. } => slot_of(columns, row),
        }
    }

    /// About the bytes of a row's payload, to keep answers within bounds.
    pub(super) fn weight(&self, row: usize) -> usize {
        match &self.body {
            Body::Columns(columns) => columns.heap_bytes() / self.rows.max(1),
            Body::Payloads { starts, bytes } => slice(starts, bytes, row).map_or(0, <[u8]>::len),
            Body::Summaries { .. } => size_of::<SampleSummary>(),
        }
    }

    pub(super) const fn version(&self) -> u16 {
        self.version
    }

    pub(super) const fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let body = match &self.body {
            Body::Columns(columns) => columns.heap_bytes(),
            Body::Payloads { starts, bytes } => starts.capacity() * 4 + bytes.capacity(),
            Body::Summaries { columns, starts, bytes, .. } => {
                let columns: usize = columns.iter().map(|column| size_of::<Numbers<u32>>() + column.heap_bytes()).sum();
                columns + starts.capacity() * 4 + bytes.capacity()
            }
        };
        size_of::<Self>() + self.recorded.heap_bytes() + body
    }
}

/// Where each of the pieces begins, with the end of the last, and all of them.
fn payloads(rows: usize, mut reader: Reader<'_>) -> Option<(Vec<u32>, Vec<u8>)> {
    let lengths = reader.column::<u32>(rows)?;
    let most = MAX_PAGE_PAYLOAD_BYTES + netstats_event::MAX_PAYLOAD_BYTES;
    let mut starts = Vec::with_capacity(rows + 1);
    let mut end = 0_u32;
    for row in 0..rows {
        starts.push(end);
        end = end.checked_add(lengths.at(row)?).filter(|end| *end as usize <= most)?;
    }
    starts.push(end);
    let bytes = miniz_oxide::inflate::decompress_to_vec_with_limit(reader.0, end as usize).ok()?;
    (bytes.len() == end as usize).then_some((starts, bytes))
}

/// The slot of a summary in milliseconds: its first two columns.
fn slot_of(columns: &[Numbers<u32>], row: usize) -> Option<i64> {
    let (high, low) = (columns.first()?.at(row)?, columns.get(1)?.at(row)?);
    Some((u64::from(high) << 32 | u64::from(low)).cast_signed())
}

fn slice<'a>(starts: &[u32], bytes: &'a [u8], row: usize) -> Option<&'a [u8]> {
    bytes.get(*starts.get(row)? as usize..*starts.get(row + 1)? as usize)
}
