//! Projectors fold the log into views. A view is derived: it can be deleted and comes back with the same bytes.
//!
//! # It is not
//! - aware of any particular view;
//! - a place for facts: what is not in the log is not known.

mod projector;
mod reader;
mod runner;
mod store;

pub use netstats_log::{Error, ErrorKind, ReadLimit};
pub use projector::{Projector, RowBatch, RowReader};
pub use reader::EventReader;
pub use runner::{Progress, Runner};
pub use store::{MemoryViews, ViewStore};
