//! A log that holds less than was acknowledged is never opened as if nothing had happened.

use std::num::NonZero;
use std::path::{Path, PathBuf};

use netstats_event::{Draft, Kind, Position, Timestamp};
use netstats_log::{Error, ErrorKind, FjallLog, Log, LogOptions, verify};

fn drafts(count: usize) -> Vec<Draft> {
    let draft = |kind: Kind| Draft {
        kind: kind.code(),
        version: 1,
        recorded_at: Timestamp::from_millis(1_795_564_799_999),
        payload: vec![9; 150],
    };
    // A config event last: its witness is written before it is acknowledged.
    let mut drafts = vec![draft(Kind::PingMeasured); count - 1];
    drafts.push(draft(Kind::JobStarted));
    drafts
}

fn open(path: &Path) -> Result<FjallLog, Error> {
    FjallLog::open_with(path, LogOptions { epoch_events: 100, ..LogOptions::default() })
}

/// A closed log of 250 events in three epochs.
fn store(folder: &Path) -> PathBuf {
    let path = folder.join("log");
    let log = open(&path).unwrap();
    for _ in 0..5 {
        log.append(&drafts(50)).unwrap();
    }
    path
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

#[test]
fn a_log_shorter_than_its_witness_is_refused_with_what_is_missing_and_what_to_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let log = open(&path).unwrap();
    log.append(&drafts(30)).unwrap();
    drop(log);
    let earlier = folder.path().join("earlier");
    copy(&path, &earlier);
    let log = open(&path).unwrap();
    log.append(&drafts(30)).unwrap();
    drop(log);
    // An old copy of the store under the newer witness: what a careless restore gives.
    std::fs::remove_dir_all(path.join("fjall")).unwrap();
    copy(&earlier.join("fjall"), &path.join("fjall"));
    let refused = open(&path).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Corrupt);
    assert_eq!(refused.positions, Some((Position(31), Position(60))));
    let message = refused.to_string();
    for part in ["position 30", "up to 60", "2026-11-24T23:59:59.999Z", "30 events are missing", "log repair --dry-run"]
    {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
    assert_eq!(open(&path).unwrap_err().kind(), ErrorKind::Corrupt, "and again: a refusal changes nothing");
}

#[test]
fn whatever_file_is_deleted_nothing_acknowledged_disappears_silently() {
    let folder = tempfile::tempdir().unwrap();
    let path = store(folder.path());
    let mut refusals = 0;
    for file in files(&path) {
        let name = file.strip_prefix(&path).unwrap();
        let damaged = folder.path().join("damaged");
        copy(&path, &damaged);
        std::fs::remove_file(damaged.join(name)).unwrap();
        match open(&damaged) {
            Ok(log) => {
                assert_eq!(log.head().last, 250, "without {}", name.display());
                assert!(verify(&log, NonZero::<usize>::MIN).unwrap().is_whole(), "without {}", name.display());
            }
            Err(error) => {
                refusals += 1;
                assert!(
                    matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unavailable),
                    "without {}: {error}",
                    name.display()
                );
                assert!(error.file.is_some(), "without {}: {error}", name.display());
            }
        }
        std::fs::remove_dir_all(&damaged).unwrap();
    }
    assert!(refusals >= 5, "manifest, witness, version, journal, keyspaces: {refusals}");
}

#[test]
fn a_store_of_another_log_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = store(folder.path());
    let other = folder.path().join("other");
    std::fs::create_dir(&other).unwrap();
    let other = store(&other);
    std::fs::copy(other.join("witness"), path.join("witness")).unwrap();
    let refused = open(&path).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Corrupt);
    assert!(refused.to_string().contains("two stores"), "{refused}");
}

#[test]
fn a_log_in_use_says_by_which_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let _log = open(&path).unwrap();
    let refused = open(&path).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert!(refused.to_string().contains(&format!("process {}", std::process::id())), "{refused}");
}

#[test]
fn a_creation_that_was_cut_off_is_done_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    drop(open(&path).unwrap());
    std::fs::remove_dir_all(path.join("fjall")).unwrap();
    std::fs::create_dir_all(path.join("fjall/keyspaces")).unwrap();
    std::fs::write(path.join("fjall/0.jnl"), b"").unwrap();
    let log = open(&path).unwrap();
    log.append(&drafts(3)).unwrap();
    assert_eq!(log.tail(), Position(4));
}
