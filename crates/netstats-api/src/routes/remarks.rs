//! Annotations and maintenance windows: the same routes for both. Also after the fact: `start_time` may be long ago, and
//! what was known before is found with `as_of`.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::header::{HeaderValue, LOCATION};
use hyper::{Method, StatusCode};
use netstats_event::{AnnotationId, DestinationId, Event, MaintenanceId, Position, Timestamp};
use netstats_inventory::{Annotation, Command, Inventory, Maintenance, is_maintained};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::{App, MERGE_PATCH, PositionJson, position_only};
use crate::command::carry_out;
use crate::declare::{AS_OF, Param, ParamKind, param};
use crate::json::{
    AnnotationInput, AnnotationJson, Json, MaintenanceInput, MaintenanceJson, parse, read_annotation, read_maintenance,
};
use crate::limits::MAX_LIST;
use crate::moment::{Moment, moment_at};
use crate::problem::Problem;
use crate::reply::{JSON, Reply, to_bytes};
use crate::route::{Call, Route, route};

/// What the two kinds of remarks differ in.
pub(crate) trait Kind: 'static {
    type Id: Ord + Copy + Send + Sync + std::fmt::Display + 'static;
    type Remark: Send + Sync + 'static;
    type Spec: Clone + Send + Sync + 'static;
    type Json<'a>: Serialize + ToSchema;
    type Input: ToSchema;

    const NAME: &'static str;
    const PATH: &'static str;
    /// `/api/...` and `/api/.../:id`.
    const ENTRY: &'static str;
    /// Of list, add, show, replace, patch, remove.
    const SAYS: [&'static str; 6];
    const TAG: &'static str;

    fn id(number: u32) -> Self::Id;
    fn number(id: Self::Id) -> u32;
    fn version(remark: &Self::Remark) -> Position;
    fn all(inventory: &Inventory) -> &BTreeMap<Self::Id, Arc<Self::Remark>>;
    fn json<'a>(remark: &'a Self::Remark, inventory: &'a Inventory) -> Self::Json<'a>;
    fn read(json: &Json, inventory: &Inventory, now: Timestamp) -> Result<Self::Spec, Problem>;
    fn is_about(remark: &Self::Remark, destination: DestinationId, inventory: &Inventory) -> bool;
    fn span(remark: &Self::Remark) -> (Timestamp, Option<Timestamp>);
    fn add(spec: Self::Spec) -> Command;
    fn change(id: Self::Id, spec: Self::Spec) -> Command;
    fn remove(id: Self::Id) -> Command;
    fn added(event: &Event) -> Option<Self::Id>;
}

/// `/api/annotations`
pub(crate) struct Annotations;
/// `/api/maintenance`
pub(crate) struct MaintenanceWindows;

impl Kind for Annotations {
    type Id = AnnotationId;
    type Remark = Annotation;
    type Spec = netstats_event::AnnotationSpec;
    type Json<'a> = AnnotationJson<'a>;
    type Input = AnnotationInput;

    const NAME: &'static str = "annotation";
    const PATH: &'static str = "/api/annotations";
    const ENTRY: &'static str = "/api/annotations/:id";
    const TAG: &'static str = "annotations";
    const SAYS: [&'static str; 6] = [
        "Remarks on moments and spans of time",
        "Add an annotation, also after the fact",
        "An annotation",
        "Replace all that an annotation says",
        "Change some of what an annotation says (JSON Merge Patch)",
        "Remove an annotation; the log keeps what it said",
    ];

    fn id(number: u32) -> AnnotationId {
        AnnotationId(number)
    }

    fn number(id: AnnotationId) -> u32 {
        id.0
    }

    fn version(remark: &Annotation) -> Position {
        remark.changed
    }

    fn all(inventory: &Inventory) -> &BTreeMap<AnnotationId, Arc<Annotation>> {
        &inventory.annotations
    }

    fn json<'a>(remark: &'a Annotation, inventory: &'a Inventory) -> AnnotationJson<'a> {
        AnnotationJson::of(remark, inventory)
    }

    fn read(json: &Json, inventory: &Inventory, now: Timestamp) -> Result<Self::Spec, Problem> {
        read_annotation(json, inventory, now)
    }

    fn is_about(remark: &Annotation, destination: DestinationId, _inventory: &Inventory) -> bool {
        remark.spec.destinations.is_empty() || remark.spec.destinations.contains(&destination)
    }

    fn span(remark: &Annotation) -> (Timestamp, Option<Timestamp>) {
        // A moment is over at once.
        (remark.spec.start_time, Some(remark.spec.end_time.unwrap_or(remark.spec.start_time)))
    }

    fn add(spec: Self::Spec) -> Command {
        Command::AddAnnotation(spec)
    }

