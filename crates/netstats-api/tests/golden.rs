//! The API as it is on the wire: the OpenAPI document, and one answer of every route, compared with `fixtures/api/`. A
//! change of either is seen by whoever reviews it:
//! `NETSTATS_BLESS=1 cargo test -p netstats-api --test golden` writes them anew.

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use netstats_api::{ProbeAsk, Probed, Reloaded};
use netstats_event::Event;
use serde_json::{Value, json};
use support::{Answer, NOW, Server, ping, start_with};

/// What differs from run to run: the journal's own clock, random secrets, how long something took.
const VARIES: [&str; 15] = [
    "since",
    "head",
    "recorded_at",
    "created_at",
    "updated_at",
    "request_id",
    "token",
    "csrf",
    "took_ms",
    "uptime_s",
    "started_at",
    "last_used_at",
    "expires_at",
    "digest",
    "version",
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/api")
}

fn masked(json: Value) -> Value {
    match json {
        Value::Object(entries) => Value::Object(
            entries
                .into_iter()
                .map(|(key, value)| {
                    let varies = VARIES.contains(&key.as_str()) && !value.is_null() && !value.is_object();
                    let value = if varies { json!("(varies)") } else { masked(value) };
                    (key, value)
                })
                .collect(),
        ),
        Value::Array(values) => values.into_iter().map(masked).collect(),
        other => other,
    }
}

