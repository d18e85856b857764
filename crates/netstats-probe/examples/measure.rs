//! Runs one probe once and prints what it reports.
//!
//! ```text
//! measure ping|traceroute|dns|bandwidth|tcp|http HOST [OPTION=VALUE]...
//! ```
//! Options: `port`, `protocol` (traceroute: icmp, udp, tcp), `names` (traceroute: 0 or 1), `server`, `name`,
//! `transport` (dns), `tls` (http: 0 or 1), `seconds`, `streams`, `direction`, `engine`,
//! `credential` and `secrets` (a folder; bandwidth).
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool prints")]

use std::sync::Arc;

use netstats_event::{BandwidthDirection, BandwidthEngine, DnsTransport, ProbeKind, ProbeOptions, TracerouteProtocol};
use netstats_probe::{Probes, ProbesConfig, Request};

#[tokio::main]
async fn main() {
    let mut words = std::env::args().skip(1);
    let kind = words.next().and_then(|word| ProbeKind::from_name(&word)).expect("a kind of probe");
    let host = words.next().expect("a host");
    let (mut options, mut config) = (ProbeOptions::default(), ProbesConfig::default());
    for word in words {
        let (key, value) = word.split_once('=').expect("OPTION=VALUE");
        let number = || value.parse::<u16>().expect("a number");
        match key {
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
    let report = probe.run(&Request { options: Arc::new(options), ..Request::to(&host) }).await;
    println!("{report:#?}");
}
