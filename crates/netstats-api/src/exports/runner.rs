//! Export jobs: what is due is queued, a few are made at a time, and how each ended is recorded as an event.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::StatusCode;
use jiff::tz::TimeZone;
use netstats_event::{
    Envelope, ExportFormat, ExportId, ExportOutcome, ExportRun, MAX_TEXT_CHARS, Meta, Position, Timestamp,
};
use netstats_export::{CsvStyle, Format};
use netstats_inventory::{Command, ExportJob, Inventory, RequestedRun, export_range, last_export_slot};
use tokio::sync::Notify;

use super::place::{Part, Place, Whole, own_folder};
use super::wanted::{Wanted, Wish};
use crate::app::App;
use crate::command::{blocking, carry_out};
use crate::limits::{BATCH_EXPORTS_AT_ONCE, EXPORT_LOOK, EXPORT_RECORD_AGAIN};
use crate::moment::Moment;
use crate::problem::Problem;

/// Who a schedule acts as.
const SYSTEM: &str = "system";

/// The export jobs that wait or are being made.
#[derive(Default)]
pub(crate) struct Exporter {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Arc<Underway>>,
    running: Vec<Arc<Underway>>,
    /// The last request of each export that was taken up here.
    taken_up: BTreeMap<ExportId, Position>,
}

/// A run that has not ended.
#[derive(Debug)]
pub(crate) struct Underway {
    pub(crate) export: ExportId,
    /// The time of the schedule; none if somebody asked.
    pub(crate) slot: Option<Timestamp>,
    pub(crate) queued_at: Timestamp,
    by: Meta,
    is_cancelled: AtomicBool,
    /// All is done but the telling: another may begin.
    is_made: AtomicBool,
    /// Slots taken up.
    pub(crate) events: AtomicU64,
    /// How far through its range, in thousandths.
    pub(crate) permille: AtomicU64,
}

impl Exporter {
    fn lock(&self) -> MutexGuard<'_, State> {
        // What is behind the lock is whole after every step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The run of an export that waits or is being made, and whether the latter.
    pub(crate) fn underway(&self, export: ExportId) -> Option<(Arc<Underway>, bool)> {
        let state = self.lock();
        let running = state.running.iter().map(|run| (run, true));
        let mut all = running.chain(state.waiting.iter().map(|run| (run, false)));
        let is_wanted = |run: &Underway| run.export == export && !run.is_made.load(Ordering::Relaxed);
        all.find(|(run, _)| is_wanted(run)).map(|(run, is_running)| (run.clone(), is_running))
    }

    /// Refuses, if a run of this export waits or is being made.
    ///
    /// # Errors
    /// Conflict.
    pub(crate) fn refuse_twice(&self, export: ExportId) -> Result<(), Problem> {
        match self.underway(export) {
            None => Ok(()),
            Some(_) => Err(Problem::new(StatusCode::CONFLICT, "conflict", "this export is being made already")
                .hint("wait for it, or call it off: POST /api/exports/{id}/cancel")),
        }
    }

    /// Puts a run at the end of the queue, unless one of its export waits or is being made.
    fn queue(&self, export: ExportId, slot: Option<Timestamp>, by: Meta, at: Timestamp) {
        let mut state = self.lock();
        if !state.has(export) {
            state.waiting.push_back(Arc::new(Underway::new(export, slot, by, at)));
            drop(state);
            self.changed.notify_one();
        }
    }

    /// Queues what somebody asked for since the server began; gives back what was asked for before: whoever made that
    /// is gone.
    fn take_up(&self, inventory: &Inventory, born: Position) -> Vec<Arc<Underway>> {
        let mut state = self.lock();
        let mut interrupted = Vec::new();
        for (id, asked) in &inventory.export_requests {
            let is_taken_up = state.taken_up.get(id).is_some_and(|taken_up| *taken_up >= asked.position);
            // One that has to wait for the end of a scheduled run is looked at again.
            if is_taken_up || state.has(*id) {
                continue;
            }
            state.taken_up.insert(*id, asked.position);
            let run = Arc::new(Underway::asked(*id, asked));
            if asked.position > born {
                state.waiting.push_back(run);
                // Whoever looks for runs wakes up; who finds nothing new must not, or it would look for ever.
                self.changed.notify_one();
            } else {
                run.is_made.store(true, Ordering::Relaxed);
                state.running.push(run.clone());
                interrupted.push(run);
            }
        }
        interrupted
    }

