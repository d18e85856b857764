//! Destinations.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{HeaderValue, LOCATION};
use netstats_event::{DestinationId, Event, Timestamp};
use netstats_inventory::{Command, Destination, Inventory, is_active};
use netstats_series::DestinationLatest;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::{App, position_only};
use crate::bodies::Asked;
use crate::command::{Done, carry_out};
use crate::declare::{Param, ParamKind, param};
use crate::json::{DestinationJson, parse, read_destination};
use crate::limits::MAX_LIST;
use crate::moment::{Moment, answer};
use crate::problem::Problem;
use crate::reply::{JSON, Reply, to_bytes};
use crate::route::Call;

/// What is older than this many intervals does not say how a destination does.
const STALE_INTERVALS: u32 = 3;
/// And so much more for the burst itself.
const STALE_GRACE: Duration = Duration::from_secs(15);
/// The interval assumed where no job runs.
const IDLE_INTERVAL_S: u32 = 60;

/// The destination of an id or name.
pub(crate) fn find<'a>(inventory: &'a Inventory, id: &str) -> Result<&'a Arc<Destination>, Problem> {
    inventory.find_destination(id).ok_or_else(|| {
        let shown: String = id.chars().take(80).collect();
        let problem = Problem::not_found(format!("there is no destination {shown:?}"));
        crate::nearest::hint(problem, id, inventory.destinations.values().map(|d| d.spec.name.as_str()))
    })
}

/// The id of a destination of which there may be samples: one that is there, by id or name, or a removed one, by its id.
pub(crate) fn find_ever(inventory: &Inventory, id: &str) -> Result<DestinationId, Problem> {
    inventory.destination_ever(id).map_or_else(|| find(inventory, id).map(|destination| destination.id), Ok)
}

/// How often each destination is measured now: the shortest interval of the jobs at work on it.
pub(crate) fn freshness(inventory: &Inventory, now: Timestamp) -> BTreeMap<DestinationId, u32> {
    let mut intervals = BTreeMap::new();
    for job in inventory.jobs.values().filter(|job| is_active(&job.spec, now)) {
        for member in inventory.members(job) {
            let interval = intervals.entry(member).or_insert(job.spec.interval_s);
            *interval = job.spec.interval_s.min(*interval);
        }
    }
    intervals
}

pub(crate) fn is_stale(last_at: Option<Timestamp>, interval_s: Option<u32>, now: Timestamp) -> bool {
    let interval = Duration::from_secs(u64::from(interval_s.unwrap_or(IDLE_INTERVAL_S)));
    last_at.is_none_or(|at| now.since(at) > interval * STALE_INTERVALS + STALE_GRACE)
}

fn body(app: &App, inventory: &Inventory, destination: &Destination) -> Reply {
    let latest = app.context.series.latest(destination.id);
    let bytes = bytes_of(inventory, destination, latest.as_ref(), app.now());
    Reply::new(StatusCode::OK).body(JSON, bytes).version(destination.changed)
}

fn bytes_of(
    inventory: &Inventory,
    destination: &Destination,
    latest: Option<&DestinationLatest>,
    now: Timestamp,
) -> Vec<u8> {
    let interval = inventory
        .jobs_of(destination)
        .iter()
        .filter_map(|id| inventory.jobs.get(id))
        .filter(|job| is_active(&job.spec, now))
        .map(|job| job.spec.interval_s)
        .min();
    let is_stale = is_stale(latest.and_then(|latest| latest.last_at), interval, now);
    to_bytes(&DestinationJson::with_latest(destination, latest, is_stale))
}

/// How all destinations do, at one moment.
pub(crate) struct Latest {
    now: Timestamp,
    latest: BTreeMap<DestinationId, DestinationLatest>,
    intervals: BTreeMap<DestinationId, u32>,
}

impl Latest {
    pub(crate) fn of(inventory: &Inventory, now: Timestamp, latest: Vec<DestinationLatest>) -> Self {
        let latest = latest.into_iter().map(|latest| (latest.destination, latest)).collect();
        Self { now, latest, intervals: freshness(inventory, now) }
    }

    pub(crate) fn json<'a>(&'a self, destination: &'a Destination) -> DestinationJson<'a> {
        let latest = self.latest.get(&destination.id);
        let last_at = latest.and_then(|latest| latest.last_at);
        let is_stale = is_stale(last_at, self.intervals.get(&destination.id).copied(), self.now);
        DestinationJson::with_latest(destination, latest, is_stale)
    }
}

/// A list of destinations.
#[derive(Serialize, ToSchema)]
#[schema(as = Destinations)]
pub(crate) struct DestinationList<'a> {
    items: Vec<DestinationJson<'a>>,
    position: u64,
}

pub(crate) const TAG: Param = param("tag", ParamKind::Text, "Only those that carry this tag");
pub(crate) const STATUS: Param = param("status", ParamKind::Word(&["active", "paused"]), "Only those of this status");

