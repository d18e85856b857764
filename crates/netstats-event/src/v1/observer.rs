//! Observer events, version 1.

use std::net::IpAddr;

use rkyv::{Archive, Deserialize, Serialize};

use super::common::AddressV1;
use super::{Meaning, Wire};
use crate::{
    AnswerChanged, ClockStepped, CollectorStalled, CollectorStarted, CollectorStopped, DestinationId, HostSlept, JobId,
    PathChanged, SamplesLost, Timestamp, UplinkLost, UplinkRestored,
};

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct CollectorStartedV1 {
    version: String,
    boot_id: String,
    host: String,
    system: String,
    monotonic_ns: u64,
    is_after_crash: bool,
    last_seen_ns: Option<i64>,
}

impl Wire for CollectorStartedV1 {
    type Event = CollectorStarted;

    fn from_event(event: &CollectorStarted) -> Self {
        let CollectorStarted { version, boot_id, host, system, monotonic_ns, is_after_crash, last_seen } =
            event.clone();
        let last_seen_ns = last_seen.map(Timestamp::as_nanos);
        Self { version, boot_id, host, system, monotonic_ns, is_after_crash, last_seen_ns }
    }

    fn into_event(self) -> Meaning<CollectorStarted> {
        let Self { version, boot_id, host, system, monotonic_ns, is_after_crash, last_seen_ns } = self;
        let last_seen = last_seen_ns.map(Timestamp::from_nanos);
        Ok(CollectorStarted { version, boot_id, host, system, monotonic_ns, is_after_crash, last_seen })
    }
}

/// Kinds of one plain field.
macro_rules! one_field {
    ($($wire:ident, $event:ident, $field:ident: $type:ty;)*) => {
        $(#[derive(Archive, Serialize, Deserialize)]
        pub(super) struct $wire {
            $field: $type,
        }

        impl Wire for $wire {
            type Event = $event;

            fn from_event(event: &$event) -> Self {
                Self { $field: event.$field.clone() }
            }

            fn into_event(self) -> Meaning<$event> {
                Ok($event { $field: self.$field })
            }
        })*
    };
}

one_field! {
    CollectorStoppedV1, CollectorStopped, reason: String;
    ClockSteppedV1, ClockStepped, by_ns: i64;
    HostSleptV1, HostSlept, for_ns: u64;
    CollectorStalledV1, CollectorStalled, for_ns: u64;
}

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct UplinkLostV1 {
    reason: String,
    gateway: Option<AddressV1>,
}

impl Wire for UplinkLostV1 {
    type Event = UplinkLost;

    fn from_event(event: &UplinkLost) -> Self {
        Self { reason: event.reason.clone(), gateway: event.gateway.map(AddressV1::new) }
    }

    fn into_event(self) -> Meaning<UplinkLost> {
        Ok(UplinkLost { reason: self.reason, gateway: self.gateway.map(|address| address.get()).transpose()? })
    }
}

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct UplinkRestoredV1 {
    gateway: Option<AddressV1>,
}

impl Wire for UplinkRestoredV1 {
    type Event = UplinkRestored;

    fn from_event(event: &UplinkRestored) -> Self {
        Self { gateway: event.gateway.map(AddressV1::new) }
    }

    fn into_event(self) -> Meaning<UplinkRestored> {
        Ok(UplinkRestored { gateway: self.gateway.map(|address| address.get()).transpose()? })
    }
}

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct SamplesLostV1 {
    count: u64,
    from_ns: i64,
    to_ns: i64,
    reason: String,
}

impl Wire for SamplesLostV1 {
    type Event = SamplesLost;

    fn from_event(event: &SamplesLost) -> Self {
        let SamplesLost { count, from, to, reason } = event.clone();
        Self { count, from_ns: from.as_nanos(), to_ns: to.as_nanos(), reason }
    }

    fn into_event(self) -> Meaning<SamplesLost> {
        let Self { count, from_ns, to_ns, reason } = self;
        Ok(SamplesLost { count, from: Timestamp::from_nanos(from_ns), to: Timestamp::from_nanos(to_ns), reason })
    }
}

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct AnswerChangedV1 {
    destination: u32,
    host: String,
    before: Vec<AddressV1>,
    after: Vec<AddressV1>,
}

impl Wire for AnswerChangedV1 {
    type Event = AnswerChanged;

    fn from_event(event: &AnswerChanged) -> Self {
        let wire = |addresses: &[IpAddr]| addresses.iter().copied().map(AddressV1::new).collect();
        Self {
            destination: event.destination.0,
            host: event.host.clone(),
            before: wire(&event.before),
            after: wire(&event.after),
        }
    }

    fn into_event(self) -> Meaning<AnswerChanged> {
        let plain = |addresses: Vec<AddressV1>| addresses.iter().map(AddressV1::get).collect::<Meaning<_>>();
        Ok(AnswerChanged {
            destination: DestinationId(self.destination),
            host: self.host,
            before: plain(self.before)?,
            after: plain(self.after)?,
        })
    }
}

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct PathChangedV1 {
    job: u32,
    destination: u32,
    before: Vec<Vec<AddressV1>>,
    after: Vec<Vec<AddressV1>>,
}

impl Wire for PathChangedV1 {
    type Event = PathChanged;

    fn from_event(event: &PathChanged) -> Self {
        let wire =
            |hops: &[Vec<IpAddr>]| hops.iter().map(|hop| hop.iter().copied().map(AddressV1::new).collect()).collect();
        Self {
            job: event.job.0,
            destination: event.destination.0,
            before: wire(&event.before),
            after: wire(&event.after),
        }
    }

    fn into_event(self) -> Meaning<PathChanged> {
        let plain = |hops: Vec<Vec<AddressV1>>| {
            hops.iter().map(|hop| hop.iter().map(AddressV1::get).collect::<Meaning<_>>()).collect::<Meaning<_>>()
        };
        Ok(PathChanged {
            job: JobId(self.job),
            destination: DestinationId(self.destination),
            before: plain(self.before)?,
            after: plain(self.after)?,
        })
    }
}
