//! Replays: word by word what live subscribers got, at any speed, with a pause, and on into the present.

mod support;

use std::sync::Arc;

use netstats_log::MemoryLog;
use serde_json::{Value, json};
use support::ws::{connect, connect_to};
use support::{NOW, Server, ping, start, start_on};

/// Numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// Edits of all kinds between samples: names and tags change under the updates that are told with them.
async fn live_through(server: &Server, steps: u64) {
    let mut dice = Dice(7);
    for step in 0..steps {
        let destination = 1 + dice.below(2);
        let path = format!("/api/destinations/{destination}");
        match dice.below(9) {
            0 => drop(server.send("PATCH", &path, &json!({"name": format!("d{destination}-{step}")})).await.is(200)),
            1 => {
                let tags = if dice.below(2) == 0 { json!(["lab"]) } else { json!([]) };
                server.send("PATCH", &path, &json!({"tags": tags})).await.is(200);
            }
            2 => drop(server.send("PATCH", "/api/jobs/1", &json!({"name": format!("job-{step}")})).await.is(200)),
            3 => {
                let body = json!({"title": format!("note {step}"), "destinations": [destination]});
                server.post("/api/annotations", &body).await.is(201);
            }
            4 => {
                let switch = if dice.below(2) == 0 { "start" } else { "stop" };
                server.post(&format!("/api/jobs/1/{switch}"), &json!({})).await.is(200);
            }
            _ => {
                let slots = 1 + dice.below(4).cast_signed();
                let at = NOW + step.cast_signed() * 60_000;
                server.append((0..slots).map(|i| ping(1, u32::try_from(destination).unwrap(), at + i)).collect());
            }
        }
    }
}

fn head(server: &Server) -> u64 {
    server.journal.head().last
}

fn position(text: &str) -> u64 {
    serde_json::from_str::<Value>(text).unwrap()["position"].as_u64().unwrap()
}

#[tokio::test]
async fn a_replay_the_live_run_and_a_rebuilt_server_say_the_same_word_by_word() {
    let log = Arc::new(MemoryLog::default());
    let server = start_on(log.clone(), |_| {}).await;
    server.furnish().await;
    let filters = [json!({}), json!({"tags": ["lab"]}), json!({"kinds": ["config"]}), json!({"destinations": [2]})];
    let mut subscribers = Vec::new();
    for filter in &filters {
        let mut client = connect(&server).await;
        client.subscribe(filter.clone()).await;
        subscribers.push(client);
    }
    live_through(&server, 400).await;
    let mut recorded = Vec::new();
    for client in &mut subscribers {
        // The answer comes after all that was wanted before it.
        client.say(json!({"op": "unsubscribe", "id": "default"})).await;
        recorded.push(client.updates_until("unsubscribed").await.0);
    }
    assert_eq!(recorded[0].len() as u64, head(&server) - 3);
    assert!(
        recorded.iter().all(|updates| updates.len() > 10),
        "{:?}",
        recorded.iter().map(Vec::len).collect::<Vec<_>>()
    );

    let views =
        ["/api/destinations", "/api/jobs", "/api/annotations", "/api/jobs/1/metrics?end_time=2027-01-01T00:00:00Z"];
    let mut seen = Vec::new();
    for path in views {
        seen.push(server.get(path).await.is(200));
    }
    let end = head(&server);
    replays_agree(&server, &filters, &recorded, end).await;
    server.stop().await;

    let rebuilt = start_on(log, |_| {}).await;
    for (path, seen) in views.iter().zip(&seen) {
        assert_eq!(&rebuilt.get(path).await.is(200), seen, "{path}");
    }
    replays_agree(&rebuilt, &filters, &recorded, end).await;
    rebuilt.stop().await;
}

