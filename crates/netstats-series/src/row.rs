//! The flat row: one for each slot, destination and metric. All its numbers come from the raw event.

use std::net::IpAddr;

use netstats_event::{DestinationId, Envelope, JobId, Metric, Position, SampleFlags, Timestamp};

/// How a slot ended, in the words of the doors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RowStatus {
    /// Everything came back as expected.
    Success,
    /// Some of the packets came back, or less than was asked for.
    Partial,
    /// Nothing came in time.
    Timeout,
    /// A router or our system said that there is no way.
    Unreachable,
    /// The destination refused.
    Refused,
    /// It went wrong: on our side, or the answer is not what the job expects.
    Error,
    /// Our own network was down: nothing was learnt.
    Unknown,
}

impl RowStatus {
    /// The name at every door.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Partial => "partial",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::Error => "error",
            Self::Unknown => "unknown",
        }
    }
}

/// One row. What is not defined is `None`, never 0: a lost packet has no round trip.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The slot.
    pub at: Timestamp,
    /// Where the event is.
    pub position: Position,
    /// The job.
    pub job: JobId,
    /// The destination.
    pub destination: DestinationId,
    /// The metric.
    pub metric: Metric,
    /// How the slot ended.
    pub status: RowStatus,
    /// What makes the sample less than certain.
    pub flags: SampleFlags,
    /// Ping, packet loss, jitter: median of the round trips that came back in time. Traceroute: median of the last
    /// hop, if reached. Others: the response time.
    pub rtt_ms: Option<f64>,
    /// Smallest round trip.
    pub min_ms: Option<f64>,
    /// Mean round trip.
    pub mean_ms: Option<f64>,
    /// Largest round trip.
    pub max_ms: Option<f64>,
    /// Sample standard deviation (n - 1) of the round trips; from two on.
    pub stddev_ms: Option<f64>,
    /// 95th percentile (type 7) of the round trips; from 20 on.
    pub p95_ms: Option<f64>,
    /// Mean |IPDV| (RFC 3393 on round trips): over neighbours that both came back.
    pub jitter_ms: Option<f64>,
    /// Lost share, 0 to 1: (sent - received) / sent.
    pub loss_ratio: Option<f64>,
    /// Packets that left this machine.
    pub sent: Option<u32>,
    /// Packets that were answered, in time or late.
    pub received: Option<u32>,
    /// The address that was measured.
    pub address: Option<IpAddr>,
    /// What went wrong, in words.
    pub error: Option<String>,
    /// The metric's own columns.
    pub detail: RowDetail,
}

/// The columns that only one kind of probe has.
#[derive(Clone, Debug, PartialEq)]
pub enum RowDetail {
    /// None: the slot has no sample.
    None,
    /// Ping, packet loss, jitter.
    Ping {
        /// Answered after the timeout: received, but without a round trip.
        late: u32,
        /// Never left this machine.
        not_sent: u32,
        /// Replies that repeated an answered packet.
        duplicates: u32,
        /// Replies that overtook another.
        reordered: u32,
        /// The longest run of packets lost in a row.
        longest_loss_run: u32,
        /// Time to live of the last reply.
        ttl: Option<u8>,
    },
    /// Traceroute.
    Traceroute {
        /// Hops up to the destination, or up to the last that answered.
        hop_count: u32,
        /// The same for the same responding hops: silent ones do not count. Hexadecimal at the doors.
        path_hash: u64,
        /// The destination itself answered.
        reached: bool,
    },
    /// DNS.
    Dns {
        /// The name asked for.
        name: String,
        /// The type asked for.
        record_type: String,
        /// Response code by number.
        rcode: Option<u16>,
        /// Answer records in presentation form.
        answers: Vec<String>,
        /// Queries sent.
        attempts: u32,
        /// The server asked; none for the system's resolver.
        server: Option<String>,
    },
    /// Bandwidth.
    Bandwidth {
        /// Goodput from the destination, in Mbit/s (10^6).
        down_mbps: Option<f64>,
        /// Goodput to the destination, in Mbit/s (10^6).
        up_mbps: Option<f64>,
        /// Smallest round trip before the load.
        idle_rtt_ms: Option<f64>,
        /// 95th percentile of round trips under load.
        loaded_rtt_ms: Option<f64>,
        /// Our processor was the limit: the figures are "at least".
        is_cpu_bound: bool,
    },
    /// TCP.
    Tcp {
        /// The port tried.
        port: u16,
    },
    /// HTTP.
    Http {
        /// Status code.
        status_code: Option<u16>,
        /// Name lookup.
        dns_ms: Option<f64>,
        /// TCP connection.
        connect_ms: Option<f64>,
        /// TLS handshake.
        tls_ms: Option<f64>,
        /// From the request's end to the response's beginning.
        first_byte_ms: Option<f64>,
        /// When the server's certificate ends.
        certificate_expires: Option<Timestamp>,
    },
}

/// Where a page of rows ended: the next page goes on after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor {
    /// The last row's slot.
    pub at: Timestamp,
    /// The last row's position.
    pub position: Position,
}

/// The rows of one event: one for each of `metrics` that its probe measures; none for an event that is not the outcome
/// of a slot.
#[must_use]
pub fn rows_of(_envelope: &Envelope, _metrics: &[Metric]) -> Vec<Row> {
    Vec::new()
}
