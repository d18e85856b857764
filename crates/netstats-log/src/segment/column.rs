//! One column of whole numbers as bytes: a constant costs as much as the constant, everything else goes through pco.

use pco::data_types::Number;
use pco::standalone::{simple_compress, simple_decompress_into};
use pco::{ChunkConfig, PagingSpec};

const CONSTANT: u8 = 0;
const PACKED: u8 = 1;

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
                let progress = simple_decompress_into(packed, &mut numbers).ok()?;
                (progress.finished && progress.n_processed == length).then_some(Numbers::Values(numbers))
            }
            _ => None,
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
    fn a_constant_costs_nine_bytes_whatever_its_length() {
        let mut bytes = Vec::new();
        put(&[7_u32; 4_096], &mut bytes);
        assert_eq!(bytes.len(), 9);
    }
}
