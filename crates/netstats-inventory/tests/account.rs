//! Annotations, maintenance windows and accounting: decided, folded, kept, and known as of any position.

mod common;

use std::time::Duration;

use common::{Rows, World, destination};
use netstats_event::{
    AccountingSpec, AnnotationId, AnnotationSpec, DestinationId, DestinationSpec, Event, MaintenanceId,
    MaintenanceSpec, Meta, ObserverOutages, Position, Timestamp, WeeklyHours, WeeklySpan,
};
use netstats_inventory::{
    Command, InventoryProjector, MAX_ACCOUNTING_RETRIES, MAX_ANNOTATIONS, MAX_GRACE_S, MAX_MAINTENANCE,
    MAX_MAINTENANCE_SPANS, RejectionKind, maintenance_spans,
};
use netstats_projector::Projector;

/// 2026-01-01T00:00:00Z, a Thursday.
const NEW_YEAR_S: i64 = 1_767_225_600;

fn at(hours: i64) -> Timestamp {
    Timestamp::from_secs(NEW_YEAR_S + hours * 3_600)
}

fn annotation(title: &str) -> AnnotationSpec {
    AnnotationSpec { title: title.to_owned(), start_time: at(1), ..AnnotationSpec::default() }
}

fn maintenance(from: i64, to: i64) -> MaintenanceSpec {
    MaintenanceSpec {
        title: "upgrade".to_owned(),
        start_time: at(from),
        end_time: Some(at(to)),
        ..MaintenanceSpec::default()
    }
}

fn furnished() -> World {
    let mut world = World::default();
    world.run(Command::AddDestination(destination("a", "192.0.2.1"))).unwrap();
    let tagged = DestinationSpec { tags: vec!["core".to_owned()], ..destination("b", "192.0.2.2") };
    world.run(Command::AddDestination(tagged)).unwrap();
    world
}

/// One of everything, changed, and one removed.
fn busy() -> World {
    let mut world = furnished();
    world.run(Command::AddAnnotation(annotation("first"))).unwrap();
    world.run(Command::AddAnnotation(annotation("second"))).unwrap();
    let why = Meta { reason: Some("typo".to_owned()), ..Meta::by("user:ada") };
    let change = Command::ChangeAnnotation { id: AnnotationId(1), spec: annotation("First") };
    world.run_as(change, &why).unwrap();
    world.run(Command::RemoveAnnotation { id: AnnotationId(2) }).unwrap();
    world.run(Command::AddMaintenance(maintenance(1, 2))).unwrap();
    world.run(Command::AddMaintenance(maintenance(5, 6))).unwrap();
    world.run(Command::ChangeMaintenance { id: MaintenanceId(2), spec: maintenance(5, 7) }).unwrap();
    world.run(Command::RemoveMaintenance { id: MaintenanceId(1) }).unwrap();
    world.run(Command::ChangeAccounting(AccountingSpec { retries: 3, ..AccountingSpec::default() })).unwrap();
    world
}

#[test]
fn what_is_said_after_the_fact_is_known_from_then_on_and_what_was_known_before_stays_readable() {
    let world = busy();
    let (mut projector, handle) = InventoryProjector::new();
    projector.apply(&world.log);
    assert_eq!(*handle.current(), world.state);
    let as_of = |position| handle.as_of(&world, Position(position)).unwrap();
    assert_eq!(as_of(4).annotations[&AnnotationId(1)].spec.title, "first");
    assert_eq!(as_of(5).annotations[&AnnotationId(1)].spec.title, "First");
    assert_eq!((as_of(5).annotations.len(), as_of(6).annotations.len()), (2, 1));
    assert!(as_of(2).annotations.is_empty() && as_of(6).maintenance.is_empty());
    let range = at(0)..at(24);
    let windows = |position| as_of(position).maintenance_of(DestinationId(1), &range);
    assert_eq!(windows(6), []);
    assert_eq!(windows(8), [at(1)..at(2), at(5)..at(6)]);
    assert_eq!(windows(10), [at(5)..at(7)]);
    assert_eq!((as_of(10).accounting.retries, as_of(11).accounting.retries), (0, 3));
    let changed = &world.state.annotations[&AnnotationId(1)];
    assert_eq!((changed.added, changed.changed), (Position(3), Position(5)));
    assert_eq!((changed.by.actor.as_str(), changed.by.reason.as_deref()), ("user:ada", Some("typo")));
    assert_eq!(world.state.accounting_changed, Position(11));
}

