//! Series for charts, the worst of many, and the hours of the week.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use netstats_event::{DestinationId, Kind, Timestamp};
use netstats_series::{MAX_SERIES_POINTS, Point, SeriesQuery};
use netstats_stats::RELATIVE_ERROR;
use serde::Serialize;
use serde_json::json;

use super::range::{
    DAY, DESTINATION, JOB, METRIC, job, metric_name, number, probe, range, required_destination, resolution_name,
    totals, word,
};
use crate::app::App;
use crate::declare::{AS_OF, END_TIME, Param, ParamKind, START_TIME, TZ, param};
use crate::json::{Columns, Figures, PointRow, Time, percent, reasons};
use crate::limits::MAX_WORST;
use crate::moment::answer;
use crate::problem::Problem;
use crate::reply::Reply;
use crate::route::Call;

/// What `GET /api/series` takes.
pub(crate) const SERIES: &[Param] = &[
    DESTINATION,
    JOB,
    METRIC,
    START_TIME,
    END_TIME,
    param(
        "max_points",
        ParamKind::Whole(1, MAX_SERIES_POINTS as u64),
        "The finest level with no more points; else 500",
    ),
    param("format", ParamKind::Word(&["columns", "rows"]), "A list for each figure, or an object for each point"),
    AS_OF,
];
/// What `GET /api/top` takes.
pub(crate) const TOP: &[Param] = &[
    param("by", ParamKind::Word(BY_NAMES), "The figure to compare; else p95"),
    param("worst", ParamKind::Whole(1, MAX_WORST as u64), "So many of them, the worst first; else 20"),
    JOB,
    METRIC,
    super::destinations::TAG,
    START_TIME,
    END_TIME,
    AS_OF,
];
/// What `GET /api/heatmap` takes.
pub(crate) const HEATMAP: &[Param] = &[
    DESTINATION,
    JOB,
    METRIC,
    param("by", ParamKind::Word(BY_NAMES), "The figure shown; else median"),
    TZ,
    START_TIME,
    END_TIME,
    AS_OF,
];

/// Points where `max_points` does not say.
const DEFAULT_POINTS: usize = 500;
/// The range of a heatmap where `start_time` does not say.
const FOUR_WEEKS: Duration = Duration::from_secs(28 * 24 * 3_600);
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// How far percentiles may be off, relative to themselves.
pub(super) const fn relative_error(exact: bool) -> f64 {
    if exact { 0.0 } else { RELATIVE_ERROR }
}

/// `GET /api/series`
pub(crate) async fn series(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    answer(app, call, |app, call, moment| {
        #[derive(Serialize)]
        struct Answer<'a> {
            destination_id: u32,
            destination: Cow<'a, str>,
            removed: bool,
            job_id: Option<u32>,
            metric: &'a str,
            start_time: Time,
            end_time: Time,
            resolution: String,
            exact: bool,
            relative_error: f64,
            /// From this position on every sample has its raw values: the finest before it are hours.
            raw_from: u64,
            not_given: std::collections::BTreeMap<&'static str, String>,
            columns: Columns,
            position: u64,
        }
        let position = moment.position(app);
        let destination = required_destination(call, &moment.inventory)?;
        let (from, to) = range(call, moment.now, DAY)?;
        let is_rows = word(call, "format", &[("columns", false), ("rows", true)])?;
        let query = SeriesQuery {
            job: job(call, &moment.inventory)?,
            destination,
            probe: probe(call)?,
            from,
            to,
            max_points: number(call, "max_points", DEFAULT_POINTS, MAX_SERIES_POINTS)?,
            as_of: moment.as_of,
        };
        let found = app.context.series.points(&*app.context.journal, &query)?;
        if is_rows {
            return Ok(Reply::json(&found.points.iter().map(PointRow::from).collect::<Vec<_>>()));
        }
        Ok(Reply::json(&Answer {
            destination_id: destination.0,
            destination: moment.name_of(app, destination),
            removed: moment.is_removed(destination),
            job_id: query.job.map(|job| job.0),
            metric: metric_name(call),
            start_time: Time(from),
            end_time: Time(to),
            resolution: resolution_name(found.resolution),
            exact: found.exact,
            relative_error: relative_error(found.exact),
            raw_from: app.context.journal.raw_from(Kind::of_samples(query.probe)).0,
            not_given: reasons(&found.points),
            columns: Columns::of(&found.points),
            position: position.0,
        }))
    })
    .await
}

pub(super) const BY_NAMES: &[&str] = &["p95", "loss", "jitter", "median", "mean", "max"];
pub(super) type Value = fn(&Point) -> Option<f64>;

