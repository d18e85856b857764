//! The one list of event kinds.

use crate::{
    AccessDenied, AccountingChanged, AnnotationAdded, AnnotationChanged, AnnotationRemoved, AnswerChanged,
    BandwidthMeasured, ClockStepped, CollectorStalled, CollectorStarted, CollectorStopped, ConfigApplied,
    DestinationAdded, DestinationChanged, DestinationId, DestinationRemoved, ExportJobCreated, ExportJobDeleted,
    ExportJobUpdated, ExportRunFinished, ExportRunRequested, HostSlept, HttpMeasured, JobAdded, JobChanged, JobId,
    JobRemoved, JobStarted, JobStopped, MaintenanceAdded, MaintenanceChanged, MaintenanceRemoved, Meta, NameResolved,
    PathChanged, PingMeasured, Position, ProbeKind, RouteTraced, SampleHead, SampleSummary, SamplesLost,
    SamplesSummarised, SessionEnded, SessionStarted, SlotFailed, SlotsMissed, SlotsSuppressed, TcpMeasured, Timestamp,
    TokenAdded, TokenRevoked, UplinkLost, UplinkRestored, UserAdded, UserChanged, UserRemoved,
};

/// The four families of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// What is to be measured, and who said so.
    Config,
    /// What was measured.
    Sample,
    /// What became of slots without a sample.
    Run,
    /// What happened to the observer.
    Observer,
}

impl Family {
    /// The name at every door.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Sample => "sample",
            Self::Run => "run",
            Self::Observer => "observer",
        }
    }
}

macro_rules! kinds {
    ($($variant:ident = $code:literal, $name:literal, $family:ident;)*) => {
        /// The kind of an event, as a number on disk and a name at the doors. Numbers are for ever.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum Kind {
            $(#[doc = concat!("`", $name, "`")] $variant = $code,)*
        }

        impl Kind {
            /// All kinds, by number.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The number on disk.
            #[must_use]
            pub const fn code(self) -> u16 {
                self as u16
            }

            /// The kind of that number; none for one of a newer program.
            #[must_use]
            pub const fn from_code(code: u16) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// The name at every door.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Its family.
            #[must_use]
            pub const fn family(self) -> Family {
                match self {
                    $(Self::$variant => Family::$family,)*
                }
            }
        }

        /// A fact, in the past tense. Always of the newest shape: older versions are brought up when decoded.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "each variant is its struct, documented there")]
        pub enum Event {
            $($variant($variant),)*
            /// What retention has left of a sample. It is read where the sample was, and never appended.
            Summarised(Box<SampleSummary>),
            /// Of a kind or version this program does not know: kept, and skipped by folds.
            Unknown {
                /// Kind's number.
                kind: u16,
                /// Version.
                version: u16,
                /// Payload as it is.
                payload: Vec<u8>,
            },
        }

        impl Event {
            /// Its kind (of what is left of a sample, the sample's); none if unknown.
            #[must_use]
            pub const fn kind(&self) -> Option<Kind> {
                match self {
                    $(Self::$variant(_) => Some(Kind::$variant),)*
                    Self::Summarised(left) => Some(left.kind),
                    Self::Unknown { .. } => None,
                }
            }
        }

        $(impl From<$variant> for Event {
            fn from(event: $variant) -> Self {
                Self::$variant(event)
            }
        })*
    };
}

