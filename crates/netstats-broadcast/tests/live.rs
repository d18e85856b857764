//! What subscribers may rely on: order, no gap, no repeat, and to be told when they were too slow.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use netstats_broadcast::{
    BroadcastProjector, Broadcaster, Delivery, Filter, Follow, Lag, MAX_LAGS, MAX_WAITING, Step, Subscription, replay,
};
use netstats_event::{
    CollectorStopped, DestinationId, Envelope, Event, Family, JobId, JobStarted, Kind, Meta, MissReason, Position,
    ProbeKind, SlotsMissed, Timestamp,
};
use netstats_log::{Journal, MemoryLog};
use netstats_projector::{MemoryViews, Projector, ReadLimit, Runner};
use proptest::prelude::*;

fn missed(job: u32, destination: u32) -> Event {
    SlotsMissed {
        job: JobId(job),
        destination: DestinationId(destination),
        probe: ProbeKind::Ping,
        first_slot_at: Timestamp::default(),
        last_slot_at: Timestamp::default(),
        count: 1,
        reason: MissReason::Overrun,
    }
    .into()
}

fn started(job: u32) -> Event {
    JobStarted { job: JobId(job), meta: Meta::by("test") }.into()
}

fn observer() -> Event {
    CollectorStopped { reason: "x".to_owned() }.into()
}

fn envelopes(first: u64, events: Vec<Event>) -> Vec<Envelope> {
    let envelope =
        |(position, event)| Envelope { position: Position(position), recorded_at: Timestamp::default(), event };
    (first..).zip(events).map(envelope).collect()
}

fn position(delivery: Option<Delivery>) -> Option<u64> {
    match delivery {
        Some(Delivery::Update(update)) => Some(update.envelope.position.0),
        _ => None,
    }
}

#[test]
fn a_filter_lets_through_what_it_names() {
    let by = |filter: Filter, event: &Event| filter.wants(event);
    let destination = |id| Filter { destinations: [DestinationId(id)].into(), ..Filter::default() };
    let job = |id| Filter { jobs: [JobId(id)].into(), ..Filter::default() };
    assert!(by(Filter::default(), &observer()));
    assert!(
        by(destination(2), &missed(1, 2)) && !by(destination(3), &missed(1, 2)) && !by(destination(2), &observer())
    );
    assert!(by(job(1), &missed(1, 2)) && by(job(1), &started(1)) && !by(job(2), &started(1)));
    let family = Filter { families: [Family::Run].into(), ..Filter::default() };
    assert!(by(family.clone(), &missed(1, 1)) && !by(family.clone(), &started(1)));
    let either = Filter { kinds: [Kind::JobStarted].into(), ..family };
    assert!(by(either.clone(), &missed(1, 1)) && by(either.clone(), &started(1)) && !by(either, &observer()));
    assert!(!by(Filter::default(), &Event::Unknown { kind: 9, version: 1, payload: Vec::new() }));
}

#[test]
fn all_subscribers_share_one_encoding() {
    let (mut projector, broadcaster) = BroadcastProjector::new();
    let mut subscriptions: Vec<Subscription> =
        (0..10).map(|_| broadcaster.subscribe(Filter::default()).unwrap()).collect();
    projector.apply(&envelopes(1, vec![observer()]));
    let encodings = AtomicUsize::new(0);
    for subscription in &mut subscriptions {
        let Some(Delivery::Update(update)) = subscription.try_recv() else { panic!("no update") };
        let text = update.encoded(|envelope| {
            encodings.fetch_add(1, Ordering::Relaxed);
            format!("at {}", envelope.position)
        });
        assert_eq!(&**text, "at 1");
    }
    assert_eq!(encodings.into_inner(), 1);
}

#[test]
fn a_slow_subscriber_is_told_what_it_missed_and_dropped_when_it_stays_slow() {
    let (mut projector, broadcaster) = BroadcastProjector::new();
    let mut slow = broadcaster.subscribe(Filter::default()).unwrap();
    let mut other = broadcaster.subscribe(Filter::default()).unwrap();
    let mut next = 1;
    let mut flood = |events: usize| {
        projector.apply(&envelopes(next, vec![observer(); events]));
        next += events as u64;
    };
    flood(MAX_WAITING);
    flood(2);
    flood(1);
    let limit = MAX_WAITING as u64;
    let Some(Delivery::Lagged(lag)) = slow.try_recv() else { panic!("not told") };
    assert_eq!(lag, Lag { missed: limit + 2, from: Position(1), to: Position(limit + 2) });
    assert_eq!(position(slow.try_recv()), Some(limit + 3), "what came after the lag is there");
    for _ in 1..MAX_LAGS {
        flood(MAX_WAITING + 1);
        assert!(matches!(slow.try_recv(), Some(Delivery::Lagged(_))) && !slow.is_closed());
    }
    flood(MAX_WAITING + 1);
    assert!(slow.is_closed());
    // One that never takes anything has one lag, which grows.
    let Some(Delivery::Lagged(lag)) = other.try_recv() else { panic!("not told") };
    assert_eq!((lag.from, lag.to), (Position(1), Position(next - 1)));
}

struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn whoever_waits_is_woken_by_what_it_wants_and_by_the_end() {
    let (mut projector, broadcaster) = BroadcastProjector::new();
    let mut subscription = broadcaster.subscribe(Filter { jobs: [JobId(1)].into(), ..Filter::default() }).unwrap();
    let wakes = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(wakes.clone());
    let context = Context::from_waker(&waker);
    assert!(subscription.poll_recv(&context).is_pending());
    projector.apply(&envelopes(1, vec![started(2)]));
    assert_eq!(wakes.0.load(Ordering::Relaxed), 0);
    projector.apply(&envelopes(2, vec![started(1)]));
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    let Poll::Ready(delivery) = subscription.poll_recv(&context) else { panic!("pending") };
    assert_eq!(position(delivery), Some(2));
    assert!(subscription.poll_recv(&context).is_pending());
    drop(projector);
    assert_eq!(wakes.0.load(Ordering::Relaxed), 2);
    assert!(matches!(subscription.poll_recv(&context), Poll::Ready(None)));
    assert!(broadcaster.subscribe(Filter::default()).unwrap().is_closed());
}

#[test]
fn a_dropped_subscription_is_forgotten() {
    let (mut projector, broadcaster) = BroadcastProjector::new();
    drop(broadcaster.subscribe(Filter::default()).unwrap());
    projector.apply(&envelopes(1, vec![observer()]));
    assert_eq!(broadcaster.subscriptions(), 0);
}

/// Follows from `past` until `last` was seen; returns all positions in the order in which they came.
fn follow(broadcaster: &Broadcaster, journal: &Arc<Journal>, filter: &Filter, past: u64, last: u64) -> Vec<u64> {
    let mut follow = Follow::new(broadcaster.clone(), filter.clone(), Position(past));
    let limit = ReadLimit { records: 50, ..ReadLimit::default() };
    let mut seen = Vec::new();
    let mut live = loop {
        match follow.step(journal.as_ref(), limit).unwrap() {
            Step::Replayed(updates) => seen.extend(updates.iter().map(|update| update.envelope.position.0)),
            Step::Live(subscription) => break subscription,
        }
    };
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    while seen.last() != Some(&last) {
        match live.poll_recv(&Context::from_waker(&waker)) {
            Poll::Ready(Some(Delivery::Update(update))) => seen.push(update.envelope.position.0),
            Poll::Ready(other) => panic!("{other:?}"),
            Poll::Pending => std::thread::park_timeout(Duration::from_secs(10)),
        }
    }
    seen
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// A writer appends while followers join from anywhere: each sees exactly what its filter wants, once, in order.
    #[test]
    fn followers_join_without_gap_or_repeat(
        before in proptest::collection::vec(1_u32..4, 0..400),
        during in proptest::collection::vec(1_u32..4, 1..300),
        starts in proptest::collection::vec((0_u64..700, 1_u32..4), 1..4),
    ) {
        let journal = Journal::open(Arc::new(MemoryLog::new())).unwrap();
        if !before.is_empty() {
            journal.append(before.iter().map(|job| started(*job)).collect()).unwrap();
        }
        let (projector, broadcaster) = BroadcastProjector::new();
        let runner = Runner::start(journal.clone(), Arc::new(MemoryViews::new()), vec![Box::new(projector)]).unwrap();
        let all: Vec<u32> = before.iter().chain(&during).copied().collect();
        // The last event is wanted by everybody: it ends the followers.
        let last = all.len() as u64 + 1;
        let followers: Vec<_> = starts
            .iter()
            .map(|(past, job)| {
                let past = (*past).min(before.len() as u64);
                let filter = Filter { jobs: [JobId(*job), JobId(99)].into(), ..Filter::default() };
                let (journal, broadcaster) = (journal.clone(), broadcaster.clone());
                let thread = std::thread::spawn(move || follow(&broadcaster, &journal, &filter, past, last));
                (past, *job, thread)
            })
            .collect();
        for job in &during {
            journal.append(vec![started(*job)]).unwrap();
        }
        journal.append(vec![started(99)]).unwrap();
        for (past, job, thread) in followers {
            let mut wanted: Vec<u64> =
                (1..).zip(&all).filter(|(at, is)| *at > past && **is == job).map(|(at, _)| at).collect();
            wanted.push(last);
            prop_assert_eq!(thread.join().unwrap(), wanted);
        }
        runner.stop();
    }
}

#[test]
fn a_replay_gives_what_live_subscribers_got() {
    let journal = Journal::open(Arc::new(MemoryLog::new())).unwrap();
    let (projector, broadcaster) = BroadcastProjector::new();
    let filter = Filter { destinations: [DestinationId(1)].into(), ..Filter::default() };
    let mut live = broadcaster.subscribe(filter.clone()).unwrap();
    let runner = Runner::start(journal.clone(), Arc::new(MemoryViews::new()), vec![Box::new(projector)]).unwrap();
    for n in 0..500 {
        journal.append(vec![missed(1, n % 3), observer()]).unwrap();
    }
    assert!(runner.wait_for(Position(1_000), Duration::from_secs(30)));
    let mut past = Position::START;
    let limit = ReadLimit { records: 70, ..ReadLimit::default() };
    while past < Position(1_000) {
        let (updates, looked_at) = replay(journal.as_ref(), &filter, past, Position(1_000), limit).unwrap();
        for update in updates {
            let Some(Delivery::Update(same)) = live.try_recv() else { panic!("the live one got less") };
            assert_eq!(update.envelope, same.envelope);
        }
        assert!(looked_at > past);
        past = looked_at;
    }
    assert!(live.try_recv().is_none(), "the live one got more");
}
