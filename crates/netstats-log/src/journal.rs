//! The only writer: typed, group-committing.
//!
//! Callers encode in their own threads and queue whole batches; one writer thread takes everything that is queued and
//! commits it at once. While a commit syncs the next one gathers, so that the group grows with the load and a lone
//! event never waits for company.

use std::collections::VecDeque;
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use netstats_event::{
    ChainHash, Condense, Draft, Envelope, Event, Kind, Position, Record, SamplesSummarised, Timestamp, encode,
};

use crate::engine::is_config;
use crate::latency::Meter;
use crate::{
    AppendLatency, Appended, Error, ErrorKind, Head, Log, ReadLimit, SealedSeries, SegmentInfo, SeriesKey, SeriesPage,
    limits,
};

const UNPOISONED: &str = "no code panics while it holds this lock";

/// A batch on its way. Await it or `wait` for it: it is durable when it answers `Ok`.
#[derive(Debug)]
pub struct AppendTicket {
    slot: Arc<Slot>,
}

/// Where the writer leaves the answer.
#[derive(Debug, Default)]
struct Slot {
    answer: Mutex<Answer>,
    answered: Condvar,
}

#[derive(Debug, Default)]
struct Answer {
    result: Option<Result<Appended, Error>>,
    waker: Option<Waker>,
}

impl Slot {
    fn answer(&self, result: Result<Appended, Error>) {
        let waker = {
            let mut answer = self.answer.lock().expect(UNPOISONED);
            answer.result = Some(result);
            answer.waker.take()
        };
        self.answered.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl AppendTicket {
    fn refused(error: Error) -> Self {
        let slot = Arc::new(Slot::default());
        slot.answer(Err(error));
        Self { slot }
    }

    /// Blocks until the batch is durable.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub fn wait(self) -> Result<Appended, Error> {
        let answer = self.slot.answer.lock().expect(UNPOISONED);
        let mut answer = self.slot.answered.wait_while(answer, |answer| answer.result.is_none()).expect(UNPOISONED);
        answer.result.take().expect("waited for it")
    }
}

impl Future for AppendTicket {
    type Output = Result<Appended, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut answer = self.slot.answer.lock().expect(UNPOISONED);
        if let Some(result) = answer.result.take() {
            return Poll::Ready(result);
        }
        answer.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

/// One submitted batch.
struct Request {
    drafts: Vec<Draft>,
    bytes: usize,
    holds_config: bool,
    /// Append only if no config event is after this position.
    unmoved_since: Option<Position>,
    submitted: Instant,
    slot: Arc<Slot>,
}

/// What callers and the writer share.
#[derive(Default)]
struct Queue {
    state: Mutex<QueueState>,
    changed: Condvar,
    meter: Meter,
}

#[derive(Default)]
struct QueueState {
    requests: VecDeque<Request>,
    events: usize,
    bytes: usize,
    is_closed: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().expect(UNPOISONED)
    }

    /// Waits for requests and takes the next group; nothing when closed and empty.
    fn next_group(&self) -> Option<Vec<Request>> {
        let is_idle = |state: &mut QueueState| state.requests.is_empty() && !state.is_closed;
        let mut state = self.changed.wait_while(self.lock(), is_idle).expect(UNPOISONED);
        let mut group: Vec<Request> = Vec::new();
        let (mut events, mut bytes, mut holds_config) = (0, 0, false);
        while let Some(request) = state.requests.front() {
            let is_over = events + request.drafts.len() > limits::MAX_GROUP_EVENTS
                || bytes + request.bytes > limits::MAX_BATCH_BYTES;
            // A conditional batch is decided only when every config event before it is durable or failed.
            if !group.is_empty() && (is_over || (holds_config && request.unmoved_since.is_some())) {
                break;
            }
            events += request.drafts.len();
            bytes += request.bytes;
            holds_config |= request.holds_config;
            group.extend(state.requests.pop_front());
        }
        state.events -= events;
        state.bytes -= bytes;
        (!group.is_empty()).then_some(group)
    }
}

/// Answers what is left with an error, should the writer end by a panic: nobody waits for ever.
struct Undertaker(Arc<Queue>);

impl Drop for Undertaker {
    fn drop(&mut self) {
        let left = {
            let mut state = self.0.lock();
            state.is_closed = true;
            std::mem::take(&mut state.requests)
        };
        for request in left {
            request.slot.answer(Err(closed()));
        }
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Unavailable, "the journal is closed: nothing was appended")
}

fn commit(log: &dyn Log, meter: &Meter, group: Vec<Request>) {
    let mut drafts = Vec::with_capacity(group.iter().map(|request| request.drafts.len()).sum());
    let mut waiting = Vec::with_capacity(group.len());
    for request in group {
        // A group holds no config event before a conditional batch, so the log's own answer is the newest.
        match request.unmoved_since {
            Some(since) if log.last_config() > since => {
                let moved = log.last_config();
                let message = format!(
                    "the configuration was changed at position {moved}, after {since}: look at it again and repeat"
                );
                request.slot.answer(Err(Error::new(ErrorKind::Conflict, message).at(moved, moved)));
            }
            _ => {
                waiting.push((request.slot, request.submitted, request.drafts.len() as u64));
                drafts.extend(request.drafts);
            }
        }
    }
    if drafts.is_empty() {
        return;
    }
    match log.append(&drafts) {
        Ok(appended) => {
            let mut first = appended.first;
            let done = monotonic();
            for (slot, submitted, events) in waiting {
                meter.note(done.saturating_duration_since(submitted));
                slot.answer(Ok(Appended { first, last: Position(first.0 + events - 1) }));
                first.0 += events;
            }
        }
        Err(error) => {
            tracing::error!(%error, events = drafts.len(), "an append failed");
            waiting.into_iter().for_each(|(slot, ..)| slot.answer(Err(error.clone())));
        }
    }
}

/// The typed door to the log: encodes, stamps the recorded time, gathers concurrent batches into one durable commit.
pub struct Journal {
    log: Arc<dyn Log>,
    queue: Arc<Queue>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").field("head", &self.head()).finish_non_exhaustive()
    }
}