/// `GET /api/destinations`
pub(crate) async fn list(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    super::list(app, call, Asked::Destinations, |inventory| inventory.destinations.len(), page).await
}

/// A page of the list, and where the next begins.
fn page(app: &App, call: &Call, moment: &Moment) -> Result<(Vec<u8>, Option<DestinationId>), Problem> {
    let position = moment.position(app).0;
    let paused = call.query.get("status").map(|status| status == "paused");
    let tag = call.query.get("tag");
    let (after, limit) = (call.cursor()?.unwrap_or(0), call.limit(MAX_LIST));
    let latest = Latest::of(&moment.inventory, moment.now, moment.latest_all(app)?);
    let mut found = moment
        .inventory
        .destinations
        .values()
        .filter(|d| u64::from(d.id.0) > after)
        .filter(|d| tag.is_none_or(|tag| d.spec.tags.iter().any(|has| has == tag)))
        .filter(|d| paused.is_none_or(|paused| d.spec.paused == paused));
    let items: Vec<_> = found.by_ref().take(limit).collect();
    let next = found.next().and(items.last().map(|last| last.id));
    let items = items.into_iter().map(|destination| latest.json(destination)).collect();
    Ok((to_bytes(&DestinationList { items, position }), next))
}

/// `GET /api/destinations/{id}`
pub(crate) async fn show(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    if call.query.get("as_of").is_some() {
        return answer(app, call, |app, call, moment| {
            let destination = find(&moment.inventory, &call.id)?;
            let latest = moment.latest(app, destination.id)?;
            let bytes = bytes_of(&moment.inventory, destination, latest.as_ref(), moment.now);
            Ok(Reply::new(StatusCode::OK).body(JSON, bytes).version(destination.changed))
        })
        .await;
    }
    let inventory = app.context.inventory.current();
    let destination = find(&inventory, &call.id)?;
    let make = |now| {
        let latest = app.context.series.latest(destination.id);
        (bytes_of(&inventory, destination, latest.as_ref(), now), None)
    };
    let bytes = app.bodies.get(&app, Asked::Destination(destination.id.0), make);
    Ok(Reply::new(StatusCode::OK).body(JSON, bytes).version(destination.changed))
}

/// `POST /api/destinations`
pub(crate) async fn add(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    let spec = read_destination(&parse(&call.body)?)?;
    let done = carry_out(&app, app.meta(&call), |_| Ok(Command::AddDestination(spec.clone()))).await?;
    let added = done.events.iter().find_map(|event| match event {
        Event::DestinationAdded(added) => Some(added.id),
        _ => None,
    });
    let id = added.ok_or_else(Problem::internal)?;
    let reply = after(&app, &done, id)?.status(StatusCode::CREATED);
    Ok(match HeaderValue::from_str(&format!("/api/destinations/{id}")) {
        Ok(location) => reply.header(LOCATION, location),
        Err(_) => reply,
    })
}

/// The entry after a command; somebody else may have removed it since.
fn after(app: &App, done: &Done, id: DestinationId) -> Result<Reply, Problem> {
    match done.inventory.destinations.get(&id) {
        Some(destination) => Ok(body(app, &done.inventory, destination)),
        None => position_only(done.position),
    }
}

/// `PUT /api/destinations/{id}`
pub(crate) async fn replace(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    let spec = read_destination(&parse(&call.body)?)?;
    let id = find(&app.context.inventory.current(), &call.id)?.id;
    let wish = |state: &Inventory| {
        call.if_match(find(state, &id.to_string())?.changed)?;
        Ok(Command::ChangeDestination { id, spec: spec.clone() })
    };
    let done = carry_out(&app, app.meta(&call), wish).await?;
    after(&app, &done, id)
}

/// `PATCH /api/destinations/{id}`: JSON Merge Patch (RFC 7396).
pub(crate) async fn patch(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    let patch = parse(&call.body)?;
    let id = find(&app.context.inventory.current(), &call.id)?.id;
    let wish = |state: &Inventory| {
        let current = find(state, &id.to_string())?;
        call.if_match(current.changed)?;
        let mut json = parse(&serde_json::to_vec(&DestinationJson::plain(current)).map_err(|_| Problem::internal())?)?;
        json.merge(patch.clone());
        Ok(Command::ChangeDestination { id, spec: read_destination(&json)? })
    };
    let done = carry_out(&app, app.meta(&call), wish).await?;
    after(&app, &done, id)
}

/// `DELETE /api/destinations/{id}`
pub(crate) async fn remove(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    let id = find(&app.context.inventory.current(), &call.id)?.id;
    let wish = |state: &Inventory| {
        call.if_match(find(state, &id.to_string())?.changed)?;
        Ok(Command::RemoveDestination { id })
    };
    let done = carry_out(&app, app.meta(&call), wish).await?;
    position_only(done.position)
}
