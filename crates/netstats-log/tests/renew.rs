//! A running log does not keep what is sealed in its store's journals, too.

use std::num::NonZero;
use std::path::Path;
use std::time::Duration;

use netstats_event::{Draft, Position, Timestamp};
use netstats_log::limits::WORN_JOURNAL_BYTES;
use netstats_log::{FjallLog, GuardedLog, Log, LogOptions, ReadLimit, SpaceFloor, verify};

const EVENTS: u64 = 120_000;
const BATCH: u64 = 500;

/// Bytes that the journals hold, without the zeros behind.
fn journal_bytes(folder: &Path) -> u64 {
    let used = |path: &Path| {
        let bytes = std::fs::read(path).unwrap_or_default();
        bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1)
    };
    let entries = std::fs::read_dir(folder.join("fjall")).unwrap().flatten().map(|entry| entry.path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "jnl")).map(|path| used(&path)).sum()
}

fn draft(number: u64) -> Draft {
    let payload = (0..120).map(|i: u64| (number.wrapping_mul(31) + i * 7) as u8).collect();
    let at = i64::try_from(number).unwrap();
    Draft { kind: 301, version: 9, recorded_at: Timestamp::from_millis(1_795_000_000_000 + at), payload }
}

#[test]
fn a_running_log_begins_its_journal_anew_after_a_sealing_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let options = LogOptions { epoch_events: 50_000, ..LogOptions::default() };
    let floor = SpaceFloor { bytes: Some(0) };
    let log = GuardedLog::open(folder.path(), options, floor, Duration::from_millis(5)).unwrap();
    let batch = |first: u64| (first..first + BATCH).map(draft).collect::<Vec<_>>();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut next = Position(1);
            while next.0 <= EVENTS {
                let _ = log.wait(Position(next.0 - 1), Duration::from_secs(60));
                let records = log.read(next, ReadLimit::default()).unwrap();
                records.iter().for_each(|record| assert_eq!(record.payload, draft(record.position.0).payload));
                next = Position(next.0 + records.len() as u64);
            }
        });
        for first in (1..=EVENTS).step_by(BATCH as usize) {
            assert_eq!(log.append(&batch(first)).unwrap().first, Position(first), "an append waits, and does not fail");
        }
        reader.join().unwrap();
    });
    // The last epochs are sealed in the background; appends go on, one now and then.
    let mut next = EVENTS + 1;
    for _ in 0..1_200 {
        if log.segment_infos().unwrap().len() >= 2 && journal_bytes(folder.path()) < WORN_JOURNAL_BYTES {
            break;
        }
        log.append(&batch(next)).unwrap();
        next += BATCH;
        let _ = log.wait(Position(next), Duration::from_millis(50));
    }
    let bytes = journal_bytes(folder.path());
    assert!(bytes < 2 * WORN_JOURNAL_BYTES, "{bytes} bytes of journals");
    assert!(verify(&log, NonZero::<usize>::MIN).unwrap().is_whole());
    drop(log);
    let log = FjallLog::open(folder.path()).unwrap();
    assert_eq!(log.head().last, next - 1);
    assert!(verify(&log, NonZero::<usize>::MIN).unwrap().is_whole());
}

#[test]
fn a_long_journal_is_begun_anew_at_a_start_in_order_and_kept_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let options = LogOptions { seals: false, ..LogOptions::default() };
    let mut next = 1;
    let mut append = |log: &FjallLog, batches: u64| {
        for _ in 0..batches {
            log.append(&(next..next + BATCH).map(draft).collect::<Vec<_>>()).unwrap();
            next += BATCH;
        }
        next - 1
    };
    let log = FjallLog::open_with(folder.path(), options).unwrap();
    append(&log, 120);
    drop(log);
    assert!(journal_bytes(folder.path()) > WORN_JOURNAL_BYTES);
    for round in 0..3 {
        let log = FjallLog::open_with(folder.path(), options).unwrap();
        let last = append(&log, 1);
        assert_eq!(log.head().last, last);
        assert!(verify(&log, NonZero::<usize>::MIN).unwrap().is_whole(), "round {round}");
        drop(log);
    }
    assert!(journal_bytes(folder.path()) < WORN_JOURNAL_BYTES, "{}", journal_bytes(folder.path()));
}
