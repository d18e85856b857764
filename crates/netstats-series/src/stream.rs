//! What is kept of one stream: all outcomes of one probe of one job on one destination.

use netstats_event::{DestinationId, JobId, Position, ProbeKind, Rtt, TimesSummary, Timestamp};
use netstats_projector::Error;

use crate::bucket::{Bucket, DAY_MS, HOUR_MS, OpenBucket, PackedBucket};
use crate::bytes::{self, Reader, damaged};
use crate::limits::DIRECTORY_CHUNK;
use crate::outcome::{Outcome, Verdict};
use crate::page::{self, Closed, Page, Span};
use crate::{ProbeLatest, RowStatus, Status};

/// Which stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct StreamKey {
    pub(crate) job: JobId,
    pub(crate) destination: DestinationId,
    pub(crate) probe: ProbeKind,
}

/// The families of rows, by the first byte of their keys.
pub(crate) mod tag {
    /// The view's own: position, uplink.
    pub(crate) const META: u8 = b'm';
    /// A destination's latest.
    pub(crate) const DESTINATION: u8 = b'd';
    /// A stream's state, with the page and the buckets being filled.
    pub(crate) const STREAM: u8 = b's';
    /// A closed page.
    pub(crate) const PAGE: u8 = b'i';
    /// The spans of up to [`crate::DIRECTORY_CHUNK`] closed pages.
    pub(crate) const DIRECTORY: u8 = b'k';
    /// A closed hour.
    pub(crate) const HOUR: u8 = b'h';
    /// A closed day.
    pub(crate) const DAY: u8 = b'y';
    /// A change of a destination's status.
    pub(crate) const CHANGE: u8 = b'o';
    /// Slots of a stream were left out, for the first time since its last outcome.
    pub(crate) const SUPPRESSED: u8 = b'u';
}

impl StreamKey {
    /// The front of the stream's rows of one family.
    pub(crate) fn row(self, tag: u8) -> Vec<u8> {
        let mut key = Vec::with_capacity(24);
        key.push(tag);
        key.extend_from_slice(&self.job.0.to_be_bytes());
        key.extend_from_slice(&self.destination.0.to_be_bytes());
        key.push(self.probe as u8);
        key
    }

    /// A numbered row of the stream.
    pub(crate) fn numbered(self, tag: u8, number: u32) -> Vec<u8> {
        let mut key = self.row(tag);
        key.extend_from_slice(&number.to_be_bytes());
        key
    }

    /// The row of a closed bucket.
    pub(crate) fn bucket(self, tag: u8, number: i64, first: u64) -> Vec<u8> {
        let mut key = self.numbered(tag, ordered(number));
        key.extend_from_slice(&first.to_be_bytes());
        key
    }

    /// A row of something that happened to the stream at a position.
    pub(crate) fn at(self, tag: u8, position: u64) -> Vec<u8> {
        let mut key = self.row(tag);
        key.extend_from_slice(&position.to_be_bytes());
        key
    }

    /// Traceroute and bandwidth say nothing of whether a destination does well.
    pub(crate) const fn has_a_say(self) -> bool {
        !matches!(self.probe, ProbeKind::Traceroute | ProbeKind::Bandwidth)
    }

    pub(crate) fn parse(key: &[u8]) -> Option<Self> {
        let (job, rest) = key.get(1..)?.split_first_chunk()?;
        let (destination, rest) = rest.split_first_chunk()?;
        let probe = *ProbeKind::ALL.get(usize::from(*rest.first()?))?;
        Some(Self {
            job: JobId(u32::from_be_bytes(*job)),
            destination: DestinationId(u32::from_be_bytes(*destination)),
            probe,
        })
    }
}

/// A bucket's number such that keys sort by time, before 1970 too.
pub(crate) fn ordered(number: i64) -> u32 {
    u32::try_from(number.saturating_add(1 << 31).clamp(0, u32::MAX.into())).unwrap_or(u32::MAX)
}

/// The newest outcome of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Last {
    pub(crate) position: u64,
    pub(crate) slot: i64,
    pub(crate) status: RowStatus,
    pub(crate) is_known: bool,
    pub(crate) median: Option<u32>,
    pub(crate) sent: u32,
    pub(crate) received: u32,
    pub(crate) ipdv: (u32, u64),
}

impl Last {
    pub(crate) fn loss_ratio(&self) -> Option<f64> {
        let loss =
            netstats_stats::Loss { sent: self.sent.into(), lost: self.sent.saturating_sub(self.received).into() };
        loss.ratio().filter(|_| self.is_known)
    }

