//! Version 1 of every kind: frozen. A later shape is a `v2.rs` of its own with an upcast to the newest; nothing here
//! changes once a release has written it. Integers, strings, vectors and options only; enums are numbers with tables
//! in `codes.rs`.

mod access;
mod account;
mod burst;
mod codes;
mod common;
mod config;
mod export;
mod observer;
mod options;
mod run;
mod sample;
mod summary;

use rkyv::rancor::Error;

use crate::{DecodeError, Draft, EncodeError, Event, Kind, MAX_PAYLOAD_BYTES, Timestamp};

const VERSION: u16 = 1;

/// What a payload must be to become an event again: the archive validates, and every number has a meaning.
type Meaning<T> = Result<T, &'static str>;

/// The wire form of one event struct.
trait Wire: Sized {
    type Event;
    fn from_event(event: &Self::Event) -> Self;
    fn into_event(self) -> Meaning<Self::Event>;
}

macro_rules! kinds {
    ($($kind:ident => $wire:path,)*) => {
        pub(crate) fn encode(event: &Event, recorded_at: Timestamp) -> Result<Draft, EncodeError> {
            crate::limits::check(event)?;
            let (kind, version, payload) = match event {
                $(Event::$kind(event) => (Kind::$kind.code(), VERSION, to_bytes(&<$wire>::from_event(event))),)*
                Event::Summarised(_) => return Err(EncodeError::NotAppended),
                Event::Unknown { kind, version, payload } => (*kind, *version, payload.clone()),
            };
            if payload.len() > MAX_PAYLOAD_BYTES {
                return Err(EncodeError::OverLimit { field: "payload", has: payload.len(), limit: MAX_PAYLOAD_BYTES });
            }
            Ok(Draft { kind, version, recorded_at, payload })
        }

        pub(crate) fn decode(kind: u16, version: u16, payload: &[u8]) -> Result<Event, DecodeError> {
            let known = if version == VERSION { Kind::from_code(kind) } else { None };
            match known {
                // The one kind that makes up nearly all of a log is read in place, without an intermediate copy.
                Some(Kind::PingMeasured) => sample::read_ping(payload)
                    .map(Event::PingMeasured)
                    .map_err(|why| DecodeError::Invalid { kind: Kind::PingMeasured.name(), version, why }),
                $(Some(Kind::$kind) => rkyv::from_bytes::<$wire, Error>(payload)
                    .map_err(|error| error.to_string())
                    .and_then(|wire| wire.into_event().map_err(str::to_owned))
                    .map(Event::$kind)
                    .map_err(|why| DecodeError::Invalid { kind: Kind::$kind.name(), version, why }),)*
                None => Ok(Event::Unknown { kind, version, payload: payload.to_vec() }),
            }
        }
    };
}

#[allow(unreachable_patterns, reason = "PingMeasured has a faster arm of its own when decoding")]
mod dispatch {
    use super::*;

    kinds! {
        DestinationAdded => config::DestinationV1,
        DestinationChanged => config::DestinationChangedV1,
        DestinationRemoved => config::DestinationRemovedV1,
        JobAdded => config::JobV1,
        JobChanged => config::JobChangedV1,
        JobRemoved => config::JobRemovedV1,
        JobStarted => config::JobStartedV1,
        JobStopped => config::JobStoppedV1,
        ConfigApplied => config::ConfigAppliedV1,
        AnnotationAdded => config::AnnotationV1,
        AnnotationChanged => config::AnnotationChangedV1,
        AnnotationRemoved => config::AnnotationRemovedV1,
        MaintenanceAdded => config::MaintenanceV1,
        MaintenanceChanged => config::MaintenanceChangedV1,
        MaintenanceRemoved => config::MaintenanceRemovedV1,
        AccountingChanged => account::AccountingChangedV1,
        UserAdded => access::UserV1,
        UserChanged => access::UserChangedV1,
        UserRemoved => access::UserRemovedV1,
        TokenAdded => access::TokenV1,
        TokenRevoked => access::TokenRevokedV1,
        SessionStarted => access::SessionV1,
        SessionEnded => access::SessionEndedV1,
        AccessDenied => access::DeniedV1,
        ExportJobCreated => config::ExportJobV1,
        ExportJobUpdated => config::ExportJobUpdatedV1,
        ExportJobDeleted => config::ExportJobDeletedV1,
        ExportRunFinished => export::ExportRunFinishedV1,
        ExportRunRequested => export::ExportRunRequestedV1,
        PingMeasured => sample::PingMeasuredV1,
        RouteTraced => sample::RouteTracedV1,
        NameResolved => sample::NameResolvedV1,
        BandwidthMeasured => sample::BandwidthMeasuredV1,
        TcpMeasured => sample::TcpMeasuredV1,
        HttpMeasured => sample::HttpMeasuredV1,
        SlotFailed => run::SlotFailedV1,
        SlotsMissed => run::SlotsMissedV1,
        SlotsSuppressed => run::SlotsSuppressedV1,
        CollectorStarted => observer::CollectorStartedV1,
        CollectorStopped => observer::CollectorStoppedV1,
        ClockStepped => observer::ClockSteppedV1,
        HostSlept => observer::HostSleptV1,
        CollectorStalled => observer::CollectorStalledV1,
        UplinkLost => observer::UplinkLostV1,
        UplinkRestored => observer::UplinkRestoredV1,
        AnswerChanged => observer::AnswerChangedV1,
        SamplesLost => observer::SamplesLostV1,
        PathChanged => observer::PathChangedV1,
        SamplesSummarised => summary::SamplesSummarisedV1,
    }
}

pub(crate) use burst::{BurstWriter, Bursts, has_columns};
pub(crate) use dispatch::{decode, encode};

fn to_bytes<W>(wire: &W) -> Vec<u8>
where
    W: for<'a> rkyv::Serialize<rkyv::api::high::HighSerializer<Vec<u8>, rkyv::ser::allocator::ArenaHandle<'a>, Error>>,
{
    // Writing to a vector fails only when memory is out, which aborts anyway.
    rkyv::api::high::to_bytes_in::<Vec<u8>, Error>(wire, Vec::with_capacity(160))
        .unwrap_or_else(|error| unreachable!("an archive in memory: {error}"))
}

fn access<A>(payload: &[u8]) -> Result<&A, String>
where
    A: rkyv::Portable + for<'a> rkyv::bytecheck::CheckBytes<rkyv::api::high::HighValidator<'a, Error>>,
{
    rkyv::access::<A, Error>(payload).map_err(|error| error.to_string())
}
