//! Exports: commands to events, spans of time in words, and when an export is due.

use std::ops::Range;

use jiff::Span;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use netstats_event::{
    Event, ExportFormat, ExportId, ExportJobCreated, ExportJobDeleted, ExportJobUpdated, ExportRun, ExportRunFinished,
    ExportRunRequested, ExportSchedule, ExportSpec, MAX_JOB_DESTINATIONS, Meta, Timestamp,
};

use crate::account::{destinations, room};
use crate::command::Rejection;
use crate::limits::{MAX_EXPORT_KEEP, MAX_EXPORT_TIMES, MAX_EXPORTS};
use crate::model::{ExportJob, Inventory, name_key};
use crate::validate::{at_most, did_you_mean, line, name, tags, within};
use crate::window::{from_jiff, to_jiff, zone, zone_names};

/// Days looked ahead and back for a time of a schedule: a day of the month comes again within 62.
const HORIZON_DAYS: i32 = 63;
/// The largest number in a span's words.
const MOST_SPANS: u32 = 1_000;
/// What a span of time may be called.
const RANGES: &str = "today, yesterday, this-week, last-week, this-month, last-month, this-year, last-year, \
                      last-N-hours, last-N-days, last-N-weeks, last-N-months";
/// Names that some system gives a meaning of its own, whatever their ending (Windows).
const RESERVED: [&str; 6] = ["con", "prn", "aux", "nul", "com", "lpt"];

pub(crate) fn add_export(state: &Inventory, spec: ExportSpec, meta: &Meta) -> Result<Event, Rejection> {
    let spec = export(spec, None, state)?;
    room("exports", state.exports.len(), MAX_EXPORTS, state.next_export.0)?;
    Ok(ExportJobCreated { id: state.next_export, spec, meta: meta.clone() }.into())
}

pub(crate) fn change_export(
    state: &Inventory,
    id: ExportId,
    spec: ExportSpec,
    meta: &Meta,
) -> Result<Option<Event>, Rejection> {
    let old = export_of(state, id)?;
    let spec = export(spec, Some(old), state)?;
    Ok((spec != old.spec).then(|| ExportJobUpdated { id, spec, meta: meta.clone() }.into()))
}

pub(crate) fn remove_export(state: &Inventory, id: ExportId, meta: &Meta) -> Result<Event, Rejection> {
    export_of(state, id)?;
    Ok(ExportJobDeleted { id, meta: meta.clone() }.into())
}

/// One run at a time: the end of the one before is told first.
pub(crate) fn request_export(state: &Inventory, id: ExportId, meta: &Meta) -> Result<Event, Rejection> {
    export_of(state, id)?;
    match state.export_requests.get(&id) {
        Some(_) => Err(Rejection::conflict("this export is being made already")),
        None => Ok(ExportRunRequested { id, meta: meta.clone() }.into()),
    }
}

/// What has happened is recorded as it is, unless nobody knows any more what it was for.
pub(crate) fn finish_export(state: &Inventory, id: ExportId, run: ExportRun, meta: &Meta) -> Result<Event, Rejection> {
    export_of(state, id)?;
    Ok(ExportRunFinished { id, run, meta: meta.clone() }.into())
}

fn export_of(state: &Inventory, id: ExportId) -> Result<&ExportJob, Rejection> {
    let found = state.exports.get(&id).map(AsRef::as_ref);
    found.ok_or_else(|| Rejection::not_found(format!("there is no export {id}")))
}