kinds! {
    DestinationAdded = 101, "destination_added", Config;
    DestinationChanged = 102, "destination_changed", Config;
    DestinationRemoved = 103, "destination_removed", Config;
    JobAdded = 111, "job_added", Config;
    JobChanged = 112, "job_changed", Config;
    JobRemoved = 113, "job_removed", Config;
    JobStarted = 114, "job_started", Config;
    JobStopped = 115, "job_stopped", Config;
    ConfigApplied = 121, "config_applied", Config;
    AnnotationAdded = 131, "annotation_added", Config;
    AnnotationChanged = 132, "annotation_changed", Config;
    AnnotationRemoved = 133, "annotation_removed", Config;
    MaintenanceAdded = 134, "maintenance_added", Config;
    MaintenanceChanged = 135, "maintenance_changed", Config;
    MaintenanceRemoved = 136, "maintenance_removed", Config;
    AccountingChanged = 137, "accounting_changed", Config;
    UserAdded = 141, "user_added", Config;
    UserChanged = 142, "user_changed", Config;
    UserRemoved = 143, "user_removed", Config;
    TokenAdded = 144, "token_added", Config;
    TokenRevoked = 145, "token_revoked", Config;
    SessionStarted = 146, "session_started", Config;
    SessionEnded = 147, "session_ended", Config;
    AccessDenied = 148, "access_denied", Config;
    ExportJobCreated = 151, "export_job_created", Config;
    ExportJobUpdated = 152, "export_job_updated", Config;
    ExportJobDeleted = 153, "export_job_deleted", Config;
    ExportRunFinished = 154, "export_run_finished", Config;
    ExportRunRequested = 155, "export_run_requested", Config;
    PingMeasured = 201, "ping_measured", Sample;
    RouteTraced = 202, "route_traced", Sample;
    NameResolved = 203, "name_resolved", Sample;
    BandwidthMeasured = 204, "bandwidth_measured", Sample;
    TcpMeasured = 205, "tcp_measured", Sample;
    HttpMeasured = 206, "http_measured", Sample;
    SlotFailed = 301, "slot_failed", Run;
    SlotsMissed = 302, "slots_missed", Run;
    SlotsSuppressed = 303, "slots_suppressed", Run;
    CollectorStarted = 401, "collector_started", Observer;
    CollectorStopped = 402, "collector_stopped", Observer;
    ClockStepped = 403, "clock_stepped", Observer;
    HostSlept = 404, "host_slept", Observer;
    CollectorStalled = 405, "collector_stalled", Observer;
    UplinkLost = 406, "uplink_lost", Observer;
    UplinkRestored = 407, "uplink_restored", Observer;
    AnswerChanged = 408, "answer_changed", Observer;
    SamplesLost = 409, "samples_lost", Observer;
    PathChanged = 410, "path_changed", Observer;
    SamplesSummarised = 501, "samples_summarised", Observer;
}

impl Kind {
    /// It is about who may come in, which not everybody who looks needs to know.
    #[must_use]
    pub const fn is_access(self) -> bool {
        matches!(self.code(), 141..=148)
    }

    /// The kind of a probe's samples.
    #[must_use]
    pub const fn of_samples(probe: ProbeKind) -> Self {
        match probe {
            ProbeKind::Ping => Self::PingMeasured,
            ProbeKind::Traceroute => Self::RouteTraced,
            ProbeKind::Dns => Self::NameResolved,
            ProbeKind::Bandwidth => Self::BandwidthMeasured,
            ProbeKind::Tcp => Self::TcpMeasured,
            ProbeKind::Http => Self::HttpMeasured,
        }
    }

    /// The probe whose samples are of this kind; none for other kinds.
    #[must_use]
    pub const fn probe(self) -> Option<ProbeKind> {
        Some(match self {
            Self::PingMeasured => ProbeKind::Ping,
            Self::RouteTraced => ProbeKind::Traceroute,
            Self::NameResolved => ProbeKind::Dns,
            Self::BandwidthMeasured => ProbeKind::Bandwidth,
            Self::TcpMeasured => ProbeKind::Tcp,
            Self::HttpMeasured => ProbeKind::Http,
            _ => return None,
        })
    }
}

impl Event {
    /// Its family; none if unknown.
    #[must_use]
    pub fn family(&self) -> Option<Family> {
        self.kind().map(Kind::family)
    }

