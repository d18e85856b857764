//! The view of availability against naive counting, restarts, and moments of the past.

mod common;

use std::sync::Arc;

use common::{Events, Rows, T0, View, envelopes, failed, head, history, ping, replies};
use netstats_event::*;
use netstats_projector::{Projector, RowBatch};
use netstats_series::{AccountQuery, AvailabilityProjector, AvailabilityView, accounting_of, outage_detail};
use netstats_stats::{Accounting, Availability};
use proptest::collection::vec;
use proptest::prelude::*;

const STEP: i64 = 60_000;

struct Fold {
    projector: AvailabilityProjector,
    view: AvailabilityView,
    rows: Arc<Rows>,
}

impl Fold {
    fn open(rows: Arc<Rows>) -> Self {
        let (mut projector, view) = AvailabilityProjector::new();
        projector.attach(rows.clone());
        projector.load(&*rows).unwrap();
        Self { projector, view, rows }
    }

    fn flush(&mut self) {
        let mut batch = RowBatch::default();
        self.projector.flush(&mut batch);
        self.rows.store(batch);
    }

    /// Folds in pieces: after each, rows are written; where asked for, everything but the rows is forgotten.
    fn of(events: &[Envelope], pieces: &[(usize, bool)]) -> Self {
        let mut fold = Self::open(Arc::default());
        let mut rest = events;
        for (length, restarts) in pieces {
            let (some, after) = rest.split_at((*length).min(rest.len()));
            rest = after;
            fold.projector.apply(some);
            fold.flush();
            if *restarts {
                fold = Self::open(fold.rows);
            }
        }
        fold.projector.apply(rest);
        fold
    }
}

fn query(from: i64, to: i64) -> AccountQuery {
    AccountQuery {
        job: Some(JobId(1)),
        destination: DestinationId(1),
        from: Timestamp::from_millis(from),
        to: Timestamp::from_millis(to),
        maintenance: vec![],
        accounting: Accounting::default(),
        as_of: None,
    }
}

/// What a minute brought.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Minute {
    Up,
    Down,
    FailedHere,
    Missed,
}

fn event(minute: Minute, slot: i64) -> Event {
    let head = head(1, 1, slot);
    match minute {
        Minute::Up => ping(head, replies([9_000, 9_500])),
        Minute::Down => ping(head, vec![Echo::Lost; 3]),
        Minute::FailedHere => failed(head, "no socket"),
        Minute::Missed => Event::SlotsMissed(SlotsMissed {
            job: JobId(1),
            destination: DestinationId(1),
            probe: ProbeKind::Ping,
            first_slot_at: Timestamp::from_millis(slot),
            last_slot_at: Timestamp::from_millis(slot),
            count: 1,
            reason: MissReason::CollectorDown,
        }),
    }
}

/// Minutes in runs, some of them longer than a day.
fn minutes() -> impl Strategy<Value = Vec<Minute>> {
    let run = prop_oneof![
        6 => (Just(Minute::Up), prop_oneof![3 => 1_usize..40, 1 => 1_400_usize..1_500]),
        3 => (Just(Minute::Down), 1_usize..6),
        1 => (Just(Minute::FailedHere), 1_usize..6),
        1 => (Just(Minute::Missed), 1_usize..6),
    ];
    vec(run, 1..25).prop_map(|runs| runs.into_iter().flat_map(|(m, n)| std::iter::repeat_n(m, n)).collect())
}

fn log_of(minutes: &[Minute]) -> Vec<Envelope> {
    envelopes(minutes.iter().zip(0..).map(|(minute, i)| event(*minute, T0 + i * STEP)))
}

