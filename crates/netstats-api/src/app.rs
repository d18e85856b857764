//! What all handlers share.

use std::sync::Arc;

use netstats_event::{Meta, Position, Timestamp};
use serde::Serialize;
use tokio::sync::{Semaphore, watch};
use utoipa::ToSchema;

use crate::bodies::Bodies;
use crate::context::ApiContext;
use crate::exports::{Exporter, Place};
use crate::gate::{Gate, Reach};
use crate::moment::Landmarks;
use crate::names::Names;
use crate::problem::Problem;
use crate::reply::Reply;
use crate::route::{Call, Route, Table, route};

/// Queries on raw samples at the same time; others wait for their turn within the handler's time.
const QUERIES_AT_ONCE: usize = 4;

/// The state behind the routes.
pub(crate) struct App {
    pub(crate) context: ApiContext,
    pub(crate) started_at: Timestamp,
    /// The log's last event when this began: what is behind it was said to this process.
    pub(crate) born: Position,
    pub(crate) queries: Arc<Semaphore>,
    pub(crate) exports: Arc<Semaphore>,
    pub(crate) exporter: Exporter,
    pub(crate) exports_place: Option<Place>,
    pub(crate) scrapes: Arc<Semaphore>,
    pub(crate) tests: Semaphore,
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) bodies: Bodies,
    pub(crate) names: Names,
    pub(crate) landmarks: Landmarks,
    pub(crate) stopping: watch::Receiver<bool>,
    pub(crate) gate: Gate,
}

