//! Destinations and jobs, annotations and maintenance: the view of the config events, the pure function that decides commands, and the pure
//! arithmetic of slots.
//!
//! ```
//! use netstats_event::{DestinationSpec, Envelope, Meta, Position, Timestamp};
//! use netstats_inventory::{Command, Inventory, Policy, decide};
//!
//! let mut inventory = Inventory::default();
//! let spec = DestinationSpec { name: "dns".into(), host: "192.0.2.53".into(), ..Default::default() };
//! let add = Command::AddDestination(spec);
//! let events = decide(&inventory, add, &Meta::by("api:local"), &Policy::default()).unwrap();
//! for (position, event) in (1..).map(Position).zip(events) {
//!     inventory.apply(&Envelope { position, recorded_at: Timestamp::from_secs(1_700_000_000), event });
//! }
//! assert_eq!(inventory.find_destination("DNS").unwrap().spec.host, "192.0.2.53");
//! ```
//!
//! # It is not
//! - aware of samples, HTTP or files: a config file arrives as a [`DesiredState`], made at the doors;
//! - a scheduler: it says which slots a job has, the collector runs them;
//! - a clock: every function that depends on the time is given it.

mod access;
mod account;
mod command;
mod decide;
mod decide_access;
mod export;
mod fold;
mod host;
mod limits;
mod model;
mod query;
mod rows;
mod slots;
mod target;
mod undo;
mod validate;
mod window;

pub use access::{Access, Session, Token, User};
pub use account::{accounting, is_maintained, maintenance, maintenance_spans};
pub use command::{AccessCommand, Command, DesiredJob, DesiredState, Policy, Rates, Rejection, RejectionKind, Starter};
pub use decide::decide;
pub use export::{export_range, is_reserved, last_export_slot, next_export_slot};
pub use fold::InventoryProjector;
pub use host::canonical_host;
pub use limits::*;
pub use model::{Annotation, Destination, ExportJob, FinishedRun, Inventory, Job, Maintenance, Remark, RequestedRun};
pub use query::{Change, InventoryHandle};
pub use slots::{Slot, SlotRun, Slots, next_slot, phase, preview, probes};
pub use target::{Contact, Network, TargetDenied, TargetPolicy};
pub use undo::Undo;
pub use window::{JobState, JobStatus, Window, is_active, job_state, job_status, next_change};
