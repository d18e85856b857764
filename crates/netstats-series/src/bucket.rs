//! What the outcomes of a span of time sum up to. All in whole numbers, so that buckets merge exactly, in any order.

use netstats_event::TimesSummary;
use netstats_projector::Error;
use netstats_stats::{Moments, Sketch, SketchSum};

use crate::bytes::{self, Reader, damaged};
use crate::outcome::Outcome;

/// Milliseconds of a minute, an hour, a day.
pub(crate) const MINUTE_MS: i64 = 60_000;
pub(crate) const HOUR_MS: i64 = 60 * MINUTE_MS;
pub(crate) const DAY_MS: i64 = 24 * HOUR_MS;

/// Sums of a span of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bucket {
    /// Slots with an outcome.
    pub(crate) slots: u64,
    /// Of these, those that say nothing of the destination: failed on our side, or our own network was down.
    pub(crate) unknown: u64,
    /// Packets that left (pings); probes made (others).
    pub(crate) sent: u64,
    /// Packets answered, in time or late; probes that got what they asked for.
    pub(crate) received: u64,
    /// Packets answered after the timeout.
    pub(crate) late: u64,
    /// Round trips, or response times, in microseconds.
    pub(crate) times: Moments,
    /// Neighbours that both came back, and the sum of their |IPDV| in microseconds.
    pub(crate) ipdv: (u64, u64),
    /// The times' distribution.
    pub(crate) sketch: Sketch,
}

impl Bucket {
    /// Takes an outcome; `times` are its round trips, ascending.
    pub(crate) fn add(&mut self, outcome: &Outcome, times: &[u32]) {
        if self.count(outcome, times) {
            self.sketch.add_ascending(times);
        }
    }

    /// Takes an outcome but for the distribution of its times; false if they are not to be counted.
    pub(crate) fn count(&mut self, outcome: &Outcome, times: &[u32]) -> bool {
        self.slots += 1;
        if !outcome.is_known() {
            self.unknown += 1;
            return false;
        }
        self.sent += u64::from(outcome.sent);
        self.received += u64::from(outcome.received);
        self.late += u64::from(outcome.late);
        if outcome.has_sure_times {
            self.ipdv.0 += u64::from(outcome.ipdv.0);
            self.ipdv.1 += outcome.ipdv.1;
            self.times.extend(times.iter().copied());
        }
        outcome.has_sure_times
    }

    /// Takes times of outcomes that were counted without them. Sums that are damaged, which their page's checksum
    /// rules out, add nothing.
    pub(crate) fn add_summarised(&mut self, times: &TimesSummary) {
        if let Ok((sketch, _)) = Sketch::decode(&times.sketch) {
            let (n, sum, sum_sq) = (times.n, times.sum_us, times.sum_sq);
            self.times.merge(&Moments { n, sum, sum_sq, extremes: Some(times.extremes_us) });
            self.sketch.merge(&sketch);
        }
    }

