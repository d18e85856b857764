//! Exports in JSON.

use std::sync::atomic::Ordering;

use netstats_event::{ExportFormat, ExportId, ExportRun, ExportSchedule, ExportSpec, Meta, Metric};
use netstats_inventory::{ExportJob, FinishedRun, Inventory, next_export_slot};
use serde::Serialize;
use utoipa::ToSchema;

use super::job::{DAYS, clock, minute_of, read_destinations};
use super::shapes::{ClockText, DayWord, FormatWord, MetricWord, NameOrId, NameText, TagText};
use super::{Fields, Json, Time, hex};
use crate::app::App;
use crate::exports::Underway;
use crate::problem::Problem;

pub(super) const FORMATS: [&str; 6] = ["xlsx", "csv", "json", "jsonl", "parquet", "pack"];
/// How many files are kept where nobody says.
const KEEP: u32 = 12;

/// An export on its way out.
#[derive(Serialize, ToSchema)]
#[schema(as = Export)]
pub(crate) struct ExportJson<'a> {
    id: u32,
    name: &'a str,
    title: Option<&'a str>,
    jobs: Vec<&'a str>,
    destinations: Vec<&'a str>,
    destination_ids: Vec<u32>,
    destination_tags: &'a [String],
    metrics: Vec<&'static str>,
    range: &'a str,
    time_zone: &'a str,
    format: &'static str,
    excel_csv: bool,
    schedule: Option<ScheduleJson>,
    folder: Option<&'a str>,
    keep: u32,
    enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<ExportStateJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
}

/// When it is made by itself.
#[derive(Serialize, ToSchema)]
#[schema(as = ExportSchedule)]
pub(crate) struct ScheduleJson {
    at: Vec<String>,
    weekdays: Vec<&'static str>,
    month_days: Vec<u8>,
}

/// What it is doing.
#[derive(Serialize, ToSchema)]
#[schema(as = ExportState)]
struct ExportStateJson<'a> {
    /// `idle`, `queued` or `running`.
    name: &'static str,
    underway: Option<UnderwayJson>,
    next_run: Option<Time>,
    last_run: Option<RunJson<'a>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ExportUnderway)]
struct UnderwayJson {
    scheduled_for: Option<Time>,
    queued_at: Time,
    /// Slots taken up.
    slots: u64,
    percent: f64,
}

/// A run that has ended.
#[derive(Serialize, ToSchema)]
#[schema(as = ExportRun)]
pub(crate) struct RunJson<'a> {
    /// Its number: the position of the event that says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<u64>,
    outcome: &'static str,
    error: Option<&'a str>,
    scheduled_for: Option<Time>,
    started_at: Time,
    finished_at: Time,
    start_time: Time,
    end_time: Time,
    /// The last event that the file could know.
    as_of: u64,
    file: Option<&'a str>,
    /// Where the file is fetched; none if it is not kept any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    href: Option<String>,
    bytes: u64,
    rows: u64,
    blake3: Option<String>,
    actor: &'a str,
    reason: Option<&'a str>,
}

impl<'a> RunJson<'a> {
    pub(crate) fn of(finished: &'a FinishedRun) -> Self {
        Self { run: Some(finished.position.0), ..Self::of_event(&finished.run, &finished.by) }
    }

    /// Without its number, which an update of an event says by itself.
    pub(crate) fn of_event(run: &'a ExportRun, by: &'a Meta) -> Self {
        Self {
            run: None,
            outcome: run.outcome.name(),
            error: run.error.as_deref(),
            scheduled_for: run.slot.map(Time),
            started_at: Time(run.started_at),
            finished_at: Time(run.finished_at),
            start_time: Time(run.from),
            end_time: Time(run.to),
            as_of: run.position.0,
            file: run.file.as_deref(),
            href: None,
            bytes: run.bytes,
            rows: run.rows,
            blake3: run.digest.map(|digest| hex(&digest)),
            actor: &by.actor,
            reason: by.reason.as_deref(),
        }
    }

    /// With where its file is, if it is there.
    pub(crate) fn kept(mut self, app: &App, export: ExportId) -> Self {
        let is_there = |file: &&str| app.exports_place.as_ref().is_some_and(|place| place.has(file));
        let number = self.run.unwrap_or(0);
        self.href = self.file.filter(is_there).map(|_| format!("/api/exports/{export}/file?run={number}"));
        self
    }
}

