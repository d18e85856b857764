//! Reads fjall's journal files (`*.jnl`) without fjall: fjall takes an undecodable byte for the end of the file, cuts it
//! there and says nothing, or refuses a torn tail that could be cut. Framing of fjall 3, little-endian:
//!
//! ```text
//!   batch   start 1u8 | items u32 | seqno u64        not covered by the checksum: checked by its own rules below
//!           item  2u8 | 0u8 value | 0u8 plain | keyspace u64 | key bytes u16 | value bytes u32, twice | key | value
//!           end   3u8 | XXH3-64 of the items u64 | "FJL" 3u8
//!   then    the next batch, or zeros up to the preallocated end
//! ```
//! The writer syncs each batch before it begins the next one. So damage with a whole batch after it is damage to
//! something durable, and only the last batch can be torn.

#[cfg(any(test, netstats_fuzz))]
pub(crate) mod fuzz;

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use fjall::Slice;
use netstats_event::{Position, Record};
use xxhash_rust::xxh3::Xxh3;

use crate::limits;
use crate::page::{MAX_VALUE_BYTES, Unpacker};

const START_BYTES: usize = 13;
const ITEM_HEAD_BYTES: usize = 21;
const KEY_BYTES: usize = 10;
const END_BYTES: usize = 13;
const TRAILER: &[u8] = b"FJL\x03";
/// Bytes that are looked through at once for the next whole batch.
const STRIDE: usize = 1024 * 1024;
/// Records of one batch hold at most this many bytes: a batch of ours, with room for headers.
const MAX_BATCH_BYTES: usize = limits::MAX_BATCH_BYTES + limits::MAX_BATCH_EVENTS * 64 + 1024 * 1024;

/// One batch, or what lies where one should.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Whole: its checksum and every record's holds.
    Batch(Batch),
    /// Not a batch.
    Hole(Hole),
}

impl Piece {
    /// The byte after its last.
    pub(crate) const fn end(&self) -> u64 {
        match self {
            Self::Batch(batch) => batch.end,
            Self::Hole(hole) => hole.end,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    /// First byte in the file.
    pub(crate) at: u64,
    /// The byte after its last.
    pub(crate) end: u64,
    pub(crate) seqno: u64,
    pub(crate) keyspace: u64,
    /// In the order of their positions, at least one.
    pub(crate) records: Vec<Record>,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Hole {
    pub(crate) at: u64,
    /// Where the next whole batch begins, else after the last byte that is not zero.
    pub(crate) end: u64,
    /// No whole batch comes after it: it may be a batch that was never finished.
    pub(crate) is_tail: bool,
    /// Records that can be read in it: those before the damage, and on demand those after it too.
    pub(crate) records: Vec<Record>,
}

/// Walks one journal. Memory is bounded by one batch, and by the file when everything is to be salvaged.
pub(crate) struct Journal {
    reader: BufReader<File>,
    at: u64,
    len: u64,
    /// Look for single records in holes too.
    salvages: bool,
    /// The next whole batch, found while a hole was measured.
    found: Option<Batch>,
}

impl Journal {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok(Self { reader: BufReader::with_capacity(64 * 1024, file), at: 0, len, salvages: false, found: None })
    }

    /// The same, and every record in a hole whose checksum holds.
    pub(crate) fn salvaging(path: &Path) -> io::Result<Self> {
        Ok(Self { salvages: true, ..Self::open(path)? })
    }

    /// The next batch or hole; nothing at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<Piece>> {
        if let Some(batch) = self.found.take() {
            self.seek(batch.end)?;
            return Ok(Some(Piece::Batch(batch)));
        }
        if self.at >= self.len {
            return Ok(None);
        }
        let at = self.at;
        match self.batch()? {
            Ok(batch) => {
                self.at = batch.end;
                Ok(Some(Piece::Batch(batch)))
            }
            Err(records) => {
                let hole = self.hole(at, records)?;
                Ok((hole.end > hole.at).then_some(Piece::Hole(hole)))
            }
        }
    }

    fn seek(&mut self, at: u64) -> io::Result<()> {
        self.at = at;
        self.reader.seek(SeekFrom::Start(at)).map(drop)
    }

    /// The batch at the reader's place, or the records that could be read before it broke off.
    fn batch(&mut self) -> io::Result<Result<Batch, Vec<Record>>> {
        let mut batch = Batch { at: self.at, end: self.at, seqno: 0, keyspace: 0, records: Vec::new() };
        Ok(match fill(&mut self.reader, &mut batch)? {
            true => Ok(batch),
            false => Err(batch.records),
        })
    }

    /// Measures what is not a batch, up to the next one.
    fn hole(&mut self, at: u64, records: Vec<Record>) -> io::Result<Hole> {
        let mut hole = Hole { at, end: at, is_tail: true, records };
        let (mut from, mut window, zeros) = (at, Vec::new(), vec![0; STRIDE]);
        while from < self.len {
            self.seek(from)?;
            window.clear();
            (&mut self.reader).take((STRIDE + START_BYTES + ITEM_HEAD_BYTES) as u64).read_to_end(&mut window)?;
            let candidates = window.len().min(STRIDE);
            // A preallocated rest is long and holds nothing: it is compared as a whole.
            if window[..candidates] != zeros[..candidates] && self.look_through(&window, candidates, from, &mut hole)? {
                return Ok(hole);
            }
            from += candidates.max(1) as u64;
        }
        self.at = self.len;
        Ok(hole)
    }

    /// Looks for a whole batch that begins in `window`, which begins at byte `from`; true if there is one.
    fn look_through(&mut self, window: &[u8], candidates: usize, from: u64, hole: &mut Hole) -> io::Result<bool> {
        if let Some(last) = window[..candidates].iter().rposition(|byte| *byte != 0) {
            hole.end = from + last as u64 + 1;
        }
        for offset in (0..candidates).filter(|offset| matches!(window[*offset], 1 | 2)) {
            let (here, bytes) = (from + offset as u64, &window[offset..]);
            if here > hole.at && looks_like_start(bytes) {
                self.seek(here)?;
                if let Ok(batch) = self.batch()? {
                    (hole.end, hole.is_tail) = (here, false);
                    self.found = Some(batch);
                    return Ok(true);
                }
            } else if self.salvages && looks_like_item(bytes) {
                self.seek(here)?;
                self.loose(&mut hole.records)?;
            }
        }
        Ok(false)
    }

    /// Adds the records of the one item at the reader's place that are not there yet.
    fn loose(&mut self, records: &mut Vec<Record>) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(ITEM_HEAD_BYTES + KEY_BYTES + MAX_VALUE_BYTES);
        if item(&mut self.reader, &mut bytes)? == Read1::Whole {
            let (key, value) =
                (Slice::from(&bytes[ITEM_HEAD_BYTES..][..KEY_BYTES]), &bytes[ITEM_HEAD_BYTES + KEY_BYTES..]);
            let last = records.last().map_or(0, |record| record.position.0);
            // What does not unpack is part of a long record or damaged: neither can be proved.
            let _ = Unpacker::default().push(&key, &Slice::from(value), |record| {
                if record.position.0 > last {
                    records.push(record);
                }
            });
        }
        Ok(())
    }
}

