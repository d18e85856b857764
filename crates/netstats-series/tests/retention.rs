//! Retention: the fold of what is left of samples is the fold of the samples, byte by byte.

mod common;

use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use common::*;
use netstats_event::*;
use netstats_log::{FjallLog, Journal, Log, LogOptions, verify};
use netstats_projector::{ErrorKind, MemoryViews, Projector, Runner, ViewStore, digest, rebuild_all};
use netstats_series::*;
use proptest::collection::vec;
use proptest::prelude::*;

const MINUTE: i64 = 60_000;

/// The events with what is left of the samples of some kinds, summarised part by part.
fn summarised(events: &[Envelope], parts: &[usize], kinds: &[Kind]) -> Vec<Envelope> {
    let mut left = events.to_vec();
    let mut rest = &mut left[..];
    for length in parts {
        let (part, later) = rest.split_at_mut((*length).min(rest.len()));
        let mut summariser = Summariser::default();
        for envelope in part.iter() {
            let goes = envelope.event.kind().is_some_and(|kind| kinds.contains(&kind));
            summariser.push(envelope, goes);
        }
        for (position, summary) in summariser.finish() {
            let envelope = part.iter_mut().find(|envelope| envelope.position == position).unwrap();
            envelope.event = Event::Summarised(Box::new(summary));
        }
        rest = later;
    }
    left
}

/// Kinds whose samples go: any of them.
fn kinds() -> impl Strategy<Value = Vec<Kind>> {
    vec(any::<bool>(), 6).prop_map(|chosen| {
        let all = ProbeKind::ALL.iter().map(|probe| Kind::of_samples(*probe));
        all.zip(chosen).filter(|(_, is_chosen)| *is_chosen).map(|(kind, _)| kind).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(common_cases()))]

    #[test]
    fn what_is_left_folds_to_the_same_rows(
        events in history(),
        parts in vec(1_usize..300, 0..6),
        first in kinds(),
        second in kinds(),
    ) {
        let once = summarised(&events, &parts, &first);
        // A part that is summarised again: what was left stays, more goes.
        let twice = summarised(&once, &parts, &second);
        let of = |events: &[Envelope]| View::of(events).rows.0.lock().unwrap().clone();
        let whole = of(&events);
        prop_assert!(whole == of(&once));
        prop_assert!(whole == of(&twice));
        let availability = |events: &[Envelope]| {
            let (mut projector, _) = AvailabilityProjector::new();
            let rows = Rows::default();
            projector.apply(events);
            let mut batch = netstats_projector::RowBatch::default();
            projector.flush(&mut batch);
            rows.store(batch);
            rows.0.into_inner().unwrap()
        };
        prop_assert!(availability(&events) == availability(&twice));
        // Rows for people: no number that was not there before, and the ones that stay are the same.
        for (before, after) in events.iter().zip(&twice) {
            for (before, after) in rows_of(before, &[]).iter().zip(rows_of(after, &[])) {
                prop_assert_eq!(before.status, after.status);
                prop_assert_eq!((before.sent, before.received, before.loss_ratio), (after.sent, after.received, after.loss_ratio));
                prop_assert_eq!(before.jitter_ms, after.jitter_ms);
                prop_assert!(after.p95_ms.is_none_or(|_| after.p95_ms == before.p95_ms));
            }
        }
    }
}

fn common_cases() -> u32 {
    64 * std::env::var("NETSTATS_LONG").map_or(1, |times| times.parse::<u32>().expect("NETSTATS_LONG is a number"))
}

fn projectors() -> (Vec<Box<dyn Projector>>, Series) {
    let (series, handle) = SeriesProjector::new();
    let (availability, _) = AvailabilityProjector::new();
    (vec![Box::new(series), Box::new(availability)], handle)
}

/// A minute of two destinations: bursts with a loss now and then, connections, a dead hour.
fn minute(minute: i64) -> Vec<(Timestamp, Event)> {
    let slot = T0 + minute * MINUTE;
    let mut events = Vec::new();
    for destination in 1..=2_u32 {
        let mut random = minute.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(destination);
        let mut noise = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            u32::try_from(random >> 33).unwrap() % 900
        };
        let is_dead = destination == 2 && (200..260).contains(&minute);
        let echo = |_| match noise() {
            _ if is_dead => Echo::Lost,
            0..10 => Echo::Lost,
            noise => Echo::Reply(Rtt::from_micros(8_000 + noise)),
        };
        events.push(ping(head(1, destination, slot), (0..10).map(echo).collect()));
    }
    if minute % 5 == 0 {
        let connected = TcpOutcome::Connected(Rtt::from_micros(700));
        let address = "192.0.2.7".parse().unwrap();
        events.push(TcpMeasured { head: head(2, 1, slot), address, port: 443, outcome: connected }.into());
    }
    if minute % 97 == 0 {
        events.push(failed(head(1, 1, slot), "no room"));
    }
    let recorded_at = Timestamp::from_millis(slot + 2_100);
    events.into_iter().map(|event| (recorded_at, event)).collect()
}

