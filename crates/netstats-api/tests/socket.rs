//! `/ws` through a real socket, with clients good and bad.

mod support;

use std::time::Duration;

use futures_util::SinkExt;
use serde_json::json;
use support::ws::{connect, frame, raw};
use support::{BOUND, NOW, ping, start, start_with};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

#[tokio::test]
async fn a_subscriber_gets_rows_and_changes_as_they_are_recorded() {
    let server = start().await;
    server.furnish().await;
    let mut client = connect(&server).await;
    let subscribed = client.subscribe(json!({"id": "all"})).await;
    assert_eq!(subscribed, json!({"type": "subscribed", "id": "all", "position": 3}));
    server.append(vec![ping(1, 2, NOW)]);
    let update = client.hear().await;
    assert_eq!(
        (&update["type"], &update["position"], &update["kind"]),
        (&json!("update"), &json!(4), &json!("ping_measured"))
    );
    assert_eq!((&update["job_id"], &update["destination_id"]), (&json!(1), &json!(2)));
    let row = &update["row"];
    assert_eq!(
        (&row["destination"], &row["metric"], &row["packets_received"]),
        (&json!("two"), &json!("ping"), &json!(2))
    );
    assert_eq!(row["response_time_ms"].as_f64(), Some(2.0));
    server.send("PATCH", "/api/destinations/1", &json!({"display_name": "Eins"})).await.is(200);
    let update = client.hear().await;
    assert_eq!((&update["kind"], &update["data"]["actor"]), (&json!("destination_changed"), &json!("api:local")));
    assert_eq!(update["data"]["destination"]["display_name"], "Eins");
    server.post("/api/jobs/1/stop", &json!({"reason": "enough"})).await.is(200);
    let update = client.hear().await;
    assert_eq!(
        (&update["kind"], &update["data"]["reason"], &update["job_id"]),
        (&json!("job_stopped"), &json!("enough"), &json!(1))
    );
    client.say(json!({"op": "unsubscribe", "id": "all"})).await;
    assert_eq!(client.hear().await, json!({"type": "unsubscribed", "id": "all"}));
    server.append(vec![ping(1, 2, NOW)]);
    client.say(json!({"op": "ping"})).await;
    assert_eq!(client.hear().await["type"], "pong");
    server.stop().await;
}

