//! The method of accounting for availability: one for all, saved, so that a figure never depends on who asks.

use std::sync::Arc;

use hyper::Method;
use netstats_inventory::{Command, Inventory};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::{App, MERGE_PATCH};
use crate::command::carry_out;
use crate::declare::AS_OF;
use crate::json::{AccountingInput, AccountingJson, parse, read_accounting};
use crate::problem::Problem;
use crate::reply::Reply;
use crate::route::{Call, Route, route};

/// The method, and the event that set it.
#[derive(Serialize, ToSchema)]
#[schema(as = SavedAccounting)]
struct Shown {
    #[serde(flatten)]
    accounting: AccountingJson,
    position: u64,
}

fn body(inventory: &Inventory) -> Reply {
    let accounting = AccountingJson::of(&inventory.accounting);
    Reply::json(&Shown { accounting, position: inventory.accounting_changed.0 }).version(inventory.accounting_changed)
}

/// The routes.
pub(crate) fn routes() -> Vec<Route<App>> {
    const PATH: &str = "/api/accounting";
    const TAG: &str = "accounting";
    vec![
        route(Method::GET, PATH, show)
            .says(TAG, "The method of accounting for availability")
            .query(&[AS_OF])
            .selectable()
            .gives::<Shown>(),
        route(Method::PUT, PATH, change)
            .says(TAG, "Save a method of accounting; what is left out stays as it is")
            .reads::<AccountingInput>()
            .gives::<Shown>(),
        route(Method::PATCH, PATH, change)
            .says(TAG, "Change some of the method of accounting (JSON Merge Patch)")
            .taking(MERGE_PATCH)
            .reads::<AccountingInput>()
            .gives::<Shown>(),
    ]
}

/// `GET /api/accounting`
async fn show(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    Ok(body(&crate::moment::moment_at(&app, &call).await?.inventory))
}

/// `PUT` and `PATCH /api/accounting`: what is left out stays as it is, null takes a threshold away.
async fn change(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    let json = parse(&call.body)?;
    let wish = |state: &Inventory| {
        call.if_match(state.accounting_changed)?;
        Ok(Command::ChangeAccounting(read_accounting(&json, "", &state.accounting)?))
    };
    let done = carry_out(&app, app.meta(&call), wish).await?;
    Ok(body(&done.inventory))
}
