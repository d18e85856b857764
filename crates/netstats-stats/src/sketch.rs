//! A quantile sketch that merges: counts in bins whose width grows with the value, as in DDSketch (Masson, Rim and
//! Lee 2019), for whole values.
//!
//! A bin that starts at `low` holds the whole numbers up to `low + low / 50`, and stands for their middle, which is at
//! most 1 % off each of them. Bins are found with whole-number arithmetic only: no logarithm, so the same values give
//! the same bytes on every machine, which crates built on `f64::ln` do not promise. Values below 50 are exact.

use crate::summary::{count, index};

/// How far a quantile of a sketch is off the exact one, relative to it, at most.
pub const RELATIVE_ERROR: f64 = 0.01;

/// Bins from 1 to the largest `u32`.
const BINS: usize = bin_count();
/// Where each bin starts; the last entry is the end of the last bin.
static LOWS: [u64; BINS + 1] = lows();
/// Parts of an octave in the table that leads to a bin.
const STEPS: u32 = 5;
/// For each exponent and the next `STEPS` bits: the bin of the smallest such value.
static FIRST_BIN: [u16; 32 << STEPS] = first_bins();

const fn next_low(low: u64) -> u64 {
    low + 1 + low / 50
}

const fn bin_count() -> usize {
    let (mut low, mut bins) = (0, 0);
    while low <= u32::MAX as u64 {
        low = next_low(low);
        bins += 1;
    }
    bins
}

const fn lows() -> [u64; BINS + 1] {
    let mut lows = [0; BINS + 1];
    let mut i = 0;
    while i < BINS {
        lows[i + 1] = next_low(lows[i]);
        i += 1;
    }
    lows
}

const fn first_bins() -> [u16; 32 << STEPS] {
    let mut first = [0_u16; 32 << STEPS];
    let lows = lows();
    let (mut cell, mut bin) = (0_usize, 0_usize);
    while cell < first.len() {
        let (exponent, part) = (cell >> STEPS, (cell & ((1 << STEPS) - 1)) as u64);
        let value = (1_u64 << exponent) + ((part << exponent) >> STEPS);
        while lows[bin + 1] <= value {
            bin += 1;
        }
        first[cell] = bin as u16;
        cell += 1;
    }
    first
}

fn bin_of(value: u32) -> u16 {
    let Some(exponent) = value.checked_ilog2() else { return 0 };
    let part = ((u64::from(value) << STEPS) >> exponent) & ((1 << STEPS) - 1);
    let cell = (exponent as usize) << STEPS | usize::try_from(part).unwrap_or(0);
    let mut bin = FIRST_BIN[cell];
    // A cell spans at most three bins.
    while LOWS[usize::from(bin) + 1] <= u64::from(value) {
        bin += 1;
    }
    bin
}

/// The value that a bin stands for: the middle of its whole numbers.
#[expect(clippy::cast_precision_loss, reason = "bounds stay below 2^33")]
fn middle(bin: u16) -> f64 {
    let bin = usize::from(bin);
    (LOWS[bin] + LOWS[bin + 1] - 1) as f64 / 2.0
}

/// Why bytes are not a sketch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are not a sketch of this format")]
pub struct SketchError;

/// Counts of whole values (round trips in microseconds) in bins of 1 % accuracy. Merging gives exactly the sketch of
/// all values together, in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sketch {
    /// Bins that hold something, ascending, and how much each holds.
    bins: Vec<u16>,
    counts: Vec<u32>,
}

impl Sketch {
    /// Takes a value.
    pub fn add(&mut self, value: u32) {
        self.add_from(0, value);
    }

    /// Takes values in ascending order: a little faster than one by one.
    pub fn add_ascending(&mut self, values: &[u32]) {
        let mut from = 0;
        for value in values {
            from = self.add_from(from, *value);
        }
    }

