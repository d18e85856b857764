//! Which names a moment had. An update's text holds names of destinations and jobs, and may be made long after the event:
//! by a slow subscriber's turn, or by a replay. It is made with the inventory as of the event, so that all see the same.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use netstats_event::Position;
use netstats_inventory::Inventory;

use crate::app::App;
use crate::command::blocking;
use crate::problem::Problem;

/// How long the view of the inventory may be behind a live update.
const BEHIND: Duration = Duration::from_secs(5);

/// The past inventory that was last asked for: the next one asked for is a few events further on.
#[derive(Debug, Default)]
pub(crate) struct Names(Mutex<Arc<Inventory>>);

impl Names {
    /// The inventory as of an event that was published.
    pub(crate) async fn at(app: &Arc<App>, position: Position) -> Result<Arc<Inventory>, Problem> {
        if app.visible() < position {
            let _ = tokio::time::timeout(BEHIND, app.context.runner.wait_for_async(position)).await;
        }
        let current = app.context.inventory.current();
        if current.position <= position {
            return Ok(current);
        }
        let app = app.clone();
        blocking(move || app.names.past(&app, position)).await?
    }

    fn past(&self, app: &App, position: Position) -> Result<Arc<Inventory>, Problem> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let start = if last.position <= position { last } else { Arc::default() };
        let found = app.context.inventory.advance(&*app.context.journal, start, position)?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = found.clone();
        Ok(found)
    }
}
