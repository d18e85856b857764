//! Sample events, version 1.

use std::net::IpAddr;

use rkyv::{Archive, Deserialize, Serialize};

use super::codes::Code;
use super::common::{AddressV1, HeadV1, address, head, rtt, rtt_us};
use super::{Meaning, Wire, access};
use crate::{
    AnswerRecord, BandwidthMeasured, ClockSource, DnsFailure, DnsOutcome, Echo, Hop, HopAnswer, HttpMeasured,
    HttpOutcome, IcmpError, MplsLabel, NameResolved, PingMeasured, RouteTraced, Rtt, TcpMeasured, TcpOutcome,
    Throughput, Timestamp, TracerouteProtocol, Transport,
};

/// What became of a packet, as a number.
mod echo {
    pub(super) const REPLY: u8 = 0;
    pub(super) const LATE: u8 = 1;
    pub(super) const LOST: u8 = 2;
    pub(super) const NOT_SENT: u8 = 3;
    pub(super) const ERROR: u8 = 4;
}

/// A burst as columns: one state a packet, and for those states that have more, the next entry of its column.
#[derive(Archive, Serialize, Deserialize)]
pub(super) struct PingMeasuredV1 {
    pub(super) head: HeadV1,
    pub(super) address: AddressV1,
    pub(super) transport: u8,
    pub(super) clock: u8,
    pub(super) payload_bytes: u16,
    pub(super) spacing_ms: u32,
    pub(super) timeout_ms: u32,
    /// One for each packet: see `echo`.
    pub(super) states: Vec<u8>,
    /// For each reply and late reply, in order.
    pub(super) rtts_us: Vec<u32>,
    /// For each packet not sent, in order.
    pub(super) errnos: Vec<i32>,
    /// For each ICMP error, in order.
    pub(super) errors: Vec<IcmpErrorV1>,
    pub(super) ttl: Option<u8>,
    pub(super) duplicates: u16,
    pub(super) reordered: u16,
    pub(super) bad_replies: u16,
}

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct IcmpErrorV1 {
    pub(super) icmp_type: u8,
    pub(super) icmp_code: u8,
    pub(super) from: Option<AddressV1>,
}

impl Wire for PingMeasuredV1 {
    type Event = PingMeasured;

    fn from_event(event: &PingMeasured) -> Self {
        let mut wire = Self {
            head: HeadV1::new(&event.head),
            address: AddressV1::new(event.address),
            transport: event.transport.code(),
            clock: event.clock.code(),
            payload_bytes: event.payload_bytes,
            spacing_ms: event.spacing_ms,
            timeout_ms: event.timeout_ms,
            states: Vec::with_capacity(event.echoes.len()),
            rtts_us: Vec::with_capacity(event.echoes.len()),
            errnos: Vec::new(),
            errors: Vec::new(),
            ttl: event.ttl,
            duplicates: event.duplicates,
            reordered: event.reordered,
            bad_replies: event.bad_replies,
        };
        for echo in &event.echoes {
            wire.states.push(match *echo {
                Echo::Reply(rtt) => {
                    wire.rtts_us.push(rtt.as_micros());
                    echo::REPLY
                }
                Echo::Late(rtt) => {
                    wire.rtts_us.push(rtt.as_micros());
                    echo::LATE
                }
                Echo::Lost => echo::LOST,
                Echo::NotSent(errno) => {
                    wire.errnos.push(errno);
                    echo::NOT_SENT
                }
                Echo::Error(IcmpError { icmp_type, icmp_code, from }) => {
                    wire.errors.push(IcmpErrorV1 { icmp_type, icmp_code, from: from.map(AddressV1::new) });
                    echo::ERROR
                }
            });
        }
        wire
    }

    fn into_event(self) -> Meaning<PingMeasured> {
        unreachable!("bursts are read in place by read_ping")
    }
}

/// An ICMP error as it is kept: type, code, and the address's family and bytes.
pub(super) type ErrorParts = (u8, u8, Option<(u8, [u8; 16])>);

