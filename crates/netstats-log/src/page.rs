//! How records lie in the LSM store: small records share a value, large ones are split over several.
//!
//! ```text
//!   key                      value, at most 448 bytes
//!   (position 17, part 0)    record 17 | record 18 | record 19        a page of whole records
//!   (position 20, part 0)    record 20, bytes 0..448                  a record that is too long for one value
//!   (position 20, part 1)    record 20, bytes 448..896
//!   (position 20, part 2)    record 20, the rest
//!   (position 21, part 0)    record 21 | ...
//! ```
//! Keys are big-endian, so that their order is the order of the bytes. A torn write of a value over 512 bytes can make
//! fjall's journal refuse to open; values of at most 448 bytes cannot. Sharing a value halves the keys of a burst.

use fjall::Slice;
use netstats_event::{HEADER_BYTES, MAX_PAYLOAD_BYTES, Position, Record, RecordError};

/// Bytes of one stored value, at most.
pub(crate) const MAX_VALUE_BYTES: usize = 448;
/// Bytes of a key: position and part.
const KEY_BYTES: usize = 10;

/// The key of a page or of one part of a long record.
pub(crate) fn key(position: Position, part: u16) -> [u8; KEY_BYTES] {
    let mut bytes = [0; KEY_BYTES];
    bytes[..8].copy_from_slice(&position.0.to_be_bytes());
    bytes[8..].copy_from_slice(&part.to_be_bytes());
    bytes
}

/// The last key a page that holds `position` can have.
pub(crate) fn last_key(position: Position) -> [u8; KEY_BYTES] {
    key(position, u16::MAX)
}

/// Position and part of a key; none if it is not one of ours.
pub(crate) fn parse_key(bytes: &[u8]) -> Option<(Position, u16)> {
    let bytes: [u8; KEY_BYTES] = bytes.try_into().ok()?;
    let (position, part) = bytes.split_at(8);
    Some((Position(u64::from_be_bytes(position.try_into().ok()?)), u16::from_be_bytes(part.try_into().ok()?)))
}

/// Packs the records of one batch, in order, into values. The records' bytes lie one after the other in one buffer.
#[derive(Debug, Default)]
pub(crate) struct Packer {
    bytes: Vec<u8>,
    /// First position and end in `bytes` of every page and long record.
    pages: Vec<(Position, usize)>,
}

impl Packer {
    /// Forgets the batch before, keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.pages.clear();
    }

    /// Takes the record at `position`, whose bytes `write` appends.
    pub(crate) fn push<T>(&mut self, position: Position, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let start = self.bytes.len();
        let written = write(&mut self.bytes);
        let end = self.bytes.len();
        let page_start = if self.pages.len() < 2 { 0 } else { self.pages[self.pages.len() - 2].1 };
        match self.pages.last_mut() {
            Some(page) if end - page_start <= MAX_VALUE_BYTES => page.1 = end,
            _ => {
                debug_assert!(self.pages.last().is_none_or(|page| page.1 == start), "pages have no gaps");
                self.pages.push((position, end));
            }
        }
        written
    }

    /// All keys and values, in order.
    pub(crate) fn values(&self) -> impl Iterator<Item = ([u8; KEY_BYTES], &[u8])> {
        let starts = std::iter::once(0).chain(self.pages.iter().map(|page| page.1));
        self.pages.iter().zip(starts).flat_map(|(&(position, end), start)| {
            let parts = self.bytes[start..end].chunks(MAX_VALUE_BYTES);
            parts.zip(0_u16..).map(move |(value, part)| (key(position, part), value))
        })
    }

    /// Bytes of all records.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// How many values there are.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() / MAX_VALUE_BYTES + self.pages.len()
    }
}

/// Why values are not records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PageError {
    #[error("a key of the store is not a position")]
    Key,
    #[error("a part of a long record is missing")]
    Part,
    #[error("a record says it is at position {0}")]
    Position(u64),
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// Puts records together again from values in key order.
#[derive(Debug, Default)]
pub(crate) struct Unpacker {
    /// A long record whose parts are not all here yet: its position, parts so far, bytes so far.
    long: Option<(Position, u16, Vec<u8>)>,
}

