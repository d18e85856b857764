//! The full proof: every record read, its checksum, its place, and the chain through all of them.

use std::num::NonZero;
use std::sync::Mutex;

use netstats_event::{ChainHash, Position};

use crate::{Error, ErrorKind, Head, Log, ReadLimit};

/// Damaged ranges that a report names; the rest is counted.
const MAX_NAMED: usize = 1_000;
/// Records of one unit of work.
const STRIDE: u64 = 100_000;

/// What `verify` found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Records that are whole and in their place.
    pub records: u64,
    /// Bytes of those records.
    pub bytes: u64,
    /// First position looked at.
    pub first: u64,
    /// The end that was proved, if nothing is damaged.
    pub head: Head,
    /// What is damaged, in order; at most 1,000 are named.
    pub damage: Vec<Damage>,
    /// Positions without a whole record.
    pub lost: u64,
    /// Samples that retention has summarised: what is left of them is proved by a fact of the chain.
    pub summarised: u64,
}

impl VerifyReport {
    /// Nothing is missing, damaged or out of place.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.damage.is_empty()
    }
}

/// A range of positions that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// First position.
    pub first: Position,
    /// Last position.
    pub last: Position,
    /// What is wrong.
    pub why: String,
}

/// Walks the whole log on that many threads. Damage is reported, not returned as an error.
///
/// # Errors
/// The log cannot be read at all (Unavailable).
pub fn verify(log: &dyn Log, threads: NonZero<usize>) -> Result<VerifyReport, Error> {
    let (first, head) = (log.first(), log.head());
    let next = Mutex::new(first.0);
    let parts: Mutex<Vec<VerifyReport>> = Mutex::new(Vec::new());
    let work = || -> Result<(), Error> {
        loop {
            let from = {
                let mut next = next.lock().expect("no code panics while it holds this lock");
                let from = *next;
                *next = from.saturating_add(STRIDE);
                from
            };
            if from > head.last {
                return Ok(());
            }
            let part = verify_range(log, from, (from + STRIDE - 1).min(head.last), head)?;
            parts.lock().expect("no code panics while it holds this lock").push(part);
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.get()).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("a worker does not panic"))
    })?;
    let mut parts = parts.into_inner().expect("no code panics while it holds this lock");
    parts.sort_by_key(|part| part.first);
    let mut report = VerifyReport { first: first.0, head, ..VerifyReport::default() };
    // The facts first: what follows counts only what they prove as left.
    log.check_facts().into_iter().for_each(|damage| note(&mut report.damage, damage));
    for part in parts {
        report.records += part.records;
        report.bytes += part.bytes;
        report.lost += part.lost;
        report.summarised += part.summarised;
        part.damage.into_iter().for_each(|damage| note(&mut report.damage, damage));
    }
    Ok(report)
}

/// Proves the records `from..=last`; the chain's value before `from` is what the record before says, whose own proof is
/// part of the range before.
fn verify_range(log: &dyn Log, from: u64, last: u64, head: Head) -> Result<VerifyReport, Error> {
    let mut report = VerifyReport { first: from, ..VerifyReport::default() };
    // Not known after damage: the next record's link is then taken as it is.
    let mut before: Option<ChainHash> = match from {
        1 => Some(ChainHash::default()),
        _ if from == log.first().0 => None,
        _ => log.get(&[Position(from - 1)]).ok().and_then(|records| records.first().map(|record| record.chain)),
    };
    let mut next = from;
    while next <= last {
        let left = usize::try_from(last - next + 1).unwrap_or(usize::MAX);
        let limit = ReadLimit { records: left.min(ReadLimit::default().records), ..ReadLimit::default() };
        match log.read(Position(next), limit) {
            Ok(records) if !records.is_empty() => {
                for record in &records {
                    if before.is_some_and(|before| record.verify_chain(before).is_err()) {
                        report.lost += 1;
                        let why = "it does not follow the record before it: the chain is broken".to_owned();
                        note(&mut report.damage, Damage { first: record.position, last: record.position, why });
                    } else {
                        report.records += 1;
                        report.bytes += record.len() as u64;
                    }
                    before = Some(record.chain);
                }
                next += records.len() as u64;
            }
            Ok(_) => {
                let why = "nothing is there".to_owned();
                report.lost += last - next + 1;
                note(&mut report.damage, Damage { first: Position(next), last: Position(last), why });
                next = last + 1;
            }
            // The chain goes on after it with what the file keeps, which the fact proves.
            Err(error) if error.kind() == ErrorKind::Gone => {
                let end = error.positions.map_or(next, |(_, end)| end.0.clamp(next, last));
                report.summarised += end - next + 1;
                (next, before) = (end + 1, None);
            }
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                let end = error.positions.map_or(next, |(_, end)| end.0.clamp(next, last));
                report.lost += end - next + 1;
                note(&mut report.damage, Damage { first: Position(next), last: Position(end), why: error.to_string() });
                (next, before) = (end + 1, None);
            }
            Err(error) => return Err(error),
        }
    }
    if last == head.last && before.is_some_and(|chain| chain != head.chain) {
        let why = "the log's head is not the chain of its last record".to_owned();
        note(&mut report.damage, Damage { first: Position(last), last: Position(last), why });
    }
    Ok(report)
}

/// Adds damage; neighbours become one range.
fn note(all: &mut Vec<Damage>, damage: Damage) {
    let has_room = all.len() < MAX_NAMED;
    match all.last_mut().filter(|before| before.last.next() == damage.first) {
        Some(before) => before.last = damage.last,
        None if has_room => all.push(damage),
        None => {}
    }
}
