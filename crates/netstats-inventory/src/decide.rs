//! Commands to events, or a no.

use netstats_event::{Event, Meta};

use crate::command::{Command, Policy, Rejection};
use crate::model::Inventory;

/// Decides a command on a state: the events that carry it out, in order; none if there is nothing to change. Pure:
/// the same state, command, meta and policy give the same answer.
///
/// # Errors
/// The command is wrong, the state does not allow it, or what it is about is not there.
pub fn decide(state: &Inventory, command: Command, meta: &Meta, policy: &Policy) -> Result<Vec<Event>, Rejection> {
    let _ = (state, command, meta, policy);
    unimplemented!()
}
