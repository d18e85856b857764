//! What a view may rely on: the same bytes whatever happens in between, and nobody else's faults.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use netstats_event::{CollectorStopped, Envelope, Event, Position, Timestamp};
use netstats_log::{Journal, MemoryLog};
use netstats_projector::{
    Checkpoint, Error, ErrorKind, FjallViews, MemoryViews, Projector, RowBatch, RowReader, Runner, ViewStore, digest,
    rebuild,
};
use proptest::prelude::*;

const PATIENCE: Duration = Duration::from_secs(30);

/// Counts words: rows by word, changed ones flushed. The word `panic` makes it panic.
#[derive(Default)]
struct Words {
    name: &'static str,
    version: u32,
    counts: BTreeMap<String, u64>,
    dirty: Vec<String>,
    seen: Arc<Mutex<Vec<Position>>>,
}

impl Words {
    fn new(name: &'static str, version: u32) -> Self {
        Self { name, version, ..Self::default() }
    }
}

impl Projector for Words {
    fn name(&self) -> &'static str {
        self.name
    }

    fn version(&self) -> u32 {
        self.version
    }

    fn load(&mut self, rows: &dyn RowReader) -> Result<(), Error> {
        self.counts.clear();
        rows.scan(b"word/", &mut |key, value| {
            let word = String::from_utf8_lossy(&key[5..]).into_owned();
            self.counts.insert(word, u64::from_be_bytes(value.try_into().unwrap()));
            true
        })
    }

    fn apply(&mut self, events: &[Envelope]) {
        for envelope in events {
            let Event::CollectorStopped(event) = &envelope.event else { continue };
            assert!(self.name != "fragile" || event.reason != "panic", "that word");
            *self.counts.entry(event.reason.clone()).or_default() += 1;
            self.dirty.push(event.reason.clone());
            self.seen.lock().unwrap().push(envelope.position);
        }
    }

    fn flush(&mut self, rows: &mut RowBatch) {
        for word in self.dirty.drain(..) {
            rows.put(format!("word/{word}"), self.counts[&word].to_be_bytes());
        }
    }
}

fn event(word: &str) -> Event {
    CollectorStopped { reason: word.to_owned() }.into()
}

fn start(journal: &Arc<Journal>, store: &Arc<dyn ViewStore>, projectors: Vec<Words>) -> Result<Runner, Error> {
    let boxed = projectors.into_iter().map(|words| Box::new(words) as Box<dyn Projector>).collect();
    Runner::start(journal.clone(), store.clone(), boxed)
}

fn journal() -> Arc<Journal> {
    Journal::open(Arc::new(MemoryLog::new())).unwrap()
}

fn fresh_digest(journal: &Arc<Journal>) -> [u8; 32] {
    let store: Arc<dyn ViewStore> = Arc::new(MemoryViews::new());
    rebuild(journal, &store, Box::new(Words::new("words", 1))).unwrap();
    digest(store.as_ref(), "words").unwrap()
}

/// Fails every commit while the count is not zero.
struct Failing(MemoryViews, AtomicU32);

impl ViewStore for Failing {
    fn checkpoint(&self, view: &str) -> Result<Option<Checkpoint>, Error> {
        self.0.checkpoint(view)
    }

