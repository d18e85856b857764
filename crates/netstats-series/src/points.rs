//! Series for charts: any range, in as many points as asked for.

use std::collections::BTreeMap;
use std::ops::Range;

use netstats_event::{DestinationId, JobId, Metric, ProbeKind, Timestamp};
use netstats_projector::{Error, EventReader};
use netstats_stats::{Loss, TooFew, percentile, quantile};

use crate::bucket::{Bucket, DAY_MS, HOUR_MS, MINUTE_MS};
use crate::bytes::Reader;
use crate::limits::{MAX_BUCKETED_OUTCOMES, MAX_SERIES_POINTS, PAGE_ENTRIES};
use crate::outcome::outcome_of;
use crate::query::{RawQuery, Series, ceil_millis};
use crate::stream::{Stream, StreamKey, ordered, tag};

/// Which series.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesQuery {
    /// Of this job; none for all together.
    pub job: Option<JobId>,
    /// Of this destination.
    pub destination: DestinationId,
    /// From this probe.
    pub probe: ProbeKind,
    /// From this slot on.
    pub from: Timestamp,
    /// Up to, and without, this slot.
    pub to: Timestamp,
    /// Points at most, [`crate::MAX_SERIES_POINTS`] at most: the finest level that fits is taken.
    pub max_points: usize,
}

/// How fine the points are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resolution {
    /// Each outcome is a point.
    Raw,
    /// Each point sums up so many seconds, counted from 1970 (UTC). The first and the last point are whole: they reach
    /// beyond the range asked for.
    Seconds(u32),
}

/// The answer to a [`SeriesQuery`].
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesAnswer {
    /// How fine.
    pub resolution: Resolution,
    /// Percentiles are exact: computed from every raw round trip. Otherwise they come from sketches and are off by at
    /// most [`netstats_stats::RELATIVE_ERROR`]; everything else is exact in any case.
    pub exact: bool,
    /// By time; spans without an outcome have no point.
    pub points: Vec<Point>,
}

/// A percentile, or why there is none.
pub type Percentile = Result<f64, TooFew>;

/// What happened at one slot, or in one span of time. Times in milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// The slot, or the span's beginning.
    pub at: Timestamp,
    /// Slots with an outcome.
    pub slots: u64,
    /// Of these, those that say nothing of the destination.
    pub unknown: u64,
    /// Packets that left (ping), probes made (others).
    pub sent: u64,
    /// Packets answered, in time or late; probes that got what they asked for.
    pub received: u64,
    /// Packets answered after the timeout.
    pub late: u64,
    /// Lost share, 0 to 1; none if nothing was sent.
    pub loss_ratio: Option<f64>,
    /// Round trips, or response times.
    pub n: u64,
    /// Smallest.
    pub min_ms: Option<f64>,
    /// Largest.
    pub max_ms: Option<f64>,
    /// Mean.
    pub mean_ms: Option<f64>,
    /// Sample standard deviation.
    pub stddev_ms: Option<f64>,
    /// Mean |IPDV| within the bursts.
    pub jitter_ms: Option<f64>,
    /// Median.
    pub median_ms: Option<f64>,
    /// 5th percentile.
    pub p5_ms: Percentile,
    /// 25th percentile.
    pub p25_ms: Percentile,
    /// 75th percentile.
    pub p75_ms: Percentile,
    /// 95th percentile.
    pub p95_ms: Percentile,
    /// 99th percentile.
    pub p99_ms: Percentile,
}

impl Point {
    fn new(at: i64, sums: &Bucket, median: Option<f64>, percentile: impl Fn(f64) -> Percentile) -> Self {
        let millis = |micros: f64| micros / 1_000.0;
        let p = |q| percentile(q).map(millis);
        #[expect(clippy::cast_precision_loss, reason = "sums stay far below 2^53")]
        let jitter = (sums.ipdv.0 > 0).then(|| sums.ipdv.1 as f64 / sums.ipdv.0 as f64);
        Self {
            at: Timestamp::from_millis(at),
            slots: sums.slots,
            unknown: sums.unknown,
            sent: sums.sent,
            received: sums.received,
            late: sums.late,
            loss_ratio: Loss { sent: sums.sent, lost: sums.sent.saturating_sub(sums.received) }.ratio(),
            n: sums.times.n,
            min_ms: sums.times.extremes.map(|(low, _)| millis(low.into())),
            max_ms: sums.times.extremes.map(|(_, high)| millis(high.into())),
            mean_ms: sums.times.mean().map(millis),
            stddev_ms: sums.times.stddev().map(millis),
            jitter_ms: jitter.map(millis),
            median_ms: median.map(millis),
            p5_ms: p(0.05),
            p25_ms: p(0.25),
            p75_ms: p(0.75),
            p95_ms: p(0.95),
            p99_ms: p(0.99),
        }
    }

    fn exact(at: i64, sums: &Bucket, mut times: Vec<u32>) -> Self {
        times.sort_unstable();
        let times: Vec<f64> = times.into_iter().map(f64::from).collect();
        Self::new(at, sums, quantile(&times, 0.5), |q| percentile(&times, q))
    }

