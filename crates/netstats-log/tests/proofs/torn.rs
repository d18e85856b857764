//! Torn and reordered writes: a log's life is recorded by a disk of our own (`recorder.rs`), and what a power cut may
//! have left at any of its moments is opened. Everything acknowledged by then is there, what is more is whole batches,
//! and the log opens and goes on: none of these states is damage.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use netstats_event::ChainHash;
use netstats_log::{FjallLog, Journal, Log, LogOptions};

use crate::child::{Appender, batch, folder_and_socket, parse_ack};
use crate::recorder::{NAMES_ONE_BY_ONE, Op, Recorder, Recording};
use crate::support::{Acknowledged, Random, count, prove, scratch, tell};

/// Batches of each of the processes that the recorded log sees.
const BATCHES: u64 = 40;
const PROCESSES: u64 = 3;
const ACK_BYTES: usize = 64;
const THREADS: u64 = 6;

/// Epochs end and are sealed while it is recorded.
fn options() -> LogOptions {
    LogOptions { epoch_events: 250, witness_every: Duration::from_millis(20), ..LogOptions::default() }
}

/// Not a test of its own: appends, and notes on the same disk what was acknowledged, so that the order is known.
#[test]
fn the_child_that_is_recorded() {
    let Some((folder, socket)) = folder_and_socket() else { return };
    let socket = TcpStream::connect(socket).unwrap();
    let mut words = BufReader::new(socket.try_clone().unwrap()).lines();
    words.next();
    let mut acks = File::options().create(true).append(true).open(folder.join("acks")).unwrap();
    let log = Arc::new(FjallLog::open_with(folder.join("log"), options()).unwrap());
    let journal = Journal::open(log.clone()).unwrap();
    let begin = log.head().last;
    for number in begin..begin + BATCHES {
        let last = journal.append(batch(number)).unwrap().last;
        let line = format!("ack {last} {}", log.head().chain);
        // In one write, and never over the end of a page: it is one operation of the recording.
        acks.write_all(format!("{line:<ACK_BYTES$}").as_bytes()).unwrap();
    }
    writeln!(&socket, "done").unwrap();
    // Killed here, or it closes in order.
    words.next();
}

/// The life of a log: begun, killed, recovered, killed, recovered, closed.
fn record(at: &Path) -> std::io::Result<Recording> {
    let recorder = Recorder::mount(at)?;
    for process in 1..=PROCESSES {
        let mut child = Appender::of("torn::the_child_that_is_recorded", at, None);
        child.go();
        assert_eq!(child.next().as_deref(), Some("done"), "process {process}");
        if process == PROCESSES {
            child.go();
            child.read_to_end(Duration::from_secs(60));
        } else {
            child.kill();
        }
    }
    Ok(recorder.end())
}

/// After how many operations what was acknowledged.
fn acknowledged(recording: &Recording) -> Vec<(usize, Acknowledged)> {
    let parse = |(index, op): (usize, &Op)| match op {
        Op::Write { bytes, .. } => Some((index + 1, parse_ack(std::str::from_utf8(bytes).ok()?.trim_end())?)),
        _ => None,
    };
    recording.ops.iter().enumerate().filter_map(parse).collect()
}

/// A log that was cut off there.
fn check(folder: &Path, before: Acknowledged, batches: &HashMap<u64, ChainHash>, context: &str) -> Result<(), String> {
    let log = FjallLog::open_with(folder, LogOptions { seals: false, ..options() })
        .map_err(|error| format!("refused: {error}"))?;
    prove(&log, before, context);
    let head = log.head();
    if batches.get(&head.last) != Some(&head.chain) {
        return Err(format!("{head:?} is not the end of a batch"));
    }
    let log = Arc::new(log);
    let journal = Journal::open(log.clone()).map_err(|error| format!("it does not go on: {error}"))?;
    let next = journal.append(batch(1)).map_err(|error| format!("it does not go on: {error}"))?;
    (next.last.0 > head.last).then_some(()).ok_or_else(|| format!("it goes on at {}", next.last))
}

/// Cuts the power at that many moments; what is wrong with what is left.
fn cut(recording: &Recording, folder: &Path, seed: u64, states: u64) -> Vec<String> {
    let acks = acknowledged(recording);
    let mut batches: HashMap<u64, ChainHash> = acks.iter().map(|(_, ack)| (ack.last, ack.chain)).collect();
    batches.insert(0, ChainHash::default());
    let (next, faults) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let try_states = |work: &Path| {
        loop {
            let number = next.fetch_add(1, Relaxed);
            if number >= states {
                break;
            }
            let mut random = Random::of(seed.wrapping_add(number));
            let end = random.index(recording.ops.len() + 1);
            let before = acks.iter().rev().find(|(index, _)| *index <= end).map(|(_, ack)| *ack);
            let (mut tree, rules) = recording.left_after(end, &mut random);
            tree.write_out("log", work);
            let context = format!("state {number} of seed {seed}, after operation {end}, {rules}");
            let check = || check(work, before.unwrap_or_default(), &batches, &context);
            let outcome = catch_unwind(AssertUnwindSafe(check)).unwrap_or(Err("a panic, told above".to_owned()));
            if let Err(fault) = outcome {
                faults.lock().unwrap().push(format!("{context}: {fault}"));
            }
            if work.exists() {
                std::fs::remove_dir_all(work).unwrap();
            }
        }
    };
    // The store also waits when it is opened and closed.
    std::thread::scope(|scope| {
        for number in 0..THREADS {
            let (work, try_states) = (folder.join(format!("work-{number}")), &try_states);
            scope.spawn(move || try_states(&work));
        }
    });
    faults.into_inner().unwrap()
}

#[test]
fn what_a_power_cut_may_leave_of_unsynced_writes_holds_what_was_acknowledged() {
    let folder = scratch();
    let disk = folder.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let mut recording = match record(&disk) {
        Ok(recording) => recording,
        Err(why) => return tell(&format!("SKIP: torn writes need root and /dev/fuse: {why}")),
    };
    let acks = acknowledged(&recording);
    assert_eq!(acks.len() as u64, PROCESSES * BATCHES);
    let (seed, states) = (Random::new().seed, count(2_000));
    let faults = cut(&recording, folder.path(), seed, states);
    let (operations, events) = (recording.ops.len(), acks.last().map_or(0, |(_, ack)| ack.last));
    // Names that outlive a cut one by one, in any order, are more than a journaling file system does (ext4, xfs and NTFS
    // keep the order of names): told, and no promise. docs/RELIABILITY.md says what is known of them.
    let (beyond, faults): (Vec<_>, Vec<_>) = faults.into_iter().partition(|fault| fault.contains(NAMES_ONE_BY_ONE));
    let (wrong, beyond) = (faults.len(), beyond.len());
    tell(&format!(
        "{states} crash states of {operations} operations, {events} events, seed {seed}: {wrong} faults, and {beyond} \
         where names came back in any order"
    ));
    assert!(faults.is_empty(), "{:#?}", &faults[..wrong.min(20)]);

    // A disk that takes a sync for nothing must be found out, or the rig proves nothing.
    recording.ops.retain(|op| !matches!(op, Op::Sync { .. }));
    let states = count(40);
    let wrong = cut(&recording, folder.path(), seed, states).len() as u64;
    tell(&format!("the same without syncs: {wrong} of {states} crash states lost events or were refused"));
    assert!(wrong * 2 > states, "{wrong} of {states}: this rig has no teeth");
}
