//! A job in JSON.

use netstats_event::{DestinationId, JobId, JobSpec, ManagedBy, Metric, Timestamp, WeeklyHours, WeeklySpan};
use netstats_inventory::{DesiredJob, Inventory, Job, MAX_INTERVAL_S};
use serde::Serialize;
use utoipa::ToSchema;

use super::destination::{HistoryJson, managed_by};
use super::options::{OptionsJson, read_options};
use super::options_input::OptionsInput;
use super::shapes::{ClockText, DayWord, DurationText, MetricWord, NameOrId, NameText, TagText};
use super::{Fields, Json, Time, TimeInput, duration, parse_moment};
use crate::problem::Problem;

pub(crate) const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// A job on its way out.
#[derive(Serialize, ToSchema)]
#[schema(as = Job)]
pub(crate) struct JobJson<'a> {
    id: u32,
    name: &'a str,
    description: Option<&'a str>,
    tags: &'a [String],
    enabled: bool,
    interval_s: u32,
    metrics: Vec<&'static str>,
    destinations: Vec<&'a str>,
    destination_ids: Vec<u32>,
    destination_tags: &'a [String],
    start_time: Option<Time>,
    end_time: Option<Time>,
    active_hours: Option<HoursJson<'a>>,
    packets: u16,
    spacing_ms: u32,
    timeout_ms: u32,
    options: OptionsJson<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<StateJson>,
    managed_by: &'static str,
    #[serde(flatten)]
    history: Option<HistoryJson>,
}

/// What a job is doing.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = JobState)]
pub(crate) struct StateJson {
    pub(crate) name: &'static str,
    pub(crate) since: Time,
    pub(crate) why: String,
    pub(crate) next_run: Option<Time>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ActiveHours)]
pub(crate) struct HoursJson<'a> {
    time_zone: &'a str,
    spans: Vec<SpanJson>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ActiveSpan)]
struct SpanJson {
    #[schema(value_type = DayWord)]
    day: &'static str,
    #[schema(value_type = ClockText)]
    from: String,
    #[schema(value_type = ClockText)]
    to: String,
}

impl<'a> HoursJson<'a> {
    pub(crate) fn of(hours: &'a WeeklyHours) -> Self {
        let span = |span: &WeeklySpan| SpanJson {
            day: DAYS.get(usize::from(span.weekday)).copied().unwrap_or("?"),
            from: clock(span.from_minute),
            to: clock(span.to_minute),
        };
        Self { time_zone: &hours.time_zone, spans: hours.spans.iter().map(span).collect() }
    }
}

impl<'a> JobJson<'a> {
    pub(crate) fn new(job: &'a Job, inventory: &'a Inventory, state: Option<StateJson>) -> Self {
        let history =
            HistoryJson { created_at: Time(job.created_at), updated_at: Time(job.updated_at), position: job.changed.0 };
        Self { history: Some(history), state, ..Self::of_spec(job.id, &job.spec, inventory) }
    }

    /// A description alone.
    pub(crate) fn of_spec(id: JobId, spec: &'a JobSpec, inventory: &'a Inventory) -> Self {
        Self {
            id: id.0,
            name: &spec.name,
            description: spec.description.as_deref(),
            tags: &spec.tags,
            enabled: spec.enabled,
            interval_s: spec.interval_s,
            metrics: spec.metrics.iter().map(|metric| metric.name()).collect(),
            destinations: spec
                .destinations
                .iter()
                .filter_map(|id| inventory.destinations.get(id))
                .map(|destination| destination.spec.name.as_str())
                .collect(),
            destination_ids: spec.destinations.iter().map(|id| id.0).collect(),
            destination_tags: &spec.destination_tags,
            start_time: spec.start_time.map(Time),
            end_time: spec.end_time.map(Time),
            active_hours: spec.active_hours.as_ref().map(HoursJson::of),
            packets: spec.options.ping.packets,
            spacing_ms: spec.options.ping.spacing_ms,
            timeout_ms: spec.options.ping.timeout_ms,
            options: OptionsJson::new(&spec.options),
            state: None,
            managed_by: managed_by(spec.managed_by),
            history: None,
        }
    }
}

