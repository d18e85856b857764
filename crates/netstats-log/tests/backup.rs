//! A backup taken while the log is written restores to a verified prefix.

use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use netstats_event::{Draft, Kind, Position, Timestamp};
use netstats_log::{ErrorKind, FjallLog, LockFile, Log, LogOptions, ReadLimit, backup, restore, verify};

const START: i64 = 1_795_564_000_000;

fn drafts(seed: u64) -> Vec<Draft> {
    let draft = |index: u64| Draft {
        kind: Kind::PingMeasured.code(),
        version: 1,
        recorded_at: Timestamp::from_millis(START + (seed * 10 + index) as i64),
        payload: vec![(seed + index) as u8; 60 + (seed * 37 % 900) as usize],
    };
    (0..10).map(draft).collect()
}

fn open(path: &Path) -> FjallLog {
    FjallLog::open_with(path, LogOptions { epoch_events: 200, ..LogOptions::default() }).unwrap()
}

/// Ends the writer when it is dropped.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn backups_under_load_grow_and_each_restores_to_the_same_records() {
    let folder = tempfile::tempdir().unwrap();
    let (path, kept) = (folder.path().join("log"), folder.path().join("kept"));
    let log = open(&path);
    log.append(&drafts(0)).unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Also when this thread panics: the writer must not go on for ever.
        let _over = Over(&is_over);
        scope.spawn(|| {
            let mut seed = 1;
            while !is_over.load(Ordering::Relaxed) {
                log.append(&drafts(seed)).unwrap();
                seed += 1;
            }
        });
        let mut before = 0;
        for round in 0..5 {
            let done = backup(&path, &kept).unwrap();
            assert!(done.head.last > before, "round {round}");
            assert_eq!(done.added, done.head.last - before, "only what is new is written");
            before = done.head.last;
            let target = folder.path().join(format!("restored-{round}"));
            let restored = restore(&kept, &target, None, None).unwrap();
            assert_eq!((restored.head, restored.damaged_at), (done.head, None));
            let again = open(&target);
            assert!(verify(&again, NonZero::<usize>::MIN).unwrap().is_whole());
            let limit = ReadLimit { records: done.head.last as usize, bytes: usize::MAX };
            assert_eq!(
                again.read(Position(1), limit).unwrap(),
                log.read(Position(1), limit).unwrap()[..done.head.last as usize]
            );
        }
    });
    assert!(
        fs::read_dir(&path).unwrap().all(|entry| !entry.unwrap().file_name().to_string_lossy().contains("scratch"))
    );
}

#[test]
fn a_restore_goes_to_a_position_or_a_time_and_ends_at_a_damage() {
    let folder = tempfile::tempdir().unwrap();
    let (path, kept) = (folder.path().join("log"), folder.path().join("kept"));
    let log = open(&path);
    (0..10).for_each(|seed| assert!(log.append(&drafts(seed)).is_ok()));
    backup(&path, &kept).unwrap();
    let to = |name: &str| folder.path().join(name);
    assert_eq!(restore(&kept, &to("a"), Some(Position(42)), None).unwrap().head.last, 42);
    assert_eq!(restore(&kept, &to("b"), None, Some(Timestamp::from_millis(START + 29))).unwrap().head.last, 30);
    assert_eq!(restore(&kept, &to("b"), None, None).unwrap_err().kind(), ErrorKind::Invalid, "there is a log");
    let file = kept.join("records-00000000000000000001-00000000000000000100");
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let restored = restore(&kept, &to("c"), None, None).unwrap();
    assert_eq!(restored.damaged_at, Some(Position(restored.head.last + 1)));
    assert!(restored.head.last > 10 && restored.head.last < 100, "{restored:?}");
    assert!(verify(&open(&to("c")), NonZero::<usize>::MIN).unwrap().is_whole());
    fs::write(&file, &bytes[..middle]).unwrap();
    assert!(restore(&kept, &to("d"), None, None).unwrap().damaged_at.is_some(), "a cut file");
    fs::remove_file(&file).unwrap();
    assert_eq!(restore(&kept, &to("e"), None, None).unwrap().damaged_at, Some(Position(1)), "a missing file");
}

#[test]
fn a_backup_of_another_log_or_of_another_history_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept");
    let one = folder.path().join("one");
    open(&one).append(&drafts(1)).unwrap();
    backup(&one, &kept).unwrap();
    let two = folder.path().join("two");
    open(&two).append(&drafts(2)).unwrap();
    assert_eq!(backup(&two, &kept).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(backup(&folder.path().join("none"), &kept).unwrap_err().kind(), ErrorKind::NotFound);
}

