//! Run events, version 1.

use rkyv::{Archive, Deserialize, Serialize};

use super::codes::Code;
use super::common::HeadV1;
use super::{Meaning, Wire};
use crate::{
    DestinationId, FailReason, JobId, MissReason, ProbeKind, SlotFailed, SlotsMissed, SlotsSuppressed, SuppressReason,
    Timestamp,
};

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct SlotFailedV1 {
    head: HeadV1,
    probe: u8,
    reason: u8,
    detail: String,
}

impl Wire for SlotFailedV1 {
    type Event = SlotFailed;

    fn from_event(event: &SlotFailed) -> Self {
        Self {
            head: HeadV1::new(&event.head),
            probe: event.probe.code(),
            reason: event.reason.code(),
            detail: event.detail.clone(),
        }
    }

    fn into_event(self) -> Meaning<SlotFailed> {
        Ok(SlotFailed {
            head: self.head.get(),
            probe: ProbeKind::from_code(self.probe)?,
            reason: FailReason::from_code(self.reason)?,
            detail: self.detail,
        })
    }
}

/// Kinds that speak of a run of slots without a sample.
macro_rules! skipped {
    ($($wire:ident, $event:ident, $reason:ident;)*) => {
        $(#[derive(Archive, Serialize, Deserialize)]
        pub(super) struct $wire {
            job: u32,
            destination: u32,
            probe: u8,
            first_slot_at_ms: i64,
            last_slot_at_ms: i64,
            count: u32,
            reason: u8,
        }

        impl Wire for $wire {
            type Event = $event;

            fn from_event(event: &$event) -> Self {
                Self {
                    job: event.job.0,
                    destination: event.destination.0,
                    probe: event.probe.code(),
                    first_slot_at_ms: event.first_slot_at.as_millis(),
                    last_slot_at_ms: event.last_slot_at.as_millis(),
                    count: event.count,
                    reason: event.reason.code(),
                }
            }

            fn into_event(self) -> Meaning<$event> {
                Ok($event {
                    job: JobId(self.job),
                    destination: DestinationId(self.destination),
                    probe: ProbeKind::from_code(self.probe)?,
                    first_slot_at: Timestamp::from_millis(self.first_slot_at_ms),
                    last_slot_at: Timestamp::from_millis(self.last_slot_at_ms),
                    count: self.count,
                    reason: $reason::from_code(self.reason)?,
                })
            }
        })*
    };
}

skipped! {
    SlotsMissedV1, SlotsMissed, MissReason;
    SlotsSuppressedV1, SlotsSuppressed, SuppressReason;
}
