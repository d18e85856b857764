//! Jobs.

use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::{HeaderValue, LOCATION};
use netstats_event::{Event, JobId, Timestamp};
use netstats_inventory::{Command, Inventory, Job, JobState, job_status};
use serde::Serialize;

use crate::app::{App, position_only};
use crate::bodies::Asked;
use crate::command::{Done, carry_out};
use crate::json::{Fields, JobJson, StateJson, Time, parse, read_job};
use crate::problem::Problem;
use crate::reply::{JSON, Reply, to_bytes};
use crate::route::Call;

/// The job of an id or name.
pub(crate) fn find<'a>(inventory: &'a Inventory, id: &str) -> Result<&'a Arc<Job>, Problem> {
    inventory.find_job(id).ok_or_else(|| {
        let shown: String = id.chars().take(80).collect();
        let problem = Problem::not_found(format!("there is no job {shown:?}"));
        crate::nearest::hint(problem, id, inventory.jobs.values().map(|job| job.spec.name.as_str()))
    })
}

/// What a job is doing. `error` is "running, and every one of its last slots failed on our side".
fn state(app: &App, inventory: &Inventory, job: &Job, now: Timestamp) -> StateJson {
    let status = job_status(inventory, job, now);
    let mut state = StateJson {
        name: status.state.name(),
        since: Time(status.since),
        why: status.why,
        next_run: status.next_run.map(Time),
    };
    if !matches!(status.state, JobState::Running) {
        return state;
    }
    let members = inventory.members(job);
    let latest = app.context.series.latest_of_job(job.id);
    let mut of_members = latest.iter().filter(|latest| members.binary_search(&latest.destination).is_ok()).peekable();
    // Slots from before it was enabled say nothing about this run.
    let is_failing = of_members.peek().is_some()
        && of_members
            .all(|latest| latest.failed_in_a_row > 0 && job.enabled_since.is_none_or(|at| latest.slot_at >= at));
    if is_failing {
        let since = latest.iter().filter_map(|latest| latest.failing_since).min();
        let failure = latest
            .iter()
            .filter_map(|latest| app.context.series.latest(latest.destination)?.last_failure)
            .filter(|failure| failure.job == job.id)
            .max_by_key(|failure| failure.position);
        state.name = "error";
        state.since = since.map_or(state.since, Time);
        state.why = failure.map_or_else(|| "every last slot failed on our side".to_owned(), |failure| failure.detail);
    }
    state
}

/// A job with its state, now.
pub(crate) fn json<'a>(app: &App, inventory: &'a Inventory, job: &'a Job) -> JobJson<'a> {
    JobJson::new(job, inventory, Some(state(app, inventory, job, app.now())))
}

fn body(app: &App, inventory: &Inventory, job: &Job) -> Reply {
    Reply::json(&json(app, inventory, job))
}

/// `GET /api/jobs`
pub(crate) async fn list(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    #[derive(Serialize)]
    struct List<'a> {
        items: Vec<JobJson<'a>>,
        position: u64,
    }
    call.query.only(&["tag"])?;
    let tag = call.query.get("tag");
    let make = || {
        let position = app.visible().0;
        let inventory = app.context.inventory.current();
        let items = inventory
            .jobs
            .values()
            .filter(|job| tag.is_none_or(|tag| job.spec.tags.iter().any(|has| has == tag)))
            .map(|job| json(&app, &inventory, job))
            .collect();
        to_bytes(&List { items, position })
    };
    let bytes = if tag.is_none() { app.bodies.get(&app, Asked::Jobs, |_| (make(), None)) } else { make().into() };
    Ok(Reply::new(StatusCode::OK).body(JSON, bytes))
}

