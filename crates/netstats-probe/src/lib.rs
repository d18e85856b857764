//! Active measurements: ping, traceroute, dns, bandwidth, tcp, http. Each probe turns one request into one outcome.
//!
//! ```no_run
//! use netstats_event::ProbeKind;
//! use netstats_probe::{Outcome, Probes, ProbesConfig, Request};
//!
//! # async fn example() {
//! let probes = Probes::open(&ProbesConfig::default());
//! let ping = probes.get(ProbeKind::Ping).expect("ping is always there");
//! let report = ping.run(&Request::to("127.0.0.1")).await;
//! match report.outcome {
//!     Outcome::Ping(sample) => println!("{} answered", sample.echoes.iter().filter(|e| e.rtt().is_some()).count()),
//!     Outcome::Failed { detail, .. } => eprintln!("{detail}"),
//!     _ => unreachable!("a ping probe pings"),
//! }
//! # }
//! ```
//!
//! # It is not
//! - a scheduler: it knows no job, no slot and no log, and measures when it is told to;
//! - statistics: it returns every round trip and averages nothing;
//! - forgiving: what did not leave this machine is never called loss.

mod bandwidth;
mod capability;
mod clock;
mod connect;
mod datagrams;
mod dns;
mod flight;
#[cfg(any(test, netstats_fuzz))]
pub mod fuzz;
mod http;
mod icmp;
pub mod limits;
mod ping;
mod platform;
mod probe;
mod probes;
mod resolve;
mod surge;
mod tcp;
mod tls;
mod traceroute;
mod wire;

pub use bandwidth::{BandwidthProbe, RESPONDER_PORT, Responder, ResponderConfig};
pub use capability::{Capabilities, IcmpCapability, capabilities};
pub use dns::DnsProbe;
pub use http::HttpProbe;
pub use icmp::{Burst, BurstResult, IcmpTransport, TransportError};
pub use ping::PingProbe;
pub use platform::be_prompt;
pub use probe::{BoxFuture, Outcome, Probe, Report, Request};
pub use probes::{Probes, ProbesConfig};
pub use resolve::{Contact, Guard, Resolved, Resolver};
pub use surge::SurgeTransport;
pub use tcp::TcpProbe;
pub use tls::Tls;
pub use traceroute::TracerouteProbe;
