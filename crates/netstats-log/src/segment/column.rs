//! One column of whole numbers as bytes: a constant costs as much as the constant, everything else goes through pco.

use pco::data_types::Number;
use pco::standalone::{DecompressorItem, FileDecompressor, simple_compress};
use pco::{ChunkConfig, PagingSpec};

const CONSTANT: u8 = 0;
const PACKED: u8 = 1;
/// Of a chunk of pco: the byte that ends the chunks in the place of its first, where the mode lies (behind a byte for the
/// type and three for the count, in the lower four bits), and the mode with a dictionary.
const NO_MORE_CHUNKS: u8 = 0;
const MODE_AT: usize = 4;
const DICTIONARY: u8 = 4;

/// What a column is made of.
pub(super) trait Whole: Number + Copy + PartialEq + Default + Into<i64> + TryFrom<i64> {}

impl Whole for u32 {}
impl Whole for i64 {}

/// A column as it was read.
pub(super) enum Numbers<T> {
    Constant(T),
    Values(Vec<T>),
}

impl<T: Whole> Numbers<T> {
    pub(super) fn at(&self, index: usize) -> Option<T> {
        match self {
            Self::Constant(number) => Some(*number),
            Self::Values(numbers) => numbers.get(index).copied(),
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Self::Constant(_) => 0,
            Self::Values(numbers) => numbers.capacity() * size_of::<T>(),
        }
    }
}

/// Appends a column.
pub(super) fn put<T: Whole>(numbers: &[T], out: &mut Vec<u8>) {
    let first = numbers.first().copied().unwrap_or_default();
    if numbers.iter().all(|number| *number == first) {
        out.push(CONSTANT);
        let number: i64 = first.into();
        out.extend_from_slice(&number.to_le_bytes());
        return;
    }
    let config = ChunkConfig::default().with_paging_spec(PagingSpec::EqualPagesUpTo(1 << 18));
    let packed = simple_compress(numbers, &config).expect("whole numbers and a valid configuration");
    out.push(PACKED);
    out.extend_from_slice(&u32::try_from(packed.len()).expect("a page is bounded").to_le_bytes());
    out.extend_from_slice(&packed);
}

/// Bytes that are read from the front.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(front)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A column of exactly `length` numbers; none if it is damaged.
    pub(super) fn column<T: Whole>(&mut self, length: usize) -> Option<Numbers<T>> {
        match self.array::<1>()?[0] {
            CONSTANT => T::try_from(i64::from_le_bytes(self.array()?)).ok().map(Numbers::Constant),
            PACKED => {
                let packed = self.u32()? as usize;
                let packed = self.take(packed)?;
                let mut numbers = vec![T::default(); length];
                unpack(packed, &mut numbers)?;
                Some(Numbers::Values(numbers))
            }
            _ => None,
        }
    }
}

/// Fills `numbers` with exactly those that are packed; none if there are more or less.
fn unpack<T: Whole>(packed: &[u8], mut numbers: &mut [T]) -> Option<()> {
    let (file, mut rest) = FileDecompressor::new(packed).ok()?;
    loop {
        // pco takes memory for a dictionary, up to 256 MiB, by a length that it has not checked. We never write one.
        let mode = rest.get(MODE_AT).map_or(0, |byte| byte & 0x0f);
        if mode == DICTIONARY && rest[0] != NO_MORE_CHUNKS {
            return None;
        }
        match file.chunk_decompressor::<T, _>(rest).ok()? {
            DecompressorItem::Chunk(mut chunk) => {
                let (now, later) = std::mem::take(&mut numbers).split_at_mut_checked(chunk.n())?;
                let progress = chunk.read(now).ok()?;
                (progress.finished && progress.n_processed == now.len()).then_some(())?;
                (numbers, rest) = (later, chunk.into_src());
            }
            DecompressorItem::EndOfData(_) => return numbers.is_empty().then_some(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn back<T: Whole>(numbers: &[T]) -> Option<Vec<T>> {
        let mut bytes = Vec::new();
        put(numbers, &mut bytes);
        let mut reader = Reader(&bytes);
        let column = reader.column::<T>(numbers.len())?;
        assert!(reader.0.is_empty());
        (0..numbers.len()).map(|i| column.at(i)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn columns_come_back(
            small in prop::collection::vec(any::<u32>(), 0..600),
            wide in prop::collection::vec(any::<i64>(), 0..600),
            one in any::<i64>(),
        ) {
            prop_assert_eq!(back(&small).unwrap(), small);
            prop_assert_eq!(back(&wide).unwrap(), wide);
            prop_assert_eq!(back(&[one; 50]).unwrap(), [one; 50]);
        }

        /// Whatever lies in a column's place: no panic, and no more memory than the length asked for.
        #[test]
        fn damaged_columns_never_panic(
            numbers in prop::collection::vec(0_u32..5_000, 2..600),
            flips in prop::collection::vec((any::<prop::sample::Index>(), 0_u32..8), 1..4),
            cut in any::<prop::sample::Index>(),
            length in 0_usize..700,
        ) {
            let mut bytes = Vec::new();
            put(&numbers, &mut bytes);
            for (at, bit) in flips {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
            }
            let _ = Reader(&bytes).column::<u32>(length);
            let _ = Reader(&bytes[..cut.index(bytes.len())]).column::<u32>(numbers.len());
        }
    }

    #[test]
    fn a_dictionary_is_refused_for_its_length_is_not_checked() {
        let numbers: Vec<u32> = (0..600).map(|i| i % 7 * 1_000_003).collect();
        let packed = |mode| simple_compress(&numbers, &ChunkConfig::default().with_mode_spec(mode)).unwrap();
        let mut out = vec![0; numbers.len()];
        assert_eq!(unpack(&packed(pco::ModeSpec::Classic), &mut out), Some(()));
        assert_eq!(out, numbers);
        assert_eq!(unpack(&packed(pco::ModeSpec::TryDict), &mut out), None);
        assert_eq!(unpack(&packed(pco::ModeSpec::Classic), &mut out[1..]), None, "more than there is room for");
        out.push(0);
        assert_eq!(unpack(&packed(pco::ModeSpec::Classic), &mut out), None, "less than is asked for");
    }

    #[test]
    fn columns_of_many_chunks_come_back() {
        let numbers: Vec<u32> = (0..(1 << 18) + 700).map(|i: u32| i.wrapping_mul(2_654_435_761) >> 9).collect();
        assert!(back(&numbers).unwrap() == numbers);
    }

    #[test]
    fn a_constant_costs_nine_bytes_whatever_its_length() {
        let mut bytes = Vec::new();
        put(&[7_u32; 4_096], &mut bytes);
        assert_eq!(bytes.len(), 9);
    }
}