/// The column that holds more of a packet of this state, if one does; none if the state has no meaning.
pub(super) const fn echo_column(state: u32) -> Option<Option<usize>> {
    if state > echo::ERROR as u32 {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "compared above")]
    Some(match state as u8 {
        echo::REPLY | echo::LATE => Some(super::burst::RTTS_OF),
        echo::NOT_SENT => Some(super::burst::ERRNOS_OF),
        echo::ERROR => Some(super::burst::ERRORS_OF),
        _ => None,
    })
}

/// The packets of a burst from its columns, wherever they lie.
pub(super) fn echoes(
    states: impl ExactSizeIterator<Item = u8>,
    mut rtts_us: impl Iterator<Item = u32>,
    mut errnos: impl Iterator<Item = i32>,
    mut errors: impl Iterator<Item = ErrorParts>,
) -> Meaning<Vec<Echo>> {
    const CUT: &str = "a burst whose columns are shorter than its states";
    let mut echoes = Vec::with_capacity(states.len());
    for state in states {
        echoes.push(match state {
            echo::REPLY => Echo::Reply(Rtt::from_micros(rtts_us.next().ok_or(CUT)?)),
            echo::LATE => Echo::Late(Rtt::from_micros(rtts_us.next().ok_or(CUT)?)),
            echo::LOST => Echo::Lost,
            echo::NOT_SENT => Echo::NotSent(errnos.next().ok_or(CUT)?),
            echo::ERROR => {
                let (icmp_type, icmp_code, from) = errors.next().ok_or(CUT)?;
                let from = from.map(|(family, bytes)| address(family, bytes)).transpose()?;
                Echo::Error(IcmpError { icmp_type, icmp_code, from })
            }
            _ => return Err("an unknown Echo"),
        });
    }
    if rtts_us.next().is_some() || errnos.next().is_some() || errors.next().is_some() {
        return Err("a burst whose columns are longer than its states");
    }
    Ok(echoes)
}

/// Reads a burst from its archive without an intermediate copy.
pub(super) fn read_ping(payload: &[u8]) -> Result<PingMeasured, String> {
    let wire = access::<ArchivedPingMeasuredV1>(payload)?;
    ping(wire).map_err(str::to_owned)
}

fn ping(wire: &ArchivedPingMeasuredV1) -> Meaning<PingMeasured> {
    let from = |error: &ArchivedIcmpErrorV1| error.from.as_ref().map(|from| (from.family, from.bytes));
    let echoes = echoes(
        wire.states.iter().copied(),
        wire.rtts_us.iter().map(|us| us.to_native()),
        wire.errnos.iter().map(|errno| errno.to_native()),
        wire.errors.iter().map(|error| (error.icmp_type, error.icmp_code, from(error))),
    )?;
    let at = &wire.head;
    Ok(PingMeasured {
        head: head(
            at.job.to_native(),
            at.destination.to_native(),
            at.slot_at_ms.to_native(),
            at.lateness_us.to_native(),
            at.flags,
        ),
        address: address(wire.address.family, wire.address.bytes)?,
        transport: Transport::from_code(wire.transport)?,
        clock: ClockSource::from_code(wire.clock)?,
        payload_bytes: wire.payload_bytes.to_native(),
        spacing_ms: wire.spacing_ms.to_native(),
        timeout_ms: wire.timeout_ms.to_native(),
        echoes,
        ttl: wire.ttl.as_ref().copied(),
        duplicates: wire.duplicates.to_native(),
        reordered: wire.reordered.to_native(),
        bad_replies: wire.bad_replies.to_native(),
    })
}

/// What a hop's probe saw, as a number.
mod hop {
    pub(super) const ANSWER: u8 = 0;
    pub(super) const SILENT: u8 = 1;
    pub(super) const NOT_SENT: u8 = 2;
}

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct RouteTracedV1 {
    head: HeadV1,
    address: AddressV1,
    protocol: u8,
    clock: u8,
    hops: Vec<HopV1>,
    reached: bool,
    duration_us: u32,
}

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct HopV1 {
    ttl: u8,
    answers: Vec<HopAnswerV1>,
    mpls: Vec<MplsV1>,
    name: Option<String>,
}

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct HopAnswerV1 {
    /// See `hop`.
    state: u8,
    from: Option<AddressV1>,
    rtt_us: Option<u32>,
    icmp_type: u8,
    icmp_code: u8,
    errno: i32,
}

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct MplsV1 {
    label: u32,
    traffic_class: u8,
    is_bottom: bool,
    ttl: u8,
}

