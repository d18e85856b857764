//! The state that the config events make.

use std::collections::BTreeMap;
use std::sync::Arc;

use netstats_event::{
    AccountingSpec, AnnotationId, AnnotationSpec, DestinationId, DestinationSpec, ExportId, ExportRun, ExportSpec,
    JobId, JobSpec, MaintenanceId, MaintenanceSpec, Meta, Position, Timestamp,
};

use crate::access::Access;
use crate::command::{Rejection, RejectionKind};
use crate::validate::did_you_mean;

/// A destination, as it is known at a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Its number.
    pub id: DestinationId,
    /// Its description.
    pub spec: DestinationSpec,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// The event that added it.
    pub added: Position,
    /// The event that last changed it (the one that added it, if none).
    pub changed: Position,
}

/// A job, as it is known at a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its number.
    pub id: JobId,
    /// Its description.
    pub spec: JobSpec,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was last changed, started or stopped.
    pub updated_at: Timestamp,
    /// The event that added it.
    pub added: Position,
    /// The event that last changed, started or stopped it.
    pub changed: Position,
    /// Since when it has been enabled; none while it is disabled.
    pub enabled_since: Option<Timestamp>,
    /// The event that last enabled or disabled it.
    pub enabled_changed: Position,
    /// When that was.
    pub enabled_changed_at: Timestamp,
    /// Who did that, and why.
    pub enabled_by: Meta,
}

/// Something that people say of a time, as it is known at a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark<Id, Spec> {
    /// Its number.
    pub id: Id,
    /// What it says.
    pub spec: Spec,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// The event that added it.
    pub added: Position,
    /// The event that last changed it (the one that added it, if none).
    pub changed: Position,
    /// Who last said so, and why.
    pub by: Meta,
}

/// An annotation.
pub type Annotation = Remark<AnnotationId, AnnotationSpec>;
/// A maintenance window.
pub type Maintenance = Remark<MaintenanceId, MaintenanceSpec>;
/// An export.
pub type ExportJob = Remark<ExportId, ExportSpec>;

/// A run of an export that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinishedRun {
    /// The event that says so: the run's number at the doors.
    pub position: Position,
    /// How it went.
    pub run: ExportRun,
    /// Who asked for it.
    pub by: Meta,
}

/// A run of an export that somebody asked for and whose end is not told yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestedRun {
    /// The event that says so.
    pub position: Position,
    /// When.
    pub at: Timestamp,
    /// Who asked for it.
    pub by: Meta,
}

/// Destinations and jobs, and what people say of times, at a position. Entries are shared: a clone copies pointers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inventory {
    /// The last config event folded in; samples do not move it.
    pub position: Position,
    /// Destinations by id.
    pub destinations: BTreeMap<DestinationId, Arc<Destination>>,
    /// Jobs by id.
    pub jobs: BTreeMap<JobId, Arc<Job>>,
    /// The id of the next destination. Ids are not used twice.
    pub next_destination: DestinationId,
    /// The id of the next job. Ids are not used twice.
    pub next_job: JobId,
    /// Annotations by id.
    pub annotations: BTreeMap<AnnotationId, Arc<Annotation>>,
    /// Maintenance windows by id.
    pub maintenance: BTreeMap<MaintenanceId, Arc<Maintenance>>,
    /// The id of the next annotation. Ids are not used twice.
    pub next_annotation: AnnotationId,
    /// The id of the next maintenance window. Ids are not used twice.
    pub next_maintenance: MaintenanceId,
    /// Exports by id.
    pub exports: BTreeMap<ExportId, Arc<ExportJob>>,
    /// The last runs of each, oldest first.
    pub export_runs: BTreeMap<ExportId, Arc<Vec<FinishedRun>>>,
    /// The runs that were asked for and have not ended.
    pub export_requests: BTreeMap<ExportId, RequestedRun>,
    /// The id of the next export. Ids are not used twice.
    pub next_export: ExportId,
    /// The method of accounting.
    pub accounting: AccountingSpec,
    /// The event that last changed it; the start if it is the one that the product comes with.
    pub accounting_changed: Position,
    /// BLAKE3 of the config file that was last applied.
    pub config_digest: Option<[u8; 32]>,
    /// A config file's starter block was appended: it never is again.
    pub starter_applied: bool,
    /// Users, tokens and sessions.
    pub access: Access,
    /// Ids by name key, so that a lookup by name does not walk all entries.
    pub(crate) destination_names: BTreeMap<String, DestinationId>,
    pub(crate) job_names: BTreeMap<String, JobId>,
}

impl Default for Inventory {
    fn default() -> Self {
        Self {
            position: Position::START,
            destinations: BTreeMap::new(),
            jobs: BTreeMap::new(),
            next_destination: DestinationId(1),
            next_job: JobId(1),
            annotations: BTreeMap::new(),
            maintenance: BTreeMap::new(),
            next_annotation: AnnotationId(1),
            next_maintenance: MaintenanceId(1),
            exports: BTreeMap::new(),
            export_runs: BTreeMap::new(),
            export_requests: BTreeMap::new(),
            next_export: ExportId(1),
            accounting: AccountingSpec::default(),
            accounting_changed: Position::START,
            config_digest: None,
            starter_applied: false,
            access: Access::default(),
            destination_names: BTreeMap::new(),
            job_names: BTreeMap::new(),
        }
    }
}

