//! What goes wrong around a view, and what is left of it: the view itself is right in the end, or says that it is not.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use netstats_event::{CollectorStopped, Draft, Envelope, Event, Position, Record, Timestamp};
use netstats_log::{Appended, Head, Journal, Log, MemoryLog};
use netstats_projector::{
    Checkpoint, Error, ErrorKind, FjallViews, MemoryViews, Projector, ReadLimit, RowBatch, RowReader, Runner,
    ViewStore, digest, rebuild, rebuild_all,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// Sums event numbers by word. Panics in `load` at a row that is not a number, as a careless fold might.
#[derive(Default)]
struct Sums {
    sums: BTreeMap<String, u64>,
    dirty: Vec<String>,
}

impl Projector for Sums {
    fn name(&self) -> &'static str {
        "sums"
    }

    fn version(&self) -> u32 {
        1
    }

    fn load(&mut self, rows: &dyn RowReader) -> Result<(), Error> {
        self.sums.clear();
        self.dirty.clear();
        rows.scan(&[], &mut |key, value| {
            let word = String::from_utf8(key.to_vec()).unwrap();
            self.sums.insert(word, u64::from_be_bytes(value.try_into().unwrap()));
            true
        })
    }

    fn apply(&mut self, events: &[Envelope]) {
        for envelope in events {
            let Event::CollectorStopped(event) = &envelope.event else { continue };
            *self.sums.entry(event.reason.clone()).or_default() += envelope.position.0;
            self.dirty.push(event.reason.clone());
        }
    }

    fn flush(&mut self, rows: &mut RowBatch) {
        for word in self.dirty.drain(..) {
            rows.put(word.as_str(), self.sums[&word].to_be_bytes());
        }
    }
}

fn event(word: &str) -> Event {
    CollectorStopped { reason: word.to_owned() }.into()
}

fn journal() -> Arc<Journal> {
    Journal::open(Arc::new(MemoryLog::new())).unwrap()
}

fn append(journal: &Journal, words: &[&str]) -> Position {
    journal.append(words.iter().map(|word| event(word)).collect()).unwrap().last
}

fn start(journal: &Arc<Journal>, store: &Arc<dyn ViewStore>) -> Result<Runner, Error> {
    Runner::start(journal.clone(), store.clone(), vec![Box::new(Sums::default())])
}

/// A run of the program that folds all there is.
fn run(journal: &Arc<Journal>, store: &Arc<dyn ViewStore>) {
    let runner = start(journal, store).unwrap();
    let last = Position(journal.head().last);
    assert!(runner.wait_for(last, PATIENCE));
    runner.stop();
    let line = &runner.progress()[0];
    assert_eq!((line.failure.as_ref(), line.stored), (None, last));
}

fn fresh(journal: &Arc<Journal>) -> [u8; 32] {
    let store: Arc<dyn ViewStore> = Arc::new(MemoryViews::new());
    rebuild(journal, &store, Box::new(Sums::default())).unwrap();
    digest(store.as_ref(), "sums").unwrap()
}

fn on_disk(folder: &Path) -> Arc<dyn ViewStore> {
    Arc::new(FjallViews::open(folder).unwrap())
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(&file, target).unwrap();
    }
}

/// Writes fjall's memtables to tables, as it does by itself when they are large.
fn write_tables(folder: &Path) {
    let database = fjall::Database::builder(folder).open().unwrap();
    for name in database.list_keyspace_names() {
        database.keyspace(&name, || panic!("it is there")).unwrap().rotate_memtable_and_wait().unwrap();
    }
}

