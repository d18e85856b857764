//! `/api/prometheus/api/v1/...`: what Grafana's Prometheus data source asks, answered from the series. Names and units are
//! those of `/metrics`, and there is a past to them. Answers and refusals have Prometheus' own shapes ("HTTP API" in its
//! documentation), since that is what its clients read.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hyper::{Method, StatusCode};
use netstats_event::{DestinationId, JobId, ProbeKind, Role, Timestamp};
use netstats_series::{MAX_SERIES_POINTS, Point, Resolution, SeriesQuery};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::range::Analysis;
use crate::app::App;
use crate::declare::{Param, ParamKind, param};
use crate::limits::{MAX_PROM_FIGURES, MAX_PROM_SERIES, MAX_PROM_STEPS};
use crate::moment::{Moment, answer};
use crate::path::Query;
use crate::problem::Problem;
use crate::promql::{self, Found, LOOK_BACK_MS, Labels, Selector, Series, Steps};
use crate::reply::Reply;
use crate::route::{Asked, Call, Route, route};

const FORM: &[&str] = &["application/x-www-form-urlencoded"];
const QUERY: Param = param("query", ParamKind::Text, "An expression of the part of PromQL that docs/api.md lists");
const MATCH: Param = param("match[]", ParamKind::Many, "Only series that this selector accepts; may be given again");
const START: Param = param("start", ParamKind::Text, "Seconds since 1970, or RFC 3339");
const END: Param = param("end", ParamKind::Text, "Seconds since 1970, or RFC 3339");
const STEP: Param = param("step", ParamKind::Text, "Seconds, or as 15s");
const TIME: Param = param("time", ParamKind::Text, "Seconds since 1970, or RFC 3339; else now");
const LIMIT: Param = param("limit", ParamKind::Text, "Taken, and held to the server's own limit");
const METRIC: Param = param("metric", ParamKind::Text, "Only this metric");
/// What clients send along, and nothing here depends on.
const IGNORED: [Param; 3] = [
    param("timeout", ParamKind::Text, "Taken, without effect"),
    param("stats", ParamKind::Text, "Taken, without effect"),
    param("lookback_delta", ParamKind::Text, "Taken, without effect"),
];

/// Points of a series that a question reads at least, where the log has them.
const LEAST_POINTS: usize = 1_000;

pub(crate) fn routes() -> Vec<Route<App>> {
    let both = |path, summary, params: &'static [Param], run: fn(&App, &Asked, &Moment) -> Told| {
        let ask = move |app, call| ask(app, call, run);
        let get = route(Method::GET, path, ask);
        let post = route(Method::POST, path, ask).taking(FORM).needs(Role::Viewer);
        [get, post].map(|route| route.says("prometheus", summary).query(params).query(&IGNORED).gives::<Analysis>())
    };
    let get = |path, summary, params: &'static [Param], run: fn(&App, &Asked, &Moment) -> Told| {
        route(Method::GET, path, move |app, call| ask(app, call, run))
            .says("prometheus", summary)
            .query(params)
            .gives::<Analysis>()
    };
    let mut routes = Vec::new();
    routes.extend(both(
        "/api/prometheus/api/v1/query",
        "Figures at one time, for Prometheus' clients",
        &[QUERY, TIME, LIMIT],
        query,
    ));
    routes.extend(both(
        "/api/prometheus/api/v1/query_range",
        "Figures over a range, for Prometheus' clients",
        &[QUERY, START, END, STEP, LIMIT],
        query_range,
    ));
    routes.extend(both(
        "/api/prometheus/api/v1/labels",
        "Names of labels, for Prometheus' clients",
        &[MATCH, START, END, LIMIT],
        labels,
    ));
    routes.extend(both(
        "/api/prometheus/api/v1/series",
        "Series by their labels, for Prometheus' clients",
        &[MATCH, START, END, LIMIT],
        series,
    ));
    routes.push(get(
        "/api/prometheus/api/v1/label/:id/values",
        "Values of a label, for Prometheus' clients",
        &[MATCH, START, END, LIMIT],
        label_values,
    ));
    routes.push(get(
        "/api/prometheus/api/v1/metadata",
        "What each metric is, for Prometheus' clients",
        &[METRIC, LIMIT],
        metadata,
    ));
    routes.push(get(
        "/api/prometheus/api/v1/status/buildinfo",
        "What these routes can do, by the version of Prometheus that could",
        &[],
        |_, _, _| Ok(json!({"version": "2.24.0", "application": "Network Stats Collector"})),
    ));
    routes.into_iter().map(Route::refuses_as::<PrometheusRefusal>).collect()
}

