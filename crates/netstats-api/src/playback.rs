//! A replay: the updates of a span of the log, at a multiple of the speed at which they were recorded, word by word what
//! live subscribers got then.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use netstats_event::{Position, Timestamp};
use tokio::time::Instant;

use crate::app::App;
use crate::command::blocking;
use crate::feed::Walk;
use crate::json::update_text;
use crate::problem::Problem;
use crate::protocol::{PlayAsk, Speed, Wanted};

/// Events read from the log at a time.
const BATCH: usize = 1_024;
/// No wait for the next update is longer than this: a gap of hours in the log is no reason for a dead socket.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// One replay under way.
pub(crate) struct Playback {
    pub(crate) id: String,
    wanted: Wanted,
    walk: Walk,
    to: Position,
    pub(crate) speed: Speed,
    follow: bool,
    pub(crate) is_paused: bool,
    waiting: VecDeque<Frame>,
    /// An update of this recorded time was due at this moment.
    anchor: Option<(Instant, Timestamp)>,
    /// The last update sent, or where it began.
    sent: Position,
}

/// An update, ready to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) position: Position,
    recorded_at: Timestamp,
    pub(crate) text: String,
}

/// What comes after a replay.
pub(crate) struct Over {
    pub(crate) id: String,
    pub(crate) wanted: Wanted,
    /// The last position of the replay.
    pub(crate) position: Position,
    pub(crate) follow: bool,
}

impl Playback {
    /// A replay, ready to begin.
    pub(crate) async fn begin(app: &Arc<App>, ask: PlayAsk) -> Result<Self, Problem> {
        let PlayAsk { id, wanted, from, to, speed, follow } = ask;
        let head = app.visible();
        let first = app.context.journal.first();
        let (from, to) = {
            let app = app.clone();
            blocking(move || -> Result<_, Problem> {
                let from = from.resolve(&app, head, true)?;
                Ok((from, to.map(|to| to.resolve(&app, head, false)).transpose()?.unwrap_or(head)))
            })
            .await??
        };
        if from.next() < first || from > head {
            let least = first.0.saturating_sub(1);
            return Err(Problem::invalid(format!("from is {from}, and the log holds what came after {least}"))
                .field("from")
                .accepted(format!("a position from {least} to {head}, or a time")));
        }
        if to < from || to > head {
            return Err(Problem::invalid(format!("to is {to}, and from is {from}"))
                .field("to")
                .accepted(format!("a position from {from} to {head}, or a time after `from`")));
        }
        let walk = {
            let app = app.clone();
            blocking(move || Walk::after(&app, from)).await??
        };
        Ok(Self {
            id,
            wanted,
            walk,
            to,
            speed,
            follow,
            is_paused: false,
            waiting: VecDeque::new(),
            anchor: None,
            sent: from,
        })
    }

    pub(crate) const fn span(&self) -> (Position, Position) {
        (self.sent, self.to)
    }

    /// The last update sent.
    pub(crate) const fn position(&self) -> Position {
        self.sent
    }

    /// Stops the clock, or lets it go on, perhaps at another speed.
    pub(crate) const fn pause(&mut self, is_paused: bool, speed: Option<Speed>) {
        self.is_paused = is_paused;
        self.anchor = None;
        if let Some(speed) = speed {
            self.speed = speed;
        }
    }

    /// When there is something to do; none while paused.
    pub(crate) fn due(&self, now: Instant) -> Option<Instant> {
        if self.is_paused {
            return None;
        }
        let (Some(next), Speed::Times(times), Some((at, recorded))) = (self.waiting.front(), self.speed, self.anchor)
        else {
            return Some(now);
        };
        let wait = next.recorded_at.since(recorded) / times;
        Some(at + wait.min(LONGEST_WAIT))
    }