async fn replays_agree(server: &Server, filters: &[Value], recorded: &[Vec<String>], end: u64) {
    for (filter, recorded) in filters.iter().zip(recorded) {
        let mut client = connect(server).await;
        let mut ask = filter.clone();
        ask["op"] = json!("replay");
        ask["from"] = json!(3);
        ask["speed"] = json!("max");
        client.say(ask).await;
        assert_eq!(
            client.hear().await,
            json!({"type": "replaying", "id": "default", "from": 3, "to": end, "speed": "max"})
        );
        let (updates, over) = client.updates_until("replayed").await;
        assert_eq!(&updates, recorded, "{filter}");
        assert_eq!(over, json!({"type": "replayed", "id": "default", "position": end}));

        // A client that comes back from where it was is told the same, too.
        let mut ask = filter.clone();
        ask["from"] = json!(3);
        client.subscribe(ask).await;
        client.say(json!({"op": "unsubscribe"})).await;
        assert_eq!(&client.updates_until("unsubscribed").await.0, recorded, "{filter}");
    }
}

#[tokio::test]
async fn the_address_alone_starts_a_replay_of_a_part() {
    let server = start().await;
    server.furnish().await;
    server.append((0..20).map(|i| ping(1, 1 + i % 2, NOW + i64::from(i))).collect());
    let mut client = connect_to(&server, "/ws?replay_from=5&to=15&speed=1000&destinations=two&kinds=sample").await;
    assert_eq!(client.hear().await["type"], "replaying");
    let (updates, over) = client.updates_until("replayed").await;
    assert_eq!(updates.iter().map(|text| position(text)).collect::<Vec<_>>(), [7, 9, 11, 13, 15]);
    assert_eq!(over["position"], 15);

    // By time: all that was recorded from then on, and up to then.
    let at = server.journal.get(&[netstats_event::Position(10)]).unwrap()[0].recorded_at;
    let text = |ms: i64| format!("{}.{:03}Z", civil(at.as_millis() + ms), (at.as_millis() + ms).rem_euclid(1_000));
    let mut client = connect_to(&server, &format!("/ws?replay_from={}&speed=max", text(0))).await;
    client.hear().await;
    let (updates, _) = client.updates_until("replayed").await;
    assert!(position(&updates[0]) <= 10 && updates.len() >= 14, "recorded at the same time are all of one batch");
    let mut client = connect_to(&server, &format!("/ws?replay_from=0&to={}&speed=max", text(-60_000))).await;
    client.hear().await;
    assert!(client.updates_until("replayed").await.0.is_empty());
    server.stop().await;
}