    fn change(id: AnnotationId, spec: Self::Spec) -> Command {
        Command::ChangeAnnotation { id, spec }
    }

    fn remove(id: AnnotationId) -> Command {
        Command::RemoveAnnotation { id }
    }

    fn added(event: &Event) -> Option<AnnotationId> {
        match event {
            Event::AnnotationAdded(added) => Some(added.id),
            _ => None,
        }
    }
}

impl Kind for MaintenanceWindows {
    type Id = MaintenanceId;
    type Remark = Maintenance;
    type Spec = netstats_event::MaintenanceSpec;
    type Json<'a> = MaintenanceJson<'a>;
    type Input = MaintenanceInput<'static>;

    const NAME: &'static str = "maintenance window";
    const PATH: &'static str = "/api/maintenance";
    const ENTRY: &'static str = "/api/maintenance/:id";
    const TAG: &'static str = "maintenance";
    const SAYS: [&'static str; 6] = [
        "Maintenance windows",
        "Add a maintenance window, also after the fact",
        "A maintenance window",
        "Replace all of a maintenance window",
        "Change some of a maintenance window (JSON Merge Patch)",
        "Remove a maintenance window: accounts are as if it never was",
    ];

    fn id(number: u32) -> MaintenanceId {
        MaintenanceId(number)
    }

    fn number(id: MaintenanceId) -> u32 {
        id.0
    }

    fn version(remark: &Maintenance) -> Position {
        remark.changed
    }

    fn all(inventory: &Inventory) -> &BTreeMap<MaintenanceId, Arc<Maintenance>> {
        &inventory.maintenance
    }

    fn json<'a>(remark: &'a Maintenance, inventory: &'a Inventory) -> MaintenanceJson<'a> {
        MaintenanceJson::of(remark, inventory)
    }

    fn read(json: &Json, inventory: &Inventory, now: Timestamp) -> Result<Self::Spec, Problem> {
        read_maintenance(json, "", inventory, now)
    }

    fn is_about(remark: &Maintenance, destination: DestinationId, inventory: &Inventory) -> bool {
        is_maintained(&remark.spec, destination, inventory)
    }

    fn span(remark: &Maintenance) -> (Timestamp, Option<Timestamp>) {
        (remark.spec.start_time, remark.spec.end_time)
    }

    fn add(spec: Self::Spec) -> Command {
        Command::AddMaintenance(spec)
    }

    fn change(id: MaintenanceId, spec: Self::Spec) -> Command {
        Command::ChangeMaintenance { id, spec }
    }

    fn remove(id: MaintenanceId) -> Command {
        Command::RemoveMaintenance { id }
    }

    fn added(event: &Event) -> Option<MaintenanceId> {
        match event {
            Event::MaintenanceAdded(added) => Some(added.id),
            _ => None,
        }
    }
}

/// The routes of both.
pub(crate) fn routes() -> Vec<Route<App>> {
    let mut routes = of::<Annotations>();
    routes.extend(of::<MaintenanceWindows>());
    routes
}

const RANGE: [Param; 3] = [
    param("start_time", ParamKind::Time, "Only those that end at or after this time"),
    param("end_time", ParamKind::Time, "Only those that start before this time"),
    param("destination", ParamKind::Text, "Only those about this destination, by name or id"),
];

fn of<K: Kind>() -> Vec<Route<App>> {
    let [list_says, add_says, show_says, replace_says, patch_says, remove_says] = K::SAYS;
    vec![
        route(Method::GET, K::PATH, list::<K>)
            .says(K::TAG, list_says)
            .query(&RANGE)
            .query(&[AS_OF])
            .paged(MAX_LIST as u64)
            .selectable()
            .gives::<List<K::Json<'static>>>(),
        route(Method::POST, K::PATH, add::<K>)
            .says(K::TAG, add_says)
            .reads::<K::Input>()
            .answers(StatusCode::CREATED)
            .gives::<K::Json<'static>>(),
        route(Method::GET, K::ENTRY, show::<K>)
            .says(K::TAG, show_says)
            .query(&[AS_OF])
            .selectable()
            .gives::<K::Json<'static>>(),
        route(Method::PUT, K::ENTRY, replace::<K>)
            .says(K::TAG, replace_says)
            .reads::<K::Input>()
            .gives::<K::Json<'static>>(),
        route(Method::PATCH, K::ENTRY, patch::<K>)
            .says(K::TAG, patch_says)
            .taking(MERGE_PATCH)
            .reads::<K::Input>()
            .gives::<K::Json<'static>>(),
        route(Method::DELETE, K::ENTRY, remove::<K>).says(K::TAG, remove_says).gives::<PositionJson>(),
    ]
}

/// A page of remarks.
#[derive(Serialize, ToSchema)]
struct List<J> {
    items: Vec<J>,
    position: u64,
}

