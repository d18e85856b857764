//! What a row says, event by event.

mod common;

use common::*;
use netstats_event::*;
use netstats_series::*;

fn row(event: Event) -> Row {
    let rows = rows_of(&envelopes([event])[0], &[]);
    rows.into_iter().next().unwrap()
}

fn reply(us: u32) -> Echo {
    Echo::Reply(Rtt::from_micros(us))
}

fn refusal(icmp_code: u8) -> Echo {
    Echo::Error(IcmpError { icmp_type: 3, icmp_code, from: Some([192, 0, 2, 1].into()) })
}

#[test]
fn a_burst_gives_its_three_metrics_the_same_numbers() {
    let echoes = vec![reply(10_000), reply(12_000), Echo::Lost, Echo::Lost, reply(11_000), reply(15_000)];
    let envelope = &envelopes([ping(head(3, 4, T0), echoes)])[0];
    let rows = rows_of(envelope, &[]);
    assert_eq!(
        rows.iter().map(|row| row.metric).collect::<Vec<_>>(),
        [Metric::Ping, Metric::PacketLoss, Metric::Jitter]
    );
    let row = &rows[0];
    assert_eq!(rows[2], Row { metric: Metric::Jitter, ..row.clone() });
    assert_eq!((row.job, row.destination, row.position), (JobId(3), DestinationId(4), Position(1)));
    assert_eq!((row.at, row.status), (Timestamp::from_millis(T0), RowStatus::Partial));
    assert_eq!((row.rtt_ms, row.min_ms, row.mean_ms, row.max_ms), (Some(11.5), Some(10.0), Some(12.0), Some(15.0)));
    // ((-2)^2 + 0 + (-1)^2 + 3^2) / 3
    assert!((row.stddev_ms.unwrap() - (14.0_f64 / 3.0).sqrt()).abs() < 1e-6);
    assert_eq!(row.p95_ms, None, "four round trips do not carry a 95th percentile");
    assert_eq!(row.jitter_ms, Some(3.0), "|2| and |4|, not across the gap");
    assert_eq!((row.sent, row.received, row.loss_ratio), (Some(6), Some(4), Some(1.0 / 3.0)));
    assert!(matches!(row.detail, RowDetail::Ping { longest_loss_run: 2, late: 0, not_sent: 0, .. }));

    assert_eq!(rows_of(envelope, &[Metric::Jitter, Metric::Dns]).len(), 1);
    assert!(rows_of(envelope, &[Metric::Dns]).is_empty());
}

#[test]
fn twenty_round_trips_carry_a_percentile() {
    assert!((row(ping(head(1, 1, T0), replies((1..=20).map(|ms| ms * 1_000)))).p95_ms.unwrap() - 19.05).abs() < 1e-9);
}

#[test]
fn each_way_to_get_no_answer_has_its_name() {
    let status = |echoes: Vec<Echo>| {
        let row = row(ping(head(1, 1, T0), echoes));
        assert_eq!((row.rtt_ms, row.mean_ms, row.jitter_ms), (None, None, None), "undefined is never a number");
        assert!(row.error.is_some());
        (row.status, row.loss_ratio)
    };
    assert_eq!(status(vec![Echo::Lost; 3]), (RowStatus::Timeout, Some(1.0)));
    assert_eq!(status(vec![Echo::Late(Rtt::from_micros(2_100_000)); 3]), (RowStatus::Timeout, Some(0.0)));
    assert_eq!(status(vec![refusal(1), Echo::Lost]), (RowStatus::Unreachable, Some(1.0)));
    assert_eq!(status(vec![refusal(13), refusal(10)]), (RowStatus::Refused, Some(1.0)));
    assert_eq!(status(vec![Echo::NotSent(101); 3]), (RowStatus::Error, None));
    let error = row(ping(head(1, 1, T0), vec![refusal(1)])).error.unwrap();
    assert_eq!(error, "ICMP error type 3, code 1 from 192.0.2.1");
}

