//! The target policy: which addresses and ports may be probed at all. One function judges, at the save of a destination
//! or job and again before every probe, on the address that its name resolved to just then: a name can be pointed
//! elsewhere after it was saved.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use netstats_event::{BandwidthEngine, DestinationSpec, DnsTransport, JobSpec, Metric, ProbeKind, TracerouteProtocol};

use crate::command::{Rejection, RejectionKind};
use crate::model::Inventory;
use crate::slots::probes;

/// A network in CIDR notation; one address is a network of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// True if the address lies in it. IPv4 and IPv6 are apart.
    #[must_use]
    pub fn holds(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                own.to_bits() & mask == other.to_bits() & mask
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                own.to_bits() & mask == other.to_bits() & mask
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a network: expected as \"10.0.0.0/8\", \"fd00::/8\" or one address");
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let is_number = |prefix: &str| !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
        let prefix = match prefix {
            None => bits,
            Some(prefix) if is_number(prefix) => {
                prefix.parse().ok().filter(|prefix| *prefix <= bits).ok_or_else(wrong)?
            }
            Some(_) => return Err(wrong()),
        };
        let network = Self { address, prefix };
        // 10.0.0.5/8 is a slip of the pen: is one address meant, or sixteen million?
        let first = match address {
            IpAddr::V4(own) => IpAddr::V4(Ipv4Addr::from_bits(
                own.to_bits() & u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0),
            )),
            IpAddr::V6(own) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(own.to_bits() & mask))
            }
        };
        if first == address {
            Ok(network)
        } else {
            Err(format!("{text:?} names an address inside a network: write {first}/{prefix}, or {address} alone"))
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// Who may be probed. `Default` is what the product ships with on a server that only its own machine can reach.
///
/// Rules in order, the first that fits decides: `deny`, `only`, `allow`, then the built-in ones by name. Ports are
/// judged after the address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetPolicy {
    /// Allowed, though a built-in rule denies them.
    pub allow: Vec<Network>,
    /// Denied, whatever else is said.
    pub deny: Vec<Network>,
    /// Nothing but these; empty: no such limit.
    pub only: Vec<Network>,
    /// Ports that may be asked; empty: all.
    pub ports: Vec<RangeInclusive<u16>>,
    /// Ports that may not.
    pub deny_ports: Vec<RangeInclusive<u16>>,
    /// Services of this machine may be asked (tcp, http, dns, bandwidth); to ping it is always allowed.
    pub local_services: bool,
    /// Where this program itself listens: never asked over tcp or http.
    pub own: Vec<SocketAddr>,
}

impl Default for TargetPolicy {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            deny: Vec::new(),
            only: Vec::new(),
            ports: Vec::new(),
            deny_ports: Vec::new(),
            local_services: true,
            own: Vec::new(),
        }
    }
}

/// What a probe is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contact<'a> {
    /// The host as it was written: a name, or an address.
    pub host: &'a str,
    /// Which probe.
    pub probe: ProbeKind,
    /// The port whose service is asked; none where no service hears of it (ping, traces by ICMP and UDP).
    pub port: Option<u16>,
}

/// A no of the policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the target policy denies it: {says} (rule {rule})")]
pub struct TargetDenied {
    /// The rule's name: `loopback`, `link-local`, or the network of the config file as it is written there.
    pub rule: String,
    /// What the rule is about, in words.
    pub says: String,
}

/// Ports that no browser speaks HTTP to (WHATWG Fetch, "port blocking"): other protocols live there, and some take a
/// line of HTTP for theirs.
const NOT_HTTP: [u16; 82] = [
    1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109, 110,
    111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531, 532,
    540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061,
    6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
];

impl TargetPolicy {
    /// May a probe talk to `address`, to which the host of `contact` resolved?
    ///
    /// # Errors
    /// The rule that says no.
    pub fn check(&self, address: IpAddr, contact: Contact<'_>) -> Result<(), TargetDenied> {
        let address = plain(address);
        self.check_address(address, contact)?;
        contact.port.map_or(Ok(()), |port| self.check_port(address, port, contact.probe))
    }

