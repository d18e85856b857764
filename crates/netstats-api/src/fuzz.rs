//! What the fuzzer runs on any bytes, and what it begins with: connections to the whole door in memory, its routes
//! included. Compiled for it alone.
//!
//! Nothing lasts from one input to the next: the journal is closed, so a command gets as far as the append and is then
//! answered with 503. The clock of the runtime stands still until everything waits, so no input waits for a time.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use hyper::Method;
use netstats_broadcast::BroadcastProjector;
use netstats_event::{
    ClockSource, DestinationAdded, DestinationId, DestinationSpec, Echo, Event, JobAdded, JobId, JobSpec, Meta, Metric,
    PingMeasured, Rtt, SampleFlags, SampleHead, Timestamp, Transport,
};
use netstats_inventory::InventoryProjector;
use netstats_log::{Journal, MemoryLog};
use netstats_projector::{MemoryViews, Runner};
use netstats_series::{AvailabilityProjector, SeriesProjector};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::ApiContext;
use crate::api::{Opened, open};
use crate::app::{App, table};
use crate::gate::Reach;
use crate::route::{Table, matches};
use crate::server::{Slots, connection};

/// 2026-11-24T04:00:00Z
const NOW_MS: i64 = 1_795_492_800_000;
/// Nothing came for so long: the server waits for us.
const QUIET: Duration = Duration::from_millis(1);
/// Longer than any time that the server gives a client.
const LONG: Duration = Duration::from_secs(600);
/// Bytes of answers that are looked at.
const MAX_ANSWER_BYTES: usize = 1 << 20;
const HEAD: &str = "host: localhost:8080\r\nconnection: close\r\naccept-encoding: ";
const ENCODINGS: [&str; 4] = ["identity", "gzip", "br", "gzip;q=0.5, br"];
const HANDSHAKE: &str = "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
    sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A server with two destinations, a job and three hours of its samples.
struct World {
    runtime: Runtime,
    opened: Opened,
    table: Table<App>,
    slots: Arc<Slots>,
    stop: watch::Sender<bool>,
}

static WORLD: LazyLock<World> = LazyLock::new(World::new);

fn history() -> Vec<Event> {
    let destination = |id: u32, name: &str, host: &str| {
        let tags = vec!["lan".to_owned()];
        let spec = DestinationSpec { name: name.into(), host: host.into(), tags, ..DestinationSpec::default() };
        Event::from(DestinationAdded { id: DestinationId(id), spec, meta: Meta::by("fuzz") })
    };
    let spec = JobSpec {
        name: "pings".into(),
        enabled: true,
        interval_s: 60,
        metrics: vec![Metric::Ping, Metric::PacketLoss, Metric::Jitter],
        destinations: vec![DestinationId(1), DestinationId(2)],
        ..JobSpec::default()
    };
    let job = Event::from(JobAdded { id: JobId(1), spec, meta: Meta::by("fuzz") });
    let ping = |destination: u32, minute: i64| {
        let head = SampleHead {
            job: JobId(1),
            destination: DestinationId(destination),
            slot_at: Timestamp::from_millis(NOW_MS - 60_000 * (180 - minute)),
            lateness_us: 0,
            flags: SampleFlags::default(),
        };
        let micros = 1_000 + u32::try_from(minute * 37 % 400).unwrap_or(0);
        let is_down = destination == 2 && (60..75).contains(&minute);
        let reply = if is_down { Echo::Lost } else { Echo::Reply(Rtt::from_micros(micros)) };
        Event::from(PingMeasured {
            head,
            address: "192.0.2.1".parse().expect("an address"),
            transport: Transport::IcmpDatagram,
            clock: ClockSource::User,
            payload_bytes: 56,
            spacing_ms: 200,
            timeout_ms: 2_000,
            echoes: vec![reply, Echo::Lost, reply],
            ttl: Some(64),
            duplicates: 0,
            reordered: 0,
            bad_replies: 0,
        })
    };
    let samples = (0..180).flat_map(|minute| [ping(1, minute), ping(2, minute)]);
    [destination(1, "one", "192.0.2.1"), destination(2, "two", "two.test"), job].into_iter().chain(samples).collect()
}

