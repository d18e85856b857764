//! Traceroute: who answers on the way, with every time to live in flight together and the flow held constant (Paris
//! traceroute, Augustin et al. 2006), so that load balancers show one path and not pieces of several.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use netstats_event::{
    ClockSource, FailReason, Hop, HopAnswer, MplsLabel, ProbeKind, RouteTraced, SampleFlags, TracerouteOptions,
    TracerouteProtocol,
};

use crate::limits::{MAX_KEPT_NAMES, MAX_PACKETS, NAMES_WITHIN};
use crate::{
    BoxFuture, Burst, BurstResult, IcmpTransport, Outcome, Probe, Report, Request, Resolved, Resolver, TransportError,
    clock, platform,
};

/// From one packet to the next, in order of time to live: a path of few hops has answered before many packets too far
/// have left.
const SPACING: Duration = Duration::from_millis(4);
/// Where UDP probes go, unless the job says otherwise: the first port of the traditional range.
const UDP_PORT: u16 = 33_434;
const TCP_PORT: u16 = 80;

/// Traces routes.
pub struct TracerouteProbe {
    icmp: Arc<dyn IcmpTransport>,
    resolver: Arc<Resolver>,
    names: Mutex<BTreeMap<IpAddr, Option<String>>>,
}

/// A trace by UDP or TCP.
#[derive(Clone, Debug)]
pub(crate) struct TraceAsk {
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "traces by UDP and TCP are Linux's alone"))]
    pub(crate) target: SocketAddr,
    /// The time to live of each packet, in order of sending.
    pub(crate) ttls: Vec<u8>,
    pub(crate) spacing: Duration,
    pub(crate) timeout: Duration,
}

/// What a trace saw, packet by packet.
#[derive(Clone, Debug)]
pub(crate) struct TraceResult {
    pub(crate) answers: Vec<HopAnswer>,
    pub(crate) mpls: Vec<(u16, Vec<MplsLabel>)>,
    pub(crate) clock: ClockSource,
    pub(crate) first_sent: Option<Instant>,
    pub(crate) flags: SampleFlags,
}

impl From<BurstResult> for TraceResult {
    fn from(result: BurstResult) -> Self {
        let BurstResult { hops: answers, mpls, clock, first_sent, flags, .. } = result;
        Self { answers, mpls, clock, first_sent, flags }
    }
}

impl TracerouteProbe {
    /// ICMP through that engine, names by that resolver.
    #[must_use]
    pub fn new(icmp: Arc<dyn IcmpTransport>, resolver: Arc<Resolver>) -> Self {
        Self { icmp, resolver, names: Mutex::default() }
    }

    async fn measure(&self, request: &Request) -> Result<Report, TransportError> {
        let options = &request.options.traceroute;
        // Packets of ICMP and UDP come to no service; a SYN does.
        let is_tcp = options.protocol == TracerouteProtocol::Tcp;
        let port = is_tcp.then(|| options.port.or(request.port).unwrap_or(TCP_PORT));
        let resolved = self.resolver.resolve(request.contact(ProbeKind::Traceroute, port), options.family).await?;
        let (mut hops, reached, traced, protocol, duration) = match self.trace(options, request.port, &resolved).await {
            Ok((result, protocol)) => {
                let duration = result.first_sent.map_or(Duration::ZERO, |first| clock::now().duration_since(first));
                let (hops, reached) = hops(&ttls(options)?, &result, resolved.address);
                (hops, reached, result, protocol, duration)
            }
            Err(error) => return Ok(Report { answers: resolved.answers, ..Report::from(error) }),
        };
        if options.reverse_names {
            self.name(&mut hops).await;
        }
        let sample = RouteTraced {
            head: Outcome::BLANK,
            address: resolved.address,
            protocol,
            clock: traced.clock,
            hops,
            reached,
            duration_us: u32::try_from(duration.as_micros()).unwrap_or(u32::MAX),
        };
        Ok(Report {
            outcome: Outcome::Traceroute(sample),
            first_sent: traced.first_sent,
            flags: traced.flags,
            answers: resolved.answers,
        })
    }

