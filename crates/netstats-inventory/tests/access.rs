//! Users, tokens, sessions, undo, import: what commands make of them.

mod common;

use std::sync::Arc;

use common::{Rows, World};
use netstats_event::{
    DestinationId, DestinationSpec, Event, JobId, JobSpec, Metric, Position, Role, SessionId, Timestamp, TokenSpec,
    UserId, UserSpec,
};
use netstats_inventory::{
    AccessCommand, Command, DesiredJob, Inventory, InventoryProjector, MAX_IMPORT, MAX_SESSIONS_OF_USER, RejectionKind,
    Undo,
};
use netstats_projector::Projector;

fn user(name: &str, role: Role) -> UserSpec {
    UserSpec { name: name.into(), role, password_hash: format!("hash of {name}") }
}

fn access(world: &mut World, command: AccessCommand) -> Vec<Event> {
    world.run(Command::Access(command)).unwrap()
}

fn refused(world: &mut World, command: AccessCommand) -> RejectionKind {
    world.run(Command::Access(command)).unwrap_err().kind
}

fn session(user: u32, hash: u8, expires_s: i64) -> AccessCommand {
    let expires_at = Timestamp::from_secs(expires_s);
    AccessCommand::StartSession { user: UserId(user), hash: [hash; 32], address: None, expires_at }
}

fn token(user: u32, role: Role, hash: u8, expires_at: Option<Timestamp>) -> AccessCommand {
    let (user, hash) = (UserId(user), [hash; 32]);
    AccessCommand::AddToken(TokenSpec { user, name: "script".into(), role, hash, expires_at })
}

fn two_users() -> World {
    let mut world = World::default();
    access(&mut world, AccessCommand::AddUser(user("ada", Role::Admin)));
    access(&mut world, AccessCommand::AddUser(user("bob", Role::Operator)));
    world
}

const FAR: i64 = 4_000_000_000;

#[test]
fn there_is_always_an_admin_among_users() {
    let mut world = World::default();
    assert_eq!(refused(&mut world, AccessCommand::AddUser(user("bob", Role::Operator))), RejectionKind::Conflict);
    let mut world = two_users();
    assert_eq!(refused(&mut world, AccessCommand::RemoveUser { id: UserId(1) }), RejectionKind::Conflict);
    let demoted = AccessCommand::ChangeUser { id: UserId(1), spec: user("ada", Role::Viewer) };
    assert_eq!(refused(&mut world, demoted.clone()), RejectionKind::Conflict);
    access(&mut world, AccessCommand::ChangeUser { id: UserId(2), spec: user("bob", Role::Admin) });
    access(&mut world, demoted);
    access(&mut world, AccessCommand::RemoveUser { id: UserId(1) });
    assert_eq!(refused(&mut world, AccessCommand::RemoveUser { id: UserId(1) }), RejectionKind::NotFound);
    // Names are one whatever their case; ids are not given twice.
    assert_eq!(refused(&mut world, AccessCommand::AddUser(user("BOB", Role::Viewer))), RejectionKind::Conflict);
    access(&mut world, AccessCommand::AddUser(user("ada", Role::Viewer)));
    assert_eq!(world.state.access.find_user("Ada").unwrap().id, UserId(3));
}