impl World {
    fn new() -> Self {
        let journal = Journal::open(Arc::new(MemoryLog::default())).expect("a journal in memory");
        let (inventory_projector, inventory) = InventoryProjector::new();
        let (series_projector, series) = SeriesProjector::new();
        let (availability_projector, availability) = AvailabilityProjector::new();
        let (broadcast_projector, broadcaster) = BroadcastProjector::new();
        let projectors: Vec<Box<dyn netstats_projector::Projector>> = vec![
            Box::new(inventory_projector),
            Box::new(series_projector),
            Box::new(availability_projector),
            Box::new(broadcast_projector),
        ];
        let runner = Runner::start(journal.clone(), Arc::new(MemoryViews::default()), projectors);
        let runner = Arc::new(runner.expect("views in memory"));
        let last = journal.append(history()).expect("a log in memory").last;
        assert!(runner.wait_for(last, Duration::from_secs(60)), "the views show the history");
        runner.stop();
        journal.close();
        let clock = Arc::new(|| Timestamp::from_millis(NOW_MS));
        let context = ApiContext::new(journal, runner, inventory, series, availability, broadcaster, clock);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let reach = Reach { is_local: true, is_secure: false, is_proxied: false };
        let address = SocketAddr::from(([127, 0, 0, 1], 8_080));
        let (stop, stopping) = watch::channel(false);
        Self {
            runtime: runtime.expect("a runtime"),
            opened: open(context, &[address], reach, stopping),
            table: table(),
            slots: Arc::default(),
            stop,
        }
    }

    /// Everything that the server answers to these bytes of one connection. The client closes its side when the server
    /// says nothing more.
    fn answer(&self, bytes: &[u8]) -> Vec<u8> {
        self.runtime.block_on(async {
            // Room for all of it: nobody waits for the other to read.
            let (ours, theirs) = tokio::io::duplex(bytes.len() + MAX_ANSWER_BYTES);
            let peer = SocketAddr::from(([127, 0, 0, 1], 40_000));
            let slot = self.slots.take(peer.ip(), 1, 1).expect("the only connection");
            let (door, limits) = (self.opened.door.clone(), Arc::new(self.opened.app.context.limits.clone()));
            let served = tokio::spawn(connection(theirs, peer, slot, door, limits, self.stop.subscribe()));
            let (mut reading, mut writing) = tokio::io::split(ours);
            let _ = writing.write_all(bytes).await;
            let mut answer = Vec::new();
            for wait in [QUIET, LONG] {
                while let Ok(Ok(1..)) = timeout(wait, reading.read_buf(&mut answer)).await {
                    if answer.len() > MAX_ANSWER_BYTES {
                        break;
                    }
                }
                let _ = writing.shutdown().await;
            }
            served.abort();
            let _ = served.await;
            answer
        })
    }
}

/// The status of an answer; none if the server closed without one. It is never 500, and never anything but HTTP.
fn status(answer: &[u8]) -> Option<u16> {
    let text = String::from_utf8_lossy(answer.get(..12)?);
    let status = text.strip_prefix("HTTP/1.1 ").or_else(|| text.strip_prefix("HTTP/1.0 "));
    let status = status.and_then(|status| status.parse().ok());
    assert!(status.is_some_and(|status| status != 500), "{}", String::from_utf8_lossy(answer));
    status
}

/// What a client sends over one connection.
pub fn http(bytes: &[u8]) {
    status(&WORLD.answer(bytes));
}