/// Why there is no answer, as Prometheus says it.
#[derive(Serialize, ToSchema)]
struct PrometheusRefusal {
    status: &'static str,
    #[serde(rename = "errorType")]
    kind: &'static str,
    error: String,
}

/// The data of an answer, or why there is none.
type Told = Result<Value, String>;

async fn ask(app: Arc<App>, mut call: Call, run: fn(&App, &Asked, &Moment) -> Told) -> Result<Reply, Problem> {
    if call.method == Method::POST {
        // The form holds what the query string would.
        let text = std::str::from_utf8(&call.body).map_err(|_| Problem::malformed("the form is not UTF-8"))?;
        let form = Query::parse(Some(text))?;
        call.query = call.query.and(form);
    }
    answer(app, call, move |app, call, moment| {
        Ok(match run(app, call, moment) {
            Ok(data) => Reply::json(&json!({"status": "success", "data": data})),
            Err(error) => Reply::json(&PrometheusRefusal { status: "error", kind: "bad_data", error })
                .status(StatusCode::BAD_REQUEST),
        })
    })
    .await
}

// ---- what there is ---------------------------------------------------------------------------------------------------

/// A metric, as `/metrics` has it: which probes give it, and what it is of a point.
struct Metric {
    name: &'static str,
    help: &'static str,
    unit: &'static str,
    gives: fn(ProbeKind) -> bool,
    /// Value of the label `stat`; none where there is no such label.
    stat: Option<&'static str>,
    of: fn(&Point) -> Option<f64>,
}

const RTT: &str = "network_stats_rtt_seconds";
const RTT_HELP: &str = "Round trip.";

const fn rtt(stat: &'static str, of: fn(&Point) -> Option<f64>) -> Metric {
    let gives = |probe| matches!(probe, ProbeKind::Ping);
    Metric { name: RTT, help: RTT_HELP, unit: "seconds", gives, stat: Some(stat), of }
}

const METRICS: [Metric; 10] = [
    rtt("median", |point| point.median_ms.map(seconds)),
    rtt("mean", |point| point.mean_ms.map(seconds)),
    rtt("min", |point| point.min_ms.map(seconds)),
    rtt("max", |point| point.max_ms.map(seconds)),
    rtt("p95", |point| point.p95_ms.ok().map(seconds)),
    rtt("p99", |point| point.p99_ms.ok().map(seconds)),
    Metric {
        name: "network_stats_jitter_seconds",
        help: "Mean difference of neighbouring round trips.",
        unit: "seconds",
        gives: |probe| matches!(probe, ProbeKind::Ping),
        stat: None,
        of: |point| point.jitter_ms.map(seconds),
    },
    Metric {
        name: "network_stats_packet_loss_ratio",
        help: "Lost share, 0 to 1; of other probes than ping, the share that did not get what it asked for.",
        unit: "ratio",
        gives: |_| true,
        stat: None,
        of: |point| point.loss_ratio,
    },
    Metric {
        name: "network_stats_response_time_seconds",
        help: "Median answer of a probe other than ping.",
        unit: "seconds",
        gives: |probe| !matches!(probe, ProbeKind::Ping),
        stat: None,
        of: |point| point.median_ms.map(seconds),
    },
    Metric {
        name: "network_stats_slots",
        help: "Slots with an outcome in each point.",
        unit: "",
        gives: |_| true,
        stat: None,
        of: |point| Some(whole(point.slots)),
    },
];

fn seconds(ms: f64) -> f64 {
    ms / 1e3
}

#[expect(clippy::cast_precision_loss, reason = "counts of slots are far below 2^53")]
const fn whole(count: u64) -> f64 {
    count as f64
}

/// A series that there is: which metric, of whom.
struct Known {
    metric: &'static Metric,
    destination: DestinationId,
    job: JobId,
    probe: ProbeKind,
    interval_s: u32,
    labels: Labels,
}

