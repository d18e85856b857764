//! Retention: raw values go, everything else stays as it was, the chain still proves it, whatever cuts it off.

use std::net::IpAddr;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use netstats_event::{
    ClockSource, Condense, DestinationId, Echo, Envelope, Event, JobId, JobStarted, Kind, Meta, PingMeasured, Position,
    Record, Rtt, SampleFlags, SampleHead, SampleSummary, TcpMeasured, TcpOutcome, TimesSummary, Timestamp, Transport,
};
use netstats_log::{
    ErrorKind, FjallLog, Journal, Log, LogOptions, ReadLimit, RetainStep, SeriesKey, backup, examine, repair, restore,
    verify,
};

const START_MS: i64 = 1_795_000_000_000;

/// What a minute of one destination brings: bursts, connections, and now and then something that is no sample.
fn events(minutes: std::ops::Range<u32>) -> Vec<(Timestamp, Event)> {
    let mut all = Vec::new();
    for (minute, destination) in minutes.flat_map(|minute| (1..=5).map(move |destination| (minute, destination))) {
        let slot_at = Timestamp::from_millis(i64::from(minute) * 60_000 + START_MS);
        let flags = SampleFlags::default();
        let head =
            SampleHead { job: JobId(1), destination: DestinationId(destination), slot_at, lateness_us: 7, flags };
        let address: IpAddr = "192.0.2.7".parse().unwrap();
        let rtt = |packet: u32| Rtt::from_micros(9_000 + minute * 31 % 700 + packet * 17 + destination);
        let event: Event = match (minute + destination) % 7 {
            0 if destination == 1 => JobStarted { job: JobId(1), meta: Meta::by("test") }.into(),
            1 => TcpMeasured { head, address, port: 443, outcome: TcpOutcome::Connected(rtt(0)) }.into(),
            _ => PingMeasured {
                head,
                address,
                transport: Transport::IcmpDatagram,
                clock: ClockSource::KernelReceive,
                payload_bytes: 56,
                spacing_ms: 100,
                timeout_ms: 2_000,
                echoes: (0..10).map(|packet| if packet == 3 { Echo::Lost } else { Echo::Reply(rtt(packet)) }).collect(),
                ttl: Some(57),
                duplicates: 0,
                reordered: 0,
                bad_replies: 0,
            }
            .into(),
        };
        let recorded_at = Timestamp::from_millis(slot_at.as_millis() + 950 + i64::from(destination));
        all.push((recorded_at, event));
    }
    all
}

/// Leaves a made-up summary of each sample: this crate does not know what samples mean.
#[derive(Default)]
struct Made(Vec<(Position, SampleSummary)>);

impl Condense for Made {
    fn push(&mut self, event: &Envelope, goes: bool) {
        let Some(head) = event.event.head().filter(|_| goes) else { return };
        let times = TimesSummary { n: 9, extremes_us: (5, 9), sum_us: 60, sum_sq: 404, sketch: vec![1, 2, 3] };
        self.0.push((
            event.position,
            SampleSummary {
                kind: event.event.kind().unwrap(),
                head: SampleHead { lateness_us: 0, ..*head },
                status: 1,
                verdict: 2,
                sent: 10,
                received: 9,
                late: 0,
                pairs: 8,
                ipdv_us: 1 << 33,
                median_us: Some(9_000),
                times: event.position.0.is_multiple_of(50).then(|| Box::new(times)),
            },
        ));
    }

    fn finish(&mut self) -> Vec<(Position, SampleSummary)> {
        std::mem::take(&mut self.0)
    }
}

fn by_hand() -> LogOptions {
    LogOptions { seals: false, ..LogOptions::default() }
}

fn open(path: &Path, options: LogOptions) -> (Arc<FjallLog>, Arc<Journal>) {
    let log = Arc::new(FjallLog::open_with(path, options).unwrap());
    let journal = Journal::open(log.clone()).unwrap();
    (log, journal)
}

