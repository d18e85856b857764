//! The collector: thread-safe handle around the loop.

use std::sync::Arc;

use netstats_inventory::InventoryHandle;
use netstats_log::Journal;
use netstats_probe::Probes;
use tokio::runtime::Handle;

use crate::Status;

/// How the collector is set up.
#[derive(Clone, Debug, Default)]
pub struct CollectorConfig {
    /// The program's version, for `collector_started`.
    pub version: String,
}

/// Why the collector did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The log could not be read back to where the last run ended.
    #[error("the log cannot be read: {0}")]
    Log(#[from] netstats_log::Error),
    /// The inventory has no room for another subscriber.
    #[error("the inventory has too many subscribers")]
    Subscribers,
}

/// The running collector. Dropping it stops it without waiting.
pub struct Collector {}

impl Collector {
    /// Starts on `runtime`: records that it started and what was missed since the last run, then runs slots.
    ///
    /// # Errors
    /// The log cannot be read back to the end of the last run.
    pub fn start(
        _inventory: InventoryHandle,
        _journal: Arc<Journal>,
        _probes: Probes,
        _config: CollectorConfig,
        _runtime: &Handle,
    ) -> Result<Self, StartError> {
        Ok(Self {})
    }

    /// How it is.
    #[must_use]
    pub fn status(&self) -> Status {
        Status::default()
    }

    /// Stops: no new slot, cuts what runs, records it, waits at most 3 s for the journal. Blocks: call it from a thread
    /// that may. `reason` goes into `collector_stopped`. A second call does nothing.
    pub fn stop(&self, _reason: &str) {}
}