fn export(mut spec: ExportSpec, before: Option<&ExportJob>, state: &Inventory) -> Result<ExportSpec, Rejection> {
    spec.name = name("name", &spec.name)?;
    let same = state.exports.values().find(|it| name_key(&it.spec.name) == name_key(&spec.name));
    if let Some(other) = same.filter(|other| before.is_none_or(|before| before.id != other.id)) {
        return Err(crate::decide::taken("export", &other.spec.name, other.id));
    }
    spec.title = line("title", spec.title, netstats_event::MAX_NAME_CHARS)?;
    jobs(&mut spec, before, state)?;
    let known = before.map_or(&[][..], |before| &before.spec.destinations);
    destinations(&mut spec.destinations, known, state)?;
    spec.destination_tags = tags("destination_tags", &spec.destination_tags)?;
    spec.metrics.sort_unstable();
    spec.metrics.dedup();
    time_zone(&mut spec.time_zone)?;
    spec.range = Words::read(&spec.range).ok_or_else(|| unknown_range(&spec.range))?.name();
    if let Some(schedule) = &mut spec.schedule {
        times(schedule)?;
    }
    spec.folder = spec.folder.as_deref().filter(|given| !given.trim().is_empty()).map(folder).transpose()?;
    within("keep", spec.keep, "", 1..=MAX_EXPORT_KEEP)?;
    spec.is_excel_csv &= spec.format == ExportFormat::Csv;
    Ok(spec)
}

fn jobs(spec: &mut ExportSpec, before: Option<&ExportJob>, state: &Inventory) -> Result<(), Rejection> {
    spec.jobs.sort_unstable();
    spec.jobs.dedup();
    at_most("jobs", spec.jobs.len(), MAX_JOB_DESTINATIONS)?;
    let is_known = |id| state.jobs.contains_key(id) || before.is_some_and(|before| before.spec.jobs.contains(id));
    match spec.jobs.iter().find(|id| !is_known(id)) {
        Some(unknown) => Err(Rejection::invalid("jobs", format!("there is no job {unknown}"))),
        None => Ok(()),
    }
}

fn time_zone(given: &mut String) -> Result<(), Rejection> {
    let name = given.trim();
    let known = zone(name).ok_or_else(|| {
        let no = Rejection::invalid("time_zone", format!("there is no time zone {name:?}"))
            .accepting("an IANA name, as \"Europe/Berlin\" or \"UTC\"");
        did_you_mean(no, name, zone_names())
    })?;
    *given = known.iana_name().unwrap_or(name).to_owned();
    Ok(())
}

fn unknown_range(given: &str) -> Rejection {
    let shown: String = given.chars().take(80).collect();
    Rejection::invalid("range", format!("there is no range {shown:?}")).accepting(RANGES)
}

fn times(schedule: &mut ExportSchedule) -> Result<(), Rejection> {
    let ExportSchedule { minutes, weekdays, month_days } = schedule;
    minutes.sort_unstable();
    minutes.dedup();
    for days in [&mut *weekdays, &mut *month_days] {
        days.sort_unstable();
        days.dedup();
    }
    if minutes.is_empty() {
        return Err(Rejection::invalid("schedule.at", "it names no time of day").accepting("times, as 06:30"));
    }
    at_most("schedule.at", minutes.len(), MAX_EXPORT_TIMES)?;
    within("schedule.at", minutes.last().copied().unwrap_or(0), " min", 0..=1_439)?;
    within("schedule.weekdays", weekdays.last().copied().unwrap_or(0), "", 0..=6)?;
    within("schedule.month_days", month_days.first().copied().unwrap_or(1), "", 1..=31)?;
    within("schedule.month_days", month_days.last().copied().unwrap_or(1), "", 1..=31)
}

/// A folder inside the exports folder, in its one form: plain names with `/` between them. Nothing that leads out of it,
/// and nothing that some system reads in a way of its own.
fn folder(given: &str) -> Result<String, Rejection> {
    let refuse = |why: &str| {
        Err(Rejection::invalid("folder", why)
            .accepting("names inside the exports folder with / between them, of letters, digits, -, _, . and blanks"))
    };
    let trimmed = given.trim();
    if trimmed.chars().count() > netstats_event::MAX_NAME_CHARS {
        return refuse("it is too long");
    }
    let mut parts = Vec::new();
    for part in trimmed.split('/') {
        if part.is_empty() {
            return refuse(if given.starts_with('/') {
                "it is not inside the exports folder"
            } else {
                "a name is empty"
            });
        }
        if part.starts_with('.') || part.ends_with('.') || part.trim() != part {
            return refuse("a name begins or ends with a dot or a blank");
        }
        if !part.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ' ')) {
            return refuse("a name has other characters");
        }
        if is_reserved(part) {
            return refuse("a name is one that a system keeps for itself");
        }
        parts.push(part);
    }
    Ok(parts.join("/"))
}

