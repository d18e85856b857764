//! Handlers, by resource.

pub(crate) mod accounting;
pub(crate) mod config;
pub(crate) mod destinations;
pub(crate) mod docs;
pub(crate) mod health;
pub(crate) mod jobs;
pub(crate) mod metrics;
pub(crate) mod remarks;

use netstats_event::Position;
use serde::Serialize;

use crate::app::App;

/// All destinations and jobs as a WebSocket's first message.
pub(crate) fn snapshot_text(app: &App, id: &str, position: Position) -> String {
    #[derive(Serialize)]
    struct Snapshot<'a, D, J> {
        #[serde(rename = "type")]
        kind: &'static str,
        id: &'a str,
        position: u64,
        destinations: D,
        jobs: J,
    }
    let inventory = app.context.inventory.current();
    let latest = destinations::Latest::now(app, &inventory);
    let snapshot = Snapshot {
        kind: "snapshot",
        id,
        position: position.0,
        destinations: inventory.destinations.values().map(|destination| latest.json(destination)).collect::<Vec<_>>(),
        jobs: inventory.jobs.values().map(|job| jobs::json(app, &inventory, job)).collect::<Vec<_>>(),
    };
    serde_json::to_string(&snapshot).expect("our shapes have string keys and finite numbers")
}
