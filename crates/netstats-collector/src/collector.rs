//! The handle around the loop: start, status, stop.

use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use netstats_event::SamplesLost;
use netstats_inventory::InventoryHandle;
use netstats_log::Journal;
use netstats_probe::Probes;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::limits::STOP_WITHIN;
use crate::run::{Loop, Shared};
use crate::{Meter, Status, recorder};

/// How the collector is set up.
#[derive(Clone, Debug, Default)]
pub struct CollectorConfig {
    /// The program's version, for `collector_started`.
    pub version: String,
    /// Finds the default gateway, to tell our own network's outages from the destinations'; none: it is not watched.
    pub gateway: Option<fn() -> Option<std::net::IpAddr>>,
    /// Counts what is sent against the rates; none: no limit.
    pub meter: Option<Arc<Meter>>,
    /// Where bandwidth tests run, which compute and copy, so that they hold up nothing that must be on time; none: with
    /// everything else.
    pub bulk: Option<Handle>,
}

/// Why the collector did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The log could not be read back to where the last run ended.
    #[error("the log cannot be read: {0}")]
    Log(#[from] netstats_log::Error),
}

/// The running collector. Dropping it stops it without waiting.
pub struct Collector {
    stop: watch::Sender<Option<String>>,
    ended: Mutex<Receiver<()>>,
    shared: Arc<Shared>,
}

impl Collector {
    /// Starts on `runtime`: records that it started and what was missed since the last run, then runs slots.
    ///
    /// # Errors
    /// The log cannot be read back to the end of the last run.
    pub fn start(
        inventory: InventoryHandle,
        journal: Arc<Journal>,
        probes: Probes,
        config: CollectorConfig,
        runtime: &Handle,
    ) -> Result<Self, StartError> {
        let shared = Arc::<Shared>::default();
        let (stop, stopped) = watch::channel(None);
        let (end, ended) = sync_channel(1);
        let (events, recorded) = tokio::sync::mpsc::unbounded_channel();
        let main = Loop::new(inventory, &journal, probes, config, events, Arc::clone(&shared))?;
        let recording = Arc::clone(&shared.recording);
        runtime.spawn(async move {
            let recorder = tokio::spawn(recorder::record(journal, recorded, recording));
            main.run(stopped).await;
            // The loop has dropped its end of the channel: the recorder ends when everything is recorded.
            let _ = recorder.await;
            let _ = end.try_send(());
        });
        Ok(Self { stop, ended: Mutex::new(ended), shared })
    }

    /// How it is.
    #[must_use]
    pub fn status(&self) -> Status {
        self.shared.status()
    }

    /// Stops: no new slot, cuts what runs, records it, waits at most 3 s for the journal. Blocks: call it from a thread
    /// that may. `reason` goes into `collector_stopped`. A second call does nothing more.
    ///
    /// Returns what the journal has not taken by then; it is not recorded any more.
    pub fn stop(&self, reason: &str) -> Option<SamplesLost> {
        self.stop.send_if_modified(|stop| {
            let is_first = stop.is_none();
            if is_first {
                *stop = Some(reason.to_owned());
            }
            is_first
        });
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(ended.recv_timeout(STOP_WITHIN), Err(std::sync::mpsc::RecvTimeoutError::Timeout)) {
            let lost = recorder::leave_off(&self.shared.recording);
            let events = lost.as_ref().map_or(0, |lost| lost.count);
            tracing::error!(events, "the collector did not end in time: the journal did not take its last events");
            return lost;
        }
        None
    }
}
