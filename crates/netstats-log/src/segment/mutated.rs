//! Segments that are wrong although every checksum holds, as only a fault of ours or a forger makes them: reading them
//! gives an error or other records, never a panic, never memory by an unchecked length.

#[path = "../../../../fixtures/mutate.rs"]
mod mutate;

use std::path::Path;

use mutate::{Mutator, within_bounds};
use netstats_event::{ChainHash, DestinationId, Draft, JobId, Kind, Position, SampleSummary, TimesSummary, Timestamp};

use super::format::{ENTRY_BYTES, Extent, FOOTER_BYTES, Footer, PageEntry};
use super::{Builder, Cache, Item, Segment, SeriesKey};
use crate::{ReadLimit, StoreId};

const MUTATIONS: u64 = 5_000;
const COPIES: u64 = 2;

/// A segment with every kind of event in it, some times.
fn golden() -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/events/v1");
    let mut builder = Builder::new(StoreId([7; 16]), 1, ChainHash::default());
    let mut chain = ChainHash::default();
    for (number, kind) in (0..COPIES).flat_map(|_| Kind::ALL).enumerate() {
        let payload = std::fs::read(format!("{folder}/{}.bin", kind.name())).unwrap();
        let recorded_at = Timestamp::from_millis(1_795_564_800_000 + i64::try_from(number).unwrap());
        let draft = Draft { kind: kind.code(), version: 1, recorded_at, payload };
        let record = draft.at(Position(number as u64 + 1), chain);
        chain = record.chain;
        builder.push(&record);
    }
    builder.finish()
}

/// The same with what is left of every sample, and of some of them with sums.
fn golden_summarised() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("segment");
    std::fs::write(&path, golden()).unwrap();
    let segment = Segment::open(&path).unwrap();
    let mut builder = Builder::summarised(StoreId([7; 16]), 1, ChainHash::default());
    let (cache, limit) = (Cache::new(1 << 20), ReadLimit { records: 1, bytes: 1 });
    for position in (segment.first().0..=segment.last().0).map(Position) {
        let event = segment.events_at(&cache, &[position]).unwrap().remove(0).event;
        let Item::Kept(record, before) = segment.items(&cache, position, limit).unwrap().remove(0) else { panic!() };
        let sample = event.kind().filter(|kind| kind.probe().is_some()).zip(event.head());
        let Some((kind, head)) = sample else {
            builder.push_kept(&record, before);
            continue;
        };
        let sums = TimesSummary { n: 3, extremes_us: (4, 9), sum_us: 20, sum_sq: 150, sketch: vec![7; 9] };
        let times = position.0.is_multiple_of(2).then_some(sums);
        let numbers = [417, 4_711, 1, 1, 2, 10, 9, 0, 8, 0, 900, 1, 12_000];
        let left = SampleSummary::read(kind, (head.job, head.destination), numbers, times).unwrap();
        builder.push_summary(record.version, record.recorded_at, &left);
    }
    builder.finish_at(segment.footer.chain_after)
}

fn slice(file: &[u8], extent: Extent) -> std::ops::Range<usize> {
    let start = usize::try_from(extent.offset).unwrap();
    assert!(start < file.len());
    start..start + extent.length as usize
}

/// Changes one part of a file and makes all checksums right again.
fn forge(file: &[u8], mutator: &mut Mutator) -> Vec<u8> {
    let mut file = file.to_vec();
    let end = file.len() - FOOTER_BYTES;
    let mut footer = Footer::read(file[end..].try_into().unwrap(), file.len() as u64).unwrap();
    let (target, page) = (mutator.below(8), mutator.below(usize::MAX >> 12));
    let mut change = |file: &mut Vec<u8>, extent: Extent| {
        let part = slice(file, extent);
        let changed = mutator.mutate(&file[part.clone()], true);
        file[part.clone()].copy_from_slice(&changed);
        crc32c::crc32c(&changed)
    };
    let index = slice(&file, footer.index);
    let mut entries = PageEntry::read_all(&file[index.clone()]).unwrap();
    match target {
        0 => footer.order.crc = change(&mut file, footer.order),
        1 => footer.marks.crc = change(&mut file, footer.marks),
        2 => footer.index.crc = change(&mut file, footer.index),
        _ => {
            let number = page % entries.len();
            entries[number].extent.crc = change(&mut file, entries[number].extent);
            let mut bytes = Vec::with_capacity(entries.len() * ENTRY_BYTES);
            entries.iter().for_each(|entry| entry.put(&mut bytes));
            footer.index.crc = crc32c::crc32c(&bytes);
            file[index].copy_from_slice(&bytes);
        }
    }
    file[end..].copy_from_slice(&footer.bytes());
    file
}

/// Reads everything in every way; how much of it went well.
fn read(path: &Path) -> usize {
    let Ok(segment) = Segment::open(path) else { return 0 };
    let cache = Cache::new(1 << 20);
    let limit = ReadLimit::default().bounded();
    let positions: Vec<Position> = (segment.first().0..=segment.last().0).map(Position).collect();
    let mut well =
        usize::from(segment.records(&cache, segment.first(), limit).is_ok_and(|all| all.len() == positions.len()));
    well += usize::from(segment.events(&cache, segment.first(), limit).is_ok_and(|all| all.len() == positions.len()));
    well += segment.items(&cache, segment.first(), limit).map_or(0, |items| items.len());
    well += positions.iter().filter(|position| segment.events_at(&cache, &[**position]).is_ok()).count();
    let always = Timestamp::from_millis(i64::MIN / 1_000_000)..Timestamp::from_millis(i64::MAX / 1_000_000);
    for kind in Kind::ALL {
        let key = SeriesKey { job: JobId(3), destination: DestinationId(70_000), kind: *kind };
        for page in segment.series(&cache, key, &always).unwrap_or_default() {
            well += segment.series_events(&cache, page.number, &always).map_or(0, |events| events.len());
        }
    }
    well
}

#[test]
fn a_forged_segment_never_panics_and_never_takes_memory_by_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("segment");
    for (golden, mutations) in [(golden(), MUTATIONS), (golden_summarised(), MUTATIONS / 5)] {
        std::fs::write(&path, &golden).unwrap();
        let whole = read(&path);
        assert!(whole > 2 * Kind::ALL.len());
        within_bounds(|| {
            let mut partly = 0_u64;
            for (_, mut mutator) in Mutator::all(mutations) {
                std::fs::write(&path, forge(&golden, &mut mutator)).unwrap();
                let well = read(&path);
                partly += u64::from(well > 0 && well < whole);
            }
            assert!(partly > mutations / 10, "only {partly} forgeries made a difference");
        });
    }
}
