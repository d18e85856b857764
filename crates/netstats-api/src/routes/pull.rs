//! `GET /api/export/stream`: the log by pages, for other stores to pull: what came after a position, as JSON lines (the
//! texts of `/ws`) or as InfluxDB line protocol. Each page says where the next begins, so a pull that broke off goes on
//! without gap or repeat.

use std::fmt::Write as _;
use std::sync::Arc;

use hyper::header::{HeaderName, HeaderValue};
use hyper::{Method, StatusCode};
use netstats_event::{Envelope, Position, Role};
use netstats_inventory::Inventory;
use serde_json::Value;

use super::live::FILTER;
use crate::app::App;
use crate::command::blocking;
use crate::declare::{ParamKind, param};
use crate::feed::Walk;
use crate::json::{row_text, update_text};
use crate::limits::{MAX_PULL_BYTES, MAX_PULL_LOOK, MAX_PULLED};
use crate::problem::Problem;
use crate::protocol::{Wanted, wanted_of};
use crate::reply::Reply;
use crate::route::{Call, Route, route};

/// Where the next page begins, whether or not there is anything yet.
const NEXT: HeaderName = HeaderName::from_static("x-next-from");
/// Events read from the log at a time.
const READ: usize = 1_024;
const FORMATS: [&str; 2] = ["jsonl", "influx"];

pub(crate) fn routes() -> Vec<Route<App>> {
    let pull = route(Method::GET, "/api/export/stream", pull)
        .says("live", "Updates of the log after a position, as JSON lines or InfluxDB line protocol, by pages")
        .query(&FILTER)
        .query(&[
            param("format", ParamKind::Word(&FORMATS), "`jsonl`, the texts of /ws; or `influx`, samples alone"),
            param("from", ParamKind::Whole(0, u64::MAX), "What came after this position; else from the oldest kept"),
            param("limit", ParamKind::Whole(1, MAX_PULLED as u64), "Lines of one page"),
        ])
        .gives_other("application/x-ndjson")
        .or_gives(&["text/plain"]);
    vec![pull]
}

/// A page in the making.
struct Page {
    text: String,
    lines: usize,
    walk: Walk,
    /// There is more by now.
    has_more: bool,
}

async fn pull(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    let wanted =
        Wanted { shows_access: call.who.is(Role::Admin), ..wanted_of(&call.query, &app.context.inventory.current())? };
    let is_influx = call.query.get("format") == Some(FORMATS[1]);
    let limit = call.limit(MAX_PULLED);
    let (first, head) = (app.context.journal.first(), app.visible());
    let from = call.query.get("from").and_then(|text| text.parse().ok()).map_or(Position(first.0 - 1), Position);
    if from.next() < first || from > head {
        let least = first.0.saturating_sub(1);
        let status = if from > head { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::GONE };
        return Err(Problem::new(
            status,
            "not-kept",
            format!("from is {from}, and the log holds what came after {least}"),
        )
        .field("from")
        .accepted(format!("a position from {least} to {head}"))
        .hint("begin again without `from`: what is older is gone"));
    }
    let turn = app.queries.clone().acquire_owned().await.map_err(|_| Problem::internal())?;
    let page = blocking(move || {
        let _turn = turn;
        page(&app, &wanted, is_influx, limit, from, head)
    });
    let page = page.await??;
    let content_type = if is_influx { "text/plain; charset=utf-8" } else { "application/x-ndjson" };
    let next = page.walk.past;
    let reply = Reply::new(StatusCode::OK)
        .body(HeaderValue::from_static(content_type), page.text)
        .header(NEXT, HeaderValue::from(next.0));
    Ok(if page.has_more { call.with_link(reply, "from", &next.to_string()) } else { reply })
}

fn page(
    app: &App,
    wanted: &Wanted,
    is_influx: bool,
    limit: usize,
    from: Position,
    head: Position,
) -> Result<Page, Problem> {
    let mut page = Page { text: String::new(), lines: 0, walk: Walk::after(app, from)?, has_more: true };
    let most = from.0.saturating_add(MAX_PULL_LOOK);
    while page.has_more && page.lines < limit && page.text.len() < MAX_PULL_BYTES && page.walk.past.0 < most {
        let (text, lines) = (&mut page.text, &mut page.lines);
        // A page may hold some lines less than its limit, never more: every event read is in it.
        page.has_more = page.walk.read(app, wanted, head, READ.min(limit - *lines), |envelope, inventory| {
            let before = text.len();
            if is_influx {
                influx(envelope, inventory, text);
            } else {
                text.push_str(&update_text(envelope, inventory));
                text.push('\n');
            }
            *lines += usize::from(text.len() > before);
        })?;
    }
    Ok(page)
}

/// Columns that are tags, and those that the line says otherwise.
const TAGS: [&str; 5] = ["job", "destination", "job_id", "destination_id", "status"];
const NOT_FIELDS: [&str; 2] = ["timestamp", "metric"];

/// A sample as a line: `network_stats_ping,job=...,destination=... response_time_ms=1.5,... 1795492800000000000`. What
/// is undefined is absent. All numbers are floating point, so that a field has one type for ever. Other events give
/// nothing.
fn influx(envelope: &Envelope, inventory: &Inventory, out: &mut String) {
    let (Some(head), Some(probe)) = (envelope.event.head(), envelope.event.probe()) else { return };
    let Some(Ok(Value::Object(row))) = row_text(envelope, inventory).map(|row| serde_json::from_slice(&row)) else {
        return;
    };
    let _ = write!(out, "network_stats_{}", probe.name());
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    for tag in TAGS {
        let text = row.get(tag).filter(|value| !value.is_null()).map(plain).unwrap_or_default();
        if !text.is_empty() {
            let _ = write!(out, ",{tag}={}", tag_text(&text));
        }
    }
    let fields = row.iter().filter(|(name, _)| !TAGS.contains(&name.as_str()) && !NOT_FIELDS.contains(&name.as_str()));
    let mut separator = ' ';
    for (name, value) in fields {
        let text = match value {
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            Value::String(text) => field_text(text),
            Value::Null | Value::Array(_) | Value::Object(_) => continue,
        };
        let _ = write!(out, "{separator}{name}={text}");
        separator = ',';
    }
    let _ = writeln!(out, " {}", head.slot_at.as_nanos());
}

/// Commas, equals signs and spaces have a meaning in a tag; a backslash at its end would take the next one's.
fn tag_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            ',' | '=' | ' ' => out.extend(['\\', c]),
            '\\' => out.push('/'),
            c if c.is_control() => out.push('_'),
            c => out.push(c),
        }
    }
    out
}

fn field_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' | '\r' => out.push(' '),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_breaks_a_line() {
        assert_eq!(tag_text("a b,c=d\\"), "a\\ b\\,c\\=d/");
        assert_eq!(tag_text("a\nb"), "a_b");
        assert_eq!(field_text("say \"no\"\\\n"), "\"say \\\"no\\\"\\\\ \"");
    }
}
