//! Windows.

use netstats_event::{ClockSource, Transport};
use socket2::{Domain, Protocol, Socket, Type};

use crate::IcmpCapability;

/// The index of a network interface: Windows gives zones as numbers.
pub(crate) fn interface_index(name: &str) -> Option<u32> {
    name.parse().ok().filter(|index| *index != 0)
}

/// How ICMP goes here.
pub(crate) fn icmp_capability(is_v6: bool) -> IcmpCapability {
    let (domain, protocol) = if is_v6 { (Domain::IPV6, Protocol::ICMPV6) } else { (Domain::IPV4, Protocol::ICMPV4) };
    let opened = Socket::new(domain, Type::RAW, Some(protocol));
    IcmpCapability {
        transport: opened.is_ok().then_some(Transport::IcmpRaw),
        engine: "surge",
        clock: ClockSource::User,
        fix: opened.is_err().then(|| "run the program as administrator".to_owned()),
        problem: opened.err().map(|error| format!("no raw ICMP socket: {error}")),
    }
}

/// No engine of its own yet: the portable one serves.
pub(crate) fn icmp_transport() -> Option<std::sync::Arc<dyn crate::IcmpTransport>> {
    None
}

/// The system does not tell how long a handshake took.
pub(crate) fn handshake_rtt(_: &tokio::net::TcpStream) -> Option<netstats_event::Rtt> {
    None
}

/// Nor how many segments were sent again.
pub(crate) fn retransmits(_: &tokio::net::TcpStream) -> Option<u32> {
    None
}
