//! Export jobs: made when they are due or asked for, once, whole or not at all, and told in the ledger.

mod support;

use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use netstats_api::ApiContext;
use netstats_event::{Draft, Echo, Event, Kind, Position, Record, Timestamp};
use netstats_export::{SigningKey, verify_pack};
use netstats_log::{Log, MemoryLog, ReadLimit};
use serde_json::{Value, json};
use support::{BOUND, NOW, Server, ping, start, start_on};

const MINUTE: i64 = 60_000;
const DAY: i64 = 86_400_000;

fn exporting(folder: &Path) -> impl FnOnce(&mut ApiContext) {
    let folder = folder.to_owned();
    |context| {
        context.exports_folder = Some(folder);
        context.signing_key = Some(Arc::new(SigningKey::from_seed(&[3; 32])));
    }
}

/// Two days of two destinations, an hour apart, up to now.
async fn measured(folder: &Path) -> Server {
    let server = start_on(Arc::default(), exporting(folder)).await;
    server.furnish().await;
    server.append((1..=48).flat_map(|hour| [1, 2].map(|id| ping(1, id, NOW - hour * 60 * MINUTE))).collect());
    server
}

/// Waits until an export has so many runs; newest first.
async fn runs(server: &Server, export: u32, count: usize) -> Vec<Value> {
    loop {
        let seen = Position(server.journal.head().last);
        let list = server.get(&format!("/api/exports/{export}/runs")).await.is(200);
        let items = list["items"].as_array().unwrap().clone();
        if items.len() >= count {
            return items;
        }
        let (journal, runner) = (server.journal.clone(), server.runner.clone());
        let waited = tokio::task::spawn_blocking(move || {
            let tail = journal.wait(seen, BOUND);
            tail.0 > seen.0 + 1 && runner.wait_for(Position(tail.0 - 1), BOUND)
        });
        assert!(waited.await.unwrap(), "run {} of export {export} did not end: {items:?}", items.len() + 1);
    }
}

/// The log of a stopped server takes nothing any more.
fn copy(log: &MemoryLog) -> Arc<MemoryLog> {
    let copy = MemoryLog::default();
    for record in log.read(log.first(), ReadLimit::default()).unwrap() {
        let Record { kind, version, recorded_at, payload, .. } = record;
        copy.append(&[Draft { kind, version, recorded_at, payload }]).unwrap();
    }
    Arc::new(copy)
}

fn millis(time: &Value) -> i64 {
    let time: jiff::Timestamp = time.as_str().unwrap().parse().unwrap();
    time.as_millisecond()
}

fn files(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<_> = entries
        .filter_map(Result::ok)
        .flat_map(|entry| match entry.path().is_dir() {
            true => files(&entry.path()),
            false => vec![entry.file_name().to_string_lossy().into_owned()],
        })
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_file_is_made_when_somebody_asks_and_the_ledger_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let server = measured(folder.path()).await;
    let wish = json!({"name": "Two days", "jobs": ["pings"], "range": "last 48 hours", "format": "csv",
        "metrics": ["ping"], "time_zone": "Europe/Berlin", "folder": "office/csv", "keep": 2});
    let made = server.post("/api/exports", &wish).await;
    assert_eq!(made.header("location"), Some("/api/exports/1"));
    let made = made.is(201);
    assert_eq!((&made["range"], &made["state"]["name"]), (&json!("last-48-hours"), &json!("idle")));
    server.send("POST", "/api/exports/two%20days/run?reason=for%20the%20provider", &json!({})).await.is(202);

    let ledger = runs(&server, 1, 1).await;
    let run = &ledger[0];
    assert_eq!((&run["outcome"], &run["rows"]), (&json!("done"), &json!(96)), "{run}");
    assert_eq!((&run["actor"], &run["reason"]), (&json!("api:local"), &json!("for the provider")));
    let name = format!("network-stats-Two-days-20261122-20261124-as-of-{}.csv", run["as_of"]);
    assert_eq!(run["file"], format!("office/csv/{name}"));
    let by_ledger = server.get(run["href"].as_str().unwrap()).await;
    assert!(by_ledger.header("content-disposition").unwrap().contains(&name));
    let (from, to) = (run["start_time"].as_str().unwrap(), run["end_time"].as_str().unwrap());
    let asked = format!("/api/export?format=csv&job=pings&metric=ping&start_time={from}&end_time={to}");
    assert_eq!(by_ledger.body, server.get(&asked).await.body);
    assert_eq!(run["blake3"], blake3::hash(&by_ledger.body).to_hex().as_str());
    assert_eq!(run["bytes"], by_ledger.body.len());

    // Of four, the two newest stay; the ledger tells of all.
    for count in 2..=4 {
        server.post("/api/exports/1/run", &json!({})).await.is(202);
        runs(&server, 1, count).await;
    }
    server.post("/api/exports/1/run", &json!({})).await.is(202);
    let ledger = runs(&server, 1, 5).await;
    assert_eq!(files(folder.path()).len(), 2, "{:?}", files(folder.path()));
    assert!(ledger[4].get("href").is_none(), "{}", ledger[4]);
    server.get(&format!("/api/exports/1/file?run={}", ledger[4]["run"])).await.refuses(404, None);
    server.stop().await;
}

