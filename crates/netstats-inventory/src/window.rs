//! When a job may run: start, end, and the active hours of the week in a time zone.
//!
//! A span's edges are read on the wall clock of the zone. Where clocks are set back, a span opens at the first and
//! closes at the second reading of its edge, so that every moment whose clock reads inside the span is active. Where
//! clocks are set forward, an edge that is skipped lies at the switch; a span that is skipped whole does not happen.
//! Zone rules are those built into the program: the same everywhere, and no file is read.

use std::sync::LazyLock;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use jiff::{Span, Timestamp as JiffTimestamp};
use netstats_event::{JobSpec, Timestamp, WeeklyHours};

use crate::model::{Inventory, Job};
use crate::slots::preview;

static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// Days looked ahead and back for an edge. Spans come again every week; twice that bridges a span that a clock change
/// swallowed, and a day that a zone skipped.
const HORIZON_DAYS: i32 = 16;

/// The zone of that IANA name; `local` and offsets are not zones.
pub(crate) fn zone(name: &str) -> Option<TimeZone> {
    ZONES.get(name).ok().filter(|zone| zone.iana_name().is_some() && !zone.is_unknown())
}

/// The zone names there are.
pub(crate) fn zone_names() -> impl Iterator<Item = String> {
    ZONES.available().map(|name| name.as_str().to_owned())
}

/// A job's window, ready to be asked many times.
#[derive(Clone, Debug)]
pub struct Window {
    start: Option<Timestamp>,
    end: Option<Timestamp>,
    hours: Hours,
}

#[derive(Clone, Debug)]
enum Hours {
    Always,
    Weekly(Box<Weekly>),
    /// The zone is not known to this program: better no packet than one at night.
    Never,
}

#[derive(Clone, Debug)]
struct Weekly {
    zone: TimeZone,
    /// Opening and closing minute by weekday, Monday first; a closing past 1440 is on the day after.
    days: [Vec<(u16, u16)>; 7],
}

impl Window {
    /// The window of a description, whether or not the job is enabled.
    #[must_use]
    pub fn of(spec: &JobSpec) -> Self {
        Self::between(spec.start_time, spec.end_time, spec.active_hours.as_ref())
    }

    /// The window from `start` to `end`, within these hours of the week if any are given.
    pub(crate) fn between(start: Option<Timestamp>, end: Option<Timestamp>, weekly: Option<&WeeklyHours>) -> Self {
        let hours = match weekly {
            None => Hours::Always,
            Some(hours) => Weekly::of(hours).map_or(Hours::Never, |weekly| Hours::Weekly(Box::new(weekly))),
        };
        Self { start: start.map(Timestamp::to_whole_millis), end: end.map(Timestamp::to_whole_millis), hours }
    }

    /// Open always.
    #[must_use]
    pub(crate) fn is_unbounded(&self) -> bool {
        self.start.is_none() && self.end.is_none() && matches!(self.hours, Hours::Always)
    }

    /// The time zone is not known to this program, so the window never opens.
    #[must_use]
    pub(crate) fn is_of_unknown_zone(&self) -> bool {
        matches!(self.hours, Hours::Never)
    }

    /// Whether it is open at this moment.
    #[must_use]
    pub fn contains(&self, at: Timestamp) -> bool {
        self.start.is_none_or(|start| start <= at)
            && self.end.is_none_or(|end| at < end)
            && match &self.hours {
                Hours::Always => true,
                Hours::Weekly(weekly) => weekly.latest_close_over(at).is_some(),
                Hours::Never => false,
            }
    }

    /// The first moment from `at` on at which it is open; none if it never is again.
    #[must_use]
    pub fn next_open(&self, at: Timestamp) -> Option<Timestamp> {
        let from = self.start.map_or(at, |start| start.max(at));
        let open = match &self.hours {
            Hours::Always => Some(from),
            Hours::Weekly(weekly) => weekly.next_open(from),
            Hours::Never => None,
        };
        open.filter(|open| self.end.is_none_or(|end| *open < end))
    }

