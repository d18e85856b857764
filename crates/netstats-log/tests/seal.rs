//! Sealed segments: what goes in comes out bit by bit, whatever cuts a sealing off, and damage is named.

use std::net::IpAddr;
use std::num::NonZero;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use netstats_event::{
    ClockSource, DestinationId, Draft, Echo, Envelope, Event, FailReason, IcmpError, JobId, JobStarted, Kind, Meta,
    PingMeasured, Position, ProbeKind, Record, Rtt, SampleFlags, SampleHead, SlotFailed, TcpMeasured, TcpOutcome,
    Timestamp, Transport, decode, encode,
};
use netstats_log::{Error, ErrorKind, FjallLog, Log, LogOptions, ReadLimit, SealStep, SeriesKey, verify};
use proptest::prelude::*;

const START_MS: i64 = 1_795_000_000_000;

/// A small generator of its own: the same histories on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from(self.0 >> 33).unwrap() % end
    }
}

/// One outcome of a slot: mostly bursts, sometimes with losses and errors, sometimes of another kind.
fn outcome(random: &mut Random, minute: u32, destination: u32) -> Event {
    let slot = i64::from(minute) * 60_000 + START_MS;
    let head = SampleHead {
        job: JobId(1 + destination % 2),
        destination: DestinationId(destination),
        slot_at: Timestamp::from_millis(slot),
        lateness_us: random.below(900),
        flags: SampleFlags { self_delayed: random.below(50) == 0, ..SampleFlags::default() },
    };
    let address: IpAddr =
        if destination.is_multiple_of(3) { "2001:db8::7".parse() } else { "192.0.2.7".parse() }.unwrap();
    match random.below(20) {
        0 => TcpMeasured {
            head,
            address,
            port: 443,
            outcome: TcpOutcome::Connected(Rtt::from_micros(random.below(9_000))),
        }
        .into(),
        1 => SlotFailed { head, probe: ProbeKind::Ping, reason: FailReason::NoRoute, detail: "no route".to_owned() }
            .into(),
        2 if destination == 1 => JobStarted { job: head.job, meta: Meta::by("test") }.into(),
        _ => {
            let mut echo = |_| match random.below(60) {
                0 => Echo::Lost,
                1 => Echo::Late(Rtt::from_micros(2_000_000)),
                2 => Echo::NotSent(-11),
                3 => Echo::Error(IcmpError { icmp_type: 3, icmp_code: 1, from: Some(address) }),
                _ => Echo::Reply(Rtt::from_micros(12_000 + random.below(700))),
            };
            PingMeasured {
                head,
                address,
                transport: Transport::IcmpDatagram,
                clock: ClockSource::KernelReceive,
                payload_bytes: 56,
                spacing_ms: 100,
                timeout_ms: 2_000,
                echoes: (0..10).map(&mut echo).collect(),
                ttl: Some(57),
                duplicates: 0,
                reordered: 0,
                bad_replies: 0,
            }
            .into()
        }
    }
}

/// The outcomes of some minutes of some destinations, and now and then bytes that only look like a burst.
fn drafts(seed: u64, minutes: std::ops::Range<u32>, destinations: u32) -> Vec<Draft> {
    let mut random = Random(seed);
    let mut drafts = Vec::new();
    for minute in minutes {
        for destination in 1..=destinations {
            let event = outcome(&mut random, minute, destination);
            let end = START_MS + i64::from(minute) * 60_000 + 950 + i64::from(random.below(20));
            let mut draft = encode(&event, Timestamp::from_millis(end)).unwrap();
            match random.below(40) {
                0 => draft.payload.push(7),
                1 => draft.version = 2,
                2 => draft.recorded_at = Timestamp::from_nanos(draft.recorded_at.as_nanos() + 1),
                _ => {}
            }
            drafts.push(draft);
        }
    }
    drafts
}

fn open(path: &Path, options: LogOptions) -> FjallLog {
    FjallLog::open_with(path, options).unwrap()
}

fn by_hand() -> LogOptions {
    LogOptions { seals: false, ..LogOptions::default() }
}

fn read_all(log: &FjallLog) -> Vec<Record> {
    let mut records = Vec::new();
    while Position(log.first().0 + records.len() as u64) < log.tail() {
        records.extend(log.read(Position(log.first().0 + records.len() as u64), ReadLimit::default()).unwrap());
    }
    records
}

fn envelopes(records: &[Record]) -> Vec<Envelope> {
    let envelope = |record: &Record| {
        let event = decode(record.kind, record.version, &record.payload).ok()?;
        Some(Envelope { position: record.position, recorded_at: record.recorded_at, event })
    };
    records.iter().filter_map(envelope).collect()
}

