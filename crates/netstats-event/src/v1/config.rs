//! Config events, version 1.

use rkyv::{Archive, Deserialize, Serialize};

use super::account::{AnnotationSpecV1, MaintenanceSpecV1};
use super::codes::Code;
use super::common::MetaV1;
use super::export::ExportSpecV1;
use super::options::OptionsV1;
use super::{Meaning, Wire};
use crate::{
    AnnotationAdded, AnnotationChanged, AnnotationId, AnnotationRemoved, ConfigApplied, DestinationAdded,
    DestinationChanged, DestinationId, DestinationRemoved, DestinationSpec, ExportId, ExportJobCreated,
    ExportJobDeleted, ExportJobUpdated, JobAdded, JobChanged, JobId, JobRemoved, JobSpec, JobStarted, JobStopped,
    MaintenanceAdded, MaintenanceChanged, MaintenanceId, MaintenanceRemoved, ManagedBy, Metric, Timestamp, WeeklyHours,
    WeeklySpan,
};

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct DestinationSpecV1 {
    name: String,
    host: String,
    port: Option<u16>,
    display_name: Option<String>,
    description: Option<String>,
    tags: Vec<String>,
    paused: bool,
    managed_by: u8,
}

impl DestinationSpecV1 {
    fn new(spec: &DestinationSpec) -> Self {
        let DestinationSpec { name, host, port, display_name, description, tags, paused, managed_by } = spec.clone();
        Self { name, host, port, display_name, description, tags, paused, managed_by: managed_by.code() }
    }

    fn get(self) -> Meaning<DestinationSpec> {
        let Self { name, host, port, display_name, description, tags, paused, managed_by } = self;
        let managed_by = ManagedBy::from_code(managed_by)?;
        Ok(DestinationSpec { name, host, port, display_name, description, tags, paused, managed_by })
    }
}

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct SpanV1 {
    weekday: u8,
    from_minute: u16,
    to_minute: u16,
}

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct HoursV1 {
    time_zone: String,
    spans: Vec<SpanV1>,
}

impl HoursV1 {
    pub(super) fn new(hours: &WeeklyHours) -> Self {
        let span = |span: &WeeklySpan| SpanV1 {
            weekday: span.weekday,
            from_minute: span.from_minute,
            to_minute: span.to_minute,
        };
        Self { time_zone: hours.time_zone.clone(), spans: hours.spans.iter().map(span).collect() }
    }

    pub(super) fn get(self) -> WeeklyHours {
        let span = |span: SpanV1| WeeklySpan {
            weekday: span.weekday,
            from_minute: span.from_minute,
            to_minute: span.to_minute,
        };
        WeeklyHours { time_zone: self.time_zone, spans: self.spans.into_iter().map(span).collect() }
    }
}

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct JobSpecV1 {
    name: String,
    description: Option<String>,
    tags: Vec<String>,
    enabled: bool,
    interval_s: u32,
    metrics: Vec<u8>,
    destinations: Vec<u32>,
    destination_tags: Vec<String>,
    start_time_ns: Option<i64>,
    end_time_ns: Option<i64>,
    active_hours: Option<HoursV1>,
    options: OptionsV1,
    managed_by: u8,
}

impl JobSpecV1 {
    fn new(spec: &JobSpec) -> Self {
        Self {
            name: spec.name.clone(),
            description: spec.description.clone(),
            tags: spec.tags.clone(),
            enabled: spec.enabled,
            interval_s: spec.interval_s,
            metrics: spec.metrics.iter().map(Code::code).collect(),
            destinations: spec.destinations.iter().map(|id| id.0).collect(),
            destination_tags: spec.destination_tags.clone(),
            start_time_ns: spec.start_time.map(Timestamp::as_nanos),
            end_time_ns: spec.end_time.map(Timestamp::as_nanos),
            active_hours: spec.active_hours.as_ref().map(HoursV1::new),
            options: OptionsV1::new(&spec.options),
            managed_by: spec.managed_by.code(),
        }
    }

