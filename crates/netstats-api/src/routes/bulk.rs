//! Many destinations and jobs at once: out as JSON or CSV, and in again.

use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::HeaderValue;
use netstats_event::{DestinationSpec, Timestamp};
use netstats_inventory::{Command, DesiredJob, Inventory};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::command::{blocking, carry_out};
use crate::declare::{AS_OF, Param, ParamKind, param};
use crate::json::{DestinationJson, Fields, JobJson, Json, parse, read_destination, read_job_by_names};
use crate::moment::Moment;
use crate::problem::Problem;
use crate::reply::{JSON, Reply, to_bytes};
use crate::route::Call;

/// The bodies that an import takes.
pub(crate) const TYPES: &[&str] = &["application/json", "text/csv"];
pub(crate) const EXPORT: &[Param] =
    &[param("format", ParamKind::Word(&["json", "csv"]), "CSV holds the destinations alone"), AS_OF];
pub(crate) const IMPORT: &[Param] = &[param("dry_run", ParamKind::Flag, "Say what would change, and change nothing")];

/// Columns of the CSV.
const COLUMNS: [&str; 7] = ["name", "host", "port", "display_name", "description", "tags", "status"];

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
    let format = call.query.get("format").map(str::to_owned);
    let inventory = match call.query.get("as_of") {
        None => app.context.inventory.current(),
        Some(_) => blocking(move || Moment::of(&app, &call)).await??.inventory,
    };
    let destinations = inventory.destinations.values();
    if format.as_deref() == Some("csv") {
        let rows = destinations.map(|destination| csv_row(&destination.spec));
        let text: String = std::iter::once(COLUMNS.join(",") + "\r\n").chain(rows).collect();
        return Ok(Reply::new(StatusCode::OK).body(HeaderValue::from_static("text/csv; charset=utf-8"), text));
    }
    let bulk = BulkJson {
        destinations: destinations.map(|destination| DestinationJson::plain(destination)).collect(),
        jobs: inventory.jobs.values().map(|job| JobJson::new(job, &inventory, None)).collect(),
    };
    Ok(Reply::new(StatusCode::OK).body(JSON, to_bytes(&bulk)))
}

/// RFC 4180. A text that a spreadsheet would take for a formula gets an apostrophe, which the import takes off again.
fn csv_row(spec: &DestinationSpec) -> String {
    let text = |text: &str| {
        let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\'']) { "'" } else { "" };
        let text = format!("{guard}{text}");
        if text.contains(['"', ',', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
    };
    let fields = [
        text(&spec.name),
        text(&spec.host),
        spec.port.map_or_else(String::new, |port| port.to_string()),
        text(spec.display_name.as_deref().unwrap_or_default()),
        text(spec.description.as_deref().unwrap_or_default()),
        text(&spec.tags.join(";")),
        if spec.paused { "paused" } else { "active" }.to_owned(),
    ];
    fields.join(",") + "\r\n"
}

