//! Many destinations and jobs at once: out as JSON or CSV, and in again.

use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::HeaderValue;
use netstats_event::DestinationSpec;
use netstats_inventory::{Command, DesiredJob, Inventory};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::app::App;
use crate::command::{blocking, carry_out};
use crate::csv;
use crate::declare::{AS_OF, Param, ParamKind, param};
use crate::json::{DestinationJson, Fields, JobJson, Json, ReadBy, parse, read_destination, read_job_by_names};
use crate::moment::Moment;
use crate::problem::Problem;
use crate::reply::{JSON, Reply, to_bytes};
use crate::route::Call;
use crate::routes::jobs::read_by;

/// The bodies that an import takes.
pub(crate) const TYPES: &[&str] = &["application/json", "text/csv"];
pub(crate) const EXPORT: &[Param] = &[
    param("format", ParamKind::Word(&["json", "csv"]), "JSON holds both; CSV the destinations, or what `entries` says"),
    param("entries", ParamKind::Word(&["destinations", "jobs"]), "These alone"),
    AS_OF,
];
pub(crate) const IMPORT: &[Param] = &[param("dry_run", ParamKind::Flag, "Say what would change, and change nothing")];

/// Columns of a CSV of destinations.
const COLUMNS: [&str; 7] = ["name", "host", "port", "display_name", "description", "tags", "status"];
/// Columns of a CSV of jobs. Hours and options are JSON, as in a job's own.
const JOB_COLUMNS: [&str; 15] = [
    "name",
    "interval_s",
    "metrics",
    "destinations",
    "destination_tags",
    "enabled",
    "description",
    "tags",
    "start_time",
    "end_time",
    "active_hours",
    "packets",
    "spacing_ms",
    "timeout_ms",
    "options",
];

/// All destinations and jobs, as an import takes them.
#[derive(Serialize, ToSchema)]
#[schema(as = Bulk)]
pub(crate) struct BulkJson<'a> {
    destinations: Vec<DestinationJson<'a>>,
    jobs: Vec<JobJson<'a>>,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape of a body that `import` reads field by field")]
pub(crate) struct BulkInput {
    destinations: Option<Vec<crate::json::DestinationInput>>,
    jobs: Option<Vec<crate::json::JobInput>>,
}

/// What an import did, or would do.
#[derive(Serialize, ToSchema)]
#[schema(as = Imported)]
pub(crate) struct ImportedJson {
    /// Events appended: entries added and changed.
    changed: usize,
    position: u64,
    dry_run: bool,
}

/// `GET /api/inventory`
pub(crate) async fn export(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    let (format, entries) = (call.query.get("format").map(str::to_owned), call.query.get("entries").map(str::to_owned));
    let inventory = match call.query.get("as_of") {
        None => app.context.inventory.current(),
        Some(_) => blocking(move || Moment::of(&app, &call)).await??.inventory,
    };
    let has = |name: &str| entries.as_deref().is_none_or(|entries| entries == name);
    let destinations = inventory.destinations.values().filter(|_| has("destinations"));
    let jobs = inventory.jobs.values().filter(|_| has("jobs")).map(|job| JobJson::new(job, &inventory, None));
    if format.as_deref() == Some("csv") {
        let text: String = if entries.as_deref() == Some("jobs") {
            std::iter::once(csv::record(JOB_COLUMNS)).chain(jobs.map(|job| job_row(&job))).collect()
        } else {
            std::iter::once(csv::record(COLUMNS)).chain(destinations.map(|it| destination_row(&it.spec))).collect()
        };
        return Ok(Reply::new(StatusCode::OK).body(HeaderValue::from_static("text/csv; charset=utf-8"), text));
    }
    let bulk = BulkJson {
        destinations: destinations.map(|destination| DestinationJson::plain(destination)).collect(),
        jobs: jobs.collect(),
    };
    Ok(Reply::new(StatusCode::OK).body(JSON, to_bytes(&bulk)))
}

fn destination_row(spec: &DestinationSpec) -> String {
    let tags: Vec<&str> = spec.tags.iter().map(String::as_str).collect();
    let fields = [
        csv::guarded(&spec.name),
        csv::guarded(&spec.host),
        spec.port.map_or_else(String::new, |port| port.to_string()),
        csv::guarded(spec.display_name.as_deref().unwrap_or_default()),
        csv::guarded(spec.description.as_deref().unwrap_or_default()),
        csv::guarded(&csv::joined(&tags)),
        if spec.paused { "paused" } else { "active" }.to_owned(),
    ];
    csv::record(fields.iter().map(String::as_str))
}

