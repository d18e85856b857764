//! Every byte value in every place of a request's head: whatever comes, there is an answer or an end, never a fault of
//! ours, and a byte that may not be there is a 400.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::door_tests::{Server, start, status};
use crate::limits::Limits;

/// Headers that somebody on our side reads, and some that nobody does; with a value that is fine, where there is one.
const HEADERS: [(&str, &str); 26] = [
    ("host", "ADDRESS"),
    ("origin", "http://ADDRESS"),
    ("referer", "http://ADDRESS/"),
    ("cookie", "nsc=0123; a=b"),
    ("authorization", "Bearer nsc_0123"),
    ("x-nsc-csrf", "0123"),
    ("x-forwarded-for", "192.0.2.1, 192.0.2.2"),
    ("x-forwarded-proto", "https"),
    ("forwarded", "for=192.0.2.1"),
    ("sec-fetch-site", "same-origin"),
    ("sec-fetch-mode", "cors"),
    ("sec-fetch-dest", "empty"),
    ("content-type", "application/json"),
    ("content-length", "0"),
    ("transfer-encoding", "chunked"),
    ("connection", "close"),
    ("upgrade", "websocket"),
    ("expect", "100-continue"),
    ("accept", "application/json"),
    ("accept-encoding", "gzip, br"),
    ("if-match", "\"1\""),
    ("if-none-match", "\"1\""),
    ("idempotency-key", "7f1c"),
    ("last-event-id", "12"),
    ("user-agent", "test/1"),
    ("x-unknown", "value"),
];

/// Where a byte is put into a text of one byte or more.
const PLACES: [&str; 4] = ["before", "first", "middle", "last"];

fn put(text: &[u8], place: &str, byte: u8) -> Vec<u8> {
    let mut bytes = text.to_vec();
    let end = bytes.len() - 1;
    match place {
        "before" => bytes.insert(0, byte),
        "first" => bytes[0] = byte,
        "middle" => bytes.insert(end / 2 + 1, byte),
        _ => bytes[end] = byte,
    }
    bytes
}

/// One request: what it is called, its bytes, and whether the byte must be refused.
struct Ask {
    name: String,
    bytes: Vec<u8>,
    is_refused: bool,
}

/// The line, the host where `header` is not the host itself, the header, an end.
fn request(address: &str, line: &[u8], name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut bytes = [line, b"\r\n"].concat();
    if !name.eq_ignore_ascii_case(b"host") {
        bytes.extend_from_slice(format!("host: {address}\r\n").as_bytes());
    }
    bytes.extend_from_slice(&[name, b": ", value, b"\r\n"].concat());
    if !name.eq_ignore_ascii_case(b"connection") {
        bytes.extend_from_slice(b"connection: close\r\n");
    }
    bytes.extend_from_slice(b"x-last: 1\r\n\r\n");
    bytes
}

/// Whether a byte in a value is one that RFC 9110 5.5 and our door let in; 0x0a ends a line, so that what follows is read
/// as a header of its own, and 0x0d may stand before one.
fn may_be_in_a_value(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\r' | b'\n' | 0x20..=0x7e)
}

fn asks(address: &str) -> Vec<Ask> {
    let mut asks = Vec::new();
    for byte in 0..=255_u8 {
        for place in PLACES {
            for (name, value) in HEADERS {
                let value = value.replace("ADDRESS", address);
                // With a body to come where a header says something of it.
                let is_of_a_body = name.starts_with("content-") || ["transfer-encoding", "expect"].contains(&name);
                let (method, path) = if is_of_a_body { ("POST", "/api/echo") } else { ("GET", "/api/echo/1") };
                let line = format!("{method} {path} HTTP/1.1");
                let bytes = request(address, line.as_bytes(), name.as_bytes(), &put(value.as_bytes(), place, byte));
                let is_refused = !may_be_in_a_value(byte);
                asks.push(Ask { name: format!("{byte:#04x} {place} in the value of {name}"), bytes, is_refused });
                // In the name: no token, no header (RFC 9110 5.1); a colon ends it.
                let wrong = put(name.as_bytes(), place, byte);
                let bytes = request(address, b"GET /api/echo/1 HTTP/1.1", &wrong, value.as_bytes());
                let is_token = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:\r\n".contains(&byte);
                // A line that begins with white space would be a fold of the line before.
                asks.push(Ask {
                    name: format!("{byte:#04x} {place} in the name {name}"),
                    bytes,
                    is_refused: !is_token,
                });
            }
            for line in ["GET /api/echo/1 HTTP/1.1", "GET /api/echo/1?a=b&c=d HTTP/1.1", "GET / HTTP/1.0"] {
                let (method, rest) = line.split_once(' ').expect("a request line");
                let (path, version) = rest.split_once(' ').expect("a request line");
                for (part, i) in [(method, 0), (path, 1), (version, 2)] {
                    let mut parts = [method.as_bytes().to_vec(), path.as_bytes().to_vec(), version.as_bytes().to_vec()];
                    parts[i] = put(part.as_bytes(), place, byte);
                    let bytes = request(address, &parts.join(&b' '), b"x-a", b"1");
                    let is_refused = byte.is_ascii_control() && !b"\r\n".contains(&byte) || byte >= 0x80;
                    asks.push(Ask { name: format!("{byte:#04x} {place} in {part:?} of {line:?}"), bytes, is_refused });
                }
            }
        }
    }
    asks
}

/// What is wrong with how a request was answered.
async fn judge(server: &Server, ask: &Ask) -> Option<String> {
    let answer = server.exchange(&ask.bytes).await;
    let code = status(&answer);
    // 0: closed without a word, as hyper does to what is no HTTP/1 at all; 408: a length was made of it, and no body came.
    let is_answer =
        matches!(code, 0 | 100 | 200 | 304 | 400 | 403..=405 | 408 | 411..=413 | 415 | 421 | 422 | 426 | 501);
    let is_right = is_answer && (!ask.is_refused || matches!(code, 0 | 400 | 501));
    (!is_right).then(|| format!("{}: {}", ask.name, answer.lines().next().unwrap_or_default()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_byte_in_every_place_of_a_head_is_answered_and_what_may_not_be_is_refused() {
    let short = Duration::from_millis(100);
    let limits = Limits {
        connections: 1_000,
        connections_per_address: 1_000,
        // A byte may make a connection that stays, or a body that never comes.
        idle_time: short,
        body_time: short,
        ..Limits::default()
    };
    let server = Arc::new(start(limits).await);
    let asks = Arc::new(asks(&server.address.to_string()));
    let mut workers = JoinSet::new();
    for worker in 0..32 {
        let (server, asks) = (server.clone(), asks.clone());
        workers.spawn(async move {
            let mut wrong = Vec::new();
            for ask in asks.iter().skip(worker).step_by(32) {
                wrong.extend(judge(&server, ask).await);
            }
            wrong
        });
    }
    let wrong: Vec<String> = workers.join_all().await.into_iter().flatten().collect();
    let mut told = String::new();
    for line in wrong.iter().take(50) {
        let _ = writeln!(told, "{line}");
    }
    assert!(wrong.is_empty(), "{} of {} requests:\n{told}", wrong.len(), asks.len());
    server.is_alive().await;
}
