//! Saves what can be proved of a damaged log. The damaged store is read, never written, and never deleted.
//!
//! What is read: a copy of the LSM store whose tables are links and whose journals end at their last whole batch, and
//! the sealed segments, and every record in the journals, those after a damage too. A record is proved by its checksum and by the chain from the
//! record before it. Everything from the first position to the first hole is the **proven prefix**: the repaired log
//! begins with it, position by position and with the same chain. What is proved after a hole is **later**: its place in
//! the log is gone, for positions have no gaps. It is written to a file beside the damaged store, and on demand appended
//! again with its recorded time, at new positions.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use fjall::{Database, Keyspace};
use netstats_event::{ChainHash, Draft, Position, Record, Timestamp};

use crate::carry::Front;
use crate::files::rfc3339;
use crate::fjall_log::{lock, open_store};
use crate::manifest::{Manifest, Witness};
use crate::page::{Unpacker, key, parse_key};
use crate::platform::{rename, sync_folder};
use crate::preflight::check_version;
use crate::recovery::journals;
use crate::scan::{Journal, Piece};
use crate::segment::{Cache, Segment};
use crate::{Error, ErrorKind, FjallLog, Head, Log, ReadLimit, limits};

/// What can be saved, and what is lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repair {
    /// The end of the proven prefix.
    pub prefix: Head,
    /// When its last event was recorded.
    pub prefix_recorded_at: Timestamp,
    /// What was acknowledged, as far as the files outside the store say.
    pub acknowledged: Option<u64>,
    /// Positions without a proved record, in order; the last may reach up to what was acknowledged.
    pub holes: Vec<(Position, Position)>,
    /// Records proved after the first hole, and their first and last position.
    pub later: u64,
    /// First and last position of those.
    pub later_range: Option<(Position, Position)>,
    /// What could not be read, in words.
    pub notes: Vec<String>,
    /// The segments up to the last one with summarised samples: they are taken along as they are, and their records are
    /// not handed on.
    pub(crate) front: Option<Front>,
}

impl Repair {
    /// Nothing is lost.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.holes.is_empty() && self.later == 0
    }

    /// The first position after the proven prefix.
    pub(crate) fn prefix_end(&self) -> Position {
        Position(self.prefix.last + 1)
    }

    /// Positions without a record.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.holes.iter().map(|(first, last)| last.0 - first.0 + 1).sum()
    }
}

/// Says what can be saved of the log in `folder`. Changes nothing in it but for a scratch folder, which is removed.
///
/// # Errors
/// Unavailable: another process has the log, or the disk does not take the scratch folder.
pub fn examine(folder: &Path) -> Result<Repair, Error> {
    let _lock = lock(folder)?;
    salvage(folder, "scratch", &mut |_| Ok(()), &mut |_| Ok(()))
}

/// Builds the repaired log beside the damaged one, moves the damaged one to `aside` (which must not be there) and puts
/// the repaired one into its place. With `rejoins` what was proved after a hole is appended again, at new positions.
///
/// # Errors
/// Unavailable: another process has the log, or the disk does not take it; then nothing was moved.
pub fn repair(folder: &Path, aside: &Path, rejoins: bool) -> Result<Repair, Error> {
    let fresh = folder.with_extension("repaired");
    remove(&fresh)?;
    let report = {
        let _lock = lock(folder)?;
        if let (Some(front), _) = front(folder) {
            front.begin(folder, &fresh)?;
        }
        let log = FjallLog::open(&fresh)?;
        let later_path = fresh.join("later.records");
        let mut later = LaterFile { path: &later_path, file: None, drafts: Batch::default(), rejoins };
        let mut prefix = Batch::default();
        let report =
            salvage(folder, "scratch", &mut |record| prefix.push(&log, record), &mut |record| later.push(record))?;
        prefix.flush(&log)?;
        if log.head() != report.prefix {
            let message = "the repaired log does not end as the proven prefix does: nothing was moved";
            return Err(Error::new(ErrorKind::Corrupt, message).in_file(&fresh));
        }
        later.finish(&log)?;
        log.close();
        report
    };
    write_report(&fresh, &report, rejoins)?;
    let moved = |from: &Path, to: &Path| {
        rename(from, to).map_err(|error| {
            let message = format!("{} cannot be moved to {}: {error}", from.display(), to.display());
            Error::new(ErrorKind::Unavailable, message).in_file(from).because(error)
        })
    };
    if aside.exists() {
        let message = format!("{} is there already: nothing was moved", aside.display());
        return Err(Error::new(ErrorKind::Invalid, message).in_file(aside));
    }
    moved(folder, aside)?;
    moved(&fresh, folder)?;
    folder.parent().map_or(Ok(()), sync_folder).map_err(|error| unusable(folder, error))?;
    Ok(report)
}

