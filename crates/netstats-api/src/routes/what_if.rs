//! `POST /api/what-if`: the account of any past range under another method, other thresholds or other maintenance, beside
//! the recorded one. Nothing is written: both come from the same views by the same arithmetic, so the recorded settings
//! give exactly what is recorded.

use std::sync::Arc;

use hyper::Method;
use netstats_event::{AccountingSpec, DestinationId, JobId, MaintenanceId, Meta, Timestamp};
use netstats_inventory::{Inventory, Maintenance, accounting, maintenance};
use netstats_series::Point;
use netstats_stats::Availability;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::account::{AccountJson, Span, account, degraded, hours};
use super::range::{Analysis, DAY, job_named};
use crate::app::App;
use crate::declare::AS_OF;
use crate::json::{
    AccountingInput, AccountingJson, Fields, Json, MaintenanceInput, NameOrId, Time, TimeInput, parse, read_accounting,
    read_maintenance, read_past_destinations, read_time,
};
use crate::limits::{MAX_SUPPOSED_WINDOWS, MAX_WHAT_IF_DAYS};
use crate::moment::{Moment, answer};
use crate::problem::Problem;
use crate::reply::Reply;
use crate::route::{Call, Route, route};

/// What is supposed, for the OpenAPI document.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape of a body that `read` reads field by field")]
struct WhatIfInput {
    /// A day before `end_time`, where left out.
    start_time: Option<TimeInput>,
    /// Now, where left out.
    end_time: Option<TimeInput>,
    /// Names or ids; all, where left out.
    destinations: Option<Vec<NameOrId>>,
    /// Only by this job's checks.
    job: Option<String>,
    /// The saved method, where left out; what is left out of it is as saved.
    accounting: Option<AccountingInput>,
    maintenance: Option<SupposedMaintenance>,
}

/// Maintenance windows supposed besides those that are recorded, and recorded ones supposed away.
#[derive(ToSchema)]
#[expect(dead_code, reason = "as above")]
struct SupposedMaintenance {
    add: Option<Vec<MaintenanceInput<'static>>>,
    /// Ids of windows.
    ignore: Option<Vec<u32>>,
}

/// The route.
pub(crate) fn routes() -> Vec<Route<App>> {
    let what_if = route(Method::POST, "/api/what-if", what_if)
        .says(
            "accounting",
            "Accounts of a past range under other settings, beside the recorded ones; nothing is changed",
        )
        .query(&[AS_OF])
        .reads::<WhatIfInput>()
        .gives::<Analysis>();
    vec![what_if]
}

/// What is asked.
struct Asked {
    from: Timestamp,
    to: Timestamp,
    job: Option<JobId>,
    destinations: Vec<DestinationId>,
    /// As it would be.
    supposed: Inventory,
}

fn read(json: &Json, moment: &Moment) -> Result<Asked, Problem> {
    let inventory = &*moment.inventory;
    let mut fields = Fields::of(json, "")?;
    let mut time = |name| read_time(&mut fields, name, moment.now);
    // Nothing is known of what is to come.
    let to = time("end_time")?.map_or(moment.now, |to| to.min(moment.now));
    let from = time("start_time")?.unwrap_or_else(|| to.minus(DAY));
    if from >= to {
        return Err(Problem::invalid(format!("start_time is {}, and end_time is {}", Time(from), Time(to)))
            .field("start_time")
            .accepted("a time before end_time"));
    }
    let mut destinations = read_past_destinations(&mut fields, inventory)?;
    if destinations.is_empty() {
        destinations = inventory.destinations.keys().copied().collect();
    }
    let job = match fields.text("job")? {
        Some(id) => Some(job_named(inventory, &id)?),
        None => None,
    };
    let mut supposed = inventory.clone();
    if let Some(json) = fields.value("accounting") {
        let spec = read_accounting(json, "accounting", &inventory.accounting)?;
        accounting(&spec).map_err(|no| no.under("accounting"))?;
        supposed.accounting = spec;
    }
    if let Some(json) = fields.value("maintenance") {
        suppose_maintenance(json, inventory, moment.now, &mut supposed)?;
    }
    fields.done()?;
    let days = to.since(from).as_secs().div_ceil(86_400).saturating_mul(destinations.len() as u64);
    if days > MAX_WHAT_IF_DAYS {
        return Err(Problem::invalid(format!("that is {days} days, over all destinations"))
            .field("start_time")
            .accepted(format!("at most {MAX_WHAT_IF_DAYS} days over all destinations"))
            .hint("ask for a shorter range, or for some destinations at a time"));
    }
    Ok(Asked { from, to, job, destinations, supposed })
}