    /// The same for a host that is an address; a name passes: it is judged when it is resolved.
    ///
    /// # Errors
    /// The rule that says no.
    pub fn check_host(&self, contact: Contact<'_>) -> Result<(), TargetDenied> {
        match literal(contact.host) {
            Some(address) => self.check(address, contact),
            None => contact.port.map_or(Ok(()), |port| self.check_ports(port, contact.probe)),
        }
    }

    fn check_address(&self, address: IpAddr, contact: Contact<'_>) -> Result<(), TargetDenied> {
        if let Some(network) = self.deny.iter().find(|network| network.holds(address)) {
            return Err(denied(network, "targets.deny holds it"));
        }
        if !self.only.is_empty() && !self.only.iter().any(|network| network.holds(address)) {
            return Err(denied("only", "it lies in none of the networks of targets.only"));
        }
        if self.allow.iter().any(|network| network.holds(address)) {
            return Ok(());
        }
        if address.is_loopback() {
            return self.check_loopback(contact);
        }
        match built_in(address, contact) {
            Some((rule, says)) => Err(denied(rule, says)),
            None => Ok(()),
        }
    }

    fn check_loopback(&self, contact: Contact<'_>) -> Result<(), TargetDenied> {
        if contact.port.is_none() {
            return Ok(());
        }
        if !self.local_services {
            return Err(denied("loopback", "services of this machine are not for those who reach it from elsewhere"));
        }
        // Somebody else's name that points here asks our services in their stead (DNS rebinding).
        let host = contact.host.trim_end_matches('.').to_ascii_lowercase();
        if literal(&host).is_some() || host == "localhost" || host.ends_with(".localhost") {
            Ok(())
        } else {
            Err(denied("loopback-by-name", "a name other than localhost points at a service of this machine"))
        }
    }

    fn check_port(&self, address: IpAddr, port: u16, probe: ProbeKind) -> Result<(), TargetDenied> {
        let is_own = |own: &SocketAddr| {
            let ip = plain(own.ip());
            own.port() == port && (ip == address || (ip.is_unspecified() && address.is_loopback()))
        };
        if matches!(probe, ProbeKind::Tcp | ProbeKind::Http | ProbeKind::Bandwidth) && self.own.iter().any(is_own) {
            return Err(denied(OWN_LISTENER, "this program itself listens there"));
        }
        self.check_ports(port, probe)
    }

    fn check_ports(&self, port: u16, probe: ProbeKind) -> Result<(), TargetDenied> {
        if let Some(range) = self.deny_ports.iter().find(|range| range.contains(&port)) {
            return Err(denied(ports(range), "targets.deny_ports holds the port"));
        }
        if !self.ports.is_empty() {
            return if self.ports.iter().any(|range| range.contains(&port)) {
                Ok(())
            } else {
                Err(denied("ports", format!("targets.ports does not hold the port {port}")))
            };
        }
        if probe == ProbeKind::Http && NOT_HTTP.contains(&port) {
            return Err(denied("not-http", format!("at port {port} other protocols than HTTP are at home")));
        }
        Ok(())
    }
}

/// The one rule that no config lifts.
const OWN_LISTENER: &str = "own-listener";

fn denied(rule: impl fmt::Display, says: impl Into<String>) -> TargetDenied {
    TargetDenied { rule: rule.to_string(), says: says.into() }
}

fn ports(range: &RangeInclusive<u16>) -> String {
    format!("{}-{}", range.start(), range.end())
}