#[test]
fn every_record_comes_back_bit_by_bit_wherever_a_read_begins() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path(), by_hand());
    for part in drafts(1, 0..150, 20).chunks(700) {
        log.append(part).unwrap();
    }
    let before = read_all(&log);
    assert_eq!(log.seal_now().unwrap(), 1);
    assert_eq!(log.segments().len(), 1);
    assert_eq!(read_all(&log), before);
    for from in [1, 2, 1_023, 1_024, 1_025, 2_048, 2_999, 3_000] {
        let limit = ReadLimit { records: 3, ..ReadLimit::default() };
        let index = usize::try_from(from - 1).unwrap();
        assert_eq!(log.read(Position(from), limit).unwrap(), before[index..before.len().min(index + 3)], "from {from}");
    }
    let chosen: Vec<Position> = [1, 7, 500, 1_024, 1_025, 2_999].map(Position).to_vec();
    let wanted: Vec<Record> = before.iter().filter(|record| chosen.contains(&record.position)).cloned().collect();
    assert_eq!(log.get(&chosen).unwrap(), wanted);
    drop(log);
    let log = open(folder.path(), by_hand());
    assert_eq!(read_all(&log), before, "after a reopen");
    let report = verify(&log, NonZero::new(2).unwrap()).unwrap();
    assert!(report.is_whole(), "{:?}", report.damage);
    assert_eq!(report.records, 3_000);
}

#[test]
fn events_and_look_ups_cross_the_border_unseen() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path(), by_hand());
    // Without payloads that do not decode: events are wanted.
    let clean = |seed, minutes| {
        let mut drafts = drafts(seed, minutes, 10);
        drafts.retain(|draft| decode(draft.kind, draft.version, &draft.payload).is_ok());
        drafts
    };
    for number in 0..4 {
        log.append(&clean(number, number as u32 * 20..number as u32 * 20 + 20)).unwrap();
        if number < 3 {
            log.seal_now().unwrap();
        }
    }
    let all = envelopes(&read_all(&log));
    assert_eq!(log.segments().len(), 3);
    let limit = ReadLimit { records: 10_000, bytes: usize::MAX };
    assert_eq!(log.events(Position(1), limit).unwrap(), all, "one read goes over every border");
    let border = log.segments()[1].2;
    let around: Vec<Position> = (border.0 - 2..border.0 + 3).map(Position).collect();
    let wanted: Vec<Envelope> = all.iter().filter(|envelope| around.contains(&envelope.position)).cloned().collect();
    assert_eq!(log.events_at(&around).unwrap(), wanted);
    let spread: Vec<Position> = (1..log.tail().0).step_by(37).map(Position).collect();
    let wanted: Vec<Envelope> = all.iter().filter(|envelope| spread.contains(&envelope.position)).cloned().collect();
    assert_eq!(log.events_at(&spread).unwrap(), wanted);
    assert_eq!(log.events_at(&[log.tail()]).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_series_is_its_pages_and_what_is_not_sealed_yet() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path(), by_hand());
    for number in 0..4_u32 {
        log.append(&drafts(u64::from(number), number * 30..number * 30 + 30, 12)).unwrap();
        if number < 3 {
            log.seal_now().unwrap();
        }
    }
    let all = envelopes(&read_all(&log));
    let slot = |minute: i64| Timestamp::from_millis(START_MS + minute * 60_000);
    for (kind, range) in [
        (Kind::PingMeasured, slot(0)..slot(1_000)),
        (Kind::PingMeasured, slot(35)..slot(36)),
        (Kind::PingMeasured, slot(29)..slot(61)),
        (Kind::TcpMeasured, slot(10)..slot(80)),
        (Kind::SlotFailed, slot(0)..slot(1_000)),
        (Kind::PingMeasured, slot(-5)..slot(0)),
    ] {
        let key = SeriesKey { job: JobId(2), destination: DestinationId(5), kind };
        let series = log.series(key, range.clone()).unwrap();
        assert_eq!(series.until, log.segments()[2].2.next());
        let mut found = Vec::new();
        for page in &series.pages {
            let events = log.series_events(page, range.clone()).unwrap();
            assert!(events.len() <= page.events as usize);
            assert!(events.iter().all(|event| (page.positions.0..=page.positions.1).contains(&event.position)));
            found.extend(events);
        }
        let wanted = |envelope: &&Envelope| {
            envelope.event.kind() == Some(kind)
                && envelope.position < series.until
                && envelope.event.head().is_some_and(|head| {
                    (head.job, head.destination) == (key.job, key.destination) && range.contains(&head.slot_at)
                })
        };
        assert_eq!(found, all.iter().filter(wanted).cloned().collect::<Vec<_>>(), "{kind:?} {range:?}");
    }
    let key = SeriesKey { job: JobId(2), destination: DestinationId(5), kind: Kind::PingMeasured };
    let pages = log.series(key, slot(35)..slot(36)).unwrap().pages;
    assert!(pages.iter().all(|page| page.positions.0 > log.segments()[0].2), "only pages of that time are named");
}

