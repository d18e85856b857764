//! Traces against the network as it was wired: how long they take, and how many of them are right.

use anyhow::{Context, Result, bail};

use super::bench::{build, example, range};
use super::{link, net};
use crate::step::say;

const PROTOCOLS: [&str; 3] = ["icmp", "udp", "tcp"];
/// The routers, and a target of each family.
const V4: [&str; 4] = ["198.18.0.2", "198.18.1.2", "198.18.2.2", "198.19.0.5"];
const V6: [&str; 4] = ["2001:2::2", "2001:2:0:1::2", "2001:2:0:2::2", "2001:2:0:101::5"];
/// The other second hop where there are two paths.
const SECOND: [(&str, &str); 2] = [("198.18.204.1", "198.18.11.2"), ("2001:2:0:204::1", "2001:2:0:11::2")];

/// A trace as `measure` prints it.
#[derive(Debug, PartialEq, Eq)]
struct Trace<'a> {
    host: &'a str,
    micros: u32,
    is_reached: bool,
    hops: Vec<&'a str>,
}

/// Every case, so many times.
pub(super) fn traces(rounds: u32) -> Result<()> {
    build("measure")?;
    net::up(false)?;
    let measured = cases(rounds);
    net::down()?;
    measured
}

fn cases(rounds: u32) -> Result<()> {
    say("Traces of a path of four hops, 20 ms at the last link; min/median/max of the runs, in ms.\n");
    say("| path | protocol | IPv4: ms | right | IPv6: ms | right |\n|---|---|---|---|---|---|");
    link::set(&["delay_us=20000"])?;
    each("all answer", rounds, &PROTOCOLS, [V4[3], V6[3]], |trace, wired| trace.hops == wired)?;
    let quiet = Quiet::of("drop")?;
    each("the second hop is silent", rounds, &PROTOCOLS, [V4[3], V6[3]], |trace, wired| {
        trace.hops == [wired[0], "*", wired[2], wired[3]]
    })?;
    drop(quiet);
    let quiet = Quiet::of("limit rate over 5/second burst 1 packets drop")?;
    each("the second hop answers 5 times a second", rounds, &PROTOCOLS, [V4[3], V6[3]], |trace, wired| {
        let second = trace.hops.get(1).copied();
        matches!(second, Some(hop) if hop == "*" || hop == wired[1]) && trace.hops[2..] == wired[2..]
    })?;
    drop(quiet);
    each("a circle", rounds, &PROTOCOLS, ["198.18.203.1", "2001:2:0:203::1"], |trace, wired| {
        // Of IPv6, errors come from where the packet came in.
        let back = if trace.host.contains(':') { "2001:2:0:2::1" } else { wired[1] };
        let circle = wired[..3].iter().copied().chain([back, wired[2]].into_iter().cycle());
        !trace.is_reached && trace.hops.iter().copied().eq(circle.take(30))
    })?;
    // TCP cannot hold its source port: its traces may show pieces of both.
    each("two paths", rounds, &PROTOCOLS[..2], [SECOND[0].0, SECOND[1].0], |trace, wired| {
        let is_v6 = trace.host.contains(':');
        let other = [SECOND[usize::from(is_v6)].1, if is_v6 { "2001:2:0:12::2" } else { wired[2] }];
        trace.is_reached
            && trace.hops.len() == 4
            && [[wired[1], wired[2]], other].contains(&[trace.hops[1], trace.hops[2]])
    })?;
    at_once(rounds)
}

/// One line of the table for each protocol: the time of the runs, and how many are as wired.
fn each(
    case: &str,
    rounds: u32,
    protocols: &[&str],
    targets: [&str; 2],
    is_right: impl Fn(&Trace<'_>, &[&str; 4]) -> bool,
) -> Result<()> {
    for protocol in protocols {
        let mut cells = String::new();
        for (target, wired) in targets.into_iter().zip([V4, V6]) {
            let said = measure(target, protocol, rounds)?;
            let traces = said.lines().map(read).collect::<Result<Vec<_>>>()?;
            let right = traces.iter().filter(|trace| is_right(trace, &wired)).count();
            if let Some(wrong) = traces.iter().find(|trace| !is_right(trace, &wired)) {
                say(&format!("wrong: {wrong:?}"));
            }
            let millis = traces.iter().map(|trace| f64::from(trace.micros) / 1e3).collect();
            cells += &format!(" {} | {right}/{} |", range(millis, 1), traces.len());
        }
        say(&format!("| {case} | {protocol} |{cells}"));
    }
    Ok(())
}

/// A hundred destinations together.
fn at_once(rounds: u32) -> Result<()> {
    for protocol in PROTOCOLS {
        let said = measure("198.19.3.1+100", protocol, rounds)?;
        let (mut right, mut all, mut millis) = (0, 0, Vec::new());
        for line in said.lines() {
            if let Some(took) = line.strip_prefix("# all within ") {
                let micros: f64 = took.split(' ').next().unwrap_or_default().parse()?;
                millis.push(micros / 1e3);
                continue;
            }
            let trace = read(line)?;
            all += 1;
            if trace.hops == [V4[0], V4[1], V4[2], trace.host] {
                right += 1;
            } else {
                say(&format!("wrong: {trace:?}"));
            }
        }
        say(&format!("| 100 destinations at once | {protocol} | {} | {right}/{all} | | |", range(millis, 0)));
    }
    Ok(())
}

fn measure(target: &str, protocol: &str, times: u32) -> Result<String> {
    let (protocol, times) = (format!("protocol={protocol}"), format!("times={times}"));
    example("measure", &["traceroute", target, &protocol, &times, "brief=1", "names=0", "timeout=1000"])
}

fn read(line: &str) -> Result<Trace<'_>> {
    let mut words = line.split_whitespace();
    let host = words.next().context("no host")?;
    let micros = words.next().and_then(|word| word.parse().ok()).with_context(|| format!("no trace: {line}"))?;
    let is_reached = words.next() == Some("reached");
    Ok(Trace { host, micros, is_reached, hops: words.collect() })
}

/// What the second router does not say, until dropped.
struct Quiet;

impl Quiet {
    fn of(what: &str) -> Result<Self> {
        let rules = format!(
            "table inet quiet {{ chain out {{ type filter hook output priority 0; icmp type time-exceeded {what}; \
             icmpv6 type time-exceeded {what}; }}; }}"
        );
        let output = net::inside("r2", "nft").arg(rules).output()?;
        if !output.status.success() {
            bail!("the router is not silenced: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(Self)
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let _ = net::inside("r2", "nft").args(["delete", "table", "inet", "quiet"]).output();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_trace() {
        let trace = read("198.19.0.5 74012 reached 198.18.0.2 * 198.18.2.2,198.18.9.9 198.19.0.5").unwrap();
        let hops = vec!["198.18.0.2", "*", "198.18.2.2,198.18.9.9", "198.19.0.5"];
        assert_eq!(trace, Trace { host: "198.19.0.5", micros: 74_012, is_reached: true, hops });
        assert!(!read("198.19.0.5 3 short").unwrap().is_reached);
        assert!(read("198.19.0.5 - Failed").is_err());
    }
}