#[test]
fn any_damaged_file_of_the_views_is_noticed_and_they_are_folded_anew() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    let journal = journal();
    append(&journal, &["a", "b", "c"]);
    run(&journal, &on_disk(&whole));
    write_tables(&whole);
    append(&journal, &["b", "c", "d"]);
    run(&journal, &on_disk(&whole));
    append(&journal, &["a"]);
    let expected = fresh(&journal);

    let halve = |bytes: &mut Vec<u8>| bytes.truncate(bytes.len() / 2);
    let flip = |bytes: &mut Vec<u8>| {
        let middle = bytes.len() / 2;
        bytes.iter_mut().skip(middle).take(1).for_each(|byte| *byte ^= 0x10);
    };
    let zero = |bytes: &mut Vec<u8>| bytes.iter_mut().for_each(|byte| *byte = 0);
    let scramble = |bytes: &mut Vec<u8>| bytes.iter_mut().skip(20).step_by(3).for_each(|byte| *byte ^= 0x5a);
    type Damage<'a> = (&'a str, &'a dyn Fn(&mut Vec<u8>));
    let damages: [Damage; 4] =
        [("halved", &halve), ("one bit flipped", &flip), ("zeroed", &zero), ("scrambled", &scramble)];
    let all = files(&whole);
    assert!(all.len() > 5, "{all:?}");
    let mut faults = Vec::new();
    for (number, file) in all.iter().enumerate() {
        for (kind, (name, damage)) in damages.iter().chain([&("removed", &halve as _)]).enumerate() {
            let damaged = folder.path().join(format!("{number}-{kind}"));
            copy(&whole, &damaged);
            let target = damaged.join(file.strip_prefix(&whole).unwrap());
            if *name == "removed" {
                std::fs::remove_file(&target).unwrap();
            } else {
                let mut bytes = std::fs::read(&target).unwrap();
                damage(&mut bytes);
                std::fs::write(&target, bytes).unwrap();
            }
            let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| {
                let store = on_disk(&damaged);
                run(&journal, &store);
                digest(store.as_ref(), "sums").unwrap()
            }));
            match outcome {
                Ok(found) if found == expected => {}
                Ok(_) => faults.push(format!("{} {name}: a wrong view", file.display())),
                Err(_) => faults.push(format!("{} {name}: no view", file.display())),
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

/// Tables are synced, the journal of a commit is not: a power cut may leave a table that is newer than the journal.
#[test]
fn a_power_cut_leaves_rows_and_checkpoint_of_the_same_moment() {
    let folder = tempfile::tempdir().unwrap();
    let journal = journal();
    append(&journal, &["a", "b"]);
    run(&journal, &on_disk(folder.path()));
    let journals: Vec<(PathBuf, Vec<u8>)> = files(folder.path())
        .into_iter()
        .filter(|file| file.extension().is_some_and(|extension| extension == "jnl"))
        .map(|file| (file.clone(), std::fs::read(file).unwrap()))
        .collect();
    assert!(!journals.is_empty());
    append(&journal, &["a", "b"]);
    run(&journal, &on_disk(folder.path()));
    {
        let database = fjall::Database::builder(folder.path()).open().unwrap();
        database.keyspace("rows", || panic!("it is there")).unwrap().rotate_memtable_and_wait().unwrap();
    }
    for (file, bytes) in journals {
        std::fs::write(file, bytes).unwrap();
    }
    let store = on_disk(folder.path());
    run(&journal, &store);
    assert_eq!(digest(store.as_ref(), "sums").unwrap(), fresh(&journal));
}

/// Rows that are no numbers.
#[test]
fn a_load_that_panics_is_a_view_to_fold_anew() {
    let (journal, store) = (journal(), Arc::new(MemoryViews::new()) as Arc<dyn ViewStore>);
    append(&journal, &["a", "b"]);
    run(&journal, &store);
    let checkpoint = store.checkpoint("sums").unwrap().unwrap();
    let mut rows = RowBatch::default();
    rows.put("a", "three");
    store.commit("sums", &rows, checkpoint).unwrap();
    run(&journal, &store);
    assert_eq!(digest(store.as_ref(), "sums").unwrap(), fresh(&journal));
}

#[test]
fn the_last_change_of_a_row_in_a_batch_counts() {
    let folder = tempfile::tempdir().unwrap();
    for store in [Arc::new(MemoryViews::new()) as Arc<dyn ViewStore>, on_disk(folder.path())] {
        let mut rows = RowBatch::default();
        rows.put("a", "1");
        rows.remove("a");
        rows.remove("b");
        rows.put("b", "1");
        rows.put("b", "2");
        store
            .commit("sums", &rows, Checkpoint { version: 1, position: Position(1), recorded_at: Timestamp::default() })
            .unwrap();
        assert_eq!(store.get("sums", b"a").unwrap(), None);
        assert_eq!(store.get("sums", b"b").unwrap(), Some(b"2".to_vec()));
    }
}

#[test]
fn views_of_another_log_are_folded_anew() {
    let store: Arc<dyn ViewStore> = Arc::new(MemoryViews::new());
    let one = journal();
    append(&one, &["a", "b"]);
    run(&one, &store);
    // The log was restored from a backup, and has grown again since.
    let recorded = |journal: &Journal| journal.get(&[Position(2)]).unwrap()[0].recorded_at;
    let other = std::iter::repeat_with(|| {
        let other = journal();
        append(&other, &["x", "y", "z"]);
        other
    });
    // The clock has milliseconds: the first that is not of the same one.
    let other = other.take(100_000).find(|other| recorded(other) != recorded(&one)).unwrap();
    run(&other, &store);
    assert_eq!(digest(store.as_ref(), "sums").unwrap(), fresh(&other));
}

#[test]
fn two_projectors_of_one_name_are_refused() {
    let (journal, store) = (journal(), Arc::new(MemoryViews::new()) as Arc<dyn ViewStore>);
    let both: Vec<Box<dyn Projector>> = vec![Box::new(Sums::default()), Box::new(Sums::default())];
    let error = Runner::start(journal, store, both).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[test]
fn a_row_over_the_limit_is_refused_and_named() {
    let folder = tempfile::tempdir().unwrap();
    for store in [Arc::new(MemoryViews::new()) as Arc<dyn ViewStore>, on_disk(folder.path())] {
        let mut rows = RowBatch::default();
        rows.put(vec![b'k'; 70_000], "1");
        let checkpoint = Checkpoint { version: 1, position: Position(1), recorded_at: Timestamp::default() };
        let error = store.commit("sums", &rows, checkpoint).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("70000"), "{error}");
        assert_eq!(store.checkpoint("sums").unwrap(), None);
    }
}

/// Fails commits while it is told to.
struct Full(MemoryViews, AtomicBool);

impl ViewStore for Full {
    fn checkpoint(&self, view: &str) -> Result<Option<Checkpoint>, Error> {
        self.0.checkpoint(view)
    }

    fn commit(&self, view: &str, rows: &RowBatch, checkpoint: Checkpoint) -> Result<(), Error> {
        if self.1.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Unavailable, "no space"));
        }
        self.0.commit(view, rows, checkpoint)
    }

    fn empty(&self, view: &str) -> Result<(), Error> {
        self.0.empty(view)
    }

    fn get(&self, view: &str, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.0.get(view, key)
    }

    fn scan(&self, view: &str, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), Error> {
        self.0.scan(view, prefix, visit)
    }

    fn range(
        &self,
        view: &str,
        keys: std::ops::Range<&[u8]>,
        descending: bool,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), Error> {
        self.0.range(view, keys, descending, visit)
    }

    fn wipe(&self) -> Result<(), Error> {
        self.0.wipe()
    }
}