fn job_row(job: &JobJson<'_>) -> String {
    let json = serde_json::to_value(job).expect("our shapes have string keys and finite numbers");
    let fields = JOB_COLUMNS.map(|name| match &json[name] {
        Value::Null => String::new(),
        Value::String(text) => csv::guarded(text),
        Value::Array(items) => csv::guarded(&csv::joined(&items.iter().filter_map(Value::as_str).collect::<Vec<_>>())),
        other => other.to_string(),
    });
    csv::record(fields.iter().map(String::as_str))
}

/// `POST /api/inventory`: adds each entry, or changes the one of its name; all of them or none.
pub(crate) async fn import(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    let is_csv = call
        .headers
        .get(hyper::header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().get(..8).is_some_and(|start| start.eq_ignore_ascii_case(b"text/csv")));
    let by = read_by(&app);
    let (destinations, jobs) = if is_csv { read_csv(&call.body, by)? } else { read_json(&call.body, by)? };
    let wish = |_: &Inventory| Ok(Command::Import { destinations: destinations.clone(), jobs: jobs.clone() });
    if call.query.get("dry_run") == Some("true") {
        let state = app.context.inventory.current();
        let policy = (app.context.policy)();
        let events = netstats_inventory::decide(&state, wish(&state)?, &app.meta(&call), &policy)?;
        return Ok(Reply::json(&ImportedJson { changed: events.len(), position: state.position.0, dry_run: true }));
    }
    let done = carry_out(&app, app.meta(&call), wish).await?;
    Ok(Reply::json(&ImportedJson { changed: done.events.len(), position: done.position.0, dry_run: false }))
}

type Entries = (Vec<DestinationSpec>, Vec<DesiredJob>);

fn read_json(body: &[u8], by: ReadBy) -> Result<Entries, Problem> {
    let json = parse(body)?;
    let mut fields = Fields::of(&json, "")?;
    let list = |fields: &mut Fields<'_>, name: &'static str| match fields.value(name) {
        None => Ok(Vec::new()),
        Some(Json::List(entries)) => Ok(entries.clone()),
        Some(_) => Err(fields.refuse(name, "is no list", "a list of objects")),
    };
    let (destinations, jobs) = (list(&mut fields, "destinations")?, list(&mut fields, "jobs")?);
    fields.done()?;
    let under = |name: &'static str, i: usize| {
        move |problem: Problem| match problem.field.clone() {
            Some(field) => problem.field(format!("{name}[{i}].{field}")),
            None => problem.field(format!("{name}[{i}]")),
        }
    };
    let destinations = destinations.iter().enumerate();
    let destinations = destinations.map(|(i, json)| read_destination(json).map_err(under("destinations", i)));
    let jobs = jobs.iter().enumerate().map(|(i, json)| read_job_by_names(json, by).map_err(under("jobs", i)));
    Ok((destinations.collect::<Result<_, _>>()?, jobs.collect::<Result<_, _>>()?))
}

/// Destinations, or jobs where a column is one that only jobs have.
fn read_csv(body: &[u8], by: ReadBy) -> Result<Entries, Problem> {
    let text = std::str::from_utf8(body).map_err(|_| Problem::malformed("the body is not UTF-8"))?;
    let mut records = csv::records(text.trim_start_matches('\u{feff}'))?.into_iter();
    let header = records.next().ok_or_else(|| Problem::invalid("the body is empty").accepted(COLUMNS.join(",")))?;
    let are_jobs = header.iter().any(|name| ["metrics", "interval", "interval_s"].contains(&name.as_str()));
    let columns: Vec<&str> =
        if are_jobs { JOB_COLUMNS.into_iter().chain(["interval"]).collect() } else { COLUMNS.to_vec() };
    check_header(&header, &columns)?;
    let (mut destinations, mut jobs) = (Vec::new(), Vec::new());
    for (i, record) in records.enumerate() {
        let line = i + 2;
        let under = |problem: Problem| {
            let field = problem.field.clone().unwrap_or_default();
            problem.field(format!("record {line}: {field}"))
        };
        if record.len() != header.len() {
            return Err(Problem::invalid(format!("record {line} has {} fields", record.len()))
                .field(format!("record {line}"))
                .accepted(format!("{} fields, as the first record", header.len())));
        }
        let entries = header.iter().zip(&record).filter(|(_, text)| !text.is_empty());
        let entries = entries.map(|(name, text)| Ok((name.clone(), cell(name, csv::unguarded(text))?)));
        let json = Json::Object(entries.collect::<Result<_, Problem>>().map_err(under)?);
        if are_jobs {
            jobs.push(read_job_by_names(&json, by).map_err(under)?);
        } else {
            destinations.push(read_destination(&json).map_err(under)?);
        }
    }
    Ok((destinations, jobs))
}

