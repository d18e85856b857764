//! When destinations did not answer, and over which routes they are reached.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use netstats_event::{DestinationId, Envelope, Event, Hop, HopAnswer, Metric, Position, RouteTraced, Timestamp};
use netstats_series::{RawQuery, RowDetail, RowStatus, outage_detail, rows_of};
use netstats_stats::{Outage, percentile, quantile};
use serde::Serialize;
use serde_json::json;

use super::account::{Span, account, question, seconds};
use super::range::{DESTINATION, DESTINATIONS, JOB, destinations_or_all, job, number, range, required_destination};
use crate::app::App;
use crate::declare::{AS_OF, END_TIME, Param, ParamKind, START_TIME, param};
use crate::json::{AccountingJson, Time};
use crate::limits::{MAX_OUTAGES, MAX_TRACES};
use crate::moment::{Moment, answer};
use crate::problem::Problem;
use crate::reply::Reply;
use crate::route::Call;

/// What `GET /api/outages` takes.
pub(crate) const OUTAGES: &[Param] = &[
    DESTINATIONS,
    JOB,
    START_TIME,
    END_TIME,
    param("limit", ParamKind::Whole(1, MAX_OUTAGES as u64), "So many of them, the newest first"),
    AS_OF,
];
/// What `GET /api/paths` takes.
pub(crate) const PATHS: &[Param] = &[
    DESTINATION,
    JOB,
    START_TIME,
    END_TIME,
    param("diff", ParamKind::Text, "Two versions to compare, as 1,3; else the last two"),
    AS_OF,
];

/// The range where `start_time` does not say.
const WEEK: Duration = Duration::from_secs(7 * 24 * 3_600);

#[derive(Serialize)]
struct OutageJson<'a> {
    destination_id: u32,
    destination: Cow<'a, str>,
    start: Time,
    /// The first check that was answered; none while there is none in the range.
    end: Option<Time>,
    duration_s: f64,
    /// Of these, what counts as down by the method, and what lay in maintenance windows.
    counted_s: f64,
    maintenance_s: f64,
    ongoing: bool,
    /// It began before the range: `start` is the range's.
    began_before: bool,
    cause: Option<&'static str>,
    first_bad: Option<FirstBad>,
    last_good_path: Option<PathSeen>,
    first_bad_path: Option<PathSeen>,
}

/// The first slot of an outage that brought no answer.
#[derive(Serialize)]
struct FirstBad {
    timestamp: Time,
    position: u64,
    job_id: u32,
    metric: &'static str,
    status: &'static str,
    error: Option<String>,
}

/// A trace before an outage, or in it.
#[derive(Serialize)]
struct PathSeen {
    timestamp: Time,
    position: u64,
    path_hash: String,
    hops: Vec<HopJson>,
}

#[derive(Serialize)]
struct HopJson {
    ttl: u8,
    addresses: Vec<IpAddr>,
    name: Option<String>,
}

/// `GET /api/outages`
pub(crate) async fn outages(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    answer(app, call, |app, call, moment| {
        let position = moment.position(app);
        let (from, to) = range(call, moment.now, WEEK)?;
        let limit = number(call, "limit", MAX_OUTAGES, MAX_OUTAGES)?;
        let job = job(call, &moment.inventory)?;
        // Nothing is known of what is to come.
        let span = Span { job, from: from.min(moment.now), to: to.min(moment.now), as_of: moment.as_of };
        let mut found: Vec<(DestinationId, Outage)> = Vec::new();
        for id in destinations_or_all(call, moment)? {
            found.extend(account(app, &moment.inventory, id, span)?.outages.into_iter().map(|outage| (id, outage)));
        }
        // The newest first.
        found.sort_by_key(|(id, outage)| (std::cmp::Reverse(outage.from), *id));
        let total = found.len();
        found.truncate(limit);
        let items = found.iter().map(|(id, outage)| told(app, moment, *id, span, *outage));
        let items = items.collect::<Result<Vec<_>, Problem>>()?;
        Ok(Reply::json(&json!({
            "start_time": Time(from), "end_time": Time(to), "method": AccountingJson::of(&moment.inventory.accounting),
            "total": total, "items": items, "position": position.0,
        })))
    })
    .await
}

fn told<'a>(
    app: &App,
    moment: &'a Moment,
    id: DestinationId,
    span: Span,
    outage: Outage,
) -> Result<OutageJson<'a>, Problem> {
    let question = question(&moment.inventory, id, span);
    let detail = outage_detail(&app.context.series, &*app.context.journal, &question, outage)?;
    let first_bad = detail.cause;
    Ok(OutageJson {
        destination_id: id.0,
        destination: moment.name_of(app, id),
        start: Time(Timestamp::from_millis(outage.from)),
        end: (!outage.is_open).then_some(Time(Timestamp::from_millis(outage.to))),
        duration_s: seconds(outage.to - outage.from),
        counted_s: seconds(outage.counted_ms),
        maintenance_s: seconds(outage.maintenance_ms),
        ongoing: outage.is_open,
        began_before: outage.is_cut,
        cause: first_bad.as_ref().map(|row| row.status.name()),
        first_bad: first_bad.map(|row| FirstBad {
            timestamp: Time(row.at),
            position: row.position.0,
            job_id: row.job.0,
            metric: row.metric.name(),
            status: row.status.name(),
            error: row.error,
        }),
        last_good_path: detail.last_good_path.as_ref().and_then(PathSeen::of),
        first_bad_path: detail.first_bad_path.as_ref().and_then(PathSeen::of),
    })
}