#[test]
fn an_epoch_is_closed_by_events_bytes_or_age() {
    let events = LogOptions { epoch_events: 100, ..by_hand() };
    let bytes = LogOptions { epoch_bytes: 20_000, ..by_hand() };
    let age = LogOptions { epoch_age: Duration::from_secs(600), ..by_hand() };
    for (options, wanted) in [(by_hand(), 1), (events, 6), (bytes, 6), (age, 6)] {
        let folder = tempfile::tempdir().unwrap();
        let mut log = open(folder.path(), options);
        for (number, part) in drafts(5, 0..60, 10).chunks(10).enumerate() {
            log.append(part).unwrap();
            if number == 25 {
                // An epoch's age is known after a reopen, too, and about its bytes.
                drop(log);
                log = open(folder.path(), options);
            }
        }
        let sealed = log.seal_now().unwrap();
        let about = if options.epoch_bytes == 20_000 { 1 } else { 0 };
        assert!((wanted - about..=wanted + about).contains(&sealed), "{sealed} epochs instead of {wanted}");
    }
}

#[test]
fn a_log_seals_by_itself_while_it_is_written_and_read() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path(), LogOptions { epoch_events: 200, ..LogOptions::default() });
    let all = drafts(6, 0..200, 10);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut records: Vec<Record> = Vec::new();
            while records.len() < all.len() {
                let next = Position(records.len() as u64 + 1);
                assert!(log.wait(Position(next.0 - 1), Duration::from_secs(60)) > next, "the writer stopped");
                records.extend(log.read(next, ReadLimit { records: 61, ..ReadLimit::default() }).unwrap());
            }
            records
        });
        all.chunks(17).for_each(|part| {
            log.append(part).unwrap();
        });
        let read: Vec<Draft> = reader.join().unwrap().into_iter().map(into_draft).collect();
        assert_eq!(read, all);
    });
    log.seal_now().unwrap();
    assert!(log.segments().len() >= 9, "{}", log.segments().len());
    assert_eq!(read_all(&log).into_iter().map(into_draft).collect::<Vec<_>>(), all);
}

fn into_draft(record: Record) -> Draft {
    let Record { kind, version, recorded_at, payload, .. } = record;
    Draft { kind, version, recorded_at, payload }
}

const FOLDER: &str = "NETSTATS_TEST_SEAL_FOLDER";
const STEP: &str = "NETSTATS_TEST_SEAL_STEP";
const STEPS: [SealStep; 5] =
    [SealStep::Written, SealStep::Renamed, SealStep::Verified, SealStep::Recorded, SealStep::Dropped];

fn abort_at(step: SealStep) {
    if std::env::var(STEP).is_ok_and(|wanted| wanted == format!("{step:?}")) {
        std::process::abort();
    }
}

/// Not a test of its own: the body of the child, which dies at a step of its second sealing.
#[test]
fn child_seals_until_it_dies() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let log = open(Path::new(&folder), LogOptions { seal_hook: Some(abort_at), ..by_hand() });
    log.seal_now().unwrap();
}

#[test]
fn a_crash_at_any_step_of_a_sealing_loses_nothing_and_the_next_start_goes_on() {
    for step in STEPS {
        for again in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let log = open(folder.path(), by_hand());
            log.append(&drafts(7, 0..30, 10)).unwrap();
            log.seal_now().unwrap();
            log.append(&drafts(8, 30..60, 10)).unwrap();
            let before = read_all(&log);
            drop(log);
            for _ in 0..=usize::from(again) {
                let status = Command::new(std::env::current_exe().unwrap())
                    .args(["--exact", "child_seals_until_it_dies", "--nocapture", "--test-threads=1"])
                    .envs([(FOLDER, folder.path().as_os_str()), (STEP, format!("{step:?}").as_ref())])
                    .output()
                    .unwrap()
                    .status;
                // Once the segment is recorded, the second child has nothing to seal and lives.
                let is_over = again && matches!(step, SealStep::Recorded | SealStep::Dropped);
                assert!(!status.success() || is_over, "{step:?}: the child did not die");
            }
            let log = open(folder.path(), by_hand());
            assert_eq!(read_all(&log), before, "{step:?}");
            log.seal_now().unwrap();
            assert_eq!(log.segments().len(), 2, "{step:?}");
            assert_eq!(read_all(&log), before, "{step:?}, sealed");
            let keyspaces = std::fs::read_dir(folder.path().join("fjall/keyspaces")).unwrap().count();
            assert_eq!(keyspaces, 2, "{step:?}: fjall's own and the current epoch's");
            drop(log);
            let log = open(folder.path(), by_hand());
            assert_eq!(read_all(&log), before, "{step:?}, opened again");
            assert!(verify(&log, NonZero::<usize>::MIN).unwrap().is_whole());
        }
    }
}

