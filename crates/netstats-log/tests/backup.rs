//! A backup taken while the log is written restores to a verified prefix.

use std::fs;
use std::num::NonZero;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use netstats_event::{Draft, Kind, Position, Timestamp};
use netstats_log::{ErrorKind, FjallLog, Log, LogOptions, ReadLimit, backup, restore, verify};

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

#[test]
fn backups_under_load_grow_and_each_restores_to_the_same_records() {
    let folder = tempfile::tempdir().unwrap();
    let (path, kept) = (folder.path().join("log"), folder.path().join("kept"));
    let log = open(&path);
    log.append(&drafts(0)).unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
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
        is_over.store(true, Ordering::Relaxed);
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