/// An IPv4 address in IPv6 clothes is that IPv4 address: the system sends IPv4 packets to it.
fn plain(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// An address as a host may be written: with brackets, with an interface.
fn literal(host: &str) -> Option<IpAddr> {
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.split_once('%').map_or(host, |(address, _)| address).parse().ok()
}

type Rule = (&'static str, &'static str);

/// The addresses that mean something else than one machine out there.
fn built_in(address: IpAddr, contact: Contact<'_>) -> Option<Rule> {
    match address {
        IpAddr::V4(address) => built_in_v4(address),
        // What comes out at the other end of a translator or tunnel is judged too; a translator's loopback is never ours.
        IpAddr::V6(address) => built_in_v6(address, contact).or_else(|| {
            let inner = embedded(address)?;
            (inner.is_loopback() || inner.is_private() || built_in_v4(inner).is_some())
                .then_some(("embedded", "an IPv4 address that is not public is wrapped in it"))
        }),
    }
}

fn built_in_v4(address: Ipv4Addr) -> Option<Rule> {
    let [a, b, c, d] = address.octets();
    if METADATA_V4.contains(&[a, b, c, d]) {
        return Some(METADATA);
    }
    match (a, b) {
        (0, _) => Some(("this-network", "0.0.0.0/8 is no machine's address")),
        (169, 254) => Some(LINK_LOCAL),
        (224..=239, _) => Some(MULTICAST),
        (240..=255, _) if address.is_broadcast() => Some(("broadcast", "it is everybody's address")),
        (240..=255, _) => Some(("reserved", "240.0.0.0/4 is in no use")),
        _ => None,
    }
}

fn built_in_v6(address: Ipv6Addr, contact: Contact<'_>) -> Option<Rule> {
    if METADATA_V6.contains(&address.segments()) {
        return Some(METADATA);
    }
    if address.is_unspecified() {
        return Some(("this-network", ":: is no machine's address"));
    }
    if address.is_multicast() {
        return Some(MULTICAST);
    }
    // The router of an IPv6 network often has no other address. Pinged with its interface named, nothing is asked.
    let is_pinged = contact.port.is_none() && contact.host.contains('%');
    if address.is_unicast_link_local() && !is_pinged {
        return Some(LINK_LOCAL);
    }
    if address.segments()[0] & 0xffc0 == 0xfec0 {
        return Some(("site-local", "fec0::/10 is out of use (RFC 3879)"));
    }
    None
}

const LINK_LOCAL: Rule = ("link-local", "it is one on each link, and clouds keep credentials there");
const MULTICAST: Rule = ("multicast", "it is the address of a group");
const METADATA: Rule = ("metadata", "clouds hand out credentials there");

/// Where clouds answer besides 169.254.169.254: Alibaba, Azure, Oracle.
const METADATA_V4: [[u8; 4]; 4] = [[169, 254, 169, 254], [100, 100, 100, 200], [168, 63, 129, 16], [192, 0, 0, 192]];
/// AWS, Google, Scaleway.
const METADATA_V6: [[u16; 8]; 3] =
    [[0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], [0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42]];

/// The IPv4 address inside an IPv6 one: NAT64 (RFC 6052, RFC 8215), 6to4 (RFC 3056), Teredo (RFC 4380), ISATAP (RFC
/// 5214), IPv4-compatible and IPv4-translated. Mapped ones are IPv4 already.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = address.segments();
    let pair = |high: u16, low: u16| Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match s {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => pair(high, low),
        [0x64, 0xff9b, 1, _, _, _, high, low] => pair(high, low),
        [0x2002, high, low, ..] => pair(high, low),
        [0x2001, 0, .., high, low] => pair(!high, !low),
        [.., 0 | 0x200, 0x5efe, high, low] => pair(high, low),
        [0, 0, 0, 0, 0, 0, high, low] if (high, low) > (0, 1) => pair(high, low),
        _ => None,
    }
}

impl TargetDenied {
    /// As a no to a command.
    #[must_use]
    pub fn rejection(self, field: &str) -> Rejection {
        let hint = match &*self.rule {
            OWN_LISTENER => "measure another port: /api/health tells how this program itself is",
            _ => "an administrator can allow it under `targets` in the config file",
        };
        Rejection::new(RejectionKind::Denied, self.to_string()).at(field).hinting(hint)
    }
}