#[test]
fn a_credential_counts_until_it_expires_is_ended_or_its_user_goes() {
    let mut world = two_users();
    let now = Timestamp::from_secs(1_900_000_000);
    access(&mut world, token(2, Role::Operator, 1, None));
    access(&mut world, token(2, Role::Viewer, 2, Some(now)));
    assert_eq!(refused(&mut world, token(2, Role::Admin, 3, None)), RejectionKind::Invalid);
    let role = |world: &World, hash: u8, at| world.state.access.token(&[hash; 32], at).map(|(.., role)| role);
    assert_eq!(role(&world, 1, now), Some(Role::Operator));
    assert_eq!(role(&world, 2, now.minus(std::time::Duration::from_secs(1))), Some(Role::Viewer));
    assert_eq!((role(&world, 2, now), role(&world, 9, now)), (None, None));
    // A token never may more than its owner may now.
    access(&mut world, AccessCommand::ChangeUser { id: UserId(2), spec: user("bob", Role::Viewer) });
    assert_eq!(role(&world, 1, now), Some(Role::Viewer));

    access(&mut world, session(2, 7, FAR));
    let is_in = |world: &World, hash: u8| world.state.access.session(&[hash; 32], now).is_some();
    assert!(is_in(&world, 7));
    let new = UserSpec { password_hash: "another".into(), ..user("bob", Role::Viewer) };
    access(&mut world, AccessCommand::ChangeUser { id: UserId(2), spec: new });
    assert!(!is_in(&world, 7), "a new password ends sessions");
    access(&mut world, session(2, 8, FAR));
    access(&mut world, AccessCommand::EndSession { id: SessionId(2) });
    assert!(!is_in(&world, 8));
    assert_eq!(access(&mut world, AccessCommand::EndSession { id: SessionId(2) }), []);
    access(&mut world, session(2, 9, FAR));
    access(&mut world, AccessCommand::RemoveUser { id: UserId(2) });
    assert!(!is_in(&world, 9) && role(&world, 1, now).is_none());
    assert!(world.state.access.tokens.is_empty() && world.state.access.sessions.is_empty());
}

#[test]
fn one_session_too_many_ends_the_oldest_and_expired_ones_leave() {
    let mut world = two_users();
    access(&mut world, session(1, 255, 1));
    for hash in 0..=u8::try_from(MAX_SESSIONS_OF_USER).unwrap() {
        access(&mut world, session(2, hash, FAR));
    }
    let sessions = &world.state.access.sessions;
    assert_eq!(sessions.len(), MAX_SESSIONS_OF_USER);
    assert!(world.state.access.session(&[0; 32], Timestamp::from_secs(2)).is_none());
    assert!(sessions.values().all(|session| session.user == UserId(2)));
}

#[test]
fn access_is_the_same_from_rows_as_from_the_log() {
    let mut world = two_users();
    access(&mut world, token(2, Role::Viewer, 1, Some(Timestamp::from_secs(FAR))));
    access(&mut world, token(1, Role::Admin, 2, None));
    access(&mut world, session(1, 3, 5));
    access(&mut world, session(2, 4, FAR));
    access(&mut world, AccessCommand::RevokeToken { id: netstats_event::TokenId(1) });
    let (mut projector, _) = InventoryProjector::new();
    let mut rows = Rows::default();
    for envelope in &world.log {
        projector.apply(std::slice::from_ref(envelope));
        rows.flush(&mut projector);
    }
    let (mut loaded, handle) = InventoryProjector::new();
    loaded.load(&rows).unwrap();
    assert_eq!(*handle.current(), world.state);
}

fn furnished() -> World {
    let mut world = World::default();
    for name in ["one", "two"] {
        let spec = DestinationSpec { name: name.into(), host: "192.0.2.1".into(), ..Default::default() };
        world.run(Command::AddDestination(spec)).unwrap();
    }
    world.run(Command::AddJob(job(&[1, 2]))).unwrap();
    world
}

fn job(destinations: &[u32]) -> JobSpec {
    JobSpec {
        name: "pings".into(),
        enabled: true,
        interval_s: 60,
        metrics: vec![Metric::Ping],
        destinations: destinations.iter().map(|id| DestinationId(*id)).collect(),
        ..Default::default()
    }
}

/// Takes back the event at `position`, which came with others from `first` on.
fn undo(world: &mut World, first: usize, position: usize) -> Result<Vec<Event>, netstats_inventory::Rejection> {
    let mut before = Inventory::default();
    world.log[..first - 1].iter().for_each(|envelope| before.apply(envelope));
    let event = world.log[position - 1].event.clone();
    world.run(Command::Undo(Box::new(Undo { position: Position(position as u64), event, before: Arc::new(before) })))
}