impl HopAnswerV1 {
    fn new(answer: &HopAnswer) -> Self {
        let none = Self { state: hop::SILENT, from: None, rtt_us: None, icmp_type: 0, icmp_code: 0, errno: 0 };
        match *answer {
            HopAnswer::Answer { from, rtt, icmp_type, icmp_code } => Self {
                state: hop::ANSWER,
                from: Some(AddressV1::new(from)),
                rtt_us: Some(rtt.as_micros()),
                icmp_type,
                icmp_code,
                ..none
            },
            HopAnswer::Silent => none,
            HopAnswer::NotSent(errno) => Self { state: hop::NOT_SENT, errno, ..none },
        }
    }

    fn get(&self) -> Meaning<HopAnswer> {
        match self.state {
            hop::ANSWER => Ok(HopAnswer::Answer {
                from: self.from.as_ref().ok_or("an answer from nobody")?.get()?,
                rtt: rtt(self.rtt_us).ok_or("an answer without a round trip")?,
                icmp_type: self.icmp_type,
                icmp_code: self.icmp_code,
            }),
            hop::SILENT => Ok(HopAnswer::Silent),
            hop::NOT_SENT => Ok(HopAnswer::NotSent(self.errno)),
            _ => Err("an unknown HopAnswer"),
        }
    }
}

impl Wire for RouteTracedV1 {
    type Event = RouteTraced;

    fn from_event(event: &RouteTraced) -> Self {
        let hop = |hop: &Hop| HopV1 {
            ttl: hop.ttl,
            answers: hop.answers.iter().map(HopAnswerV1::new).collect(),
            mpls: hop
                .mpls
                .iter()
                .map(|label| MplsV1 {
                    label: label.label,
                    traffic_class: label.traffic_class,
                    is_bottom: label.is_bottom,
                    ttl: label.ttl,
                })
                .collect(),
            name: hop.name.clone(),
        };
        Self {
            head: HeadV1::new(&event.head),
            address: AddressV1::new(event.address),
            protocol: event.protocol.code(),
            clock: event.clock.code(),
            hops: event.hops.iter().map(hop).collect(),
            reached: event.reached,
            duration_us: event.duration_us,
        }
    }

    fn into_event(self) -> Meaning<RouteTraced> {
        let hop = |hop: HopV1| {
            Ok(Hop {
                ttl: hop.ttl,
                answers: hop.answers.iter().map(HopAnswerV1::get).collect::<Meaning<_>>()?,
                mpls: hop
                    .mpls
                    .iter()
                    .map(|label| MplsLabel {
                        label: label.label,
                        traffic_class: label.traffic_class,
                        is_bottom: label.is_bottom,
                        ttl: label.ttl,
                    })
                    .collect(),
                name: hop.name,
            })
        };
        Ok(RouteTraced {
            head: self.head.get(),
            address: self.address.get()?,
            protocol: TracerouteProtocol::from_code(self.protocol)?,
            clock: ClockSource::from_code(self.clock)?,
            hops: self.hops.into_iter().map(hop).collect::<Meaning<_>>()?,
            reached: self.reached,
            duration_us: self.duration_us,
        })
    }
}

/// What came of a lookup, as a number.
mod dns {
    pub(super) const RESPONSE: u8 = 0;
    pub(super) const TIMEOUT: u8 = 1;
    pub(super) const REFUSED: u8 = 2;
    pub(super) const MALFORMED: u8 = 3;
    pub(super) const SECURE: u8 = 4;
    pub(super) const LOCAL: u8 = 5;
}

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct NameResolvedV1 {
    head: HeadV1,
    name: String,
    record_type: String,
    server: Option<String>,
    transport: String,
    clock: u8,
    attempts: u8,
    /// See `dns`.
    outcome: u8,
    rtt_us: Option<u32>,
    rcode: u16,
    flags: u16,
    answers: Vec<AnswerV1>,
    errno: i32,
    is_expected: bool,
}

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct AnswerV1 {
    record_type: String,
    data: String,
    ttl_s: u32,
}

