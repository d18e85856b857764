//! From outcomes to the log, in order, without loss while the journal can take it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use netstats_event::{Event, MAX_TEXT_CHARS, Position, SamplesLost, Timestamp};
use netstats_log::{ErrorKind, Journal};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::clock::Reading;
use crate::limits::{MAX_SUBMIT, MAX_UNRECORDED, RETRY_AFTER};
use crate::schedule::SlotId;

/// What the status shows of the recorder.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recording {
    pub(crate) unrecorded: usize,
    pub(crate) dropped: u64,
    pub(crate) problem: Option<String>,
    /// What was given up and is not yet in the log.
    lost: Option<SamplesLost>,
    /// Since when the journal refuses.
    refused_since: Option<Timestamp>,
    /// What is not recorded by now is not any more.
    is_over: bool,
}

pub(crate) type Shared = Arc<Mutex<Recording>>;

/// Submits what comes until the channel closes and everything is recorded. One submission is under way at a time, so
/// that the log keeps the order; the next gathers meanwhile. What had to be given up is recorded as lost.
pub(crate) async fn record(journal: Arc<Journal>, events: UnboundedReceiver<Event>, shared: Shared) {
    record_with(journal, events, shared, MAX_UNRECORDED).await;
}

async fn record_with(
    journal: Arc<Journal>,
    mut events: UnboundedReceiver<Event>,
    shared: Shared,
    max_unrecorded: usize,
) {
    let mut lost: Option<SamplesLost> = None;
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
        if shared.lock().unwrap_or_else(PoisonError::into_inner).is_over {
            return;
        }
        is_open = !(events.is_closed() && events.is_empty());
        let excess = ring.len().saturating_sub(max_unrecorded);
        let given_up = ring.drain(..excess).count() as u64;
        give_up(&mut lost, given_up, &shared);
        let mut batch: Vec<Event> = ring.iter().take(MAX_SUBMIT).cloned().collect();
        let count = batch.len();
        // What was lost was before what is kept.
        batch.splice(..0, lost.clone().map(Event::from));
        let result = journal.submit(batch).await;
        let (mut problem, mut dropped) = (None, excess as u64);
        match result {
            Ok(appended) => {
                say_where(appended.last, ring.iter().take(count));
                lost = None;
                drop(ring.drain(..count));
            }
            // One event past a limit must not hold up the others: find it by submitting one at a time.
            Err(error) if error.kind() == ErrorKind::Invalid => dropped += one_by_one(&journal, &mut ring, count).await,
            Err(error) => problem = Some(format!("samples cannot be recorded: {error}")),
        }
        let is_refused = tell(&shared, ring.len(), dropped, problem, lost.as_ref());
        if is_refused {
            tokio::time::sleep(RETRY_AFTER).await;
        }
    }
}

/// The end of each slot's story in the log: its place among the events, of which `last` is the last one's.
fn say_where<'a>(last: Position, events: impl ExactSizeIterator<Item = &'a Event>) {
    if !tracing::enabled!(tracing::Level::DEBUG) {
        return;
    }
    let first = (last.0 + 1).saturating_sub(events.len() as u64);
    for (position, event) in (first..).zip(events) {
        if let Some(slot) = SlotId::of(event) {
            tracing::debug!(%slot, position, kind = event.name(), "recorded");
        }
    }
}

/// Counts what was given up, with the time and the reason.
fn give_up(lost: &mut Option<SamplesLost>, count: u64, shared: &Shared) {
    if count == 0 {
        return;
    }
    let now = Reading::now().wall.to_whole_millis();
    let why = || {
        let told = shared.lock().unwrap_or_else(PoisonError::into_inner);
        reason(told.problem.as_deref().unwrap_or("more came at once than can be kept"))
    };
    let lost = lost.get_or_insert_with(|| SamplesLost { count: 0, from: now, to: now, reason: why() });
    (lost.count, lost.to) = (lost.count + count, now);
}

fn reason(why: &str) -> String {
    why.chars().take(MAX_TEXT_CHARS).collect()
}

/// Ends the recording as it is: what the journal has not taken; none if it has taken everything.
pub(crate) fn leave_off(shared: &Shared) -> Option<SamplesLost> {
    let now = Reading::now().wall.to_whole_millis();
    let mut told = shared.lock().unwrap_or_else(PoisonError::into_inner);
    told.is_over = true;
    let kept = told.unrecorded as u64;
    let count = kept + told.lost.as_ref().map_or(0, |lost| lost.count);
    let from = told.lost.as_ref().map(|lost| lost.from).or(told.refused_since).unwrap_or(now);
    let why = reason(told.problem.as_deref().unwrap_or("the log did not take them before the stop"));
    (count > 0).then_some(SamplesLost { count, from: from.min(now), to: now, reason: why })
}

