//! Backups: the records as the log keeps them, in plain files, proved by their checksums and the chain.
//!
//! ```text
//!   DIR/BACKUP                                 text: the store, the last position and the chain after it
//!       records-FIRST-LAST                     records one after the other; positions are 20 digits
//!       segments/                              the front of a log whose old samples are summarised, as the log has it;
//!                                              BACKUP names its files, and records go on after it
//! ```
//! The store is read through links to its tables and our own reading of its journals, so a backup neither asks nor
//! disturbs a running product. Each run adds what is new.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use netstats_event::{ChainHash, HEADER_BYTES, MAX_PAYLOAD_BYTES, Position, Record, RecordError, Timestamp};

use crate::carry::Front;
use crate::files::{open_text, read, replace, seal_text};
use crate::lock_file::LockFile;
use crate::manifest::{Manifest, Sealed, StoreId};
use crate::platform::{rename, sync_folder};
use crate::repair::{Batch, salvage, unusable};
use crate::{Error, ErrorKind, FjallLog, Head, Log};

/// Bytes of one file of records, and one record more.
const FILE_BYTES: u64 = 256 * 1024 * 1024;
/// A running product may replace its files while they are linked: then it is tried again.
const TRIES: usize = 5;
/// A backup with segments is of format 2; without it stays readable for programs that know no segments.
const FORMATS: [&str; 2] = ["1", "2"];
/// A segment takes a line of at most 220 bytes.
const MAX_BACKUP_BYTES: u64 = 4 * 1024 * 1024;

/// What a backup or a restore came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backup {
    /// The end of what is kept.
    pub head: Head,
    /// When its last event was recorded.
    pub recorded_at: Timestamp,
    /// Events this run added.
    pub added: u64,
    /// The position of a damage that ended a restore before its wish.
    pub damaged_at: Option<Position>,
}

/// Brings the backup in `to` up to the log in `folder`. The product may be running.
///
/// # Errors
/// Invalid: `to` holds a backup of another log. Corrupt: the log does not hold what was acknowledged, or not the history
/// that the backup has. Unavailable: the disk, or another backup of this log or into `to` is under way.
pub fn backup(folder: &Path, to: &Path) -> Result<Backup, Error> {
    let manifest = Manifest::load(folder)?.ok_or_else(|| {
        Error::new(ErrorKind::NotFound, format!("there is no log in {}", folder.display())).in_file(folder)
    })?;
    fs::create_dir_all(to).map_err(|error| unusable(to, error))?;
    let _target = lock(&to.join("lock"), "into")?;
    // One at a time: what is in the scratch folder then is of a backup that was cut off, and goes.
    let _source = lock(&folder.join("backup.lock"), "of the log in")?;
    let before = load(to)?;
    if let Some(Told { store, .. }) = before.as_ref().filter(|told| told.store != manifest.store) {
        let message = format!(
            "{} holds a backup of another log ({store}, this one is {}): give a folder of its own",
            to.display(),
            manifest.store
        );
        return Err(Error::new(ErrorKind::Invalid, message).in_file(to));
    }
    if before.is_none() {
        if let Some(path) = files(to)?.first() {
            let message =
                format!("{} is there without BACKUP, which says what it is: give a folder of its own", path.display());
            return Err(Error::new(ErrorKind::Corrupt, message).in_file(path));
        }
        save(to, manifest.store, Head::default(), &[])?;
    }
    let (before, mut segments) = before.map_or_else(Default::default, |told| (told.head, told.segments));
    let mut tries = 0;
    loop {
        tries += 1;
        remove_unfinished(to, before.last)?;
        let mut writer = Files { folder: to, before, file: None, meets: before.last == 0 };
        let report = salvage(folder, "scratch-backup", &mut |record| writer.push(record), &mut |_| Ok(()))?;
        let is_whole = report.is_whole() && report.acknowledged.is_none_or(|last| last <= report.prefix.last);
        if !is_whole && tries < TRIES {
            continue;
        }
        if !is_whole {
            let (first, last) = report.holes.first().copied().unwrap_or((report.prefix_end(), report.prefix_end()));
            let message = format!(
                "the log in {} is damaged: positions {first} to {last} cannot be read; the backup was left as it is",
                folder.display()
            );
            return Err(Error::new(ErrorKind::Corrupt, message).in_file(folder).at(first, last));
        }
        if let Some(front) = report.front.as_ref().filter(|front| front.head.last >= before.last) {
            writer.meets |= front.may_follow(folder, before)?;
        }
        if !writer.meets {
            let message = format!(
                "the log in {} does not hold the history of the backup: its chain at {} is another",
                folder.display(),
                before.last
            );
            return Err(Error::new(ErrorKind::Corrupt, message)
                .in_file(to)
                .at(Position(before.last), Position(before.last)));
        }
        writer.finish()?;
        if let Some(front) = report.front.filter(|front| front.head.last > before.last) {
            front.copy(folder, to)?;
            segments = front.segments;
        }
        save(to, manifest.store, report.prefix, &segments)?;
        let added = report.prefix.last - before.last;
        return Ok(Backup { head: report.prefix, recorded_at: report.prefix_recorded_at, added, damaged_at: None });
    }
}

