//! Damage to any file of a store: afterwards all acknowledged events are there and proved, or the log refuses and says
//! what it is about. Never silently fewer, never another value, never a panic.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::num::NonZero;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use netstats_event::{Position, Record};
use netstats_log::{Error, ErrorKind, FjallLog, Journal, Log, LogOptions, ReadLimit, verify};

use crate::child::batch;
use crate::support::{Random, copy, count, files, scratch, tell};

/// A store as it was left, and what was acknowledged.
struct Store {
    name: &'static str,
    path: PathBuf,
    records: Vec<Record>,
}

/// How a store was left.
#[derive(Clone, Copy, PartialEq)]
enum Left {
    Closed,
    /// Killed when the witness knew everything: a config event was the last.
    Killed,
    /// Killed with events after the witness, as it is for at most a second: only the head file knows them.
    Unwitnessed,
}

fn options() -> LogOptions {
    // Without sealing: a store is copied while it is open.
    LogOptions { epoch_events: 150, seals: false, witness_every: Duration::from_secs(3_600), ..LogOptions::default() }
}

fn read_all(log: &dyn Log) -> Result<Vec<Record>, Error> {
    let mut records: Vec<Record> = Vec::new();
    while records.len() < usize::try_from(log.head().last).unwrap() {
        records.extend(log.read(Position(records.len() as u64 + 1), ReadLimit::default())?);
    }
    Ok(records)
}

/// Writes fjall's memtables to tables, as it does by itself when they are large.
fn write_tables(folder: &Path) {
    let database = fjall::Database::builder(folder.join("fjall")).open().unwrap();
    for name in database.list_keyspace_names() {
        database.keyspace(&name, || panic!("it is there")).unwrap().rotate_memtable_and_wait().unwrap();
    }
}

/// Where a store keeps what it has.
#[derive(Clone, Copy, PartialEq)]
enum Kept {
    Journals,
    Tables,
    Segments,
}

/// A log of some batches, copied while it is open if it is to look like after a kill.
fn store(folder: &Path, name: &'static str, kept: Kept, left: Left) -> Store {
    let working = folder.join(format!("working-{name}"));
    let start = || {
        let log = Arc::new(FjallLog::open_with(&working, options()).unwrap());
        (Journal::open(log.clone()).unwrap(), log)
    };
    let append = |journal: &Journal, batches: Range<u64>| {
        for number in batches {
            journal.append(batch(number)).unwrap();
        }
    };
    append(&start().0, 0..25);
    if kept == Kept::Tables {
        write_tables(&working);
    }
    let path = folder.join(name);
    let (journal, log) = start();
    // Batch 47 ends with a config event: its witness is written before it is acknowledged.
    append(&journal, 25..48);
    assert_eq!(log.last_config().0, log.head().last);
    if left == Left::Unwitnessed {
        append(&journal, 48..60);
    }
    if kept == Kept::Segments {
        assert!(log.seal_now().unwrap() > 2, "the newest epochs stay as they are");
    }
    let records = read_all(log.as_ref()).unwrap();
    if left == Left::Closed {
        journal.close();
    }
    copy(&working, &path);
    Store { name, path, records }
}

