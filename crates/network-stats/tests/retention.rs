//! Retention in the real program: old samples are summarised, hours answer as before, and the log is still proved.
#![expect(clippy::disallowed_methods, reason = "tests keep time")]

mod support;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use netstats_event::*;
use netstats_log::{FjallLog, Journal};
use support::{Product, run, said};

const MINUTE_MS: i64 = 60_000;

/// A data folder with two destinations measured every minute, from four days ago to an hour ago, sealed by the day.
fn old_data(data: &Path, destinations: &[u32], job: u32) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let now = i64::try_from(now.as_millis()).unwrap() / MINUTE_MS;
    let log = Arc::new(FjallLog::open(data.join("log")).unwrap());
    let journal = Journal::open(log.clone()).unwrap();
    for day in 0..4_i64 {
        let minutes = now - (4 - day) * 1_440..(now - (3 - day) * 1_440).min(now - 60);
        let burst = |(minute, destination): (i64, u32)| {
            let head = SampleHead {
                job: JobId(job),
                destination: DestinationId(destination),
                slot_at: Timestamp::from_millis(minute * MINUTE_MS),
                lateness_us: 100,
                flags: SampleFlags::default(),
            };
            let noise = u32::try_from((minute * 7_919).rem_euclid(900)).unwrap();
            let event = PingMeasured {
                head,
                address: "127.0.0.1".parse().unwrap(),
                transport: Transport::IcmpDatagram,
                clock: ClockSource::Kernel,
                payload_bytes: 56,
                spacing_ms: 100,
                timeout_ms: 2_000,
                echoes: (0..10).map(|i| Echo::Reply(Rtt::from_micros(5_000 + noise + i * 11))).collect(),
                ttl: Some(64),
                duplicates: 0,
                reordered: 0,
                bad_replies: 0,
            };
            (Timestamp::from_millis(minute * MINUTE_MS + 1_000), event.into())
        };
        let all: Vec<(i64, u32)> =
            minutes.flat_map(|minute| destinations.iter().map(move |destination| (minute, *destination))).collect();
        journal.submit_recorded(all.into_iter().map(burst).collect()).wait().unwrap();
        log.seal_now().unwrap();
    }
}

fn config(folder: &Path, retention: &str) -> String {
    let path = folder.join("test.ron");
    let text = format!(
        r#"(
            retention: ({retention}),
            starter: (
                destinations: [(name: "one", host: "127.0.0.1", status: paused), (name: "two", host: "127.0.0.2", status: paused)],
                jobs: [(name: "pings", enabled: false, interval: "60s", metrics: [ping], destinations: ["one", "two"])],
            ),
        )"#
    );
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn command(data: &Path, config: &str, arguments: &[&str]) -> String {
    let output = run(&[arguments, &["--data-dir", data.to_str().unwrap(), "--config", config]].concat());
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", said(&output));
    said(&output)
}

const HOURS: &str = "/api/series?destination=one&start_time=now-5d&end_time=now&max_points=200";

#[test]
fn old_samples_are_summarised_hours_answer_as_before_and_a_kill_in_the_middle_is_survived() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let for_ever = config(folder.path(), "");
    // The first start puts the starter in; then days pass, so to say.
    let product = Product::start(&data, &["--config", &for_ever]);
    let id = |name: &str, of: &str| {
        let items = product.get(of);
        let item = items["items"].as_array().unwrap().iter().find(|item| item["name"] == name).unwrap().clone();
        u32::try_from(item["id"].as_u64().unwrap()).unwrap()
    };
    let (destinations, job) =
        ([id("one", "/api/destinations"), id("two", "/api/destinations")], id("pings", "/api/jobs"));
    assert_eq!(product.stop().0.code(), Some(0));
    old_data(&data, &destinations, job);

    let product = Product::start(&data, &["--config", &for_ever]);
    let before = product.get(HOURS);
    assert_eq!((before["resolution"].as_str(), before["raw_from"].as_u64()), (Some("3600s"), Some(1)), "{before}");
    assert_eq!(product.stop().0.code(), Some(0));

    // Killed again and again while it summarises.
    let two_days = config(folder.path(), r#"raw: (ping: "2d")"#);
    for _ in 0..3 {
        Product::start(&data, &["--config", &two_days]).kill();
    }
    let product = Product::start(&data, &["--config", &two_days]);
    let health = product.until("/api/health", |health| health["log"]["raw_from"].as_u64() > Some(4_000));
    assert_eq!(health["problems"].as_array().map(Vec::len), Some(0), "{health}");
    let after = product.get(HOURS);
    assert_eq!(after["columns"], before["columns"], "hours answer as before");
    assert!(after["raw_from"].as_u64() > Some(4_000));
    let fine = product.get("/api/series?destination=one&start_time=now-5d&end_time=now&max_points=9000");
    assert_eq!(fine["resolution"], "3600s", "minutes of old samples are not made up");
    let young = product.get("/api/series?destination=one&start_time=now-3h&end_time=now&max_points=9000");
    assert_eq!(young["resolution"], "raw", "{young}");
    let (status, gone) = product.ask("GET", &format!("{HOURS}&as_of=1500"), None).unwrap();
    assert_eq!((status, gone["type"].as_str().map(|text| text.ends_with("gone"))), (410, Some(true)), "{gone}");
    let rows = product.get(&format!("/api/jobs/{job}/metrics?start_time=now-4d&end_time=now-3d&limit=5"));
    assert!(rows.to_string().contains("gone by retention"), "{rows}");
    assert_eq!(product.stop().0.code(), Some(0));

    let text = command(&data, &two_days, &["log", "verify"]);
    assert!(text.contains("samples are summarised by retention"), "{text}");
    let text = command(&data, &two_days, &["log", "stat"]);
    assert!(text.contains("summarised 201 ping_measured") && text.contains("samples_summarised"), "{text}");
    let text = command(&data, &two_days, &["views", "rebuild"]);
    assert!(!text.contains("not what it was"), "{text}");
    let kept = folder.path().join("kept");
    command(&data, &two_days, &["log", "backup", kept.to_str().unwrap()]);
    let anew = folder.path().join("anew");
    command(&anew, &two_days, &["log", "restore", kept.to_str().unwrap()]);
    command(&anew, &two_days, &["log", "verify"]);
    let product = Product::start(&anew, &["--config", &two_days]);
    assert_eq!(product.get(HOURS)["columns"], before["columns"], "also after a restore, with views made anew");
    assert_eq!(product.stop().0.code(), Some(0));
}

#[test]
fn what_retention_cannot_be_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    for (text, words) in [
        (r#"max_size: "5MB""#, ["retention", "200MB"]),
        (r#"raw: (ping: "1h")"#, ["1d", "out of range"]),
        (r#"raw: (pong: "9d")"#, ["pong", "ping"]),
        (r#"raw: (ping: "9 days")"#, ["days", "did you mean"]),
    ] {
        let file = config(folder.path(), text);
        let output = run(&["check-config", &file]);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(2), "{text}: {said}");
        assert!(said.contains("test.ron:2:"), "{text}: {said}");
        assert!(words.iter().all(|word| said.contains(word)), "{text}: {said}");
    }
}
