//! Files to take away: rows, and the report as an Excel workbook.

use std::io;
use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::{CONTENT_DISPOSITION, HeaderValue};
use netstats_event::{DestinationId, JobId, Metric, Timestamp};
use netstats_export::{CsvStyle, Export, Format, Names, ReportHead, columns_for, columns_named};
use netstats_inventory::Inventory;
use netstats_series::RawQuery;

use super::range::{DAY, DESTINATIONS, destinations, metric, range, word};
use crate::app::App;
use crate::declare::{AS_OF, END_TIME, Param, ParamKind, START_TIME, TZ, param};
use crate::limits::{EXPORT_EVENTS_AT_ONCE, MAX_TITLE_CHARS};
use crate::moment::{self, Moment};
use crate::problem::Problem;
use crate::reply::Reply;
use crate::route::Call;
use crate::stream::Stream;

const FORMAT: Param = param("format", ParamKind::Word(&Format::NAMES), "The kind of file; else xlsx, the report");
const JOBS: Param = param("job", ParamKind::List, "Only what these jobs measured, by name or id");
const TAGS: Param = param("tag", ParamKind::List, "Only destinations with one of these tags");
const METRICS: Param = param("metric", ParamKind::List, "Only these metrics; else those of the jobs");
const TITLE: Param = param("title", ParamKind::Text, "The report's title");
const COLUMNS: Param = param("columns", ParamKind::List, "These columns, in this order (not of xlsx)");
const SEPARATOR: Param =
    param("separator", ParamKind::Word(&["comma", "semicolon", "tab"]), "Between the fields of csv; else comma");
const DECIMAL_COMMA: Param = param("decimal_comma", ParamKind::Flag, "csv with a decimal comma");
const BOM: Param = param("bom", ParamKind::Flag, "csv with a byte order mark, which Excel wants");
const RAW_TEXT: Param = param("raw_text", ParamKind::Flag, "csv without the ' in front of what looks like a formula");

/// Of a job's file.
pub(crate) const OF_JOB: &[Param] = &[
    FORMAT,
    START_TIME,
    END_TIME,
    DESTINATIONS,
    TAGS,
    METRICS,
    TZ,
    TITLE,
    COLUMNS,
    SEPARATOR,
    DECIMAL_COMMA,
    BOM,
    RAW_TEXT,
    AS_OF,
];
/// Of a file over several jobs.
pub(crate) const OF_MANY: &[Param] = &[
    FORMAT,
    START_TIME,
    END_TIME,
    JOBS,
    DESTINATIONS,
    TAGS,
    METRICS,
    TZ,
    TITLE,
    COLUMNS,
    SEPARATOR,
    DECIMAL_COMMA,
    BOM,
    RAW_TEXT,
    AS_OF,
];

/// What is asked for, once understood.
struct Wanted {
    export: Export,
    query: RawQuery,
    /// More than one job: the query is over all of them.
    among: Vec<JobId>,
    file: String,
}

/// `GET /api/jobs/{id}/export`
pub(crate) async fn of_job(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    send(app, call, |call, moment| {
        let (job, _) = super::metrics::job_of(&moment.inventory, &call.id)?;
        Ok(vec![job])
    })
    .await
}

/// `GET /api/export`
pub(crate) async fn of_many(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    send(app, call, |call, moment| {
        let named = call.query.get("job").unwrap_or_default();
        let named = named.split(',').map(str::trim).filter(|id| !id.is_empty());
        named.map(|id| super::range::job_named(&moment.inventory, id)).collect()
    })
    .await
}

