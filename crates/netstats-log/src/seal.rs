//! Sealing: a closed epoch becomes a segment. Every step leaves a log that opens with every record, whatever cuts it off.
//!
//! ```text
//!  step       after it there is                                         a crash here, and the next start
//!  Written    segments/FIRST-LAST.new, whole and synced                 removes it; the epoch is sealed again
//!  Renamed    segments/FIRST-LAST.segment, its name synced              writes it again
//!  Verified   the same, read back and equal to the epoch, bit by bit    writes it again
//!  Recorded   the manifest names the segment and not the epoch          removes the epoch's keyspace
//!  Dropped    the keyspace's folder is going                            removes what is left of it
//! ```

use std::path::Path;
use std::time::Duration;

use netstats_event::{ChainHash, Position, Record};

use crate::files;
use crate::fjall_log::{Parts, Shared, sealed_of};
use crate::manifest::{Epoch, Sealed};
use crate::platform::{rename, sync_folder};
use crate::segment::{Builder, Cache, Segment};
use crate::{Error, ErrorKind, ReadLimit, limits};

const UNPOISONED: &str = "no code panics while it holds this lock";
/// How often the sealer looks for work that nobody told it of: what failed before, and pages nobody reads any more.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Looks without work after a failure: a damaged epoch is not read through all the time.
const LOOKS_TO_REST: u32 = 20;

/// What a sealing has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealStep {
    /// The segment is written under a temporary name, and synced.
    Written,
    /// It has its name, and that is synced.
    Renamed,
    /// It was read back and is what the epoch holds.
    Verified,
    /// The manifest names it instead of the epoch.
    Recorded,
    /// The epoch's keyspace is given up.
    Dropped,
}

impl Shared {
    /// The sealer's thread: seals what is closed until the log is closed.
    pub(crate) fn keep_sealing(&self) {
        self.remove_unfinished();
        self.remove_replaced();
        let mut rest = 0;
        loop {
            if rest > 0 {
                rest -= 1;
            } else if let Err(error) = self.seal_closed() {
                tracing::error!(%error, "an epoch of the log cannot be sealed and stays as it is");
                rest = LOOKS_TO_REST;
            }
            let state = self.state();
            if state.is_closed {
                return;
            }
            let (state, waited) = self.rolled.wait_timeout(state, LOOK_EVERY).expect(UNPOISONED);
            if state.is_closed {
                return;
            }
            drop(state);
            if waited.timed_out() {
                self.cache.sweep();
            }
        }
    }

