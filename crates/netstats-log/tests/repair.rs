//! Repair saves what can be proved, says what is lost, and keeps the evidence.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::num::NonZero;
use std::path::{Path, PathBuf};

use netstats_event::{Draft, Kind, Position, Record, Timestamp};
use netstats_log::{ErrorKind, FjallLog, Log, LogOptions, ReadLimit, examine, place_for_damaged, repair, verify};

fn drafts(seed: u64) -> Vec<Draft> {
    let draft = |index: u64| Draft {
        kind: Kind::PingMeasured.code(),
        version: 1,
        recorded_at: Timestamp::from_millis(1_795_564_000_000 + (seed * 100 + index) as i64),
        payload: vec![(seed + index) as u8; 60 + (seed * 37 % 900) as usize],
    };
    (0..10).map(draft).collect()
}

fn open(path: &Path) -> FjallLog {
    FjallLog::open_with(path, LogOptions { epoch_events: 100, seals: false, ..LogOptions::default() }).unwrap()
}

fn append(log: &FjallLog, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        log.append(&drafts(seed)).unwrap();
    }
}

/// A closed log of 250 events, the first 150 in tables and the rest in the journal, and its records.
fn store(folder: &Path) -> (PathBuf, Vec<Record>) {
    let path = folder.join("log");
    let log = open(&path);
    append(&log, 0..15);
    drop(log);
    {
        let database = fjall::Database::builder(path.join("fjall")).open().unwrap();
        for name in database.list_keyspace_names() {
            database.keyspace(&name, Default::default).unwrap().rotate_memtable_and_wait().unwrap();
        }
    }
    let log = open(&path);
    append(&log, 15..25);
    let records = log.read(Position(1), ReadLimit::default()).unwrap();
    (path, records)
}

/// Zeros a sector of the journal that holds the record at `position`.
fn damage_journal(path: &Path, record: &Record) {
    let journal = path.join("fjall/0.jnl");
    let mut bytes = Vec::new();
    record.write(&mut bytes);
    // A long record lies there in parts: its beginning is enough to find it.
    bytes.truncate(60);
    let whole = fs::read(&journal).unwrap();
    let at = whole.windows(bytes.len()).position(|window| window == bytes).unwrap();
    let mut file = File::options().write(true).open(&journal).unwrap();
    file.seek(SeekFrom::Start(at as u64)).unwrap();
    file.write_all(&[0; 40]).unwrap();
}

#[test]
fn a_whole_log_needs_no_repair_and_is_not_changed() {
    let folder = tempfile::tempdir().unwrap();
    let (path, records) = store(folder.path());
    let found = examine(&path).unwrap();
    assert!(found.is_whole(), "{found:?}");
    assert_eq!((found.prefix.last, found.acknowledged), (250, Some(250)));
    assert_eq!(open(&path).read(Position(1), ReadLimit::default()).unwrap(), records);
}