    /// The first moment from `at` on at which it is closed; none if it never is again.
    #[must_use]
    pub fn next_close(&self, at: Timestamp) -> Option<Timestamp> {
        if !self.contains(at) {
            return Some(at);
        }
        let close = match &self.hours {
            Hours::Weekly(weekly) => weekly.next_close(at),
            Hours::Always | Hours::Never => None,
        };
        match (close, self.end) {
            (Some(close), Some(end)) => Some(close.min(end)),
            (close, end) => close.or(end),
        }
    }

    /// The last moment up to `at` at which it closed, if it is closed just before `at`; none if it was never open.
    #[must_use]
    pub fn last_close(&self, at: Timestamp) -> Option<Timestamp> {
        let until = self.end.map_or(at, |end| end.min(at));
        let close = match &self.hours {
            Hours::Always => Some(until),
            Hours::Weekly(weekly) => weekly.last_close(until),
            Hours::Never => None,
        };
        close.filter(|close| self.start.is_none_or(|start| start < *close))
    }

    /// Since when it is open, given that it is open at `at`; none if it has always been, or for weeks.
    #[must_use]
    pub fn opened(&self, at: Timestamp) -> Option<Timestamp> {
        let opened = match &self.hours {
            Hours::Weekly(weekly) => weekly.opened(at),
            Hours::Always | Hours::Never => None,
        };
        opened.max(self.start)
    }
}

impl Weekly {
    fn of(hours: &WeeklyHours) -> Option<Self> {
        let zone = zone(&hours.time_zone)?;
        let mut days: [Vec<(u16, u16)>; 7] = Default::default();
        for span in &hours.spans {
            let to = if span.to_minute <= span.from_minute { span.to_minute + 1_440 } else { span.to_minute };
            days.get_mut(usize::from(span.weekday))?.push((span.from_minute, to));
        }
        Some(Self { zone, days })
    }

    /// The local day of `at`, moved by some days.
    fn day(&self, at: Timestamp, by: i32) -> Option<Date> {
        let local = self.zone.to_datetime(to_jiff(at)?).date();
        local.checked_add(Span::new().try_days(by).ok()?).ok()
    }

    /// The spans that open on a local day: opening, closing. One that a clock change swallowed is left out.
    fn spans_of(&self, day: Date) -> impl Iterator<Item = (Timestamp, Timestamp)> + '_ {
        let weekday = usize::try_from(day.weekday().to_monday_zero_offset()).unwrap_or(0);
        self.days[weekday].iter().filter_map(move |&(from, to)| {
            let open = self.edge(day, from, Reading::First)?;
            let close = self.edge(day, to, Reading::Last)?;
            (open < close).then_some((open, close))
        })
    }

    /// The spans that open on the local days around `at`.
    fn spans_near(
        &self,
        at: Timestamp,
        days: std::ops::RangeInclusive<i32>,
    ) -> impl Iterator<Item = (Timestamp, Timestamp)> {
        days.filter_map(move |by| self.day(at, by)).flat_map(|day| self.spans_of(day))
    }

    /// The moment at which the zone's clock reads this minute of this day.
    fn edge(&self, day: Date, minute: u16, reading: Reading) -> Option<Timestamp> {
        let day = day.checked_add(Span::new().try_days(minute / 1_440).ok()?).ok()?;
        let minute = minute % 1_440;
        let (hour, minute) = (i8::try_from(minute / 60).ok()?, i8::try_from(minute % 60).ok()?);
        let local = self.zone.to_ambiguous_timestamp(day.at(hour, minute, 0, 0));
        let moment = match local.offset() {
            AmbiguousOffset::Unambiguous { .. } => local.compatible().ok()?,
            AmbiguousOffset::Fold { .. } => match reading {
                Reading::First => local.earlier().ok()?,
                Reading::Last => local.later().ok()?,
            },
            // Read with the offset after the switch, a skipped time lies before the switch: the switch is next.
            AmbiguousOffset::Gap { .. } => {
                let before = local.earlier().ok()?;
                self.zone.following(before).next()?.timestamp()
            }
        };
        from_jiff(moment)
    }

    /// The latest closing of the spans that are open at `at`; none if none is.
    fn latest_close_over(&self, at: Timestamp) -> Option<Timestamp> {
        self.spans_near(at, -2..=0).filter(|(open, close)| *open <= at && at < *close).map(|(_, close)| close).max()
    }

    fn next_open(&self, at: Timestamp) -> Option<Timestamp> {
        if self.latest_close_over(at).is_some() {
            return Some(at);
        }
        (-1..=HORIZON_DAYS)
            .find_map(|by| self.spans_of(self.day(at, by)?).map(|(open, _)| open).filter(|open| at < *open).min())
    }

    fn next_close(&self, at: Timestamp) -> Option<Timestamp> {
        let horizon = at.plus(days(HORIZON_DAYS));
        let mut close = at;
        while let Some(later) = self.latest_close_over(close) {
            if later > horizon {
                return None;
            }
            close = later;
        }
        Some(close)
    }

    fn last_close(&self, at: Timestamp) -> Option<Timestamp> {
        let inside = self.spans_near(at, -2..=0).any(|(open, close)| open < at && at <= close);
        if inside {
            return Some(at);
        }
        self.spans_near(at, -HORIZON_DAYS..=0).map(|(_, close)| close).filter(|close| *close <= at).max()
    }

    fn opened(&self, at: Timestamp) -> Option<Timestamp> {
        let horizon = at.minus(days(HORIZON_DAYS));
        let over = |at| self.spans_near(at, -2..=0).filter(move |(open, close)| *open <= at && at < *close);
        let touching = |at| self.spans_near(at, -2..=0).filter(move |(open, close)| *open < at && at <= *close);
        let mut opened = over(at).map(|(open, _)| open).min()?;
        while let Some(earlier) = touching(opened).map(|(open, _)| open).min() {
            if earlier < horizon {
                return None;
            }
            opened = earlier;
        }
        Some(opened)
    }
}