/// Records on their way into the repaired log, a batch at a time.
#[derive(Default)]
pub(crate) struct Batch {
    drafts: Vec<Draft>,
    bytes: usize,
}

impl Batch {
    pub(crate) fn push(&mut self, log: &dyn Log, record: &Record) -> Result<(), Error> {
        if self.drafts.len() >= limits::MAX_GROUP_EVENTS || self.bytes + record.payload.len() > limits::MAX_BATCH_BYTES
        {
            self.flush(log)?;
        }
        self.bytes += record.payload.len();
        let Record { kind, version, recorded_at, ref payload, .. } = *record;
        self.drafts.push(Draft { kind, version, recorded_at, payload: payload.clone() });
        Ok(())
    }

    pub(crate) fn flush(&mut self, log: &dyn Log) -> Result<(), Error> {
        if !self.drafts.is_empty() {
            log.append(&self.drafts)?;
        }
        self.drafts.clear();
        self.bytes = 0;
        Ok(())
    }
}

/// What lies after a hole: records one after the other, as the log keeps them.
struct LaterFile<'a> {
    path: &'a Path,
    file: Option<BufWriter<File>>,
    drafts: Batch,
    rejoins: bool,
}

impl LaterFile<'_> {
    fn push(&mut self, record: &Record) -> Result<(), Error> {
        let write = |file: &mut Option<BufWriter<File>>| {
            let file = match file {
                Some(file) => file,
                None => file.insert(BufWriter::new(File::create(self.path)?)),
            };
            let mut bytes = Vec::with_capacity(record.len());
            record.write(&mut bytes);
            file.write_all(&bytes)
        };
        write(&mut self.file).map_err(|error| unusable(self.path, error))
    }

    fn finish(mut self, log: &dyn Log) -> Result<(), Error> {
        let Some(file) = self.file.take() else { return Ok(()) };
        let synced = file.into_inner().map_err(io::IntoInnerError::into_error).and_then(|file| file.sync_all());
        synced.map_err(|error| unusable(self.path, error))?;
        if !self.rejoins {
            return Ok(());
        }
        // Read again from the file: the prefix must be whole in the log before anything follows it.
        let bytes = fs::read(self.path).map_err(|error| unusable(self.path, error))?;
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (record, used) =
                Record::read(rest).map_err(|error| unusable(self.path, io::Error::other(error.to_string())))?;
            self.drafts.push(log, &record)?;
            rest = &rest[used..];
        }
        self.drafts.flush(log)
    }
}

fn write_report(folder: &Path, report: &Repair, rejoins: bool) -> Result<(), Error> {
    let mut text = format!(
        "This log was repaired. Its proven prefix ends at {}:{} (recorded {}).\n",
        report.prefix.last,
        report.prefix.chain,
        rfc3339(report.prefix_recorded_at)
    );
    for (first, last) in &report.holes {
        text.push_str(&format!("lost: positions {first} to {last}\n"));
    }
    if let Some((first, last)) = report.later_range {
        text.push_str(&format!(
            "later: {} records of the old positions {first} to {last} are in later.records{}\n",
            report.later,
            if rejoins {
                format!(", and again in the log from position {} on, in that order", report.prefix.last + 1)
            } else {
                String::new()
            }
        ));
    }
    report.notes.iter().for_each(|note| text.push_str(&format!("note: {note}\n")));
    let path = folder.join("REPAIRED");
    fs::write(&path, text).and_then(|()| sync_folder(folder)).map_err(|error| unusable(&path, error))
}

