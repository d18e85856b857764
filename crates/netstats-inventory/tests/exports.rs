//! Runs of exports: asked for, ended, and what a restart finds of them.

mod common;

use common::{Rows, World};
use netstats_event::{ExportId, ExportOutcome, ExportRun, ExportSpec, Meta, Position, Timestamp};
use netstats_inventory::{Command, InventoryProjector, RejectionKind, RequestedRun};
use netstats_projector::Projector;

const ONE: ExportId = ExportId(1);

fn world() -> World {
    let mut world = World::default();
    let spec =
        ExportSpec { name: "x".into(), range: "today".into(), time_zone: "UTC".into(), keep: 3, ..Default::default() };
    world.run(Command::AddExport(spec.clone())).unwrap();
    world.run(Command::AddExport(ExportSpec { name: "y".into(), ..spec })).unwrap();
    world
}

fn end(slot: Option<i64>) -> Command {
    let (slot, outcome) = (slot.map(Timestamp::from_secs), ExportOutcome::Done);
    Command::FinishExport { id: ONE, run: ExportRun { slot, outcome, ..ExportRun::default() } }
}

/// The view in memory, and as a restart reads it from its rows.
fn is_the_same_after_a_restart(world: &World) {
    let (mut projector, handle) = InventoryProjector::new();
    let mut rows = Rows::default();
    for event in &world.log {
        projector.apply(std::slice::from_ref(event));
        rows.flush(&mut projector);
    }
    assert_eq!(*handle.current(), world.state);
    let (mut again, handle) = InventoryProjector::new();
    again.load(&rows).unwrap();
    assert_eq!(*handle.current(), world.state);
}

#[test]
fn one_run_is_asked_for_at_a_time_until_its_end_is_told() {
    let mut world = world();
    let asker = Meta { reason: Some("for the provider".into()), ..Meta::by("user:ada") };
    world.run_as(Command::RequestExport { id: ONE }, &asker).unwrap();
    let asked = RequestedRun { position: Position(3), at: world.log[2].recorded_at, by: asker };
    assert_eq!(world.state.export_requests.get(&ONE), Some(&asked));
    is_the_same_after_a_restart(&world);
    let again = world.run(Command::RequestExport { id: ONE }).unwrap_err();
    assert_eq!(again.kind, RejectionKind::Conflict);
    world.run(Command::RequestExport { id: ExportId(2) }).unwrap();
    // A scheduled run that ends in the meantime is another one.
    world.run(end(Some(7))).unwrap();
    assert!(world.state.export_requests.contains_key(&ONE));
    world.run(end(None)).unwrap();
    assert!(!world.state.export_requests.contains_key(&ONE) && world.state.export_runs[&ONE].len() == 2);
    is_the_same_after_a_restart(&world);
    world.run(Command::RequestExport { id: ONE }).unwrap();
    is_the_same_after_a_restart(&world);
}

#[test]
fn a_removed_export_takes_its_request_with_it() {
    let mut world = world();
    world.run(Command::RequestExport { id: ONE }).unwrap();
    world.run(Command::RemoveExport { id: ONE }).unwrap();
    assert!(world.state.export_requests.is_empty());
    assert_eq!(world.run(Command::RequestExport { id: ONE }).unwrap_err().kind, RejectionKind::NotFound);
    is_the_same_after_a_restart(&world);
}
