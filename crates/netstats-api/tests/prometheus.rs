//! `GET /metrics`, as our own eyes, Prometheus' Python client and promtool read it.

mod support;

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use netstats_api::{CollectorReport, Report};
use netstats_event::{Echo, Event};
use serde_json::json;
use support::{NOW, Server, ping, start, start_with};

/// The value of the one sample of a name whose labels hold all of these.
fn value(text: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let mut found = text.lines().filter(|line| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(['{', ' '])) && labels.iter().all(|label| line.contains(label))
    });
    let value = found.next()?.rsplit(' ').next()?.parse().ok();
    assert!(found.next().is_none(), "{name} {labels:?} is there more than once");
    value
}

async fn scrape(server: &Server) -> String {
    let answer = server.get("/metrics").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    String::from_utf8(answer.body).unwrap()
}

/// No echo of the burst came back.
fn lost(job: u32, destination: u32, slot_ms: i64) -> Event {
    let Event::PingMeasured(mut burst) = ping(job, destination, slot_ms) else { unreachable!() };
    burst.echoes = vec![Echo::Lost; 3];
    Event::PingMeasured(burst)
}

#[tokio::test]
async fn the_latest_is_there_in_base_units_and_what_was_lost_is_absent() {
    let server = start().await;
    server.furnish().await;
    server.send("PATCH", "/api/destinations/one", &json!({"tags": ["core", "site-a"]})).await.is(200);
    server.append(vec![ping(1, 1, NOW - 60_000), ping(1, 1, NOW), lost(1, 2, NOW)]);
    let text = scrape(&server).await;
    let one = ["destination=\"one\"", "job=\"pings\"", "probe=\"ping\"", "tags=\"core,site-a\""];
    assert_eq!(value(&text, "network_stats_rtt_seconds", &[&one[..], &["stat=\"median\""]].concat()), Some(0.002));
    assert!((value(&text, "network_stats_packet_loss_ratio", &one).unwrap() - 1.0 / 3.0).abs() < 1e-12);
    assert_eq!(value(&text, "network_stats_samples_total", &one), Some(2.0));
    let status = |name: &str, status: &str| {
        let labels = [format!("destination=\"{name}\""), format!("status=\"{status}\"")];
        value(&text, "network_stats_destination_status", &[&labels[0], &labels[1]])
    };
    assert_eq!(
        (status("one", "degraded"), status("one", "up"), status("two", "down")),
        (Some(1.0), Some(0.0), Some(1.0))
    );
    assert_eq!(value(&text, "network_stats_packet_loss_ratio", &["destination=\"two\""]), Some(1.0));
    assert_eq!(value(&text, "network_stats_rtt_seconds", &["destination=\"two\""]), None, "lost is not a time");
    assert_eq!(value(&text, "network_stats_jitter_seconds", &["destination=\"two\""]), None);

    // An hour later nobody knows.
    server.now.fetch_add(3_600_000, Ordering::Relaxed);
    let text = scrape(&server).await;
    assert_eq!(value(&text, "network_stats_rtt_seconds", &["destination=\"one\""]), None);
    assert_eq!(value(&text, "network_stats_packet_loss_ratio", &["destination=\"one\""]), None);
    let labels = ["destination=\"one\"", "status=\"unknown\""];
    assert_eq!(value(&text, "network_stats_destination_status", &labels), Some(1.0));
    assert_eq!(value(&text, "network_stats_last_slot_timestamp_seconds", &one), Some(1_795_492_800.0));

    // What is removed leaves nothing behind.
    server.ask("DELETE", "/api/destinations/one", &[], None).await.is(200);
    assert!(!scrape(&server).await.contains("destination=\"one\""));
    server.stop().await;
}

#[tokio::test]
async fn our_own_state_is_there() {
    let server = start_with(|context| {
        context.report = Arc::new(|| Report {
            collector: CollectorReport { queued: 3, slots_run: 9, slots_missed: 2, lateness_p99_ms: 1.5, ..running() },
            resident_bytes: Some(4_096),
            ..Report::default()
        });
    })
    .await;
    server.furnish().await;
    let last = server.append(vec![ping(1, 1, NOW)]);
    let text = scrape(&server).await;
    let is = |name: &str, labels: &[&str]| value(&text, name, labels);
    let last = f64::from(u32::try_from(last.0).unwrap());
    assert_eq!(is("network_stats_log_last_position", &[]), Some(last));
    for projector in ["inventory", "series", "availability", "broadcast"] {
        let label = format!("projector=\"{projector}\"");
        assert_eq!(is("network_stats_projector_lag_events", &[&label]), Some(0.0));
        assert_eq!(is("network_stats_projector_position", &[&label]), Some(last));
    }
    // Three commands and one sample, each a batch of its own.
    assert_eq!(is("network_stats_append_seconds_count", &[]), Some(4.0));
    assert_eq!(is("network_stats_append_seconds_bucket", &["le=\"+Inf\""]), Some(4.0));
    assert!(is("network_stats_append_seconds_sum", &[]).unwrap() > 0.0);
    assert_eq!(is("network_stats_slots_queued", &[]), Some(3.0));
    assert_eq!(is("network_stats_slots_run_total", &[]), Some(9.0));
    assert_eq!(is("network_stats_slots_missed_total", &[]), Some(2.0));
    assert_eq!(is("network_stats_probe_lateness_seconds", &["quantile=\"0.99\""]), Some(0.0015));
    assert_eq!(is("process_resident_memory_bytes", &[]), Some(4_096.0));
    assert_eq!(is("network_stats_live_subscriptions", &[]), Some(0.0));
    server.stop().await;
}

