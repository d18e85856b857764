//! What the fuzzer runs on any bytes, and what it begins with. Compiled for it and for tests alone.

use crate::files::seal_text;
use crate::manifest::{Manifest, Sealed, Witness};
use crate::segment::fuzz::{self as segments, Scratch};
use crate::{StoreId, head, scan};

/// The file of a sealed segment, as it is and with its checksums made right.
pub fn segment(bytes: &[u8]) {
    segments::segment(bytes, Scratch::new("segment").path());
}

/// Small segments, and segments with every kind of event, raw and summarised.
#[must_use]
pub fn segment_seeds() -> Vec<Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/stores/2/segments");
    let files = std::fs::read_dir(folder).expect("the segments of a golden store");
    let read = |entry: std::io::Result<std::fs::DirEntry>| std::fs::read(entry.expect("a segment").path());
    let small = files.map(|entry| read(entry).expect("a segment"));
    small.chain([segments::golden(), segments::golden_summarised(Scratch::new("segment-seeds").path())]).collect()
}

/// A page of a segment behind four bytes that stand for its entry in the index.
pub fn segment_page(bytes: &[u8]) {
    segments::page(bytes);
}

/// A page of every kind.
#[must_use]
pub fn segment_page_seeds() -> Vec<Vec<u8>> {
    segments::page_seeds(Scratch::new("page-seeds").path())
}

/// A journal of the store as the recovery and the repair read it, as it is and with its checksums made right.
pub fn journal(bytes: &[u8]) {
    scan::fuzz::journal(bytes, Scratch::new("journal").path());
}

/// The beginnings of the golden stores' journals.
#[must_use]
pub fn journal_seeds() -> Vec<Vec<u8>> {
    scan::fuzz::seeds()
}

/// The small files beside the store, with their checksums made right: `MANIFEST`, `witness`, `head`.
pub fn small_files(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for sealed in [seal_text(&text), seal_text(&format!("{text}\n"))] {
        if let Some(manifest) = Manifest::parse(sealed.as_bytes()) {
            for sealed in manifest.segments {
                assert_eq!(Sealed::parse(&sealed.to_string()), Some(sealed), "a line is read as it is written");
            }
        }
        let _ = Witness::parse(sealed.as_bytes());
    }
    let mut slot = bytes.to_vec();
    if let Some((front, crc)) = slot.split_last_chunk_mut::<4>() {
        *crc = crc32c::crc32c(front).to_le_bytes();
        let store = front.get(8..24).and_then(|store| store.try_into().ok()).unwrap_or_default();
        let _ = head::parse(&slot, StoreId(store));
    }
}

/// Those of the golden stores, and one line of each kind that a manifest may have.
#[must_use]
pub fn small_files_seeds() -> Vec<Vec<u8>> {
    let stores = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/stores");
    let read = |name: &str| std::fs::read(format!("{stores}/{name}")).expect("a file of a golden store");
    let mut seeds = Vec::new();
    for text in ["1/MANIFEST", "2/MANIFEST", "1/witness", "2/witness"].map(read) {
        let lines = text.strip_suffix(b"\n").and_then(|text| text.iter().rposition(|byte| *byte == b'\n'));
        seeds.push(text[..=lines.expect("some lines")].to_vec());
    }
    let (store, chain) = (StoreId([7; 16]), netstats_event::ChainHash([5; 16]));
    let lines = format!("segment 1 40 4711 00000abc {chain} 39 2 200 201\ndropping 3\nepoch 41\nepoch 90\n");
    seeds.push(format!("format 3\nstore {store}\n{lines}").into_bytes());
    seeds.push(read("2/head").drain(..68).collect());
    seeds
}

#[cfg(test)]
#[path = "../../../fixtures/fuzz/kept.rs"]
mod kept;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_fuzzer_begins_with_and_what_it_found_is_taken() {
        kept::take("segment", segment_seeds(), segment);
        kept::take("segment_page", segment_page_seeds(), segment_page);
        kept::take("journal", journal_seeds(), journal);
        kept::take("small_files", small_files_seeds(), small_files);
    }

    #[test]
    fn the_fuzzer_begins_with_small_files_that_are_whole() {
        let whole = small_files_seeds().into_iter().filter(|seed| {
            let Ok(text) = std::str::from_utf8(seed) else { return false };
            let sealed = seal_text(text);
            Manifest::parse(sealed.as_bytes()).is_some() || Witness::parse(sealed.as_bytes()).is_some()
        });
        assert_eq!(whole.count(), 5);
    }
}
