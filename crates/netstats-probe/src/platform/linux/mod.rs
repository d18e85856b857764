//! Linux.

mod cpu;
mod engine;
mod socket;
mod tcp;
mod trace;
mod turns;
mod udp;
mod wheel;

pub(crate) use cpu::cpu;
pub(crate) use tcp::{handshake_rtt, retransmits};
pub(crate) use trace::{trace_tcp, trace_udp};
pub use turns::be_prompt;
pub(crate) use udp::Datagrams;

use std::io;
use std::sync::Arc;

use netstats_event::{ClockSource, Transport};
use socket2::{Domain, Protocol, Socket, Type};

use crate::{IcmpCapability, IcmpTransport};

/// An ICMP datagram socket gives the message alone, and checked.
pub(crate) const IS_PLAIN_ICMP: bool = true;

/// The index of a network interface by name.
pub(crate) fn interface_index(name: &str) -> Option<u32> {
    let is_plain = !name.is_empty() && name.len() < 16 && !name.contains('/') && !name.starts_with('.');
    let path = format!("/sys/class/net/{name}/ifindex");
    is_plain.then(|| std::fs::read_to_string(path).ok()?.trim().parse().ok()).flatten()
}

/// Opens an ICMP socket the way the system allows: datagram if the group range holds us, else raw.
pub(crate) fn open_icmp(is_v6: bool) -> io::Result<(Socket, Transport)> {
    let (domain, protocol) = if is_v6 { (Domain::IPV6, Protocol::ICMPV6) } else { (Domain::IPV4, Protocol::ICMPV4) };
    match Socket::new(domain, Type::DGRAM, Some(protocol)) {
        Ok(socket) => Ok((socket, Transport::IcmpDatagram)),
        Err(_) => Socket::new(domain, Type::RAW, Some(protocol)).map(|socket| (socket, Transport::IcmpRaw)),
    }
}

/// What to say when neither way is allowed.
pub(crate) fn permission_advice() -> String {
    let program = std::env::current_exe().map_or_else(|_| "network-stats".into(), |path| path.display().to_string());
    format!(
        "sudo sysctl -w net.ipv4.ping_group_range=\"0 2147483647\"  (for every program; covers IPv6 too), or: \
         sudo setcap cap_net_raw+ep {program}"
    )
}

/// How ICMP goes here.
pub(crate) fn icmp_capability(is_v6: bool) -> IcmpCapability {
    let mut found =
        IcmpCapability { transport: None, engine: "linux", clock: ClockSource::Kernel, problem: None, fix: None };
    match open_icmp(is_v6) {
        Ok((_, transport)) => found.transport = Some(transport),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            found.problem = Some("this system does not let the program send ICMP echoes".to_owned());
            found.fix = Some(permission_advice());
        }
        Err(error) => {
            let family = if is_v6 { "IPv6" } else { "IPv4" };
            found.problem = Some(format!("no ICMP socket for {family}: {error}"));
        }
    }
    found
}

/// The best engine here: none if its thread cannot be started.
pub(crate) fn icmp_transport() -> Option<Arc<dyn IcmpTransport>> {
    match engine::LinuxTransport::start() {
        Ok(transport) => Some(Arc::new(transport)),
        Err(error) => {
            tracing::warn!(%error, "the Linux ICMP engine cannot start; the portable one is used");
            None
        }
    }
}
