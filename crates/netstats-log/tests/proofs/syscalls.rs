//! Any single system call fails, once or from then on: the log says so or goes on, nothing acknowledged is lost, and
//! reads go on. strace makes them fail.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use netstats_log::{ErrorKind, FjallLog, repair};

use crate::child::{Appender, options, parse_ack};
use crate::support::{Acknowledged, Random, copy, count, prove, scratch, tell};

const CALLS: [&str; 7] = ["write", "fdatasync", "fsync", "openat", "rename", "ftruncate", "unlink"];
const ERRORS: [&str; 5] = ["EIO", "ENOSPC", "EMFILE", "EDQUOT", "EINTR"];
const BATCHES: u64 = 60;
/// A hang is a fault; this is far longer than the slowest machine needs.
const PATIENCE: Duration = Duration::from_secs(60);

/// One point: which call fails, how, the how manieth of a thread, and whether for ever.
fn point(random: &mut Random) -> (&'static str, String) {
    let (call, error) = (CALLS[random.index(CALLS.len())], ERRORS[random.index(ERRORS.len())]);
    // The first calls of each thread are the most different ones.
    let most = if random.below(2) == 0 { 8 } else { 2 * BATCHES };
    let when = 1 + random.below(most);
    // An interrupted call is repeated by everybody, so that one that is always interrupted never ends.
    let for_ever = if random.below(2) == 0 && error != "EINTR" { "+" } else { "" };
    (call, format!("{call}:error={error}:when={when}{for_ever}"))
}

/// What the child said with that point in force.
fn maltreated(folder: &Path, call: &str, inject: &str) -> Vec<String> {
    let mut child = Appender::ready(folder, Some(BATCHES));
    let mut strace = Command::new("strace")
        .args(["-f", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &format!("inject={inject}")])
        .args(["-p", &child.id().to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut attached = BufReader::new(strace.stderr.take().unwrap()).lines();
    let line = attached.next().unwrap().unwrap();
    assert!(line.contains("attached"), "{line}");
    // Its pipe must not fill up.
    let rest = std::thread::spawn(move || attached.map_while(Result::ok).count());
    child.go();
    let said = child.read_to_end(PATIENCE);
    strace.wait().unwrap();
    rest.join().unwrap();
    said
}

/// What came of it, or what is wrong with it.
fn judge(said: &[String], call: &str, before: Acknowledged) -> Result<(&'static str, Acknowledged), String> {
    let begins = |word: &str| said.iter().find(|line| line.starts_with(word));
    let acknowledged = said.iter().rev().find_map(|line| parse_ack(line)).unwrap_or(before);
    if begins("refused").is_some() {
        return Ok(("refused at the start", acknowledged));
    }
    if begins("end").is_none() {
        return Err(format!("it crashed or hung: {:?}", said.last()));
    }
    match begins("read").map(|line| line[5..].parse::<u64>().unwrap()) {
        Some(read) if read >= acknowledged.last => {}
        // A file that was not open yet cannot be read without opening it.
        None if call == "openat" && begins("unread Err").is_some() => {}
        _ => return Err(format!("reads did not go on: {:?}", &said[said.len().saturating_sub(3)..])),
    }
    Ok((if begins("failed").is_some() { "appends refused, reads go on" } else { "went on" }, acknowledged))
}

#[test]
fn any_failing_system_call_is_told_or_got_over_and_nothing_acknowledged_is_lost() {
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
        tell("SKIP: failing system calls need strace; on Debian: sudo apt-get install strace");
        return;
    }
    let folder = scratch();
    // As after a kill: two in three children recover first.
    let left = folder.path().join("left");
    let mut child = Appender::ready(&left, None);
    child.go();
    let mut before = Acknowledged::default();
    while before.last < 3_000 {
        before = parse_ack(&child.next().unwrap()).unwrap_or(before);
    }
    before = child.read_until_killed(Duration::ZERO, before);

    let mut random = Random::new();
    let (seed, points) = (random.seed, count(300));
    let mut outcomes: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    let mut faults = Vec::new();
    for number in 0..points {
        let work = folder.path().join("work");
        let before = if number % 3 == 0 { Acknowledged::default() } else { before };
        if before.last > 0 {
            copy(&left, &work);
        }
        let (call, inject) = point(&mut random);
        let said = maltreated(&work, call, &inject);
        let context = format!("{inject}, {} store, seed {seed}", if before.last > 0 { "old" } else { "new" });
        match judge(&said, call, before) {
            Ok((outcome, acknowledged)) => {
                *outcomes.entry((call, outcome)).or_default() += 1;
                match FjallLog::open_with(&work, options()) {
                    Ok(log) => prove(&log, acknowledged, &context),
                    // The store under the log may leave a file that it does not take back itself. That is refused by
                    // name, and what it says to do has to bring back everything.
                    Err(error) if error.kind() == ErrorKind::Corrupt => {
                        tell(&format!("{context}: refused afterwards, repaired: {error}"));
                        *outcomes.entry((call, "refused afterwards, repaired")).or_default() += 1;
                        let aside = work.with_extension("damaged");
                        repair(&work, &aside, false).unwrap();
                        prove(&FjallLog::open_with(&work, options()).unwrap(), acknowledged, &context);
                        let _ = std::fs::remove_dir_all(&aside);
                    }
                    Err(error) => faults.push(format!("{context}: not to be opened afterwards: {error}")),
                }
            }
            Err(fault) => faults.push(format!("{context}: {fault}")),
        }
        // What a child could not remove is in nobody's way.
        let _ = std::fs::remove_dir_all(&work);
    }
    tell(&format!("{points} points, seed {seed}: {outcomes:?}"));
    assert!(faults.is_empty(), "{} of {points}:\n{}", faults.len(), faults.join("\n"));
}
