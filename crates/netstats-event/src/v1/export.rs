//! Exports, version 1. The kinds with a specification are put together in `config.rs`.

use rkyv::{Archive, Deserialize, Serialize};

use super::codes::Code;
use super::common::MetaV1;
use super::{Meaning, Wire};
use crate::{
    DestinationId, ExportFormat, ExportId, ExportOutcome, ExportRun, ExportRunFinished, ExportRunRequested,
    ExportSchedule, ExportSpec, JobId, Metric, Position, Timestamp,
};

#[derive(Archive, Serialize, Deserialize)]
struct ScheduleV1 {
    minutes: Vec<u16>,
    weekdays: Vec<u8>,
    month_days: Vec<u8>,
}

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct ExportSpecV1 {
    name: String,
    title: Option<String>,
    jobs: Vec<u32>,
    destinations: Vec<u32>,
    destination_tags: Vec<String>,
    metrics: Vec<u8>,
    range: String,
    time_zone: String,
    format: u8,
    is_excel_csv: bool,
    schedule: Option<ScheduleV1>,
    folder: Option<String>,
    keep: u32,
    enabled: bool,
}

impl ExportSpecV1 {
    pub(super) fn new(spec: &ExportSpec) -> Self {
        let schedule = |schedule: &ExportSchedule| {
            let ExportSchedule { minutes, weekdays, month_days } = schedule.clone();
            ScheduleV1 { minutes, weekdays, month_days }
        };
        Self {
            name: spec.name.clone(),
            title: spec.title.clone(),
            jobs: spec.jobs.iter().map(|id| id.0).collect(),
            destinations: spec.destinations.iter().map(|id| id.0).collect(),
            destination_tags: spec.destination_tags.clone(),
            metrics: spec.metrics.iter().map(Code::code).collect(),
            range: spec.range.clone(),
            time_zone: spec.time_zone.clone(),
            format: spec.format.code(),
            is_excel_csv: spec.is_excel_csv,
            schedule: spec.schedule.as_ref().map(schedule),
            folder: spec.folder.clone(),
            keep: spec.keep,
            enabled: spec.enabled,
        }
    }

    pub(super) fn get(self) -> Meaning<ExportSpec> {
        let schedule = |schedule: ScheduleV1| {
            let ScheduleV1 { minutes, weekdays, month_days } = schedule;
            ExportSchedule { minutes, weekdays, month_days }
        };
        Ok(ExportSpec {
            name: self.name,
            title: self.title,
            jobs: self.jobs.into_iter().map(JobId).collect(),
            destinations: self.destinations.into_iter().map(DestinationId).collect(),
            destination_tags: self.destination_tags,
            metrics: self.metrics.into_iter().map(Metric::from_code).collect::<Meaning<_>>()?,
            range: self.range,
            time_zone: self.time_zone,
            format: ExportFormat::from_code(self.format)?,
            is_excel_csv: self.is_excel_csv,
            schedule: self.schedule.map(schedule),
            folder: self.folder,
            keep: self.keep,
            enabled: self.enabled,
        })
    }
}

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct ExportRunFinishedV1 {
    id: u32,
    slot_ns: Option<i64>,
    started_at_ns: i64,
    finished_at_ns: i64,
    from_ns: i64,
    to_ns: i64,
    position: u64,
    outcome: u8,
    error: Option<String>,
    file: Option<String>,
    bytes: u64,
    rows: u64,
    digest: Option<[u8; 32]>,
    meta: MetaV1,
}

impl Wire for ExportRunFinishedV1 {
    type Event = ExportRunFinished;

    fn from_event(event: &ExportRunFinished) -> Self {
        let run = &event.run;
        Self {
            id: event.id.0,
            slot_ns: run.slot.map(Timestamp::as_nanos),
            started_at_ns: run.started_at.as_nanos(),
            finished_at_ns: run.finished_at.as_nanos(),
            from_ns: run.from.as_nanos(),
            to_ns: run.to.as_nanos(),
            position: run.position.0,
            outcome: run.outcome.code(),
            error: run.error.clone(),
            file: run.file.clone(),
            bytes: run.bytes,
            rows: run.rows,
            digest: run.digest,
            meta: MetaV1::new(&event.meta),
        }
    }

    fn into_event(self) -> Meaning<ExportRunFinished> {
        let run = ExportRun {
            slot: self.slot_ns.map(Timestamp::from_nanos),
            started_at: Timestamp::from_nanos(self.started_at_ns),
            finished_at: Timestamp::from_nanos(self.finished_at_ns),
            from: Timestamp::from_nanos(self.from_ns),
            to: Timestamp::from_nanos(self.to_ns),
            position: Position(self.position),
            outcome: ExportOutcome::from_code(self.outcome)?,
            error: self.error,
            file: self.file,
            bytes: self.bytes,
            rows: self.rows,
            digest: self.digest,
        };
        Ok(ExportRunFinished { id: ExportId(self.id), run, meta: self.meta.get() })
    }
}

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct ExportRunRequestedV1 {
    id: u32,
    meta: MetaV1,
}

impl Wire for ExportRunRequestedV1 {
    type Event = ExportRunRequested;

    fn from_event(event: &ExportRunRequested) -> Self {
        Self { id: event.id.0, meta: MetaV1::new(&event.meta) }
    }

    fn into_event(self) -> Meaning<ExportRunRequested> {
        Ok(ExportRunRequested { id: ExportId(self.id), meta: self.meta.get() })
    }
}