impl App {
    pub(crate) fn new(context: ApiContext, stopping: watch::Receiver<bool>, reach: Reach) -> Arc<Self> {
        let gate = Gate::new(&context, reach);
        let started_at = (context.clock)();
        let born = Position(context.journal.head().last);
        let exports_place = context.exports_folder.clone().map(Place::new);
        Arc::new(Self {
            context,
            started_at,
            born,
            queries: Arc::new(Semaphore::new(QUERIES_AT_ONCE)),
            exports: Arc::new(Semaphore::new(crate::limits::EXPORTS_AT_ONCE)),
            exporter: Exporter::default(),
            exports_place,
            scrapes: Arc::new(Semaphore::new(1)),
            tests: Semaphore::new(crate::limits::TESTS_AT_ONCE),
            streams: Arc::new(Semaphore::new(crate::limits::STREAMS)),
            bodies: Bodies::default(),
            names: Names::default(),
            landmarks: Landmarks::default(),
            stopping,
            gate,
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
        Meta { reason, ..Meta::by(call.who.actor.as_ref()) }
    }
}

/// All routes.
pub(crate) fn table() -> Table<App> {
    use hyper::{Method, StatusCode};
    use netstats_event::Role;

    use crate::context::Reloaded;
    use crate::declare::AS_OF;
    use crate::json::{DestinationInput, DestinationJson, DestinationPatch, JobInput, JobJson, JobPatch};
    use crate::routes::destinations::DestinationList;
    use crate::routes::health::HealthJson;
    use crate::routes::jobs::JobList;
    use crate::routes::range::Analysis;
    use crate::routes::{
        access, accounting, analytics, audit, bulk, config, destinations, docs, export, exports, health, jobs, live,
        live_test, logging, metrics, outages, patterns, policy, prom_api, prometheus, pull, remarks, series, what_if,
    };
    use crate::{limits, openapi};

    let list = limits::MAX_LIST as u64;
    let mut routes: Vec<Route<App>> = vec![
        route(Method::GET, "/api/health", health::show).says("health", "How the product does").gives::<HealthJson>(),
        route(Method::GET, "/metrics", prometheus::scrape)
            .says("health", "How the product does and the latest that it measured, for Prometheus")
            .gives_other(crate::exposition::TEXT)
            .or_gives(&[crate::exposition::OPEN]),
        route(Method::GET, "/api/openapi.json", docs::openapi)
            .says("server", "This document")
            .for_everybody()
            .gives::<openapi::Document>(),
        route(Method::GET, "/api/asyncapi.json", docs::asyncapi)
            .says("server", "The protocol of /ws, as an AsyncAPI document")
            .for_everybody()
            .gives::<openapi::Document>(),
        route(Method::GET, "/api/destinations", destinations::list)
            .says("destinations", "All destinations, with how they do")
            .query(&[destinations::TAG, destinations::STATUS, AS_OF])
            .paged(list)
            .selectable()
            .gives::<DestinationList<'_>>(),
        route(Method::POST, "/api/destinations", destinations::add)
            .says("destinations", "Add a destination")
            .reads::<DestinationInput>()
            .answers(StatusCode::CREATED)
            .gives::<DestinationJson<'_>>(),
        route(Method::GET, "/api/destinations/:id", destinations::show)
            .says("destinations", "A destination, with how it does")
            .query(&[AS_OF])
            .selectable()
            .gives::<DestinationJson<'_>>(),
        route(Method::PUT, "/api/destinations/:id", destinations::replace)
            .says("destinations", "Replace all of a destination's description")
            .reads::<DestinationInput>()
            .gives::<DestinationJson<'_>>(),
        route(Method::PATCH, "/api/destinations/:id", destinations::patch)
            .says("destinations", "Change some of a destination's description (JSON Merge Patch)")
            .taking(MERGE_PATCH)
            .reads::<DestinationPatch>()
            .gives::<DestinationJson<'_>>(),
        route(Method::DELETE, "/api/destinations/:id", destinations::remove)
            .says("destinations", "Remove a destination; its samples stay")
            .gives::<PositionJson>(),
        route(Method::GET, "/api/jobs", jobs::list)
            .says("jobs", "All jobs, with what they are doing")
            .query(&[destinations::TAG, AS_OF])
            .paged(list)
            .selectable()
            .gives::<JobList<'_>>(),
        route(Method::POST, "/api/jobs", jobs::add)
            .says("jobs", "Add a job")
            .reads::<JobInput>()
            .answers(StatusCode::CREATED)
            .gives::<JobJson<'_>>(),
        route(Method::GET, "/api/jobs/:id", jobs::show)
            .says("jobs", "A job, with what it is doing")
            .query(&[AS_OF])
            .selectable()
            .gives::<JobJson<'_>>(),
        route(Method::PUT, "/api/jobs/:id", jobs::replace)
            .says("jobs", "Replace all of a job's description")
            .reads::<JobInput>()
            .gives::<JobJson<'_>>(),
        route(Method::PATCH, "/api/jobs/:id", jobs::patch)
            .says("jobs", "Change some of a job's description (JSON Merge Patch)")
            .taking(MERGE_PATCH)
            .reads::<JobPatch>()
            .gives::<JobJson<'_>>(),
        route(Method::DELETE, "/api/jobs/:id", jobs::remove)
            .says("jobs", "Remove a job; its samples stay")
            .gives::<PositionJson>(),
        route(Method::POST, "/api/jobs/:id/start", jobs::start)
            .says("jobs", "Start a job")
            .reads_if_any::<jobs::SwitchInput>()
            .gives::<JobJson<'_>>(),
        route(Method::POST, "/api/jobs/:id/stop", jobs::stop)
            .says("jobs", "Stop a job")
            .reads_if_any::<jobs::SwitchInput>()
            .gives::<JobJson<'_>>(),
        route(Method::GET, "/api/jobs/:id/metrics", metrics::of_job)
            .says("samples", "What a job measured, row by row")
            .query(metrics::PARAMS)
            .gives::<metrics::Rows>(),
        route(Method::GET, "/api/jobs/:id/analytics", analytics::of_job)
            .says("analysis", "What a job's samples say of each of its destinations")
            .query(analytics::OF_JOB)
            .gives::<Analysis>(),
        route(Method::GET, "/api/destinations/:id/analytics", analytics::of_destination)
            .says("analysis", "What a destination's samples say: figures, packets, course, availability")
            .query(analytics::OF_DESTINATION)
            .gives::<Analysis>(),
        route(Method::GET, "/api/series", series::series)
            .says("samples", "A destination's figures over time, in as many points as asked for")
            .query(series::SERIES)
            .requires(DESTINATION)
            .gives::<Analysis>(),
        route(Method::GET, "/api/compare", analytics::compare)
            .says("analysis", "Two destinations, or two ranges, beside each other")
            .query(analytics::COMPARE)
            .requires(DESTINATION)
            .gives::<Analysis>(),
        route(Method::GET, "/api/top", series::top)
            .says("analysis", "The worst destinations by a figure")
            .query(series::TOP)
            .gives::<Analysis>(),
        route(Method::GET, "/api/outages", outages::outages)
            .says("analysis", "When destinations did not answer, with cause and last good path")
            .query(outages::OUTAGES)
            .gives::<Analysis>(),
        route(Method::GET, "/api/paths", outages::paths)
            .says("analysis", "The routes to a destination over time, and what changed")
            .query(outages::PATHS)
            .requires(DESTINATION)
            .gives::<Analysis>(),
        route(Method::GET, "/api/heatmap", series::heatmap)
            .says("analysis", "A figure by weekday and hour")
            .query(series::HEATMAP)
            .requires(DESTINATION)
            .gives::<Analysis>(),
        route(Method::GET, "/api/me", access::me)
            .says("access", "Who asks, and what they may do")
            .for_everybody()
            .gives::<access::MeJson>(),
        route(Method::POST, "/api/login", access::login)
            .says("access", "Start a session: the answer sets its cookie")
            .for_everybody()
            .reads::<access::LoginInput>()
            .gives::<access::MeJson>(),
        route(Method::POST, "/api/logout", access::logout)
            .says("access", "End the session")
            .for_everybody()
            .answers(StatusCode::NO_CONTENT),
        route(Method::POST, "/api/setup", access::setup)
            .says("access", "Make the first admin, with the token that the server's console shows")
            .for_everybody()
            .reads::<access::SetupInput>()
            .answers(StatusCode::CREATED)
            .gives::<access::UserJson<'_>>(),
        route(Method::POST, "/api/me/password", access::change_password)
            .says("access", "Change one's own password; ends all one's sessions")
            .needs(Role::Viewer)
            .reads::<access::PasswordInput>()
            .gives::<PositionJson>(),
        route(Method::GET, "/api/users", access::users)
            .says("access", "All users")
            .needs(Role::Admin)
            .selectable()
            .gives::<access::UserList<'_>>(),
        route(Method::POST, "/api/users", access::add_user)
            .says("access", "Add a user; the first one must be an admin")
            .needs(Role::Admin)
            .reads::<access::UserInput>()
            .answers(StatusCode::CREATED)
            .gives::<access::UserJson<'_>>(),
        route(Method::GET, "/api/users/:id", access::show_user)
            .says("access", "A user")
            .needs(Role::Admin)
            .gives::<access::UserJson<'_>>(),
        route(Method::PATCH, "/api/users/:id", access::patch_user)
            .says("access", "Change a user; a new password ends their sessions")
            .needs(Role::Admin)
            .taking(MERGE_PATCH)
            .reads::<access::UserPatch>()
            .gives::<access::UserJson<'_>>(),
        route(Method::DELETE, "/api/users/:id", access::remove_user)
            .says("access", "Remove a user with their tokens and sessions")
            .needs(Role::Admin)
            .gives::<PositionJson>(),
        route(Method::GET, "/api/tokens", access::tokens)
            .says("access", "One's API tokens; for an admin those of all")
            .selectable()
            .gives::<access::TokenList<'_>>(),
        route(Method::POST, "/api/tokens", access::add_token)
            .says("access", "Make an API token: the answer, and only it, holds the token itself")
            .needs(Role::Viewer)
            .reads::<access::TokenInput>()
            .answers(StatusCode::CREATED)
            .gives::<access::TokenJson<'_>>(),
        route(Method::DELETE, "/api/tokens/:id", access::revoke_token)
            .says("access", "Revoke an API token")
            .needs(Role::Viewer)
            .gives::<PositionJson>(),
        route(Method::GET, "/api/events", audit::events)
            .says("audit", "Who changed what, newest first")
            .query(audit::PARAMS)
            .paged(limits::MAX_TRAIL_PAGE as u64)
            .selectable()
            .gives::<audit::EventList>(),
        route(Method::POST, "/api/undo/:id", audit::undo)
            .says("audit", "Take the change at this position back")
            .gives::<PositionJson>(),
        route(Method::GET, "/api/inventory", bulk::export)
            .says("destinations", "All destinations and jobs, as an import takes them")
            .query(bulk::EXPORT)
            .gives::<bulk::BulkJson<'_>>()
            .or_gives(&["text/csv"]),
        route(Method::POST, "/api/inventory", bulk::import)
            .says("destinations", "Add or change many destinations and jobs by name: all of them or none")
            .query(bulk::IMPORT)
            .taking(bulk::TYPES)
            .reads::<bulk::BulkInput>()
            .gives::<bulk::ImportedJson>(),
        route(Method::GET, "/api/jobs/:id/export", export::of_job)
            .says("files", "What a job measured, as a file: an Excel report, csv, JSON, JSON lines, Parquet, or a signed evidence pack")
            .query(export::OF_JOB)
            .gives_other(export::MEDIA_TYPES[0])
            .or_gives(&export::MEDIA_TYPES),
        route(Method::GET, "/api/export", export::of_many)
            .says("files", "What several jobs measured, as a file")
            .query(export::OF_MANY)
            .gives_other(export::MEDIA_TYPES[0])
            .or_gives(&export::MEDIA_TYPES),
        route(Method::POST, "/api/config/reload", config::reload)
            .says("server", "Take up the config file again")
            .needs(Role::Admin)
            .gives::<Reloaded>(),
    ];
    routes.extend(logging::routes());
    routes.extend(policy::routes());
    routes.extend(remarks::routes());
    routes.extend(accounting::routes());
    routes.extend(exports::routes());
    routes.extend(what_if::routes());
    routes.extend(patterns::routes());
    routes.extend(live_test::routes());
    routes.extend(live::routes());
    routes.extend(pull::routes());
    routes.extend(prom_api::routes());
    Table::new(routes, crate::assets::find)
}

/// Of routes that are about one destination.
const DESTINATION: &[&str] = &["destination"];

pub(crate) const MERGE_PATCH: &[&str] = &["application/merge-patch+json", "application/json"];

/// Where a change is.
#[derive(Serialize, ToSchema)]
#[schema(as = Changed)]
pub(crate) struct PositionJson {
    position: u64,
}

/// The answer to a removal.
pub(crate) fn position_only(position: netstats_event::Position) -> Result<Reply, Problem> {
    Ok(Reply::json(&PositionJson { position: position.0 }))
}
