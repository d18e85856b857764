//! From events to state and rows.

use std::collections::{BTreeMap, VecDeque};
use std::ops::{Bound, Range};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use netstats_event::{
    DestinationId, Envelope, Event, FailReason, JobId, Position, ProbeKind, SuppressReason, Timestamp,
};
use netstats_projector::{Error, Projector, RowBatch, RowReader};

use crate::bytes::{self, Reader, damaged};
use crate::latest::{Failure, leads};
use crate::limits::{DIRECTORY_CHUNK, RECENT_MEDIANS};
use crate::outcome::{self, Outcome};
use crate::page;
use crate::past::NotesCache;
use crate::query::Series;
use crate::stream::{Stream, StreamKey, tag};
use crate::{DestinationLatest, ProbeLatest, Status};

/// A stream without two outcomes counts as current for so long.
const FIRST_INTERVAL_MS: i64 = 300_000;
/// A stream whose last outcome is older than so many of its intervals has no say any more.
const CURRENT_INTERVALS: i64 = 3;

/// What is kept of a destination, over all streams.
#[derive(Clone, Debug)]
pub(crate) struct DestinationState {
    id: DestinationId,
    pub(crate) status: Status,
    pub(crate) since: i64,
    pub(crate) last_sample: Option<(u64, i64)>,
    pub(crate) median: Option<u32>,
    pub(crate) loss: Option<(u32, u32)>,
    pub(crate) ipdv: (u32, u64),
    /// Medians of the leading probe in microseconds, oldest first; 0 where nothing came back.
    pub(crate) recent: VecDeque<u32>,
    pub(crate) last_failure: Option<Failure>,
    /// The probe that gives the numbers: two of them in one row of figures would tell nothing.
    pub(crate) leading: Option<ProbeKind>,
    /// Its streams, by number.
    streams: Vec<usize>,
    is_dirty: bool,
}

/// The view in memory.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) position: u64,
    pub(crate) uplink_lost_at: Option<i64>,
    by_key: BTreeMap<StreamKey, usize>,
    /// In the order in which they turned up: after a restart another one, so no answer may depend on it.
    streams: Vec<Stream>,
    by_id: BTreeMap<DestinationId, usize>,
    /// As `streams`.
    destinations: Vec<DestinationState>,
    dirty_streams: Vec<usize>,
    dirty_destinations: Vec<usize>,
    is_meta_dirty: bool,
    /// Rows that will not change any more and that the store does not have yet: closed since the last flush...
    pub(crate) fresh: BTreeMap<Vec<u8>, Vec<u8>>,
    /// ...and given to the last flush, which the runner may still be storing.
    pub(crate) storing: BTreeMap<Vec<u8>, Vec<u8>>,
    times: Vec<u32>,
}

/// What projector and handle share.
#[derive(Default)]
pub(crate) struct Shared {
    state: RwLock<State>,
    pub(crate) notes: NotesCache,
    rows: RwLock<Option<Arc<dyn RowReader>>>,
}

impl Shared {
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn rows(&self) -> Option<Arc<dyn RowReader>> {
        self.rows.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

/// The fold behind [`Series`].
pub struct SeriesProjector {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for SeriesProjector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SeriesProjector").finish_non_exhaustive()
    }
}

impl SeriesProjector {
    /// The projector, for the runner, and its handle, for queries.
    #[must_use]
    pub fn new() -> (Self, Series) {
        let shared = Arc::new(Shared::default());
        (Self { shared: shared.clone() }, Series { shared })
    }
}

impl Projector for SeriesProjector {
    fn name(&self) -> &'static str {
        "series"
    }

    fn version(&self) -> u32 {
        3
    }

    fn attach(&mut self, rows: Arc<dyn RowReader>) {
        *self.shared.rows.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(rows);
    }

    fn load(&mut self, rows: &dyn RowReader) -> Result<(), Error> {
        let state = State::load(rows)?;
        *self.shared.write() = state;
        self.shared.notes.clear();
        Ok(())
    }

    fn apply(&mut self, events: &[Envelope]) {
        self.shared.write().apply(events);
    }

    fn flush(&mut self, rows: &mut RowBatch) {
        self.shared.write().flush(rows);
    }
}

impl State {
    fn apply(&mut self, events: &[Envelope]) {
        for envelope in events {
            self.fold(envelope);
        }
        if let Some(last) = events.last() {
            self.position = last.position.0;
            self.is_meta_dirty = true;
        }
    }

