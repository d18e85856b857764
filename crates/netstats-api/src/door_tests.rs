//! The door against raw bytes: every byte in every place a client controls, smuggling, limits, panics.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::{Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::browser::Hosts;
use crate::door::Door;
use crate::limits::Limits;
use crate::problem::Problem;
use crate::reply::Reply;
use crate::route::{Table, route};

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

pub(crate) async fn start(limits: Limits) -> Server {
    let routes = vec![
        route(Method::GET, "/api/echo/:id", |_: Arc<()>, call| async move { Ok(Reply::json(&call.id)) }),
        route(Method::POST, "/api/echo", |_: Arc<()>, call| async move { Ok(Reply::json(&call.body.len())) }),
        route(Method::GET, "/api/panic", |_: Arc<()>, _| async move { panic!("on purpose") }),
        route(Method::GET, "/api/slow", |_: Arc<()>, _| std::future::pending()),
        route(Method::GET, "/api/big", |_: Arc<()>, _| async move { Ok(Reply::json(&"x".repeat(8 << 20))) }),
    ];
    let assets = |call: &crate::route::Call| {
        (call.path == "/").then(|| Reply::new(StatusCode::OK).body("text/html".parse().unwrap(), "<!doctype html>"))
    };
    let listener = crate::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Arc::new(Table::new(routes, assets)).mount(Arc::new(()), Arc::new(netstats_event::Timestamp::default));
    let limits = Arc::new(limits);
    let reach = crate::gate::Reach { is_local: true, is_secure: false, is_proxied: false };
    let knock = Box::new(|_: &_, _: &_, address| Ok(crate::who::Who::local(address)));
    let upgrade = Box::new(|_, _| Err(Problem::not_found("no socket here")));
    let door = Arc::new(Door::new(app, Hosts::new(&[address], &[], reach), limits.clone(), knock, upgrade));
    let (stop, stopping) = watch::channel(false);
    let task = tokio::spawn(crate::server::serve(vec![listener], None, door, limits, stopping));
    Server { address, stop, task }
}

const BOUND: Duration = Duration::from_secs(20);