const CHILD: &str = "NETSTATS_TEST_BACKUP_CHILD";

/// The process that is killed: in it this is all there is to do.
#[test]
fn a_backup_in_a_process_of_its_own() {
    let Some(folder) = std::env::var_os(CHILD).map(PathBuf::from) else { return };
    backup(&folder.join("log"), &folder.join("kept")).unwrap();
}

fn child(folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_backup_in_a_process_of_its_own"])
        .env(CHILD, folder)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

type Condition<'a> = Box<dyn Fn() -> bool + 'a>;

/// Kills the child as soon as `is_so`; false if it was done before.
fn killed_when(mut child: Child, is_so: impl Fn() -> bool) -> bool {
    loop {
        if child.try_wait().unwrap().is_some() {
            break false;
        }
        if is_so() {
            child.kill().unwrap();
            break !child.wait().unwrap().success();
        }
        std::thread::yield_now();
    }
}

fn scratch(log: &Path) -> bool {
    fs::read_dir(log).unwrap().any(|entry| entry.unwrap().file_name().to_string_lossy().starts_with("scratch"))
}

#[test]
fn a_backup_that_is_killed_leaves_the_former_one_whole_and_the_next_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (path, kept) = (folder.path().join("log"), folder.path().join("kept"));
    let log = FjallLog::open_with(&path, LogOptions { epoch_events: 2_000, ..LogOptions::default() }).unwrap();
    let append = |rounds: std::ops::Range<u64>| {
        for round in rounds {
            let batch: Vec<Draft> = (0..100).flat_map(|part| drafts(round * 100 + part)).collect();
            log.append(&batch).unwrap();
        }
    };
    append(0..3);
    let mut before = backup(&path, &kept).unwrap().head;
    let (new, named) = (kept.join("records.new"), kept.join("BACKUP"));
    let written = |bytes: u64| fs::metadata(&new).is_ok_and(|file| file.len() >= bytes);
    let points: [(&str, Condition<'_>); 4] = [
        ("the store is linked", Box::new(|| scratch(&path))),
        ("records are written", Box::new(|| written(1))),
        ("more are written", Box::new(|| written(500_000))),
        ("nearly all are written", Box::new(|| written(1_500_000))),
    ];
    let (mut cut, mut next) = (0, 3);
    for (name, is_so) in &points {
        append(next..next + 4);
        next += 4;
        let told = fs::read(&named).unwrap();
        if !killed_when(child(folder.path()), is_so) {
            before = backup(&path, &kept).unwrap().head;
            continue;
        }
        cut += 1;
        assert_eq!(fs::read(&named).unwrap(), told, "{name}: it says what it holds, not what it did not finish");
        let target = folder.path().join(name.replace(' ', "-"));
        let restored = restore(&kept, &target, None, None).unwrap();
        assert_eq!((restored.head, restored.damaged_at), (before, None), "{name}: the former state is whole");
        let done = backup(&path, &kept).unwrap();
        assert_eq!(done.head, log.head(), "{name}");
        assert!(!scratch(&path), "{name}: what the killed one left is gone");
        assert!(!new.exists(), "{name}");
        before = done.head;
    }
    assert!(cut >= 2, "{cut} backups were killed in the middle: the log of this test is too small");

    // Cut off between the last file and the word of it.
    let told = fs::read(&named).unwrap();
    append(next..next + 1);
    backup(&path, &kept).unwrap();
    fs::write(&named, told).unwrap();
    let done = backup(&path, &kept).unwrap();
    assert_eq!((done.head, done.added), (log.head(), 1_000));
    let target = folder.path().join("all");
    assert_eq!(restore(&kept, &target, None, None).unwrap().head, log.head());
    assert!(verify(&open(&target), NonZero::<usize>::MIN).unwrap().is_whole());
}

#[test]
fn one_backup_of_a_log_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    open(&path).append(&drafts(1)).unwrap();
    backup(&path, &folder.path().join("kept")).unwrap();
    let held = LockFile::take(&path.join("backup.lock")).unwrap();
    assert!(held.is_some());
    let refused = backup(&path, &folder.path().join("other")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert!(refused.to_string().contains("another backup of the log in"), "{refused}");
    drop(held);
    backup(&path, &folder.path().join("other")).unwrap();
}