fn account(fold: &Fold, log: &[Envelope], query: &AccountQuery) -> Availability {
    fold.view.account(&View::of(log).series, query).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn an_account_is_what_counting_minutes_gives(
        minutes in minutes(),
        pieces in vec((1_usize..500, any::<bool>()), 0..8),
    ) {
        let log = log_of(&minutes);
        let end = T0 + minutes.len() as i64 * STEP;
        let account = account(&Fold::of(&log, &pieces), &log, &query(T0 - 10 * STEP, end + 10 * STEP));
        let count = |of: &[Minute]| minutes.iter().filter(|minute| of.contains(minute)).count() as i64 * STEP;
        prop_assert_eq!(account.up_ms, count(&[Minute::Up]));
        prop_assert_eq!(account.down_ms, count(&[Minute::Down]));
        prop_assert_eq!(account.unknown_ms, count(&[Minute::FailedHere, Minute::Missed]));
        prop_assert_eq!(account.unmeasured_ms, 20 * STEP);
        // Failures, with only blind minutes between them, are one outage.
        let mut outages: Vec<(i64, i64)> = Vec::new();
        let mut is_down = false;
        for (minute, at) in minutes.iter().zip((T0..).step_by(STEP as usize)) {
            match minute {
                Minute::Down if is_down => outages.last_mut().unwrap().1 = at + STEP,
                Minute::Down => outages.push((at, at + STEP)),
                _ => {}
            }
            is_down = match minute {
                Minute::Down => true,
                Minute::Up => false,
                _ => is_down,
            };
        }
        let found: Vec<_> = account.outages.iter().map(|outage| (outage.from, outage.to)).collect();
        prop_assert_eq!(found, outages);
    }

    #[test]
    fn as_of_a_position_is_what_a_view_of_the_events_up_to_it_says(
        minutes in minutes(),
        pieces in vec((1_usize..900, any::<bool>()), 0..5),
        shares in vec(0.0..1.0_f64, 12),
        retries in 0_u32..3,
    ) {
        let log = log_of(&minutes);
        let (fold, series) = (Fold::of(&log, &pieces), View::of(&log).series);
        let accounting = Accounting { retries, ..Accounting::default() };
        let whole = AccountQuery { accounting, ..query(T0 - STEP, T0 + (minutes.len() as i64 + 5) * STEP) };
        for share in shares {
            let known = (share * log.len() as f64) as usize;
            let prefix = &log[..known];
            let query = AccountQuery { as_of: Some(Position(known as u64)), ..whole.clone() };
            let then = account(&Fold::of(prefix, &[]), prefix, &whole);
            prop_assert_eq!(fold.view.account(&series, &query).unwrap(), then, "as of {}", known);
        }
    }

    #[test]
    fn restarts_change_nothing_whatever_happened(
        log in history(),
        pieces in vec((0_usize..200, any::<bool>()), 0..12),
    ) {
        let (mut at_once, mut in_pieces) = (Fold::of(&log, &[]), Fold::of(&log, &pieces));
        let series = View::of(&log).series;
        for job in [None, Some(JobId(1)), Some(JobId(2))] {
            for destination in 1..4 {
                let whole = query(T0 - 4_000 * STEP, T0 + 60_000 * STEP);
                let query = AccountQuery { job, destination: DestinationId(destination), ..whole };
                let one = at_once.view.account(&series, &query).unwrap();
                let length = 64_000 * STEP;
                prop_assert_eq!(one.up_ms + one.down_ms + one.unknown_ms + one.unmeasured_ms, length);
                prop_assert_eq!(one, in_pieces.view.account(&series, &query).unwrap());
            }
        }
        at_once.flush();
        in_pieces.flush();
        prop_assert_eq!(&*at_once.rows.0.lock().unwrap(), &*in_pieces.rows.0.lock().unwrap());
    }
}

#[test]
fn a_job_that_was_stopped_left_no_outage_and_no_uptime() {
    let mut log: Vec<Event> = (0..10).map(|i| event(Minute::Down, T0 + i * STEP)).collect();
    log.extend((500..510).map(|i| event(Minute::Up, T0 + i * STEP)));
    let log = envelopes(log);
    let account = account(&Fold::of(&log, &[]), &log, &query(T0, T0 + 600 * STEP));
    assert_eq!((account.up_ms, account.down_ms, account.unmeasured_ms), (10 * STEP, 10 * STEP, 580 * STEP));
    assert!(account.outages[0].is_open, "nobody saw it end");
}

