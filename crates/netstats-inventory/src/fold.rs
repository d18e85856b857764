//! Config events to state.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use netstats_event::{
    AnnotationId, AnnotationSpec, DestinationId, DestinationSpec, Envelope, Event, ExportId, ExportRunFinished,
    ExportSpec, Family, JobId, JobSpec, MaintenanceId, MaintenanceSpec, Meta, Position, SessionId, Timestamp, TokenId,
    UserId,
};
use netstats_projector::{Error, Projector, RowBatch, RowReader};

use crate::access::Touched;
use crate::limits::MAX_EXPORT_RUNS;
use crate::model::{
    Annotation, Destination, ExportJob, FinishedRun, Inventory, Job, Maintenance, Remark, RequestedRun, name_key,
};
use crate::query::{Change, InventoryHandle, Shared};
use crate::rows;

/// Numbers of config kinds: those of a newer program move the position too, so that nothing is decided on a state
/// that misses them unseen.
const CONFIG_KINDS: std::ops::Range<u16> = 100..200;

/// The number of a config event's kind; none for other events.
fn config_kind(event: &Event) -> Option<u16> {
    match event {
        Event::Unknown { kind, .. } => CONFIG_KINDS.contains(kind).then_some(*kind),
        _ => event.kind().filter(|kind| kind.family() == Family::Config).map(netstats_event::Kind::code),
    }
}

impl Inventory {
    /// Folds one event. Other families leave no trace. Total: an event about an entry that is not there (which
    /// `decide` never makes) changes nothing but the position.
    pub fn apply(&mut self, envelope: &Envelope) {
        self.fold(envelope);
    }

    fn fold(&mut self, envelope: &Envelope) -> Touched {
        let mut touched = Touched::default();
        if config_kind(&envelope.event).is_none() {
            return touched;
        }
        let (position, at) = (envelope.position, envelope.recorded_at);
        self.position = position;
        match &envelope.event {
            Event::DestinationAdded(e) => self.put_destination(e.id, &e.spec, position, at),
            Event::DestinationChanged(e) if self.destinations.contains_key(&e.id) => {
                self.put_destination(e.id, &e.spec, position, at);
            }
            Event::DestinationRemoved(e) => {
                if let Some(old) = self.destinations.remove(&e.id) {
                    forget(&mut self.destination_names, &old.spec.name, e.id);
                }
            }
            Event::JobAdded(e) => self.put_job(e.id, &e.spec, &e.meta, position, at),
            Event::JobChanged(e) if self.jobs.contains_key(&e.id) => {
                self.put_job(e.id, &e.spec, &e.meta, position, at);
            }
            Event::JobRemoved(e) => {
                if let Some(old) = self.jobs.remove(&e.id) {
                    forget(&mut self.job_names, &old.spec.name, e.id);
                }
            }
            Event::JobStarted(e) => self.switch_job(e.job, true, &e.meta, position, at),
            Event::JobStopped(e) => self.switch_job(e.job, false, &e.meta, position, at),
            Event::AnnotationAdded(e) => self.put_annotation(e.id, &e.spec, &e.meta, position, at),
            Event::AnnotationChanged(e) if self.annotations.contains_key(&e.id) => {
                self.put_annotation(e.id, &e.spec, &e.meta, position, at);
            }
            Event::AnnotationRemoved(e) => {
                self.annotations.remove(&e.id);
            }
            Event::MaintenanceAdded(e) => self.put_maintenance(e.id, &e.spec, &e.meta, position, at),
            Event::MaintenanceChanged(e) if self.maintenance.contains_key(&e.id) => {
                self.put_maintenance(e.id, &e.spec, &e.meta, position, at);
            }
            Event::MaintenanceRemoved(e) => {
                self.maintenance.remove(&e.id);
            }
            Event::ExportJobCreated(e) => self.put_export(e.id, &e.spec, &e.meta, position, at),
            Event::ExportJobUpdated(e) if self.exports.contains_key(&e.id) => {
                self.put_export(e.id, &e.spec, &e.meta, position, at);
            }
            Event::ExportJobDeleted(e) => {
                self.exports.remove(&e.id);
                self.export_runs.remove(&e.id);
                self.export_requests.remove(&e.id);
            }
            Event::ExportRunRequested(e) if self.exports.contains_key(&e.id) => {
                self.export_requests.insert(e.id, RequestedRun { position, at, by: e.meta.clone() });
            }
            Event::ExportRunFinished(e) => self.note_run(e, position),
            Event::AccountingChanged(e) => (self.accounting, self.accounting_changed) = (e.spec, position),
            Event::ConfigApplied(e) => {
                self.config_digest = Some(e.digest);
                self.starter_applied |= e.starter;
            }
            _ => touched = self.access.apply(envelope),
        }
        touched
    }

