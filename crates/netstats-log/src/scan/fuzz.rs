//! Journals made of any bytes: what the fuzzer runs, and what it begins with.

use std::path::Path;

use super::{
    END_BYTES, ITEM_HEAD_BYTES, Journal, KEY_BYTES, Piece, START_BYTES, TRAILER, Xxh3, looks_like_item, u32_at,
};

/// Bytes of a seed: some batches.
const SEED_BYTES: usize = 4 * 1024;

/// A file as it is, and with its checksums made right; `scratch` is where it is put.
pub(crate) fn journal(bytes: &[u8], scratch: &Path) {
    let mut bytes = bytes.to_vec();
    walk(&bytes, scratch);
    if mend(&mut bytes).is_some() {
        walk(&bytes, scratch);
    }
}

/// The pieces lie one after the other, and salvaging finds the same batches as a plain look.
fn walk(bytes: &[u8], scratch: &Path) {
    std::fs::write(scratch, bytes).expect("a scratch file");
    let pieces = |mut journal: Journal| {
        let (mut all, mut end) = (Vec::new(), 0);
        while let Some(piece) = journal.next().expect("a file that can be read") {
            let at = match &piece {
                Piece::Batch(batch) => batch.at,
                Piece::Hole(hole) => hole.at,
            };
            // Before a batch there may be zeros, which belong to nobody.
            assert!(at >= end && piece.end() > at && piece.end() <= bytes.len() as u64, "{piece:?} after {end}");
            end = piece.end();
            all.push(piece);
        }
        all
    };
    let plain = pieces(Journal::open(scratch).expect("a scratch file"));
    let salvaged = pieces(Journal::salvaging(scratch).expect("a scratch file"));
    let batches = |pieces: Vec<Piece>| pieces.into_iter().filter(|piece| matches!(piece, Piece::Batch(_)));
    assert!(batches(plain).eq(batches(salvaged)), "salvaging finds other batches");
}

/// Makes the checksums of the batches from the start on right, as far as they are laid out as batches.
fn mend(bytes: &mut [u8]) -> Option<()> {
    let mut at = 0;
    while bytes.get(at) == Some(&1) && bytes.len() - at >= START_BYTES {
        let items = u32_at(bytes, at + 1);
        at += START_BYTES;
        let mut hasher = Xxh3::new();
        for _ in 0..items {
            let item = bytes.get(at..).filter(|item| looks_like_item(item))?;
            let value = at + ITEM_HEAD_BYTES + KEY_BYTES;
            let end = value + u32_at(item, 13) as usize;
            mend_records(bytes.get_mut(value..end)?);
            hasher.update(&bytes[at..end]);
            at = end;
        }
        let end = bytes.get_mut(at..at + END_BYTES)?;
        end[0] = 3;
        end[1..9].copy_from_slice(&hasher.digest().to_le_bytes());
        end[9..].copy_from_slice(TRAILER);
        at += END_BYTES;
    }
    Some(())
}

/// The same of the records in a value.
fn mend_records(mut bytes: &mut [u8]) {
    const HEADER: usize = netstats_event::HEADER_BYTES;
    while bytes.len() >= HEADER {
        let end = HEADER.saturating_add(u32_at(bytes, 24) as usize);
        let Some((record, rest)) = bytes.split_at_mut_checked(end) else { return };
        let crc = crc32c::crc32c_append(crc32c::crc32c(&record[..28]), &record[HEADER..]);
        record[28..32].copy_from_slice(&crc.to_le_bytes());
        bytes = rest;
    }
}

/// The beginnings of the golden stores' journals.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let stores = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/stores");
    let seed = |store: &str| {
        let mut bytes = std::fs::read(format!("{stores}/{store}/fjall/0.jnl")).expect("a golden journal");
        bytes.truncate(SEED_BYTES);
        bytes
    };
    ["1", "2"].map(seed).into()
}
