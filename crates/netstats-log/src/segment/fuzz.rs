//! Segments and pages made of any bytes, read in every way: what the mutations of `mutated.rs` and the fuzzer run, and
//! whole ones that they begin with.

use std::ops::Range;
use std::path::{Path, PathBuf};

use netstats_event::{
    ChainHash, DestinationId, Draft, JobId, Kind, Position, SampleSummary, TimesSummary, Timestamp, decode,
};

use super::format::{ENTRY_BYTES, Extent, FOOTER_BYTES, Footer, HEADER_BYTES, PageEntry};
use super::page::Page;
use super::{Builder, Cache, Item, Segment, SeriesKey};
use crate::limits::MAX_PAGE_ROWS;
use crate::{ReadLimit, StoreId};

const COPIES: u64 = 2;
/// Where job and destination of the golden events are.
const SERIES: (JobId, DestinationId) = (JobId(3), DestinationId(70_000));
/// Where the checksum of a page lies in its entry of the index, behind its offset and length.
const ENTRY_EXTENT_AT: usize = ENTRY_BYTES - 16;
/// Positions of a segment that are asked for one by one.
const SINGLE_READS: usize = 512;

/// A segment with every kind of event in it, some times.
pub(crate) fn golden() -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/events/v1");
    let mut builder = Builder::new(StoreId([7; 16]), 1, ChainHash::default());
    let mut chain = ChainHash::default();
    for (number, kind) in (0..COPIES).flat_map(|_| Kind::ALL).enumerate() {
        let payload = std::fs::read(format!("{folder}/{}.bin", kind.name())).expect("a golden payload");
        let recorded_at = Timestamp::from_millis(1_795_564_800_000 + i64::try_from(number).expect("a small number"));
        let draft = Draft { kind: kind.code(), version: 1, recorded_at, payload };
        let record = draft.at(Position(number as u64 + 1), chain);
        chain = record.chain;
        builder.push(&record);
    }
    builder.finish()
}

/// The same with what is left of every sample, and of some of them with sums. `scratch` is a file to work with.
pub(crate) fn golden_summarised(scratch: &Path) -> Vec<u8> {
    std::fs::write(scratch, golden()).expect("a scratch file");
    let segment = Segment::open(scratch).expect("a whole segment");
    let mut builder = Builder::summarised(StoreId([7; 16]), 1, ChainHash::default());
    let (cache, limit) = (Cache::new(1 << 20), ReadLimit { records: 1, bytes: 1 });
    for position in (segment.first().0..=segment.last().0).map(Position) {
        let event = segment.events_at(&cache, &[position]).expect("an event").remove(0).event;
        let item = segment.items(&cache, position, limit).expect("a record").remove(0);
        let Item::Kept(record, before) = item else { unreachable!("nothing is summarised yet") };
        let sample = event.kind().filter(|kind| kind.probe().is_some()).zip(event.head());
        let Some((kind, head)) = sample else {
            builder.push_kept(&record, before);
            continue;
        };
        let sums = TimesSummary { n: 3, extremes_us: (4, 9), sum_us: 20, sum_sq: 150, sketch: vec![7; 9] };
        let times = position.0.is_multiple_of(2).then_some(sums);
        let numbers = [417, 4_711, 1, 1, 2, 10, 9, 0, 8, 0, 900, 1, 12_000];
        let left = SampleSummary::read(kind, (head.job, head.destination), numbers, times).expect("a summary");
        builder.push_summary(record.version, record.recorded_at, &left);
    }
    builder.finish_at(segment.footer.chain_after)
}

pub(super) fn slice(file: &[u8], extent: Extent) -> Option<Range<usize>> {
    let start = usize::try_from(extent.offset).ok()?;
    let end = start.checked_add(extent.length as usize)?;
    (end <= file.len()).then_some(start..end)
}

/// Makes every checksum right of parts that lie inside the file.
pub(super) fn mend(file: &mut [u8]) -> Option<()> {
    let end = file.len().checked_sub(FOOTER_BYTES).filter(|end| *end >= HEADER_BYTES)?;
    let seal = |bytes: &mut [u8]| {
        let (front, crc) = bytes.split_at_mut(bytes.len() - 4);
        crc.copy_from_slice(&crc32c::crc32c(front).to_le_bytes());
    };
    seal(&mut file[..HEADER_BYTES]);
    seal(&mut file[end..]);
    let mut footer = Footer::read(file[end..].first_chunk()?, file.len() as u64)?;
    let index = slice(file, footer.index)?;
    for entry in index.clone().step_by(ENTRY_BYTES).filter(|entry| entry + ENTRY_BYTES <= index.end) {
        let at = entry + ENTRY_EXTENT_AT;
        let offset = u64::from_le_bytes(*file[at..].first_chunk()?);
        let length = u32::from_le_bytes(*file[at + 8..].first_chunk()?);
        if let Some(page) = slice(file, Extent { offset, length, crc: 0 }) {
            let crc = crc32c::crc32c(&file[page]);
            file[at + 12..at + 16].copy_from_slice(&crc.to_le_bytes());
        }
    }
    for extent in [&mut footer.order, &mut footer.marks, &mut footer.index] {
        extent.crc = crc32c::crc32c(&file[slice(file, *extent)?]);
    }
    file[end..].copy_from_slice(&footer.bytes());
    Some(())
}

