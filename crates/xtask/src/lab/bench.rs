//! How exact and how cheap the ICMP engine is, against what a capture saw.

use std::process::{Child, Stdio};

use anyhow::{Context, Result, bail};

use super::capture::{Capture, Truth};
use super::{link, net};
use crate::step::{command, root, say};

const BURST: &str = "target/release/examples/burst";
const DELAYS_MS: [u32; 4] = [0, 5, 20, 100];

fn build() -> Result<()> {
    let mut cargo = command("cargo");
    cargo.args(["build", "--release", "-p", "netstats-probe", "--example", "burst"]).current_dir(root());
    if cargo.status()?.success() { Ok(()) } else { bail!("the example does not build") }
}

fn burst(arguments: &[&str]) -> Result<String> {
    let program = root().join(BURST);
    let output = net::inside("prober", &program.to_string_lossy()).args(arguments).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        bail!("the engine failed");
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Busy loops, one a processor, ended when dropped.
struct Busy(Vec<Child>);

impl Busy {
    fn start() -> Result<Self> {
        let count = std::thread::available_parallelism()?.get();
        let busy = || command("sh").args(["-c", "while :; do :; done"]).spawn();
        Ok(Self((0..count).map(|_| busy()).collect::<std::io::Result<_>>()?))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Error of the reported round trips: 20 targets, 10 packets each a round, at each delay, idle and busy.
pub(super) fn accuracy(rounds: u32) -> Result<()> {
    build()?;
    net::up(false)?;
    let measured = table(rounds);
    net::down()?;
    measured
}

fn table(rounds: u32) -> Result<()> {
    say("Error = reported - captured, in microseconds; min/median/max of the rounds.\n");
    say("| processors | delay ms | packets | median | p99 of its size | smallest | lost |");
    say("|---|---|---|---|---|---|---|");
    for is_busy in [false, true] {
        for delay_ms in DELAYS_MS {
            link::set(&[&format!("delay_us={}", delay_ms * 1_000)])?;
            // Neighbours are known before it counts.
            burst(&["--packets", "2", "--spacing", "10", "198.19.0.1+20"])?;
            let busy = is_busy.then(Busy::start).transpose()?;
            let mut cells: [Vec<f64>; 3] = [Vec::new(), Vec::new(), Vec::new()];
            let (mut packets, mut lost) = (0, 0);
            for _ in 0..rounds {
                let capture = Capture::start("to-r1")?;
                let said = burst(&["--packets", "10", "--spacing", "100", "--timeout", "1000", "198.19.0.1+20"])?;
                let (errors, missing) = compare(&said, &capture.finish(20 * 10)?)?;
                (packets, lost) = (packets + errors.len() + missing, lost + missing);
                let mut sizes: Vec<f64> = errors.iter().map(|error| error.abs()).collect();
                sizes.sort_unstable_by(f64::total_cmp);
                let smallest = errors.first().copied().unwrap_or(f64::NAN);
                for (cell, value) in cells.iter_mut().zip([at(&errors, 500), at(&sizes, 990), smallest]) {
                    cell.push(value);
                }
            }
            drop(busy);
            let [median, p99, smallest] = cells.map(range);
            let state = if is_busy { "busy" } else { "idle" };
            say(&format!("| {state} | {delay_ms} | {packets} | {median} | {p99} | {smallest} | {lost} |"));
        }
    }
    Ok(())
}

/// Errors in microseconds, ascending, and how many packets the capture has an answer of that were not reported.
fn compare(said: &str, truth: &Truth) -> Result<(Vec<f64>, usize)> {
    let (mut errors, mut missing) = (Vec::new(), 0);
    for line in said.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split_whitespace();
        let address = words.next().and_then(|word| word.parse().ok()).context("no address")?;
        let trips = truth.get(&address).context("the capture does not have that address")?;
        for (word, trip) in words.skip(1).zip(trips) {
            match (word.parse::<f64>(), trip) {
                (Ok(reported), Some(nanos)) => errors.push(reported - *nanos as f64 / 1_000.0),
                (Err(_), Some(_)) => missing += 1,
                _ => {}
            }
        }
    }
    errors.sort_unstable_by(f64::total_cmp);
    Ok((errors, missing))
}

fn at(ascending: &[f64], permille: usize) -> f64 {
    let index = (ascending.len() * permille / 1_000).min(ascending.len().saturating_sub(1));
    ascending.get(index).copied().unwrap_or(f64::NAN)
}

fn range(mut values: Vec<f64>) -> String {
    values.sort_unstable_by(f64::total_cmp);
    format!("{:.0}/{:.0}/{:.0}", at(&values, 0), at(&values, 500), at(&values, 1_000))
}

/// One ping a second to so many targets on one cable, for five seconds, five times.
pub(super) fn capacity(targets: u32) -> Result<()> {
    build()?;
    net::up(true)?;
    say("| targets | packets | falsely lost | other | CPU us a packet | peak MiB |\n|---|---|---|---|---|---|");
    let measured = (0..5).try_for_each(|_| {
        let said = burst(&["--quiet", "--packets", "5", "--spacing", "1000", &format!("198.19.0.0+{targets}")])?;
        let last = said.lines().last().unwrap_or_default();
        let value = |name: &str| {
            let mut words = last.split_whitespace().skip_while(|word| *word != name);
            words.nth(1).unwrap_or("?").to_owned()
        };
        let peak_mib = value("peak_kib").parse::<f64>().unwrap_or(f64::NAN) / 1_024.0;
        say(&format!(
            "| {targets} | {} | {} | {} | {} | {peak_mib:.1} |",
            value("packets"),
            value("lost"),
            value("other"),
            value("us_per_packet")
        ));
        Ok(())
    });
    net::down()?;
    measured
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_compared_packet_by_packet() {
        let truth = Truth::from([([198, 19, 0, 1].into(), vec![Some(1_000_000), None, Some(2_000_000), Some(5)])]);
        let (errors, missing) = compare("198.19.0.1 Kernel 1003 - 1999 -\n# packets 4\n", &truth).unwrap();
        assert_eq!((errors, missing), (vec![-1.0, 3.0], 1));
        assert!(compare("198.19.0.2 Kernel 1", &truth).is_err());
        assert_eq!(range(vec![3.0, 1.0, 2.0]), "1/2/3");
    }
}
