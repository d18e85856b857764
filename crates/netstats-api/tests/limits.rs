//! Every limit of the server: what it ships with, that another value holds, and what happens past it. Times are proved by
//! small values and by what comes of them, never by a clock. (`write_time` and what a proxy of raw bytes needs besides
//! stands in `src/door_tests.rs`, `heartbeat` and `socket_write_time` in `tests/socket.rs`, `scraped_probes` in
//! `tests/prometheus.rs`.)

mod support;

use std::sync::Arc;
use std::time::Duration;

use futures_util::SinkExt;
use netstats_api::Limits;
use serde_json::{Value, json};
use support::ws::connect;
use support::{BOUND, NOW, Server, ping, start_with};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;

const KIB: usize = 1_024;

#[test]
fn the_product_ships_with_the_limits_that_the_documents_name() {
    // Without `..`: a new limit is named here, in docs/api.md, and has its test.
    let Limits {
        head_bytes,
        head_fields,
        head_time,
        body_bytes,
        body_time,
        idle_time,
        write_time,
        handler_time,
        connections,
        connections_per_address,
        sockets,
        message_bytes,
        messages_per_s,
        subscriptions,
        heartbeat,
        socket_write_time,
        rows,
        scraped_probes,
        stop_time,
    } = Limits::default();
    let seconds = Duration::from_secs;
    assert_eq!((head_bytes, head_fields, head_time), (16 * KIB, 64, seconds(10)));
    assert_eq!((body_bytes, body_time), (KIB * KIB, seconds(30)));
    assert_eq!((idle_time, write_time, handler_time), (seconds(60), seconds(30), seconds(30)));
    assert_eq!((connections, connections_per_address, sockets), (256, 32, 512));
    assert_eq!((message_bytes, messages_per_s, subscriptions), (64 * KIB, 20, 64));
    assert_eq!((heartbeat, socket_write_time, stop_time), (seconds(20), seconds(10), seconds(3)));
    assert_eq!((rows, scraped_probes), (100_000, 50_000));
}

async fn with(adjust: impl FnOnce(&mut Limits)) -> Server {
    start_with(|context| adjust(&mut context.limits)).await
}

#[tokio::test]
async fn a_head_may_have_as_many_bytes_as_the_limit_says() {
    for most in [8 * KIB, 16 * KIB, 40 * KIB] {
        let server = with(|limits| limits.head_bytes = most).await;
        let status = |bytes: usize| {
            let (server, filling) = (&server, "x".repeat(bytes));
            async move { server.ask("GET", "/api/me", &[("x-filling", &filling)], None).await.status }
        };
        assert_eq!(status(most - 200).await, 200, "{most}");
        assert_eq!(status(most - 20).await, 431, "{most}");
        server.stop().await;
    }
}

#[tokio::test]
async fn a_head_may_have_as_many_fields_as_the_limit_says() {
    // 100 is where hyper would draw the line by itself.
    for most in [4, 64, 99, 100, 101, 250] {
        let server = with(|limits| limits.head_fields = most).await;
        let status = |fields: usize| {
            let server = &server;
            async move {
                // `host` and `connection` are there already.
                let names: Vec<String> = (2..fields).map(|i| format!("x-{i}")).collect();
                let headers: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "1")).collect();
                server.ask("GET", "/api/me", &headers, None).await.status
            }
        };
        assert_eq!(status(most).await, 200, "{most}");
        assert_eq!(status(most + 1).await, 431, "{most}");
        server.stop().await;
    }
}

#[tokio::test]
async fn a_body_may_have_as_many_bytes_as_the_limit_says() {
    for most in [KIB, KIB * KIB, 3 * KIB * KIB] {
        let server = with(|limits| limits.body_bytes = most).await;
        // Read as a whole, it is no JSON.
        server.post_text("/api/destinations", &vec![b' '; most]).await.refuses(400, None);
        let refused = server.post_text("/api/destinations", &vec![b' '; most + 1]).await;
        assert_eq!(refused.refuses(413, None)["accepted"], format!("at most {most} bytes"));
        server.stop().await;
    }
}

