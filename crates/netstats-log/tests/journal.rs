//! The Journal in front of an engine: order, groups, conditions, limits, the end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use netstats_event::{
    DestinationId, DestinationRemoved, Draft, Event, JobId, JobStarted, MAX_NAME_CHARS, Meta, Position, Record,
};
use netstats_log::{Appended, Error, ErrorKind, Head, Journal, Log, MemoryLog, ReadLimit, limits};

const LONG: Duration = Duration::from_secs(30);

fn config(number: u32) -> Event {
    JobStarted { job: JobId(number), meta: Meta::by("test") }.into()
}

fn sample() -> Event {
    Event::Unknown { kind: 900, version: 1, payload: vec![7; 100] }
}

fn journal() -> Arc<Journal> {
    Journal::open(Arc::new(MemoryLog::new())).unwrap()
}

/// Holds every append until it is let go; can be told to fail.
#[derive(Default)]
struct Gate {
    inner: MemoryLog,
    is_open: Mutex<bool>,
    changed: Condvar,
    fails: AtomicBool,
    groups: Mutex<Vec<usize>>,
}

impl Gate {
    fn open(&self) {
        *self.is_open.lock().unwrap() = true;
        self.changed.notify_all();
    }
}

impl Log for Gate {
    fn append(&self, batch: &[Draft]) -> Result<Appended, Error> {
        drop(self.changed.wait_while(self.is_open.lock().unwrap(), |open| !*open).unwrap());
        self.groups.lock().unwrap().push(batch.len());
        if self.fails.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Unavailable, "the disk is full"));
        }
        self.inner.append(batch)
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

#[test]
fn what_was_appended_reads_back_decoded_in_order() {
    let journal = journal();
    let events = vec![config(1), sample(), config(2)];
    let appended = journal.append(events.clone()).unwrap();
    assert_eq!(appended, Appended { first: Position(1), last: Position(3) });
    let read = journal.read(Position(1), ReadLimit::default()).unwrap();
    assert_eq!(read.iter().map(|envelope| envelope.event.clone()).collect::<Vec<_>>(), events);
    assert!(read.iter().all(|envelope| envelope.recorded_at == envelope.recorded_at.to_whole_millis()));
    assert_eq!(journal.get(&[Position(3)]).unwrap()[0].event, config(2));
}

#[test]
fn batches_of_many_threads_keep_their_events_together() {
    let journal = journal();
    std::thread::scope(|scope| {
        for thread in 0..8_u32 {
            let journal = &journal;
            scope.spawn(move || {
                for _ in 0..200 {
                    let appended = journal.append(vec![config(thread), config(thread), config(thread)]).unwrap();
                    assert_eq!(appended.last.0 - appended.first.0, 2);
                    let own = journal.get(&[appended.first, appended.last]).unwrap();
                    assert!(own.iter().all(|envelope| envelope.event == config(thread)));
                }
            });
        }
    });
    assert_eq!(journal.tail(), Position(8 * 200 * 3 + 1));
}

#[test]
fn what_gathers_while_the_disk_is_busy_is_one_commit() {
    let gate = Arc::new(Gate::default());
    let journal = Journal::open(gate.clone()).unwrap();
    let tickets: Vec<_> = (0..100).map(|_| journal.submit(vec![sample()])).collect();
    gate.open();
    for (number, ticket) in tickets.into_iter().enumerate() {
        assert_eq!(ticket.wait().unwrap().first, Position(number as u64 + 1));
    }
    let groups = gate.groups.lock().unwrap();
    assert!(groups.len() <= 2, "the first alone at most, then all the rest: {groups:?}");
}