/// A job as a client describes it, for the OpenAPI document.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape of a body that `read_job` reads field by field")]
pub(crate) struct JobInput {
    name: NameText,
    #[schema(max_length = 4096)]
    description: Option<String>,
    tags: Option<Vec<TagText>>,
    enabled: Option<bool>,
    /// Or `interval_s`; not below the floor that the config file sets (`limits.min_interval_s`, 60 s).
    interval: Option<DurationText>,
    #[schema(minimum = 1, maximum = 604800)]
    interval_s: Option<u32>,
    #[schema(min_items = 1)]
    metrics: Vec<MetricWord>,
    destinations: Option<Vec<NameOrId>>,
    destination_ids: Option<Vec<u32>>,
    destination_tags: Option<Vec<TagText>>,
    start_time: Option<TimeInput>,
    end_time: Option<TimeInput>,
    #[schema(value_type = Option<HoursJson<'static>>)]
    active_hours: Option<()>,
    #[schema(minimum = 1, maximum = 1000)]
    packets: Option<u16>,
    #[schema(minimum = 10, maximum = 60000)]
    spacing_ms: Option<u32>,
    #[schema(minimum = 10, maximum = 60000)]
    timeout_ms: Option<u32>,
    options: Option<OptionsInput>,
}

/// Some fields of a job; null takes one away.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape of a body that is merged into what is there")]
pub(crate) struct JobPatch {
    name: Option<NameText>,
    #[schema(max_length = 4096)]
    description: Option<String>,
    tags: Option<Vec<TagText>>,
    enabled: Option<bool>,
    /// Or `interval_s`; not below the floor that the config file sets (`limits.min_interval_s`, 60 s).
    interval: Option<DurationText>,
    #[schema(minimum = 1, maximum = 604800)]
    interval_s: Option<u32>,
    #[schema(min_items = 1)]
    metrics: Option<Vec<MetricWord>>,
    destinations: Option<Vec<NameOrId>>,
    destination_ids: Option<Vec<u32>>,
    destination_tags: Option<Vec<TagText>>,
    start_time: Option<TimeInput>,
    end_time: Option<TimeInput>,
    #[schema(value_type = Option<HoursJson<'static>>)]
    active_hours: Option<()>,
    #[schema(minimum = 1, maximum = 1000)]
    packets: Option<u16>,
    #[schema(minimum = 10, maximum = 60000)]
    spacing_ms: Option<u32>,
    #[schema(minimum = 10, maximum = 60000)]
    timeout_ms: Option<u32>,
    options: Option<OptionsInput>,
}

/// What a GET shows and a PUT may give back without meaning anything by it.
const SHOWN_ONLY: &[&str] = &["id", "state", "managed_by", "created_at", "updated_at", "position"];

/// What a description is read by besides itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadBy {
    /// What `now` is in its times.
    pub(crate) now: Timestamp,
    /// The policy's shortest interval in seconds, to be named where an interval cannot be read.
    pub(crate) floor_s: u32,
}

/// A job as a client describes it. What is left out has its default. `current` is what a PUT or PATCH replaces: where
/// `packets` and `options.ping.packets` disagree, the one that was changed counts. Its times may be told from now.
pub(crate) fn read_job(
    json: &Json,
    inventory: &Inventory,
    current: Option<&JobSpec>,
    by: ReadBy,
) -> Result<JobSpec, Problem> {
    let mut fields = Fields::of(json, "")?.ignore(SHOWN_ONLY);
    let destinations = read_destinations(&mut fields, inventory)?;
    read_fields(fields, destinations, current, by)
}

/// A job whose destinations are names: of entries that may come with it.
pub(crate) fn read_job_by_names(json: &Json, by: ReadBy) -> Result<DesiredJob, Problem> {
    let mut fields = Fields::of(json, "")?.ignore(SHOWN_ONLY);
    let destinations = fields.texts("destinations")?.unwrap_or_default();
    // A GET shows both; ids mean nothing elsewhere.
    let _ = fields.value("destination_ids");
    Ok(DesiredJob { spec: read_fields(fields, Vec::new(), None, by)?, destinations })
}

fn read_fields(
    mut fields: Fields<'_>,
    destinations: Vec<DestinationId>,
    current: Option<&JobSpec>,
    by: ReadBy,
) -> Result<JobSpec, Problem> {
    let name = fields.required_text("name")?;
    let description = fields.text("description")?;
    let tags = fields.texts("tags")?.unwrap_or_default();
    let enabled = fields.flag("enabled")?.unwrap_or(true);
    let interval_s = read_interval(&mut fields, current, by.floor_s)?;
    let metrics = read_metrics(&mut fields)?;
    let destination_tags = fields.texts("destination_tags")?.unwrap_or_default();
    let start_time = read_time(&mut fields, "start_time", by.now)?;
    let end_time = read_time(&mut fields, "end_time", by.now)?;
    let active_hours = read_hours(&mut fields, "active_hours")?;
    let mut options = fields.value("options").map(read_options).transpose()?.unwrap_or_default();
    let given = fields.peek("options").and_then(|options| options.get("ping"));
    let ping = current.map(|current| &current.options.ping);
    options.ping.packets = one_of(&mut fields, "packets", given, options.ping.packets, ping.map(|ping| ping.packets))?;
    options.ping.spacing_ms =
        one_of(&mut fields, "spacing_ms", given, options.ping.spacing_ms, ping.map(|ping| ping.spacing_ms))?;
    options.ping.timeout_ms =
        one_of(&mut fields, "timeout_ms", given, options.ping.timeout_ms, ping.map(|ping| ping.timeout_ms))?;
    fields.done()?;
    Ok(JobSpec {
        name,
        description,
        tags,
        enabled,
        interval_s,
        metrics,
        destinations,
        destination_tags,
        start_time,
        end_time,
        active_hours,
        options,
        managed_by: ManagedBy::User,
    })
}

