//! The real program in the project's lab (`cargo xtask lab run`): what happens to this machine is told, and is never
//! blamed on what it measures. Skipped elsewhere.
#![cfg(target_os = "linux")]
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "tests keep time and may say that they were skipped"
)]

mod support;

use std::process::Command;
use std::thread::park_timeout;
use std::time::Duration;

use serde_json::Value;
use support::{Product, run, said};

const CONFIG: &str = r#"(
    limits: (min_interval_s: 1),
    destinations: [(name: "far", host: "198.19.0.1"), (name: "swallowed", host: "198.18.202.1")],
    jobs: [(name: "pings", interval: "1s", metrics: [ping], destinations: ["far", "swallowed"],
            packets: 2, spacing: "50ms", timeout: "300ms")],
)"#;

/// A command of a node, which must succeed.
fn inside(node: &str, words: &[&str]) {
    let node = format!("netstats-{node}");
    let output = Command::new("ip").args([&["netns", "exec", &node], words].concat()).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", said(&output));
}

/// Rows of a destination from `since` on, newest first.
fn rows(product: &Product, destination: &str, since: u64) -> Vec<Value> {
    let path = format!("/api/jobs/pings/metrics?destination={destination}&order=desc&limit=200");
    let rows = product.get(&path);
    rows.as_array().unwrap().iter().filter(|row| row["position"].as_u64().unwrap() > since).cloned().collect()
}

/// Waits until a row with that status comes, and one of the other destination.
fn until(product: &Product, status: &str, of_swallowed: &str) {
    let since = product.get("/api/health")["position"].as_u64().unwrap();
    product.until("/api/health", |_| {
        let has = |destination, status| rows(product, destination, since).iter().any(|row| row["status"] == status);
        has("far", status) && has("swallowed", of_swallowed)
    });
}

#[test]
fn what_happens_to_this_machine_is_told_and_never_loss() {
    if std::env::var_os("NETSTATS_LAB").is_none() {
        // The step `lab` of the test command runs it, and says SKIP where it cannot.
        println!("this is not the lab: cargo xtask lab run");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("test.ron"));
    std::fs::write(&file, CONFIG).unwrap();
    let product = Product::start(&data, &["--config", file.to_str().unwrap()]);
    until(&product, "success", "timeout");

    // The gateway is there and does not answer.
    let dead =
        "table inet dead { chain in { type filter hook prerouting priority -300; iifname \"to-prober\" drop; }; }";
    inside("r1", &["nft", dead]);
    until(&product, "unknown", "unknown");
    inside("r1", &["nft", "delete", "table", "inet", "dead"]);
    until(&product, "success", "timeout");

    // There is no way out.
    inside("prober", &["ip", "route", "del", "default"]);
    until(&product, "unknown", "unknown");
    inside("prober", &["ip", "route", "add", "default", "via", "198.18.0.2"]);
    until(&product, "success", "timeout");

    // We ourselves stand still.
    product.signal("STOP");
    park_timeout(Duration::from_secs(3));
    product.signal("CONT");
    until(&product, "success", "timeout");

    let all = rows(&product, "far", 0);
    let is_honest = |row: &Value| {
        let loss = row["packet_loss_percent"].as_f64();
        (row["status"] == "success" && loss == Some(0.0)) || (row["status"] == "unknown" && loss.is_none())
    };
    assert!(all.iter().all(is_honest), "{all:#?}");
    assert!(product.stop().0.success());
    let dump = run(&["log", "dump", "--data-dir", data.to_str().unwrap()]);
    let told: Vec<Value> = String::from_utf8_lossy(&dump.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|update: &Value| update["row"].is_null())
        .collect();
    let of = |kind: &str| -> Vec<&Value> {
        told.iter().filter(|update| update["kind"] == kind).map(|update| &update["data"]).collect()
    };
    let (lost, restored) = (of("uplink_lost"), of("uplink_restored"));
    let reasons: Vec<&str> = lost.iter().filter_map(|data| data["reason"].as_str()).collect();
    assert_eq!((reasons, restored.len()), (vec!["gateway silent", "no route"], 2));
    let stalls = of("collector_stalled");
    assert!(stalls.iter().any(|data| data["for_ms"].as_f64().is_some_and(|ms| ms >= 1_000.0)), "{stalls:?}");
}
