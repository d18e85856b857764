//! Roll-ups of one stream, stored and open, now or as of a position.
//!
//! A stream's outcomes lie in its buckets one after another, in the order of the log: a bucket holds what was recorded
//! from its first outcome up to the next bucket's. So at a position of the past all buckets that had begun are whole but
//! the last, and of that one the log still has the outcomes.

use std::ops::{Range, RangeInclusive};

use netstats_event::{Kind, Position, Timestamp};
use netstats_projector::{Error, ErrorKind, EventReader};

use crate::bucket::{Bucket, DAY_MS, HOUR_MS, OpenBucket};
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
        let newest =
            self.shared.read().stream(key).and_then(|stream| stream.tally.last).map_or(0, |last| last.position);
        let Some(as_of) = as_of.map(|as_of| as_of.0).filter(|as_of| *as_of < newest) else {
            if let Some(last) = self.parts(key, level, numbers, 0..=u64::MAX, add)? {
                add(last.number, &last.sums);
            }
            return Ok(());
        };
        let (mut begun, mut hours) = (0, numbers.clone());
        if level == Level::Day {
            // Of the day that had begun last, only some hours were known.
            begun = self.parts(key, level, numbers, 0..=as_of, add)?.map_or(0, |last| last.first);
            hours = numbers.start * DAY_HOURS..numbers.end * DAY_HOURS;
        }
        let number_of = |hour: i64| if level == Level::Hour { hour } else { hour.div_euclid(DAY_HOURS) };
        let mut add_hour = |hour: i64, sums: &Bucket| add(number_of(hour), sums);
        if let Some(last) = self.parts(key, Level::Hour, &hours, begun..=as_of, &mut add_hour)? {
            add_hour(last.number, &self.known_part(reader, key, &last, as_of)?);
        }
        Ok(())
    }

    /// What was known at `as_of` of an hour that had begun.
    fn known_part(
        &self,
        reader: &dyn EventReader,
        key: StreamKey,
        hour: &OpenBucket,
        as_of: u64,
    ) -> Result<Bucket, Error> {
        let (first, raw_from) = (hour.first, reader.raw_from(Kind::of_samples(key.probe)));
        if first < raw_from.0 {
            let message = format!(
                "raw samples before position {raw_from} are summarised by retention: what was known at position {as_of} \
                 of the hour then under way is gone; ask as of a later position"
            );
            return Err(Error::new(ErrorKind::Gone, message).at(Position(first), Position(raw_from.0 - 1)));
        }
        let query = RawQuery {
            job: Some(key.job),
            destinations: vec![key.destination],
            metrics: metrics_of(key.probe),
            from: Timestamp::from_millis(hour.number * HOUR_MS),
            to: Timestamp::from_millis((hour.number + 1) * HOUR_MS),
            limit: usize::MAX,
            as_of: Some(Position(as_of)),
            ..RawQuery::default()
        };
        let (mut sums, mut times) = (Bucket::default(), Vec::new());
        self.visit(reader, &query, &mut |envelope| {
            if envelope.position.0 >= hour.first
                && let Some(outcome) = outcome_of(&envelope.event, &mut times)
            {
                sums.add(&outcome, &times);
            }
        })?;
        Ok(sums)
    }

    /// Visits all buckets of one level of a stream with these numbers and with a first outcome at one of the positions
    /// `firsts`, the open ones included, but for the one that began last: that is returned. A day is made of its closed
    /// hours: the open hour stands beside it, as what it will be if it does not fit into the open day, the first part of
    /// another.
    fn parts(
        &self,
        key: StreamKey,
        level: Level,
        numbers: &Range<i64>,
        firsts: RangeInclusive<u64>,
        add: &mut dyn FnMut(i64, &Bucket),
    ) -> Result<Option<OpenBucket>, Error> {
        if numbers.is_empty() {
            return Ok(None);
        }
        let tag = if level == Level::Hour { tag::HOUR } else { tag::DAY };
        let (low, high) = (key.bucket(tag, numbers.start, 0), key.bucket(tag, numbers.end, 0));
        let is_wanted = |(number, first): Part| numbers.contains(&number) && firsts.contains(&first);
        let mut parts = Parts { last: None, add };
        // What memory holds, at one moment; then what the store held before it.
        let (position, unstored) = {
            let state = self.shared.read();
            let Some(stream) = state.stream(key) else { return Ok(None) };
            let mut unstored: Vec<Part> = Vec::new();
            if let Some(hour) = &stream.hour {
                let number = if level == Level::Hour { hour.number } else { hour.number.div_euclid(DAY_HOURS) };
                unstored.push((number, hour.first));
                if is_wanted((number, hour.first)) {
                    parts.take((number, hour.first), &mut hour.sums.clone());
                }
            }
            if let Some(day) = stream.day.as_ref().filter(|_| level == Level::Day) {
                unstored.push((day.number, day.first));
                if is_wanted((day.number, day.first)) {
                    parts.take((day.number, day.first), &mut day.sums()?);
                }
            }
            for (key, row) in state.unstored(&low..&high) {
                if let Some(part) = part_of(key).filter(|part| !unstored.contains(part)) {
                    unstored.push(part);
                    if is_wanted(part) {
                        parts.take(part, &mut Bucket::decode(&mut Reader(row))?);
                    }
                }
            }
            (state.position, unstored)
        };
        let (mut outcome, mut sums) = (Ok(()), Bucket::default());
        if let Some(stored) = self.shared.rows() {
            stored.range(&low..&high, false, &mut |key, row| {
                let part = part_of(key).filter(|part| is_wanted(*part));
                // Not what was closed since we looked.
                if let Some(part) = part.filter(|part| part.1 <= position && !unstored.contains(part)) {
                    outcome = sums.read(&mut Reader(row)).map(|()| parts.take(part, &mut sums));
                }
                outcome.is_ok()
            })?;
        }
        outcome.map(|()| parts.last)
    }
}

/// Hands buckets on as they come, and keeps back the one that began last.
struct Parts<'a> {
    last: Option<OpenBucket>,
    add: &'a mut dyn FnMut(i64, &Bucket),
}

impl Parts<'_> {
    /// Takes a bucket; `sums` holds another one afterwards.
    fn take(&mut self, (number, first): Part, sums: &mut Bucket) {
        match &mut self.last {
            None => self.last = Some(OpenBucket { number, first, sums: std::mem::take(sums) }),
            Some(last) if last.first < first => {
                (self.add)(last.number, &last.sums);
                (last.number, last.first) = (number, first);
                std::mem::swap(&mut last.sums, sums);
            }
            Some(_) => (self.add)(number, sums),
        }
    }
}

/// The bucket's number and the position of its first outcome, in a row's key.
fn part_of(key: &[u8]) -> Option<Part> {
    let number = u32::from_be_bytes(key.get(10..14)?.try_into().ok()?);
    Some((i64::from(number) - (1 << 31), u64::from_be_bytes(key.get(14..22)?.try_into().ok()?)))
}