/// Requests as clients send them, several on a connection, a WebSocket with its frames.
#[must_use]
pub fn http_seeds() -> Vec<Vec<u8>> {
    let host = "host: localhost:8080\r\n";
    let json = "content-type: application/json\r\n";
    let frames: Vec<u8> =
        [r#"{"op":"ping"}"#, r#"{"op":"subscribe","id":"a"}"#].iter().flat_map(|t| frame(t)).collect();
    [
        format!("GET /api/health HTTP/1.1\r\n{host}\r\n").into_bytes(),
        format!("GET /api/jobs/1?fields=name HTTP/1.1\r\n{host}if-none-match: \"v3\"\r\nrange: bytes=0-9\r\n\r\n")
            .into(),
        format!("HEAD /api/destinations HTTP/1.0\r\n{host}connection: keep-alive\r\n\r\n").into(),
        format!("POST /api/destinations HTTP/1.1\r\n{host}{json}content-length: 2\r\n\r\n{{}}").into(),
        format!("POST /api/jobs HTTP/1.1\r\n{host}{json}transfer-encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n")
            .into(),
        format!("DELETE /api/jobs/pings HTTP/1.1\r\n{host}idempotency-key: k\r\nif-match: \"v3\"\r\n\r\n").into(),
        format!(
            "OPTIONS /api/jobs HTTP/1.1\r\n{host}origin: http://localhost:8080\r\n\r\nGET / HTTP/1.1\r\n{host}\r\n"
        )
        .into(),
        format!("PUT /api/jobs/1 HTTP/1.1\r\n{host}{json}expect: 100-continue\r\ncontent-length: 2\r\n\r\n{{}}").into(),
        format!("GET /api/me HTTP/1.1\r\n{host}authorization: Bearer nsc_00\r\ncookie: nsc=00; a=b\r\n\r\n").into(),
        [format!("GET /ws HTTP/1.1\r\n{host}{HANDSHAKE}\r\n").into_bytes(), frames].concat(),
    ]
    .into()
}

/// A question of any route that reads: a byte for the route, one for the encoding of the answer, then the query.
pub fn query(bytes: &[u8]) {
    let routes: Vec<_> = WORLD.table.routes().filter(|route| route.method == Method::GET).collect();
    let Some(([route, encoding], query)) = bytes.split_first_chunk() else { return };
    // A line that ends inside of the query is a matter of the target `http`.
    if query.iter().any(|byte| matches!(byte, b'\r' | b'\n' | b' ')) {
        return;
    }
    let path = routes[usize::from(*route) % routes.len()].path.replace(":id", "1");
    let encoding = ENCODINGS[usize::from(*encoding) % ENCODINGS.len()];
    let line = [b"GET ", path.as_bytes(), b"?", query].concat();
    let head = format!(" HTTP/1.1\r\n{HEAD}{encoding}\r\n\r\n");
    status(&WORLD.answer(&[&line[..], head.as_bytes()].concat()));
}

/// The golden questions.
#[must_use]
pub fn query_seeds() -> Vec<Vec<u8>> {
    let seed = |number: u8, query: &str, _: &[u8]| [&[number, number], query.as_bytes()].concat();
    seeds(|method| method == "GET", seed)
}

/// A request of any route that changes something: a byte for the route, one for the type of its body, a query up to the end
/// of the line, the body.
pub fn body(bytes: &[u8]) {
    let routes: Vec<_> = WORLD.table.routes().filter(|route| route.method != Method::GET).collect();
    let Some(([route, kind], rest)) = bytes.split_first_chunk() else { return };
    let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { return };
    let (query, body) = (&rest[..end], &rest[end + 1..]);
    if query.iter().any(|byte| matches!(byte, b'\r' | b' ')) {
        return;
    }
    let route = routes[usize::from(*route) % routes.len()];
    let (method, path) = (&route.method, route.path.replace(":id", "1"));
    let kind = route.takes[usize::from(*kind) % route.takes.len()];
    let line = [format!("{method} {path}?").as_bytes(), query].concat();
    let length = body.len();
    let head = format!(" HTTP/1.1\r\n{HEAD}identity\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n");
    status(&WORLD.answer(&[&line[..], head.as_bytes(), body].concat()));
}

/// The golden requests.
#[must_use]
pub fn body_seeds() -> Vec<Vec<u8>> {
    let seed = |number: u8, query: &str, body: &[u8]| [&[number, 0], query.as_bytes(), b"\n", body].concat();
    seeds(|method| method != "GET", seed)
}

/// The golden requests with these methods: the number of the route among those, the query, the body.
fn seeds(wanted: fn(&str) -> bool, seed: impl Fn(u8, &str, &[u8]) -> Vec<u8>) -> Vec<Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/api");
    let routes: Vec<_> = WORLD.table.routes().filter(|route| wanted(route.method.as_str())).collect();
    let mut seeds = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the golden answers") {
        let bytes = std::fs::read(entry.expect("a file").path()).expect("a golden answer");
        let golden: Value = serde_json::from_slice(&bytes).expect("JSON");
        let request = &golden["request"];
        let (Some(method), Some(target)) = (request["method"].as_str(), request["path"].as_str()) else { continue };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let number = routes.iter().position(|route| route.method == *method && matches(route.path, path));
        let Some(number) = number.and_then(|number| u8::try_from(number).ok()) else { continue };
        let body = if request["body"].is_null() { String::new() } else { request["body"].to_string() };
        seeds.push(seed(number, query, body.as_bytes()));
    }
    assert!(seeds.len() > 20, "{} golden requests", seeds.len());
    seeds
}