    async fn trace(
        &self,
        options: &TracerouteOptions,
        port: Option<u16>,
        resolved: &Resolved,
    ) -> Result<(TraceResult, TracerouteProtocol), TransportError> {
        let ask = |port| {
            Ok::<_, TransportError>(TraceAsk {
                target: crate::connect::socket_address(resolved, port),
                ttls: ttls(options)?,
                spacing: SPACING,
                timeout: Duration::from_millis(options.timeout_ms.into()),
            })
        };
        let udp = ask(options.port.unwrap_or(UDP_PORT))?;
        Ok(match options.protocol {
            TracerouteProtocol::Icmp => (self.by_icmp(&udp, resolved).await?, TracerouteProtocol::Icmp),
            TracerouteProtocol::Udp => (platform::trace_udp(&udp).await?, TracerouteProtocol::Udp),
            TracerouteProtocol::Tcp => {
                let tcp = ask(options.port.or(port).unwrap_or(TCP_PORT))?;
                (platform::trace_tcp(&tcp).await?, TracerouteProtocol::Tcp)
            }
            TracerouteProtocol::Auto => match self.by_icmp(&udp, resolved).await {
                Ok(result) => (result, TracerouteProtocol::Icmp),
                Err(error) if matches!(error.reason, FailReason::NotPermitted | FailReason::BadOptions) => {
                    (platform::trace_udp(&udp).await?, TracerouteProtocol::Udp)
                }
                Err(error) => return Err(error),
            },
        })
    }

    async fn by_icmp(&self, ask: &TraceAsk, resolved: &Resolved) -> Result<TraceResult, TransportError> {
        let burst = Burst {
            packets: u16::try_from(ask.ttls.len()).unwrap_or(u16::MAX),
            ttls: ask.ttls.clone(),
            spacing: ask.spacing,
            timeout: ask.timeout,
            linger: Duration::ZERO,
            scope_id: resolved.scope_id,
            ..Burst::to(resolved.address)
        };
        Ok(self.icmp.burst(burst).await?.into())
    }