fn check_header(header: &[String], columns: &[&str]) -> Result<(), Problem> {
    for (i, column) in header.iter().enumerate() {
        if !columns.contains(&column.as_str()) {
            let problem = Problem::invalid(format!("there is no column {column:?}")).field("header");
            let columns = columns.iter().copied();
            let accepted = columns.clone().collect::<Vec<_>>().join(", ");
            return Err(crate::nearest::hint(problem.accepted(accepted), column, columns));
        }
        if header[..i].contains(column) {
            return Err(Problem::invalid(format!("the column {column:?} is there twice")).field("header"));
        }
    }
    Ok(())
}

/// A field as the JSON of its column; what is not of its column's kind stays a text, which the reader refuses by name.
fn cell(name: &str, text: &str) -> Result<Json, Problem> {
    Ok(match name {
        "port" | "interval_s" | "packets" | "spacing_ms" | "timeout_ms" => {
            text.parse::<u64>().map_or_else(|_| Json::Text(text.to_owned()), |number| Json::Number(number.into()))
        }
        // Spreadsheets write them large.
        "enabled" if text.eq_ignore_ascii_case("true") => Json::Bool(true),
        "enabled" if text.eq_ignore_ascii_case("false") => Json::Bool(false),
        "tags" | "metrics" | "destinations" | "destination_tags" => {
            Json::List(csv::split(text).map(|item| Json::Text(item.to_owned())).collect())
        }
        "active_hours" | "options" => {
            parse(text.as_bytes()).map_err(|problem| problem.field(name).accepted("JSON, as a job's own"))?
        }
        _ => Json::Text(text.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BY: ReadBy = ReadBy { now: netstats_event::Timestamp::from_secs(0), floor_s: 60 };

    fn destinations(text: &str) -> Vec<DestinationSpec> {
        let (destinations, jobs) = read_csv(text.as_bytes(), BY).unwrap();
        assert!(jobs.is_empty());
        destinations
    }

    #[test]
    fn what_goes_out_as_csv_comes_in_the_same() {
        let spec = DestinationSpec {
            name: "a \"b\", c".into(),
            host: "192.0.2.1".into(),
            port: Some(443),
            display_name: Some("=SUM(A1)".into()),
            description: Some("two\r\nlines, 'quoted'".into()),
            tags: vec!["x;1".into(), "y z".into()],
            paused: true,
            ..DestinationSpec::default()
        };
        let plain = DestinationSpec { name: "n".into(), host: "h.test".into(), ..DestinationSpec::default() };
        let text = COLUMNS.join(",") + "\r\n" + &destination_row(&spec) + &destination_row(&plain);
        assert!(text.contains("'=SUM(A1)"), "{text}");
        assert_eq!(destinations(&text), [spec, plain]);
    }

    #[test]
    fn a_wrong_record_is_named() {
        let field = |text: &str| read_csv(text.as_bytes(), BY).unwrap_err().field.clone();
        assert_eq!(field("name,hots\na,b").as_deref(), Some("header"));
        assert_eq!(field("name,host,name\na,b,c").as_deref(), Some("header"));
        assert_eq!(field("name,host\na").as_deref(), Some("record 2"));
        assert_eq!(field("name,host\n\na,192.0.2.1\n,192.0.2.2\n").as_deref(), Some("record 3: name"));
        assert_eq!(field("name,host,port\na,b,x").as_deref(), Some("record 2: port"));
        let job = |fields: &str| field(&format!("name,metrics,interval,enabled,options\n{fields}"));
        assert_eq!(job("j,pong,60s,true,").as_deref(), Some("record 2: metrics[0]"));
        assert_eq!(job("j,ping,,true,").as_deref(), Some("record 2: interval"));
        assert_eq!(job("j,ping,60s,yes,").as_deref(), Some("record 2: enabled"));
        assert_eq!(job("j,ping,60s,TRUE,{").as_deref(), Some("record 2: options"));
        assert_eq!(job("j,ping,60s,TRUE,\"{\"\"pin\"\":{}}\"").as_deref(), Some("record 2: options.pin"));
        assert_eq!(field("name,metrics,host\na,ping,b").as_deref(), Some("header"));
        let read = |body: &[u8]| read_csv(body, BY);
        assert!(read(b"name,host\n\"a,b").is_err() && read(&[0xff]).is_err() && read(b"").is_err());
    }
}