    fn fold(&mut self, envelope: &Envelope) {
        let mut times = std::mem::take(&mut self.times);
        if let Some(outcome) = outcome::outcome_of(&envelope.event, &mut times) {
            self.take(envelope, &outcome, &times);
        }
        self.times = times;
        match &envelope.event {
            Event::SlotsSuppressed(left_out) if left_out.reason == SuppressReason::UplinkDown => {
                let key = StreamKey { job: left_out.job, destination: left_out.destination, probe: left_out.probe };
                if let Some(number) = self.by_key.get(&key).copied() {
                    self.touch(number);
                    let (position, fresh) = (envelope.position.0, &mut self.fresh);
                    self.streams[number].suppress(position, &mut |key, row| {
                        fresh.insert(key, row);
                    });
                    self.judge(self.streams[number].owner, left_out.first_slot_at.as_millis(), position);
                }
            }
            Event::UplinkLost(_) => self.uplink_lost_at = Some(envelope.recorded_at.as_millis()),
            Event::UplinkRestored(_) => self.uplink_lost_at = None,
            _ => {}
        }
    }

    fn take(&mut self, envelope: &Envelope, outcome: &Outcome, times: &[u32]) {
        let head = &outcome.head;
        let (position, slot) = (envelope.position.0, head.slot_at.as_millis());
        let key = StreamKey { job: head.job, destination: head.destination, probe: outcome.probe };
        let number = match self.by_key.get(&key) {
            Some(number) => *number,
            None => {
                let owner = self.destination(key.destination);
                self.insert(Stream::new(key, owner))
            }
        };
        self.touch(number);
        let median = outcome::median_of(&envelope.event, times);
        let fresh = &mut self.fresh;
        self.streams[number].add(position, outcome, times, median, &mut |key, row| {
            fresh.insert(key, row);
        });
        if let Event::Summarised(left) = &envelope.event
            && let Some(sums) = &left.times
        {
            self.streams[number].add_summarised(sums);
        }

        let owner = self.streams[number].owner;
        let state = &mut self.destinations[owner];
        if outcome.is_sample {
            state.last_sample = Some((position, slot));
            if state.leading.is_none_or(|leading| leads(outcome.probe, leading)) {
                state.leading = Some(outcome.probe);
                state.recent.clear();
            }
            if state.leading == Some(outcome.probe) {
                state.show(outcome, median);
                if outcome.is_known() {
                    if state.recent.len() == RECENT_MEDIANS {
                        state.recent.pop_front();
                    }
                    state.recent.push_back(median.unwrap_or(0));
                }
            }
        }
        if let Event::SlotFailed(failed) = &envelope.event {
            state.last_failure = Some(Failure::of(envelope.position, failed));
        }
        self.judge(owner, slot, position);
    }

    /// The number of a destination, new or not.
    fn destination(&mut self, id: DestinationId) -> usize {
        *self.by_id.entry(id).or_insert_with(|| {
            self.destinations.push(DestinationState::new(id));
            self.destinations.len() - 1
        })
    }

    /// A new stream's number.
    fn insert(&mut self, stream: Stream) -> usize {
        let number = self.streams.len();
        self.by_key.insert(stream.key, number);
        self.destinations[stream.owner].streams.push(number);
        self.streams.push(stream);
        number
    }

    fn touch(&mut self, number: usize) {
        if !self.streams[number].is_dirty {
            self.dirty_streams.push(number);
        }
    }

    /// What a destination's streams say together. A stream has a say while its last outcome is at most three of its
    /// intervals older than the newest of all (a stopped job does not hold a destination down). All that know
    /// something say down: *down*; some do: *degraded*; none knows anything: *unknown*.
    fn judge(&mut self, owner: usize, at: i64, position: u64) {
        let state = &mut self.destinations[owner];
        let voters = || {
            let streams = state.streams.iter().map(|number| &self.streams[*number]);
            streams
                .filter(|stream| stream.key.has_a_say())
                .filter_map(|stream| Some((stream.tally, stream.tally.last?.slot)))
        };
        let newest = voters().map(|(_, slot)| slot).max().unwrap_or(at);
        let (mut up, mut down, mut degraded) = (false, false, false);
        for (stream, slot) in voters() {
            let interval = if stream.interval_ms > 0 { stream.interval_ms } else { FIRST_INTERVAL_MS };
            if newest.saturating_sub(slot) > interval.saturating_mul(CURRENT_INTERVALS) {
                continue;
            }
            match stream.status() {
                Status::Up => up = true,
                Status::Degraded => degraded = true,
                Status::Down => down = true,
                Status::Unknown => {}
            }
        }
        let status = match (up, degraded, down) {
            (false, false, false) => Status::Unknown,
            (false, false, true) => Status::Down,
            (true, false, false) => Status::Up,
            _ => Status::Degraded,
        };
        if state.status != status || state.since == 0 {
            (state.status, state.since) = (status, at);
            let change = Change { position, at, status };
            self.fresh.insert(change_key(state.id, position), change.encode());
        }
        if !state.is_dirty {
            state.is_dirty = true;
            self.dirty_destinations.push(owner);
        }
    }

