//! What a range of samples says: of one destination in depth, of all of a job, of two of them beside each other.

use std::borrow::Cow;
use std::sync::Arc;

use netstats_event::{DestinationId, Echo, Event, JobId, Metric, Timestamp};
use netstats_series::{Point, RawQuery, Resolution, SeriesAnswer, SeriesQuery, Totals, TotalsQuery};
use netstats_stats::{Comparison, Loss, LossPattern, SmoothedJitter};
use serde::Serialize;
use serde_json::{Value, json};

use super::account::{Span, account, figures};
use super::course::course;
use super::range::{
    DAY, DESTINATION, JOB, METRIC, destination, metric_name, number, probe, range, range_named, required_destination,
    resolution_name, totals,
};
use super::series::relative_error;
use crate::app::App;
use crate::declare::{AS_OF, END_TIME, Param, ParamKind, START_TIME, param};
use crate::json::{Figures, Time, percent};
use crate::moment::{Moment, answer};
use crate::problem::Problem;
use crate::reply::Reply;
use crate::route::Call;

/// What `GET /api/destinations/{id}/analytics` takes.
pub(crate) const OF_DESTINATION: &[Param] = &[
    JOB,
    METRIC,
    START_TIME,
    END_TIME,
    param("apdex_t_ms", ParamKind::Whole(1, MAX_APDEX_MS as u64), "The time that satisfies (Apdex); else 100"),
    AS_OF,
];
/// What `GET /api/jobs/{id}/analytics` takes.
pub(crate) const OF_JOB: &[Param] = &[METRIC, START_TIME, END_TIME, AS_OF];
/// What `GET /api/compare` takes.
pub(crate) const COMPARE: &[Param] = &[
    DESTINATION,
    param("other", ParamKind::Text, "The destination to compare with, by name or id; else the same"),
    JOB,
    METRIC,
    START_TIME,
    END_TIME,
    param("other_start_time", ParamKind::Time, "Of the other; else the time before, as long"),
    param("other_end_time", ParamKind::Time, "Of the other"),
    AS_OF,
];

/// Values of each side of a comparison.
const COMPARED: usize = 5_000;
/// The time that satisfies (Apdex), where `apdex_t_ms` does not say.
const APDEX_T_MS: usize = 100;
const MAX_APDEX_MS: usize = 60_000;
pub(super) const CONFIDENCE: f64 = 0.95;

/// Rounds what was computed in floating point to nanoseconds of a figure in milliseconds.
pub(super) fn tidy(millis: f64) -> f64 {
    (millis * 1e6).round() / 1e6
}

pub(super) fn interval(interval: netstats_stats::Interval, scale: impl Fn(f64) -> f64) -> Value {
    json!({"low": scale(interval.low), "high": scale(interval.high), "confidence": interval.confidence})
}

/// The series behind the totals of one destination.
pub(super) const fn asked(query: &TotalsQuery, destination: DestinationId, max_points: usize) -> SeriesQuery {
    let TotalsQuery { job, probe, from, to, as_of, .. } = *query;
    SeriesQuery { job, destination, probe, from, to, max_points, as_of }
}

/// What the counts and the quantiles of a point say together.
fn derived(point: &Point) -> Value {
    let loss = Loss { sent: point.sent, lost: point.sent.saturating_sub(point.received) };
    // What is estimated of speech takes a delay, its variation and the loss.
    let r = point.mean_ms.zip(point.jitter_ms).zip(point.loss_ratio);
    let r = r.map(|((mean, jitter), loss)| netstats_stats::r_factor(mean, jitter, loss));
    json!({
        "packet_loss_interval_percent": loss.interval(CONFIDENCE).map(|loss| interval(loss, percent)),
        "r_factor": r.map(tidy),
        "mos": r.map(|r| tidy(netstats_stats::mos(r))),
        "voice_method": "estimated: simplified E-model (ITU-T G.107) on round trips; not comparable with other tools",
    })
}

