//! Many values, of which a few stand in memory and the rest in a temporary file. Their order statistics are exact all the
//! same: those of a few values are found in memory, those of more in passes over the file that count digits.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use netstats_stats::quantile_of;

use crate::limits::{MAX_PENDING_VALUES, MAX_SELECTED_VALUES};

/// Bits told apart in one pass.
const DIGIT: usize = 16;
const BUFFER_BYTES: usize = 64 * 1024;

/// A value as a number of the same order.
pub(crate) trait Key: Copy + Ord {
    /// How many bytes the number takes: an even number.
    const BYTES: usize;

    fn to_number(self) -> u64;

    fn of_number(number: u64) -> Self;
}

impl Key for u32 {
    const BYTES: usize = 4;

    fn to_number(self) -> u64 {
        self.into()
    }

    fn of_number(number: u64) -> Self {
        u32::try_from(number).unwrap_or(u32::MAX)
    }
}

impl Key for u64 {
    const BYTES: usize = 8;

    fn to_number(self) -> u64 {
        self
    }

    fn of_number(number: u64) -> Self {
        number
    }
}

const SIGN: u64 = 1 << 63;

/// A number of the same order as the real (`f64::total_cmp`).
pub(crate) fn ordered(real: f64) -> u64 {
    let bits = real.to_bits();
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

/// The real of [`ordered`].
pub(crate) fn real_of(ordered: u64) -> f64 {
    f64::from_bits(if ordered & SIGN == 0 { !ordered } else { ordered & !SIGN })
}

/// The temporary file. It has no name and goes with its owner; it is not there before something is put into it.
#[derive(Debug, Default)]
pub(crate) struct Spill {
    file: Option<File>,
    end: u64,
    buffer: Vec<u8>,
}

/// Bytes in a row.
#[derive(Debug)]
struct Run {
    at: u64,
    bytes: u64,
}

/// Values in no order.
#[derive(Debug)]
pub(crate) struct Many<K> {
    pending: Vec<K>,
    runs: Vec<Run>,
    count: usize,
}

impl<K> Default for Many<K> {
    fn default() -> Self {
        Self { pending: Vec::new(), runs: Vec::new(), count: 0 }
    }
}

impl Spill {
    fn write<K: Key>(&mut self, values: &[K]) -> io::Result<Run> {
        self.buffer.clear();
        for value in values {
            self.buffer.extend_from_slice(&value.to_number().to_le_bytes()[..K::BYTES]);
        }
        if self.file.is_none() {
            self.file = Some(tempfile::tempfile()?);
        }
        let run = Run { at: self.end, bytes: self.buffer.len() as u64 };
        if let Some(file) = &mut self.file {
            file.seek(SeekFrom::Start(self.end))?;
            file.write_all(&self.buffer)?;
        }
        self.end += run.bytes;
        Ok(run)
    }

    fn read<K: Key>(&mut self, run: &Run, each: &mut impl FnMut(K)) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.seek(SeekFrom::Start(run.at))?;
        let mut left = run.bytes;
        while left > 0 {
            self.buffer.resize(usize::try_from(left).unwrap_or(usize::MAX).min(BUFFER_BYTES), 0);
            file.read_exact(&mut self.buffer)?;
            for value in self.buffer.chunks_exact(K::BYTES) {
                let mut number = [0; 8];
                number[..K::BYTES].copy_from_slice(value);
                each(K::of_number(u64::from_le_bytes(number)));
            }
            left -= self.buffer.len() as u64;
        }
        Ok(())
    }
}

impl<K: Key> Many<K> {
    /// How many there are.
    pub(crate) const fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn push(&mut self, value: K, spill: &mut Spill) -> io::Result<()> {
        self.pending.push(value);
        self.count += 1;
        if self.pending.len() < MAX_PENDING_VALUES {
            return Ok(());
        }
        let run = spill.write(&self.pending)?;
        self.pending.clear();
        match self.runs.last_mut() {
            Some(last) if last.at + last.bytes == run.at => last.bytes += run.bytes,
            _ => self.runs.push(run),
        }
        Ok(())
    }

