//! What of the diagnostic log is written, while the server runs.

use std::sync::Arc;

use hyper::Method;
use netstats_event::Role;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::context::LogLevel;
use crate::json::{Fields, parse};
use crate::problem::Problem;
use crate::reply::Reply;
use crate::route::{Call, Route, route};

#[derive(Serialize, ToSchema)]
#[schema(as = LogLevel)]
struct LevelJson {
    level: String,
}

#[derive(ToSchema)]
#[schema(as = LogLevelInput)]
#[expect(dead_code, reason = "the shape of a body that `change` reads field by field")]
struct LevelInput {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter as `info,netstats_collector=debug`.
    level: String,
}

pub(crate) fn routes() -> [Route<App>; 2] {
    [
        route(Method::GET, "/api/log-level", show)
            .says("server", "What of the diagnostic log is written")
            .needs(Role::Admin)
            .gives::<LevelJson>(),
        route(Method::PUT, "/api/log-level", change)
            .says("server", "Write more or less of the diagnostic log, until the next start")
            .needs(Role::Admin)
            .reads::<LevelInput>()
            .gives::<LevelJson>(),
    ]
}

/// `GET /api/log-level`
async fn show(app: Arc<App>, _: Call) -> Result<Reply, Problem> {
    Ok(Reply::json(&LevelJson { level: hook(&app)?.level() }))
}

/// `PUT /api/log-level`
async fn change(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    let json = parse(&call.body)?;
    let mut fields = Fields::of(&json, "")?;
    let level = fields.required_text("level")?;
    fields.done()?;
    let hook = hook(&app)?;
    hook.set_level(&level).map_err(|why| Problem::invalid(why).field("level"))?;
    tracing::info!(level, by = %call.who.actor, "the log level was changed");
    Ok(Reply::json(&LevelJson { level: hook.level() }))
}

fn hook(app: &App) -> Result<&Arc<dyn LogLevel>, Problem> {
    let hook = app.context.log_level.as_ref();
    hook.ok_or_else(|| Problem::not_found("the log of this server cannot be changed while it runs"))
}
