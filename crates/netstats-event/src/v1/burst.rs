//! Ping bursts, version 1, as columns. The list of columns is for ever, as the payload is.
//!
//! ```text
//!  0  slot, upper 32 bits of its milliseconds      15  duplicates
//!  1  slot, lower 32 bits                          16  reordered
//!  2  lateness_us                                  17  bad_replies
//!  3  flags                                        18  packets of the burst
//!  4  address: family                              19  state of each packet
//!  5..9  address: four words, big-endian           20  rtt_us of each reply and late reply
//!  9  transport                                    21  errno of each packet not sent
//! 10  clock                                        22  ICMP type of each error
//! 11  payload_bytes                                23  ICMP code of each error
//! 12  spacing_ms                                   24  family of each error's address; 0: none
//! 13  timeout_ms                                   25..29  its four words
//! 14  ttl + 1; 0: none
//! ```
//! Columns 0 to 18 have one number for each burst.

use super::common::{address, head};
use super::sample::{self, ErrorParts, PingMeasuredV1};
use super::{VERSION, Wire, codes::Code, to_bytes};
use crate::columns::GrowingColumn;
use crate::{ClockSource, Column, DestinationId, JobId, Kind, MAX_BURST_PACKETS, PingMeasured, Transport};

/// Columns with one number for each burst.
const FIXED: usize = 19;
const SLOT_HIGH: usize = 0;
const SLOT_LOW: usize = 1;
const LATENESS: usize = 2;
const FAMILY: usize = 4;
const SPACING: usize = 12;
const TIMEOUT: usize = 13;
const PACKETS: usize = 18;
const STATES: usize = 19;
const RTTS: usize = 20;
const ERRNOS: usize = 21;
const ERROR_TYPE: usize = 22;
const ERROR_CODE: usize = 23;
const ERROR_FAMILY: usize = 24;
const COLUMNS: usize = 29;

pub(crate) const fn has_columns(kind: u16, version: u16) -> bool {
    kind == Kind::PingMeasured.code() && version == VERSION
}

/// Bursts on their way into columns.
#[derive(Clone, Debug)]
pub(crate) struct BurstWriter {
    series: Option<(u32, u32)>,
    columns: Vec<GrowingColumn>,
    last_end_ms: i64,
}

impl Default for BurstWriter {
    fn default() -> Self {
        Self { series: None, columns: vec![GrowingColumn::default(); COLUMNS], last_end_ms: 0 }
    }
}

impl BurstWriter {
    pub(crate) fn push(&mut self, payload: &[u8]) -> bool {
        let Ok(burst) = sample::read_ping(payload) else { return false };
        let series = (burst.head.job.0, burst.head.destination.0);
        let wire = PingMeasuredV1::from_event(&burst);
        if self.series.is_some_and(|of| of != series)
            || burst.echoes.len() > MAX_BURST_PACKETS
            || to_bytes(&wire) != payload
        {
            return false;
        }
        self.series = Some(series);
        self.last_end_ms = end_ms(
            wire.head.slot_at_ms,
            wire.head.lateness_us,
            wire.spacing_ms,
            wire.timeout_ms,
            wire.states.len(),
            last_rtt_us(&wire),
        );
        self.take(&wire);
        true
    }

