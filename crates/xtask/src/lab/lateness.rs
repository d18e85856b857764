//! How late the product's slots begin: the real program with many destinations in the lab, and what it recorded of
//! every run.

use std::fmt::Write as _;
use std::fs;
use std::thread::park_timeout;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::bench::{Busy, at, range};
use super::net;
use crate::product::{self, Product, Setup};
use crate::step::{root, say};

/// From one slot of a destination to the next.
const INTERVAL_S: u32 = 10;
const ROUNDS: usize = 5;
/// A port of the prober's own loopback.
const PORT: u16 = 8_080;
/// What is asked for.
const BOUND_MS: f64 = 5.0;

/// One run as it was recorded.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Run {
    late_ms: f64,
    is_flagged: bool,
}

/// Lateness of every run: so many destinations, five rounds of so many seconds, idle and busy.
pub(super) fn lateness(destinations: u32, seconds: u64) -> Result<()> {
    let program = product::copy_of(&product::build(false)?, "lab-program")?;
    let place = root().join("target/xtask/lateness");
    let _ = fs::remove_dir_all(&place);
    fs::create_dir_all(&place)?;
    fs::write(place.join("config.ron"), config(destinations))?;
    net::up(true)?;
    say("Lateness of the first packet of a run, in ms; min/median/max of the rounds.\n");
    say("| processors | destinations | runs | median | p99 | largest | over 5 ms | flagged | missed |");
    say("|---|---|---|---|---|---|---|---|---|");
    let measured = [false, true].into_iter().try_for_each(|is_busy| {
        let data = place.join(if is_busy { "busy" } else { "idle" });
        let setup = Setup {
            program: program.clone(),
            config: place.join("config.ron"),
            data,
            port: PORT,
            node: Some("prober"),
            more: Vec::new(),
        };
        let (runs, missed) = watch(setup, is_busy, seconds)?;
        let state = if is_busy { "busy" } else { "idle" };
        say(&format!("| {state} | {destinations} | {} | {} | {missed} |", runs.len(), line(&runs)));
        Ok(())
    });
    net::down()?;
    measured
}

fn config(destinations: u32) -> String {
    let mut named = String::new();
    for number in 0..destinations {
        let (third, last) = (number / 250, number % 250 + 1);
        let _ = writeln!(named, "(name: \"d{number}\", host: \"198.19.{third}.{last}\", tags: [\"all\"]),");
    }
    format!(
        "(limits: (min_interval_s: 1, packets_per_s: 200000), destinations: [{named}], jobs: [(name: \"pings\", \
         interval: \"{INTERVAL_S}s\", metrics: [ping, packet_loss, jitter], destination_tags: [\"all\"])])"
    )
}

/// Lets it run, stops it, and reads what it recorded: every run, and how many slots were missed.
fn watch(setup: Setup, is_busy: bool, seconds: u64) -> Result<(Vec<Run>, u64)> {
    let product = Product::start(setup.clone())?;
    let busy = is_busy.then(Busy::start).transpose()?;
    let span = Duration::from_secs(seconds * ROUNDS as u64);
    wait(span);
    drop(busy);
    let (status, _) = product.stop()?;
    if !status.success() {
        bail!("the product stopped with {status}");
    }
    let kinds = ["ping_measured", "slot_failed", "slots_missed"].map(|kind| ["--kind", kind]);
    let dumped = setup.run(&[&["log", "dump"], kinds.as_flattened()].concat())?;
    read(&dumped)
}

/// A pause that no unpark ends early.
#[expect(clippy::disallowed_methods, reason = "chores are timed by the clock on the wall")]
fn wait(span: Duration) {
    let end = std::time::Instant::now() + span;
    while std::time::Instant::now() < end {
        park_timeout(end.saturating_duration_since(std::time::Instant::now()));
    }
}

fn read(dumped: &str) -> Result<(Vec<Run>, u64)> {
    let (mut runs, mut missed) = (Vec::new(), 0);
    for line in dumped.lines() {
        let update: Value = serde_json::from_str(line).with_context(|| format!("not an event: {line}"))?;
        match update["kind"].as_str() {
            // What a stop cuts short is missed by us, not by the product.
            Some("slots_missed") if update["data"]["reason"] != "collector_down" => {
                missed += update["data"]["count"].as_u64().context("a miss without a count")?;
            }
            Some("ping_measured") => {
                let row = &update["row"];
                let late_ms = row["lateness_ms"].as_f64().context("a run without its lateness")?;
                runs.push(Run { late_ms, is_flagged: row["self_delayed"] == true });
            }
            Some("slot_failed") => bail!("a slot failed: {line}"),
            _ => {}
        }
    }
    if runs.len() < ROUNDS { bail!("only {} runs were recorded", runs.len()) } else { Ok((runs, missed)) }
}

/// Median, 99th percentile, largest, how many past the bound, how many flagged.
fn line(runs: &[Run]) -> String {
    let mut cells: [Vec<f64>; 3] = [Vec::new(), Vec::new(), Vec::new()];
    for round in runs.chunks(runs.len().div_ceil(ROUNDS)) {
        let mut late: Vec<f64> = round.iter().map(|run| run.late_ms).collect();
        late.sort_unstable_by(f64::total_cmp);
        for (cell, permille) in cells.iter_mut().zip([500, 990, 1_000]) {
            cell.push(at(&late, permille));
        }
    }
    let [median, p99, largest] = cells.map(|cell| range(cell, 2));
    let over = runs.iter().filter(|run| run.late_ms >= BOUND_MS).count();
    let flagged = runs.iter().filter(|run| run.is_flagged).count();
    format!("{median} | {p99} | {largest} | {over} | {flagged}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_recorded_is_summed_up() {
        let run = |late: f64, flag: &str| {
            format!("{{\"kind\":\"ping_measured\",\"row\":{{\"lateness_ms\":{late},\"self_delayed\":{flag}}}}}\n")
        };
        let mut dumped: String = (1..=9).map(|number| run(f64::from(number), "null")).collect();
        dumped += &run(10.5, "true");
        dumped += "{\"kind\":\"slots_missed\",\"data\":{\"reason\":\"stalled\",\"count\":3}}\n";
        dumped += "{\"kind\":\"slots_missed\",\"data\":{\"reason\":\"collector_down\",\"count\":7}}\n";
        let (runs, missed) = read(&dumped).unwrap();
        assert_eq!((runs.len(), missed), (10, 3));
        assert_eq!(line(&runs), "2.00/6.00/10.50 | 2.00/6.00/10.50 | 2.00/6.00/10.50 | 6 | 1");
        assert!(read(&format!("{dumped}{{\"kind\":\"slot_failed\"}}")).is_err());
        assert!(read("").is_err(), "nothing was recorded");
    }
}