impl Wire for NameResolvedV1 {
    type Event = NameResolved;

    fn from_event(event: &NameResolved) -> Self {
        let mut wire = Self {
            head: HeadV1::new(&event.head),
            name: event.name.clone(),
            record_type: event.record_type.clone(),
            server: event.server.clone(),
            transport: event.transport.clone(),
            clock: event.clock.code(),
            attempts: event.attempts,
            outcome: dns::RESPONSE,
            rtt_us: None,
            rcode: 0,
            flags: 0,
            answers: Vec::new(),
            errno: 0,
            is_expected: event.is_expected,
        };
        match &event.outcome {
            DnsOutcome::Response { rtt, rcode, flags, answers } => {
                wire.rtt_us = Some(rtt.as_micros());
                (wire.rcode, wire.flags) = (*rcode, *flags);
                wire.answers = answers
                    .iter()
                    .map(|answer| AnswerV1 {
                        record_type: answer.record_type.clone(),
                        data: answer.data.clone(),
                        ttl_s: answer.ttl_s,
                    })
                    .collect();
            }
            DnsOutcome::Failure(failure) => {
                wire.outcome = match *failure {
                    DnsFailure::Timeout => dns::TIMEOUT,
                    DnsFailure::Refused => dns::REFUSED,
                    DnsFailure::Malformed => dns::MALFORMED,
                    DnsFailure::Secure => dns::SECURE,
                    DnsFailure::Local(errno) => {
                        wire.errno = errno;
                        dns::LOCAL
                    }
                };
            }
        }
        wire
    }

    fn into_event(self) -> Meaning<NameResolved> {
        let outcome = match self.outcome {
            dns::RESPONSE => DnsOutcome::Response {
                rtt: rtt(self.rtt_us).ok_or("a response without a round trip")?,
                rcode: self.rcode,
                flags: self.flags,
                answers: self
                    .answers
                    .into_iter()
                    .map(|AnswerV1 { record_type, data, ttl_s }| AnswerRecord { record_type, data, ttl_s })
                    .collect(),
            },
            dns::TIMEOUT => DnsOutcome::Failure(DnsFailure::Timeout),
            dns::REFUSED => DnsOutcome::Failure(DnsFailure::Refused),
            dns::MALFORMED => DnsOutcome::Failure(DnsFailure::Malformed),
            dns::SECURE => DnsOutcome::Failure(DnsFailure::Secure),
            dns::LOCAL => DnsOutcome::Failure(DnsFailure::Local(self.errno)),
            _ => return Err("an unknown DnsOutcome"),
        };
        Ok(NameResolved {
            head: self.head.get(),
            name: self.name,
            record_type: self.record_type,
            server: self.server,
            transport: self.transport,
            clock: ClockSource::from_code(self.clock)?,
            attempts: self.attempts,
            outcome,
            is_expected: self.is_expected,
        })
    }
}

/// What came of a connection attempt, as a number.
mod tcp {
    pub(super) const CONNECTED: u8 = 0;
    pub(super) const REFUSED: u8 = 1;
    pub(super) const TIMEOUT: u8 = 2;
    pub(super) const UNREACHABLE: u8 = 3;
    pub(super) const LOCAL: u8 = 4;
}

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct TcpMeasuredV1 {
    head: HeadV1,
    address: AddressV1,
    port: u16,
    /// See `tcp`.
    outcome: u8,
    rtt_us: Option<u32>,
    errno: i32,
}

impl Wire for TcpMeasuredV1 {
    type Event = TcpMeasured;

