//! What the tests share: an inventory that is driven by commands, its log, and rows in memory.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "shared by several test programs, each using a part")]

use std::collections::BTreeMap;

use netstats_event::{DestinationSpec, Envelope, Event, JobSpec, Meta, Metric, Position, Timestamp};
use netstats_inventory::{Command, Inventory, Policy, Rejection, decide};
use netstats_projector::{Error, EventReader, Projector, ReadLimit, RowBatch, RowReader};

/// A state, and the events that made it.
#[derive(Clone, Default)]
pub struct World {
    pub state: Inventory,
    pub log: Vec<Envelope>,
    pub policy: Policy,
}

impl World {
    /// Decides and folds.
    pub fn run(&mut self, command: Command) -> Result<Vec<Event>, Rejection> {
        self.run_as(command, &Meta::by("api:local"))
    }

    pub fn run_as(&mut self, command: Command, meta: &Meta) -> Result<Vec<Event>, Rejection> {
        let events = decide(&self.state, command, meta, &self.policy)?;
        for event in &events {
            self.append(event.clone());
        }
        Ok(events)
    }

    pub fn append(&mut self, event: Event) {
        let position = Position(self.log.len() as u64 + 1);
        let recorded_at = Timestamp::from_secs(1_767_225_600 + 10 * self.log.len() as i64);
        self.log.push(Envelope { position, recorded_at, event });
        self.state.apply(self.log.last().unwrap());
    }
}

impl EventReader for World {
    fn read(&self, from: Position, limit: ReadLimit) -> Result<Vec<Envelope>, Error> {
        Ok(self.log.iter().filter(|envelope| envelope.position >= from).take(limit.records).cloned().collect())
    }

    fn get(&self, positions: &[Position]) -> Result<Vec<Envelope>, Error> {
        Ok(positions.iter().map(|position| self.log[position.0 as usize - 1].clone()).collect())
    }
}

/// Rows of one projector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows(pub BTreeMap<Vec<u8>, Vec<u8>>);

impl Rows {
    pub fn flush(&mut self, projector: &mut dyn Projector) {
        let mut batch = RowBatch::default();
        projector.flush(&mut batch);
        for (key, value) in batch.changes {
            match value {
                Some(value) => self.0.insert(key, value),
                None => self.0.remove(&key),
            };
        }
    }
}

impl RowReader for Rows {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.0.get(key).cloned())
    }

    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), Error> {
        for (key, value) in self.0.range(prefix.to_vec()..) {
            if !key.starts_with(prefix) || !visit(key, value) {
                break;
            }
        }
        Ok(())
    }

    fn range(&self, _: std::ops::Range<&[u8]>, _: bool, _: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), Error> {
        unreachable!("the inventory reads all of its rows or none")
    }
}

pub fn destination(name: &str, host: &str) -> DestinationSpec {
    DestinationSpec { name: name.to_owned(), host: host.to_owned(), ..DestinationSpec::default() }
}

/// A job on everything that carries the tag `lan`.
pub fn job(name: &str) -> JobSpec {
    JobSpec {
        name: name.to_owned(),
        enabled: true,
        interval_s: 60,
        metrics: vec![Metric::Ping],
        destination_tags: vec!["lan".to_owned()],
        ..JobSpec::default()
    }
}
