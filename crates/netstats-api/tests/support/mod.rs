//! A server in memory on a real socket, and the smallest HTTP client that can ask it.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

pub mod ws;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use netstats_api::{Api, ApiContext};
use netstats_broadcast::BroadcastProjector;
use netstats_event::{
    ClockSource, DestinationId, Echo, Event, JobId, PingMeasured, Position, Rtt, SampleFlags, SampleHead, Timestamp,
    Transport,
};
use netstats_inventory::InventoryProjector;
use netstats_log::{Journal, MemoryLog};
use netstats_projector::{MemoryViews, Runner};
use netstats_series::{AvailabilityProjector, SeriesProjector};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

/// Nothing in a test takes longer.
pub const BOUND: Duration = Duration::from_secs(20);
/// 2026-11-24T04:00:00Z
pub const NOW: i64 = 1_795_492_800_000;

pub struct Server {
    pub address: SocketAddr,
    pub journal: Arc<Journal>,
    pub runner: Arc<Runner>,
    /// Milliseconds since 1970, by the server's clock.
    pub now: Arc<AtomicI64>,
    stop: Option<oneshot::Sender<()>>,
    task: tokio::task::JoinHandle<()>,
}

pub async fn start() -> Server {
    start_with(|_| {}).await
}

pub async fn start_with(adjust: impl FnOnce(&mut ApiContext)) -> Server {
    start_on(Arc::new(MemoryLog::default()), adjust).await
}

/// On a log that may hold something: all views are folded anew from it.
pub async fn start_on(log: Arc<MemoryLog>, adjust: impl FnOnce(&mut ApiContext)) -> Server {
    let journal = Journal::open(log).unwrap();
    let held = Position(journal.head().last);
    let (inventory_projector, inventory) = InventoryProjector::new();
    let (series_projector, series) = SeriesProjector::new();
    let (availability_projector, availability) = AvailabilityProjector::new();
    let (broadcast_projector, broadcaster) = BroadcastProjector::new();
    let runner = Runner::start(
        journal.clone(),
        Arc::new(MemoryViews::default()),
        vec![
            Box::new(inventory_projector),
            Box::new(series_projector),
            Box::new(availability_projector),
            Box::new(broadcast_projector),
        ],
    );
    let runner = Arc::new(runner.unwrap());
    assert!(runner.wait_for(held, BOUND));
    let now = Arc::new(AtomicI64::new(NOW));
    let clock = {
        let now = now.clone();
        Arc::new(move || Timestamp::from_millis(now.load(Ordering::Relaxed)))
    };
    let mut context =
        ApiContext::new(journal.clone(), runner.clone(), inventory, series, availability, broadcaster, clock);
    adjust(&mut context);
    let listener = netstats_api::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let serving = Api::new(context).serve(vec![listener], async {
        let _ = stopped.await;
    });
    let task = tokio::spawn(async { serving.await.unwrap() });
    Server { address, journal, runner, now, stop: Some(stop), task }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    #[track_caller]
    pub fn is(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}\n{}", self.head, String::from_utf8_lossy(&self.body));
        if self.body.is_empty() { Value::Null } else { self.json() }
    }

    /// A refusal in the one shape, with its field.
    #[track_caller]
    pub fn refuses(self, status: u16, field: Option<&str>) -> Value {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.head);
        let problem = self.is(status);
        assert_eq!(problem["status"], status);
        assert!(problem["type"].as_str().unwrap().starts_with("urn:network-stats:problem:"), "{problem}");
        assert!(problem["title"].is_string() && problem["request_id"].is_string(), "{problem}");
        assert!(!problem["detail"].as_str().unwrap().is_empty());
        assert_eq!(problem["field"].as_str(), field, "{problem}");
        problem
    }
}

impl Server {
    pub async fn raw(&self, bytes: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let read = async {
            // Of a stream that does not end by itself, the head is the answer.
            while stream.read_buf(&mut answer).await.unwrap() > 0 {
                let head = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(0);
                if answer[..head].windows(17).any(|part| part == b"text/event-stream") {
                    break;
                }
            }
        };
        tokio::time::timeout(BOUND, read).await.expect("an answer in time");
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").map_or(answer.len(), |at| at + 4);
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let mut body = answer[end..].to_vec();
        if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
            body = dechunk(&body);
        }
        Answer { status: head.get(9..12).and_then(|code| code.parse().ok()).unwrap_or(0), head, body }
    }

    pub async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&[u8]>) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head += &format!("host: {}\r\n", self.address);
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        if let Some(body) = body {
            head += &format!("content-length: {}\r\n", body.len());
        }
        let mut bytes = (head + "\r\n").into_bytes();
        bytes.extend_from_slice(body.unwrap_or_default());
        self.raw(&bytes).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], None).await
    }

    pub async fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        let body = serde_json::to_vec(body).unwrap();
        self.ask(method, path, &[("content-type", "application/json")], Some(&body)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, body).await
    }

    pub async fn post_text(&self, path: &str, body: &[u8]) -> Answer {
        self.ask("POST", path, &[("content-type", "application/json")], Some(body)).await
    }

    /// Appends and waits until the views show it.
    pub fn append(&self, events: Vec<Event>) -> Position {
        let last = self.journal.append(events).unwrap().last;
        assert!(self.runner.wait_for(last, BOUND));
        last
    }

    /// Two destinations and a job on them: ids 1, 2 and 1.
    pub async fn furnish(&self) {
        self.post("/api/destinations", &serde_json::json!({"name": "one", "host": "192.0.2.1"})).await.is(201);
        self.post("/api/destinations", &serde_json::json!({"name": "two", "host": "two.test"})).await.is(201);
        let job = serde_json::json!({"name": "pings", "interval": "60s", "metrics": ["ping", "packet_loss", "jitter"],
            "destinations": ["one", "two"], "packets": 3});
        self.post("/api/jobs", &job).await.is(201);
    }

    pub async fn stop(mut self) {
        let _ = self.stop.take().map(|stop| stop.send(()));
        tokio::time::timeout(BOUND, self.task).await.expect("serve returns").unwrap();
        self.runner.stop();
        self.journal.close();
    }
}

/// A burst of three: two answered, one lost.
pub fn ping(job: u32, destination: u32, slot_ms: i64) -> Event {
    let head = SampleHead {
        job: JobId(job),
        destination: DestinationId(destination),
        slot_at: Timestamp::from_millis(slot_ms),
        lateness_us: 0,
        flags: SampleFlags::default(),
    };
    Event::PingMeasured(PingMeasured {
        head,
        address: "192.0.2.1".parse().unwrap(),
        transport: Transport::IcmpDatagram,
        clock: ClockSource::User,
        payload_bytes: 56,
        spacing_ms: 200,
        timeout_ms: 2_000,
        echoes: vec![Echo::Reply(Rtt::from_micros(1_500)), Echo::Lost, Echo::Reply(Rtt::from_micros(2_500))],
        ttl: Some(64),
        duplicates: 0,
        reordered: 0,
        bad_replies: 0,
    })
}

fn dechunk(mut bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).unwrap().trim(), 16).unwrap();
        if size == 0 {
            break;
        }
        out.extend_from_slice(&bytes[end + 2..end + 2 + size]);
        bytes = &bytes[end + 4 + size..];
    }
    out
}