impl PathSeen {
    fn of(envelope: &Envelope) -> Option<Self> {
        let Event::RouteTraced(route) = &envelope.event else { return None };
        Some(Self {
            timestamp: Time(route.head.slot_at),
            position: envelope.position.0,
            path_hash: hash_of(envelope),
            hops: hops_of(route),
        })
    }
}

fn hash_of(envelope: &Envelope) -> String {
    let row = rows_of(envelope, &[Metric::Traceroute]).into_iter().next();
    match row.map(|row| row.detail) {
        Some(RowDetail::Traceroute { path_hash, .. }) => format!("{path_hash:016x}"),
        _ => String::new(),
    }
}

fn hops_of(route: &RouteTraced) -> Vec<HopJson> {
    route
        .hops
        .iter()
        .map(|hop| HopJson { ttl: hop.ttl, addresses: who(&hop.answers), name: hop.name.clone() })
        .collect()
}

/// Who answered at a hop, without repeats.
fn who(answers: &[HopAnswer]) -> Vec<IpAddr> {
    let addresses = answers.iter().filter_map(|answer| match answer {
        HopAnswer::Answer { from, .. } => Some(*from),
        HopAnswer::Silent | HopAnswer::NotSent(_) => None,
    });
    addresses.collect::<BTreeSet<_>>().into_iter().collect()
}

/// A route as it was for a while. A silent hop matches any: routers are free not to answer.
struct Version {
    job: u32,
    first: (Timestamp, Position),
    last: (Timestamp, Position),
    seen: u64,
    reached: bool,
    hash: String,
    /// By time to live from 1: what was seen there, over all its traces.
    hops: Vec<HopSeen>,
}

/// A hop over all traces of a version.
#[derive(Default)]
struct HopSeen {
    addresses: BTreeSet<IpAddr>,
    name: Option<String>,
    /// Probes sent with this time to live.
    probes: u64,
    /// Round trips of those that were answered, in milliseconds.
    round_trips: Vec<f64>,
}

impl HopSeen {
    fn take(&mut self, hop: &Hop) {
        self.addresses.extend(who(&hop.answers));
        self.name = self.name.take().or_else(|| hop.name.clone());
        for answer in &hop.answers {
            match answer {
                HopAnswer::Answer { rtt, .. } => self.round_trips.push(rtt.as_millis_f64()),
                HopAnswer::Silent => {}
                HopAnswer::NotSent(_) => continue,
            }
            self.probes += 1;
        }
    }
}

/// A hop of a version, with figures of all its probes. A probe that a hop did not answer is not called lost: routers
/// are free not to answer, and forward none the worse for it.
#[derive(Serialize)]
struct HopFigures {
    #[serde(flatten)]
    hop: HopJson,
    probes: u64,
    answers: u64,
    min_ms: Option<f64>,
    median_ms: Option<f64>,
    /// Null below 20 answers.
    p95_ms: Option<f64>,
    max_ms: Option<f64>,
}

impl Version {
    fn of(envelope: &Envelope, route: &RouteTraced) -> Self {
        let at = (route.head.slot_at, envelope.position);
        let mut version = Self {
            job: route.head.job.0,
            first: at,
            last: at,
            seen: 0,
            reached: route.reached,
            hash: hash_of(envelope),
            hops: Vec::new(),
        };
        version.take(at, route);
        version
    }

    fn matches(&self, route: &RouteTraced) -> bool {
        let is_same_length = !(self.reached && route.reached) || self.hops.len() == length(route);
        self.job == route.head.job.0
            && is_same_length
            && route.hops.iter().all(|hop| {
                let answers = who(&hop.answers);
                let known = usize::from(hop.ttl).checked_sub(1).and_then(|at| self.hops.get(at));
                let Some(known) = known.map(|seen| &seen.addresses) else { return answers.is_empty() || !self.reached };
                known.is_empty() || answers.is_empty() || answers.iter().any(|address| known.contains(address))
            })
    }

    fn take(&mut self, at: (Timestamp, Position), route: &RouteTraced) {
        (self.last, self.seen) = (at, self.seen + 1);
        self.reached |= route.reached;
        if self.hops.len() < length(route) {
            self.hops.resize_with(length(route), Default::default);
        }
        for hop in &route.hops {
            if let Some(seen) = usize::from(hop.ttl).checked_sub(1).and_then(|at| self.hops.get_mut(at)) {
                seen.take(hop);
            }
        }
    }

