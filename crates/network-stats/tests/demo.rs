//! The demo as a newcomer meets it.
#![expect(clippy::disallowed_methods, reason = "tests keep time")]

mod support;

use serde_json::Value;
use support::{Product, run, said};

#[test]
fn a_demo_leaves_the_room_that_it_is_told_to_leave() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    // More than any disk has.
    let floor = ["--min-free-mib", "1000000000000"];
    let days = ["--days", "1", "--listen", "127.0.0.1:0"];
    let refused = run(&[&["demo", "--data-dir", data.to_str().unwrap()][..], &days, &floor].concat());
    assert!(!refused.status.success(), "{}", said(&refused));
    assert!(said(&refused).contains("free"), "{}", said(&refused));
    assert!(!said(&refused).contains("://"), "it is not served: {}", said(&refused));
}

fn rows(answer: &Value) -> &[Value] {
    answer.as_array().unwrap()
}

#[test]
fn the_demo_is_full_honest_about_loss_and_made_once_for_each_folder() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let product = Product::start_as("demo", &data, &["--days", "1"]);

    let destinations = product.get("/api/destinations");
    assert_eq!(destinations["items"].as_array().unwrap().len(), 15);
    let status = |name: &str| product.get(&format!("/api/destinations/{name}"))["status"].clone();
    assert_eq!(status("gateway"), "active");

    // Down since 26 minutes before the end of history: lost is no number, and never a 0.
    let lost = product.get("/api/jobs/branches/metrics?destination=warsaw&metric=ping&order=desc&limit=3");
    for row in rows(&lost) {
        assert_eq!(row["response_time_ms"], Value::Null, "{row}");
        assert_eq!(row["packet_loss_percent"].as_f64(), Some(100.0), "{row}");
    }
    assert_eq!(rows(&lost).len(), 3);

    // A day of minutely slots, each with an outcome.
    let day = product.get("/api/jobs/internet/metrics?destination=gateway&metric=ping&limit=5000");
    assert!((1_430..=1_442).contains(&rows(&day).len()), "{}", rows(&day).len());
    for (job, metric) in
        [("names", "dns"), ("web", "http"), ("web", "tcp"), ("routes", "traceroute"), ("line", "bandwidth")]
    {
        let some = product.get(&format!("/api/jobs/{job}/metrics?metric={metric}&limit=50"));
        assert!(rows(&some).iter().any(|row| row["status"] == "success"), "{metric}: {some}");
    }

    let (status, _) = product.stop();
    assert!(status.success());
    let again = run(&["demo", "--listen", "127.0.0.1:0", "--data-dir", data.to_str().unwrap()]);
    assert!(!again.status.success() && said(&again).contains("empty folder"), "{}", said(&again));
    let verified = run(&["log", "verify", "--data-dir", data.to_str().unwrap()]);
    assert!(verified.status.success(), "{}", said(&verified));
}
