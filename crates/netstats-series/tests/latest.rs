//! What the latest says, case by case.

mod common;

use std::sync::Arc;

use common::*;
use netstats_event::*;
use netstats_projector::{Projector, RowBatch};
use netstats_series::*;

const MINUTE: i64 = 60_000;

fn all_lost(packets: usize) -> Vec<Echo> {
    vec![Echo::Lost; packets]
}

fn fine() -> Vec<Echo> {
    replies([10_000, 12_000, 11_000])
}

/// Bursts of one job on destination 1, a minute apart.
fn bursts(bursts: impl IntoIterator<Item = Vec<Echo>>) -> DestinationLatest {
    let events = (0..).zip(bursts).map(|(i, echoes)| ping(head(1, 1, T0 + i * MINUTE), echoes));
    latest(events)
}

fn latest(events: impl IntoIterator<Item = Event>) -> DestinationLatest {
    View::of(&envelopes(events)).series.latest(DestinationId(1)).unwrap()
}

#[test]
fn nothing_is_known_of_a_destination_without_samples() {
    assert_eq!(View::of(&[]).series.latest(DestinationId(1)), None);
    assert_eq!(View::of(&[]).series.position(), Position::START);
}

#[test]
fn a_burst_gives_median_loss_and_jitter() {
    let latest = bursts([vec![
        Echo::Reply(Rtt::from_micros(10_000)),
        Echo::Reply(Rtt::from_micros(14_000)),
        Echo::Lost,
        Echo::Reply(Rtt::from_micros(11_000)),
    ]]);
    assert_eq!(latest.status, Status::Degraded);
    assert_eq!(latest.response_time, Some(Rtt::from_micros(11_000)));
    assert_eq!(latest.loss_ratio, Some(0.25));
    assert_eq!(latest.jitter_ms, Some(4.0), "the pair across the lost packet does not count");
    assert_eq!(latest.recent, [Some(11_000)]);
    assert_eq!((latest.last_sample, latest.last_at), (Some(Position(1)), Some(Timestamp::from_millis(T0))));
}

#[test]
fn a_lost_burst_is_not_zero() {
    let latest = bursts([fine(), all_lost(10)]);
    assert_eq!(latest.response_time, None);
    assert_eq!(latest.jitter_ms, None);
    assert_eq!(latest.loss_ratio, Some(1.0));
    assert_eq!(latest.recent, [Some(11_000), None]);
}

#[test]
fn a_burst_of_three_lost_is_down_at_once_and_since_then() {
    let latest = bursts([fine(), all_lost(3), all_lost(3)]);
    assert_eq!(latest.status, Status::Down);
    assert_eq!(latest.since, Timestamp::from_millis(T0 + MINUTE));
}

#[test]
fn a_burst_of_two_lost_is_down_the_second_time() {
    assert_eq!(bursts([fine(), all_lost(2)]).status, Status::Degraded);
    let latest = bursts([fine(), all_lost(2), all_lost(1)]);
    assert_eq!((latest.status, latest.since), (Status::Down, Timestamp::from_millis(T0 + 2 * MINUTE)));
}

#[test]
fn loss_degrades_for_three_samples() {
    let lossy = vec![Echo::Reply(Rtt::from_micros(10_000)), Echo::Lost];
    assert_eq!(bursts([lossy.clone(), fine(), fine()]).status, Status::Degraded);
    let latest = bursts([lossy, fine(), fine(), fine()]);
    assert_eq!((latest.status, latest.since), (Status::Up, Timestamp::from_millis(T0 + 3 * MINUTE)));
}

#[test]
fn late_answers_are_no_loss() {
    let latest = bursts([vec![Echo::Late(Rtt::from_micros(2_500_000)); 4]]);
    assert_eq!((latest.status, latest.loss_ratio, latest.response_time), (Status::Degraded, Some(0.0), None));
}

#[test]
fn a_slot_that_failed_here_is_unknown_and_never_loss() {
    let events = [
        ping(head(1, 1, T0), fine()),
        failed(head(1, 1, T0 + MINUTE), "sysctl net.ipv4.ping_group_range"),
        failed(head(1, 1, T0 + 2 * MINUTE), "sysctl net.ipv4.ping_group_range"),
    ];
    let known = latest(events.clone());
    assert_eq!((known.status, known.since), (Status::Unknown, Timestamp::from_millis(T0 + MINUTE)));
    assert_eq!(known.loss_ratio, Some(0.0), "of the last sample");
    assert_eq!(known.recent, [Some(11_000)]);
    let failure = known.last_failure.unwrap();
    assert_eq!((failure.position, failure.reason), (Position(3), FailReason::NotPermitted));
    assert_eq!(known.probes[0].failed_in_a_row, 2);
    assert_eq!(known.probes[0].failing_since, Some(Timestamp::from_millis(T0 + MINUTE)));
    let again = latest(events.into_iter().chain([ping(head(1, 1, T0 + 3 * MINUTE), fine())]));
    assert_eq!((again.status, again.probes[0].failed_in_a_row, again.probes[0].failing_since), (Status::Up, 0, None));
}