/// Writes the log in `folder`, which must not hold one, from a backup: all of it, or up to a position or a recorded time
/// (both included). Every record is proved before it is taken; a damage ends it there and is told.
///
/// # Errors
/// Invalid: there is a log already, or no backup. Unavailable: the disk.
pub fn restore(from: &Path, folder: &Path, to: Option<Position>, until: Option<Timestamp>) -> Result<Backup, Error> {
    if folder.exists() {
        let message = format!("{} is there already: move it away, or give another data folder", folder.display());
        return Err(Error::new(ErrorKind::Invalid, message).in_file(folder));
    }
    let Some(Told { store, head: promised, segments }) = load(from)? else {
        let message = format!("{} holds no backup", from.display());
        return Err(Error::new(ErrorKind::Invalid, message).in_file(from));
    };
    let fresh = folder.with_extension("restored");
    match fs::remove_dir_all(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unusable(&fresh, error)),
        _ => {}
    }
    let (mut done, mut batch) = (Backup::default(), Batch::default());
    if let Some(front) = Front::read(from, store, &segments)? {
        let is_early =
            to.is_some_and(|to| to.0 < front.head.last) || until.is_some_and(|until| until < front.recorded_at);
        if is_early {
            let message = format!(
                "old samples of this backup are summarised up to position {}: it is restored to that position at least",
                front.head.last
            );
            return Err(Error::new(ErrorKind::Invalid, message).in_file(from));
        }
        front.begin(from, &fresh)?;
        (done.head, done.recorded_at, done.added) = (front.head, front.recorded_at, front.head.last);
    }
    let log = FjallLog::open(&fresh)?;
    let begins = done.head.last;
    let is_wanted = |record: &Record| {
        to.is_none_or(|to| record.position <= to) && until.is_none_or(|until| record.recorded_at <= until)
    };
    'files: for path in files(from)? {
        let mut reader = BufReader::new(File::open(&path).map_err(|error| unusable(&path, error))?);
        while let Some(record) = next_record(&mut reader).map_err(|error| unusable(&path, error))? {
            // What the segments hold already: a backup that is older than the summaries has its records too.
            if record.as_ref().is_some_and(|record| record.position.0 <= begins) {
                continue;
            }
            let proved = record.filter(|record| {
                record.position.0 == done.head.last + 1 && record.verify_chain(done.head.chain).is_ok()
            });
            let Some(record) = proved else {
                done.damaged_at = Some(Position(done.head.last + 1));
                break 'files;
            };
            if !is_wanted(&record) {
                break 'files;
            }
            batch.push(&log, &record)?;
            (done.head, done.recorded_at) = (Head { last: record.position.0, chain: record.chain }, record.recorded_at);
            done.added += 1;
        }
    }
    batch.flush(&log)?;
    let is_short = done.head.last < promised.last && to.is_none_or(|to| done.head.last < to.0) && until.is_none();
    if is_short {
        done.damaged_at.get_or_insert(Position(done.head.last + 1));
    }
    if log.head() != done.head {
        let message = "the restored log does not end as the backup does";
        return Err(Error::new(ErrorKind::Corrupt, message).in_file(&fresh));
    }
    log.close();
    drop(log);
    rename(&fresh, folder).map_err(|error| unusable(folder, error))?;
    folder.parent().map_or(Ok(()), sync_folder).map_err(|error| unusable(folder, error))?;
    Ok(done)
}

/// One backup of a folder at a time, and one into a folder.
fn lock(path: &Path, of: &str) -> Result<LockFile, Error> {
    LockFile::take(path).map_err(|error| unusable(path, error))?.ok_or_else(|| {
        let folder = path.parent().unwrap_or(path).display();
        let message = format!("another backup {of} {folder} is under way: try again when it is done");
        Error::new(ErrorKind::Unavailable, message).in_file(path)
    })
}

/// What `BACKUP` tells.
struct Told {
    store: StoreId,
    head: Head,
    segments: Vec<Sealed>,
}

