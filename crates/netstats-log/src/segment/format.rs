//! The fixed parts of a segment's bytes: header, index entries, footer.

use netstats_event::{ChainHash, DestinationId, JobId};

use super::column::Reader;
use crate::StoreId;
use crate::limits::{MAX_PAGE_BYTES, MAX_PAGE_ROWS, MAX_SEGMENT_EVENTS};

pub(super) const MAGIC: [u8; 8] = *b"NSCSEG\r\n";
/// Every record is there.
pub(super) const FORMAT: u32 = 1;
/// Samples are summarised: in the place of some records stands what is left of them.
pub(super) const SUMMARISED: u32 = 2;
pub(super) const HEADER_BYTES: usize = 16;
pub(super) const FOOTER_BYTES: usize = 128;
pub(super) const ENTRY_BYTES: usize = 64;
/// Positions from one mark of the chain to the next.
pub(super) const MARK_EVERY: usize = 1_024;

/// The header's bytes.
pub(super) fn header(format: u32) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&format.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..12]);
    bytes[12..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// The format that a header names; none if it is not a whole header of a segment.
pub(super) fn format_of(bytes: &[u8; HEADER_BYTES]) -> Option<u32> {
    let mut reader = Reader(bytes);
    (reader.array() == Some(MAGIC)).then_some(())?;
    let format = reader.u32()?;
    (reader.u32()? == crc32c::crc32c(&bytes[..12])).then_some(format)
}

/// A part of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) offset: u64,
    pub(super) length: u32,
    pub(super) crc: u32,
}

impl Extent {
    fn put(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.length.to_le_bytes());
        out.extend_from_slice(&self.crc.to_le_bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self { offset: reader.u64()?, length: reader.u32()?, crc: reader.u32()? })
    }

    /// Appends a part of a file that is being made.
    pub(super) fn append(part: &[u8], file: &mut Vec<u8>) -> Self {
        let offset = file.len() as u64;
        file.extend_from_slice(part);
        let length = u32::try_from(part.len()).expect("parts are bounded");
        Self { offset, length, crc: crc32c::crc32c(part) }
    }
}

/// One page: the records of one series, or some of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PageEntry {
    pub(super) series: Option<(JobId, DestinationId)>,
    pub(super) kind: u16,
    pub(super) version: u16,
    /// In the place of records of that kind stands what is left of them.
    pub(super) is_summary: bool,
    pub(super) rows: u32,
    /// First and last slot, by time, in milliseconds since 1970; the recorded time where there is no slot.
    pub(super) slots: (i64, i64),
    /// First and last record, counted from the segment's first.
    pub(super) at: (u32, u32),
    pub(super) extent: Extent,
}

impl PageEntry {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let (job, destination) = self.series.map_or((0, 0), |(job, destination)| (job.0, destination.0));
        for number in [u32::from(self.series.is_some()), job, destination] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.kind.to_le_bytes());
        out.extend_from_slice(&self.version.to_le_bytes());
        for number in [self.rows, self.at.0, self.at.1, self.is_summary.into()] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for time in [self.slots.0, self.slots.1] {
            out.extend_from_slice(&time.to_le_bytes());
        }
        self.extent.put(out);
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let (has_series, job, destination) = (reader.u32()?, reader.u32()?, reader.u32()?);
        let series = (has_series == 1).then_some((JobId(job), DestinationId(destination)));
        let (kind, version) = (u16::from_le_bytes(reader.array()?), u16::from_le_bytes(reader.array()?));
        let (rows, first, last, left) = (reader.u32()?, reader.u32()?, reader.u32()?, reader.u32()?);
        let is_summary = left == 1;
        let slots = (i64::from_le_bytes(reader.array()?), i64::from_le_bytes(reader.array()?));
        let entry =
            Self { series, kind, version, is_summary, rows, slots, at: (first, last), extent: Extent::read(reader)? };
        let is_sane = entry.rows as usize <= MAX_PAGE_ROWS && entry.extent.length as usize <= MAX_PAGE_BYTES;
        is_sane.then_some(entry)
    }

    /// All entries of an index.
    pub(super) fn read_all(bytes: &[u8]) -> Option<Vec<Self>> {
        bytes.len().is_multiple_of(ENTRY_BYTES).then_some(())?;
        bytes.chunks_exact(ENTRY_BYTES).map(|entry| Self::read(&mut Reader(entry))).collect()
    }
}

/// What a segment is: enough to know its place in the log and to find everything in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) store: StoreId,
    pub(crate) first: u64,
    pub(crate) events: u64,
    pub(crate) chain_before: ChainHash,
    pub(crate) chain_after: ChainHash,
    /// [`FORMAT`] or [`SUMMARISED`].
    pub(crate) format: u32,
    pub(super) order: Extent,
    pub(super) marks: Extent,
    pub(super) index: Extent,
}

impl Footer {
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FOOTER_BYTES);
        out.extend_from_slice(&self.store.0);
        out.extend_from_slice(&self.first.to_le_bytes());
        out.extend_from_slice(&self.events.to_le_bytes());
        out.extend_from_slice(&self.chain_before.0);
        out.extend_from_slice(&self.chain_after.0);
        [self.order, self.marks, self.index].into_iter().for_each(|extent| extent.put(&mut out));
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.format.to_le_bytes());
        out.extend_from_slice(&MAGIC[..4]);
        out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
        debug_assert_eq!(out.len(), FOOTER_BYTES);
        out
    }

    /// A footer of a file of that length; none if it is damaged.
    pub(super) fn read(bytes: &[u8; FOOTER_BYTES], file_length: u64) -> Option<Self> {
        let (front, crc) = bytes.split_at(FOOTER_BYTES - 4);
        (crc32c::crc32c(front).to_le_bytes() == crc).then_some(())?;
        let mut reader = Reader(front);
        let footer = Self {
            store: StoreId(reader.array()?),
            first: reader.u64()?,
            events: reader.u64()?,
            chain_before: ChainHash(reader.array()?),
            chain_after: ChainHash(reader.array()?),
            format: 0,
            order: Extent::read(&mut reader)?,
            marks: Extent::read(&mut reader)?,
            index: Extent::read(&mut reader)?,
        };
        reader.array::<4>()?;
        let footer = Self { format: reader.u32()?, ..footer };
        let is_inside =
            |extent: Extent| extent.offset.checked_add(extent.length.into()).is_some_and(|end| end <= file_length);
        let is_sane = (1..=MAX_SEGMENT_EVENTS).contains(&footer.events)
            && footer.first >= 1
            && matches!(footer.format, FORMAT | SUMMARISED)
            && footer.first.checked_add(footer.events).is_some()
            && [footer.order, footer.marks, footer.index].into_iter().all(is_inside);
        is_sane.then_some(footer)
    }
}
