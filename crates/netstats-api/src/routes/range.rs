//! What the questions about samples have in common: which range, destination, job and probe.

use std::time::Duration;

use netstats_event::{DestinationId, JobId, Metric, ProbeKind, Timestamp};
use netstats_inventory::Inventory;
use netstats_series::{Resolution, TotalsQuery};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::declare::{Param, ParamKind, param};
use crate::json::{Time, parse_moment};
use crate::moment::Moment;
use crate::problem::Problem;
use crate::route::Call;

pub(super) const DESTINATION: Param = param("destination", ParamKind::Text, "The destination, by name or id");
pub(super) const DESTINATIONS: Param = param("destination", ParamKind::List, "Only these destinations, by name or id");
pub(super) const JOB: Param = param("job", ParamKind::Text, "Only what this job measured, by name or id");
pub(super) const METRIC: Param = param("metric", ParamKind::Text, "Of this metric's probe; else ping");

/// An answer that is described in the documents: an object.
pub(crate) struct Analysis;

impl PartialSchema for Analysis {
    fn schema() -> RefOr<Schema> {
        crate::openapi::any_object().into()
    }
}

impl ToSchema for Analysis {}

/// A day: the range before `end_time` where `start_time` does not say.
pub(super) const DAY: Duration = Duration::from_secs(24 * 3_600);

/// `start_time` and `end_time`: slots from the one on, and before the other.
pub(super) fn range(call: &Call, now: Timestamp, default: Duration) -> Result<(Timestamp, Timestamp), Problem> {
    range_named(call, ["start_time", "end_time"], now, |to| to.minus(default))
}

pub(super) fn range_named(
    call: &Call,
    [start, end]: [&'static str; 2],
    now: Timestamp,
    default: impl FnOnce(Timestamp) -> Timestamp,
) -> Result<(Timestamp, Timestamp), Problem> {
    let get = |name| call.query.get(name);
    let to = match get(end) {
        Some(text) => parse_moment(text, end, now)?,
        // A slot of this very moment is inside.
        None => now.plus(Duration::from_secs(1)),
    };
    let from = get(start).map_or_else(|| Ok(default(to)), |text| parse_moment(text, start, now))?;
    if from >= to {
        return Err(Problem::invalid(format!("{start} is {}, and {end} is {}", Time(from), Time(to)))
            .field(start)
            .accepted(format!("a time before {end}")));
    }
    Ok((from, to))
}

/// A whole number in a range.
pub(super) fn number(call: &Call, name: &'static str, default: usize, most: usize) -> Result<usize, Problem> {
    let Some(text) = call.query.get(name) else { return Ok(default.min(most)) };
    text.parse().ok().filter(|number| (1..=most).contains(number)).ok_or_else(|| {
        Problem::invalid(format!("{name} is {:?}", text.chars().take(40).collect::<String>()))
            .field(name)
            .accepted(format!("a whole number from 1 to {most}"))
    })
}

/// One of a few words, the first if none is given.
pub(super) fn word<T: Copy>(call: &Call, name: &'static str, words: &[(&'static str, T)]) -> Result<T, Problem> {
    let Some(text) = call.query.get(name) else { return Ok(words[0].1) };
    words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value).ok_or_else(|| {
        let shown: String = text.chars().take(40).collect();
        let all = words.iter().map(|(word, _)| *word);
        let problem = Problem::invalid(format!("{name} is {shown:?}")).field(name);
        crate::nearest::hint(problem.accepted(all.clone().collect::<Vec<_>>().join(", ")), &shown, all)
    })
}

/// A metric by its name.
pub(super) fn metric(name: &str) -> Result<Metric, Problem> {
    Metric::from_name(name).ok_or_else(|| {
        let names = Metric::ALL.map(Metric::name);
        let problem =
            Problem::invalid(format!("there is no metric {name:?}")).field("metric").accepted(names.join(", "));
        crate::nearest::hint(problem, name, names.into_iter())
    })
}

/// A destination by name or id, as one of a query's parameters. A removed one's samples are still there, under its id.
pub(super) fn destination(inventory: &Inventory, id: &str) -> Result<DestinationId, Problem> {
    super::destinations::find_ever(inventory, id).map_err(|problem| {
        let refused = Problem::invalid(problem.detail.clone());
        of_parameter(refused.field("destination").accepted("the id or the name of a destination"), &problem)
    })
}

/// The destination that must be named.
pub(super) fn required_destination(call: &Call, inventory: &Inventory) -> Result<DestinationId, Problem> {
    let text = call
        .query
        .get("destination")
        .ok_or_else(|| Problem::invalid("destination is not given").field("destination").accepted("an id or a name"))?;
    destination(inventory, text)
}

/// `destination`: ids or names, with commas; empty for all.
pub(super) fn destinations(call: &Call, inventory: &Inventory) -> Result<Vec<DestinationId>, Problem> {
    let text = call.query.get("destination").unwrap_or_default();
    text.split(',').filter(|id| !id.trim().is_empty()).map(|id| destination(inventory, id.trim())).collect()
}

/// `job`: an id or a name; none for all jobs together. A removed job's samples are still there, under its id.
pub(super) fn job(call: &Call, inventory: &Inventory) -> Result<Option<JobId>, Problem> {
    call.query.get("job").map(|id| job_named(inventory, id)).transpose()
}

/// A job by name or id, as one of a query's parameters.
pub(super) fn job_named(inventory: &Inventory, id: &str) -> Result<JobId, Problem> {
    super::jobs::find_ever(inventory, id).map_err(|problem| {
        let refused = Problem::invalid(problem.detail.clone());
        of_parameter(refused.field("job").accepted("the id or the name of a job"), &problem)
    })
}

/// What is not there is a fault of the parameter, not of the address: with the same hint.
fn of_parameter(mut refused: Problem, problem: &Problem) -> Problem {
    refused.hint.clone_from(&problem.hint);
    refused
}

/// `metric`: of its probe; ping without it.
pub(super) fn probe(call: &Call) -> Result<ProbeKind, Problem> {
    call.query.get("metric").map_or(Ok(ProbeKind::Ping), |name| metric(name).map(Metric::probe))
}

/// The totals of some destinations in a range.
pub(super) fn totals(
    call: &Call,
    moment: &Moment,
    destinations: Vec<DestinationId>,
    (from, to): (Timestamp, Timestamp),
) -> Result<TotalsQuery, Problem> {
    let job = job(call, &moment.inventory)?;
    Ok(TotalsQuery { job, destinations, probe: probe(call)?, from, to, as_of: moment.as_of })
}

/// How fine an answer is, in words: `raw`, or a number of seconds as `60s`.
pub(super) fn resolution_name(resolution: Resolution) -> String {
    match resolution {
        Resolution::Raw => "raw".to_owned(),
        Resolution::Seconds(seconds) => format!("{seconds}s"),
    }
}

/// The destinations asked for, or all that there are at the moment.
pub(super) fn destinations_or_all(call: &Call, moment: &Moment) -> Result<Vec<DestinationId>, Problem> {
    let named = destinations(call, &moment.inventory)?;
    Ok(if named.is_empty() { moment.inventory.destinations.keys().copied().collect() } else { named })
}

/// The metric that was asked for by `metric`.
pub(super) fn metric_name(call: &Call) -> &str {
    call.query.get("metric").unwrap_or(Metric::Ping.name())
}