    pub(crate) fn jitter_ms(&self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "a burst's sum stays far below 2^53")]
        (self.ipdv.0 > 0).then(|| crate::row::round_millis(self.ipdv.1 as f64 / f64::from(self.ipdv.0)))
    }
}

/// What the outcomes of a stream say of its destination, up to one of them: a fold of its own, small, so that it can
/// be kept at the head of each page and taken up there for any moment of the past.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// None until the first outcome.
    pub(crate) last: Option<Last>,
    /// The newest sample: position and slot.
    pub(crate) last_sample: Option<(u64, i64)>,
    /// The position of the newest slot that failed on our side.
    pub(crate) last_failure: Option<u64>,
    pub(crate) samples: u64,
    /// The last three verdicts that say something, the newest in the lowest 3 bits.
    verdicts: u16,
    /// Slots left out because our own network was down, after the last outcome.
    pub(crate) is_suppressed: bool,
    pub(crate) failed_in_a_row: u32,
    failing_since: i64,
    /// From the slot before to the last one.
    pub(crate) interval_ms: i64,
}

impl Tally {
    /// Takes the next outcome.
    pub(crate) fn add(&mut self, position: u64, outcome: &Outcome, median: Option<u32>) {
        let slot = outcome.head.slot_at.as_millis();
        if let Some(last) = &self.last {
            self.interval_ms = slot.saturating_sub(last.slot).max(0);
        }
        self.is_suppressed = false;
        if outcome.is_sample {
            self.samples += 1;
            self.failed_in_a_row = 0;
            self.last_sample = Some((position, slot));
        } else {
            if self.failed_in_a_row == 0 {
                self.failing_since = slot;
            }
            self.failed_in_a_row = self.failed_in_a_row.saturating_add(1);
            self.last_failure = Some(position);
        }
        if outcome.is_known() {
            self.verdicts = (self.verdicts << 3 | outcome.verdict as u16) & 0o777;
        }
        self.last = Some(Last {
            position,
            slot,
            status: outcome.status,
            is_known: outcome.is_known(),
            median,
            sent: outcome.sent,
            received: outcome.received,
            ipdv: outcome.ipdv,
        });
    }

    /// What the stream says of its destination. The rule, with the outcomes that say something (failures on our side do
    /// not):
    ///
    /// - *unknown*: the newest outcome says nothing, or slots were left out since because our own network was down;
    /// - *down*: the newest got no answer, and so did the one before, or it was a burst of three packets or more;
    /// - *degraded*: one of the last three lost something, was late or not as expected;
    /// - *up*: otherwise.
    pub(crate) fn status(&self) -> Status {
        if self.is_suppressed || self.last.is_none_or(|last| !last.is_known) {
            return Status::Unknown;
        }
        let past = [self.verdicts & 7, self.verdicts >> 3 & 7, self.verdicts >> 6 & 7];
        let silent = |verdict: u16| verdict == Verdict::Bad as u16 || verdict == Verdict::Dead as u16;
        if past[0] == Verdict::Dead as u16 || (silent(past[0]) && silent(past[1])) {
            Status::Down
        } else if past.iter().any(|verdict| *verdict > Verdict::Good as u16) {
            Status::Degraded
        } else {
            Status::Up
        }
    }

