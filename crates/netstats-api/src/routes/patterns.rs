//! What is usual and what is not, and what moves together.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use netstats_event::{DestinationId, Timestamp};
use netstats_series::{MAX_SERIES_POINTS, Resolution, SeriesAnswer, SeriesQuery};
use netstats_stats::{Baseline, Correlation, WEEK};
use serde_json::{Value, json};

use super::analytics::{CONFIDENCE, interval, tidy};
use super::range::{
    Analysis, DAY, DESTINATION, DESTINATIONS, JOB, METRIC, destinations_or_all, job, metric_name, probe, range,
    range_named, required_destination, resolution_name, word,
};
use super::series::{BY, BY_NAMES, Value as Figure, relative_error, week_cell};
use crate::app::App;
use crate::declare::{AS_OF, END_TIME, Param, ParamKind, START_TIME, TZ, param};
use crate::json::Time;
use crate::limits::MAX_CORRELATED;
use crate::moment::{Moment, answer};
use crate::problem::Problem;
use crate::reply::Reply;
use crate::route::{Call, Route, route};

const FIGURE: Param = param("by", ParamKind::Word(BY_NAMES), "The figure looked at; else median");
const ANOMALIES: &[Param] = &[
    DESTINATION,
    JOB,
    METRIC,
    FIGURE,
    TZ,
    START_TIME,
    END_TIME,
    param("baseline_start_time", ParamKind::Time, "What is usual is learned from here on; else 28 days"),
    param("baseline_end_time", ParamKind::Time, "And before here; else up to the start of the range"),
    AS_OF,
];
const CORRELATION: &[Param] = &[DESTINATIONS, JOB, METRIC, FIGURE, START_TIME, END_TIME, AS_OF];

const HOUR_S: u32 = 3_600;
/// What is usual is learned from so much before the range.
const FOUR_WEEKS: Duration = Duration::from_secs(28 * 24 * 3_600);
/// Hours from which on anything is called usual: a day.
const MIN_BASELINE_HOURS: usize = 24;
/// Values from which on an hour of the week has a usual of its own.
const MIN_CELL_HOURS: usize = 3;
/// A score beyond this is an outlier (Iglewicz and Hoaglin 1993).
const ANOMALOUS: f64 = 3.5;
/// Spreads are at least this share of what is usual: hourly percentiles come from sketches, which are off by as much.
const LEAST_SPREAD_SHARE: f64 = 0.01;
/// And at least this, in the figure's unit: milliseconds, or percent of loss.
const LEAST_SPREAD: f64 = 0.05;
/// Widths of the spans that are compared, from the finest, in seconds.
const WIDTHS_S: [u32; 4] = [60, 600, HOUR_S, 24 * HOUR_S];
/// So many spans of a range at most: the finest width with no more of them.
const COMPARED_SPANS: u64 = 1_500;

/// The routes.
pub(crate) fn routes() -> Vec<Route<App>> {
    vec![
        route(Method::GET, "/api/anomalies", anomalies)
            .says("analysis", "Each hour of a destination beside what is usual at that hour of the week, with a score")
            .query(ANOMALIES)
            .requires(&["destination"])
            .gives::<Analysis>(),
        route(Method::GET, "/api/correlation", correlation)
            .says("analysis", "Which destinations' figures move together")
            .query(CORRELATION)
            .gives::<Analysis>(),
    ]
}

/// The figure asked for by `by`; the median without it.
fn figure(call: &Call) -> Result<(&'static str, Figure), Problem> {
    let named = |at: usize| (BY[at].0, BY[at]);
    word(call, "by", &[named(3), named(0), named(1), named(2), named(4), named(5)])
}

fn asked(
    call: &Call,
    moment: &Moment,
    destination: DestinationId,
    (from, to): (Timestamp, Timestamp),
) -> Result<SeriesQuery, Problem> {
    let (job, probe) = (job(call, &moment.inventory)?, probe(call)?);
    Ok(SeriesQuery { job, destination, probe, from, to, max_points: MAX_SERIES_POINTS, as_of: moment.as_of })
}