    fn put_destination(&mut self, id: DestinationId, spec: &DestinationSpec, position: Position, at: Timestamp) {
        let old = self.destinations.get(&id);
        let (created_at, added) = old.map_or((at, position), |old| (old.created_at, old.added));
        self.insert_destination(Destination {
            id,
            spec: spec.clone(),
            created_at,
            updated_at: at,
            added,
            changed: position,
        });
    }

    fn put_annotation(
        &mut self,
        id: AnnotationId,
        spec: &AnnotationSpec,
        meta: &Meta,
        position: Position,
        at: Timestamp,
    ) {
        let old = self.annotations.get(&id).map(AsRef::as_ref);
        self.insert_annotation(remark(old, id, spec, meta, position, at));
    }

    fn put_maintenance(
        &mut self,
        id: MaintenanceId,
        spec: &MaintenanceSpec,
        meta: &Meta,
        position: Position,
        at: Timestamp,
    ) {
        let old = self.maintenance.get(&id).map(AsRef::as_ref);
        self.insert_maintenance(remark(old, id, spec, meta, position, at));
    }

    fn put_export(&mut self, id: ExportId, spec: &ExportSpec, meta: &Meta, position: Position, at: Timestamp) {
        let old = self.exports.get(&id).map(AsRef::as_ref);
        self.insert_export(remark(old, id, spec, meta, position, at));
    }

    pub(crate) fn insert_export(&mut self, export: ExportJob) {
        self.next_export = self.next_export.max(ExportId(export.id.0.saturating_add(1)));
        self.exports.insert(export.id, Arc::new(export));
    }

    /// The oldest goes when there are too many: the log keeps it.
    fn note_run(&mut self, finished: &ExportRunFinished, position: Position) {
        if self.exports.contains_key(&finished.id) {
            if finished.run.slot.is_none() {
                self.export_requests.remove(&finished.id);
            }
            let runs = Arc::make_mut(self.export_runs.entry(finished.id).or_default());
            runs.push(FinishedRun { position, run: finished.run.clone(), by: finished.meta.clone() });
            let over = runs.len().saturating_sub(MAX_EXPORT_RUNS);
            runs.drain(..over);
        }
    }

    pub(crate) fn insert_annotation(&mut self, annotation: Annotation) {
        self.next_annotation = self.next_annotation.max(AnnotationId(annotation.id.0.saturating_add(1)));
        self.annotations.insert(annotation.id, Arc::new(annotation));
    }

    pub(crate) fn insert_maintenance(&mut self, maintenance: Maintenance) {
        self.next_maintenance = self.next_maintenance.max(MaintenanceId(maintenance.id.0.saturating_add(1)));
        self.maintenance.insert(maintenance.id, Arc::new(maintenance));
    }

    fn put_job(&mut self, id: JobId, spec: &JobSpec, meta: &Meta, position: Position, at: Timestamp) {
        let job = match self.jobs.get(&id) {
            Some(old) if old.spec.enabled == spec.enabled => {
                Job { spec: spec.clone(), updated_at: at, changed: position, ..Job::clone(old) }
            }
            old => Job {
                id,
                spec: spec.clone(),
                created_at: old.map_or(at, |old| old.created_at),
                updated_at: at,
                added: old.map_or(position, |old| old.added),
                changed: position,
                enabled_since: spec.enabled.then_some(at),
                enabled_changed: position,
                enabled_changed_at: at,
                enabled_by: meta.clone(),
            },
        };
        self.insert_job(job);
    }

    fn switch_job(&mut self, id: JobId, enabled: bool, meta: &Meta, position: Position, at: Timestamp) {
        if let Some(old) = self.jobs.get(&id) {
            let mut spec = old.spec.clone();
            spec.enabled = enabled;
            self.put_job(id, &spec, meta, position, at);
        }
    }

    pub(crate) fn insert_destination(&mut self, destination: Destination) {
        let id = destination.id;
        self.next_destination = self.next_destination.max(DestinationId(id.0.saturating_add(1)));
        let key = name_key(&destination.spec.name);
        if let Some(old) = self.destinations.insert(id, Arc::new(destination)) {
            forget(&mut self.destination_names, &old.spec.name, id);
        }
        self.destination_names.insert(key, id);
    }

    pub(crate) fn insert_job(&mut self, job: Job) {
        let id = job.id;
        self.next_job = self.next_job.max(JobId(id.0.saturating_add(1)));
        let key = name_key(&job.spec.name);
        if let Some(old) = self.jobs.insert(id, Arc::new(job)) {
            forget(&mut self.job_names, &old.spec.name, id);
        }
        self.job_names.insert(key, id);
    }
}

