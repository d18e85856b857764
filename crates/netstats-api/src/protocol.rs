//! What is said on a WebSocket: JSON texts, one object each.

use std::collections::BTreeSet;
use std::time::Duration;

use netstats_broadcast::Filter;
use netstats_event::{Event, Family, Kind, Position, Timestamp};
use netstats_inventory::Inventory;
use serde::Serialize;

use crate::app::App;
use crate::json::{Fields, Json, parse};
use crate::moment::position_at;
use crate::path::Query;
use crate::problem::Problem;

/// The protocol as an AsyncAPI 3.0 document.
pub(crate) const ASYNCAPI: &str = include_str!("asyncapi.json");

/// What a client may say.
#[derive(Debug)]
pub(crate) enum Op {
    Subscribe(Ask),
    Unsubscribe {
        id: String,
    },
    Replay(PlayAsk),
    /// Of the replay of that id.
    Pause {
        id: String,
    },
    Resume {
        id: String,
        speed: Option<Speed>,
    },
    Ping,
}

/// A replay asked for.
#[derive(Debug)]
pub(crate) struct PlayAsk {
    pub(crate) id: String,
    pub(crate) wanted: Wanted,
    /// Updates after this.
    pub(crate) from: Moment,
    /// Up to this; none for what there is now.
    pub(crate) to: Option<Moment>,
    pub(crate) speed: Speed,
    /// Then go on live.
    pub(crate) follow: bool,
}

/// A place in the log, or a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    At(Position),
    Time(Timestamp),
}

impl Moment {
    /// The last position before it (`is_start`: what was recorded at that time comes after), or at it. Reads the log.
    pub(crate) fn resolve(self, app: &App, head: Position, is_start: bool) -> Result<Position, Problem> {
        match self {
            Self::At(position) => Ok(position),
            Self::Time(time) if is_start => position_at(app, time.minus(Duration::from_nanos(1)), head),
            Self::Time(time) => position_at(app, time, head),
        }
    }
}

/// How fast a replay goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speed {
    /// So many times as fast as it was recorded.
    Times(u32),
    /// As fast as it can be sent.
    Max,
}

/// The fastest that is not `max`.
pub(crate) const MAX_SPEED: u32 = 1_000;

impl std::fmt::Display for Speed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Times(times) => times.fmt(f),
            Self::Max => f.write_str("max"),
        }
    }
}

/// A subscription asked for.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) id: String,
    pub(crate) wanted: Wanted,
    /// Replay what came after this.
    pub(crate) from: Option<Position>,
    /// Begin with all destinations and jobs.
    pub(crate) snapshot: bool,
}

/// Which updates a subscription gets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// As the broadcaster knows it.
    pub(crate) filter: Filter,
    /// About a destination or job that carries one of these tags; empty for all.
    pub(crate) tags: BTreeSet<String>,
    /// Events about who may come in too: an admin's to know.
    pub(crate) shows_access: bool,
}

impl Wanted {
    pub(crate) fn wants(&self, event: &Event, inventory: &Inventory) -> bool {
        let is_shown = self.shows_access || !event.kind().is_some_and(Kind::is_access);
        is_shown && self.filter.wants(event) && (self.tags.is_empty() || self.is_tagged(event, inventory))
    }

    fn is_tagged(&self, event: &Event, inventory: &Inventory) -> bool {
        let is_one = |tags: &[String]| tags.iter().any(|tag| self.tags.contains(tag));
        let destination = event.destination().and_then(|id| inventory.destinations.get(&id));
        let job = event.job().and_then(|id| inventory.jobs.get(&id));
        destination.is_some_and(|destination| is_one(&destination.spec.tags))
            || job.is_some_and(|job| is_one(&job.spec.tags))
    }
}

/// One filter that lets through all that any of them wants.
pub(crate) fn union<'a>(all: impl Iterator<Item = &'a Filter> + Clone) -> Filter {
    fn merge<'a, T: Ord + Copy + 'a>(sets: impl Iterator<Item = &'a BTreeSet<T>> + Clone) -> BTreeSet<T> {
        // An empty set asks for all.
        if sets.clone().any(BTreeSet::is_empty) { BTreeSet::new() } else { sets.flatten().copied().collect() }
    }
    let any_kind = all.clone().any(|filter| filter.families.is_empty() && filter.kinds.is_empty());
    let (families, kinds) = if any_kind {
        (BTreeSet::new(), BTreeSet::new())
    } else {
        (
            all.clone().flat_map(|filter| filter.families.iter().copied()).collect(),
            all.clone().flat_map(|filter| filter.kinds.iter().copied()).collect(),
        )
    };
    Filter {
        destinations: merge(all.clone().map(|filter| &filter.destinations)),
        jobs: merge(all.map(|filter| &filter.jobs)),
        families,
        kinds,
    }
}

