//! What retention leaves of samples: a fact that says so, and for each sample its outcome without its raw values.

use crate::{DestinationId, Envelope, JobId, Kind, Position, SampleFlags, SampleHead, Timestamp};

/// The raw values of samples went, and what is kept in their place is proved by this fact.
///
/// It is appended before anything goes. What is kept lies where the samples were: see [`SampleSummary`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SamplesSummarised {
    /// First position of the sealed segment they were in.
    pub first: Position,
    /// Last position of it. Records of other kinds between the two are kept as they were, with their chain.
    pub last: Position,
    /// The kinds that went, by number.
    pub kinds: Vec<u16>,
    /// How many samples went with this fact.
    pub samples: u64,
    /// BLAKE3 of the file that is kept instead.
    pub digest: [u8; 32],
    /// Bytes of the segment before.
    pub bytes_before: u64,
    /// Bytes of what is kept.
    pub bytes_after: u64,
}

/// What is left of one sample: how its slot ended, counts, and the middle of its times. The times themselves are in the
/// sums of their hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleSummary {
    /// The kind of the sample that was there.
    pub kind: Kind,
    /// Job, destination, slot and flags. The lateness is not kept: it is 0.
    pub head: SampleHead,
    /// How the slot ended: success 0, partial 1, timeout 2, unreachable 3, refused 4, error 5, unknown 6.
    pub status: u8,
    /// What it says of the destination: nothing 0, good 1, poor 2, bad 3, dead 4.
    pub verdict: u8,
    /// Packets that left (pings), 1 (others).
    pub sent: u32,
    /// Packets answered, in time or late (pings); 1 if it got what it asked for (others).
    pub received: u32,
    /// Packets answered after the timeout.
    pub late: u32,
    /// Neighbours that both came back in time.
    pub pairs: u32,
    /// The sum of their |IPDV| in microseconds.
    pub ipdv_us: u64,
    /// Median round trip, or response time, in microseconds.
    pub median_us: Option<u32>,
    /// The times of this sample and of those before it in the same hour (UTC) of its job, destination and probe that
    /// were summarised and are in no sums yet.
    pub times: Option<Box<TimesSummary>>,
}

/// Times that are gone, summed up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimesSummary {
    /// How many; at least one.
    pub n: u64,
    /// Smallest and largest in microseconds.
    pub extremes_us: (u32, u32),
    /// Their sum.
    pub sum_us: u64,
    /// The sum of their squares.
    pub sum_sq: u128,
    /// Their distribution: the bytes of a `netstats_stats::Sketch`.
    pub sketch: Vec<u8>,
}

/// Numbers of a [`SampleSummary`] in columns.
const NUMBERS: usize = 13;

impl SampleSummary {
    /// How many columns of whole numbers a summary has.
    pub const COLUMNS: usize = NUMBERS;

    /// All but kind, job, destination and times, as one number for each column, in an order that is for ever.
    #[must_use]
    pub fn numbers(&self) -> [u32; NUMBERS] {
        let slot = self.head.slot_at.as_millis().cast_unsigned();
        let SampleFlags { self_delayed, under_own_load, clock_suspect, uplink_down } = self.head.flags;
        let flags = [self_delayed, under_own_load, clock_suspect, uplink_down];
        #[expect(clippy::cast_possible_truncation, reason = "the two halves of a number")]
        let halves = |number: u64| ((number >> 32) as u32, number as u32);
        let ((slot_high, slot_low), (ipdv_high, ipdv_low)) = (halves(slot), halves(self.ipdv_us));
        [
            slot_high,
            slot_low,
            flags.iter().enumerate().fold(0, |bits, (i, set)| bits | u32::from(*set) << i),
            self.status.into(),
            self.verdict.into(),
            self.sent,
            self.received,
            self.late,
            self.pairs,
            ipdv_high,
            ipdv_low,
            u32::from(self.median_us.is_some()),
            self.median_us.unwrap_or(0),
        ]
    }

    /// Puts a summary together again; none if a number has no meaning.
    #[must_use]
    pub fn read(
        kind: Kind,
        (job, destination): (JobId, DestinationId),
        numbers: [u32; NUMBERS],
        times: Option<TimesSummary>,
    ) -> Option<Self> {
        let [
            slot_high,
            slot_low,
            flags,
            status,
            verdict,
            sent,
            received,
            late,
            pairs,
            ipdv_high,
            ipdv_low,
            has_median,
            median,
        ] = numbers;
        let whole = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
        let flag = |bit: u32| flags >> bit & 1 == 1;
        let is_sane = flags < 16 && status <= 6 && verdict <= 4 && has_median <= 1;
        is_sane.then(|| Self {
            kind,
            head: SampleHead {
                job,
                destination,
                slot_at: Timestamp::from_millis(whole(slot_high, slot_low).cast_signed()),
                lateness_us: 0,
                flags: SampleFlags {
                    self_delayed: flag(0),
                    under_own_load: flag(1),
                    clock_suspect: flag(2),
                    uplink_down: flag(3),
                },
            },
            status: u8::try_from(status).unwrap_or(u8::MAX),
            verdict: u8::try_from(verdict).unwrap_or(u8::MAX),
            sent,
            received,
            late,
            pairs,
            ipdv_us: whole(ipdv_high, ipdv_low),
            median_us: (has_median == 1).then_some(median),
            times: times.map(Box::new),
        })
    }
}