    fn take(&mut self, wire: &PingMeasuredV1) {
        let slot = wire.head.slot_at_ms.cast_unsigned();
        #[expect(clippy::cast_possible_truncation, reason = "the two halves of a number, and a bounded count")]
        let (high, low, packets) = ((slot >> 32) as u32, slot as u32, wire.states.len() as u32);
        let [a, b, c, d] = words(wire.address.bytes);
        let fixed: [u32; FIXED] = [
            high,
            low,
            wire.head.lateness_us,
            wire.head.flags.into(),
            wire.address.family.into(),
            a,
            b,
            c,
            d,
            wire.transport.into(),
            wire.clock.into(),
            wire.payload_bytes.into(),
            wire.spacing_ms,
            wire.timeout_ms,
            wire.ttl.map_or(0, |ttl| u32::from(ttl) + 1),
            wire.duplicates.into(),
            wire.reordered.into(),
            wire.bad_replies.into(),
            packets,
        ];
        self.columns.iter_mut().zip(fixed).for_each(|(column, number)| column.push(number));
        self.columns[STATES].extend(wire.states.iter().map(|state| u32::from(*state)));
        self.columns[RTTS].extend(wire.rtts_us.iter().copied());
        self.columns[ERRNOS].extend(wire.errnos.iter().map(|errno| errno.cast_unsigned()));
        for error in &wire.errors {
            let (family, bytes) = error.from.as_ref().map_or((0, [0; 16]), |from| (from.family, from.bytes));
            let [a, b, c, d] = words(bytes);
            let numbers = [error.icmp_type.into(), error.icmp_code.into(), family.into(), a, b, c, d];
            self.columns[ERROR_TYPE..].iter_mut().zip(numbers).for_each(|(column, number)| column.push(number));
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.columns[SLOT_LOW].len()
    }

    /// Numbers of the longest column: of the packets' states, or one for each burst.
    pub(crate) fn values(&self) -> usize {
        self.columns[STATES].len().max(self.rows())
    }

    pub(crate) fn columns(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().map(|growing| &growing.column)
    }

    pub(crate) const fn last_end_ms(&self) -> i64 {
        self.last_end_ms
    }
}

/// Where a burst begins in the columns that have no fixed length.
#[derive(Clone, Copy, Debug, Default)]
struct Start {
    states: u32,
    rtts: u32,
    errnos: u32,
    errors: u32,
}

/// Bursts in columns.
#[derive(Clone, Debug)]
pub(crate) struct Bursts {
    job: JobId,
    destination: DestinationId,
    columns: Vec<Column>,
    /// One more than there are bursts.
    starts: Vec<Start>,
}

impl Bursts {
    pub(crate) fn read(
        (job, destination): (JobId, DestinationId),
        rows: usize,
        most: usize,
        next: &mut dyn FnMut(usize) -> Option<Column>,
    ) -> Option<Self> {
        (rows <= most).then_some(())?;
        let mut columns = (0..FIXED).map(|_| next(rows)).collect::<Option<Vec<Column>>>()?;
        let packets = |row| usize::try_from(columns[PACKETS].at(row)).ok().filter(|n| *n <= MAX_BURST_PACKETS);
        let states = (0..rows).try_fold(0_usize, |sum, row| Some(sum + packets(row)?).filter(|sum| *sum <= most))?;
        columns.push(next(states)?);
        let mut starts = Vec::with_capacity(rows + 1);
        let mut at = Start::default();
        for row in 0..rows {
            starts.push(at);
            for _ in 0..columns[PACKETS].at(row) {
                match sample::echo_column(columns[STATES].at(at.states as usize))? {
                    Some(RTTS_OF) => at.rtts += 1,
                    Some(ERRNOS_OF) => at.errnos += 1,
                    Some(_) => at.errors += 1,
                    None => {}
                }
                at.states += 1;
            }
        }
        starts.push(at);
        columns.push(next(at.rtts as usize)?);
        columns.push(next(at.errnos as usize)?);
        for _ in ERROR_TYPE..COLUMNS {
            columns.push(next(at.errors as usize)?);
        }
        Some(Self { job, destination, columns, starts })
    }

