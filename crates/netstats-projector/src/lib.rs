//! Projectors fold the log into views. A view is derived: it can be deleted and comes back with the same bytes.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//! use netstats_event::{CollectorStopped, Envelope};
//! use netstats_log::{Journal, MemoryLog};
//! use netstats_projector::{Error, MemoryViews, Projector, RowBatch, RowReader, Runner};
//!
//! /// Counts events.
//! struct Counter(u64);
//!
//! impl Projector for Counter {
//!     fn name(&self) -> &'static str { "counter" }
//!     fn version(&self) -> u32 { 1 }
//!     fn load(&mut self, rows: &dyn RowReader) -> Result<(), Error> {
//!         self.0 = rows.get(b"n")?.map_or(0, |n| u64::from_be_bytes(n.try_into().unwrap()));
//!         Ok(())
//!     }
//!     fn apply(&mut self, events: &[Envelope]) { self.0 += events.len() as u64; }
//!     fn flush(&mut self, rows: &mut RowBatch) { rows.put("n", self.0.to_be_bytes()); }
//! }
//!
//! let journal = Journal::open(Arc::new(MemoryLog::new()))?;
//! let runner = Runner::start(journal.clone(), Arc::new(MemoryViews::new()), vec![Box::new(Counter(0))])?;
//! let appended = journal.append(vec![CollectorStopped { reason: "example".into() }.into()])?;
//! assert!(runner.wait_for(appended.last, Duration::from_secs(10)));
//! # Ok::<(), Error>(())
//! ```
//!
//! # It is not
//! - aware of any particular view;
//! - a place for facts: what is not in the log is not known.

mod ahead;
mod feed;
mod fjall_views;
mod limits;
mod progress;
mod projector;
mod reader;
mod runner;
mod store;

pub use fjall_views::FjallViews;
pub use limits::{COMMIT_EVERY, EVENTS_PER_COMMIT, MAX_ROW_KEY_BYTES, MAX_ROW_VALUE_BYTES, SHARED_BATCHES};
pub use netstats_log::{Error, ErrorKind, ReadLimit, SealedSeries, SeriesKey, SeriesPage};
pub use progress::Progress;
pub use projector::{Projector, RowBatch, RowReader};
pub use reader::EventReader;
pub use runner::{Runner, rebuild, rebuild_all};
pub use store::{Checkpoint, MemoryViews, ViewStore, digest};
