//! Sends bursts to many addresses at once and prints every round trip: what the lab compares with a packet capture.
//!
//! ```text
//! burst [--portable] [--packets N] [--spacing MS] [--timeout MS] [--spread MS] [--quiet] ADDRESS... | FIRST+COUNT
//! ```
//! One line an address: the round trips in microseconds in order of sending; `-` lost, `late:US`, `unsent:ERRNO`,
//! `error:TYPE/CODE`. The last line sums up: packets, lost, CPU of this process, peak memory.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool prints")]
#![expect(clippy::disallowed_methods, reason = "a tool that measures")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use netstats_event::Echo;
use netstats_probe::{Burst, Probes, ProbesConfig};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let (mut burst, mut spread, mut is_quiet, mut portable) =
        (Burst::to(Ipv4Addr::LOCALHOST.into()), Duration::from_secs(1), false, false);
    let mut addresses: Vec<IpAddr> = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|text| text.parse::<u64>().ok()).expect("a number");
        match argument.as_str() {
            "--portable" => portable = true,
            "--quiet" => is_quiet = true,
            "--packets" => burst.packets = number().try_into().expect("at most 65535"),
            "--spacing" => burst.spacing = Duration::from_millis(number()),
            "--timeout" => burst.timeout = Duration::from_millis(number()),
            "--spread" => spread = Duration::from_millis(number()),
            text => {
                let (first, count) = text.split_once('+').unwrap_or((text, "1"));
                let (first, count): (IpAddr, u32) =
                    (first.parse().expect("an address"), count.parse().expect("a count"));
                addresses.extend((0..count).map(|offset| match first {
                    IpAddr::V4(first) => Ipv4Addr::from(u32::from(first) + offset).into(),
                    IpAddr::V6(first) => IpAddr::from(Ipv6Addr::from(u128::from(first) + u128::from(offset))),
                }));
            }
        }
    }
    let probes = Probes::open(&ProbesConfig { portable_icmp: portable, ..ProbesConfig::default() });
    let icmp = Arc::clone(probes.icmp().expect("there is an engine"));
    let begin = Instant::now() + Duration::from_millis(20);
    let count = u32::try_from(addresses.len()).expect("fewer");
    let mut tasks = Vec::new();
    for (at, address) in (0..).zip(addresses) {
        let (icmp, burst) = (Arc::clone(&icmp), Burst { address, ..burst.clone() });
        let start = begin + spread * at / count.max(1);
        tasks.push(tokio::spawn(async move {
            tokio::time::sleep_until(start.into()).await;
            (address, icmp.burst(burst).await)
        }));
    }
    let (mut packets, mut lost, mut other, mut bad) = (0, 0, 0, 0_u64);
    for task in tasks {
        let (address, result) = task.await.expect("no panic");
        let result = match result {
            Ok(result) => result,
            Err(error) => {
                eprintln!("{address}: {error}");
                return ExitCode::FAILURE;
            }
        };
        let mut line = format!("{address} {:?}", result.clock);
        for echo in &result.echoes {
            packets += 1;
            line += &match echo {
                Echo::Reply(rtt) => format!(" {}", rtt.as_micros()),
                Echo::Late(rtt) => format!(" late:{}", rtt.as_micros()),
                Echo::Lost => " -".to_owned(),
                Echo::NotSent(errno) => format!(" unsent:{errno}"),
                Echo::Error(error) => format!(" error:{}/{}", error.icmp_type, error.icmp_code),
            };
            lost += u32::from(*echo == Echo::Lost);
            other += u32::from(!matches!(echo, Echo::Lost | Echo::Reply(_)));
        }
        bad += u64::from(result.bad_replies) + u64::from(result.duplicates);
        if !is_quiet {
            println!("{line}");
        }
    }
    let (cpu_ms, peak_kib) = cost();
    println!(
        "# packets {packets} lost {lost} other {other} odd {bad} cpu_ms {cpu_ms} us_per_packet {:.2} peak_kib {peak_kib} trouble {:?}",
        cpu_ms as f64 * 1_000.0 / f64::from(packets.max(1)),
        icmp.trouble()
    );
    ExitCode::SUCCESS
}

/// CPU milliseconds and peak memory of this process, where the system tells.
fn cost() -> (u64, u64) {
    let schedule = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let nanos: u64 = schedule
        .filter_map(|task| std::fs::read_to_string(task.path().join("schedstat")).ok())
        .filter_map(|text| text.split_whitespace().next()?.parse::<u64>().ok())
        .sum();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
    (nanos / 1_000_000, peak.unwrap_or(0))
}
