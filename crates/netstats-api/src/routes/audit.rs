//! The audit trail, and taking changes back.

use std::sync::Arc;

use netstats_event::{Envelope, Event, Kind, Position, Role};
use netstats_inventory::{Change, Command, Inventory, Undo};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::app::{App, position_only};
use crate::command::{blocking, carry_out};
use crate::declare::{AS_OF, Param, ParamKind, param};
use crate::json::{Time, event_data};
use crate::limits::{MAX_TRAIL_LOOK, MAX_TRAIL_PAGE};
use crate::moment::{Moment, moment_at};
use crate::problem::Problem;
use crate::reply::Reply;
use crate::route::Call;

pub(crate) const PARAMS: &[Param] = &[
    param("kind", ParamKind::List, "Only these kinds, as job_changed,user_added"),
    param("actor", ParamKind::Text, "Only by this actor, as user:ada"),
    param("destination", ParamKind::Text, "Only about this destination, by name or id"),
    param("job", ParamKind::Text, "Only about this job, by name or id"),
    crate::declare::START_TIME,
    crate::declare::END_TIME,
    param("from", ParamKind::Whole(0, u64::MAX), "Not before this position"),
    param("to", ParamKind::Whole(0, u64::MAX), "Not after this position"),
    AS_OF,
];

/// An event of the audit trail.
#[derive(Serialize, ToSchema)]
#[schema(as = Event)]
pub(crate) struct EventJson {
    position: u64,
    recorded_at: Time,
    kind: &'static str,
    actor: String,
    reason: Option<String>,
    destination_id: Option<u32>,
    job_id: Option<u32>,
    /// What it says, by kind.
    #[schema(value_type = Object)]
    data: Value,
}

impl EventJson {
    fn new(envelope: &Envelope, inventory: &Inventory) -> Self {
        let event = &envelope.event;
        let mut data = event_data(event, inventory);
        if let Value::Object(fields) = &mut data {
            fields.remove("actor");
            fields.remove("reason");
        }
        let (actor, reason) = event.meta().map_or_else(Default::default, |m| (m.actor.clone(), m.reason.clone()));
        Self {
            position: envelope.position.0,
            recorded_at: Time(envelope.recorded_at),
            kind: event.name(),
            actor,
            reason,
            destination_id: event.destination().map(|id| id.0),
            job_id: event.job().map(|id| id.0),
            data,
        }
    }
}

/// A page of the audit trail, newest first.
#[derive(Serialize, ToSchema)]
#[schema(as = Events)]
pub(crate) struct EventList {
    items: Vec<EventJson>,
    position: u64,
}

/// What of the index is asked for.
struct Wanted {
    kinds: Vec<u16>,
    /// Kinds about who may come in are an admin's to see.
    shows_access: bool,
    destination: Option<netstats_event::DestinationId>,
    job: Option<netstats_event::JobId>,
    from: Position,
    to: Position,
    after: Option<netstats_event::Timestamp>,
    before: Option<netstats_event::Timestamp>,
}

impl Wanted {
    fn of(call: &Call, moment: &Moment) -> Result<Self, Problem> {
        let inventory = &moment.inventory;
        let get = |name| call.query.get(name);
        let whole = |name: &str, or| call.query.get(name).and_then(|text| text.parse().ok()).map_or(or, Position);
        let kinds = get("kind").map(|text| text.split(',').map(|name| kind(name.trim())).collect()).transpose()?;
        let destination = get("destination").map(|id| super::range::destination(inventory, id)).transpose()?;
        Ok(Self {
            kinds: kinds.unwrap_or_default(),
            shows_access: call.who.is(Role::Admin),
            destination,
            job: get("job").map(|id| super::metrics::job_of(inventory, id).map(|(id, _)| id)).transpose()?,
            from: whole("from", Position::START),
            to: whole("to", Position(u64::MAX)).min(moment.as_of.unwrap_or(Position(u64::MAX))),
            after: call.time("start_time", moment.now)?,
            before: call.time("end_time", moment.now)?,
        })
    }

    fn wants(&self, change: &Change) -> bool {
        let is_access = Kind::from_code(change.kind).is_some_and(Kind::is_access);
        (self.kinds.is_empty() || self.kinds.contains(&change.kind))
            && (self.shows_access || !is_access)
            && self.destination.is_none_or(|id| change.destination == Some(id))
            && self.job.is_none_or(|id| change.job == Some(id))
            && (self.from..=self.to).contains(&change.position)
            && self.after.is_none_or(|at| change.recorded_at >= at)
            && self.before.is_none_or(|at| change.recorded_at < at)
    }
}