/// The remark of an id.
fn find<'a, K: Kind>(inventory: &'a Inventory, id: &str) -> Result<(K::Id, &'a Arc<K::Remark>), Problem> {
    let number = id.parse::<u32>().ok().map(K::id);
    let found = number.and_then(|id| Some((id, K::all(inventory).get(&id)?)));
    found.ok_or_else(|| {
        let shown: String = id.chars().take(80).collect();
        Problem::not_found(format!("there is no {} {shown:?}", K::NAME))
    })
}

/// `GET`: all, those that touch a range, those about a destination.
async fn list<K: Kind>(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    let (after, limit) = (call.cursor()?.unwrap_or(0), call.limit(MAX_LIST));
    let Moment { inventory, now, .. } = moment_at(&app, &call).await?;
    let (from, to) = (call.time("start_time", now)?, call.time("end_time", now)?);
    let destination = call.query.get("destination").map(|id| super::range::destination(&inventory, id)).transpose()?;
    let touches = |remark: &K::Remark| {
        let (start, end) = K::span(remark);
        to.is_none_or(|to| start < to) && from.is_none_or(|from| end.is_none_or(|end| end >= from))
    };
    let mut found = K::all(&inventory).iter().filter(|(id, remark)| {
        u64::from(K::number(**id)) > after
            && touches(remark)
            && destination.is_none_or(|destination| K::is_about(remark, destination, &inventory))
    });
    let items: Vec<_> = found.by_ref().take(limit).collect();
    let next = found.next().and(items.last()).map(|(id, _)| **id);
    let items = items.into_iter().map(|(_, remark)| K::json(remark, &inventory)).collect();
    let reply = Reply::json(&List { items, position: inventory.position.0 });
    Ok(match next {
        Some(next) => call.with_next(reply, next),
        None => reply,
    })
}

/// `GET` of one.
async fn show<K: Kind>(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    let inventory = moment_at(&app, &call).await?.inventory;
    let (_, remark) = find::<K>(&inventory, &call.id)?;
    Ok(body::<K>(remark, &inventory))
}

fn body<K: Kind>(remark: &K::Remark, inventory: &Inventory) -> Reply {
    let bytes = to_bytes(&K::json(remark, inventory));
    Reply::new(StatusCode::OK).body(JSON, bytes).version(K::version(remark))
}

/// `POST`
async fn add<K: Kind>(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    let (json, now) = (parse(&call.body)?, app.now());
    let wish = |state: &Inventory| Ok(K::add(K::read(&json, state, now)?));
    let done = carry_out(&app, app.meta(&call), wish).await?;
    let id = done.events.iter().find_map(K::added).ok_or_else(Problem::internal)?;
    let reply = match K::all(&done.inventory).get(&id) {
        Some(remark) => body::<K>(remark, &done.inventory),
        None => position_only(done.position)?,
    };
    let location = HeaderValue::from_str(&format!("{}/{id}", K::PATH)).map_err(|_| Problem::internal())?;
    Ok(reply.status(StatusCode::CREATED).header(LOCATION, location))
}

/// `PUT`
async fn replace<K: Kind>(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    let json = parse(&call.body)?;
    change::<K>(app, call, move |_, _| Ok(json.clone())).await
}

/// `PATCH`: JSON Merge Patch (RFC 7396).
async fn patch<K: Kind>(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    let patch = parse(&call.body)?;
    let merged = move |remark: &K::Remark, inventory: &Inventory| {
        let mut json = parse(&to_bytes(&K::json(remark, inventory)))?;
        json.merge(patch.clone());
        Ok(json)
    };
    change::<K>(app, call, merged).await
}

async fn change<K: Kind>(
    app: Arc<App>,
    call: Call,
    json: impl Fn(&K::Remark, &Inventory) -> Result<Json, Problem>,
) -> Result<Reply, Problem> {
    let now = app.now();
    let id = find::<K>(&app.context.inventory.current(), &call.id)?.0;
    let wish = |state: &Inventory| {
        let (id, remark) = find::<K>(state, &id.to_string())?;
        call.if_match(K::version(remark))?;
        Ok(K::change(id, K::read(&json(remark, state)?, state, now)?))
    };
    let done = carry_out(&app, app.meta(&call), wish).await?;
    match K::all(&done.inventory).get(&id) {
        Some(remark) => Ok(body::<K>(remark, &done.inventory)),
        None => position_only(done.position),
    }
}

/// `DELETE`
async fn remove<K: Kind>(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    let id = find::<K>(&app.context.inventory.current(), &call.id)?.0;
    let wish = |state: &Inventory| {
        let (id, remark) = find::<K>(state, &id.to_string())?;
        call.if_match(K::version(remark))?;
        Ok(K::remove(id))
    };
    let done = carry_out(&app, app.meta(&call), wish).await?;
    position_only(done.position)
}
