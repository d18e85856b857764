//! The front of a log in which samples are summarised: it cannot be written again record by record, for some records are
//! gone. Backups, restores and repairs take its segments along as they are.

use std::fs::{self, File};
use std::path::Path;

use netstats_event::{Position, Timestamp};

use crate::engine::is_config;
use crate::fjall_log::sealed_of;
use crate::manifest::{Epoch, Manifest, Sealed, StoreId, Witness};
use crate::platform::{rename, sync_folder};
use crate::repair::unusable;
use crate::segment::{Cache, Item, Segment};
use crate::{Error, ErrorKind, Head, ReadLimit, limits};

/// Segments from the first up to the last one in which samples are summarised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Front {
    pub(crate) store: StoreId,
    pub(crate) segments: Vec<Sealed>,
    /// After the last of them.
    pub(crate) head: Head,
    pub(crate) recorded_at: Timestamp,
    last_config: Position,
}

impl Front {
    /// The front of the log that a manifest tells of; its segments lie in `folder`. Each is read and proved. None if
    /// nothing is summarised.
    pub(crate) fn read(folder: &Path, store: StoreId, segments: &[Sealed]) -> Result<Option<Self>, Error> {
        let Some(last) = segments.iter().rposition(|sealed| sealed.summary.is_some()) else { return Ok(None) };
        let mut front = Self {
            store,
            segments: segments[..=last].to_vec(),
            head: Head::default(),
            recorded_at: Timestamp::default(),
            last_config: Position::START,
        };
        for sealed in &segments[..=last] {
            front.prove(folder, sealed)?;
        }
        Ok(Some(front))
    }

    /// Goes through the next segment.
    fn prove(&mut self, folder: &Path, sealed: &Sealed) -> Result<(), Error> {
        let mut segment = Segment::open(&sealed.path(folder))?;
        segment.summary = sealed.summary;
        let follows = (segment.footer.first, segment.footer.chain_before) == (self.head.last + 1, self.head.chain);
        if sealed_of(&segment) != *sealed || segment.footer.store != self.store || !follows {
            let message = format!("the segment {} is not the one that was sealed", segment.path().display());
            let error = Error::new(ErrorKind::Corrupt, message).in_file(segment.path());
            return Err(error.at(sealed.first, sealed.last));
        }
        let cache = Cache::new(limits::SEGMENT_CACHE_BYTES);
        let mut next = segment.first();
        while next <= segment.last() {
            let items = segment.items(&cache, next, ReadLimit::default().bounded())?;
            next = Position(next.0 + items.len() as u64);
            for item in items {
                match item {
                    Item::Kept(record, _) => {
                        self.recorded_at = record.recorded_at;
                        if is_config(record.kind) {
                            self.last_config = record.position;
                        }
                    }
                    Item::Left(_, _, recorded_at, _) => self.recorded_at = recorded_at,
                }
            }
        }
        self.head = Head { last: segment.last().0, chain: segment.footer.chain_after };
        Ok(())
    }

    /// Copies the segments, each whole and synced, to where they lie in a log, or in a backup, in `to`.
    pub(crate) fn copy(&self, from: &Path, to: &Path) -> Result<(), Error> {
        let folder = to.join("segments");
        fs::create_dir_all(&folder).map_err(|error| unusable(&folder, error))?;
        for sealed in &self.segments {
            let (source, target) = (sealed.path(from), sealed.path(to));
            let copy = || {
                let temporary = target.with_extension("new");
                fs::copy(&source, &temporary)?;
                File::options().write(true).open(&temporary)?.sync_all()?;
                rename(&temporary, &target)?;
                sync_folder(&folder)
            };
            let is_there = fs::metadata(&target).is_ok_and(|metadata| metadata.len() == sealed.length);
            if !is_there {
                copy().map_err(|error| unusable(&source, error))?;
            }
        }
        sync_folder(to).map_err(|error| unusable(to, error))
    }

    /// Begins a log in `folder`, which must hold none, with these segments.
    pub(crate) fn begin(&self, from: &Path, folder: &Path) -> Result<(), Error> {
        fs::create_dir_all(folder).map_err(|error| unusable(folder, error))?;
        self.copy(from, folder)?;
        let witness = Witness {
            store: self.store,
            head: self.head,
            recorded_at: self.recorded_at,
            last_config: self.last_config,
            is_closed: true,
        };
        witness.save(folder)?;
        let epochs = vec![Epoch { first: Position(self.head.last + 1) }];
        Manifest { store: self.store, segments: self.segments.clone(), dropping: Vec::new(), epochs }.save(folder)
    }

    /// Whether the history up to a position, with that chain after it, can be the one of these segments: it cannot if the
    /// record is there and says otherwise.
    pub(crate) fn may_follow(&self, folder: &Path, head: Head) -> Result<bool, Error> {
        let Some(sealed) = self.segments.iter().find(|sealed| (sealed.first.0..=sealed.last.0).contains(&head.last))
        else {
            return Ok(head == Head::default());
        };
        let segment = Segment::open(&sealed.path(folder))?;
        let one = ReadLimit { records: 1, bytes: 1 };
        let items = segment.items(&Cache::new(limits::SEGMENT_CACHE_BYTES), Position(head.last), one)?;
        Ok(match items.first() {
            Some(Item::Kept(record, _)) => record.chain == head.chain,
            _ => head.last != sealed.last.0 || segment.footer.chain_after == head.chain,
        })
    }
}