/// A figure that can be given at the top and under `options.ping`.
fn one_of<T>(
    fields: &mut Fields<'_>,
    name: &'static str,
    ping: Option<&Json>,
    nested: T,
    current: Option<T>,
) -> Result<T, Problem>
where
    T: TryFrom<u64> + super::read::Bounded + PartialEq + Copy + std::fmt::Display,
{
    let top: Option<T> = fields.number(name)?;
    let is_nested = ping.and_then(|ping| ping.get(name)).is_some_and(|value| *value != Json::Null);
    Ok(match top {
        None => nested,
        Some(top) if !is_nested || top == nested || current == Some(nested) => top,
        Some(top) if current == Some(top) => nested,
        Some(top) => {
            let why = format!("is {top}, and options.ping.{name} is {nested}");
            return Err(fields.refuse(name, &why, "one of the two, or both the same"));
        }
    })
}

fn read_interval(fields: &mut Fields<'_>, current: Option<&JobSpec>, floor_s: u32) -> Result<u32, Problem> {
    let accepted = || format!("{}, from {floor_s} s to {MAX_INTERVAL_S} s", duration::ACCEPTED);
    let seconds: Option<u32> = fields.number("interval_s")?;
    let text = match fields.value("interval") {
        None => None,
        Some(Json::Text(text)) => {
            let parsed = duration::parse_seconds(text).and_then(|s| u32::try_from(s).ok());
            let shown: String = text.chars().take(80).collect();
            Some(parsed.ok_or_else(|| fields.refuse("interval", &format!("is {shown:?}"), &accepted()))?)
        }
        // 59 what? A text says its unit; `interval_s` has it in its name.
        Some(Json::Number(number)) => {
            return Err(fields
                .refuse("interval", &format!("is the number {number}, without a unit"), &accepted())
                .hint(format!("write \"{number}s\", or give seconds as interval_s")));
        }
        Some(_) => return Err(fields.refuse("interval", "is no text", &accepted())),
    };
    match (text, seconds) {
        (None, None) => Err(fields.refuse("interval", "is missing", &accepted())),
        (Some(one), None) | (None, Some(one)) => Ok(one),
        // A PUT of what a GET showed, with `interval` added.
        (Some(text), Some(seconds)) if text == seconds || current.is_some_and(|c| c.interval_s == seconds) => Ok(text),
        (Some(text), Some(seconds)) => {
            let why = format!("is {text} s, and interval_s is {seconds}");
            Err(fields.refuse("interval", &why, "one of the two, or both the same"))
        }
    }
}

fn read_metrics(fields: &mut Fields<'_>) -> Result<Vec<Metric>, Problem> {
    let names = Metric::ALL.map(Metric::name);
    let Some(given) = fields.texts("metrics")? else {
        return Err(fields.refuse("metrics", "is missing", &format!("a list of {}", names.join(", "))));
    };
    let metric = |(i, name): (usize, &String)| {
        Metric::from_name(name).ok_or_else(|| {
            let shown: String = name.chars().take(80).collect();
            let problem = fields.refuse(&format!("metrics[{i}]"), &format!("is {shown:?}"), &names.join(", "));
            crate::nearest::hint(problem, name, names.iter().copied())
        })
    };
    let mut metrics = given.iter().enumerate().map(metric).collect::<Result<Vec<_>, _>>()?;
    metrics.sort_unstable();
    metrics.dedup();
    Ok(metrics)
}

/// `destinations` by name or id; `destination_ids`, which a GET shows beside them, count where the former is absent.
pub(crate) fn read_destinations(fields: &mut Fields<'_>, inventory: &Inventory) -> Result<Vec<DestinationId>, Problem> {
    read_ids(fields, inventory, |wanted| inventory.find_destination(wanted).map(|destination| destination.id))
}

