//! The view: rows, restarts, history, waiting; and what holds after any commands at all.

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::{Rows, World, destination, job};
use netstats_event::{
    DestinationId, DestinationSpec, Envelope, Event, JobId, JobSpec, ManagedBy, Meta, Metric, Position, Timestamp,
    encode,
};
use netstats_inventory::{
    Command, DesiredJob, DesiredState, Inventory, InventoryProjector, MAX_SUBSCRIBERS, RejectionKind, Starter, decide,
};
use netstats_projector::{ErrorKind, Projector};
use proptest::prelude::*;

fn world() -> World {
    let mut world = World::default();
    world.run(Command::AddDestination(destination("a", "192.0.2.1"))).unwrap();
    world.append(Event::Unknown { kind: 250, version: 1, payload: vec![] });
    world.run(Command::AddJob(job("j"))).unwrap();
    world.run(Command::StopJob { id: JobId(1) }).unwrap();
    world.run(Command::RemoveDestination { id: DestinationId(1) }).unwrap();
    world
}

#[test]
fn readers_see_a_run_of_events_at_once_and_earlier_states_again() {
    let world = world();
    let (mut projector, handle) = InventoryProjector::new();
    let before = handle.current();
    projector.apply(&world.log);
    assert_eq!(*before, Inventory::default(), "a state that a reader holds does not change under it");
    assert_eq!(*handle.current(), world.state);
    assert_eq!(handle.current().position, Position(5));
    for position in 0..=6 {
        let mut expected = Inventory::default();
        world.log.iter().take(position).for_each(|envelope| expected.apply(envelope));
        let position = Position(position as u64);
        assert_eq!(*handle.as_of(&world, position).unwrap(), expected, "as of {position}");
    }
    let at = world.log[2].recorded_at;
    assert_eq!(handle.position_at(at), Position(3));
    assert_eq!(handle.position_at(at.minus(Duration::from_millis(1))), Position(1), "a sample is no config event");
    assert_eq!(handle.position_at(Timestamp::from_secs(0)), Position::START);
}

#[test]
fn the_audit_trail_is_found_newest_first() {
    let world = world();
    let (mut projector, handle) = InventoryProjector::new();
    projector.apply(&world.log);
    let positions = |before: Option<u64>, limit, job: bool| -> Vec<u64> {
        let wanted = |change: &netstats_inventory::Change| !job || change.job.is_some();
        handle.changes(before.map(Position), limit, wanted).iter().map(|change| change.position.0).collect()
    };
    assert_eq!(positions(None, 10, false), [5, 4, 3, 1]);
    assert_eq!(positions(Some(5), 2, false), [4, 3]);
    assert_eq!(positions(None, 10, true), [4, 3]);
}

#[test]
fn a_config_event_of_a_newer_program_moves_the_position() {
    let mut world = world();
    world.append(Event::Unknown { kind: 131, version: 1, payload: vec![1] });
    assert_eq!(world.state.position, Position(6));
    let (mut projector, handle) = InventoryProjector::new();
    projector.apply(&world.log);
    assert_eq!(handle.changes(None, 1, |_| true)[0].kind, 131);
}

#[test]
fn waiting_ends_with_a_change_or_with_the_time() {
    let (mut projector, handle) = InventoryProjector::new();
    assert_eq!(handle.wait_changed(Position::START, Duration::from_millis(1)).position, Position::START);
    let wakes = handle.subscribe().unwrap();
    let waiter = std::thread::spawn({
        let handle = handle.clone();
        move || handle.wait_changed(Position::START, Duration::from_secs(60)).position
    });
    let world = world();
    projector.apply(&world.log[..1]);
    projector.apply(&world.log[1..2]);
    projector.apply(&world.log[2..]);
    assert!(waiter.join().unwrap() > Position::START);
    wakes.recv_timeout(Duration::from_secs(60)).unwrap();
    assert!(wakes.try_recv().is_err(), "wake-ups that were not taken are one");
}

#[test]
fn dropped_subscribers_make_room() {
    let (_projector, handle) = InventoryProjector::new();
    let held: Vec<_> = (0..MAX_SUBSCRIBERS).map(|_| handle.subscribe().unwrap()).collect();
    assert!(handle.subscribe().is_none());
    drop(held);
    assert!(handle.subscribe().is_some());
}

#[test]
fn a_row_that_cannot_be_read_is_corrupt_and_nothing_is_taken_up() {
    let mut with_all = world();
    with_all.run(Command::AddDestination(destination("b", "192.0.2.2"))).unwrap();
    let (mut projector, _) = InventoryProjector::new();
    projector.apply(&with_all.log);
    let mut rows = Rows::default();
    rows.flush(&mut projector);
    for key in rows.0.keys() {
        for cut in [0, 1, 17, 33] {
            let mut broken = rows.clone();
            broken.0.get_mut(key).unwrap().truncate(cut);
            if broken == rows {
                continue;
            }
            let (mut projector, handle) = InventoryProjector::new();
            let error = projector.load(&broken).expect_err("a cut row");
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            assert_eq!(*handle.current(), Inventory::default());
        }
    }
}