/// The account of a range up to now, by the saved method and the maintenance known at the moment.
fn availability(
    app: &App,
    moment: &Moment,
    id: DestinationId,
    job: Option<JobId>,
    (from, to): (Timestamp, Timestamp),
) -> Result<Value, Problem> {
    // Nothing is known of what is to come.
    let span = Span { job, from: from.min(moment.now), to: to.min(moment.now), as_of: moment.as_of };
    let account = account(app, &moment.inventory, id, span)?;
    Ok(figures(&account, &moment.inventory.accounting))
}

/// What only the single packets tell: order, runs and spreads.
fn packets(app: &App, query: &TotalsQuery, apdex_t_ms: f64) -> Result<Value, Problem> {
    let raw = RawQuery {
        job: query.job,
        destinations: query.destinations.clone(),
        metrics: Metric::ALL.into_iter().filter(|metric| metric.probe() == query.probe).take(1).collect(),
        from: query.from,
        to: query.to,
        limit: netstats_series::MAX_RAW_OUTCOMES,
        as_of: query.as_of,
        ..RawQuery::default()
    };
    let mut times: Vec<f64> = Vec::new();
    let mut answers: Vec<Option<f64>> = Vec::new();
    let mut lost: Vec<bool> = Vec::new();
    let mut smoothed = SmoothedJitter::default();
    for envelope in app.context.series.events(&*app.context.journal, &raw)? {
        let head = envelope.event.head();
        if head.is_none_or(|head| head.flags.uplink_down || head.flags.clock_suspect) {
            continue;
        }
        if let Event::PingMeasured(ping) = &envelope.event {
            for echo in ping.echoes.iter().filter(|echo| echo.is_sent()) {
                let micros = echo.rtt().map(|rtt| f64::from(rtt.as_micros()));
                answers.push(micros);
                lost.push(matches!(echo, Echo::Lost | Echo::Error(_)));
                if let Some(micros) = micros {
                    times.push(micros);
                    smoothed.add(micros);
                }
            }
        } else {
            let rows = netstats_series::rows_of(&envelope, &raw.metrics);
            let micros = || rows.iter().filter_map(|row| row.rtt_ms).map(|ms| ms * 1_000.0);
            times.extend(micros());
            if let Some(is_answered) = netstats_series::answered(&envelope.event) {
                // A wrong answer came in time, and is none all the same.
                answers.push(micros().next().filter(|_| is_answered));
                lost.push(!is_answered);
            }
        }
    }
    let millis = |micros: f64| tidy(micros / 1_000.0);
    let spread = netstats_stats::pdv(&times).and_then(|pdv| netstats_stats::sorted(&pdv)).unwrap_or_default();
    let pdv = |q| netstats_stats::percentile(&spread, q).ok().map(millis);
    let pattern = LossPattern::of(lost.iter().copied());
    let apdex = netstats_stats::apdex(answers, apdex_t_ms * 1_000.0);
    let edges = times.iter().copied().reduce(f64::min).zip(times.iter().copied().reduce(f64::max));
    let edges =
        edges.map(|(low, high)| netstats_stats::log_edges(low, high.max(low * 1.01) * 1.000_001, HISTOGRAM_BINS));
    let histogram = edges.and_then(|edges| netstats_stats::histogram(&times, &edges));
    Ok(json!({
        "mean_interval_ms": netstats_stats::mean_interval(&times, CONFIDENCE).map(|mean| interval(mean, millis)),
        "pdv_p50_ms": pdv(0.5), "pdv_p95_ms": pdv(0.95), "pdv_p99_ms": pdv(0.99),
        "rfc3550_jitter_ms": smoothed.value().map(millis),
        "longest_loss_run": pattern.longest(), "loss_periods": pattern.periods.len(),
        "apdex": apdex.score().map(tidy), "apdex_t_ms": apdex_t_ms,
        "histogram": histogram.map(|histogram| json!({
            "edges_ms": histogram.edges.iter().map(|edge| millis(*edge)).collect::<Vec<_>>(), "counts": histogram.counts,
        })),
    }))
}