/// A log of three sealed segments of 500 events and an epoch of 100.
fn sealed(path: &Path) -> (Arc<FjallLog>, Arc<Journal>) {
    let (log, journal) = open(path, by_hand());
    for part in [0..100, 100..200, 200..300] {
        journal.submit_recorded(events(part)).wait().unwrap();
        log.seal_now().unwrap();
    }
    journal.submit_recorded(events(300..320)).wait().unwrap();
    (log, journal)
}

fn summarise(journal: &Journal, first: u64, kinds: &[Kind]) {
    journal.summarise(Position(first), kinds, &mut Made::default()).unwrap().unwrap();
}

fn all_events(log: &dyn Log) -> Vec<Envelope> {
    let mut all: Vec<Envelope> = Vec::new();
    while Position(all.len() as u64 + 1) < log.tail() {
        all.extend(log.events(Position(all.len() as u64 + 1), ReadLimit::default()).unwrap());
    }
    all
}

/// All records that are there.
fn all_records(log: &dyn Log) -> Vec<Record> {
    let mut all = Vec::new();
    let mut next = Position(1);
    while next < log.tail() {
        match log.read(next, ReadLimit { records: 97, ..ReadLimit::default() }) {
            Ok(records) => {
                next = records.last().unwrap().position.next();
                all.extend(records);
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Gone, "{error}");
                next = error.positions.unwrap().1.next();
            }
        }
    }
    all
}

fn is_whole(log: &dyn Log) -> u64 {
    let report = verify(log, NonZero::new(2).unwrap()).unwrap();
    assert!(report.is_whole(), "{:?}", report.damage);
    report.summarised
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder.join("segments"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    names
}

#[test]
fn samples_are_summarised_in_their_place_and_everything_else_is_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let (log, journal) = sealed(folder.path());
    let (before, records) = (all_events(&*log), all_records(&*log));
    let bytes = log.segment_infos().unwrap()[1].bytes;
    assert_eq!(log.raw_from(Kind::PingMeasured), Position(1));

    summarise(&journal, 501, &[Kind::PingMeasured]);
    let check = |log: &FjallLog| {
        let is_ping = |envelope: &Envelope| envelope.event.kind() == Some(Kind::PingMeasured);
        let gone = |envelope: &Envelope| is_ping(envelope) && (501..=1_000).contains(&envelope.position.0);
        let after = all_events(log);
        assert_eq!(after.len(), before.len() + 1, "the fact is appended");
        for (before, after) in before.iter().zip(&after) {
            if !gone(before) {
                assert_eq!(before, after);
                continue;
            }
            let Event::Summarised(left) = &after.event else { panic!("{after:?}") };
            assert_eq!((left.kind, left.sent, left.ipdv_us), (Kind::PingMeasured, 10, 1 << 33));
            assert_eq!(left.head.slot_at, before.event.head().unwrap().slot_at);
            assert_eq!(left.times.is_some(), before.position.0.is_multiple_of(50));
            assert_eq!(after.event.probe(), before.event.probe());
            assert_eq!(after.recorded_at.as_secs(), before.recorded_at.as_secs(), "the recorded time, to the second");
        }
        let kept: Vec<Record> =
            records.iter().filter(|record| !gone(&before[record.position.0 as usize - 1])).cloned().collect();
        assert_eq!(all_records(log)[..kept.len()], kept, "bytes and chain of what stays");
        assert_eq!(log.events_at(&[Position(499), Position(502)]).unwrap().len(), 2);
        assert_eq!(log.raw_from(Kind::PingMeasured), Position(1_001));
        assert_eq!(log.raw_from(Kind::TcpMeasured), Position(1));
        assert!(log.segment_infos().unwrap()[1].bytes < bytes);
        assert_eq!(is_whole(log), before.iter().filter(|envelope| gone(envelope)).count() as u64);
        let refused = log.get(&[Position(502)]).unwrap_err();
        assert!(refused.kind() == ErrorKind::Gone && refused.to_string().contains("retention"), "{refused}");
    };
    check(&log);
    assert_eq!(files(folder.path()).len(), 3, "the old file is gone: {:?}", files(folder.path()));
    let nothing = journal.summarise(Position(501), &[Kind::PingMeasured], &mut Made::default()).unwrap();
    assert!(nothing.is_none(), "there is nothing left to go");
    drop((log, journal));
    let (log, journal) = open(folder.path(), by_hand());
    check(&log);
    journal.submit_recorded(events(320..321)).wait().unwrap();
    assert_eq!(log.head().last, 1_606, "it goes on");
}