    fn sketched(at: i64, sums: &Bucket) -> Self {
        // A sketch's middle may lie outside of what was seen, the extremes not.
        let (low, high) = sums.times.extremes.map_or((0.0, f64::MAX), |(low, high)| (low.into(), high.into()));
        let seen = |value: f64| value.clamp(low, high);
        Self::new(at, sums, sums.sketch.quantile(0.5).map(seen), |q| sums.sketch.percentile(q).map(seen))
    }
}

impl Series {
    /// The series of a range: raw outcomes where they fit into `max_points`, otherwise buckets of 1 minute, 10 minutes
    /// (both computed from raw outcomes, while there are at most [`crate::MAX_BUCKETED_OUTCOMES`] of them), 1 hour, 1
    /// day or more days (from roll-ups), whichever is the finest that fits.
    ///
    /// # Errors
    /// The stored rows or the log cannot be read.
    pub fn points(&self, reader: &dyn EventReader, query: &SeriesQuery) -> Result<SeriesAnswer, Error> {
        let max_points = query.max_points.clamp(1, MAX_SERIES_POINTS);
        let Some(extent) = self.extent(query) else {
            return Ok(SeriesAnswer { resolution: Resolution::Raw, exact: true, points: Vec::new() });
        };
        if extent.least <= max_points {
            let entries = self.entries(&raw(query, &extent.slots, max_points + 1), |probe| probe == query.probe)?;
            if entries.len() <= max_points {
                let points = self.exact(reader, query, &extent.slots, None)?;
                return Ok(SeriesAnswer { resolution: Resolution::Raw, exact: true, points });
            }
        }
        let fits = |width: i64| {
            let spans = extent.slots.end.saturating_sub(1).div_euclid(width) - extent.slots.start.div_euclid(width) + 1;
            usize::try_from(spans).is_ok_and(|spans| spans <= max_points)
        };
        let is_small = extent.most <= MAX_BUCKETED_OUTCOMES;
        for width in [MINUTE_MS, 10 * MINUTE_MS, HOUR_MS, DAY_MS] {
            if !fits(width) || (width < HOUR_MS && !is_small) {
                continue;
            }
            let resolution = seconds(width);
            return Ok(if width < HOUR_MS {
                let points = self.exact(reader, query, &outward(&extent.slots, width), Some(width))?;
                SeriesAnswer { resolution, exact: true, points }
            } else {
                SeriesAnswer { resolution, exact: false, points: self.rolled_up(query, &extent.slots, width)? }
            });
        }
        // Never fewer points than one: the number of days is a matter of arithmetic.
        let days = (1_i64..).find(|days| fits(days.saturating_mul(DAY_MS))).unwrap_or(1);
        let width = days.saturating_mul(DAY_MS);
        Ok(SeriesAnswer {
            resolution: seconds(width),
            exact: false,
            points: self.rolled_up(query, &extent.slots, width)?,
        })
    }

    /// The part of a query's range that holds outcomes, and how many at least and at most.
    fn extent(&self, query: &SeriesQuery) -> Option<Extent> {
        let (from, to) = (ceil_millis(query.from), ceil_millis(query.to));
        let state = self.shared.read();
        let (mut first, mut last) = (i64::MAX, i64::MIN);
        let (mut least, mut most) = (0, 0);
        for stream in state.streams(query.job, &[query.destination], |probe| probe == query.probe) {
            let open = stream.page.span();
            for span in stream.closed.iter().chain(&open).filter(|span| span.first < to && span.last >= from) {
                first = first.min(span.first.max(from));
                last = last.max(span.last.min(to - 1));
                most += PAGE_ENTRIES;
                least += if span.first >= from && span.last < to { PAGE_ENTRIES } else { 0 };
            }
            // The open page is not full.
            least = least.saturating_sub(PAGE_ENTRIES * usize::from(open.is_some()));
        }
        (first <= last).then(|| Extent { slots: first..last + 1, least, most })
    }

    /// Points computed from raw outcomes: one for each, or one for each span of `width`.
    fn exact(
        &self,
        reader: &dyn EventReader,
        query: &SeriesQuery,
        slots: &Range<i64>,
        width: Option<i64>,
    ) -> Result<Vec<Point>, Error> {
        let mut points = Vec::new();
        let mut open: Option<(i64, Bucket, Vec<u32>)> = None;
        let mut scratch = Vec::new();
        self.visit(reader, &raw(query, slots, usize::MAX), &mut |envelope| {
            let Some(outcome) = outcome_of(&envelope.event, &mut scratch) else { return };
            let slot = outcome.head.slot_at.as_millis();
            let at = width.map_or(slot, |width| slot.div_euclid(width) * width);
            if let Some((at, sums, times)) = open.take_if(|(before, ..)| width.is_none() || *before != at) {
                points.push(Point::exact(at, &sums, times));
            }
            let (_, sums, times) = open.get_or_insert_with(|| (at, Bucket::default(), Vec::new()));
            if sums.count(&outcome, &scratch) {
                times.extend_from_slice(&scratch);
            }
        })?;
        points.extend(open.map(|(at, sums, times)| Point::exact(at, &sums, times)));
        Ok(points)
    }

