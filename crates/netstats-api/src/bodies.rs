//! Answers made a moment ago. A dashboard asks for the same few entries over and over; between two events the answer
//! differs by the clock alone, and states are told to the second.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use netstats_event::{Position, Timestamp};

use crate::app::App;

/// How long an answer may be given again, by the server's clock.
const FRESH: Duration = Duration::from_secs(1);
/// Answers kept.
const MOST_ANSWERS: usize = 1_024;
/// Bytes of all answers kept.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Asked {
    Destination(u32),
    Destinations,
    Job(u32),
    Jobs,
}

/// What an answer depends on: a new event of either view makes it old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    inventory: Position,
    series: Position,
    at: Timestamp,
}

#[derive(Debug)]
struct Answer {
    stamp: Stamp,
    until: Timestamp,
    bytes: Bytes,
}

/// The answers.
#[derive(Debug, Default)]
pub(crate) struct Bodies {
    kept: Mutex<(usize, HashMap<Asked, Answer>)>,
}

impl Bodies {
    /// The answer of a moment ago, or the one that `make` makes now; `make` tells when the clock alone changes it.
    pub(crate) fn get(
        &self,
        app: &App,
        asked: Asked,
        make: impl FnOnce(Timestamp) -> (Vec<u8>, Option<Timestamp>),
    ) -> Bytes {
        let made: Result<Bytes, std::convert::Infallible> = self.try_get(app, asked, |now| Ok(make(now)));
        match made {
            Ok(bytes) => bytes,
        }
    }

    /// As [`Bodies::get`], where an answer may not be had; a refusal is not kept.
    pub(crate) fn try_get<E>(
        &self,
        app: &App,
        asked: Asked,
        make: impl FnOnce(Timestamp) -> Result<(Vec<u8>, Option<Timestamp>), E>,
    ) -> Result<Bytes, E> {
        let now = app.now();
        // Positions are read before the views: an event that comes in between makes the answer older than it is.
        let stamp = Stamp {
            inventory: app.context.inventory.current().position,
            series: app.context.series.position(),
            at: now,
        };
        let lock = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = lock().1.get(&asked)
            && (answer.stamp.inventory, answer.stamp.series) == (stamp.inventory, stamp.series)
            && (answer.stamp.at..answer.until).contains(&now)
        {
            return Ok(answer.bytes.clone());
        }
        let (bytes, changes_at) = make(now)?;
        let bytes = Bytes::from(bytes);
        let fresh_until = now.plus(FRESH);
        let until = changes_at.map_or(fresh_until, |at| at.min(fresh_until));
        let mut kept = lock();
        if kept.1.len() >= MOST_ANSWERS || kept.0 + bytes.len() > MOST_BYTES {
            *kept = (0, HashMap::new());
        }
        if bytes.len() <= MOST_BYTES {
            kept.0 += bytes.len();
            if let Some(old) = kept.1.insert(asked, Answer { stamp, until, bytes: bytes.clone() }) {
                kept.0 -= old.bytes.len();
            }
        }
        Ok(bytes)
    }
}