    /// Reads on, if nothing waits; gives back how it ended, if it has.
    pub(crate) async fn fill(&mut self, app: &Arc<App>) -> Result<Option<Over>, Problem> {
        while self.waiting.is_empty() {
            if self.walk.past >= self.to {
                return Ok(Some(Over {
                    id: self.id.clone(),
                    wanted: self.wanted.clone(),
                    position: self.to,
                    follow: self.follow,
                }));
            }
            let (app, wanted) = (app.clone(), self.wanted.clone());
            let (to, mut walk) = (self.to, self.walk.clone());
            let read = blocking(move || -> Result<_, Problem> {
                let mut frames = VecDeque::new();
                walk.read(&app, &wanted, to, BATCH, |envelope, inventory| {
                    let text = update_text(envelope, inventory);
                    let (position, recorded_at) = (envelope.position, envelope.recorded_at);
                    frames.push_back(Frame { position, recorded_at, text });
                })?;
                Ok((frames, walk))
            });
            (self.waiting, self.walk) = read.await??;
        }
        Ok(None)
    }

    /// The next update, if it is due.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Frame> {
        if self.due(now).is_none_or(|due| due > now) {
            return None;
        }
        let frame = self.waiting.pop_front()?;
        if let Speed::Times(times) = self.speed {
            // Anchored to when it was due, not to when it was sent: delays do not add up. After a gap that was cut, or
            // a clock that was set back, to now.
            let due = self.anchor.map(|(at, recorded)| (at + frame.recorded_at.since(recorded) / times, recorded));
            self.anchor = match due {
                Some((due, recorded)) if due <= now && frame.recorded_at >= recorded => Some((due, frame.recorded_at)),
                _ => Some((now, frame.recorded_at)),
            };
        }
        self.sent = frame.position;
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn playback(speed: Speed, recorded_s: &[i64]) -> Playback {
        let frames = recorded_s.iter().zip(1..).map(|(at, position)| Frame {
            position: Position(position),
            recorded_at: Timestamp::from_secs(*at),
            text: String::new(),
        });
        Playback {
            id: "x".to_owned(),
            wanted: Wanted::default(),
            walk: Walk::begin(),
            to: Position(9),
            speed,
            follow: false,
            is_paused: false,
            waiting: frames.collect(),
            anchor: None,
            sent: Position::START,
        }
    }

    /// When each update goes out, in milliseconds, if somebody looks every millisecond.
    fn times(playback: &mut Playback, start: Instant) -> Vec<u128> {
        let mut times = Vec::new();
        for ms in 0..200_000 {
            let now = start + Duration::from_millis(ms);
            while playback.take(now).is_some() {
                times.push(u128::from(ms));
            }
        }
        times
    }

    #[tokio::test]
    async fn updates_are_as_far_apart_as_when_recorded_over_the_speed() {
        let start = Instant::now();
        assert_eq!(times(&mut playback(Speed::Times(1), &[100, 101, 103]), start), [0, 1_000, 3_000]);
        assert_eq!(times(&mut playback(Speed::Times(1_000), &[100, 101, 103]), start), [0, 1, 3]);
        assert_eq!(times(&mut playback(Speed::Max, &[100, 101, 103_000]), start), [0, 0, 0]);
    }

    #[tokio::test]
    async fn long_gaps_are_cut_and_a_clock_set_back_waits_for_nothing() {
        let start = Instant::now();
        assert_eq!(times(&mut playback(Speed::Times(1), &[0, 86_400, 86_401]), start), [0, 60_000, 61_000]);
        assert_eq!(times(&mut playback(Speed::Times(1), &[100, 50, 51]), start), [0, 0, 1_000]);
    }

    #[tokio::test]
    async fn a_paused_replay_says_nothing_and_goes_on_where_it_was() {
        let start = Instant::now();
        let mut playback = playback(Speed::Times(1), &[100, 101, 103]);
        assert!(playback.take(start).is_some());
        playback.pause(true, None);
        assert_eq!(playback.due(start), None);
        assert!(playback.take(start + Duration::from_secs(50)).is_none());
        playback.pause(false, Some(Speed::Times(2)));
        let later = start + Duration::from_secs(100);
        assert!(playback.take(later).is_some(), "the next one at once");
        assert!(playback.take(later + Duration::from_millis(999)).is_none());
        assert!(playback.take(later + Duration::from_millis(1_000)).is_some(), "two seconds at twice the speed");
        assert_eq!(playback.position(), Position(3));
    }
}
