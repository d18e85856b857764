//! The moment that a question is about: now, or one of the past with what was known then.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use netstats_event::{DestinationId, DestinationSpec, Event, JobId, Kind, Position, Timestamp};
use netstats_inventory::{Change, Inventory};
use netstats_series::{DestinationLatest, Failure, ProbeLatest};

use crate::app::App;
use crate::command::blocking;
use crate::json::parse_moment;
use crate::limits::{LANDMARK_EVERY, MAX_LANDMARKS};
use crate::problem::Problem;
use crate::route::Call;

/// A moment.
#[derive(Clone, Debug)]
pub(crate) struct Moment {
    /// The last event known; none: all that the views show.
    pub(crate) as_of: Option<Position>,
    /// The wall clock then.
    pub(crate) now: Timestamp,
    /// Destinations and jobs then.
    pub(crate) inventory: Arc<Inventory>,
}

impl Moment {
    /// This moment.
    pub(crate) fn present(app: &App) -> Self {
        Self { as_of: None, now: app.now(), inventory: app.context.inventory.current() }
    }

    /// The moment of `?as_of=`: a position, or a time; this moment without it. May block.
    pub(crate) fn of(app: &App, call: &Call) -> Result<Self, Problem> {
        Self::told(app, call.query.get("as_of"))
    }

    fn told(app: &App, as_of: Option<&str>) -> Result<Self, Problem> {
        let Some(text) = as_of else { return Ok(Self::present(app)) };
        let last = app.visible();
        let (position, now) = if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            let position = text.parse().ok().map(Position).filter(|position| *position <= last).ok_or_else(|| {
                Problem::invalid(format!("as_of is position {}", text.chars().take(40).collect::<String>()))
                    .field("as_of")
                    .accepted(format!("a position from 0 to {last}, or a time"))
            })?;
            // Before the first event, the clock stood at it.
            let seen = position.max(app.context.journal.first());
            (position, if seen <= last { recorded_at(app, seen)? } else { app.now() })
        } else {
            let now = app.now();
            let at = parse_moment(text, "as_of", now)?;
            // Of what is to come, all is known that there is.
            (position_at(app, at, last)?, at.min(now))
        };
        let inventory = app.context.inventory.as_of(&*app.context.journal, position)?;
        Ok(Self { as_of: Some(position), now, inventory })
    }

    /// The position that an answer is true of.
    pub(crate) fn position(&self, app: &App) -> Position {
        self.as_of.unwrap_or_else(|| app.visible())
    }

    pub(crate) fn latest(&self, app: &App, id: DestinationId) -> Result<Option<DestinationLatest>, Problem> {
        let series = &app.context.series;
        Ok(match self.as_of {
            None => series.latest(id),
            Some(position) => series.latest_as_of(&*app.context.journal, id, position)?,
        })
    }

    pub(crate) fn latest_all(&self, app: &App) -> Result<Vec<DestinationLatest>, Problem> {
        let series = &app.context.series;
        Ok(match self.as_of {
            None => series.latest_all(),
            Some(position) => series.latest_all_as_of(&*app.context.journal, position)?,
        })
    }

    pub(crate) fn latest_of_job(&self, app: &App, job: JobId) -> Result<Vec<ProbeLatest>, Problem> {
        let series = &app.context.series;
        Ok(match self.as_of {
            None => series.latest_of_job(job),
            Some(position) => series.latest_of_job_as_of(&*app.context.journal, job, position)?,
        })
    }

    /// What a destination is called; a removed one as it was called last.
    pub(crate) fn name_of(&self, app: &App, id: DestinationId) -> Cow<'_, str> {
        match self.inventory.destinations.get(&id) {
            Some(destination) => Cow::Borrowed(&destination.spec.name),
            None => Cow::Owned(self.last_destination(app, id).map(|spec| spec.name).unwrap_or_default()),
        }
    }

    /// What a job is called; a removed one as it was called last.
    pub(crate) fn job_name_of(&self, app: &App, id: JobId) -> Cow<'_, str> {
        match self.inventory.jobs.get(&id) {
            Some(job) => Cow::Borrowed(&job.spec.name),
            None => Cow::Owned(self.last_job_name(app, id).unwrap_or_default()),
        }
    }

    /// The destination was there and is not any more: its samples are.
    pub(crate) fn is_removed(&self, id: DestinationId) -> bool {
        !self.inventory.destinations.contains_key(&id)
    }

    /// What a removed job was called last.
    pub(crate) fn last_job_name(&self, app: &App, id: JobId) -> Option<String> {
        match self.last_description(app, |change| change.job == Some(id))? {
            Event::JobAdded(added) => Some(added.spec.name),
            Event::JobChanged(changed) => Some(changed.spec.name),
            _ => None,
        }
    }

    /// What a removed destination was last.
    pub(crate) fn last_destination(&self, app: &App, id: DestinationId) -> Option<DestinationSpec> {
        match self.last_description(app, |change| change.destination == Some(id))? {
            Event::DestinationAdded(added) => Some(added.spec),
            Event::DestinationChanged(changed) => Some(changed.spec),
            _ => None,
        }
    }

    /// The last event with a description that `is_it` accepts.
    fn last_description(&self, app: &App, is_it: impl Fn(&Change) -> bool) -> Option<Event> {
        const DESCRIBING: [Kind; 4] =
            [Kind::DestinationAdded, Kind::DestinationChanged, Kind::JobAdded, Kind::JobChanged];
        let describes = |change: &Change| DESCRIBING.iter().any(|kind| kind.code() == change.kind) && is_it(change);
        let before = self.as_of.map(Position::next);
        let position = app.context.inventory.changes(before, 1, describes).first()?.position;
        Some(app.context.journal.get(&[position]).ok()?.pop()?.event)
    }

    /// The last slot of a destination that failed on our side.
    pub(crate) fn last_failure(&self, app: &App, id: DestinationId) -> Result<Option<Failure>, Problem> {
        Ok(self.latest(app, id)?.and_then(|latest| latest.last_failure))
    }
}