/// All series of what is in the inventory and was measured.
fn known(app: &App, moment: &Moment) -> Vec<Known> {
    let inventory = &moment.inventory;
    let mut all = Vec::new();
    for latest in app.context.series.latest_all() {
        let Some(destination) = inventory.destinations.get(&latest.destination) else { continue };
        for probe in &latest.probes {
            let Some(job) = inventory.jobs.get(&probe.job) else { continue };
            for metric in METRICS.iter().filter(|metric| (metric.gives)(probe.probe)) {
                let mut labels = Labels::from([
                    ("__name__", metric.name.to_owned()),
                    ("destination", destination.spec.name.clone()),
                    ("job", job.spec.name.clone()),
                    ("probe", probe.probe.name().to_owned()),
                ]);
                if !destination.spec.tags.is_empty() {
                    labels.insert("tags", destination.spec.tags.join(","));
                }
                labels.extend(metric.stat.map(|stat| ("stat", stat.to_owned())));
                all.push(Known {
                    metric,
                    destination: destination.id,
                    job: job.id,
                    probe: probe.probe,
                    interval_s: job.spec.interval_s,
                    labels,
                });
            }
        }
    }
    all
}

/// Those that any of the `match[]` accepts; all without one.
fn matching(app: &App, call: &Asked, moment: &Moment) -> Result<Vec<Known>, String> {
    let selectors = call.query.all("match[]").map(promql::parse_selector).collect::<Result<Vec<_>, _>>()?;
    let mut all = known(app, moment);
    all.retain(|known| selectors.is_empty() || selectors.iter().any(|selector| selector.accepts(&known.labels)));
    Ok(all)
}

fn labels(app: &App, call: &Asked, moment: &Moment) -> Told {
    let names: BTreeSet<&str> =
        matching(app, call, moment)?.iter().flat_map(|known| known.labels.keys().copied()).collect();
    Ok(json!(names))
}

fn label_values(app: &App, call: &Asked, moment: &Moment) -> Told {
    let found = matching(app, call, moment)?;
    let values: BTreeSet<&String> = found.iter().filter_map(|known| known.labels.get(call.id.as_str())).collect();
    Ok(json!(values))
}

fn series(app: &App, call: &Asked, moment: &Moment) -> Told {
    if call.query.get("match[]").is_none() {
        return Err("at least one match[] is needed".to_owned());
    }
    let found = matching(app, call, moment)?;
    Ok(json!(found.iter().take(MAX_PROM_SERIES).map(|known| &known.labels).collect::<Vec<_>>()))
}

fn metadata(_: &App, call: &Asked, _: &Moment) -> Told {
    let wanted = call.query.get("metric");
    let told = METRICS
        .iter()
        .filter(|metric| wanted.is_none_or(|name| name == metric.name))
        .map(|metric| (metric.name, json!([{"type": "gauge", "help": metric.help, "unit": metric.unit}])));
    Ok(json!(told.collect::<BTreeMap<_, _>>()))
}

// ---- figures ---------------------------------------------------------------------------------------------------------

fn time(call: &Asked, name: &str) -> Result<Option<i64>, String> {
    let Some(text) = call.query.get(name) else { return Ok(None) };
    let parsed = match text.parse::<f64>() {
        Ok(seconds) => promql::millis_of(seconds),
        Err(_) => text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond),
    };
    parsed.map(Some).ok_or_else(|| format!("{name} is {text:?}: expected seconds since 1970, or RFC 3339"))
}

fn expression(call: &Asked) -> Result<promql::Expr, String> {
    promql::parse(call.query.get("query").ok_or("query is missing")?)
}

fn query(app: &App, call: &Asked, moment: &Moment) -> Told {
    let at = time(call, "time")?.unwrap_or(moment.now.as_millis());
    let steps = Steps { from: at, to: at, every: 1_000 };
    let told = match evaluate(app, moment, &expression(call)?, steps)? {
        promql::Answer::Scalar(number) => json!({"resultType": "scalar", "result": sample(at, number)}),
        promql::Answer::Vector(all) => {
            let one = |series: &Series| {
                let value = series.values.first().copied().flatten()?;
                Some(json!({"metric": series.labels, "value": sample(at, value)}))
            };
            json!({"resultType": "vector", "result": all.iter().filter_map(one).collect::<Vec<_>>()})
        }
    };
    Ok(told)
}

