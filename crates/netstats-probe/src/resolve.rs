//! Names to addresses: once per run, then pinned. Nobody gets an address here without saying what for, and the guard
//! has its say on each: no probe talks to an address that did not pass.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::rr::RecordType;
use hickory_resolver::system_conf::read_system_conf;
use netstats_event::{AddressFamily, AnswerRecord, DnsFailure, FailReason, ProbeKind};
use tokio::sync::OnceCell;

use crate::TransportError;
use crate::dns::answer_records;
use crate::limits::{MAX_ADDRESSES, RESOLVE_TIMEOUT};

/// What a host resolved to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The address to measure.
    pub address: IpAddr,
    /// The interface of a link-local IPv6 address; 0: none.
    pub scope_id: u32,
    /// All addresses of the name, sorted; empty if the host was an address.
    pub answers: Vec<IpAddr>,
}

/// What the system's configuration says.
#[derive(Debug)]
struct System {
    resolver: TokioResolver,
    first_server: Option<IpAddr>,
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

/// Says whether an address may be probed; else why not.
pub type Guard = Arc<dyn Fn(IpAddr, Contact<'_>) -> Result<(), String> + Send + Sync>;

/// Resolves names through the system's servers and hosts file, without a cache of its own.
pub struct Resolver {
    system: OnceCell<Result<System, String>>,
    guard: Option<Guard>,
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").field("is_guarded", &self.guard.is_some()).finish_non_exhaustive()
    }
}

impl Resolver {
    /// The system's resolver; its configuration is read at the first name.
    #[must_use]
    pub fn system() -> Self {
        Self { system: OnceCell::new(), guard: None }
    }

    /// One that asks that server alone, without a hosts file.
    #[must_use]
    pub fn asking(server: SocketAddr) -> Self {
        let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
        connections.iter_mut().for_each(|connection| connection.port = server.port());
        let server = NameServerConfig::new(server.ip(), true, connections);
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
        let mut options = ResolverOpts::default();
        options.use_hosts_file = ResolveHosts::Never;
        Self { system: OnceCell::new_with(Some(build(config, options))), guard: None }
    }

    /// With that guard in front of every address.
    #[must_use]
    pub fn guarded(self, guard: Option<Guard>) -> Self {
        Self { guard, ..self }
    }

    /// The address of a contact's host, passed by the guard. An address is taken as it is, with its zone
    /// (`fe80::1%eth0`).
    ///
    /// # Errors
    /// The name does not resolve, or has no address of that family; the guard denies it.
    pub async fn resolve(&self, contact: Contact<'_>, family: AddressFamily) -> Result<Resolved, TransportError> {
        let resolved = self.look_up(contact.host, family).await?;
        if let Some(guard) = &self.guard {
            let Contact { host, .. } = contact;
            guard(resolved.address, contact).map_err(|why| {
                let at = if resolved.answers.is_empty() { String::new() } else { format!(" ({})", resolved.address) };
                fault(FailReason::Denied, format!("{host}{at} is not probed: {why}"))
            })?;
        }
        Ok(resolved)
    }

    async fn look_up(&self, host: &str, family: AddressFamily) -> Result<Resolved, TransportError> {
        if let Some((address, scope_id)) = literal(host)? {
            if !fits(address, family) {
                return Err(fault(FailReason::BadOptions, format!("{host} is not an address of the family asked for")));
            }
            return Ok(Resolved { address, scope_id, answers: Vec::new() });
        }
        let resolver = &self.opened().await?.resolver;
        let lookup = tokio::time::timeout(RESOLVE_TIMEOUT, resolver.lookup_ip(host)).await;
        let lookup = match lookup {
            Ok(Ok(lookup)) => lookup,
            Ok(Err(error)) => {
                return Err(fault(FailReason::NameNotResolved, format!("{host} does not resolve: {error}")));
            }
            Err(_) => {
                let detail = format!("{host} does not resolve: no answer within {} s", RESOLVE_TIMEOUT.as_secs());
                return Err(fault(FailReason::NameNotResolved, detail));
            }
        };
        let in_order: Vec<IpAddr> = lookup.iter().take(MAX_ADDRESSES).collect();
        let Some(address) = in_order.iter().copied().find(|address| fits(*address, family)) else {
            let wanted = match family {
                AddressFamily::Any => "address",
                AddressFamily::V4 => "IPv4 address",
                AddressFamily::V6 => "IPv6 address",
            };
            return Err(fault(FailReason::NameNotResolved, format!("{host} has no {wanted}")));
        };
        let mut answers = in_order;
        answers.sort_unstable();
        answers.dedup();
        Ok(Resolved { address, scope_id: 0, answers })
    }

