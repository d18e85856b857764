//! Commands to events, or a no.

use std::collections::BTreeMap;

use netstats_event::{
    ConfigApplied, DestinationAdded, DestinationChanged, DestinationId, DestinationRemoved, DestinationSpec, Envelope,
    Event, JobAdded, JobChanged, JobId, JobRemoved, JobSpec, JobStarted, JobStopped, ManagedBy, Meta, Timestamp,
};

use crate::account;
use crate::command::{Command, DesiredJob, DesiredState, Policy, Rejection, RejectionKind};
use crate::export;
use crate::limits::MAX_IMPORT;
use crate::model::{Destination, Inventory, Job, name_key};
use crate::target;
use crate::validate::{self, did_you_mean};

/// Decides a command on a state: the events that carry it out, in order; none if there is nothing to change. After
/// each of the events, not only after the last, the inventory is whole: names are unique, and jobs name destinations
/// that are there; so a batch too large for one append may go in parts, and a config file decided again on what a cut
/// left behind gives the rest. Pure: the same state, command, meta and policy give the same answer.
///
/// # What becomes of the config file's entries
/// - Declared and not there: added. There and different: changed. The name, whatever its case, is the identity.
/// - There by the user's hand: the file takes it over (`managed_by` becomes config), with a reason in the event.
/// - No longer declared: removed, also if it was taken over before; its samples stay. A user's job that names a removed
///   destination goes on without it.
/// - A starter block is appended if none ever was and no destination or job ever was.
/// - Jobs of the file name destinations of the file, so that a file is right or wrong in itself; tags reach all.
///
/// # Errors
/// The command is wrong, the state does not allow it, or what it is about is not there.
pub fn decide(state: &Inventory, command: Command, meta: &Meta, policy: &Policy) -> Result<Vec<Event>, Rejection> {
    validate::meta(meta)?;
    let event = match command {
        Command::AddDestination(spec) => Some(add_destination(state, spec, ManagedBy::User, meta, policy)?),
        Command::ChangeDestination { id, spec } => {
            let old = users_destination(state, id)?;
            change_destination(state, old, spec, ManagedBy::User, meta, policy)?
        }
        Command::RemoveDestination { id } => {
            users_destination(state, id)?;
            return Ok(remove_destination(state, id, meta));
        }
        Command::AddJob(spec) => Some(add_job(state, spec, ManagedBy::User, meta, policy)?),
        Command::ChangeJob { id, spec } => {
            let old = users_job(state, id)?;
            change_job(state, old, spec, ManagedBy::User, meta, policy)?
        }
        Command::RemoveJob { id } => {
            users_job(state, id)?;
            Some(JobRemoved { id, meta: meta.clone() }.into())
        }
        Command::StartJob { id } => {
            let enabled = users_job(state, id)?.spec.enabled;
            (!enabled).then(|| JobStarted { job: id, meta: meta.clone() }.into())
        }
        Command::StopJob { id } => {
            let enabled = users_job(state, id)?.spec.enabled;
            enabled.then(|| JobStopped { job: id, meta: meta.clone() }.into())
        }
        Command::AddAnnotation(spec) => Some(account::add_annotation(state, spec, meta)?),
        Command::ChangeAnnotation { id, spec } => account::change_annotation(state, id, spec, meta)?,
        Command::RemoveAnnotation { id } => Some(account::remove_annotation(state, id, meta)?),
        Command::AddMaintenance(spec) => Some(account::add_maintenance(state, spec, meta)?),
        Command::ChangeMaintenance { id, spec } => account::change_maintenance(state, id, spec, meta)?,
        Command::RemoveMaintenance { id } => Some(account::remove_maintenance(state, id, meta)?),
        Command::AddExport(spec) => Some(export::add_export(state, spec, meta)?),
        Command::ChangeExport { id, spec } => export::change_export(state, id, spec, meta)?,
        Command::RemoveExport { id } => Some(export::remove_export(state, id, meta)?),
        Command::RequestExport { id } => Some(export::request_export(state, id, meta)?),
        Command::FinishExport { id, run } => Some(export::finish_export(state, id, run, meta)?),
        Command::ChangeAccounting(spec) => account::change_accounting(state, spec, meta)?,
        Command::Import { destinations, jobs } => return import(state, destinations, jobs, meta, policy),
        Command::Undo(undo) => return crate::undo::undo(state, &undo, meta, policy),
        Command::Access(command) => return crate::decide_access::decide(&state.access, command, meta),
        Command::ApplyConfig(desired) => {
            // A file is right or wrong in itself: its starter block is checked also where it is not appended.
            if desired.starter.is_some() && !starts_empty(state) {
                apply_config(&Inventory::default(), desired.clone(), meta, policy)?;
            }
            return apply_config(state, desired, meta, policy);
        }
    };
    Ok(event.into_iter().collect())
}