impl<'a> ExportJson<'a> {
    pub(crate) fn of(export: &'a ExportJob, inventory: &'a Inventory, app: &App) -> Self {
        let underway = app.exporter.underway(export.id);
        let last = inventory.export_runs.get(&export.id).and_then(|runs| runs.last());
        let schedule = export.spec.schedule.as_ref().filter(|_| export.spec.enabled);
        let next_run = schedule.and_then(|it| next_export_slot(it, &export.spec.time_zone, app.now()));
        let state = ExportStateJson {
            name: match &underway {
                None => "idle",
                Some((_, false)) => "queued",
                Some((_, true)) => "running",
            },
            underway: underway.map(|(run, _)| UnderwayJson::of(&run)),
            next_run: next_run.map(Time),
            last_run: last.map(|run| RunJson::of(run).kept(app, export.id)),
        };
        Self {
            state: Some(state),
            created_at: Some(Time(export.created_at)),
            updated_at: Some(Time(export.updated_at)),
            position: Some(export.changed.0),
            ..Self::of_spec(export.id, &export.spec, inventory)
        }
    }

    /// A description alone.
    pub(crate) fn of_spec(id: ExportId, spec: &'a ExportSpec, inventory: &'a Inventory) -> Self {
        let jobs = spec.jobs.iter().filter_map(|id| inventory.jobs.get(id)).map(|job| job.spec.name.as_str());
        let destinations = spec.destinations.iter().filter_map(|id| inventory.destinations.get(id));
        Self {
            id: id.0,
            name: &spec.name,
            title: spec.title.as_deref(),
            jobs: jobs.collect(),
            destinations: destinations.map(|it| it.spec.name.as_str()).collect(),
            destination_ids: spec.destinations.iter().map(|id| id.0).collect(),
            destination_tags: &spec.destination_tags,
            metrics: spec.metrics.iter().map(|metric| metric.name()).collect(),
            range: &spec.range,
            time_zone: &spec.time_zone,
            format: spec.format.name(),
            excel_csv: spec.is_excel_csv,
            schedule: spec.schedule.as_ref().map(ScheduleJson::of),
            folder: spec.folder.as_deref(),
            keep: spec.keep,
            enabled: spec.enabled,
            state: None,
            created_at: None,
            updated_at: None,
            position: None,
        }
    }
}

impl UnderwayJson {
    fn of(run: &Underway) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "at most a thousand")]
        let percent = run.permille.load(Ordering::Relaxed) as f64 / 10.0;
        Self {
            scheduled_for: run.slot.map(Time),
            queued_at: Time(run.queued_at),
            slots: run.events.load(Ordering::Relaxed),
            percent,
        }
    }
}

impl ScheduleJson {
    fn of(schedule: &ExportSchedule) -> Self {
        let day = |day: &u8| DAYS.get(usize::from(*day)).copied().unwrap_or("?");
        Self {
            at: schedule.minutes.iter().map(|minute| clock(*minute)).collect(),
            weekdays: schedule.weekdays.iter().map(day).collect(),
            month_days: schedule.month_days.clone(),
        }
    }
}

/// An export as a client describes it, for the OpenAPI document.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape of a body that `read_export` reads field by field")]
pub(crate) struct ExportInput {
    name: Option<NameText>,
    #[schema(max_length = 128)]
    title: Option<String>,
    /// Names or ids; none for all.
    jobs: Option<Vec<String>>,
    /// Names or ids; all, where neither these nor tags are given.
    destinations: Option<Vec<NameOrId>>,
    destination_tags: Option<Vec<TagText>>,
    /// None for those of the jobs.
    metrics: Option<Vec<MetricWord>>,
    /// `yesterday`, `last-month`, `last-7-days`, ...
    #[schema(examples("last-month"))]
    range: Option<String>,
    /// UTC, where left out.
    #[schema(examples("Europe/Berlin"))]
    time_zone: Option<String>,
    /// xlsx, where left out.
    format: Option<FormatWord>,
    /// csv for a spreadsheet of a country with decimal commas.
    excel_csv: Option<bool>,
    /// Null: only when somebody asks.
    schedule: Option<ScheduleInput>,
    /// Inside the exports folder; one of its own, where left out.
    #[schema(max_length = 128)]
    folder: Option<String>,
    /// How many of its files stay; 12, where left out.
    #[schema(minimum = 1, maximum = 100)]
    keep: Option<u32>,
    enabled: Option<bool>,
}

/// See [`ExportInput`].
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape of a body that `read_schedule` reads field by field")]
struct ScheduleInput {
    /// Times of day on the clock of its time zone.
    at: Vec<ClockText>,
    /// With neither these nor days of the month: every day.
    weekdays: Option<Vec<DayWord>>,
    /// From 1; one that a month does not have is its last.
    month_days: Option<Vec<u8>>,
}

const SHOWN_ONLY: &[&str] = &["id", "state", "created_at", "updated_at", "position"];

