//! The language of Network Stats Collector: ids, units, one event per kind and version, and events to bytes and back.
//!
//! ```
//! use netstats_event::{Event, JobStarted, JobId, Meta, Timestamp, encode, decode};
//!
//! let event = Event::JobStarted(JobStarted { job: JobId(1), meta: Meta::by("api:local") });
//! let draft = encode(&event, Timestamp::from_millis(1_700_000_000_000)).unwrap();
//! assert_eq!(decode(draft.kind, draft.version, &draft.payload).unwrap(), event);
//! ```
//!
//! # It is not
//! - storage: it knows no file, no clock, no JSON;
//! - policy: whether a job may exist is decided in `netstats-inventory`;
//! - statistics: it keeps every round trip, and counts nothing.

mod access;
mod account;
mod codec;
mod columns;
mod config;
mod event;
mod export;
#[cfg(any(test, netstats_fuzz))]
pub mod fuzz;
mod id;
mod limits;
mod observer;
mod options;
mod record;
mod run;
mod sample;
mod summary;
mod unit;
mod v1;

pub use access::{
    AccessDenied, SessionEnded, SessionStarted, TokenAdded, TokenRevoked, TokenSpec, UserAdded, UserChanged,
    UserRemoved, UserSpec,
};
pub use account::{
    AccountingChanged, AccountingSpec, AnnotationAdded, AnnotationChanged, AnnotationRemoved, AnnotationSpec,
    MaintenanceAdded, MaintenanceChanged, MaintenanceRemoved, MaintenanceSpec, ObserverOutages,
};
pub use codec::{DecodeError, EncodeError, decode, encode};
pub use columns::{Column, ColumnWriter, Columns};
pub use config::{
    ConfigApplied, DestinationAdded, DestinationChanged, DestinationRemoved, DestinationSpec, JobAdded, JobChanged,
    JobRemoved, JobSpec, JobStarted, JobStopped, ManagedBy, Meta, Role, WeeklyHours, WeeklySpan,
};
pub use event::{Envelope, Event, Family, Kind};
pub use export::{
    ExportFormat, ExportJobCreated, ExportJobDeleted, ExportJobUpdated, ExportOutcome, ExportRun, ExportRunFinished,
    ExportRunRequested, ExportSchedule, ExportSpec,
};
pub use id::{AnnotationId, DestinationId, ExportId, JobId, MaintenanceId, Position, SessionId, TokenId, UserId};
pub use limits::{
    MAX_BURST_PACKETS, MAX_HOPS, MAX_HOST_CHARS, MAX_JOB_DESTINATIONS, MAX_NAME_CHARS, MAX_PAYLOAD_BYTES, MAX_TAGS,
    MAX_TEXT_CHARS,
};
pub use observer::{
    AnswerChanged, ClockStepped, CollectorStalled, CollectorStarted, CollectorStopped, HostSlept, PathChanged,
    SamplesLost, UplinkLost, UplinkRestored,
};
pub use options::{
    AddressFamily, BandwidthDirection, BandwidthEngine, BandwidthOptions, DnsOptions, DnsTransport, HttpOptions,
    Metric, PingOptions, ProbeKind, ProbeOptions, TcpOptions, TracerouteOptions, TracerouteProtocol,
};
pub use record::{ChainHash, Draft, HEADER_BYTES, Record, RecordError};
pub use run::{FailReason, MissReason, SlotFailed, SlotsMissed, SlotsSuppressed, SuppressReason};
pub use sample::{
    AnswerRecord, BandwidthMeasured, ClockSource, DnsFailure, DnsOutcome, Echo, Hop, HopAnswer, HttpMeasured,
    HttpOutcome, IcmpError, MplsLabel, NameResolved, PingMeasured, RouteTraced, SampleFlags, SampleHead, TcpMeasured,
    TcpOutcome, Throughput, Transport,
};
pub use summary::{Condense, SampleSummary, SamplesSummarised, TimesSummary};
pub use unit::{Rtt, Timestamp};