    /// Calls a run off; true if there was one.
    pub(crate) fn cancel(&self, export: ExportId) -> bool {
        let found = self.underway(export);
        if let Some((run, _)) = &found {
            run.is_cancelled.store(true, Ordering::Relaxed);
            self.changed.notify_one();
        }
        found.is_some()
    }

    /// The next run that may begin: a called-off one needs no place among those that are made.
    fn begin(&self) -> Option<Arc<Underway>> {
        let mut state = self.lock();
        let is_free = state.running.len() < BATCH_EXPORTS_AT_ONCE;
        let at = state.waiting.iter().position(|run| is_free || run.is_cancelled.load(Ordering::Relaxed))?;
        let run = state.waiting.remove(at)?;
        state.running.push(run.clone());
        Some(run)
    }

    fn end(&self, run: &Arc<Underway>) {
        self.lock().running.retain(|other| !Arc::ptr_eq(other, run));
        self.changed.notify_one();
    }

    fn cancel_all(&self) {
        let mut state = self.lock();
        state.waiting.clear();
        state.running.iter().for_each(|run| run.is_cancelled.store(true, Ordering::Relaxed));
    }

    /// Queues what is due and has runs made, until the server stops.
    pub(crate) async fn drive(app: Arc<App>) {
        let Some(place) = app.exports_place.clone() else { return };
        let swept = place.clone();
        let _ = blocking(move || swept.sweep()).await;
        let mut stopping = app.stopping.clone();
        loop {
            let inventory = app.context.inventory.current();
            Self::take_up_requests(&app, &inventory);
            app.exporter.queue_due(&inventory, app.now());
            while let Some(run) = app.exporter.begin() {
                tokio::spawn(carry(app.clone(), place.clone(), run));
            }
            tokio::select! {
                () = app.exporter.changed.notified() => {}
                () = tokio::time::sleep(EXPORT_LOOK) => {}
                _ = stopping.wait_for(|stop| *stop) => {
                    app.exporter.cancel_all();
                    return;
                }
            }
        }
    }

    /// Queues what was asked for, and tells what a process that is gone did not make.
    pub(crate) fn take_up_requests(app: &Arc<App>, inventory: &Inventory) {
        for run in app.exporter.take_up(inventory, app.born) {
            tokio::spawn(tell_interrupted(app.clone(), run));
        }
    }

    fn queue_due(&self, inventory: &Inventory, now: Timestamp) {
        // One that is being made, or whose end is not told yet, is looked at again when it has ended.
        for export in inventory.exports.values() {
            if let Some(slot) = due(export, inventory, now) {
                self.queue(export.id, Some(slot), Meta::by(SYSTEM), now);
            }
        }
    }
}

impl State {
    /// A run of this export waits, is being made, or its end is not told yet.
    fn has(&self, export: ExportId) -> bool {
        self.waiting.iter().chain(&self.running).any(|run| run.export == export)
    }
}

/// The last time of an export's schedule, if nothing was made for it yet. Times from before it was described like this do
/// not count; of several that were missed while the product did not run, only the last does.
fn due(export: &ExportJob, inventory: &Inventory, now: Timestamp) -> Option<Timestamp> {
    let schedule = export.spec.schedule.as_ref().filter(|_| export.spec.enabled)?;
    let slot = last_export_slot(schedule, &export.spec.time_zone, now).filter(|slot| *slot > export.updated_at)?;
    let runs = inventory.export_runs.get(&export.id);
    let is_made = runs.is_some_and(|runs| runs.iter().any(|it| it.run.slot.is_some_and(|made| made >= slot)));
    (!is_made).then_some(slot)
}

/// Makes a file, removes those that are too many, and records how it went.
async fn carry(app: Arc<App>, place: Place, run: Arc<Underway>) {
    let inventory = app.context.inventory.current();
    if let Some(export) = inventory.exports.get(&run.export).cloned() {
        let (making, making_place, making_run) = (app.clone(), place.clone(), run.clone());
        let ended = blocking(move || make(&making, &making_place, &making_run, &export)).await;
        // A stop is no end: what the schedule asked for is made after the next start.
        let is_over = !(*app.stopping.borrow() && run.is_cancelled.load(Ordering::Relaxed));
        match ended {
            Ok(ended) if is_over => {
                prune(&app, place, run.export, ended.file.is_some()).await;
                record(&app, &run, ended).await;
            }
            Ok(_) => {}
            Err(_) => record(&app, &run, broke(&app, &run)).await,
        }
    }
    app.exporter.end(&run);
}

