//! SIGKILL at random moments: an acknowledged event is there afterwards, always.
//!
//! The test starts itself again as a child that appends and tells the parent each acknowledged position and chain value
//! through a pipe. The parent kills it, half of the time once more while the next child recovers, and compares.
#![cfg(unix)]

use std::io::{BufRead, BufReader, Write};
use std::num::NonZero;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use netstats_event::{ChainHash, Event, JobId, JobStarted, Meta, Position};
use netstats_log::{FjallLog, Journal, Log, LogOptions, verify};

const FOLDER: &str = "NETSTATS_TEST_KILL_FOLDER";
/// More cycles for a longer run: `NETSTATS_KILL_CYCLES=10000 cargo test --release -p netstats-log --test kill`.
const CYCLES: &str = "NETSTATS_KILL_CYCLES";

fn options() -> LogOptions {
    LogOptions { epoch_events: 20_000, witness_every: Duration::from_millis(20) }
}

/// Not a test of its own: the body of the child.
#[test]
fn child_appends_until_it_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let log = Arc::new(FjallLog::open_with(folder, options()).unwrap());
    let journal = Journal::open(log.clone()).unwrap();
    let mut out = std::io::stdout();
    writeln!(out, "open {}", log.head().last).unwrap();
    for number in 0_u64.. {
        let sample =
            || Event::Unknown { kind: 900, version: 1, payload: vec![number as u8; 40 + number as usize % 1_500] };
        let mut events: Vec<Event> = (0..1 + number % 50).map(|_| sample()).collect();
        if number % 20 == 7 {
            events.push(JobStarted { job: JobId(number as u32), meta: Meta::by("test") }.into());
        }
        let appended = journal.append(events).unwrap();
        let chain = log.get(&[appended.last]).unwrap()[0].chain;
        writeln!(out, "ack {} {chain}", appended.last).unwrap();
    }
}

fn start(folder: &Path) -> (Child, BufReader<ChildStdout>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_appends_until_it_is_killed", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    (child, out)
}

/// A small generator of its own: the run is repeatable from the seed it prints.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "the count belongs into the test's output")]
#[expect(clippy::disallowed_methods, reason = "the moment of the kill is random time, nothing is waited for")]
fn no_acknowledged_event_is_lost_when_the_process_is_killed() {
    let cycles: u64 = std::env::var(CYCLES).ok().map_or(100, |text| text.parse().unwrap());
    let seed = u64::from(std::process::id()) | 1;
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let (mut acknowledged, mut chain, mut kills) = (0, ChainHash::default(), 0);
    for cycle in 0..cycles {
        let context = format!("cycle {cycle}, seed {seed}");
        if cycle % 2 == 1 {
            // Killed again while it recovers from the last kill.
            let (mut child, _out) = start(&path);
            std::thread::sleep(Duration::from_millis(random.below(40)));
            child.kill().unwrap();
            child.wait().unwrap();
            kills += 1;
        }
        let (mut child, mut out) = start(&path);
        let mut line = String::new();
        // Bounded by the test runner: a child that hangs at its start says nothing.
        while !line.contains("open ") {
            line.clear();
            assert!(out.read_line(&mut line).unwrap() > 0, "{context}: the child did not open the log");
        }
        let there: u64 = line.trim().rsplit(' ').next().unwrap().parse().unwrap();
        assert!(there >= acknowledged, "{context}: {acknowledged} acknowledged, {there} there");
        let killer = std::thread::spawn({
            let delay = Duration::from_millis(20 + random.below(180));
            move || {
                std::thread::sleep(delay);
                child.kill().unwrap();
                child.wait().unwrap();
            }
        });
        for line in out.lines() {
            // The last line may be cut off by the kill; it counts only if it is whole.
            let line = line.unwrap();
            let words: Vec<&str> = line.split(' ').collect();
            if let ["ack", last, hash] = words[..]
                && let (Ok(last), Ok(hash)) = (last.parse::<u64>(), hash.parse::<ChainHash>())
            {
                (acknowledged, chain) = (last, hash);
            }
        }
        killer.join().unwrap();
        kills += 1;
        // The next child says what it found; every tenth time the parent proves it all.
        if cycle % 10 == 9 || cycle + 1 == cycles {
            let log = FjallLog::open_with(&path, options()).unwrap_or_else(|error| panic!("{context}: {error}"));
            assert!(
                log.head().last >= acknowledged,
                "{context}: {acknowledged} acknowledged, {} there",
                log.head().last
            );
            if acknowledged > 0 {
                assert_eq!(log.get(&[Position(acknowledged)]).unwrap()[0].chain, chain, "{context}");
            }
            let report = verify(&log, NonZero::new(2).unwrap()).unwrap();
            assert!(report.is_whole(), "{context}: {:?}", report.damage);
            assert_eq!(report.records, log.head().last, "{context}");
        }
    }
    assert!(acknowledged > cycles, "the children hardly wrote anything");
    eprintln!("{kills} kills, {acknowledged} events acknowledged, 0 lost");
}
