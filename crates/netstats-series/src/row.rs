//! The flat row: one for each slot, destination and metric. All its numbers come from the raw event.

use std::net::IpAddr;

use netstats_event::{
    BandwidthMeasured, DestinationId, DnsFailure, DnsOutcome, Echo, Envelope, Event, FailReason, HopAnswer,
    HttpMeasured, HttpOutcome, JobId, Kind, Metric, NameResolved, PingMeasured, Position, RouteTraced, Rtt,
    SampleFlags, SampleSummary, TcpOutcome, Throughput, Timestamp,
};
use netstats_stats::{Loss, LossPattern, mean_abs_ipdv, summarise};

use crate::outcome::{self, Counts};

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
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Success, Self::Partial, Self::Timeout, Self::Unreachable, Self::Refused, Self::Error, Self::Unknown];

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
    /// How much later than planned the first packet left; none once retention has summarised the sample.
    pub lateness_ms: Option<f64>,
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

impl Row {
    /// Where a page that ends with this row's event ended.
    #[must_use]
    pub const fn cursor(&self) -> Cursor {
        Cursor { at: self.at, position: self.position }
    }
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
        /// What the load added: the one less the other.
        added_rtt_ms: Option<f64>,
        /// Our processor was the limit: the figures are "at least".
        is_cpu_bound: bool,
        /// Segments sent again on the way from the destination, where the sender's system tells.
        down_retransmits: Option<u32>,
        /// Segments sent again on the way to the destination, where this system tells.
        up_retransmits: Option<u32>,
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

/// The rows of one event: one for each of `metrics` that its probe measures (all of them, if `metrics` is empty), in
/// that order; none for an event that is not the outcome of a slot.
#[must_use]
pub fn rows_of(envelope: &Envelope, metrics: &[Metric]) -> Vec<Row> {
    let Some(probe) = envelope.event.probe() else { return Vec::new() };
    let metrics = if metrics.is_empty() { &Metric::ALL[..] } else { metrics };
    let mut metrics = metrics.iter().copied().filter(|metric| metric.probe() == probe);
    let Some(row) = metrics.next().and_then(|first| row_of(envelope, first)) else { return Vec::new() };
    let mut rows = Vec::with_capacity(1);
    rows.push(row);
    for metric in metrics {
        rows.push(Row { metric, ..rows[0].clone() });
    }
    rows
}

fn row_of(envelope: &Envelope, metric: Metric) -> Option<Row> {
    let head = envelope.event.head()?;
    let mut row = Row {
        at: head.slot_at,
        position: envelope.position,
        job: head.job,
        destination: head.destination,
        metric,
        status: RowStatus::Error,
        flags: head.flags,
        lateness_ms: Some(millis(head.lateness_us)),
        rtt_ms: None,
        min_ms: None,
        mean_ms: None,
        max_ms: None,
        stddev_ms: None,
        p95_ms: None,
        jitter_ms: None,
        loss_ratio: None,
        sent: None,
        received: None,
        address: None,
        error: None,
        detail: RowDetail::None,
    };
    match &envelope.event {
        Event::PingMeasured(ping) => of_ping(&mut row, ping),
        Event::RouteTraced(route) => of_route(&mut row, route),
        Event::NameResolved(lookup) => of_lookup(&mut row, lookup),
        Event::BandwidthMeasured(run) => of_bandwidth(&mut row, run),
        Event::TcpMeasured(connection) => {
            let (status, _, time) = outcome::tcp(&connection.outcome);
            (row.status, row.rtt_ms) = (status, time.map(millis));
            row.address = Some(connection.address);
            row.detail = RowDetail::Tcp { port: connection.port };
            row.error = match connection.outcome {
                TcpOutcome::Connected(_) => None,
                TcpOutcome::Refused(rtt) => Some(format!("port {} refused after {rtt}", connection.port)),
                TcpOutcome::Timeout => Some(format!("port {} did not answer in time", connection.port)),
                TcpOutcome::Unreachable(code) => Some(format!("unreachable (system error {code})")),
                TcpOutcome::Local(code) => Some(format!("failed on this machine (system error {code})")),
            };
        }
        Event::HttpMeasured(request) => of_http(&mut row, request),
        Event::Summarised(left) => of_summary(&mut row, left)?,
        Event::SlotFailed(failed) => {
            row.error = Some(format!("{}: {}", reason_name(failed.reason), failed.detail));
        }
        _ => return None,
    }
    if head.flags.uplink_down {
        row.status = RowStatus::Unknown;
        row.error.get_or_insert_with(|| "our own network was down".to_owned());
    }
    Some(row)
}

fn millis(micros: u32) -> f64 {
    Rtt::from_micros(micros).as_millis_f64()
}

/// A figure of microseconds in milliseconds, to the nanosecond: the decimal that is meant (0.142), not what is left of
/// it after sums in binary (0.14200000000000002).
pub(crate) fn round_millis(micros: f64) -> f64 {
    (micros * 1_000.0).round() / 1_000_000.0
}

/// Puts what a set of round trips says into a row.
fn summed(row: &mut Row, micros: impl Iterator<Item = u32>) {
    let mut times = Vec::with_capacity(micros.size_hint().1.unwrap_or(0));
    times.extend(micros.map(f64::from));
    let Some(summary) = summarise(&times) else { return };
    row.rtt_ms = Some(round_millis(summary.median));
    row.min_ms = Some(round_millis(summary.min));
    row.mean_ms = Some(round_millis(summary.mean));
    row.max_ms = Some(round_millis(summary.max));
    row.stddev_ms = summary.stddev.map(round_millis);
    row.p95_ms = summary.p95.ok().map(round_millis);
}

fn of_ping(row: &mut Row, ping: &PingMeasured) {
    let counts = Counts::of(ping, |_, _| {});
    summed(row, ping.echoes.iter().filter_map(Echo::rtt).map(Rtt::as_micros));
    row.status = counts.status(&ping.head);
    let micros = ping.echoes.iter().map(|echo| echo.rtt().map(|rtt| f64::from(rtt.as_micros())));
    row.jitter_ms = mean_abs_ipdv(micros).map(round_millis);
    let loss = Loss { sent: counts.sent.into(), lost: (counts.sent - counts.received()).into() };
    // With our own network down nothing was lost: nothing was learnt.
    row.loss_ratio = if ping.head.flags.uplink_down { None } else { loss.ratio() };
    row.sent = Some(counts.sent);
    row.received = Some(counts.received());
    row.address = Some(ping.address);
    let lost = |echo: &Echo| matches!(echo, Echo::Lost | Echo::Error(_));
    row.detail = RowDetail::Ping {
        late: counts.late,
        not_sent: counts.not_sent,
        duplicates: ping.duplicates.into(),
        reordered: ping.reordered.into(),
        longest_loss_run: u32::try_from(LossPattern::of(ping.echoes.iter().map(lost)).longest()).unwrap_or(u32::MAX),
        ttl: ping.ttl,
    };
    row.error = ping.echoes.iter().find_map(|echo| match echo {
        Echo::NotSent(code) => {
            let planned = ping.echoes.len();
            Some(format!("{} of {planned} packets never left this machine (system error {code})", counts.not_sent))
        }
        Echo::Error(error) => {
            let from = error.from.map(|from| format!(" from {from}")).unwrap_or_default();
            Some(format!("ICMP error type {}, code {}{from}", error.icmp_type, error.icmp_code))
        }
        _ => None,
    });
    if row.error.is_none() && row.status == RowStatus::Timeout {
        row.error = Some(format!("no answer within {} ms", ping.timeout_ms));
    }
}

fn of_route(row: &mut Row, route: &RouteTraced) {
    summed(row, outcome::last_hop_times(route));
    row.status = outcome::route_status(route);
    row.address = Some(route.address);
    let mut hash = Fnv::default();
    let mut hop_count = 0;
    for hop in &route.hops {
        let mut from: Vec<IpAddr> = hop
            .answers
            .iter()
            .filter_map(|answer| match answer {
                HopAnswer::Answer { from, .. } => Some(*from),
                HopAnswer::Silent | HopAnswer::NotSent(_) => None,
            })
            .collect();
        from.sort_unstable();
        from.dedup();
        if !from.is_empty() {
            hop_count = hop.ttl.into();
            hash.write(&[hop.ttl]);
            from.iter().for_each(|address| match address {
                IpAddr::V4(address) => hash.write(&address.octets()),
                IpAddr::V6(address) => hash.write(&address.octets()),
            });
        }
    }
    row.error = (!route.reached).then(|| match hop_count {
        0 => "no hop answered".to_owned(),
        hops => format!("the destination did not answer; the last answer came from hop {hops}"),
    });
    row.detail = RowDetail::Traceroute { hop_count, path_hash: hash.0, reached: route.reached };
}

fn of_lookup(row: &mut Row, lookup: &NameResolved) {
    let (status, _, time) = outcome::dns(&lookup.outcome, lookup.is_expected);
    (row.status, row.rtt_ms) = (status, time.map(millis));
    let (rcode, answers) = match &lookup.outcome {
        DnsOutcome::Response { rcode, answers, .. } => {
            (Some(*rcode), answers.iter().map(|answer| answer.data.clone()).collect())
        }
        DnsOutcome::Failure(_) => (None, Vec::new()),
    };
    row.error = match &lookup.outcome {
        _ if lookup.is_expected => None,
        DnsOutcome::Response { rcode, answers, .. } => {
            Some(format!("not the expected answer: response code {rcode}, {} records", answers.len()))
        }
        DnsOutcome::Failure(DnsFailure::Timeout) => Some("no matching response in time".to_owned()),
        DnsOutcome::Failure(DnsFailure::Refused) => Some("the server refused the connection".to_owned()),
        DnsOutcome::Failure(DnsFailure::Malformed) => Some("the response could not be parsed".to_owned()),
        DnsOutcome::Failure(DnsFailure::Secure) => Some("the secure channel failed".to_owned()),
        DnsOutcome::Failure(DnsFailure::Local(code)) => Some(format!("failed on this machine (system error {code})")),
    };
    row.detail = RowDetail::Dns {
        name: lookup.name.clone(),
        record_type: lookup.record_type.clone(),
        rcode,
        answers,
        attempts: lookup.attempts.into(),
        server: lookup.server.clone(),
    };
}

fn of_bandwidth(row: &mut Row, run: &BandwidthMeasured) {
    row.status = match (&run.failure, run.down.is_some() || run.up.is_some()) {
        (None, true) => RowStatus::Success,
        (Some(_), true) => RowStatus::Partial,
        _ => RowStatus::Error,
    };
    row.address = Some(run.address);
    row.error.clone_from(&run.failure);
    let added = |(idle, loaded): (Rtt, Rtt)| f64::from(loaded.as_micros()) - f64::from(idle.as_micros());
    row.detail = RowDetail::Bandwidth {
        down_mbps: run.down.as_ref().and_then(goodput_mbps),
        up_mbps: run.up.as_ref().and_then(goodput_mbps),
        idle_rtt_ms: run.idle_rtt.map(Rtt::as_millis_f64),
        loaded_rtt_ms: run.loaded_rtt_p95.map(Rtt::as_millis_f64),
        added_rtt_ms: run.idle_rtt.zip(run.loaded_rtt_p95).map(added).map(round_millis),
        is_cpu_bound: run.is_cpu_bound,
        down_retransmits: run.down.as_ref().and_then(|way| way.retransmits),
        up_retransmits: run.up.as_ref().and_then(|way| way.retransmits),
    };
}

/// Mean goodput after the start-up, in Mbit/s.
fn goodput_mbps(one_way: &Throughput) -> Option<f64> {
    let counted = one_way.bytes_per_100ms.get(usize::from(one_way.skipped)..).filter(|parts| !parts.is_empty())?;
    let bytes: u64 = counted.iter().map(|bytes| u64::from(*bytes)).sum();
    #[expect(clippy::cast_precision_loss, reason = "bytes of one run stay far below 2^53")]
    let (bytes, parts) = (bytes as f64, counted.len() as f64);
    // 8 bits a byte, 10 parts a second, 10^6 bits a megabit.
    Some(bytes * 80.0 / parts / 1e6)
}

fn of_http(row: &mut Row, request: &HttpMeasured) {
    let (status, _, time) = outcome::http(&request.outcome, request.total.map(Rtt::as_micros));
    (row.status, row.rtt_ms) = (status, time.map(millis));
    row.address = request.address;
    let (code, error) = match &request.outcome {
        HttpOutcome::Expected(code) => (Some(*code), None),
        HttpOutcome::UnexpectedStatus(code) => (Some(*code), Some(format!("unexpected status {code}"))),
        HttpOutcome::UnexpectedBody(code) => (Some(*code), Some("the expected text is not in the body".to_owned())),
        HttpOutcome::NameNotResolved(why) => (None, Some(format!("the name did not resolve: {why}"))),
        HttpOutcome::Refused => (None, Some("the port refused".to_owned())),
        HttpOutcome::Timeout(phase) => (None, Some(format!("no answer in time ({phase})"))),
        HttpOutcome::Unreachable(code) => (None, Some(format!("unreachable (system error {code})"))),
        HttpOutcome::Tls(why) => (None, Some(format!("TLS failed: {why}"))),
        HttpOutcome::Protocol(why) => (None, Some(format!("not a valid HTTP response: {why}"))),
        HttpOutcome::Local(why) => (None, Some(format!("failed on this machine: {why}"))),
    };
    row.error = error;
    let phase = |rtt: Option<Rtt>| rtt.map(Rtt::as_millis_f64);
    row.detail = RowDetail::Http {
        status_code: code,
        dns_ms: phase(request.dns),
        connect_ms: phase(request.connect),
        tls_ms: phase(request.tls),
        first_byte_ms: phase(request.first_byte),
        certificate_expires: request.certificate_expires,
    };
}

/// What retention has left: status, counts, the median and the mean |IPDV|.
fn of_summary(row: &mut Row, left: &SampleSummary) -> Option<()> {
    row.status = *RowStatus::ALL.get(usize::from(left.status))?;
    row.rtt_ms = left.median_us.map(millis);
    row.lateness_ms = None;
    if left.kind == Kind::PingMeasured {
        let loss = Loss { sent: left.sent.into(), lost: left.sent.saturating_sub(left.received).into() };
        (row.sent, row.received) = (Some(left.sent), Some(left.received));
        row.loss_ratio = loss.ratio().filter(|_| !left.head.flags.uplink_down);
        #[expect(clippy::cast_precision_loss, reason = "a burst's sum stays far below 2^53")]
        let jitter = (left.pairs > 0).then(|| round_millis(left.ipdv_us as f64 / f64::from(left.pairs)));
        row.jitter_ms = jitter;
    }
    row.error = Some("the raw values are gone by retention: its counts and its median are left".to_owned());
    Some(())
}

/// The name of a reason at the doors.
const fn reason_name(reason: FailReason) -> &'static str {
    match reason {
        FailReason::NotPermitted => "not_permitted",
        FailReason::NameNotResolved => "name_not_resolved",
        FailReason::NoRoute => "no_route",
        FailReason::Socket => "socket",
        FailReason::BadOptions => "bad_options",
        FailReason::Denied => "denied",
        FailReason::Internal => "internal",
    }
}

/// FNV-1a, 64 bits: small, and the same everywhere.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}
