//! Traces without privileges: UDP and TCP sockets that are told of ICMP errors (`IP_RECVERR`, ip(7)).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use netstats_event::{ClockSource, FailReason, HopAnswer, IcmpError, MplsLabel, SampleFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::JoinSet;

use super::socket::{Notice, Outgoing, ProbeSocket};
use super::tcp;
use crate::TransportError;
use crate::clock::{self, now, wall_ns};
use crate::flight::Flight;
use crate::icmp::is_delay_felt;
use crate::limits::REACHED_MARGIN;
use crate::traceroute::{TraceAsk, TraceResult};
use crate::wire::icmp::mpls_labels;

/// Bytes of a UDP probe.
const PAYLOAD_BYTES: usize = 32;
const BATCH: usize = 32;
/// As an answer's ICMP type: TCP answered.
const TCP_ANSWERED: u8 = 255;

/// A trace by UDP with constant ports.
pub(crate) async fn trace_udp(ask: &TraceAsk) -> Result<TraceResult, TransportError> {
    let mut trace = UdpTrace::open(ask).map_err(|error| failed(&error))?;
    trace.run(ask).await.map_err(|error| failed(&error))?;
    Ok(trace.result(ask))
}

fn failed(error: &io::Error) -> TransportError {
    let reason = match error.raw_os_error() {
        Some(libc::ENETUNREACH | libc::EHOSTUNREACH | libc::EADDRNOTAVAIL) => FailReason::NoRoute,
        _ => FailReason::Socket,
    };
    TransportError { reason, detail: format!("the trace cannot be sent: {error}") }
}

struct UdpTrace {
    socket: AsyncFd<ProbeSocket>,
    key: [u8; 8],
    flight: Flight,
    mpls: Vec<(u16, Vec<MplsLabel>)>,
    first_sent: Option<Instant>,
    latest: Duration,
    /// The smallest time to live with which the target was reached, and when to stop waiting for the rest.
    reached: Option<(u8, Instant)>,
    sent: u32,
}

impl UdpTrace {
    fn open(ask: &TraceAsk) -> io::Result<Self> {
        let socket = ProbeSocket::udp(ask.target.is_ipv6(), BATCH)?;
        let any: SocketAddr =
            if ask.target.is_ipv6() { (Ipv6Addr::UNSPECIFIED, 0).into() } else { (Ipv4Addr::UNSPECIFIED, 0).into() };
        socket.socket().bind(&any.into())?;
        let mut key = [0; 8];
        getrandom::fill(&mut key).map_err(io::Error::other)?;
        Ok(Self {
            socket: socket.into_async()?,
            key,
            flight: Flight::new(u16::try_from(ask.ttls.len()).unwrap_or(u16::MAX)),
            mpls: Vec::new(),
            first_sent: None,
            latest: Duration::ZERO,
            reached: None,
            sent: 0,
        })
    }

    async fn run(&mut self, ask: &TraceAsk) -> io::Result<()> {
        let begin = now();
        let mut next: u16 = 0;
        let end = |next: u16| begin + ask.spacing * u32::from(next.saturating_sub(1)) + ask.timeout;
        loop {
            let is_beyond = |at: u16| match (ask.ttls.get(usize::from(at)), self.reached) {
                (Some(ttl), Some((reached, _))) => *ttl > reached,
                (ttl, _) => ttl.is_none(),
            };
            let wake = if is_beyond(next) {
                let end = end(next);
                self.reached.map_or(end, |(_, until)| until.min(end))
            } else {
                begin + ask.spacing * u32::from(next)
            };
            if wake <= now() {
                if is_beyond(next) {
                    return Ok(());
                }
                self.latest = self.latest.max(now() - wake);
                self.send(ask, next);
                next += 1;
                continue;
            }
            if let Ok(ready) =
                tokio::time::timeout_at(wake.into(), self.socket.ready_mut(Interest::READABLE | Interest::ERROR)).await
            {
                ready?.clear_ready();
                self.take(ask)?;
            }
            if self.flight.is_settled() {
                return Ok(());
            }
        }
    }