#[test]
fn a_longer_interval_is_taken_up_and_holds() {
    let mut log: Vec<Event> = (0..10).map(|i| event(Minute::Up, T0 + i * STEP)).collect();
    log.extend((1..10).map(|i| event(Minute::Up, T0 + 9 * STEP + i * 10 * STEP)));
    let log = envelopes(log);
    let account = account(&Fold::of(&log, &[]), &log, &query(T0, T0 + 109 * STEP));
    // But for the one time between the intervals.
    assert_eq!((account.up_ms, account.unmeasured_ms), (100 * STEP, 9 * STEP));
}

#[test]
fn a_sleep_of_many_days_is_unknown_on_each_of_them() {
    let day = 86_400_000;
    let missed = Event::SlotsMissed(SlotsMissed {
        job: JobId(1),
        destination: DestinationId(1),
        probe: ProbeKind::Ping,
        first_slot_at: Timestamp::from_millis(T0 + STEP),
        last_slot_at: Timestamp::from_millis(T0 + 30 * day),
        count: u32::try_from(30 * day / STEP).unwrap(),
        reason: MissReason::HostSlept,
    });
    let log = envelopes([event(Minute::Up, T0), missed, event(Minute::Up, T0 + 30 * day + STEP)]);
    let fold = Fold::of(&log, &[(2, true)]);
    let whole = account(&fold, &log, &query(T0, T0 + 30 * day + 2 * STEP));
    assert_eq!((whole.unknown_ms, whole.unmeasured_ms, whole.up_ms), (30 * day, 0, 2 * STEP));
    let inside = account(&fold, &log, &query(T0 + 12 * day, T0 + 13 * day));
    assert_eq!((inside.unknown_ms, inside.unmeasured_ms), (day, 0));
}

#[test]
fn an_outage_is_told_with_its_cause_and_the_routes_around_it() {
    let route = |slot, reached| {
        let hop = |ttl, from: &str| Hop {
            ttl,
            answers: vec![HopAnswer::Answer {
                from: from.parse().unwrap(),
                rtt: Rtt::from_micros(900),
                icmp_type: 11,
                icmp_code: 0,
            }],
            ..Hop::default()
        };
        Event::RouteTraced(RouteTraced {
            head: head(2, 1, slot),
            address: "192.0.2.1".parse().unwrap(),
            protocol: TracerouteProtocol::Udp,
            clock: ClockSource::User,
            hops: if reached { vec![hop(1, "192.0.2.8"), hop(2, "192.0.2.1")] } else { vec![hop(1, "192.0.2.8")] },
            reached,
            duration_us: 1_000,
        })
    };
    let log = envelopes([
        route(T0 - 5, true),
        event(Minute::Up, T0),
        event(Minute::Down, T0 + STEP),
        route(T0 + STEP + 5, false),
        event(Minute::Down, T0 + 2 * STEP),
        event(Minute::Up, T0 + 3 * STEP),
        route(T0 + 3 * STEP + 5, true),
    ]);
    let (fold, series) = (Fold::of(&log, &[]), View::of(&log).series);
    let query = query(T0, T0 + 4 * STEP);
    let found = fold.view.account(&series, &query).unwrap().outages;
    let [outage] = found.as_slice() else { panic!("{found:?}") };
    let detail = outage_detail(&series, &Events(log), &query, *outage).unwrap();
    assert_eq!((detail.outage.from, detail.outage.to, detail.outage.is_open), (T0 + STEP, T0 + 3 * STEP, false));
    let cause = detail.cause.as_ref().unwrap();
    assert_eq!((cause.status.name(), cause.position), ("timeout", Position(3)));
    assert_eq!(detail.last_good_path.as_ref().unwrap().position, Position(1));
    assert_eq!(detail.first_bad_path.as_ref().unwrap().position, Position(4));
}

#[test]
fn the_saved_method_is_the_one_that_is_reckoned_with() {
    let spec = AccountingSpec {
        retries: 3,
        grace_s: 90,
        is_maintenance_excluded: false,
        observer_outages: ObserverOutages::Down,
        ..AccountingSpec::default()
    };
    let accounting = accounting_of(&spec);
    assert_eq!((accounting.retries, accounting.grace_ms, accounting.is_maintenance_excluded), (3, 90_000, false));
    assert_eq!(accounting.blindness, netstats_stats::Blindness::Down);
    assert_eq!(accounting_of(&AccountingSpec::default()), Accounting::default());
}
