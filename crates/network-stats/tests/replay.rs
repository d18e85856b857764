//! `network-stats replay` against the running product, which measures loopback meanwhile.
#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "tests keep time and may say SKIP")]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;
use support::{PATIENCE, Product, program};

const CONFIG: &str = r#"(
    limits: (min_interval_s: 1),
    starter: (
        destinations: [(name: "here", host: "127.0.0.1")],
        jobs: [(name: "pings", interval: "1s", metrics: [ping], destinations: ["here"], packets: 2, spacing: "10ms",
                timeout: "500ms")],
    ),
)"#;

/// The command, under way.
struct Replay {
    child: Child,
    updates: Receiver<String>,
    notes: Receiver<String>,
}

/// The lines of a pipe, as they come.
fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (send, lines) = channel();
    let pipe = BufReader::new(pipe);
    std::thread::spawn(move || pipe.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
    lines
}

impl Replay {
    fn start(data: &Path, more: &[&str]) -> Self {
        let mut child = program(&["replay", "--data-dir"])
            .arg(data)
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (updates, notes) = (lines(child.stdout.take().unwrap()), lines(child.stderr.take().unwrap()));
        Self { child, updates, notes }
    }

    /// The updates up to the one at a position, which must come.
    fn up_to(&self, position: u64) -> Vec<String> {
        let mut updates: Vec<String> = Vec::new();
        while updates.last().is_none_or(|last| position_of(last) < position) {
            updates.push(self.updates.recv_timeout(PATIENCE).expect("an update"));
        }
        updates
    }

    fn enter(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    fn note(&self) -> String {
        self.notes.recv_timeout(PATIENCE).expect("a note")
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn position_of(update: &str) -> u64 {
    let update: Value = serde_json::from_str(update).unwrap();
    update["position"].as_u64().unwrap_or_else(|| panic!("an update without a position: {update}"))
}

/// The product with some samples; none where the tests may not ping.
fn measuring(folder: &Path) -> Option<Product> {
    let config = folder.join("test.ron");
    std::fs::write(&config, CONFIG).unwrap();
    let product = Product::start(&folder.join("data"), &["--config", config.to_str().unwrap()]);
    if product.get("/api/health")["privileges"]["icmp"].is_null() {
        println!("SKIP: this system does not let the tests ping");
        return None;
    }
    grow(&product, 3);
    Some(product)
}

fn last(product: &Product) -> u64 {
    product.get("/api/health")["log"]["last"].as_u64().unwrap()
}

/// Waits for so many more events; the position then.
fn grow(product: &Product, more: u64) -> u64 {
    let before = last(product);
    let health = product.until("/api/health", |health| health["log"]["last"].as_u64() >= Some(before + more));
    health["log"]["last"].as_u64().unwrap()
}

#[test]
fn what_is_replayed_later_is_word_by_word_what_was_told_live_without_gap_or_repeat() {
    let folder = tempfile::tempdir().unwrap();
    let Some(product) = measuring(folder.path()) else { return };
    let data = folder.path().join("data");
    // Begins in the past, and is live from here on.
    let live = Replay::start(&data, &["--follow"]);
    let begun = last(&product);
    let heard = live.up_to(begun + 3);
    let end = position_of(heard.last().unwrap());
    // Begins later, and tells as a replay what the first one heard live.
    let later = Replay::start(&data, &["--follow"]);
    assert_eq!(later.up_to(end), heard);
    let positions: Vec<u64> = heard.iter().map(|update| position_of(update)).collect();
    assert!(positions.is_sorted_by(|a, b| a < b), "{positions:?}");
    // Every sample is there: the rows say the same positions.
    let rows = product.get("/api/jobs/pings/metrics?order=asc");
    let samples = rows.as_array().unwrap().iter().map(|row| row["position"].as_u64().unwrap());
    let missing: Vec<u64> = samples.filter(|at| *at <= end && !positions.contains(at)).collect();
    assert!(missing.is_empty(), "{missing:?} are not told");
    // A part of it, and its end.
    let mut part = Replay::start(&data, &["--from", &positions[1].to_string(), "--to", &begun.to_string()]);
    assert!(part.child.wait().unwrap().success());
    let told: Vec<String> = part.updates.iter().collect();
    let expected = heard.iter().filter(|update| (positions[1] + 1..=begun).contains(&position_of(update)));
    assert!(told.iter().eq(expected), "{told:?}");
}

#[test]
fn enter_pauses_a_replay_and_it_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let Some(product) = measuring(folder.path()) else { return };
    let data = folder.path().join("data");
    let end = grow(&product, 3);
    let all = Replay::start(&data, &["--to", &end.to_string()]).updates.iter().collect::<Vec<_>>();
    let mut slow = Replay::start(&data, &["--to", &end.to_string(), "--speed", "1", "--interactive"]);
    let mut told = vec![slow.updates.recv_timeout(PATIENCE).unwrap()];
    slow.enter();
    let note = slow.note();
    let paused_after: usize = note.split(' ').find_map(|word| word.parse().ok()).unwrap_or_else(|| panic!("{note}"));
    assert!(paused_after < all.len(), "{note}: there was more to come");
    // Time in which it would have told more: slots are a second apart, then as now.
    grow(&product, 3);
    while told.len() < paused_after {
        told.push(slow.updates.recv_timeout(PATIENCE).unwrap());
    }
    assert!(slow.updates.try_recv().is_err(), "a paused replay is silent");
    slow.enter();
    assert_eq!(slow.note(), "goes on");
    while let Ok(update) = slow.updates.recv_timeout(Duration::from_secs(60)) {
        told.push(update);
    }
    assert_eq!(told, all);
    assert!(slow.child.wait().unwrap().success());
}
