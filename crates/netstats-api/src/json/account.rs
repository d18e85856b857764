//! Annotations, maintenance windows and the method of accounting in JSON.

use netstats_event::{
    AccountingSpec, AnnotationId, AnnotationSpec, DestinationId, MaintenanceId, MaintenanceSpec, Meta, ObserverOutages,
    Timestamp,
};
use netstats_inventory::{Annotation, Inventory, Maintenance, Remark};
use serde::Serialize;
use utoipa::ToSchema;

use super::job::{HoursJson, read_destinations, read_hours, read_time};
use super::shapes::{MaintenanceWord, NameOrId, OutagesWord, TagText};
use super::{Fields, Json, Time, TimeInput};
use crate::problem::Problem;

/// When a remark came about, and who said it last.
#[derive(Serialize, ToSchema)]
#[schema(as = Remark)]
struct RemarkJson<'a> {
    created_at: Time,
    updated_at: Time,
    position: u64,
    #[serde(flatten)]
    by: ByJson<'a>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = By)]
struct ByJson<'a> {
    actor: &'a str,
    reason: Option<&'a str>,
}

impl<'a> RemarkJson<'a> {
    fn of<Id, Spec>(remark: &'a Remark<Id, Spec>) -> Self {
        Self {
            created_at: Time(remark.created_at),
            updated_at: Time(remark.updated_at),
            position: remark.changed.0,
            by: ByJson::of(&remark.by),
        }
    }
}

impl<'a> ByJson<'a> {
    fn of(meta: &'a Meta) -> Self {
        Self { actor: &meta.actor, reason: meta.reason.as_deref() }
    }
}

/// An annotation on its way out.
#[derive(Serialize, ToSchema)]
#[schema(as = Annotation)]
pub(crate) struct AnnotationJson<'a> {
    id: u32,
    title: &'a str,
    text: Option<&'a str>,
    start_time: Time,
    end_time: Option<Time>,
    destinations: Vec<&'a str>,
    destination_ids: Vec<u32>,
    tags: &'a [String],
    #[serde(flatten)]
    history: Option<RemarkJson<'a>>,
}

impl<'a> AnnotationJson<'a> {
    pub(crate) fn of(annotation: &'a Annotation, inventory: &'a Inventory) -> Self {
        let history = Some(RemarkJson::of(annotation));
        Self { history, ..Self::of_spec(annotation.id, &annotation.spec, inventory) }
    }

    /// A description alone.
    pub(crate) fn of_spec(id: AnnotationId, spec: &'a AnnotationSpec, inventory: &'a Inventory) -> Self {
        Self {
            id: id.0,
            title: &spec.title,
            text: spec.text.as_deref(),
            start_time: Time(spec.start_time),
            end_time: spec.end_time.map(Time),
            destinations: names(&spec.destinations, inventory),
            destination_ids: spec.destinations.iter().map(|id| id.0).collect(),
            tags: &spec.tags,
            history: None,
        }
    }
}

/// A maintenance window on its way out.
#[derive(Serialize, ToSchema)]
#[schema(as = Maintenance)]
pub(crate) struct MaintenanceJson<'a> {
    id: u32,
    title: &'a str,
    text: Option<&'a str>,
    start_time: Time,
    end_time: Option<Time>,
    weekly: Option<HoursJson<'a>>,
    destinations: Vec<&'a str>,
    destination_ids: Vec<u32>,
    destination_tags: &'a [String],
    #[serde(flatten)]
    history: Option<RemarkJson<'a>>,
}

impl<'a> MaintenanceJson<'a> {
    pub(crate) fn of(maintenance: &'a Maintenance, inventory: &'a Inventory) -> Self {
        let history = Some(RemarkJson::of(maintenance));
        Self { history, ..Self::of_spec(maintenance.id, &maintenance.spec, inventory) }
    }