#[test]
fn the_proven_prefix_keeps_its_positions_and_what_is_later_is_exported_with_the_hole_named() {
    let folder = tempfile::tempdir().unwrap();
    let (path, records) = store(folder.path());
    damage_journal(&path, &records[200]);
    let error = FjallLog::open(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    let found = examine(&path).unwrap();
    let lost = found.holes.clone();
    assert_eq!(lost.len(), 1, "{found:?}");
    assert!(lost[0].0.0 <= 201 && lost[0].1.0 >= 201 && found.lost() <= 10, "{found:?}");
    assert_eq!(found.prefix.last, lost[0].0.0 - 1);
    assert_eq!(found.later, 250 - lost[0].1.0);

    let aside = place_for_damaged(&path);
    let damaged = fs::read(path.join("fjall/0.jnl")).unwrap();
    assert_eq!(repair(&path, &aside, false).unwrap(), found);
    assert_eq!(fs::read(aside.join("fjall/0.jnl")).unwrap(), damaged, "the evidence is as it was");
    let log = open(&path);
    assert_eq!(log.read(Position(1), ReadLimit::default()).unwrap(), records[..found.prefix.last as usize]);
    assert!(verify(&log, NonZero::<usize>::MIN).unwrap().is_whole());
    let later = fs::read(path.join("later.records")).unwrap();
    let expected: Vec<u8> = records[lost[0].1.0 as usize..].iter().fold(Vec::new(), |mut bytes, record| {
        record.write(&mut bytes);
        bytes
    });
    assert_eq!(later, expected, "every proved record after the hole is in the file");
    let said = fs::read_to_string(path.join("REPAIRED")).unwrap();
    assert!(said.contains(&format!("lost: positions {} to {}", lost[0].0, lost[0].1)), "{said}");
    assert_eq!(place_for_damaged(&path), path.with_extension("damaged-2"));
}

#[test]
fn what_is_later_can_be_appended_again_with_its_recorded_time() {
    let folder = tempfile::tempdir().unwrap();
    let (path, records) = store(folder.path());
    damage_journal(&path, &records[200]);
    let done = repair(&path, &place_for_damaged(&path), true).unwrap();
    let log = open(&path);
    assert_eq!(log.head().last, done.prefix.last + done.later);
    let after = log.read(Position(done.prefix.last + 1), ReadLimit::default()).unwrap();
    let first = usize::try_from(done.later_range.unwrap().0.0 - 1).unwrap();
    for (again, was) in after.iter().zip(&records[first..]) {
        assert_eq!((again.recorded_at, &again.payload), (was.recorded_at, &was.payload));
    }
    assert!(verify(&log, NonZero::<usize>::MIN).unwrap().is_whole());
}

#[test]
fn without_the_small_files_of_the_store_the_journal_still_gives_what_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = store(folder.path());
    fs::remove_file(path.join("witness")).unwrap();
    fs::remove_file(path.join("fjall/keyspaces/0/current")).unwrap();
    let found = examine(&path).unwrap();
    assert_eq!(found.prefix.last + found.later, 250, "{found:?}");
    fs::remove_dir_all(path.join("fjall/keyspaces")).unwrap();
    fs::remove_file(path.join("fjall/0.jnl")).unwrap();
    let found = examine(&path).unwrap();
    assert_eq!((found.prefix.last, found.later), (0, 0), "{found:?}");
    assert!(!path.join("scratch").exists());
}

#[test]
fn a_damaged_table_costs_only_what_lies_in_the_damaged_block() {
    let folder = tempfile::tempdir().unwrap();
    let (path, records) = store(folder.path());
    fs::remove_file(path.join("fjall/0.jnl")).unwrap();
    File::create(path.join("fjall/0.jnl")).unwrap();
    let tables = path.join("fjall/keyspaces/1/tables");
    let table = fs::read_dir(tables).unwrap().next().unwrap().unwrap().path();
    let mut bytes = fs::read(&table).unwrap();
    let mut wanted = Vec::new();
    records[40].write(&mut wanted);
    let at = bytes.windows(wanted.len()).position(|window| window == wanted).unwrap();
    bytes[at] ^= 1;
    fs::write(&table, bytes).unwrap();
    let found = examine(&path).unwrap();
    assert!(found.prefix.last < 41 && found.later > 0, "{found:?}");
    assert!(found.holes[0].0.0 <= 41 && found.holes[0].1.0 >= 41, "{found:?}");
    assert_eq!(found.holes.last().unwrap().1, Position(250), "{found:?}");
}

#[test]
fn a_damaged_segment_costs_only_what_cannot_be_proved_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = store(folder.path());
    let segments = path.join("segments");
    let sealed = || {
        fs::read_dir(&segments).map_or(0, |entries| {
            entries
                .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|name| name == "segment"))
                .count()
        })
    };
    let log = FjallLog::open_with(&path, LogOptions { epoch_events: 100, ..LogOptions::default() }).unwrap();
    while sealed() < 2 {
        std::thread::park_timeout(std::time::Duration::from_millis(10));
    }
    drop(log);
    assert!(examine(&path).unwrap().is_whole());
    let first = fs::read_dir(&segments).unwrap().map(|entry| entry.unwrap().path()).min().unwrap();
    let mut bytes = fs::read(&first).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&first, bytes).unwrap();
    let found = examine(&path).unwrap();
    assert!(found.is_whole() && found.notes.len() == 1, "the journal still holds it all: {found:?}");
    File::create(path.join("fjall/0.jnl")).unwrap();
    let found = examine(&path).unwrap();
    assert_eq!((found.prefix.last + found.lost() + found.later, found.later), (250, 100), "{found:?}");
}