/// Reads a message. An error's `code` and `detail` go to the client; with the subscription's id, if it has said one.
pub(crate) fn read(text: &str, inventory: &Inventory, now: Timestamp) -> Result<Op, (Problem, Option<String>)> {
    let json = parse(text.as_bytes()).map_err(|problem| (problem, None))?;
    let id = json.get("id").and_then(|id| match id {
        Json::Text(id) => Some(id.chars().take(MAX_ID_CHARS).collect()),
        _ => None,
    });
    read_op(&json, inventory, now).map_err(|problem| (problem, id))
}

/// Characters of a subscription's id.
const MAX_ID_CHARS: usize = 64;

/// Values of `op`.
const OPS: [&str; 6] = ["subscribe", "unsubscribe", "replay", "pause", "resume", "ping"];

fn read_op(json: &Json, inventory: &Inventory, now: Timestamp) -> Result<Op, Problem> {
    let mut fields = Fields::of(json, "")?;
    let op = fields
        .word("op", &OPS, |word| OPS.iter().find(|op| **op == word).copied())?
        .ok_or_else(|| fields.refuse("op", "is missing", &OPS.join(", ")))?;
    if op == "ping" {
        fields.done()?;
        return Ok(Op::Ping);
    }
    let id = fields.text("id")?.unwrap_or_else(|| "default".to_owned());
    if id.is_empty() || id.chars().count() > MAX_ID_CHARS {
        return Err(fields.refuse("id", "has the wrong length", &format!("1 to {MAX_ID_CHARS} characters")));
    }
    match op {
        "unsubscribe" => {
            fields.done()?;
            return Ok(Op::Unsubscribe { id });
        }
        "pause" => {
            fields.done()?;
            return Ok(Op::Pause { id });
        }
        "resume" => {
            let speed = read_speed(&mut fields)?;
            fields.done()?;
            return Ok(Op::Resume { id, speed });
        }
        _ => {}
    }
    let wanted = read_wanted(&mut fields, inventory)?;
    if op == "replay" {
        let accepted = "a position, or a time";
        let from =
            read_moment(&mut fields, "from", now)?.ok_or_else(|| fields.refuse("from", "is missing", accepted))?;
        let to = read_moment(&mut fields, "to", now)?;
        let speed = read_speed(&mut fields)?.unwrap_or(Speed::Times(1));
        let follow = fields.flag("follow")?.unwrap_or(false);
        fields.done()?;
        return Ok(Op::Replay(PlayAsk { id, wanted, from, to, speed, follow }));
    }
    let from = fields.number("from")?.map(Position);
    let snapshot = fields.flag("snapshot")?.unwrap_or(false);
    fields.done()?;
    Ok(Op::Subscribe(Ask { id, wanted, from, snapshot }))
}

/// What narrows the updates.
fn read_wanted(fields: &mut Fields<'_>, inventory: &Inventory) -> Result<Wanted, Problem> {
    let destinations = ids(fields, "destinations", |text| crate::routes::destinations::find_ever(inventory, text))?;
    let jobs = ids(fields, "jobs", |text| crate::routes::jobs::find_ever(inventory, text))?;
    let tags = fields.texts("tags")?.unwrap_or_default().into_iter().collect();
    let (families, kinds) = read_kinds(fields)?;
    Ok(Wanted { filter: Filter { destinations, jobs, families, kinds }, tags, shows_access: false })
}

/// The same in a query string, with commas.
pub(crate) fn wanted_of(query: &Query, inventory: &Inventory) -> Result<Wanted, Problem> {
    let lists = query.pairs().filter(|(name, _)| LISTS.contains(name));
    let json = Json::Object(lists.map(|(name, value)| (name.to_owned(), list(value))).collect());
    read_wanted(&mut Fields::of(&json, "")?, inventory)
}