/// What comes back on a connection until the server closes it.
async fn until_closed(server: &Server, sent: &str) -> String {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(sent.replace("HOST", &server.address.to_string()).as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(BOUND, stream.read_to_end(&mut answer)).await.expect("the server closes");
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn whoever_takes_longer_than_the_limits_say_is_answered_or_closed() {
    let short = Duration::from_millis(150);
    let server = start_with(|context| {
        let limits = &mut context.limits;
        (limits.head_time, limits.body_time, limits.idle_time, limits.handler_time) = (short, short, short, short);
        context.probe = Some(Arc::new(|_| Box::pin(std::future::pending())));
    })
    .await;
    assert_eq!(until_closed(&server, "").await, "", "a connection that says nothing");
    assert_eq!(until_closed(&server, "GET /api/me HTTP/1.1\r\nhost: HO").await, "", "half a head");
    let body =
        "POST /api/destinations HTTP/1.1\r\nhost: HOST\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{";
    assert!(until_closed(&server, body).await.starts_with("HTTP/1.1 408 "), "half a body");
    let idle = until_closed(&server, "GET /api/me HTTP/1.1\r\nhost: HOST\r\n\r\n").await;
    assert!(idle.starts_with("HTTP/1.1 200 "), "an idle connection: {idle}");
    server.post("/api/test", &json!({"host": "192.0.2.1", "metric": "ping"})).await.refuses(503, None);
    server.stop().await;
}

#[tokio::test]
async fn a_stop_waits_for_requests_under_way_as_long_as_the_limit_says() {
    let server = start_with(|context| {
        context.limits.stop_time = Duration::from_millis(100);
        context.probe = Some(Arc::new(|_| Box::pin(std::future::pending())));
    })
    .await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let body = r#"{"host":"192.0.2.1","metric":"ping"}"#;
    let head = format!(
        "POST /api/test HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        server.address,
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    server.get("/api/me").await.is(200);
    // The handler would take 20 s; within the bound of a test `stop` returns.
    server.stop().await;
}

/// A connection from that address, kept after its answer; none if it was turned away.
async fn held(server: &Server, from: &str) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
    let mut stream = socket.connect(server.address).await.unwrap();
    let head = format!("GET /api/me HTTP/1.1\r\nhost: {}\r\n\r\n", server.address);
    let _ = stream.write_all(head.as_bytes()).await;
    let mut first = [0; 12];
    let read = tokio::time::timeout(BOUND, stream.read_exact(&mut first)).await.expect("an answer or an end");
    // Turned away with bytes unread, a connection may be reset before its 503 arrives.
    (read.is_ok() && &first[9..] == b"200").then_some(stream)
}

#[tokio::test]
async fn there_may_be_as_many_connections_as_the_limit_says() {
    for most in [1, 5, 40] {
        let server = with(|limits| (limits.connections, limits.connections_per_address) = (most, 1_000)).await;
        let mut open = Vec::new();
        for i in 0..most {
            open.push(held(&server, "127.0.0.1").await.unwrap_or_else(|| panic!("{i} of {most}")));
        }
        assert!(held(&server, "127.0.0.1").await.is_none(), "{most}");
        open.pop();
        let freed = async { while held(&server, "127.0.0.1").await.is_none() {} };
        tokio::time::timeout(BOUND, freed).await.expect("a place comes free");
        drop(open);
        server.stop().await;
    }
}

/// Other systems give the loopback one address.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn one_address_may_have_as_many_connections_as_the_limit_says_and_leaves_the_rest_to_others() {
    for most in [1, 3] {
        let server = with(|limits| limits.connections_per_address = most).await;
        let mut open = Vec::new();
        for from in ["127.0.0.1", "127.0.0.2"] {
            for _ in 0..most {
                open.push(held(&server, from).await.expect("within its share"));
            }
            assert!(held(&server, from).await.is_none(), "{from} has its share");
        }
        drop(open);
        server.stop().await;
    }
}

#[tokio::test]
async fn there_may_be_as_many_websockets_as_the_limit_says_and_they_are_no_connections() {
    for most in [1, 6] {
        let server = with(|limits| (limits.sockets, limits.connections) = (most, 3)).await;
        let mut open = Vec::new();
        for _ in 0..most {
            open.push(connect(&server).await);
        }
        let upgrade = [
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        // `ask` would have a connection header of its own.
        let lines: String = upgrade.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!("GET /ws HTTP/1.1\r\nhost: {}\r\n{lines}\r\n", server.address);
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.unwrap();
        assert_eq!(&first[9..], b"503", "{most}");
        drop(stream);
        server.get("/api/me").await.is(200);
        drop(open);
        server.stop().await;
    }
}

#[tokio::test]
async fn a_message_may_have_as_many_bytes_as_the_limit_says() {
    for most in [KIB, 64 * KIB, 100 * KIB] {
        let server = with(|limits| limits.message_bytes = most).await;
        let mut client = connect(&server).await;
        client.0.send(Message::text(" ".repeat(most))).await.unwrap();
        assert_eq!(client.hear().await["type"], "error", "it is read, and is no JSON");
        let _ = client.0.send(Message::text(" ".repeat(most + 1))).await;
        // What is left unread may turn the goodbye into a reset.
        let code = client.next().await.unwrap_err();
        assert!(matches!(code, 1009 | 1006), "{most}: {code}");
        server.stop().await;
    }
}

#[tokio::test]
async fn a_client_may_send_as_many_messages_as_the_limit_says() {
    for rate in [1_u32, 15] {
        let server = with(|limits| limits.messages_per_s = rate).await;
        let mut client = connect(&server).await;
        // Ten seconds' worth at once is fine.
        for _ in 0..rate * 10 {
            client.say(json!({"op": "ping"})).await;
            assert_eq!(client.hear().await["type"], "pong");
        }
        // Whatever came back meanwhile, this is more.
        for _ in 0..rate * 1_000 {
            if client.0.send(Message::text("{\"op\":\"ping\"}")).await.is_err() {
                break;
            }
        }
        let code = loop {
            if let Err(code) = client.next().await {
                break code;
            }
        };
        assert!(matches!(code, 1008 | 1006), "{rate}: {code}");
        server.stop().await;
    }
}

#[tokio::test]
async fn a_client_may_have_as_many_subscriptions_as_the_limit_says() {
    for most in [1, 5] {
        let server = with(|limits| limits.subscriptions = most).await;
        let mut client = connect(&server).await;
        for i in 0..most {
            assert_eq!(client.subscribe(json!({"id": format!("s{i}")})).await["type"], "subscribed");
        }
        let refused = client.subscribe(json!({"id": "one more"})).await;
        assert_eq!(
            (&refused["code"], &refused["accepted"]),
            (&json!("too-many-subscriptions"), &json!(format!("at most {most}")))
        );
        server.stop().await;
    }
}

#[tokio::test]
async fn an_answer_has_as_many_rows_as_the_limit_says_and_a_link_to_the_rest() {
    for most in [2_usize, 7] {
        let server = with(|limits| limits.rows = most).await;
        server.furnish().await;
        server.append((0..20).map(|i| ping(1, 1, NOW + i * 60_000)).collect());
        let asked = "/api/jobs/1/metrics?metric=ping&start_time=2026-01-01T00:00:00Z&end_time=2027-01-01T00:00:00Z";
        let accepted = server.get(&format!("{asked}&limit={}", most + 1)).await.refuses(422, Some("limit"));
        assert_eq!(accepted["accepted"], format!("a whole number from 1 to {most}"));
        let answer = server.get(&format!("{asked}&limit={most}")).await;
        assert!(answer.header("link").is_some(), "{}", answer.head);
        let rows: Value = answer.is(200);
        assert_eq!(rows.as_array().unwrap().len(), most);
        server.stop().await;
    }
}