/// Reads everything in every way; how much of it went well.
pub(super) fn read(path: &Path) -> usize {
    let Ok(segment) = Segment::open(path) else { return 0 };
    let cache = Cache::new(1 << 20);
    let limit = ReadLimit::default().bounded();
    let events = usize::try_from(segment.footer.events).expect("a segment is bounded");
    let positions = (segment.first().0..=segment.last().0).map(Position).take(SINGLE_READS);
    let mut well = usize::from(segment.records(&cache, segment.first(), limit).is_ok_and(|all| all.len() == events));
    well += usize::from(segment.events(&cache, segment.first(), limit).is_ok_and(|all| all.len() == events));
    well += segment.items(&cache, segment.first(), limit).map_or(0, |items| items.len());
    well += positions.filter(|position| segment.events_at(&cache, &[*position]).is_ok()).count();
    well += segment.samples(&cache).map_or(0, |samples| samples.len());
    let always = Timestamp::from_millis(i64::MIN / 1_000_000)..Timestamp::from_millis(i64::MAX / 1_000_000);
    for kind in Kind::ALL {
        let key = SeriesKey { job: SERIES.0, destination: SERIES.1, kind: *kind };
        for page in segment.series(&cache, key, &always).unwrap_or_default() {
            well += segment.series_events(&cache, page.number, &always).map_or(0, |events| events.len());
        }
    }
    well
}

/// A file as it is, and with its checksums made right; `scratch` is where it is put.
pub(crate) fn segment(bytes: &[u8], scratch: &Path) {
    let mut bytes = bytes.to_vec();
    std::fs::write(scratch, &bytes).expect("a scratch file");
    read(scratch);
    let _ = mend(&mut bytes);
    std::fs::write(scratch, &bytes).expect("a scratch file");
    read(scratch);
}

/// A page behind the four bytes that stand for its entry: kind, rows, what else there is.
pub(crate) fn page(bytes: &[u8]) {
    let Some(([kind, low, high, flags], bytes)) = bytes.split_first_chunk() else { return };
    let rows = usize::from(u16::from_le_bytes([*low, *high])) % (MAX_PAGE_ROWS + 1);
    let entry = PageEntry {
        series: (flags & 1 == 1).then_some(SERIES),
        kind: Kind::ALL[usize::from(*kind) % Kind::ALL.len()].code(),
        version: 1,
        is_summary: flags & 2 == 2,
        rows: u32::try_from(rows).expect("a page is bounded"),
        slots: (0, 0),
        at: (0, 0),
        extent: Extent::default(),
    };
    let Some(page) = Page::read(&entry, bytes) else { return };
    let _ = page.heap_bytes();
    for row in (0..rows.min(32)).chain([rows.saturating_sub(1), rows]) {
        let _ = (page.summary(row), page.slot_at_ms(row), page.weight(row));
        let (draft, event) = (page.draft(row), page.event(row));
        if let Some(draft) = draft {
            assert_eq!(decode(draft.kind, draft.version, &draft.payload).ok(), event, "a row has one meaning");
            assert_eq!(page.recorded_at(row), Some(draft.recorded_at));
        }
    }
}

/// The pages of the golden segments, as [`page`] takes them.
pub(crate) fn page_seeds(scratch: &Path) -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for file in [golden(), golden_summarised(scratch)] {
        let footer =
            Footer::read(file[file.len() - FOOTER_BYTES..].first_chunk().expect("a footer"), file.len() as u64);
        let index = &file[slice(&file, footer.expect("a whole footer").index).expect("its index")];
        for entry in PageEntry::read_all(index).expect("a whole index") {
            let kind = Kind::ALL.iter().position(|kind| kind.code() == entry.kind).expect("a known kind");
            let [low, high, ..] = entry.rows.to_le_bytes();
            let flags = u8::from(entry.series.is_some()) | u8::from(entry.is_summary) << 1;
            let head = [u8::try_from(kind).expect("few kinds"), low, high, flags];
            seeds.push([&head[..], &file[slice(&file, entry.extent).expect("its page")]].concat());
        }
    }
    seeds
}

/// A file for this process to work with; it goes when it is dropped.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("netstats-fuzz-{name}-{}", std::process::id())))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
