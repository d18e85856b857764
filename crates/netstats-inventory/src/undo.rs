//! Taking a config event back: the event that makes the entry what it was.

use std::sync::Arc;

use netstats_event::{
    DestinationAdded, DestinationId, Event, JobAdded, JobChanged, JobId, JobSpec, ManagedBy, Meta, Position,
};

use crate::command::{Command, Policy, Rejection};
use crate::decide::{decide, full, managed, taken};
use crate::model::Inventory;

/// What is to be taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undo {
    /// The event's place.
    pub position: Position,
    /// The event.
    pub event: Event,
    /// The inventory before the command that the event came from.
    pub before: Arc<Inventory>,
}

/// The events that take it back. What was removed comes back under its id, and with it everything it measured.
pub(crate) fn undo(state: &Inventory, undo: &Undo, meta: &Meta, policy: &Policy) -> Result<Vec<Event>, Rejection> {
    let Undo { position, event, before } = undo;
    let meta = Meta {
        reason: meta.reason.clone().or_else(|| Some(format!("undo of {} at {position}", event.name()))),
        ..meta.clone()
    };
    let then = |command| decide(state, command, &meta, policy);
    match event {
        Event::DestinationAdded(e) => {
            is_last(state.destinations.get(&e.id).map(|d| d.changed), *position, "destination")?;
            then(Command::RemoveDestination { id: e.id })
        }
        Event::DestinationChanged(e) => {
            is_last(state.destinations.get(&e.id).map(|d| d.changed), *position, "destination")?;
            let old = before.destinations.get(&e.id).ok_or_else(gone)?;
            then(Command::ChangeDestination { id: e.id, spec: old.spec.clone() })
        }
        Event::DestinationRemoved(e) => destination_back(state, before, e.id, &meta, policy),
        Event::JobAdded(e) => {
            is_last(state.jobs.get(&e.id).map(|job| job.changed), *position, "job")?;
            then(Command::RemoveJob { id: e.id })
        }
        Event::JobChanged(e) => {
            is_last(state.jobs.get(&e.id).map(|job| job.changed), *position, "job")?;
            let old = before.jobs.get(&e.id).ok_or_else(gone)?;
            then(Command::ChangeJob { id: e.id, spec: with_present(state, &old.spec) })
        }
        Event::JobRemoved(e) => job_back(state, before, e.id, &meta, policy),
        Event::JobStarted(e) => {
            is_last(state.jobs.get(&e.job).map(|job| job.changed), *position, "job")?;
            then(Command::StopJob { id: e.job })
        }
        Event::JobStopped(e) => {
            is_last(state.jobs.get(&e.job).map(|job| job.changed), *position, "job")?;
            then(Command::StartJob { id: e.job })
        }
        other => Err(Rejection::conflict(format!("{} cannot be taken back", other.name()))
            .accepting("changes of destinations and jobs")),
    }
}

fn gone() -> Rejection {
    Rejection::conflict("what was there before is not known any more")
}

/// Taking back an older change would take back the ones after it too, unseen.
fn is_last(changed: Option<Position>, position: Position, what: &str) -> Result<(), Rejection> {
    match changed {
        Some(changed) if changed == position => Ok(()),
        Some(changed) => Err(Rejection::conflict(format!("the {what} was changed again at {changed}"))
            .hinting(format!("take that back first: POST /api/undo/{changed}"))),
        None => {
            Err(Rejection::conflict(format!("the {what} is not there any more")).hinting("take its removal back first"))
        }
    }
}

fn destination_back(
    state: &Inventory,
    before: &Inventory,
    id: DestinationId,
    meta: &Meta,
    policy: &Policy,
) -> Result<Vec<Event>, Rejection> {
    let old = before.destinations.get(&id).ok_or_else(gone)?;
    if state.destinations.contains_key(&id) {
        return Err(Rejection::conflict("the destination is there already"));
    }
    if old.spec.managed_by == ManagedBy::Config {
        return Err(managed("destination", &old.spec.name));
    }
    if let Some(other) = state.destination_by_name(&old.spec.name) {
        return Err(taken("destination", &other.spec.name, other.id));
    }
    if state.destinations.len() >= policy.max_destinations {
        return Err(full("destinations", policy.max_destinations));
    }
    crate::target::destination(&policy.targets, &old.spec)?;
    let mut events = vec![DestinationAdded { id, spec: old.spec.clone(), meta: meta.clone() }.into()];
    // The jobs that had to let go of it take it up again.
    for job in before.jobs.values().filter(|job| job.spec.destinations.contains(&id)) {
        let Some(now) = state.jobs.get(&job.id).filter(|now| now.spec.managed_by == ManagedBy::User) else { continue };
        let mut spec = now.spec.clone();
        if let Err(at) = spec.destinations.binary_search(&id) {
            spec.destinations.insert(at, id);
            events.push(JobChanged { id: job.id, spec, meta: meta.clone() }.into());
        }
    }
    Ok(events)
}

fn job_back(
    state: &Inventory,
    before: &Inventory,
    id: JobId,
    meta: &Meta,
    policy: &Policy,
) -> Result<Vec<Event>, Rejection> {
    let old = before.jobs.get(&id).ok_or_else(gone)?;
    if state.jobs.contains_key(&id) {
        return Err(Rejection::conflict("the job is there already"));
    }
    if old.spec.managed_by == ManagedBy::Config {
        return Err(managed("job", &old.spec.name));
    }
    if let Some(other) = state.job_by_name(&old.spec.name) {
        return Err(taken("job", &other.spec.name, other.id));
    }
    if state.jobs.len() >= policy.max_jobs {
        return Err(full("jobs", policy.max_jobs));
    }
    let spec = with_present(state, &old.spec);
    crate::target::job(&policy.targets, &spec, state)?;
    Ok(vec![JobAdded { id, spec, meta: meta.clone() }.into()])
}

/// Without destinations that were removed since.
fn with_present(state: &Inventory, spec: &JobSpec) -> JobSpec {
    let mut spec = spec.clone();
    spec.destinations.retain(|id| state.destinations.contains_key(id));
    spec
}
