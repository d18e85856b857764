//! The audit trail, undo, import and export through the door.

mod support;

use serde_json::{Value, json};
use support::{NOW, Server, ping, start};

async fn trail(server: &Server, query: &str) -> Vec<Value> {
    server.get(&format!("/api/events{query}")).await.is(200)["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn the_trail_tells_who_changed_what_and_why() {
    let server = start().await;
    server.furnish().await;
    server.append(vec![ping(1, 1, NOW)]);
    server.post("/api/jobs/1/stop", &json!({"reason": "quiet hours"})).await.is(200);
    let all = trail(&server, "").await;
    let kinds: Vec<_> = all.iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["job_stopped", "job_added", "destination_added", "destination_added"]);
    let stopped = &all[0];
    assert_eq!((&stopped["actor"], &stopped["reason"]), (&json!("api:local"), &json!("quiet hours")));
    assert_eq!((&stopped["job_id"], &stopped["position"]), (&json!(1), &json!(5)));
    assert_eq!(all[1]["data"]["job"]["name"], "pings");
    assert_eq!(trail(&server, "?kind=destination_added&destination=two").await.len(), 1);
    assert_eq!(trail(&server, "?job=1&from=4").await.len(), 1);
    assert_eq!(trail(&server, "?to=2").await.len(), 2);
    assert_eq!(trail(&server, "?actor=api:local").await.len(), 4);
    assert_eq!(trail(&server, "?actor=user:ada").await.len(), 0);
    assert_eq!(trail(&server, "?end_time=2001-01-01T00:00:00Z").await.len(), 0);
    assert_eq!(trail(&server, "?start_time=2001-01-01T00:00:00Z&fields=kind").await[0], json!({"kind": "job_stopped"}));
    server.get("/api/events?kind=job_aded").await.refuses(422, Some("kind"));
    server.get("/api/events?kind=ping_measured").await.refuses(422, Some("kind"));
    let (mut path, mut seen) = ("/api/events?limit=3&actor=api:local".to_owned(), Vec::new());
    loop {
        let page = server.get(&path).await;
        let next = page.header("link").map(|link| link.split(['<', '>']).nth(1).unwrap().to_owned());
        seen.extend(page.is(200)["items"].as_array().unwrap().iter().map(|event| event["position"].as_u64().unwrap()));
        let Some(next) = next else { break };
        path = next;
    }
    assert_eq!(seen, [5, 3, 2, 1]);
    server.stop().await;
}

#[tokio::test]
async fn a_removed_destination_comes_back_with_its_history_and_its_jobs() {
    let server = start().await;
    server.furnish().await;
    server.append(vec![ping(1, 1, NOW)]);
    let gone = server.ask("DELETE", "/api/destinations/1", &[], None).await.is(200)["position"].as_u64().unwrap();
    assert_eq!(server.get("/api/jobs/1").await.is(200)["destinations"], json!(["two"]));
    server.ask("POST", &format!("/api/undo/{gone}"), &[], None).await.is(200);
    let back = server.get("/api/destinations/1").await.is(200);
    assert_eq!((&back["name"], &back["latest"]["response_time_ms"]), (&json!("one"), &json!(2.0)));
    assert_eq!(server.get("/api/jobs/1").await.is(200)["destinations"], json!(["one", "two"]));
    let rows = server.get("/api/jobs/1/metrics?destination=one&start_time=2026-01-01T00:00:00Z").await.is(200);
    assert_eq!(rows[0]["destination"], "one");
    let told = &trail(&server, "?kind=destination_added").await[0];
    assert_eq!(told["reason"], json!(format!("undo of destination_removed at {gone}")));
    server.ask("POST", &format!("/api/undo/{gone}"), &[], None).await.refuses(409, None);
    for nothing in ["4", "0", "99", "x", "18446744073709551616"] {
        server.ask("POST", &format!("/api/undo/{nothing}"), &[], None).await.refuses(404, None);
    }
    server.stop().await;
}

/// The jobs of `server` as CSV, after one was added that has everything a job can have.
async fn rich_jobs(server: &Server) -> Vec<u8> {
    let job = json!({"name": "=all \"of\" it", "interval": "10m", "metrics": ["ping", "http"], "destinations": ["one"],
        "destination_tags": ["a;b", "c"], "tags": ["slow;er"], "enabled": false, "description": "two\nlines, and more",
        "start_time": "2026-12-01T00:00:00Z", "end_time": "2027-12-01T00:00:00Z", "packets": 5,
        "active_hours": {"time_zone": "Europe/Berlin", "spans": [{"day": "mon", "from": "08:00", "to": "18:00"}]},
        "options": {"http": {"path": "/a,b?c=%22", "expect_status": [200, 204]}, "ping": {"dscp": 46}}});
    server.post("/api/jobs", &job).await.is(201);
    let answer = server.get("/api/inventory?format=csv&entries=jobs").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/csv; charset=utf-8")));
    answer.body
}

#[tokio::test]
async fn what_goes_out_comes_in_again() {
    let server = start().await;
    server.furnish().await;
    let all = server.get("/api/inventory").await.is(200);
    let csv = server.get("/api/inventory?format=csv").await;
    assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8"));
    let other = start().await;
    let tried = other.post("/api/inventory?dry_run=true", &all).await.is(200);
    assert_eq!((&tried["changed"], &tried["dry_run"]), (&json!(3), &json!(true)));
    assert_eq!(other.get("/api/destinations").await.is(200)["items"], json!([]));
    assert_eq!(other.post("/api/inventory", &all).await.is(200)["changed"], 3);
    assert_eq!(other.post("/api/inventory", &all).await.is(200)["changed"], 0, "a second time there is nothing to do");
    assert_eq!(other.get("/api/jobs/pings").await.is(200)["destinations"], json!(["one", "two"]));
    let third = start().await;
    let imported = third.ask("POST", "/api/inventory", &[("content-type", "text/csv")], Some(&csv.body)).await;
    assert_eq!(imported.is(200)["changed"], 2);
    let text = [("content-type", "text/csv")];
    let jobs = rich_jobs(&server).await;
    assert_eq!(third.ask("POST", "/api/inventory", &text, Some(&jobs)).await.is(200)["changed"], 2);
    let again = third.get("/api/inventory?format=csv&entries=jobs").await.body;
    assert_eq!(String::from_utf8(again), String::from_utf8(jobs.clone()), "nothing is lost on the way");
    assert_eq!(third.ask("POST", "/api/inventory", &text, Some(&jobs)).await.is(200)["changed"], 0);
    let pasted = b"name,metrics,interval,destinations\nby hand,ping;dns,5m,one;two\n";
    assert_eq!(third.ask("POST", "/api/inventory", &text, Some(pasted)).await.is(200)["changed"], 1);
    assert_eq!(third.get("/api/jobs/by%20hand").await.is(200)["metrics"], json!(["ping", "dns"]));
    let wrong = json!({"destinations": [{"name": "ok", "host": "192.0.2.1"}, {"name": "bad", "host": "no host!"}]});
    third.post("/api/inventory", &wrong).await.refuses(422, Some("destinations[1].host"));
    third.post("/api/inventory", &json!({"jobs": [{"name": "j"}]})).await.refuses(422, Some("jobs[0].interval"));
    assert_eq!(third.get("/api/destinations").await.is(200)["items"].as_array().unwrap().len(), 2);
    for server in [server, other, third] {
        server.stop().await;
    }
}