/// What is recorded of a making that panicked.
fn broke(app: &App, run: &Underway) -> ExportRun {
    ExportRun {
        slot: run.slot,
        started_at: run.queued_at,
        finished_at: app.now(),
        outcome: ExportOutcome::Failed,
        error: Some("the program failed while it made the file; its log says more".to_owned()),
        ..ExportRun::default()
    }
}

/// What was asked for, and a crash or a stop cut off, is told to have failed: nothing of it is left.
async fn tell_interrupted(app: Arc<App>, run: Arc<Underway>) {
    let inventory = app.context.inventory.current();
    if let Some(export) = inventory.exports.get(&run.export) {
        let range = range(export, run.queued_at);
        let ended = ExportRun {
            started_at: run.queued_at,
            finished_at: app.now(),
            from: range.start,
            to: range.end,
            outcome: ExportOutcome::Failed,
            error: Some("interrupted: the program ended before the file was whole; ask for it again".to_owned()),
            ..ExportRun::default()
        };
        tracing::warn!(export = export.spec.name, "a file that was being made when the program ended is not there");
        record(&app, &run, ended).await;
    }
    app.exporter.end(&run);
}

/// The range that its words mean at a moment.
fn range(export: &ExportJob, at: Timestamp) -> std::ops::Range<Timestamp> {
    export_range(&export.spec.range, &export.spec.time_zone, at).unwrap_or(at..at)
}

/// Until the log takes it, or the server stops.
async fn record(app: &Arc<App>, run: &Underway, ended: ExportRun) {
    run.is_made.store(true, Ordering::Relaxed);
    loop {
        let finish = |_: &Inventory| Ok(Command::FinishExport { id: run.export, run: ended.clone() });
        match carry_out(app, run.by.clone(), finish).await {
            Ok(_) => return,
            Err(problem) if problem.status == StatusCode::NOT_FOUND => return,
            Err(problem) => {
                tracing::warn!(export = run.export.0, why = problem.detail, "an export's end is not recorded yet")
            }
        }
        let mut stopping = app.stopping.clone();
        tokio::select! {
            () = tokio::time::sleep(EXPORT_RECORD_AGAIN) => {}
            _ = stopping.wait_for(|stop| *stop) => return,
        }
    }
}

/// Of the files of an export, the newest stay; the very newest may not be in the ledger yet.
async fn prune(app: &Arc<App>, place: Place, export: ExportId, has_one_more: bool) {
    let inventory = app.context.inventory.current();
    let Some(keep) = inventory.exports.get(&export).map(|export| export.spec.keep) else { return };
    let runs = inventory.export_runs.get(&export).cloned().unwrap_or_default();
    let _ = blocking(move || {
        let files = runs.iter().rev().filter_map(|it| it.run.file.as_deref());
        let keep = usize::try_from(keep.saturating_sub(u32::from(has_one_more))).unwrap_or(usize::MAX);
        for file in files.skip(keep).filter(|file| place.has(file)) {
            if let Err(error) = place.remove(file) {
                tracing::warn!(%error, file, "a file of an export that is not kept any more stays");
            }
        }
    })
    .await;
}

/// Blocks until the file is there, or is not.
fn make(app: &App, place: &Place, run: &Underway, export: &ExportJob) -> ExportRun {
    let started_at = app.now();
    let moment = Moment::present(app);
    let range = range(export, run.slot.unwrap_or(started_at));
    let mut ended = ExportRun {
        slot: run.slot,
        started_at,
        from: range.start,
        to: range.end,
        position: moment.position(app),
        ..ExportRun::default()
    };
    match write(app, place, run, export, &moment, (range.start, range.end)) {
        Ok((whole, rows)) => {
            (ended.file, ended.bytes, ended.rows, ended.digest) =
                (Some(whole.file), whole.bytes, rows, Some(whole.digest));
        }
        Err(_) if run.is_cancelled.load(Ordering::Relaxed) => ended.outcome = ExportOutcome::Cancelled,
        Err(why) => {
            ended.outcome = ExportOutcome::Failed;
            ended.error = Some(why.chars().take(MAX_TEXT_CHARS).collect());
        }
    }
    ended.finished_at = app.now();
    ended
}

