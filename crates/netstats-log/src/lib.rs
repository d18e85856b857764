//! The log: gapless, durable, verifiable. Engines store records; the [`Journal`] is the only writer.
//!
//! # It is not
//! - a message bus: readers ask, nothing is pushed;
//! - aware of what events mean: it knows records, kinds' numbers and the chain.

mod backup;
mod carry;
mod engine;
mod error;
mod files;
mod fjall_log;
#[cfg(any(test, netstats_fuzz))]
pub mod fuzz;
mod guard;
mod head;
mod journal;
mod latency;
pub mod limits;
mod lock_file;
mod manifest;
mod memory;
mod page;
mod platform;
mod preflight;
mod recovery;
mod repair;
mod retain;
mod scan;
mod seal;
mod segment;
mod verify;

pub use backup::{Backup, backup, restore};
pub use engine::{Appended, Head, Log, ReadLimit};
pub use error::{Error, ErrorKind};
pub use fjall_log::{FjallLog, LogOptions};
pub use guard::{GuardedLog, SpaceFloor};
pub use journal::{AppendTicket, Journal};
pub use latency::AppendLatency;
pub use lock_file::LockFile;
pub use manifest::StoreId;
pub use memory::MemoryLog;
pub use platform::{rename, sync_folder};
pub use repair::{Repair, examine, place_for_damaged, repair};
pub use retain::{Condensed, RetainStep, SegmentInfo};
pub use seal::SealStep;
pub use segment::{RawSamples, SealedSeries, SeriesKey, SeriesPage};
pub use verify::{Damage, VerifyReport, verify};