    fn flush(&mut self, rows: &mut RowBatch) {
        // What the last flush gave is stored by now.
        self.storing = std::mem::take(&mut self.fresh);
        for (key, row) in &self.storing {
            rows.put(key.as_slice(), row.as_slice());
        }
        for number in self.dirty_streams.drain(..) {
            let stream = &mut self.streams[number];
            stream.is_dirty = false;
            rows.put(stream.key.row(tag::STREAM), stream.encode());
        }
        for owner in self.dirty_destinations.drain(..) {
            let state = &mut self.destinations[owner];
            state.is_dirty = false;
            rows.put(destination_key(state.id), state.encode());
        }
        if std::mem::take(&mut self.is_meta_dirty) {
            let mut row = Vec::new();
            bytes::put(&mut row, self.position);
            row.push(u8::from(self.uplink_lost_at.is_some()));
            bytes::put_signed(&mut row, self.uplink_lost_at.unwrap_or(0));
            rows.put([tag::META], row);
        }
    }

    fn load(rows: &dyn RowReader) -> Result<Self, Error> {
        let mut state = Self::default();
        if let Some(row) = rows.get(&[tag::META])? {
            let mut reader = Reader(&row);
            state.position = reader.number()?;
            let is_lost = reader.byte()? == 1;
            state.uplink_lost_at = Some(reader.signed()?).filter(|_| is_lost);
        }
        each(rows, tag::DESTINATION, |key, row| {
            let id = key.get(1..5).and_then(|id| id.try_into().ok()).ok_or_else(|| damaged("a destination's key"))?;
            let decoded = DestinationState::decode(DestinationId(u32::from_be_bytes(id)), row)?;
            state.by_id.insert(decoded.id, state.destinations.len());
            state.destinations.push(decoded);
            Ok(())
        })?;
        each(rows, tag::STREAM, |key, row| {
            let key = StreamKey::parse(key).ok_or_else(|| damaged("a stream's key"))?;
            let owner = state.destination(key.destination);
            state.insert(Stream::decode(key, owner, row)?);
            Ok(())
        })?;
        each(rows, tag::DIRECTORY, |key, row| {
            let stream = StreamKey::parse(key).and_then(|key| state.by_key.get(&key));
            let number = stream.ok_or_else(|| damaged("a directory without its stream"))?;
            let closed = &mut state.streams[*number].closed;
            page::decode_spans(row, DIRECTORY_CHUNK)?.into_iter().for_each(|span| closed.push(span));
            Ok(())
        })?;
        Ok(state)
    }

    /// The streams of a query, by job, destination and probe.
    pub(crate) fn streams(
        &self,
        job: Option<JobId>,
        destinations: &[DestinationId],
        probe: impl Fn(ProbeKind) -> bool,
    ) -> impl Iterator<Item = &Stream> {
        // Keys begin with the job.
        let (low, high) = job.map_or((JobId(0), JobId(u32::MAX)), |job| (job, job));
        let low = StreamKey { job: low, destination: DestinationId(0), probe: ProbeKind::Ping };
        let high = StreamKey { job: high, destination: DestinationId(u32::MAX), probe: ProbeKind::Http };
        self.by_key
            .range(low..=high)
            .filter(move |(key, _)| destinations.is_empty() || destinations.contains(&key.destination))
            .filter(move |(key, _)| probe(key.probe))
            .map(|(_, number)| &self.streams[*number])
    }

    pub(crate) fn latest(&self, id: DestinationId) -> Option<DestinationLatest> {
        let state = &self.destinations[*self.by_id.get(&id)?];
        let probes = self.streams_of(id).filter_map(|stream| stream.tally.latest(stream.key)).collect();
        Some(state.latest(probes))
    }

    /// The keys of the streams of one probe, by job and destination; of all destinations if none is named.
    pub(crate) fn keys(&self, job: Option<JobId>, destinations: &[DestinationId], probe: ProbeKind) -> Vec<StreamKey> {
        self.streams(job, destinations, |of| of == probe).map(|stream| stream.key).collect()
    }