fn write(
    app: &App,
    place: &Place,
    run: &Underway,
    export: &ExportJob,
    moment: &Moment,
    range: (Timestamp, Timestamp),
) -> Result<(Whole, u64), String> {
    let in_words = |problem: Problem| match &problem.hint {
        Some(hint) => format!("{}; {hint}", problem.detail),
        None => problem.detail.clone(),
    };
    let wanted = wish(export, range).and_then(|wish| wish.settle(app, moment)).map_err(in_words)?;
    let head = &wanted.export.head;
    let name = super::wanted::file_name(&export.spec.name, head, wanted.export.format);
    // Each run is recorded, so those of one export never rest on the same position: its names never come again.
    let name = match name.rsplit_once('.') {
        Some((stem, ending)) => format!("{stem}-as-of-{}.{ending}", head.position),
        None => name,
    };
    let folder = export.spec.folder.clone().unwrap_or_else(|| own_folder(export.id));
    let mut part = place.begin(&folder, &name).map_err(|error| error.to_string())?;
    let rows = fill(app, run, wanted, range, &mut part).map_err(|error| error.to_string())?;
    // Called off at the very end is called off too.
    run.go_on().map_err(|error| error.to_string())?;
    let whole = place.keep(part).map_err(|error| error.to_string())?;
    Ok((whole, rows))
}

fn fill(app: &App, run: &Underway, wanted: Wanted, range: (Timestamp, Timestamp), part: &mut Part) -> io::Result<u64> {
    run.go_on()?;
    wanted.write(app, Watched { part, run }, |events| run.seen(events, range))
}

/// A file that may be called off at every write: a workbook is long in being packed after its last event.
struct Watched<'a> {
    part: &'a mut Part,
    run: &'a Underway,
}

impl io::Write for Watched<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.run.go_on()?;
        self.part.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.part.flush()
    }
}

fn wish(export: &ExportJob, range: (Timestamp, Timestamp)) -> Result<Wish, Problem> {
    let spec = &export.spec;
    let zone = TimeZone::get(&spec.time_zone)
        .map_err(|_| Problem::invalid(format!("there is no time zone {:?} any more", spec.time_zone)))?;
    if range.0 >= range.1 {
        return Err(Problem::invalid(format!("the range {:?} is empty", spec.range)));
    }
    Ok(Wish {
        format: format(spec.format, spec.is_excel_csv),
        jobs: spec.jobs.clone(),
        destinations: spec.destinations.clone(),
        tags: spec.destination_tags.clone(),
        metrics: spec.metrics.clone(),
        columns: None,
        range,
        zone,
        zone_name: spec.time_zone.clone(),
        title: spec.title.clone(),
    })
}

const fn format(format: ExportFormat, is_excel_csv: bool) -> Format {
    match format {
        ExportFormat::Xlsx => Format::Xlsx,
        ExportFormat::Csv if is_excel_csv => {
            Format::Csv(CsvStyle { separator: b';', decimal_comma: true, byte_order_mark: true, guard_formulas: true })
        }
        ExportFormat::Csv => Format::Csv(CsvStyle {
            separator: b',',
            decimal_comma: false,
            byte_order_mark: false,
            guard_formulas: true,
        }),
        ExportFormat::Json => Format::Json,
        ExportFormat::JsonLines => Format::JsonLines,
        ExportFormat::Parquet => Format::Parquet,
        ExportFormat::Pack => Format::Pack,
    }
}

impl Underway {
    fn new(export: ExportId, slot: Option<Timestamp>, by: Meta, queued_at: Timestamp) -> Self {
        Self {
            export,
            slot,
            queued_at,
            by,
            is_cancelled: AtomicBool::new(false),
            is_made: AtomicBool::new(false),
            events: AtomicU64::new(0),
            permille: AtomicU64::new(0),
        }
    }

    /// The command that asked is done; its end is another matter.
    fn asked(export: ExportId, asked: &RequestedRun) -> Self {
        Self::new(export, None, Meta { command_id: None, ..asked.by.clone() }, asked.at)
    }

    fn go_on(&self) -> io::Result<()> {
        if self.is_cancelled.load(Ordering::Relaxed) {
            return Err(io::Error::other("it was called off"));
        }
        Ok(())
    }