impl TimesSummary {
    /// The bytes: numbers in LEB128 (count, smallest, width, sum and sum of squares around the smallest), then the sketch.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let (low, high) = self.extremes_us;
        let (n, base, sum) = (u128::from(self.n), u128::from(low), u128::from(self.sum_us));
        let mut out = Vec::with_capacity(self.sketch.len() + 24);
        // Around the smallest, sums are short; they wrap for numbers that never were sums, and come back all the same.
        let around = [
            n,
            base,
            u128::from(high.wrapping_sub(low)),
            sum.wrapping_sub(n.wrapping_mul(base)),
            self.sum_sq.wrapping_add(n.wrapping_mul(base * base)).wrapping_sub((2 * base).wrapping_mul(sum)),
        ];
        for mut number in around {
            while number >= 0x80 {
                out.push(number.to_le_bytes()[0] | 0x80);
                number >>= 7;
            }
            out.push(number.to_le_bytes()[0]);
        }
        out.extend_from_slice(&self.sketch);
        out
    }

    /// Reads what [`TimesSummary::to_bytes`] wrote; none if it is damaged.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let mut next = || {
            let mut number = 0_u128;
            for shift in (0..128).step_by(7) {
                let (byte, after) = rest.split_first()?;
                rest = after;
                number |= u128::from(byte & 0x7f).checked_shl(shift)?;
                if *byte < 0x80 {
                    return Some(number);
                }
            }
            None
        };
        let (n, base, width, sum, squares) = (next()?, next()?, next()?, next()?, next()?);
        let (low, width) = (u32::try_from(base).ok()?, u32::try_from(width).ok()?);
        let sum = sum.wrapping_add(n.wrapping_mul(base));
        let sum_sq = squares.wrapping_sub(n.wrapping_mul(base * base)).wrapping_add((2 * base).wrapping_mul(sum));
        Some(Self {
            n: u64::try_from(n).ok().filter(|n| *n > 0)?,
            extremes_us: (low, low.checked_add(width)?),
            sum_us: u64::try_from(sum).ok()?,
            sum_sq,
            sketch: rest.to_vec(),
        })
    }
}

/// Tells what is left of samples whose raw values go. Who decides that is the log's retention; what is left is what the
/// fold of samples needs: neither knows the other.
pub trait Condense {
    /// Takes the next event of a part of the log; `goes` if it is a sample whose raw values are to go.
    fn push(&mut self, event: &Envelope, goes: bool);

    /// What is left of those that go, by position; from here on it begins anew.
    fn finish(&mut self) -> Vec<(Position, SampleSummary)>;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_summary_comes_back(numbers in any::<[u32; NUMBERS]>(), job: u32, destination: u32) {
            let mut numbers = numbers;
            // A time is nanoseconds in 64 bits: not every number of milliseconds is one.
            for (column, below) in [(0, 2_000), (2, 16), (3, 7), (4, 5), (11, 2)] {
                numbers[column] %= below;
            }
            if numbers[11] == 0 {
                numbers[12] = 0;
            }
            let series = (JobId(job), DestinationId(destination));
            let summary = SampleSummary::read(Kind::PingMeasured, series, numbers, None).unwrap();
            prop_assert_eq!(summary.numbers(), numbers);
        }

        #[test]
        fn sums_come_back(times in prop::collection::vec(any::<u32>(), 1..40), sketch in prop::collection::vec(any::<u8>(), 0..40)) {
            let sums = TimesSummary {
                n: times.len() as u64,
                extremes_us: (*times.iter().min().unwrap(), *times.iter().max().unwrap()),
                sum_us: times.iter().map(|time| u64::from(*time)).sum(),
                sum_sq: times.iter().map(|time| u128::from(*time).pow(2)).sum(),
                sketch,
            };
            prop_assert_eq!(TimesSummary::read(&sums.to_bytes()), Some(sums));
        }

        #[test]
        fn any_bytes_are_sums_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..90)) {
            let _ = TimesSummary::read(&bytes);
        }
    }

    #[test]
    fn numbers_without_a_meaning_are_refused() {
        let series = (JobId(1), DestinationId(2));
        for (column, number) in [(2, 16), (3, 7), (4, 5), (11, 2)] {
            let mut numbers = [0; NUMBERS];
            numbers[column] = number;
            assert_eq!(SampleSummary::read(Kind::PingMeasured, series, numbers, None), None, "column {column}");
        }
    }
}