    /// A destination's streams, by key.
    pub(crate) fn streams_of(&self, id: DestinationId) -> impl Iterator<Item = &Stream> {
        let numbers = self.by_id.get(&id).map_or(&[][..], |owner| &self.destinations[*owner].streams);
        let mut streams: Vec<&Stream> = numbers.iter().map(|number| &self.streams[*number]).collect();
        streams.sort_unstable_by_key(|stream| stream.key);
        streams.into_iter()
    }

    /// All destinations of which anything was recorded, by id.
    pub(crate) fn ids(&self) -> impl Iterator<Item = DestinationId> {
        self.by_id.keys().copied()
    }

    pub(crate) fn stream(&self, key: StreamKey) -> Option<&Stream> {
        self.by_key.get(&key).map(|number| &self.streams[*number])
    }

    /// Rows that the store may not have yet, with keys in this range.
    pub(crate) fn unstored(&self, keys: Range<&[u8]>) -> impl Iterator<Item = (&Vec<u8>, &Vec<u8>)> {
        let bounds = (Bound::Included(keys.start), Bound::Excluded(keys.end));
        [&self.storing, &self.fresh].into_iter().flat_map(move |rows| rows.range::<[u8], _>(bounds))
    }

    pub(crate) fn latest_all(&self) -> Vec<DestinationLatest> {
        self.by_id.keys().filter_map(|id| self.latest(*id)).collect()
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let streams: usize = self.streams.iter().map(Stream::memory_bytes).sum();
        let destinations = self
            .destinations
            .iter()
            .map(|state| size_of::<DestinationState>() + state.recent.capacity() * 4 + state.streams.capacity() * 8);
        let trees = self.by_key.len() * (size_of::<StreamKey>() + 8) + self.by_id.len() * 12;
        streams + destinations.sum::<usize>() + trees
    }
}

fn destination_key(id: DestinationId) -> Vec<u8> {
    let mut key = vec![tag::DESTINATION];
    key.extend_from_slice(&id.0.to_be_bytes());
    key
}

/// The row of a change of a destination's status.
pub(crate) fn change_key(id: DestinationId, position: u64) -> Vec<u8> {
    let mut key = vec![tag::CHANGE];
    key.extend_from_slice(&id.0.to_be_bytes());
    key.extend_from_slice(&position.to_be_bytes());
    key
}

/// A destination's status changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) position: u64,
    /// The slot that changed it.
    pub(crate) at: i64,
    pub(crate) status: Status,
}

impl Change {
    fn encode(self) -> Vec<u8> {
        let mut row = vec![self.status as u8];
        bytes::put_signed(&mut row, self.at);
        row
    }

    pub(crate) fn decode(key: &[u8], row: &[u8]) -> Result<Self, Error> {
        let position = key.get(5..13).and_then(|position| position.try_into().ok());
        let position = u64::from_be_bytes(position.ok_or_else(|| damaged("a change's key"))?);
        let mut r = Reader(row);
        Ok(Self { position, status: destination_status(r.byte()?)?, at: r.signed()? })
    }
}

fn destination_status(code: u8) -> Result<Status, Error> {
    let all = [Status::Up, Status::Degraded, Status::Down, Status::Unknown];
    all.get(usize::from(code)).copied().ok_or_else(|| damaged("a status"))
}

/// Visits all rows of a family.
fn each(rows: &dyn RowReader, tag: u8, mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), Error>) -> Result<(), Error> {
    let mut outcome = Ok(());
    rows.scan(&[tag], &mut |key, row| {
        outcome = visit(key, row);
        outcome.is_ok()
    })?;
    outcome
}

impl DestinationState {
    /// How the newest sample went.
    pub(crate) fn show(&mut self, outcome: &Outcome, median: Option<u32>) {
        let is_counted = outcome.probe == ProbeKind::Ping && outcome.is_known();
        self.median = median;
        self.loss = is_counted.then_some((outcome.sent, outcome.received));
        self.ipdv = outcome.ipdv;
    }

