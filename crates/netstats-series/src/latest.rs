//! What is known of a destination right now.

use netstats_event::{DestinationId, FailReason, JobId, Position, ProbeKind, Rtt, SlotFailed, Timestamp};

use crate::RowStatus;

/// How a destination does. Whether its samples are too old to say so is a question for whoever has a clock and the
/// job's interval: see [`DestinationLatest::last_at`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// It answers, all of it.
    Up,
    /// It answers, and something got lost in the last three samples; or one probe gets answers and another does not.
    Degraded,
    /// It does not answer, while our own network is up.
    Down,
    /// Nothing was learnt: no sample yet, or the last slot failed on our side, or our own network is down.
    #[default]
    Unknown,
}

impl Status {
    /// The name at every door.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Down => "down",
            Self::Unknown => "unknown",
        }
    }
}

/// Whether the figures of a probe are shown rather than those of another.
pub(crate) fn leads(probe: ProbeKind, other: ProbeKind) -> bool {
    const FIRST: [ProbeKind; 6] =
        [ProbeKind::Ping, ProbeKind::Http, ProbeKind::Tcp, ProbeKind::Dns, ProbeKind::Traceroute, ProbeKind::Bandwidth];
    let place = |probe| FIRST.iter().position(|each| *each == probe);
    place(probe) < place(other)
}

/// The latest of one destination, over all jobs.
#[derive(Clone, Debug, PartialEq)]
pub struct DestinationLatest {
    /// The destination.
    pub destination: DestinationId,
    /// How it does.
    pub status: Status,
    /// Since when it does so: the slot (or the recorded time) of the event that changed it.
    pub since: Timestamp,
    /// The newest sample's position.
    pub last_sample: Option<Position>,
    /// The newest sample's slot.
    pub last_at: Option<Timestamp>,
    /// The probe that gives the figures below: the first of ping, HTTP, TCP, DNS, traceroute, bandwidth that ever
    /// gave a sample.
    pub leading: Option<ProbeKind>,
    /// Median round trip of its last burst, or its last response time; none if nothing came back.
    pub response_time: Option<Rtt>,
    /// Lost share of the last ping burst, 0 to 1.
    pub loss_ratio: Option<f64>,
    /// Mean |IPDV| of the last ping burst, in milliseconds.
    pub jitter_ms: Option<f64>,
    /// Medians of its last 60 samples in microseconds, oldest first; none where nothing came back.
    pub recent: Vec<Option<u32>>,
    /// The last slot that failed on our side.
    pub last_failure: Option<Failure>,
    /// The latest of each job and probe, by job and probe.
    pub probes: Vec<ProbeLatest>,
}

/// The latest of one probe of one job on one destination.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeLatest {
    /// The job.
    pub job: JobId,
    /// The destination.
    pub destination: DestinationId,
    /// The probe.
    pub probe: ProbeKind,
    /// Where its newest outcome is (sample or failed slot).
    pub position: Position,
    /// That outcome's slot.
    pub slot_at: Timestamp,
    /// How it ended.
    pub row_status: RowStatus,
    /// What this probe says of the destination; traceroute and bandwidth say nothing.
    pub status: Status,
    /// Median round trip (ping), or response time, of the newest sample.
    pub response_time: Option<Rtt>,
    /// Lost share of the newest ping burst, 0 to 1.
    pub loss_ratio: Option<f64>,
    /// Mean |IPDV| of the newest ping burst, in milliseconds.
    pub jitter_ms: Option<f64>,
    /// Samples since the first.
    pub samples: u64,
    /// Slots in a row that failed on our side, up to now; 0 as soon as one gave a sample.
    pub failed_in_a_row: u32,
    /// When the first of them was.
    pub failing_since: Option<Timestamp>,
}

/// A slot that failed on our side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Where it is recorded.
    pub position: Position,
    /// The slot.
    pub at: Timestamp,
    /// The job.
    pub job: JobId,
    /// The probe.
    pub probe: ProbeKind,
    /// Why.
    pub reason: FailReason,
    /// In words, with what to do about it.
    pub detail: String,
}

impl Failure {
    /// A failed slot and where it is recorded.
    pub(crate) fn of(position: Position, failed: &SlotFailed) -> Self {
        Self {
            position,
            at: failed.head.slot_at,
            job: failed.head.job,
            probe: failed.probe,
            reason: failed.reason,
            detail: failed.detail.clone(),
        }
    }
}
