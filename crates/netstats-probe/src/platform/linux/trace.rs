//! Traces without privileges: UDP and TCP sockets that are told of ICMP errors (`IP_RECVERR`, ip(7)).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use netstats_event::{ClockSource, FailReason, HopAnswer, IcmpError, MplsLabel, SampleFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
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
    let mut reached: Option<u8> = None;
    // When attempts give up at last: each looks at its socket once more then, so that what has come is not missed.
    let (end, ended) = watch::channel(begin + ask.spacing * count(ask) + ask.timeout);
    let ask = Arc::new(ask.clone());
    let mut next = 0_u32;
    loop {
        let ttl = ask.ttls.get(next as usize).copied().filter(|ttl| reached.is_none_or(|reached| *ttl <= reached));
        if ttl.is_none() && tasks.is_empty() {
            break;
        }
        let wake = begin + ask.spacing * next;
        tokio::select! {
            Some(done) = tasks.join_next() => {
                let Ok((index, answer)) = done else { continue };
                let index: usize = index;
                answers[index] = answer;
                if let HopAnswer::Answer { from, rtt, .. } = answer && from == ask.target.ip() {
                    let ttl = ask.ttls[index];
                    if reached.is_none() {
                        let until = now() + Duration::from_micros(rtt.as_micros().into()) + REACHED_MARGIN;
                        end.send_modify(|end| *end = until.min(*end));
                    }
                    reached = Some(reached.map_or(ttl, |known: u8| known.min(ttl)));
                }
            }
            () = tokio::time::sleep_until(wake.into()), if ttl.is_some() => {
                if let Some(ttl) = ttl {
                    let (ask, index, ended) = (Arc::clone(&ask), next as usize, ended.clone());
                    tasks.spawn(async move { (index, knock(&ask, ttl, ended).await) });
                    next += 1;
                }
            }
        }
    }
    let (clock, flags) = (ClockSource::User, SampleFlags::default());
    Ok(TraceResult { answers, mpls: Vec::new(), clock, first_sent: Some(begin), flags })
}

fn count(ask: &TraceAsk) -> u32 {
    u32::try_from(ask.ttls.len()).unwrap_or(u32::MAX)
}

/// One connection attempt with that time to live, until its timeout or the end of them all.
async fn knock(ask: &TraceAsk, ttl: u8, mut ended: watch::Receiver<Instant>) -> HopAnswer {
    let not_sent = |error: &io::Error| HopAnswer::NotSent(error.raw_os_error().unwrap_or(0));
    let mut socket = match ProbeSocket::tcp(ask.target.is_ipv6(), ttl).and_then(ProbeSocket::into_async) {
        Ok(socket) => socket,
        Err(error) => return not_sent(&error),
    };
    let began = now();
    match socket.get_ref().socket().connect(&ask.target.into()) {
        Ok(()) => return answered(began, ask.target.ip(), TCP_ANSWERED, 0),
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            return answered(began, ask.target.ip(), TCP_ANSWERED, 0);
        }
        Err(error) => return not_sent(&error),
    }
    let over = async {
        loop {
            let until = (*ended.borrow_and_update()).min(began + ask.timeout);
            tokio::select! {
                () = tokio::time::sleep_until(until.into()) => return,
                // The trace itself is gone: so is who asks.
                changed = ended.changed() => if changed.is_err() { return },
            }
        }
    };
    let wait = async {
        loop {
            let Ok(mut ready) = socket.ready_mut(Interest::WRITABLE | Interest::ERROR).await else { return None };
            match look(ready.get_inner_mut(), ask, began) {
                Look::Found(answer) => return Some(answer),
                Look::Failed => return None,
                Look::Nothing => ready.clear_ready(),
            }
        }
    };
    let found = tokio::select! {
        found = wait => found,
        () = over => match look(socket.get_mut(), ask, began) {
            Look::Found(answer) => Some(answer),
            Look::Failed | Look::Nothing => None,
        },
    };
    found.unwrap_or(HopAnswer::Silent)
}

/// What an attempt's socket tells.
enum Look {
    Found(HopAnswer),
    /// The system gave up for a reason that names nobody.
    Failed,
    Nothing,
}

fn look(socket: &mut ProbeSocket, ask: &TraceAsk, began: Instant) -> Look {
    let mut told = None;
    let _ = socket.notices(|notice| {
        if let Notice::Error { icmp_type, icmp_code, from: Some(from), .. } = notice {
            told = Some((from, icmp_type, icmp_code));
        }
    });
    if let Some((from, icmp_type, icmp_code)) = told {
        return Look::Found(answered(began, from, icmp_type, icmp_code));
    }
    match socket.socket().take_error() {
        Ok(Some(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Look::Found(answered(began, ask.target.ip(), TCP_ANSWERED, 0))
        }
        Ok(Some(_)) | Err(_) => Look::Failed,
        Ok(None) if socket.socket().peer_addr().is_ok() => {
            let rtt = clock::since(began);
            let rtt = tcp::handshake_rtt(socket).filter(|exact| *exact <= rtt).unwrap_or(rtt);
            Look::Found(HopAnswer::Answer { from: ask.target.ip(), rtt, icmp_type: TCP_ANSWERED, icmp_code: 0 })
        }
        Ok(None) => Look::Nothing,
    }
}

fn answered(began: Instant, from: IpAddr, icmp_type: u8, icmp_code: u8) -> HopAnswer {
    HopAnswer::Answer { from, rtt: clock::since(began), icmp_type, icmp_code }
}