#[test]
fn packets_that_never_left_say_nothing() {
    assert_eq!(bursts([vec![Echo::NotSent(101); 10]]).status, Status::Unknown);
}

#[test]
fn with_our_own_network_down_nothing_is_down() {
    let flags = SampleFlags { uplink_down: true, ..SampleFlags::default() };
    let flagged = ping(SampleHead { flags, ..head(1, 1, T0 + MINUTE) }, all_lost(10));
    let latest_flagged = latest([ping(head(1, 1, T0), fine()), flagged]);
    assert_eq!(latest_flagged.status, Status::Unknown);
    assert_eq!(latest_flagged.recent, [Some(11_000)]);
    assert_eq!(latest_flagged.loss_ratio, None);

    let at = Timestamp::from_millis(T0 + MINUTE);
    let suppressed = Event::SlotsSuppressed(SlotsSuppressed {
        job: JobId(1),
        destination: DestinationId(1),
        probe: ProbeKind::Ping,
        first_slot_at: at,
        last_slot_at: at,
        count: 1,
        reason: SuppressReason::UplinkDown,
    });
    let known = latest([ping(head(1, 1, T0), fine()), suppressed]);
    assert_eq!((known.status, known.since), (Status::Unknown, at));
}

#[test]
fn the_uplink_is_lost_and_restored() {
    let lost = Event::UplinkLost(UplinkLost { reason: "no route".into(), gateway: None });
    let restored = Event::UplinkRestored(UplinkRestored { gateway: None });
    assert_eq!(View::of(&envelopes([lost.clone()])).series.uplink_lost_since(), Some(Timestamp::from_millis(T0 + 10)));
    assert_eq!(View::of(&envelopes([lost, restored])).series.uplink_lost_since(), None);
}

#[test]
fn one_probe_down_and_one_up_is_degraded() {
    let tcp = |outcome| {
        let address = [127, 0, 0, 1].into();
        Event::TcpMeasured(TcpMeasured { head: head(2, 1, T0), address, port: 443, outcome })
    };
    let connected = tcp(TcpOutcome::Connected(Rtt::from_micros(900)));
    let silent = ping(head(1, 1, T0), all_lost(10));
    assert_eq!(latest([silent.clone(), connected]).status, Status::Degraded);
    assert_eq!(latest([silent]).status, Status::Down);
}

#[test]
fn figures_are_those_of_one_probe_and_a_ping_takes_over() {
    let tcp = |micros, at| {
        let (address, outcome) = ([127, 0, 0, 1].into(), TcpOutcome::Connected(Rtt::from_micros(micros)));
        Event::TcpMeasured(TcpMeasured { head: head(2, 1, T0 + at * MINUTE), address, port: 443, outcome })
    };
    let mut events = vec![tcp(900, 0), tcp(800, 1)];
    let shown = latest(events.clone());
    assert_eq!((shown.leading, &shown.recent[..]), (Some(ProbeKind::Tcp), &[Some(900), Some(800)][..]));
    assert_eq!(shown.response_time, Some(Rtt::from_micros(800)));

    events.extend([ping(head(1, 1, T0 + 2 * MINUTE), fine()), tcp(700, 3)]);
    let shown = latest(events);
    assert_eq!((shown.leading, &shown.recent[..]), (Some(ProbeKind::Ping), &[Some(11_000)][..]));
    assert_eq!(shown.response_time, Some(Rtt::from_micros(11_000)));
}

#[test]
fn a_stopped_job_does_not_hold_a_destination_down() {
    let mut events = vec![ping(head(2, 1, T0 - MINUTE), all_lost(10)), ping(head(2, 1, T0), all_lost(10))];
    events.extend((1..=3).map(|i| ping(head(1, 1, T0 + i * MINUTE), fine())));
    assert_eq!(latest(events.clone()).status, Status::Degraded, "three intervals are not over");
    events.push(ping(head(1, 1, T0 + 4 * MINUTE), fine()));
    assert_eq!(latest(events).status, Status::Up);
}

