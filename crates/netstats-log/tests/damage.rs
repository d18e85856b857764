//! Damage to the store of a process that was killed: all acknowledged events are there, or the log is refused with what
//! is wrong. Never fewer, never a panic.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::num::NonZero;
use std::path::{Path, PathBuf};

use netstats_event::{Draft, Kind, Timestamp};
use netstats_log::{Error, ErrorKind, FjallLog, Log, LogOptions, verify};

const SECTOR: u64 = 512;

fn drafts(seed: u64) -> Vec<Draft> {
    let draft = |index: u64| Draft {
        kind: Kind::PingMeasured.code(),
        version: 1,
        recorded_at: Timestamp::from_millis(1_795_564_799_999),
        payload: vec![(seed * 31 + index) as u8; 40 + ((seed * 7 + index * 13) % 700) as usize],
    };
    (0..1 + seed % 9).map(draft).collect()
}

fn options() -> LogOptions {
    // Nothing but the `head` file knows the newest events: the witness is never written in time.
    LogOptions { witness_every: std::time::Duration::from_secs(3_600), ..LogOptions::default() }
}

/// What a killed process leaves: a copy of the files of an open log, and its last position.
fn killed(folder: &Path) -> (PathBuf, u64) {
    let (live, left) = (folder.join("live"), folder.join("left"));
    let log = FjallLog::open_with(&live, options()).unwrap();
    for seed in 0..12 {
        log.append(&drafts(seed)).unwrap();
    }
    copy(&live, &left);
    (left, log.head().last)
}

/// Copies without the zeros at the end of preallocated journals.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, target) = {
            let entry = entry.unwrap();
            (entry.path(), to.join(entry.file_name()))
        };
        if path.is_dir() {
            copy(&path, &target);
            continue;
        }
        let len = fs::metadata(&path).unwrap().len();
        let mut bytes = Vec::new();
        File::open(&path).unwrap().take(len.min(1024 * 1024)).read_to_end(&mut bytes).unwrap();
        let mut file = File::create(&target).unwrap();
        file.write_all(&bytes).unwrap();
        file.set_len(len).unwrap();
    }
}

fn journal(path: &Path) -> PathBuf {
    path.join("fjall/0.jnl")
}

fn used(path: &Path) -> u64 {
    fs::read(path).unwrap().iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1
}

fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    let mut file = File::options().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(bytes).unwrap();
}

/// Opens a damaged copy; true if all is there, false if it is refused as it must be.
fn holds_all(path: &Path, last: u64, context: &str) -> bool {
    match FjallLog::open_with(path, options()) {
        Ok(log) => {
            assert_eq!(log.head().last, last, "{context}");
            let report = verify(&log, NonZero::<usize>::MIN).unwrap();
            assert!(report.is_whole() && report.records == last, "{context}: {report:?}");
            true
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{context}: {error}");
            assert!(error.file.is_some(), "{context}: {error}");
            assert!(error.to_string().contains("log repair --dry-run"), "{context}: {error}");
            false
        }
    }
}

#[test]
fn a_zeroed_sector_anywhere_in_the_journal_of_a_killed_process_is_found_before_anything_is_changed() {
    let folder = tempfile::tempdir().unwrap();
    let (left, last) = killed(folder.path());
    assert!(holds_all(&left, last, "undamaged"));
    // Opening wrote to it: make it once more.
    let again = folder.path().join("again");
    fs::create_dir(&again).unwrap();
    let (left, last) = killed(&again);
    let end = used(&journal(&left));
    assert!(end > 10 * SECTOR, "the test needs a journal of many sectors: {end}");
    for sector in 0..=end / SECTOR {
        let damaged = folder.path().join("damaged");
        copy(&left, &damaged);
        overwrite(&journal(&damaged), sector * SECTOR, &[0; SECTOR as usize]);
        let before = fs::read(journal(&damaged)).unwrap();
        let context = format!("sector {sector} of {}", end / SECTOR);
        assert!(!holds_all(&damaged, last, &context), "{context}: it opened");
        assert_eq!(fs::read(journal(&damaged)).unwrap(), before, "{context}: the journal was changed");
        let error: Error = FjallLog::open_with(&damaged, options()).unwrap_err();
        let (first, to) = error.positions.expect("the positions are named");
        assert!(first.0 >= 1 && first <= to && to.0 <= last, "{context}: {error}");
        fs::remove_dir_all(&damaged).unwrap();
    }
}

#[test]
fn a_flipped_bit_or_a_cut_in_the_journal_of_a_killed_process_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let (left, last) = killed(folder.path());
    let end = used(&journal(&left));
    let trials = 60 * std::env::var("NETSTATS_LONG").ok().map_or(1, |text| text.parse::<u64>().unwrap());
    for trial in 0..trials {
        let damaged = folder.path().join("damaged");
        copy(&left, &damaged);
        let at = (trial * 7_919 + trial * trial * 31) % end;
        let context = if trial % 4 == 3 {
            File::options().write(true).open(journal(&damaged)).unwrap().set_len(at).unwrap();
            format!("cut at byte {at} of {end}")
        } else {
            let byte = fs::read(journal(&damaged)).unwrap()[at as usize];
            overwrite(&journal(&damaged), at, &[byte ^ (1 << (trial % 8))]);
            format!("bit {} of byte {at} of {end}", trial % 8)
        };
        let is_opened = holds_all(&damaged, last, &context);
        assert!(!is_opened || trial % 4 != 3, "{context}: it opened");
        fs::remove_dir_all(&damaged).unwrap();
    }
}

#[test]
fn a_batch_that_was_never_acknowledged_is_cut_and_the_journal_as_it_was_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (left, last) = killed(folder.path());
    let end = used(&journal(&left));
    // The start of one more batch, as a process leaves it that is killed while it writes.
    let mut bytes = vec![1, 5, 0, 0, 0, 200, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0];
    bytes.extend([0xaa; 700]);
    overwrite(&journal(&left), end, &bytes);
    let torn = fs::read(journal(&left)).unwrap();
    assert!(holds_all(&left, last, "a torn tail"));
    let kept = fs::read(left.join("recovery/000001/0.jnl")).unwrap();
    assert_eq!(kept, torn[..kept.len()], "the copy is the journal as it was");
    assert!(kept.len() as u64 > end, "with the torn tail");
    // It goes on from there.
    let log = FjallLog::open_with(&left, options()).unwrap();
    log.append(&drafts(3)).unwrap();
    assert!(verify(&log, NonZero::<usize>::MIN).unwrap().is_whole());
}

#[test]
fn a_journal_that_is_gone_or_stands_twice_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let (left, last) = killed(folder.path());
    let twice = folder.path().join("twice");
    copy(&left, &twice);
    fs::copy(journal(&twice), twice.join("fjall/1.jnl")).unwrap();
    assert!(!holds_all(&twice, last, "a journal that stands twice"));
    let emptied = folder.path().join("emptied");
    copy(&left, &emptied);
    File::create(journal(&emptied)).unwrap();
    assert!(!holds_all(&emptied, last, "an emptied journal"));
    let foreign = folder.path().join("foreign");
    copy(&left, &foreign);
    fs::write(foreign.join("fjall/x.jnl"), b"").unwrap();
    assert!(!holds_all(&foreign, last, "a foreign name"));
}