/// Names, hosts and tags from a small world, so that commands meet.
fn a_destination() -> impl Strategy<Value = DestinationSpec> {
    let name = prop::sample::select(vec!["a", "A", "b", "c", " d ", "é", "É", "7", ""]);
    let host = prop::sample::select(vec!["192.0.2.1", "::1", "Example.com.", "127.1"]);
    let tags = prop::collection::vec(prop::sample::select(vec!["x", "X ", "y", "lan"]), 0..4);
    (name, host, tags, any::<bool>(), prop::option::of(0..3_u16)).prop_map(|(name, host, tags, paused, port)| {
        DestinationSpec { tags: tags.into_iter().map(str::to_owned).collect(), paused, port, ..destination(name, host) }
    })
}

fn a_job() -> impl Strategy<Value = JobSpec> {
    let name = prop::sample::select(vec!["a", "J", "j", "k", "l ", "8"]);
    let tags = prop::collection::vec(prop::sample::select(vec!["x", "y", "LAN"]), 0..3);
    let metrics = prop::collection::vec(prop::sample::select(Metric::ALL.to_vec()), 0..4);
    let interval_s = prop::sample::select(vec![30_u32, 60, 60, 300, 86_400]);
    let destinations = prop::collection::vec((1..6_u32).prop_map(DestinationId), 0..4);
    (name, tags, metrics, interval_s, destinations, any::<bool>()).prop_map(
        |(name, tags, metrics, interval_s, destinations, enabled)| {
            let destination_tags = tags.into_iter().map(str::to_owned).collect();
            JobSpec { destination_tags, metrics, interval_s, destinations, enabled, ..job(name) }
        },
    )
}

fn a_file() -> impl Strategy<Value = DesiredState> {
    let names = prop::collection::vec(prop::sample::select(vec!["a", "B", "c", "é"]), 0..2);
    let desired_job = (a_job(), names).prop_map(|(spec, names)| DesiredJob {
        spec: JobSpec { destinations: vec![], ..spec },
        destinations: names.into_iter().map(str::to_owned).collect(),
    });
    let jobs = prop::collection::vec(desired_job.boxed(), 0..2);
    let starter = (prop::collection::vec(a_destination(), 0..2), jobs.clone())
        .prop_map(|(destinations, jobs)| Starter { destinations, jobs });
    (any::<[u8; 1]>(), prop::collection::vec(a_destination(), 0..4), jobs, prop::option::weighted(0.3, starter))
        .prop_map(|([digest], destinations, jobs, starter)| DesiredState {
            digest: [digest; 32],
            destinations,
            jobs,
            starter,
        })
}

fn a_command() -> impl Strategy<Value = Command> {
    let (destination, job) = ((1..8_u32).prop_map(DestinationId), (1..6_u32).prop_map(JobId));
    prop_oneof![
        4 => a_destination().prop_map(Command::AddDestination),
        3 => (destination.clone(), a_destination()).prop_map(|(id, spec)| Command::ChangeDestination { id, spec }),
        2 => destination.prop_map(|id| Command::RemoveDestination { id }),
        4 => a_job().prop_map(Command::AddJob),
        3 => (job.clone(), a_job()).prop_map(|(id, spec)| Command::ChangeJob { id, spec }),
        1 => job.clone().prop_map(|id| Command::RemoveJob { id }),
        1 => job.clone().prop_map(|id| Command::StartJob { id }),
        1 => job.prop_map(|id| Command::StopJob { id }),
        3 => a_file().prop_map(Command::ApplyConfig),
    ]
}

fn is_strictly_sorted<T: Ord>(items: &[T]) -> bool {
    items.windows(2).all(|pair| pair[0] < pair[1])
}