    fn send(&mut self, ask: &TraceAsk, index: u16) {
        let mut payload = [0; PAYLOAD_BYTES];
        payload[..8].copy_from_slice(&self.key);
        payload[8..10].copy_from_slice(&index.to_be_bytes());
        let out = Outgoing {
            address: ask.target.ip(),
            port: ask.target.port(),
            scope_id: if let SocketAddr::V6(v6) = ask.target { v6.scope_id() } else { 0 },
            ttl: ask.ttls.get(usize::from(index)).copied(),
            dscp: None,
            source: None,
            interface: 0,
            start: 0,
            end: PAYLOAD_BYTES,
        };
        let socket = self.socket.get_mut();
        socket.clear_error();
        self.flight.sent(index, wall_ns());
        match socket.send(&payload, &[out]) {
            Ok(_) => {
                self.first_sent.get_or_insert_with(now);
                self.sent += 1;
            }
            Err(error) => self.flight.not_sent(index, error.raw_os_error().unwrap_or(0)),
        }
    }

    fn take(&mut self, ask: &TraceAsk) -> io::Result<()> {
        let Self { socket, key, flight, mpls, reached, .. } = self;
        let target = ask.target.ip();
        let mut at_target = |flight: &Flight, ttl: u8| {
            let span = Duration::from_nanos(flight.longest().and_then(|ns| ns.try_into().ok()).unwrap_or(0));
            let before = reached.map_or(u8::MAX, |(ttl, _)| ttl);
            if ttl < before {
                *reached = Some((ttl, now() + span + REACHED_MARGIN));
            }
        };
        let socket = socket.get_mut();
        // A target that answers by UDP is not asked by a trace's probe: there is nothing to match its answer with.
        socket.receive(|_| {})?;
        socket.notices(|notice| match notice {
            // Every packet is sent alone, so the nth one is the nth that was taken.
            Notice::Sent { number, stamp } => flight.stamped(u16::try_from(number).unwrap_or(u16::MAX), stamp),
            Notice::Error { icmp_type, icmp_code, from: Some(from), packet, extensions, stamp, .. } => {
                let Some(index) = index_of(packet, key) else { return };
                let (at, is_kernel) = stamp.map_or_else(|| (wall_ns(), false), |stamp| (stamp, true));
                flight.errored(index, IcmpError { icmp_type, icmp_code, from: Some(from) }, at, is_kernel);
                let labels = extensions.and_then(|at| packet.get(usize::from(at)..)).map(mpls_labels);
                if let Some(labels) = labels.filter(|labels| !labels.is_empty()) {
                    mpls.push((index, labels));
                }
                if from == target {
                    at_target(flight, ask.ttls[usize::from(index)]);
                }
            }
            Notice::Error { .. } => {}
        })
    }

    fn result(self, ask: &TraceAsk) -> TraceResult {
        let timeout_ns = i64::try_from(ask.timeout.as_nanos()).unwrap_or(i64::MAX);
        let (_, clock, is_suspect) = self.flight.echoes(timeout_ns, libc::ECANCELED);
        TraceResult {
            answers: self.flight.hops(ask.target.ip()),
            mpls: self.mpls,
            clock,
            first_sent: self.first_sent,
            flags: SampleFlags {
                self_delayed: is_delay_felt(self.latest, self.flight.shortest()),
                clock_suspect: is_suspect,
                ..SampleFlags::default()
            },
        }
    }
}

/// Which packet a quoted payload is, if it is ours.
fn index_of(quoted: &[u8], key: &[u8; 8]) -> Option<u16> {
    let index = quoted.strip_prefix(key)?.first_chunk()?;
    Some(u16::from_be_bytes(*index))
}

