//! Series for charts: any range, in as many points as asked for.

use std::collections::BTreeMap;
use std::ops::Range;

use netstats_event::{DestinationId, JobId, Kind, Position, ProbeKind, Timestamp};
use netstats_projector::{Error, EventReader};
use netstats_stats::{Loss, TooFew, percentile, quantile};

use crate::TotalsQuery;
use crate::bucket::{Bucket, DAY_MS, HOUR_MS, MINUTE_MS};
use crate::limits::{MAX_BUCKETED_OUTCOMES, MAX_SERIES_POINTS, PAGE_ENTRIES};
use crate::outcome::outcome_of;
use crate::page::{Entry, Span};
use crate::query::{RawQuery, Series, ceil_millis, hand_on, metrics_of};
use crate::rolls::Level;
use crate::row::round_millis;
use crate::stream::StreamKey;

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
    /// As known at this position; none for now.
    pub as_of: Option<Position>,
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
        let millis = round_millis;
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

    pub(crate) fn exact(at: i64, sums: &Bucket, mut times: Vec<u32>) -> Self {
        times.sort_unstable();
        let times: Vec<f64> = times.into_iter().map(f64::from).collect();
        Self::new(at, sums, quantile(&times, 0.5), |q| percentile(&times, q))
    }

    pub(crate) fn sketched(at: i64, sums: &Bucket) -> Self {
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
        let Some(extent) = self.extent(reader, &scope(query))? else {
            return Ok(SeriesAnswer { resolution: Resolution::Raw, exact: true, points: Vec::new() });
        };
        if extent.least <= max_points && !extent.is_summarised {
            let entries = self.entries(&raw(query, &extent.slots, max_points + 1), |probe| probe == query.probe)?;
            if entries.len() <= max_points {
                let points = in_order(reader, &entries, None)?;
                return Ok(SeriesAnswer { resolution: Resolution::Raw, exact: true, points });
            }
        }
        let fits = |width: i64| {
            let spans = extent.slots.end.saturating_sub(1).div_euclid(width) - extent.slots.start.div_euclid(width) + 1;
            usize::try_from(spans).is_ok_and(|spans| spans <= max_points)
        };
        let steps = [MINUTE_MS, 10 * MINUTE_MS, HOUR_MS, DAY_MS].into_iter();
        let step = steps.filter(|width| extent.is_small() || *width >= HOUR_MS).find(|width| fits(*width));
        // Never fewer points than one: the number of days is a matter of arithmetic.
        let days = || (1_i64..).map(|days| days.saturating_mul(DAY_MS)).find(|width| fits(*width)).unwrap_or(DAY_MS);
        self.in_spans(reader, query, &extent.slots, step.unwrap_or_else(days))
    }

    /// The series of a range in spans of a given width: a part of an hour (while there are at most
    /// [`crate::MAX_BUCKETED_OUTCOMES`] outcomes; hours else), whole hours, or whole days. `max_points` does not count.
    ///
    /// # Errors
    /// The stored rows or the log cannot be read.
    pub fn spans(&self, reader: &dyn EventReader, query: &SeriesQuery, width_s: u32) -> Result<SeriesAnswer, Error> {
        let asked = i64::from(width_s.max(1)) * 1_000;
        let extent = self.extent(reader, &scope(query))?;
        let width = match asked {
            DAY_MS.. => asked / DAY_MS * DAY_MS,
            HOUR_MS.. => asked / HOUR_MS * HOUR_MS,
            _ if extent.as_ref().is_none_or(Extent::is_small) => asked,
            _ => HOUR_MS,
        };
        let slots = extent.map_or(0..0, |extent| extent.slots);
        self.in_spans(reader, query, &slots, width)
    }

    fn in_spans(
        &self,
        reader: &dyn EventReader,
        query: &SeriesQuery,
        slots: &Range<i64>,
        width: i64,
    ) -> Result<SeriesAnswer, Error> {
        let exact = width < HOUR_MS;
        let points = if slots.is_empty() {
            Vec::new()
        } else if exact {
            let wide = raw(query, &outward(slots, width), usize::MAX);
            in_order(reader, &self.entries(&wide, |probe| probe == query.probe)?, Some(width))?
        } else {
            self.rolled_up(reader, query, slots, width)?
        };
        Ok(SeriesAnswer { resolution: seconds(width), exact, points })
    }

    /// The part of a query's range that holds outcomes, and how many at least and at most.
    pub(crate) fn extent(&self, reader: &dyn EventReader, query: &TotalsQuery) -> Result<Option<Extent>, Error> {
        let raw_from = reader.raw_from(Kind::of_samples(query.probe));
        let (from, to) = (ceil_millis(query.from), ceil_millis(query.to));
        let (mut first, mut last) = (i64::MAX, i64::MIN);
        let (mut least, mut most) = (0, 0);
        let mut is_summarised = false;
        let mut add = |span: &Span, is_open: bool| {
            if span.first < to && span.last >= from {
                is_summarised |= span.position < raw_from.0;
                first = first.min(span.first.max(from));
                last = last.max(span.last.min(to - 1));
                most += PAGE_ENTRIES;
                // How much of an open page is filled does not matter.
                least += if !is_open && span.first >= from && span.last < to { PAGE_ENTRIES } else { 0 };
            }
        };
        // Pages that a moment of the past falls into: open then.
        let mut cut: Vec<(StreamKey, usize)> = Vec::new();
        {
            let state = self.shared.read();
            for stream in state.streams(query.job, &query.destinations, |probe| probe == query.probe) {
                let begun = query.as_of.map(|as_of| stream.pages_begun(as_of.0));
                let closed = begun.map_or(usize::MAX, |begun| begun.saturating_sub(1));
                stream.closed.near(&(from..to)).take_while(|(i, _)| *i < closed).for_each(|(_, span)| add(span, false));
                match begun {
                    None => stream.page.span().iter().for_each(|span| add(span, true)),
                    Some(begun) => cut.extend(begun.checked_sub(1).map(|index| (stream.key, index))),
                }
            }
        }
        let as_of = query.as_of.map_or(u64::MAX, |as_of| as_of.0);
        for (key, index) in cut {
            let (_, entries, _) = self.page(key, index)?;
            let slots = || entries.iter().filter(|(_, position)| *position <= as_of).map(|(slot, _)| *slot);
            if let (Some(first), Some(last)) = (slots().min(), slots().max()) {
                let position = entries.first().map_or(0, |(_, position)| *position);
                add(&Span { first, last, position }, true);
            }
        }
        Ok((first <= last).then(|| Extent { slots: first..last + 1, least, most, is_summarised }))
    }

    /// Points from stored and open roll-ups; `width` is an hour, a day, or days.
    fn rolled_up(
        &self,
        reader: &dyn EventReader,
        query: &SeriesQuery,
        slots: &Range<i64>,
        width: i64,
    ) -> Result<Vec<Point>, Error> {
        let (level, unit) = if width < DAY_MS { (Level::Hour, HOUR_MS) } else { (Level::Day, DAY_MS) };
        let wide = outward(slots, width);
        let numbers = wide.start.div_euclid(unit)..wide.end.div_euclid(unit);
        let keys = self.shared.read().keys(query.job, &[query.destination], query.probe);
        let mut spans: BTreeMap<i64, Bucket> = BTreeMap::new();
        for key in keys {
            self.rolls(reader, key, level, &numbers, query.as_of, &mut |number, sums| {
                spans.entry((number * unit).div_euclid(width) * width).or_default().merge(sums);
            })?;
        }
        Ok(spans.into_iter().map(|(at, sums)| Point::sketched(at, &sums)).collect())
    }
}

