//! Where the last run ended, as the log tells.

use std::collections::HashMap;

use netstats_event::{Event, Family, Position, Timestamp};
use netstats_inventory::{Inventory, Job};
use netstats_log::{Error, ErrorKind, Journal, ReadLimit};

use crate::limits::MAX_READ_BACK;
use crate::load::OwnLoad;
use crate::schedule::Key;

/// What the end of the log says about the last run.
#[derive(Debug, Default)]
pub(crate) struct LastRun {
    /// The last slot of each plan that has an outcome.
    pub(crate) covered: HashMap<Key, Timestamp>,
    /// Plans without an entry had an outcome for every slot up to here; none if there was no run.
    pub(crate) floor: Option<Timestamp>,
    /// The last run did not end in order.
    pub(crate) is_cut_off: bool,
    /// When the last run last recorded anything.
    pub(crate) last_seen: Option<Timestamp>,
    /// What bandwidth tests have moved.
    pub(crate) load: OwnLoad,
}

impl LastRun {
    /// Up to where a plan's slots had an outcome; none if it had not begun.
    pub(crate) fn covered_of(&self, inventory: &Inventory, key: &Key, job: &Job) -> Option<Timestamp> {
        let measured = inventory.destinations.get(&key.destination)?;
        // What was added or changed since is a new plan: what it might have been due for before is nobody's.
        let changed = job.updated_at.max(measured.updated_at);
        self.last_seen.filter(|seen| changed <= *seen)?;
        Some(self.covered.get(key).copied().or(self.floor)?.max(changed))
    }
}

/// Reads the end of the log.
pub(crate) fn read_back(journal: &Journal) -> Result<LastRun, Error> {
    let (first, tail) = (journal.first(), journal.tail());
    let mut from = Position(tail.0.saturating_sub(MAX_READ_BACK as u64).max(first.0));
    let mut run = LastRun::default();
    let (mut begun, mut is_ended) = (None, false);
    while from < tail {
        let events = match journal.read(from, ReadLimit::default()) {
            Ok(events) => events,
            // Retention moved on while we read.
            Err(error) if error.kind() == ErrorKind::NotFound => break,
            Err(error) => return Err(error),
        };
        let Some(last) = events.last() else { break };
        from = last.position.next();
        for envelope in &events {
            // The API records config events while no collector runs; anything else is a sign of life.
            if envelope.event.family().is_some_and(|family| family != Family::Config) {
                run.last_seen = Some(envelope.recorded_at);
            }
            match &envelope.event {
                Event::CollectorStarted(_) => {
                    (begun, is_ended) = (Some(envelope.recorded_at), false);
                }
                Event::CollectorStopped(_) => {
                    (begun, is_ended) = (Some(envelope.recorded_at), true);
                }
                event => {
                    if let Event::BandwidthMeasured(e) = event {
                        run.load.moved(e.head.job, e.head.slot_at, e);
                    }
                    let covered = match event {
                        Event::SlotsMissed(e) => Some((e.job, e.destination, e.probe, e.last_slot_at)),
                        Event::SlotsSuppressed(e) => Some((e.job, e.destination, e.probe, e.last_slot_at)),
                        _ => event.head().zip(event.probe()).map(|(h, p)| (h.job, h.destination, p, h.slot_at)),
                    };
                    if let Some((job, destination, probe, at)) = covered {
                        let last = run.covered.entry(Key { job, destination, probe }).or_insert(at);
                        *last = (*last).max(at);
                        // Samples without a start in what was read: the run began before.
                        begun.get_or_insert(envelope.recorded_at);
                    }
                }
            }
        }
    }
    run.floor = begun;
    run.is_cut_off = begun.is_some() && !is_ended;
    Ok(run)
}