impl Server {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends `bytes`, closes our side, returns everything that comes back.
    pub(crate) async fn exchange(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        // The server may close while we still send: what it said counts.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let mut chunk = [0; 4_096];
        tokio::time::timeout(BOUND, async {
            while let Ok(n @ 1..) = stream.read(&mut chunk).await {
                answer.extend_from_slice(&chunk[..n]);
            }
        })
        .await
        .expect("the server closes the connection");
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// One request with `Connection: close` and the right Host.
    async fn request(&self, line: &str, headers: &[u8], body: &[u8]) -> (u16, String) {
        let mut bytes = format!("{line} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.address).into_bytes();
        bytes.extend_from_slice(headers);
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(body);
        let answer = self.exchange(&bytes).await;
        (status(&answer), answer)
    }

    pub(crate) async fn is_alive(&self) {
        assert_eq!(self.request("GET /api/echo/1", b"", b"").await.0, 200);
    }
}

pub(crate) fn status(answer: &str) -> u16 {
    answer.get(9..12).and_then(|code| code.parse().ok()).unwrap_or(0)
}

#[tokio::test]
async fn routes_methods_and_paths_answer_as_http_says() {
    let server = start(Limits::default()).await;
    let (code, answer) = server.request("GET /api/echo/my%20job%25", b"", b"").await;
    assert_eq!(code, 200);
    assert!(answer.ends_with("\"my job%\""), "{answer}");
    assert!(
        answer.contains("x-content-type-options: nosniff") && answer.contains("cache-control: private, no-cache"),
        "{answer}"
    );
    let (code, answer) = server.request("HEAD /api/echo/1", b"", b"").await;
    assert!(code == 200 && answer.ends_with("\r\n\r\n") && answer.contains("content-length: 3"), "{answer}");
    let (code, answer) = server.request("DELETE /api/echo/1", b"", b"").await;
    assert!(code == 405 && answer.contains("allow: GET, HEAD, OPTIONS"), "{answer}");
    let (code, answer) = server.request("OPTIONS /api/echo", b"", b"").await;
    assert!(code == 204 && answer.contains("allow: OPTIONS, POST"), "{answer}");
    let (code, answer) = server.request("GET /api/pnic", b"", b"").await;
    assert!(code == 404 && answer.contains("did you mean \\\"/api/panic\\\"?"), "{answer}");
    assert!(answer.contains("application/problem+json") && answer.contains("request_id"), "{answer}");
    assert_eq!(server.request("BREW /api/echo/1", b"", b"").await.0, 501);
    assert_eq!(server.request("POST /", b"", b"").await.0, 405);
    let (code, answer) = server.request("GET /", b"", b"").await;
    assert!(code == 200 && answer.contains("x-frame-options: DENY"), "{answer}");
    for path in ["/api/echo/%2e%2e", "/api/echo/%00", "/api/echo/%ff", "/api/echo/..", "/api/echo/a%2fb", "/api/echo/%"]
    {
        assert_eq!(server.request(&format!("GET {path}"), b"", b"").await.0, 400, "{path}");
    }
    assert_eq!(server.request(&format!("GET /{}", "a".repeat(8_192)), b"", b"").await.0, 414);
    let query = (0..10_000).map(|i| format!("{i}=&")).collect::<String>();
    assert_eq!(server.request(&format!("GET /api/echo/1?{}", &query[..8_000]), b"", b"").await.0, 400);
    assert!(matches!(server.request(&format!("GET /api/echo/1?{query}"), b"", b"").await.0, 414 | 431));
    assert_eq!(server.request("GET /api/echo/", b"", b"").await.0, 404);
    assert_eq!(server.request("GET //api/echo/1", b"", b"").await.0, 404);
}

#[tokio::test]
async fn a_request_that_two_servers_could_read_differently_is_refused_and_the_connection_closed() {
    let server = start(Limits::default()).await;
    let host = format!("host: {}\r\n", server.address);
    let smuggled = "GET /api/echo/smuggled HTTP/1.1\r\n";
    for (name, head) in [
        ("two lengths", "content-length: 1\r\ncontent-length: 2\r\n"),
        ("a list of lengths", "content-length: 1, 1\r\n"),
        ("a signed length", "content-length: +1\r\n"),
        ("a negative length", "content-length: -1\r\n"),
        ("a huge length", "content-length: 99999999999999999999\r\n"),
        ("chunked twice", "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n"),
        ("chunked, chunked", "transfer-encoding: chunked, chunked\r\n"),
        ("gzip, chunked", "transfer-encoding: gzip, chunked\r\n"),
        ("not chunked", "transfer-encoding: identity\r\n"),
        ("xchunked", "transfer-encoding: xchunked\r\n"),
        ("a folded header", "x-a: 1\r\n b: 2\r\n"),
        ("a space before the colon", "transfer-encoding : chunked\r\n"),
        ("a bare CR", "x-a: 1\rtransfer-encoding: chunked\r\n"),
        ("a NUL", "x-a: \0\r\n"),
        ("a second host", "host: evil.test\r\n"),
    ] {
        let body = "0\r\n\r\n";
        let bytes = format!(
            "POST /api/echo HTTP/1.1\r\n{host}content-type: application/json\r\n{head}\r\n{body}{smuggled}{host}\r\n"
        );
        let answer = server.exchange(bytes.as_bytes()).await;
        assert_eq!(status(&answer), 400, "{name}: {answer}");
        assert!(!answer.contains("smuggled"), "{name}: {answer}");
    }
    // Length and chunked together: chunked counts (RFC 9112 6.3), and nothing more is read from the connection.
    let bytes = format!(
        "POST /api/echo HTTP/1.1\r\n{host}content-type: application/json\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}{host}\r\n"
    );
    let answer = server.exchange(bytes.as_bytes()).await;
    assert!(status(&answer) == 200 && !answer.contains("smuggled"), "{answer}");
    for (name, body) in [
        ("a bad chunk size", "zz\r\n"),
        ("a negative chunk", "-1\r\n"),
        ("a chunk too long", "1\r\nab\r\n0\r\n\r\n"),
        ("a huge chunk", "fffffffffffffffff\r\n"),
    ] {
        let bytes = format!(
            "POST /api/echo HTTP/1.1\r\n{host}content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n{body}{smuggled}"
        );
        let answer = server.exchange(bytes.as_bytes()).await;
        assert!(status(&answer) == 400 && !answer.contains("smuggled"), "{name}: {answer}");
    }
    for (name, bytes) in [
        ("HTTP/0.9", "GET /api/echo/1\r\n\r\n".to_owned()),
        ("HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
        ("HTTP/3.0", format!("GET /api/echo/1 HTTP/3.0\r\n{host}\r\n")),
        ("a whole URL", format!("GET http://{}/api/echo/1 HTTP/1.1\r\n{host}\r\n", server.address)),
        ("CONNECT", format!("CONNECT {} HTTP/1.1\r\n{host}\r\n", server.address)),
        ("OPTIONS *", format!("OPTIONS * HTTP/1.1\r\n{host}\r\n")),
        ("no host", "GET /api/echo/1 HTTP/1.1\r\nconnection: close\r\n\r\n".to_owned()),
        ("a body on GET", format!("GET /api/echo/1 HTTP/1.1\r\n{host}content-length: 3\r\n\r\nabc")),
        ("TLS", "\x16\x03\x01\x02\0\x01\0\x01\u{7f}\x03\x03\r\n\r\n".to_owned()),
        ("noise", "\0\0\0\0\r\n\r\n".to_owned()),
    ] {
        let mut bytes = bytes.into_bytes();
        if name == "OPTIONS *" {
            bytes.splice(bytes.len() - 2.., *b"connection: close\r\n\r\n");
        }
        let answer = server.exchange(&bytes).await;
        // hyper hangs up on the preface of HTTP/2 without a word.
        let expected = if name == "HTTP/2 preface" { 0 } else { 400 };
        assert_eq!(status(&answer), expected, "{name}: {answer}");
    }
    server.is_alive().await;
}

#[tokio::test]
async fn past_each_limit_stands_its_own_status() {
    let limits = Limits {
        body_bytes: 1_000,
        body_time: Duration::from_millis(200),
        head_time: Duration::from_millis(300),
        idle_time: Duration::from_millis(300),
        handler_time: Duration::from_millis(200),
        write_time: Duration::from_millis(300),
        ..Limits::default()
    };
    let server = start(limits).await;
    let json = "content-type: application/json\r\n";
    let many: String = (0..70).map(|i| format!("x-{i}: 1\r\n")).collect();
    assert_eq!(server.request("GET /api/echo/1", many.as_bytes(), b"").await.0, 431);
    let many: String = (0..150).map(|i| format!("x-{i}: 1\r\n")).collect();
    assert_eq!(server.request("GET /api/echo/1", many.as_bytes(), b"").await.0, 431);
    let long = format!("x: {}\r\n", "a".repeat(20_000));
    assert_eq!(server.request("GET /api/echo/1", long.as_bytes(), b"").await.0, 431);
    let (code, answer) =
        server.request("POST /api/echo", format!("{json}content-length: 1001\r\n").as_bytes(), b"").await;
    assert!(code == 413 && answer.contains("at most 1000 bytes"), "{answer}");
    let chunks = format!("3e9\r\n{}\r\n0\r\n\r\n", "a".repeat(1_001));
    let head = format!("{json}transfer-encoding: chunked\r\n");
    assert_eq!(server.request("POST /api/echo", head.as_bytes(), chunks.as_bytes()).await.0, 413);
    let body = "a".repeat(1_000);
    let head = format!("{json}content-length: 1000\r\n");
    assert_eq!(server.request("POST /api/echo", head.as_bytes(), body.as_bytes()).await.0, 200);
    assert_eq!(server.request("POST /api/echo", head.as_bytes(), b"too little").await.0, 408);
    assert_eq!(server.request("GET /api/slow", b"", b"").await.0, 503);
    // A head that never ends, and a connection that never speaks, are closed.
    assert_eq!(status(&server.exchange(b"GET /api/echo/1 HTTP/1.1\r\nx: ").await), 0);
    assert_eq!(status(&server.exchange(b"").await), 0);
    // So is one that stays after its answer.
    let kept = format!("GET /api/echo/1 HTTP/1.1\r\nhost: {}\r\n\r\n", server.address);
    assert_eq!(status(&server.exchange(kept.as_bytes()).await), 200);
    // And one that does not read what it asked for.
    let mut deaf = server.connect().await;
    deaf.write_all(format!("GET /api/big HTTP/1.1\r\nhost: {}\r\n\r\n", server.address).as_bytes()).await.unwrap();
    // From its first byte on it is left unread.
    deaf.read_exact(&mut [0]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let mut got = Vec::new();
    let _ = tokio::time::timeout(BOUND, deaf.read_to_end(&mut got)).await.expect("closed by the server");
    assert!(got.len() < 8 << 20, "the server gave up on a client that does not read");
    server.is_alive().await;
}

#[tokio::test]
async fn a_head_sent_byte_by_byte_is_read_while_it_keeps_its_time() {
    let server = start(Limits::default()).await;
    let mut stream = server.connect().await;
    stream.set_nodelay(true).unwrap();
    let request = format!("GET /api/echo/7 HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", server.address);
    for byte in request.bytes() {
        stream.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert_eq!(status(&answer), 200);
}

#[tokio::test]
async fn one_address_cannot_take_all_connections_and_gives_them_back() {
    let server = start(Limits { connections: 6, connections_per_address: 4, ..Limits::default() }).await;
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut stream = server.connect().await;
        stream
            .write_all(format!("GET /api/echo/1 HTTP/1.1\r\nhost: {}\r\n\r\n", server.address).as_bytes())
            .await
            .unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.unwrap();
        assert_eq!(&first[9..], b"200");
        held.push(stream);
    }
    let (code, answer) = server.request("GET /api/echo/1", b"", b"").await;
    assert!(code == 503 || answer.is_empty(), "{answer}");
    drop(held);
    tokio::time::timeout(BOUND, async {
        while server.request("GET /api/echo/1", b"", b"").await.0 != 200 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("connections come back");
}

#[tokio::test]
async fn a_panic_in_a_handler_is_a_500_with_a_request_id_and_the_server_lives() {
    let server = start(Limits::default()).await;
    for _ in 0..3 {
        let (code, answer) = server.request("GET /api/panic", b"", b"").await;
        assert!(code == 500 && answer.contains("x-request-id: ") && !answer.contains("on purpose"), "{answer}");
    }
    server.is_alive().await;
}

#[tokio::test]
async fn a_body_says_that_it_is_json() {
    let server = start(Limits::default()).await;
    for (kind, code) in [
        ("content-type: application/json\r\n", 200),
        ("content-type: Application/JSON; charset=utf-8\r\n", 200),
        ("content-type: text/plain\r\n", 415),
        ("content-type: application/x-www-form-urlencoded\r\n", 415),
        ("", 415),
    ] {
        let head = format!("{kind}content-length: 2\r\n");
        assert_eq!(server.request("POST /api/echo", head.as_bytes(), b"{}").await.0, code, "{kind}");
    }
    assert_eq!(server.request("POST /api/echo", b"", b"").await.0, 200);
    assert_eq!(server.request("POST /api/echo", b"content-type: text/plain\r\n", b"").await.0, 415);
}

#[tokio::test]
async fn a_stop_lets_a_request_under_way_finish_and_closes_idle_connections() {
    let server = start(Limits { handler_time: Duration::from_millis(400), ..Limits::default() }).await;
    let mut idle = server.connect().await;
    idle.write_all(format!("GET /api/echo/1 HTTP/1.1\r\nhost: {}\r\n\r\n", server.address).as_bytes()).await.unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.unwrap();
    let mut busy = server.connect().await;
    busy.write_all(format!("GET /api/slow HTTP/1.1\r\nhost: {}\r\n\r\n", server.address).as_bytes()).await.unwrap();
    // An answer on a third connection shows that the second is being served.
    server.is_alive().await;
    server.stop.send(true).unwrap();
    let mut rest = Vec::new();
    tokio::time::timeout(BOUND, idle.read_to_end(&mut rest)).await.expect("an idle connection is closed").unwrap();
    let mut answer = String::new();
    tokio::time::timeout(BOUND, busy.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert_eq!(status(&answer), 503, "{answer}");
    tokio::time::timeout(BOUND, server.task).await.expect("serve returns").unwrap();
}

#[tokio::test]
async fn an_address_that_others_can_reach_needs_tls_or_a_proxy_and_names() {
    let reach = |address: &str, is_proxied, names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        crate::server::reach(&[address.parse().unwrap()], false, is_proxied, &names)
    };
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "[2001:db8::1]:0", "[::ffff:192.0.2.1]:0"] {
        let error = reach(address, false, &["stats.test"]).unwrap_err().to_string();
        assert!(error.contains("will not listen") && error.contains("127.0.0.1"), "{error}");
    }
    assert!(reach("0.0.0.0:0", true, &[]).unwrap_err().to_string().contains("allowed_hosts"));
    let far = reach("0.0.0.0:0", true, &["stats.test"]).unwrap();
    assert!(!far.is_local && far.is_secure && far.is_proxied);
    let near = reach("127.9.9.9:0", false, &[]).unwrap();
    assert!(near.is_local && !near.is_secure);
    assert!(!reach("127.0.0.1:0", true, &[]).unwrap().is_local, "a proxy's clients are not on this machine");
    let first = crate::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let error = crate::bind(first.local_addr().unwrap()).await.unwrap_err().to_string();
    assert!(error.contains("cannot listen on 127.0.0.1"), "{error}");
}

#[test]
fn only_tokio_threads_run() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let server = start(Limits::default()).await;
        for _ in 0..20 {
            server.is_alive().await;
            server.request("POST /api/echo", b"content-type: application/json\r\ncontent-length: 2\r\n", b"{}").await;
        }
        #[cfg(target_os = "linux")]
        for task in std::fs::read_dir("/proc/self/task").unwrap() {
            let name = std::fs::read_to_string(task.unwrap().path().join("comm")).unwrap_or_default();
            assert!(
                !name.starts_with("async-std") && !name.starts_with("async-io") && !name.starts_with("blocking"),
                "{name}"
            );
        }
    });
}
