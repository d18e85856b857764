//! What a probe is: one request in, one report out.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use netstats_event::{
    BandwidthMeasured, DestinationId, DnsOutcome, Echo, Event, FailReason, HttpMeasured, HttpOutcome, JobId,
    NameResolved, PingMeasured, ProbeKind, ProbeOptions, RouteTraced, SampleFlags, SampleHead, SlotFailed, TcpMeasured,
    TcpOutcome, Timestamp,
};

use crate::{Contact, TransportError};

/// A boxed future, so that probes can be kept behind `dyn Probe`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One active measurement. A run that is dropped half way sends nothing more and leaves nothing behind.
pub trait Probe: Send + Sync + 'static {
    /// Which one.
    fn kind(&self) -> ProbeKind;

    /// Measures once. Never fails: what goes wrong is an outcome.
    fn run<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Report>;
}

/// What to measure.
#[derive(Clone, Debug)]
pub struct Request {
    /// Name or address. A name is resolved once, at the start of the run.
    pub host: String,
    /// The destination's port, for the probes that need one and whose options do not name another.
    pub port: Option<u16>,
    /// How: each probe reads its own part.
    pub options: Arc<ProbeOptions>,
}

impl Request {
    /// To `host` with default options.
    #[must_use]
    pub fn to(host: &str) -> Self {
        Self { host: host.to_owned(), port: None, options: Arc::default() }
    }

    /// What a probe does with it, for the resolver.
    pub(crate) fn contact(&self, probe: ProbeKind, port: Option<u16>) -> Contact<'_> {
        Contact { host: &self.host, probe, port }
    }
}

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The measurement, or why there is none.
    pub outcome: Outcome,
    /// When the first packet left, by the monotonic clock.
    pub first_sent: Option<Instant>,
    /// What makes it less than certain, as far as the probe can tell (`self_delayed`, `clock_suspect`).
    pub flags: SampleFlags,
    /// All addresses that the host's name resolved to, sorted; empty if the host is an address.
    pub answers: Vec<IpAddr>,
}

impl Report {
    /// A run that failed on our side.
    #[must_use]
    pub fn failed(reason: FailReason, detail: impl Into<String>) -> Self {
        Self::of(Outcome::Failed { reason, detail: detail.into() })
    }

    pub(crate) fn of(outcome: Outcome) -> Self {
        Self { outcome, first_sent: None, flags: SampleFlags::default(), answers: Vec::new() }
    }
}

impl From<TransportError> for Report {
    fn from(error: TransportError) -> Self {
        Self::failed(error.reason, error.detail)
    }
}

/// The measurement, or why there is none. Samples come with an empty head ([`Outcome::BLANK`]): a probe does not know
/// for whom it measures.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each sample is documented with its event")]
pub enum Outcome {
    Ping(PingMeasured),
    Traceroute(RouteTraced),
    Dns(NameResolved),
    Bandwidth(BandwidthMeasured),
    Tcp(TcpMeasured),
    Http(HttpMeasured),
    /// It failed on our side, before anything could be learnt about the destination. Never loss.
    Failed {
        reason: FailReason,
        /// In words, with what to do about it.
        detail: String,
    },
}

impl Outcome {
    /// The head of a sample that belongs to no slot yet.
    pub const BLANK: SampleHead = SampleHead {
        job: JobId(0),
        destination: DestinationId(0),
        slot_at: Timestamp::from_nanos(0),
        lateness_us: 0,
        flags: SampleFlags { self_delayed: false, under_own_load: false, clock_suspect: false, uplink_down: false },
    };

    /// True if all that was sent was answered, by whomever. Otherwise it may be our own network that was missing.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        match self {
            Self::Ping(sample) => sample.echoes.iter().all(|echo| matches!(echo, Echo::Reply(_) | Echo::Late(_))),
            Self::Traceroute(sample) => sample.reached,
            Self::Dns(sample) => matches!(sample.outcome, DnsOutcome::Response { .. }),
            Self::Bandwidth(sample) => sample.failure.is_none(),
            Self::Tcp(sample) => matches!(sample.outcome, TcpOutcome::Connected(_) | TcpOutcome::Refused(_)),
            Self::Http(sample) => matches!(
                sample.outcome,
                HttpOutcome::Expected(_) | HttpOutcome::UnexpectedStatus(_) | HttpOutcome::UnexpectedBody(_)
            ),
            Self::Failed { reason, .. } => {
                matches!(reason, FailReason::BadOptions | FailReason::NotPermitted | FailReason::Denied)
            }
        }
    }

    /// The event of this outcome for the slot in `head`; `probe` is the one that ran.
    #[must_use]
    pub fn into_event(self, probe: ProbeKind, head: SampleHead) -> Event {
        match self {
            Self::Ping(sample) => PingMeasured { head, ..sample }.into(),
            Self::Traceroute(sample) => RouteTraced { head, ..sample }.into(),
            Self::Dns(sample) => NameResolved { head, ..sample }.into(),
            Self::Bandwidth(sample) => BandwidthMeasured { head, ..sample }.into(),
            Self::Tcp(sample) => TcpMeasured { head, ..sample }.into(),
            Self::Http(sample) => HttpMeasured { head, ..sample }.into(),
            Self::Failed { reason, detail } => SlotFailed { head, probe, reason, detail }.into(),
        }
    }
}