pub(crate) fn unusable(path: &Path, error: io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, format!("{} cannot be used: {error}", path.display()))
        .in_file(path)
        .because(error)
}

fn remove(folder: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unusable(folder, error)),
        _ => Ok(()),
    }
}

type Take<'a> = &'a mut dyn FnMut(&Record) -> Result<(), Error>;

/// Reads all there is and hands the proven prefix to one, what is proved later to the other.
pub(crate) fn salvage(folder: &Path, scratch: &str, prefix: Take<'_>, later: Take<'_>) -> Result<Repair, Error> {
    let mut report = Repair::default();
    let witness = match (Manifest::load(folder), Witness::load(folder)) {
        (_, Ok(Some(witness))) => crate::head::HeadFile::open(folder, witness).ok().map(|(_, witness)| witness),
        (manifest, witness) => {
            let broken = [manifest.err(), witness.err()];
            report.notes.extend(broken.into_iter().flatten().map(|error| error.to_string()));
            None
        }
    };
    report.acknowledged = witness.map(|witness| witness.head.last);
    let scratch = folder.join(scratch);
    remove(&scratch)?;
    let read = read_all(folder, &scratch, &mut report, prefix, later);
    remove(&scratch)?;
    read?;
    let end = report.later_range.map_or(report.prefix.last, |(_, last)| last.0);
    if let Some(acknowledged) = report.acknowledged.filter(|acknowledged| *acknowledged > end) {
        report.holes.push((Position(end + 1), Position(acknowledged)));
    }
    Ok(report)
}

/// The front of the log with summarised samples, if there is one; and what is wrong with it.
fn front(folder: &Path) -> (Option<Front>, Option<Error>) {
    let Ok(Some(manifest)) = Manifest::load(folder) else { return (None, None) };
    match Front::read(folder, manifest.store, &manifest.segments) {
        Ok(front) => (front, None),
        Err(error) => (None, Some(error)),
    }
}

fn read_all(
    folder: &Path,
    scratch: &Path,
    report: &mut Repair,
    prefix: Take<'_>,
    later: Take<'_>,
) -> Result<(), Error> {
    let store = folder.join("fjall");
    let mut loose = BTreeMap::new();
    let paths = journals(&store).map_err(|error| unusable(&store, error))?;
    copy_store(&store, scratch).map_err(|error| unusable(scratch, error))?;
    for (_, path) in &paths {
        if let Err(error) = read_journal(path, &mut loose, &mut report.notes) {
            report.notes.push(format!("{}: {error}", path.display()));
        }
    }
    let (front, wrong) = front(folder);
    report.notes.extend(wrong.map(|error| error.to_string()));
    let mut proof = Proof { report, before: None, is_prefix: true, prefix, later };
    if let Some(front) = front {
        let Head { last, chain } = front.head;
        (proof.before, proof.report.prefix) = (Some((Position(last), chain)), front.head);
        proof.report.prefix_recorded_at = front.recorded_at;
        proof.report.front = Some(front);
    }
    // Looked for after the copy was made: what was sealed and dropped before it is in a segment by now.
    for path in segments(folder).map_err(|error| unusable(folder, error))? {
        read_segment(&path, &mut loose, &mut proof)?;
    }
    if let Some(database) = open_copy(scratch, &mut proof.report.notes) {
        let mut names: Vec<String> = database.list_keyspace_names().iter().map(ToString::to_string).collect();
        names.sort_unstable();
        for name in names {
            match database.keyspace(&name, Default::default) {
                Ok(keyspace) => read_keyspace(&keyspace, &mut loose, &mut proof)?,
                Err(error) => proof.report.notes.push(format!("keyspace {name}: {error}")),
            }
        }
    }
    loose.values().try_for_each(|record| proof.take(record))
}

