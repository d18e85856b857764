//! `docs/api.md` says what the server does: every route, and in every JSON shape every field.

mod support;

use serde_json::Value;
use support::{NOW, ping, start};

const DOC: &str = include_str!("../../../docs/api.md");

/// The JSON shapes shown, in order.
fn shapes() -> Vec<Value> {
    DOC.split("```json\n")
        .skip(1)
        .map(|rest| {
            let text = rest.split("```").next().unwrap();
            serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in:\n{text}"))
        })
        .collect()
}

/// All paths of fields, as `latest.status`; of lists those of the first entry.
fn fields(json: &Value, path: &str, out: &mut Vec<String>) {
    match json {
        Value::Object(entries) => {
            for (key, value) in entries {
                let path = format!("{path}.{key}");
                fields(value, &path, out);
                out.push(path);
            }
        }
        Value::Array(entries) => entries.iter().take(1).for_each(|entry| fields(entry, &format!("{path}[]"), out)),
        _ => {}
    }
}

#[track_caller]
fn same_fields(shown: &Value, real: &Value) {
    let sorted = |json: &Value| {
        let mut all = Vec::new();
        fields(json, "", &mut all);
        all.sort();
        all
    };
    assert_eq!(sorted(shown), sorted(real));
}

#[test]
fn every_route_is_documented() {
    for (method, path) in netstats_api::routes() {
        let path = path.replace(":id", "{id}");
        let is_there = DOC
            .lines()
            .any(|line| line.starts_with('|') && line.contains(method) && line.contains(&format!("{path}`")));
        assert!(is_there, "{method} {path} has no line in docs/api.md");
    }
}

#[tokio::test]
async fn every_shape_shown_has_the_fields_that_are_sent() {
    let server = start().await;
    server.furnish().await;
    server.append(vec![ping(1, 1, NOW)]);
    let shapes = shapes();
    let [destination, job, rows, health, refusal] = shapes.as_slice() else { panic!("{} shapes", shapes.len()) };
    same_fields(destination, &server.get("/api/destinations/1").await.is(200));
    same_fields(job, &server.get("/api/jobs/1").await.is(200));
    same_fields(rows, &server.get("/api/jobs/1/metrics").await.is(200));
    same_fields(health, &server.get("/api/health").await.is(200));
    let real = server
        .post(
            "/api/jobs",
            &serde_json::json!({"name": "x", "interval": "30s", "metrics": ["ping"], "destinations": [1]}),
        )
        .await;
    let real = real.refuses(422, Some("interval_s"));
    same_fields(refusal, &real);
    server.stop().await;
}
