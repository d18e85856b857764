//! What all handlers share.

use std::sync::Arc;

use netstats_event::{Meta, Position, Timestamp};
use tokio::sync::{Semaphore, watch};

use crate::bodies::Bodies;
use crate::context::ApiContext;
use crate::problem::Problem;
use crate::reply::Reply;
use crate::route::{Call, Route, Table, route};

/// Queries on raw samples at the same time; others wait for their turn within the handler's time.
const QUERIES_AT_ONCE: usize = 4;

/// The state behind the routes.
pub(crate) struct App {
    pub(crate) context: ApiContext,
    pub(crate) started_at: Timestamp,
    pub(crate) queries: Arc<Semaphore>,
    pub(crate) bodies: Bodies,
    pub(crate) stopping: watch::Receiver<bool>,
}

impl App {
    pub(crate) fn new(context: ApiContext, stopping: watch::Receiver<bool>) -> Arc<Self> {
        let started_at = (context.clock)();
        Arc::new(Self {
            context,
            started_at,
            queries: Arc::new(Semaphore::new(QUERIES_AT_ONCE)),
            bodies: Bodies::default(),
            stopping,
        })
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.context.clock)()
    }

    /// The last event that every view shows: whoever reads the views after asking this misses nothing up to it.
    pub(crate) fn visible(&self) -> Position {
        self.context.runner.progress().iter().map(|progress| progress.visible).min().unwrap_or(Position::START)
    }

    /// Who does it, and why, for the audit trail: `?reason=` is in the caller's own words.
    pub(crate) fn meta(&self, call: &Call) -> Meta {
        let reason = call.query.get("reason").filter(|reason| !reason.is_empty()).map(str::to_owned);
        Meta { reason, ..Meta::by("api:local") }
    }
}

/// All routes.
pub(crate) fn table() -> Table<App> {
    use hyper::Method;

    use crate::routes::{config, destinations, health, jobs, metrics};

    let routes: Vec<Route<App>> = vec![
        route(Method::GET, "/api/health", health::show),
        route(Method::GET, "/api/destinations", destinations::list),
        route(Method::POST, "/api/destinations", destinations::add),
        route(Method::GET, "/api/destinations/:id", destinations::show),
        route(Method::PUT, "/api/destinations/:id", destinations::replace),
        route(Method::PATCH, "/api/destinations/:id", destinations::patch).taking(MERGE_PATCH),
        route(Method::DELETE, "/api/destinations/:id", destinations::remove),
        route(Method::GET, "/api/jobs", jobs::list),
        route(Method::POST, "/api/jobs", jobs::add),
        route(Method::GET, "/api/jobs/:id", jobs::show),
        route(Method::PUT, "/api/jobs/:id", jobs::replace),
        route(Method::PATCH, "/api/jobs/:id", jobs::patch).taking(MERGE_PATCH),
        route(Method::DELETE, "/api/jobs/:id", jobs::remove),
        route(Method::POST, "/api/jobs/:id/start", jobs::start),
        route(Method::POST, "/api/jobs/:id/stop", jobs::stop),
        route(Method::GET, "/api/jobs/:id/metrics", metrics::of_job),
        route(Method::POST, "/api/config/reload", config::reload),
    ];
    Table::new(routes, crate::assets::find)
}

const MERGE_PATCH: &[&str] = &["application/merge-patch+json", "application/json"];

/// The answer to a removal.
pub(crate) fn position_only(position: netstats_event::Position) -> Result<Reply, Problem> {
    Ok(Reply::json(&serde_json::json!({ "position": position.0 })))
}