/// Looks again until it is so.
fn until(runner: &Runner, what: impl Fn(&netstats_projector::Progress) -> bool) {
    let far = Position(u64::MAX);
    for _ in 0..3_000 {
        if what(&runner.progress()[0]) {
            return;
        }
        assert!(!runner.wait_for(far, Duration::from_millis(10)));
    }
    panic!("{:?}", runner.progress());
}

#[test]
fn a_full_disk_keeps_views_alive_and_is_got_over() {
    let journal = journal();
    let full = Arc::new(Full(MemoryViews::new(), AtomicBool::new(true)));
    let store: Arc<dyn ViewStore> = full.clone();
    let runner = start(&journal, &store).unwrap();
    append(&journal, &["a"]);
    until(&runner, |line| line.failure.as_ref().is_some_and(|failure| failure.contains("no space")));
    let last = append(&journal, &["b", "a"]);
    assert!(runner.wait_for(last, PATIENCE));
    assert_eq!(runner.progress()[0].visible, last, "queries go on");
    full.1.store(false, Ordering::Relaxed);
    until(&runner, |line| line.failure.is_none() && line.stored == last);
    runner.stop();
    assert_eq!(digest(store.as_ref(), "sums").unwrap(), fresh(&journal));
}

/// A log in memory that can be told to fail reads, and counts how often it is asked to wait.
struct Flaky {
    log: MemoryLog,
    failures: AtomicU64,
    waits: AtomicU64,
    kind: Mutex<ErrorKind>,
}

impl Flaky {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            log: MemoryLog::new(),
            failures: AtomicU64::new(0),
            waits: AtomicU64::new(0),
            kind: Mutex::new(ErrorKind::Unavailable),
        })
    }
}