/// `con`, `NUL.txt`, `com1`: devices of Windows, whatever the ending.
#[must_use]
pub fn is_reserved(file_name: &str) -> bool {
    let stem = file_name.split('.').next().unwrap_or_default().trim().to_lowercase();
    let base = stem.trim_end_matches(|c: char| c.is_ascii_digit());
    let digits = stem.len() - base.len();
    RESERVED.contains(&base) && (digits == 0 || (digits == 1 && matches!(base, "com" | "lpt")))
}

/// A span of time told from a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Words {
    /// Whole days, weeks, months or years, from so many before the present one, so many of them. The present one, if
    /// `back` is 0, up to the moment.
    Calendar { unit: Unit, back: u32 },
    /// Hours up to the moment.
    Hours(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Day,
    Week,
    Month,
    Year,
}

impl Unit {
    const ALL: [(Self, &'static str); 4] =
        [(Self::Day, "day"), (Self::Week, "week"), (Self::Month, "month"), (Self::Year, "year")];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(unit, _)| *unit == self).map_or("", |(_, name)| name)
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, of)| *of == name).map(|(unit, _)| *unit)
    }

    /// The first day of the unit that holds a day.
    fn first(self, day: Date) -> Option<Date> {
        match self {
            Self::Day => Some(day),
            Self::Week => day.checked_sub(Span::new().days(i64::from(day.weekday().to_monday_zero_offset()))).ok(),
            Self::Month => Some(day.first_of_month()),
            Self::Year => Some(day.first_of_year()),
        }
    }

    fn times(self, count: u32) -> Option<Span> {
        let count = i64::from(count);
        match self {
            Self::Day => Span::new().try_days(count),
            Self::Week => Span::new().try_weeks(count),
            Self::Month => Span::new().try_months(count),
            Self::Year => Span::new().try_years(count),
        }
        .ok()
    }
}

impl Words {
    fn read(text: &str) -> Option<Self> {
        let text = text.trim().to_lowercase().replace([' ', '_'], "-");
        let parts: Vec<&str> = text.split('-').collect();
        match parts[..] {
            ["today"] => Some(Self::Calendar { unit: Unit::Day, back: 0 }),
            ["yesterday"] => Some(Self::Calendar { unit: Unit::Day, back: 1 }),
            ["this", unit] => Unit::named(unit).map(|unit| Self::Calendar { unit, back: 0 }),
            ["last", unit] => Unit::named(unit).map(|unit| Self::Calendar { unit, back: 1 }),
            ["last", count, unit] => {
                let back = count.parse().ok().filter(|count| (1..=MOST_SPANS).contains(count))?;
                let unit = unit.strip_suffix('s').unwrap_or(unit);
                if unit == "hour" {
                    return Some(Self::Hours(back));
                }
                Unit::named(unit).map(|unit| Self::Calendar { unit, back })
            }
            _ => None,
        }
    }

    /// Its one name.
    fn name(self) -> String {
        match self {
            Self::Calendar { unit: Unit::Day, back: 0 } => "today".to_owned(),
            Self::Calendar { unit: Unit::Day, back: 1 } => "yesterday".to_owned(),
            Self::Calendar { unit, back: 0 } => format!("this-{}", unit.name()),
            Self::Calendar { unit, back: 1 } => format!("last-{}", unit.name()),
            Self::Calendar { unit, back } => format!("last-{back}-{}s", unit.name()),
            Self::Hours(hours) => format!("last-{hours}-hours"),
        }
    }