    fn commit(&self, view: &str, rows: &RowBatch, checkpoint: Checkpoint) -> Result<(), Error> {
        if self.1.load(Ordering::Relaxed) > 0 {
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Histories cut into appends, with restarts between them, on both stores.
    #[test]
    fn a_view_has_the_same_bytes_whatever_the_restarts(
        runs in proptest::collection::vec(proptest::collection::vec("[a-e]{1,2}", 0..20), 1..6),
        on_disk in any::<bool>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let memory: Arc<dyn ViewStore> = Arc::new(MemoryViews::new());
        let journal = journal();
        for run in &runs {
            let store = if on_disk { Arc::new(FjallViews::open(folder.path().join("views")).unwrap()) } else { memory.clone() };
            let runner = start(&journal, &store, vec![Words::new("words", 1), Words::new("other", 7)]).unwrap();
            for word in run {
                journal.append(vec![event(word)]).unwrap();
            }
            prop_assert!(runner.wait_for(Position(journal.head().last), PATIENCE));
            runner.stop();
            prop_assert_eq!(digest(store.as_ref(), "words").unwrap(), fresh_digest(&journal));
        }
    }
}

#[test]
fn queries_see_what_was_waited_for() {
    let (journal, store) = (journal(), Arc::new(MemoryViews::new()) as Arc<dyn ViewStore>);
    let words = Words::new("words", 1);
    let seen = words.seen.clone();
    let runner = start(&journal, &store, vec![words]).unwrap();
    for n in 1..=100 {
        let appended = journal.append(vec![event("x")]).unwrap();
        assert!(runner.wait_for(appended.last, PATIENCE));
        assert_eq!(seen.lock().unwrap().len(), n);
    }
    assert!(!runner.wait_for(Position(101), Duration::from_millis(1)));
    assert_eq!(runner.progress()[0].visible, Position(100));
}

#[test]
fn a_future_is_woken_when_its_position_is_reached_and_when_the_runner_stops() {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    fn block_on(future: impl Future<Output = bool>) -> bool {
        let mut future = std::pin::pin!(future);
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        loop {
            if let Poll::Ready(ready) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return ready;
            }
            std::thread::park();
        }
    }
    let (journal, store) = (journal(), Arc::new(MemoryViews::new()) as Arc<dyn ViewStore>);
    let runner = Arc::new(start(&journal, &store, vec![Words::new("words", 1)]).unwrap());
    let (reached, never) = (runner.wait_for_async(Position(3)), runner.wait_for_async(Position(4)));
    let waiting = std::thread::spawn(move || (block_on(reached), block_on(never)));
    journal.append(vec![event("a"), event("b"), event("c")]).unwrap();
    assert!(runner.wait_for(Position(3), PATIENCE));
    runner.stop();
    assert_eq!(waiting.join().unwrap(), (true, false));
}

#[test]
fn a_panicking_fold_stops_only_its_own_view() {
    let (journal, store) = (journal(), Arc::new(MemoryViews::new()) as Arc<dyn ViewStore>);
    let runner = start(&journal, &store, vec![Words::new("fragile", 1), Words::new("words", 1)]).unwrap();
    journal.append(vec![event("a"), event("panic")]).unwrap();
    let last = journal.append(vec![event("b")]).unwrap().last;
    // The healthy view gets there; the fragile one is not waited for once it has failed.
    assert!(runner.wait_for(last, PATIENCE));
    runner.stop();
    let lines = runner.progress();
    assert!(lines[0].failure.as_ref().unwrap().contains("that word"), "{lines:?}");
    assert_eq!((lines[1].failure.as_ref(), lines[1].stored), (None, last));
    assert_eq!(digest(store.as_ref(), "words").unwrap(), fresh_digest(&journal));
}

#[test]
fn a_checkpoint_beyond_the_log_is_refused() {
    let store: Arc<dyn ViewStore> = Arc::new(MemoryViews::new());
    let checkpoint = Checkpoint { version: 1, position: Position(5), recorded_at: Timestamp::default() };
    store.commit("words", &RowBatch::default(), checkpoint).unwrap();
    let journal = journal();
    journal.append(vec![event("a")]).unwrap();
    let error = start(&journal, &store, vec![Words::new("words", 1)]).unwrap_err();
    assert_eq!((error.kind(), error.positions), (ErrorKind::Corrupt, Some((Position(2), Position(5)))));
    assert_eq!(store.checkpoint("words").unwrap(), Some(checkpoint), "nothing was changed");
}

#[test]
fn a_new_fold_rebuilds_its_view() {
    let (journal, store) = (journal(), Arc::new(MemoryViews::new()) as Arc<dyn ViewStore>);
    let runner = start(&journal, &store, vec![Words::new("words", 1)]).unwrap();
    journal.append(vec![event("a"), event("b")]).unwrap();
    runner.stop();
    store
        .commit(
            "words",
            &RowBatch { changes: vec![(b"word/stale".to_vec(), Some(vec![0; 8]))] },
            Checkpoint { version: 1, position: Position(2), recorded_at: Timestamp::default() },
        )
        .unwrap();
    start(&journal, &store, vec![Words::new("words", 2)]).unwrap().stop();
    assert_eq!(store.get("words", b"word/stale").unwrap(), None);
    assert_eq!(digest(store.as_ref(), "words").unwrap(), fresh_digest(&journal));
}

#[test]
fn a_store_that_fails_stops_the_view_and_the_next_start_goes_on() {
    let journal = journal();
    let failing = Arc::new(Failing(MemoryViews::new(), AtomicU32::new(1)));
    let store: Arc<dyn ViewStore> = failing.clone();
    let runner = start(&journal, &store, vec![Words::new("words", 1)]).unwrap();
    journal.append(vec![event("a"), event("b")]).unwrap();
    runner.stop();
    assert!(runner.progress()[0].failure.as_ref().unwrap().contains("no space"));
    assert_eq!(store.checkpoint("words").unwrap(), None, "rows and checkpoint are written together or not at all");
    failing.1.store(0, Ordering::Relaxed);
    start(&journal, &store, vec![Words::new("words", 1)]).unwrap().stop();
    assert_eq!(digest(store.as_ref(), "words").unwrap(), fresh_digest(&journal));
}

#[test]
fn a_damaged_store_is_rebuilt() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("views");
    let journal = journal();
    journal.append(vec![event("a"), event("b"), event("a")]).unwrap();
    let open = || Arc::new(FjallViews::open(&path).unwrap()) as Arc<dyn ViewStore>;
    start(&journal, &open(), vec![Words::new("words", 1)]).unwrap().stop();
    let mut damaged = 0;
    for entry in std::fs::read_dir(&path).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_some_and(|extension| extension == "jnl") {
            let mut bytes = std::fs::read(&file).unwrap();
            bytes.iter_mut().skip(20).step_by(3).for_each(|byte| *byte ^= 0x5a);
            std::fs::write(&file, bytes).unwrap();
            damaged += 1;
        }
    }
    assert!(damaged > 0, "fjall keeps its journals elsewhere now: this test damages nothing");
    let store = open();
    start(&journal, &store, vec![Words::new("words", 1)]).unwrap().stop();
    assert_eq!(digest(store.as_ref(), "words").unwrap(), fresh_digest(&journal));
}