    /// Quantiles (type 7) of the values as `value` has them; none without values.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn quantiles<const N: usize>(
        &self,
        spill: &mut Spill,
        qs: [f64; N],
        value: impl Fn(K) -> f64,
    ) -> io::Result<Option<[f64; N]>> {
        if self.count == 0 {
            return Ok(None);
        }
        let mut places = Vec::new();
        for q in qs {
            let _ = quantile_of(self.count, q, |place| {
                places.push(place);
                0.0
            });
        }
        places.sort_unstable();
        places.dedup();
        let found = self.at(spill, &places, MAX_SELECTED_VALUES)?;
        let at = |place: usize| places.binary_search(&place).map_or(f64::NAN, |i| value(found[i]));
        Ok(Some(qs.map(|q| quantile_of(self.count, q, at).unwrap_or(f64::NAN))))
    }

    /// The values at these places of the ascending order; places ascend. More than `in_memory` values are not loaded.
    fn at(&self, spill: &mut Spill, places: &[usize], in_memory: usize) -> io::Result<Vec<K>> {
        if self.count > in_memory {
            return self.narrowed(spill, places);
        }
        let mut all = Vec::with_capacity(self.count);
        self.each(spill, |value| all.push(value))?;
        let mut settled = 0;
        let mut found = Vec::with_capacity(places.len());
        for place in places {
            let (_, value, _) = all[settled..].select_nth_unstable(place - settled);
            found.push(*value);
            settled = *place;
        }
        Ok(found)
    }

    /// The same, digit by digit: each pass counts the next digit of those values that begin like one of the wanted.
    fn narrowed(&self, spill: &mut Spill, places: &[usize]) -> io::Result<Vec<K>> {
        // What is known of each wanted value: its digits up to here, and its place among those that begin with them.
        let mut wanted: Vec<(u64, u64)> = places.iter().map(|place| (0, *place as u64)).collect();
        for digit in (0..K::BYTES * 8 / DIGIT).rev() {
            let shift = digit * DIGIT;
            let mut fronts: Vec<u64> = wanted.iter().map(|(front, _)| *front).collect();
            fronts.dedup();
            let mut counts = vec![vec![0_u64; 1 << DIGIT]; fronts.len()];
            self.each(spill, |value| {
                let number = value.to_number() >> shift;
                if let Ok(at) = fronts.binary_search(&(number >> DIGIT)) {
                    counts[at][low_digit(number)] += 1;
                }
            })?;
            for (front, left) in &mut wanted {
                let counts = &counts[fronts.binary_search(front).unwrap_or(0)];
                let mut digit = 0;
                while digit + 1 < counts.len() && counts[digit] <= *left {
                    *left -= counts[digit];
                    digit += 1;
                }
                *front = *front << DIGIT | digit as u64;
            }
        }
        Ok(wanted.into_iter().map(|(number, _)| K::of_number(number)).collect())
    }

    fn each(&self, spill: &mut Spill, mut each: impl FnMut(K)) -> io::Result<()> {
        for run in &self.runs {
            spill.read(run, &mut each)?;
        }
        self.pending.iter().for_each(|value| each(*value));
        Ok(())
    }
}

const fn low_digit(number: u64) -> usize {
    (number & ((1 << DIGIT) - 1)) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check<K: Key + std::fmt::Debug>(values: &[K]) {
        let (mut spill, mut many, mut others) = (Spill::default(), Many::default(), Many::default());
        for value in values {
            many.push(*value, &mut spill).unwrap();
            // Somebody else's in between.
            others.push(7_u32, &mut spill).unwrap();
        }
        let mut sorted = values.to_vec();
        sorted.sort_unstable();
        let places: Vec<usize> = (0..values.len()).step_by(1 + values.len() / 5).collect();
        let right: Vec<K> = places.iter().map(|place| sorted[*place]).collect();
        for in_memory in [usize::MAX, 0] {
            assert_eq!(many.at(&mut spill, &places, in_memory).unwrap(), right, "in memory: {in_memory}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn values_on_disk_and_in_memory_have_the_same_order(
            small in proptest::collection::vec(0_u32..100_000, 1..4_000),
            large in proptest::collection::vec(any::<u64>(), 1..3_000),
        ) {
            check(&small);
            check(&large);
        }

        #[test]
        fn reals_keep_their_order_and_their_bits(a in any::<f64>(), b in any::<f64>()) {
            prop_assert_eq!(ordered(a).cmp(&ordered(b)), a.total_cmp(&b));
            prop_assert_eq!(real_of(ordered(a)).to_bits(), a.to_bits());
        }
    }

    #[test]
    fn quantiles_are_those_of_the_sorted_values() {
        let (mut spill, mut many) = (Spill::default(), Many::default());
        assert_eq!(many.quantiles(&mut spill, [0.5], f64::from).unwrap(), None);
        let mut values: Vec<u32> = (0..9_999).map(|i| i * 7_919 % 10_007).collect();
        for value in &values {
            many.push(*value, &mut spill).unwrap();
        }
        values.sort_unstable();
        let sorted: Vec<f64> = values.iter().map(|us| f64::from(*us) / 1_000.0).collect();
        let qs = [0.0, 0.5, 0.95, 0.99, 1.0];
        let found = many.quantiles(&mut spill, qs, |us| f64::from(us) / 1_000.0).unwrap().unwrap();
        assert_eq!(found, qs.map(|q| netstats_stats::quantile(&sorted, q).unwrap()));
    }
}
