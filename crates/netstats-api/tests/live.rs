//! What happens now, without a WebSocket: Server-Sent Events, pulls by pages, tests by hand.

mod support;

use std::sync::Arc;

use netstats_api::{ProbeAsk, Probed};
use netstats_event::{Event, FailReason, PingMeasured, SlotFailed};
use serde_json::{Value, json};
use support::{Answer, BOUND, NOW, Server, ping, start, start_with};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// An open stream.
struct Events(BufReader<TcpStream>);

/// One of its events.
#[derive(Debug, PartialEq)]
struct Told {
    id: Option<u64>,
    name: String,
    data: Value,
}

impl Events {
    async fn open(server: &Server, path: &str, headers: &str) -> Self {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n{headers}\r\n", server.address);
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut events = Self(BufReader::new(stream));
        let status = events.line().await;
        assert!(status.starts_with("HTTP/1.1 200"), "{status}");
        let mut head = String::new();
        loop {
            match events.line().await {
                line if line.is_empty() => break,
                line => head += &(line.to_ascii_lowercase() + "\n"),
            }
        }
        assert!(head.contains("content-type: text/event-stream") && head.contains("cache-control: no-store"), "{head}");
        assert_eq!(events.next().await.name, "hello");
        events
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        tokio::time::timeout(BOUND, self.0.read_line(&mut line)).await.expect("a line in time").unwrap();
        line.trim_end_matches(['\r', '\n']).to_owned()
    }

    /// The next event of a stream that goes on.
    async fn next(&mut self) -> Told {
        self.next_if_any().await.expect("the stream goes on")
    }

    /// The next event, or none at the end; the sizes of chunks lie between the lines, and none of ours looks like one. The
    /// last chunk's size is 0.
    async fn next_if_any(&mut self) -> Option<Told> {
        let (mut id, mut name, mut data) = (None, String::new(), None);
        loop {
            let line = self.line().await;
            if line == "0" {
                return None;
            }
            if let Some(text) = line.strip_prefix("id: ") {
                id = Some(text.parse().unwrap());
            } else if let Some(text) = line.strip_prefix("event: ") {
                name = text.to_owned();
            } else if let Some(text) = line.strip_prefix("data: ") {
                data = Some(serde_json::from_str(text).unwrap());
            } else if let (true, Some(data)) = (line.is_empty(), data.take()) {
                return Some(Told { id, name, data });
            }
        }
    }
}

