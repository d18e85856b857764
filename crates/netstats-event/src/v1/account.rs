//! Annotations, maintenance and accounting, version 1. The kinds with an id are put together in `config.rs`.

use rkyv::{Archive, Deserialize, Serialize};

use super::codes::Code;
use super::common::MetaV1;
use super::config::HoursV1;
use super::{Meaning, Wire};
use crate::{
    AccountingChanged, AccountingSpec, AnnotationSpec, DestinationId, MaintenanceSpec, ObserverOutages, Timestamp,
};

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct AnnotationSpecV1 {
    title: String,
    text: Option<String>,
    start_time_ns: i64,
    end_time_ns: Option<i64>,
    destinations: Vec<u32>,
    tags: Vec<String>,
}

impl AnnotationSpecV1 {
    pub(super) fn new(spec: &AnnotationSpec) -> Self {
        Self {
            title: spec.title.clone(),
            text: spec.text.clone(),
            start_time_ns: spec.start_time.as_nanos(),
            end_time_ns: spec.end_time.map(Timestamp::as_nanos),
            destinations: spec.destinations.iter().map(|id| id.0).collect(),
            tags: spec.tags.clone(),
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "the shape of all specifications")]
    pub(super) fn get(self) -> Meaning<AnnotationSpec> {
        Ok(AnnotationSpec {
            title: self.title,
            text: self.text,
            start_time: Timestamp::from_nanos(self.start_time_ns),
            end_time: self.end_time_ns.map(Timestamp::from_nanos),
            destinations: self.destinations.into_iter().map(DestinationId).collect(),
            tags: self.tags,
        })
    }
}

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct MaintenanceSpecV1 {
    title: String,
    text: Option<String>,
    start_time_ns: i64,
    end_time_ns: Option<i64>,
    weekly: Option<HoursV1>,
    destinations: Vec<u32>,
    destination_tags: Vec<String>,
}

impl MaintenanceSpecV1 {
    pub(super) fn new(spec: &MaintenanceSpec) -> Self {
        Self {
            title: spec.title.clone(),
            text: spec.text.clone(),
            start_time_ns: spec.start_time.as_nanos(),
            end_time_ns: spec.end_time.map(Timestamp::as_nanos),
            weekly: spec.weekly.as_ref().map(HoursV1::new),
            destinations: spec.destinations.iter().map(|id| id.0).collect(),
            destination_tags: spec.destination_tags.clone(),
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "the shape of all specifications")]
    pub(super) fn get(self) -> Meaning<MaintenanceSpec> {
        Ok(MaintenanceSpec {
            title: self.title,
            text: self.text,
            start_time: Timestamp::from_nanos(self.start_time_ns),
            end_time: self.end_time_ns.map(Timestamp::from_nanos),
            weekly: self.weekly.map(HoursV1::get),
            destinations: self.destinations.into_iter().map(DestinationId).collect(),
            destination_tags: self.destination_tags,
        })
    }
}

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct AccountingChangedV1 {
    retries: u32,
    grace_s: u32,
    is_maintenance_excluded: bool,
    observer_outages: u8,
    max_loss_ppm: Option<u32>,
    max_p95_us: Option<u32>,
    meta: MetaV1,
}

impl Wire for AccountingChangedV1 {
    type Event = AccountingChanged;

    fn from_event(event: &AccountingChanged) -> Self {
        let AccountingSpec { retries, grace_s, is_maintenance_excluded, observer_outages, max_loss_ppm, max_p95_us } =
            event.spec;
        Self {
            retries,
            grace_s,
            is_maintenance_excluded,
            observer_outages: observer_outages.code(),
            max_loss_ppm,
            max_p95_us,
            meta: MetaV1::new(&event.meta),
        }
    }

    fn into_event(self) -> Meaning<AccountingChanged> {
        let Self { retries, grace_s, is_maintenance_excluded, max_loss_ppm, max_p95_us, .. } = self;
        let observer_outages = ObserverOutages::from_code(self.observer_outages)?;
        let spec =
            AccountingSpec { retries, grace_s, is_maintenance_excluded, observer_outages, max_loss_ppm, max_p95_us };
        Ok(AccountingChanged { spec, meta: self.meta.get() })
    }
}
