//! A command on its way: decided on the newest state, appended if that state has not moved, answered once the views
//! show it. Whoever reads the answer reads their own write.

use std::sync::Arc;
use std::time::Duration;

use netstats_event::{Event, Meta, Position};
use netstats_inventory::{Command, Inventory, Rejection, RejectionKind, decide};
use netstats_log::{Error, ErrorKind};

use crate::app::App;
use crate::problem::Problem;

/// How often a command is decided anew when others write at the same time.
const MOST_TRIES: usize = 16;
/// How long the disk may take to confirm a write.
const DURABLE_TIME: Duration = Duration::from_secs(6);
/// How long the views may take to show a write.
const VISIBLE_TIME: Duration = Duration::from_secs(10);
/// How long to wait for the event that made a try fail.
const MOVED_TIME: Duration = Duration::from_secs(1);

/// A command carried out.
#[derive(Debug)]
pub(crate) struct Done {
    /// The last event's position; the inventory's own if there was nothing to change.
    pub(crate) position: Position,
    /// What was appended.
    pub(crate) events: Vec<Event>,
    /// The inventory that shows it.
    pub(crate) inventory: Arc<Inventory>,
}

impl From<Rejection> for Problem {
    fn from(no: Rejection) -> Self {
        let mut problem = match no.kind {
            RejectionKind::Invalid => Self::invalid(no.message),
            RejectionKind::Conflict => Self::new(hyper::StatusCode::CONFLICT, "conflict", no.message),
            RejectionKind::NotFound => Self::not_found(no.message),
            RejectionKind::Denied => Self::new(hyper::StatusCode::FORBIDDEN, "target-denied", no.message),
        };
        problem.field = no.field;
        problem.accepted = no.accepted;
        problem.hint = no.hint;
        problem
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::Invalid => Self::invalid(error.to_string()),
            ErrorKind::Gone => Self::new(hyper::StatusCode::GONE, "gone", error.to_string())
                .hint("roll-ups by the hour and by the day are still answered without as_of"),
            ErrorKind::NotFound => Self::not_found(error.to_string()),
            ErrorKind::Conflict | ErrorKind::Unavailable => Self::unavailable(error.to_string()),
            ErrorKind::Corrupt => Self::new(hyper::StatusCode::INTERNAL_SERVER_ERROR, "corrupt", error.to_string())
                .hint("run: network-stats log verify"),
        }
    }
}

/// Carries out what `wish` makes of the newest inventory. `wish` is asked again when others wrote in between, so that
/// what it checked still holds.
pub(crate) async fn carry_out(
    app: &Arc<App>,
    meta: Meta,
    wish: impl Fn(&Inventory) -> Result<Command, Problem>,
) -> Result<Done, Problem> {
    let policy = (app.context.policy)();
    for _ in 0..MOST_TRIES {
        let state = app.context.inventory.current();
        let events = decide(&state, wish(&state)?, &meta, &policy)?;
        if events.is_empty() {
            return Ok(Done { position: state.position, events, inventory: state });
        }
        let ticket = app.context.journal.submit_if_config_unmoved(events.clone(), state.position);
        let Ok(result) = tokio::time::timeout(DURABLE_TIME, ticket).await else {
            return Err(Problem::unavailable(
                "whether this is recorded is unknown: the disk has not confirmed it in time; the log finds out by itself",
            )
            .hint("look whether it is there before you repeat it"));
        };
        match result {
            Ok(appended) => {
                let position = appended.last;
                let shown = app.context.runner.wait_for_async(position);
                let is_visible = tokio::time::timeout(VISIBLE_TIME, shown).await.unwrap_or(false);
                if !is_visible {
                    return Err(Problem::unavailable(format!(
                        "this is recorded, at position {position}, and the views do not show it yet"
                    ))
                    .hint("do not repeat it; GET /api/health shows how far the views are"));
                }
                return Ok(Done { position, events, inventory: app.context.inventory.current() });
            }
            Err(error) if error.kind() == ErrorKind::Conflict => {
                let waiting = app.clone();
                let _ = blocking(move || waiting.context.inventory.wait_changed(state.position, MOVED_TIME)).await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(Problem::unavailable("others change the configuration faster than this could be decided").hint("repeat it"))
}

/// Runs what blocks on a thread that may.
pub(crate) async fn blocking<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    tokio::task::spawn_blocking(run).await.map_err(|error| {
        tracing::error!(%error, "a blocking part failed");
        Problem::internal()
    })
}