    fn get(self) -> Meaning<JobSpec> {
        Ok(JobSpec {
            name: self.name,
            description: self.description,
            tags: self.tags,
            enabled: self.enabled,
            interval_s: self.interval_s,
            metrics: self.metrics.into_iter().map(Metric::from_code).collect::<Meaning<_>>()?,
            destinations: self.destinations.into_iter().map(DestinationId).collect(),
            destination_tags: self.destination_tags,
            start_time: self.start_time_ns.map(Timestamp::from_nanos),
            end_time: self.end_time_ns.map(Timestamp::from_nanos),
            active_hours: self.active_hours.map(HoursV1::get),
            options: self.options.get()?,
            managed_by: ManagedBy::from_code(self.managed_by)?,
        })
    }
}

/// Kinds that carry a whole specification under an id.
macro_rules! with_spec {
    ($($wire:ident, $event:ident, $id:ident, $spec:ident;)*) => {
        $(#[derive(Archive, Serialize, Deserialize)]
        pub(super) struct $wire {
            id: u32,
            spec: $spec,
            meta: MetaV1,
        }

        impl Wire for $wire {
            type Event = $event;

            fn from_event(event: &$event) -> Self {
                Self { id: event.id.0, spec: $spec::new(&event.spec), meta: MetaV1::new(&event.meta) }
            }

            fn into_event(self) -> Meaning<$event> {
                Ok($event { id: $id(self.id), spec: self.spec.get()?, meta: self.meta.get() })
            }
        })*
    };
}

with_spec! {
    DestinationV1, DestinationAdded, DestinationId, DestinationSpecV1;
    DestinationChangedV1, DestinationChanged, DestinationId, DestinationSpecV1;
    JobV1, JobAdded, JobId, JobSpecV1;
    JobChangedV1, JobChanged, JobId, JobSpecV1;
    AnnotationV1, AnnotationAdded, AnnotationId, AnnotationSpecV1;
    AnnotationChangedV1, AnnotationChanged, AnnotationId, AnnotationSpecV1;
    MaintenanceV1, MaintenanceAdded, MaintenanceId, MaintenanceSpecV1;
    MaintenanceChangedV1, MaintenanceChanged, MaintenanceId, MaintenanceSpecV1;
    ExportJobV1, ExportJobCreated, ExportId, ExportSpecV1;
    ExportJobUpdatedV1, ExportJobUpdated, ExportId, ExportSpecV1;
}

/// Kinds that name an id and nothing else.
macro_rules! id_only {
    ($($wire:ident, $event:ident, $field:ident, $id:ident;)*) => {
        $(#[derive(Archive, Serialize, Deserialize)]
        pub(super) struct $wire {
            id: u32,
            meta: MetaV1,
        }

        impl Wire for $wire {
            type Event = $event;

            fn from_event(event: &$event) -> Self {
                Self { id: event.$field.0, meta: MetaV1::new(&event.meta) }
            }

            fn into_event(self) -> Meaning<$event> {
                Ok($event { $field: $id(self.id), meta: self.meta.get() })
            }
        })*
    };
}

id_only! {
    DestinationRemovedV1, DestinationRemoved, id, DestinationId;
    JobRemovedV1, JobRemoved, id, JobId;
    JobStartedV1, JobStarted, job, JobId;
    JobStoppedV1, JobStopped, job, JobId;
    AnnotationRemovedV1, AnnotationRemoved, id, AnnotationId;
    MaintenanceRemovedV1, MaintenanceRemoved, id, MaintenanceId;
    ExportJobDeletedV1, ExportJobDeleted, id, ExportId;
}

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct ConfigAppliedV1 {
    digest: [u8; 32],
    starter: bool,
    meta: MetaV1,
}

impl Wire for ConfigAppliedV1 {
    type Event = ConfigApplied;

    fn from_event(event: &ConfigApplied) -> Self {
        Self { digest: event.digest, starter: event.starter, meta: MetaV1::new(&event.meta) }
    }

    fn into_event(self) -> Meaning<ConfigApplied> {
        Ok(ConfigApplied { digest: self.digest, starter: self.starter, meta: self.meta.get() })
    }
}