/// The moment of `?as_of=`, for what is answered from the inventory alone.
pub(crate) async fn moment_at(app: &Arc<App>, call: &Call) -> Result<Moment, Problem> {
    let Some(text) = call.query.get("as_of").map(str::to_owned) else { return Ok(Moment::present(app)) };
    let app = app.clone();
    blocking(move || Moment::told(&app, Some(&text))).await?
}

/// Answers a question to the views on a thread that may block, a few at a time.
pub(crate) async fn answer<T: Send + 'static>(
    app: Arc<App>,
    call: Call,
    run: impl FnOnce(&App, &Call, &Moment) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let turn = app.queries.clone().acquire_owned().await.map_err(|_| Problem::internal())?;
    blocking(move || {
        let _turn = turn;
        let moment = Moment::of(&app, &call)?;
        run(&app, &call, &moment)
    })
    .await?
}

fn recorded_at(app: &App, position: Position) -> Result<Timestamp, Problem> {
    let event = app.context.journal.get(&[position])?.pop();
    event.map(|envelope| envelope.recorded_at).ok_or_else(Problem::internal)
}

/// When some events were recorded: those that the search for any time begins with. What is recorded stays so.
#[derive(Debug, Default)]
pub(crate) struct Landmarks(Mutex<BTreeMap<Position, Timestamp>>);

impl Landmarks {
    fn recorded_at(&self, app: &App, position: Position) -> Result<Timestamp, Problem> {
        if !position.0.is_multiple_of(LANDMARK_EVERY) {
            return recorded_at(app, position);
        }
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = known().get(&position) {
            return Ok(*at);
        }
        let at = recorded_at(app, position)?;
        let mut known = known();
        if known.len() >= MAX_LANDMARKS {
            known.clear();
        }
        known.insert(position, at);
        Ok(at)
    }
}

/// The last event recorded at a time or before it, as the clock that recorded them went on. Where it was put back, the
/// events in between are found by position only. The search goes by the bits of the position, so that any two look at
/// the same events first, however long the log has grown.
pub(crate) fn position_at(app: &App, at: Timestamp, last: Position) -> Result<Position, Problem> {
    let first = app.context.journal.first();
    let mut known = 0;
    for bit in (0..u64::BITS - last.0.leading_zeros()).rev() {
        let next = Position(known | 1 << bit);
        if next <= last && (next < first || app.landmarks.recorded_at(app, next)? <= at) {
            known = next.0;
        }
    }
    Ok(Position(known.max(first.0.saturating_sub(1))))
}