#[test]
fn kinds_go_one_after_another_and_segments_in_any_order() {
    let folder = tempfile::tempdir().unwrap();
    let (log, journal) = sealed(folder.path());
    let before = all_events(&*log);
    for (first, kind) in [
        (501, Kind::TcpMeasured),
        (1, Kind::PingMeasured),
        (501, Kind::PingMeasured),
        (1, Kind::TcpMeasured),
        (1_001, Kind::PingMeasured),
    ] {
        summarise(&journal, first, &[kind]);
        is_whole(&*log);
    }
    let after = all_events(&*log);
    let left = |first: u64, last: u64, kind: Kind| {
        let of = |all: &[Envelope], is_left: bool| {
            let wanted = |envelope: &&Envelope| {
                (first..=last).contains(&envelope.position.0)
                    && envelope.event.kind() == Some(kind)
                    && matches!(envelope.event, Event::Summarised(_)) == is_left
            };
            all.iter().filter(wanted).count()
        };
        (of(&before, false), of(&after, true), of(&after, false))
    };
    for (first, last, kind) in [(1, 1_000, Kind::TcpMeasured), (1, 1_500, Kind::PingMeasured)] {
        let (had, summaries, raw) = left(first, last, kind);
        assert_eq!((had, raw), (summaries, 0), "{kind:?}");
    }
    assert_eq!(left(1_001, 1_500, Kind::TcpMeasured).1, 0);
    assert_eq!((log.raw_from(Kind::PingMeasured), log.raw_from(Kind::TcpMeasured)), (Position(1_501), Position(1_001)));
    assert_eq!(files(folder.path()).len(), 3);
}

#[test]
fn a_page_of_a_replaced_segment_is_told_and_new_pages_hold_no_summaries() {
    let folder = tempfile::tempdir().unwrap();
    let (log, journal) = sealed(folder.path());
    let slots = Timestamp::from_millis(0)..Timestamp::from_millis(i64::MAX / 1_000_000);
    let key = SeriesKey { job: JobId(1), destination: DestinationId(2), kind: Kind::PingMeasured };
    let pages = log.series(key, slots.clone()).unwrap().pages;
    assert_eq!(pages.len(), 3);
    summarise(&journal, 1, &[Kind::PingMeasured]);
    assert_eq!(log.series_events(&pages[0], slots.clone()).unwrap_err().kind(), ErrorKind::NotFound);
    assert!(!log.series_events(&pages[1], slots.clone()).unwrap().is_empty());
    assert_eq!(log.series(key, slots).unwrap().pages, pages[1..]);
}

const FOLDER: &str = "NETSTATS_TEST_RETAIN_FOLDER";
const STEP: &str = "NETSTATS_TEST_RETAIN_STEP";
const STEPS: [RetainStep; 5] =
    [RetainStep::Written, RetainStep::Renamed, RetainStep::Verified, RetainStep::Recorded, RetainStep::Removed];

fn abort_at(step: RetainStep) {
    if std::env::var(STEP).is_ok_and(|wanted| wanted == format!("{step:?}")) {
        std::process::abort();
    }
}

/// Not a test of its own: the body of the child, which dies at a step.
#[test]
fn child_summarises_until_it_dies() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let (_log, journal) = open(Path::new(&folder), LogOptions { retain_hook: Some(abort_at), ..by_hand() });
    let _ = journal.summarise(Position(501), &[Kind::PingMeasured], &mut Made::default());
}