    pub(crate) fn latest(&self, key: StreamKey) -> Option<ProbeLatest> {
        let last = self.last?;
        Some(ProbeLatest {
            job: key.job,
            destination: key.destination,
            probe: key.probe,
            position: Position(last.position),
            slot_at: Timestamp::from_millis(last.slot),
            row_status: last.status,
            status: if key.has_a_say() { self.status() } else { Status::Unknown },
            response_time: last.median.map(Rtt::from_micros),
            loss_ratio: last.loss_ratio().filter(|_| key.probe == ProbeKind::Ping),
            jitter_ms: last.jitter_ms(),
            samples: self.samples,
            failed_in_a_row: self.failed_in_a_row,
            failing_since: (self.failed_in_a_row > 0).then(|| Timestamp::from_millis(self.failing_since)),
        })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.last.is_some()));
        // Positions and slots are near each other: told as distances.
        let (mut position, mut slot) = (0, 0);
        if let Some(last) = &self.last {
            (position, slot) = (last.position, last.slot);
            bytes::put(out, last.position);
            bytes::put_signed(out, last.slot);
            out.extend_from_slice(&[last.status as u8, u8::from(last.is_known)]);
            bytes::put_option(out, last.median);
            bytes::put(out, last.sent.into());
            bytes::put(out, last.sent.wrapping_sub(last.received).into());
            bytes::put(out, last.ipdv.0.into());
            bytes::put(out, last.ipdv.1);
        }
        out.push(u8::from(self.last_sample.is_some()) | u8::from(self.last_failure.is_some()) << 1);
        if let Some(sample) = self.last_sample {
            bytes::put(out, position.wrapping_sub(sample.0));
            bytes::put_signed(out, slot.wrapping_sub(sample.1));
        }
        if let Some(failure) = self.last_failure {
            bytes::put(out, position.wrapping_sub(failure));
        }
        bytes::put(out, self.samples);
        bytes::put(out, self.verdicts.into());
        out.push(u8::from(self.is_suppressed));
        bytes::put(out, self.failed_in_a_row.into());
        if self.failed_in_a_row > 0 {
            bytes::put_signed(out, self.failing_since);
        }
        bytes::put_signed(out, self.interval_ms);
    }

    pub(crate) fn decode(r: &mut Reader<'_>) -> Result<Self, Error> {
        let last = if r.byte()? == 1 {
            let (position, slot) = (r.number()?, r.signed()?);
            let (status, is_known) = (status_from(r.byte()?)?, r.byte()? == 1);
            let (median, sent) = (r.option()?, r.small()?);
            let received = sent.wrapping_sub(r.small()?);
            Some(Last { position, slot, status, is_known, median, sent, received, ipdv: (r.small()?, r.number()?) })
        } else {
            None
        };
        let (position, slot) = last.map_or((0, 0), |last| (last.position, last.slot));
        let has = r.byte()?;
        let last_sample = if has & 1 == 1 {
            Some((position.wrapping_sub(r.number()?), slot.wrapping_sub(r.signed()?)))
        } else {
            None
        };
        let last_failure = if has & 2 == 2 { Some(position.wrapping_sub(r.number()?)) } else { None };
        let samples = r.number()?;
        let verdicts = u16::try_from(r.small()?).map_err(|_| damaged("verdicts"))?;
        let (is_suppressed, failed_in_a_row) = (r.byte()? == 1, r.small()?);
        let failing_since = if failed_in_a_row > 0 { r.signed()? } else { 0 };
        let interval_ms = r.signed()?;
        Ok(Self {
            last,
            last_sample,
            last_failure,
            samples,
            verdicts,
            is_suppressed,
            failed_in_a_row,
            failing_since,
            interval_ms,
        })
    }
}

/// One stream.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) key: StreamKey,
    /// Its destination's number.
    pub(crate) owner: usize,
    pub(crate) tally: Tally,
    pub(crate) page: Page,
    /// The tally before the page's first outcome, as [`Tally::encode`] writes it: it will not change.
    pub(crate) page_tally: Box<[u8]>,
    /// The spans of closed pages.
    pub(crate) closed: Closed,
    pub(crate) hour: Option<OpenBucket>,
    pub(crate) day: Option<PackedBucket>,
    pub(crate) is_dirty: bool,
}

impl Stream {
    pub(crate) fn new(key: StreamKey, owner: usize) -> Self {
        Self {
            key,
            owner,
            tally: Tally::default(),
            page: Page::EMPTY,
            page_tally: Box::default(),
            closed: Closed::default(),
            hour: None,
            day: None,
            is_dirty: false,
        }
    }

    /// Takes an outcome; rows that will not change any more go to `rows`.
    pub(crate) fn add(
        &mut self,
        position: u64,
        outcome: &Outcome,
        times: &[u32],
        median: Option<u32>,
        rows: &mut impl FnMut(Vec<u8>, Vec<u8>),
    ) {
        let slot = outcome.head.slot_at.as_millis();
        if self.page.is_full() {
            self.close_page(rows);
        }
        if self.page.span().is_none() {
            let mut tally = Vec::new();
            self.tally.encode(&mut tally);
            self.page_tally = tally.into_boxed_slice();
        }
        self.page.push((slot, position));
        self.tally.add(position, outcome, median);

        let number = slot.div_euclid(HOUR_MS);
        if let Some(closed) = self.hour.take_if(|hour| hour.number != number) {
            self.close_hour(&closed, rows);
        }
        self.hour.get_or_insert_with(|| OpenBucket::new(number, position)).sums.add(outcome, times);
        self.is_dirty = true;
    }

    /// Takes the times of its open hour that are only known as sums any more.
    pub(crate) fn add_summarised(&mut self, times: &TimesSummary) {
        if let Some(hour) = &mut self.hour {
            hour.sums.add_summarised(times);
        }
    }