#[tokio::test]
async fn a_schedule_makes_one_file_for_each_time_also_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let log: Arc<MemoryLog> = Arc::default();
    let server = start_on(log.clone(), exporting(folder.path())).await;
    server.furnish().await;
    let wish = json!({"name": "daily", "range": "yesterday", "format": "jsonl", "schedule": {"at": ["06:30"]}});
    let made = server.post("/api/exports", &wish).await.is(201);
    // Times count from when it was recorded, which the journal's own clock says.
    server.now.store(millis(&made["updated_at"]), Ordering::Relaxed);
    let first = millis(&server.get("/api/exports/1").await.is(200)["state"]["next_run"]);
    assert_eq!(first.rem_euclid(DAY), 390 * MINUTE);
    server.now.store(first + MINUTE, Ordering::Relaxed);
    let ledger = runs(&server, 1, 1).await;
    assert_eq!(millis(&ledger[0]["scheduled_for"]), first);
    assert_eq!(millis(&ledger[0]["start_time"]), first - 390 * MINUTE - DAY);
    assert_eq!(millis(&ledger[0]["end_time"]), first - 390 * MINUTE);
    assert_eq!((&ledger[0]["outcome"], &ledger[0]["actor"]), (&json!("done"), &json!("system")));
    server.stop().await;

    // Three days later: of the times that were missed the last is made, and nothing a second time.
    let again = start_on(copy(&log), |context| {
        exporting(folder.path())(context);
        context.clock = Arc::new(move || Timestamp::from_millis(first + 3 * DAY + 100 * MINUTE));
    })
    .await;
    let ledger = runs(&again, 1, 2).await;
    assert_eq!(millis(&ledger[0]["scheduled_for"]), first + 3 * DAY);
    again.send("PATCH", "/api/exports/1", &json!({"enabled": false})).await.is(200);
    assert_eq!(runs(&again, 1, 2).await.len(), 2);
    assert_eq!(files(folder.path()).len(), 2);
    again.stop().await;
}

#[tokio::test]
async fn a_failure_says_why_and_leaves_nothing_half() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("exports");
    std::fs::write(&place, "a file where the folder should be").unwrap();
    let server = measured(&place).await;
    server.post("/api/exports", &json!({"name": "x", "range": "last-24-hours"})).await.is(201);
    server.post("/api/exports/1/run", &json!({})).await.is(202);
    let ledger = runs(&server, 1, 1).await;
    assert_eq!(ledger[0]["outcome"], "failed");
    assert!(ledger[0]["error"].as_str().unwrap().contains("exports"), "{}", ledger[0]);
    assert!(ledger[0]["file"].is_null());
    assert_eq!(files(folder.path()), ["exports"]);
    server.stop().await;
}

#[tokio::test]
async fn a_pack_that_ends_now_in_an_open_outage_holds() {
    let now = Timestamp::from_nanos(NOW * 1_000_000 + 345_678);
    let adjust = |context: &mut ApiContext| {
        context.clock = Arc::new(move || now);
        context.signing_key = Some(Arc::new(SigningKey::from_seed(&[3; 32])));
    };
    let server = start_on(Arc::default(), adjust).await;
    server.furnish().await;
    let silent = |minute: i64| {
        let mut event = ping(1, 1, NOW - minute * MINUTE);
        if let Event::PingMeasured(burst) = &mut event
            && minute < 30
        {
            burst.echoes = vec![Echo::Lost; 5];
        }
        event
    };
    server.append((1..=60).rev().map(silent).collect());
    let pack = server.get("/api/export?format=pack&start_time=now-2h").await;
    let verdict = verify_pack(Cursor::new(&pack.body), None).unwrap();
    assert_eq!(verdict.problems.as_slice(), &[] as &[String]);
    server.stop().await;
}