impl Unpacker {
    /// Takes the next value and gives each record that is complete with it to `take`, in order.
    ///
    /// # Errors
    /// The value does not go on where the one before ended, or holds no records.
    pub(crate) fn push(&mut self, key: &Slice, value: &Slice, mut take: impl FnMut(Record)) -> Result<(), PageError> {
        let (position, part) = parse_key(key).ok_or(PageError::Key)?;
        if let Some((at, parts, mut bytes)) = self.long.take() {
            if (at, parts) != (position, part) || bytes.len() > HEADER_BYTES + MAX_PAYLOAD_BYTES {
                return Err(PageError::Part);
            }
            bytes.extend_from_slice(value);
            return match Record::read(&bytes) {
                Ok((record, used)) if used == bytes.len() => checked(record, position).map(take),
                Ok(_) => Err(PageError::Part),
                Err(RecordError::Short { .. }) => {
                    self.long = Some((position, part + 1, bytes));
                    Ok(())
                }
                Err(error) => Err(error.into()),
            };
        }
        if part != 0 {
            return Err(PageError::Part);
        }
        let (mut next, mut rest) = (position, &value[..]);
        while !rest.is_empty() {
            match Record::read(rest) {
                Ok((record, used)) => {
                    take(checked(record, next)?);
                    next = next.next();
                    rest = &rest[used..];
                }
                Err(RecordError::Short { .. }) if value.len() == MAX_VALUE_BYTES && next == position => {
                    self.long = Some((position, 1, value.to_vec()));
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Whether the last value ended with a whole record.
    pub(crate) fn is_complete(&self) -> bool {
        self.long.is_none()
    }
}

fn checked(record: Record, position: Position) -> Result<Record, PageError> {
    if record.position == position { Ok(record) } else { Err(PageError::Position(record.position.0)) }
}

#[cfg(test)]
mod tests {
    use netstats_event::{ChainHash, Draft, Timestamp};
    use proptest::prelude::*;

    use super::*;

    fn unpack(packer: &Packer) -> Result<Vec<Record>, PageError> {
        let (mut unpacker, mut records) = (Unpacker::default(), Vec::new());
        for (key, value) in packer.values() {
            assert!(value.len() <= MAX_VALUE_BYTES && !value.is_empty());
            unpacker.push(&Slice::from(&key[..]), &Slice::from(value), |record| records.push(record))?;
        }
        assert!(unpacker.is_complete());
        Ok(records)
    }

    proptest! {
        #[test]
        fn records_of_any_size_come_out_as_they_went_in(
            sizes in prop::collection::vec(prop_oneof![0_usize..300, 380_usize..420, 0_usize..5_000], 1..50),
            first in 1_u64..1_000_000,
        ) {
            let (mut packer, mut chain, mut written) = (Packer::default(), ChainHash::default(), Vec::new());
            for (size, position) in sizes.into_iter().zip(first..) {
                let payload = (0..size).map(|i| (i % 251) as u8).collect();
                let draft = Draft { kind: 201, version: 1, recorded_at: Timestamp::from_millis(7), payload };
                let record = draft.at(Position(position), chain);
                chain = record.chain;
                packer.push(Position(position), |out| record.write(out));
                written.push(record);
            }
            prop_assert!(packer.values().count() <= packer.len());
            prop_assert_eq!(unpack(&packer).unwrap(), written);
        }
    }

    #[test]
    fn keys_are_in_the_order_of_positions() {
        let keys = [key(Position(1), 0), key(Position(1), 1), last_key(Position(1)), key(Position(256), 0)];
        assert!(keys.is_sorted());
        assert_eq!(parse_key(&keys[3]), Some((Position(256), 0)));
        assert_eq!(parse_key(b"short"), None);
    }
}
