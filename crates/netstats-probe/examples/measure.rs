//! Runs one probe once and prints what it reports.
//!
//! ```text
//! measure ping|traceroute|dns|bandwidth|tcp|http HOST [OPTION=VALUE]...
//! ```
//! Options: `port`, `protocol` (traceroute: icmp, udp, tcp), `names` (traceroute: 0 or 1), `server`, `name`,
//! `transport` (dns), `tls` (http: 0 or 1), `seconds`, `direction` and `engine` (bandwidth), `secrets` (a folder).
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool prints")]

use std::sync::Arc;

use netstats_event::{DnsTransport, ProbeKind, ProbeOptions, TracerouteProtocol};
use netstats_probe::{Probes, ProbesConfig, Request};

#[tokio::main]
async fn main() {
    let mut words = std::env::args().skip(1);
    let kind = words.next().and_then(|word| ProbeKind::from_name(&word)).expect("a kind of probe");
    let host = words.next().expect("a host");
    let mut options = ProbeOptions::default();
    for word in words {
        let (key, value) = word.split_once('=').expect("OPTION=VALUE");
        let number = || value.parse::<u16>().expect("a number");
        match key {
            "port" => {
                (options.tcp.port, options.http.port) = (Some(number()), Some(number()));
                options.traceroute.port = Some(number());
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
            "tls" => options.http.tls = number() != 0,
            other => eprintln!("{other} is no option"),
        }
    }
    let probes = Probes::open(&ProbesConfig::default());
    let probe = probes.get(kind).expect("this program has no such probe");
    let report = probe.run(&Request { options: Arc::new(options), ..Request::to(&host) }).await;
    println!("{report:#?}");
}
