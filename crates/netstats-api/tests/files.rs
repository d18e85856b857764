//! Files: what is downloaded is what the rows say, in every format, and nothing half is taken for whole.

mod support;

use netstats_event::{DestinationId, DestinationRemoved, Meta};
use support::{NOW, Server, ping, start};

const MINUTE: i64 = 60_000;

/// Ninety minutes of two destinations.
async fn measured() -> Server {
    let server = start().await;
    server.furnish().await;
    let bursts = (1..=90).flat_map(|minute| [1, 2].map(|id| ping(1, id, NOW - minute * MINUTE)));
    server.append(bursts.collect());
    server
}

fn lines(body: &[u8]) -> Vec<String> {
    String::from_utf8(body.to_vec()).unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn every_format_has_the_rows_of_the_metrics_route() {
    let server = measured().await;
    let rows = server.get("/api/jobs/pings/metrics").await.is(200);
    assert_eq!(rows.as_array().unwrap().len(), 2 * 90 * 3);

    let json = server.get("/api/jobs/pings/export?format=json").await;
    assert!(json.header("content-disposition").unwrap().starts_with("attachment; filename=\"network-stats-pings-"));
    assert_eq!(json.is(200), rows);

    let jsonl = server.get("/api/jobs/1/export?format=jsonl").await;
    assert_eq!(jsonl.header("content-type"), Some("application/x-ndjson"));
    let read: Vec<serde_json::Value> =
        lines(&jsonl.body).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(serde_json::Value::from(read), rows);

    let csv = server.get("/api/jobs/1/export?format=csv&columns=timestamp,response_time_ms,packet_loss_percent").await;
    assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8"));
    let read = lines(&csv.body);
    assert_eq!((read[0].as_str(), read.len()), ("timestamp,response_time_ms,packet_loss_percent", 1 + 2 * 90 * 3));
    let first = &rows[0];
    assert!(read[1].starts_with(first["timestamp"].as_str().unwrap()), "{}", read[1]);

    let xlsx = server.get("/api/jobs/1/export").await;
    assert_eq!(xlsx.status, 200);
    assert!(xlsx.header("content-disposition").unwrap().ends_with(".xlsx\""));
    assert!(xlsx.body.starts_with(b"PK\x03\x04") && xlsx.body.len() > 10_000, "{} bytes", xlsx.body.len());
    server.stop().await;
}

#[tokio::test]
async fn a_file_is_about_the_jobs_destinations_tags_and_times_asked_for() {
    let server = measured().await;
    let count = async |query: &str| {
        let answer = server.get(&format!("/api/export?format=jsonl&metric=ping&{query}")).await;
        assert_eq!(answer.status, 200, "{query}: {}", String::from_utf8_lossy(&answer.body));
        lines(&answer.body).len()
    };
    assert_eq!(count("").await, 180);
    assert_eq!(count("job=pings&destination=two").await, 90);
    assert_eq!(count("destination=1,2&start_time=now-10m").await, 20);
    server.send("PATCH", "/api/destinations/one", &serde_json::json!({"tags": ["core"]})).await.is(200);
    assert_eq!(count("tag=core").await, 90);
    server
        .post(
            "/api/jobs",
            &serde_json::json!({"name": "other", "interval": "60s", "metrics": ["ping"],
        "destinations": ["one"]}),
        )
        .await
        .is(201);
    server.append((1..=5).map(|minute| ping(2, 1, NOW - minute * MINUTE)).collect());
    assert_eq!(count("job=other").await, 5);
    assert_eq!(count("job=pings,other&destination=one").await, 95);

    // What was removed keeps the name it had.
    let meta = Meta::by("api:local");
    server.append(vec![DestinationRemoved { id: DestinationId(2), meta }.into()]);
    let gone = server.get("/api/export?format=csv&job=pings&destination=2&metric=ping&columns=destination").await;
    assert_eq!(lines(&gone.body)[1], "two");
    server.stop().await;
}

#[tokio::test]
async fn an_empty_range_gives_an_empty_file_that_says_so() {
    let server = measured().await;
    let range = "start_time=2020-01-01T00:00:00Z&end_time=2020-01-02T00:00:00Z";
    let csv = server.get(&format!("/api/jobs/1/export?format=csv&{range}")).await;
    assert_eq!((csv.status, lines(&csv.body).len()), (200, 1), "the header alone");
    assert_eq!(server.get(&format!("/api/jobs/1/export?format=json&{range}")).await.is(200), serde_json::json!([]));
    assert_eq!(server.get(&format!("/api/jobs/1/export?{range}")).await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn wrong_wishes_are_refused_with_their_field() {
    let server = measured().await;
    for (query, status, field) in [
        ("format=exe", 422, Some("format")),
        ("start_time=now&end_time=now-1d", 422, Some("start_time")),
        ("tz=Mars/Olympus", 422, Some("tz")),
        ("metric=pong", 422, Some("metric")),
        ("destination=nobody", 422, Some("destination")),
        ("tag=nowhere", 422, Some("tag")),
        ("format=csv&columns=tiempo", 422, Some("columns")),
        ("format=csv&decimal_comma=true", 422, Some("separator")),
        ("format=csv&separator=pipe", 422, Some("separator")),
        ("as_of=999999", 422, Some("as_of")),
    ] {
        let answer = server.get(&format!("/api/jobs/1/export?{query}")).await;
        answer.refuses(status, field);
    }
    let long = "x".repeat(121);
    server.get(&format!("/api/jobs/1/export?title={long}")).await.refuses(422, Some("title"));
    server.get("/api/jobs/nobody/export").await.refuses(404, None);
    server.get("/api/export?job=nobody").await.refuses(422, Some("job"));
    server.stop().await;
}

#[tokio::test]
async fn names_of_any_kind_give_a_plain_file_name() {
    let server = start().await;
    server.post("/api/destinations", &serde_json::json!({"name": "d", "host": "192.0.2.1"})).await.is(201);
    let job = serde_json::json!({"name": "CON \u{fc}\u{202e}../x", "interval": "60s", "metrics": ["ping"],
        "destinations": ["d"]});
    let made = server.post("/api/jobs", &job).await;
    if made.status == 201 {
        let answer = server.get("/api/jobs/1/export?format=csv").await;
        let name = answer.header("content-disposition").unwrap().to_owned();
        let name = name.trim_start_matches("attachment; filename=\"").trim_end_matches('"');
        assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.'), "{name}");
        assert!(!name.contains("..") && name.starts_with("network-stats-"), "{name}");
    } else {
        made.refuses(422, Some("name"));
    }
    server.stop().await;
}
