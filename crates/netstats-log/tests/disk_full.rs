//! A small disk fills up: the log turns read-only, keeps what it has, and goes on by itself when there is room again.
#![cfg(target_os = "linux")]
#![expect(clippy::print_stdout, reason = "a test that cannot mount says SKIP")]

#[path = "support/disk.rs"]
mod disk;

use std::num::NonZero;
use std::path::Path;
use std::time::Duration;

use netstats_event::{Draft, Kind, Position, Timestamp};
use netstats_log::{ErrorKind, GuardedLog, Log, LogOptions, ReadLimit, SpaceFloor, verify};

use disk::{Disk, MIB};

const EVERY: Duration = Duration::from_millis(20);

fn drafts(seed: u64) -> Vec<Draft> {
    let payload = |index: u64| (0..900).map(|byte| (seed * 131 + index * 7 + byte) as u8).collect();
    let recorded_at = Timestamp::from_millis(1_795_564_799_999);
    (0..50)
        .map(|index| Draft { kind: Kind::PingMeasured.code(), version: 1, recorded_at, payload: payload(index) })
        .collect()
}

fn open(path: &Path, floor: u64) -> GuardedLog {
    let options = LogOptions { seals: false, ..LogOptions::default() };
    GuardedLog::open(path, options, SpaceFloor { bytes: Some(floor) }, EVERY).unwrap()
}

/// Appends until the log refuses; the last position acknowledged.
fn fill(log: &GuardedLog, from: u64) -> u64 {
    let mut acknowledged = log.head().last;
    for seed in from.. {
        match log.append(&drafts(seed)) {
            Ok(appended) => acknowledged = appended.last.0,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
                assert!(error.to_string().contains("read-only"), "{error}");
                return acknowledged;
            }
        }
        if seed % 10 == 0 {
            std::thread::park_timeout(EVERY);
        }
    }
    unreachable!("the disk is small")
}

fn until_writable(log: &GuardedLog) {
    let mut looks = 0;
    while log.refusal().is_some() {
        std::thread::park_timeout(EVERY);
        looks += 1;
        assert!(looks < 500, "still read-only: {:?}", log.refusal());
    }
}

#[test]
fn below_the_floor_the_log_is_read_only_and_above_it_goes_on_by_itself() {
    let Some(disk) = Disk::mount(40) else { return };
    let log = open(&disk.path().join("log"), 20 * MIB);
    let acknowledged = fill(&log, 0);
    assert!(acknowledged > 500, "{acknowledged}");
    let read = log.read(Position(acknowledged), ReadLimit::default()).unwrap();
    assert_eq!(read.len(), 1, "reads go on");
    let why = log.refusal().unwrap().to_string();
    assert!(why.contains("make room"), "{why}");
    disk.grow(400);
    until_writable(&log);
    let appended = log.append(&drafts(1)).unwrap();
    assert_eq!(appended.first.0, acknowledged + 1, "nothing was lost and nothing came twice");
    let report = verify(&log, NonZero::<usize>::MIN).unwrap();
    assert!(report.is_whole(), "{:?}", report.damage);
}

#[test]
fn a_disk_that_is_really_full_fails_the_commit_and_the_log_opens_itself_again_without_a_loss() {
    let Some(disk) = Disk::mount(40) else { return };
    let log = open(&disk.path().join("log"), 0);
    log.append(&drafts(0)).unwrap();
    // Another program takes all the room.
    let hog = disk.fill(0);
    let before = log.head().last;
    let acknowledged = std::thread::scope(|scope| {
        let writer = scope.spawn(|| (1..40).map(|seed| log.append(&drafts(seed)).unwrap().last.0).last().unwrap());
        let mut looks = 0;
        while log.refusal().is_none() {
            std::thread::park_timeout(EVERY);
            looks += 1;
            assert!(looks < 1_500, "the disk never failed");
        }
        assert!(log.refusal().is_some(), "the disk was not full");
        hog.make_room();
        writer.join().unwrap()
    });
    assert_eq!(acknowledged, before + 39 * 50, "each batch once");
    until_writable(&log);
    let report = verify(&log, NonZero::<usize>::MIN).unwrap();
    assert!(report.is_whole() && report.records == acknowledged, "{:?}", report.damage);
    log.close();
    drop(log);
    assert_eq!(open(&disk.path().join("log"), 0).head().last, acknowledged);
}