    pub(crate) fn event(&self, row: usize) -> Option<PingMeasured> {
        let (at, end) = (*self.starts.get(row)?, *self.starts.get(row + 1)?);
        let of = |column: usize| self.columns[column].at(row);
        let byte = |column: usize| u8::try_from(of(column)).ok();
        let short = |column: usize| u16::try_from(of(column)).ok();
        let range = |column: usize, from: u32, to: u32| (from..to).map(move |i| self.columns[column].at(i as usize));
        let error = |i: u32| -> Option<ErrorParts> {
            let number = |column: usize| self.columns[column].at(i as usize);
            let byte = |column: usize| u8::try_from(number(column)).ok();
            let from = match byte(ERROR_FAMILY)? {
                0 => None,
                family => Some((family, bytes([1, 2, 3, 4].map(|word| number(ERROR_FAMILY + word))))),
            };
            Some((byte(ERROR_TYPE)?, byte(ERROR_CODE)?, from))
        };
        let errors = (at.errors..end.errors).map(error).collect::<Option<Vec<_>>>()?;
        let echoes = sample::echoes(
            // Checked when the columns were put together: a state is a small number.
            (at.states..end.states).map(|i| u8::try_from(self.columns[STATES].at(i as usize)).unwrap_or(u8::MAX)),
            range(RTTS, at.rtts, end.rtts),
            range(ERRNOS, at.errnos, end.errnos).map(u32::cast_signed),
            errors.into_iter(),
        );
        Some(PingMeasured {
            head: head(self.job.0, self.destination.0, self.slot_at_ms(row), of(LATENESS), byte(3)?),
            address: address(byte(FAMILY)?, bytes([5, 6, 7, 8].map(of))).ok()?,
            transport: Transport::from_code(byte(9)?).ok()?,
            clock: ClockSource::from_code(byte(10)?).ok()?,
            payload_bytes: short(11)?,
            spacing_ms: of(SPACING),
            timeout_ms: of(TIMEOUT),
            echoes: echoes.ok()?,
            ttl: of(14).checked_sub(1).map(|ttl| u8::try_from(ttl).ok()).map_or(Some(None), |ttl| ttl.map(Some))?,
            duplicates: short(15)?,
            reordered: short(16)?,
            bad_replies: short(17)?,
        })
    }

    pub(crate) fn payload(&self, row: usize) -> Option<Vec<u8>> {
        self.event(row).map(|burst| to_bytes(&PingMeasuredV1::from_event(&burst)))
    }

    pub(crate) fn slot_at_ms(&self, row: usize) -> i64 {
        (u64::from(self.columns[SLOT_HIGH].at(row)) << 32 | u64::from(self.columns[SLOT_LOW].at(row))).cast_signed()
    }

    pub(crate) fn end_ms(&self, row: usize) -> i64 {
        let Some((at, end)) = self.starts.get(row).zip(self.starts.get(row + 1)) else { return 0 };
        let of = |column: usize| self.columns[column].at(row);
        let is_answered = end.states > at.states
            && sample::echo_column(self.columns[STATES].at(end.states as usize - 1)) == Some(Some(RTTS_OF));
        let last = is_answered.then(|| self.columns[RTTS].at(end.rtts as usize - 1));
        end_ms(self.slot_at_ms(row), of(LATENESS), of(SPACING), of(TIMEOUT), of(PACKETS) as usize, last)
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        let columns: usize = self.columns.iter().map(|column| size_of::<Column>() + column.heap_bytes()).sum();
        columns + self.starts.capacity() * size_of::<Start>()
    }
}

/// Columns that a packet's state asks for a number of.
pub(super) const RTTS_OF: usize = RTTS;
pub(super) const ERRNOS_OF: usize = ERRNOS;
pub(super) const ERRORS_OF: usize = ERROR_TYPE;

/// When a burst was over, by its own plan: the last packet's answer, or its timeout.
fn end_ms(slot_ms: i64, lateness_us: u32, spacing_ms: u32, timeout_ms: u32, packets: usize, last: Option<u32>) -> i64 {
    let sent = i64::from(spacing_ms) * i64::try_from(packets.saturating_sub(1)).unwrap_or(0);
    let micros = i64::from(lateness_us) + i64::from(last.unwrap_or(0));
    let timeout = if last.is_none() { i64::from(timeout_ms) } else { 0 };
    slot_ms.wrapping_add(sent).wrapping_add(micros / 1_000).wrapping_add(timeout)
}

/// The round trip of the last packet, if it was answered.
fn last_rtt_us(wire: &PingMeasuredV1) -> Option<u32> {
    let state = wire.states.last()?;
    let is_answered = sample::echo_column(u32::from(*state)) == Some(Some(RTTS_OF));
    wire.rtts_us.last().copied().filter(|_| is_answered)
}

fn words(bytes: [u8; 16]) -> [u32; 4] {
    std::array::from_fn(|i| u32::from_be_bytes(std::array::from_fn(|j| bytes[4 * i + j])))
}

fn bytes(words: [u32; 4]) -> [u8; 16] {
    std::array::from_fn(|i| words[i / 4].to_be_bytes()[i % 4])
}