#[test]
fn a_crash_at_any_step_leaves_the_raw_values_or_their_summaries_and_the_next_run_goes_on() {
    for step in STEPS {
        for again in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let (log, journal) = sealed(folder.path());
            let before = all_events(&*log);
            drop((log, journal));
            for _ in 0..=usize::from(again) {
                let status = Command::new(std::env::current_exe().unwrap())
                    .args(["--exact", "child_summarises_until_it_dies", "--nocapture", "--test-threads=1"])
                    .envs([(FOLDER, folder.path().as_os_str()), (STEP, format!("{step:?}").as_ref())])
                    .output()
                    .unwrap()
                    .status;
                // Once the new file is recorded, the second child has nothing to do and lives.
                let is_over = again && matches!(step, RetainStep::Recorded | RetainStep::Removed);
                assert!(!status.success() || is_over, "{step:?}: the child did not die");
            }
            // The sealer's thread removes what is left over.
            let (log, journal) = open(folder.path(), LogOptions::default());
            let is_done = matches!(step, RetainStep::Recorded | RetainStep::Removed);
            assert_eq!(is_whole(&*log) > 0, is_done, "{step:?}");
            if !is_done {
                assert_eq!(
                    all_events(&*log)[..before.len()],
                    before,
                    "{step:?}: nothing is gone before it is recorded"
                );
                summarise(&journal, 501, &[Kind::PingMeasured]);
            }
            assert!(is_whole(&*log) > 0);
            let other = |envelope: &&Envelope| envelope.event.kind() != Some(Kind::PingMeasured);
            let after = all_events(&*log);
            let others: Vec<&Envelope> = before.iter().filter(other).collect();
            assert_eq!(after.iter().filter(other).take(others.len()).collect::<Vec<_>>(), others, "{step:?}");
            drop((log, journal));
            // The fact is much younger than the epoch that it ends: that one may be sealed by now, too.
            let names = files(folder.path());
            let of_second = names.iter().filter(|name| name.starts_with("00000000000000000501-"));
            assert_eq!(
                of_second.collect::<Vec<_>>(),
                ["00000000000000000501-00000000000000001000.r1.segment"],
                "{step:?}"
            );
            assert!(names.iter().all(|name| name.ends_with(".segment")), "{step:?}: {names:?}");
        }
    }
}

#[test]
fn damage_to_what_is_left_is_found_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let (log, journal) = sealed(folder.path());
    summarise(&journal, 501, &[Kind::PingMeasured]);
    let path: PathBuf = log.segments()[1].0.clone();
    drop((log, journal));
    let whole = std::fs::read(&path).unwrap();
    for round in 0..60_usize {
        let mut damaged = whole.clone();
        let at = (round * 7_919 + 13) % whole.len();
        damaged[at] ^= 1 << (round % 8);
        std::fs::write(&path, &damaged).unwrap();
        let found = match FjallLog::open_with(folder.path(), by_hand()) {
            Err(error) => error.kind() == ErrorKind::Corrupt || error.kind() == ErrorKind::Invalid,
            Ok(log) => {
                let report = verify(&log, NonZero::<usize>::MIN).unwrap();
                report.damage.iter().all(|damage| damage.first.0 >= 501 && damage.last.0 <= 1_000) && !report.is_whole()
            }
        };
        assert!(found, "byte {at}");
    }
    std::fs::write(&path, &whole).unwrap();
    let log = FjallLog::open_with(folder.path(), by_hand()).unwrap();
    assert!(is_whole(&log) > 0);
}

