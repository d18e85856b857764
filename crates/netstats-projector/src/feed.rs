//! Decoded events, decoded once: projectors come to the same events at nearly the same time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use netstats_event::{Envelope, Position};
use netstats_log::{Journal, ReadLimit};

use crate::limits::SHARED_BATCHES;
use crate::reader::Error;

/// What projectors read from.
pub(crate) struct Feed {
    journal: Arc<Journal>,
    recent: Mutex<VecDeque<Arc<[Envelope]>>>,
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
        Self { journal, recent: Mutex::default() }
    }

    /// Events after `past`; none if nothing came in time.
    pub(crate) fn after(&self, past: Position, at_most: Duration) -> Result<Option<Batch>, Error> {
        if self.journal.wait(past, at_most) <= past.next() {
            return Ok(None);
        }
        let mut recent = self.recent.lock().expect("no code panics while it holds the batches");
        // What retention took from the start of the log cannot be folded any more.
        let from = past.next().max(self.journal.first());
        for events in recent.iter() {
            let first = events[0].position.0;
            if (first..first + events.len() as u64).contains(&from.0) {
                let skip = usize::try_from(from.0 - first).expect("inside the batch");
                return Ok(Some(Batch { events: events.clone(), skip }));
            }
        }
        // Decoded under the lock: whoever comes next wants the same events and waits for them instead of doing the
        // work again.
        let events: Arc<[Envelope]> = self.journal.read(from, ReadLimit::default())?.into();
        if events.is_empty() {
            return Ok(None);
        }
        recent.truncate(SHARED_BATCHES - 1);
        recent.push_front(events.clone());
        Ok(Some(Batch { events, skip: 0 }))
    }
}
