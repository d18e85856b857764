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
        let hours = match &spec.active_hours {
            None => Hours::Always,
            Some(hours) => Weekly::of(hours).map_or(Hours::Never, |weekly| Hours::Weekly(Box::new(weekly))),
        };
        Self {
            start: spec.start_time.map(Timestamp::to_whole_millis),
            end: spec.end_time.map(Timestamp::to_whole_millis),
            hours,
        }
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

fn to_jiff(at: Timestamp) -> Option<JiffTimestamp> {
    JiffTimestamp::from_nanosecond(i128::from(at.as_nanos())).ok()
}

fn from_jiff(at: JiffTimestamp) -> Option<Timestamp> {
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
