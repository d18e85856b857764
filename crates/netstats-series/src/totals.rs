//! Many buckets into few: the whole of a range for many destinations at once, and groups of the caller's making (hours
//! of the week, days of a calendar).

use std::collections::BTreeMap;

use netstats_event::{DestinationId, JobId, Position, ProbeKind, Timestamp};
use netstats_projector::{Error, EventReader};

use crate::bucket::{Bucket, BucketSum, DAY_MS, HOUR_MS};
use crate::outcome::outcome_of;
use crate::points::Extent;
use crate::query::{RawQuery, Series, ceil_millis, metrics_of};
use crate::rolls::Level;
use crate::stream::StreamKey;
use crate::{Point, Resolution};

/// What to sum up.
#[derive(Clone, Debug, PartialEq)]
pub struct TotalsQuery {
    /// Of this job; none for all together.
    pub job: Option<JobId>,
    /// Of these destinations; empty for all.
    pub destinations: Vec<DestinationId>,
    /// From this probe.
    pub probe: ProbeKind,
    /// From this slot on.
    pub from: Timestamp,
    /// Up to, and without, this slot.
    pub to: Timestamp,
    /// As known at this position; none for now.
    pub as_of: Option<Position>,
}

/// The answer to a [`TotalsQuery`].
#[derive(Clone, Debug, PartialEq)]
pub struct Totals {
    /// Raw: computed from every outcome in exactly the range asked for. An hour: from roll-ups, so from whole hours
    /// (UTC), and the first and the last reach beyond the range.
    pub resolution: Resolution,
    /// Percentiles are exact; otherwise off by at most [`netstats_stats::RELATIVE_ERROR`].
    pub exact: bool,
    /// By destination; those without an outcome in the range are left out.
    pub items: Vec<(DestinationId, Point)>,
}

impl Series {
    /// What each destination's outcomes in a range sum up to: from raw outcomes while there are at most
    /// [`crate::MAX_BUCKETED_OUTCOMES`] of them, otherwise from roll-ups.
    ///
    /// # Errors
    /// The stored rows or the log cannot be read.
    pub fn totals(&self, reader: &dyn EventReader, query: &TotalsQuery) -> Result<Totals, Error> {
        let raw = RawQuery {
            job: query.job,
            destinations: query.destinations.clone(),
            metrics: metrics_of(query.probe),
            from: query.from,
            to: query.to,
            limit: usize::MAX,
            as_of: query.as_of,
            ..RawQuery::default()
        };
        if self.extent(reader, query)?.as_ref().is_none_or(Extent::is_small) {
            return Ok(Totals { resolution: Resolution::Raw, exact: true, items: self.raw_totals(reader, &raw)? });
        }
        let mut keys = self.shared.read().keys(query.job, &query.destinations, query.probe);
        keys.sort_unstable_by_key(|key| (key.destination, key.job));
        let (mut sum, mut items) = (BucketSum::default(), Vec::new());
        for of_destination in keys.chunk_by(|a, b| a.destination == b.destination) {
            for key in of_destination {
                self.hours(reader, *key, query, &mut |_, bucket| sum.add(bucket))?;
            }
            items.push((of_destination[0].destination, sum.take()));
        }
        items.retain(|(_, sums)| sums.slots > 0);
        let at = ceil_millis(query.from).div_euclid(HOUR_MS) * HOUR_MS;
        let items = items.into_iter().map(|(id, sums)| (id, Point::sketched(at, &sums))).collect();
        Ok(Totals { resolution: Resolution::Seconds(3_600), exact: false, items })
    }

    fn raw_totals(&self, reader: &dyn EventReader, raw: &RawQuery) -> Result<Vec<(DestinationId, Point)>, Error> {
        let mut items: BTreeMap<DestinationId, (Bucket, Vec<u32>)> = BTreeMap::new();
        let mut times = Vec::new();
        self.visit(reader, raw, &mut |envelope| {
            let Some(outcome) = outcome_of(&envelope.event, &mut times) else { return };
            let (sums, all) = items.entry(outcome.head.destination).or_default();
            if sums.count(&outcome, &times) {
                all.extend_from_slice(&times);
            }
        })?;
        let at = raw.from.as_millis();
        Ok(items.into_iter().map(|(id, (sums, times))| (id, Point::exact(at, &sums, times))).collect())
    }

    /// What the outcomes of one destination in the hours (UTC) that touch a range sum up to, by groups: `group` tells
    /// the group of an hour that begins at a moment, or none for those to be left out.
    ///
    /// # Errors
    /// The stored rows or the log cannot be read.
    pub fn grouped(
        &self,
        reader: &dyn EventReader,
        query: &TotalsQuery,
        group: &dyn Fn(Timestamp) -> Option<i64>,
    ) -> Result<BTreeMap<i64, Point>, Error> {
        let keys = self.shared.read().keys(query.job, &query.destinations, query.probe);
        let mut groups: BTreeMap<i64, Bucket> = BTreeMap::new();
        let numbers = hours_of(query);
        for key in keys {
            self.rolls(reader, key, Level::Hour, &numbers, query.as_of, &mut |hour, sums| {
                if let Some(group) = group(Timestamp::from_millis(hour * HOUR_MS)) {
                    groups.entry(group).or_default().merge(sums);
                }
            })?;
        }
        Ok(groups.into_iter().map(|(group, sums)| (group, Point::sketched(group, &sums))).collect())
    }

    /// The buckets of whole hours around a range, days where whole days fit.
    fn hours(
        &self,
        reader: &dyn EventReader,
        key: StreamKey,
        query: &TotalsQuery,
        add: &mut dyn FnMut(i64, &Bucket),
    ) -> Result<(), Error> {
        const DAY_HOURS: i64 = DAY_MS / HOUR_MS;
        let hours = hours_of(query);
        let days = hours.start.div_euclid(DAY_HOURS) + i64::from(hours.start.rem_euclid(DAY_HOURS) != 0)
            ..hours.end.div_euclid(DAY_HOURS);
        if days.is_empty() {
            return self.rolls(reader, key, Level::Hour, &hours, query.as_of, add);
        }
        self.rolls(reader, key, Level::Hour, &(hours.start..days.start * DAY_HOURS), query.as_of, add)?;
        self.rolls(reader, key, Level::Day, &days, query.as_of, add)?;
        self.rolls(reader, key, Level::Hour, &(days.end * DAY_HOURS..hours.end), query.as_of, add)
    }
}

fn hours_of(query: &TotalsQuery) -> std::ops::Range<i64> {
    let (from, to) = (ceil_millis(query.from), ceil_millis(query.to));
    from.div_euclid(HOUR_MS)..to.saturating_sub(1).div_euclid(HOUR_MS) + 1
}