/// Refuses a range of too many hours.
fn check_hours(field: &'static str, (from, to): (Timestamp, Timestamp)) -> Result<(), Problem> {
    let hours = to.since(from).as_secs() / u64::from(HOUR_S);
    if hours <= MAX_SERIES_POINTS as u64 {
        return Ok(());
    }
    Err(Problem::invalid(format!("that is {hours} hours"))
        .field(field)
        .accepted(format!("at most {MAX_SERIES_POINTS} hours before the end")))
}

/// `GET /api/anomalies`
async fn anomalies(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    answer(app, call, |app, call, moment| {
        let position = moment.position(app);
        let (by, value) = figure(call)?;
        let zone = call.zone()?;
        let destination = required_destination(call, &moment.inventory)?;
        let between = range(call, moment.now, DAY)?;
        let names = ["baseline_start_time", "baseline_end_time"];
        let is_given = names.into_iter().any(|name| call.query.get(name).is_some());
        let learned = if is_given {
            range_named(call, names, moment.now, |to| to.minus(FOUR_WEEKS))?
        } else {
            (between.0.minus(FOUR_WEEKS), between.0)
        };
        check_hours("start_time", between)?;
        check_hours("baseline_start_time", learned)?;
        let hours = |between| -> Result<SeriesAnswer, Problem> {
            let query = asked(call, moment, destination, between)?;
            Ok(app.context.series.spans(&*app.context.journal, &query, HOUR_S)?)
        };
        let cell = |at| week_cell(&zone, at).and_then(|cell| usize::try_from(cell).ok());
        let history: Vec<(usize, f64)> = hours(learned)?
            .points
            .iter()
            // An hour that reaches into the range is not what came before it.
            .filter(|point| point.at.plus(Duration::from_secs(u64::from(HOUR_S))) <= learned.1)
            .filter_map(|point| Some((cell(point.at)?, value(point)?)))
            .collect();
        let baseline = learn(&history);
        let found = hours(between)?;
        let mut anomalous = 0_usize;
        let items: Vec<Value> = found
            .points
            .iter()
            .map(|point| {
                let (is, cell) = (value(point), cell(point.at));
                let usual = baseline.as_ref().zip(cell).map(|(baseline, cell)| baseline.usual(cell));
                let score = baseline.as_ref().zip(cell).zip(is);
                let score = score.and_then(|((baseline, cell), is)| baseline.score(cell, is));
                let is_anomalous = score.map(|score| score.abs() > ANOMALOUS);
                anomalous += usize::from(is_anomalous == Some(true));
                json!({
                    "time": Time(point.at), "value": is, "usual": usual.map(|usual| tidy(usual.median)),
                    "spread": usual.map(|usual| tidy(usual.spread)), "usual_n": usual.map(|usual| usual.n),
                    "score": score.map(tidy), "anomalous": is_anomalous,
                })
            })
            .collect();
        let too_few = format!("n too small: {} hours before, {MIN_BASELINE_HOURS} needed", history.len());
        Ok(Reply::json(&json!({
            "destination_id": destination.0, "destination": moment.name_of(app, destination),
            "removed": moment.is_removed(destination),
            "metric": metric_name(call), "by": by, "tz": call.query.get("tz").unwrap_or("UTC"),
            "start_time": Time(between.0), "end_time": Time(between.1),
            "baseline_start_time": Time(learned.0), "baseline_end_time": Time(learned.1),
            "baseline_hours": history.len(), "score_not_given": baseline.is_none().then_some(too_few),
            "resolution": resolution_name(found.resolution), "exact": found.exact,
            "relative_error": relative_error(found.exact), "threshold": ANOMALOUS, "anomalous": anomalous,
            "method": "distance from the median of the same hour of the week, in spreads (1.4826 MAD)",
            "items": items, "position": position.0,
        })))
    })
    .await
}

/// What is usual, from enough of it.
fn learn(history: &[(usize, f64)]) -> Option<Baseline> {
    if history.len() < MIN_BASELINE_HOURS {
        return None;
    }
    let values: Vec<f64> = history.iter().map(|(_, value)| *value).collect();
    let middle = netstats_stats::quantile(&netstats_stats::sorted(&values)?, 0.5)?;
    let floor = (middle.abs() * LEAST_SPREAD_SHARE).max(LEAST_SPREAD);
    Baseline::learn(WEEK.0 * WEEK.1, history, MIN_CELL_HOURS, floor)
}