    /// A description alone.
    pub(crate) fn of_spec(id: MaintenanceId, spec: &'a MaintenanceSpec, inventory: &'a Inventory) -> Self {
        Self {
            id: id.0,
            title: &spec.title,
            text: spec.text.as_deref(),
            start_time: Time(spec.start_time),
            end_time: spec.end_time.map(Time),
            weekly: spec.weekly.as_ref().map(HoursJson::of),
            destinations: names(&spec.destinations, inventory),
            destination_ids: spec.destinations.iter().map(|id| id.0).collect(),
            destination_tags: &spec.destination_tags,
            history: None,
        }
    }
}

/// The names of those that are still there.
fn names<'a>(ids: &[DestinationId], inventory: &'a Inventory) -> Vec<&'a str> {
    ids.iter().filter_map(|id| inventory.destinations.get(id)).map(|found| found.spec.name.as_str()).collect()
}

/// A method of accounting on its way out. Thresholds in percent and milliseconds: the units of the doors.
#[derive(Serialize, ToSchema)]
#[schema(as = Accounting)]
pub(crate) struct AccountingJson {
    retries: u32,
    grace_s: u32,
    maintenance: &'static str,
    observer_outages: &'static str,
    max_loss_percent: Option<f64>,
    max_p95_ms: Option<f64>,
}

pub(super) const MAINTENANCE: [&str; 2] = ["excluded", "counted"];
pub(super) const OBSERVER_OUTAGES: [(&str, ObserverOutages); 3] =
    [("excluded", ObserverOutages::Excluded), ("up", ObserverOutages::Up), ("down", ObserverOutages::Down)];

impl AccountingJson {
    pub(crate) fn of(spec: &AccountingSpec) -> Self {
        Self {
            retries: spec.retries,
            grace_s: spec.grace_s,
            maintenance: MAINTENANCE[usize::from(!spec.is_maintenance_excluded)],
            observer_outages: OBSERVER_OUTAGES
                .into_iter()
                .find(|(_, outages)| *outages == spec.observer_outages)
                .map_or("excluded", |(name, _)| name),
            max_loss_percent: spec.max_loss_ppm.map(|ppm| f64::from(ppm) / 10_000.0),
            max_p95_ms: spec.max_p95_us.map(|us| f64::from(us) / 1_000.0),
        }
    }
}

/// An annotation as a client describes it, for the OpenAPI document.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape of a body that `read_annotation` reads field by field")]
pub(crate) struct AnnotationInput {
    #[schema(min_length = 1, max_length = 128, examples("cable cut"))]
    title: Option<String>,
    #[schema(max_length = 4096)]
    text: Option<String>,
    /// Now, where left out.
    start_time: Option<TimeInput>,
    /// Null for a moment.
    end_time: Option<TimeInput>,
    /// Names or ids; none for everything.
    destinations: Option<Vec<NameOrId>>,
    tags: Option<Vec<TagText>>,
}

/// A maintenance window as a client describes it, for the OpenAPI document.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape of a body that `read_maintenance` reads field by field")]
pub(crate) struct MaintenanceInput<'a> {
    #[schema(min_length = 1, max_length = 128, examples("router upgrade"))]
    title: Option<String>,
    #[schema(max_length = 4096)]
    text: Option<String>,
    /// Now, where left out.
    start_time: Option<TimeInput>,
    /// Null until somebody says so.
    end_time: Option<TimeInput>,
    /// Between the two only within these hours of the week.
    weekly: Option<HoursJson<'a>>,
    /// Names or ids; all, where neither these nor tags are given.
    destinations: Option<Vec<NameOrId>>,
    destination_tags: Option<Vec<TagText>>,
}

/// A method of accounting as a client describes it, for the OpenAPI document: what is left out stays as it is.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape of a body that `read_accounting` reads field by field")]
pub(crate) struct AccountingInput {
    /// Failed checks that have to follow the first before it counts.
    #[schema(maximum = 100)]
    retries: Option<u32>,
    /// Outages shorter than this do not count.
    #[schema(maximum = 86400)]
    grace_s: Option<u32>,
    maintenance: Option<MaintenanceWord>,
    observer_outages: Option<OutagesWord>,
    /// An hour that loses more is degraded; null: none is.
    #[schema(minimum = 0, maximum = 100)]
    max_loss_percent: Option<f64>,
    /// An hour whose 95th percentile is longer is degraded; null: none is.
    #[schema(minimum = 0.001, maximum = 4294967)]
    max_p95_ms: Option<f64>,
}