fn users_destination(state: &Inventory, id: DestinationId) -> Result<&Destination, Rejection> {
    let destination =
        state.destinations.get(&id).ok_or_else(|| Rejection::not_found(format!("there is no destination {id}")))?;
    match destination.spec.managed_by {
        ManagedBy::User => Ok(destination),
        ManagedBy::Config => Err(managed("destination", &destination.spec.name)),
    }
}

fn users_job(state: &Inventory, id: JobId) -> Result<&Job, Rejection> {
    let job = state.jobs.get(&id).ok_or_else(|| Rejection::not_found(format!("there is no job {id}")))?;
    match job.spec.managed_by {
        ManagedBy::User => Ok(job),
        ManagedBy::Config => Err(managed("job", &job.spec.name)),
    }
}

pub(crate) fn managed(what: &str, name: &str) -> Rejection {
    Rejection::conflict(format!("the {what} {name:?} is managed by the config file"))
        .hinting(format!("change it in the config file, under `{what}s`, and reload"))
}

pub(crate) fn taken(what: &str, name: &str, id: impl std::fmt::Display) -> Rejection {
    Rejection::conflict(format!("there is a {what} named {name:?} already, with the id {id}"))
        .at("name")
        .hinting("choose another name; upper and lower case are the same")
}

pub(crate) fn full(what: &str, limit: usize) -> Rejection {
    Rejection::conflict(format!("there are {limit} {what} already, the most allowed"))
        .accepting(format!("at most {limit}"))
        .hinting(format!("remove some, or raise `limits.max_{what}` in the config file"))
}

fn add_destination(
    state: &Inventory,
    spec: DestinationSpec,
    managed_by: ManagedBy,
    meta: &Meta,
    policy: &Policy,
) -> Result<Event, Rejection> {
    let spec = DestinationSpec { managed_by, ..validate::destination(spec)? };
    target::destination(&policy.targets, &spec)?;
    if let Some(other) = state.destination_by_name(&spec.name) {
        return Err(taken("destination", &other.spec.name, other.id));
    }
    // The last number is never given: there must be a next one.
    if state.destinations.len() >= policy.max_destinations || state.next_destination.0 == u32::MAX {
        return Err(full("destinations", policy.max_destinations));
    }
    Ok(DestinationAdded { id: state.next_destination, spec, meta: meta.clone() }.into())
}

fn change_destination(
    state: &Inventory,
    old: &Destination,
    spec: DestinationSpec,
    managed_by: ManagedBy,
    meta: &Meta,
    policy: &Policy,
) -> Result<Option<Event>, Rejection> {
    let spec = DestinationSpec { managed_by, ..validate::destination(spec)? };
    // What the policy denies since can still be renamed and paused; no probe leaves for it.
    if spec.host != old.spec.host {
        target::destination(&policy.targets, &spec)?;
    }
    if let Some(other) = state.destination_by_name(&spec.name)
        && other.id != old.id
    {
        return Err(taken("destination", &other.spec.name, other.id));
    }
    Ok((spec != old.spec).then(|| DestinationChanged { id: old.id, spec, meta: meta.clone() }.into()))
}

/// First the jobs that name it let go of it, then it goes.
fn remove_destination(state: &Inventory, id: DestinationId, meta: &Meta) -> Vec<Event> {
    let name = state.destinations.get(&id).map_or("", |destination| &destination.spec.name);
    let because = because(meta, || format!("its destination {name:?} was removed"));
    let mut events: Vec<Event> = state
        .jobs
        .values()
        .filter(|job| job.spec.destinations.binary_search(&id).is_ok())
        .map(|job| {
            let mut spec = job.spec.clone();
            spec.destinations.retain(|other| *other != id);
            JobChanged { id: job.id, spec, meta: because.clone() }.into()
        })
        .collect();
    events.push(DestinationRemoved { id, meta: meta.clone() }.into());
    events
}

fn add_job(
    state: &Inventory,
    spec: JobSpec,
    managed_by: ManagedBy,
    meta: &Meta,
    policy: &Policy,
) -> Result<Event, Rejection> {
    let spec = JobSpec { managed_by, ..validate::job(spec, state, policy)? };
    target::job(&policy.targets, &spec, state)?;
    if let Some(other) = state.job_by_name(&spec.name) {
        return Err(taken("job", &other.spec.name, other.id));
    }
    if state.jobs.len() >= policy.max_jobs || state.next_job.0 == u32::MAX {
        return Err(full("jobs", policy.max_jobs));
    }
    Ok(JobAdded { id: state.next_job, spec, meta: meta.clone() }.into())
}

