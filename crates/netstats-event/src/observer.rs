//! Observer events: what happened to the observer itself. They keep its own troubles from being blamed on a
//! destination.

use std::net::IpAddr;

use crate::{DestinationId, JobId, Timestamp};

/// The collector began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectorStarted {
    /// Program version.
    pub version: String,
    /// This boot of the machine, as the system names it; empty where it does not.
    pub boot_id: String,
    /// Host name.
    pub host: String,
    /// `linux`, `macos`, `windows`.
    pub system: String,
    /// Nanoseconds of the monotonic clock at `recorded_at`.
    pub monotonic_ns: u64,
    /// True if the log's last collector event is not a `CollectorStopped`: the previous run was cut off.
    pub is_after_crash: bool,
    /// When the previous run is last known to have lived.
    pub last_seen: Option<Timestamp>,
}

/// The collector ended in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectorStopped {
    /// `signal`, `service`, `error: ...`.
    pub reason: String,
}

/// The wall clock was stepped against the monotonic clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClockStepped {
    /// By how many nanoseconds; negative: back.
    pub by_ns: i64,
}

/// The host slept: the boot-time clock ran on while the monotonic clock stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostSlept {
    /// Nanoseconds asleep.
    pub for_ns: u64,
}

/// The collector did not get the processor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectorStalled {
    /// Nanoseconds from when it should have run to when it did.
    pub for_ns: u64,
}

/// Our own network went down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UplinkLost {
    /// `no route`, `gateway silent`, `no address`.
    pub reason: String,
    /// The gateway watched, if any.
    pub gateway: Option<IpAddr>,
}

/// Our own network came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UplinkRestored {
    /// The gateway watched, if any.
    pub gateway: Option<IpAddr>,
}

/// A destination's name resolves to another set of addresses than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerChanged {
    /// The destination.
    pub destination: DestinationId,
    /// Its host name.
    pub host: String,
    /// Addresses before, sorted.
    pub before: Vec<IpAddr>,
    /// Addresses now, sorted.
    pub after: Vec<IpAddr>,
}

/// Events of the collector that were given up because the log refused them for longer than they could be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SamplesLost {
    /// How many.
    pub count: u64,
    /// When the first of them was given up.
    pub from: Timestamp,
    /// When the last of them was given up.
    pub to: Timestamp,
    /// Why the log refused them.
    pub reason: String,
}

/// The route to a destination is another than before, and a second trace has confirmed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathChanged {
    /// The job that traces it.
    pub job: JobId,
    /// The destination.
    pub destination: DestinationId,
    /// Who answered at each hop before, sorted; empty: silent.
    pub before: Vec<Vec<IpAddr>>,
    /// Who answers at each hop now.
    pub after: Vec<Vec<IpAddr>>,
}
