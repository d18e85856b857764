//! Annotations, maintenance windows and accounting: commands to events, and which time of whom is maintenance.

use std::ops::{Range, RangeInclusive};

use netstats_event::{
    AccountingChanged, AccountingSpec, AnnotationAdded, AnnotationChanged, AnnotationId, AnnotationRemoved,
    AnnotationSpec, DestinationId, Event, MAX_JOB_DESTINATIONS, MaintenanceAdded, MaintenanceChanged, MaintenanceId,
    MaintenanceRemoved, MaintenanceSpec, Meta, Timestamp,
};

use crate::command::Rejection;
use crate::limits::{MAX_ACCOUNTING_RETRIES, MAX_ANNOTATIONS, MAX_GRACE_S, MAX_MAINTENANCE, MAX_MAINTENANCE_SPANS};
use crate::model::{Annotation, Inventory, Maintenance};
use crate::validate::{active_hours, at_most, required_line, tags, text, within};
use crate::window::Window;

pub(crate) fn add_annotation(state: &Inventory, spec: AnnotationSpec, meta: &Meta) -> Result<Event, Rejection> {
    let spec = annotation(spec, &[], state)?;
    room("annotations", state.annotations.len(), MAX_ANNOTATIONS, state.next_annotation.0)?;
    Ok(AnnotationAdded { id: state.next_annotation, spec, meta: meta.clone() }.into())
}

pub(crate) fn change_annotation(
    state: &Inventory,
    id: AnnotationId,
    spec: AnnotationSpec,
    meta: &Meta,
) -> Result<Option<Event>, Rejection> {
    let old = annotation_of(state, id)?;
    let spec = annotation(spec, &old.spec.destinations, state)?;
    Ok((spec != old.spec).then(|| AnnotationChanged { id, spec, meta: meta.clone() }.into()))
}

pub(crate) fn remove_annotation(state: &Inventory, id: AnnotationId, meta: &Meta) -> Result<Event, Rejection> {
    annotation_of(state, id)?;
    Ok(AnnotationRemoved { id, meta: meta.clone() }.into())
}

pub(crate) fn add_maintenance(state: &Inventory, spec: MaintenanceSpec, meta: &Meta) -> Result<Event, Rejection> {
    let spec = maintenance(spec, &[], state)?;
    room("maintenance windows", state.maintenance.len(), MAX_MAINTENANCE, state.next_maintenance.0)?;
    Ok(MaintenanceAdded { id: state.next_maintenance, spec, meta: meta.clone() }.into())
}

pub(crate) fn change_maintenance(
    state: &Inventory,
    id: MaintenanceId,
    spec: MaintenanceSpec,
    meta: &Meta,
) -> Result<Option<Event>, Rejection> {
    let old = maintenance_of(state, id)?;
    let spec = maintenance(spec, &old.spec.destinations, state)?;
    Ok((spec != old.spec).then(|| MaintenanceChanged { id, spec, meta: meta.clone() }.into()))
}

pub(crate) fn remove_maintenance(state: &Inventory, id: MaintenanceId, meta: &Meta) -> Result<Event, Rejection> {
    maintenance_of(state, id)?;
    Ok(MaintenanceRemoved { id, meta: meta.clone() }.into())
}

pub(crate) fn change_accounting(
    state: &Inventory,
    spec: AccountingSpec,
    meta: &Meta,
) -> Result<Option<Event>, Rejection> {
    accounting(&spec)?;
    Ok((spec != state.accounting).then(|| AccountingChanged { spec, meta: meta.clone() }.into()))
}

fn annotation_of(state: &Inventory, id: AnnotationId) -> Result<&Annotation, Rejection> {
    let found = state.annotations.get(&id).map(AsRef::as_ref);
    found.ok_or_else(|| Rejection::not_found(format!("there is no annotation {id}")))
}

fn maintenance_of(state: &Inventory, id: MaintenanceId) -> Result<&Maintenance, Rejection> {
    let found = state.maintenance.get(&id).map(AsRef::as_ref);
    found.ok_or_else(|| Rejection::not_found(format!("there is no maintenance window {id}")))
}

/// The last number is never given: there must be a next one.
pub(crate) fn room(what: &str, has: usize, limit: usize, next: u32) -> Result<(), Rejection> {
    if has < limit && next != u32::MAX {
        return Ok(());
    }
    Err(Rejection::conflict(format!("there are {has} {what} already, the most allowed"))
        .accepting(format!("at most {limit}"))
        .hinting("remove some that nobody needs any more: the log keeps what they said"))
}