impl Log for Flaky {
    fn append(&self, batch: &[Draft]) -> Result<Appended, Error> {
        self.log.append(batch)
    }

    fn read(&self, from: Position, limit: ReadLimit) -> Result<Vec<Record>, Error> {
        let is_failing = self.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if is_failing.is_ok() {
            return Err(Error::new(*self.kind.lock().unwrap(), "too many open files"));
        }
        self.log.read(from, limit)
    }

    fn get(&self, positions: &[Position]) -> Result<Vec<Record>, Error> {
        self.log.get(positions)
    }

    fn first(&self) -> Position {
        self.log.first()
    }

    fn tail(&self) -> Position {
        self.log.tail()
    }

    fn head(&self) -> Head {
        self.log.head()
    }

    fn last_config(&self) -> Position {
        self.log.last_config()
    }

    fn wait(&self, past: Position, at_most: Duration) -> Position {
        self.waits.fetch_add(1, Ordering::Relaxed);
        self.log.wait(past, at_most)
    }

    fn close(&self) {
        self.log.close();
    }
}

#[test]
fn a_read_that_fails_for_a_moment_is_tried_again() {
    let log = Flaky::new();
    let journal = Journal::open(log.clone()).unwrap();
    let store: Arc<dyn ViewStore> = Arc::new(MemoryViews::new());
    let runner = start(&journal, &store).unwrap();
    log.failures.store(2, Ordering::Relaxed);
    let last = append(&journal, &["a", "b"]);
    until(&runner, |line| line.visible == last && line.failure.is_none());
    runner.stop();
    assert_eq!(digest(store.as_ref(), "sums").unwrap(), fresh(&journal));
}

#[test]
fn a_log_that_is_damaged_stops_the_view_and_says_so() {
    let log = Flaky::new();
    *log.kind.lock().unwrap() = ErrorKind::Corrupt;
    let journal = Journal::open(log.clone()).unwrap();
    let store: Arc<dyn ViewStore> = Arc::new(MemoryViews::new());
    let runner = start(&journal, &store).unwrap();
    log.failures.store(1, Ordering::Relaxed);
    append(&journal, &["a", "b"]);
    until_failed(&runner);
    assert_eq!(runner.progress()[0].visible, Position(0));
}

fn until_failed(runner: &Runner) {
    for _ in 0..3_000 {
        if runner.progress()[0].failure.is_some() {
            return;
        }
        let _ = runner.wait_for(Position(u64::MAX), Duration::from_millis(10));
    }
    panic!("{:?}", runner.progress());
}

#[test]
fn a_closed_log_keeps_no_processor_busy() {
    let log = Flaky::new();
    let journal = Journal::open(log.clone()).unwrap();
    let store: Arc<dyn ViewStore> = Arc::new(MemoryViews::new());
    let runner = start(&journal, &store).unwrap();
    let last = append(&journal, &["a"]);
    journal.close();
    assert!(runner.wait_for(last, PATIENCE));
    let before = log.waits.load(Ordering::Relaxed);
    assert!(!runner.wait_for(last.next(), Duration::from_millis(300)));
    let waits = log.waits.load(Ordering::Relaxed) - before;
    assert!(waits < 1_000, "{waits} looks in 300 ms");
}

/// A damaged journal that others follow: one commit is gone, the next ones are there.
#[test]
fn a_commit_lost_among_others_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let journal = journal();
    for words in [["a", "b"], ["a", "c"], ["a", "d"]] {
        append(&journal, &words);
        run(&journal, &on_disk(folder.path()));
    }
    {
        let database = fjall::Database::builder(folder.path()).open().unwrap();
        let rows = database.keyspace("rows", || panic!("it is there")).unwrap();
        // What the second commit wrote and no later one wrote again.
        assert!(rows.get(b"rsums\0c").unwrap().is_some());
        rows.remove(b"rsums\0c").unwrap();
        rows.remove([b"t".as_slice(), &3_u64.to_be_bytes()].concat()).unwrap();
    }
    let store = on_disk(folder.path());
    assert_eq!(store.checkpoint("sums").unwrap(), None, "removed as a whole");
    run(&journal, &store);
    assert_eq!(digest(store.as_ref(), "sums").unwrap(), fresh(&journal));
}