    async fn opened(&self) -> Result<&System, TransportError> {
        let system = self.system.get_or_init(|| async { open() }).await;
        system.as_ref().map_err(|why| fault(FailReason::NameNotResolved, why.clone()))
    }

    /// The first server of the system's configuration.
    pub(crate) async fn first_server(&self) -> Result<IpAddr, TransportError> {
        let first = self.opened().await?.first_server;
        first.ok_or_else(|| fault(FailReason::BadOptions, "the system names no DNS server: set `options.dns.server`"))
    }

    /// A name's records by the system's resolver, with the response code.
    pub(crate) async fn records(&self, name: &str, kind: &str) -> Result<(u16, Vec<AnswerRecord>), DnsFailure> {
        let resolver = &self.opened().await.map_err(|_| DnsFailure::Local(0))?.resolver;
        let record_type: RecordType = kind.parse().map_err(|_| DnsFailure::Malformed)?;
        // A last dot: the name is whole, no search list is tried.
        let name = format!("{}.", name.trim_end_matches('.'));
        match resolver.lookup(name, record_type).await {
            Ok(lookup) => Ok((0, answer_records(lookup.answers()))),
            Err(NetError::Dns(DnsError::NoRecordsFound(none))) => Ok((none.response_code.into(), Vec::new())),
            Err(NetError::Dns(DnsError::ResponseCode(code))) => Ok((code.into(), Vec::new())),
            Err(NetError::Timeout) => Err(DnsFailure::Timeout),
            Err(NetError::Io(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                Err(DnsFailure::Refused)
            }
            Err(NetError::Io(error)) => Err(DnsFailure::Local(error.raw_os_error().unwrap_or(0))),
            Err(NetError::Proto(_)) => Err(DnsFailure::Malformed),
            Err(_) => Err(DnsFailure::Timeout),
        }
    }

    /// The name of an address, by reverse lookup; none if it has none or the system cannot say.
    pub(crate) async fn name_of(&self, address: IpAddr) -> Option<String> {
        let lookup = self.opened().await.ok()?.resolver.reverse_lookup(address).await.ok()?;
        let name = answer_records(lookup.answers()).into_iter().find(|record| record.record_type == "PTR")?;
        Some(name.data.trim_end_matches('.').to_ascii_lowercase())
    }
}

fn fault(reason: FailReason, detail: impl Into<String>) -> TransportError {
    TransportError { reason, detail: detail.into() }
}

fn open() -> Result<System, String> {
    let (config, options) =
        read_system_conf().map_err(|error| format!("the system's resolver configuration cannot be read: {error}"))?;
    build(config, options)
}

fn build(config: ResolverConfig, mut options: ResolverOpts) -> Result<System, String> {
    // A fresh answer for each run: the schedule is the cache, and a change of answer must be seen.
    options.cache_size = 0;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    let first_server = config.name_servers().first().map(|server| server.ip);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    *builder.options_mut() = options;
    let resolver = builder.build().map_err(|error| format!("the resolver cannot be built: {error}"))?;
    Ok(System { resolver, first_server })
}

fn fits(address: IpAddr, family: AddressFamily) -> bool {
    match family {
        AddressFamily::Any => true,
        AddressFamily::V4 => address.is_ipv4(),
        AddressFamily::V6 => address.is_ipv6(),
    }
}

/// An address with its zone; none if the host is a name.
fn literal(host: &str) -> Result<Option<(IpAddr, u32)>, TransportError> {
    let (text, zone) = host.split_once('%').map_or((host, None), |(text, zone)| (text, Some(zone)));
    let text = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let Ok(address) = text.parse::<IpAddr>() else { return Ok(None) };
    match zone {
        None => Ok(Some((address, 0))),
        Some(zone) => match crate::platform::interface_index(zone) {
            Some(index) => Ok(Some((address, index))),
            None => Err(fault(FailReason::NoRoute, format!("{host}: this machine has no interface {zone}"))),
        },
    }
}