fn annotation(
    mut spec: AnnotationSpec,
    before: &[DestinationId],
    state: &Inventory,
) -> Result<AnnotationSpec, Rejection> {
    spec.title = required_line("title", spec.title)?;
    spec.text = text("text", spec.text)?;
    span(&mut spec.start_time, &mut spec.end_time)?;
    destinations(&mut spec.destinations, before, state)?;
    spec.tags = tags("tags", &spec.tags)?;
    Ok(spec)
}

/// A maintenance window's description in its one form; it may also be one that nobody adds (a what-if).
///
/// # Errors
/// As the command that would add it.
pub fn maintenance(
    mut spec: MaintenanceSpec,
    before: &[DestinationId],
    state: &Inventory,
) -> Result<MaintenanceSpec, Rejection> {
    spec.title = required_line("title", spec.title)?;
    spec.text = text("text", spec.text)?;
    span(&mut spec.start_time, &mut spec.end_time)?;
    destinations(&mut spec.destinations, before, state)?;
    spec.destination_tags = tags("destination_tags", &spec.destination_tags)?;
    if let Some(weekly) = &mut spec.weekly {
        active_hours("weekly", weekly)?;
        if window(&spec).next_open(spec.start_time).is_none() {
            return Err(Rejection::invalid("weekly", "they never open between `start_time` and `end_time`"));
        }
    }
    Ok(spec)
}

/// A method of accounting, checked; it may also be one that nobody saves (a what-if).
///
/// # Errors
/// A figure out of its range.
pub fn accounting(spec: &AccountingSpec) -> Result<(), Rejection> {
    const WHOLE: RangeInclusive<u32> = 0..=1_000_000;
    within("retries", spec.retries, "", 0..=MAX_ACCOUNTING_RETRIES)?;
    within("grace_s", spec.grace_s, " s", 0..=MAX_GRACE_S)?;
    within("max_loss_ppm", spec.max_loss_ppm.unwrap_or(0), " ppm", WHOLE)?;
    within("max_p95_us", spec.max_p95_us.unwrap_or(1), " us", 1..=u32::MAX)
}

fn span(start: &mut Timestamp, end: &mut Option<Timestamp>) -> Result<(), Rejection> {
    *start = start.to_whole_millis();
    *end = end.map(Timestamp::to_whole_millis);
    match end {
        Some(end) if *end <= *start => Err(Rejection::invalid("end_time", "it is not after `start_time`")),
        _ => Ok(()),
    }
}

/// Those that were named before may stay, also when they were removed since.
pub(crate) fn destinations(
    ids: &mut Vec<DestinationId>,
    before: &[DestinationId],
    state: &Inventory,
) -> Result<(), Rejection> {
    ids.sort_unstable();
    ids.dedup();
    at_most("destinations", ids.len(), MAX_JOB_DESTINATIONS)?;
    match ids.iter().find(|id| !state.destinations.contains_key(id) && !before.contains(id)) {
        Some(unknown) => Err(Rejection::invalid("destinations", format!("there is no destination {unknown}"))),
        None => Ok(()),
    }
}

fn window(spec: &MaintenanceSpec) -> Window {
    Window::between(Some(spec.start_time), spec.end_time, spec.weekly.as_ref())
}

/// When a maintenance window is open within `range`, in order and apart; at most [`MAX_MAINTENANCE_SPANS`].
#[must_use]
pub fn maintenance_spans(spec: &MaintenanceSpec, range: &Range<Timestamp>) -> Vec<Range<Timestamp>> {
    let window = window(spec);
    let mut spans = Vec::new();
    let mut at = range.start;
    while spans.len() < MAX_MAINTENANCE_SPANS
        && let Some(open) = window.next_open(at).filter(|open| *open < range.end)
    {
        let close = window.next_close(open).map_or(range.end, |close| close.min(range.end));
        spans.push(open..close);
        at = close;
        if close >= range.end {
            break;
        }
    }
    spans
}

/// True if a maintenance window is about a destination. One that was removed has no tags any more.
#[must_use]
pub fn is_maintained(spec: &MaintenanceSpec, id: DestinationId, state: &Inventory) -> bool {
    let has_tag = || {
        let destination = state.destinations.get(&id);
        destination.is_some_and(|d| d.spec.tags.iter().any(|tag| spec.destination_tags.binary_search(tag).is_ok()))
    };
    (spec.destinations.is_empty() && spec.destination_tags.is_empty())
        || spec.destinations.binary_search(&id).is_ok()
        || has_tag()
}

impl Inventory {
    /// The maintenance of a destination within `range`, window by window: spans of one are in order, those of several
    /// may overlap.
    #[must_use]
    pub fn maintenance_of(&self, id: DestinationId, range: &Range<Timestamp>) -> Vec<Range<Timestamp>> {
        let of_it = self.maintenance.values().filter(|window| is_maintained(&window.spec, id, self));
        of_it.flat_map(|window| maintenance_spans(&window.spec, range)).collect()
    }
}