/// What makes two names the same: their lower case.
pub(crate) fn name_key(name: &str) -> String {
    name.to_lowercase()
}

impl Inventory {
    /// The destination of that name, whatever its case.
    #[must_use]
    pub fn destination_by_name(&self, name: &str) -> Option<&Arc<Destination>> {
        self.destinations.get(self.destination_names.get(&name_key(name))?)
    }

    /// The job of that name, whatever its case.
    #[must_use]
    pub fn job_by_name(&self, name: &str) -> Option<&Arc<Job>> {
        self.jobs.get(self.job_names.get(&name_key(name))?)
    }

    /// The destination of that id or name. A name is never all digits, so there is no doubt.
    #[must_use]
    pub fn find_destination(&self, id_or_name: &str) -> Option<&Arc<Destination>> {
        match parse_id(id_or_name) {
            Some(id) => self.destinations.get(&DestinationId(id)),
            None => self.destination_by_name(id_or_name),
        }
    }

    /// The job of that id or name.
    #[must_use]
    pub fn find_job(&self, id_or_name: &str) -> Option<&Arc<Job>> {
        match parse_id(id_or_name) {
            Some(id) => self.jobs.get(&JobId(id)),
            None => self.job_by_name(id_or_name),
        }
    }

    /// The id of the destination of that id or name; that of a removed one too, by its id: its samples are still there.
    #[must_use]
    pub fn destination_ever(&self, id_or_name: &str) -> Option<DestinationId> {
        let gone = || parse_id(id_or_name).map(DestinationId).filter(|id| id.0 > 0 && *id < self.next_destination);
        self.find_destination(id_or_name).map(|destination| destination.id).or_else(gone)
    }

    /// The id of the job of that id or name; that of a removed one too, by its id.
    #[must_use]
    pub fn job_ever(&self, id_or_name: &str) -> Option<JobId> {
        let gone = || parse_id(id_or_name).map(JobId).filter(|id| id.0 > 0 && *id < self.next_job);
        self.find_job(id_or_name).map(|job| job.id).or_else(gone)
    }

    /// As [`Self::find_destination`], with a no that names the nearest.
    ///
    /// # Errors
    /// `NotFound`: there is none.
    pub fn resolve_destination(&self, id_or_name: &str) -> Result<&Arc<Destination>, Rejection> {
        self.find_destination(id_or_name).ok_or_else(|| {
            let no = Rejection::not_found(format!("there is no destination {id_or_name:?}"));
            did_you_mean(no, id_or_name, self.destinations.values().map(|destination| &destination.spec.name))
        })
    }

    /// As [`Self::find_job`], with a no that names the nearest.
    ///
    /// # Errors
    /// `NotFound`: there is none.
    pub fn resolve_job(&self, id_or_name: &str) -> Result<&Arc<Job>, Rejection> {
        self.find_job(id_or_name).ok_or_else(|| {
            let no = Rejection::not_found(format!("there is no job {id_or_name:?}"));
            did_you_mean(no, id_or_name, self.jobs.values().map(|job| &job.spec.name))
        })
    }

    /// The ids of a job's destinations, given by id or name.
    ///
    /// # Errors
    /// Invalid: one is not there (`destinations[2]`).
    pub fn resolve_destinations(&self, ids_or_names: &[String]) -> Result<Vec<DestinationId>, Rejection> {
        let resolve = |(i, text): (usize, &String)| match self.resolve_destination(text) {
            Ok(destination) => Ok(destination.id),
            Err(no) => Err(Rejection { kind: RejectionKind::Invalid, ..no }.at(format!("destinations[{i}]"))),
        };
        ids_or_names.iter().enumerate().map(resolve).collect()
    }

    /// What a job measures: the destinations that it names and those that carry one of its tags, by id, without
    /// repeats. Paused ones are among them: they are members that rest.
    #[must_use]
    pub fn members(&self, job: &Job) -> Vec<DestinationId> {
        self.members_of(&job.spec)
    }

    /// As [`Self::members`], for a description that is not a job yet.
    #[must_use]
    pub fn members_of(&self, spec: &JobSpec) -> Vec<DestinationId> {
        let tagged = self
            .destinations
            .values()
            .filter(|destination| destination.spec.tags.iter().any(|tag| spec.destination_tags.contains(tag)))
            .map(|destination| destination.id);
        let named = spec.destinations.iter().copied().filter(|id| self.destinations.contains_key(id));
        let mut members: Vec<_> =
            if spec.destination_tags.is_empty() { named.collect() } else { named.chain(tagged).collect() };
        members.sort_unstable();
        members.dedup();
        members
    }

    /// The jobs of which a destination is a member, by id.
    #[must_use]
    pub fn jobs_of(&self, destination: &Destination) -> Vec<JobId> {
        self.jobs
            .values()
            .filter(|job| {
                job.spec.destinations.binary_search(&destination.id).is_ok()
                    || job.spec.destination_tags.iter().any(|tag| destination.spec.tags.contains(tag))
            })
            .map(|job| job.id)
            .collect()
    }
}

/// All digits is an id; one too large for an id is that of nothing.
fn parse_id(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(0))
}
