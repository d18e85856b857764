//! Questions to the view: accounts of availability, and outages with what is known of them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use netstats_event::{
    AccountingSpec, DestinationId, Envelope, Event, JobId, Metric, ObserverOutages, Position, ProbeKind, Timestamp,
};
use netstats_projector::{Error, EventReader};
use netstats_stats::{Accounting, Availability, Blindness, Known, Outage, availability};

use super::fold::{OVER, Shared};
use super::stretch::{DAY_MS, Stretch, known};
use crate::bytes::Reader;
use crate::limits::MAX_RAW_OUTCOMES;
use crate::outcome::outcome_of;
use crate::query::ceil_millis;
use crate::stream::{StreamKey, ordered};
use crate::{RawQuery, Row, Series, rows_of};

/// How far before a range a stretch may begin that reaches into it: a day of its own, and the longest interval.
const REACH_BACK_DAYS: i64 = 8;
/// Routes looked at for the last that reached its end.
const ROUTES_LOOKED_AT: usize = 16;

/// Whose account, of which time, by which method.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountQuery {
    /// By this job's checks; none for those of all jobs together.
    pub job: Option<JobId>,
    /// Of this destination.
    pub destination: DestinationId,
    /// From this moment on.
    pub from: Timestamp,
    /// Up to, and without, this moment.
    pub to: Timestamp,
    /// Maintenance, in any order.
    pub maintenance: Vec<Range<Timestamp>>,
    /// The method.
    pub accounting: Accounting,
    /// As known at this position; none for now.
    pub as_of: Option<Position>,
}

/// What an account rests on: with it, it can be made again anywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountBasis {
    /// The checks, stream by stream.
    pub streams: Vec<CheckStream>,
    /// Maintenance, in milliseconds, in any order.
    pub maintenance: Vec<Range<i64>>,
    /// The range, in milliseconds.
    pub range: Range<i64>,
    /// The method.
    pub accounting: Accounting,
}

/// What the checks of one job's probe found, one after another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckStream {
    /// The job.
    pub job: JobId,
    /// The probe.
    pub probe: ProbeKind,
    /// In order of time, in milliseconds; the first may begin before the range, and the last end after it.
    pub stretches: Vec<netstats_stats::Stretch>,
}

impl AccountBasis {
    /// The account.
    #[must_use]
    pub fn account(&self) -> Availability {
        let streams: Vec<_> = self.streams.iter().map(|stream| stream.stretches.as_slice()).collect();
        availability(&streams, &self.maintenance, &self.range, &self.accounting)
    }
}

/// What an event says as a check of its destination: when it was planned, in milliseconds, by which probe, and what it
/// found. None if it is no check: traces and bandwidth say nothing of whether a destination answers.
#[must_use]
pub fn check_of(event: &Event) -> Option<(i64, ProbeKind, Known)> {
    let outcome = outcome_of(event, &mut Vec::new())?;
    let has_a_say = super::fold::has_a_say(outcome.probe);
    has_a_say.then(|| (outcome.head.slot_at.as_millis(), outcome.probe, known(outcome.verdict)))
}

/// An outage, and what is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct OutageDetail {
    /// When, and how much of it counts.
    pub outage: Outage,
    /// The row of its first failed check in the range: its status and error are the cause.
    pub cause: Option<Row>,
    /// The last traced route that reached the destination before it; a `route_traced` event.
    pub last_good_path: Option<Envelope>,
    /// The first route traced while it lasted.
    pub first_bad_path: Option<Envelope>,
}

/// The handle for queries. Cheap to clone.
#[derive(Clone)]
pub struct AvailabilityView {
    pub(super) shared: Arc<Shared>,
}

impl std::fmt::Debug for AvailabilityView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AvailabilityView").field("position", &self.position()).finish_non_exhaustive()
    }
}

/// A saved method, as the arithmetic takes it.
#[must_use]
pub fn accounting_of(spec: &AccountingSpec) -> Accounting {
    Accounting {
        retries: spec.retries,
        grace_ms: i64::from(spec.grace_s) * 1_000,
        is_maintenance_excluded: spec.is_maintenance_excluded,
        blindness: match spec.observer_outages {
            ObserverOutages::Excluded => Blindness::Excluded,
            ObserverOutages::Up => Blindness::Up,
            ObserverOutages::Down => Blindness::Down,
        },
    }
}

