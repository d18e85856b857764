//! What this machine lets us do, and the command that lets us do more.

use netstats_event::{ClockSource, Transport};

use crate::platform;

/// What probes can do here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// ICMP over IPv4.
    pub icmp_v4: IcmpCapability,
    /// ICMP over IPv6.
    pub icmp_v6: IcmpCapability,
}

/// How ICMP can be sent, or why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IcmpCapability {
    /// The way; none if there is none.
    pub transport: Option<Transport>,
    /// The engine: `linux`, `surge`, `windows`.
    pub engine: &'static str,
    /// The best clock that engine has here.
    pub clock: ClockSource,
    /// Why there is no way, or what is wrong with the engine right now.
    pub problem: Option<String>,
    /// The exact command that mends it.
    pub fix: Option<String>,
}

/// Looks at what the system allows, by trying.
#[must_use]
pub fn capabilities() -> Capabilities {
    Capabilities { icmp_v4: platform::icmp_capability(false), icmp_v6: platform::icmp_capability(true) }
}
