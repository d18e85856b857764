//! Handlers, by resource.

pub(crate) mod access;
mod account;
pub(crate) mod accounting;
pub(crate) mod analytics;
pub(crate) mod audit;
pub(crate) mod bulk;
pub(crate) mod config;
pub(crate) mod destinations;
pub(crate) mod docs;
pub(crate) mod export;
pub(crate) mod health;
pub(crate) mod jobs;
pub(crate) mod metrics;
pub(crate) mod outages;
pub(crate) mod prometheus;
pub(crate) mod range;
pub(crate) mod remarks;
pub(crate) mod series;
pub(crate) mod what_if;

use netstats_event::Position;
use serde::Serialize;

use crate::app::App;
use crate::moment::Moment;

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
    let moment = Moment::present(app);
    let inventory = &moment.inventory;
    let latest = destinations::Latest::of(inventory, moment.now, app.context.series.latest_all());
    let snapshot = Snapshot {
        kind: "snapshot",
        id,
        position: position.0,
        destinations: inventory.destinations.values().map(|destination| latest.json(destination)).collect::<Vec<_>>(),
        // Of this moment, all that is asked for is in memory.
        jobs: inventory.jobs.values().filter_map(|job| jobs::json(app, &moment, job).ok()).collect::<Vec<_>>(),
    };
    serde_json::to_string(&snapshot).expect("our shapes have string keys and finite numbers")
}
