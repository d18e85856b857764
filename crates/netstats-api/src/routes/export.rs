//! Files to take away: rows, and the report as an Excel workbook, with its proof or without.

use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::{CONTENT_DISPOSITION, HeaderValue};
use netstats_event::JobId;
use netstats_export::{CsvStyle, Format, columns_named};

use super::range::{DAY, DESTINATIONS, destinations, job_named, metric, range, word};
use crate::app::App;
use crate::declare::{AS_OF, END_TIME, Param, ParamKind, START_TIME, TZ, param};
use crate::exports::Wish;
use crate::limits::MAX_TITLE_CHARS;
use crate::moment::{self, Moment};
use crate::problem::Problem;
use crate::reply::Reply;
use crate::route::Call;
use crate::stream::Stream;

/// What a file may be, in the order of [`Format::NAMES`].
pub(crate) const MEDIA_TYPES: [&str; 6] = [
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "text/csv",
    "application/json",
    "application/x-ndjson",
    "application/vnd.apache.parquet",
    "application/zip",
];
const FORMAT: Param = param(
    "format",
    ParamKind::Word(&Format::NAMES),
    "The kind of file; else xlsx, the report; pack is the report with the records it was made of, signed",
);
const JOBS: Param = param("job", ParamKind::List, "Only what these jobs measured, by name or id");
const TAGS: Param = param("tag", ParamKind::List, "Only destinations with one of these tags");
const METRICS: Param = param("metric", ParamKind::List, "Only these metrics; else those of the jobs");
const TITLE: Param = param("title", ParamKind::Text, "The report's title");
const COLUMNS: Param =
    param("columns", ParamKind::List, "These columns, in this order (not of pack; of xlsx in the raw data)");
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
        named.map(|id| job_named(&moment.inventory, id)).collect()
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
    let wanted = moment::answer(app.clone(), call, move |app, call, moment| {
        wish(call, moment, jobs(call, moment)?)?.settle(app, moment)
    })
    .await?;
    let (media_type, name) = (wanted.export.format.media_type(), wanted.file.clone());
    let stream = Stream::made_by(move |out| {
        let _turn = turn;
        wanted.write(&app, out, |_| Ok(())).map(drop)
    });
    attachment(media_type, &name, stream)
}

/// A file that is sent while it is made or read.
pub(super) fn attachment(media_type: &'static str, name: &str, stream: Stream) -> Result<Reply, Problem> {
    let disposition =
        HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")).map_err(|_| Problem::internal())?;
    let reply = Reply::new(StatusCode::OK).stream(HeaderValue::from_static(media_type), stream);
    Ok(reply.header(CONTENT_DISPOSITION, disposition))
}

fn wish(call: &Call, moment: &Moment, jobs: Vec<JobId>) -> Result<Wish, Problem> {
    let list = |name| {
        let text: &str = call.query.get(name).unwrap_or_default();
        text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    let columns = call.query.get("columns").map(|text| {
        columns_named(text.split(',').map(str::trim)).map_err(|name| super::metrics::no_column("columns", name))
    });
    Ok(Wish {
        format: format(call)?,
        jobs,
        destinations: destinations(call, &moment.inventory)?,
        tags: list("tag"),
        metrics: list("metric").iter().map(|name| metric(name)).collect::<Result<_, _>>()?,
        columns: columns.transpose()?,
        range: range(call, moment.now, DAY)?,
        zone: call.zone()?,
        zone_name: call.query.get("tz").unwrap_or("UTC").to_owned(),
        title: title(call)?,
    })
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

fn title(call: &Call) -> Result<Option<String>, Problem> {
    match call.query.get("title").map(str::trim) {
        Some(title) if title.chars().count() > MAX_TITLE_CHARS => Err(Problem::invalid("the title is too long")
            .field("title")
            .accepted(format!("{MAX_TITLE_CHARS} characters"))),
        title => Ok(title.filter(|title| !title.is_empty()).map(str::to_owned)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_media_types_are_those_of_the_files() {
        for (name, told) in Format::NAMES.into_iter().zip(MEDIA_TYPES) {
            let is = Format::from_name(name).map(Format::media_type).unwrap_or_default();
            assert_eq!(is.split(';').next(), Some(told), "{name}");
        }
    }
}
