//! Fan-out: from the one fold to a bounded queue for each subscriber. Publishing never waits for anybody.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::{Context, Poll, Waker};

use netstats_event::{Envelope, Position};
use netstats_projector::{Error, ErrorKind, Projector, RowBatch, RowReader};

use crate::limits::{MAX_LAGS, MAX_SUBSCRIPTIONS, MAX_WAITING};
use crate::{Filter, Update};

const UNPOISONED: &str = "no code panics while it holds this lock";

/// What a subscriber gets next.
#[derive(Clone, Debug)]
pub enum Delivery {
    /// The next wanted event.
    Update(Arc<Update>),
    /// The subscriber was too slow: wanted events were thrown away. They are in the log still.
    Lagged(Lag),
}

/// Which updates a slow subscriber did not get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    /// How many.
    pub missed: u64,
    /// The first of them.
    pub from: Position,
    /// The last of them.
    pub to: Position,
}

/// Publishes what is folded.
#[derive(Debug)]
pub struct BroadcastProjector {
    shared: Arc<Shared>,
}

/// The handle for subscribers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Broadcaster {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The last event published: whoever subscribes now gets all after it.
    position: Position,
    queues: Vec<Weak<Queue>>,
    is_closed: bool,
}

#[derive(Debug)]
struct Queue {
    filter: Filter,
    state: Mutex<QueueState>,
}

#[derive(Debug, Default)]
struct QueueState {
    waiting: VecDeque<Arc<Update>>,
    lag: Option<Lag>,
    lags: u32,
    is_closed: bool,
    waker: Option<Waker>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect(UNPOISONED)
    }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().expect(UNPOISONED)
    }

    /// Puts updates in; past the limit, what waits is thrown away and noted as a lag.
    fn push(&self, updates: &[Arc<Update>]) {
        let waker = {
            let mut state = self.state();
            if state.is_closed {
                return;
            }
            let before = state.waiting.len();
            state.waiting.extend(updates.iter().filter(|update| self.filter.wants(&update.envelope.event)).cloned());
            if state.waiting.len() == before {
                return;
            }
            if state.waiting.len() > MAX_WAITING {
                state.overflow();
            }
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn close(&self) {
        let waker = {
            let mut state = self.state();
            state.is_closed = true;
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl QueueState {
    fn overflow(&mut self) {
        let position = |update: Option<&Arc<Update>>| update.map(|update| update.envelope.position);
        let (Some(first), Some(last)) = (position(self.waiting.front()), position(self.waiting.back())) else { return };
        let missed = self.waiting.len() as u64;
        self.waiting.clear();
        match &mut self.lag {
            // It has not even taken the note of the lag before: one longer lag.
            Some(lag) => *lag = Lag { missed: lag.missed + missed, from: lag.from, to: last },
            None => {
                self.lag = Some(Lag { missed, from: first, to: last });
                self.lags += 1;
                self.is_closed = self.lags > MAX_LAGS;
            }
        }
    }

    fn next(&mut self) -> Option<Delivery> {
        // What was thrown away came before what waits now.
        if let Some(lag) = self.lag.take() {
            return Some(Delivery::Lagged(lag));
        }
        self.waiting.pop_front().map(Delivery::Update)
    }
}

impl BroadcastProjector {
    /// The projector, for the runner, and its handle, for subscribers.
    #[must_use]
    pub fn new() -> (Self, Broadcaster) {
        let state = State { position: Position::START, queues: Vec::new(), is_closed: false };
        let shared = Arc::new(Shared { state: Mutex::new(state) });
        (Self { shared: shared.clone() }, Broadcaster { shared })
    }
}

impl Projector for BroadcastProjector {
    fn name(&self) -> &'static str {
        "broadcast"
    }

    fn version(&self) -> u32 {
        1
    }

    fn starts_at_tail(&self) -> bool {
        true
    }

    fn started_after(&mut self, position: Position) {
        self.shared.state().position = position;
    }

    fn load(&mut self, _rows: &dyn RowReader) -> Result<(), Error> {
        Ok(())
    }

    fn apply(&mut self, events: &[Envelope]) {
        let Some(last) = events.last() else { return };
        // Under the lock, so that a subscription begins either before all of these events or after them.
        let mut state = self.shared.state();
        state.position = last.position;
        if state.queues.is_empty() {
            return;
        }
        let updates: Vec<Arc<Update>> = events.iter().cloned().map(Update::new).collect();
        state.queues.retain(|queue| queue.upgrade().inspect(|queue| queue.push(&updates)).is_some());
    }

    fn flush(&mut self, _rows: &mut RowBatch) {}
}

impl Drop for BroadcastProjector {
    /// Nothing comes any more: subscribers are told.
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.is_closed = true;
        state.queues.iter().filter_map(Weak::upgrade).for_each(|queue| queue.close());
    }
}

impl Broadcaster {
    /// The last event published.
    #[must_use]
    pub fn position(&self) -> Position {
        self.shared.state().position
    }

    /// How many subscriptions there are.
    #[must_use]
    pub fn subscriptions(&self) -> usize {
        self.shared.state().queues.iter().filter(|queue| queue.strong_count() > 0).count()
    }

    /// Everything wanted after [`Subscription::joined_after`].
    ///
    /// # Errors
    /// Unavailable: too many subscriptions.
    pub fn subscribe(&self, filter: Filter) -> Result<Subscription, Error> {
        let mut state = self.shared.state();
        if state.queues.len() >= MAX_SUBSCRIPTIONS {
            state.queues.retain(|queue| queue.strong_count() > 0);
        }
        if state.queues.len() >= MAX_SUBSCRIPTIONS {
            let message = format!("there are {MAX_SUBSCRIPTIONS} subscriptions, which is the limit: try again later");
            return Err(Error::new(ErrorKind::Unavailable, message));
        }
        let is_closed = state.is_closed;
        let queue = Arc::new(Queue { filter, state: Mutex::new(QueueState { is_closed, ..QueueState::default() }) });
        state.queues.push(Arc::downgrade(&queue));
        Ok(Subscription { queue, joined_after: state.position })
    }
}

/// A subscriber's queue. Dropping it ends the subscription.
#[derive(Debug)]
pub struct Subscription {
    queue: Arc<Queue>,
    joined_after: Position,
}

impl Subscription {
    /// The last event published before this subscription began: what came up to it is in the log only.
    #[must_use]
    pub const fn joined_after(&self) -> Position {
        self.joined_after
    }

    /// The next delivery; none when the subscription was ended from the other side: by the end of the program, or after
    /// [`MAX_LAGS`] lags.
    pub fn recv(&mut self) -> impl Future<Output = Option<Delivery>> + Send + '_ {
        std::future::poll_fn(|context| self.poll_recv(context))
    }

    /// The same for those who poll.
    pub fn poll_recv(&mut self, context: &Context<'_>) -> Poll<Option<Delivery>> {
        let mut state = self.queue.state();
        if let Some(delivery) = state.next() {
            return Poll::Ready(Some(delivery));
        }
        if state.is_closed {
            return Poll::Ready(None);
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }

    /// The next delivery, if one waits.
    pub fn try_recv(&mut self) -> Option<Delivery> {
        self.queue.state().next()
    }

    /// True when it was ended from the other side; what still waits can be taken.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.queue.state().is_closed
    }
}