    fn from_event(event: &TcpMeasured) -> Self {
        let (outcome, rtt_us, errno) = match event.outcome {
            TcpOutcome::Connected(rtt) => (tcp::CONNECTED, Some(rtt.as_micros()), 0),
            TcpOutcome::Refused(rtt) => (tcp::REFUSED, Some(rtt.as_micros()), 0),
            TcpOutcome::Timeout => (tcp::TIMEOUT, None, 0),
            TcpOutcome::Unreachable(errno) => (tcp::UNREACHABLE, None, errno),
            TcpOutcome::Local(errno) => (tcp::LOCAL, None, errno),
        };
        let address = AddressV1::new(event.address);
        Self { head: HeadV1::new(&event.head), address, port: event.port, outcome, rtt_us, errno }
    }

    fn into_event(self) -> Meaning<TcpMeasured> {
        const NO_RTT: &str = "a connection without a round trip";
        let outcome = match self.outcome {
            tcp::CONNECTED => TcpOutcome::Connected(rtt(self.rtt_us).ok_or(NO_RTT)?),
            tcp::REFUSED => TcpOutcome::Refused(rtt(self.rtt_us).ok_or(NO_RTT)?),
            tcp::TIMEOUT => TcpOutcome::Timeout,
            tcp::UNREACHABLE => TcpOutcome::Unreachable(self.errno),
            tcp::LOCAL => TcpOutcome::Local(self.errno),
            _ => return Err("an unknown TcpOutcome"),
        };
        Ok(TcpMeasured { head: self.head.get(), address: self.address.get()?, port: self.port, outcome })
    }
}

/// What came of a request, as a number.
mod http {
    pub(super) const EXPECTED: u8 = 0;
    pub(super) const UNEXPECTED_STATUS: u8 = 1;
    pub(super) const UNEXPECTED_BODY: u8 = 2;
    pub(super) const NAME_NOT_RESOLVED: u8 = 3;
    pub(super) const REFUSED: u8 = 4;
    pub(super) const TIMEOUT: u8 = 5;
    pub(super) const UNREACHABLE: u8 = 6;
    pub(super) const TLS: u8 = 7;
    pub(super) const PROTOCOL: u8 = 8;
    pub(super) const LOCAL: u8 = 9;
}

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct HttpMeasuredV1 {
    head: HeadV1,
    url: String,
    address: Option<AddressV1>,
    dns_us: Option<u32>,
    connect_us: Option<u32>,
    tls_us: Option<u32>,
    first_byte_us: Option<u32>,
    total_us: Option<u32>,
    certificate_expires_ns: Option<i64>,
    redirects: u8,
    body_bytes: u32,
    /// See `http`.
    outcome: u8,
    status: u16,
    errno: i32,
    detail: String,
}

impl Wire for HttpMeasuredV1 {
    type Event = HttpMeasured;

    fn from_event(event: &HttpMeasured) -> Self {
        let (outcome, status, errno, detail) = match &event.outcome {
            HttpOutcome::Expected(status) => (http::EXPECTED, *status, 0, ""),
            HttpOutcome::UnexpectedStatus(status) => (http::UNEXPECTED_STATUS, *status, 0, ""),
            HttpOutcome::UnexpectedBody(status) => (http::UNEXPECTED_BODY, *status, 0, ""),
            HttpOutcome::NameNotResolved(detail) => (http::NAME_NOT_RESOLVED, 0, 0, detail.as_str()),
            HttpOutcome::Refused => (http::REFUSED, 0, 0, ""),
            HttpOutcome::Timeout(phase) => (http::TIMEOUT, 0, 0, phase.as_str()),
            HttpOutcome::Unreachable(errno) => (http::UNREACHABLE, 0, *errno, ""),
            HttpOutcome::Tls(detail) => (http::TLS, 0, 0, detail.as_str()),
            HttpOutcome::Protocol(detail) => (http::PROTOCOL, 0, 0, detail.as_str()),
            HttpOutcome::Local(detail) => (http::LOCAL, 0, 0, detail.as_str()),
        };
        Self {
            head: HeadV1::new(&event.head),
            url: event.url.clone(),
            address: event.address.map(AddressV1::new),
            dns_us: rtt_us(event.dns),
            connect_us: rtt_us(event.connect),
            tls_us: rtt_us(event.tls),
            first_byte_us: rtt_us(event.first_byte),
            total_us: rtt_us(event.total),
            certificate_expires_ns: event.certificate_expires.map(Timestamp::as_nanos),
            redirects: event.redirects,
            body_bytes: event.body_bytes,
            outcome,
            status,
            errno,
            detail: detail.to_owned(),
        }
    }