/// Parameters that narrow the updates.
const LISTS: [&str; 4] = ["destinations", "jobs", "tags", "kinds"];

fn list(value: &str) -> Json {
    Json::List(value.split(',').map(|text| Json::Text(text.trim().to_owned())).collect())
}

/// A position as a number, or as digits in a text; any other text is a time, perhaps told from `now`.
fn read_moment(fields: &mut Fields<'_>, name: &'static str, now: Timestamp) -> Result<Option<Moment>, Problem> {
    let accepted = "a position, or a time";
    match fields.value(name) {
        None => Ok(None),
        Some(Json::Number(number)) => {
            let position = number.as_u64().ok_or_else(|| fields.refuse(name, &format!("is {number}"), accepted))?;
            Ok(Some(Moment::At(Position(position))))
        }
        Some(Json::Text(text)) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => {
            let position = text.parse().map_err(|_| fields.refuse(name, "is no position", accepted))?;
            Ok(Some(Moment::At(Position(position))))
        }
        Some(Json::Text(text)) => Ok(Some(Moment::Time(crate::json::parse_moment(text, name, now)?))),
        Some(_) => Err(fields.refuse(name, "is neither a number nor a text", accepted)),
    }
}

fn read_speed(fields: &mut Fields<'_>) -> Result<Option<Speed>, Problem> {
    let accepted = format!("a whole number from 1 to {MAX_SPEED}, or \"max\"");
    let times = match fields.value("speed") {
        None => return Ok(None),
        Some(Json::Text(text)) if text == "max" => return Ok(Some(Speed::Max)),
        Some(Json::Text(text)) => text.parse().ok(),
        Some(Json::Number(number)) => number.as_u64().and_then(|times| u32::try_from(times).ok()),
        Some(_) => None,
    };
    let speed = times.filter(|times| (1..=MAX_SPEED).contains(times)).map(|times| Some(Speed::Times(times)));
    speed.ok_or_else(|| fields.refuse("speed", "is no speed", &accepted))
}

/// The replay that the address of a WebSocket asks for: `/ws?replay_from=...&to=...&speed=...&follow=true`, and what
/// narrows it, with commas. None without a query.
pub(crate) fn read_query(query: &Query, inventory: &Inventory, now: Timestamp) -> Result<Option<PlayAsk>, Problem> {
    let mut entries = vec![("op".to_owned(), Json::Text("replay".to_owned()))];
    for (i, (name, value)) in query.pairs().enumerate() {
        if query.pairs().take(i).any(|(before, _)| before == name) {
            return Err(Problem::invalid(format!("the query parameter {name:?} is given twice")).field(name));
        }
        let value = match name {
            "follow" => Json::Bool(match value {
                "true" => true,
                "false" => false,
                _ => {
                    return Err(Problem::invalid(format!("follow is {value:?}")).field(name).accepted("true, false"));
                }
            }),
            name if LISTS.contains(&name) => list(value),
            _ => Json::Text(value.to_owned()),
        };
        entries.push((if name == "replay_from" { "from" } else { name }.to_owned(), value));
    }
    if entries.len() == 1 {
        return Ok(None);
    }
    if query.get("replay_from").is_none() {
        return Err(Problem::invalid("replay_from is missing").field("replay_from").accepted("a position, or a time"));
    }
    match read_op(&Json::Object(entries), inventory, now)? {
        Op::Replay(ask) => Ok(Some(ask)),
        _ => Err(Problem::internal()),
    }
}

/// Names or ids.
fn ids<T: Ord>(
    fields: &mut Fields<'_>,
    name: &'static str,
    find: impl Fn(&str) -> Result<T, Problem>,
) -> Result<BTreeSet<T>, Problem> {
    let values = match fields.value(name) {
        None => return Ok(BTreeSet::new()),
        Some(Json::List(values)) => values,
        Some(_) => return Err(fields.refuse(name, "is no list", "a list of names or ids")),
    };
    let one = |(i, value): (usize, &Json)| match value {
        Json::Text(text) => find(text).map_err(|problem| problem.field(format!("{name}[{i}]"))),
        Json::Number(number) => find(&number.to_string()).map_err(|problem| problem.field(format!("{name}[{i}]"))),
        _ => Err(fields.refuse(&format!("{name}[{i}]"), "is neither a name nor an id", "a name or an id")),
    };
    values.iter().enumerate().map(one).collect()
}

