//! One suite that every engine passes: the same sentences, the same random histories.

use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use netstats_event::{ChainHash, Draft, Kind, MAX_PAYLOAD_BYTES, Position, Record, Timestamp};
use netstats_log::{Appended, ErrorKind, FjallLog, Head, Log, LogOptions, MemoryLog, ReadLimit, limits, verify};
use proptest::prelude::*;

/// An engine under test and, if it keeps anything, how to open it again.
trait Engine: Sized {
    type Log: Log;
    fn new() -> Self;
    fn open(&mut self) -> Arc<Self::Log>;
    /// Closes in order and opens again, or gives the same log where nothing survives.
    fn reopen(&mut self, log: Arc<Self::Log>) -> Arc<Self::Log>;
}

struct Memory;

impl Engine for Memory {
    type Log = MemoryLog;
    fn new() -> Self {
        Self
    }
    fn open(&mut self) -> Arc<MemoryLog> {
        Arc::new(MemoryLog::new())
    }
    fn reopen(&mut self, log: Arc<MemoryLog>) -> Arc<MemoryLog> {
        log
    }
}

struct Fjall {
    folder: tempfile::TempDir,
}

impl Fjall {
    fn path(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

impl Engine for Fjall {
    type Log = FjallLog;
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }
    fn open(&mut self) -> Arc<FjallLog> {
        // Epochs so short that the histories cross them.
        let options = LogOptions { epoch_events: 50, seals: false, ..LogOptions::default() };
        Arc::new(FjallLog::open_with(self.path(), options).unwrap())
    }
    fn reopen(&mut self, log: Arc<FjallLog>) -> Arc<FjallLog> {
        drop(log);
        self.open()
    }
}

/// The same, nearly all of it sealed: in the background while it is in use, and all but the newest epoch at a reopen.
struct Sealed(Fjall);

impl Engine for Sealed {
    type Log = FjallLog;
    fn new() -> Self {
        Self(Fjall::new())
    }
    fn open(&mut self) -> Arc<FjallLog> {
        let options = LogOptions { epoch_events: 15, ..LogOptions::default() };
        Arc::new(FjallLog::open_with(self.0.path(), options).unwrap())
    }
    fn reopen(&mut self, log: Arc<FjallLog>) -> Arc<FjallLog> {
        // A closed log seals nothing any more.
        if log.seal_now().is_ok() {
            assert_eq!(log.segments().last().map_or(Position(0), |(_, _, last)| *last).next(), log.tail());
        }
        drop(log);
        self.open()
    }
}

fn draft(size: usize, seed: u64) -> Draft {
    let payload = (0..size as u64).map(|i| (i.wrapping_mul(seed | 1) >> 3) as u8).collect();
    Draft { kind: Kind::PingMeasured.code(), version: 1, recorded_at: Timestamp::from_millis(seed as i64), payload }
}

fn config() -> Draft {
    Draft { kind: Kind::JobStarted.code(), ..draft(40, 1) }
}

/// What the log must hold after these batches.
fn expected(batches: &[Vec<Draft>]) -> Vec<Record> {
    let mut chain = ChainHash::default();
    (1..)
        .zip(batches.iter().flatten())
        .map(|(position, draft)| {
            let record = draft.clone().at(Position(position), chain);
            chain = record.chain;
            record
        })
        .collect()
}

fn read_all(log: &dyn Log, limit: ReadLimit) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    let mut next = log.first();
    while next < log.tail() {
        let part = log.read(next, limit).unwrap();
        assert!(!part.is_empty(), "a read before the tail answers at least one record");
        assert!(part.len() <= limit.records);
        next = part.last().unwrap().position.next();
        records.extend(part);
    }
    records
}

fn an_empty_log_begins_and_ends_at_one<E: Engine>() {
    let mut engine = E::new();
    let log = engine.open();
    assert_eq!((log.first(), log.tail(), log.head()), (Position(1), Position(1), Head::default()));
    assert_eq!(log.last_config(), Position::START);
    assert!(log.read(Position(1), ReadLimit::default()).unwrap().is_empty());
    assert!(log.get(&[]).unwrap().is_empty());
    assert!(verify(log.as_ref(), NonZero::new(2).unwrap()).unwrap().is_whole());
}