/// Waits for a turn, then sends the file while it is made: memory does not grow with it.
async fn send(
    app: Arc<App>,
    call: Call,
    jobs: fn(&Call, &Moment) -> Result<Vec<JobId>, Problem>,
) -> Result<Reply, Problem> {
    let turn = app.exports.clone().acquire_owned().await.map_err(|_| Problem::internal())?;
    let Wanted { export, query, among, file } =
        moment::answer(app.clone(), call, move |app, call, moment| understand(app, call, moment, jobs(call, moment)?))
            .await?;
    let media_type = HeaderValue::from_static(export.format.media_type());
    let stream = Stream::made_by(move |out| {
        let _turn = turn;
        let portions = app.context.series.portions(&*app.context.journal, &query, EXPORT_EVENTS_AT_ONCE);
        let portions = portions.map(|portion| {
            let mut events = portion.map_err(io::Error::other)?;
            if !among.is_empty() {
                events.retain(|event| event.event.head().is_some_and(|head| among.contains(&head.job)));
            }
            Ok(events)
        });
        export.write(portions, out).map(drop)
    });
    let disposition =
        HeaderValue::from_str(&format!("attachment; filename=\"{file}\"")).map_err(|_| Problem::internal())?;
    Ok(Reply::new(StatusCode::OK).stream(media_type, stream).header(CONTENT_DISPOSITION, disposition))
}

fn understand(app: &App, call: &Call, moment: &Moment, jobs: Vec<JobId>) -> Result<Wanted, Problem> {
    let inventory = &moment.inventory;
    let (from, to) = range(call, moment.now, DAY)?;
    let format = format(call)?;
    let metrics = metrics(call, inventory, &jobs)?;
    let columns = match call.query.get("columns") {
        None => columns_for(&metrics),
        Some(text) => {
            columns_named(text.split(',').map(str::trim)).map_err(|name| super::metrics::no_column("columns", name))?
        }
    };
    let destinations = chosen(call, inventory)?;
    let names = names(app, moment);
    let scope = scope(inventory, &jobs, &destinations, call.query.get("tag"));
    let head = ReportHead {
        title: title(call, inventory, &jobs)?,
        scope,
        range: from..to,
        time_zone: call.zone()?,
        time_zone_name: call.query.get("tz").unwrap_or("UTC").to_owned(),
        generated_at: app.now(),
        generator: format!("Network Stats Collector {}", app.context.version),
        position: moment.position(app),
        chain: chain(app, moment)?,
    };
    let file = file_name(inventory, &jobs, &head, format);
    let query = RawQuery {
        job: if let [job] = jobs[..] { Some(job) } else { None },
        destinations,
        metrics: metrics.clone(),
        from,
        to,
        as_of: Some(head.position),
        ..RawQuery::default()
    };
    let among = if jobs.len() > 1 { jobs } else { Vec::new() };
    Ok(Wanted { export: Export { format, head, names, metrics, columns }, query, among, file })
}

fn format(call: &Call) -> Result<Format, Problem> {
    let name = call.query.get("format").unwrap_or(Format::NAMES[0]);
    let flag = |name| call.query.get(name) == Some("true");
    match Format::from_name(name) {
        Some(Format::Csv(_)) => {
            let separator = word(call, "separator", &[("comma", b','), ("semicolon", b';'), ("tab", b'\t')])?;
            let decimal_comma = flag("decimal_comma");
            if decimal_comma && separator == b',' {
                return Err(Problem::invalid("a decimal comma needs another separator than the comma")
                    .field("separator")
                    .accepted("semicolon, tab"));
            }
            let (byte_order_mark, guard_formulas) = (flag("bom"), !flag("raw_text"));
            Ok(Format::Csv(CsvStyle { separator, decimal_comma, byte_order_mark, guard_formulas }))
        }
        Some(format) => Ok(format),
        None => Err(Problem::invalid(format!("there is no format {name:?}"))
            .field("format")
            .accepted(Format::NAMES.join(", "))),
    }
}

/// Those asked for, else those of the jobs, else all, in the order in which they are shown.
fn metrics(call: &Call, inventory: &Inventory, jobs: &[JobId]) -> Result<Vec<Metric>, Problem> {
    if let Some(text) = call.query.get("metric") {
        return text.split(',').map(|name| metric(name.trim())).collect();
    }
    let known: Vec<_> = match jobs {
        [] => inventory.jobs.values().collect(),
        jobs => jobs.iter().filter_map(|job| inventory.jobs.get(job)).collect(),
    };
    let is_measured = |metric: &Metric| known.is_empty() || known.iter().any(|job| job.spec.metrics.contains(metric));
    Ok(Metric::ALL.into_iter().filter(is_measured).collect())
}