impl AvailabilityView {
    /// The last event folded.
    #[must_use]
    pub fn position(&self) -> Position {
        Position(self.shared.read().position)
    }

    /// The account of a range. `series` finds single checks where only a part of a stretch was known at `as_of`.
    ///
    /// # Errors
    /// The stored rows cannot be read.
    pub fn account(&self, series: &Series, query: &AccountQuery) -> Result<Availability, Error> {
        Ok(self.basis(series, query)?.account())
    }

    /// What the account of a range rests on.
    ///
    /// # Errors
    /// As [`AvailabilityView::account`].
    pub fn basis(&self, series: &Series, query: &AccountQuery) -> Result<AccountBasis, Error> {
        Ok(AccountBasis {
            streams: self.stretches(series, query)?,
            maintenance: query.maintenance.iter().map(|span| span.start.as_millis()..ceil_millis(span.end)).collect(),
            range: ceil_millis(query.from)..ceil_millis(query.to),
            accounting: query.accounting,
        })
    }

    /// The destinations that were ever checked.
    #[must_use]
    pub fn destinations(&self) -> BTreeSet<DestinationId> {
        self.shared.read().streams.keys().map(|key| key.destination).collect()
    }

    /// The stretches of a destination's streams that reach into the query's range, ready for the arithmetic.
    fn stretches(&self, series: &Series, query: &AccountQuery) -> Result<Vec<CheckStream>, Error> {
        let days = ceil_millis(query.from).div_euclid(DAY_MS).saturating_sub(REACH_BACK_DAYS)
            ..ceil_millis(query.to).div_euclid(DAY_MS).saturating_add(1);
        let as_of = query.as_of.map_or(u64::MAX, |position| position.0);
        let mut found: BTreeMap<StreamKey, BTreeMap<Vec<u8>, Vec<u8>>> = BTreeMap::new();
        let mut open: BTreeMap<StreamKey, Stretch> = BTreeMap::new();
        let position = {
            let state = self.shared.read();
            let wanted =
                |key: &StreamKey| key.destination == query.destination && query.job.is_none_or(|j| j == key.job);
            for (key, of_stream) in state.streams.iter().filter(|(key, _)| wanted(key)) {
                let prefix = key.row(OVER);
                let rows = found.entry(*key).or_default();
                for kept in [&state.storing, &state.fresh] {
                    let of_key = kept.range(prefix.clone()..).take_while(|(row, _)| row.starts_with(&prefix));
                    rows.extend(of_key.map(|(key, row)| (key.clone(), row.clone())));
                }
                open.extend(of_stream.stretch.map(|stretch| (*key, stretch)));
            }
            state.position
        };
        let stored = self.shared.rows();
        let mut streams = Vec::with_capacity(found.len());
        for (key, mut rows) in found {
            if let Some(stored) = &stored {
                // Keys sort by the day's number: 256 of them share all but its last byte.
                let (low, high) = (ordered(days.start) >> 8, ordered(days.end) >> 8);
                for block in low..=high {
                    let prefix = [key.row(OVER).as_slice(), &block.to_be_bytes()[1..]].concat();
                    stored.scan(&prefix, &mut |key, row| {
                        // What memory showed is not put aside for what was stored since.
                        rows.entry(key.to_vec()).or_insert_with(|| row.to_vec());
                        true
                    })?;
                }
            }
            let over = rows.values().map(|row| Stretch::decode(&mut Reader(row))).collect::<Result<Vec<_>, _>>()?;
            // A stretch that was open when we looked may have been stored since.
            let open = open.get(&key).copied();
            let is_open = |over: &Stretch| {
                open.is_some_and(|open| (open.first, open.first_position) == (over.first, over.first_position))
            };
            let over = over.into_iter().filter(|over| over.last_position <= position && !is_open(over));
            let known = over.chain(open);
            let known = known.filter(|stretch| days.contains(&stretch.day()) && stretch.first_position <= as_of);
            let cut = known.map(|stretch| cut(series, query, key, stretch, as_of)).collect::<Result<Vec<_>, _>>()?;
            streams.push(CheckStream { job: key.job, probe: key.probe, stretches: laid_out(cut) });
        }
        Ok(streams)
    }
}

