//! What the view answers: the inventory now, at an earlier position, and what changed it.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use netstats_event::{DestinationId, JobId, Position, Timestamp};
use netstats_projector::{Error, EventReader};

use crate::limits::{MAX_SUBSCRIBERS, PAST_INVENTORIES};
use crate::model::Inventory;

/// A config event in the view's index: where it is and what it is about. The event itself, with actor and reason, is
/// in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Where.
    pub position: Position,
    /// When the journal took it.
    pub recorded_at: Timestamp,
    /// The number of its kind (`netstats_event::Kind::code`); of a newer program if no kind has it.
    pub kind: u16,
    /// The destination it is about.
    pub destination: Option<DestinationId>,
    /// The job it is about.
    pub job: Option<JobId>,
}

/// What queries see: swapped whole, under one lock, after each run of events.
#[derive(Debug, Default)]
pub(crate) struct Visible {
    pub(crate) inventory: Arc<Inventory>,
    pub(crate) changes: Vec<Change>,
    subscribers: Vec<SyncSender<()>>,
}

#[derive(Debug, Default)]
pub(crate) struct Shared {
    visible: Mutex<Visible>,
    changed: Condvar,
    /// Inventories of the past that were asked for lately.
    past: Mutex<VecDeque<Arc<Inventory>>>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Visible> {
        // Every critical section leaves the state whole, so a panic elsewhere does not spoil it.
        self.visible.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows a new state; `change` edits the index in the same breath. Wakes all who wait.
    pub(crate) fn publish(&self, inventory: Arc<Inventory>, change: impl FnOnce(&mut Vec<Change>)) {
        let mut visible = self.lock();
        change(&mut visible.changes);
        visible.inventory = inventory;
        // A full channel already holds a wake-up that its owner has not taken; a closed one has no owner.
        visible.subscribers.retain(|owner| !matches!(owner.try_send(()), Err(TrySendError::Disconnected(()))));
        drop(visible);
        self.changed.notify_all();
    }
}

/// The inventory for readers: cheap to clone, never blocks the fold for long.
#[derive(Clone, Debug)]
pub struct InventoryHandle {
    pub(crate) shared: Arc<Shared>,
}

impl InventoryHandle {
    /// The inventory as folded so far.
    #[must_use]
    pub fn current(&self) -> Arc<Inventory> {
        Arc::clone(&self.shared.lock().inventory)
    }

    /// Waits until a config event after `past` is folded, or the time is over; returns the inventory either way.
    #[must_use]
    pub fn wait_changed(&self, past: Position, at_most: Duration) -> Arc<Inventory> {
        let visible = self.shared.lock();
        let (visible, _) = self
            .shared
            .changed
            .wait_timeout_while(visible, at_most, |visible| visible.inventory.position <= past)
            .unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&visible.inventory)
    }

    /// A channel that gets a wake-up after each change. Wake-ups that are not taken in time merge into one: the
    /// receiver looks at [`Self::current`] anyway. None past [`MAX_SUBSCRIBERS`] living subscribers.
    #[must_use]
    pub fn subscribe(&self) -> Option<Receiver<()>> {
        let mut visible = self.shared.lock();
        if visible.subscribers.len() >= MAX_SUBSCRIBERS {
            // A dropped receiver is seen only when something is sent; a wake-up too many does no harm.
            visible.subscribers.retain(|owner| !matches!(owner.try_send(()), Err(TrySendError::Disconnected(()))));
        }
        (visible.subscribers.len() < MAX_SUBSCRIBERS).then(|| {
            let (sender, receiver) = sync_channel(1);
            visible.subscribers.push(sender);
            receiver
        })
    }

    /// Config events before `before` (none: from the newest on) that `wanted` accepts, newest first, at most `limit`:
    /// the audit trail's index.
    #[must_use]
    pub fn changes(&self, before: Option<Position>, limit: usize, wanted: impl Fn(&Change) -> bool) -> Vec<Change> {
        let visible = self.shared.lock();
        let end =
            before.map_or(visible.changes.len(), |before| visible.changes.partition_point(|c| c.position < before));
        visible.changes[..end].iter().rev().filter(|change| wanted(change)).take(limit).copied().collect()
    }

    /// The last config event recorded at or before `at`, by the wall clock; the start if there is none. What was
    /// known at a time is what was known at this position.
    #[must_use]
    pub fn position_at(&self, at: Timestamp) -> Position {
        let visible = self.shared.lock();
        visible.changes.iter().rev().find(|change| change.recorded_at <= at).map_or(Position::START, |c| c.position)
    }

    /// The inventory as it was at `position`: a fold of the config events up to there.
    ///
    /// # Errors
    /// As [`EventReader::get`].
    pub fn as_of(&self, reader: &dyn EventReader, position: Position) -> Result<Arc<Inventory>, Error> {
        // Whoever goes through the past asks for the same states, or for later ones, again.
        let past = || self.shared.past.lock().unwrap_or_else(PoisonError::into_inner);
        let near = past().iter().filter(|known| known.position <= position).max_by_key(|known| known.position).cloned();
        let inventory = self.advance(reader, near.unwrap_or_default(), position)?;
        let mut past = past();
        if past.iter().all(|known| known.position != inventory.position) {
            if past.len() >= PAST_INVENTORIES {
                past.pop_front();
            }
            past.push_back(Arc::clone(&inventory));
        }
        Ok(inventory)
    }

    /// An inventory of the past (the default one: of the start), and what the config events after it up to `position`
    /// make of it.
    ///
    /// # Errors
    /// As [`EventReader::get`].
    pub fn advance(
        &self,
        reader: &dyn EventReader,
        mut inventory: Arc<Inventory>,
        position: Position,
    ) -> Result<Arc<Inventory>, Error> {
        let positions: Vec<Position> = {
            let visible = self.shared.lock();
            if position >= visible.inventory.position {
                return Ok(Arc::clone(&visible.inventory));
            }
            let begin = visible.changes.partition_point(|change| change.position <= inventory.position);
            let end = visible.changes.partition_point(|change| change.position <= position);
            visible.changes[begin..end.max(begin)].iter().map(|change| change.position).collect()
        };
        for some in positions.chunks(1_024) {
            for envelope in reader.get(some)? {
                Arc::make_mut(&mut inventory).apply(&envelope);
            }
        }
        Ok(inventory)
    }
}