/// A figure of several destinations in spans of one width.
struct Courses {
    resolution: Resolution,
    exact: bool,
    /// Each with its figure by time.
    items: Vec<(DestinationId, BTreeMap<Timestamp, f64>)>,
}

/// `GET /api/correlation`
async fn correlation(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    answer(app, call, |app, call, moment| {
        let position = moment.position(app);
        let (by, value) = figure(call)?;
        let between = range(call, moment.now, DAY)?;
        let mut ids = destinations_or_all(call, moment)?;
        ids.sort_unstable();
        ids.dedup();
        if ids.len() > MAX_CORRELATED {
            return Err(Problem::invalid(format!("that are {} destinations", ids.len()))
                .field("destination")
                .accepted(format!("at most {MAX_CORRELATED}, by name or id, with commas between them")));
        }
        let Courses { resolution, exact, items: courses } = courses(app, call, moment, &ids, between, value)?;
        let mut pairs: Vec<(f64, Value)> = Vec::new();
        for (i, (a, of_a)) in courses.iter().enumerate() {
            for (b, of_b) in &courses[i + 1..] {
                let both: Vec<(f64, f64)> =
                    of_a.iter().filter_map(|(at, here)| Some((*here, *of_b.get(at)?))).collect();
                let pearson = netstats_stats::pearson(&both, CONFIDENCE);
                let pair = json!({
                    "destination_id": a.0, "destination": moment.name_of(app, *a),
                    "other_id": b.0, "other": moment.name_of(app, *b), "n": both.len(),
                    "pearson": pearson.map(|found| told(&found)),
                    "spearman": netstats_stats::spearman(&both).map(|found| told(&found)),
                    "not_given": pearson.is_none().then(|| why_not(both.len())),
                });
                pairs.push((pearson.map_or(-1.0, |found| found.r.abs()), pair));
            }
        }
        // What moves together most comes first.
        pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
        Ok(Reply::json(&json!({
            "metric": metric_name(call), "by": by, "start_time": Time(between.0), "end_time": Time(between.1),
            "resolution": resolution_name(resolution), "exact": exact, "relative_error": relative_error(exact),
            "destinations": ids.len(), "items": pairs.into_iter().map(|(_, pair)| pair).collect::<Vec<_>>(),
            "position": position.0,
        })))
    })
    .await
}

/// The courses of all, in spans of one width: the finest that is not too fine for any of them.
fn courses(
    app: &App,
    call: &Call,
    moment: &Moment,
    ids: &[DestinationId],
    between: (Timestamp, Timestamp),
    value: Figure,
) -> Result<Courses, Problem> {
    let seconds = between.1.since(between.0).as_secs();
    let mut widths = WIDTHS_S.into_iter().skip_while(|width| seconds.div_ceil(u64::from(*width)) > COMPARED_SPANS);
    let widest = WIDTHS_S[WIDTHS_S.len() - 1];
    'widths: loop {
        let width = widths.next().unwrap_or(widest);
        let mut courses = Courses { resolution: Resolution::Seconds(width), exact: true, items: Vec::new() };
        for id in ids {
            let query = asked(call, moment, *id, between)?;
            let found = app.context.series.spans(&*app.context.journal, &query, width)?;
            if found.resolution != courses.resolution {
                continue 'widths;
            }
            courses.exact = found.exact;
            courses.items.push((*id, found.points.iter().filter_map(|p| Some((p.at, value(p)?))).collect()));
        }
        return Ok(courses);
    }
}

fn told(found: &Correlation) -> Value {
    json!({
        "r": tidy(found.r), "p": found.p,
        "interval": found.interval.map(|of_r| interval(of_r, tidy)),
    })
}

fn why_not(n: usize) -> String {
    if n < 3 { format!("n too small: {n} spans with both, 3 needed") } else { "a figure that never changes".to_owned() }
}
