//! Times told from now, wherever a time is; and what is left of what was removed.

mod support;

use serde_json::{Value, json};
use support::ws::{connect, connect_to};
use support::{NOW, Server, ping, start};

const MINUTE: i64 = 60_000;

async fn titles(server: &Server, path: &str) -> Vec<String> {
    let items = server.get(path).await.is(200)["items"].clone();
    items.as_array().unwrap().iter().map(|item| item["title"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_time_may_be_told_from_now_wherever_a_time_is() {
    let server = start().await;
    server.furnish().await;
    server.append((1..=5).rev().map(|i| ping(1, 1, NOW - i * MINUTE)).collect());
    for path in ["/api/annotations", "/api/maintenance"] {
        let body = json!({"title": "an hour ago", "start_time": "now-1h", "end_time": "now-30m"});
        let made = server.post(path, &body).await.is(201);
        assert_eq!(
            (&made["start_time"], &made["end_time"]),
            (&json!("2026-11-24T03:00:00.000Z"), &json!("2026-11-24T03:30:00.000Z"))
        );
        server.send("PATCH", &format!("{path}/1"), &json!({"end_time": "now-15m"})).await.is(200);
        assert_eq!(titles(&server, &format!("{path}?start_time=now-20m")).await, ["an hour ago"]);
        assert!(titles(&server, &format!("{path}?start_time=now-10m")).await.is_empty());
        assert!(titles(&server, &format!("{path}?end_time=now-1h")).await.is_empty());
        server.get(&format!("{path}?start_time=yesterday")).await.refuses(422, Some("start_time"));
        server.post(path, &json!({"title": "x", "start_time": "now-1y"})).await.refuses(422, Some("start_time"));
    }
    let job = json!({"name": "later", "interval": "60s", "metrics": ["ping"], "destinations": ["one"],
        "start_time": "now+1h", "end_time": "now+2h"});
    let job = server.post("/api/jobs", &job).await.is(201);
    assert_eq!(
        (&job["start_time"], &job["end_time"]),
        (&json!("2026-11-24T05:00:00.000Z"), &json!("2026-11-24T06:00:00.000Z"))
    );
    let job = json!({"jobs": [{"name": "imported", "interval": "60s", "metrics": ["ping"], "destinations": ["one"], "end_time": "now+1d"}]});
    server.post("/api/inventory", &job).await.is(200);
    assert_eq!(server.get("/api/jobs/imported").await.is(200)["end_time"], "2026-11-25T04:00:00.000Z");
    server
        .post("/api/jobs", &json!({"name": "x", "interval": "60s", "metrics": ["ping"], "end_time": "soon"}))
        .await
        .refuses(422, Some("end_time"));

    let events = server.get("/api/events?start_time=now-30000d&end_time=now%2B30000d").await.is(200);
    assert_eq!(events["items"], server.get("/api/events").await.is(200)["items"]);
    assert_eq!(server.get("/api/events?end_time=now-30000d").await.is(200)["items"], json!([]));
    for path in ["/api/destinations", "/api/outages", "/api/events", "/api/annotations"] {
        server.get(&format!("{path}?as_of=now-1m")).await.is(200);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_replay_begins_and_ends_at_times_told_from_now() {
    let server = start().await;
    server.furnish().await;
    server.append((0..20).map(|i| ping(1, 1, NOW + i)).collect());
    let mut client = connect_to(&server, "/ws?replay_from=now-30000d&to=now%2B30000d&speed=max").await;
    assert_eq!(client.hear().await["from"], 0);
    let (whole, _) = client.updates_until("replayed").await;
    assert_eq!(whole.len(), 23);
    let mut client = connect(&server).await;
    client.say(json!({"op": "replay", "from": "now-30000d", "speed": "max"})).await;
    client.hear().await;
    assert_eq!(client.updates_until("replayed").await.0, whole);
    client.say(json!({"op": "replay", "from": "now-30000d", "to": "now-29999d", "speed": "max"})).await;
    client.hear().await;
    assert!(client.updates_until("replayed").await.0.is_empty());
    client.say(json!({"op": "replay", "from": "now-1y"})).await;
    let error = client.hear().await;
    assert_eq!((&error["type"], &error["field"]), (&json!("error"), &json!("from")));
    assert!(error["accepted"].as_str().is_none_or(|accepted| accepted.contains("now-24h")), "{error}");
    server.stop().await;
}

#[tokio::test]
async fn what_a_removed_destination_and_job_measured_stays_readable_by_their_ids() {
    let server = start().await;
    server.furnish().await;
    server.append((1..=180).rev().map(|i| ping(1, 1, NOW - i * MINUTE)).collect());
    server.append((1..=180).rev().map(|i| ping(1, 2, NOW - i * MINUTE)).collect());
    let ways = [
        "/api/destinations/1/analytics?start_time=now-3h",
        "/api/series?destination=1&start_time=now-3h",
        "/api/heatmap?destination=1",
        "/api/anomalies?destination=1&start_time=now-1h",
        "/api/paths?destination=1",
        "/api/compare?destination=1&other=2&start_time=now-3h",
        "/api/correlation?destination=1,2&start_time=now-3h",
        "/api/outages?destination=1&start_time=now-3h",
        "/api/jobs/1/analytics?start_time=now-3h",
        "/api/jobs/1/metrics?start_time=now-3h&destination=1&metric=ping",
    ];
    let mut before = Vec::new();
    for way in ways {
        before.push(server.get(way).await.is(200));
    }
    let what_if = json!({"start_time": "now-3h", "end_time": "now", "destinations": ["1"], "job": "1"});
    let supposed = server.post("/api/what-if", &what_if).await.is(200);
    let then = server.journal.head().last;
    server.ask("DELETE", "/api/destinations/1", &[], None).await.is(200);
    server.ask("DELETE", "/api/jobs/1", &[], None).await.is(200);

    for (way, before) in ways.iter().zip(&before) {
        let mut after = server.get(way).await.is(200);
        let mut before = before.clone();
        if let Some(fields) = after.as_object_mut() {
            if fields.contains_key("removed") {
                assert_eq!(fields["removed"], true, "{way}");
            }
            for answer in [fields, before.as_object_mut().unwrap()] {
                answer.remove("position");
                answer.remove("removed");
                answer.get_mut("side").and_then(Value::as_object_mut).map(|side| side.remove("removed"));
            }
        }
        // Name and figures are as they were.
        assert_eq!(after, before, "{way}");
        let mark = if way.contains('?') { '&' } else { '?' };
        let as_of = server.get(&format!("{way}{mark}as_of={then}")).await.is(200);
        assert_ne!(as_of.get("removed"), Some(&json!(true)), "{way}");
    }
    assert_eq!(server.post("/api/what-if", &what_if).await.is(200)["items"], supposed["items"]);
    // Where the configuration is asked for, it is gone; by its name, and one that never was, too.
    server.get("/api/destinations/1").await.refuses(404, None);
    server.get("/api/destinations/one/analytics").await.refuses(404, None);
    server.get("/api/destinations/3/analytics").await.refuses(404, None);
    server.get("/api/destinations/1/analytics?as_of=0").await.refuses(404, None);
    server.get("/api/jobs/2/analytics").await.refuses(404, None);
    assert_eq!(server.get("/api/annotations?destination=1").await.is(200)["items"], json!([]));
    server.stop().await;
}