/// The figures by which destinations and hours are compared.
pub(super) const BY: &[(&str, Value)] = &[
    ("p95", |point| point.p95_ms.ok()),
    ("loss", |point| point.loss_ratio.map(percent)),
    ("jitter", |point| point.jitter_ms),
    ("median", |point| point.median_ms),
    ("mean", |point| point.mean_ms),
    ("max", |point| point.max_ms),
];

/// `GET /api/top`
pub(crate) async fn top(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    answer(app, call, |app, call, moment| {
        #[derive(Serialize)]
        struct Item<'a> {
            rank: usize,
            destination_id: u32,
            destination: Cow<'a, str>,
            value: f64,
            figures: Figures,
        }
        let position = moment.position(app);
        let value = word(call, "by", BY)?;
        let worst = number(call, "worst", 20, MAX_WORST)?;
        let (from, to) = range(call, moment.now, DAY)?;
        let tag = call.query.get("tag");
        let has_tag = |id: &DestinationId| {
            let destination = moment.inventory.destinations.get(id);
            destination.is_some_and(|d| tag.is_none_or(|tag| d.spec.tags.iter().any(|has| has == tag)))
        };
        let found = app.context.series.totals(&*app.context.journal, &totals(call, moment, Vec::new(), (from, to))?)?;
        let there: Vec<_> = found.items.into_iter().filter(|(id, _)| has_tag(id)).collect();
        let considered = there.len();
        let mut valued: Vec<(f64, DestinationId, Point)> =
            there.into_iter().filter_map(|(id, point)| Some((value(&point)?, id, point))).collect();
        let without_value = considered - valued.len();
        valued.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let ranked = (1..).zip(valued.iter().take(worst));
        let items: Vec<Item<'_>> = ranked
            .map(|(rank, (value, id, point))| Item {
                rank,
                destination_id: id.0,
                destination: moment.name_of(app, *id),
                value: *value,
                figures: Figures::from(point),
            })
            .collect();
        Ok(Reply::json(&json!({
            "by": call.query.get("by").unwrap_or(BY[0].0),
            "start_time": Time(from),
            "end_time": Time(to),
            "resolution": resolution_name(found.resolution),
            "exact": found.exact,
            "relative_error": relative_error(found.exact),
            "destinations": considered,
            "without_value": without_value,
            "items": items,
            "position": position.0,
        })))
    })
    .await
}

/// The cell of the week of a moment: weekday (0 is Monday) times 24, plus hour.
pub(super) fn week_cell(zone: &TimeZone, at: Timestamp) -> Option<i64> {
    let local = zone.to_datetime(jiff::Timestamp::from_millisecond(at.as_millis()).ok()?);
    Some(i64::from(local.weekday().to_monday_zero_offset()) * 24 + i64::from(local.hour()))
}

/// `GET /api/heatmap`
pub(crate) async fn heatmap(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    answer(app, call, |app, call, moment| {
        let position = moment.position(app);
        let value = word(call, "by", &[BY[3], BY[0], BY[1], BY[2], BY[4], BY[5]])?;
        let zone = call.zone()?;
        let (from, to) = range(call, moment.now, FOUR_WEEKS)?;
        let destination = required_destination(call, &moment.inventory)?;
        let query = totals(call, moment, vec![destination], (from, to))?;
        let cells = app.context.series.grouped(&*app.context.journal, &query, &|hour| week_cell(&zone, hour))?;
        let grid = |figure: &dyn Fn(&Point) -> serde_json::Value| -> Vec<Vec<serde_json::Value>> {
            let cell = |day: i64, hour: i64| cells.get(&(day * 24 + hour)).map_or(serde_json::Value::Null, figure);
            (0..7).map(|day| (0..24).map(|hour| cell(day, hour)).collect()).collect()
        };
        Ok(Reply::json(&json!({
            "destination_id": destination.0,
            "destination": moment.name_of(app, destination),
            "removed": moment.is_removed(destination),
            "metric": metric_name(call),
            "by": call.query.get("by").unwrap_or(BY[3].0),
            "tz": call.query.get("tz").unwrap_or("UTC"),
            "start_time": Time(from),
            "end_time": Time(to),
            "resolution": "3600s",
            "exact": false,
            "relative_error": RELATIVE_ERROR,
            "days": DAYS,
            "hours": (0..24).collect::<Vec<_>>(),
            "values": grid(&|point| json!(value(point))),
            "n": grid(&|point| json!(point.n)),
            "packets_sent": grid(&|point| json!(point.sent)),
            "position": position.0,
        })))
    })
    .await
}
