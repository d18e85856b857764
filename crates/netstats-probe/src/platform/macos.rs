//! macOS: unprivileged ICMP datagram sockets, through the portable engine.

use std::ffi::CString;

use netstats_event::{ClockSource, Transport};
use socket2::{Domain, Protocol, Socket, Type};

use crate::IcmpCapability;

/// An ICMP datagram socket gives the IP header, too.
pub(crate) const IS_PLAIN_ICMP: bool = false;

/// The index of a network interface by name.
#[expect(unsafe_code, reason = "if_nametoindex has no safe wrapper")]
pub(crate) fn interface_index(name: &str) -> Option<u32> {
    let name = CString::new(name).ok()?;
    // SAFETY: `name` is a NUL-terminated string that lives through the call.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    (index != 0).then_some(index)
}

/// How ICMP goes here.
pub(crate) fn icmp_capability(is_v6: bool) -> IcmpCapability {
    let (domain, protocol) = if is_v6 { (Domain::IPV6, Protocol::ICMPV6) } else { (Domain::IPV4, Protocol::ICMPV4) };
    let opened = Socket::new(domain, Type::DGRAM, Some(protocol));
    IcmpCapability {
        transport: opened.is_ok().then_some(Transport::IcmpDatagram),
        engine: "surge",
        clock: ClockSource::User,
        problem: opened.err().map(|error| format!("no ICMP socket: {error}")),
        fix: None,
    }
}

/// No engine of its own yet: the portable one serves.
pub(crate) fn icmp_transport() -> Option<std::sync::Arc<dyn crate::IcmpTransport>> {
    None
}