const HISTOGRAM_BINS: usize = 30;

/// `GET /api/destinations/{id}/analytics`
pub(crate) async fn of_destination(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    answer(app, call, |app, call, moment| {
        let position = moment.position(app);
        let id = super::destinations::find_ever(&moment.inventory, &call.id)?;
        let between = range(call, moment.now, DAY)?;
        let apdex_t_ms = number(call, "apdex_t_ms", APDEX_T_MS, MAX_APDEX_MS)?;
        let query = totals(call, moment, vec![id], between)?;
        let found = app.context.series.totals(&*app.context.journal, &query)?;
        let point = found.items.first().map(|(_, point)| point);
        #[expect(clippy::cast_precision_loss, reason = "at most 60,000")]
        let packets = if found.exact { packets(app, &query, apdex_t_ms as f64)? } else { Value::Null };
        let answer = json!({
            "destination_id": id.0,
            "destination": moment.name_of(app, id),
            "removed": moment.is_removed(id),
            "job_id": query.job.map(|job| job.0),
            "metric": metric_name(call),
            "start_time": Time(between.0),
            "end_time": Time(between.1),
            "resolution": resolution_name(found.resolution),
            "exact": found.exact,
            "relative_error": relative_error(found.exact),
            "figures": point.map(Figures::from),
            "derived": point.map(derived),
            "packets": packets,
            "packets_not_given": (!found.exact).then_some("the range holds too many samples to look at each packet"),
            "course": course(app, &query, id)?,
            "availability": availability(app, moment, id, query.job, between)?,
            "position": position.0,
        });
        Ok(Reply::json(&answer))
    })
    .await
}

/// `GET /api/jobs/{id}/analytics`
pub(crate) async fn of_job(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    answer(app, call, |app, call, moment| {
        #[derive(Serialize)]
        struct Item<'a> {
            destination_id: u32,
            destination: Cow<'a, str>,
            figures: Figures,
            derived: Value,
            availability: Value,
        }
        let position = moment.position(app);
        let (job, metrics) = super::metrics::job_of(&moment.inventory, &call.id)?;
        let between = range(call, moment.now, DAY)?;
        let (from, to) = between;
        let of_job = metrics.first().copied().unwrap_or(Metric::Ping);
        let (metric, probe) = match call.query.get("metric") {
            Some(name) => (name, probe(call)?),
            None => (of_job.name(), of_job.probe()),
        };
        let destinations = Vec::new();
        let query = TotalsQuery { job: Some(job), destinations, probe, from, to, as_of: moment.as_of };
        let found = app.context.series.totals(&*app.context.journal, &query)?;
        let items = found.items.iter().map(|(id, point)| {
            Ok(Item {
                destination_id: id.0,
                destination: moment.name_of(app, *id),
                figures: Figures::from(point),
                derived: derived(point),
                availability: availability(app, moment, *id, query.job, between)?,
            })
        });
        let items = items.collect::<Result<Vec<_>, Problem>>()?;
        Ok(Reply::json(&json!({
            "job_id": job.0,
            "job": moment.job_name_of(app, job),
            "removed": !moment.inventory.jobs.contains_key(&job),
            "metric": metric,
            "start_time": Time(from),
            "end_time": Time(to),
            "resolution": resolution_name(found.resolution),
            "exact": found.exact,
            "relative_error": relative_error(found.exact),
            "items": items,
            "position": position.0,
        })))
    })
    .await
}

/// One side of a comparison.
struct Side {
    query: TotalsQuery,
    id: DestinationId,
    totals: Totals,
    points: SeriesAnswer,
}