/// A destination may be there at all: something may probe its address.
pub(crate) fn destination(policy: &TargetPolicy, spec: &DestinationSpec) -> Result<(), Rejection> {
    let contact = Contact { host: &spec.host, probe: ProbeKind::Ping, port: None };
    policy.check_host(contact).map_err(|no| no.rejection("host"))
}

/// A job may probe all the destinations that it names in all its ways, as far as that can be told before names are
/// resolved.
pub(crate) fn job(policy: &TargetPolicy, spec: &JobSpec, state: &Inventory) -> Result<(), Rejection> {
    let hosts: Vec<(&str, Option<u16>)> = spec
        .destinations
        .iter()
        .filter_map(|id| state.destinations.get(id))
        .map(|destination| (destination.spec.host.as_str(), destination.spec.port))
        .collect();
    for probe in probes(spec) {
        for (host, port) in &hosts {
            let Some((contact, field)) = contact(spec, probe, host, *port) else { continue };
            policy.check_host(contact).map_err(|no| no.rejection(field))?;
        }
    }
    if let (Some(server), true) = (&spec.options.dns.server, spec.metrics.contains(&Metric::Dns)) {
        let (host, port) = dns_server(server);
        let contact = Contact { host, probe: ProbeKind::Dns, port: Some(port.unwrap_or(53)) };
        policy.check_host(contact).map_err(|no| no.rejection("options.dns.server"))?;
    }
    Ok(())
}

/// Whom a probe of this job asks for a destination, and the field to name in a no; none where that is not the
/// destination.
fn contact<'a>(
    spec: &JobSpec,
    probe: ProbeKind,
    host: &'a str,
    port: Option<u16>,
) -> Option<(Contact<'a>, &'static str)> {
    let options = &spec.options;
    let (port, field) = match probe {
        ProbeKind::Ping => (None, "destinations"),
        ProbeKind::Traceroute if options.traceroute.protocol == TracerouteProtocol::Tcp => {
            (Some(options.traceroute.port.or(port).unwrap_or(80)), "options.traceroute.port")
        }
        ProbeKind::Traceroute => (None, "destinations"),
        ProbeKind::Tcp => (Some(options.tcp.port.or(port)?), "options.tcp.port"),
        ProbeKind::Http => {
            let usual = if options.http.tls { 443 } else { 80 };
            (Some(options.http.port.or(port).unwrap_or(usual)), "options.http.port")
        }
        ProbeKind::Bandwidth => {
            let usual = match options.bandwidth.engine {
                BandwidthEngine::Responder => 7_123,
                BandwidthEngine::Ndt7 => 443,
                BandwidthEngine::Iperf3 => 5_201,
            };
            (Some(options.bandwidth.port.or(port).unwrap_or(usual)), "options.bandwidth.port")
        }
        ProbeKind::Dns => {
            let asks = options.dns.transport != DnsTransport::System
                && options.dns.server.is_none()
                && options.dns.name.is_some();
            let usual = match options.dns.transport {
                DnsTransport::Tls => 853,
                DnsTransport::Https => 443,
                DnsTransport::Udp | DnsTransport::Tcp | DnsTransport::System => 53,
            };
            (Some(port.filter(|_| asks).unwrap_or(usual)).filter(|_| asks), "destinations")
        }
    };
    let is_asked = port.is_some() || matches!(probe, ProbeKind::Ping | ProbeKind::Traceroute);
    is_asked.then_some((Contact { host, probe, port }, field))
}

/// Host and port of `192.0.2.53:5353`, `[2001:db8::53]:5353`, or the host alone.
fn dns_server(server: &str) -> (&str, Option<u16>) {
    match server.rsplit_once(':') {
        Some((host, port)) if host.starts_with('[') || !host.contains(':') => (host, port.parse().ok()),
        _ => (server, None),
    }
}