#[test]
fn receipts_do_not_pile_up() {
    let folder = tempfile::tempdir().unwrap();
    let commits = 17_000;
    let checkpoint =
        |number: u64| Checkpoint { version: 1, position: Position(number), recorded_at: Timestamp::default() };
    let store = on_disk(folder.path());
    for number in 1..=commits {
        store.commit("sums", &RowBatch::default(), checkpoint(number)).unwrap();
    }
    drop(store);
    assert_eq!(on_disk(folder.path()).checkpoint("sums").unwrap(), Some(checkpoint(commits)));
    let database = fjall::Database::builder(folder.path()).open().unwrap();
    let rows = database.keyspace("rows", || panic!("it is there")).unwrap();
    assert_eq!(rows.prefix(b"t").count(), 16_384);
}

/// A step on the way from the log to a stored row.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Load,
    Fold,
    Flush,
    BeforeCommit,
    AfterCommit,
}

/// Panics when a step is taken for the nth time: what is done by then is done, what comes after never happens.
#[derive(Debug)]
struct Failpoint {
    step: Step,
    left: AtomicU64,
}

impl Failpoint {
    fn pass(&self, step: Step) {
        let is_last = |left: u64| if left == 1 { Some(0) } else { left.checked_sub(1) };
        if step == self.step && self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, is_last) == Ok(1) {
            panic!("failpoint {step:?}");
        }
    }
}

/// The fold, the rows and the log of one view, with a failpoint.
struct Watched(Sums, Arc<Failpoint>);

impl Projector for Watched {
    fn name(&self) -> &'static str {
        self.0.name()
    }
    fn version(&self) -> u32 {
        self.0.version()
    }
    fn load(&mut self, rows: &dyn RowReader) -> Result<(), Error> {
        self.1.pass(Step::Load);
        self.0.load(rows)
    }
    fn apply(&mut self, events: &[Envelope]) {
        // Half of the batch is folded when it happens.
        let (before, after) = events.split_at(events.len() / 2);
        self.0.apply(before);
        self.1.pass(Step::Fold);
        self.0.apply(after);
    }
    fn flush(&mut self, rows: &mut RowBatch) {
        self.0.flush(rows);
        self.1.pass(Step::Flush);
    }
}

struct WatchedViews(Arc<dyn ViewStore>, Arc<Failpoint>);

impl ViewStore for WatchedViews {
    fn checkpoint(&self, view: &str) -> Result<Option<Checkpoint>, Error> {
        self.0.checkpoint(view)
    }
    fn commit(&self, view: &str, rows: &RowBatch, checkpoint: Checkpoint) -> Result<(), Error> {
        if view == "sums" {
            self.1.pass(Step::BeforeCommit);
        }
        self.0.commit(view, rows, checkpoint)?;
        if view == "sums" {
            self.1.pass(Step::AfterCommit);
        }
        Ok(())
    }
    fn empty(&self, view: &str) -> Result<(), Error> {
        self.0.empty(view)
    }
    fn get(&self, view: &str, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.0.get(view, key)
    }
    fn scan(&self, view: &str, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), Error> {
        self.0.scan(view, prefix, visit)
    }
    fn range(
        &self,
        view: &str,
        keys: std::ops::Range<&[u8]>,
        descending: bool,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), Error> {
        self.0.range(view, keys, descending, visit)
    }
    fn wipe(&self) -> Result<(), Error> {
        self.0.wipe()
    }
}

/// Another view beside the one that fails.
struct Bystander(Sums);

impl Projector for Bystander {
    fn name(&self) -> &'static str {
        "bystander"
    }
    fn version(&self) -> u32 {
        1
    }
    fn load(&mut self, rows: &dyn RowReader) -> Result<(), Error> {
        self.0.load(rows)
    }
    fn apply(&mut self, events: &[Envelope]) {
        self.0.apply(events);
    }
    fn flush(&mut self, rows: &mut RowBatch) {
        self.0.flush(rows);
    }
}

/// More rounds for a longer run.
fn rounds(short: u64) -> u64 {
    short * std::env::var("NETSTATS_LONG").map_or(1, |times| times.parse().expect("a whole number"))
}