impl Side {
    fn of(
        app: &App,
        call: &Call,
        moment: &Moment,
        id: DestinationId,
        between: (Timestamp, Timestamp),
    ) -> Result<Self, Problem> {
        let query = totals(call, moment, vec![id], between)?;
        let found = app.context.series.totals(&*app.context.journal, &query)?;
        let points = app.context.series.points(&*app.context.journal, &asked(&query, id, COMPARED))?;
        Ok(Self { query, id, totals: found, points })
    }

    /// Makes its values no finer than the other side's: a slot beside an hour would compare two different things.
    fn coarsen(&mut self, app: &App, other: Resolution) -> Result<(), Problem> {
        if let Resolution::Seconds(width_s) = other
            && self.points.resolution < other
        {
            let asked = asked(&self.query, self.id, COMPARED);
            self.points = app.context.series.spans(&*app.context.journal, &asked, width_s)?;
        }
        Ok(())
    }

    fn medians(&self) -> Vec<f64> {
        self.points.points.iter().filter_map(|point| point.median_ms).collect()
    }

    fn json(&self, app: &App, moment: &Moment) -> Value {
        json!({
            "destination_id": self.id.0,
            "destination": moment.name_of(app, self.id),
            "removed": moment.is_removed(self.id),
            "start_time": Time(self.query.from),
            "end_time": Time(self.query.to),
            "resolution": resolution_name(self.totals.resolution),
            "exact": self.totals.exact,
            "relative_error": relative_error(self.totals.exact),
            "figures": self.totals.items.first().map(|(_, point)| Figures::from(point)),
            "compared": self.medians().len(),
            "compared_values": format!("medians, {}", resolution_name(self.points.resolution)),
        })
    }
}

/// A word for the effect (Romano et al. 2006), where there is one: what chance alone may well have made has no size.
fn effect_size(found: &Comparison) -> &'static str {
    let is_certain = found.shift_interval.is_none_or(|shift| shift.low > 0.0 || shift.high < 0.0);
    match found.effect.abs() {
        _ if found.p >= 1.0 - CONFIDENCE || !is_certain => "not significant",
        effect if effect < 0.147 => "negligible",
        effect if effect < 0.33 => "small",
        effect if effect < 0.474 => "medium",
        _ => "large",
    }
}

/// `GET /api/compare`
pub(crate) async fn compare(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    answer(app, call, |app, call, moment| {
        let position = moment.position(app);
        let id = required_destination(call, &moment.inventory)?;
        let named = |text| destination(&moment.inventory, text).map_err(|problem| problem.field("other"));
        let other = call.query.get("other").map_or(Ok(id), named)?;
        let between = range(call, moment.now, DAY)?;
        let is_given = call.query.get("other_start_time").or_else(|| call.query.get("other_end_time")).is_some();
        let length = between.1.since(between.0);
        let other_between = if is_given {
            range_named(call, ["other_start_time", "other_end_time"], moment.now, |to| to.minus(length))?
        } else if other == id {
            // The time before, as long.
            (between.0.minus(length), between.0)
        } else {
            between
        };
        let mut a = Side::of(app, call, moment, other, other_between)?;
        let mut b = Side::of(app, call, moment, id, between)?;
        a.coarsen(app, b.points.resolution)?;
        b.coarsen(app, a.points.resolution)?;
        let compared = netstats_stats::compare(&a.medians(), &b.medians(), CONFIDENCE);
        let comparison = compared.map(|found| {
            json!({
                "u": found.u, "p": found.p, "probability_slower": tidy(found.probability_larger),
                "effect": tidy(found.effect), "effect_size": effect_size(&found), "shift_ms": tidy(found.shift),
                "shift_interval_ms": found.shift_interval.map(|shift| interval(shift, tidy)),
                "method": "Mann-Whitney U, Cliff's delta, Hodges-Lehmann shift: of the first side against the other",
            })
        });
        Ok(Reply::json(&json!({
            "metric": metric_name(call), "side": b.json(app, moment), "other": a.json(app, moment), "comparison": comparison,
            "comparison_not_given": compared.is_none().then_some("a side has no response times in its range"),
            "position": position.0,
        })))
    })
    .await
}