/// Compares with the file, or writes it.
fn hold(name: &str, found: &str, wrong: &mut Vec<String>) {
    let path = folder().join(name);
    if std::env::var_os("NETSTATS_BLESS").is_some() {
        std::fs::create_dir_all(folder()).unwrap();
        std::fs::write(&path, found).unwrap();
        return;
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default().replace("\r\n", "\n");
    if golden != found {
        let differs = golden.lines().zip(found.lines()).position(|(a, b)| a != b);
        let line = differs.map_or_else(|| "its length".to_owned(), |at| format!("line {}", at + 1));
        wrong.push(format!("{name}: differs at {line}"));
    }
}

fn pretty(json: &Value) -> String {
    serde_json::to_string_pretty(json).unwrap() + "\n"
}

/// An answer as a file shows it.
fn shown(method: &str, path: &str, body: Option<&Value>, answer: &Answer) -> Value {
    let content_type = answer.header("content-type").unwrap_or_default();
    let told = match content_type {
        _ if answer.body.is_empty() => Value::Null,
        kind if kind.contains("json") && !kind.contains("ndjson") => masked(answer.json()),
        _ => {
            let text = String::from_utf8_lossy(&answer.body);
            // Of figures of the process itself, what they are; of lines of JSON, each.
            text.lines()
                .filter(|line| path != "/metrics" || line.starts_with('#'))
                .map(|line| serde_json::from_str(line).map_or_else(|_| json!(line), masked))
                .collect()
        }
    };
    json!({"request": {"method": method, "path": path, "body": body}, "status": answer.status,
        "content_type": content_type, "body": told})
}

/// A request and the route it is for.
struct Ask(&'static str, &'static str, String, Option<Value>);

fn ask(method: &'static str, route: &'static str, path: &str, body: Option<Value>) -> Ask {
    Ask(method, route, path.to_owned(), body)
}

fn look(route: &'static str, query: &str) -> Ask {
    ask("GET", route, &(route.replace(":id", "1") + query), None)
}

/// Every route once, in an order in which each has something to say; users last, since from the first on everybody needs
/// credentials.
fn requests() -> Vec<Ask> {
    let range = "start_time=2026-11-24T03:00:00Z&end_time=2026-11-24T05:00:00Z";
    let at = |route: &'static str, query: &str| look(route, &format!("?{query}{range}"));
    let window = json!({"title": "night", "start_time": "2026-11-24T22:00:00Z", "end_time": "2026-11-24T23:00:00Z"});
    let remark = json!({"title": "new router", "start_time": "2026-11-24T03:30:00Z", "destination_ids": [1]});
    vec![
        ask(
            "POST",
            "/api/destinations",
            "/api/destinations",
            Some(json!({"name": "three", "host": "192.0.2.3", "port": 443})),
        ),
        ask(
            "PUT",
            "/api/destinations/:id",
            "/api/destinations/3",
            Some(json!({"name": "three", "host": "192.0.2.3", "tags": ["lan"]})),
        ),
        ask("PATCH", "/api/destinations/:id", "/api/destinations/3", Some(json!({"description": "in the hall"}))),
        look("/api/destinations", ""),
        look("/api/destinations/:id", ""),
        ask("DELETE", "/api/destinations/:id", "/api/destinations/3", None),
        ask(
            "POST",
            "/api/jobs",
            "/api/jobs",
            Some(json!({"name": "web", "interval": "5m", "metrics": ["http"], "destinations": ["one"]})),
        ),
        ask(
            "PUT",
            "/api/jobs/:id",
            "/api/jobs/2",
            Some(json!({"name": "web", "interval": "10m", "metrics": ["http"], "destinations": ["one"]})),
        ),
        ask("PATCH", "/api/jobs/:id", "/api/jobs/2", Some(json!({"tags": ["web"]}))),
        ask("POST", "/api/jobs/:id/stop", "/api/jobs/2/stop", Some(json!({}))),
        ask("POST", "/api/jobs/:id/start", "/api/jobs/2/start", Some(json!({}))),
        ask("DELETE", "/api/jobs/:id", "/api/jobs/2", None),
        ask("POST", "/api/undo/:id", "/api/undo/(last)", None),
        look("/api/jobs", ""),
        look("/api/jobs/:id", ""),
        at("/api/jobs/:id/metrics", ""),
        at("/api/jobs/:id/analytics", ""),
        at("/api/destinations/:id/analytics", ""),
        at("/api/series", "destination=1&"),
        at("/api/compare", "destination=1&other=2&"),
        at("/api/top", ""),
        at("/api/outages", ""),
        at("/api/paths", "destination=1&"),
        at("/api/heatmap", "destination=1&"),
        at("/api/anomalies", "destination=1&"),
        at("/api/correlation", ""),
        at("/api/jobs/:id/export", "format=jsonl&"),
        at("/api/export", "format=csv&columns=timestamp,destination,response_time_ms&"),
        look("/api/export/stream", "?format=influx&limit=2"),
        look("/api/inventory", ""),
        ask(
            "POST",
            "/api/inventory",
            "/api/inventory",
            Some(json!({"destinations": [{"name": "four", "host": "192.0.2.4"}], "jobs": []})),
        ),
        ask(
            "POST",
            "/api/what-if",
            "/api/what-if",
            Some(json!({"start_time": "2026-11-24T03:00:00Z", "end_time": "2026-11-24T04:00:00Z"})),
        ),
        ask("POST", "/api/test", "/api/test", Some(json!({"host": "192.0.2.1", "metric": "ping"}))),
        ask("POST", "/api/annotations", "/api/annotations", Some(remark.clone())),
        ask("PUT", "/api/annotations/:id", "/api/annotations/1", Some(remark)),
        ask("PATCH", "/api/annotations/:id", "/api/annotations/1", Some(json!({"text": "it is faster"}))),
        look("/api/annotations", ""),
        look("/api/annotations/:id", ""),
        ask("DELETE", "/api/annotations/:id", "/api/annotations/1", None),
        ask("POST", "/api/maintenance", "/api/maintenance", Some(window.clone())),
        ask("PUT", "/api/maintenance/:id", "/api/maintenance/1", Some(window)),
        ask("PATCH", "/api/maintenance/:id", "/api/maintenance/1", Some(json!({"text": "late"}))),
        look("/api/maintenance", ""),
        look("/api/maintenance/:id", ""),
        ask("DELETE", "/api/maintenance/:id", "/api/maintenance/1", None),
        look("/api/accounting", ""),
        ask("PATCH", "/api/accounting", "/api/accounting", Some(json!({}))),
        look("/api/events", "?limit=2"),
        look("/api/prometheus/api/v1/query", "?query=network_stats_packet_loss_ratio"),
        look(
            "/api/prometheus/api/v1/query_range",
            "?query=network_stats_rtt_seconds&start=1795492200&end=1795492800&step=600",
        ),
        look("/api/prometheus/api/v1/labels", ""),
        look("/api/prometheus/api/v1/series", "?match[]=network_stats_jitter_seconds"),
        ask("GET", "/api/prometheus/api/v1/label/:id/values", "/api/prometheus/api/v1/label/destination/values", None),
        look("/api/prometheus/api/v1/metadata", ""),
        look("/api/prometheus/api/v1/status/buildinfo", ""),
        look("/api/health", ""),
        look("/metrics", ""),
        look("/api/policy", ""),
        look("/api/me", ""),
        ask("POST", "/api/config/reload", "/api/config/reload", Some(json!({}))),
        look("/api/users", ""),
        ask(
            "POST",
            "/api/users",
            "/api/users",
            Some(json!({"name": "ada", "role": "admin", "password": "correct horse battery"})),
        ),
        ask("POST", "/api/login", "/api/login", Some(json!({"name": "ada", "password": "correct horse battery"}))),
        ask("GET", "/api/users/:id", "/api/users/ada", None),
        ask("PATCH", "/api/users/:id", "/api/users/ada", Some(json!({"role": "admin"}))),
        ask("POST", "/api/tokens", "/api/tokens", Some(json!({"name": "script", "role": "viewer"}))),
        look("/api/tokens", ""),
        ask("DELETE", "/api/tokens/:id", "/api/tokens/1", None),
        ask(
            "POST",
            "/api/me/password",
            "/api/me/password",
            Some(json!({"old": "correct horse battery", "new": "battery horse correct"})),
        ),
        ask("DELETE", "/api/users/:id", "/api/users/ada", None),
        ask("POST", "/api/logout", "/api/logout", Some(json!({}))),
        ask(
            "POST",
            "/api/setup",
            "/api/setup",
            Some(json!({"token": "00", "name": "ada", "password": "correct horse battery"})),
        ),
    ]
}

/// Routes whose answers are held elsewhere: documents in files of their own, a stream that does not end, forms that ask
/// what a GET asks, one that is the same as the PATCH beside it, files with their ledger (`tests/exports.rs`), and a level
/// that only the program has (`tests/rest.rs`).
const ELSEWHERE: [(&str, &str); 20] = [
    ("GET", "/api/log-level"),
    ("PUT", "/api/log-level"),
    ("GET", "/api/exports"),
    ("POST", "/api/exports"),
    ("GET", "/api/exports/:id"),
    ("PUT", "/api/exports/:id"),
    ("PATCH", "/api/exports/:id"),
    ("DELETE", "/api/exports/:id"),
    ("POST", "/api/exports/:id/run"),
    ("POST", "/api/exports/:id/cancel"),
    ("GET", "/api/exports/:id/runs"),
    ("GET", "/api/exports/:id/file"),
    ("GET", "/api/openapi.json"),
    ("GET", "/api/asyncapi.json"),
    ("GET", "/api/stream"),
    ("POST", "/api/prometheus/api/v1/query"),
    ("POST", "/api/prometheus/api/v1/query_range"),
    ("POST", "/api/prometheus/api/v1/labels"),
    ("POST", "/api/prometheus/api/v1/series"),
    ("PUT", "/api/accounting"),
];

async fn server() -> Server {
    let server = start_with(|context| {
        context.version = "0.0.0";
        context.reload = Some(Arc::new(|| Ok(Reloaded { position: 1, ..Reloaded::default() })));
        context.probe = Some(Arc::new(|ask: ProbeAsk| {
            let event = ping(ask.head.job.0, ask.head.destination.0, ask.head.slot_at.as_millis());
            Box::pin(async move { Ok(Probed { event, answers: Vec::new() }) })
        }));
    })
    .await;
    server.furnish().await;
    let mut events: Vec<Event> = Vec::new();
    for minute in 0..10 {
        events.extend([ping(1, 1, NOW - 60_000 * (9 - minute)), ping(1, 2, NOW - 60_000 * (9 - minute))]);
    }
    server.append(events);
    server
}

/// The headers of who has just logged in.
fn credentials(login: &Answer) -> Vec<(String, String)> {
    let cookie = login.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let csrf = login.json()["csrf"].as_str().unwrap().to_owned();
    vec![("cookie".to_owned(), cookie), ("x-nsc-csrf".to_owned(), csrf)]
}

#[tokio::test]
async fn the_api_on_the_wire_is_what_it_was() {
    let server = server().await;
    let mut wrong = Vec::new();
    let document = server.get("/api/openapi.json").await.json();
    hold("openapi.json", &pretty(&document), &mut wrong);
    let mut session: Vec<(String, String)> = Vec::new();
    let mut covered: BTreeSet<(&str, &str)> = ELSEWHERE.into();
    for Ask(method, route, path, body) in requests() {
        let last = server.journal.head().last;
        let path = path.replace("(last)", &last.to_string());
        let mut headers: Vec<(&str, &str)> =
            session.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        if body.is_some() {
            headers.push((
                "content-type",
                if method == "PATCH" { "application/merge-patch+json" } else { "application/json" },
            ));
        }
        let bytes = body.as_ref().map(|body| serde_json::to_vec(body).unwrap());
        let answer = server.ask(method, &path, &headers, bytes.as_deref()).await;
        if path == "/api/login" {
            session = credentials(&answer);
        } else if path == "/api/me/password" {
            // It has ended the session.
            let login = json!({"name": "ada", "password": "battery horse correct"});
            session = credentials(&server.post("/api/login", &login).await);
        }
        let name = format!("{method}{}.json", route.replace(['/', ':', '.'], "_"));
        hold(&name, &pretty(&shown(method, &path, body.as_ref(), &answer)), &mut wrong);
        assert!(covered.insert((method, route)), "{method} {route} is asked twice");
        if answer.status >= 400 && !matches!(route, "/api/setup" | "/api/users/:id") {
            wrong.push(format!("{method} {path}: {} {}", answer.status, String::from_utf8_lossy(&answer.body)));
        }
    }
    for route in netstats_api::routes() {
        assert!(covered.contains(&route), "{route:?} has no golden answer");
    }
    server.stop().await;
    assert!(
        wrong.is_empty(),
        "the API changed; if that is meant: NETSTATS_BLESS=1 cargo test -p netstats-api --test golden\n{}",
        wrong.join("\n")
    );
}