/// `GET /api/jobs/{id}`
pub(crate) async fn show(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    call.query.only(&[])?;
    let inventory = app.context.inventory.current();
    let job = find(&inventory, &call.id)?;
    let make = |now| {
        let state = state(&app, &inventory, job, now);
        let next_run = state.next_run.map(|next_run| next_run.0);
        (to_bytes(&JobJson::new(job, &inventory, Some(state))), next_run)
    };
    Ok(Reply::new(StatusCode::OK).body(JSON, app.bodies.get(&app, Asked::Job(job.id.0), make)))
}

/// The entry after a command; somebody else may have removed it since.
fn after(app: &App, done: &Done, id: JobId) -> Result<Reply, Problem> {
    match done.inventory.jobs.get(&id) {
        Some(job) => Ok(body(app, &done.inventory, job)),
        None => position_only(done.position),
    }
}

/// `POST /api/jobs`
pub(crate) async fn add(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    call.query.only(&["reason"])?;
    let json = parse(&call.body)?;
    let wish = |state: &Inventory| Ok(Command::AddJob(read_job(&json, state, None)?));
    let done = carry_out(&app, app.meta(&call), wish).await?;
    let added = done.events.iter().find_map(|event| match event {
        Event::JobAdded(added) => Some(added.id),
        _ => None,
    });
    let id = added.ok_or_else(Problem::internal)?;
    let reply = after(&app, &done, id)?.status(StatusCode::CREATED);
    Ok(match HeaderValue::from_str(&format!("/api/jobs/{id}")) {
        Ok(location) => reply.header(LOCATION, location),
        Err(_) => reply,
    })
}

/// `PUT /api/jobs/{id}`
pub(crate) async fn replace(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    call.query.only(&["reason"])?;
    let json = parse(&call.body)?;
    let id = find(&app.context.inventory.current(), &call.id)?.id;
    let wish = |state: &Inventory| {
        let current = find(state, &id.to_string())?;
        Ok(Command::ChangeJob { id, spec: read_job(&json, state, Some(&current.spec))? })
    };
    let done = carry_out(&app, app.meta(&call), wish).await?;
    after(&app, &done, id)
}

/// `PATCH /api/jobs/{id}`: JSON Merge Patch (RFC 7396).
pub(crate) async fn patch(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    call.query.only(&["reason"])?;
    let patch = parse(&call.body)?;
    let id = find(&app.context.inventory.current(), &call.id)?.id;
    let wish = |state: &Inventory| {
        let current = find(state, &id.to_string())?;
        let shown = JobJson::new(current, state, None);
        let mut json = parse(&serde_json::to_vec(&shown).map_err(|_| Problem::internal())?)?;
        json.merge(patch.clone());
        Ok(Command::ChangeJob { id, spec: read_job(&json, state, Some(&current.spec))? })
    };
    let done = carry_out(&app, app.meta(&call), wish).await?;
    after(&app, &done, id)
}

/// `DELETE /api/jobs/{id}`
pub(crate) async fn remove(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    call.query.only(&["reason"])?;
    let id = find(&app.context.inventory.current(), &call.id)?.id;
    let done = carry_out(&app, app.meta(&call), |_| Ok(Command::RemoveJob { id })).await?;
    position_only(done.position)
}

/// `POST /api/jobs/{id}/start`
pub(crate) async fn start(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    switch(app, call, |id| Command::StartJob { id }).await
}

/// `POST /api/jobs/{id}/stop`
pub(crate) async fn stop(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    switch(app, call, |id| Command::StopJob { id }).await
}

async fn switch(app: Arc<App>, call: Call, command: fn(JobId) -> Command) -> Result<Reply, Problem> {
    call.query.only(&["reason"])?;
    let id = find(&app.context.inventory.current(), &call.id)?.id;
    let mut meta = app.meta(&call);
    if !call.body.is_empty() {
        let json = parse(&call.body)?;
        let mut fields = Fields::of(&json, "")?;
        meta.reason = fields.text("reason")?.or(meta.reason);
        fields.done()?;
    }
    let done = carry_out(&app, meta, |_| Ok(command(id))).await?;
    after(&app, &done, id)
}
