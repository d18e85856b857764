//! Log, journal and views: what every part of the product stands on.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use netstats_broadcast::{BroadcastProjector, Broadcaster};
use netstats_event::Position;
use netstats_inventory::{InventoryHandle, InventoryProjector};
use netstats_log::{GuardedLog, Journal, LogOptions, SpaceFloor};
use netstats_projector::{FjallViews, Projector, Runner};
use netstats_series::{AvailabilityProjector, AvailabilityView, Series, SeriesProjector};

use crate::data_dir::DataDir;

/// How long a stop waits for the views to show the last events.
const LAST_EVENTS: Duration = Duration::from_secs(1);
/// How often the log looks at the disk's free space and at itself.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often a long catching up says so.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// The open core.
pub(crate) struct Core {
    pub(crate) journal: Arc<Journal>,
    pub(crate) runner: Arc<Runner>,
    pub(crate) inventory: InventoryHandle,
    pub(crate) series: Series,
    pub(crate) availability: AvailabilityView,
    pub(crate) broadcaster: Broadcaster,
}

impl Core {
    /// Opens the log, checks it against its witness, and brings the views up to its tail.
    ///
    /// # Errors
    /// The log is damaged or cannot be read; the views cannot be stored.
    pub(crate) fn open(data: &DataDir, floor: SpaceFloor) -> Result<Self> {
        let log = GuardedLog::open(data.log(), LogOptions::default(), floor, LOOK_EVERY)?;
        let journal = Journal::open(Arc::new(log))?;
        let (mut projectors, inventory, series, availability) = projectors();
        // It keeps no rows, so it is none of the views that are rebuilt and compared.
        let (broadcast, broadcaster) = BroadcastProjector::new();
        projectors.push(Box::new(broadcast));
        let views = FjallViews::open(data.views()).context("the views cannot be opened")?;
        let runner = Runner::start(Arc::clone(&journal), Arc::new(views), projectors)?;
        catch_up(&runner, &journal)?;
        Ok(Self { journal, runner: Arc::new(runner), inventory, series, availability, broadcaster })
    }

    /// Commits what is under way, stores the views.
    pub(crate) fn close(&self) {
        self.journal.close();
        let _ = self.runner.wait_for(Position(self.journal.head().last), LAST_EVENTS);
        self.runner.stop();
    }
}

/// Waits until the views show the whole log. That takes as long as it takes: after a rebuild it is the whole log.
///
/// # Errors
/// A view stands still.
pub(crate) fn catch_up(runner: &Runner, journal: &Journal) -> Result<()> {
    let last = Position(journal.head().last);
    while !runner.wait_for(last, SAY_EVERY) {
        for progress in runner.progress() {
            if let Some(failure) = progress.failure {
                bail!("the view {} stands still at {}: {failure}", progress.name, progress.visible);
            }
            tracing::info!(view = progress.name, at = progress.visible.0, of = last.0, "catching up");
        }
    }
    // A view that failed is not waited for; without it the product would show half of the truth.
    match runner.progress().into_iter().find_map(|progress| Some((progress.name, progress.failure?))) {
        Some((name, failure)) => bail!("the view {name} cannot be folded: {failure}"),
        None => Ok(()),
    }
}

/// All projectors of the product, and what queries them.
pub(crate) fn projectors() -> (Vec<Box<dyn Projector>>, InventoryHandle, Series, AvailabilityView) {
    let (inventory, inventory_handle) = InventoryProjector::new();
    let (series, series_handle) = SeriesProjector::new();
    let (availability, availability_handle) = AvailabilityProjector::new();
    let projectors: Vec<Box<dyn Projector>> = vec![Box::new(inventory), Box::new(series), Box::new(availability)];
    (projectors, inventory_handle, series_handle, availability_handle)
}
