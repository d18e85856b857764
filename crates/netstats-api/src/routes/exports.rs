//! Export jobs: what is made again and again, its runs, and the files that they left.

use std::io;
use std::sync::Arc;

use hyper::header::{HeaderValue, LOCATION};
use hyper::{Method, StatusCode};
use netstats_event::{Event, ExportId, Position};
use netstats_inventory::{Command, ExportJob, FinishedRun, Inventory};
use serde::Serialize;
use utoipa::ToSchema;

use super::export::{MEDIA_TYPES, attachment};
use crate::app::{App, MERGE_PATCH, PositionJson, position_only};
use crate::command::{Done, blocking, carry_out};
use crate::declare::{Param, ParamKind, param};
use crate::exports::{Exporter, Place};
use crate::json::{ExportInput, ExportJson, Json, RunJson, parse, read_export};
use crate::limits::MAX_LIST;
use crate::problem::Problem;
use crate::reply::{JSON, Reply, to_bytes};
use crate::route::{Call, Route, route};
use crate::stream::Stream;

const RUN: Param = param("run", ParamKind::Whole(1, u64::MAX), "The run's number; else the last whose file is there");

/// The routes.
pub(crate) fn routes() -> Vec<Route<App>> {
    const ALL: &str = "/api/exports";
    const ONE: &str = "/api/exports/:id";
    vec![
        route(Method::GET, ALL, list)
            .says("exports", "All export jobs, with what they are doing")
            .paged(MAX_LIST as u64)
            .selectable()
            .gives::<List<ExportJson<'static>>>(),
        route(Method::POST, ALL, add)
            .says("exports", "Add an export job: a file that is made by a schedule, or whenever somebody asks")
            .reads::<ExportInput>()
            .answers(StatusCode::CREATED)
            .gives::<ExportJson<'static>>(),
        route(Method::GET, ONE, show)
            .says("exports", "An export job, with what it is doing and how far it is")
            .selectable()
            .gives::<ExportJson<'static>>(),
        route(Method::PUT, ONE, replace)
            .says("exports", "Replace all of an export job's description")
            .reads::<ExportInput>()
            .gives::<ExportJson<'static>>(),
        route(Method::PATCH, ONE, patch)
            .says("exports", "Change some of an export job's description (JSON Merge Patch)")
            .taking(MERGE_PATCH)
            .reads::<ExportInput>()
            .gives::<ExportJson<'static>>(),
        route(Method::DELETE, ONE, remove)
            .says("exports", "Remove an export job; its files stay")
            .gives::<PositionJson>(),
        route(Method::POST, "/api/exports/:id/run", run)
            .says("exports", "Make the file now; it waits for its turn if others are being made")
            .answers(StatusCode::ACCEPTED)
            .gives::<ExportJson<'static>>(),
        route(Method::POST, "/api/exports/:id/cancel", cancel)
            .says("exports", "Call off what waits or is being made")
            .answers(StatusCode::ACCEPTED)
            .gives::<ExportJson<'static>>(),
        route(Method::GET, "/api/exports/:id/runs", runs)
            .says("exports", "The last runs of an export job, newest first")
            .selectable()
            .gives::<List<RunJson<'static>>>(),
        route(Method::GET, "/api/exports/:id/file", file)
            .says("exports", "A file that a run left")
            .query(&[RUN])
            .gives_other(MEDIA_TYPES[0])
            .or_gives(&MEDIA_TYPES),
    ]
}

#[derive(Serialize, ToSchema)]
struct List<J> {
    items: Vec<J>,
    position: u64,
}

/// The export of an id or name.
fn find<'a>(inventory: &'a Inventory, id: &str) -> Result<&'a Arc<ExportJob>, Problem> {
    let by_id = id.parse::<u32>().ok().and_then(|id| inventory.exports.get(&ExportId(id)));
    let named = || inventory.exports.values().find(|export| export.spec.name.to_lowercase() == id.to_lowercase());
    by_id.or_else(named).ok_or_else(|| {
        let shown: String = id.chars().take(80).collect();
        let problem = Problem::not_found(format!("there is no export {shown:?}"));
        crate::nearest::hint(problem, id, inventory.exports.values().map(|export| export.spec.name.as_str()))
    })
}

fn place(app: &App) -> Result<Place, Problem> {
    app.exports_place.clone().ok_or_else(|| {
        Problem::unavailable("there is no exports folder here")
            .hint("this needs the running product: network-stats serve")
    })
}

fn body(app: &App, export: &ExportJob, inventory: &Inventory) -> Reply {
    let bytes = to_bytes(&ExportJson::of(export, inventory, app));
    Reply::new(StatusCode::OK).body(JSON, bytes).version(export.changed)
}

/// The entry after a command; somebody else may have removed it since.
fn after(app: &App, done: &Done, id: ExportId) -> Result<Reply, Problem> {
    match done.inventory.exports.get(&id) {
        Some(export) => Ok(body(app, export, &done.inventory)),
        None => position_only(done.position),
    }
}

