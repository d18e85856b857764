use netstats_event::Event;

use super::*;
use crate::{Journal, MemoryLog};

const EVERY: Duration = Duration::from_millis(2);

/// A disk that can be told not to answer.
#[derive(Default)]
struct Hanging {
    inner: MemoryLog,
    hangs: Mutex<bool>,
    changed: Condvar,
}

impl Hanging {
    fn hang(&self, hangs: bool) {
        *self.hangs.lock().unwrap() = hangs;
        self.changed.notify_all();
    }
}

/// The same engine for the guard and for the test.
struct Handle(Arc<Hanging>);

impl Log for Handle {
    fn append(&self, batch: &[Draft]) -> Result<Appended, Error> {
        drop(self.0.changed.wait_while(self.0.hangs.lock().unwrap(), |hangs| *hangs).unwrap());
        self.0.inner.append(batch)
    }
    fn read(&self, from: Position, limit: ReadLimit) -> Result<Vec<Record>, Error> {
        self.0.inner.read(from, limit)
    }
    fn get(&self, positions: &[Position]) -> Result<Vec<Record>, Error> {
        self.0.inner.get(positions)
    }
    fn first(&self) -> Position {
        self.0.inner.first()
    }
    fn tail(&self) -> Position {
        self.0.inner.tail()
    }
    fn head(&self) -> Head {
        self.0.inner.head()
    }
    fn last_config(&self) -> Position {
        self.0.inner.last_config()
    }
    fn wait(&self, past: Position, at_most: Duration) -> Position {
        self.0.inner.wait(past, at_most)
    }
    fn close(&self) {
        self.0.inner.close();
    }
}

fn sample(number: u8) -> Vec<Event> {
    vec![Event::Unknown { kind: 900, version: 1, payload: vec![number] }]
}

fn until(mut is_so: impl FnMut() -> bool) {
    for _ in 0..30_000 {
        if is_so() {
            return;
        }
        std::thread::park_timeout(EVERY);
    }
    panic!("it never came to that");
}

#[test]
fn an_append_that_the_disk_does_not_answer_makes_the_log_read_only_until_it_does() {
    let disk = Arc::new(Hanging::default());
    let folder = tempfile::tempdir().unwrap();
    let watch = Watch {
        folder: folder.path().to_owned(),
        store: StoreId::random().unwrap(),
        opener: Box::new(|| panic!("nothing failed: there is nothing to open again")),
        floor: SpaceFloor { bytes: Some(0) },
        every: EVERY,
        stuck_after: EVERY * 5,
    };
    let log = Arc::new(GuardedLog::guard(Box::new(Handle(disk.clone())), watch).unwrap());
    let journal = Journal::open(log.clone()).unwrap();
    journal.append(sample(0)).unwrap();
    assert!(log.refusal().is_none());

    disk.hang(true);
    let stuck = journal.submit(sample(1));
    until(|| journal.refusal().is_some());
    let why = journal.refusal().unwrap().to_string();
    assert!(why.contains("read-only: the disk has not answered an append"), "{why}");
    let refused = journal.append(sample(2)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "at once, while the other waits");
    assert_eq!(journal.read(Position(1), ReadLimit::default()).unwrap().len(), 1, "reads go on");

    disk.hang(false);
    assert_eq!(stuck.wait().unwrap().last, Position(2), "what was under way is not lost");
    until(|| journal.refusal().is_none());
    assert_eq!(journal.append(sample(3)).unwrap().first, Position(3), "what was refused is not there");
    let kinds: Vec<u16> = log.read(Position(1), ReadLimit::default()).unwrap().iter().map(|it| it.kind).collect();
    assert_eq!(kinds, [900; 3]);
    journal.close();
}