/// A WebSocket: a byte, a query up to the end of the line, then what the client says: each line is a text message, or, if
/// the byte is odd, frames as they are.
pub fn ws(bytes: &[u8]) {
    let Some((flags, rest)) = bytes.split_first() else { return };
    let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { return };
    let (query, said) = (&rest[..end], &rest[end + 1..]);
    if query.iter().any(|byte| matches!(byte, b'\r' | b' ')) {
        return;
    }
    let said = if flags & 1 == 1 { said.to_vec() } else { said.split(|b| *b == b'\n').flat_map(frame).collect() };
    let head = format!(" HTTP/1.1\r\nhost: localhost:8080\r\n{HANDSHAKE}\r\n");
    status(&WORLD.answer(&[b"GET /ws?", query, head.as_bytes(), &said].concat()));
}

/// A text message of a client, masked with zeros.
fn frame(text: impl AsRef<[u8]>) -> Vec<u8> {
    let text = text.as_ref();
    let mut frame = vec![0x81];
    match u8::try_from(text.len()) {
        Ok(length @ ..126) => frame.push(0x80 | length),
        _ => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(text);
    frame
}

/// Every message of the protocol, in texts and in frames.
#[must_use]
pub fn ws_seeds() -> Vec<Vec<u8>> {
    let lines = [
        r#"{"op":"ping"}"#,
        r#"{"op":"subscribe","id":"a","destinations":["one"],"jobs":[1],"tags":["lan"],"kinds":["sample"],"from":1,"snapshot":true}"#,
        r#"{"op":"unsubscribe","id":"a"}"#,
        r#"{"op":"replay","id":"b","from":1,"to":"2026-11-24T04:00:00Z","speed":1000,"follow":true}"#,
        r#"{"op":"pause","id":"b"}"#,
        r#"{"op":"resume","id":"b","speed":"max"}"#,
    ];
    let frames: Vec<u8> = lines.iter().flat_map(|line| frame(line)).collect();
    // A fragmented text, a ping, a close with its code.
    let odd =
        [&[0x01, 0x81, 0, 0, 0, 0, b'{'][..], &[0x80, 0x81, 0, 0, 0, 0, b'}'], &[0x89, 0x80, 0, 0, 0, 0]].concat();
    let mut seeds: Vec<Vec<u8>> = lines.iter().map(|line| format!("\0\n{line}").into_bytes()).collect();
    seeds.push(format!("\0\n{}", lines.join("\n")).into_bytes());
    seeds.push(b"\0replay_from=1&to=9&speed=max&follow=true&destinations=one,2&kinds=sample\n".to_vec());
    seeds.push([&b"\x01\n"[..], &frames].concat());
    seeds.push([&b"\x01\n"[..], &odd, &[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8]].concat());
    seeds
}