#[test]
fn a_batch_that_depends_on_the_configuration_is_refused_once_it_moved() {
    let gate = Arc::new(Gate::default());
    let journal = Journal::open(gate.clone()).unwrap();
    // All four wait in one queue: the second decision was made without knowing the first.
    let first = journal.submit_if_config_unmoved(vec![config(1)], Position::START);
    let second = journal.submit_if_config_unmoved(vec![config(2)], Position::START);
    let samples = journal.submit(vec![sample(), sample()]);
    let third = journal.submit_if_config_unmoved(vec![config(3)], Position(1));
    gate.open();
    assert_eq!(first.wait().unwrap().first, Position(1));
    let refused = second.wait().unwrap_err();
    assert_eq!((refused.kind(), refused.positions), (ErrorKind::Conflict, Some((Position(1), Position(1)))));
    assert_eq!(samples.wait().unwrap().last, Position(3));
    assert_eq!(third.wait().unwrap().first, Position(4), "samples do not move the configuration");
}

#[test]
fn a_failed_commit_answers_every_ticket_of_its_group() {
    let gate = Arc::new(Gate::default());
    gate.fails.store(true, Ordering::SeqCst);
    let journal = Journal::open(gate.clone()).unwrap();
    let tickets: Vec<_> = (0..10).map(|_| journal.submit(vec![sample()])).collect();
    gate.open();
    for ticket in tickets {
        assert_eq!(ticket.wait().unwrap_err().kind(), ErrorKind::Unavailable);
    }
    assert_eq!(journal.tail(), Position(1));
}

#[test]
fn a_ticket_wakes_the_task_that_awaits_it() {
    let gate = Arc::new(Gate::default());
    let journal = Journal::open(gate.clone()).unwrap();
    let mut ticket = journal.submit(vec![sample()]);
    let waker = Arc::new(ThreadWaker(std::thread::current()));
    let waker = Waker::from(waker);
    let mut context = Context::from_waker(&waker);
    assert!(std::pin::Pin::new(&mut ticket).poll(&mut context).is_pending());
    gate.open();
    loop {
        match std::pin::Pin::new(&mut ticket).poll(&mut context) {
            Poll::Ready(result) => break assert_eq!(result.unwrap().first, Position(1)),
            Poll::Pending => std::thread::park_timeout(LONG),
        }
    }
}

struct ThreadWaker(std::thread::Thread);

impl std::task::Wake for ThreadWaker {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[test]
fn closing_commits_what_was_submitted_and_refuses_what_comes_after() {
    let gate = Arc::new(Gate::default());
    let journal = Journal::open(gate.clone()).unwrap();
    let before = journal.submit(vec![sample()]);
    gate.open();
    journal.close();
    assert_eq!(before.wait().unwrap().first, Position(1));
    assert_eq!(journal.append(vec![sample()]).unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(journal.read(Position(1), ReadLimit::default()).unwrap().len(), 1, "reads go on");
    journal.close();
}

#[test]
fn past_its_limits_a_batch_is_refused_and_the_rest_is_not() {
    let gate = Arc::new(Gate::default());
    let journal = Journal::open(gate.clone()).unwrap();
    let refused = |events: Vec<Event>| journal.submit(events).wait().unwrap_err().kind();
    assert_eq!(refused(vec![]), ErrorKind::Invalid);
    assert_eq!(refused(vec![sample(); limits::MAX_BATCH_EVENTS + 1]), ErrorKind::Invalid);
    let actor = "a".repeat(MAX_NAME_CHARS + 1);
    let removed = DestinationRemoved { id: DestinationId(1), meta: Meta::by(&actor) };
    assert_eq!(refused(vec![removed.into()]), ErrorKind::Invalid);
    // The disk hangs: the queue takes so much and says no to more.
    let batch = vec![sample(); 8_192];
    let mut tickets: Vec<_> =
        (0..limits::MAX_QUEUED_EVENTS / 8_192 + 1).map(|_| journal.submit(batch.clone())).collect();
    tickets.push(journal.submit(batch));
    gate.open();
    let answers: Vec<_> = tickets.into_iter().map(netstats_log::AppendTicket::wait).collect();
    assert!(answers.iter().any(|answer| answer.as_ref().is_err_and(|e| e.kind() == ErrorKind::Unavailable)));
    assert!(answers.iter().filter(|answer| answer.is_ok()).count() >= limits::MAX_QUEUED_EVENTS / 8_192);
}