/// Named destinations, and those with the tags; empty for all.
fn chosen(call: &Call, inventory: &Inventory) -> Result<Vec<DestinationId>, Problem> {
    let mut chosen = destinations(call, inventory)?;
    if let Some(tags) = call.query.get("tag") {
        let tags: Vec<&str> = tags.split(',').map(str::trim).collect();
        let has = |it: &str| tags.contains(&it);
        let tagged = inventory.destinations.values().filter(|it| it.spec.tags.iter().any(|tag| has(tag)));
        let before = chosen.len();
        chosen.extend(tagged.map(|destination| destination.id));
        if chosen.len() == before {
            return Err(Problem::invalid(format!("no destination has the tag {}", tags.join(" or "))).field("tag"));
        }
    }
    chosen.sort_unstable();
    chosen.dedup();
    Ok(chosen)
}

/// The names at the moment, those of removed entries included.
fn names(app: &App, moment: &Moment) -> Names {
    let inventory = &moment.inventory;
    let mut names = Names::of(inventory);
    for id in (1..inventory.next_job.0).map(JobId).filter(|id| !inventory.jobs.contains_key(id)) {
        if let Some(name) = moment.last_job_name(app, id) {
            names.add_job(id, &name);
        }
    }
    for id in (1..inventory.next_destination.0).map(DestinationId) {
        if !inventory.destinations.contains_key(&id)
            && let Some(spec) = moment.last_destination(app, id)
        {
            names.add_destination(id, &spec.name, &spec.host);
        }
    }
    names
}

fn job_names(inventory: &Inventory, jobs: &[JobId]) -> String {
    let name = |id: &JobId| inventory.jobs.get(id).map_or_else(|| format!("job {id}"), |job| job.spec.name.clone());
    jobs.iter().map(name).collect::<Vec<_>>().join(", ")
}

fn title(call: &Call, inventory: &Inventory, jobs: &[JobId]) -> Result<String, Problem> {
    match call.query.get("title") {
        Some(title) if title.chars().count() > MAX_TITLE_CHARS => Err(Problem::invalid("the title is too long")
            .field("title")
            .accepted(format!("{MAX_TITLE_CHARS} characters"))),
        Some(title) if !title.trim().is_empty() => Ok(title.trim().to_owned()),
        _ if jobs.is_empty() => Ok("Network quality".to_owned()),
        _ => Ok(format!("Network quality: {}", job_names(inventory, jobs))),
    }
}

fn scope(inventory: &Inventory, jobs: &[JobId], destinations: &[DestinationId], tag: Option<&str>) -> String {
    let jobs = if jobs.is_empty() { "all jobs".to_owned() } else { format!("jobs: {}", job_names(inventory, jobs)) };
    let name = |id: &DestinationId| {
        inventory.destinations.get(id).map_or_else(|| format!("destination {id}"), |it| it.spec.name.clone())
    };
    match (tag, destinations) {
        (Some(tag), _) => format!("{jobs}; destinations tagged {tag}"),
        (None, []) => format!("{jobs}; all their destinations"),
        (None, some) => format!("{jobs}; destinations: {}", some.iter().map(name).collect::<Vec<_>>().join(", ")),
    }
}

/// The chain's value at the last position that the report can know.
fn chain(app: &App, moment: &Moment) -> Result<String, Problem> {
    let position = moment.position(app);
    Ok(app.context.journal.chain_at(position)?.map(|chain| chain.to_string()).unwrap_or_default())
}

/// Of our own making: letters, digits and `-` (CWE-73), so that no system finds anything special in it.
fn file_name(inventory: &Inventory, jobs: &[JobId], head: &ReportHead, format: Format) -> String {
    let day = |at: Timestamp| {
        let at = jiff::Timestamp::from_second(at.as_secs()).unwrap_or_default();
        head.time_zone.to_datetime(at).strftime("%Y%m%d").to_string()
    };
    let of = job_names(inventory, jobs);
    let plain: String = of.chars().map(|it| if it.is_ascii_alphanumeric() { it } else { '-' }).take(60).collect();
    let plain = plain.trim_matches('-');
    let dash = if plain.is_empty() { "" } else { "-" };
    let last = Timestamp::from_millis(head.range.end.as_millis() - 1);
    format!("network-stats{dash}{plain}-{}-{}.{}", day(head.range.start), day(last), format.name())
}