/// Which of two equal readings of the clock, where it is set back.
#[derive(Clone, Copy)]
enum Reading {
    First,
    Last,
}

fn days(days: i32) -> Duration {
    Duration::from_secs(86_400 * u64::from(days.unsigned_abs()))
}

pub(crate) fn to_jiff(at: Timestamp) -> Option<JiffTimestamp> {
    JiffTimestamp::from_nanosecond(i128::from(at.as_nanos())).ok()
}

pub(crate) fn from_jiff(at: JiffTimestamp) -> Option<Timestamp> {
    i64::try_from(at.as_nanosecond()).ok().map(Timestamp::from_nanos)
}

/// What a job is doing, as far as its description and the clock tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// Enabled, and inside its window.
    Running,
    /// Disabled.
    Stopped,
    /// Enabled, and waiting for its window.
    Scheduled {
        /// When the window opens; none if its time zone is not known to this program.
        opens: Option<Timestamp>,
    },
    /// Enabled, and its window does not open again.
    Completed,
}

impl JobState {
    /// The name at every door.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Scheduled { .. } => "scheduled",
            Self::Completed => "completed",
        }
    }
}

/// A job's state with since when, why and what next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobStatus {
    /// The state.
    pub state: JobState,
    /// Since when.
    pub since: Timestamp,
    /// Why, in a sentence without a full stop.
    pub why: String,
    /// The next slot; none if there is none to come.
    pub next_run: Option<Timestamp>,
}

/// The state at a moment.
#[must_use]
pub fn job_state(spec: &JobSpec, now: Timestamp) -> JobState {
    state_in(spec, &Window::of(spec), now)
}

fn state_in(spec: &JobSpec, window: &Window, now: Timestamp) -> JobState {
    if !spec.enabled {
        JobState::Stopped
    } else if window.contains(now) {
        JobState::Running
    } else if spec.end_time.is_some_and(|end| end <= now) {
        JobState::Completed
    } else if window.is_of_unknown_zone() {
        JobState::Scheduled { opens: None }
    } else {
        window.next_open(now).map_or(JobState::Completed, |opens| JobState::Scheduled { opens: Some(opens) })
    }
}

/// Whether the job is enabled and inside its window at this moment.
#[must_use]
pub fn is_active(spec: &JobSpec, at: Timestamp) -> bool {
    spec.enabled && Window::of(spec).contains(at)
}