#[tokio::test]
async fn filters_let_through_what_they_say() {
    let server = start().await;
    server.furnish().await;
    server.send("PATCH", "/api/destinations/two", &json!({"tags": ["lab"]})).await.is(200);
    let mut clients = Vec::new();
    for filter in [
        json!({}),
        json!({"destinations": ["one"]}),
        json!({"destinations": [2], "kinds": ["sample"]}),
        json!({"tags": ["lab"]}),
        json!({"jobs": ["pings"], "kinds": ["job_stopped"]}),
        json!({"kinds": ["config"]}),
    ] {
        let mut client = connect(&server).await;
        assert_eq!(client.subscribe(filter).await["type"], "subscribed");
        clients.push(client);
    }
    server.append(vec![ping(1, 1, NOW), ping(1, 2, NOW)]);
    server.post("/api/jobs/1/stop", &json!({})).await.is(200);
    server.post("/api/destinations", &json!({"name": "end", "host": "192.0.2.9", "tags": ["lab"]})).await.is(201);
    let expected: [&[u64]; 6] = [&[5, 6, 7, 8], &[5], &[6], &[6, 8], &[7], &[7, 8]];
    for (client, expected) in clients.iter_mut().zip(expected) {
        for position in expected {
            assert_eq!(client.hear().await["position"], *position);
        }
        client.say(json!({"op": "ping"})).await;
        assert_eq!(client.hear().await["type"], "pong", "nothing else came");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_resume_has_no_gap_and_no_repeat_while_the_log_grows() {
    let server = std::sync::Arc::new(start().await);
    server.furnish().await;
    server.append((0..3_000).map(|i| ping(1, 1, NOW + i)).collect());
    let writer = {
        let server = server.clone();
        tokio::task::spawn_blocking(move || {
            for i in 0..300 {
                server.append((0..10).map(|k| ping(1, 1, NOW + 3_000 + i * 10 + k)).collect());
            }
        })
    };
    let mut position = 3;
    let last = 3 + 6_000;
    // Comes and goes, each time from where it was.
    while position < last {
        let mut client = connect(&server).await;
        let first = client.subscribe(json!({"from": position, "kinds": ["sample"]})).await;
        assert_eq!((&first["type"], first["position"].as_u64()), (&json!("subscribed"), Some(position)));
        for _ in 0..777.min(last - position) {
            let update = client.hear().await;
            assert_eq!((&update["type"], update["position"].as_u64()), (&json!("update"), Some(position + 1)));
            position += 1;
        }
    }
    writer.await.unwrap();
}

#[tokio::test]
async fn two_subscriptions_on_one_socket_keep_the_order_and_change_without_a_gap() {
    let server = std::sync::Arc::new(start().await);
    server.furnish().await;
    let mut client = connect(&server).await;
    client.subscribe(json!({"id": "a", "destinations": [1]})).await;
    let writer = {
        let server = server.clone();
        tokio::task::spawn_blocking(move || {
            for i in 0..200 {
                server.append(vec![ping(1, 1, NOW + i), ping(1, 2, NOW + i)]);
            }
        })
    };
    let mut seen = Vec::new();
    let mut subscribed_b_at = None;
    client.say(json!({"op": "subscribe", "id": "b", "destinations": [2]})).await;
    while seen.last() != Some(&403) {
        let message = client.hear().await;
        match message["type"].as_str().unwrap() {
            "update" => seen.push(message["position"].as_u64().unwrap()),
            "subscribed" => subscribed_b_at = message["position"].as_u64(),
            other => panic!("{other}"),
        }
    }
    writer.await.unwrap();
    assert!(seen.windows(2).all(|two| two[0] < two[1]), "in order, once each");
    let since = subscribed_b_at.unwrap();
    for position in 4..=403 {
        let is_of_one = position % 2 == 0;
        assert_eq!(seen.contains(&position), is_of_one || position > since, "{position} (b since {since})");
    }
}

#[tokio::test]
async fn a_snapshot_comes_first_and_holds_everything_before_the_updates() {
    let server = start().await;
    server.furnish().await;
    server.append(vec![ping(1, 1, NOW)]);
    let mut client = connect(&server).await;
    let snapshot = client.subscribe(json!({"id": "s", "snapshot": true})).await;
    assert_eq!(
        (&snapshot["type"], &snapshot["id"], &snapshot["position"]),
        (&json!("snapshot"), &json!("s"), &json!(4))
    );
    assert_eq!(snapshot["destinations"][0]["latest"]["position"], 4);
    assert_eq!(snapshot["jobs"][0]["name"], "pings");
    server.append(vec![ping(1, 1, NOW)]);
    assert_eq!(client.hear().await["position"], 5);
    server.stop().await;
}

#[tokio::test]
async fn a_position_that_is_not_in_the_log_resets_the_client() {
    let server = start().await;
    server.furnish().await;
    let mut client = connect(&server).await;
    let reset = client.subscribe(json!({"id": "x", "from": 1_000})).await;
    assert_eq!((&reset["type"], &reset["id"], &reset["position"]), (&json!("reset"), &json!("x"), &json!(3)));
    assert_eq!(client.hear().await["type"], "subscribed");
    server.append(vec![ping(1, 1, NOW)]);
    assert_eq!(client.hear().await["position"], 4);
    server.stop().await;
}

#[tokio::test]
async fn a_quiet_socket_hears_heartbeats_with_how_far_it_is() {
    let server = start_with(|context| context.limits.heartbeat = Duration::from_millis(30)).await;
    server.furnish().await;
    let mut client = connect(&server).await;
    client.subscribe(json!({"kinds": ["observer"]})).await;
    server.append(vec![ping(1, 1, NOW)]);
    // Not wanted, and still told: a resume need not look at it again.
    loop {
        let heartbeat = client.hear().await;
        assert_eq!(heartbeat["type"], "heartbeat");
        if heartbeat["position"] == 4 {
            break;
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn what_is_not_understood_is_told_and_the_socket_lives() {
    let server = start_with(|context| {
        context.limits.subscriptions = 3;
        context.limits.messages_per_s = 1_000;
    })
    .await;
    server.furnish().await;
    let mut client = connect(&server).await;
    for (message, code, field) in [
        ("", "malformed", None),
        ("nonsense", "malformed-json", None),
        ("{\"op\":\"ping\",\"op\":\"ping\"}", "malformed-json", None),
        ("[]", "invalid", None),
        ("{}", "invalid", Some("op")),
        ("{\"op\":\"subscrib\"}", "invalid", Some("op")),
        ("{\"op\":\"subscribe\",\"id\":\"\"}", "invalid", Some("id")),
        ("{\"op\":\"subscribe\",\"id\":7}", "invalid", Some("id")),
        ("{\"op\":\"subscribe\",\"destinations\":[\"three\"]}", "not-found", Some("destinations[0]")),
        ("{\"op\":\"subscribe\",\"jobs\":[{}]}", "invalid", Some("jobs[0]")),
        ("{\"op\":\"subscribe\",\"kinds\":[\"sampl\"]}", "invalid", Some("kinds[0]")),
        ("{\"op\":\"subscribe\",\"from\":-1}", "invalid", Some("from")),
        ("{\"op\":\"subscribe\",\"from\":1e300}", "invalid", Some("from")),
        ("{\"op\":\"subscribe\",\"form\":1}", "invalid", Some("form")),
        ("{\"op\":\"unsubscribe\",\"id\":\"x\"}", "not-found", None),
    ] {
        client.0.send(Message::text(message)).await.unwrap();
        let error = client.hear().await;
        assert_eq!((&error["type"], error["code"].as_str()), (&json!("error"), Some(code)), "{message}: {error}");
        assert_eq!(error["field"].as_str(), field, "{message}: {error}");
    }
    client.0.send(Message::text("[".repeat(60_000))).await.unwrap();
    assert_eq!(client.hear().await["code"], "malformed-json");
    for id in ["a", "b", "c"] {
        assert_eq!(client.subscribe(json!({"id": id})).await["type"], "subscribed");
    }
    assert_eq!(client.subscribe(json!({"id": "d"})).await["code"], "too-many-subscriptions");
    assert_eq!(client.subscribe(json!({"id": "a"})).await["type"], "subscribed", "an id that is there is replaced");
    server.stop().await;
}

/// The code of the close frame that ends the stream; none if it just ends.
async fn closed_with(mut stream: TcpStream) -> Option<u16> {
    let mut all = Vec::new();
    let _ = tokio::time::timeout(BOUND, stream.read_to_end(&mut all)).await.expect("the server closes");
    let mut rest = all.as_slice();
    while rest.len() >= 2 {
        let (first, mut length, mut at) = (rest[0], usize::from(rest[1] & 0x7f), 2);
        if length == 126 {
            length = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
            at = 4;
        }
        if first == 0x88 {
            return Some(u16::from_be_bytes([rest[at], rest[at + 1]]));
        }
        rest = &rest[(at + length).min(rest.len())..];
    }
    None
}

#[tokio::test]
async fn a_client_that_breaks_the_protocol_is_closed_with_the_code_for_it() {
    let server = start_with(|context| context.limits.messages_per_s = 20).await;
    let fragments: Vec<u8> =
        [frame(0x01, b"{"), (0..100_000).flat_map(|_| frame(0x00, b"")).collect(), frame(0x80, b"}")].concat();
    let pings: Vec<u8> = (0..2_000).flat_map(|_| frame(0x89, b"")).collect();
    let texts: Vec<u8> = (0..2_000).flat_map(|_| frame(0x81, b"{\"op\":\"ping\"}")).collect();
    for (name, bytes, codes) in [
        ("an unmasked frame", vec![0x81, 0x02, b'{', b'}'], [1002, 1002]),
        ("a reserved opcode", frame(0x83, b""), [1002, 1002]),
        ("a reserved bit", frame(0xC1, b"{}"), [1002, 1002]),
        ("a fragmented control frame", frame(0x09, b""), [1002, 1002]),
        ("a long control frame", frame(0x89, &[0; 126]), [1002, 1002]),
        ("a continuation of nothing", frame(0x80, b"x"), [1002, 1002]),
        ("a text inside a text", [frame(0x01, b"a"), frame(0x81, b"b")].concat(), [1002, 1002]),
        ("text that is not UTF-8", frame(0x81, &[0xc3, 0x28]), [1007, 1007]),
        ("binary on a text protocol", frame(0x82, b"abc"), [1003, 1003]),
        ("a frame said to be of 2^63 bytes", [&[0x81, 0xff][..], &[0x7f; 8], &[0; 4]].concat(), [1009, 1002]),
        ("a message past the limit", frame(0x81, &vec![b' '; 65_537]), [1009, 1009]),
        (
            "fragments past the limit",
            [frame(0x01, &vec![b' '; 40_000]), frame(0x80, &vec![b' '; 40_000])].concat(),
            [1009, 1009],
        ),
        ("a flood of pings", pings, [1008, 1008]),
        ("a flood of messages", texts, [1008, 1008]),
        ("a close with a bad code", frame(0x88, &[0x03, 0xe7]), [1002, 1002]),
    ] {
        let mut stream = raw(&server).await;
        let _ = stream.write_all(&bytes).await;
        let code = closed_with(stream).await;
        // A flood may fill our side's buffers so that the goodbye is lost in a reset.
        let may_be_lost = name.starts_with("a flood") || name.contains("past the limit");
        assert!(code.is_some_and(|code| codes.contains(&code)) || (may_be_lost && code.is_none()), "{name}: {code:?}");
    }
    // Many empty fragments are one message.
    let mut stream = raw(&server).await;
    stream.write_all(&fragments).await.unwrap();
    stream.write_all(&frame(0x88, &1000_u16.to_be_bytes())).await.unwrap();
    assert_eq!(closed_with(stream).await, Some(1000));
    // A message cut off in the middle, and a client that just goes.
    let mut stream = raw(&server).await;
    stream.write_all(&frame(0x81, b"{\"op\":\"ping\"}")[..9]).await.unwrap();
    drop(stream);
    server.get("/api/health").await.is(200);
    server.stop().await;
}

#[tokio::test]
async fn a_handshake_that_is_not_one_is_refused_before_any_upgrade() {
    let server = start_with(|context| context.limits.sockets = 2).await;
    let good = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let with = |name: &'static str, value: &'static str| {
        let mut headers: Vec<(&str, &str)> = good.iter().copied().filter(|(n, _)| *n != name).collect();
        if !value.is_empty() {
            headers.push((name, value));
        }
        headers
    };
    let ask = |method: &'static str, headers: Vec<(&'static str, &'static str)>| {
        let server = &server;
        async move {
            let mut head = format!("{method} /ws HTTP/1.1\r\n");
            if !headers.iter().any(|(name, _)| *name == "host") {
                head += &format!("host: {}\r\n", server.address);
            }
            for (name, value) in &headers {
                head += &format!("{name}: {value}\r\n");
            }
            let mut stream = TcpStream::connect(server.address).await.unwrap();
            stream.write_all((head + "\r\n").as_bytes()).await.unwrap();
            let mut first = [0; 12];
            stream.read_exact(&mut first).await.unwrap();
            (String::from_utf8_lossy(&first[9..]).parse::<u16>().unwrap(), stream)
        }
    };
    for (headers, code) in [
        (with("upgrade", ""), 426),
        (with("upgrade", "h2c"), 426),
        (with("connection", "keep-alive"), 426),
        (with("sec-websocket-version", "8"), 426),
        (with("sec-websocket-version", ""), 426),
        (with("sec-websocket-key", ""), 400),
        (with("sec-websocket-key", "short"), 400),
        (with("sec-websocket-key", "!!!!!!!!!!!!!!!!!!!!!!=="), 400),
        (with("origin", "http://evil.test"), 403),
        (with("origin", "null"), 403),
        (with("sec-fetch-site", "cross-site"), 403),
        (with("sec-fetch-site", "same-site"), 403),
        (with("host", "evil.test:80"), 421),
    ] {
        assert_eq!(ask("GET", headers.clone()).await.0, code, "{headers:?}");
    }
    assert_eq!(ask("POST", good.to_vec()).await.0, 405);
    let first = ask("GET", good.to_vec()).await;
    let second = ask("GET", good.to_vec()).await;
    assert_eq!((first.0, second.0), (101, 101));
    assert_eq!(ask("GET", good.to_vec()).await.0, 503);
    drop(first);
    tokio::time::timeout(BOUND, async { while ask("GET", good.to_vec()).await.0 != 101 {} })
        .await
        .expect("a place comes free");
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_delays_nobody_and_is_told_or_dropped() {
    let server = start_with(|context| context.limits.socket_write_time = Duration::from_millis(300)).await;
    server.furnish().await;
    let mut deaf = connect(&server).await;
    deaf.subscribe(json!({})).await;
    let mut good = connect(&server).await;
    good.subscribe(json!({})).await;
    let reader = tokio::spawn(async move {
        let (mut updates, mut missed) = (0, 0);
        while updates + missed < 40_000 {
            let message = good.hear().await;
            match message["type"].as_str().unwrap() {
                "update" => updates += 1,
                "lagged" => missed += message["missed"].as_u64().unwrap(),
                _ => {}
            }
        }
        updates
    });
    let server = std::sync::Arc::new(server);
    let writer = {
        let server = server.clone();
        // One event at a time would let even the slow keep up: bursts, each waited for.
        tokio::task::spawn_blocking(move || {
            for i in 0..400 {
                server.append((0..100).map(|k| ping(1, 1, NOW + i * 100 + k)).collect());
            }
        })
    };
    tokio::time::timeout(BOUND, writer).await.expect("the pipeline does not wait").unwrap();
    let _ = tokio::time::timeout(BOUND, reader).await.expect("the good client gets or is told all");
    // The deaf one: what is in its buffers, then it is over.
    let end = tokio::time::timeout(BOUND, async {
        loop {
            if let Err(code) = deaf.next().await {
                return code;
            }
        }
    });
    assert!(matches!(end.await.expect("dropped"), 1006 | 1013));
}

#[tokio::test]
async fn a_stop_says_goodbye() {
    let server = start().await;
    let mut client = connect(&server).await;
    let stopping = tokio::spawn(server.stop());
    assert_eq!(client.next().await, Err(1001));
    stopping.await.unwrap();
}
