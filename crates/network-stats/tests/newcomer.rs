//! What a newcomer sees in the first seconds of the real program. Alone in its binary: the five seconds are promised of
//! one product on a machine, not of a dozen that start at once beside each other.
#![cfg(unix)]
#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "tests keep time and may say SKIP")]

#[allow(dead_code, reason = "each test binary uses its own part of the support")]
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::json;
use support::Product;

const JOB: &str = "/api/jobs/this-machine/metrics";

#[test]
fn a_newcomer_sees_real_samples_within_five_seconds_and_nothing_leaves_the_machine() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let product = Product::start(&data, &["--config", "config/network-stats.ron"]);
    let start_command = product.line_with(" start internet");
    assert!(start_command.trim_start().ends_with("start internet"), "{start_command}");
    if product.get("/api/health")["privileges"]["icmp"].is_null() {
        println!("SKIP: this system does not let the tests ping");
        return;
    }
    let rows = product.until(JOB, |rows| {
        ["127.0.0.1", "::1"].iter().all(|address| {
            rows.as_array().unwrap().iter().any(|row| row["resolved_address"] == *address && row["status"] == "success")
        })
    });
    let waited = product.since.elapsed();
    assert!(waited < Duration::from_secs(5), "samples after {waited:?}: {rows}");
    let row = rows.as_array().unwrap().iter().find(|row| row["metric"] == "ping").unwrap();
    assert!(row["response_time_ms"].as_f64().unwrap() > 0.0 && row["packets_sent"] == 10, "{row}");

    let destinations = product.get("/api/destinations");
    for destination in destinations["items"].as_array().unwrap() {
        let is_here = ["127.0.0.1", "::1"].iter().any(|address| destination["host"] == *address);
        assert_eq!(destination["status"] == "active", is_here, "{destination}");
    }
    assert_eq!(product.get("/api/jobs/internet")["state"]["name"], "stopped");
    assert_eq!(product.get("/api/jobs/internet/metrics"), json!([]));
    let mode = fs::metadata(&data).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o700, "the data folder is its owner's");
}