fn running() -> CollectorReport {
    CollectorReport { running: true, ..CollectorReport::default() }
}

#[tokio::test]
async fn past_the_limit_it_says_how_many_probes_are_left_out() {
    let server = start_with(|context| context.limits.scraped_probes = 1).await;
    server.furnish().await;
    server.append(vec![ping(1, 1, NOW), ping(1, 2, NOW)]);
    let text = scrape(&server).await;
    assert_eq!(value(&text, "network_stats_samples_total", &[]), Some(1.0));
    assert_eq!(value(&text, "network_stats_scrape_left_out", &[]), Some(1.0));
    server.stop().await;
}

/// Both formats of a server with a name of what has a meaning there.
async fn both_formats() -> [String; 2] {
    let server = start_with(|context| {
        context.report = Arc::new(|| Report {
            collector: CollectorReport { slots_run: 9, ..running() },
            resident_bytes: Some(4_096),
            ..Report::default()
        });
    })
    .await;
    server.furnish().await;
    server.send("PATCH", "/api/destinations/one", &json!({"name": "a \"b\" = {c} \u{fc}"})).await.is(200);
    server.append(vec![ping(1, 1, NOW), lost(1, 2, NOW)]);
    let text = scrape(&server).await;
    let accept = [("accept", "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3")];
    let open = server.ask("GET", "/metrics", &accept, None).await;
    assert_eq!(open.status, 200);
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(open.header("content-type"), Some(content_type));
    server.stop().await;
    [text, String::from_utf8(open.body).unwrap()]
}

/// What the program says about a text on its standard input; none where it is missing: Python's client, which the test
/// command installs, says SKIP then; promtool is a second opinion for who has it.
fn told(program: &str, test: &[&str], arguments: &[&str], input: &str) -> Option<String> {
    let there = Command::new(program).args(test).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !there.is_ok_and(|status| status.success()) {
        let skip = if program == "promtool" { "not asked" } else { "SKIP" };
        writeln!(std::io::stderr().lock(), "{skip}: {program} {test:?} does not run here").unwrap();
        return None;
    }
    let mut child = Command::new(program);
    let child = child.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    assert!(output.status.success(), "{said}\n{input}");
    Some(said)
}

#[tokio::test]
async fn the_python_client_of_prometheus_reads_the_same() {
    let script = r#"
import sys, json
from prometheus_client import parser
from prometheus_client.openmetrics import parser as open_parser
read = (open_parser if sys.argv[1] == "open" else parser).text_string_to_metric_families
families = list(read(sys.stdin.read()))
assert all(family.documentation and family.type != "unknown" for family in families)
print(json.dumps([[s.name, s.labels, s.value] for family in families for s in family.samples]))
"#;
    for (text, format) in both_formats().await.iter().zip(["text", "open"]) {
        let arguments = ["-c", script, format];
        let Some(said) = told("python3", &["-c", "import prometheus_client"], &arguments, text) else { return };
        let samples: Vec<(String, serde_json::Value, f64)> = serde_json::from_str(&said).unwrap();
        assert_eq!(samples.len(), text.lines().filter(|line| !line.starts_with('#')).count(), "{format}");
        let rtt: Vec<_> = samples.iter().filter(|(name, ..)| name == "network_stats_rtt_seconds").collect();
        let [(_, labels, seconds)] = rtt[..] else { panic!("{rtt:?}") };
        assert_eq!(*seconds, 0.002);
        let wanted = json!({"destination": "a \"b\" = {c} \u{fc}", "job": "pings", "probe": "ping", "stat": "median",
            "tags": ""});
        assert_eq!(*labels, wanted, "{format}");
    }
}

#[tokio::test]
async fn promtool_finds_nothing_to_improve() {
    let [text, _] = both_formats().await;
    if let Some(said) = told("promtool", &["--version"], &["check", "metrics"], &text) {
        assert_eq!(said.trim(), "", "{text}");
    }
}