/// A closed log with two segments and an open epoch.
fn sealed_store(folder: &Path) -> Vec<Record> {
    let log = open(folder, by_hand());
    for number in 0..3_u32 {
        log.append(&drafts(u64::from(number), number * 30..number * 30 + 30, 10)).unwrap();
        if number < 2 {
            log.seal_now().unwrap();
        }
    }
    read_all(&log)
}

fn try_open(folder: &Path) -> Result<FjallLog, Error> {
    FjallLog::open_with(folder, by_hand())
}

#[test]
fn a_segment_that_is_missing_cut_or_of_another_store_is_refused_by_name_and_positions() {
    let folder = tempfile::tempdir().unwrap();
    sealed_store(folder.path());
    let other = tempfile::tempdir().unwrap();
    sealed_store(other.path());
    let log = try_open(folder.path()).unwrap();
    let (path, first, last) = log.segments().remove(1);
    drop(log);
    let whole = std::fs::read(&path).unwrap();
    let theirs = std::fs::read(other.path().join("segments").join(path.file_name().unwrap())).unwrap();
    for bytes in [None, Some(&whole[..whole.len() - 1]), Some(&whole[..10]), Some(&[][..]), Some(&theirs[..])] {
        match bytes {
            None => std::fs::remove_file(&path).unwrap(),
            Some(bytes) => std::fs::write(&path, bytes).unwrap(),
        }
        let refused = try_open(folder.path()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Corrupt, "{refused}");
        assert_eq!(
            (refused.file.as_deref(), refused.positions),
            (Some(path.as_path()), Some((first, last))),
            "{refused}"
        );
    }
    std::fs::write(&path, &whole).unwrap();
    assert!(verify(&try_open(folder.path()).unwrap(), NonZero::<usize>::MIN).unwrap().is_whole());
}

#[test]
fn a_segment_of_a_newer_format_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    sealed_store(folder.path());
    let log = try_open(folder.path()).unwrap();
    let path = log.segments()[0].0.clone();
    drop(log);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[8] = 99;
    let crc = crc32c::crc32c(&bytes[..12]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    std::fs::write(&path, &bytes).unwrap();
    let refused = try_open(folder.path()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    assert!(refused.to_string().contains("newer program"), "{refused}");
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}

/// Bit flips in a segment: found at the start, or by whoever reads there; never another record, never a panic.
#[test]
fn a_damaged_segment_never_gives_another_record() {
    let folder = tempfile::tempdir().unwrap();
    let before = sealed_store(folder.path());
    let log = try_open(folder.path()).unwrap();
    let (path, first, last) = log.segments().remove(0);
    drop(log);
    let whole = std::fs::read(&path).unwrap();
    let config = ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let result = runner.run(&(any::<prop::sample::Index>(), 0_u32..8, 1_usize..40), |(at, bit, length)| {
        let mut bytes = whole.clone();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let end = bytes.len().min(at + length);
        // A hole of zeros behind the flip, half of the time.
        if length > 20 {
            bytes[at + 1..end].fill(0);
        }
        std::fs::write(&path, &bytes).unwrap();
        match try_open(folder.path()) {
            Err(error) => prop_assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Invalid), "{}", error),
            Ok(log) => {
                let report = verify(&log, NonZero::<usize>::MIN).unwrap();
                prop_assert!(!report.is_whole(), "byte {} went unnoticed", at);
                prop_assert!(report.damage.iter().all(|damage| damage.first >= first && damage.last <= last));
                for damage in &report.damage {
                    prop_assert_eq!(
                        log.read(damage.first, ReadLimit::default()).unwrap_err().kind(),
                        ErrorKind::Corrupt
                    );
                }
                let mut next = first;
                while next < log.tail() {
                    match log.read(next, ReadLimit { records: 50, ..ReadLimit::default() }) {
                        Ok(records) => {
                            let index = usize::try_from(next.0 - 1).unwrap();
                            prop_assert_eq!(&records, &before[index..index + records.len()]);
                            next = Position(next.0 + records.len() as u64);
                        }
                        Err(error) => next = error.positions.unwrap().1.next(),
                    }
                }
            }
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}
