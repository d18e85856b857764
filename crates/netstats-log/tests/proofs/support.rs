//! What the rigs share: sizes, chance, copies of stores, and the proof that a log is what it should be.

use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::time::Duration;

use netstats_event::{ChainHash, Position};
use netstats_log::{Log, verify};
use tempfile::TempDir;

/// How many of something: the short size, or a multiple of it. Of Windows' files and processes a tenth: they are slower
/// by more than that under Wine.
pub(crate) fn count(short: u64) -> u64 {
    let short = if cfg!(windows) { short / 10 } else { short };
    short * std::env::var("NETSTATS_LONG").map_or(1, |times| times.parse().expect("NETSTATS_LONG is a whole number"))
}

/// Says what was run; the test's output shows it.
#[expect(clippy::print_stderr, reason = "the counts belong into the test's output")]
pub(crate) fn tell(line: &str) {
    eprintln!("{line}");
}

/// A folder in memory where there is such a place: most rigs care for bytes, not for a disk.
pub(crate) fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.expect("a scratch folder")
}

/// A small generator of its own (xorshift): a run is repeatable from the seed it names.
pub(crate) struct Random {
    pub(crate) seed: u64,
    state: u64,
}

impl Random {
    /// From `NETSTATS_SEED`, or a new one for every process.
    pub(crate) fn new() -> Self {
        let given = std::env::var("NETSTATS_SEED").ok();
        let seed = given.map_or_else(|| u64::from(std::process::id()), |text| text.parse().expect("a whole number"));
        Self::of(seed)
    }

    pub(crate) fn of(seed: u64) -> Self {
        Self { seed, state: (seed.wrapping_mul(2) | 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) }
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        // The high bits are the better ones.
        (self.state >> 11) % end.max(1)
    }

    pub(crate) fn index(&mut self, end: usize) -> usize {
        usize::try_from(self.below(end as u64)).expect("below an index")
    }
}

/// Every file under a folder, in order.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// Copies a folder with what is in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Lets time pass: for moments that are chance, and for what others do.
#[expect(clippy::disallowed_methods, reason = "the moment of a kill is random time, nothing is waited for")]
pub(crate) fn wait(span: Duration) {
    std::thread::sleep(span);
}

/// The newest event a child was told to be durable.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Acknowledged {
    pub(crate) last: u64,
    pub(crate) chain: ChainHash,
}

/// The log holds what was acknowledged, and all of it is proved: checksums, positions, chain.
pub(crate) fn prove(log: &dyn Log, acknowledged: Acknowledged, context: &str) {
    let head = log.head();
    assert!(head.last >= acknowledged.last, "{context}: {} acknowledged, {} there", acknowledged.last, head.last);
    if acknowledged.last > 0 {
        let record = &log.get(&[Position(acknowledged.last)]).unwrap()[0];
        assert_eq!(record.chain, acknowledged.chain, "{context}: another history");
    }
    let report = verify(log, NonZero::<usize>::MIN).unwrap();
    assert!(report.is_whole(), "{context}: {:?}", report.damage);
    assert_eq!(report.records, head.last, "{context}");
}
