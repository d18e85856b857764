//! Run events: what became of planned slots that have no sample. Every planned slot ends in exactly one outcome: a
//! sample, or one of these.

use crate::{DestinationId, JobId, ProbeKind, SampleHead, Timestamp};

/// A slot failed on our side, before anything could be learnt about the destination. Never loss.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotFailed {
    /// Job, destination, slot.
    pub head: SampleHead,
    /// The probe that was to run.
    pub probe: ProbeKind,
    /// Why.
    pub reason: FailReason,
    /// In words, with what to do about it.
    pub detail: String,
}

/// Why a slot failed on our side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailReason {
    /// The system does not let us send such packets.
    NotPermitted,
    /// The destination's name did not resolve.
    NameNotResolved,
    /// This machine has no route, or no address of that family.
    NoRoute,
    /// The socket or the engine failed.
    Socket,
    /// The job's options cannot be used here.
    BadOptions,
    /// The address is not allowed by the target policy.
    Denied,
    /// A fault of ours.
    Internal,
}

/// Slots were not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotsMissed {
    /// The job.
    pub job: JobId,
    /// The destination.
    pub destination: DestinationId,
    /// The probe that was to run.
    pub probe: ProbeKind,
    /// The first slot missed.
    pub first_slot_at: Timestamp,
    /// The last slot missed (the first, if one).
    pub last_slot_at: Timestamp,
    /// How many.
    pub count: u32,
    /// Why.
    pub reason: MissReason,
}

/// Why slots were not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MissReason {
    /// The previous run of the same job and destination was still going.
    Overrun,
    /// All workers were busy and the queue was full.
    QueueFull,
    /// The host slept.
    HostSlept,
    /// The collector did not run.
    CollectorDown,
    /// The collector did not get the processor.
    Stalled,
    /// The wall clock was stepped forward over the slots.
    ClockStepped,
}

/// Slots were left out on purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotsSuppressed {
    /// The job.
    pub job: JobId,
    /// The destination.
    pub destination: DestinationId,
    /// The probe that was to run.
    pub probe: ProbeKind,
    /// The first slot.
    pub first_slot_at: Timestamp,
    /// The last slot (the first, if one).
    pub last_slot_at: Timestamp,
    /// How many.
    pub count: u32,
    /// Why.
    pub reason: SuppressReason,
}

/// Why slots were left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SuppressReason {
    /// Our own network was down.
    UplinkDown,
    /// The job's byte budget was spent.
    Budget,
    /// Our own bandwidth test was running.
    OwnLoad,
    /// The disk is full.
    DiskFull,
}
