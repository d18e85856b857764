//! What ids were called.

use std::collections::BTreeMap;

use netstats_event::{DestinationId, JobId};
use netstats_inventory::Inventory;
use netstats_series::Row;

use crate::column::Line;

/// Names of jobs and destinations. What was removed keeps its name if it is given with [`Names::add_destination`] or
/// [`Names::add_job`], else it is shown by its number.
#[derive(Clone, Debug, Default)]
pub struct Names {
    jobs: BTreeMap<JobId, String>,
    destinations: BTreeMap<DestinationId, (String, String)>,
}

impl Names {
    /// The names in an inventory.
    #[must_use]
    pub fn of(inventory: &Inventory) -> Self {
        let mut names = Self::default();
        for (id, job) in &inventory.jobs {
            names.add_job(*id, &job.spec.name);
        }
        for (id, destination) in &inventory.destinations {
            names.add_destination(*id, &destination.spec.name, &destination.spec.host);
        }
        names
    }

    /// A job's name.
    pub fn add_job(&mut self, id: JobId, name: &str) {
        self.jobs.insert(id, name.to_owned());
    }

    /// A destination's name and host.
    pub fn add_destination(&mut self, id: DestinationId, name: &str, host: &str) {
        self.destinations.insert(id, (name.to_owned(), host.to_owned()));
    }

    /// Makes sure that both ids of a row have a name.
    pub fn complete(&mut self, row: &Row) {
        self.complete_ids(row.job, row.destination);
    }

    pub(crate) fn complete_ids(&mut self, job: JobId, destination: DestinationId) {
        self.jobs.entry(job).or_insert_with(|| format!("job {job}"));
        self.complete_destination(destination);
    }

    pub(crate) fn complete_destination(&mut self, id: DestinationId) {
        self.destinations.entry(id).or_insert_with(|| (format!("destination {id}"), String::new()));
    }

    /// A job's name; nothing if it has none.
    #[must_use]
    pub fn job(&self, id: JobId) -> &str {
        self.jobs.get(&id).map_or("", String::as_str)
    }

    /// The row with its names. An id without one (see [`Names::complete`]) is shown as nothing.
    #[must_use]
    pub fn line<'a>(&'a self, row: &'a Row) -> Line<'a> {
        Line { row, job: self.job(row.job), destination: self.destination(row.destination).0 }
    }

    /// A destination's name and host.
    #[must_use]
    pub fn destination(&self, id: DestinationId) -> (&str, &str) {
        self.destinations.get(&id).map_or(("", ""), |(name, host)| (name, host))
    }
}