fn change_job(
    state: &Inventory,
    old: &Job,
    spec: JobSpec,
    managed_by: ManagedBy,
    meta: &Meta,
    policy: &Policy,
) -> Result<Option<Event>, Rejection> {
    let spec = JobSpec { managed_by, ..validate::job(spec, state, policy)? };
    target::job(&policy.targets, &spec, state)?;
    if let Some(other) = state.job_by_name(&spec.name)
        && other.id != old.id
    {
        return Err(taken("job", &other.spec.name, other.id));
    }
    Ok((spec != old.spec).then(|| JobChanged { id: old.id, spec, meta: meta.clone() }.into()))
}

/// The same meta with a reason, if it has none.
fn because(meta: &Meta, reason: impl FnOnce() -> String) -> Meta {
    Meta { reason: meta.reason.clone().or_else(|| Some(reason())), ..meta.clone() }
}

/// Events in the making, and the state after them.
struct Plan {
    state: Inventory,
    events: Vec<Event>,
}

impl Plan {
    fn push(&mut self, event: Event) {
        let position = self.state.position.next();
        let envelope = Envelope { position, recorded_at: Timestamp::default(), event };
        self.state.apply(&envelope);
        self.events.push(envelope.event);
    }
}

/// No destination and no job ever was, and no starter block.
fn starts_empty(state: &Inventory) -> bool {
    let start = Inventory::default();
    !state.starter_applied && (state.next_destination, state.next_job) == (start.next_destination, start.next_job)
}

fn apply_config(
    state: &Inventory,
    desired: DesiredState,
    meta: &Meta,
    policy: &Policy,
) -> Result<Vec<Event>, Rejection> {
    // The limits count what is there at the end, not what comes and goes on the way.
    let unlimited = Policy { max_destinations: usize::MAX, max_jobs: usize::MAX, ..policy.clone() };
    let gone = because(meta, || "no longer in the config file".to_owned());
    let declared = names("destinations", desired.destinations.iter().map(|spec| spec.name.as_str()))?;
    let declared_jobs = names("jobs", desired.jobs.iter().map(|job| job.spec.name.as_str()))?;
    let mut plan = Plan { state: state.clone(), events: Vec::new() };

    for job in state.jobs.values() {
        if job.spec.managed_by == ManagedBy::Config && !declared_jobs.contains_key(&name_key(&job.spec.name)) {
            plan.push(JobRemoved { id: job.id, meta: gone.clone() }.into());
        }
    }
    for (i, spec) in desired.destinations.into_iter().enumerate() {
        put_destination(&mut plan, spec, meta, &unlimited).map_err(|no| no.under(&format!("destinations[{i}]")))?;
    }
    let known: BTreeMap<_, _> =
        plan.state.destination_names.iter().filter(|(key, _)| declared.contains_key(*key)).map(own).collect();
    for (i, job) in desired.jobs.into_iter().enumerate() {
        put_job(&mut plan, job, &known, meta, &unlimited).map_err(|no| no.under(&format!("jobs[{i}]")))?;
    }
    for destination in state.destinations.values() {
        let managed = destination.spec.managed_by == ManagedBy::Config;
        if managed && !declared.contains_key(&name_key(&destination.spec.name)) {
            remove_destination(&plan.state, destination.id, &gone).into_iter().for_each(|event| plan.push(event));
        }
    }

    let starter = desired.starter.filter(|_| starts_empty(state));
    let starts = starter.is_some();
    if let Some(starter) = starter {
        for (i, spec) in starter.destinations.into_iter().enumerate() {
            let added = add_destination(&plan.state, spec, ManagedBy::User, meta, &unlimited);
            plan.push(added.map_err(|no| no.under(&format!("starter.destinations[{i}]")))?);
        }
        let known = plan.state.destination_names.iter().map(own).collect();
        for (i, job) in starter.jobs.into_iter().enumerate() {
            let added = resolve(job, &known)
                .and_then(|spec| add_job(&plan.state, spec, ManagedBy::User, meta, &unlimited))
                .map_err(|no| no.under(&format!("starter.jobs[{i}]")))?;
            plan.push(added);
        }
    }

    if plan.state.destinations.len() > policy.max_destinations.max(state.destinations.len()) {
        return Err(full("destinations", policy.max_destinations).at("destinations"));
    }
    if plan.state.jobs.len() > policy.max_jobs.max(state.jobs.len()) {
        return Err(full("jobs", policy.max_jobs).at("jobs"));
    }
    if starts || !plan.events.is_empty() || state.config_digest != Some(desired.digest) {
        plan.push(ConfigApplied { digest: desired.digest, starter: starts, meta: meta.clone() }.into());
    }
    Ok(plan.events)
}

fn own((key, id): (&String, &DestinationId)) -> (String, DestinationId) {
    (key.clone(), *id)
}