    fn into_event(self) -> Meaning<HttpMeasured> {
        let outcome = match self.outcome {
            http::EXPECTED => HttpOutcome::Expected(self.status),
            http::UNEXPECTED_STATUS => HttpOutcome::UnexpectedStatus(self.status),
            http::UNEXPECTED_BODY => HttpOutcome::UnexpectedBody(self.status),
            http::NAME_NOT_RESOLVED => HttpOutcome::NameNotResolved(self.detail),
            http::REFUSED => HttpOutcome::Refused,
            http::TIMEOUT => HttpOutcome::Timeout(self.detail),
            http::UNREACHABLE => HttpOutcome::Unreachable(self.errno),
            http::TLS => HttpOutcome::Tls(self.detail),
            http::PROTOCOL => HttpOutcome::Protocol(self.detail),
            http::LOCAL => HttpOutcome::Local(self.detail),
            _ => return Err("an unknown HttpOutcome"),
        };
        let address: Option<IpAddr> = self.address.map(|address| address.get()).transpose()?;
        Ok(HttpMeasured {
            head: self.head.get(),
            url: self.url,
            address,
            dns: rtt(self.dns_us),
            connect: rtt(self.connect_us),
            tls: rtt(self.tls_us),
            first_byte: rtt(self.first_byte_us),
            total: rtt(self.total_us),
            certificate_expires: self.certificate_expires_ns.map(Timestamp::from_nanos),
            redirects: self.redirects,
            body_bytes: self.body_bytes,
            outcome,
        })
    }
}

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct BandwidthMeasuredV1 {
    head: HeadV1,
    address: AddressV1,
    engine: String,
    down: Option<ThroughputV1>,
    up: Option<ThroughputV1>,
    idle_rtt_us: Option<u32>,
    loaded_rtt_p95_us: Option<u32>,
    is_cpu_bound: bool,
    cpu_permille: u16,
    failure: Option<String>,
}

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct ThroughputV1 {
    bytes_per_100ms: Vec<u32>,
    skipped: u16,
    retransmits: Option<u32>,
}

impl ThroughputV1 {
    fn new(throughput: &Throughput) -> Self {
        let Throughput { bytes_per_100ms, skipped, retransmits } = throughput.clone();
        Self { bytes_per_100ms, skipped, retransmits }
    }

    fn get(self) -> Throughput {
        let Self { bytes_per_100ms, skipped, retransmits } = self;
        Throughput { bytes_per_100ms, skipped, retransmits }
    }
}

impl Wire for BandwidthMeasuredV1 {
    type Event = BandwidthMeasured;

    fn from_event(event: &BandwidthMeasured) -> Self {
        Self {
            head: HeadV1::new(&event.head),
            address: AddressV1::new(event.address),
            engine: event.engine.clone(),
            down: event.down.as_ref().map(ThroughputV1::new),
            up: event.up.as_ref().map(ThroughputV1::new),
            idle_rtt_us: rtt_us(event.idle_rtt),
            loaded_rtt_p95_us: rtt_us(event.loaded_rtt_p95),
            is_cpu_bound: event.is_cpu_bound,
            cpu_permille: event.cpu_permille,
            failure: event.failure.clone(),
        }
    }

    fn into_event(self) -> Meaning<BandwidthMeasured> {
        Ok(BandwidthMeasured {
            head: self.head.get(),
            address: self.address.get()?,
            engine: self.engine,
            down: self.down.map(ThroughputV1::get),
            up: self.up.map(ThroughputV1::get),
            idle_rtt: rtt(self.idle_rtt_us),
            loaded_rtt_p95: rtt(self.loaded_rtt_p95_us),
            is_cpu_bound: self.is_cpu_bound,
            cpu_permille: self.cpu_permille,
            failure: self.failure,
        })
    }
}