#[test]
fn with_our_own_network_down_a_row_says_nothing_of_loss() {
    let flags = SampleFlags { uplink_down: true, ..SampleFlags::default() };
    let row = row(ping(SampleHead { flags, ..head(1, 1, T0) }, vec![Echo::Lost; 3]));
    assert_eq!((row.status, row.loss_ratio), (RowStatus::Unknown, None));
}

#[test]
fn a_failed_slot_is_an_error_with_its_reason() {
    let row = row(failed(head(1, 1, T0), "no such right"));
    assert_eq!((row.status, row.sent, row.loss_ratio, row.detail), (RowStatus::Error, None, None, RowDetail::None));
    assert_eq!(row.error.unwrap(), "not_permitted: no such right");
}

#[test]
fn a_silent_hop_does_not_change_the_path() {
    let answer = |last: u8| HopAnswer::Answer {
        from: [192, 0, 2, last].into(),
        rtt: Rtt::from_micros(1_000 * u32::from(last)),
        icmp_type: 11,
        icmp_code: 0,
    };
    let route = |answers: [HopAnswer; 3], reached| {
        let hops = (1..).zip(answers).map(|(ttl, answer)| Hop { ttl, answers: vec![answer], ..Hop::default() });
        row(Event::RouteTraced(RouteTraced {
            head: head(1, 1, T0),
            address: [192, 0, 2, 3].into(),
            protocol: TracerouteProtocol::Udp,
            clock: ClockSource::User,
            hops: hops.collect(),
            reached,
            duration_us: 1_000,
        }))
    };
    let hash = |row: &Row| match row.detail {
        RowDetail::Traceroute { path_hash, hop_count, .. } => (path_hash, hop_count),
        _ => panic!("{row:?}"),
    };
    let one = route([answer(1), HopAnswer::Silent, answer(3)], true);
    assert_eq!((one.status, one.rtt_ms, hash(&one).1), (RowStatus::Success, Some(3.0), 3));
    let same = route([answer(1), HopAnswer::NotSent(1), answer(3)], true);
    let other = route([answer(1), answer(2), answer(3)], true);
    assert_eq!(hash(&one), hash(&same));
    assert_ne!(hash(&one), hash(&other));
    let cut = route([answer(1), HopAnswer::Silent, HopAnswer::Silent], false);
    assert_eq!((cut.status, cut.rtt_ms, hash(&cut).1), (RowStatus::Partial, None, 1));
}

#[test]
fn goodput_leaves_the_start_out() {
    let row = row(Event::BandwidthMeasured(BandwidthMeasured {
        head: head(1, 1, T0),
        address: [127, 0, 0, 1].into(),
        engine: "responder".into(),
        down: Some(Throughput { bytes_per_100ms: vec![1, 1_250_000, 1_250_000], skipped: 1, retransmits: None }),
        up: Some(Throughput { bytes_per_100ms: vec![1], skipped: 1, retransmits: Some(7) }),
        idle_rtt: Some(Rtt::from_micros(9_100)),
        loaded_rtt_p95: Some(Rtt::from_micros(51_400)),
        is_cpu_bound: false,
        cpu_permille: 1,
        failure: None,
    }));
    assert_eq!(row.status, RowStatus::Success);
    assert!(
        matches!(
            row.detail,
            RowDetail::Bandwidth {
                down_mbps: Some(100.0),
                up_mbps: None,
                down_retransmits: None,
                up_retransmits: Some(7),
                added_rtt_ms: Some(42.3),
                ..
            }
        ),
        "{:?}",
        row.detail
    );
}

#[test]
fn events_that_are_no_outcome_have_no_row() {
    let started = Event::JobStarted(JobStarted { job: JobId(1), meta: Meta::by("system") });
    assert!(rows_of(&envelopes([started])[0], &[]).is_empty());
}
