//! A job's rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use netstats_event::{DestinationId, JobId, Metric, Position, Timestamp};
use netstats_export::{Column, JsonStyle, JsonWriter, Line, columns_for, columns_named};
use netstats_inventory::Inventory;
use netstats_series::{Cursor, RawQuery, Row};
use utoipa::openapi::schema::ArrayBuilder;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::app::App;
use crate::declare::{AS_OF, CURSOR, END_TIME, Param, ParamKind, START_TIME, param};
use crate::moment::{self, Moment};
use crate::problem::Problem;
use crate::reply::{JSON, Reply};
use crate::route::Call;

use super::range::{DAY, destination, metric, range};

/// Rows of an answer where `limit` does not say.
const DEFAULT_ROWS: usize = 10_000;
pub(crate) const PARAMS: &[Param] = &[
    START_TIME,
    END_TIME,
    param("limit", ParamKind::Text, "Rows of one page"),
    CURSOR,
    param("metric", ParamKind::List, "Only these metrics"),
    param("destination", ParamKind::List, "Only these destinations, by name or id"),
    param("order", ParamKind::Word(&["asc", "desc"]), "Oldest first, or newest"),
    param("fields", ParamKind::List, "These columns, in this order"),
    AS_OF,
];

/// A list of rows: an object each, with the columns asked for.
pub(crate) struct Rows;

impl PartialSchema for Rows {
    fn schema() -> RefOr<Schema> {
        ArrayBuilder::new().items(crate::openapi::any_object()).into()
    }
}

impl ToSchema for Rows {}

/// Where a page ended: after `taken` rows of the event at (slot, position).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Page {
    at: Timestamp,
    position: Position,
    taken: usize,
}

impl Page {
    fn text(self) -> String {
        format!("{}.{}.{}", self.at.as_millis(), self.position, self.taken)
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        let mut parts = text.split('.');
        let page = (|| {
            let at = Timestamp::from_millis(parts.next()?.parse().ok()?);
            let position = Position(parts.next()?.parse().ok()?);
            // An event has a row for each metric at most.
            let taken = parts.next()?.parse().ok().filter(|taken| *taken <= Metric::ALL.len())?;
            parts.next().is_none().then_some(Self { at, position, taken })
        })();
        page.ok_or_else(|| {
            Problem::invalid("cursor is not one of ours")
                .field("cursor")
                .hint("follow the address in the Link header as it is, or leave the cursor out")
        })
    }
}

/// What is asked for, once understood.
struct Wanted {
    query: RawQuery,
    columns: Vec<&'static Column>,
    rows: usize,
    page: Option<Page>,
}

/// `GET /api/jobs/{id}/metrics`
pub(crate) async fn of_job(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    moment::answer(app, call, |app, call, moment| {
        let (job, metrics) = job_of(&moment.inventory, &call.id)?;
        let wanted = understand(app, call, moment, job, metrics)?;
        let (bytes, next) = answer(app, moment, wanted)?;
        let reply = Reply::new(hyper::StatusCode::OK).body(JSON, bytes);
        Ok(match next {
            Some(next) => call.with_next(reply, next.text()),
            None => reply,
        })
    })
    .await
}

/// The job's id and metrics. A removed job's samples are still there, under its id.
pub(crate) fn job_of(inventory: &Inventory, id: &str) -> Result<(JobId, Vec<Metric>), Problem> {
    let id = super::jobs::find_ever(inventory, id)?;
    Ok((id, inventory.jobs.get(&id).map(|job| job.spec.metrics.clone()).unwrap_or_default()))
}

fn understand(app: &App, call: &Call, moment: &Moment, job: JobId, of_job: Vec<Metric>) -> Result<Wanted, Problem> {
    let inventory = &moment.inventory;
    let get = |name| call.query.get(name);
    let (from, to) = range(call, moment.now, DAY)?;
    let most = app.context.limits.rows;
    let rows = match get("limit") {
        None => DEFAULT_ROWS.min(most),
        Some(text) => text.parse().ok().filter(|rows| (1..=most).contains(rows)).ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            Problem::invalid(format!("limit is {shown:?}"))
                .field("limit")
                .accepted(format!("a whole number from 1 to {most}"))
        })?,
    };
    let newest_first = get("order") == Some("desc");
    let metrics = match get("metric") {
        None => of_job,
        Some(text) => text.split(',').map(|name| metric(name.trim())).collect::<Result<_, _>>()?,
    };
    let destinations = match get("destination") {
        None => Vec::new(),
        Some(text) => text.split(',').map(|id| destination(inventory, id.trim())).collect::<Result<_, _>>()?,
    };
    let columns = match get("fields") {
        None => columns_for(&metrics),
        Some(text) => columns_named(text.split(',').map(str::trim)).map_err(|name| no_column("fields", name))?,
    };
    let page = get("cursor").map(Page::parse).transpose()?;
    // The page's event is read again when some of its rows are still to come: the cursor before it is the one whose
    // position is next to it, on the side the reading comes from.
    let after = page.map(|page| Cursor {
        at: page.at,
        position: match (page.taken, newest_first) {
            (0, _) => page.position,
            (_, false) => Position(page.position.0.saturating_sub(1)),
            (_, true) => page.position.next(),
        },
    });
    let per_event = metrics_of_an_event(&metrics);
    let taken = page.map_or(0, |page| page.taken);
    let limit = (rows + taken).div_ceil(per_event);
    let query =
        RawQuery { job: Some(job), destinations, metrics, from, to, limit, after, newest_first, as_of: moment.as_of };
    Ok(Wanted { query, columns, rows, page })
}

