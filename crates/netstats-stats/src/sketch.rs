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
        let mut bits = BitReader { bytes, at: 0 };
        let len = usize::try_from(bits.gamma()? - 1).map_err(|_| SketchError)?;
        if len > BINS {
            return Err(SketchError);
        }
        let mut sketch = Self { bins: Vec::with_capacity(len), counts: Vec::with_capacity(len) };
        let mut next = 0_u64;
        for i in 0..len {
            let bin = next.checked_add(bits.gamma()?).ok_or(SketchError)? - u64::from(i == 0);
            if bin >= BINS as u64 {
                return Err(SketchError);
            }
            sketch.bins.push(u16::try_from(bin).map_err(|_| SketchError)?);
            sketch.counts.push(u32::try_from(bits.gamma()?).map_err(|_| SketchError)?);
            next = bin;
        }
        Ok((sketch, &bytes[bits.at.div_ceil(8)..]))
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
    fn bit(&mut self) -> Result<bool, SketchError> {
        let byte = self.bytes.get(self.at / 8).ok_or(SketchError)?;
        let bit = byte >> (7 - self.at % 8) & 1 == 1;
        self.at += 1;
        Ok(bit)
    }

    fn gamma(&mut self) -> Result<u64, SketchError> {
        let mut bits = 0;
        while !self.bit()? {
            bits += 1;
            if bits > 63 {
                return Err(SketchError);
            }
        }
        (0..bits).try_fold(1_u64, |number, _| Ok(number << 1 | u64::from(self.bit()?)))
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
