//! The real program on a small disk that fills up: read-only, but alive, and whole again by itself.
#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "tests keep time and may say SKIP")]

#[path = "../../netstats-log/tests/support/disk.rs"]
mod disk;
mod support;

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use disk::{Disk, MIB};
use serde_json::{Value, json};
use support::{PATIENCE, Product, run, said};
use tokio_tungstenite::tungstenite::{Message, WebSocket, client};

const ROWS: &str = "/api/jobs/this-machine/metrics";
const DISK_MIB: u64 = 128;
const FLOOR_MIB: &str = "40";
const BELOW: u64 = 24 * MIB;
/// The promise: so soon after there is room again, writing goes on.
const HEALED_WITHIN: Duration = Duration::from_secs(10);

const CONFIG: &str = r#"(
    limits: (min_interval_s: 1),
    starter: (
        destinations: [(name: "here", host: "127.0.0.1")],
        jobs: [(name: "this-machine", interval: "1s", metrics: [ping], destinations: ["here"], packets: 2, spacing: "10ms", timeout: "500ms")],
    ),
)"#;

fn start(disk: &Disk, config: &Path) -> Product {
    let config = config.to_str().unwrap();
    Product::start(&disk.path().join("data"), &["--config", config, "--min-free-mib", FLOOR_MIB])
}

/// A config file on another disk.
fn config() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("test.ron");
    fs::write(&file, CONFIG).unwrap();
    (folder, file)
}

fn has(list: &Value, name: &str) -> bool {
    list["items"].as_array().unwrap().iter().any(|item| item["name"] == name)
}

fn problem_with(health: &Value, text: &str) -> bool {
    let problems = health["problems"].as_array().unwrap();
    problems.iter().any(|problem| problem["message"].as_str().unwrap().contains(text))
}

/// Adds destinations until the answer is another than `status`; that answer.
fn add_while(product: &Product, status: u16, within: Duration) -> (u16, String, Value) {
    let end = Instant::now() + within;
    for number in 0.. {
        let body =
            json!({"name": format!("d-{}-{status}-{number}", product.id()), "host": "127.0.0.3", "status": "paused"});
        let answer = product.ask_with_head("POST", "/api/destinations", Some(&body)).unwrap();
        if answer.0 != status {
            return answer;
        }
        assert!(Instant::now() < end, "still {status} after {within:?}: {}", answer.2);
        thread::park_timeout(Duration::from_millis(20));
    }
    unreachable!()
}

/// A subscriber of everything.
struct Live(WebSocket<TcpStream>);

impl Live {
    fn connect(product: &Product) -> Self {
        let authority = product.url.trim_start_matches("http://");
        let stream = TcpStream::connect(authority).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut live = Self(client(format!("ws://{authority}/ws"), stream).unwrap().0);
        live.say(&json!({"op": "subscribe", "id": "all"}));
        live.until(|heard| heard["type"] == "subscribed");
        live
    }

    fn say(&mut self, what: &Value) {
        self.0.send(Message::text(what.to_string())).unwrap();
    }

    fn until(&mut self, pleases: impl Fn(&Value) -> bool) -> Value {
        loop {
            if let Message::Text(text) = self.0.read().unwrap() {
                let heard = serde_json::from_str(&text).unwrap();
                if pleases(&heard) {
                    return heard;
                }
            }
        }
    }
}