fn positions_are_gapless_and_the_chain_holds<E: Engine>() {
    let mut engine = E::new();
    let log = engine.open();
    let batches = vec![vec![draft(100, 1)], vec![config(), draft(0, 2), draft(3_000, 3)], vec![draft(447, 4); 120]];
    let mut next = 1;
    for batch in &batches {
        let appended = log.append(batch).unwrap();
        let last = next + batch.len() as u64 - 1;
        assert_eq!(appended, Appended { first: Position(next), last: Position(last) });
        next = last + 1;
    }
    let wanted = expected(&batches);
    assert_eq!(read_all(log.as_ref(), ReadLimit::default()), wanted);
    assert_eq!(log.head(), Head { last: 124, chain: wanted[123].chain });
    assert_eq!(log.last_config(), Position(2));
    let log = engine.reopen(log);
    assert_eq!(read_all(log.as_ref(), ReadLimit::default()), wanted);
    assert_eq!(log.head(), Head { last: 124, chain: wanted[123].chain });
    assert_eq!(log.last_config(), Position(2));
    let report = verify(log.as_ref(), NonZero::new(2).unwrap()).unwrap();
    assert!(report.is_whole());
    assert_eq!((report.records, report.head), (124, log.head()));
}

fn reads_outside_the_log_are_not_found<E: Engine>() {
    let mut engine = E::new();
    let log = engine.open();
    log.append(&[draft(10, 1), draft(10, 2)]).unwrap();
    assert!(log.read(Position(3), ReadLimit::default()).unwrap().is_empty(), "the tail is empty, not an error");
    assert_eq!(log.read(Position(4), ReadLimit::default()).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(log.read(Position(0), ReadLimit::default()).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(log.get(&[Position(1), Position(3)]).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(log.get(&[Position(0)]).unwrap_err().kind(), ErrorKind::NotFound);
}

fn a_read_keeps_its_limits_and_answers_one_record_at_least<E: Engine>() {
    let mut engine = E::new();
    let log = engine.open();
    let batch = vec![draft(1_000, 5); 20];
    log.append(&batch).unwrap();
    let length = log.read(Position(1), ReadLimit::default()).unwrap()[0].len();
    let read = |records, bytes| log.read(Position(1), ReadLimit { records, bytes }).unwrap().len();
    assert_eq!(read(0, 0), 1);
    assert_eq!(read(100, 1), 1);
    assert_eq!(read(7, usize::MAX), 7);
    assert_eq!(read(100, 3 * length), 3);
    assert_eq!(read(100, 3 * length + 1), 3);
    assert_eq!(read(usize::MAX, usize::MAX), 20);
}

fn what_no_engine_takes_is_invalid_and_changes_nothing<E: Engine>() {
    let mut engine = E::new();
    let log = engine.open();
    let refused = |batch: &[Draft]| log.append(batch).unwrap_err().kind();
    assert_eq!(refused(&[]), ErrorKind::Invalid);
    assert_eq!(refused(&[draft(1, 1), draft(MAX_PAYLOAD_BYTES + 1, 1)]), ErrorKind::Invalid);
    assert_eq!(refused(&vec![draft(1, 1); limits::MAX_BATCH_EVENTS + 1]), ErrorKind::Invalid);
    assert_eq!(refused(&vec![draft(MAX_PAYLOAD_BYTES, 1); 65]), ErrorKind::Invalid);
    assert_eq!(log.tail(), Position(1));
    log.append(&[draft(MAX_PAYLOAD_BYTES, 1)]).unwrap();
    assert_eq!(log.get(&[Position(1)]).unwrap()[0].payload.len(), MAX_PAYLOAD_BYTES);
}

fn waiting_ends_with_an_event_the_time_or_the_close<E: Engine>() {
    let mut engine = E::new();
    let log = engine.open();
    let long = Duration::from_secs(30);
    assert_eq!(log.wait(Position(0), Duration::from_millis(5)), Position(1));
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| log.wait(Position(0), long));
        log.append(&[draft(1, 1)]).unwrap();
        assert_eq!(waiter.join().unwrap(), Position(2));
    });
    assert_eq!(log.wait(Position(0), long), Position(2), "what is there is not waited for");
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| log.wait(Position(1), long));
        log.close();
        assert_eq!(waiter.join().unwrap(), Position(2));
    });
    assert_eq!(log.append(&[draft(1, 1)]).unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(log.read(Position(1), ReadLimit::default()).unwrap().len(), 1, "reads go on");
    log.close();
}