    /// Takes a value whose bin is not before the one at `from`; returns where its bin is.
    fn add_from(&mut self, from: usize, value: u32) -> usize {
        let bin = bin_of(value);
        if self.bins.get(from) == Some(&bin) {
            self.counts[from] = self.counts[from].saturating_add(1);
            return from;
        }
        // Bursts come in clusters: a few bins hold nearly everything, and a binary search over them is short.
        match self.bins[from..].binary_search(&bin) {
            Ok(at) => {
                self.counts[from + at] = self.counts[from + at].saturating_add(1);
                from + at
            }
            Err(at) => {
                self.bins.insert(from + at, bin);
                self.counts.insert(from + at, 1);
                from + at
            }
        }
    }

    /// Takes all that `other` took.
    pub fn merge(&mut self, other: &Self) {
        if self.bins.is_empty() {
            self.clone_from(other);
            return;
        }
        let most = self.bins.len() + other.bins.len();
        let mine = std::mem::replace(self, Self { bins: Vec::with_capacity(most), counts: Vec::with_capacity(most) });
        let (mut left, mut right) = (mine.pairs().peekable(), other.pairs().peekable());
        while let Some((bin, count)) = match (left.peek(), right.peek()) {
            (Some(a), Some(b)) if b.0 < a.0 => right.next(),
            (Some(_), _) => left.next(),
            _ => right.next(),
        } {
            let more = right.next_if(|(other, _)| *other == bin).map_or(0, |(_, more)| more);
            self.bins.push(bin);
            self.counts.push(count.saturating_add(more));
        }
        self.bins.shrink_to_fit();
        self.counts.shrink_to_fit();
    }

    /// Bins in use, ascending, and their counts.
    fn pairs(&self) -> impl Iterator<Item = (u16, u32)> + '_ {
        self.bins.iter().copied().zip(self.counts.iter().copied())
    }

    /// How many values it took.
    #[must_use]
    pub fn n(&self) -> u64 {
        self.counts.iter().map(|count| u64::from(*count)).sum()
    }

    /// The `q`-quantile (type 7, as [`crate::quantile`]), off by at most [`RELATIVE_ERROR`]; none of nothing, or for a
    /// `q` outside 0 to 1.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let n = usize::try_from(self.n()).ok()?;
        if !(0.0..=1.0).contains(&q) {
            return None;
        }
        let place = q * count(n.checked_sub(1)?);
        let (below, above) = (self.nth(index(place))?, self.nth((index(place) + 1).min(n - 1))?);
        Some(below + (above - below) * place.fract())
    }

    /// As [`Sketch::quantile`], refused where there are too few values to carry it.
    ///
    /// # Errors
    /// Too few values.
    pub fn percentile(&self, q: f64) -> Result<f64, crate::TooFew> {
        let (has, needs) = (usize::try_from(self.n()).unwrap_or(usize::MAX), crate::percentile_needs(q));
        if has < needs {
            return Err(crate::TooFew { has, needs });
        }
        self.quantile(q).ok_or(crate::TooFew { has, needs })
    }

    /// The value at a place in ascending order, from 0.
    fn nth(&self, place: usize) -> Option<f64> {
        let mut before = 0_usize;
        for (bin, count) in self.bins.iter().zip(&self.counts) {
            before += *count as usize;
            if place < before {
                return Some(middle(*bin));
            }
        }
        None
    }

    /// Each bin's first and last whole value, and its count: for histograms.
    pub fn bins(&self) -> impl Iterator<Item = (u32, u32, u32)> + '_ {
        let clip = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        self.bins.iter().zip(&self.counts).map(move |(bin, count)| {
            let bin = usize::from(*bin);
            (clip(LOWS[bin]), clip(LOWS[bin + 1] - 1), *count)
        })
    }

    /// Heap bytes it holds.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.bins.capacity() * 2 + self.counts.capacity() * 4
    }

    /// Appends its bytes: the number of bins, then gaps and counts as Elias gamma codes. The bytes depend on the
    /// values taken alone. About one byte for each bin in use.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut bits = BitWriter { out, free: 0 };
        bits.gamma(self.bins.len() as u64 + 1);
        let mut before = None;
        for (bin, count) in self.bins.iter().zip(&self.counts) {
            bits.gamma(before.map_or(u64::from(*bin) + 1, |before: u16| u64::from(*bin - before)));
            bits.gamma(u64::from(*count));
            before = Some(*bin);
        }
    }

    /// Reads what [`Sketch::encode`] wrote from the front of `bytes`, and returns the rest.
    ///
    /// # Errors
    /// The bytes are not a sketch.
    pub fn decode(bytes: &[u8]) -> Result<(Self, &[u8]), SketchError> {
        let mut sketch = Self::default();
        let rest = sketch.read(bytes)?;
        Ok((sketch, rest))
    }

    /// As [`Sketch::decode`], into this sketch: whoever reads many takes the same one again, and its memory.
    ///
    /// # Errors
    /// The bytes are not a sketch; this one is then of no use before it is read into again.
    pub fn read<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], SketchError> {
        let mut bits = BitReader { bytes, at: 0 };
        let len = usize::try_from(bits.gamma()? - 1).map_err(|_| SketchError)?;
        if len > BINS {
            return Err(SketchError);
        }
        self.bins.clear();
        self.counts.clear();
        self.bins.reserve_exact(len);
        self.counts.reserve_exact(len);
        let mut next = 0_u64;
        for i in 0..len {
            let bin = next.checked_add(bits.gamma()?).ok_or(SketchError)? - u64::from(i == 0);
            if bin >= BINS as u64 {
                return Err(SketchError);
            }
            self.bins.push(u16::try_from(bin).map_err(|_| SketchError)?);
            self.counts.push(u32::try_from(bits.gamma()?).map_err(|_| SketchError)?);
            next = bin;
        }
        Ok(&bytes[bits.at.div_ceil(8)..])
    }
}