    fn hops(&self) -> Vec<HopFigures> {
        let micros = |ms: f64| (ms * 1_000.0).round() / 1_000.0;
        let hop = |(ttl, seen): (u8, &HopSeen)| {
            let mut sorted = seen.round_trips.clone();
            sorted.sort_unstable_by(f64::total_cmp);
            HopFigures {
                hop: HopJson { ttl, addresses: seen.addresses.iter().copied().collect(), name: seen.name.clone() },
                probes: seen.probes,
                answers: sorted.len() as u64,
                min_ms: sorted.first().copied(),
                median_ms: quantile(&sorted, 0.5).map(micros),
                p95_ms: percentile(&sorted, 0.95).ok().map(micros),
                max_ms: sorted.last().copied(),
            }
        };
        (1..=u8::MAX).zip(&self.hops).map(hop).collect()
    }
}

/// Hops up to the last that was probed.
fn length(route: &RouteTraced) -> usize {
    route.hops.iter().map(|hop| usize::from(hop.ttl)).max().unwrap_or(0)
}

/// `GET /api/paths`
pub(crate) async fn paths(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    answer(app, call, |app, call, moment| {
        let position = moment.position(app);
        let destination = required_destination(call, &moment.inventory)?;
        let (from, to) = range(call, moment.now, WEEK)?;
        let query = RawQuery {
            job: job(call, &moment.inventory)?,
            destinations: vec![destination],
            metrics: vec![Metric::Traceroute],
            from,
            to,
            // The newest, if there are more.
            limit: MAX_TRACES,
            newest_first: true,
            as_of: moment.as_of,
            ..RawQuery::default()
        };
        let mut traces = app.context.series.events(&*app.context.journal, &query)?;
        traces.reverse();
        let mut versions: Vec<Version> = Vec::new();
        let mut count = 0_u64;
        for envelope in &traces {
            let Event::RouteTraced(route) = &envelope.event else { continue };
            if rows_of(envelope, &[]).first().is_none_or(|row| row.status == RowStatus::Error) {
                continue;
            }
            count += 1;
            let current = versions.iter_mut().rev().find(|version| version.job == route.head.job.0);
            match current.filter(|version| version.matches(route)) {
                Some(version) => version.take((route.head.slot_at, envelope.position), route),
                None => versions.push(Version::of(envelope, route)),
            }
        }
        let diff = diff(call, &versions)?;
        let versions: Vec<_> = (1..)
            .zip(&versions)
            .map(|(number, version): (u32, &Version)| {
                json!({
                    "version": number, "job_id": version.job, "path_hash": version.hash,
                    "first_seen": Time(version.first.0), "last_seen": Time(version.last.0), "traces": version.seen,
                    // One trace may be a chance; a second one confirms it.
                    "confirmed": version.seen > 1, "reached": version.reached, "hop_count": version.hops.len(),
                    "hops": version.hops(), "first_position": version.first.1.0, "last_position": version.last.1.0,
                })
            })
            .collect();
        Ok(Reply::json(&json!({
            "destination_id": destination.0, "destination": moment.name_of(app, destination),
            "removed": moment.is_removed(destination),
            "start_time": Time(from), "end_time": Time(to), "traces": count, "is_cut": traces.len() >= MAX_TRACES,
            "versions": versions, "diff": diff, "position": position.0,
        })))
    })
    .await
}

/// What differs from one version to another: `diff=1,3`, or the last two; null where there are no two.
fn diff(call: &Call, versions: &[Version]) -> Result<serde_json::Value, Problem> {
    let (before, after) = match call.query.get("diff") {
        None if versions.len() < 2 => return Ok(serde_json::Value::Null),
        None => (versions.len() - 1, versions.len()),
        Some(text) => {
            let version = |number: &str| {
                number.trim().parse::<usize>().ok().filter(|number| (1..=versions.len()).contains(number))
            };
            let pair = text.split_once(',').and_then(|(a, b)| Some((version(a)?, version(b)?)));
            pair.ok_or_else(|| {
                Problem::invalid("diff does not name two versions of this range")
                    .field("diff")
                    .accepted(format!("two numbers from 1 to {}, as diff=1,2", versions.len()))
            })?
        }
    };
    let (a, b) = (&versions[before - 1], &versions[after - 1]);
    let at = |version: &Version, hop: usize| -> Vec<IpAddr> {
        version.hops.get(hop).map(|seen| seen.addresses.iter().copied().collect()).unwrap_or_default()
    };
    let hops: Vec<_> = (0..a.hops.len().max(b.hops.len()))
        .filter(|hop| at(a, *hop) != at(b, *hop))
        .map(|hop| json!({"ttl": hop + 1, "before": at(a, hop), "after": at(b, hop)}))
        .collect();
    Ok(json!({
        "before": before, "after": after, "hop_count_before": a.hops.len(), "hop_count_after": b.hops.len(), "hops": hops,
    }))
}