    /// Events come in the order of their slots: the last says how far the range is done.
    fn seen(&self, events: &[Envelope], (from, to): (Timestamp, Timestamp)) -> io::Result<()> {
        self.events.fetch_add(events.len() as u64, Ordering::Relaxed);
        if let Some(head) = events.last().and_then(|event| event.event.head()) {
            let done = head.slot_at.since(from).as_millis();
            let all = to.since(from).as_millis().max(1);
            let permille = (done * 1_000 / all).min(1_000);
            self.permille.store(u64::try_from(permille).unwrap_or(1_000), Ordering::Relaxed);
        }
        self.go_on()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Somebody asked for these, at the positions 101, 102, ...
    fn asked(exports: std::ops::RangeInclusive<u32>) -> Inventory {
        let request = |id: u32| {
            let by = Meta { command_id: Some([1; 16]), ..Meta::by("api:local") };
            let (position, at) = (Position(100 + u64::from(id)), Timestamp::from_secs(1));
            (ExportId(id), RequestedRun { position, at, by })
        };
        let mut inventory = Inventory::default();
        inventory.export_requests = exports.map(request).collect();
        inventory
    }

    #[test]
    fn two_are_made_at_a_time_and_the_rest_wait_in_order() {
        let exporter = Exporter::default();
        assert!(exporter.take_up(&asked(1..=4), Position(100)).is_empty());
        let begun = [exporter.begin().unwrap(), exporter.begin().unwrap()];
        assert_eq!(begun.each_ref().map(|run| run.export.0), [1, 2]);
        assert!(exporter.begin().is_none());
        assert!(exporter.underway(ExportId(2)).unwrap().1 && !exporter.underway(ExportId(3)).unwrap().1);
        exporter.end(&begun[0]);
        assert_eq!(exporter.begin().unwrap().export, ExportId(3));
        assert!(exporter.underway(ExportId(1)).is_none());
    }

    #[test]
    fn an_export_is_not_made_twice_at_once_nor_a_request_twice_at_all() {
        let (exporter, now) = (Exporter::default(), Timestamp::from_secs(1));
        exporter.queue(ExportId(1), Some(now), Meta::by(SYSTEM), now);
        assert_eq!(exporter.refuse_twice(ExportId(1)).unwrap_err().status, StatusCode::CONFLICT);
        exporter.queue(ExportId(1), Some(now), Meta::by(SYSTEM), now);
        // Recorded in the same moment as the schedule's: it waits for the end of that one.
        assert!(exporter.take_up(&asked(1..=1), Position(100)).is_empty());
        let scheduled = exporter.begin().unwrap();
        assert!(scheduled.slot.is_some() && exporter.begin().is_none());
        exporter.end(&scheduled);
        for _ in 0..2 {
            exporter.take_up(&asked(1..=1), Position(100));
        }
        let run = exporter.begin().unwrap();
        assert_eq!((run.slot, run.by.actor.as_str(), run.by.command_id), (None, "api:local", None));
        exporter.end(&run);
        // A look at views that do not show its end yet makes no second one.
        exporter.take_up(&asked(1..=1), Position(100));
        assert!(exporter.begin().is_none() && exporter.refuse_twice(ExportId(1)).is_ok());
    }

    #[test]
    fn what_was_asked_of_a_process_that_is_gone_is_told_once_and_not_made() {
        let exporter = Exporter::default();
        let interrupted = exporter.take_up(&asked(1..=2), Position(101));
        assert_eq!(interrupted.iter().map(|run| run.export.0).collect::<Vec<_>>(), [1]);
        assert!(exporter.take_up(&asked(1..=2), Position(101)).is_empty());
        assert_eq!(exporter.begin().unwrap().export, ExportId(2));
        assert!(exporter.begin().is_none());
    }

    #[test]
    fn what_is_called_off_while_it_waits_needs_no_place_and_stops_at_once() {
        let (exporter, now) = (Exporter::default(), Timestamp::from_secs(1));
        exporter.take_up(&asked(1..=3), Position(100));
        let others = [exporter.begin().unwrap(), exporter.begin().unwrap()];
        assert!(exporter.cancel(ExportId(3)) && !exporter.cancel(ExportId(9)));
        let called_off = exporter.begin().unwrap();
        assert_eq!(called_off.export, ExportId(3));
        assert!(called_off.go_on().is_err() && called_off.seen(&[], (now, now)).is_err());

        let folder = tempfile::tempdir().unwrap();
        let mut part = Place::new(folder.path().to_owned()).begin("", "report").unwrap();
        let write = |run: &Underway, part: &mut Part| io::Write::write_all(&mut Watched { part, run }, b"row");
        assert!(write(&others[0], &mut part).is_ok() && write(&called_off, &mut part).is_err());
    }
}
