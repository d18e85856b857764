//! `cargo xtask soak`: the running product under faults for a long time. Nothing that should be bounded may grow: memory,
//! open files, threads, the stores' journals; nothing acknowledged may be gone; and it stops in order at the end.
//!
//! Faults, in random order: SIGKILL and a new start, SIGSTOP for some seconds, a disk nearly full (a tmpfs of its own;
//! root), a reload. The clock is left alone. Everything stays on the loopback.

mod faults;
mod look;

use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread::park_timeout;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::json;

use crate::http;
use crate::product::{self, Product, Setup};
use crate::step::{ended, root, say};
use faults::{Disk, Fault, Random};
use look::{Look, Row};

const USAGE: &str = "usage: cargo xtask soak [--minutes N] [--seed S] [--debug | --program FILE]
  60 minutes if not said otherwise; --seed repeats a run's faults; --debug takes the debug build, not a release build,
  --program one that is built already.
  The table goes to the screen and to target/xtask/soak.md. Other work on the machine only makes it slower.
";

/// The tmpfs of the data folder, and the floor below which nothing is written.
const DISK_MIB: u64 = 1_024;
const FLOOR_MIB: u64 = 64;
/// From one look at the process to the next.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// A start, an answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Destinations on the loopback, pinged every second.
const DESTINATIONS: u32 = 50;

/// One command.
#[expect(clippy::disallowed_methods, reason = "chores are timed by the clock on the wall")]
pub(crate) fn run(words: &[&str]) -> ExitCode {
    let text = |name: &str| {
        let at = words.iter().position(|word| *word == name)?;
        words.get(at + 1).copied()
    };
    let value = |name: &str| text(name)?.parse::<u64>().ok();
    let program = text("--program");
    let is_known = |word: &&str| {
        ["--minutes", "--seed", "--debug", "--program"].contains(word)
            || word.parse::<u64>().is_ok()
            || Some(*word) == program
    };
    if !words.iter().all(is_known) {
        say(USAGE);
        return ExitCode::from(2);
    }
    let minutes = value("--minutes").unwrap_or(60);
    let seed =
        value("--seed").unwrap_or_else(|| u64::from(std::process::id()) ^ Instant::now().elapsed().as_nanos() as u64);
    let built = match program {
        Some(program) => Ok(PathBuf::from(program)),
        None => product::build(words.contains(&"--debug")),
    };
    ended("soak", built.and_then(|built| soak(minutes, seed, &built)))
}

/// What is measured, and by what: `port` is our own server's, for the tcp and http jobs.
fn config(port: u16) -> String {
    let mut destinations = String::new();
    for number in 1..=DESTINATIONS {
        let _ = writeln!(destinations, "(name: \"d{number}\", host: \"127.0.1.{number}\", tags: [\"all\"]),");
    }
    format!(
        r#"(
    limits: (min_interval_s: 1),
    destinations: [{destinations}(name: "self", host: "127.0.0.1", port: {port})],
    jobs: [
        (name: "pings", interval: "1s", metrics: [ping, packet_loss, jitter], destination_tags: ["all"],
         packets: 3, spacing: "50ms", timeout: "500ms"),
        (name: "routes", interval: "10s", metrics: [traceroute], destinations: ["d1"],
         traceroute: (max_hops: 3, timeout: "500ms", reverse_names: false)),
        (name: "doors", interval: "2s", metrics: [tcp, http], destinations: ["self"],
         tcp: (timeout: "1s"), http: (tls: false, timeout: "1s")),
    ],
)"#
    )
}