fn query_range(app: &App, call: &Asked, moment: &Moment) -> Told {
    let needed = |name: &str| time(call, name)?.ok_or_else(|| format!("{name} is missing"));
    let (from, to) = (needed("start")?, needed("end")?);
    let every = call.query.get("step").ok_or("step is missing")?;
    let every = promql::parse_duration(every).filter(|every| *every > 0);
    let every = every.ok_or("step: expected more than 0 seconds, or as 15s")?;
    if to < from {
        return Err("end is before start".to_owned());
    }
    let steps = Steps { from, to, every };
    if steps.count() > MAX_PROM_STEPS {
        return Err(format!("{} steps are asked for, {MAX_PROM_STEPS} at most: take a longer step", steps.count()));
    }
    let all = match evaluate(app, moment, &expression(call)?, steps)? {
        promql::Answer::Vector(all) => all,
        promql::Answer::Scalar(number) => {
            vec![Series { labels: Labels::new(), values: vec![Some(number); steps.count()] }]
        }
    };
    let one = |series: &Series| {
        let values: Vec<Value> =
            steps.times().zip(&series.values).filter_map(|(at, value)| Some(sample(at, (*value)?))).collect();
        json!({"metric": series.labels, "values": values})
    };
    Ok(json!({"resultType": "matrix", "result": all.iter().map(one).collect::<Vec<_>>()}))
}

/// `[seconds, "figure"]`.
fn sample(at_ms: i64, value: f64) -> Value {
    let text = if value == f64::INFINITY {
        "+Inf".to_owned()
    } else if value == f64::NEG_INFINITY {
        "-Inf".to_owned()
    } else {
        value.to_string()
    };
    #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are far below 2^53")]
    let seconds = at_ms as f64 / 1e3;
    json!([seconds, text])
}

fn evaluate(app: &App, moment: &Moment, expr: &promql::Expr, steps: Steps) -> Result<promql::Answer, String> {
    let all = known(app, moment);
    expr.evaluate(steps, &|selector: &Selector, from, to| find(app, moment, &all, selector, from, to, steps))
}

fn find(
    app: &App,
    moment: &Moment,
    all: &[Known],
    selector: &Selector,
    from: i64,
    to: i64,
    steps: Steps,
) -> Result<Vec<Found>, String> {
    let wanted: Vec<&Known> = all.iter().filter(|known| selector.accepts(&known.labels)).collect();
    if wanted.len() > MAX_PROM_SERIES || wanted.len().saturating_mul(steps.count()) > MAX_PROM_FIGURES {
        return Err(format!(
            "{} series at {} steps: at most {MAX_PROM_SERIES} series and {MAX_PROM_FIGURES} figures; select fewer, or \
             take a longer step",
            wanted.len(),
            steps.count()
        ));
    }
    let max_points = steps.count().clamp(LEAST_POINTS, MAX_SERIES_POINTS);
    // Several metrics come of the same points.
    let mut read: BTreeMap<(DestinationId, JobId, ProbeKind), (Resolution, Vec<Point>)> = BTreeMap::new();
    let mut found = Vec::with_capacity(wanted.len());
    for known in wanted {
        let lasts_ms = LOOK_BACK_MS.max(2_000 * i64::from(known.interval_s));
        let key = (known.destination, known.job, known.probe);
        let (resolution, points) = match read.entry(key) {
            Entry::Occupied(read) => read.into_mut(),
            Entry::Vacant(place) => {
                let query = SeriesQuery {
                    job: Some(known.job),
                    destination: known.destination,
                    probe: known.probe,
                    from: Timestamp::from_millis(from.saturating_sub(lasts_ms)),
                    to: Timestamp::from_millis(to.saturating_add(1)),
                    max_points,
                    as_of: moment.as_of,
                };
                let answer =
                    app.context.series.points(&*app.context.journal, &query).map_err(|error| error.to_string())?;
                place.insert((answer.resolution, answer.points))
            }
        };
        // What sums a span up is known at its end, and not before.
        let span = match resolution {
            Resolution::Raw => 0,
            Resolution::Seconds(seconds) => i64::from(*seconds) * 1_000,
        };
        let now = moment.now.as_millis();
        let at = |point: &Point| (point.at.as_millis() + span).min(now.max(point.at.as_millis()));
        found.push(Found {
            labels: known.labels.clone(),
            points: points.iter().filter_map(|point| Some((at(point), (known.metric.of)(point)?))).collect(),
            lasts_ms: lasts_ms.max(2 * span),
        });
    }
    Ok(found)
}
