//! Decoded events, decoded once: projectors come to the same events at nearly the same time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use netstats_event::{Envelope, Position};
use netstats_log::{Journal, ReadLimit};

use crate::limits::SHARED_BATCHES;
use crate::reader::Error;

/// What projectors read from.
pub(crate) struct Feed {
    journal: Arc<Journal>,
    recent: Mutex<VecDeque<Arc<[Envelope]>>>,
    /// Whoever decodes: one at a time, for whoever comes next wants the same events.
    decoding: Mutex<()>,
}

/// Consecutive events, from where they were asked for.
pub(crate) struct Batch {
    events: Arc<[Envelope]>,
    skip: usize,
}

impl Batch {
    pub(crate) fn events(&self) -> &[Envelope] {
        &self.events[self.skip..]
    }
}

impl Feed {
    pub(crate) fn new(journal: Arc<Journal>) -> Self {
        Self { journal, recent: Mutex::default(), decoding: Mutex::default() }
    }

    /// Events after `past`; none if nothing came in time.
    pub(crate) fn after(&self, past: Position, at_most: Duration) -> Result<Option<Batch>, Error> {
        if self.journal.wait(past, at_most) <= past.next() {
            return Ok(None);
        }
        // What retention took from the start of the log cannot be folded any more.
        let from = past.next().max(self.journal.first());
        if let Some(batch) = self.decoded(from) {
            return Ok(Some(batch));
        }
        // Those who are behind take what is decoded meanwhile; whoever wants these very events waits for them instead of
        // doing the work again.
        // It guards nothing: a log that panicked for another is asked again.
        let _turn = self.decoding.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(batch) = self.decoded(from) {
            return Ok(Some(batch));
        }
        let events: Arc<[Envelope]> = self.journal.read(from, ReadLimit::default())?.into();
        if events.is_empty() {
            return Ok(None);
        }
        let mut recent = self.recent();
        recent.truncate(SHARED_BATCHES - 1);
        recent.push_front(events.clone());
        Ok(Some(Batch { events, skip: 0 }))
    }

    fn recent(&self) -> MutexGuard<'_, VecDeque<Arc<[Envelope]>>> {
        self.recent.lock().expect("no code panics while it holds the batches")
    }

    /// The events from that position on, if they are decoded.
    fn decoded(&self, from: Position) -> Option<Batch> {
        self.recent().iter().find_map(|events| {
            let skip = usize::try_from(from.0.checked_sub(events[0].position.0)?).ok()?;
            (skip < events.len()).then(|| Batch { events: events.clone(), skip })
        })
    }
}