/// When the state changes next by the clock alone; none if it does not.
#[must_use]
pub fn next_change(spec: &JobSpec, now: Timestamp) -> Option<Timestamp> {
    let window = Window::of(spec);
    match state_in(spec, &window, now) {
        JobState::Running => window.next_close(now),
        JobState::Scheduled { opens } => opens,
        JobState::Stopped | JobState::Completed => None,
    }
}

/// The state at a moment with since when, why and what next.
#[must_use]
pub fn job_status(inventory: &Inventory, job: &Job, now: Timestamp) -> JobStatus {
    let window = Window::of(&job.spec);
    let state = state_in(&job.spec, &window, now);
    let enabled = job.enabled_changed_at;
    let next_run = matches!(state, JobState::Running | JobState::Scheduled { .. })
        .then(|| preview(inventory, job, 1, now).first().map(|slot| slot.at))
        .flatten();
    let (since, why) = match state {
        JobState::Stopped => (enabled, format!("not enabled by {}", by(job))),
        JobState::Running if next_run.is_none() && inventory.members(job).is_empty() => {
            (enabled, "it has no destination: none is named, or none carries one of its tags".to_owned())
        }
        JobState::Running => {
            (window.opened(now).map_or(enabled, |opened| opened.max(enabled)), format!("enabled by {}", by(job)))
        }
        JobState::Scheduled { opens: None } => {
            let zone = job.spec.active_hours.as_ref().map_or("", |hours| hours.time_zone.as_str());
            (enabled, format!("this program does not know the time zone {zone:?} of its active hours"))
        }
        JobState::Scheduled { .. } => {
            let closed = window.last_close(now).map_or(enabled, |closed| closed.max(enabled));
            let before_start = job.spec.start_time.is_some_and(|start| now < start);
            (closed, if before_start { "before its start time" } else { "outside its active hours" }.to_owned())
        }
        JobState::Completed => {
            let closed = window.last_close(now).or(job.spec.end_time).unwrap_or(enabled).max(enabled);
            (closed, "its end time is over".to_owned())
        }
    };
    JobStatus { state, since, why, next_run }
}

