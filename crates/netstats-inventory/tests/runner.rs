//! The view under the real runner: restarts, and a rebuild that gives the same bytes.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{destination, job};
use netstats_event::{DestinationId, DestinationSpec, Meta};
use netstats_inventory::{Command, InventoryHandle, InventoryProjector, Policy, decide};
use netstats_log::{Journal, MemoryLog};
use netstats_projector::{MemoryViews, Runner, ViewStore, digest, rebuild};

fn start(journal: &Arc<Journal>, views: &Arc<dyn ViewStore>) -> (Runner, InventoryHandle) {
    let (projector, handle) = InventoryProjector::new();
    let runner = Runner::start(journal.clone(), views.clone(), vec![Box::new(projector)]).unwrap();
    (runner, handle)
}

#[test]
fn restarts_and_a_rebuild_give_the_same_state_and_the_same_bytes() {
    let journal = Journal::open(Arc::new(MemoryLog::new())).unwrap();
    let views: Arc<dyn ViewStore> = Arc::new(MemoryViews::new());
    let (mut runner, mut handle) = start(&journal, &views);
    for i in 0..60_u32 {
        let tags = if i % 3 == 0 { vec!["lan".to_owned()] } else { vec![] };
        let command = match i % 6 {
            4 if i > 10 => Command::RemoveDestination { id: DestinationId(i / 3) },
            5 => Command::AddJob(job(&format!("j{i}"))),
            _ => Command::AddDestination(DestinationSpec { tags, ..destination(&format!("d{i}"), "192.0.2.1") }),
        };
        let events = decide(&handle.current(), command, &Meta::by("api:local"), &Policy::default()).unwrap();
        let appended = journal.append(events).unwrap();
        assert!(runner.wait_for(appended.last, Duration::from_secs(60)));
        assert_eq!(handle.current().position, appended.last, "who waits for a position sees its event");
        if i % 7 == 6 {
            let before = handle.current();
            runner.stop();
            (runner, handle) = start(&journal, &views);
            assert_eq!(handle.current(), before);
        }
    }
    runner.stop();
    let (state, bytes) = (handle.current(), digest(&*views, "inventory").unwrap());

    let (projector, rebuilt) = InventoryProjector::new();
    rebuild(&journal, &views, Box::new(projector)).unwrap();
    assert_eq!(rebuilt.current(), state);
    assert_eq!(digest(&*views, "inventory").unwrap(), bytes);
}