/// An export as a client describes it. What is left out has its default.
pub(crate) fn read_export(json: &Json, inventory: &Inventory) -> Result<ExportSpec, Problem> {
    let mut fields = Fields::of(json, "")?.ignore(SHOWN_ONLY);
    let spec = ExportSpec {
        name: fields.required_text("name")?,
        title: fields.text("title")?,
        jobs: read_jobs(&mut fields, inventory)?,
        destinations: read_destinations(&mut fields, inventory)?,
        destination_tags: fields.texts("destination_tags")?.unwrap_or_default(),
        metrics: read_metrics(&mut fields)?,
        range: fields.required_text("range")?,
        time_zone: fields.text("time_zone")?.unwrap_or_else(|| "UTC".to_owned()),
        format: fields.word("format", &FORMATS, ExportFormat::from_name)?.unwrap_or_default(),
        is_excel_csv: fields.flag("excel_csv")?.unwrap_or(false),
        schedule: read_schedule(&mut fields)?,
        folder: fields.text("folder")?,
        keep: fields.number("keep")?.unwrap_or(KEEP),
        enabled: fields.flag("enabled")?.unwrap_or(true),
    };
    fields.done()?;
    Ok(spec)
}

fn read_jobs(fields: &mut Fields<'_>, inventory: &Inventory) -> Result<Vec<netstats_event::JobId>, Problem> {
    let given = fields.texts("jobs")?.unwrap_or_default();
    let job = |(i, name): (usize, &String)| {
        inventory.find_job(name).map(|job| job.id).ok_or_else(|| {
            let shown: String = name.chars().take(80).collect();
            let at = format!("jobs[{i}]");
            let problem =
                fields.refuse(&at, &format!("is {shown:?}, and there is no such job"), "a list of jobs' names or ids");
            crate::nearest::hint(problem, name, inventory.jobs.values().map(|job| job.spec.name.as_str()))
        })
    };
    given.iter().enumerate().map(job).collect()
}

fn read_metrics(fields: &mut Fields<'_>) -> Result<Vec<Metric>, Problem> {
    let names = Metric::ALL.map(Metric::name);
    let given = fields.texts("metrics")?.unwrap_or_default();
    let metric = |(i, name): (usize, &String)| {
        Metric::from_name(name).ok_or_else(|| {
            let shown: String = name.chars().take(80).collect();
            let problem = fields.refuse(&format!("metrics[{i}]"), &format!("is {shown:?}"), &names.join(", "));
            crate::nearest::hint(problem, name, names.iter().copied())
        })
    };
    given.iter().enumerate().map(metric).collect()
}

fn read_schedule(fields: &mut Fields<'_>) -> Result<Option<ExportSchedule>, Problem> {
    let Some(json) = fields.value("schedule") else { return Ok(None) };
    let mut fields = Fields::of(json, "schedule")?;
    let at = fields.texts("at")?.unwrap_or_default();
    let minute = |(i, text): (usize, &String)| {
        minute_of(text).filter(|minute| *minute < 1_440).ok_or_else(|| {
            let shown: String = text.chars().take(80).collect();
            fields.refuse(&format!("at[{i}]"), &format!("is {shown:?}"), "a time of day from \"00:00\" to \"23:59\"")
        })
    };
    let minutes = at.iter().enumerate().map(minute).collect::<Result<_, _>>()?;
    let weekdays = fields.texts("weekdays")?.unwrap_or_default();
    let weekday = |(i, text): (usize, &String)| {
        let found = DAYS.iter().position(|day| day == text).and_then(|day| u8::try_from(day).ok());
        found.ok_or_else(|| {
            let shown: String = text.chars().take(80).collect();
            fields.refuse(&format!("weekdays[{i}]"), &format!("is {shown:?}"), &DAYS.join(", "))
        })
    };
    let weekdays = weekdays.iter().enumerate().map(weekday).collect::<Result<_, _>>()?;
    let month_days = match fields.value("month_days") {
        None => Vec::new(),
        Some(Json::List(days)) => {
            let day = |(i, day): (usize, &Json)| {
                let whole = match day {
                    Json::Number(number) => number.as_u64().and_then(|day| u8::try_from(day).ok()),
                    _ => None,
                };
                whole.ok_or_else(|| fields.refuse(&format!("month_days[{i}]"), "is no day", "1 to 31"))
            };
            days.iter().enumerate().map(day).collect::<Result<_, _>>()?
        }
        Some(_) => return Err(fields.refuse("month_days", "is no list", "a list of days, as [1, 15]")),
    };
    fields.done()?;
    Ok(Some(ExportSchedule { minutes, weekdays, month_days }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formats_are_those_of_the_events() {
        assert_eq!(FORMATS, ExportFormat::ALL.map(ExportFormat::name));
        assert_eq!(FORMATS, netstats_export::Format::NAMES);
    }
}
