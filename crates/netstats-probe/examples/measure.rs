//! Runs a probe and prints what it reports: what the lab compares with the network that it made.
//!
//! ```text
//! measure ping|traceroute|dns|bandwidth|tcp|http HOST|FIRST+COUNT [OPTION=VALUE]...
//! ```
//! Several hosts are measured at once. Options: `times` (one run after the other), `brief` (1: one line a run, see
//! [`brief`]), `timeout` (ms; traceroute and dns), `port`, `protocol` (traceroute: icmp, udp, tcp), `names` (traceroute: 0 or 1), `server`, `name`,
//! `transport` (dns), `tls` (http: 0 or 1), `seconds`, `streams`, `direction`, `engine`,
//! `credential` and `secrets` (a folder; bandwidth).
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool prints")]
#![expect(clippy::disallowed_methods, reason = "a tool that measures")]

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use netstats_event::{
    BandwidthDirection, BandwidthEngine, DnsOutcome, DnsTransport, HopAnswer, ProbeKind, ProbeOptions,
    TracerouteProtocol,
};
use netstats_probe::{Outcome, Probes, ProbesConfig, Report, Request};
use tokio::task::JoinSet;

#[tokio::main]
async fn main() {
    let mut words = std::env::args().skip(1);
    let kind = words.next().and_then(|word| ProbeKind::from_name(&word)).expect("a kind of probe");
    let host = words.next().expect("a host");
    let (mut options, mut config) = (ProbeOptions::default(), ProbesConfig::default());
    let (mut times, mut is_brief) = (1, false);
    for word in words {
        let (key, value) = word.split_once('=').expect("OPTION=VALUE");
        let number = || value.parse::<u16>().expect("a number");
        match key {
            "times" => times = number(),
            "brief" => is_brief = number() != 0,
            "timeout" => (options.traceroute.timeout_ms, options.dns.timeout_ms) = (number().into(), number().into()),
            "port" => {
                (options.tcp.port, options.http.port) = (Some(number()), Some(number()));
                (options.traceroute.port, options.bandwidth.port) = (Some(number()), Some(number()));
            }
            "protocol" => {
                options.traceroute.protocol = match value {
                    "icmp" => TracerouteProtocol::Icmp,
                    "udp" => TracerouteProtocol::Udp,
                    "tcp" => TracerouteProtocol::Tcp,
                    _ => TracerouteProtocol::Auto,
                }
            }
            "names" => options.traceroute.reverse_names = number() != 0,
            "server" => options.dns.server = Some(value.to_owned()),
            "name" => options.dns.name = Some(value.to_owned()),
            "transport" => {
                options.dns.transport = match value {
                    "tcp" => DnsTransport::Tcp,
                    "tls" => DnsTransport::Tls,
                    "https" => DnsTransport::Https,
                    "system" => DnsTransport::System,
                    _ => DnsTransport::Udp,
                }
            }
            "seconds" => options.bandwidth.duration_s = number(),
            "streams" => options.bandwidth.streams = number().try_into().expect("at most 255"),
            "credential" => options.bandwidth.credential = Some(value.to_owned()),
            "secrets" => config.secrets = Some(value.into()),
            "direction" => {
                options.bandwidth.direction = match value {
                    "down" => BandwidthDirection::Down,
                    "up" => BandwidthDirection::Up,
                    _ => BandwidthDirection::Both,
                }
            }
            "engine" => {
                options.bandwidth.engine = match value {
                    "ndt7" => BandwidthEngine::Ndt7,
                    "iperf3" => BandwidthEngine::Iperf3,
                    _ => BandwidthEngine::Responder,
                }
            }
            "tls" => options.http.tls = number() != 0,
            other => eprintln!("{other} is no option"),
        }
    }
    let probes = Probes::open(&config);
    let probe = probes.get(kind).expect("this program has no such probe");
    let (options, hosts) = (Arc::new(options), hosts(&host));
    for _ in 0..times {
        let begin = Instant::now();
        let mut runs = JoinSet::new();
        for host in hosts.clone() {
            let (probe, request) = (Arc::clone(probe), Request { options: Arc::clone(&options), ..Request::to(&host) });
            runs.spawn(async move { (host, probe.run(&request).await) });
        }
        while let Some(run) = runs.join_next().await {
            let (host, report) = run.expect("no panic");
            if is_brief {
                println!("{host} {}", brief(&report));
            } else {
                println!("{report:#?}");
            }
        }
        if hosts.len() > 1 {
            println!("# all within {} us", begin.elapsed().as_micros());
        }
    }
}

/// `FIRST+COUNT` are that many addresses.
fn hosts(text: &str) -> Vec<String> {
    let Some((first, count)) = text.split_once('+') else { return vec![text.to_owned()] };
    let first: IpAddr = first.parse().expect("an address");
    let bits = match first {
        IpAddr::V4(first) => u128::from(u32::from(first)),
        IpAddr::V6(first) => u128::from(first),
    };
    (0..count.parse::<u128>().expect("a count"))
        .map(|offset| match first {
            IpAddr::V4(_) => IpAddr::V4(u32::try_from(bits + offset).expect("an address").into()).to_string(),
            IpAddr::V6(_) => IpAddr::V6((bits + offset).into()).to_string(),
        })
        .collect()
}

/// A trace as `MICROSECONDS reached|short HOP...`, a silent hop as `*` and several answers joined by commas; a lookup as
/// its time in microseconds; what is neither, or did not succeed, as `- WHY`.
fn brief(report: &Report) -> String {
    match &report.outcome {
        Outcome::Traceroute(route) => {
            let hops = route.hops.iter().map(|hop| {
                let from = hop.answers.iter().filter_map(|answer| match answer {
                    HopAnswer::Answer { from, .. } => Some(from.to_string()),
                    HopAnswer::Silent | HopAnswer::NotSent(_) => None,
                });
                let from: Vec<String> = from.collect::<BTreeSet<_>>().into_iter().collect();
                if from.is_empty() { " *".to_owned() } else { format!(" {}", from.join(",")) }
            });
            let end = if route.reached { "reached" } else { "short" };
            format!("{} {end}{}", route.duration_us, hops.collect::<String>())
        }
        Outcome::Dns(lookup) => match &lookup.outcome {
            DnsOutcome::Response { rtt, .. } => rtt.as_micros().to_string(),
            DnsOutcome::Failure(failure) => format!("- {failure:?}"),
        },
        other => format!("- {other:?}"),
    }
}
