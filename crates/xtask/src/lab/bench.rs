//! How exact and how cheap the ICMP engine is, against what a capture saw.

use std::process::{Child, Stdio};

use anyhow::{Context, Result, bail};

use super::capture::{Capture, ECHOES, Truth};
use super::{link, net};
use crate::step::{command, root, say};

const DELAYS_MS: [u32; 4] = [0, 5, 20, 100];

/// Builds an example of the probes.
pub(super) fn build(example: &str) -> Result<()> {
    let mut cargo = command("cargo");
    cargo.args(["build", "--release", "-p", "netstats-probe", "--example", example]).current_dir(root());
    if cargo.status()?.success() { Ok(()) } else { bail!("the example does not build") }
}

/// What a built example says in the prober.
pub(super) fn example(name: &str, arguments: &[&str]) -> Result<String> {
    let program = root().join("target/release/examples").join(name);
    let output = net::inside("prober", &program.to_string_lossy()).args(arguments).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        bail!("{name} {} failed", arguments.join(" "));
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn burst(arguments: &[&str]) -> Result<String> {
    example("burst", arguments)
}

/// Busy loops, one a processor, ended when dropped.
pub(super) struct Busy(Vec<Child>);

impl Busy {
    pub(super) fn start() -> Result<Self> {
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
    build("burst")?;
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
                let capture = Capture::start("to-r1", ECHOES)?;
                let said = burst(&["--packets", "10", "--spacing", "100", "--timeout", "1000", "198.19.0.1+20"])?;
                let (errors, missing) = compare(&said, &capture.finish(20 * 10)?)?;
                (packets, lost) = (packets + errors.len() + missing, lost + missing);
                cells.iter_mut().zip(in_brief(&errors)).for_each(|(cell, value)| cell.push(value));
            }
            drop(busy);
            let [median, p99, smallest] = cells.map(|cell| range(cell, 0));
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

pub(super) fn at(ascending: &[f64], permille: usize) -> f64 {
    let index = (ascending.len() * permille / 1_000).min(ascending.len().saturating_sub(1));
    ascending.get(index).copied().unwrap_or(f64::NAN)
}

/// Of errors in ascending order: median, 99th percentile of their sizes, smallest.
pub(super) fn in_brief(errors: &[f64]) -> [f64; 3] {
    let mut sizes: Vec<f64> = errors.iter().map(|error| error.abs()).collect();
    sizes.sort_unstable_by(f64::total_cmp);
    [at(errors, 500), at(&sizes, 990), at(errors, 0)]
}

/// Smallest, median and largest, with so many decimals.
pub(super) fn range(mut values: Vec<f64>, decimals: usize) -> String {
    values.sort_unstable_by(f64::total_cmp);
    [0, 500, 1_000].map(|permille| format!("{:.decimals$}", at(&values, permille))).join("/")
}

/// Loss: what the link drops of 10,000 packets a round, against what is reported.
pub(super) fn losses(rounds: u32) -> Result<()> {
    build("burst")?;
    net::up(false)?;
    say("| loss set % | packets a round | lost in the capture | reported lost | of those answered in the capture |");
    say("|---|---|---|---|---|");
    let measured = [0_u32, 10_000, 50_000].into_iter().try_for_each(|loss_ppm| {
        let mut cells: [Vec<f64>; 3] = [Vec::new(), Vec::new(), Vec::new()];
        for seed in 1..=rounds {
            link::set(&["delay_us=5000"])?;
            burst(&["--packets", "2", "--spacing", "10", "198.19.0.1+100"])?;
            link::set(&["delay_us=5000", &format!("loss_ppm={loss_ppm}"), &format!("seed={seed}")])?;
            let capture = Capture::start("to-r1", ECHOES)?;
            let said = burst(&["--packets", "100", "--spacing", "50", "--timeout", "1000", "198.19.0.1+100"])?;
            let truth = capture.finish(100 * 100)?;
            let reported = said.lines().flat_map(str::split_whitespace).filter(|word| *word == "-").count();
            let captured = truth.values().flatten().filter(|trip| trip.is_none()).count();
            let (_, beyond) = compare(&said, &truth)?;
            for (cell, count) in cells.iter_mut().zip([captured, reported, beyond]) {
                cell.push(count as f64);
            }
        }
        let [captured, reported, beyond] = cells.map(|cell| range(cell, 0));
        let percent = f64::from(loss_ppm) / 1e4;
        say(&format!("| {percent} | 10000 | {captured} | {reported} | {beyond} |"));
        Ok(())
    });
    net::down()?;
    measured
}

/// Where the target's work is done: its kernel's answers are booked on whoever sent, unless another processor makes
/// them.
#[derive(Clone, Copy, Debug)]
enum Answering {
    Here,
    Elsewhere,
}

/// One ping a second to so many targets on one cable, for five seconds, five times.
pub(super) fn capacity(targets: u32) -> Result<()> {
    build("burst")?;
    net::up(true)?;
    say(
        "CPU in microseconds a packet: of the whole process, of the engine's thread, and of that outside of the kernel.\n",
    );
    say("| targets | answered | packets | falsely lost | other | process | engine | user space | peak MiB |");
    say("|---|---|---|---|---|---|---|---|---|");
    let states = [Answering::Here, Answering::Elsewhere];
    let measured = (0..5).flat_map(|_| states).try_for_each(|answering| fill(targets, answering));
    net::down()?;
    measured
}

fn fill(targets: u32, answering: Answering) -> Result<()> {
    let addresses = format!("198.19.0.0+{targets}");
    let arguments = ["--quiet", "--packets", "5", "--spacing", "1000", &addresses];
    let (said, place) = match answering {
        Answering::Here => {
            net::steer("target", 0)?;
            (burst(&arguments)?, "by the sending processor")
        }
        // Ours is the first processor; the target's packets are taken in by the second one.
        Answering::Elsewhere => {
            net::steer("target", 2)?;
            let program = root().join("target/release/examples/burst");
            let mut pinned = net::inside("prober", "taskset");
            let output = pinned.args(["-c", "0"]).arg(program).args(arguments).stderr(Stdio::inherit()).output()?;
            (String::from_utf8(output.stdout)?, "by another one")
        }
    };
    let last = said.lines().last().context("the engine failed")?;
    let value = |name: &str| {
        let mut words = last.split_whitespace().skip_while(|word| *word != name);
        words.nth(1).unwrap_or("?").to_owned()
    };
    let peak_mib = value("peak_kib").parse::<f64>().unwrap_or(f64::NAN) / 1_024.0;
    let counts = ["packets", "lost", "other", "us_per_packet", "engine_us_per_packet", "engine_user_us_per_packet"];
    let cells = counts.map(value).join(" | ");
    say(&format!("| {targets} | {place} | {cells} | {peak_mib:.1} |"));
    Ok(())
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
        assert_eq!(range(vec![3.0, 1.0, 2.0], 0), "1/2/3");
    }
}
