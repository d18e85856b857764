//! Handlers, by resource.

pub(crate) mod access;
pub(crate) mod account;
pub(crate) mod accounting;
pub(crate) mod analytics;
pub(crate) mod audit;
pub(crate) mod bulk;
pub(crate) mod config;
mod course;
pub(crate) mod destinations;
pub(crate) mod docs;
pub(crate) mod export;
pub(crate) mod exports;
pub(crate) mod health;
pub(crate) mod jobs;
pub(crate) mod live;
pub(crate) mod live_test;
pub(crate) mod logging;
pub(crate) mod metrics;
pub(crate) mod outages;
pub(crate) mod patterns;
pub(crate) mod policy;
pub(crate) mod prom_api;
pub(crate) mod prometheus;
pub(crate) mod pull;
pub(crate) mod range;
pub(crate) mod remarks;
pub(crate) mod series;
pub(crate) mod what_if;

use std::fmt::Display;
use std::sync::Arc;

use bytes::Bytes;
use hyper::StatusCode;
use netstats_event::Position;
use netstats_inventory::Inventory;
use serde::Serialize;

use crate::app::App;
use crate::bodies::Asked;
use crate::limits::MAX_LIST;
use crate::moment::{self, Moment};
use crate::problem::Problem;
use crate::reply::{JSON, Reply};
use crate::route::Call;

/// A page of a list, and where the next begins.
type Page<Id> = fn(&App, &Call, &Moment) -> Result<(Vec<u8>, Option<Id>), Problem>;

/// The answer of a list route: of the moment asked for, or of now. The whole list of now is what dashboards ask for over
/// and over: it is given again for a moment.
async fn list<Id: Display + Send + 'static>(
    app: Arc<App>,
    call: Call,
    asked: Asked,
    count: fn(&Inventory) -> usize,
    page: Page<Id>,
) -> Result<Reply, Problem> {
    if call.query.get("as_of").is_some() {
        return moment::answer(app, call, move |app, call, moment| {
            let (bytes, next) = page(app, call, moment)?;
            Ok(paged(call, bytes.into(), next))
        })
        .await;
    }
    let is_plain = call.query.pairs().all(|(name, _)| name == "fields");
    let is_whole = is_plain && count(&app.context.inventory.current()) <= MAX_LIST;
    if is_whole {
        let make = |_| Ok::<_, Problem>((page(&app, &call, &Moment::present(&app))?.0, None));
        return Ok(paged::<Id>(&call, app.bodies.try_get(&app, asked, make)?, None));
    }
    let (bytes, next) = page(&app, &call, &Moment::present(&app))?;
    Ok(paged(&call, bytes.into(), next))
}

fn paged<Id: Display>(call: &Call, bytes: Bytes, next: Option<Id>) -> Reply {
    let reply = Reply::new(StatusCode::OK).body(JSON, bytes);
    match next {
        Some(next) => call.with_next(reply, next),
        None => reply,
    }
}

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
