//! The account of a destination's availability, the one that every answer shows: by the method and the maintenance that
//! an inventory holds. Another inventory (of the past, or one that is only supposed) gives another account.

use netstats_event::{AccountingSpec, DestinationId, JobId, Position, ProbeKind, Timestamp};
use netstats_inventory::Inventory;
use netstats_series::{AccountQuery, Point, TotalsQuery, accounting_of};
use netstats_stats::Availability;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::app::App;
use crate::json::percent;
use crate::problem::Problem;

/// What is accounted for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) job: Option<JobId>,
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    pub(crate) as_of: Option<Position>,
}

/// The question for the account of one destination.
pub(crate) fn question(inventory: &Inventory, destination: DestinationId, span: Span) -> AccountQuery {
    AccountQuery {
        job: span.job,
        destination,
        from: span.from,
        to: span.to,
        maintenance: inventory.maintenance_of(destination, &(span.from..span.to)),
        accounting: accounting_of(&inventory.accounting),
        as_of: span.as_of,
    }
}

/// The account of one destination.
pub(super) fn account(
    app: &App,
    inventory: &Inventory,
    destination: DestinationId,
    span: Span,
) -> Result<Availability, Problem> {
    Ok(app.context.availability.account(&app.context.series, &question(inventory, destination, span))?)
}

/// An account in figures.
#[derive(Serialize, ToSchema)]
#[schema(as = Account)]
pub(super) struct AccountJson {
    availability_percent: Option<f64>,
    up_s: f64,
    down_s: f64,
    unknown_s: f64,
    maintenance_s: f64,
    unmeasured_s: f64,
    outages: usize,
    longest_outage_s: Option<f64>,
    mean_time_to_repair_s: Option<f64>,
    mean_time_between_failures_s: Option<f64>,
}

impl From<&Availability> for AccountJson {
    fn from(account: &Availability) -> Self {
        Self {
            availability_percent: account.ratio().map(percent),
            up_s: seconds(account.up_ms),
            down_s: seconds(account.down_ms),
            unknown_s: seconds(account.unknown_ms),
            maintenance_s: seconds(account.maintenance_ms),
            unmeasured_s: seconds(account.unmeasured_ms),
            outages: account.outages.len(),
            longest_outage_s: account.outages.iter().map(|outage| outage.to - outage.from).max().map(seconds),
            mean_time_to_repair_s: account.mean_time_to_repair_ms().map(|ms| ms.round() / 1_000.0),
            mean_time_between_failures_s: account.mean_time_between_failures_ms().map(|ms| ms.round() / 1_000.0),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of a range stay far below 2^53")]
pub(super) fn seconds(millis: i64) -> f64 {
    millis as f64 / 1_000.0
}

/// An account in figures, and the method behind them.
pub(super) fn figures(account: &Availability, method: &AccountingSpec) -> Value {
    let mut figures = json!(AccountJson::from(account));
    figures["method"] = json!(crate::json::AccountingJson::of(method));
    figures
}

/// The ping figures of each hour (UTC) of a span that brought something.
pub(super) fn hours(app: &App, destination: DestinationId, span: Span) -> Result<Vec<Point>, Problem> {
    let query = TotalsQuery {
        job: span.job,
        destinations: vec![destination],
        probe: ProbeKind::Ping,
        from: span.from,
        to: span.to,
        as_of: span.as_of,
    };
    let hours = app.context.series.grouped(&*app.context.journal, &query, &|hour| Some(hour.as_millis()))?;
    Ok(hours.into_values().collect())
}

/// Hours with a figure to judge, and those of them that are beyond a threshold; none where the method has none.
pub(super) fn degraded(hours: &[Point], method: &AccountingSpec) -> Option<(usize, usize)> {
    if method.max_loss_ppm.is_none() && method.max_p95_us.is_none() {
        return None;
    }
    let max_loss = method.max_loss_ppm.map(|ppm| f64::from(ppm) / 1e6);
    let max_p95 = method.max_p95_us.map(|us| f64::from(us) / 1_000.0);
    let known: Vec<_> = hours.iter().filter(|hour| hour.loss_ratio.is_some()).collect();
    let is_beyond = |hour: &&&Point| {
        let loses = hour.loss_ratio.zip(max_loss).is_some_and(|(loss, most)| loss > most);
        loses || hour.p95_ms.ok().zip(max_p95).is_some_and(|(p95, most)| p95 > most)
    };
    Some((known.len(), known.iter().filter(is_beyond).count()))
}