fn kind(name: &str) -> Result<u16, Problem> {
    let all = || Kind::ALL.iter().filter(|kind| kind.family() == netstats_event::Family::Config);
    all().find(|kind| kind.name() == name).map(|kind| kind.code()).ok_or_else(|| {
        let names = all().map(|kind| kind.name());
        let problem = Problem::invalid(format!("there is no kind {name:?} in the audit trail"))
            .field("kind")
            .accepted(names.clone().collect::<Vec<_>>().join(", "));
        crate::nearest::hint(problem, name, names)
    })
}

/// `GET /api/events`
pub(crate) async fn events(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    let moment = moment_at(&app, &call).await?;
    let (wanted, limit) = (Wanted::of(&call, &moment)?, call.limit(MAX_TRAIL_PAGE).min(MAX_TRAIL_PAGE));
    let (cursor, actor) = (call.cursor()?.map(Position), call.query.get("actor").map(str::to_owned));
    let (list, next) =
        blocking(move || look(&app, &moment.inventory, cursor, limit, &wanted, actor.as_deref())).await??;
    let reply = Reply::json(&list);
    Ok(match next {
        Some(next) => call.with_next(reply, next),
        None => reply,
    })
}

/// One page, and where it ended if there may be more. The actor is not in the index, so with one given a page looks
/// through so many events at most.
fn look(
    app: &App,
    inventory: &Inventory,
    cursor: Option<Position>,
    limit: usize,
    wanted: &Wanted,
    actor: Option<&str>,
) -> Result<(EventList, Option<Position>), Problem> {
    let most = if actor.is_some() { MAX_TRAIL_LOOK } else { limit };
    let found = app.context.inventory.changes(cursor, most, |change| wanted.wants(change));
    let (mut items, mut next) = (Vec::new(), None);
    for some in found.chunks(256) {
        let positions: Vec<_> = some.iter().map(|change| change.position).collect();
        for envelope in app.context.journal.get(&positions)? {
            next = Some(envelope.position);
            if actor.is_none_or(|actor| envelope.event.meta().is_some_and(|meta| meta.actor == actor)) {
                items.push(EventJson::new(&envelope, inventory));
            }
            if items.len() == limit {
                break;
            }
        }
        if items.len() == limit {
            break;
        }
    }
    let is_more = items.len() == limit || found.len() == most;
    Ok((EventList { items, position: inventory.position.0 }, next.filter(|_| is_more)))
}

/// `POST /api/undo/{position}`
pub(crate) async fn undo(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    let shown: String = call.id.chars().take(40).collect();
    let none = move || Problem::not_found(format!("there is no change of destinations or jobs at {shown:?}"));
    let position = call.id.parse().map(Position).map_err(|_| none())?;
    let asked = app.clone();
    let undo = blocking(move || find(&asked, position).and_then(|undo| undo.ok_or_else(none))).await??;
    let done = carry_out(&app, app.meta(&call), |_| Ok(Command::Undo(Box::new(undo.clone())))).await?;
    position_only(done.position)
}

/// The event, and what was before the command it came from: a removed destination was first taken out of its jobs.
fn find(app: &App, position: Position) -> Result<Option<Undo>, Problem> {
    let is_change = |change: &Change| change.position == position;
    if app.context.inventory.changes(Some(position.next()), 1, is_change).is_empty() {
        return Ok(None);
    }
    let journal = &app.context.journal;
    let Some(envelope) = journal.get(&[position])?.pop() else { return Ok(None) };
    let mut first = position;
    if let Event::DestinationRemoved(removed) = &envelope.event {
        while let Some(before) = first.0.checked_sub(1).filter(|before| *before >= journal.first().0.max(1)) {
            let earlier = journal.get(&[Position(before)])?.pop();
            let Some(Event::JobChanged(changed)) = earlier.map(|envelope| envelope.event) else { break };
            let then = app.context.inventory.as_of(&**journal, Position(before - 1))?;
            let named = then.jobs.get(&changed.id).is_some_and(|job| job.spec.destinations.contains(&removed.id));
            if !named || changed.spec.destinations.contains(&removed.id) {
                break;
            }
            first = Position(before);
        }
    }
    let before = app.context.inventory.as_of(&**journal, Position(first.0 - 1))?;
    Ok(Some(Undo { position, event: envelope.event, before }))
}