/// One damage to one file, in words.
fn harm(file: &Path, random: &mut Random) -> String {
    let mut bytes = fs::read(file).unwrap();
    let length = bytes.len();
    let zero = |bytes: &mut [u8], sector: usize, at: usize| {
        let start = at / sector * sector;
        bytes.iter_mut().skip(start).take(sector).for_each(|byte| *byte = 0);
        format!("{sector} bytes zeroed at {start}")
    };
    let said = match random.below(20) {
        0 => {
            fs::remove_file(file).unwrap();
            return "deleted".to_owned();
        }
        1..3 => {
            let to = random.index(length.max(1));
            File::options().write(true).open(file).unwrap().set_len(to as u64).unwrap();
            return format!("cut from {length} to {to} bytes");
        }
        _ if length == 0 => return "empty, left alone".to_owned(),
        3..6 => zero(&mut bytes, 512, random.index(length)),
        6..8 => zero(&mut bytes, 4_096, random.index(length)),
        _ => {
            let bit = random.index(length * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            format!("bit {bit} of {} flipped", length * 8)
        }
    };
    fs::write(file, bytes).unwrap();
    said
}

/// What came of it.
fn outcome(path: &Path, store: &Store) -> Result<&'static str, String> {
    let log = match FjallLog::open_with(path, options()) {
        Ok(log) => log,
        Err(error) if !matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unavailable | ErrorKind::Invalid) => {
            return Err(format!("an error of the wrong kind, {:?}: {error}", error.kind()));
        }
        Err(error) if error.file.is_none() => return Err(format!("a refusal that names no file: {error}")),
        Err(_) => return Ok("refused at the start"),
    };
    let report = verify(&log, NonZero::<usize>::MIN).map_err(|error| format!("not to be verified: {error}"))?;
    let (head, expected) = (log.head().last, store.records.as_slice());
    if head < expected.len() as u64 {
        return Err(format!("silently fewer: {head} of {}", expected.len()));
    }
    // What can be read is what was written, whatever else is damaged.
    let is_all_there = read_all(&log).is_ok_and(|found| found.starts_with(expected));
    for record in expected.iter().filter(|_| !is_all_there) {
        match log.get(&[record.position]) {
            Ok(found) if found[0] == *record => {}
            Ok(_) => return Err(format!("another value at {}", record.position)),
            Err(_) if report.damage.iter().any(|d| (d.first..=d.last).contains(&record.position)) => {}
            Err(error) => return Err(format!("{error}: not found by verify: {:?}", report.damage)),
        }
    }
    match (is_all_there, report.is_whole()) {
        (true, true) => Ok("all there"),
        (false, false) => Ok("found by verify"),
        _ => Err(format!("verify says {:?}", report.damage)),
    }
}

#[test]
fn whatever_is_damaged_no_acknowledged_event_disappears_silently() {
    let folder = scratch();
    let stores = [
        store(folder.path(), "closed", Kept::Journals, Left::Closed),
        store(folder.path(), "closed-tables", Kept::Tables, Left::Closed),
        store(folder.path(), "killed", Kept::Journals, Left::Killed),
        store(folder.path(), "killed-tables", Kept::Tables, Left::Killed),
        store(folder.path(), "unwitnessed", Kept::Journals, Left::Unwitnessed),
        store(folder.path(), "closed-sealed", Kept::Segments, Left::Closed),
        store(folder.path(), "killed-sealed", Kept::Segments, Left::Killed),
    ];
    let mut random = Random::new();
    let (seed, trials) = (random.seed, count(3_000));
    let mut outcomes: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    let mut faults = Vec::new();
    for trial in 0..trials {
        let store = &stores[random.index(stores.len())];
        let damaged = folder.path().join("damaged");
        copy(&store.path, &damaged);
        let all = files(&damaged);
        // Small files and large ones alike, and one part in two by size: that is where a disk fails.
        let total: u64 = all.iter().map(|file| file.metadata().unwrap().len()).sum();
        let mut at = random.below(total);
        let by_size = all.iter().find(|file| {
            let length = file.metadata().unwrap().len();
            let is_it = at < length;
            at = at.saturating_sub(length);
            is_it
        });
        let file = by_size.filter(|_| trial % 2 == 0).unwrap_or(&all[random.index(all.len())]);
        let said = harm(file, &mut random);
        let name = file.strip_prefix(&damaged).unwrap().display().to_string();
        let result = catch_unwind(AssertUnwindSafe(|| outcome(&damaged, store)));
        match result.unwrap_or_else(|_| Err("a panic".to_owned())) {
            Ok(outcome) => *outcomes.entry((store.name, outcome)).or_default() += 1,
            Err(fault) => faults.push(format!("{} store, {name}, {said}: {fault}", store.name)),
        }
        fs::remove_dir_all(&damaged).unwrap();
    }
    tell(&format!("{trials} damages, seed {seed}: {outcomes:?}"));
    assert!(faults.is_empty(), "{} of {trials} (seed {seed}):\n{}", faults.len(), faults.join("\n"));
}