#[derive(PartialEq, Eq)]
enum Read1 {
    Whole,
    Broken,
}

/// Reads a batch into `batch`; false if it is not a whole one.
fn fill(reader: &mut impl Read, batch: &mut Batch) -> io::Result<bool> {
    let mut start = [0; START_BYTES];
    if !read_whole(reader, &mut start)? || start[0] != 1 {
        return Ok(false);
    }
    let items = u32_at(&start, 1);
    batch.seqno = u64_at(&start, 5);
    batch.end += START_BYTES as u64;
    let (mut unpacker, mut hasher, mut held) = (Unpacker::default(), Xxh3::new(), 0);
    let mut bytes = Vec::with_capacity(ITEM_HEAD_BYTES + KEY_BYTES + MAX_VALUE_BYTES);
    for number in 0..items {
        bytes.clear();
        if item(reader, &mut bytes)? == Read1::Broken {
            return Ok(false);
        }
        hasher.update(&bytes);
        batch.end += bytes.len() as u64;
        held += bytes.len();
        let keyspace = u64_at(&bytes, 3);
        if (number > 0 && keyspace != batch.keyspace) || held > MAX_BATCH_BYTES {
            return Ok(false);
        }
        batch.keyspace = keyspace;
        let (key, value) = bytes[ITEM_HEAD_BYTES..].split_at(KEY_BYTES);
        let mut in_order = true;
        let take = |record: Record| {
            in_order &= batch.records.last().is_none_or(|before| before.position.next() == record.position);
            batch.records.push(record);
        };
        if unpacker.push(&Slice::from(key), &Slice::from(value), take).is_err() || !in_order {
            return Ok(false);
        }
    }
    let mut end = [0; END_BYTES];
    let is_whole = read_whole(reader, &mut end)?
        && end[0] == 3
        && u64_at(&end, 1) == hasher.digest()
        && &end[9..] == TRAILER
        && unpacker.is_complete()
        && !batch.records.is_empty();
    batch.end += END_BYTES as u64;
    Ok(is_whole)
}

/// Reads an item of ours; every length is checked before anything is taken by it.
fn item(reader: &mut impl Read, bytes: &mut Vec<u8>) -> io::Result<Read1> {
    bytes.resize(ITEM_HEAD_BYTES, 0);
    if !read_whole(reader, bytes)? || !looks_like_item(bytes) {
        return Ok(Read1::Broken);
    }
    let rest = KEY_BYTES + u32_at(bytes, 13) as usize;
    bytes.resize(ITEM_HEAD_BYTES + rest, 0);
    Ok(if read_whole(reader, &mut bytes[ITEM_HEAD_BYTES..])? { Read1::Whole } else { Read1::Broken })
}

fn looks_like_item(bytes: &[u8]) -> bool {
    bytes.len() >= ITEM_HEAD_BYTES
        && bytes[..3] == [2, 0, 0]
        && u16::from_le_bytes([bytes[11], bytes[12]]) as usize == KEY_BYTES
        && (1..=MAX_VALUE_BYTES).contains(&(u32_at(bytes, 13) as usize))
        && u32_at(bytes, 13) == u32_at(bytes, 17)
}

fn looks_like_start(bytes: &[u8]) -> bool {
    bytes.len() >= START_BYTES && bytes[0] == 1 && looks_like_item(&bytes[START_BYTES..])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// Fills the buffer; false if the file ends before.
fn read_whole(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match reader.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// Where a position range of a piece begins and ends, for messages.
pub(crate) fn ends(records: &[Record]) -> Option<(Position, Position)> {
    Some((records.first()?.position, records.last()?.position))
}