/// `POST /api/inventory`: adds each entry, or changes the one of its name; all of them or none.
pub(crate) async fn import(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    let is_csv = call
        .headers
        .get(hyper::header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().get(..8).is_some_and(|start| start.eq_ignore_ascii_case(b"text/csv")));
    let (destinations, jobs) =
        if is_csv { (read_csv(&call.body)?, Vec::new()) } else { read_json(&call.body, app.now())? };
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

fn read_json(body: &[u8], now: Timestamp) -> Result<Entries, Problem> {
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
    let jobs = jobs.iter().enumerate().map(|(i, json)| read_job_by_names(json, now).map_err(under("jobs", i)));
    Ok((destinations.collect::<Result<_, _>>()?, jobs.collect::<Result<_, _>>()?))
}

fn read_csv(body: &[u8]) -> Result<Vec<DestinationSpec>, Problem> {
    let text = std::str::from_utf8(body).map_err(|_| Problem::malformed("the body is not UTF-8"))?;
    let mut records = records(text.trim_start_matches('\u{feff}'))?.into_iter();
    let header = records.next().ok_or_else(|| Problem::malformed("the body is empty").accepted(COLUMNS.join(",")))?;
    for column in &header {
        if !COLUMNS.contains(&column.as_str()) {
            let problem = Problem::invalid(format!("there is no column {column:?}")).field("header");
            return Err(crate::nearest::hint(problem.accepted(COLUMNS.join(", ")), column, COLUMNS.into_iter()));
        }
    }
    let mut specs = Vec::new();
    for (i, record) in records.enumerate() {
        let line = i + 2;
        if record.len() != header.len() {
            return Err(Problem::invalid(format!("record {line} has {} fields", record.len()))
                .field(format!("record {line}"))
                .accepted(format!("{} fields, as the first record", header.len())));
        }
        let entries = header.iter().zip(record).filter(|(_, text)| !text.is_empty());
        let json = Json::Object(entries.map(|(name, text)| (name.clone(), cell(name, text))).collect());
        specs.push(read_destination(&json).map_err(|problem| {
            let field = problem.field.clone().unwrap_or_default();
            problem.field(format!("record {line}: {field}"))
        })?);
    }
    Ok(specs)
}

fn cell(name: &str, text: String) -> Json {
    let text = text.strip_prefix('\'').map(str::to_owned).unwrap_or(text);
    match (name, text.parse::<u64>()) {
        ("port", Ok(port)) => Json::Number(port.into()),
        ("tags", _) => Json::List(
            text.split(';').map(str::trim).filter(|t| !t.is_empty()).map(|t| Json::Text(t.to_owned())).collect(),
        ),
        _ => Json::Text(text),
    }
}

/// RFC 4180, with either line end; records of one empty field are left out.
fn records(text: &str) -> Result<Vec<Vec<String>>, Problem> {
    let (mut records, mut record, mut field) = (Vec::new(), Vec::new(), String::new());
    let (mut chars, mut is_quoted, mut line) = (text.chars().peekable(), false, 1);
    let end = |record: &mut Vec<String>, field: &mut String, records: &mut Vec<Vec<String>>| {
        record.push(std::mem::take(field));
        let record = std::mem::take(record);
        if record.len() > 1 || !record[0].is_empty() {
            records.push(record);
        }
    };
    while let Some(c) = chars.next() {
        match c {
            '"' if is_quoted && chars.peek() == Some(&'"') => field.extend(chars.next()),
            '"' if is_quoted => is_quoted = false,
            '"' if field.is_empty() => is_quoted = true,
            ',' if !is_quoted => record.push(std::mem::take(&mut field)),
            '\r' if !is_quoted && chars.peek() == Some(&'\n') => {}
            '\n' if !is_quoted => {
                line += 1;
                end(&mut record, &mut field, &mut records);
            }
            c => {
                line += usize::from(c == '\n');
                field.push(c);
            }
        }
    }
    if is_quoted {
        return Err(Problem::malformed(format!("a quoted field is open at the end, line {line}")));
    }
    end(&mut record, &mut field, &mut records);
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_out_as_csv_comes_in_the_same() {
        let spec = DestinationSpec {
            name: "a \"b\", c".into(),
            host: "192.0.2.1".into(),
            port: Some(443),
            display_name: Some("=SUM(A1)".into()),
            description: Some("two\r\nlines, 'quoted'".into()),
            tags: vec!["x".into(), "y z".into()],
            paused: true,
            ..DestinationSpec::default()
        };
        let plain = DestinationSpec { name: "n".into(), host: "h.test".into(), ..DestinationSpec::default() };
        let text = COLUMNS.join(",") + "\r\n" + &csv_row(&spec) + &csv_row(&plain);
        assert!(text.contains("'=SUM(A1)"), "{text}");
        assert_eq!(read_csv(text.as_bytes()).unwrap(), [spec, plain]);
    }

    #[test]
    fn a_wrong_record_is_named() {
        let field = |text: &str| read_csv(text.as_bytes()).unwrap_err().field.clone();
        assert_eq!(field("name,hots\na,b").as_deref(), Some("header"));
        assert_eq!(field("name,host\na").as_deref(), Some("record 2"));
        assert_eq!(field("name,host\n\na,192.0.2.1\n,192.0.2.2\n").as_deref(), Some("record 3: name"));
        assert_eq!(field("name,host,port\na,b,x").as_deref(), Some("record 2: port"));
        assert!(read_csv(b"name,host\n\"a,b").is_err() && read_csv(&[0xff]).is_err() && read_csv(b"").is_err());
    }
}