async fn list(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    let inventory = app.context.inventory.current();
    let (after, limit) = (call.cursor()?.unwrap_or(0), call.limit(MAX_LIST));
    let mut found = inventory.exports.values().filter(|export| u64::from(export.id.0) > after);
    let shown: Vec<_> = found.by_ref().take(limit).collect();
    let next = found.next().and(shown.last()).map(|last| last.id);
    let items = shown.into_iter().map(|export| ExportJson::of(export, &inventory, &app)).collect();
    let reply = Reply::json(&List { items, position: inventory.position.0 });
    Ok(match next {
        Some(next) => call.with_next(reply, next),
        None => reply,
    })
}

async fn show(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    let inventory = app.context.inventory.current();
    Ok(body(&app, find(&inventory, &call.id)?, &inventory))
}

async fn add(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    let json = parse(&call.body)?;
    let wish = |state: &Inventory| Ok(Command::AddExport(read_export(&json, state)?));
    let done = carry_out(&app, app.meta(&call), wish).await?;
    let added = done.events.iter().find_map(|event| match event {
        Event::ExportJobCreated(added) => Some(added.id),
        _ => None,
    });
    let id = added.ok_or_else(Problem::internal)?;
    let location = HeaderValue::from_str(&format!("/api/exports/{id}")).map_err(|_| Problem::internal())?;
    Ok(after(&app, &done, id)?.status(StatusCode::CREATED).header(LOCATION, location))
}

async fn replace(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    let json = parse(&call.body)?;
    change(app, call, move |_, _| Ok(json.clone())).await
}

async fn patch(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    let patch = parse(&call.body)?;
    let merged = move |export: &ExportJob, inventory: &Inventory| {
        let mut json = parse(&to_bytes(&ExportJson::of_spec(export.id, &export.spec, inventory)))?;
        json.merge(patch.clone());
        Ok(json)
    };
    change(app, call, merged).await
}

async fn change(
    app: Arc<App>,
    call: Call,
    json: impl Fn(&ExportJob, &Inventory) -> Result<Json, Problem>,
) -> Result<Reply, Problem> {
    let id = find(&app.context.inventory.current(), &call.id)?.id;
    let wish = |state: &Inventory| {
        let export = find(state, &id.to_string())?;
        call.if_match(export.changed)?;
        Ok(Command::ChangeExport { id, spec: read_export(&json(export, state)?, state)? })
    };
    let done = carry_out(&app, app.meta(&call), wish).await?;
    after(&app, &done, id)
}

async fn remove(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    let id = find(&app.context.inventory.current(), &call.id)?.id;
    let wish = |state: &Inventory| {
        call.if_match(find(state, &id.to_string())?.changed)?;
        Ok(Command::RemoveExport { id })
    };
    let done = carry_out(&app, app.meta(&call), wish).await?;
    app.exporter.cancel(id);
    position_only(done.position)
}

async fn run(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    place(&app)?;
    let id = find(&app.context.inventory.current(), &call.id)?.id;
    app.exporter.refuse_twice(id)?;
    // On record before it begins: whatever happens to this process, its end will be told.
    let done = carry_out(&app, app.meta(&call), |_| Ok(Command::RequestExport { id })).await?;
    Exporter::take_up_requests(&app, &done.inventory);
    Ok(after(&app, &done, id)?.status(StatusCode::ACCEPTED))
}

async fn cancel(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    let inventory = app.context.inventory.current();
    let export = find(&inventory, &call.id)?;
    if !app.exporter.cancel(export.id) {
        return Err(Problem::new(StatusCode::CONFLICT, "conflict", "this export is not being made"));
    }
    Ok(body(&app, export, &inventory).status(StatusCode::ACCEPTED))
}

async fn runs(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    let inventory = app.context.inventory.current();
    let id = find(&inventory, &call.id)?.id;
    let runs = inventory.export_runs.get(&id).cloned().unwrap_or_default();
    let position = inventory.position.0;
    // Whether a file is there is asked of the disk.
    blocking(move || {
        let items = runs.iter().rev().map(|run| RunJson::of(run).kept(&app, id)).collect();
        Reply::json(&List { items, position })
    })
    .await
}

async fn file(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    let place = place(&app)?;
    let inventory = app.context.inventory.current();
    let id = find(&inventory, &call.id)?.id;
    let runs = inventory.export_runs.get(&id).cloned().unwrap_or_default();
    let wanted = call.query.get("run").and_then(|run| run.parse().ok()).map(Position);
    blocking(move || {
        let is_wanted = |it: &&FinishedRun| wanted.is_none_or(|wanted| wanted == it.position);
        let files = runs.iter().rev().filter(is_wanted).filter_map(|it| it.run.file.as_deref());
        let found = files.into_iter().find_map(|file| Some((file, place.open(file).ok()?)));
        let (name, mut from) =
            found.ok_or_else(|| Problem::not_found("there is no such file, or it is not kept any more"))?;
        let name = name.rsplit('/').next().unwrap_or(name).to_owned();
        let stream = Stream::made_by(move |out| io::copy(&mut from, out).map(drop));
        attachment("application/octet-stream", &name, stream)
    })
    .await?
}
