//! `head`: the newest acknowledged record, written in place after every durable commit and before it is acknowledged.
//!
//! The witness is a second old at worst; this file is never behind when a process is killed, because what was handed to
//! the system survives that. It costs one small write and no sync: in a power cut it may be as old as the system left
//! it, and then the witness counts. It never promises too much, for it is written after the commit was synced.
//!
//! Two slots on sectors of their own, written in turn: whatever happens to one leaves the other.
//!
//! ```text
//!   slot at 0 and at 4096:  "NSHEAD1\n" | store 16 | last u64 | chain 16 | recorded_at i64 | last_config u64 | crc32c u32
//! ```

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use netstats_event::{ChainHash, Position, Timestamp};

use crate::manifest::{StoreId, Witness};
use crate::{Error, ErrorKind, Head};

const MAGIC: &[u8; 8] = b"NSHEAD1\n";
const SLOT_BYTES: usize = 68;
const SECOND_SLOT: u64 = 4_096;

/// The open file.
#[derive(Debug)]
pub(crate) struct HeadFile {
    file: File,
    path: PathBuf,
    /// Where the next one goes: over the older slot.
    next: u64,
}

impl HeadFile {
    pub(crate) fn path(folder: &Path) -> PathBuf {
        folder.join("head")
    }

    /// Opens it, or makes it; with the newer of its slots and the witness.
    pub(crate) fn open(folder: &Path, witness: Witness) -> Result<(Self, Witness), Error> {
        let path = Self::path(folder);
        let unusable = |error: std::io::Error| {
            let message = format!("{} cannot be used: {error}", path.display());
            Error::new(ErrorKind::Unavailable, message).in_file(&path).because(error)
        };
        let mut file =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path).map_err(unusable)?;
        let mut newest = witness;
        let mut next = 0;
        for at in [0, SECOND_SLOT] {
            let mut bytes = Vec::with_capacity(SLOT_BYTES);
            file.seek(SeekFrom::Start(at)).map_err(unusable)?;
            (&mut file).take(SLOT_BYTES as u64).read_to_end(&mut bytes).map_err(unusable)?;
            // A slot of another store, a damaged one, none: the witness knows what is left to know.
            if let Some(found) = parse(&bytes, witness.store)
                && found.head.last > newest.head.last
            {
                newest = Witness { is_closed: false, ..found };
                next = SECOND_SLOT - at;
            }
        }
        Ok((Self { file, path, next }, newest))
    }

    /// Notes what is about to be acknowledged. Nothing is synced.
    pub(crate) fn note(
        &mut self,
        store: StoreId,
        head: Head,
        recorded_at: Timestamp,
        last_config: Position,
    ) -> Result<(), Error> {
        let bytes = slot(store, head, recorded_at, last_config);
        self.file.seek(SeekFrom::Start(self.next)).and_then(|_| self.file.write_all(&bytes)).map_err(|error| {
            let message = format!("{} cannot be written: {error}", self.path.display());
            Error::new(ErrorKind::Unavailable, message).in_file(&self.path).because(error)
        })?;
        self.next = SECOND_SLOT - self.next;
        Ok(())
    }
}

fn slot(store: StoreId, head: Head, recorded_at: Timestamp, last_config: Position) -> [u8; SLOT_BYTES] {
    let mut bytes = [0; SLOT_BYTES];
    bytes[0..8].copy_from_slice(MAGIC);
    bytes[8..24].copy_from_slice(&store.0);
    bytes[24..32].copy_from_slice(&head.last.to_le_bytes());
    bytes[32..48].copy_from_slice(&head.chain.0);
    bytes[48..56].copy_from_slice(&recorded_at.as_nanos().to_le_bytes());
    bytes[56..64].copy_from_slice(&last_config.0.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..64]);
    bytes[64..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

pub(crate) fn parse(bytes: &[u8], store: StoreId) -> Option<Witness> {
    let bytes: &[u8; SLOT_BYTES] = bytes.try_into().ok()?;
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    let crc = u32::from_le_bytes(bytes[64..].try_into().expect("four bytes"));
    (bytes[..8] == *MAGIC && bytes[8..24] == store.0 && crc == crc32c::crc32c(&bytes[..64])).then(|| Witness {
        store,
        head: Head { last: number(24), chain: ChainHash(bytes[32..48].try_into().expect("sixteen bytes")) },
        recorded_at: Timestamp::from_nanos(number(48).cast_signed()),
        last_config: Position(number(56)),
        is_closed: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn witness(last: u64) -> Witness {
        let head = Head { last, chain: ChainHash([last as u8; 16]) };
        let (recorded_at, last_config) = (Timestamp::from_millis(last as i64), Position(last / 2));
        Witness { store: StoreId([7; 16]), head, recorded_at, last_config, is_closed: false }
    }

    fn note(file: &mut HeadFile, last: u64) {
        let Witness { store, head, recorded_at, last_config, .. } = witness(last);
        file.note(store, head, recorded_at, last_config).unwrap();
    }

    #[test]
    fn the_newest_note_counts_and_the_witness_if_it_is_newer() {
        let folder = tempfile::tempdir().unwrap();
        let (mut file, found) = HeadFile::open(folder.path(), witness(1)).unwrap();
        assert_eq!(found, witness(1));
        for last in 2..=7 {
            note(&mut file, last);
            assert_eq!(HeadFile::open(folder.path(), witness(1)).unwrap().1, witness(last));
        }
        assert_eq!(HeadFile::open(folder.path(), witness(9)).unwrap().1, witness(9));
        let stranger = Witness { store: StoreId([8; 16]), ..witness(1) };
        assert_eq!(HeadFile::open(folder.path(), stranger).unwrap().1, stranger);
    }

    #[test]
    fn damage_to_one_slot_leaves_the_other_and_never_makes_a_head_up() {
        let folder = tempfile::tempdir().unwrap();
        let (mut file, _) = HeadFile::open(folder.path(), witness(1)).unwrap();
        (2..=5).for_each(|last| note(&mut file, last));
        let path = HeadFile::path(folder.path());
        let whole = std::fs::read(&path).unwrap();
        let slots = (0..SLOT_BYTES).chain(SECOND_SLOT as usize..whole.len());
        for byte in slots {
            let mut damaged = whole.clone();
            damaged[byte] ^= 1 << (byte % 8);
            std::fs::write(&path, &damaged).unwrap();
            let found = HeadFile::open(folder.path(), witness(1)).unwrap().1;
            assert!(found == witness(5) || found == witness(4), "byte {byte}: {found:?}");
        }
        for end in (0..=SLOT_BYTES).chain(SECOND_SLOT as usize..whole.len()) {
            std::fs::write(&path, &whole[..end]).unwrap();
            let found = HeadFile::open(folder.path(), witness(1)).unwrap().1;
            assert!([1, 4, 5].contains(&found.head.last), "cut at {end}: {found:?}");
        }
    }
}
