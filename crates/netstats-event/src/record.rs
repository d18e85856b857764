//! A record: an event's bytes as the log keeps them. Header, little-endian, 48 bytes:
//!
//! ```text
//!  0  format        u16   1
//!  2  kind          u16   Kind::code
//!  4  version       u16   of the kind
//!  6  reserved      u16   0
//!  8  position      u64   from 1, gapless
//! 16  recorded_at   i64   nanoseconds since 1970, whole milliseconds
//! 24  length        u32   payload bytes
//! 28  crc           u32   CRC-32C of bytes 0..28 and of the payload
//! 32  chain         16 B  first half of BLAKE3(chain of the record before | bytes 0..32 | payload)
//! ```

use crate::{MAX_PAYLOAD_BYTES, Position, Timestamp};

/// Bytes of the header.
pub const HEADER_BYTES: usize = 48;

/// The format this program writes.
const FORMAT: u16 = 1;

/// The chain's value after a record: it depends on every byte of every record before. Zero before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ChainHash(pub [u8; 16]);

impl std::fmt::Display for ChainHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::str::FromStr for ChainHash {
    type Err = RecordError;

    fn from_str(text: &str) -> Result<Self, RecordError> {
        let mut bytes = [0; 16];
        if text.len() != 32 || !text.is_ascii() {
            return Err(RecordError::NotAChainHash);
        }
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).map_err(|_| RecordError::NotAChainHash)?;
        }
        Ok(Self(bytes))
    }
}

/// An encoded event that has no place in the log yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Kind's number.
    pub kind: u16,
    /// Version of the kind.
    pub version: u16,
    /// When the journal took it.
    pub recorded_at: Timestamp,
    /// The rkyv archive.
    pub payload: Vec<u8>,
}

/// An encoded event in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place.
    pub position: Position,
    /// Kind's number.
    pub kind: u16,
    /// Version of the kind.
    pub version: u16,
    /// When the journal took it.
    pub recorded_at: Timestamp,
    /// The chain's value after this record.
    pub chain: ChainHash,
    /// The rkyv archive.
    pub payload: Vec<u8>,
}

/// Why bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Fewer bytes than the header or its length say.
    #[error("the record is cut off: {has} bytes of {needs}")]
    Short {
        /// Bytes there are.
        has: usize,
        /// Bytes there should be.
        needs: usize,
    },
    /// A header of a newer format.
    #[error("record format {0} is newer than this program (it knows 1): use a newer program")]
    NewerFormat(u16),
    /// The header's length is over the limit.
    #[error("the record's length, {0} bytes, is over the limit")]
    TooLong(u32),
    /// CRC-32C does not match.
    #[error("the record's checksum is wrong")]
    Checksum,
    /// The chain does not go on from the record before.
    #[error("the record does not follow the one before it: the chain is broken")]
    Chain,
    /// Not 32 hexadecimal digits.
    #[error("a chain hash is 32 hexadecimal digits")]
    NotAChainHash,
}

/// The first 32 bytes of a header, CRC included.
fn front(kind: u16, version: u16, position: Position, recorded_at: Timestamp, payload: &[u8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[0..2].copy_from_slice(&FORMAT.to_le_bytes());
    bytes[2..4].copy_from_slice(&kind.to_le_bytes());
    bytes[4..6].copy_from_slice(&version.to_le_bytes());
    bytes[8..16].copy_from_slice(&position.0.to_le_bytes());
    bytes[16..24].copy_from_slice(&recorded_at.as_nanos().to_le_bytes());
    let length = u32::try_from(payload.len()).expect("the codec bounds a payload");
    bytes[24..28].copy_from_slice(&length.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..28]), payload);
    bytes[28..32].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn link(before: ChainHash, front: &[u8; 32], payload: &[u8]) -> ChainHash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&before.0);
    hasher.update(front);
    hasher.update(payload);
    let mut chain = [0; 16];
    chain.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    ChainHash(chain)
}

impl Draft {
    /// Appends the record's bytes to `out` and returns the chain's new value.
    pub fn write(&self, position: Position, before: ChainHash, out: &mut Vec<u8>) -> ChainHash {
        let front = front(self.kind, self.version, position, self.recorded_at, &self.payload);
        let chain = link(before, &front, &self.payload);
        out.extend_from_slice(&front);
        out.extend_from_slice(&chain.0);
        out.extend_from_slice(&self.payload);
        chain
    }