fn suppose_maintenance(
    json: &Json,
    inventory: &Inventory,
    now: Timestamp,
    supposed: &mut Inventory,
) -> Result<(), Problem> {
    let mut fields = Fields::of(json, "maintenance")?;
    for (i, value) in list(&mut fields, "ignore")?.iter().enumerate() {
        let id = match value {
            Json::Number(number) => number.as_u64().and_then(|id| u32::try_from(id).ok()),
            _ => None,
        };
        let gone = id.and_then(|id| supposed.maintenance.remove(&MaintenanceId(id)));
        if gone.is_none() {
            return Err(fields.refuse(&format!("ignore[{i}]"), "is no maintenance window's id", "ids of windows"));
        }
    }
    for (i, value) in list(&mut fields, "add")?.iter().enumerate() {
        let path = format!("maintenance.add[{i}]");
        let spec = read_maintenance(value, &path, inventory, now)?;
        let spec = maintenance(spec, &[], inventory).map_err(|no| no.under(&path))?;
        // From the end: no recorded one has that number.
        let id = MaintenanceId(u32::MAX - u32::try_from(i).unwrap_or(u32::MAX));
        let (changed, at) = (inventory.position, now);
        let window =
            Maintenance { id, spec, created_at: at, updated_at: at, added: changed, changed, by: Meta::default() };
        supposed.maintenance.insert(id, Arc::new(window));
    }
    fields.done()
}

fn list<'a>(fields: &mut Fields<'a>, name: &'static str) -> Result<&'a [Json], Problem> {
    match fields.value(name) {
        None => Ok(&[]),
        Some(Json::List(values)) if values.len() <= MAX_SUPPOSED_WINDOWS => Ok(values),
        Some(_) => Err(fields.refuse(name, "is no such list", &format!("a list of at most {MAX_SUPPOSED_WINDOWS}"))),
    }
}

/// Sums over destinations.
#[derive(Default)]
struct Total {
    account: Availability,
    hours: Option<(usize, usize)>,
}

impl Total {
    fn add(&mut self, account: Availability, hours: Option<(usize, usize)>) {
        self.account = std::mem::take(&mut self.account).plus(account);
        if let Some((all, beyond)) = hours {
            let before = self.hours.unwrap_or_default();
            self.hours = Some((before.0 + all, before.1 + beyond));
        }
    }
}

#[derive(Serialize)]
struct Figures {
    #[serde(flatten)]
    account: AccountJson,
    hours: Option<usize>,
    degraded_hours: Option<usize>,
}

fn figures(account: &Availability, hours: Option<(usize, usize)>) -> Figures {
    Figures { account: account.into(), hours: hours.map(|hours| hours.0), degraded_hours: hours.map(|hours| hours.1) }
}

async fn what_if(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    answer(app, call, |app, call, moment| {
        let position = moment.position(app);
        let asked = read(&parse(&call.body)?, moment)?;
        let span = Span { job: asked.job, from: asked.from, to: asked.to, as_of: moment.as_of };
        let settings = [&*moment.inventory, &asked.supposed];
        let has_thresholds =
            settings.iter().any(|inventory| degraded(&[], &inventory.accounting).is_some());
        let mut totals = [Total::default(), Total::default()];
        let mut items = Vec::with_capacity(asked.destinations.len());
        for id in &asked.destinations {
            let hours = if has_thresholds { hours(app, *id, span)? } else { Vec::new() };
            let mut both = Vec::with_capacity(2);
            for (inventory, total) in settings.iter().zip(&mut totals) {
                let (account, hours) = judge(app, inventory, *id, span, &hours)?;
                both.push(figures(&account, hours));
                total.add(account, hours);
            }
            let supposed = both.pop();
            items.push(json!({
                "destination_id": id.0, "destination": moment.name_of(app, *id), "recorded": both.pop(), "what_if": supposed,
            }));
        }
        let of = |i: usize| json!(figures(&totals[i].account, totals[i].hours));
        Ok(Reply::json(&json!({
            "start_time": Time(asked.from), "end_time": Time(asked.to),
            "accounting": {"recorded": method(settings[0]), "what_if": method(settings[1])},
            "total": {"recorded": of(0), "what_if": of(1)}, "items": items, "position": position.0,
        })))
    })
    .await
}

fn method(inventory: &Inventory) -> Value {
    json!(AccountingJson::of(&inventory.accounting))
}

fn judge(
    app: &App,
    inventory: &Inventory,
    id: DestinationId,
    span: Span,
    hours: &[Point],
) -> Result<(Availability, Option<(usize, usize)>), Problem> {
    let method: &AccountingSpec = &inventory.accounting;
    Ok((account(app, inventory, id, span)?, degraded(hours, method)))
}