/// Links what is immutable, copies the rest, leaves journals out but for an empty one: without any fjall would see none
/// of its tables.
fn copy_store(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (path, target) = {
            let entry = entry?;
            (entry.path(), to.join(entry.file_name()))
        };
        let is_table = path.parent().is_some_and(|folder| folder.ends_with("tables"));
        let copied = if path.is_dir() {
            copy_store(&path, &target)
        } else if path.extension().is_some_and(|extension| extension == "jnl") {
            File::create(&target).map(drop)
        } else if !is_table || fs::hard_link(&path, &target).is_err() {
            fs::copy(&path, &target).map(drop)
        } else {
            Ok(())
        };
        match copied {
            // A running product has dropped it meanwhile: what it held is in a newer file, or missed as a hole.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !path.exists() => {}
            copied => copied?,
        }
    }
    Ok(())
}

/// Takes every record of a journal.
fn read_journal(path: &Path, loose: &mut BTreeMap<u64, Record>, notes: &mut Vec<String>) -> io::Result<()> {
    let mut journal = Journal::salvaging(path)?;
    while let Some(piece) = journal.next()? {
        let records = match piece {
            Piece::Batch(batch) => batch.records,
            Piece::Hole(hole) => {
                notes.push(format!("{} is damaged from byte {} to {}", path.display(), hole.at, hole.end));
                hole.records
            }
        };
        loose.extend(records.into_iter().map(|record| (record.position.0, record)));
    }
    Ok(())
}

fn open_copy(scratch: &Path, notes: &mut Vec<String>) -> Option<Database> {
    // A damaged list of tables makes fjall panic where nothing can be done about it: that keyspace is left out.
    for entry in fs::read_dir(scratch.join("keyspaces")).ok()?.flatten() {
        let current = entry.path().join("current");
        let problem = match check_version(&current) {
            Ok(None) => continue,
            Ok(Some(missing)) => format!("{} is missing", missing.display()),
            Err(refused) => refused.error.to_string(),
        };
        notes.push(problem);
        if entry.file_name() == "0" {
            return None;
        }
        let _ = fs::remove_file(current);
    }
    match catch_unwind(AssertUnwindSafe(|| open_store(scratch))) {
        Ok(Ok(database)) => return Some(database),
        Ok(Err(error)) => notes.push(format!("the store's tables cannot be read: {error}")),
        Err(_) => notes.push("the store's tables cannot be read: the store panicked".to_owned()),
    }
    None
}

/// The sealed segments, in the order of positions.
fn segments(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder.join("segments")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    let mut found: Vec<_> =
        paths.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "segment")).collect();
    // Of two files for the same positions the one that holds more comes first: its name is the shorter one.
    found.sort_unstable_by_key(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        (name.get(..41).unwrap_or(name).to_owned(), name.len())
    });
    Ok(found)
}

/// Reads a segment in order, and past what is damaged.
fn read_segment(path: &Path, loose: &mut BTreeMap<u64, Record>, proof: &mut Proof<'_>) -> Result<(), Error> {
    let segment = match Segment::open(path) {
        Ok(segment) => segment,
        Err(error) => {
            proof.report.notes.push(error.to_string());
            return Ok(());
        }
    };
    let cache = Cache::new(limits::SEGMENT_CACHE_BYTES);
    let mut next = segment.first().max(proof.before.map_or(Position(1), |(last, _)| last.next()));
    while next <= segment.last() {
        match segment.records(&cache, next, ReadLimit::default()) {
            Ok(records) => {
                records.iter().try_for_each(|record| proof.take_with(loose, record))?;
                next = records.last().map_or(segment.last().next(), |record| record.position.next());
            }
            Err(error) => {
                proof.report.notes.push(error.to_string());
                next = error.positions.map_or(segment.last(), |(_, last)| last.max(next)).next();
            }
        }
    }
    Ok(())
}

