//! Jobs.

use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::{HeaderValue, LOCATION};
use netstats_event::{Event, JobId};
use netstats_inventory::{Command, Inventory, Job, JobState, job_status};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::{App, position_only};
use crate::bodies::Asked;
use crate::command::{Done, carry_out};
use crate::json::{Fields, JobJson, ReadBy, StateJson, Time, parse, read_job};
use crate::limits::MAX_LIST;
use crate::moment::{Moment, answer};
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

/// The id of a job of which there may be samples: one that is there, by id or name, or a removed one, by its id.
pub(crate) fn find_ever(inventory: &Inventory, id: &str) -> Result<JobId, Problem> {
    inventory.job_ever(id).map_or_else(|| find(inventory, id).map(|job| job.id), Ok)
}

/// What a job is doing. `error` is "running, and every one of its last slots failed on our side".
fn state(app: &App, moment: &Moment, job: &Job) -> Result<StateJson, Problem> {
    let status = job_status(&moment.inventory, job, moment.now);
    let mut state = StateJson {
        name: status.state.name(),
        since: Time(status.since),
        why: status.why,
        next_run: status.next_run.map(Time),
    };
    if !matches!(status.state, JobState::Running) {
        return Ok(state);
    }
    let members = moment.inventory.members(job);
    let latest = moment.latest_of_job(app, job.id)?;
    let mut of_members = latest.iter().filter(|latest| members.binary_search(&latest.destination).is_ok()).peekable();
    // Slots from before it was enabled say nothing about this run.
    let is_failing = of_members.peek().is_some()
        && of_members
            .all(|latest| latest.failed_in_a_row > 0 && job.enabled_since.is_none_or(|at| latest.slot_at >= at));
    if is_failing {
        let since = latest.iter().filter_map(|latest| latest.failing_since).min();
        let mut failures = Vec::new();
        for latest in &latest {
            failures.extend(moment.last_failure(app, latest.destination)?);
        }
        let failure =
            failures.into_iter().filter(|failure| failure.job == job.id).max_by_key(|failure| failure.position);
        state.name = "error";
        state.since = since.map_or(state.since, Time);
        state.why = failure.map_or_else(|| "every last slot failed on our side".to_owned(), |failure| failure.detail);
    }
    Ok(state)
}

/// A job with its state.
pub(crate) fn json<'a>(app: &App, moment: &'a Moment, job: &'a Job) -> Result<JobJson<'a>, Problem> {
    Ok(JobJson::new(job, &moment.inventory, Some(state(app, moment, job)?)))
}

/// A list of jobs.
#[derive(Serialize, ToSchema)]
#[schema(as = Jobs)]
pub(crate) struct JobList<'a> {
    items: Vec<JobJson<'a>>,
    position: u64,
}

/// `GET /api/jobs`
pub(crate) async fn list(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    super::list(app, call, Asked::Jobs, |inventory| inventory.jobs.len(), page).await
}

/// A page of the list, and where the next begins.
fn page(app: &App, call: &Call, moment: &Moment) -> Result<(Vec<u8>, Option<JobId>), Problem> {
    let position = moment.position(app).0;
    let tag = call.query.get("tag");
    let (after, limit) = (call.cursor()?.unwrap_or(0), call.limit(MAX_LIST));
    let mut found = moment
        .inventory
        .jobs
        .values()
        .filter(|job| u64::from(job.id.0) > after)
        .filter(|job| tag.is_none_or(|tag| job.spec.tags.iter().any(|has| has == tag)));
    let items: Vec<_> = found.by_ref().take(limit).collect();
    let next = found.next().and(items.last().map(|last| last.id));
    let items = items.into_iter().map(|job| json(app, moment, job)).collect::<Result<_, _>>()?;
    Ok((to_bytes(&JobList { items, position }), next))
}

/// `GET /api/jobs/{id}`
pub(crate) async fn show(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    if call.query.get("as_of").is_some() {
        return answer(app, call, |app, call, moment| {
            let job = find(&moment.inventory, &call.id)?;
            Ok(Reply::json(&json(app, moment, job)?).version(job.changed))
        })
        .await;
    }
    let mut moment = Moment::present(&app);
    let job = find(&moment.inventory, &call.id)?.clone();
    let make = |now| {
        moment.now = now;
        let state = state(&app, &moment, &job)?;
        let next_run = state.next_run.map(|next_run| next_run.0);
        Ok::<_, Problem>((to_bytes(&JobJson::new(&job, &moment.inventory, Some(state))), next_run))
    };
    let bytes = app.bodies.try_get(&app, Asked::Job(job.id.0), make)?;
    Ok(Reply::new(StatusCode::OK).body(JSON, bytes).version(job.changed))
}

/// The entry after a command; somebody else may have removed it since.
fn after(app: &App, done: &Done, id: JobId) -> Result<Reply, Problem> {
    match done.inventory.jobs.get(&id) {
        Some(job) => {
            let moment = Moment { as_of: None, now: app.now(), inventory: done.inventory.clone() };
            Ok(Reply::json(&json(app, &moment, job)?).version(job.changed))
        }
        None => position_only(done.position),
    }
}

/// What jobs are read by now.
pub(crate) fn read_by(app: &App) -> ReadBy {
    ReadBy { now: app.now(), floor_s: (app.context.policy)().min_interval_s }
}

/// `POST /api/jobs`
pub(crate) async fn add(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    let (json, by) = (parse(&call.body)?, read_by(&app));
    let wish = |state: &Inventory| Ok(Command::AddJob(read_job(&json, state, None, by)?));
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
    let (json, by) = (parse(&call.body)?, read_by(&app));
    let id = find(&app.context.inventory.current(), &call.id)?.id;
    let wish = |state: &Inventory| {
        let current = find(state, &id.to_string())?;
        call.if_match(current.changed)?;
        Ok(Command::ChangeJob { id, spec: read_job(&json, state, Some(&current.spec), by)? })
    };
    let done = carry_out(&app, app.meta(&call), wish).await?;
    after(&app, &done, id)
}

/// `PATCH /api/jobs/{id}`: JSON Merge Patch (RFC 7396).
pub(crate) async fn patch(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    let (patch, by) = (parse(&call.body)?, read_by(&app));
    let id = find(&app.context.inventory.current(), &call.id)?.id;
    let wish = |state: &Inventory| {
        let current = find(state, &id.to_string())?;
        call.if_match(current.changed)?;
        let shown = JobJson::new(current, state, None);
        let mut json = parse(&serde_json::to_vec(&shown).map_err(|_| Problem::internal())?)?;
        json.merge(patch.clone());
        Ok(Command::ChangeJob { id, spec: read_job(&json, state, Some(&current.spec), by)? })
    };
    let done = carry_out(&app, app.meta(&call), wish).await?;
    after(&app, &done, id)
}

/// `DELETE /api/jobs/{id}`
pub(crate) async fn remove(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    let id = find(&app.context.inventory.current(), &call.id)?.id;
    let wish = |state: &Inventory| {
        call.if_match(find(state, &id.to_string())?.changed)?;
        Ok(Command::RemoveJob { id })
    };
    let done = carry_out(&app, app.meta(&call), wish).await?;
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

/// What may come with a start or a stop.
#[derive(ToSchema)]
#[schema(as = Switch)]
#[expect(dead_code, reason = "the shape of a body that `switch` reads field by field")]
pub(crate) struct SwitchInput {
    /// Why, in the caller's own words.
    #[schema(max_length = 4096)]
    reason: Option<String>,
}

async fn switch(app: Arc<App>, call: Call, command: fn(JobId) -> Command) -> Result<Reply, Problem> {
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