/// What holds after every event.
fn check(state: &Inventory) {
    let names: BTreeSet<_> = state.destinations.values().map(|entry| entry.spec.name.to_lowercase()).collect();
    assert_eq!(names.len(), state.destinations.len(), "destinations' names are unique");
    let names: BTreeSet<_> = state.jobs.values().map(|entry| entry.spec.name.to_lowercase()).collect();
    assert_eq!(names.len(), state.jobs.len(), "jobs' names are unique");
    for (id, entry) in &state.destinations {
        assert!(*id == entry.id && *id < state.next_destination);
        assert!(is_strictly_sorted(&entry.spec.tags));
        assert_eq!(state.destination_by_name(&entry.spec.name).unwrap().id, *id);
        assert!(entry.added <= entry.changed && entry.changed <= state.position);
    }
    for (id, entry) in &state.jobs {
        assert!(*id == entry.id && *id < state.next_job);
        assert_eq!(state.job_by_name(&entry.spec.name).unwrap().id, *id);
        assert!(is_strictly_sorted(&entry.spec.destinations) && is_strictly_sorted(&entry.spec.destination_tags));
        assert!(is_strictly_sorted(&entry.spec.metrics));
        assert!(entry.spec.destinations.iter().all(|id| state.destinations.contains_key(id)), "no name leads nowhere");
        assert!(is_strictly_sorted(&state.members(entry)));
        assert_eq!(entry.spec.enabled, entry.enabled_since.is_some());
        assert!(entry.enabled_changed <= entry.changed);
    }
    let find = |name: &str| state.find_destination(name).map(|entry| entry.spec.name.to_lowercase());
    for name in ["a", "b", "c", "d", "é"] {
        assert!(find(name).is_none_or(|found| found == name), "the index of names holds no old name");
    }
}

/// Runs commands; each answer is checked on the way.
fn run(commands: Vec<Command>) -> World {
    let mut world = World::default();
    for command in commands {
        let before = world.state.clone();
        let meta = Meta::by(if matches!(command, Command::ApplyConfig(_)) { "config" } else { "api:local" });
        let answer = decide(&before, command.clone(), &meta, &world.policy);
        assert_eq!(answer, decide(&before, command.clone(), &meta, &world.policy), "deciding is a pure function");
        let events = match answer {
            Ok(events) => events,
            Err(no) => {
                assert!(!no.message.is_empty());
                assert!(
                    no.kind != RejectionKind::Invalid || no.field.is_some(),
                    "an invalid command names the field: {no}"
                );
                continue;
            }
        };
        for event in events {
            encode(&event, Timestamp::default()).expect("what is decided can be recorded");
            world.append(event);
            check(&world.state);
        }
        match command {
            Command::ApplyConfig(desired) => {
                let again = decide(&world.state, Command::ApplyConfig(desired.clone()), &meta, &world.policy);
                assert_eq!(again, Ok(vec![]), "a file that is applied is applied");
                let managed = |state: &Inventory| {
                    state.destinations.values().filter(|entry| entry.spec.managed_by == ManagedBy::Config).count()
                };
                assert_eq!(managed(&world.state), desired.destinations.len());
            }
            _ => {
                for (id, entry) in before.destinations.iter().filter(|(_, e)| e.spec.managed_by == ManagedBy::Config) {
                    assert_eq!(world.state.destinations.get(id), Some(entry), "only the file changes what it manages");
                }
                for (id, entry) in before.jobs.iter().filter(|(_, e)| e.spec.managed_by == ManagedBy::Config) {
                    assert_eq!(world.state.jobs.get(id), Some(entry), "only the file changes what it manages");
                }
            }
        }
    }
    world
}

/// Folds in runs of the given lengths, with a flush or a restart after some.
fn fold(log: &[Envelope], cuts: &[(usize, bool, bool)]) -> (Rows, Inventory) {
    let (mut rows, mut rest) = (Rows::default(), log);
    let (mut projector, mut handle) = InventoryProjector::new();
    projector.load(&rows).unwrap();
    for &(length, is_flushed, restarts) in cuts.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (some, after) = rest.split_at(length.clamp(1, rest.len()));
        projector.apply(some);
        rest = after;
        if is_flushed || restarts {
            rows.flush(&mut projector);
        }
        if restarts {
            (projector, handle) = InventoryProjector::new();
            projector.load(&rows).unwrap();
        }
    }
    rows.flush(&mut projector);
    (rows, Inventory::clone(&handle.current()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_commands_leave_the_inventory_whole(commands in prop::collection::vec(a_command(), 0..60)) {
        run(commands);
    }

    #[test]
    fn rows_depend_on_the_events_alone(
        commands in prop::collection::vec(a_command(), 0..60),
        cuts in prop::collection::vec((1..9_usize, any::<bool>(), any::<bool>()), 1..9),
    ) {
        let world = run(commands);
        let (rows, state) = fold(&world.log, &cuts);
        prop_assert_eq!(&state, &world.state);
        let (at_once, _) = fold(&world.log, &[(usize::MAX, false, false)]);
        prop_assert_eq!(&rows, &at_once);
        let (mut projector, handle) = InventoryProjector::new();
        projector.load(&rows).unwrap();
        prop_assert_eq!(&*handle.current(), &world.state);
        let middle = Position(world.log.len() as u64 / 2);
        let mut expected = Inventory::default();
        world.log.iter().take_while(|envelope| envelope.position <= middle).for_each(|envelope| expected.apply(envelope));
        prop_assert_eq!(&*handle.as_of(&world, middle).unwrap(), &expected);
    }
}