fn load(folder: &Path) -> Result<Option<Told>, Error> {
    let path = folder.join("BACKUP");
    let Some(bytes) = read(&path, MAX_BACKUP_BYTES)? else { return Ok(None) };
    let parsed = open_text(&bytes).and_then(|lines| {
        let (&[("format", format), ("store", store), ("last", last), ("chain", chain)], rest) =
            lines.split_first_chunk()?
        else {
            return None;
        };
        FORMATS.contains(&format).then_some(())?;
        let chain: ChainHash = chain.parse().ok()?;
        let segment = |(key, value): &(&str, &str)| Sealed::parse(value).filter(|_| *key == "segment");
        let segments = rest.iter().map(segment).collect::<Option<_>>()?;
        Some(Told { store: StoreId::parse(store)?, head: Head { last: last.parse().ok()?, chain }, segments })
    });
    let damaged = || {
        let message = format!("{} is damaged, or of a newer program", path.display());
        Error::new(ErrorKind::Corrupt, message).in_file(&path)
    };
    parsed.ok_or_else(damaged).map(Some)
}

fn save(folder: &Path, store: StoreId, head: Head, segments: &[Sealed]) -> Result<(), Error> {
    let format = FORMATS[usize::from(!segments.is_empty())];
    let mut text = format!("format {format}\nstore {store}\nlast {}\nchain {}\n", head.last, head.chain);
    segments.iter().for_each(|sealed| text.push_str(&format!("segment {sealed}\n")));
    replace(&folder.join("BACKUP"), seal_text(&text).as_bytes())
}

/// The files of records, in order.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| unusable(folder, error))? {
        let path = entry.map_err(|error| unusable(folder, error))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("records-") && !name.ends_with(".new") {
            found.push(path);
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Removes what a backup that was cut off left: files of records that `BACKUP` does not tell of.
fn remove_unfinished(folder: &Path, last: u64) -> Result<(), Error> {
    for path in files(folder)? {
        let first = path.file_name().and_then(|name| name.to_str()?.get(8..28)?.parse::<u64>().ok());
        if first.is_some_and(|first| first > last) {
            fs::remove_file(&path).map_err(|error| unusable(&path, error))?;
        }
    }
    Ok(())
}

/// The next record; `Some(None)` if what is there is not one.
fn next_record(reader: &mut impl Read) -> io::Result<Option<Option<Record>>> {
    let mut bytes = vec![0; HEADER_BYTES];
    let mut has = 0;
    while has < HEADER_BYTES {
        match reader.read(&mut bytes[has..])? {
            0 if has == 0 => return Ok(None),
            0 => return Ok(Some(None)),
            more => has += more,
        }
    }
    let needs = match Record::read(&bytes) {
        Ok((record, _)) => return Ok(Some(Some(record))),
        Err(RecordError::Short { needs, .. }) if needs <= HEADER_BYTES + MAX_PAYLOAD_BYTES => needs,
        Err(_) => return Ok(Some(None)),
    };
    bytes.resize(needs, 0);
    match reader.read_exact(&mut bytes[HEADER_BYTES..]) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Some(None)),
        Err(error) => Err(error),
        Ok(()) => Ok(Some(Record::read(&bytes).ok().map(|(record, _)| record))),
    }
}

/// Writes what is after the backup's end into new files.
struct Files<'a> {
    folder: &'a Path,
    before: Head,
    /// Path, first and last position, bytes, the open file.
    file: Option<(PathBuf, Position, Position, u64, BufWriter<File>)>,
    /// The log holds the backup's last record.
    meets: bool,
}

impl Files<'_> {
    fn push(&mut self, record: &Record) -> Result<(), Error> {
        if record.position.0 <= self.before.last {
            self.meets |= record.position.0 == self.before.last && record.chain == self.before.chain;
            return Ok(());
        }
        if self.file.as_ref().is_some_and(|(_, _, _, bytes, _)| *bytes >= FILE_BYTES) {
            self.finish()?;
        }
        if self.file.is_none() {
            let path = self.folder.join("records.new");
            let file = File::create(&path).map_err(|error| unusable(&path, error))?;
            self.file = Some((path, record.position, record.position, 0, BufWriter::new(file)));
        }
        let (path, _, last, written, file) = self.file.as_mut().expect("opened above");
        let mut bytes = Vec::with_capacity(record.len());
        record.write(&mut bytes);
        *last = record.position;
        *written += bytes.len() as u64;
        file.write_all(&bytes).map_err(|error| unusable(path, error))
    }

    /// Syncs the file and gives it its name.
    fn finish(&mut self) -> Result<(), Error> {
        let Some((path, first, last, _, file)) = self.file.take() else { return Ok(()) };
        let name = self.folder.join(format!("records-{:020}-{:020}", first.0, last.0));
        let synced = file.into_inner().map_err(io::IntoInnerError::into_error).and_then(|file| file.sync_all());
        let named = synced.and_then(|()| rename(&path, &name)).and_then(|()| sync_folder(self.folder));
        named.map_err(|error| unusable(&path, error))
    }
}