const FAMILIES: [Family; 4] = [Family::Config, Family::Sample, Family::Run, Family::Observer];

fn read_kinds(fields: &mut Fields<'_>) -> Result<(BTreeSet<Family>, BTreeSet<Kind>), Problem> {
    let (mut families, mut kinds) = (BTreeSet::new(), BTreeSet::new());
    for (i, name) in fields.texts("kinds")?.unwrap_or_default().iter().enumerate() {
        if let Some(family) = FAMILIES.into_iter().find(|family| family.name() == name) {
            families.insert(family);
        } else if let Some(kind) = Kind::ALL.iter().copied().find(|kind| kind.name() == name) {
            kinds.insert(kind);
        } else {
            let all = || FAMILIES.iter().map(|family| family.name()).chain(Kind::ALL.iter().map(|kind| kind.name()));
            let shown: String = name.chars().take(80).collect();
            let accepted = all().collect::<Vec<_>>().join(", ");
            let problem = fields.refuse(&format!("kinds[{i}]"), &format!("is {shown:?}"), &accepted);
            return Err(crate::nearest::hint(problem, name, all()));
        }
    }
    Ok((families, kinds))
}

/// What the server says, besides updates.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Say<'a> {
    Hello {
        position: u64,
        version: &'a str,
    },
    Subscribed {
        id: &'a str,
        position: u64,
    },
    Unsubscribed {
        id: &'a str,
    },
    Replaying {
        id: &'a str,
        from: u64,
        to: u64,
        speed: String,
    },
    Paused {
        id: &'a str,
        position: u64,
    },
    Resumed {
        id: &'a str,
        position: u64,
        speed: String,
    },
    Replayed {
        id: &'a str,
        position: u64,
    },
    Heartbeat {
        position: u64,
    },
    Pong {
        position: u64,
    },
    Lagged {
        missed: u64,
        from: u64,
        to: u64,
    },
    Reset {
        id: &'a str,
        position: u64,
        first: u64,
        message: &'a str,
    },
    Error {
        code: &'a str,
        message: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        field: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        accepted: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<&'a str>,
    },
}