#[expect(clippy::disallowed_methods, reason = "chores are timed by the clock on the wall")]
fn soak(minutes: u64, seed: u64, built: &Path) -> Result<()> {
    let program = product::copy_of(built, "soak-program")?;
    let place = root().join("target/xtask/soak");
    let disk = Disk::make(&place, DISK_MIB)?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let config_file = place.with_extension("ron");
    let measured = TcpListener::bind("127.0.0.1:0")?;
    fs::write(&config_file, config(measured.local_addr()?.port()))?;
    http::answer_everybody(measured);
    let mut product = Product::start(Setup {
        program,
        config: config_file,
        data: place.join("data"),
        port,
        node: None,
        more: vec!["--min-free-mib".to_owned(), FLOOR_MIB.to_string()],
    })?;
    say(&format!("soak: {minutes} minutes, seed {seed}, process {}, {}", product.id(), disk.in_words()));

    let (start, end) = (Instant::now(), Duration::from_secs(minutes * 60));
    let mut random = Random(seed);
    let mut rows: Vec<Row> = vec![Row::default()];
    let mut load = Load::default();
    let mut next_fault = random.between(20, 40);
    let mut next_look = LOOK_EVERY;
    while start.elapsed() < end {
        load.ask(&product, seed)?;
        let now = start.elapsed();
        let minute = usize::try_from(now.as_secs() / 60)?;
        if rows.len() <= minute {
            say(&rows[rows.len() - 1].line(rows.len() - 1));
            rows.resize_with(minute + 1, Row::default);
        }
        if now >= next_look {
            next_look = now + LOOK_EVERY;
            rows[minute].take(&Look::at(product.id(), product.data())?);
        }
        if now >= next_fault {
            let fault = Fault::choose(&mut random, disk.can_fill());
            fault.happen(&mut product, &disk, &mut random)?;
            rows[minute].faults.push(fault);
            next_fault = start.elapsed() + random.between(20, 60);
        }
        park_timeout(Duration::from_millis(200));
    }
    rows.retain(Row::has_looks);
    finish(product, &load, &rows, minutes, seed)
}

/// What clients do meanwhile: they look, and they add what must not be lost.
#[derive(Default)]
struct Load {
    asked: u64,
    late: u64,
    refused: u64,
    acknowledged: Vec<String>,
}

impl Load {
    fn ask(&mut self, product: &Product, seed: u64) -> Result<()> {
        const LOOKS: [&str; 6] = [
            "/api/health",
            "/api/destinations",
            "/api/series?destination=d1&start_time=now-1h&max_points=100",
            "/api/top?by=p95&worst=10&start_time=now-1h",
            "/api/jobs/pings/metrics?limit=200",
            "/api/outages?start_time=now-1h",
        ];
        self.asked += 1;
        let look = LOOKS[usize::try_from(self.asked)? % LOOKS.len()];
        match http::ask(product.setup.port, "GET", look, None, PATIENCE)? {
            (200, _) => {}
            // A busy machine may take longer than a handler may; that is told, and no fault.
            (503, _) => self.late += 1,
            (status, answer) => bail!("GET {look} answers {status}: {answer}"),
        }
        if self.asked.is_multiple_of(25) {
            let name = format!("added-{seed}-{}", self.asked);
            let body = json!({"name": name, "host": "127.0.2.1", "status": "paused"});
            match http::ask(product.setup.port, "POST", "/api/destinations", Some(&body), PATIENCE)? {
                (201, _) => self.acknowledged.push(name),
                (503, _) => self.refused += 1,
                (status, answer) => bail!("a destination cannot be added: {status} {answer}"),
            }
        }
        Ok(())
    }
}

/// Stops, proves, compares.
fn finish(product: Product, load: &Load, rows: &[Row], minutes: u64, seed: u64) -> Result<()> {
    let (_, health) = http::ask(product.setup.port, "GET", "/api/health", None, PATIENCE)?;
    let (_, listed) =
        http::ask(product.setup.port, "GET", "/api/destinations?limit=10000&fields=name", None, PATIENCE)?;
    let held: Vec<&str> =
        listed["items"].as_array().into_iter().flatten().filter_map(|item| item["name"].as_str()).collect();
    let mut wrong: Vec<String> = load
        .acknowledged
        .iter()
        .filter(|name| !held.contains(&name.as_str()))
        .map(|name| format!("{name} was acknowledged and is gone"))
        .collect();
    if health["collector"]["dropped"].as_u64() != Some(0) {
        wrong.push(format!("samples were dropped: {}", health["collector"]));
    }
    let setup = product.setup.clone();
    let (status, took) = product.stop()?;
    if !status.success() {
        wrong.push(format!("it stopped with {status}"));
    }
    let verified = setup.run(&["log", "verify"])?;
    wrong.extend(look::growth(rows));
    let table = look::table(rows);
    let verdict = if wrong.is_empty() { "nothing grew, nothing is lost".to_owned() } else { wrong.join("; ") };
    let summary = format!(
        "{minutes} minutes, seed {seed}: {} requests, {} of them answered too late (503), {} destinations acknowledged, {} \
         refused while read-only; stopped in {:.1} s; log verify: {}; {verdict}",
        load.asked,
        load.late,
        load.acknowledged.len(),
        load.refused,
        took.as_secs_f64(),
        verified.lines().next().unwrap_or_default()
    );
    fs::write(root().join("target/xtask/soak.md"), format!("{table}\n{summary}\n"))?;
    say(&format!("\n{table}\n{summary}"));
    if wrong.is_empty() { Ok(()) } else { bail!("{verdict}") }
}
