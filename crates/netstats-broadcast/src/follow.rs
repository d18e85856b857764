//! From the past into the present: the same updates from the log as live ones, and a join without gap or repeat.

use std::sync::Arc;

use netstats_event::Position;
use netstats_projector::{Error, EventReader, ReadLimit};

use crate::limits::JOIN_DISTANCE;
use crate::{Broadcaster, Filter, Subscription, Update};

/// Updates of the log after `past`, up to and with `to`: exactly those that a subscriber with this filter would have
/// got. Returns them with the last position looked at (`past` itself at the end); asks for one batch at a time.
///
/// # Errors
/// As the reader.
pub fn replay(
    reader: &dyn EventReader,
    filter: &Filter,
    past: Position,
    to: Position,
    limit: ReadLimit,
) -> Result<(Vec<Arc<Update>>, Position), Error> {
    if past >= to {
        return Ok((Vec::new(), past));
    }
    let records = usize::try_from(to.0 - past.0).unwrap_or(usize::MAX).min(limit.records);
    let events = reader.read(past.next(), ReadLimit { records, ..limit })?;
    let looked_at = events.last().map_or(past, |envelope| envelope.position);
    let wanted = events.into_iter().filter(|envelope| filter.wants(&envelope.event));
    Ok((wanted.map(Update::new).collect(), looked_at))
}

/// Follows from any position on: replays the log until it is near the present, then joins the live updates.
#[derive(Debug)]
pub struct Follow {
    broadcaster: Broadcaster,
    filter: Filter,
    past: Position,
    live: Option<Subscription>,
}

/// What a follower got.
#[derive(Debug)]
pub enum Step {
    /// Updates from the log (perhaps none that are wanted); take another step.
    Replayed(Vec<Arc<Update>>),
    /// The past is over: all that is wanted from here on comes from this.
    Live(Subscription),
}

impl Follow {
    /// Everything wanted after `past`.
    #[must_use]
    pub const fn new(broadcaster: Broadcaster, filter: Filter, past: Position) -> Self {
        Self { broadcaster, filter, past, live: None }
    }

    /// The last position looked at.
    #[must_use]
    pub const fn past(&self) -> Position {
        self.past
    }

    /// The next batch of the log, or the live subscription. Reads the log, so it may block: not for an async thread.
    ///
    /// # Errors
    /// As the reader; too many subscriptions.
    pub fn step(&mut self, reader: &dyn EventReader, limit: ReadLimit) -> Result<Step, Error> {
        let near = self.past.0.saturating_add(JOIN_DISTANCE) >= self.broadcaster.position().0;
        let live = match self.live.take() {
            Some(live) => live,
            None if near => self.broadcaster.subscribe(self.filter.clone())?,
            None => return self.replay_to(reader, Position(u64::MAX), limit),
        };
        let joined_after = live.joined_after();
        if self.past >= joined_after {
            return Ok(Step::Live(live));
        }
        self.live = Some(live);
        self.replay_to(reader, joined_after, limit)
    }

    fn replay_to(&mut self, reader: &dyn EventReader, to: Position, limit: ReadLimit) -> Result<Step, Error> {
        let (updates, looked_at) = replay(reader, &self.filter, self.past, to, limit)?;
        self.past = looked_at;
        Ok(Step::Replayed(updates))
    }
}