    /// Takes all that `other` took.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.merge_counts(other);
        self.sketch.merge(&other.sketch);
    }

    /// Takes all that `other` took, but for the distribution of its times.
    fn merge_counts(&mut self, other: &Self) {
        self.slots += other.slots;
        self.unknown += other.unknown;
        self.sent += other.sent;
        self.received += other.received;
        self.late += other.late;
        self.times.merge(&other.times);
        self.ipdv = (self.ipdv.0 + other.ipdv.0, self.ipdv.1 + other.ipdv.1);
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        for number in [self.slots, self.unknown, self.sent, self.sent.wrapping_sub(self.received), self.late] {
            bytes::put(out, number);
        }
        bytes::put(out, self.ipdv.0);
        bytes::put(out, self.ipdv.1);
        self.sketch.encode(out);
        // The sketch knows how many times there are.
        if let Some((low, high)) = self.times.extremes {
            bytes::put(out, u64::from(low));
            bytes::put(out, u64::from(high - low));
            // Around the smallest, sums are short.
            let (n, low) = (u128::from(self.times.n), u128::from(low));
            let sum = u128::from(self.times.sum);
            bytes::put_wide(out, sum - n * low);
            bytes::put_wide(out, self.times.sum_sq + n * low * low - 2 * low * sum);
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let mut bucket = Self::default();
        bucket.read(reader)?;
        Ok(bucket)
    }

    /// As [`Bucket::decode`], in the place of this one, whose memory it takes over.
    pub(crate) fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), Error> {
        let mut next = || reader.number();
        let (slots, unknown, sent, lost, late) = (next()?, next()?, next()?, next()?, next()?);
        let ipdv = (next()?, next()?);
        reader.0 = self.sketch.read(reader.0).map_err(|_| damaged("a sketch"))?;
        let mut times = Moments { n: self.sketch.n(), ..Moments::default() };
        if times.n > 0 {
            let (low, width) = (reader.small()?, reader.small()?);
            let high = low.checked_add(width).ok_or_else(|| damaged("a largest time"))?;
            times.extremes = Some((low, high));
            let (n, low) = (u128::from(times.n), u128::from(low));
            let (sum, squares) = (reader.wide()?, reader.wide()?);
            let sum = sum.checked_add(n * low).ok_or_else(|| damaged("a sum"))?;
            times.sum = u64::try_from(sum).map_err(|_| damaged("a sum"))?;
            times.sum_sq = squares
                .checked_add(2 * low * sum)
                .and_then(|squares| squares.checked_sub(n * low * low))
                .ok_or_else(|| damaged("a sum of squares"))?;
        }
        let sketch = std::mem::take(&mut self.sketch);
        *self = Self { slots, unknown, sent, received: sent.wrapping_sub(lost), late, times, ipdv, sketch };
        Ok(())
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.sketch.heap_bytes()
    }
}

/// Sums up many buckets, and gives what merging them gives: see [`SketchSum`].
#[derive(Debug, Default)]
pub(crate) struct BucketSum {
    sums: Bucket,
    sketch: SketchSum,
}

impl BucketSum {
    pub(crate) fn add(&mut self, bucket: &Bucket) {
        self.sums.merge_counts(bucket);
        self.sketch.add(&bucket.sketch);
    }

    /// The sum; nothing is left here.
    pub(crate) fn take(&mut self) -> Bucket {
        Bucket { sketch: self.sketch.take(), ..std::mem::take(&mut self.sums) }
    }
}

/// A bucket that is being filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenBucket {
    /// Its number: whole hours, or days, since 1970.
    pub(crate) number: i64,
    /// Position of its first outcome. A bucket that was closed too early (the wall clock went back) gets a second part,
    /// told apart by this.
    pub(crate) first: u64,
    pub(crate) sums: Bucket,
}

impl OpenBucket {
    pub(crate) fn new(number: i64, first: u64) -> Self {
        Self { number, first, sums: Bucket::default() }
    }
}

/// A bucket that rarely changes (the day, once an hour), as its bytes: a fifth of the memory, and a row at no cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PackedBucket {
    /// Its number.
    pub(crate) number: i64,
    /// Position of its first outcome.
    pub(crate) first: u64,
    /// As [`Bucket::encode`] writes it.
    pub(crate) bytes: Box<[u8]>,
}

impl PackedBucket {
    pub(crate) fn new(number: i64, first: u64, sums: &Bucket) -> Self {
        let mut bytes = Vec::new();
        sums.encode(&mut bytes);
        Self { number, first, bytes: bytes.into_boxed_slice() }
    }

    pub(crate) fn sums(&self) -> Result<Bucket, Error> {
        Bucket::decode(&mut Reader(&self.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_bucket_comes_back(times in vec(1_u32..=u32::MAX, 0..60), counts in any::<[u32; 7]>(), rest in vec(any::<u8>(), 0..5)) {
            let mut bucket = Bucket {
                slots: counts[0].into(), unknown: counts[1].into(), sent: counts[2].into(), received: counts[3].into(),
                late: counts[4].into(), ipdv: (counts[5].into(), counts[6].into()), ..Bucket::default()
            };
            bucket.times.extend(times.iter().copied());
            bucket.sketch.extend(times.iter().copied());
            let mut out = Vec::new();
            bucket.encode(&mut out);
            out.extend_from_slice(&rest);
            let mut reader = Reader(&out);
            prop_assert_eq!(Bucket::decode(&mut reader).unwrap(), bucket);
            prop_assert_eq!(reader.0, &rest[..]);
        }

        #[test]
        fn any_bytes_are_a_bucket_or_refused(row in vec(any::<u8>(), 0..80)) {
            let _ = Bucket::decode(&mut Reader(&row));
        }
    }
}