impl Journal {
    /// Starts the writer thread in front of `log`.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn open(log: Arc<dyn Log>) -> Result<Arc<Self>, Error> {
        let queue = Arc::new(Queue::default());
        let (writers_log, writers_queue) = (log.clone(), queue.clone());
        let write = move || {
            let _undertaker = Undertaker(writers_queue.clone());
            while let Some(group) = writers_queue.next_group() {
                commit(writers_log.as_ref(), &writers_queue.meter, group);
            }
        };
        let writer = std::thread::Builder::new().name("journal".to_owned()).spawn(write).map_err(|error| {
            Error::new(ErrorKind::Unavailable, "the journal's writer thread cannot be started").because(error)
        })?;
        Ok(Arc::new(Self { log, queue, writer: Mutex::new(Some(writer)) }))
    }

    /// Hands a batch to the writer and returns at once. The batch's events get consecutive positions.
    #[must_use]
    pub fn submit(&self, events: Vec<Event>) -> AppendTicket {
        let recorded_at = now();
        self.enqueue(events.iter().map(|event| (recorded_at, event)), None)
    }

    /// The same for events that were recorded elsewhere, each with its time then: a demo's history, an import.
    #[must_use]
    pub fn submit_recorded(&self, events: Vec<(Timestamp, Event)>) -> AppendTicket {
        self.enqueue(events.iter().map(|(recorded_at, event)| (*recorded_at, event)), None)
    }

    /// Appends and waits until durable.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub fn append(&self, events: Vec<Event>) -> Result<Appended, Error> {
        self.submit(events).wait()
    }

    /// Appends only if no config event was appended after `unmoved_since`: otherwise Conflict, and nothing is written.
    #[must_use]
    pub fn submit_if_config_unmoved(&self, events: Vec<Event>, unmoved_since: Position) -> AppendTicket {
        let recorded_at = now();
        self.enqueue(events.iter().map(|event| (recorded_at, event)), Some(unmoved_since))
    }

    fn enqueue<'a>(
        &self,
        events: impl Iterator<Item = (Timestamp, &'a Event)>,
        unmoved_since: Option<Position>,
    ) -> AppendTicket {
        let drafts: Result<Vec<Draft>, _> = events.map(|(recorded_at, event)| encode(event, recorded_at)).collect();
        let drafts = match drafts {
            Ok(drafts) => drafts,
            Err(error) => {
                let message = format!("an event cannot be recorded: {error}");
                return AppendTicket::refused(Error::new(ErrorKind::Invalid, message).because(error));
            }
        };
        if let Err(error) = crate::engine::check_batch(&drafts) {
            return AppendTicket::refused(error);
        }
        if let Some(refusal) = self.log.refusal() {
            return AppendTicket::refused(refusal);
        }
        let slot = Arc::new(Slot::default());
        let request = Request {
            bytes: drafts.iter().map(|draft| draft.payload.len()).sum(),
            holds_config: drafts.iter().any(|draft| is_config(draft.kind)),
            drafts,
            unmoved_since,
            submitted: monotonic(),
            slot: slot.clone(),
        };
        let mut state = self.queue.lock();
        if state.is_closed {
            return AppendTicket::refused(closed());
        }
        let (events, bytes) = (state.events + request.drafts.len(), state.bytes + request.bytes);
        if events > limits::MAX_QUEUED_EVENTS || bytes > limits::MAX_QUEUED_BYTES {
            let message = format!(
                "{} events wait for the disk and the limit is {}: nothing was appended, try again later",
                state.events,
                limits::MAX_QUEUED_EVENTS
            );
            return AppendTicket::refused(Error::new(ErrorKind::Unavailable, message));
        }
        (state.events, state.bytes) = (events, bytes);
        state.requests.push_back(request);
        drop(state);
        self.queue.changed.notify_one();
        AppendTicket { slot }
    }

    /// Decoded events from `from` on.
    ///
    /// # Errors
    /// As [`Log::read`].
    pub fn read(&self, from: Position, limit: ReadLimit) -> Result<Vec<Envelope>, Error> {
        self.log.events(from, limit)
    }

    /// The decoded events at these positions (ascending).
    ///
    /// # Errors
    /// As [`Log::get`].
    pub fn get(&self, positions: &[Position]) -> Result<Vec<Envelope>, Error> {
        self.log.events_at(positions)
    }

    /// The records at these positions (ascending), with their chain: for whoever has to prove them.
    ///
    /// # Errors
    /// As [`Log::get`].
    pub fn records(&self, positions: &[Position]) -> Result<Vec<Record>, Error> {
        self.log.get(positions)
    }

    /// As [`Log::series`].
    ///
    /// # Errors
    /// As [`Log::series`].
    pub fn series(&self, key: SeriesKey, slots: Range<Timestamp>) -> Result<SealedSeries, Error> {
        self.log.series(key, slots)
    }

    /// As [`Log::series_events`].
    ///
    /// # Errors
    /// As [`Log::series_events`].
    pub fn series_events(&self, page: &SeriesPage, slots: Range<Timestamp>) -> Result<Vec<Envelope>, Error> {
        self.log.series_events(page, slots)
    }

    /// As [`Log::segment_infos`].
    ///
    /// # Errors
    /// As [`Log::segment_infos`].
    pub fn segment_infos(&self) -> Result<Vec<SegmentInfo>, Error> {
        self.log.segment_infos()
    }

    /// As [`Log::disk_bytes`].
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        self.log.disk_bytes()
    }

    /// As [`Log::raw_from`].
    #[must_use]
    pub fn raw_from(&self, kind: Kind) -> Position {
        self.log.raw_from(kind)
    }

    /// Summarises the samples of these kinds in the sealed segment that begins at `first`: writes what is left of them,
    /// appends the fact, and then lets the raw values go. None if there was nothing to do.
    ///
    /// # Errors
    /// As [`Log::condense`], [`Log::append`] and [`Log::replace_segment`]; the raw values are then still there.
    pub fn summarise(
        &self,
        first: Position,
        kinds: &[Kind],
        by: &mut dyn Condense,
    ) -> Result<Option<SamplesSummarised>, Error> {
        let Some(condensed) = self.log.condense(first, kinds, by)? else { return Ok(None) };
        let fact = condensed.fact().clone();
        let appended = self.append(vec![fact.clone().into()])?;
        self.log.replace_segment(condensed, appended.last)?;
        Ok(Some(fact))
    }

    /// The first position kept.
    #[must_use]
    pub fn first(&self) -> Position {
        self.log.first()
    }

    /// The first position not written.
    #[must_use]
    pub fn tail(&self) -> Position {
        self.log.tail()
    }

    /// The last record and the chain after it.
    #[must_use]
    pub fn head(&self) -> Head {
        self.log.head()
    }

    /// As [`Log::refusal`].
    #[must_use]
    pub fn refusal(&self) -> Option<Error> {
        self.log.refusal()
    }

    /// How long batches took from their submission until they were durable, since the journal was opened.
    #[must_use]
    pub fn append_latency(&self) -> AppendLatency {
        self.queue.meter.read()
    }

    /// Events submitted that no commit has taken up.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queue.lock().events
    }

    /// The chain's value at a position: it proves every event up to there. None before the first event.
    ///
    /// # Errors
    /// As [`Log::get`].
    pub fn chain_at(&self, position: Position) -> Result<Option<ChainHash>, Error> {
        if position == Position::START {
            return Ok(None);
        }
        Ok(self.log.get(&[position])?.first().map(|record| record.chain))
    }

    /// As [`Log::wait`].
    #[must_use]
    pub fn wait(&self, past: Position, at_most: Duration) -> Position {
        self.log.wait(past, at_most)
    }

    /// Commits what was submitted, then stops the writer and closes the log. Reads go on.
    pub fn close(&self) {
        self.queue.lock().is_closed = true;
        self.queue.changed.notify_all();
        let writer = self.writer.lock().expect(UNPOISONED).take();
        if writer.is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the journal's writer ended by a panic");
        }
        self.log.close();
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
    }
}

/// The recorded time.
#[expect(clippy::disallowed_methods, reason = "the journal is where the recorded time is read")]
fn now() -> Timestamp {
    to_timestamp(SystemTime::now())
}

/// For how long appends take.
#[expect(clippy::disallowed_methods, reason = "the journal measures how long its appends take")]
fn monotonic() -> Instant {
    Instant::now()
}

/// Whole milliseconds since 1970; a clock before 1970 gives negative ones.
fn to_timestamp(time: SystemTime) -> Timestamp {
    let millis = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => millis(after),
        Err(before) => -millis(before.duration()),
    })
}