/// The same, where samples are asked for: those of removed destinations are still there, under their ids.
pub(crate) fn read_past_destinations(
    fields: &mut Fields<'_>,
    inventory: &Inventory,
) -> Result<Vec<DestinationId>, Problem> {
    read_ids(fields, inventory, |wanted| inventory.destination_ever(wanted))
}

fn read_ids(
    fields: &mut Fields<'_>,
    inventory: &Inventory,
    find: impl Fn(&str) -> Option<DestinationId>,
) -> Result<Vec<DestinationId>, Problem> {
    let by_name = fields.value("destinations");
    let by_id = fields.value("destination_ids");
    let (name, value) = match (by_name, by_id) {
        (Some(value), _) => ("destinations", value),
        (None, Some(value)) => ("destination_ids", value),
        (None, None) => return Ok(Vec::new()),
    };
    let accepted = "a list of destinations' names or ids";
    let Json::List(values) = value else { return Err(fields.refuse(name, "is no list", accepted)) };
    let mut ids = Vec::with_capacity(values.len());
    for (i, value) in values.iter().enumerate() {
        let at = format!("{name}[{i}]");
        let wanted = match value {
            Json::Text(text) => text.clone(),
            Json::Number(number) => number.to_string(),
            _ => return Err(fields.refuse(&at, "is neither a name nor an id", accepted)),
        };
        let found = find(&wanted).ok_or_else(|| {
            let shown: String = wanted.chars().take(80).collect();
            let problem = fields.refuse(&at, &format!("is {shown:?}, and there is no such destination"), accepted);
            crate::nearest::hint(problem, &wanted, inventory.destinations.values().map(|d| d.spec.name.as_str()))
        })?;
        ids.push(found);
    }
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

/// A time under the field `name`, perhaps told from `now`.
pub(crate) fn read_time(
    fields: &mut Fields<'_>,
    name: &'static str,
    now: Timestamp,
) -> Result<Option<Timestamp>, Problem> {
    let path = fields.path(name);
    fields.text(name)?.map(|text| parse_moment(&text, &path, now)).transpose()
}

/// Hours of the week under the field `name`.
pub(crate) fn read_hours(fields: &mut Fields<'_>, name: &'static str) -> Result<Option<WeeklyHours>, Problem> {
    let Some(json) = fields.value(name) else { return Ok(None) };
    let path = fields.path(name);
    let mut fields = Fields::of(json, &path)?;
    let time_zone = fields.text("time_zone")?.ok_or_else(|| {
        fields.refuse("time_zone", "is missing", "an IANA time zone, as \"Europe/Berlin\" or \"UTC\"")
    })?;
    let accepted = "a list of {\"day\": \"mon\", \"from\": \"08:00\", \"to\": \"18:00\"}";
    let mut spans = Vec::new();
    match fields.value("spans") {
        Some(Json::List(values)) => {
            for (i, value) in values.iter().enumerate() {
                spans.push(read_span(value, &format!("{path}.spans[{i}]"))?);
            }
        }
        Some(_) => return Err(fields.refuse("spans", "is no list", accepted)),
        None => return Err(fields.refuse("spans", "is missing", accepted)),
    }
    fields.done()?;
    Ok(Some(WeeklyHours { time_zone, spans }))
}

/// `08:30`
pub(crate) fn clock(minute: u16) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

/// Minutes since midnight of `08:30`.
pub(crate) fn minute_of(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':').filter(|(h, m)| h.len() == 2 && m.len() == 2)?;
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u16>().ok()).flatten();
    Some(digits(hours)? * 60 + digits(minutes).filter(|m| *m < 60)?)
}

fn read_span(json: &Json, path: &str) -> Result<WeeklySpan, Problem> {
    let mut fields = Fields::of(json, path)?;
    let weekday = fields
        .word("day", &DAYS, |word| DAYS.iter().position(|day| *day == word))?
        .ok_or_else(|| fields.refuse("day", "is missing", &DAYS.join(", ")))?;
    let mut minute = |name: &'static str, least: u16, most: u16| {
        let accepted = if most == 1_440 {
            "a time of day from \"00:01\" to \"24:00\""
        } else {
            "a time of day from \"00:00\" to \"23:59\""
        };
        let text = fields.text(name)?.ok_or_else(|| fields.refuse(name, "is missing", accepted))?;
        minute_of(&text).filter(|minute| (least..=most).contains(minute)).ok_or_else(|| {
            let shown: String = text.chars().take(80).collect();
            fields.refuse(name, &format!("is {shown:?}"), accepted)
        })
    };
    let (from_minute, to_minute) = (minute("from", 0, 1_439)?, minute("to", 1, 1_440)?);
    fields.done()?;
    Ok(WeeklySpan { weekday: u8::try_from(weekday).unwrap_or(0), from_minute, to_minute })
}