/// The names of a list by key, with their place; refuses two of one name.
fn names<'a>(list: &str, names: impl Iterator<Item = &'a str>) -> Result<BTreeMap<String, usize>, Rejection> {
    let mut places = BTreeMap::new();
    for (i, name) in names.enumerate() {
        let name = name.trim();
        if let Some(first) = places.insert(name_key(name), i) {
            return Err(Rejection::invalid(
                format!("{list}[{i}].name"),
                format!("{name:?} is the name of {list}[{first}] too"),
            )
            .hinting("give each its own name; upper and lower case are the same"));
        }
    }
    Ok(places)
}

/// Adds each entry, or changes the one of its name; what the config file manages stays its own.
fn import(
    state: &Inventory,
    destinations: Vec<DestinationSpec>,
    jobs: Vec<DesiredJob>,
    meta: &Meta,
    policy: &Policy,
) -> Result<Vec<Event>, Rejection> {
    let given = destinations.len() + jobs.len();
    if given > MAX_IMPORT {
        return Err(Rejection::new(RejectionKind::Invalid, format!("there are {given} entries in one import"))
            .accepting(format!("at most {MAX_IMPORT}")));
    }
    names("destinations", destinations.iter().map(|spec| spec.name.as_str()))?;
    names("jobs", jobs.iter().map(|job| job.spec.name.as_str()))?;
    let mut plan = Plan { state: state.clone(), events: Vec::new() };
    for (i, spec) in destinations.into_iter().enumerate() {
        let event = match plan.state.destination_by_name(spec.name.trim()) {
            None => add_destination(&plan.state, spec, ManagedBy::User, meta, policy).map(Some),
            Some(old) => users_destination(&plan.state, old.id)
                .and_then(|old| change_destination(&plan.state, old, spec, ManagedBy::User, meta, policy)),
        };
        let event = event.map_err(|no| no.under(&format!("destinations[{i}]")))?;
        event.into_iter().for_each(|event| plan.push(event));
    }
    let known = plan.state.destination_names.iter().map(own).collect();
    for (i, job) in jobs.into_iter().enumerate() {
        let event = resolve(job, &known).and_then(|spec| match plan.state.job_by_name(spec.name.trim()) {
            None => add_job(&plan.state, spec, ManagedBy::User, meta, policy).map(Some),
            Some(old) => users_job(&plan.state, old.id)
                .and_then(|old| change_job(&plan.state, old, spec, ManagedBy::User, meta, policy)),
        });
        let event = event.map_err(|no| no.under(&format!("jobs[{i}]")))?;
        event.into_iter().for_each(|event| plan.push(event));
    }
    Ok(plan.events)
}

fn put_destination(plan: &mut Plan, spec: DestinationSpec, meta: &Meta, policy: &Policy) -> Result<(), Rejection> {
    let event = match plan.state.destination_by_name(spec.name.trim()) {
        None => Some(add_destination(&plan.state, spec, ManagedBy::Config, meta, policy)?),
        Some(old) => {
            let meta = takes_over(old.spec.managed_by, meta);
            change_destination(&plan.state, old, spec, ManagedBy::Config, &meta, policy)?
        }
    };
    event.into_iter().for_each(|event| plan.push(event));
    Ok(())
}

fn put_job(
    plan: &mut Plan,
    job: DesiredJob,
    known: &BTreeMap<String, DestinationId>,
    meta: &Meta,
    policy: &Policy,
) -> Result<(), Rejection> {
    let spec = resolve(job, known)?;
    let event = match plan.state.job_by_name(spec.name.trim()) {
        None => Some(add_job(&plan.state, spec, ManagedBy::Config, meta, policy)?),
        Some(old) => {
            let meta = takes_over(old.spec.managed_by, meta);
            change_job(&plan.state, old, spec, ManagedBy::Config, &meta, policy)?
        }
    };
    event.into_iter().for_each(|event| plan.push(event));
    Ok(())
}

fn takes_over(from: ManagedBy, meta: &Meta) -> Meta {
    match from {
        ManagedBy::Config => meta.clone(),
        ManagedBy::User => because(meta, || "the config file declares this name: taken over from the user".to_owned()),
    }
}

/// A job of the file with its destinations' ids in place of their names.
fn resolve(job: DesiredJob, known: &BTreeMap<String, DestinationId>) -> Result<JobSpec, Rejection> {
    let DesiredJob { mut spec, destinations } = job;
    spec.destinations = destinations
        .iter()
        .enumerate()
        .map(|(i, name)| {
            known.get(&name_key(name.trim())).copied().ok_or_else(|| {
                let message = format!("no destination {name:?} is declared");
                did_you_mean(Rejection::invalid(format!("destinations[{i}]"), message), name, known.keys())
            })
        })
        .collect::<Result<_, _>>()?;
    Ok(spec)
}