    /// The name of its kind at the doors; `unknown` if so.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.kind().map_or("unknown", Kind::name)
    }

    /// Who caused it, for config events.
    #[must_use]
    pub const fn meta(&self) -> Option<&Meta> {
        Some(match self {
            Self::DestinationAdded(e) => &e.meta,
            Self::DestinationChanged(e) => &e.meta,
            Self::DestinationRemoved(e) => &e.meta,
            Self::JobAdded(e) => &e.meta,
            Self::JobChanged(e) => &e.meta,
            Self::JobRemoved(e) => &e.meta,
            Self::JobStarted(e) => &e.meta,
            Self::JobStopped(e) => &e.meta,
            Self::ConfigApplied(e) => &e.meta,
            Self::AnnotationAdded(e) => &e.meta,
            Self::AnnotationChanged(e) => &e.meta,
            Self::AnnotationRemoved(e) => &e.meta,
            Self::MaintenanceAdded(e) => &e.meta,
            Self::MaintenanceChanged(e) => &e.meta,
            Self::MaintenanceRemoved(e) => &e.meta,
            Self::AccountingChanged(e) => &e.meta,
            Self::UserAdded(e) => &e.meta,
            Self::UserChanged(e) => &e.meta,
            Self::UserRemoved(e) => &e.meta,
            Self::TokenAdded(e) => &e.meta,
            Self::TokenRevoked(e) => &e.meta,
            Self::SessionStarted(e) => &e.meta,
            Self::SessionEnded(e) => &e.meta,
            Self::AccessDenied(e) => &e.meta,
            Self::ExportJobCreated(e) => &e.meta,
            Self::ExportJobUpdated(e) => &e.meta,
            Self::ExportJobDeleted(e) => &e.meta,
            Self::ExportRunFinished(e) => &e.meta,
            Self::ExportRunRequested(e) => &e.meta,
            _ => return None,
        })
    }

    /// Job, destination and slot, for samples and failed slots.
    #[must_use]
    pub const fn head(&self) -> Option<&SampleHead> {
        Some(match self {
            Self::PingMeasured(e) => &e.head,
            Self::RouteTraced(e) => &e.head,
            Self::NameResolved(e) => &e.head,
            Self::BandwidthMeasured(e) => &e.head,
            Self::TcpMeasured(e) => &e.head,
            Self::HttpMeasured(e) => &e.head,
            Self::SlotFailed(e) => &e.head,
            Self::Summarised(left) => &left.head,
            _ => return None,
        })
    }

    /// The probe of a sample or of skipped slots.
    #[must_use]
    pub const fn probe(&self) -> Option<ProbeKind> {
        Some(match self {
            Self::PingMeasured(_) => ProbeKind::Ping,
            Self::RouteTraced(_) => ProbeKind::Traceroute,
            Self::NameResolved(_) => ProbeKind::Dns,
            Self::BandwidthMeasured(_) => ProbeKind::Bandwidth,
            Self::TcpMeasured(_) => ProbeKind::Tcp,
            Self::HttpMeasured(_) => ProbeKind::Http,
            Self::SlotFailed(e) => e.probe,
            Self::SlotsMissed(e) => e.probe,
            Self::SlotsSuppressed(e) => e.probe,
            Self::Summarised(left) => return left.kind.probe(),
            _ => return None,
        })
    }

    /// The job it is about, if it is about one.
    #[must_use]
    pub const fn job(&self) -> Option<JobId> {
        Some(match self {
            Self::JobAdded(e) => e.id,
            Self::JobChanged(e) => e.id,
            Self::JobRemoved(e) => e.id,
            Self::JobStarted(e) => e.job,
            Self::JobStopped(e) => e.job,
            Self::SlotsMissed(e) => e.job,
            Self::SlotsSuppressed(e) => e.job,
            Self::PathChanged(e) => e.job,
            _ => match self.head() {
                Some(head) => head.job,
                None => return None,
            },
        })
    }

    /// The destination it is about, if it is about one.
    #[must_use]
    pub const fn destination(&self) -> Option<DestinationId> {
        Some(match self {
            Self::DestinationAdded(e) => e.id,
            Self::DestinationChanged(e) => e.id,
            Self::DestinationRemoved(e) => e.id,
            Self::AnswerChanged(e) => e.destination,
            Self::PathChanged(e) => e.destination,
            Self::SlotsMissed(e) => e.destination,
            Self::SlotsSuppressed(e) => e.destination,
            _ => match self.head() {
                Some(head) => head.destination,
                None => return None,
            },
        })
    }
}

/// A decoded event with its place and time in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Its place.
    pub position: Position,
    /// When the journal took it, by the wall clock, in whole milliseconds. Positions give the order, not this.
    pub recorded_at: Timestamp,
    /// What happened.
    pub event: Event,
}