#[test]
fn rows_bring_everything_back_and_numbers_are_not_used_twice() {
    let mut world = busy();
    let (mut projector, _) = InventoryProjector::new();
    let mut rows = Rows::default();
    for envelope in &world.log {
        projector.apply(std::slice::from_ref(envelope));
        rows.flush(&mut projector);
    }
    let (mut loaded, handle) = InventoryProjector::new();
    loaded.load(&rows).unwrap();
    assert_eq!(*handle.current(), world.state);
    let (mut at_once, _) = InventoryProjector::new();
    at_once.apply(&world.log);
    let mut together = Rows::default();
    together.flush(&mut at_once);
    assert_eq!(together, rows, "rows do not depend on when they are flushed");
    world.run(Command::AddAnnotation(annotation("third"))).unwrap();
    world.run(Command::AddMaintenance(maintenance(1, 2))).unwrap();
    assert!(world.state.annotations.contains_key(&AnnotationId(3)));
    assert!(world.state.maintenance.contains_key(&MaintenanceId(3)));
}

#[test]
fn descriptions_are_put_into_one_form_and_what_changes_nothing_is_no_event() {
    let mut world = furnished();
    let spec = AnnotationSpec {
        title: "  cable cut ".to_owned(),
        text: Some("  ".to_owned()),
        start_time: Timestamp::from_nanos(1_000_000_999),
        destinations: vec![DestinationId(2), DestinationId(1), DestinationId(2)],
        tags: vec!["WAN".to_owned(), "wan".to_owned()],
        ..AnnotationSpec::default()
    };
    world.run(Command::AddAnnotation(spec.clone())).unwrap();
    let kept = &world.state.annotations[&AnnotationId(1)].spec;
    assert_eq!((kept.title.as_str(), &kept.text, kept.tags.as_slice()), ("cable cut", &None, &["wan".to_owned()][..]));
    assert_eq!((kept.start_time, kept.destinations.len()), (Timestamp::from_millis(1_000), 2));
    assert!(world.run(Command::ChangeAnnotation { id: AnnotationId(1), spec: spec.clone() }).unwrap().is_empty());
    assert!(world.run(Command::ChangeAccounting(AccountingSpec::default())).unwrap().is_empty());
    // A destination that was removed may stay named, and cannot be named anew.
    world.run(Command::RemoveDestination { id: DestinationId(1) }).unwrap();
    let retitled = AnnotationSpec { title: "cut".to_owned(), ..spec };
    world.run(Command::ChangeAnnotation { id: AnnotationId(1), spec: retitled.clone() }).unwrap();
    assert_eq!(world.run(Command::AddAnnotation(retitled)).unwrap_err().field.as_deref(), Some("destinations"));
}

#[test]
fn what_makes_no_sense_is_refused_by_field() {
    let mut world = furnished();
    let weekly = |zone: &str, spans: &[(u8, u16, u16)]| {
        let spans = spans.iter().map(|(weekday, from_minute, to_minute)| WeeklySpan {
            weekday: *weekday,
            from_minute: *from_minute,
            to_minute: *to_minute,
        });
        Some(WeeklyHours { time_zone: zone.to_owned(), spans: spans.collect() })
    };
    let cases = [
        (Command::AddAnnotation(AnnotationSpec { title: " ".to_owned(), ..annotation("") }), "title"),
        (Command::AddAnnotation(AnnotationSpec { end_time: Some(at(1)), ..annotation("x") }), "end_time"),
        (
            Command::AddAnnotation(AnnotationSpec { destinations: vec![DestinationId(9)], ..annotation("x") }),
            "destinations",
        ),
        (Command::AddMaintenance(maintenance(3, 2)), "end_time"),
        (
            Command::AddMaintenance(MaintenanceSpec {
                weekly: weekly("Mars/Base", &[(0, 0, 60)]),
                ..maintenance(0, 9)
            }),
            "weekly.time_zone",
        ),
        (Command::AddMaintenance(MaintenanceSpec { weekly: weekly("UTC", &[]), ..maintenance(0, 9) }), "weekly.spans"),
        // A Sunday within a Thursday.
        (
            Command::AddMaintenance(MaintenanceSpec { weekly: weekly("UTC", &[(6, 0, 60)]), ..maintenance(0, 9) }),
            "weekly",
        ),
        (
            Command::ChangeAccounting(AccountingSpec {
                retries: MAX_ACCOUNTING_RETRIES + 1,
                ..AccountingSpec::default()
            }),
            "retries",
        ),
        (
            Command::ChangeAccounting(AccountingSpec { grace_s: MAX_GRACE_S + 1, ..AccountingSpec::default() }),
            "grace_s",
        ),
        (
            Command::ChangeAccounting(AccountingSpec { max_loss_ppm: Some(1_000_001), ..AccountingSpec::default() }),
            "max_loss_ppm",
        ),
        (Command::ChangeAccounting(AccountingSpec { max_p95_us: Some(0), ..AccountingSpec::default() }), "max_p95_us"),
    ];
    for (command, field) in cases {
        let no = world.run(command.clone()).expect_err(field);
        assert_eq!((no.kind, no.field.as_deref()), (RejectionKind::Invalid, Some(field)), "{command:?}");
    }
    for command in [
        Command::RemoveAnnotation { id: AnnotationId(1) },
        Command::ChangeAnnotation { id: AnnotationId(1), spec: annotation("x") },
        Command::RemoveMaintenance { id: MaintenanceId(1) },
        Command::ChangeMaintenance { id: MaintenanceId(1), spec: maintenance(0, 1) },
    ] {
        assert_eq!(world.run(command).unwrap_err().kind, RejectionKind::NotFound);
    }
    assert!(
        world
            .run(Command::ChangeAccounting(AccountingSpec {
                retries: MAX_ACCOUNTING_RETRIES,
                grace_s: MAX_GRACE_S,
                observer_outages: ObserverOutages::Down,
                max_loss_ppm: Some(1_000_000),
                ..AccountingSpec::default()
            }))
            .is_ok()
    );
}