/// A trace by TCP connections. The kernel gives each its own source port, so that the flow is not constant: a path
/// that balances by port may show pieces of several.
pub(crate) async fn trace_tcp(ask: &TraceAsk) -> Result<TraceResult, TransportError> {
    let begin = now();
    let (mut tasks, mut answers) = (JoinSet::new(), vec![HopAnswer::Silent; ask.ttls.len()]);
    let (mut reached, mut until): (Option<u8>, Option<Instant>) = (None, None);
    let ask = Arc::new(ask.clone());
    let mut next = 0_u32;
    loop {
        let ttl = ask.ttls.get(next as usize).copied().filter(|ttl| reached.is_none_or(|reached| *ttl <= reached));
        let wake = match ttl {
            Some(_) => begin + ask.spacing * next,
            None if tasks.is_empty() => break,
            None => until.unwrap_or(begin + ask.spacing * next + ask.timeout * 2),
        };
        tokio::select! {
            Some(done) = tasks.join_next() => {
                let Ok((index, answer)) = done else { continue };
                let index: usize = index;
                answers[index] = answer;
                if let HopAnswer::Answer { from, rtt, .. } = answer && from == ask.target.ip() {
                    let ttl = ask.ttls[index];
                    reached = Some(reached.map_or(ttl, |known: u8| known.min(ttl)));
                    until.get_or_insert(now() + Duration::from_micros(rtt.as_micros().into()) + REACHED_MARGIN);
                }
            }
            () = tokio::time::sleep_until(wake.into()) => match ttl {
                Some(ttl) => {
                    let (ask, index) = (Arc::clone(&ask), next as usize);
                    tasks.spawn(async move { (index, knock(&ask, ttl).await) });
                    next += 1;
                }
                None => break,
            },
        }
    }
    let (clock, flags) = (ClockSource::User, SampleFlags::default());
    Ok(TraceResult { answers, mpls: Vec::new(), clock, first_sent: Some(begin), flags })
}

/// One connection attempt with that time to live.
async fn knock(ask: &TraceAsk, ttl: u8) -> HopAnswer {
    let not_sent = |error: &io::Error| HopAnswer::NotSent(error.raw_os_error().unwrap_or(0));
    let mut socket = match ProbeSocket::tcp(ask.target.is_ipv6(), ttl).and_then(ProbeSocket::into_async) {
        Ok(socket) => socket,
        Err(error) => return not_sent(&error),
    };
    let began = now();
    let answered = |from: IpAddr, icmp_type: u8, icmp_code: u8| HopAnswer::Answer {
        from,
        rtt: clock::since(began),
        icmp_type,
        icmp_code,
    };
    match socket.get_ref().socket().connect(&ask.target.into()) {
        Ok(()) => return answered(ask.target.ip(), TCP_ANSWERED, 0),
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            return answered(ask.target.ip(), TCP_ANSWERED, 0);
        }
        Err(error) => return not_sent(&error),
    }
    let wait = async {
        loop {
            let Ok(mut ready) = socket.ready_mut(Interest::WRITABLE | Interest::ERROR).await else { return None };
            let inner = ready.get_inner_mut();
            let mut told = None;
            let _ = inner.notices(|notice| {
                if let Notice::Error { icmp_type, icmp_code, from: Some(from), .. } = notice {
                    told = Some((from, icmp_type, icmp_code));
                }
            });
            if let Some((from, icmp_type, icmp_code)) = told {
                return Some(answered(from, icmp_type, icmp_code));
            }
            match inner.socket().take_error() {
                Ok(Some(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    return Some(answered(ask.target.ip(), TCP_ANSWERED, 0));
                }
                Ok(Some(_)) | Err(_) => return None,
                Ok(None) if inner.socket().peer_addr().is_ok() => {
                    let HopAnswer::Answer { from, rtt, icmp_type, icmp_code } =
                        answered(ask.target.ip(), TCP_ANSWERED, 0)
                    else {
                        return None;
                    };
                    let rtt = tcp::handshake_rtt(inner).filter(|exact| *exact <= rtt).unwrap_or(rtt);
                    return Some(HopAnswer::Answer { from, rtt, icmp_type, icmp_code });
                }
                Ok(None) => ready.clear_ready(),
            }
        }
    };
    tokio::time::timeout(ask.timeout, wait).await.ok().flatten().unwrap_or(HopAnswer::Silent)
}
