//! Segments that are wrong although every checksum holds, as only a fault of ours or a forger makes them: reading them
//! gives an error or other records, never a panic, never memory by an unchecked length.

#[path = "../../../../fixtures/mutate.rs"]
mod mutate;

use mutate::{Mutator, within_bounds};
use netstats_event::Kind;

use super::format::{FOOTER_BYTES, Footer, PageEntry};
use super::fuzz::{golden, golden_summarised, mend, read, slice};

const MUTATIONS: u64 = 5_000;

/// Changes one part of a file and makes all checksums right again.
fn forge(file: &[u8], mutator: &mut Mutator) -> Vec<u8> {
    let mut file = file.to_vec();
    let end = file.len() - FOOTER_BYTES;
    let footer = Footer::read(file[end..].try_into().unwrap(), file.len() as u64).unwrap();
    let (target, page) = (mutator.below(8), mutator.below(usize::MAX >> 12));
    let entries = PageEntry::read_all(&file[slice(&file, footer.index).unwrap()]).unwrap();
    let extent = match target {
        0 => footer.order,
        1 => footer.marks,
        2 => footer.index,
        _ => entries[page % entries.len()].extent,
    };
    let part = slice(&file, extent).unwrap();
    let changed = mutator.mutate(&file[part.clone()], true);
    file[part].copy_from_slice(&changed);
    mend(&mut file).unwrap();
    file
}

#[test]
fn a_forged_segment_never_panics_and_never_takes_memory_by_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("segment");
    for (golden, mutations) in [(golden(), MUTATIONS), (golden_summarised(&path), MUTATIONS / 5)] {
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