    fn span(self, zone: &TimeZone, now: Timestamp) -> Option<Range<Timestamp>> {
        match self {
            Self::Hours(hours) => Some(now.minus(std::time::Duration::from_secs(u64::from(hours) * 3_600))..now),
            Self::Calendar { unit, back } => {
                let first = unit.first(zone.to_datetime(to_jiff(now)?).date())?;
                let start = midnight(zone, first.checked_sub(unit.times(back)?).ok()?)?;
                let end = if back == 0 { now } else { midnight(zone, first)? };
                Some(start..end)
            }
        }
    }
}

/// The first moment of a local day: where clocks skip midnight, the moment after the switch; where they read it twice,
/// the first.
fn midnight(zone: &TimeZone, day: Date) -> Option<Timestamp> {
    reading(zone, day, 0)
}

/// The first moment at which clocks read this minute of this day; where they skip it, as much after the switch.
fn reading(zone: &TimeZone, day: Date, minute: u16) -> Option<Timestamp> {
    let (hour, minute) = (i8::try_from(minute / 60).ok()?, i8::try_from(minute % 60).ok()?);
    from_jiff(zone.to_ambiguous_timestamp(day.at(hour, minute, 0, 0)).compatible().ok()?)
}

/// The span of time that these words mean at a moment, by the calendar of a zone; none if words or zone are not known.
#[must_use]
pub fn export_range(words: &str, time_zone: &str, now: Timestamp) -> Option<Range<Timestamp>> {
    Words::read(words)?.span(&zone(time_zone)?, now)
}

/// The last time of a schedule up to `at`.
#[must_use]
pub fn last_export_slot(schedule: &ExportSchedule, time_zone: &str, at: Timestamp) -> Option<Timestamp> {
    let zone = zone(time_zone)?;
    (0..=HORIZON_DAYS).find_map(|back| slots_of_day(schedule, &zone, at, -back).filter(|slot| *slot <= at).max())
}

/// The first time of a schedule after `at`.
#[must_use]
pub fn next_export_slot(schedule: &ExportSchedule, time_zone: &str, at: Timestamp) -> Option<Timestamp> {
    let zone = zone(time_zone)?;
    (0..=HORIZON_DAYS).find_map(|ahead| slots_of_day(schedule, &zone, at, ahead).filter(|slot| *slot > at).min())
}

/// The times of a schedule on the local day of `at`, moved by some days.
fn slots_of_day<'a>(
    schedule: &'a ExportSchedule,
    zone: &'a TimeZone,
    at: Timestamp,
    by: i32,
) -> impl Iterator<Item = Timestamp> + 'a {
    let day = to_jiff(at).map(|at| zone.to_datetime(at).date());
    let day = day.and_then(|day| day.checked_add(Span::new().try_days(by).ok()?).ok());
    let day = day.filter(|day| is_due_on(schedule, *day));
    day.into_iter().flat_map(move |day| schedule.minutes.iter().filter_map(move |minute| reading(zone, day, *minute)))
}

