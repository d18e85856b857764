//! Reads and decodes a log on several threads, and gives what was decoded in the order of positions.

use std::num::NonZero;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::Scope;

use netstats_event::{Envelope, Position};
use netstats_log::{Journal, ReadLimit};

use crate::limits::{BATCHES_AHEAD, EVENTS_AHEAD};
use crate::reader::Error;

/// The batches of all events up to `last`, or the error that ended them. Thread n of N takes every Nth stretch of
/// positions; they are given in turn, so that their order does not depend on the threads.
pub(crate) fn decode<'scope>(
    scope: &'scope Scope<'scope, '_>,
    journal: &'scope Arc<Journal>,
    last: Position,
    threads: NonZero<usize>,
) -> impl IntoIterator<Item = Result<Arc<[Envelope]>, Error>> {
    let first = journal.first();
    let step = EVENTS_AHEAD * threads.get() as u64;
    let parts: Vec<Receiver<_>> = (0..threads.get() as u64)
        .map(|number| {
            let (door, decoded) = sync_channel(BATCHES_AHEAD);
            scope.spawn(move || {
                let mut from = first.0 + number * EVENTS_AHEAD;
                while from <= last.0 {
                    let batch = stretch(journal, Position(from), Position(last.0.min(from + EVENTS_AHEAD - 1)));
                    let is_broken = batch.is_err();
                    // Nobody listens any more after an error elsewhere.
                    if door.send(batch).is_err() || is_broken {
                        return;
                    }
                    from += step;
                }
            });
            decoded
        })
        .collect();
    (0..).map_while(move |turn: usize| parts[turn % parts.len()].recv().ok())
}

/// The events from `first` to `last`.
fn stretch(journal: &Journal, first: Position, last: Position) -> Result<Arc<[Envelope]>, Error> {
    let mut events: Vec<Envelope> = Vec::new();
    let mut next = first;
    while next <= last {
        let records = usize::try_from(last.0 - next.0 + 1).unwrap_or(usize::MAX);
        events.extend(journal.read(next, ReadLimit { records, ..ReadLimit::default() })?);
        next = events.last().map_or(next, |envelope| envelope.position).next();
    }
    Ok(events.into())
}