#[test]
fn there_is_an_end_to_how_many() {
    let mut world = furnished();
    for _ in 0..MAX_ANNOTATIONS {
        let id = world.state.next_annotation;
        world.append(Event::AnnotationAdded(netstats_event::AnnotationAdded {
            id,
            spec: annotation("x"),
            meta: Meta::by("test"),
        }));
    }
    assert_eq!(world.run(Command::AddAnnotation(annotation("x"))).unwrap_err().kind, RejectionKind::Conflict);
    for _ in 0..MAX_MAINTENANCE {
        world.run(Command::AddMaintenance(maintenance(0, 1))).unwrap();
    }
    let no = world.run(Command::AddMaintenance(maintenance(0, 1))).unwrap_err();
    assert_eq!(no.accepted.as_deref(), Some("at most 1000"));
    world.run(Command::RemoveMaintenance { id: MaintenanceId(7) }).unwrap();
    world.run(Command::AddMaintenance(maintenance(0, 1))).unwrap();
}

#[test]
fn maintenance_is_of_those_it_names_by_id_or_tag_or_of_all() {
    let mut world = furnished();
    let range = at(0)..at(100);
    let of = |world: &World, id| world.state.maintenance_of(DestinationId(id), &range).len();
    world.run(Command::AddMaintenance(maintenance(0, 1))).unwrap();
    assert_eq!((of(&world, 1), of(&world, 2), of(&world, 77)), (1, 1, 1));
    let by_id = MaintenanceSpec { destinations: vec![DestinationId(1)], ..maintenance(2, 3) };
    world.run(Command::AddMaintenance(by_id)).unwrap();
    let by_tag = MaintenanceSpec { destination_tags: vec!["Core".to_owned()], ..maintenance(4, 5) };
    world.run(Command::AddMaintenance(by_tag.clone())).unwrap();
    world.run(Command::AddMaintenance(by_tag)).unwrap();
    assert_eq!((of(&world, 1), of(&world, 2), of(&world, 77)), (2, 3, 1));
}

#[test]
fn a_window_that_comes_again_opens_every_week_on_its_zones_clock() {
    let spec = MaintenanceSpec {
        end_time: None,
        weekly: Some(WeeklyHours {
            time_zone: "Europe/Berlin".to_owned(),
            // Friday 23:00 to Saturday 01:00.
            spans: vec![WeeklySpan { weekday: 4, from_minute: 1_380, to_minute: 60 }],
        }),
        ..maintenance(0, 1)
    };
    let hours = |spans: Vec<std::ops::Range<Timestamp>>| -> Vec<(i64, i64)> {
        let hour = |time: Timestamp| (time.as_secs() - NEW_YEAR_S) / 3_600;
        spans.iter().map(|span| (hour(span.start), hour(span.end))).collect()
    };
    // 23:00 in Berlin is 22:00 UTC in winter.
    assert_eq!(hours(maintenance_spans(&spec, &(at(0)..at(24 * 14)))), [(46, 48), (214, 216)]);
    assert_eq!(hours(maintenance_spans(&spec, &(at(47)..at(215)))), [(47, 48), (214, 215)], "cut to the range");
    assert_eq!(maintenance_spans(&spec, &(at(48)..at(60))), []);
    assert_eq!(maintenance_spans(&spec, &(at(9)..at(9))), []);
    // In summer an hour earlier: 2026-07-03.
    let summer = at(24 * 183)..at(24 * 185);
    assert_eq!(hours(maintenance_spans(&spec, &summer)), [(24 * 183 + 21, 24 * 183 + 23)]);
    // A window that nobody closed is open to the end of the range.
    let open = MaintenanceSpec { end_time: None, ..maintenance(3, 4) };
    assert_eq!(hours(maintenance_spans(&open, &(at(0)..at(9)))), [(3, 9)]);
    // Seven a week for three centuries: there is an end.
    let daily = WeeklyHours {
        time_zone: "UTC".to_owned(),
        spans: (0..7).map(|weekday| WeeklySpan { weekday, from_minute: 0, to_minute: 60 }).collect(),
    };
    let spec = MaintenanceSpec { weekly: Some(daily), ..spec };
    let long = at(0)..at(0).plus(Duration::from_secs(86_400 * 365 * 40));
    assert_eq!(maintenance_spans(&spec, &long).len(), MAX_MAINTENANCE_SPANS);
}