/// Updates what the status shows; true if the journal refuses.
fn tell(shared: &Shared, unrecorded: usize, dropped: u64, problem: Option<String>, lost: Option<&SamplesLost>) -> bool {
    let now = Reading::now().wall.to_whole_millis();
    let mut told = shared.lock().unwrap_or_else(PoisonError::into_inner);
    if let (None, Some(problem)) = (&told.problem, &problem) {
        tracing::error!(problem, "samples are kept in memory until the journal takes them");
    }
    told.unrecorded = unrecorded;
    told.dropped += dropped;
    told.lost = lost.cloned();
    told.refused_since = problem.as_ref().map(|_| told.refused_since.unwrap_or(now));
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use netstats_event::{Draft, Envelope, Position, Record};
    use netstats_log::{Appended, Error, Head, Log, MemoryLog, ReadLimit};

    use super::*;

    /// Refuses until it is told not to.
    #[derive(Default)]
    struct Full {
        inner: MemoryLog,
        is_full: AtomicBool,
    }

    impl Log for Full {
        fn append(&self, batch: &[Draft]) -> Result<Appended, Error> {
            self.inner.append(batch)
        }
        fn refusal(&self) -> Option<Error> {
            let is_full = self.is_full.load(Ordering::SeqCst);
            is_full.then(|| Error::new(ErrorKind::Unavailable, "read-only: the disk is full"))
        }
        fn read(&self, from: Position, limit: ReadLimit) -> Result<Vec<Record>, Error> {
            self.inner.read(from, limit)
        }
        fn get(&self, positions: &[Position]) -> Result<Vec<Record>, Error> {
            self.inner.get(positions)
        }
        fn first(&self) -> Position {
            self.inner.first()
        }
        fn tail(&self) -> Position {
            self.inner.tail()
        }
        fn head(&self) -> Head {
            self.inner.head()
        }
        fn last_config(&self) -> Position {
            self.inner.last_config()
        }
        fn wait(&self, past: Position, at_most: Duration) -> Position {
            self.inner.wait(past, at_most)
        }
        fn close(&self) {
            self.inner.close();
        }
    }

    fn sample(number: u8) -> Event {
        Event::Unknown { kind: 900, version: 1, payload: vec![number] }
    }

    #[tokio::test]
    async fn what_the_ring_cannot_keep_while_the_disk_is_full_is_recorded_as_lost() {
        let log = Arc::new(Full::default());
        log.is_full.store(true, Ordering::SeqCst);
        let journal = Journal::open(log.clone()).unwrap();
        let (send, events) = tokio::sync::mpsc::unbounded_channel();
        let shared = Shared::default();
        let recorder = tokio::spawn(record_with(journal.clone(), events, shared.clone(), 5));
        let until = async |pleases: fn(&Recording) -> bool| {
            while !pleases(&shared.lock().unwrap()) {
                tokio::task::yield_now().await;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        (0..5).for_each(|number| send.send(sample(number)).unwrap());
        until(|told| told.problem.as_ref().is_some_and(|problem| problem.contains("disk is full"))).await;
        (5..12).for_each(|number| send.send(sample(number)).unwrap());
        until(|told| told.dropped == 7 && told.unrecorded == 5).await;
        let since = shared.lock().unwrap().refused_since.unwrap();
        log.is_full.store(false, Ordering::SeqCst);
        drop(send);
        recorder.await.unwrap();
        let found: Vec<Event> =
            journal.read(Position(1), ReadLimit::default()).unwrap().into_iter().map(|e: Envelope| e.event).collect();
        let Event::SamplesLost(lost) = &found[0] else { panic!("{found:?}") };
        assert_eq!(lost.count, 7);
        assert!(lost.reason.contains("disk is full") && lost.from <= lost.to, "{lost:?}");
        assert_eq!(found[1..], (7..12).map(sample).collect::<Vec<_>>());
        assert!(since <= lost.to, "{lost:?}");
        assert_eq!(shared.lock().unwrap().dropped, 7);
        assert_eq!(leave_off(&shared), None, "everything was told");
    }

    #[tokio::test]
    async fn what_a_stop_leaves_unrecorded_is_counted_and_not_recorded_later() {
        let log = Arc::new(Full::default());
        log.is_full.store(true, Ordering::SeqCst);
        let journal = Journal::open(log.clone()).unwrap();
        let (send, events) = tokio::sync::mpsc::unbounded_channel();
        let shared = Shared::default();
        let recorder = tokio::spawn(record_with(journal.clone(), events, shared.clone(), 3));
        (0..5).for_each(|number| send.send(sample(number)).unwrap());
        while shared.lock().unwrap().unrecorded != 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let lost = leave_off(&shared).unwrap();
        assert_eq!(lost.count, 5, "two given up, three kept");
        assert!(lost.reason.contains("disk is full") && lost.from <= lost.to, "{lost:?}");
        log.is_full.store(false, Ordering::SeqCst);
        recorder.await.unwrap();
        assert_eq!(journal.head().last, 0, "what was told as lost does not come after all");
    }
}
