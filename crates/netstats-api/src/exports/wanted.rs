//! What is to be in a file, and its making.

use std::collections::BTreeMap;
use std::io::{self, Write};

use jiff::tz::TimeZone;
use netstats_event::{DestinationId, Envelope, JobId, Metric, Position, Timestamp};
use netstats_export::{Column, Export, Format, Linked, Names, Proof, ReportHead, columns_for};
use netstats_inventory::Inventory;
use netstats_log::Journal;
use netstats_series::{AccountBasis, RawQuery, accounting_of};

use crate::app::App;
use crate::limits::EXPORT_EVENTS_AT_ONCE;
use crate::moment::Moment;
use crate::problem::Problem;
use crate::routes::account::{Span, question};

/// What is asked for, in whatever way it was said.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) format: Format,
    /// Of these jobs; empty for all.
    pub(crate) jobs: Vec<JobId>,
    /// Of these destinations; empty for all, unless there are tags.
    pub(crate) destinations: Vec<DestinationId>,
    /// And of those with one of these tags.
    pub(crate) tags: Vec<String>,
    /// These metrics; empty for those of the jobs.
    pub(crate) metrics: Vec<Metric>,
    /// These columns; none for those that the metrics fill.
    pub(crate) columns: Option<Vec<&'static Column>>,
    pub(crate) range: (Timestamp, Timestamp),
    pub(crate) zone: TimeZone,
    pub(crate) zone_name: String,
    pub(crate) title: Option<String>,
}

/// A file that can be made.
pub(crate) struct Wanted {
    pub(crate) export: Export,
    query: RawQuery,
    /// More than one job: the query is over all of them.
    among: Vec<JobId>,
    moment: Moment,
    /// What the file is called when somebody takes it away.
    pub(crate) file: String,
}

impl Wish {
    /// Settles everything that has a default. May block.
    pub(crate) fn settle(self, app: &App, moment: &Moment) -> Result<Wanted, Problem> {
        let inventory = &moment.inventory;
        // The file tells its range in milliseconds, and has to come out the same from what it tells.
        let [from, to, generated_at] =
            [self.range.0, self.range.1, app.now()].map(|at| Timestamp::from_millis(at.as_millis()));
        if self.format == Format::Pack && app.context.signing_key.is_none() {
            return Err(Problem::unavailable("this installation has no key to sign with")
                .hint("an evidence pack is made where the data folder is: network-stats export --format pack"));
        }
        let metrics = metrics(self.metrics, inventory, &self.jobs);
        let columns = self.columns.unwrap_or_else(|| columns_for(&metrics));
        let destinations = chosen(self.destinations, &self.tags, inventory)?;
        let names = names(app, moment);
        let title = self.title.unwrap_or_else(|| title(inventory, &self.jobs));
        let position = moment.position(app);
        let head = ReportHead {
            title,
            scope: scope(inventory, &self.jobs, &destinations, &self.tags),
            range: from..to,
            time_zone: self.zone,
            time_zone_name: self.zone_name,
            generated_at,
            generator: format!("Network Stats Collector {}", app.context.version),
            accounting: accounting_of(&inventory.accounting),
            position,
            chain: app.context.journal.chain_at(position)?.map(|chain| chain.to_string()).unwrap_or_default(),
        };
        let file = file_name(&job_names(inventory, &self.jobs), &head, self.format);
        let query = RawQuery {
            job: if let [job] = self.jobs[..] { Some(job) } else { None },
            destinations,
            metrics: metrics.clone(),
            from,
            to,
            as_of: Some(position),
            ..RawQuery::default()
        };
        let among = if self.jobs.len() > 1 { self.jobs } else { Vec::new() };
        let export = Export { format: self.format, head, names, metrics, columns, accounts: BTreeMap::new() };
        Ok(Wanted { export, query, among, moment: moment.clone(), file })
    }
}

impl Wanted {
    /// Makes the file; returns its rows. `seen` is shown every portion of events before it is written, and may call the
    /// making off. Blocks.
    pub(crate) fn write(
        self,
        app: &App,
        out: impl Write + Send,
        mut seen: impl FnMut(&[Envelope]) -> io::Result<()> + Send,
    ) -> io::Result<u64> {
        let accounts = self.accounts(app)?;
        let Self { mut export, query, among, .. } = self;
        export.accounts = accounts;
        let journal = &*app.context.journal;
        let portions = app.context.series.portions(journal, &query, EXPORT_EVENTS_AT_ONCE).map(|portion| {
            let mut events = portion.map_err(io::Error::other)?;
            seen(&events)?;
            if !among.is_empty() {
                events.retain(|event| event.event.head().is_some_and(|head| among.contains(&head.job)));
            }
            Ok(events)
        });
        let mut records = |positions: &[Position]| linked(journal, positions);
        let proof = app.context.signing_key.as_ref().map(|key| Proof { records: &mut records, key });
        export.write(portions, proof, out)
    }
}

impl Wanted {
    /// What the accounts of a report rest on: the same as those of every other answer, up to now.
    fn accounts(&self, app: &App) -> io::Result<BTreeMap<DestinationId, AccountBasis>> {
        if !matches!(self.export.format, Format::Xlsx | Format::Pack) {
            return Ok(BTreeMap::new());
        }
        let RawQuery { job, destinations, from, to, as_of, .. } = &self.query;
        let now = Timestamp::from_millis(self.moment.now.as_millis());
        let span = Span { job: *job, from: *from, to: (*to).min(now), as_of: *as_of };
        let availability = &app.context.availability;
        let ids = match destinations.as_slice() {
            [] => availability.destinations(),
            some => some.iter().copied().collect(),
        };
        let basis = |id| {
            let mut basis = availability.basis(&app.context.series, &question(&self.moment.inventory, id, span))?;
            basis.streams.retain(|stream| self.among.is_empty() || self.among.contains(&stream.job));
            Ok((id, basis))
        };
        ids.into_iter().map(basis).collect::<Result<_, netstats_projector::Error>>().map_err(io::Error::other)
    }
}