/// Reads a keyspace in order, and past what cannot be read.
fn read_keyspace(keyspace: &Keyspace, loose: &mut BTreeMap<u64, Record>, proof: &mut Proof<'_>) -> Result<(), Error> {
    let mut from = Some(Position(0));
    while let Some(start) = from.take() {
        let mut next = start;
        let mut unpacker = Unpacker::default();
        let mut records = Vec::new();
        for guard in keyspace.range(key(start, 0)..) {
            let read = guard.into_inner().ok().filter(|(key, value)| {
                let place = parse_key(key).map(|(position, _)| position);
                let is_whole = unpacker.push(key, value, |record| records.push(record)).is_ok();
                next = place.unwrap_or(next).max(next);
                is_whole
            });
            for record in records.drain(..) {
                next = record.position.next();
                proof.take_with(loose, &record)?;
            }
            if read.is_none() {
                from = readable_from(keyspace, next.next());
                break;
            }
        }
    }
    Ok(())
}

/// The first place at or after `from` where the keyspace can be read again: doubling steps, then halving.
fn readable_from(keyspace: &Keyspace, from: Position) -> Option<Position> {
    let reads = |at: u64| keyspace.range(key(Position(at), 0)..).next().map(|guard| guard.into_inner().is_ok());
    let (mut bad, mut step) = (from.0, 1);
    let mut good = loop {
        match reads(bad.saturating_add(step)) {
            None => return None,
            Some(true) => break bad.saturating_add(step),
            Some(false) => (bad, step) = (bad.saturating_add(step), step.saturating_mul(2)),
        }
    };
    if reads(from.0) == Some(true) {
        return Some(from);
    }
    bad = from.0;
    while bad + 1 < good {
        let middle = bad + (good - bad) / 2;
        if reads(middle) == Some(true) { good = middle } else { bad = middle }
    }
    Some(Position(good))
}

/// Takes records in the order of positions and keeps to the chain.
struct Proof<'a> {
    report: &'a mut Repair,
    before: Option<(Position, ChainHash)>,
    is_prefix: bool,
    prefix: Take<'a>,
    later: Take<'a>,
}

impl Proof<'_> {
    /// The record, and before it what only the journals know.
    fn take_with(&mut self, loose: &mut BTreeMap<u64, Record>, record: &Record) -> Result<(), Error> {
        while let Some(first) = loose.first_entry() {
            if *first.key() > record.position.0 {
                break;
            }
            let loose = first.remove();
            if loose.position < record.position {
                self.take(&loose)?;
            }
        }
        self.take(record)
    }

    fn take(&mut self, record: &Record) -> Result<(), Error> {
        let (last, chain) = self.before.unwrap_or((Position::START, ChainHash::default()));
        if self.before.is_some() && record.position <= last {
            return Ok(());
        }
        let follows = record.position == last.next() && record.verify_chain(chain).is_ok();
        if !follows {
            self.is_prefix = false;
            if record.position > last.next() {
                self.report.holes.push((last.next(), Position(record.position.0 - 1)));
            } else {
                let note = format!("position {} does not follow the record before it", record.position);
                self.report.notes.push(note);
            }
        }
        self.before = Some((record.position, record.chain));
        if self.is_prefix {
            self.report.prefix = Head { last: record.position.0, chain: record.chain };
            self.report.prefix_recorded_at = record.recorded_at;
            return (self.prefix)(record);
        }
        let range = self.report.later_range.get_or_insert((record.position, record.position));
        range.1 = record.position;
        self.report.later += 1;
        (self.later)(record)
    }
}

/// The folder a damaged log is moved to: `log.damaged-1`, or the next number that is free.
#[must_use]
pub fn place_for_damaged(folder: &Path) -> PathBuf {
    let mut number = 1;
    loop {
        let path = folder.with_extension(format!("damaged-{number}"));
        if !path.exists() {
            return path;
        }
        number += 1;
    }
}