#[test]
fn sixty_medians_are_kept() {
    let latest = bursts((1..=100).map(|ms| replies([ms * 1_000])));
    assert_eq!(latest.recent.len(), RECENT_MEDIANS);
    assert_eq!(latest.recent[0], Some(41_000));
    assert_eq!(latest.recent[59], Some(100_000));
}

#[test]
fn a_job_knows_its_probes() {
    let events = [ping(head(1, 1, T0), fine()), ping(head(1, 2, T0), fine()), ping(head(2, 1, T0), fine())];
    let view = View::of(&envelopes(events));
    let probes = view.series.latest_of_job(JobId(1));
    assert_eq!(probes.iter().map(|probe| probe.destination.0).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(view.series.latest_all().len(), 2);
}

#[test]
fn closed_pages_are_read_while_they_are_being_stored() {
    let minutes = |from: i64, to: i64| (from..to).map(|i| ping(head(1, 1, T0 + i * MINUTE), fine()));
    let events = envelopes(minutes(0, 1_000));
    let mut view = View::open(Arc::default());
    let everything = RawQuery { limit: usize::MAX, ..RawQuery::default() };
    let count = |view: &View| view.series.raw(&Events(events.clone()), &everything).unwrap().len();
    view.projector.apply(&events[..600]);
    assert_eq!(count(&view), 600 * 3, "closed and not flushed");
    // The runner has taken the batch and not stored it yet.
    let mut batch = RowBatch::default();
    view.projector.flush(&mut batch);
    assert_eq!(count(&view), 600 * 3, "flushed and not stored");
    view.rows.store(batch);
    view.projector.apply(&events[600..]);
    assert_eq!(count(&view), 1_000 * 3, "some stored, some not");
    view.flush();
    view.flush();
    assert_eq!(count(&view), 1_000 * 3, "all stored");
    assert_eq!(count(&View::open(view.rows)), 1_000 * 3, "after a restart");
}

#[test]
fn a_missing_page_is_an_error_and_not_a_gap() {
    let events = envelopes((0..1_000).map(|i| ping(head(1, 1, T0 + i * MINUTE), fine())));
    let mut view = View::of(&events);
    view.flush();
    view.rows.0.lock().unwrap().retain(|key, _| key[0] != b'i');
    let error = view.series.raw(&Events(events), &RawQuery::default()).unwrap_err();
    assert_eq!(error.kind(), netstats_projector::ErrorKind::Corrupt);
    assert!(error.to_string().contains("rebuild"), "{error}");
}

#[test]
fn damaged_rows_refuse_to_load_and_never_panic() {
    let events = envelopes((0..300).map(|i| ping(head(1, 1, T0 + i * MINUTE), fine())));
    let rows = View::of(&events).rows;
    let all = rows.0.lock().unwrap().clone();
    for (key, row) in &all {
        for at in 0..row.len() {
            for damaged in [row[..at].to_vec(), [&row[..at], &[row[at] ^ 0xff], &row[at + 1..]].concat()] {
                rows.0.lock().unwrap().insert(key.clone(), damaged);
                let (mut projector, series) = SeriesProjector::new();
                projector.attach(rows.clone());
                if projector.load(&*rows).is_ok() {
                    let _ = series.latest_all();
                    let _ = series.raw(&Events(events.clone()), &RawQuery { limit: 3, ..RawQuery::default() });
                }
            }
        }
        rows.0.lock().unwrap().insert(key.clone(), row.clone());
    }
}

#[test]
fn a_stream_takes_at_most_two_and_a_quarter_kibibytes() {
    // Round trips with a heavy tail, two days: the day's sketch is as wide as it gets.
    let mut state = 1_u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from(state >> 40).unwrap()
    };
    let mut burst = || -> Vec<Echo> {
        replies((0..10).map(|_| 10_000 + random() % 3_000 + if random() % 50 == 0 { random() % 200_000 } else { 0 }))
    };
    let events: Vec<Event> = (0..2_880 * 20)
        .map(|i| ping(head(1, 1 + u32::try_from(i % 20).unwrap(), T0 + i / 20 * MINUTE), burst()))
        .collect();
    let view = View::of(&envelopes(events));
    let bytes = view.series.memory_bytes() / 20;
    assert!(bytes <= 2_304, "{bytes} bytes for each job and destination");
    let rows = view.rows.0.lock().unwrap();
    let stored: usize = rows.iter().map(|(key, row)| key.len() + row.len()).sum();
    #[expect(clippy::cast_precision_loss, reason = "small")]
    let per_rtt = stored as f64 / (2_880 * 20 * 10) as f64;
    assert!(per_rtt < 0.5, "{per_rtt} bytes of rows for each round trip");
}