fn by(job: &Job) -> String {
    let actor = if job.enabled_by.actor.is_empty() { "an unknown actor" } else { &job.enabled_by.actor };
    match &job.enabled_by.reason {
        Some(reason) => format!("{actor}: {reason}"),
        None => actor.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use netstats_event::WeeklySpan;
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        from_jiff(text.parse().unwrap()).unwrap()
    }

    fn span(weekday: u8, from: &str, to: &str) -> WeeklySpan {
        let minute = |text: &str| text[..2].parse::<u16>().unwrap() * 60 + text[3..].parse::<u16>().unwrap();
        WeeklySpan { weekday, from_minute: minute(from), to_minute: minute(to) }
    }

    fn hours(zone: &str, spans: &[WeeklySpan]) -> JobSpec {
        let active_hours = Some(WeeklyHours { time_zone: zone.to_owned(), spans: spans.to_vec() });
        JobSpec { enabled: true, active_hours, ..JobSpec::default() }
    }

    const MON: u8 = 0;
    const THU: u8 = 3;
    const FRI: u8 = 4;
    const SAT: u8 = 5;
    const SUN: u8 = 6;
    const MILLI: Duration = Duration::from_millis(1);

    /// The opening at or after a moment, and the closing that ends it; checked against `contains` on both sides.
    fn open_close(spec: &JobSpec, from: &str) -> (Timestamp, Timestamp) {
        let window = Window::of(spec);
        let open = window.next_open(at(from)).unwrap();
        let close = window.next_close(open).unwrap();
        assert!(window.contains(open) && !window.contains(open.minus(MILLI)), "opens at {open:?}");
        assert!(!window.contains(close) && window.contains(close.minus(MILLI)), "closes at {close:?}");
        assert_eq!(window.opened(close.minus(MILLI)), Some(open));
        assert_eq!(window.last_close(close), Some(close));
        assert_eq!(window.last_close(close.plus(MILLI)), Some(close));
        (open, close)
    }

    #[test]
    fn spans_follow_the_zones_clock() {
        let office = hours("Europe/Berlin", &[span(MON, "08:00", "18:00")]);
        assert_eq!(open_close(&office, "2026-01-04T00:00Z"), (at("2026-01-05T07:00Z"), at("2026-01-05T17:00Z")));
        assert_eq!(open_close(&office, "2026-07-05T00:00Z"), (at("2026-07-06T06:00Z"), at("2026-07-06T16:00Z")));
        let india = hours("Asia/Kolkata", &[span(MON, "00:00", "24:00")]);
        assert_eq!(open_close(&india, "2026-01-01T00:00Z"), (at("2026-01-04T18:30Z"), at("2026-01-05T18:30Z")));
    }

    #[test]
    fn a_span_goes_on_past_midnight_and_past_the_week() {
        let night = hours("UTC", &[span(SUN, "22:00", "06:00")]);
        assert_eq!(open_close(&night, "2026-01-01T00:00Z"), (at("2026-01-04T22:00Z"), at("2026-01-05T06:00Z")));
        assert!(Window::of(&night).contains(at("2026-01-05T05:59:59.999Z")));
        let whole = hours("UTC", &[span(SUN, "22:00", "22:00")]);
        assert_eq!(open_close(&whole, "2026-01-01T00:00Z"), (at("2026-01-04T22:00Z"), at("2026-01-05T22:00Z")));
    }

    #[test]
    fn touching_and_overlapping_spans_are_one() {
        let weekend =
            hours("UTC", &[span(SAT, "00:00", "24:00"), span(SUN, "00:00", "12:00"), span(SUN, "10:00", "13:00")]);
        assert_eq!(open_close(&weekend, "2026-01-01T00:00Z"), (at("2026-01-03T00:00Z"), at("2026-01-04T13:00Z")));
    }

    #[test]
    fn a_week_without_a_gap_never_closes() {
        let spans: Vec<_> = (0..7).map(|day| span(day, "00:00", "24:00")).collect();
        let window = Window::of(&hours("Europe/Berlin", &spans));
        let now = at("2026-03-29T01:00Z");
        assert_eq!((window.next_open(now), window.next_close(now), window.opened(now)), (Some(now), None, None));
    }

    // Berlin, 29 March 2026, 01:00 UTC: 02:00 becomes 03:00.
    #[test]
    fn where_clocks_are_set_forward_a_skipped_edge_lies_at_the_switch() {
        let from = "2026-03-28T23:30Z";
        let opens_in_the_gap = hours("Europe/Berlin", &[span(SUN, "02:30", "03:15")]);
        assert_eq!(open_close(&opens_in_the_gap, from), (at("2026-03-29T01:00Z"), at("2026-03-29T01:15Z")));
        let closes_in_the_gap = hours("Europe/Berlin", &[span(SUN, "01:30", "02:30")]);
        assert_eq!(open_close(&closes_in_the_gap, from), (at("2026-03-29T00:30Z"), at("2026-03-29T01:00Z")));
        let from_gap_start = hours("Europe/Berlin", &[span(SUN, "02:00", "03:00")]);
        assert_eq!(open_close(&from_gap_start, from), (at("2026-04-05T00:00Z"), at("2026-04-05T01:00Z")));
        let over_the_gap = hours("Europe/Berlin", &[span(SAT, "22:00", "06:00")]);
        assert_eq!(open_close(&over_the_gap, "2026-03-28T12:00Z"), (at("2026-03-28T21:00Z"), at("2026-03-29T04:00Z")));
        let the_day = hours("Europe/Berlin", &[span(SUN, "00:00", "24:00")]);
        assert_eq!(open_close(&the_day, "2026-03-28T12:00Z"), (at("2026-03-28T23:00Z"), at("2026-03-29T22:00Z")));
    }

    #[test]
    fn a_span_that_is_skipped_whole_does_not_happen() {
        let swallowed = hours("Europe/Berlin", &[span(SUN, "02:10", "02:40")]);
        assert_eq!(open_close(&swallowed, "2026-03-28T12:00Z"), (at("2026-04-05T00:10Z"), at("2026-04-05T00:40Z")));
        assert_eq!(Window::of(&swallowed).last_close(at("2026-04-01T00:00Z")), Some(at("2026-03-22T01:40Z")));
        // Samoa had no 30 December 2011, a Friday.
        let friday = hours("Pacific/Apia", &[span(FRI, "10:00", "12:00")]);
        assert_eq!(open_close(&friday, "2011-12-28T00:00Z").0, at("2012-01-05T20:00Z"));
        let into_friday = hours("Pacific/Apia", &[span(THU, "22:00", "02:00")]);
        assert_eq!(open_close(&into_friday, "2011-12-29T00:00Z"), (at("2011-12-30T08:00Z"), at("2011-12-30T10:00Z")));
    }

    // Berlin, 25 October 2026, 01:00 UTC: 03:00 becomes 02:00.
    #[test]
    fn where_clocks_are_set_back_a_span_holds_both_readings_of_its_edges() {
        let from = "2026-10-24T12:00Z";
        let inside = hours("Europe/Berlin", &[span(SUN, "02:30", "02:45")]);
        assert_eq!(open_close(&inside, from), (at("2026-10-25T00:30Z"), at("2026-10-25T01:45Z")));
        let opens_inside = hours("Europe/Berlin", &[span(SUN, "02:30", "04:00")]);
        assert_eq!(open_close(&opens_inside, from), (at("2026-10-25T00:30Z"), at("2026-10-25T03:00Z")));
        let closes_inside = hours("Europe/Berlin", &[span(SUN, "01:00", "02:30")]);
        assert_eq!(open_close(&closes_inside, from), (at("2026-10-24T23:00Z"), at("2026-10-25T01:30Z")));
        let the_day = hours("Europe/Berlin", &[span(SUN, "00:00", "24:00")]);
        assert_eq!(open_close(&the_day, from), (at("2026-10-24T22:00Z"), at("2026-10-25T23:00Z")));
        // Half an hour, on Lord Howe Island: 5 April 2026, 02:00 becomes 01:30.
        let island = hours("Australia/Lord_Howe", &[span(SUN, "01:45", "03:00")]);
        assert_eq!(open_close(&island, "2026-04-04T00:00Z"), (at("2026-04-04T14:45Z"), at("2026-04-04T16:30Z")));
    }

    #[test]
    fn start_and_end_bound_the_hours() {
        let mut spec = hours("UTC", &[span(MON, "08:00", "18:00")]);
        (spec.start_time, spec.end_time) = (Some(at("2026-01-05T12:00Z")), Some(at("2026-01-12T09:00Z")));
        let window = Window::of(&spec);
        assert_eq!(open_close(&spec, "2025-01-01T00:00Z"), (at("2026-01-05T12:00Z"), at("2026-01-05T18:00Z")));
        assert_eq!(window.next_close(at("2026-01-12T08:30Z")), Some(at("2026-01-12T09:00Z")));
        assert_eq!(window.next_open(at("2026-01-12T09:00Z")), None);
        assert_eq!(window.last_close(at("2026-06-01T00:00Z")), Some(at("2026-01-12T09:00Z")));
        assert_eq!(window.last_close(at("2026-01-05T11:00Z")), None);
    }

    #[test]
    fn a_job_is_in_exactly_one_state() {
        let mut spec = hours("UTC", &[span(MON, "08:00", "18:00")]);
        (spec.start_time, spec.end_time) = (Some(at("2026-01-05T12:00Z")), Some(at("2026-01-13T00:00Z")));
        let cases = [
            ("2026-01-01T00:00Z", "scheduled", Some("2026-01-05T12:00Z")),
            ("2026-01-05T12:00Z", "running", Some("2026-01-05T18:00Z")),
            ("2026-01-05T18:00Z", "scheduled", Some("2026-01-12T08:00Z")),
            ("2026-01-12T17:59Z", "running", Some("2026-01-12T18:00Z")),
            // Its end is to come, but it does not open again before.
            ("2026-01-12T18:00Z", "completed", None),
            ("2026-01-13T00:00Z", "completed", None),
        ];
        for (now, state, change) in cases {
            assert_eq!(job_state(&spec, at(now)).name(), state, "at {now}");
            assert_eq!(next_change(&spec, at(now)), change.map(at), "at {now}");
            assert_eq!(is_active(&spec, at(now)), state == "running");
        }
        spec.enabled = false;
        for (now, _, _) in cases {
            assert_eq!(job_state(&spec, at(now)), JobState::Stopped);
            assert_eq!(next_change(&spec, at(now)), None);
        }
        let always = JobSpec { enabled: true, ..JobSpec::default() };
        assert_eq!(job_state(&always, at("2026-01-01T00:00Z")), JobState::Running);
    }

    #[test]
    fn an_unknown_zone_keeps_a_job_waiting() {
        for name in ["Mars/Olympus", "", "local", "Etc/Unknown", "+02:00"] {
            assert!(zone(name).is_none(), "{name:?}");
            let spec = hours(name, &[span(MON, "00:00", "24:00")]);
            assert_eq!(job_state(&spec, at("2026-01-05T12:00Z")), JobState::Scheduled { opens: None });
        }
        assert_eq!(zone("europe/berlin").unwrap().iana_name(), Some("Europe/Berlin"));
    }

    /// What the zone's clock reads decides: the plain definition, wrong only where clocks are set back.
    fn clock_reads_inside(spec: &JobSpec, moment: Timestamp) -> bool {
        let hours = spec.active_hours.as_ref().unwrap();
        let local = zone(&hours.time_zone).unwrap().to_datetime(to_jiff(moment).unwrap());
        let weekday = i32::from(local.weekday().to_monday_zero_offset());
        let minute = i32::from(local.hour()) * 60 + i32::from(local.minute());
        hours.spans.iter().any(|span| {
            let (from, to) = (i32::from(span.from_minute), i32::from(span.to_minute));
            let to = if to <= from { to + 1_440 } else { to };
            [0, 1].iter().any(|days_ago| {
                (weekday - days_ago).rem_euclid(7) == i32::from(span.weekday)
                    && (from..to).contains(&(minute + 1_440 * days_ago))
            })
        })
    }

    fn specs() -> impl Strategy<Value = JobSpec> {
        let zones = prop::sample::select(vec![
            "Europe/Berlin",
            "America/New_York",
            "Australia/Lord_Howe",
            "UTC",
            "Asia/Kolkata",
        ]);
        let spans = (0..7_u8, 0..1_440_u16, 1..=1_440_u16).prop_map(|(weekday, from_minute, to_minute)| WeeklySpan {
            weekday,
            from_minute,
            to_minute,
        });
        (zones, prop::collection::vec(spans, 1..6)).prop_map(|(zone, spans)| hours(zone, &spans))
    }

    proptest! {
        #[test]
        fn the_window_is_what_the_clock_reads(spec in specs(), minute in 0..527_040_i64) {
            let moment = Timestamp::from_secs(1_767_225_600 + 60 * minute);
            let is_open = Window::of(&spec).contains(moment);
            if clock_reads_inside(&spec, moment) {
                prop_assert!(is_open);
            } else if is_open {
                // Open though the clock reads outside: only between two readings of an edge.
                let zone = zone(&spec.active_hours.as_ref().unwrap().time_zone).unwrap();
                let near = |moment: Timestamp| zone.to_offset(to_jiff(moment).unwrap());
                let hour = Duration::from_secs(3_600);
                prop_assert!(near(moment.minus(hour)) != near(moment.plus(hour)));
            }
        }

        #[test]
        fn edges_agree_with_the_inside(spec in specs(), minute in 0..527_040_i64) {
            let window = Window::of(&spec);
            let moment = Timestamp::from_secs(1_767_225_600 + 60 * minute);
            let Some(open) = window.next_open(moment) else { return Ok(()) };
            prop_assert!(open >= moment && window.contains(open));
            prop_assert_eq!(open == moment, window.contains(moment));
            let mut between = moment;
            while between < open {
                prop_assert!(!window.contains(between));
                between = between.plus(Duration::from_secs(600));
            }
            if let Some(close) = window.next_close(open) {
                prop_assert!(!window.contains(close) && window.contains(close.minus(MILLI)));
                if let Some(opened) = window.opened(close.minus(MILLI)) {
                    prop_assert!(opened <= open && window.contains(opened) && !window.contains(opened.minus(MILLI)));
                }
            }
            if let Some(closed) = window.last_close(moment) {
                prop_assert!(closed <= moment && window.contains(closed.minus(MILLI)));
                prop_assert!(closed == moment || !window.contains(closed) || window.contains(moment));
            }
        }
    }
}