/// The sum of many sketches, with room for every bin: a merge is an addition for each bin in use, and nothing is
/// allocated. Gives what [`Sketch::merge`] gives.
#[derive(Clone, Debug)]
pub struct SketchSum {
    counts: Box<[u32; BINS]>,
    /// The first and the last bin that hold something are not outside of these.
    used: (usize, usize),
}

/// Where nothing holds anything.
const UNUSED: (usize, usize) = (BINS, 0);

impl Default for SketchSum {
    fn default() -> Self {
        Self { counts: Box::new([0; BINS]), used: UNUSED }
    }
}

impl SketchSum {
    /// Takes all that `sketch` took.
    pub fn add(&mut self, sketch: &Sketch) {
        let (Some(first), Some(last)) = (sketch.bins.first(), sketch.bins.last()) else { return };
        self.used = (self.used.0.min(usize::from(*first)), self.used.1.max(usize::from(*last)));
        for (bin, more) in sketch.pairs() {
            let count = &mut self.counts[usize::from(bin)];
            *count = count.saturating_add(more);
        }
    }

    /// The sketch of all that was taken; nothing is left here.
    pub fn take(&mut self) -> Sketch {
        let (first, last) = std::mem::replace(&mut self.used, UNUSED);
        let mut sketch = Sketch::default();
        for (bin, count) in self.counts.iter_mut().enumerate().take(last + 1).skip(first).filter(|(_, n)| **n > 0) {
            sketch.bins.push(u16::try_from(bin).unwrap_or(u16::MAX));
            sketch.counts.push(std::mem::take(count));
        }
        sketch
    }
}

impl Extend<u32> for Sketch {
    fn extend<T: IntoIterator<Item = u32>>(&mut self, values: T) {
        values.into_iter().for_each(|value| self.add(value));
    }
}

struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    /// Unused low bits of the last byte.
    free: u32,
}

impl BitWriter<'_> {
    fn bit(&mut self, bit: bool) {
        if self.free == 0 {
            self.out.push(0);
            self.free = 8;
        }
        self.free -= 1;
        if let Some(last) = self.out.last_mut() {
            *last |= u8::from(bit) << self.free;
        }
    }

    /// Elias gamma code of a number from 1 on: as many zeros as it has bits after the first, then its bits.
    fn gamma(&mut self, number: u64) {
        let bits = number.max(1).ilog2();
        (0..bits).for_each(|_| self.bit(false));
        (0..=bits).rev().for_each(|i| self.bit(number >> i & 1 == 1));
    }
}

struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl BitReader<'_> {
    /// The next 64 bits, and zeros behind the end.
    fn window(&self) -> u64 {
        let rest = self.bytes.get(self.at / 8..).unwrap_or_default();
        let [front @ .., last] = rest.first_chunk::<9>().copied().unwrap_or_else(|| {
            let mut nine = [0; 9];
            nine[..rest.len()].copy_from_slice(rest);
            nine
        });
        let shift = self.at % 8;
        // Shifted in two steps: by 8 at once would be too far where nothing is to be shifted.
        u64::from_be_bytes(front) << shift | u64::from(last) >> 1 >> (7 - shift)
    }

    fn take(&mut self, bits: usize) -> Result<(), SketchError> {
        self.at += bits;
        if self.at > self.bytes.len() * 8 { Err(SketchError) } else { Ok(()) }
    }

    fn gamma(&mut self) -> Result<u64, SketchError> {
        let window = self.window();
        let zeros = window.leading_zeros();
        // All of its bits are here, as they nearly always are.
        if zeros < 32 {
            self.take(2 * zeros as usize + 1)?;
            return Ok(window >> (63 - 2 * zeros));
        }
        if zeros == 64 {
            return Err(SketchError);
        }
        self.take(zeros as usize)?;
        let number = self.window() >> (63 - zeros);
        self.take(zeros as usize + 1)?;
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bin_is_at_most_one_percent_off() {
        for bin in 0..BINS {
            let (low, last) = (LOWS[bin] as f64, (LOWS[bin + 1] - 1) as f64);
            let middle = middle(bin as u16);
            assert!(middle - low <= RELATIVE_ERROR * low && last - middle <= RELATIVE_ERROR * last, "bin {bin}");
        }
    }

    #[test]
    fn every_value_lies_in_its_bin() {
        let near = |value: u32| (value.saturating_sub(3)..=value.saturating_add(3)).collect::<Vec<_>>();
        let edges = (0..32).flat_map(|e| near(1 << e)).chain(LOWS.iter().flat_map(|low| near(*low as u32)));
        for value in edges.chain(0..100_000).chain([u32::MAX]) {
            let bin = usize::from(bin_of(value));
            assert!(LOWS[bin] <= u64::from(value) && u64::from(value) < LOWS[bin + 1], "{value} in {bin}");
        }
    }

    #[test]
    fn codes_of_any_length_come_back_at_any_place_in_a_byte() {
        let numbers = || (0..64).map(|bits| 1_u64 << bits).flat_map(|n| [n, n | 1, n | n >> 1]).chain([u64::MAX]);
        for offset in 0..8 {
            let mut out = Vec::new();
            let mut writer = BitWriter { out: &mut out, free: 0 };
            (0..offset).for_each(|_| writer.bit(true));
            numbers().for_each(|number| writer.gamma(number));
            let mut reader = BitReader { bytes: &out, at: offset };
            numbers().for_each(|number| assert_eq!(reader.gamma(), Ok(number)));
            assert!(reader.gamma().is_err(), "only zeros are left");
        }
    }

    #[test]
    fn a_sum_is_what_merging_gives() {
        let sketches: Vec<Sketch> = (0..40_u32)
            .map(|i| {
                let mut sketch = Sketch::default();
                sketch.extend((0..i * 3).map(|k| k.wrapping_mul(2_654_435_761).rotate_left(i) >> (i % 20)));
                sketch
            })
            .collect();
        let (mut sum, mut merged) = (SketchSum::default(), Sketch::default());
        for part in sketches.chunks(7) {
            part.iter().for_each(|sketch| {
                sum.add(sketch);
                merged.merge(sketch);
            });
            assert_eq!(sum.take(), std::mem::take(&mut merged));
            assert_eq!(sum.take(), Sketch::default(), "what was taken is gone");
        }
    }

    #[test]
    fn damaged_bytes_are_an_error_and_never_a_panic() {
        let mut sketch = Sketch::default();
        sketch.extend((0..500).map(|i| i * i));
        let mut bytes = Vec::new();
        sketch.encode(&mut bytes);
        for cut in 0..bytes.len() {
            assert!(Sketch::decode(&bytes[..cut]).is_err());
        }
        for i in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[i / 8] ^= 1 << (i % 8);
            let _ = Sketch::decode(&damaged);
        }
        assert_eq!(Sketch::decode(&[]), Err(SketchError));
    }
}