#[test]
fn a_removed_destination_comes_back_under_its_id_and_into_its_jobs() {
    let mut world = furnished();
    let events = world.run(Command::RemoveDestination { id: DestinationId(1) }).unwrap();
    assert_eq!(events.len(), 2);
    undo(&mut world, 4, 5).unwrap();
    assert_eq!(world.state.destinations[&DestinationId(1)].spec.name, "one");
    assert_eq!(world.state.jobs[&JobId(1)].spec.destinations, [DestinationId(1), DestinationId(2)]);
    assert_eq!(world.state.next_destination, DestinationId(3));
    assert_eq!(undo(&mut world, 4, 5).unwrap_err().kind, RejectionKind::Conflict, "it is there already");
}

#[test]
fn every_change_of_destinations_and_jobs_can_be_taken_back_once() {
    let mut world = furnished();
    let before = world.state.clone();
    let renamed = DestinationSpec { name: "uno".into(), host: "192.0.2.9".into(), ..Default::default() };
    world.run(Command::ChangeDestination { id: DestinationId(1), spec: renamed }).unwrap();
    undo(&mut world, 4, 4).unwrap();
    assert_eq!(world.state.destinations[&DestinationId(1)].spec, before.destinations[&DestinationId(1)].spec);
    assert_eq!(undo(&mut world, 4, 4).unwrap_err().kind, RejectionKind::Conflict, "it was changed again since");
    world.run(Command::StopJob { id: JobId(1) }).unwrap();
    undo(&mut world, 6, 6).unwrap();
    assert!(world.state.jobs[&JobId(1)].spec.enabled);
    undo(&mut world, 7, 7).unwrap();
    assert!(!world.state.jobs[&JobId(1)].spec.enabled);
    world.run(Command::ChangeJob { id: JobId(1), spec: JobSpec { interval_s: 300, ..job(&[2]) } }).unwrap();
    undo(&mut world, 9, 9).unwrap();
    assert_eq!(world.state.jobs[&JobId(1)].spec.interval_s, 60);
    world.run(Command::RemoveJob { id: JobId(1) }).unwrap();
    undo(&mut world, 11, 11).unwrap();
    assert_eq!(world.state.jobs[&JobId(1)].spec.destinations, [DestinationId(1), DestinationId(2)]);
    undo(&mut world, 12, 12).unwrap();
    assert!(world.state.jobs.is_empty());
    undo(&mut world, 2, 2).unwrap();
    assert!(!world.state.destinations.contains_key(&DestinationId(2)));
    access(&mut world, AccessCommand::AddUser(user("ada", Role::Admin)));
    assert_eq!(undo(&mut world, 15, 15).unwrap_err().kind, RejectionKind::Conflict, "users are not undone");
}

#[test]
fn an_import_adds_and_changes_by_name_or_does_nothing() {
    let mut world = furnished();
    let spec = |name: &str, host: &str| DestinationSpec { name: name.into(), host: host.into(), ..Default::default() };
    let jobs = vec![DesiredJob { spec: job(&[]), destinations: vec!["three".into(), "ONE".into()] }];
    let destinations = vec![spec("One", "192.0.2.7"), spec("three", "192.0.2.3")];
    let events = world.run(Command::Import { destinations: destinations.clone(), jobs: jobs.clone() }).unwrap();
    assert_eq!(events.len(), 3);
    assert_eq!(world.state.destinations[&DestinationId(1)].spec.name, "One");
    assert_eq!(world.state.jobs[&JobId(1)].spec.destinations, [DestinationId(1), DestinationId(3)]);
    assert_eq!(world.run(Command::Import { destinations, jobs }).unwrap(), [], "a second time there is nothing to do");
    let wrong = vec![spec("four", "192.0.2.4"), spec("five", "not a host!")];
    let no = world.run(Command::Import { destinations: wrong, jobs: Vec::new() }).unwrap_err();
    assert_eq!(no.field.as_deref(), Some("destinations[1].host"));
    assert!(world.state.destination_by_name("four").is_none());
    let many = vec![spec("x", "192.0.2.4"); MAX_IMPORT + 1];
    let no = world.run(Command::Import { destinations: many, jobs: Vec::new() }).unwrap_err();
    assert_eq!(no.kind, RejectionKind::Invalid);
}
