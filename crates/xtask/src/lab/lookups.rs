//! DNS: the reported time of lookups against a capture.

use anyhow::{Context, Result};

use super::bench::{Busy, build, example, in_brief, range};
use super::capture::{Capture, DNS};
use super::{link, net};
use crate::step::say;

/// What answers DNS in the lab.
const SERVER: &str = "198.19.255.53";
const LOOKUPS: u16 = 200;

/// Error of the reported time of lookups, 200 a round one after the other, idle and busy.
pub(super) fn lookups(rounds: u32) -> Result<()> {
    build("measure")?;
    net::up(false)?;
    let measured = table(rounds);
    net::down()?;
    measured
}

fn table(rounds: u32) -> Result<()> {
    say("Error = reported - captured, in microseconds; min/median/max of the rounds.\n");
    say("| processors | delay ms | lookups | median | p99 of its size | smallest |\n|---|---|---|---|---|---|");
    for is_busy in [false, true] {
        for delay_ms in [0_u32, 20] {
            link::set(&[&format!("delay_us={}", delay_ms * 1_000)])?;
            let busy = is_busy.then(Busy::start).transpose()?;
            let (mut cells, mut count): ([Vec<f64>; 3], usize) = Default::default();
            for _ in 0..rounds {
                let capture = Capture::start("to-r1", DNS)?;
                let times = format!("times={LOOKUPS}");
                let server = format!("server={SERVER}");
                let said = example("measure", &["dns", "lab", "name=a.lab.test", &server, &times, "brief=1"])?;
                let truth = capture.finish(LOOKUPS.into())?;
                let trips = truth.get(&SERVER.parse()?).context("the capture has no lookups")?;
                let errors = errors(&said, trips)?;
                count += errors.len();
                cells.iter_mut().zip(in_brief(&errors)).for_each(|(cell, value)| cell.push(value));
            }
            drop(busy);
            let [median, p99, smallest] = cells.map(|cell| range(cell, 0));
            let state = if is_busy { "busy" } else { "idle" };
            say(&format!("| {state} | {delay_ms} | {count} | {median} | {p99} | {smallest} |"));
        }
    }
    Ok(())
}

/// Errors in microseconds, ascending: the lookups in their order against the captured ones in theirs.
fn errors(said: &str, trips: &[Option<i64>]) -> Result<Vec<f64>> {
    let reported = said.lines().map(|line| {
        let time = line.split_whitespace().nth(1).and_then(|word| word.parse::<f64>().ok());
        time.with_context(|| format!("a lookup failed: {line}"))
    });
    let mut errors = reported
        .zip(trips)
        .map(|(time, trip)| Ok(time? - trip.context("a lookup without an answer in the capture")? as f64 / 1_000.0))
        .collect::<Result<Vec<f64>>>()?;
    errors.sort_unstable_by(f64::total_cmp);
    if errors.is_empty() { anyhow::bail!("no lookup was made") } else { Ok(errors) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookups_are_compared_in_their_order() {
        let said = "x 20031\nx 20010\n";
        assert_eq!(errors(said, &[Some(20_000_000), Some(20_020_000)]).unwrap(), [-10.0, 31.0]);
        assert!(errors("x - Timeout\n", &[None]).is_err());
        assert!(errors("x 5\n", &[None]).is_err());
        assert!(errors("", &[]).is_err());
    }
}
