//! Before fjall opens: its journals are read by our own scanner, copied after an unclean stop, and a torn last batch is
//! cut off. What would lose something acknowledged is refused instead.
//!
//! A damaged journal has three shapes. Whole batches after the damage: what is damaged had been synced, refuse. Nothing
//! whole after it, and what broke off had been acknowledged: refuse. Nothing whole after it and not acknowledged: the
//! batch of a writer that was cut off, which is cut away, with a count in the log output.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use netstats_event::Position;

use crate::limits::{MAX_COPIED_BYTES, MAX_SEQNO_STEP};
use crate::manifest::Witness;
use crate::platform::sync_folder;
use crate::preflight::Refused;
use crate::scan::{Hole, Journal, Piece, ends};
use crate::{Head, limits};

/// What the journals hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Journals {
    /// First position in any of them.
    pub(crate) first: Option<Position>,
    /// Their last record: what the store must hold at least once it is open.
    pub(crate) head: Option<Head>,
    /// Bytes that were cut off as never acknowledged.
    pub(crate) cut_bytes: u64,
    /// Bytes written to the newest one.
    pub(crate) newest_bytes: u64,
}

/// Begins a new journal where the newest one is long and the log was closed in order: fjall itself does so only when 64 MB
/// are written. What is in the old ones goes into tables when fjall opens, and they go with the next table.
/// True if there is a new one.
pub(crate) fn begin_journal(folder: &Path, witness: &Witness, journals: &Journals) -> io::Result<bool> {
    if !witness.is_closed || journals.newest_bytes < limits::WORN_JOURNAL_BYTES {
        return Ok(false);
    }
    let store = folder.join("fjall");
    let next = self::journals(&store)?.last().map_or(0, |(number, _)| number + 1);
    File::create_new(store.join(format!("{next}.jnl")))?.sync_all()?;
    sync_folder(&store)?;
    Ok(true)
}

/// A torn tail.
struct Torn {
    file: PathBuf,
    hole: Hole,
}

/// Reads all journals, copies them if the log was not closed in order, cuts a torn tail.
pub(crate) fn prepare(folder: &Path, witness: &Witness) -> Result<Journals, Refused> {
    let store = folder.join("fjall");
    let paths = journals(&store).map_err(|error| Refused::about(&store, error))?;
    let mut walk = Walk::default();
    for (_, path) in &paths {
        walk.read(path, witness)?;
    }
    if let (Some(head), Some((_, newest))) = (walk.journals.head, paths.last())
        && head.last < witness.head.last
    {
        let missing = witness.head.last - head.last;
        let why = format!("the journals end at position {}: {missing} events are missing", head.last);
        let refused = Refused::about(newest, io::Error::other(why));
        return Err(refused.at(Position(head.last + 1), Position(witness.head.last)));
    }
    let copy = || copy_journals(folder, &walk.used);
    let Some(torn) = &walk.torn else {
        if !witness.is_closed
            && witness.head.last > 0
            && let Err(error) = copy()
        {
            // Nothing will be cut, so the copy is only for more safety; a full disk must not prevent a start.
            tracing::warn!(%error, "the journals could not be copied before the log is opened");
        }
        return Ok(walk.journals);
    };
    let copied = copy().map_err(|error| {
        let message = format!("the journals cannot be copied before a torn tail is cut ({error}): make room, or look at the folder's rights");
        Refused::about(&torn.file, io::Error::new(error.kind(), message)).unavailable()
    })?;
    cut(torn).map_err(|error| Refused::about(&torn.file, error).unavailable())?;
    let cut_bytes = torn.hole.end - torn.hole.at;
    tracing::warn!(
        file = %torn.file.display(),
        at = torn.hole.at,
        bytes = cut_bytes,
        events = torn.hole.records.len(),
        copy = %copied.display(),
        "the last append was cut off before it was acknowledged: it is dropped, with at least the events counted here"
    );
    Ok(Journals { cut_bytes, ..walk.journals })
}

