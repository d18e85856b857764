//! Annotations, maintenance windows and accounting through the door, also after the fact.

mod support;

use serde_json::{Value, json};
use support::{Server, start};

async fn titles(server: &Server, path: &str) -> Vec<String> {
    let list = server.get(path).await.is(200);
    list["items"].as_array().unwrap().iter().map(|item| item["title"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn an_annotation_is_added_shown_changed_and_removed() {
    let server = start().await;
    server.furnish().await;
    let made = server
        .post(
            "/api/annotations?reason=found%20in%20the%20mail",
            &json!({"title": "cable cut", "text": "digger", "start_time": "2025-01-01T00:00:00Z",
                "end_time": "2025-01-01T02:00:00Z", "destinations": ["two"], "tags": ["WAN"]}),
        )
        .await;
    assert_eq!(made.header("location"), Some("/api/annotations/1"));
    let made = made.is(201);
    let expected = json!({"id": 1, "title": "cable cut", "text": "digger", "start_time": "2025-01-01T00:00:00.000Z",
        "end_time": "2025-01-01T02:00:00.000Z", "destinations": ["two"], "destination_ids": [2], "tags": ["wan"],
        "created_at": made["created_at"], "updated_at": made["updated_at"], "position": 4, "actor": "api:local",
        "reason": "found in the mail"});
    assert_eq!(made, expected);
    assert_eq!(server.get("/api/annotations/1").await.is(200), made);

    // PUT takes what GET shows; PATCH changes one thing.
    server.send("PUT", "/api/annotations/1", &made).await.is(200);
    let patched = server.send("PATCH", "/api/annotations/1", &json!({"title": "cut", "end_time": null})).await.is(200);
    assert_eq!(
        (&patched["title"], &patched["end_time"], &patched["text"]),
        (&json!("cut"), &Value::Null, &json!("digger"))
    );
    assert_eq!(patched["position"], 5, "the PUT changed nothing");

    // What was known before stays readable, by position and by time.
    assert_eq!(server.get("/api/annotations/1?as_of=4").await.is(200)["title"], "cable cut");
    server.get("/api/annotations/1?as_of=3").await.refuses(404, None);
    server.get("/api/annotations/1?as_of=2001-01-01T00:00:00Z").await.refuses(404, None);

    let removed = server.send("DELETE", "/api/annotations/1", &json!({})).await.is(200);
    assert_eq!(removed, json!({"position": 6}));
    server.get("/api/annotations/1").await.refuses(404, None);
    assert_eq!(server.get("/api/annotations/1?as_of=5").await.is(200)["title"], "cut");
    server.stop().await;
}

#[tokio::test]
async fn lists_are_narrowed_by_time_and_destination() {
    let server = start().await;
    server.furnish().await;
    for (title, start, end, destinations) in [
        ("moment", "2026-01-01T12:00:00Z", Value::Null, json!([])),
        ("span", "2026-01-01T00:00:00Z", json!("2026-01-02T00:00:00Z"), json!(["one"])),
        ("later", "2026-03-01T00:00:00Z", Value::Null, json!(["two"])),
    ] {
        let body = json!({"title": title, "start_time": start, "end_time": end, "destinations": destinations});
        server.post("/api/annotations", &body).await.is(201);
    }
    assert_eq!(titles(&server, "/api/annotations").await, ["moment", "span", "later"]);
    let day = "/api/annotations?start_time=2026-01-01T13:00:00Z&end_time=2026-02-01T00:00:00Z";
    assert_eq!(titles(&server, day).await, ["span"]);
    assert_eq!(titles(&server, "/api/annotations?destination=one").await, ["moment", "span"]);
    assert_eq!(titles(&server, "/api/annotations?as_of=4").await, ["moment"]);
    server.get("/api/annotations?destination=nobody").await.refuses(422, Some("destination"));
    server.get("/api/annotations?color=red").await.refuses(422, Some("color"));
    server.stop().await;
}

#[tokio::test]
async fn maintenance_comes_again_every_week_where_it_says_so() {
    let server = start().await;
    server.furnish().await;
    let weekly = json!({"time_zone": "Europe/Berlin", "spans": [{"day": "sun", "from": "22:00", "to": "04:00"}]});
    let body = json!({"title": "window", "start_time": "2026-01-01T00:00:00Z", "weekly": weekly,
        "destination_tags": ["core"]});
    let made = server.post("/api/maintenance", &body).await.is(201);
    assert_eq!((&made["weekly"], &made["end_time"], &made["destinations"]), (&weekly, &Value::Null, &json!([])));
    server.send("PUT", "/api/maintenance/1", &made).await.is(200);
    let bad =
        json!({"title": "x", "weekly": {"time_zone": "UTC", "spans": [{"day": "someday", "from": "1", "to": "2"}]}});
    server.post("/api/maintenance", &bad).await.refuses(422, Some("weekly.spans[0].day"));
    let bad = json!({"title": "x", "weekly": {"time_zone": "Mars", "spans": [{"day": "sun", "from": "00:00", "to": "01:00"}]}});
    server.post("/api/maintenance", &bad).await.refuses(422, Some("weekly.time_zone"));
    let bad = json!({"title": "x", "start_time": "2026-01-02T00:00:00Z", "end_time": "2026-01-01T00:00:00Z"});
    server.post("/api/maintenance", &bad).await.refuses(422, Some("end_time"));
    server.post("/api/maintenance", &json!({"titel": "x"})).await.refuses(422, Some("title"));
    assert_eq!(titles(&server, "/api/maintenance").await, ["window"]);
    server.send("DELETE", "/api/maintenance/1", &json!({})).await.is(200);
    assert!(titles(&server, "/api/maintenance").await.is_empty());
    assert_eq!(titles(&server, "/api/maintenance?as_of=4").await, ["window"]);
    server.stop().await;
}

#[tokio::test]
async fn the_method_of_accounting_is_saved_and_what_it_was_is_known() {
    let server = start().await;
    let shown = server.get("/api/accounting").await.is(200);
    let default = json!({"retries": 0, "grace_s": 0, "maintenance": "excluded", "observer_outages": "excluded",
        "max_loss_percent": null, "max_p95_ms": null, "position": 0});
    assert_eq!(shown, default);
    let wish = json!({"retries": 2, "maintenance": "counted", "observer_outages": "down", "max_loss_percent": 0.5,
        "max_p95_ms": 150});
    let changed = server.send("PATCH", "/api/accounting", &wish).await.is(200);
    assert_eq!(
        (&changed["position"], &changed["grace_s"], &changed["max_p95_ms"]),
        (&json!(1), &json!(0), &json!(150.0))
    );
    let less = server.send("PUT", "/api/accounting", &json!({"max_p95_ms": null})).await.is(200);
    assert_eq!(
        (&less["max_p95_ms"], &less["max_loss_percent"], &less["retries"]),
        (&Value::Null, &json!(0.5), &json!(2))
    );
    assert_eq!(server.get("/api/accounting?as_of=0").await.is(200), default);
    assert_eq!(server.get("/api/accounting?as_of=1").await.is(200), changed);
    server.send("PATCH", "/api/accounting", &json!({"retries": 101})).await.refuses(422, Some("retries"));
    server
        .send("PATCH", "/api/accounting", &json!({"max_loss_percent": 101}))
        .await
        .refuses(422, Some("max_loss_percent"));
    server
        .send("PATCH", "/api/accounting", &json!({"observer_outages": "maybe"}))
        .await
        .refuses(422, Some("observer_outages"));
    server.stop().await;
}