/// A column that there is not.
pub(super) fn no_column(field: &'static str, name: &str) -> Problem {
    let all = netstats_export::COLUMNS.iter().map(|column| column.name);
    let problem = Problem::invalid(format!("there is no column {name:?}"))
        .field(field)
        .accepted(all.clone().collect::<Vec<_>>().join(", "));
    crate::nearest::hint(problem, name, all)
}

/// The most rows that one event gives.
fn metrics_of_an_event(metrics: &[Metric]) -> usize {
    let asked: &[Metric] = if metrics.is_empty() { &Metric::ALL } else { metrics };
    asked.iter().map(|one| asked.iter().filter(|other| other.probe() == one.probe()).count()).max().unwrap_or(1)
}

fn answer(app: &App, moment: &Moment, wanted: Wanted) -> Result<(Vec<u8>, Option<Page>), Problem> {
    let Wanted { query, columns, rows: most, page } = wanted;
    let found = app.context.series.raw(&*app.context.journal, &query)?;
    let events = count_events(&found);
    let skip = match (page, found.first()) {
        (Some(page), Some(first)) if first.position == page.position => page.taken,
        _ => 0,
    };
    let rows = &found[skip.min(found.len())..];
    let shown = &rows[..most.min(rows.len())];
    let next = shown.last().filter(|_| rows.len() > shown.len() || events >= query.limit).map(|last| {
        let taken = found[..skip + shown.len()].iter().rev().take_while(|row| row.position == last.position).count();
        let is_whole = rows.get(shown.len()).is_none_or(|row| row.position != last.position);
        Page { at: last.at, position: last.position, taken: if is_whole { 0 } else { taken } }
    });
    let mut names = Names::new(app, moment);
    let mut writer = JsonWriter::new(Vec::with_capacity(shown.len() * 512 + 2), columns, JsonStyle::Array)
        .map_err(|_| Problem::internal())?;
    for row in shown {
        writer.write(&names.line(row)).map_err(|_| Problem::internal())?;
    }
    Ok((writer.finish().map_err(|_| Problem::internal())?, next))
}

fn count_events(rows: &[Row]) -> usize {
    rows.chunk_by(|a, b| a.position == b.position).count()
}

/// Names by id as they are at the moment; removed entries have the name they had last.
struct Names<'a> {
    app: &'a App,
    moment: &'a Moment,
    gone_jobs: BTreeMap<JobId, String>,
    gone_destinations: BTreeMap<DestinationId, String>,
}

impl<'a> Names<'a> {
    fn new(app: &'a App, moment: &'a Moment) -> Self {
        Self { app, moment, gone_jobs: BTreeMap::new(), gone_destinations: BTreeMap::new() }
    }

    fn line<'r>(&'r mut self, row: &'r Row) -> Line<'r> {
        if !self.moment.inventory.jobs.contains_key(&row.job) && !self.gone_jobs.contains_key(&row.job) {
            let name = self.moment.last_job_name(self.app, row.job);
            self.gone_jobs.insert(row.job, name.unwrap_or_default());
        }
        let id = row.destination;
        if !self.moment.inventory.destinations.contains_key(&id) && !self.gone_destinations.contains_key(&id) {
            let name = self.moment.last_destination(self.app, id).map(|spec| spec.name);
            self.gone_destinations.insert(id, name.unwrap_or_default());
        }
        let job =
            self.moment.inventory.jobs.get(&row.job).map(|job| &job.spec.name).or_else(|| self.gone_jobs.get(&row.job));
        let destination = self
            .moment
            .inventory
            .destinations
            .get(&id)
            .map(|d| &d.spec.name)
            .or_else(|| self.gone_destinations.get(&id));
        Line { row, job: job.map_or("", String::as_str), destination: destination.map_or("", String::as_str) }
    }
}
