//! Sample events: what one probe saw. Each holds everything it measured; nothing is averaged away.

use std::net::IpAddr;

use crate::{DestinationId, JobId, Rtt, Timestamp, TracerouteProtocol};

/// What every sample and every skipped slot has in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleHead {
    /// The job.
    pub job: JobId,
    /// The destination.
    pub destination: DestinationId,
    /// When the slot was planned, in whole milliseconds.
    pub slot_at: Timestamp,
    /// How much later than planned the first packet left, by the monotonic clock, in microseconds: our own delay.
    pub lateness_us: u32,
    /// What makes the sample less than certain.
    pub flags: SampleFlags,
}

impl SampleHead {
    /// When the measurement began.
    #[must_use]
    pub fn started_at(&self) -> Timestamp {
        self.slot_at.plus(std::time::Duration::from_micros(u64::from(self.lateness_us)))
    }
}

/// What makes a sample less than certain. A flagged sample is kept and shown, and left out of loss and averages where
/// the flag says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SampleFlags {
    /// We were late by more than 1 ms and more than 10 % of the round trip while measuring.
    pub self_delayed: bool,
    /// Our own bandwidth test ran at the same time.
    pub under_own_load: bool,
    /// A clock was stepped inside the measurement: its times are not averaged.
    pub clock_suspect: bool,
    /// Our own network was down: the outcome says nothing about the destination (status `unknown`, never loss).
    pub uplink_down: bool,
}

/// Where time stamps came from, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClockSource {
    /// Kernel stamps of sending and receipt.
    Kernel,
    /// Kernel stamp of receipt, our clock before the send call.
    KernelReceive,
    /// Our clock on both ends.
    User,
}

/// Which way ICMP travelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    /// Unprivileged datagram socket.
    IcmpDatagram,
    /// Raw socket.
    IcmpRaw,
    /// The Windows ICMP helper (`IcmpSendEcho2Ex`).
    IcmpHelper,
    /// UDP probes.
    Udp,
    /// TCP probes.
    Tcp,
}

/// What became of one packet of a burst. Lost is a variant: never a 0, never the timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Echo {
    /// Answered in time.
    Reply(Rtt),
    /// Answered, but after the timeout. Counted apart from lost.
    Late(Rtt),
    /// No answer.
    Lost,
    /// It never left this machine (the system's error number): says nothing about the network.
    NotSent(i32),
    /// A router or the destination answered with an ICMP error.
    Error(IcmpError),
}

impl Echo {
    /// The round trip of an answer that came in time.
    #[must_use]
    pub const fn rtt(&self) -> Option<Rtt> {
        match self {
            Self::Reply(rtt) => Some(*rtt),
            _ => None,
        }
    }

    /// True if the packet left this machine.
    #[must_use]
    pub const fn is_sent(&self) -> bool {
        !matches!(self, Self::NotSent(_))
    }
}

/// An ICMP error message (RFC 792, RFC 4443).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpError {
    /// ICMP type.
    pub icmp_type: u8,
    /// ICMP code.
    pub icmp_code: u8,
    /// Who sent it, where the system tells.
    pub from: Option<IpAddr>,
}

/// A burst of ICMP echoes was measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PingMeasured {
    /// Job, destination, slot.
    pub head: SampleHead,
    /// The address that was measured (resolved once for the burst).
    pub address: IpAddr,
    /// How the packets travelled.
    pub transport: Transport,
    /// Where the time stamps came from.
    pub clock: ClockSource,
    /// ICMP payload bytes.
    pub payload_bytes: u16,
    /// Planned distance between packets, in milliseconds.
    pub spacing_ms: u32,
    /// Per-packet timeout, in milliseconds.
    pub timeout_ms: u32,
    /// One entry for each planned packet, in order of sending.
    pub echoes: Vec<Echo>,
    /// Time to live (hop limit) of the last reply, where the system tells.
    pub ttl: Option<u8>,
    /// Replies that repeated an answered packet.
    pub duplicates: u16,
    /// Replies that came after the reply to a later packet (RFC 4737).
    pub reordered: u16,
    /// Packets that looked like ours and were not: wrong nonce, bad checksum, damaged payload, other source.
    pub bad_replies: u16,
}

/// A route was traced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteTraced {
    /// Job, destination, slot.
    pub head: SampleHead,
    /// The address that was traced.
    pub address: IpAddr,
    /// What was sent.
    pub protocol: TracerouteProtocol,
    /// Where the time stamps came from.
    pub clock: ClockSource,
    /// Hops by time to live, from 1, without gaps; a silent hop has answers without an address.
    pub hops: Vec<Hop>,
    /// True if the destination itself answered.
    pub reached: bool,
    /// How long the whole trace took, in microseconds.
    pub duration_us: u32,
}

/// One hop of a route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hop {
    /// Time to live.
    pub ttl: u8,
    /// One entry for each probe.
    pub answers: Vec<HopAnswer>,
    /// MPLS labels of the first answer that carried them (RFC 4950).
    pub mpls: Vec<MplsLabel>,
    /// Reverse name of the first address, as known then.
    pub name: Option<String>,
}

/// What one probe of a hop saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HopAnswer {
    /// Somebody answered.
    Answer {
        /// Who.
        from: IpAddr,
        /// After how long.
        rtt: Rtt,
        /// ICMP type (0 or 129: echo reply, 11 or 3: time exceeded, ...). 255: TCP answered.
        icmp_type: u8,
        /// ICMP code.
        icmp_code: u8,
    },
    /// Nobody answered this probe. At a hop on the way this is no loss.
    Silent,
    /// It never left this machine.
    NotSent(i32),
}