/// What a GET shows and a PUT may give back without meaning anything by it.
const SHOWN_ONLY: &[&str] = &["id", "created_at", "updated_at", "position", "actor", "reason"];

/// An annotation as a client describes it. What is left out has its default; `start_time` is `now` then.
pub(crate) fn read_annotation(json: &Json, inventory: &Inventory, now: Timestamp) -> Result<AnnotationSpec, Problem> {
    let mut fields = Fields::of(json, "")?.ignore(SHOWN_ONLY);
    let spec = AnnotationSpec {
        title: fields.required_text("title")?,
        text: fields.text("text")?,
        start_time: read_time(&mut fields, "start_time", now)?.unwrap_or(now),
        end_time: read_time(&mut fields, "end_time", now)?,
        destinations: read_destinations(&mut fields, inventory)?,
        tags: fields.texts("tags")?.unwrap_or_default(),
    };
    fields.done()?;
    Ok(spec)
}

/// A maintenance window as a client describes it; `path` is empty at the top of a body.
pub(crate) fn read_maintenance(
    json: &Json,
    path: &str,
    inventory: &Inventory,
    now: Timestamp,
) -> Result<MaintenanceSpec, Problem> {
    let mut fields = Fields::of(json, path)?.ignore(SHOWN_ONLY);
    let spec = MaintenanceSpec {
        title: fields.required_text("title")?,
        text: fields.text("text")?,
        start_time: read_time(&mut fields, "start_time", now)?.unwrap_or(now),
        end_time: read_time(&mut fields, "end_time", now)?,
        weekly: read_hours(&mut fields, "weekly")?,
        destinations: read_destinations(&mut fields, inventory)?,
        destination_tags: fields.texts("destination_tags")?.unwrap_or_default(),
    };
    fields.done()?;
    Ok(spec)
}

/// A method of accounting as a client describes it. What is left out is as in `current`.
pub(crate) fn read_accounting(json: &Json, path: &str, current: &AccountingSpec) -> Result<AccountingSpec, Problem> {
    let mut fields = Fields::of(json, path)?.ignore(SHOWN_ONLY);
    let mut spec = *current;
    if let Some(retries) = fields.number("retries")? {
        spec.retries = retries;
    }
    if let Some(grace_s) = fields.number("grace_s")? {
        spec.grace_s = grace_s;
    }
    if let Some(is_excluded) =
        fields.word("maintenance", &MAINTENANCE, |word| MAINTENANCE.contains(&word).then_some(word == "excluded"))?
    {
        spec.is_maintenance_excluded = is_excluded;
    }
    let names = OBSERVER_OUTAGES.map(|(name, _)| name);
    let find = |word: &str| OBSERVER_OUTAGES.into_iter().find(|(name, _)| *name == word).map(|(_, outages)| outages);
    if let Some(outages) = fields.word("observer_outages", &names, find)? {
        spec.observer_outages = outages;
    }
    // Null takes a threshold away; left out, it stays.
    let (loss, p95) = (fields.peek("max_loss_percent").is_some(), fields.peek("max_p95_ms").is_some());
    let max_loss_ppm = fields.scaled("max_loss_percent", 0.0..=100.0, 10_000.0)?;
    let max_p95_us = fields.scaled("max_p95_ms", 0.001..=4_294_967.0, 1_000.0)?;
    spec.max_loss_ppm = if loss { max_loss_ppm } else { spec.max_loss_ppm };
    spec.max_p95_us = if p95 { max_p95_us } else { spec.max_p95_us };
    fields.done()?;
    Ok(spec)
}