impl Say<'_> {
    /// Its `type`.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Hello { .. } => "hello",
            Self::Subscribed { .. } => "subscribed",
            Self::Unsubscribed { .. } => "unsubscribed",
            Self::Replaying { .. } => "replaying",
            Self::Paused { .. } => "paused",
            Self::Resumed { .. } => "resumed",
            Self::Replayed { .. } => "replayed",
            Self::Heartbeat { .. } => "heartbeat",
            Self::Pong { .. } => "pong",
            Self::Lagged { .. } => "lagged",
            Self::Reset { .. } => "reset",
            Self::Error { .. } => "error",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use netstats_event::{DestinationId, JobId};
    use serde_json::Value;

    use super::*;

    fn document() -> Value {
        serde_json::from_str(ASYNCAPI).unwrap()
    }

    /// The documented messages of one direction: type, and schema of the payload.
    fn documented(direction: &str) -> BTreeMap<String, Value> {
        let document = document();
        let listed = document["operations"][direction]["messages"].as_array().unwrap().iter();
        let channel = |reference: &Value| {
            let pointer = reference["$ref"].as_str().unwrap().strip_prefix('#').unwrap();
            let second = document.pointer(pointer).unwrap()["$ref"].as_str().unwrap().strip_prefix('#').unwrap();
            let message = document.pointer(second).unwrap().clone();
            (message["name"].as_str().unwrap().to_owned(), message)
        };
        listed.map(channel).collect()
    }

    fn keys(json: &Value) -> BTreeSet<&str> {
        json.as_object().unwrap().keys().map(String::as_str).collect()
    }

    #[test]
    fn the_document_says_what_the_server_says() {
        let (id, position, message) = ("a", 1, "m");
        let said = [
            Say::Hello { position, version: "1" },
            Say::Subscribed { id, position },
            Say::Unsubscribed { id },
            Say::Replaying { id, from: 1, to: 2, speed: "1".into() },
            Say::Paused { id, position },
            Say::Resumed { id, position, speed: "1".into() },
            Say::Replayed { id, position },
            Say::Heartbeat { position },
            Say::Pong { position },
            Say::Lagged { missed: 1, from: 1, to: 1 },
            Say::Reset { id, position, first: 1, message },
            Say::Error { code: "c", message, id: Some(id), field: Some("f"), accepted: Some("a"), hint: Some("h") },
        ];
        let documented = documented("hear");
        for say in &said {
            let json = serde_json::to_value(say).unwrap();
            assert_eq!(json["type"], say.name());
            let payload = &documented[say.name()]["payload"];
            assert_eq!(keys(&payload["properties"]), keys(&json), "{json}");
            assert_eq!(payload["properties"]["type"]["const"], say.name());
        }
        // These two are written as texts of their own.
        let names: BTreeSet<_> = said.iter().map(Say::name).chain(["snapshot", "update"]).collect();
        assert_eq!(documented.keys().map(String::as_str).collect::<BTreeSet<_>>(), names);
        let event = netstats_event::CollectorStopped { reason: "x".into() }.into();
        let envelope = netstats_event::Envelope { position: Position(1), recorded_at: Timestamp::default(), event };
        let update = serde_json::from_str(&crate::json::update_text(&envelope, &Inventory::default())).unwrap();
        let payload = &documented["update"]["payload"];
        assert!(keys(&payload["properties"]).is_superset(&keys(&update)), "{update}");
        for required in payload["required"].as_array().unwrap() {
            assert!(!update[required.as_str().unwrap()].is_null() || required.as_str().unwrap().ends_with("_id"));
        }
    }

    #[test]
    fn the_document_says_what_a_client_may_say() {
        let mut inventory = Inventory::default();
        let spec =
            netstats_event::DestinationSpec { name: "one".into(), host: "192.0.2.1".into(), ..Default::default() };
        let meta = netstats_event::Meta::default();
        let job = netstats_event::JobSpec { name: "pings".into(), ..Default::default() };
        let added: [Event; 2] = [
            netstats_event::DestinationAdded { id: DestinationId(1), spec, meta: meta.clone() }.into(),
            netstats_event::JobAdded { id: JobId(1), spec: job, meta }.into(),
        ];
        for (position, event) in (1..).map(Position).zip(added) {
            inventory.apply(&netstats_event::Envelope { position, recorded_at: Timestamp::default(), event });
        }
        let documented = documented("say");
        assert_eq!(documented.keys().map(String::as_str).collect::<BTreeSet<_>>(), OPS.into());
        for (op, message) in &documented {
            let example = &message["examples"][0]["payload"];
            let properties = &message["payload"]["properties"];
            assert_eq!(keys(properties), keys(example), "the example of {op} has every field");
            read(&example.to_string(), &inventory, Timestamp::from_secs(0))
                .unwrap_or_else(|(problem, _)| panic!("{op}: {}", problem.detail));
            let mut odd = example.clone();
            odd["odd"] = 1.into();
            assert!(
                read(&odd.to_string(), &inventory, Timestamp::from_secs(0)).is_err(),
                "{op} takes a field that is not documented"
            );
            for field in keys(example) {
                let mut without = example.clone();
                without.as_object_mut().unwrap().remove(field);
                let is_required = message["payload"]["required"].as_array().unwrap().iter().any(|name| *name == field);
                assert_eq!(
                    read(&without.to_string(), &inventory, Timestamp::from_secs(0)).is_err(),
                    is_required,
                    "{op} without {field}"
                );
            }
        }
    }

    #[test]
    fn a_union_lets_through_what_any_of_its_filters_wants() {
        let some = |destinations: &[u32], kinds: &[Kind]| Filter {
            destinations: destinations.iter().map(|id| DestinationId(*id)).collect(),
            kinds: kinds.iter().copied().collect(),
            ..Filter::default()
        };
        let (one, two) = (some(&[1], &[Kind::PingMeasured]), some(&[2], &[Kind::SlotFailed]));
        let both = union([&one, &two].into_iter());
        assert_eq!(both, some(&[1, 2], &[Kind::PingMeasured, Kind::SlotFailed]));
        assert_eq!(union([&one, &Filter::default()].into_iter()), Filter::default());
        assert_eq!(union([&one, &some(&[], &[Kind::SlotFailed])].into_iter()).destinations, BTreeSet::new());
        let job = Filter { jobs: BTreeSet::from([JobId(1)]), ..Filter::default() };
        assert_eq!(union([&one, &job].into_iter()), Filter::default());
    }
}