#[test]
fn another_file_that_is_whole_in_itself_is_not_what_the_fact_says() {
    // Two logs of one history whose samples were summarised differently; the manifest is made to name the other's file.
    let folder = tempfile::tempdir().unwrap();
    let (log, journal) = sealed(folder.path());
    let backup_folder = folder.path().with_extension("copy");
    drop((log, journal));
    copy(folder.path(), &backup_folder);
    struct Other(Made);
    impl Condense for Other {
        fn push(&mut self, event: &Envelope, goes: bool) {
            self.0.push(event, goes);
        }
        fn finish(&mut self) -> Vec<(Position, SampleSummary)> {
            let mut left = self.0.finish();
            left.iter_mut().for_each(|(_, summary)| summary.received = 10);
            left
        }
    }
    let (log, journal) = open(&backup_folder, by_hand());
    journal.summarise(Position(501), &[Kind::PingMeasured], &mut Other(Made::default())).unwrap().unwrap();
    let forged = (log.segments()[1].0.clone(), std::fs::read_to_string(backup_folder.join("MANIFEST")).unwrap());
    drop((log, journal));
    let (log, journal) = open(folder.path(), by_hand());
    summarise(&journal, 501, &[Kind::PingMeasured]);
    let path = log.segments()[1].0.clone();
    drop((log, journal));
    std::fs::copy(&forged.0, path).unwrap();
    std::fs::write(folder.path().join("MANIFEST"), forged.1).unwrap();
    let log = FjallLog::open_with(folder.path(), by_hand()).unwrap();
    let report = verify(&log, NonZero::<usize>::MIN).unwrap();
    assert!(report.damage.iter().any(|damage| damage.why.contains("is not what the event")), "{:?}", report.damage);
    std::fs::remove_dir_all(backup_folder).unwrap();
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &target) } else { std::fs::copy(&path, &target).map(drop).unwrap() }
    }
}

#[test]
fn a_backup_of_a_summarised_log_restores_to_the_same_log_and_so_does_a_repair() {
    let folder = tempfile::tempdir().unwrap();
    let (data, safe) = (folder.path().join("log"), folder.path().join("backup"));
    let (log, journal) = sealed(&data);
    let old = folder.path().join("old");
    backup(&data, &old).unwrap();
    summarise(&journal, 1, &[Kind::PingMeasured]);
    summarise(&journal, 501, &[Kind::PingMeasured, Kind::TcpMeasured]);
    let (events_before, records_before, head) = (all_events(&*log), all_records(&*log), log.head());
    let last_config = log.last_config();
    for (number, safe) in [&safe, &safe, &old].into_iter().enumerate() {
        assert_eq!(backup(&data, safe).unwrap().head, log.head());
        let target = folder.path().join(format!("restored-{number}"));
        assert_eq!(restore(safe, &target, None, None).unwrap().head, log.head());
        let restored = FjallLog::open_with(&target, by_hand()).unwrap();
        assert!(restored.last_config() >= last_config);
        assert_eq!(restored.head().last, log.head().last);
        if number == 0 {
            assert_eq!((all_events(&restored), restored.head()), (events_before.clone(), head));
            assert_eq!(all_records(&restored), records_before);
            assert!(is_whole(&restored) > 0);
        }
        journal.submit_recorded(events(400..402)).wait().unwrap();
    }
    // The one that was begun with raw values keeps them.
    let restored = FjallLog::open_with(folder.path().join("restored-2"), by_hand()).unwrap();
    let raw = all_events(&restored).iter().filter(|envelope| !matches!(envelope.event, Event::Summarised(_))).count();
    assert_eq!(raw as u64, restored.head().last);
    drop(restored);

    let refused = restore(&safe, &folder.path().join("early"), Some(Position(700)), None).unwrap_err();
    assert!(refused.kind() == ErrorKind::Invalid && refused.to_string().contains("1000"), "{refused}");
    let (before, head) = (all_events(&*log), log.head());
    drop((log, journal));
    let found = examine(&data).unwrap();
    assert!(found.is_whole() && found.prefix == head, "{found:?}");
    repair(&data, &folder.path().join("aside"), false).unwrap();
    let log = FjallLog::open_with(&data, by_hand()).unwrap();
    assert_eq!((all_events(&log), log.head()), (before, head));
    assert!(is_whole(&log) > 0);
}