#[tokio::test]
async fn an_evidence_pack_from_the_door_holds() {
    let folder = tempfile::tempdir().unwrap();
    let server = measured(folder.path()).await;
    let pack = server.get("/api/jobs/pings/export?format=pack&start_time=now-30h&tz=Europe/Berlin").await;
    assert_eq!((pack.status, pack.header("content-type")), (200, Some("application/zip")));
    assert!(pack.header("content-disposition").unwrap().ends_with(".zip\""));
    let key = SigningKey::from_seed(&[3; 32]).public_hex();
    let verdict = verify_pack(Cursor::new(&pack.body), Some(&key)).unwrap();
    assert_eq!((verdict.problems.as_slice(), verdict.records), (&[] as &[String], 60));

    // The same by an export job.
    server.post("/api/exports", &json!({"name": "proof", "range": "last-30-hours", "format": "pack"})).await.is(201);
    server.post("/api/exports/1/run", &json!({})).await.is(202);
    let ledger = runs(&server, 1, 1).await;
    let file = server.get(ledger[0]["href"].as_str().unwrap()).await.body;
    assert!(verify_pack(Cursor::new(file), Some(&key)).unwrap().holds());
    server.stop().await;

    let keyless = start().await;
    keyless.furnish().await;
    keyless.get("/api/jobs/1/export?format=pack").await.refuses(503, None);
    keyless.stop().await;
}

#[tokio::test]
async fn an_export_that_is_not_being_made_cannot_be_called_off() {
    let folder = tempfile::tempdir().unwrap();
    let server = measured(folder.path()).await;
    server.post("/api/exports", &json!({"name": "x", "range": "today"})).await.is(201);
    server.post("/api/exports/1/cancel", &json!({})).await.refuses(409, None);
    server.post("/api/exports/2/cancel", &json!({})).await.refuses(404, None);
    server.stop().await;
}

#[tokio::test]
async fn wrong_wishes_are_refused_with_their_field() {
    let folder = tempfile::tempdir().unwrap();
    let server = measured(folder.path()).await;
    let good = json!({"name": "x", "range": "yesterday"});
    for (field, value) in [
        ("name", json!("")),
        ("range", json!("the day before")),
        ("time_zone", json!("Mars/Olympus")),
        ("format", json!("exe")),
        ("keep", json!(0)),
        ("keep", json!(101)),
        ("folder", json!("../../etc")),
        ("folder", json!("/etc")),
        ("folder", json!("nul")),
        ("jobs[0]", json!(["nobody"])),
        ("destinations[0]", json!(["nobody"])),
        ("metrics[0]", json!(["pong"])),
        ("schedule.at", json!({"at": []})),
        ("schedule.at[0]", json!({"at": ["25:00"]})),
        ("schedule.weekdays[0]", json!({"at": ["06:00"], "weekdays": ["someday"]})),
        ("schedule.month_days", json!({"at": ["06:00"], "month_days": [32]})),
    ] {
        let mut wish = good.clone();
        wish[field.split(['[', '.']).next().unwrap()] = value;
        server.post("/api/exports", &wish).await.refuses(422, Some(field));
    }
    server.post("/api/exports", &good).await.is(201);
    server.post("/api/exports", &json!({"name": "X", "range": "today"})).await.refuses(409, Some("name"));
    server.stop().await;
}

#[tokio::test]
async fn a_change_is_on_record_and_a_removed_export_leaves_its_files() {
    let folder = tempfile::tempdir().unwrap();
    let server = measured(folder.path()).await;
    let made =
        server.post("/api/exports", &json!({"name": "x", "range": "last-2-days", "format": "csv"})).await.is(201);
    server.post("/api/exports/1/run", &json!({})).await.is(202);
    runs(&server, 1, 1).await;
    server.send("PUT", "/api/exports/1", &made).await.is(200);
    let patched =
        server.send("PATCH", "/api/exports/x", &json!({"keep": 3, "schedule": {"at": ["00:15"]}})).await.is(200);
    assert_eq!((&patched["keep"], &patched["schedule"]["at"][0]), (&json!(3), &json!("00:15")));
    server.send("DELETE", "/api/exports/1", &json!({})).await.is(200);
    server.get("/api/exports/1").await.refuses(404, None);
    assert_eq!(files(folder.path()).len(), 1);
    let kinds: Vec<_> = server
        .journal
        .read(server.journal.first(), ReadLimit::default())
        .unwrap()
        .iter()
        .filter_map(|envelope| envelope.event.kind())
        .filter(|kind| (151..=155).contains(&kind.code()))
        .collect();
    let expected = [
        Kind::ExportJobCreated,
        Kind::ExportRunRequested,
        Kind::ExportRunFinished,
        Kind::ExportJobUpdated,
        Kind::ExportJobDeleted,
    ];
    assert_eq!(kinds, expected);
    server.stop().await;
}