/// The journals by their numbers.
pub(crate) fn journals(store: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    let entries = match fs::read_dir(store) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jnl") {
            let number = path.file_stem().and_then(|name| name.to_str()?.parse().ok());
            let number =
                number.ok_or_else(|| io::Error::other(format!("{} is not named as a journal is", path.display())))?;
            found.push((number, path));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Goes through the journals in order and proves that each batch follows the one before.
#[derive(Default)]
struct Walk {
    journals: Journals,
    /// fjall skips a batch whose number is not higher than what its keyspace has on disk, and ends at one too high.
    seqnos: BTreeMap<u64, u64>,
    torn: Option<Torn>,
    /// Each journal and its bytes up to the last one that is not zero: they are preallocated.
    used: Vec<(PathBuf, u64)>,
}

impl Walk {
    fn read(&mut self, path: &Path, witness: &Witness) -> Result<(), Refused> {
        let unreadable = |error| Refused::about(path, error).unavailable();
        let mut journal = Journal::open(path).map_err(unreadable)?;
        let mut used = 0;
        while let Some(piece) = journal.next().map_err(unreadable)? {
            used = piece.end();
            match piece {
                Piece::Batch(batch) => {
                    if let Some(Torn { file, hole }) = &self.torn {
                        // A journal after a torn one: the torn one was synced when this one was begun.
                        return Err(self.damage(file, hole, batch.records.first().map(|record| record.position)));
                    }
                    let is_next = |seqno: Option<&u64>| {
                        let before = seqno.copied().unwrap_or(0);
                        batch.seqno.saturating_sub(before) <= MAX_SEQNO_STEP
                            && seqno.is_none_or(|before| batch.seqno > *before)
                    };
                    let mut follows = is_next(self.seqnos.get(&batch.keyspace));
                    self.seqnos.insert(batch.keyspace, batch.seqno);
                    for record in &batch.records {
                        let before = self.journals.head;
                        self.journals.first.get_or_insert(record.position);
                        follows &= before.is_none_or(|before| {
                            before.last + 1 == record.position.0 && record.verify_chain(before.chain).is_ok()
                        });
                        follows &= record.position.0 != witness.head.last || record.chain == witness.head.chain;
                        self.journals.head = Some(Head { last: record.position.0, chain: record.chain });
                    }
                    if !follows {
                        let (first, last) = ends(&batch.records).expect("a batch holds a record");
                        let why = format!(
                            "{} at byte {}: the batch of positions {first} to {last} is whole but does not follow what is before it",
                            path.display(),
                            batch.at
                        );
                        return Err(Refused::about(path, io::Error::other(why)).at(first, last));
                    }
                }
                Piece::Hole(hole) if hole.is_tail => {
                    let begins = self.journals.head.map(|head| Position(head.last + 1));
                    let begins = begins.or(ends(&hole.records).map(|(first, _)| first));
                    if begins.is_some_and(|begins| begins.0 <= witness.head.last) {
                        return Err(self.damage(path, &hole, Some(Position(witness.head.last + 1))));
                    }
                    self.torn = Some(Torn { file: path.to_owned(), hole });
                }
                Piece::Hole(hole) => {
                    let Some(Piece::Batch(next)) = journal.next().map_err(unreadable)? else {
                        return Err(self.damage(path, &hole, None));
                    };
                    return Err(self.damage(path, &hole, ends(&next.records).map(|(first, _)| first)));
                }
            }
        }
        self.used.push((path.to_owned(), used));
        self.journals.newest_bytes = used;
        Ok(())
    }

    /// A hole that held something durable; `next` is the first position after it that is whole.
    fn damage(&self, path: &Path, hole: &Hole, next: Option<Position>) -> Refused {
        let first = self.journals.head.map_or_else(
            || ends(&hole.records).map_or(Position(1), |(first, _)| first),
            |head| Position(head.last + 1),
        );
        let last = next.map_or(first, |next| Position(next.0.saturating_sub(1).max(first.0)));
        let why = format!(
            "{} is damaged from byte {} to {}: positions {first} to {last} were in there",
            path.display(),
            hole.at,
            hole.end
        );
        Refused::about(path, io::Error::other(why)).at(first, last)
    }
}

fn cut(torn: &Torn) -> io::Result<()> {
    let file = File::options().write(true).open(&torn.file)?;
    file.set_len(torn.hole.at)?;
    file.sync_all()
}

/// Copies the journals into a new folder of `recovery/`, the newest first, up to the limit; old copies go.
fn copy_journals(folder: &Path, journals: &[(PathBuf, u64)]) -> io::Result<PathBuf> {
    let recovery = folder.join("recovery");
    fs::create_dir_all(&recovery)?;
    let mut copies = copies(&recovery)?;
    let number = copies.last().map_or(1, |(number, _)| number + 1);
    let target = recovery.join(format!("{number:06}"));
    fs::create_dir(&target)?;
    let now = fs::metadata(&target)?.modified()?;
    let mut room = MAX_COPIED_BYTES;
    let fits = |(path, bytes): &&(PathBuf, u64)| {
        let fits = *bytes <= room;
        if fits {
            room -= bytes;
        } else {
            tracing::warn!(file = %path.display(), bytes, "a journal is too long to be copied");
        }
        fits
    };
    let chosen: Vec<_> = journals.iter().rev().filter(fits).collect();
    prune(&mut copies, room, now)?;
    for (path, bytes) in chosen {
        let name = path.file_name().expect("a journal has a name");
        let mut copy = File::create(target.join(name))?;
        io::copy(&mut File::open(path)?.take(*bytes), &mut copy)?;
        copy.sync_all()?;
    }
    for name in ["MANIFEST", "witness", "head"] {
        match fs::copy(folder.join(name), target.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    sync_folder(&target)?;
    sync_folder(&recovery)?;
    Ok(target)
}

/// The copies by their numbers; what is not named by a number is not ours.
fn copies(recovery: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(recovery)? {
        let path = entry?.path();
        if let Some(number) = path.file_name().and_then(|name| name.to_str()?.parse().ok()) {
            found.push((number, path));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Removes copies that are too old or, the oldest first, too much.
fn prune(copies: &mut Vec<(u64, PathBuf)>, room: u64, now: SystemTime) -> io::Result<()> {
    let mut kept = 0;
    for (_, path) in copies.drain(..).rev() {
        let age = now.duration_since(fs::metadata(&path)?.modified()?).unwrap_or(Duration::ZERO);
        kept += folder_bytes(&path)?;
        if age > limits::KEEP_COPIES || kept > room {
            fs::remove_dir_all(&path)?;
        }
    }
    Ok(())
}

fn folder_bytes(folder: &Path) -> io::Result<u64> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.metadata()?.len())).sum()
}
