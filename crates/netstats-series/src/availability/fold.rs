//! From outcomes to stretches and rows.
//!
//! ```text
//! "s" stream                              the stretch that is being made: distance, stretch
//! "o" stream, day u32, position u64       a stretch that is over, by the day of its first slot
//! "m"                                     last position folded
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use netstats_event::{Envelope, Event, ProbeKind};
use netstats_projector::{Error, Projector, RowBatch, RowReader};
use netstats_stats::Known;

use super::query::AvailabilityView;
use super::stretch::{Open, Stretch, known};
use crate::bytes::{self, Reader, damaged};
use crate::outcome::outcome_of;
use crate::stream::{StreamKey, ordered};

pub(super) const META: u8 = b'm';
pub(super) const STREAM: u8 = b's';
pub(super) const OVER: u8 = b'o';

/// The view in memory.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) position: u64,
    pub(super) streams: BTreeMap<StreamKey, Open>,
    dirty: BTreeSet<StreamKey>,
    is_meta_dirty: bool,
    /// Stretches that are over and that the store does not have yet: since the last flush...
    pub(super) fresh: BTreeMap<Vec<u8>, Vec<u8>>,
    /// ...and given to the last flush, which the runner may still be storing.
    pub(super) storing: BTreeMap<Vec<u8>, Vec<u8>>,
    times: Vec<u32>,
}

#[derive(Default)]
pub(super) struct Shared {
    state: RwLock<State>,
    rows: RwLock<Option<Arc<dyn RowReader>>>,
}

impl Shared {
    pub(super) fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn rows(&self) -> Option<Arc<dyn RowReader>> {
        self.rows.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The fold behind [`AvailabilityView`].
pub struct AvailabilityProjector {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for AvailabilityProjector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AvailabilityProjector").finish_non_exhaustive()
    }
}

impl AvailabilityProjector {
    /// The projector, for the runner, and its handle, for queries.
    #[must_use]
    pub fn new() -> (Self, AvailabilityView) {
        let shared = Arc::new(Shared::default());
        (Self { shared: shared.clone() }, AvailabilityView { shared })
    }
}

impl Projector for AvailabilityProjector {
    fn name(&self) -> &'static str {
        "availability"
    }

    fn version(&self) -> u32 {
        2
    }

    fn attach(&mut self, rows: Arc<dyn RowReader>) {
        *self.shared.rows.write().unwrap_or_else(PoisonError::into_inner) = Some(rows);
    }

    fn load(&mut self, rows: &dyn RowReader) -> Result<(), Error> {
        let state = State::load(rows)?;
        *self.shared.write() = state;
        Ok(())
    }

    fn apply(&mut self, events: &[Envelope]) {
        let mut state = self.shared.write();
        for envelope in events {
            state.fold(envelope);
        }
        if let Some(last) = events.last() {
            state.position = last.position.0;
            state.is_meta_dirty = true;
        }
    }

    fn flush(&mut self, rows: &mut RowBatch) {
        self.shared.write().flush(rows);
    }
}

impl State {
    fn fold(&mut self, envelope: &Envelope) {
        let mut times = std::mem::take(&mut self.times);
        if let Some(outcome) = outcome_of(&envelope.event, &mut times) {
            let (head, slot) = (&outcome.head, outcome.head.slot_at.as_millis());
            let key = StreamKey { job: head.job, destination: head.destination, probe: outcome.probe };
            self.take(key, known(outcome.verdict), false, (slot, slot), 1, envelope.position.0);
        }
        self.times = times;
        let (job, destination, probe, first, last, count) = match &envelope.event {
            Event::SlotsMissed(e) => (e.job, e.destination, e.probe, e.first_slot_at, e.last_slot_at, e.count),
            Event::SlotsSuppressed(e) => (e.job, e.destination, e.probe, e.first_slot_at, e.last_slot_at, e.count),
            _ => return,
        };
        let key = StreamKey { job, destination, probe };
        let slots = (first.as_millis(), last.as_millis());
        self.take(key, Known::Unknown, true, slots, u64::from(count).max(1), envelope.position.0);
    }

    fn take(&mut self, key: StreamKey, known: Known, is_skipped: bool, slots: (i64, i64), checks: u64, position: u64) {
        if !has_a_say(key.probe) {
            return;
        }
        let fresh = &mut self.fresh;
        self.streams.entry(key).or_default().take(known, is_skipped, slots, checks, position, |over| {
            let mut row = Vec::with_capacity(24);
            over.encode(&mut row);
            fresh.insert(over_key(key, &over), row);
        });
        self.dirty.insert(key);
    }

    fn flush(&mut self, rows: &mut RowBatch) {
        // What the last flush gave is stored by now.
        self.storing = std::mem::take(&mut self.fresh);
        for (key, row) in &self.storing {
            rows.put(key.as_slice(), row.as_slice());
        }
        for key in std::mem::take(&mut self.dirty) {
            let mut row = Vec::with_capacity(32);
            self.streams[&key].encode(&mut row);
            rows.put(key.row(STREAM), row);
        }
        if std::mem::take(&mut self.is_meta_dirty) {
            let mut row = Vec::new();
            bytes::put(&mut row, self.position);
            rows.put([META], row);
        }
    }

    fn load(rows: &dyn RowReader) -> Result<Self, Error> {
        let mut state = Self::default();
        if let Some(row) = rows.get(&[META])? {
            state.position = Reader(&row).number()?;
        }
        let mut result = Ok(());
        rows.scan(&[STREAM], &mut |key, row| {
            let read = StreamKey::parse(key)
                .ok_or_else(|| damaged("a stream's key"))
                .and_then(|key| Ok((key, Open::decode(&mut Reader(row))?)));
            match read {
                Ok((key, open)) => {
                    state.streams.insert(key, open);
                }
                Err(error) => result = Err(error),
            }
            result.is_ok()
        })?;
        result.map(|()| state)
    }
}

/// Traceroute and bandwidth say nothing of whether a destination does well.
pub(super) const fn has_a_say(probe: ProbeKind) -> bool {
    !matches!(probe, ProbeKind::Traceroute | ProbeKind::Bandwidth)
}

fn over_key(key: StreamKey, over: &Stretch) -> Vec<u8> {
    let mut row = key.numbered(OVER, ordered(over.day()));
    row.extend_from_slice(&over.first_position.to_be_bytes());
    row
}