/// What is said now, by whom, over what was said before.
fn remark<Id, Spec: Clone>(
    old: Option<&Remark<Id, Spec>>,
    id: Id,
    spec: &Spec,
    meta: &Meta,
    position: Position,
    at: Timestamp,
) -> Remark<Id, Spec> {
    let (created_at, added) = old.map_or((at, position), |old| (old.created_at, old.added));
    Remark { id, spec: spec.clone(), created_at, updated_at: at, added, changed: position, by: meta.clone() }
}

/// Takes a name out of the index if it still is this entry's.
fn forget<Id: PartialEq>(names: &mut BTreeMap<String, Id>, name: &str, id: Id) {
    let key = name_key(name);
    if names.get(&key) == Some(&id) {
        names.remove(&key);
    }
}

/// The projector of the inventory.
#[derive(Debug)]
pub struct InventoryProjector {
    shared: Arc<Shared>,
    state: Arc<Inventory>,
    /// What the rows do not hold yet.
    dirty: Dirty,
}

#[derive(Debug, Default)]
pub(crate) struct Dirty {
    pub(crate) destinations: BTreeSet<DestinationId>,
    pub(crate) jobs: BTreeSet<JobId>,
    pub(crate) annotations: BTreeSet<AnnotationId>,
    pub(crate) maintenance: BTreeSet<MaintenanceId>,
    pub(crate) exports: BTreeSet<ExportId>,
    pub(crate) users: BTreeSet<UserId>,
    pub(crate) tokens: BTreeSet<TokenId>,
    pub(crate) sessions: BTreeSet<SessionId>,
    pub(crate) changes: Vec<Change>,
}

impl Dirty {
    fn note_remark(&mut self, event: &Event) {
        match event {
            Event::AnnotationAdded(e) => self.annotations.insert(e.id),
            Event::AnnotationChanged(e) => self.annotations.insert(e.id),
            Event::AnnotationRemoved(e) => self.annotations.insert(e.id),
            Event::MaintenanceAdded(e) => self.maintenance.insert(e.id),
            Event::MaintenanceChanged(e) => self.maintenance.insert(e.id),
            Event::MaintenanceRemoved(e) => self.maintenance.insert(e.id),
            _ => false,
        };
        match event {
            Event::ExportJobCreated(e) => self.exports.insert(e.id),
            Event::ExportJobUpdated(e) => self.exports.insert(e.id),
            Event::ExportJobDeleted(e) => self.exports.insert(e.id),
            Event::ExportRunFinished(e) => self.exports.insert(e.id),
            Event::ExportRunRequested(e) => self.exports.insert(e.id),
            _ => false,
        };
    }
}

impl InventoryProjector {
    /// The projector before the first event, and the handle for readers.
    #[must_use]
    pub fn new() -> (Self, InventoryHandle) {
        let shared = Arc::new(Shared::default());
        let handle = InventoryHandle { shared: Arc::clone(&shared) };
        (Self { shared, state: Arc::default(), dirty: Dirty::default() }, handle)
    }
}

impl Projector for InventoryProjector {
    fn name(&self) -> &'static str {
        "inventory"
    }

    fn version(&self) -> u32 {
        rows::VERSION
    }

    fn load(&mut self, rows: &dyn RowReader) -> Result<(), Error> {
        let (inventory, changes) = rows::load(rows)?;
        self.state = Arc::new(inventory);
        self.dirty = Dirty::default();
        self.shared.publish(Arc::clone(&self.state), |index| *index = changes);
        Ok(())
    }

    fn apply(&mut self, events: &[Envelope]) {
        let known = self.dirty.changes.len();
        for envelope in events {
            let Some(kind) = config_kind(&envelope.event) else { continue };
            // Readers share the state: the first change of a run copies it (pointers only), the others do not.
            let touched = Arc::make_mut(&mut self.state).fold(envelope);
            self.dirty.users.extend(touched.users);
            self.dirty.tokens.extend(touched.tokens);
            self.dirty.sessions.extend(touched.sessions);
            let (destination, job) = (envelope.event.destination(), envelope.event.job());
            self.dirty.destinations.extend(destination);
            self.dirty.jobs.extend(job);
            self.dirty.note_remark(&envelope.event);
            let (position, recorded_at) = (envelope.position, envelope.recorded_at);
            self.dirty.changes.push(Change { position, recorded_at, kind, destination, job });
        }
        let new = &self.dirty.changes[known..];
        if !new.is_empty() {
            self.shared.publish(Arc::clone(&self.state), |index| index.extend_from_slice(new));
        }
    }

    fn flush(&mut self, rows: &mut RowBatch) {
        rows::flush(&self.state, &std::mem::take(&mut self.dirty), rows);
    }
}
