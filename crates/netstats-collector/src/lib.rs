//! Runs what the inventory plans: a pure schedule, bounded workers, and every slot's outcome in the log.
//!
//! ```no_run
//! # fn example(inventory: netstats_inventory::InventoryHandle, journal: std::sync::Arc<netstats_log::Journal>,
//! #     runtime: &tokio::runtime::Handle) -> Result<(), netstats_collector::StartError> {
//! use netstats_collector::{Collector, CollectorConfig};
//! use netstats_probe::{Probes, ProbesConfig};
//!
//! let probes = Probes::open(&ProbesConfig::default());
//! let collector = Collector::start(inventory, journal, probes, CollectorConfig::default(), runtime)?;
//! println!("{} slots run", collector.status().slots_run);
//! collector.stop("signal");
//! # Ok(())
//! # }
//! ```
//!
//! # It is not
//! - aware of what samples mean: it knows no series, no statistics, no HTTP;
//! - a judge of the schedule: which slots a job has is the inventory's arithmetic;
//! - lossy: a slot that was not run is recorded as such, with the reason.

mod clock;
mod collector;
pub mod limits;
mod load;
mod meter;
mod platform;
mod recorder;
mod resume;
mod route;
mod run;
mod schedule;
#[cfg(test)]
mod simulation;
mod status;
mod uplink;

pub use collector::{Collector, CollectorConfig, StartError};
pub use meter::{Meter, RatesHook};
pub use status::Status;
