//! The view against naive code, on random histories: cut, stored and restarted anywhere.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::*;
use netstats_event::*;
use netstats_projector::Projector;
use netstats_series::*;
use proptest::collection::vec;
use proptest::prelude::*;

/// What happens to the projector after some events.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Nothing,
    Flush,
    /// Flushed and started again; what was not flushed is folded again.
    Restart,
}

fn cuts() -> impl Strategy<Value = Vec<(usize, Cut)>> {
    let cut = prop_oneof![Just(Cut::Nothing), Just(Cut::Flush), Just(Cut::Restart)];
    vec((1_usize..400, cut), 1..12)
}

/// Folds `events`, cut as told, over and over; without a flush at the end.
fn fold_cut(events: &[Envelope], cuts: &[(usize, Cut)]) -> View {
    let mut view = View::open(Arc::default());
    let mut rest = events;
    for (length, cut) in cuts.iter().cycle() {
        let (now, later) = rest.split_at((*length).min(rest.len()));
        view.projector.apply(now);
        match cut {
            Cut::Nothing => {}
            Cut::Flush => view.flush(),
            Cut::Restart => {
                view.flush();
                view = View::open(view.rows);
            }
        }
        rest = later;
        if rest.is_empty() {
            return view;
        }
    }
    view
}

/// All rows that a query asks for, the slow way.
fn naive(events: &[Envelope], query: &RawQuery) -> Vec<Row> {
    let mut wanted: Vec<&Envelope> = events
        .iter()
        .filter(|envelope| {
            let (Some(head), Some(probe)) = (envelope.event.head(), envelope.event.probe()) else { return false };
            query.job.is_none_or(|job| head.job == job)
                && (query.destinations.is_empty() || query.destinations.contains(&head.destination))
                && (query.metrics.is_empty() || query.metrics.iter().any(|metric| metric.probe() == probe))
                && query.from <= head.slot_at
                && head.slot_at < query.to
                && query.as_of.is_none_or(|as_of| envelope.position <= as_of)
        })
        .collect();
    let place = |envelope: &Envelope| (envelope.event.head().unwrap().slot_at, envelope.position);
    wanted.sort_by_key(|envelope| place(envelope));
    if query.newest_first {
        wanted.reverse();
    }
    wanted
        .into_iter()
        .filter(|envelope| {
            query.after.is_none_or(|after| match query.newest_first {
                false => place(envelope) > (after.at, after.position),
                true => place(envelope) < (after.at, after.position),
            })
        })
        .take(query.limit)
        .flat_map(|envelope| rows_of(envelope, &query.metrics))
        .collect()
}

fn query() -> impl Strategy<Value = RawQuery> {
    let slot = (-100_i64..1_400).prop_map(|minute| Timestamp::from_millis(T0 + minute * 60_000));
    let edge = prop_oneof![1 => Just(None), 2 => slot.clone().prop_map(Some)];
    (
        prop::option::of(1_u32..3),
        vec(1_u32..4, 0..3),
        prop::sample::subsequence(Metric::ALL.to_vec(), 0..4),
        (edge.clone(), edge),
        1_usize..300,
        prop::option::weighted(0.3, (slot, 0_u64..600)),
        any::<bool>(),
        prop::option::weighted(0.3, 0_u64..600),
    )
        .prop_map(|(job, destinations, metrics, (from, to), limit, after, newest_first, as_of)| RawQuery {
            job: job.map(JobId),
            destinations: destinations.into_iter().map(DestinationId).collect(),
            metrics,
            from: from.unwrap_or(Timestamp::from_nanos(i64::MIN)),
            to: to.unwrap_or(Timestamp::from_nanos(i64::MAX)),
            limit,
            after: after.map(|(at, position)| Cursor { at, position: Position(position) }),
            newest_first,
            as_of: as_of.map(Position),
        })
}

/// What times are rounded to, in microseconds.
const NANOSECOND: f64 = 1e-3;