#[test]
fn a_log_whose_samples_are_summarised_answers_the_same_hours_and_rebuilds_the_same_views() {
    let folder = tempfile::tempdir().unwrap();
    let options = LogOptions { seals: false, ..LogOptions::default() };
    let log = Arc::new(FjallLog::open_with(folder.path(), options).unwrap());
    let journal = Journal::open(log.clone()).unwrap();
    let live: Arc<dyn ViewStore> = Arc::new(MemoryViews::new());
    let (folds, series) = projectors();
    let runner = Runner::start(journal.clone(), live.clone(), folds).unwrap();
    // The borders of segments fall into hours.
    for part in [0..500, 500..1_130, 1_130..1_500] {
        journal.submit_recorded(part.flat_map(minute).collect()).wait().unwrap();
        log.seal_now().unwrap();
    }
    let last = journal.submit_recorded((1_500..1_700).flat_map(minute).collect()).wait().unwrap().last;
    assert!(runner.wait_for(last, Duration::from_secs(60)));

    let asked = |destination: u32, probe, max_points| SeriesQuery {
        job: None,
        destination: DestinationId(destination),
        probe,
        from: Timestamp::from_millis(T0),
        to: Timestamp::from_millis(T0 + 1_700 * MINUTE),
        max_points,
        as_of: None,
    };
    let queries = [
        asked(1, ProbeKind::Ping, 30),
        asked(2, ProbeKind::Ping, 30),
        asked(1, ProbeKind::Ping, 2),
        asked(1, ProbeKind::Tcp, 30),
    ];
    let answers = || queries.iter().map(|query| series.points(&*journal, query).unwrap()).collect::<Vec<_>>();
    let latest = || series.latest(DestinationId(2)).unwrap();
    let (before, latest_before) = (answers(), latest());
    let raw = series.points(&*journal, &asked(1, ProbeKind::Ping, 5_000)).unwrap();
    assert_eq!((raw.resolution, raw.exact), (Resolution::Raw, true));
    let as_of = SeriesQuery { as_of: Some(Position(1_001)), ..asked(1, ProbeKind::Ping, 30) };
    assert!(series.points(&*journal, &as_of).is_ok());

    let segments: Vec<Position> = log.segments().iter().map(|(_, first, _)| *first).collect();
    let summarise = |first: Position, kinds: &[Kind]| {
        let fact = journal.summarise(first, kinds, &mut Summariser::default()).unwrap().unwrap();
        assert!(fact.bytes_after < fact.bytes_before, "{fact:?}");
    };
    summarise(segments[0], &[Kind::PingMeasured]);
    summarise(segments[1], &[Kind::PingMeasured, Kind::TcpMeasured]);
    summarise(segments[0], &[Kind::TcpMeasured]);
    let last = Position(log.head().last);
    assert!(runner.wait_for(last, Duration::from_secs(60)));
    assert!(answers() == before, "hours and days answer as before");
    assert_eq!(latest(), latest_before);
    assert_eq!(log.raw_from(Kind::PingMeasured), segments[2]);

    // What needs raw values says so or takes the next level.
    let hours = series.points(&*journal, &asked(1, ProbeKind::Ping, 5_000)).unwrap();
    assert_eq!((hours.resolution, hours.exact), (Resolution::Seconds(3_600), false));
    let young = SeriesQuery { from: Timestamp::from_millis(T0 + 1_400 * MINUTE), ..asked(1, ProbeKind::Ping, 5_000) };
    assert_eq!(series.points(&*journal, &young).unwrap().resolution, Resolution::Raw);
    let refused = series.points(&*journal, &as_of).unwrap_err();
    assert!(refused.kind() == ErrorKind::Gone && refused.to_string().contains("summarised"), "{refused}");
    let totals = TotalsQuery {
        job: None,
        destinations: Vec::new(),
        probe: ProbeKind::Ping,
        from: Timestamp::from_millis(T0),
        to: Timestamp::from_millis(T0 + 1_700 * MINUTE),
        as_of: None,
    };
    assert!(!series.totals(&*journal, &totals).unwrap().exact);
    let rows =
        series.raw(&*journal, &RawQuery { metrics: vec![Metric::Ping], limit: 10, ..RawQuery::default() }).unwrap();
    let measured: Vec<_> = rows.iter().filter(|row| row.sent.is_some()).collect();
    assert!(
        measured.len() >= 8
            && measured.iter().all(|row| row.rtt_ms.is_some() && row.p95_ms.is_none() && row.loss_ratio.is_some())
    );

    runner.stop();
    for threads in [1, 3] {
        let fresh: Arc<dyn ViewStore> = Arc::new(MemoryViews::new());
        rebuild_all(&journal, &fresh, projectors().0, NonZero::new(threads).unwrap()).unwrap();
        for view in ["series", "availability"] {
            assert_eq!(digest(&*live, view).unwrap(), digest(&*fresh, view).unwrap(), "{view}, {threads} threads");
        }
    }
    assert!(verify(&*log, NonZero::<usize>::MIN).unwrap().is_whole());
}