#[test]
fn below_the_floor_writes_are_refused_everything_else_goes_on_and_no_sample_is_lost() {
    let Some(disk) = Disk::mount(DISK_MIB) else { return };
    let (_folder, config) = config();
    let product = start(&disk, &config);
    product.until(ROWS, |rows| rows.as_array().unwrap().len() >= 2);
    let mut live = Live::connect(&product);

    let hog = disk.fill(BELOW);
    let (status, head, problem) = add_while(&product, 201, PATIENCE);
    assert_eq!(status, 503, "{problem}");
    assert!(head.contains("retry-after: "), "{head}");
    let why = problem["detail"].as_str().unwrap();
    assert!(why.contains("read-only") && why.contains("make room"), "{why}");

    let health = product.until("/api/health", |health| health["collector"]["unrecorded"].as_u64() >= Some(3));
    assert_eq!(health["status"], "degraded", "{health}");
    assert!(problem_with(&health, "read-only: the disk"), "{health}");
    let last = health["log"]["last"].as_u64().unwrap();
    assert_eq!(product.get("/api/health")["log"]["last"], last, "nothing is written");
    assert!(product.get(ROWS).as_array().unwrap().len() >= 2, "what is there is shown");
    live.say(&json!({"op": "ping"}));
    live.until(|heard| heard["type"] == "pong");

    hog.make_room();
    let (status, _, answer) = add_while(&product, 503, HEALED_WITHIN);
    assert_eq!(status, 201, "{answer}");
    let health = product.until("/api/health", |health| health["collector"]["unrecorded"] == 0);
    assert!(!problem_with(&health, "read-only"), "{health}");
    let count = |name: &str| health["collector"][name].as_u64().unwrap();
    assert_eq!(count("dropped"), 0);
    let measured = (count("slots_run") - count("in_flight")) as usize;
    product.until(ROWS, |rows| rows.as_array().unwrap().len() >= measured);
    live.until(|heard| heard["kind"] == "ping_measured" && heard["position"].as_u64() > Some(last));
    assert_eq!(product.stop().0.code(), Some(0));
}

#[test]
fn a_start_below_the_floor_is_read_only_and_takes_the_config_up_when_there_is_room() {
    let Some(disk) = Disk::mount(DISK_MIB) else { return };
    let (_folder, config) = config();
    // A first start, with nothing there.
    let hog = disk.fill(BELOW);
    let product = start(&disk, &config);
    product.line_with("the config is not taken up yet");
    let health = product.get("/api/health");
    assert!(problem_with(&health, "the config is not taken up yet"), "{health}");
    assert!(problem_with(&health, "read-only: the disk"), "{health}");
    assert!(!has(&product.get("/api/destinations"), "here"));
    hog.make_room();
    product.until("/api/destinations", |list| has(list, "here"));
    product.until(ROWS, |rows| !rows.as_array().unwrap().is_empty());
    assert_eq!(product.stop().0.code(), Some(0));

    // A later one, with a changed file: what the log holds counts meanwhile.
    let declared = r#"(destinations: [(name: "declared", host: "127.0.0.4")],"#;
    fs::write(&config, CONFIG.replacen('(', declared, 1)).unwrap();
    let hog = disk.fill(BELOW);
    let product = start(&disk, &config);
    let destinations = product.get("/api/destinations");
    assert!(has(&destinations, "here") && !has(&destinations, "declared"), "{destinations}");
    hog.make_room();
    product.until("/api/destinations", |list| has(list, "declared"));
    product.until("/api/health", |health| !problem_with(health, "not taken up"));
    assert_eq!(product.stop().0.code(), Some(0));
}

#[test]
fn what_a_stop_cannot_record_is_told_in_the_log_when_there_is_room() {
    let Some(disk) = Disk::mount(DISK_MIB) else { return };
    let (_folder, config) = config();
    let product = start(&disk, &config);
    product.until(ROWS, |rows| !rows.as_array().unwrap().is_empty());
    let hog = disk.fill(BELOW);
    product.until("/api/health", |health| health["collector"]["unrecorded"].as_u64() >= Some(2));
    assert_eq!(product.stop().0.code(), Some(0));
    let data = disk.path().join("data");
    let note = data.join("unrecorded");
    assert!(note.exists());

    let product = start(&disk, &config);
    product.get("/api/health");
    assert!(note.exists(), "it waits for the log");
    hog.make_room();
    let end = Instant::now() + PATIENCE;
    while note.exists() {
        assert!(Instant::now() < end, "it is not recorded");
        thread::park_timeout(Duration::from_millis(20));
    }
    assert_eq!(product.stop().0.code(), Some(0));
    let settings = ["--data-dir", data.to_str().unwrap(), "--config", config.to_str().unwrap()];
    let dumped = run(&[&["log", "dump", "--json", "--kind", "samples_lost"][..], &settings].concat());
    let lines: Vec<Value> =
        String::from_utf8_lossy(&dumped.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [line] = lines.as_slice() else { panic!("{}", said(&dumped)) };
    assert!(line["data"]["count"].as_u64() >= Some(2), "{line}");
    assert!(line["data"]["reason"].as_str().unwrap().contains("read-only"), "{line}");
}