    /// Temporary files of a sealing that was cut off. No sealing is under way before the sealer runs.
    fn remove_unfinished(&self) {
        let _sealing = self.sealing.lock().expect(UNPOISONED);
        let Ok(entries) = std::fs::read_dir(self.folder.join("segments")) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.extension().is_some_and(|extension| extension == "new")
                && let Err(error) = std::fs::remove_file(&path)
            {
                tracing::warn!(%error, file = %path.display(), "an unfinished segment cannot be removed");
            }
        }
    }

    /// Seals every closed epoch, oldest first; how many. Ends early, without an error, when the log is being closed.
    pub(crate) fn seal_closed(&self) -> Result<usize, Error> {
        let _sealing = self.sealing.lock().expect(UNPOISONED);
        let mut sealed = 0;
        loop {
            let parts = self.parts();
            let [(epoch, _), (next, _), ..] = parts.epochs[..] else { return Ok(sealed) };
            if !self.seal(&parts, epoch, next.first)? {
                return Ok(sealed);
            }
            sealed += 1;
        }
    }

    /// Seals the oldest epoch, whose records end before `end`; false if the log is being closed.
    fn seal(&self, parts: &Parts, epoch: Epoch, end: Position) -> Result<bool, Error> {
        let told = |step| {
            if let Some(hook) = self.options.seal_hook {
                hook(step);
            }
        };
        // From now on the witness knows the end of the segment to come.
        self.save_witness(false)?;
        let before = parts.segments.last().map_or(ChainHash::default(), |segment| segment.footer.chain_after);
        let mut builder = Builder::new(self.store, epoch.first.0, before);
        let mut chain = before;
        let is_whole = self.each(parts, epoch.first, end, &mut |record| {
            record.verify_chain(chain).map_err(|error| {
                let message = format!("the chain is broken at position {}: {error}", record.position);
                Error::new(ErrorKind::Corrupt, message).at(record.position, record.position)
            })?;
            chain = record.chain;
            builder.push(record);
            Ok(())
        })?;
        if !is_whole {
            return Ok(false);
        }
        let last = Position(end.0 - 1);
        let path = Sealed::path_of(&self.folder, epoch.first, last, 0);
        write(&path, &builder.finish(), &told)?;
        let segment = Segment::open(&path)?;
        if !self.is_equal(parts, &segment, end)? {
            return Ok(false);
        }
        told(SealStep::Verified);
        self.record(parts, segment, &told)?;
        Ok(true)
    }

    /// Puts the segment in the place of the oldest epoch.
    fn record(&self, parts: &Parts, segment: Segment, told: &dyn Fn(SealStep)) -> Result<(), Error> {
        let keyspace = parts.epochs[0].1.clone();
        let (sealed, number) = (sealed_of(&segment), keyspace.id());
        self.change_manifest(|manifest| {
            manifest.segments.push(sealed);
            manifest.epochs.remove(0);
            manifest.dropping.push(number);
        })?;
        told(SealStep::Recorded);
        let bytes = segment.length;
        self.change_parts(|parts| {
            parts.segments.push(segment.into());
            parts.epochs.remove(0);
        });
        // Readers that still hold the keyspace keep its folder until they are done.
        if let Err(error) = self.database().delete_keyspace(keyspace) {
            tracing::error!(%error, "a sealed epoch's keyspace cannot be removed now; the next start removes it");
        }
        told(SealStep::Dropped);
        self.has_sealed.store(true, std::sync::atomic::Ordering::Relaxed);
        tracing::info!(first = %sealed.first, last = %sealed.last, bytes, "an epoch of the log is sealed");
        Ok(())
    }

    /// Reads the segment back and compares it with the epoch, record by record; false if the log is being closed.
    fn is_equal(&self, parts: &Parts, segment: &Segment, end: Position) -> Result<bool, Error> {
        let cache = Cache::new(limits::SEGMENT_CACHE_BYTES);
        let mut sealed = Vec::new().into_iter();
        self.each(parts, segment.first(), end, &mut |record| {
            if sealed.len() == 0 {
                sealed = segment.records(&cache, record.position, ReadLimit::default().bounded())?.into_iter();
            }
            if sealed.next().as_ref() == Some(record) {
                return Ok(());
            }
            let message = format!(
                "the segment {} does not give back position {}: it is not used",
                segment.path().display(),
                record.position
            );
            Err(Error::new(ErrorKind::Corrupt, message).in_file(segment.path()).at(record.position, record.position))
        })
    }

    /// Visits the records of the oldest epoch; false if the log is being closed.
    fn each(
        &self,
        parts: &Parts,
        from: Position,
        end: Position,
        visit: &mut dyn FnMut(&Record) -> Result<(), Error>,
    ) -> Result<bool, Error> {
        let mut next = from;
        while next < end {
            if self.state().is_closed {
                return Ok(false);
            }
            let records = self.read_epochs(parts, next, end, ReadLimit::default().bounded())?;
            records.iter().try_for_each(&mut *visit)?;
            next = Position(next.0 + records.len() as u64);
        }
        Ok(true)
    }
}

/// Writes a segment: whole and synced under a temporary name, then renamed.
pub(crate) fn write(path: &Path, bytes: &[u8], told: &dyn Fn(SealStep)) -> Result<(), Error> {
    let temporary = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let folder = path.parent().expect("a segment lies in its folder");
        std::fs::create_dir_all(folder)?;
        folder.parent().map_or(Ok(()), sync_folder)?;
        files::write_synced(&temporary, bytes)?;
        told(SealStep::Written);
        rename(&temporary, path)?;
        sync_folder(folder)?;
        told(SealStep::Renamed);
        Ok(())
    };
    write().map_err(|error| {
        let message = format!("the segment {} cannot be written: {error}", path.display());
        Error::new(ErrorKind::Unavailable, message).in_file(path).because(error)
    })
}
