//! Roll-ups of one stream, stored and open, now or as of a position.
//!
//! A stream's outcomes lie in its buckets one after another, in the order of the log: a bucket holds what was recorded
//! from its first outcome up to the next bucket's. So at a position of the past all buckets that had begun are whole but
//! the last, and of that one the log still has the outcomes.

use std::collections::BTreeMap;
use std::ops::Range;

use netstats_event::{Position, Timestamp};
use netstats_projector::{Error, EventReader};

use crate::bucket::{Bucket, DAY_MS, HOUR_MS};
use crate::bytes::Reader;
use crate::outcome::outcome_of;
use crate::query::{RawQuery, Series, metrics_of};
use crate::stream::{StreamKey, tag};

/// Hours in a day.
const DAY_HOURS: i64 = DAY_MS / HOUR_MS;

/// How long the stored buckets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Hour,
    Day,
}

/// A bucket: its number and the position of its first outcome.
type Part = (i64, u64);

impl Series {
    /// Visits what a stream's outcomes in the buckets `numbers` of a level sum up to; a bucket may come in several parts.
    pub(crate) fn rolls(
        &self,
        reader: &dyn EventReader,
        key: StreamKey,
        level: Level,
        numbers: &Range<i64>,
        as_of: Option<Position>,
        add: &mut dyn FnMut(i64, &Bucket),
    ) -> Result<(), Error> {
        let hours = match level {
            Level::Hour => numbers.clone(),
            Level::Day => numbers.start * DAY_HOURS..numbers.end * DAY_HOURS,
        };
        let number_of = |hour: i64| if level == Level::Hour { hour } else { hour.div_euclid(DAY_HOURS) };
        let newest =
            self.shared.read().stream(key).and_then(|stream| stream.tally.last).map_or(0, |last| last.position);
        let Some(as_of) = as_of.map(|as_of| as_of.0).filter(|as_of| *as_of < newest) else {
            let parts = self.parts(key, level, numbers)?;
            parts.iter().for_each(|((number, _), sums)| add(*number, sums));
            return Ok(());
        };
        let mut begun = 0;
        if level == Level::Day {
            let mut days = self.parts(key, level, numbers)?;
            days.retain(|(_, first), _| *first <= as_of);
            if let Some(last) = newest_of(&days) {
                days.remove(&last);
                begun = last.1;
            }
            days.iter().for_each(|((number, _), sums)| add(*number, sums));
        }
        let mut whole = self.parts(key, Level::Hour, &hours)?;
        whole.retain(|(_, first), _| (begun..=as_of).contains(first));
        let Some(last) = newest_of(&whole) else { return Ok(()) };
        whole.remove(&last);
        whole.iter().for_each(|((hour, _), sums)| add(number_of(*hour), sums));
        let (hour, first) = last;
        let query = RawQuery {
            job: Some(key.job),
            destinations: vec![key.destination],
            metrics: metrics_of(key.probe),
            from: Timestamp::from_millis(hour * HOUR_MS),
            to: Timestamp::from_millis((hour + 1) * HOUR_MS),
            limit: usize::MAX,
            as_of: Some(Position(as_of)),
            ..RawQuery::default()
        };
        let (mut sums, mut times) = (Bucket::default(), Vec::new());
        self.visit(reader, &query, &mut |envelope| {
            if envelope.position.0 >= first
                && let Some(outcome) = outcome_of(&envelope.event, &mut times)
            {
                sums.add(&outcome, &times);
            }
        })?;
        add(number_of(hour), &sums);
        Ok(())
    }

    /// All buckets of one level of a stream with these numbers, the open ones included. A day is made of its closed
    /// hours: the open hour stands beside it, as what it will be if it does not fit into the open day, the first part of
    /// another.
    fn parts(&self, key: StreamKey, level: Level, numbers: &Range<i64>) -> Result<BTreeMap<Part, Bucket>, Error> {
        let tag = if level == Level::Hour { tag::HOUR } else { tag::DAY };
        let mut parts: BTreeMap<Part, Bucket> = BTreeMap::new();
        if numbers.is_empty() {
            return Ok(parts);
        }
        let (low, high) = (key.bucket(tag, numbers.start, 0), key.bucket(tag, numbers.end, 0));
        // What memory holds, at one moment; then what the store held before it.
        let position = {
            let state = self.shared.read();
            let Some(stream) = state.stream(key) else { return Ok(parts) };
            let number_of = |hour: i64| if level == Level::Hour { hour } else { hour.div_euclid(DAY_HOURS) };
            parts.extend(stream.hour.as_ref().map(|hour| ((number_of(hour.number), hour.first), hour.sums.clone())));
            if let Some(day) = stream.day.as_ref().filter(|_| level == Level::Day) {
                parts.insert((day.number, day.first), day.sums()?);
            }
            parts.retain(|(number, _), _| numbers.contains(number));
            for (key, row) in state.unstored(&low..&high) {
                if let Some(part) = part_of(key) {
                    parts.insert(part, Bucket::decode(&mut Reader(row))?);
                }
            }
            state.position
        };
        let mut outcome = Ok(());
        if let Some(stored) = self.shared.rows() {
            stored.range(&low..&high, false, &mut |key, row| {
                // Not what was closed since we looked.
                let fresh = part_of(key).filter(|part| part.1 <= position && !parts.contains_key(part));
                if let Some(part) = fresh {
                    outcome = Bucket::decode(&mut Reader(row)).map(|sums| {
                        parts.insert(part, sums);
                    });
                }
                outcome.is_ok()
            })?;
        }
        outcome.map(|()| parts)
    }
}

/// The bucket that began last.
fn newest_of(parts: &BTreeMap<Part, Bucket>) -> Option<Part> {
    parts.keys().copied().max_by_key(|(_, first)| *first)
}

/// The bucket's number and the position of its first outcome, in a row's key.
fn part_of(key: &[u8]) -> Option<Part> {
    let number = u32::from_be_bytes(key.get(10..14)?.try_into().ok()?);
    Some((i64::from(number) - (1 << 31), u64::from_be_bytes(key.get(14..22)?.try_into().ok()?)))
}