/// Points computed from raw outcomes: one for each, or one for each span of `width`.
fn in_order(reader: &dyn EventReader, entries: &[Entry], width: Option<i64>) -> Result<Vec<Point>, Error> {
    let mut points = Vec::new();
    let mut open: Option<(i64, Bucket, Vec<u32>)> = None;
    let mut scratch = Vec::new();
    hand_on(reader, entries, &mut |envelope| {
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

/// Where a query looks.
fn scope(query: &SeriesQuery) -> TotalsQuery {
    let SeriesQuery { job, destination, probe, from, to, as_of, .. } = *query;
    TotalsQuery { job, destinations: vec![destination], probe, from, to, as_of }
}

/// The part of a range that holds outcomes, and how many at least and at most.
pub(crate) struct Extent {
    slots: Range<i64>,
    least: usize,
    most: usize,
    /// Raw values of some of them are gone by retention: the finest that is whole are hours.
    is_summarised: bool,
}

impl Extent {
    /// Buckets can be made from raw outcomes.
    pub(crate) const fn is_small(&self) -> bool {
        self.most <= MAX_BUCKETED_OUTCOMES && !self.is_summarised
    }
}

fn raw(query: &SeriesQuery, slots: &Range<i64>, limit: usize) -> RawQuery {
    RawQuery {
        job: query.job,
        destinations: vec![query.destination],
        metrics: metrics_of(query.probe),
        from: Timestamp::from_millis(slots.start),
        to: Timestamp::from_millis(slots.end),
        limit,
        as_of: query.as_of,
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