#[tokio::test]
async fn a_stream_says_word_by_word_what_the_websocket_says() {
    let server = start().await;
    server.furnish().await;
    let mut events = Events::open(&server, "/api/stream?kinds=sample", "").await;
    let mut client = support::ws::connect(&server).await;
    client.subscribe(json!({"kinds": ["sample"]})).await;
    server.append(vec![ping(1, 1, NOW), ping(1, 2, NOW + 1)]);
    server.post("/api/jobs/1/stop", &json!({})).await.is(200);
    for position in [4, 5] {
        let told = events.next().await;
        assert_eq!((told.id, told.name.as_str()), (Some(position), "update"));
        assert_eq!(told.data, client.hear().await);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_stream_goes_on_after_the_last_event_that_its_client_has() {
    let server = Arc::new(start().await);
    server.furnish().await;
    server.append((0..3_000).map(|i| ping(1, 1, NOW + i)).collect());
    let writer = {
        let server = server.clone();
        tokio::task::spawn_blocking(move || {
            for i in 0..100 {
                server.append((0..10).map(|k| ping(1, 1, NOW + 3_000 + i * 10 + k)).collect());
            }
        })
    };
    let (mut position, last) = (3, 3 + 4_000);
    while position < last {
        let header = format!("last-event-id: {position}\r\n");
        let mut events = Events::open(&server, "/api/stream?kinds=sample&from=0", &header).await;
        for _ in 0..777.min(last - position) {
            let told = events.next().await;
            assert_eq!((told.id, told.name.as_str()), (Some(position + 1), "update"), "no gap, no repeat");
            position += 1;
        }
    }
    writer.await.unwrap();
    let mut events = Events::open(&server, "/api/stream", "last-event-id: 99999\r\n").await;
    let told = events.next().await;
    assert_eq!((told.name.as_str(), told.id), ("reset", Some(last)), "{told:?}");
}

#[tokio::test]
async fn a_quiet_stream_shows_life_and_how_far_it_is() {
    let server = start_with(|context| context.limits.heartbeat = std::time::Duration::from_millis(50)).await;
    server.furnish().await;
    let mut events = Events::open(&server, "/api/stream?kinds=ping_measured", "").await;
    let told = events.next().await;
    assert_eq!((told.id, told.name.as_str()), (Some(3), "heartbeat"), "config events are not wanted, and not missed");
    server.append(vec![ping(1, 1, NOW)]);
    loop {
        let told = events.next().await;
        if told.name == "update" {
            assert_eq!(told.id, Some(4));
            break;
        }
    }
    // The end of the server is the end of the stream.
    server.stop().await;
}

#[tokio::test]
async fn a_stream_that_is_read_late_is_told_what_it_missed_and_can_have_it_again() {
    let server = start_with(|context| {
        // Nobody is to be dropped for being late here.
        (context.limits.socket_write_time, context.limits.write_time) = (10 * BOUND, 10 * BOUND);
    })
    .await;
    let server = Arc::new(server);
    server.furnish().await;
    let mut events = Events::open(&server, "/api/stream?kinds=sample", "").await;
    let (mut position, last) = (3, 3 + 40_000);
    let writer = {
        let server = server.clone();
        tokio::task::spawn_blocking(move || {
            for i in 0..400 {
                server.append((0..100).map(|k| ping(1, 1, NOW + i * 100 + k)).collect());
            }
        })
    };
    // More than the buffers between the two hold, and nothing is read meanwhile.
    writer.await.unwrap();
    let mut lags = Vec::new();
    while position < last {
        let Some(told) = events.next_if_any().await else {
            // Too late too often: a client comes back then, from where it was.
            let header = format!("last-event-id: {position}\r\n");
            events = Events::open(&server, "/api/stream?kinds=sample", &header).await;
            continue;
        };
        match told.name.as_str() {
            "update" => {
                position += 1;
                assert_eq!(told.id, Some(position), "no gap that is not told, and no repeat");
            }
            "lagged" => {
                let number = |name: &str| told.data[name].as_u64().unwrap();
                assert_eq!((number("from"), told.id), (position + 1, Some(number("to"))), "{told:?}");
                assert_eq!(number("missed"), number("to") - position, "each of them was wanted");
                position = number("to");
                lags.push((number("from"), number("to")));
            }
            other => assert_eq!(other, "heartbeat"),
        }
    }
    let (from, to) = *lags.first().expect("more was sent than fits in between");
    let header = format!("last-event-id: {}\r\n", from - 1);
    let mut again = Events::open(&server, "/api/stream?kinds=sample", &header).await;
    for missed in from..=to.min(from + 500) {
        assert_eq!(again.next().await.id, Some(missed), "it is in the log still");
    }
}

#[tokio::test]
async fn what_a_stream_does_not_understand_is_refused_before_it_begins() {
    let server = start().await;
    server.furnish().await;
    server.get("/api/stream?kinds=sampel").await.refuses(422, Some("kinds[0]"));
    server.get("/api/stream?destinations=nobody").await.refuses(404, Some("destinations[0]"));
    server.ask("GET", "/api/stream", &[("last-event-id", "x")], None).await.refuses(400, Some("last-event-id"));
    server.stop().await;
}

#[tokio::test]
async fn streams_past_the_limit_are_refused_and_come_free_again() {
    let server = start_with(|context| {
        (context.limits.connections, context.limits.connections_per_address) = (1_000, 1_000);
    })
    .await;
    let mut open = Vec::new();
    for _ in 0..128 {
        open.push(Events::open(&server, "/api/stream", "").await);
    }
    server.get("/api/stream").await.refuses(503, None);
    open.pop();
    let freed = async {
        while server.ask("HEAD", "/api/stream", &[], None).await.status != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(BOUND, freed).await.expect("a stream that ended makes room");
    server.stop().await;
}

fn lines(answer: &Answer) -> Vec<Value> {
    std::str::from_utf8(&answer.body).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_pull_gives_all_by_pages_once_and_knows_where_to_go_on() {
    let server = start().await;
    server.furnish().await;
    server.append((0..2_500).map(|i| ping(1, 1 + u32::try_from(i % 2).unwrap(), NOW + i)).collect());
    let (mut path, mut positions) = ("/api/export/stream?kinds=sample&destinations=1&limit=100".to_owned(), Vec::new());
    let next = loop {
        let answer = server.get(&path).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/x-ndjson")));
        let page = lines(&answer);
        assert!(page.len() <= 100);
        positions.extend(page.iter().map(|line| line["position"].as_u64().unwrap()));
        match answer.header("link") {
            Some(link) => path = link.split(['<', '>']).nth(1).unwrap().to_owned(),
            None => break answer.header("x-next-from").unwrap().parse::<u64>().unwrap(),
        }
    };
    assert_eq!(positions, (0..1_250).map(|i| 4 + 2 * i).collect::<Vec<u64>>());
    assert_eq!(next, 2_503);
    // Nothing is new; then one more is.
    let path = format!("/api/export/stream?from={next}");
    assert_eq!(server.get(&path).await.body, b"");
    let position = server.append(vec![ping(1, 1, NOW + 9_999)]);
    let told = lines(&server.get(&path).await);
    assert_eq!((told.len(), told[0]["position"].as_u64()), (1, Some(position.0)));
    let problem = server.get("/api/export/stream?from=9999999").await.refuses(422, Some("from"));
    assert_eq!(problem["accepted"], "a position from 0 to 2504");
    server.stop().await;
}

#[tokio::test]
async fn influx_lines_hold_figures_and_leave_out_what_was_lost() {
    let server = start().await;
    server.furnish().await;
    server.send("PATCH", "/api/destinations/one", &json!({"name": "a b = \"c\""})).await.is(200);
    let mut lost = ping(1, 2, NOW + 1);
    if let Event::PingMeasured(PingMeasured { echoes, .. }) = &mut lost {
        echoes.fill(netstats_event::Echo::Lost);
    }
    server.append(vec![ping(1, 1, NOW), lost]);
    let answer = server.get("/api/export/stream?format=influx").await;
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    let text = String::from_utf8(answer.body.clone()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "config events are no figures: {text}");
    assert!(
        lines[0].starts_with(
            "network_stats_ping,job=pings,destination=a\\ b\\ \\=\\ \"c\",job_id=1,destination_id=1,status=partial "
        ),
        "{text}"
    );
    assert!(lines[0].contains("response_time_ms=2,") && lines[0].contains("packets_sent=3"), "{text}");
    assert!(lines[0].ends_with(&format!(" {}", NOW * 1_000_000)), "{text}");
    assert!(lines[1].contains("status=timeout") && !lines[1].contains("response_time_ms"), "lost is not 0: {text}");
    assert!(lines[1].contains("packet_loss_percent=100"), "{text}");
    server.stop().await;
}

/// A door whose probe answers after `answer`.
async fn probing(answer: impl Fn(&ProbeAsk) -> Result<Event, String> + Send + Sync + 'static) -> Server {
    start_with(|context| {
        context.probe = Some(Arc::new(move |ask| {
            let told = answer(&ask).map(|event| Probed { event, answers: vec!["192.0.2.7".parse().unwrap()] });
            Box::pin(async move { told })
        }));
    })
    .await
}

#[tokio::test]
async fn a_test_by_hand_tells_all_and_records_nothing() {
    let server = probing(|ask| {
        assert_eq!((ask.host.as_str(), ask.port, ask.options.ping.packets), ("www.example.com", Some(443), 3));
        Ok(ping(ask.head.job.0, ask.head.destination.0, ask.head.slot_at.as_millis()))
    })
    .await;
    let before = server.journal.head().last;
    let body = json!({"host": "WWW.example.com.", "port": 443, "metric": "ping", "options": {"ping": {"packets": 3}}});
    let told = server.post("/api/test", &body).await.is(200);
    assert_eq!(
        (&told["host"], &told["metric"], &told["status"]),
        (&json!("www.example.com"), &json!("ping"), &json!("partial"))
    );
    assert_eq!(told["echoes_ms"], json!([1.5, null, 2.5]), "lost is null");
    assert_eq!(
        (told["row"]["packets_sent"].as_f64(), told["row"]["response_time_ms"].as_f64()),
        (Some(3.0), Some(2.0))
    );
    assert_eq!(told["answers"], json!(["192.0.2.7"]));
    assert_eq!(server.journal.head().last, before, "nothing was recorded");
    server.stop().await;
}

#[tokio::test]
async fn a_test_by_hand_is_refused_as_its_save_would_be() {
    let server = probing(|_| unreachable!("nothing is probed")).await;
    for (body, status, field) in [
        (json!({"host": "192.0.2.1"}), 422, "metric"),
        (json!({"metric": "ping"}), 422, "host"),
        (json!({"host": "http://x", "metric": "ping"}), 422, "host"),
        (json!({"host": "169.254.169.254", "metric": "ping"}), 403, "host"),
        (json!({"host": "0x7f.1", "metric": "ping"}), 422, "host"),
        (json!({"host": "192.0.2.1", "metric": "tcp"}), 422, "options.tcp.port"),
        (json!({"host": "192.0.2.1", "metric": "http", "port": 25}), 403, "options.http.port"),
        (json!({"host": "192.0.2.1", "metric": "bandwidth"}), 422, "metric"),
        (json!({"host": "192.0.2.1", "metric": "pnig"}), 422, "metric"),
        (json!({"host": "192.0.2.1", "metric": "ping", "options": {"ping": {"packets": 0}}}), 422, "packets"),
        (json!({"host": "192.0.2.1", "metric": "ping", "odd": 1}), 422, "odd"),
    ] {
        let answer = server.post("/api/test", &body).await;
        let problem = answer.json();
        assert_eq!((answer.status, problem["field"].as_str()), (status, Some(field)), "{body}: {problem}");
        if status == 403 {
            assert_eq!(problem["type"], "urn:network-stats:problem:target-denied");
            assert!(problem["detail"].as_str().unwrap().contains("(rule "), "{problem}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_test_that_the_policy_or_the_rate_stops_says_so() {
    let denied = probing(|ask| {
        let detail = "rebind.example (127.0.0.1) is not probed: the target policy denies it".to_owned();
        Ok(SlotFailed { head: ask.head, probe: ask.probe, reason: FailReason::Denied, detail }.into())
    })
    .await;
    let body = json!({"host": "rebind.example", "metric": "tcp", "port": 80});
    let problem = denied.post("/api/test", &body).await.refuses(403, Some("host"));
    assert_eq!(problem["type"], "urn:network-stats:problem:target-denied");
    denied.stop().await;
    let limited = probing(|_| Err("one host is sent at most 50 packets a second".to_owned())).await;
    let answer = limited.post("/api/test", &body).await;
    assert_eq!(answer.header("retry-after"), Some("5"));
    answer.refuses(429, None);
    limited.stop().await;
    let without = start().await;
    without.post("/api/test", &body).await.refuses(501, None);
    without.stop().await;
}