/// One MPLS label stack entry (RFC 3032).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MplsLabel {
    /// Label, 20 bits.
    pub label: u32,
    /// Traffic class, 3 bits.
    pub traffic_class: u8,
    /// Bottom of stack.
    pub is_bottom: bool,
    /// Time to live.
    pub ttl: u8,
}

/// A name was looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameResolved {
    /// Job, destination, slot.
    pub head: SampleHead,
    /// The name asked for.
    pub name: String,
    /// The record type asked for, by name.
    pub record_type: String,
    /// The server asked; none for the system's resolver.
    pub server: Option<String>,
    /// How the query travelled: `udp`, `tcp`, `tls`, `https`, `system`.
    pub transport: String,
    /// Where the time stamps came from.
    pub clock: ClockSource,
    /// Queries sent until the answer (1 without a retry).
    pub attempts: u8,
    /// What came back.
    pub outcome: DnsOutcome,
    /// The outcome is what the job expects (an expected NXDOMAIN is a success, a wrong answer is not).
    pub is_expected: bool,
}

/// What came of a DNS query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DnsOutcome {
    /// A matching response.
    Response {
        /// From sending the query to the matching response.
        rtt: Rtt,
        /// Response code by number (RFC 1035, RFC 6895).
        rcode: u16,
        /// Header flags as on the wire: AA 0x0400, TC 0x0200, RD 0x0100, RA 0x0080, AD 0x0020, CD 0x0010.
        flags: u16,
        /// Answer records, in the order of the response.
        answers: Vec<AnswerRecord>,
    },
    /// No matching response.
    Failure(DnsFailure),
}

/// One record of an answer section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerRecord {
    /// Type by name.
    pub record_type: String,
    /// Data in presentation form.
    pub data: String,
    /// Time to live in seconds.
    pub ttl_s: u32,
}

/// Why a DNS query got no matching response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DnsFailure {
    /// Nothing came in time.
    Timeout,
    /// The server's port or address refused.
    Refused,
    /// What came could not be parsed.
    Malformed,
    /// The TLS or HTTPS layer failed.
    Secure,
    /// Our own system failed before the query left (its error number).
    Local(i32),
}

/// A TCP connection was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpMeasured {
    /// Job, destination, slot.
    pub head: SampleHead,
    /// The address tried.
    pub address: IpAddr,
    /// The port tried.
    pub port: u16,
    /// What came of it.
    pub outcome: TcpOutcome,
}

/// What came of a TCP connection attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpOutcome {
    /// Connected, SYN to SYN-ACK.
    Connected(Rtt),
    /// Refused by RST, after this long.
    Refused(Rtt),
    /// No answer in time.
    Timeout,
    /// Unreachable: a router said so (the system's error number).
    Unreachable(i32),
    /// Our own system failed (its error number).
    Local(i32),
}

/// An HTTP request was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpMeasured {
    /// Job, destination, slot.
    pub head: SampleHead,
    /// The URL asked for.
    pub url: String,
    /// The address connected to.
    pub address: Option<IpAddr>,
    /// Name lookup.
    pub dns: Option<Rtt>,
    /// TCP connection.
    pub connect: Option<Rtt>,
    /// TLS handshake.
    pub tls: Option<Rtt>,
    /// From the request's last byte to the response's first.
    pub first_byte: Option<Rtt>,
    /// The whole, from the first step to the last byte read.
    pub total: Option<Rtt>,
    /// When the server's certificate ends.
    pub certificate_expires: Option<Timestamp>,
    /// Redirects followed.
    pub redirects: u8,
    /// Body bytes read.
    pub body_bytes: u32,
    /// What came of it.
    pub outcome: HttpOutcome,
}

/// What came of an HTTP request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpOutcome {
    /// A response, as expected.
    Expected(u16),
    /// A response with a status the job does not expect.
    UnexpectedStatus(u16),
    /// A response without the text the job expects.
    UnexpectedBody(u16),
    /// The name did not resolve.
    NameNotResolved(String),
    /// The port refused.
    Refused,
    /// No answer in time, in this phase: `dns`, `connect`, `tls`, `first_byte`, `body`.
    Timeout(String),
    /// A router said unreachable.
    Unreachable(i32),
    /// TLS failed: expired, wrong name, unknown issuer, protocol.
    Tls(String),
    /// The response was not HTTP, or broke off.
    Protocol(String),
    /// Our own system failed.
    Local(String),
}

/// Throughput was measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BandwidthMeasured {
    /// Job, destination, slot.
    pub head: SampleHead,
    /// The other end.
    pub address: IpAddr,
    /// `responder`, `ndt7`, `iperf3`.
    pub engine: String,
    /// From the destination to us.
    pub down: Option<Throughput>,
    /// From us to the destination.
    pub up: Option<Throughput>,
    /// Smallest round trip before the load.
    pub idle_rtt: Option<Rtt>,
    /// 95th percentile of round trips under load.
    pub loaded_rtt_p95: Option<Rtt>,
    /// Our CPU was busy: the figures are "at least".
    pub is_cpu_bound: bool,
    /// Our CPU share while measuring, in thousandths of the machine.
    pub cpu_permille: u16,
    /// Why there is less than was asked for, if so.
    pub failure: Option<String>,
}

/// Goodput one way, as the receiver saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Throughput {
    /// Payload bytes received for each 100 ms, start-up included.
    pub bytes_per_100ms: Vec<u32>,
    /// How many of them at the start are left out of the result.
    pub skipped: u16,
    /// Segments sent again, where the system tells.
    pub retransmits: Option<u32>,
}