#[test]
fn a_view_that_starts_at_the_tail_sees_only_what_comes() {
    struct Live(Arc<Mutex<Vec<Position>>>);
    impl Projector for Live {
        fn name(&self) -> &'static str {
            "live"
        }
        fn version(&self) -> u32 {
            1
        }
        fn starts_at_tail(&self) -> bool {
            true
        }
        fn load(&mut self, _: &dyn RowReader) -> Result<(), Error> {
            unreachable!("it has no rows")
        }
        fn apply(&mut self, events: &[Envelope]) {
            self.0.lock().unwrap().extend(events.iter().map(|envelope| envelope.position));
        }
        fn flush(&mut self, _: &mut RowBatch) {
            unreachable!("it has no rows")
        }
    }
    let (journal, store) = (journal(), Arc::new(MemoryViews::new()) as Arc<dyn ViewStore>);
    journal.append(vec![event("before"), event("before")]).unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let runner = Runner::start(journal.clone(), store.clone(), vec![Box::new(Live(seen.clone()))]).unwrap();
    assert!(runner.wait_for(Position(2), PATIENCE));
    let last = journal.append(vec![event("after")]).unwrap().last;
    assert!(runner.wait_for(last, PATIENCE));
    runner.stop();
    assert_eq!(*seen.lock().unwrap(), [last]);
    assert_eq!(store.checkpoint("live").unwrap(), None);
}

#[test]
fn the_journal_of_the_views_is_begun_anew_while_they_are_read_and_no_row_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let views = FjallViews::open(folder.path()).unwrap();
    let row = |number: u32| (number.to_be_bytes().to_vec(), vec![number as u8; 60_000]);
    let checkpoint =
        |number| Checkpoint { version: 1, position: Position(number), recorded_at: Timestamp::from_millis(1) };
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for number in 1..=800_u32 {
                let mut batch = RowBatch::default();
                // The same rows over and over, as a view's are.
                let (key, value) = row(number % 40);
                batch.put(key, value);
                views.commit("view", &batch, checkpoint(number.into())).unwrap();
            }
        });
        let mut seen = 0;
        // A reader that never lets go puts the new journal off, and a busy machine makes one of any: the last commits
        // are nobody's to read.
        while !writer.is_finished() && seen < 500 {
            let now = views.checkpoint("view").unwrap().map_or(0, |checkpoint| checkpoint.position.0);
            assert!(now >= seen);
            if now > seen {
                let mut rows = 0;
                let mut count = |_: &[u8], row: &[u8]| {
                    rows += 1;
                    row.len() == 60_000
                };
                views.scan("view", &[], &mut count).unwrap();
                assert!(rows > 0);
            }
            seen = now;
        }
        writer.join().unwrap();
    });
    assert_eq!(views.checkpoint("view").unwrap().unwrap().position, Position(800));
    drop(views);
    let views = FjallViews::open(folder.path()).unwrap();
    for number in 0..40 {
        let (key, value) = row(number);
        assert_eq!(views.get("view", &key).unwrap(), Some(value));
    }
    drop(views);
    let used = |path: std::path::PathBuf| {
        let bytes = std::fs::read(path).unwrap();
        bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
    };
    let files = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let journals = files.filter(|path| path.extension().is_some_and(|extension| extension == "jnl"));
    let bytes: usize = journals.map(used).sum();
    assert!(bytes < 24 << 20, "{bytes} bytes of journals after 48 MB of rows");
}