#[test]
fn a_failure_at_any_step_stops_its_own_view_only_and_nothing_is_lost_or_counted_twice() {
    let steps = [Step::Load, Step::Fold, Step::Flush, Step::BeforeCommit, Step::AfterCommit];
    let mut tripped = 0;
    for (number, step) in (0..rounds(20)).flat_map(|number| steps.map(|step| (number, step))) {
        let folder = tempfile::tempdir().unwrap();
        let memory: Arc<dyn ViewStore> = Arc::new(MemoryViews::new());
        let journal = journal();
        for run in 0..3 {
            let store = if number % 4 == 0 { on_disk(folder.path()) } else { memory.clone() };
            let failpoint = Arc::new(Failpoint { step, left: AtomicU64::new(1 + (number + run) % 3) });
            let watched: Arc<dyn ViewStore> = Arc::new(WatchedViews(store.clone(), failpoint.clone()));
            let both: Vec<Box<dyn Projector>> =
                vec![Box::new(Watched(Sums::default(), failpoint.clone())), Box::new(Bystander(Sums::default()))];
            let runner = Runner::start(journal.clone(), watched, both).unwrap();
            let mut last = Position(0);
            for words in [["a", "b", "a"], ["c", "a", "b"], ["d", "d", "a"]] {
                last = append(&journal, &words);
                assert!(runner.wait_for(last, PATIENCE));
            }
            runner.stop();
            let lines = runner.progress();
            assert_eq!((lines[1].failure.as_ref(), lines[1].stored), (None, last), "{step:?}: the other view goes on");
            let has_tripped = failpoint.left.load(Ordering::SeqCst) == 0;
            tripped += u32::from(has_tripped);
            match &lines[0].failure {
                Some(failure) => assert!(has_tripped && failure.contains("failpoint"), "{step:?}: {failure}"),
                // A load that panics is a view to fold anew.
                None => assert!(!has_tripped || step == Step::Load, "{step:?}"),
            }
            let stored = store.checkpoint("sums").unwrap().map_or(0, |checkpoint| checkpoint.position.0);
            assert!(stored <= last.0);
        }
        let store = if number % 4 == 0 { on_disk(folder.path()) } else { memory };
        run(&journal, &store);
        assert_eq!(digest(store.as_ref(), "sums").unwrap(), fresh(&journal), "{step:?}, round {number}");
    }
    assert!(tripped > 100, "{tripped} failpoints tripped");
}

#[test]
fn a_rebuild_has_the_same_bytes_with_any_number_of_threads() {
    let journal = journal();
    for number in 0..300 {
        let words: Vec<String> = (0..1 + number % 97).map(|word| format!("{}", (number * word) % 53)).collect();
        append(&journal, &words.iter().map(String::as_str).collect::<Vec<_>>());
    }
    for threads in [1, 2, 4] {
        let store: Arc<dyn ViewStore> = Arc::new(MemoryViews::new());
        let both: Vec<Box<dyn Projector>> = vec![Box::new(Sums::default()), Box::new(Bystander(Sums::default()))];
        let last = rebuild_all(&journal, &store, both, NonZero::new(threads).unwrap()).unwrap();
        assert_eq!(last.0, journal.head().last);
        assert_eq!(digest(store.as_ref(), "sums").unwrap(), fresh(&journal), "{threads} threads");
        assert_eq!(store.checkpoint("bystander").unwrap().unwrap().position, last);
    }
}

#[test]
fn a_rebuild_that_fails_or_is_cut_off_leaves_the_old_views_and_the_next_one_replaces_them() {
    let folder = tempfile::tempdir().unwrap();
    let views = folder.path().join("views");
    let journal = journal();
    append(&journal, &["a", "b"]);
    run(&journal, &on_disk(&views));
    let before = fresh(&journal);
    append(&journal, &["c"]);
    let failing = FjallViews::replace(&views, |store| {
        let failpoint = Arc::new(Failpoint { step: Step::Fold, left: AtomicU64::new(1) });
        rebuild_all(&journal, store, vec![Box::new(Watched(Sums::default(), failpoint))], NonZero::<usize>::MIN)
    });
    assert!(failing.unwrap_err().to_string().contains("failpoint"));
    assert_eq!(digest(on_disk(&views).as_ref(), "sums").unwrap(), before, "as they were");
    // What a kill in the middle leaves.
    assert!(folder.path().join("views.new").exists());
    let rebuilt = FjallViews::replace(&views, |store| rebuild(&journal, store, Box::new(Sums::default()))).unwrap();
    assert_eq!(rebuilt, Position(3));
    assert_eq!(digest(on_disk(&views).as_ref(), "sums").unwrap(), fresh(&journal));
    assert!(!folder.path().join("views.new").exists() && !folder.path().join("views.old").exists());
}