/// Slots, round trips, packets sent and received.
type Sums = (u64, Vec<f64>, u64, u64);

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn rows_depend_on_the_events_alone(events in history(), cuts in cuts()) {
        let once = View::of(&events);
        let mut cut = fold_cut(&events, &cuts);
        prop_assert_eq!(cut.series.latest_all(), once.series.latest_all());
        cut.flush();
        prop_assert_eq!(&*cut.rows.0.lock().unwrap(), &*once.rows.0.lock().unwrap());
        let again = View::open(cut.rows);
        prop_assert_eq!(again.series.latest_all(), once.series.latest_all());
        prop_assert_eq!(again.series.position(), once.series.position());
        prop_assert_eq!(again.series.uplink_lost_since(), once.series.uplink_lost_since());
    }

    #[test]
    fn a_raw_query_is_a_filter_over_all_events(
        events in history(),
        cuts in cuts(),
        queries in vec(query(), 1..6),
    ) {
        let view = fold_cut(&events, &cuts);
        let log = Events(events);
        for query in queries {
            let rows = view.series.raw(&log, &query).unwrap();
            prop_assert_eq!(rows, naive(&log.0, &query), "{:?}", query);
        }
    }

    #[test]
    fn pages_joined_by_their_cursors_are_the_whole(
        events in history(),
        cuts in cuts(),
        page in 1_usize..70,
        newest_first: bool,
    ) {
        let view = fold_cut(&events, &cuts);
        let log = Events(events);
        let all = RawQuery { limit: usize::MAX, newest_first, ..RawQuery::default() };
        let mut rows: Vec<Row> = Vec::new();
        loop {
            let next = RawQuery { limit: page, after: rows.last().map(Row::cursor), ..all.clone() };
            let more = view.series.raw(&log, &next).unwrap();
            if more.is_empty() {
                break;
            }
            rows.extend(more);
        }
        prop_assert_eq!(rows, naive(&log.0, &all));
    }

    /// Whatever came later, an answer as of a position is the answer of a view that saw no more than that.
    #[test]
    fn a_moment_of_the_past_is_what_was_known_then(
        events in history(),
        cuts in cuts(),
        moments in vec((0_usize..2_000, 1_usize..2_000, -100_i64..1_400, -100_i64..60_000), 1..5),
    ) {
        let view = fold_cut(&events, &cuts);
        let log = Events(events);
        for (moment, max_points, from, length) in moments {
            let then = &log.0[..moment.min(log.0.len())];
            let (fresh, fresh_log) = (View::of(then), Events(then.to_vec()));
            let as_of = Position(then.len() as u64);
            prop_assert_eq!(view.series.latest_all_as_of(&log, as_of).unwrap(), fresh.series.latest_all());
            for job in [JobId(1), JobId(2)] {
                let got = view.series.latest_of_job_as_of(&log, job, as_of).unwrap();
                prop_assert_eq!(got, fresh.series.latest_of_job(job));
            }
            let minutes = |minutes: i64| Timestamp::from_millis(T0 + minutes * 60_000);
            for destination in [DestinationId(1), DestinationId(2), DestinationId(3)] {
                let query = SeriesQuery {
                    job: None,
                    destination,
                    probe: ProbeKind::Ping,
                    from: minutes(from),
                    to: minutes(from + length),
                    max_points: max_points % 100 + 1,
                    as_of: Some(as_of),
                };
                let got = view.series.points(&log, &query).unwrap();
                let expected = fresh.series.points(&fresh_log, &SeriesQuery { as_of: None, ..query.clone() }).unwrap();
                prop_assert_eq!(got, expected, "{:?}", query);
            }
        }
    }

    #[test]
    fn points_add_up_to_the_raw_rows(events in history(), cuts in cuts(), max_points in 1_usize..2_000) {
        let view = fold_cut(&events, &cuts);
        let log = Events(events);
        let query = SeriesQuery {
            job: None,
            destination: DestinationId(1),
            probe: ProbeKind::Ping,
            from: Timestamp::from_nanos(i64::MIN),
            to: Timestamp::from_nanos(i64::MAX),
            max_points,
            as_of: None,
        };
        let answer = view.series.points(&log, &query).unwrap();
        prop_assert!(answer.points.len() <= max_points);
        prop_assert!(answer.points.is_sorted_by_key(|point| point.at));

        // Every span's numbers from the events, the slow way.
        let width = match answer.resolution {
            Resolution::Raw => None,
            Resolution::Seconds(seconds) => Some(i64::from(seconds) * 1_000),
        };
        let mut spans: BTreeMap<(i64, u64), Sums> = BTreeMap::new();
        for envelope in &log.0 {
            let (Some(head), Some(ProbeKind::Ping)) = (envelope.event.head(), envelope.event.probe()) else { continue };
            if head.destination != DestinationId(1) {
                continue;
            }
            let slot = head.slot_at.as_millis();
            let span = spans.entry(match width {
                Some(width) => (slot.div_euclid(width) * width, 0),
                None => (slot, envelope.position.0),
            });
            let (slots, times, sent, received) = span.or_default();
            *slots += 1;
            let Event::PingMeasured(ping) = &envelope.event else { continue };
            let left = ping.echoes.iter().filter(|echo| echo.is_sent()).count() as u64;
            if head.flags.uplink_down || left == 0 {
                continue;
            }
            *sent += left;
            *received +=
                ping.echoes.iter().filter(|echo| matches!(echo, Echo::Reply(_) | Echo::Late(_))).count() as u64;
            if !head.flags.clock_suspect {
                times.extend(ping.echoes.iter().filter_map(Echo::rtt).map(|rtt| f64::from(rtt.as_micros())));
            }
        }
        prop_assert_eq!(answer.points.len(), spans.len());
        for (point, ((at, _), (slots, times, sent, received))) in answer.points.iter().zip(spans) {
            prop_assert_eq!(point.at, Timestamp::from_millis(at));
            prop_assert_eq!((point.slots, point.sent, point.received), (slots, sent, received));
            prop_assert_eq!(point.n, times.len() as u64);
            let Some(summary) = netstats_stats::summarise(&times) else {
                prop_assert_eq!(point.median_ms, None);
                continue;
            };
            prop_assert_eq!(point.min_ms, Some(summary.min / 1_000.0));
            prop_assert_eq!(point.max_ms, Some(summary.max / 1_000.0));
            prop_assert!((point.mean_ms.unwrap() * 1_000.0 - summary.mean).abs() <= 1e-9 * summary.mean + NANOSECOND);
            let off = if answer.exact { 1e-9 } else { netstats_stats::RELATIVE_ERROR + 1e-9 };
            prop_assert!((point.median_ms.unwrap() * 1_000.0 - summary.median).abs() <= off * summary.median + NANOSECOND);
            match (point.p95_ms, summary.p95) {
                (Ok(got), Ok(expected)) => prop_assert!((got * 1_000.0 - expected).abs() <= off * expected + NANOSECOND),
                (got, expected) => prop_assert_eq!(got, expected),
            }
        }
    }
}