fn readers_follow_a_writer_without_gaps<E: Engine>() {
    let mut engine = E::new();
    let log = engine.open();
    let total = 600_u64;
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let (mut next, mut chain) = (Position(1), ChainHash::default());
                    while next.0 <= total {
                        let tail = log.wait(Position(next.0 - 1), Duration::from_secs(30));
                        assert!(tail > next, "the writer stopped at {tail}");
                        for record in log.read(next, ReadLimit { records: 37, ..ReadLimit::default() }).unwrap() {
                            assert_eq!(record.position, next);
                            assert!(record.position < tail.max(log.tail()));
                            record.verify_chain(chain).unwrap();
                            (next, chain) = (next.next(), record.chain);
                        }
                    }
                })
            })
            .collect();
        for first in (1..=total).step_by(5) {
            log.append(&(0..5).map(|i| draft(60 + 10 * i, first)).collect::<Vec<_>>()).unwrap();
        }
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
}

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<(usize, bool)>),
    Reopen,
    Get(Vec<prop::sample::Index>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let size = prop_oneof![8 => 0_usize..300, 2 => 300_usize..1_000, 1 => 1_000_usize..20_000];
    let append = prop::collection::vec((size, prop::bool::weighted(0.1)), 1..40).prop_map(Step::Append);
    let get = prop::collection::vec(any::<prop::sample::Index>(), 1..20).prop_map(Step::Get);
    prop::collection::vec(prop_oneof![6 => append, 2 => Just(Step::Reopen), 2 => get], 1..15)
}

/// Any history of appends, reopens and look-ups gives the records that the model gives.
fn any_history_is_what_the_model_says<E: Engine>(cases: u32) {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let result = runner.run(&(steps(), 1_usize..200, 1_usize..30_000), |(steps, records, bytes)| {
        let mut engine = E::new();
        let mut log = engine.open();
        let mut batches = Vec::new();
        let mut wanted = Vec::new();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Append(sizes) => {
                    let of = |(size, is_config): (usize, bool)| {
                        let kind = if is_config { Kind::JobAdded.code() } else { Kind::PingMeasured.code() };
                        Draft { kind, ..draft(size, number as u64 + 3) }
                    };
                    let batch: Vec<Draft> = sizes.into_iter().map(of).collect();
                    log.append(&batch).unwrap();
                    batches.push(batch);
                    wanted = expected(&batches);
                }
                Step::Reopen => log = engine.reopen(log),
                Step::Get(indices) if !wanted.is_empty() => {
                    let mut chosen: Vec<&Record> = indices.iter().map(|index| index.get(&wanted)).collect();
                    chosen.sort_by_key(|record| record.position);
                    chosen.dedup();
                    let positions: Vec<Position> = chosen.iter().map(|record| record.position).collect();
                    let got = log.get(&positions).unwrap();
                    prop_assert!(got.iter().eq(chosen));
                }
                Step::Get(_) => {}
            }
            let head =
                wanted.last().map_or_else(Head::default, |last| Head { last: last.position.0, chain: last.chain });
            prop_assert_eq!(log.head(), head);
            let config = wanted.iter().rev().find(|record| record.kind == Kind::JobAdded.code());
            prop_assert_eq!(log.last_config(), config.map_or(Position::START, |record| record.position));
        }
        let log = engine.reopen(log);
        prop_assert_eq!(read_all(log.as_ref(), ReadLimit { records, bytes }), wanted);
        prop_assert!(verify(log.as_ref(), NonZero::<usize>::MIN).unwrap().is_whole());
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

macro_rules! conformance {
    ($name:ident, $engine:ty, $cases:literal, [$($sentence:ident),* $(,)?]) => {
        mod $name {
            use super::*;

            $(#[test]
            fn $sentence() {
                super::$sentence::<$engine>();
            })*

            #[test]
            fn any_history_is_what_the_model_says() {
                super::any_history_is_what_the_model_says::<$engine>($cases);
            }
        }
    };
    ($($name:ident: $engine:ty, $cases:literal;)*) => {
        $(conformance!($name, $engine, $cases, [
            an_empty_log_begins_and_ends_at_one,
            positions_are_gapless_and_the_chain_holds,
            reads_outside_the_log_are_not_found,
            a_read_keeps_its_limits_and_answers_one_record_at_least,
            what_no_engine_takes_is_invalid_and_changes_nothing,
            waiting_ends_with_an_event_the_time_or_the_close,
            readers_follow_a_writer_without_gaps,
        ]);)*
    };
}

conformance! {
    memory: Memory, 256;
    fjall: Fjall, 24;
    sealed: Sealed, 12;
}