    /// The record this becomes at `position` after `before`.
    #[must_use]
    pub fn at(self, position: Position, before: ChainHash) -> Record {
        let front = front(self.kind, self.version, position, self.recorded_at, &self.payload);
        let chain = link(before, &front, &self.payload);
        let Self { kind, version, recorded_at, payload } = self;
        Record { position, kind, version, recorded_at, chain, payload }
    }
}

impl Record {
    /// Bytes on disk.
    #[must_use]
    pub fn len(&self) -> usize {
        HEADER_BYTES + self.payload.len()
    }

    /// A record is never empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// Appends the record's bytes to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&front(self.kind, self.version, self.position, self.recorded_at, &self.payload));
        out.extend_from_slice(&self.chain.0);
        out.extend_from_slice(&self.payload);
    }

    /// Reads one record from the start of `bytes` and checks its checksum (not its chain). Returns it with the number
    /// of bytes it took.
    ///
    /// # Errors
    /// Short, of a newer format, too long, or with a wrong checksum.
    pub fn read(bytes: &[u8]) -> Result<(Self, usize), RecordError> {
        let short = |needs| RecordError::Short { has: bytes.len(), needs };
        let header = bytes.get(..HEADER_BYTES).ok_or_else(|| short(HEADER_BYTES))?;
        let u16_at = |i: usize| u16::from_le_bytes([header[i], header[i + 1]]);
        let u32_at = |i: usize| u32::from_le_bytes(header[i..i + 4].try_into().expect("four bytes"));
        let u64_at = |i: usize| u64::from_le_bytes(header[i..i + 8].try_into().expect("eight bytes"));
        if u16_at(0) > FORMAT {
            return Err(RecordError::NewerFormat(u16_at(0)));
        }
        let length = u32_at(24);
        if length as usize > MAX_PAYLOAD_BYTES {
            return Err(RecordError::TooLong(length));
        }
        let end = HEADER_BYTES + length as usize;
        let payload = bytes.get(HEADER_BYTES..end).ok_or_else(|| short(end))?;
        if crc32c::crc32c_append(crc32c::crc32c(&header[..28]), payload) != u32_at(28) || u16_at(0) != FORMAT {
            return Err(RecordError::Checksum);
        }
        let record = Self {
            position: Position(u64_at(8)),
            kind: u16_at(2),
            version: u16_at(4),
            recorded_at: Timestamp::from_nanos(u64_at(16).cast_signed()),
            chain: ChainHash(header[32..48].try_into().expect("sixteen bytes")),
            payload: payload.to_vec(),
        };
        Ok((record, end))
    }

    /// Checks that this record follows one whose chain was `before`.
    ///
    /// # Errors
    /// The chain does not go on.
    pub fn verify_chain(&self, before: ChainHash) -> Result<(), RecordError> {
        let front = front(self.kind, self.version, self.position, self.recorded_at, &self.payload);
        if link(before, &front, &self.payload) == self.chain { Ok(()) } else { Err(RecordError::Chain) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(payload: &[u8]) -> Draft {
        Draft { kind: 201, version: 1, recorded_at: Timestamp::from_millis(1), payload: payload.to_vec() }
    }

    #[test]
    fn a_record_reads_back_and_its_chain_holds() {
        let mut bytes = Vec::new();
        let chain = draft(b"hello").write(Position(1), ChainHash::default(), &mut bytes);
        let (record, used) = Record::read(&bytes).unwrap();
        assert_eq!((used, record.position, record.payload.as_slice()), (bytes.len(), Position(1), &b"hello"[..]));
        assert_eq!(record.chain, chain);
        record.verify_chain(ChainHash::default()).unwrap();
        let mut again = Vec::new();
        record.write(&mut again);
        assert_eq!(again, bytes);
    }

    #[test]
    fn every_single_bit_flip_is_found() {
        let mut bytes = Vec::new();
        draft(b"0123456789").write(Position(7), ChainHash([3; 16]), &mut bytes);
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let found = Record::read(&damaged).and_then(|(record, _)| record.verify_chain(ChainHash([3; 16])));
            assert!(found.is_err(), "bit {bit} went unnoticed");
        }
    }

    #[test]
    fn a_chain_hash_reads_back_from_its_text() {
        let chain = ChainHash([0xa5; 16]);
        assert_eq!(chain.to_string().parse::<ChainHash>().unwrap(), chain);
        assert!("zz".parse::<ChainHash>().is_err());
    }
}