/// The records at these positions, each with the chain's value before it.
fn linked(journal: &Journal, positions: &[Position]) -> io::Result<Vec<Linked>> {
    let before = |position: Position| Position(position.0.saturating_sub(1));
    let mut wanted: Vec<Position> = positions
        .iter()
        .flat_map(|position| [before(*position), *position])
        .filter(|it| *it != Position::START)
        .collect();
    wanted.sort_unstable();
    wanted.dedup();
    // What was before the first that is kept is gone: its chain with it.
    wanted.retain(|position| *position >= journal.first());
    let records = journal.records(&wanted).map_err(io::Error::other)?;
    let at = |position: Position| {
        let found = records.binary_search_by_key(&position, |record| record.position);
        found.map(|at| &records[at]).map_err(|_| {
            io::Error::other(format!(
                "the record at position {position} is not kept any more: its chain cannot be shown"
            ))
        })
    };
    positions
        .iter()
        .map(|position| {
            let before = before(*position);
            let before =
                if before == Position::START { netstats_event::ChainHash::default() } else { at(before)?.chain };
            Ok(Linked { before, record: at(*position)?.clone() })
        })
        .collect()
}

/// Those asked for, else those of the jobs, else all, in the order in which they are shown.
fn metrics(asked: Vec<Metric>, inventory: &Inventory, jobs: &[JobId]) -> Vec<Metric> {
    if !asked.is_empty() {
        return asked;
    }
    let known: Vec<_> = match jobs {
        [] => inventory.jobs.values().collect(),
        jobs => jobs.iter().filter_map(|job| inventory.jobs.get(job)).collect(),
    };
    let is_measured = |metric: &Metric| known.is_empty() || known.iter().any(|job| job.spec.metrics.contains(metric));
    Metric::ALL.into_iter().filter(is_measured).collect()
}

/// Named destinations, and those with the tags; empty for all.
fn chosen(
    mut chosen: Vec<DestinationId>,
    tags: &[String],
    inventory: &Inventory,
) -> Result<Vec<DestinationId>, Problem> {
    if !tags.is_empty() {
        let tagged = inventory.destinations.values().filter(|it| it.spec.tags.iter().any(|tag| tags.contains(tag)));
        let before = chosen.len();
        chosen.extend(tagged.map(|destination| destination.id));
        if chosen.len() == before {
            return Err(Problem::invalid(format!("no destination has the tag {}", tags.join(" or "))).field("tag"));
        }
    }
    chosen.sort_unstable();
    chosen.dedup();
    Ok(chosen)
}

/// The names at the moment, those of removed entries included.
fn names(app: &App, moment: &Moment) -> Names {
    let inventory = &moment.inventory;
    let mut names = Names::of(inventory);
    for id in (1..inventory.next_job.0).map(JobId).filter(|id| !inventory.jobs.contains_key(id)) {
        if let Some(name) = moment.last_job_name(app, id) {
            names.add_job(id, &name);
        }
    }
    for id in (1..inventory.next_destination.0).map(DestinationId) {
        if !inventory.destinations.contains_key(&id)
            && let Some(spec) = moment.last_destination(app, id)
        {
            names.add_destination(id, &spec.name, &spec.host);
        }
    }
    names
}

fn job_names(inventory: &Inventory, jobs: &[JobId]) -> String {
    let name = |id: &JobId| inventory.jobs.get(id).map_or_else(|| format!("job {id}"), |job| job.spec.name.clone());
    jobs.iter().map(name).collect::<Vec<_>>().join(", ")
}

fn title(inventory: &Inventory, jobs: &[JobId]) -> String {
    if jobs.is_empty() {
        return "Network quality".to_owned();
    }
    format!("Network quality: {}", job_names(inventory, jobs))
}

fn scope(inventory: &Inventory, jobs: &[JobId], destinations: &[DestinationId], tags: &[String]) -> String {
    let jobs = if jobs.is_empty() { "all jobs".to_owned() } else { format!("jobs: {}", job_names(inventory, jobs)) };
    let name = |id: &DestinationId| {
        inventory.destinations.get(id).map_or_else(|| format!("destination {id}"), |it| it.spec.name.clone())
    };
    match (tags, destinations) {
        ([], []) => format!("{jobs}; all their destinations"),
        ([], some) => format!("{jobs}; destinations: {}", some.iter().map(name).collect::<Vec<_>>().join(", ")),
        (tags, _) => format!("{jobs}; destinations tagged {}", tags.join(", ")),
    }
}

/// Of our own making: letters, digits and `-` (CWE-73), so that no system finds anything special in it.
pub(super) fn file_name(of: &str, head: &ReportHead, format: Format) -> String {
    let day = |at: Timestamp| {
        let at = jiff::Timestamp::from_second(at.as_secs()).unwrap_or_default();
        head.time_zone.to_datetime(at).strftime("%Y%m%d").to_string()
    };
    let plain: String = of.chars().map(|it| if it.is_ascii_alphanumeric() { it } else { '-' }).take(60).collect();
    let plain = plain.trim_matches('-');
    let dash = if plain.is_empty() { "" } else { "-" };
    let last = Timestamp::from_millis(head.range.end.as_millis() - 1);
    format!("network-stats{dash}{plain}-{}-{}.{}", day(head.range.start), day(last), format.extension())
}