    pub(crate) fn latest(&self, probes: Vec<ProbeLatest>) -> DestinationLatest {
        DestinationLatest {
            destination: self.id,
            status: self.status,
            since: Timestamp::from_millis(self.since),
            last_sample: self.last_sample.map(|(position, _)| Position(position)),
            last_at: self.last_sample.map(|(_, slot)| Timestamp::from_millis(slot)),
            leading: self.leading,
            response_time: self.median.map(netstats_event::Rtt::from_micros),
            loss_ratio: self.loss.and_then(|(sent, received)| {
                netstats_stats::Loss { sent: sent.into(), lost: sent.saturating_sub(received).into() }.ratio()
            }),
            #[expect(clippy::cast_precision_loss, reason = "a burst's sum stays far below 2^53")]
            jitter_ms: (self.ipdv.0 > 0).then(|| crate::row::round_millis(self.ipdv.1 as f64 / f64::from(self.ipdv.0))),
            recent: self.recent.iter().map(|median| (*median > 0).then_some(*median)).collect(),
            last_failure: self.last_failure.clone(),
            probes,
        }
    }

    pub(crate) const fn new(id: DestinationId) -> Self {
        Self {
            id,
            status: Status::Unknown,
            since: 0,
            last_sample: None,
            median: None,
            loss: None,
            ipdv: (0, 0),
            recent: VecDeque::new(),
            last_failure: None,
            leading: None,
            streams: Vec::new(),
            is_dirty: false,
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        let o = &mut out;
        o.extend_from_slice(&[self.status as u8, self.leading.map_or(0, |probe| probe as u8 + 1)]);
        bytes::put_signed(o, self.since);
        o.push(u8::from(self.last_sample.is_some()));
        let (position, slot) = self.last_sample.unwrap_or_default();
        bytes::put(o, position);
        bytes::put_signed(o, slot);
        bytes::put_option(o, self.median);
        o.push(u8::from(self.loss.is_some()));
        let (sent, received) = self.loss.unwrap_or_default();
        for number in [sent.into(), received.into(), self.ipdv.0.into(), self.ipdv.1] {
            bytes::put(o, number);
        }
        bytes::put(o, self.recent.len() as u64);
        let mut before = 0_i64;
        for median in &self.recent {
            bytes::put_signed(o, i64::from(*median) - before);
            before = i64::from(*median);
        }
        o.push(u8::from(self.last_failure.is_some()));
        if let Some(failure) = &self.last_failure {
            bytes::put(o, failure.position.0);
            bytes::put_signed(o, failure.at.as_millis());
            bytes::put(o, failure.job.0.into());
            o.extend_from_slice(&[failure.probe as u8, failure.reason as u8]);
            bytes::put_text(o, &failure.detail);
        }
        out
    }

    fn decode(id: DestinationId, row: &[u8]) -> Result<Self, Error> {
        let mut r = Reader(row);
        let status = destination_status(r.byte()?)?;
        let leading = match r.byte()? {
            0 => None,
            code => Some(*ProbeKind::ALL.get(usize::from(code) - 1).ok_or_else(|| damaged("a probe"))?),
        };
        let since = r.signed()?;
        let has_sample = r.byte()? == 1;
        let last_sample = Some((r.number()?, r.signed()?)).filter(|_| has_sample);
        let median = r.option()?;
        let has_loss = r.byte()? == 1;
        let loss = Some((r.small()?, r.small()?)).filter(|_| has_loss);
        let ipdv = (r.small()?, r.number()?);
        let mut before = 0_i64;
        let recent = (0..r.count(RECENT_MEDIANS)?)
            .map(|_| {
                before = before.wrapping_add(r.signed()?);
                u32::try_from(before).map_err(|_| damaged("a median"))
            })
            .collect::<Result<_, Error>>()?;
        let last_failure = if r.byte()? == 1 {
            Some(Failure {
                position: Position(r.number()?),
                at: Timestamp::from_millis(r.signed()?),
                job: JobId(r.small()?),
                probe: *ProbeKind::ALL.get(usize::from(r.byte()?)).ok_or_else(|| damaged("a probe"))?,
                reason: reason_from(r.byte()?)?,
                detail: r.text()?,
            })
        } else {
            None
        };
        Ok(Self {
            id,
            status,
            since,
            last_sample,
            median,
            loss,
            ipdv,
            recent,
            last_failure,
            leading,
            streams: Vec::new(),
            is_dirty: false,
        })
    }
}

fn reason_from(code: u8) -> Result<FailReason, Error> {
    let all = [
        FailReason::NotPermitted,
        FailReason::NameNotResolved,
        FailReason::NoRoute,
        FailReason::Socket,
        FailReason::BadOptions,
        FailReason::Denied,
        FailReason::Internal,
    ];
    all.into_iter().find(|reason| *reason as u8 == code).ok_or_else(|| damaged("a reason"))
}
