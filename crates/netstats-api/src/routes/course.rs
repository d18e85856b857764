//! Where the response times of a range go: their trend, and where their level changed for good.

use netstats_event::{DestinationId, Timestamp};
use netstats_series::{Point, SeriesAnswer, TotalsQuery};
use netstats_stats::{Deseasonalised, Period, Trend};
use serde_json::{Value, json};

use super::analytics::{CONFIDENCE, asked, interval, tidy};
use super::range::{DAY, resolution_name};
use super::series::relative_error;
use crate::app::App;
use crate::json::Time;
use crate::problem::Problem;

/// Points from which trend and level changes are computed.
const POINTS: usize = 1_000;
/// Points below which a trend has no interval.
const TREND_LEAST: usize = 6;
/// The shortest level that counts as one, in points.
const LEVEL_POINTS: usize = 5;
const DAY_MS: i64 = 86_400_000;
/// What may come back: hours of the day, and hours of the week (UTC).
const SEASONS: [(&str, Period); 2] =
    [("day", Period { length: DAY_MS, cells: 24 }), ("week", Period { length: 7 * DAY_MS, cells: 168 })];

/// The course of a destination's range.
pub(super) fn course(app: &App, query: &TotalsQuery, id: DestinationId) -> Result<Value, Problem> {
    let found = app.context.series.points(&*app.context.journal, &asked(query, id, POINTS))?;
    let medians = valued(&found, |point| point.median_ms);
    let season = season(&medians);
    let mut told = json!({
        "of": format!("medians, {}", resolution_name(found.resolution)),
        "exact": found.exact,
        "relative_error": relative_error(found.exact),
        "points": medians.len(),
        "season": season.as_ref().map(|(name, _)| name),
        "level_changes": level_changes(&medians, season.map(|(_, without)| without), found.exact),
    });
    // Medians of roll-ups come from sketches and move in steps of their error, so that a slope of less than a step a
    // range would be lost; their means are exact.
    let (name, figures) =
        if found.exact { ("medians", medians) } else { ("means", valued(&found, |point| point.mean_ms)) };
    told["trend_of"] = json!(format!("{name}, {}", resolution_name(found.resolution)));
    if let (Value::Object(told), Value::Object(trend)) = (&mut told, trend(&figures)) {
        told.extend(trend);
    }
    Ok(told)
}

/// The points that have a figure.
fn valued(found: &SeriesAnswer, figure: impl Fn(&Point) -> Option<f64>) -> Vec<(Timestamp, f64)> {
    found.points.iter().filter_map(|point| Some((point.at, figure(point)?))).collect()
}

/// The slope, and how sure it is; null where it is not known, and why.
fn trend(figures: &[(Timestamp, f64)]) -> Value {
    let origin = figures.first().map(|(at, _)| *at);
    let days = |at: Timestamp| origin.map_or(0.0, |origin| at.since(origin).as_secs_f64() / DAY.as_secs_f64());
    let points: Vec<(f64, f64)> = figures.iter().map(|(at, value)| (days(*at), *value)).collect();
    let few = |needed| format!("n too small: {} points, {needed} needed", points.len());
    let found = netstats_stats::theil_sen(&points, CONFIDENCE);
    let sure = found.as_ref().ok_or_else(|| few(2)).and_then(|trend| sure(trend, points.len() >= TREND_LEAST, few));
    json!({
        "trend_ms_per_day": found.map(|trend| tidy(trend.slope)),
        "trend_not_given": found.is_none().then(|| few(2)),
        "trend_interval_ms_per_day": sure.as_ref().ok(),
        "trend_interval_not_given": sure.as_ref().err(),
    })
}

/// The interval of a slope. One without width would claim to know the slope to the last digit, where the values only
/// have no spread to judge it by.
fn sure(trend: &Trend, is_enough: bool, few: impl Fn(usize) -> String) -> Result<Value, String> {
    let slope = trend.interval.filter(|_| is_enough).ok_or_else(|| few(TREND_LEAST))?;
    if tidy(slope.low) < tidy(slope.high) {
        return Ok(interval(slope, tidy));
    }
    Err("no spread to judge by: nearly all pairs of points have the same slope".to_owned())
}

/// What comes back in a series, and the series without it.
fn season(medians: &[(Timestamp, f64)]) -> Option<(&'static str, Deseasonalised)> {
    let points: Vec<(i64, f64)> = medians.iter().map(|(at, median)| (at.as_millis(), *median)).collect();
    let found = netstats_stats::deseasonalise(&points, &SEASONS.map(|(_, period)| period))?;
    let (name, _) = SEASONS.into_iter().find(|(_, period)| *period == found.period)?;
    Some((name, found))
}

/// Where the level changed for good, in what is left without a season.
fn level_changes(medians: &[(Timestamp, f64)], season: Option<Deseasonalised>, is_exact: bool) -> Vec<Value> {
    let plain: Vec<f64> = medians.iter().map(|(_, median)| *median).collect();
    // Medians of sketches move in steps of their error: a step of one is no level of its own, and where most neighbours
    // are equal the noise between them says nothing.
    let least_noise = if is_exact { 0.0 } else { relative_error(false) * middle(&plain) };
    let penalty = match &season {
        Some(season) => Some(season.penalty(least_noise)),
        None => netstats_stats::change_penalty(&plain, least_noise),
    };
    let values = season.map_or(plain, |season| season.values);
    let changes = netstats_stats::change_points(&values, penalty, LEVEL_POINTS).unwrap_or_default();
    let told = |change: &netstats_stats::ChangePoint| {
        json!({"time": medians.get(change.at).map(|(at, _)| Time(*at)), "before_ms": tidy(change.before),
               "after_ms": tidy(change.after)})
    };
    changes.iter().map(told).collect()
}

fn middle(values: &[f64]) -> f64 {
    netstats_stats::sorted(values).and_then(|values| netstats_stats::quantile(&values, 0.5)).unwrap_or(0.0)
}