    /// Points from stored and open roll-ups; `width` is an hour, a day, or days.
    fn rolled_up(&self, query: &SeriesQuery, slots: &Range<i64>, width: i64) -> Result<Vec<Point>, Error> {
        let (tag, unit) = if width < DAY_MS { (tag::HOUR, HOUR_MS) } else { (tag::DAY, DAY_MS) };
        let wide = outward(slots, width);
        let numbers = wide.start.div_euclid(unit)..wide.end.div_euclid(unit);
        let mut spans: BTreeMap<i64, Bucket> = BTreeMap::new();
        let mut add = |number: i64, sums: &Bucket| {
            if numbers.contains(&number) {
                spans.entry((number * unit).div_euclid(width) * width).or_default().merge(sums);
            }
        };

        // What memory holds, at one moment; then what the store held before it.
        let mut closed: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let mut streams: Vec<(StreamKey, Vec<Vec<u8>>)> = Vec::new();
        let position = {
            let state = self.shared.read();
            for stream in state.streams(query.job, &[query.destination], |probe| probe == query.probe) {
                let open = open_buckets(stream, tag)?;
                open.iter().for_each(|(number, sums, _)| add(*number, sums));
                streams.push((stream.key, open.into_iter().map(|(.., key)| key).collect()));
                let prefix = stream.key.row(tag);
                for rows in [&state.storing, &state.fresh] {
                    let of_stream = rows.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(&prefix));
                    closed.extend(of_stream.map(|(key, row)| (key.clone(), row.clone())));
                }
            }
            state.position
        };
        let mut rows: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        if let Some(stored) = self.shared.rows() {
            for (stream, open) in &streams {
                // Keys sort by the bucket's number: 256 of them share all but its last byte.
                let (low, high) = (ordered(numbers.start) >> 8, ordered(numbers.end - 1) >> 8);
                for block in low..=high {
                    let prefix = [stream.row(tag).as_slice(), &block.to_be_bytes()[1..]].concat();
                    stored.scan(&prefix, &mut |key, row| {
                        // Not what was closed since we looked.
                        if first_of(key).is_some_and(|first| first <= position) && !open.iter().any(|open| open == key)
                        {
                            rows.insert(key.to_vec(), row.to_vec());
                        }
                        true
                    })?;
                }
            }
        }
        rows.extend(closed);
        for (key, row) in &rows {
            if let Some(number) = number_of(key) {
                add(number, &Bucket::decode(&mut Reader(row))?);
            }
        }
        Ok(spans.into_iter().map(|(at, sums)| Point::sketched(at, &sums)).collect())
    }
}

struct Extent {
    slots: Range<i64>,
    least: usize,
    most: usize,
}

fn raw(query: &SeriesQuery, slots: &Range<i64>, limit: usize) -> RawQuery {
    RawQuery {
        job: query.job,
        destinations: vec![query.destination],
        metrics: Metric::ALL.into_iter().filter(|metric| metric.probe() == query.probe).take(1).collect(),
        from: Timestamp::from_millis(slots.start),
        to: Timestamp::from_millis(slots.end),
        limit,
        ..RawQuery::default()
    }
}

/// The smallest range of whole spans around a range.
fn outward(slots: &Range<i64>, width: i64) -> Range<i64> {
    let end = (slots.end - 1).div_euclid(width).saturating_add(1);
    slots.start.div_euclid(width).saturating_mul(width)..end.saturating_mul(width)
}

fn seconds(width: i64) -> Resolution {
    Resolution::Seconds(u32::try_from(width / 1_000).unwrap_or(u32::MAX))
}

/// The open buckets that count for a level, with the keys under which they may be stored while we read. A day is made of
/// its closed hours, so the open hour counts beside it; it will be the first of a day if it does not fit into the open
/// one.
fn open_buckets(stream: &Stream, tag: u8) -> Result<Vec<(i64, Bucket, Vec<u8>)>, Error> {
    let hour = stream.hour.as_ref().map(|hour| {
        let number = if tag == tag::HOUR { hour.number } else { hour.number.div_euclid(DAY_MS / HOUR_MS) };
        (number, hour.sums.clone(), stream.key.bucket(tag, number, hour.first))
    });
    let day = stream.day.as_ref().filter(|_| tag == tag::DAY);
    let day = day.map(|day| Ok((day.number, day.sums()?, stream.key.bucket(tag, day.number, day.first))));
    hour.map(Ok).into_iter().chain(day).collect()
}

/// The bucket's number in a row's key.
fn number_of(key: &[u8]) -> Option<i64> {
    let number = key.get(10..14)?.try_into().ok()?;
    Some(i64::from(u32::from_be_bytes(number)) - (1 << 31))
}

/// The position of the bucket's first outcome in a row's key.
fn first_of(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.get(14..22)?.try_into().ok()?))
}