fn is_due_on(schedule: &ExportSchedule, day: Date) -> bool {
    let ExportSchedule { weekdays, month_days, .. } = schedule;
    let weekday = u8::try_from(day.weekday().to_monday_zero_offset()).unwrap_or(0);
    let of_month = |wanted: &u8| {
        let wanted = i8::try_from(*wanted).unwrap_or(i8::MAX);
        wanted.min(day.days_in_month()) == day.day()
    };
    (weekdays.is_empty() && month_days.is_empty()) || weekdays.contains(&weekday) || month_days.iter().any(of_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        from_jiff(text.parse().unwrap()).unwrap()
    }

    #[track_caller]
    fn is(words: &str, now: &str, from: &str, to: &str) {
        assert_eq!(export_range(words, "Europe/Berlin", at(now)), Some(at(from)..at(to)), "{words} at {now}");
    }

    #[test]
    fn ranges_follow_the_calendar_of_their_zone() {
        let now = "2026-11-24T22:30:00Z"; // a Tuesday, 23:30 in Berlin
        is("today", now, "2026-11-23T23:00:00Z", now);
        is("Yesterday", now, "2026-11-22T23:00:00Z", "2026-11-23T23:00:00Z");
        is("last week", now, "2026-11-15T23:00:00Z", "2026-11-22T23:00:00Z");
        is("this_month", now, "2026-10-31T23:00:00Z", now);
        is("last-3-months", now, "2026-07-31T22:00:00Z", "2026-10-31T23:00:00Z");
        is("last-year", now, "2024-12-31T23:00:00Z", "2025-12-31T23:00:00Z");
        is("last-24-hours", now, "2026-11-23T22:30:00Z", now);
        for wrong in ["", "last", "last-0-days", "last-1001-days", "tomorrow", "last-x-days", "last-7-eons"] {
            assert_eq!(export_range(wrong, "Europe/Berlin", at(now)), None, "{wrong}");
        }
    }

    #[test]
    fn a_day_of_a_clock_change_has_23_or_25_hours() {
        is("yesterday", "2026-03-30T10:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z");
        is("yesterday", "2026-10-26T10:00:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z");
        // Where midnight itself is skipped, the day begins with the switch: Beirut, 2026-03-29 00:00 -> 01:00.
        let range = export_range("yesterday", "Asia/Beirut", at("2026-03-30T10:00:00Z")).unwrap();
        assert_eq!(range.end.since(range.start).as_secs(), 23 * 3_600);
    }

    #[test]
    fn words_keep_their_meaning_in_their_one_form() {
        for (given, form) in
            [("LAST 7 DAYS", "last-7-days"), ("last-1-days", "yesterday"), ("last_1_month", "last-month")]
        {
            let words = Words::read(given).unwrap();
            assert_eq!(words.name(), form);
            assert_eq!(Words::read(&words.name()), Some(words));
        }
    }

    #[test]
    fn a_schedule_knows_its_neighbours_at_both_switches() {
        let daily = ExportSchedule { minutes: vec![150], ..ExportSchedule::default() }; // 02:30
        let next = |text: &str| next_export_slot(&daily, "Europe/Berlin", at(text)).unwrap();
        // Skipped in spring: as much after the switch. Twice in autumn: once, at the first reading.
        assert_eq!(next("2026-03-28T12:00:00Z"), at("2026-03-29T01:30:00Z"));
        assert_eq!(next("2026-03-29T01:30:00Z"), at("2026-03-30T00:30:00Z"));
        assert_eq!(next("2026-10-24T12:00:00Z"), at("2026-10-25T00:30:00Z"));
        assert_eq!(next("2026-10-25T00:30:00Z"), at("2026-10-26T01:30:00Z"));
        let last = last_export_slot(&daily, "Europe/Berlin", at("2026-10-25T02:00:00Z"));
        assert_eq!(last, Some(at("2026-10-25T00:30:00Z")));
    }

    #[test]
    fn the_31st_is_the_last_day_of_a_shorter_month() {
        let monthly = ExportSchedule { minutes: vec![0], month_days: vec![31], ..ExportSchedule::default() };
        let next = next_export_slot(&monthly, "UTC", at("2026-02-01T00:00:00Z"));
        assert_eq!(next, Some(at("2026-02-28T00:00:00Z")));
        let weekly = ExportSchedule { minutes: vec![360, 1_080], weekdays: vec![0], ..ExportSchedule::default() };
        let next = next_export_slot(&weekly, "UTC", at("2026-11-24T00:00:00Z"));
        assert_eq!(next, Some(at("2026-11-30T06:00:00Z")));
    }

    #[test]
    fn folders_stay_inside_and_off_reserved_names() {
        for good in ["a", "Provider/Zürich 2026", "a/b.c"] {
            assert_eq!(folder(good).as_deref(), Ok(good));
        }
        for bad in
            ["/etc", "..", "a/../b", "a//b", "a/", ".hidden", "a\\b", "C:", "nul", "a/COM1.txt", "a/ b", "a\nb", ""]
        {
            assert!(folder(bad).is_err(), "{bad:?}");
        }
        assert!(is_reserved("LPT9") && is_reserved("nul.tar.gz") && !is_reserved("com10") && !is_reserved("console"));
    }
}