    /// Slots were left out because our own network was down: nothing is known until the next outcome.
    pub(crate) fn suppress(&mut self, position: u64, rows: &mut impl FnMut(Vec<u8>, Vec<u8>)) {
        if !self.tally.is_suppressed {
            rows(self.key.at(tag::SUPPRESSED, position), Vec::new());
        }
        self.tally.is_suppressed = true;
        self.is_dirty = true;
    }

    fn close_page(&mut self, rows: &mut impl FnMut(Vec<u8>, Vec<u8>)) {
        let page = std::mem::take(&mut self.page);
        let Some(span) = page.span() else { return };
        let mut row = Vec::new();
        page.encode(&mut row);
        row.extend_from_slice(&self.page_tally);
        rows(self.key.numbered(tag::PAGE, number(self.closed.len())), row);
        self.closed.push(span);
        let chunk = (self.closed.len() - 1) / DIRECTORY_CHUNK;
        let spans = page::encode_spans(&self.closed[chunk * DIRECTORY_CHUNK..]);
        rows(self.key.numbered(tag::DIRECTORY, number(chunk)), spans);
    }

    /// How many of its pages began at `position` or before: the last of them may go on after it.
    pub(crate) fn pages_begun(&self, position: u64) -> usize {
        let closed = self.closed.partition_point(|span| span.position <= position);
        let open = self.page.span().is_some_and(|span| span.position <= position);
        closed + usize::from(open)
    }

    fn close_hour(&mut self, hour: &OpenBucket, rows: &mut impl FnMut(Vec<u8>, Vec<u8>)) {
        let mut row = Vec::new();
        hour.sums.encode(&mut row);
        rows(self.key.bucket(tag::HOUR, hour.number, hour.first), row);
        let number = hour.number.div_euclid(DAY_MS / HOUR_MS);
        if let Some(closed) = self.day.take_if(|day| day.number != number) {
            rows(self.key.bucket(tag::DAY, closed.number, closed.first), closed.bytes.into_vec());
        }
        self.day = Some(match &self.day {
            None => PackedBucket::new(number, hour.first, &hour.sums),
            Some(day) => {
                // We packed it, or checked it when it was loaded.
                let mut sums = day.sums().unwrap_or_default();
                sums.merge(&hour.sums);
                PackedBucket::new(number, day.first, &sums)
            }
        });
    }

    /// Heap and own bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        let buckets = self.hour.as_ref().map_or(0, |hour| hour.sums.heap_bytes())
            + self.day.as_ref().map_or(0, |day| day.bytes.len());
        size_of::<Self>()
            + self.page.heap_bytes()
            + self.page_tally.len()
            + self.closed.len() * size_of::<Span>()
            + buckets
    }

    /// The stream as a row; without the closed pages, which have rows of their own.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        let o = &mut out;
        self.tally.encode(o);
        bytes::put(o, self.page_tally.len() as u64);
        o.extend_from_slice(&self.page_tally);
        self.page.encode(o);
        o.push(u8::from(self.hour.is_some()));
        if let Some(hour) = &self.hour {
            bytes::put_signed(o, hour.number);
            bytes::put(o, hour.first);
            hour.sums.encode(o);
        }
        o.push(u8::from(self.day.is_some()));
        if let Some(day) = &self.day {
            bytes::put_signed(o, day.number);
            bytes::put(o, day.first);
            o.extend_from_slice(&day.bytes);
        }
        out
    }

    pub(crate) fn decode(key: StreamKey, owner: usize, row: &[u8]) -> Result<Self, Error> {
        let mut r = Reader(row);
        let tally = Tally::decode(&mut r)?;
        let n = r.count(row.len())?;
        let page_tally = r.take(n)?.into();
        let mut stream = Self { tally, page_tally, page: Page::decode(&mut r)?, ..Self::new(key, owner) };
        if r.byte()? == 1 {
            let (number, first) = (r.signed()?, r.number()?);
            stream.hour = Some(OpenBucket { number, first, sums: Bucket::decode(&mut r)? });
        }
        if r.byte()? == 1 {
            let (number, first) = (r.signed()?, r.number()?);
            stream.day = Some(PackedBucket::new(number, first, &Bucket::decode(&mut r)?));
        }
        Ok(stream)
    }
}

fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

pub(crate) fn status_from(code: u8) -> Result<RowStatus, Error> {
    RowStatus::ALL.get(usize::from(code)).copied().ok_or_else(|| damaged("a status"))
}
