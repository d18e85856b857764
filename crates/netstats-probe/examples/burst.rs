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
    let Cost { process_us, engine_us, engine_user_us, peak_kib } = cost();
    let each = |micros: f64| micros / f64::from(packets.max(1));
    println!(
        "# packets {packets} lost {lost} other {other} odd {bad} us_per_packet {:.2} engine_us_per_packet {:.2} \
         engine_user_us_per_packet {:.2} peak_kib {peak_kib} trouble {:?}",
        each(process_us),
        each(engine_us),
        each(engine_user_us),
        icmp.trouble()
    );
    ExitCode::SUCCESS
}

/// What it took, where the system tells (Linux).
#[derive(Default)]
struct Cost {
    /// CPU of all threads. Where the other end is on this machine, the kernel books its work on whoever sent.
    process_us: f64,
    /// Of that, the engine's thread.
    engine_us: f64,
    /// Of that, outside of the kernel: the scheduler's ticks tell it, to some hundredths of a second.
    engine_user_us: f64,
    peak_kib: u64,
}

fn cost() -> Cost {
    let mut cost = Cost::default();
    for task in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let read = |name: &str| std::fs::read_to_string(task.path().join(name)).unwrap_or_default();
        let nanos: f64 = read("schedstat").split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0.0);
        cost.process_us += nanos / 1e3;
        if read("comm").trim() == "icmp" {
            cost.engine_us += nanos / 1e3;
            // proc(5): user and system time are the 14th and the 15th field; the name may hold anything.
            let stat = read("stat");
            let mut fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().skip(11);
            let mut ticks = || fields.next().and_then(|word| word.parse::<f64>().ok()).unwrap_or(0.0);
            let (user, system) = (ticks(), ticks());
            cost.engine_user_us += nanos / 1e3 * user / (user + system).max(1.0);
        }
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
    Cost { peak_kib: peak.unwrap_or(0), ..cost }
}
