//! From outcomes to the log, in order, without loss while the journal can take it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use netstats_event::Event;
use netstats_log::{ErrorKind, Journal};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::limits::{MAX_SUBMIT, MAX_UNRECORDED, RETRY_AFTER};

/// What the status shows of the recorder.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recording {
    pub(crate) unrecorded: usize,
    pub(crate) dropped: u64,
    pub(crate) problem: Option<String>,
}

pub(crate) type Shared = Arc<Mutex<Recording>>;

/// Submits what comes until the channel closes and everything is recorded. One submission is under way at a time, so
/// that the log keeps the order; the next gathers meanwhile.
pub(crate) async fn record(journal: Arc<Journal>, mut events: UnboundedReceiver<Event>, shared: Shared) {
    let mut ring: VecDeque<Event> = VecDeque::new();
    let mut is_open = true;
    while is_open || !ring.is_empty() {
        if ring.is_empty() {
            match events.recv().await {
                Some(event) => ring.push_back(event),
                None => break,
            }
        }
        while let Ok(event) = events.try_recv() {
            ring.push_back(event);
        }
        is_open = !(events.is_closed() && events.is_empty());
        let excess = ring.len().saturating_sub(MAX_UNRECORDED);
        ring.drain(..excess);
        let batch: Vec<Event> = ring.iter().take(MAX_SUBMIT).cloned().collect();
        let count = batch.len();
        let result = journal.submit(batch).await;
        let (mut problem, mut dropped) = (None, excess as u64);
        match result {
            Ok(_) => drop(ring.drain(..count)),
            // One event past a limit must not hold up the others: find it by submitting one at a time.
            Err(error) if error.kind() == ErrorKind::Invalid => dropped += one_by_one(&journal, &mut ring, count).await,
            Err(error) => problem = Some(format!("samples cannot be recorded: {error}")),
        }
        let is_refused = tell(&shared, ring.len(), dropped, problem);
        if is_refused {
            tokio::time::sleep(RETRY_AFTER).await;
        }
    }
}

/// Updates what the status shows; true if the journal refuses.
fn tell(shared: &Shared, unrecorded: usize, dropped: u64, problem: Option<String>) -> bool {
    let mut told = shared.lock().unwrap_or_else(PoisonError::into_inner);
    if let (None, Some(problem)) = (&told.problem, &problem) {
        tracing::error!(problem, "samples are kept in memory until the journal takes them");
    }
    told.unrecorded = unrecorded;
    told.dropped += dropped;
    told.problem = problem;
    told.problem.is_some()
}

async fn one_by_one(journal: &Journal, ring: &mut VecDeque<Event>, count: usize) -> u64 {
    let mut dropped = 0;
    for _ in 0..count {
        let Some(event) = ring.front() else { break };
        match journal.submit(vec![event.clone()]).await {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Invalid => {
                tracing::error!(%error, kind = event.name(), "an event cannot be recorded and is dropped");
                dropped += 1;
            }
            Err(_) => break,
        }
        ring.pop_front();
    }
    dropped
}