/// To the second, UTC.
fn civil(millis: i64) -> String {
    let out = std::process::Command::new("date")
        .args(["-u", "-d", &format!("@{}", millis.div_euclid(1_000)), "+%Y-%m-%dT%H:%M:%S"])
        .output()
        .unwrap();
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn a_replay_goes_on_live_without_a_gap_or_a_repeat_while_the_log_grows() {
    let server = Arc::new(start().await);
    server.furnish().await;
    server.append((0..2_500).map(|i| ping(1, 1, NOW + i)).collect());
    let mut client = connect_to(&server, "/ws?replay_from=3&speed=max&follow=true").await;
    let writer = {
        let server = server.clone();
        tokio::task::spawn_blocking(move || {
            for i in 0..200 {
                server.append((0..10).map(|k| ping(1, 1, NOW + 2_500 + i * 10 + k)).collect());
            }
        })
    };
    let (mut next, mut types) = (4, Vec::new());
    while next <= 3 + 4_500 {
        let message = client.hear().await;
        match message["type"].as_str().unwrap() {
            "update" => {
                assert_eq!(message["position"], next, "{types:?}");
                next += 1;
            }
            "heartbeat" => {}
            other => types.push(other.to_owned()),
        }
    }
    assert_eq!(types, ["replaying", "replayed", "subscribed"]);
    writer.await.unwrap();
}

#[tokio::test]
async fn a_paused_replay_is_silent_until_it_is_resumed() {
    let server = start().await;
    server.furnish().await;
    server.append((0..3_000).map(|i| ping(1, 1, NOW + i)).collect());
    let mut client = connect(&server).await;
    client.say(json!({"op": "replay", "id": "r", "from": 3, "speed": "max", "kinds": ["sample"]})).await;
    assert_eq!(client.hear().await["type"], "replaying");
    client.say(json!({"op": "pause", "id": "r"})).await;
    let (before, paused) = client.updates_until("paused").await;
    assert_eq!(before.last().map_or(3, |text| position(text)), paused["position"]);
    for _ in 0..3 {
        client.say(json!({"op": "ping"})).await;
        assert_eq!(client.hear().await["type"], "pong", "nothing comes while it rests");
    }
    client.say(json!({"op": "resume", "id": "r", "speed": 1_000})).await;
    assert_eq!(
        client.hear().await,
        json!({"type": "resumed", "id": "r", "position": paused["position"], "speed": "1000"})
    );
    let (after, _) = client.updates_until("replayed").await;
    let positions: Vec<u64> = before.iter().chain(&after).map(|text| position(text)).collect();
    assert_eq!(positions, (4..=3_003).collect::<Vec<_>>());

    // Ended by the client; then the socket is free for something else.
    client.say(json!({"op": "replay", "id": "r", "from": 3, "speed": 1})).await;
    client.say(json!({"op": "pause", "id": "r"})).await;
    client.say(json!({"op": "unsubscribe", "id": "r"})).await;
    while client.hear().await["type"] != "unsubscribed" {}
    assert_eq!(client.subscribe(json!({"id": "s"})).await["type"], "subscribed");
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_replayed_is_refused_with_what_can() {
    let server = start().await;
    server.furnish().await;
    let mut client = connect(&server).await;
    for (ask, field) in [
        (json!({}), "from"),
        (json!({"from": 99}), "from"),
        (json!({"from": -1}), "from"),
        (json!({"from": "yesterday"}), "from"),
        (json!({"from": [1]}), "from"),
        (json!({"from": 2, "to": 1}), "to"),
        (json!({"from": 0, "to": 4}), "to"),
        (json!({"from": 0, "speed": 0}), "speed"),
        (json!({"from": 0, "speed": 1_001}), "speed"),
        (json!({"from": 0, "speed": "fast"}), "speed"),
        (json!({"from": 0, "follow": 1}), "follow"),
        (json!({"from": 0, "snapshot": true}), "snapshot"),
    ] {
        let mut message = ask.clone();
        message["op"] = json!("replay");
        client.say(message).await;
        let error = client.hear().await;
        assert_eq!((&error["type"], error["field"].as_str()), (&json!("error"), Some(field)), "{ask}: {error}");
    }
    client.say(json!({"op": "pause", "id": "r"})).await;
    assert_eq!(client.hear().await["code"], "not-found");
    client.say(json!({"op": "replay", "from": 0, "speed": 1, "id": "r"})).await;
    client.say(json!({"op": "pause", "id": "r"})).await;
    client.updates_until("replaying").await;
    client.updates_until("paused").await;
    client.say(json!({"op": "subscribe"})).await;
    assert_eq!(client.hear().await["code"], "replaying");
    client.say(json!({"op": "replay", "from": 0})).await;
    assert_eq!(client.hear().await["code"], "subscribed");

    let upgrade = [
        ("connection", "upgrade, close"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    for (query, field) in [
        ("speed=max", "replay_from"),
        ("replay_from=0&speed=0", "speed"),
        ("replay_from=0&replay_from=1", "replay_from"),
        ("replay_from=0&follow=perhaps", "follow"),
        ("replay_from=0&colour=red", "colour"),
    ] {
        let mut head = format!("GET /ws?{query} HTTP/1.1\r\nhost: {}\r\n", server.address);
        upgrade.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
        let answer = server.raw((head + "\r\n").as_bytes()).await;
        answer.refuses(422, Some(field));
    }
    server.stop().await;
}