/// A stretch as it was known at `as_of`.
fn cut(series: &Series, query: &AccountQuery, key: StreamKey, stretch: Stretch, as_of: u64) -> Result<Stretch, Error> {
    if stretch.last_position <= as_of {
        return Ok(stretch);
    }
    let raw = RawQuery {
        job: Some(key.job),
        destinations: vec![key.destination],
        from: Timestamp::from_millis(stretch.first),
        to: Timestamp::from_millis(stretch.last + 1),
        limit: MAX_RAW_OUTCOMES,
        as_of: query.as_of,
        ..RawQuery::default()
    };
    let checks = series.entries(&raw, |probe| probe == key.probe)?;
    let mut checks: Vec<(i64, u64)> =
        checks.into_iter().filter(|(_, position)| *position >= stretch.first_position).collect();
    checks.sort_unstable_by_key(|(_, position)| *position);
    Ok(stretch.part(&checks))
}

/// Stretches by time and apart: each holds until the next begins, if that is near, else for one step. Where slots were
/// recorded out of order, what began first holds.
fn laid_out(mut stretches: Vec<Stretch>) -> Vec<netstats_stats::Stretch> {
    stretches.sort_unstable_by_key(|stretch| (stretch.first, stretch.first_position));
    let mut laid: Vec<netstats_stats::Stretch> = Vec::with_capacity(stretches.len());
    for (i, stretch) in stretches.iter().enumerate() {
        let next = stretches[i + 1..].iter().find(|next| next.first > stretch.last);
        let to = match next {
            Some(next) if stretch.holds_until(next) => next.first,
            Some(next) => next.first.min(stretch.last.saturating_add(stretch.reach_ms())),
            None => stretch.last.saturating_add(stretch.reach_ms()),
        };
        let from = laid.last().map_or(stretch.first, |before| before.to.max(stretch.first));
        if from < to {
            laid.push(netstats_stats::Stretch { from, to, known: stretch.known, checks: stretch.checks });
        }
    }
    laid
}

/// What is known of an outage of an account: `query` is the account's.
///
/// # Errors
/// The stored rows or the log cannot be read.
pub fn outage_detail(
    series: &Series,
    reader: &dyn EventReader,
    query: &AccountQuery,
    outage: Outage,
) -> Result<OutageDetail, Error> {
    let during = RawQuery {
        job: query.job,
        destinations: vec![query.destination],
        from: Timestamp::from_millis(outage.from),
        to: Timestamp::from_millis(outage.to),
        limit: ROUTES_LOOKED_AT,
        as_of: query.as_of,
        ..RawQuery::default()
    };
    let mut times = Vec::new();
    let failed = series.events(reader, &during)?.into_iter().find(|envelope| {
        outcome_of(&envelope.event, &mut times).is_some_and(|outcome| known(outcome.verdict) == Known::Down)
    });
    // Routes of any job tell where it broke.
    let routes = RawQuery { job: None, metrics: vec![Metric::Traceroute], ..during };
    let first_bad_path = series.events(reader, &RawQuery { limit: 1, ..routes.clone() })?.into_iter().find(is_route);
    let before = RawQuery {
        from: Timestamp::from_nanos(i64::MIN),
        to: Timestamp::from_millis(outage.from),
        newest_first: true,
        ..routes
    };
    let last_good_path = series
        .events(reader, &before)?
        .into_iter()
        .find(|envelope| matches!(&envelope.event, Event::RouteTraced(route) if route.reached));
    let cause = failed.and_then(|envelope| rows_of(&envelope, &[]).into_iter().next());
    Ok(OutageDetail { outage, cause, last_good_path, first_bad_path })
}

const fn is_route(envelope: &Envelope) -> bool {
    matches!(envelope.event, Event::RouteTraced(_))
}