    /// Looks up what the hops are called; kept, for a trace that runs every minute must not ask every minute.
    async fn name(&self, hops: &mut [Hop]) {
        let known = |address: &IpAddr| self.kept().get(address).cloned();
        let first = |hop: &Hop| addresses(hop).into_iter().next();
        let unknown: BTreeSet<IpAddr> = hops.iter().filter_map(first).filter(|from| known(from).is_none()).collect();
        let mut lookups = tokio::task::JoinSet::new();
        for address in unknown {
            let resolver = Arc::clone(&self.resolver);
            lookups.spawn(async move { (address, resolver.name_of(address).await) });
        }
        let _ = tokio::time::timeout(NAMES_WITHIN, async {
            while let Some(Ok((address, name))) = lookups.join_next().await {
                let mut kept = self.kept();
                if kept.len() >= MAX_KEPT_NAMES {
                    kept.clear();
                }
                kept.insert(address, name);
            }
        })
        .await;
        for hop in hops {
            hop.name = first(hop).and_then(|from| known(&from)).flatten();
        }
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, BTreeMap<IpAddr, Option<String>>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Probe for TracerouteProbe {
    fn kind(&self) -> ProbeKind {
        ProbeKind::Traceroute
    }

    fn run<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Report> {
        Box::pin(async { self.measure(request).await.unwrap_or_else(Report::from) })
    }
}

/// The time to live of each packet.
fn ttls(options: &TracerouteOptions) -> Result<Vec<u8>, TransportError> {
    let ttls: Vec<u8> = (1..=options.max_hops).flat_map(|ttl| (0..options.probes_per_hop).map(move |_| ttl)).collect();
    if ttls.is_empty() || ttls.len() > usize::from(MAX_PACKETS) {
        let detail = format!("a trace of {} packets; 1 to {MAX_PACKETS} are allowed", ttls.len());
        return Err(TransportError { reason: FailReason::BadOptions, detail });
    }
    Ok(ttls)
}

/// Answers packet by packet become hops, up to the target; without it, up to the last hop that answered.
fn hops(ttls: &[u8], result: &TraceResult, target: IpAddr) -> (Vec<Hop>, bool) {
    let mut hops: Vec<Hop> = Vec::new();
    for (index, (ttl, answer)) in ttls.iter().zip(&result.answers).enumerate() {
        if hops.last().is_none_or(|hop| hop.ttl != *ttl) {
            hops.push(Hop { ttl: *ttl, ..Hop::default() });
        }
        let Some(hop) = hops.last_mut() else { continue };
        hop.answers.push(*answer);
        if hop.mpls.is_empty()
            && let Some((_, labels)) = result.mpls.iter().find(|(at, _)| usize::from(*at) == index)
        {
            hop.mpls.clone_from(labels);
        }
    }
    // A router that says "unreachable" is the end of the way, though not the target.
    let is_end = |hop: &Hop| addresses(hop).contains(&target) || hop.answers.iter().any(is_unreachable);
    let end = hops.iter().position(is_end);
    let reached = end.is_some_and(|at| addresses(&hops[at]).contains(&target));
    let kept = end.or_else(|| hops.iter().rposition(|hop| !addresses(hop).is_empty())).map_or(0, |last| last + 1);
    hops.truncate(kept);
    (hops, reached)
}

/// Destination unreachable (RFC 792, RFC 4443).
const fn is_unreachable(answer: &HopAnswer) -> bool {
    match answer {
        HopAnswer::Answer { from: IpAddr::V4(_), icmp_type, .. } => *icmp_type == 3,
        HopAnswer::Answer { from: IpAddr::V6(_), icmp_type, .. } => *icmp_type == 1,
        HopAnswer::Silent | HopAnswer::NotSent(_) => false,
    }
}

/// Who answered at a hop, in order.
fn addresses(hop: &Hop) -> Vec<IpAddr> {
    let from = |answer: &HopAnswer| match answer {
        HopAnswer::Answer { from, .. } => Some(*from),
        HopAnswer::Silent | HopAnswer::NotSent(_) => None,
    };
    hop.answers.iter().filter_map(from).collect()
}

#[cfg(test)]
mod tests {
    use netstats_event::Rtt;

    use super::*;

    fn answer(last: u8) -> HopAnswer {
        HopAnswer::Answer { from: [192, 0, 2, last].into(), rtt: Rtt::from_micros(9), icmp_type: 11, icmp_code: 0 }
    }

    fn traced(answers: Vec<HopAnswer>) -> (Vec<Hop>, bool) {
        let ttls: Vec<u8> = (0..answers.len()).map(|at| u8::try_from(at / 2 + 1).unwrap()).collect();
        let labels = vec![MplsLabel { label: 7, traffic_class: 0, is_bottom: true, ttl: 1 }];
        let (clock, flags) = (ClockSource::Kernel, SampleFlags::default());
        let result = TraceResult { answers, mpls: vec![(3, labels)], clock, first_sent: None, flags };
        hops(&ttls, &result, [192, 0, 2, 9].into())
    }

    #[test]
    fn a_route_ends_at_the_target() {
        let silent = HopAnswer::Silent;
        let (hops, reached) = traced(vec![answer(1), silent, silent, answer(2), silent, answer(9), answer(9), silent]);
        assert!(reached);
        assert_eq!(hops.iter().map(|hop| hop.ttl).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!((hops[1].mpls.len(), hops[0].mpls.len()), (1, 0));
        assert_eq!(hops[2].answers, [silent, answer(9)]);
    }

    #[test]
    fn a_route_without_end_stops_at_the_last_that_answered() {
        let silent = HopAnswer::Silent;
        let (hops, reached) = traced(vec![silent, silent, answer(1), answer(1), silent, silent, silent, silent]);
        assert!(!reached);
        assert_eq!(hops.len(), 2, "the first hop is silent, not missing");
        assert_eq!(traced(vec![silent; 8]), (Vec::new(), false));
    }

    #[test]
    fn a_router_that_says_unreachable_ends_the_route() {
        let from = IpAddr::from([192, 0, 2, 2]);
        let no_way = HopAnswer::Answer { from, rtt: Rtt::from_micros(9), icmp_type: 3, icmp_code: 1 };
        let (hops, reached) = traced(vec![answer(1), answer(1), no_way, no_way, no_way, no_way]);
        assert_eq!((hops.len(), reached), (2, false));
    }

    #[test]
    fn more_packets_than_a_burst_holds_are_refused() {
        let options = TracerouteOptions { max_hops: 64, probes_per_hop: 16, ..TracerouteOptions::default() };
        assert_eq!(ttls(&options).unwrap_err().reason, FailReason::BadOptions);
        assert_eq!(ttls(&TracerouteOptions::default()).unwrap().len(), 90);
    }
}
