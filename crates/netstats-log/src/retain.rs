//! Retention: the raw values of old samples go, segment by segment, and what is left of each sample takes its place. Who
//! decides what is old, and what is left of a sample, is above; here a segment is replaced such that the log opens with
//! one or the other, whatever cuts it off.
//!
//! ```text
//!  step       after it there is                                             a crash here, and the next start
//!  Written    segments/FIRST-LAST.rN.new, whole and synced                  removes it
//!  Renamed    segments/FIRST-LAST.rN.segment, its name synced               removes it
//!  Verified   the same, read back and compared place by place               removes it
//!  (the journal appends `samples_summarised` with the file's digest)        removes the file; the next run appends again
//!  Recorded   the manifest names the new file and that event                removes the old file
//!  Removed    the old file is gone, or goes with its last reader
//! ```
//! Positions stay as they are. Records of other kinds keep their bytes and their chain: the chain before each of them is
//! kept where the record before it is gone. The fact with the digest is a record of the chain like any other, so a noted
//! head proves what is left too.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use netstats_event::{Condense, Event, Kind, Position, SampleSummary, SamplesSummarised, Timestamp, decode};

use crate::fjall_log::{Shared, sealed_of};
use crate::manifest::{Sealed, Summary};
use crate::seal::write;
use crate::segment::{Builder, Cache, Item, RawSamples, Segment};
use crate::{Damage, Error, ErrorKind, Log, ReadLimit, SealStep, limits};

const UNPOISONED: &str = "no code panics while it holds this lock";

/// What a replacement has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetainStep {
    /// The new file is written under a temporary name, and synced.
    Written,
    /// It has its name, and that is synced.
    Renamed,
    /// It was read back and is what it is to be.
    Verified,
    /// The manifest names it instead of the old one.
    Recorded,
    /// The old file is given up.
    Removed,
}

/// A file that is to take a segment's place once the fact is appended.
#[derive(Debug)]
pub struct Condensed {
    fact: SamplesSummarised,
    segment: Segment,
    /// Which file it was made of.
    of: u32,
    summary: Summary,
}

impl Condensed {
    /// What to append before it takes the segment's place.
    #[must_use]
    pub const fn fact(&self) -> &SamplesSummarised {
        &self.fact
    }
}

/// A sealed segment, as retention sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// First position.
    pub first: Position,
    /// Last position.
    pub last: Position,
    /// Bytes of the file.
    pub bytes: u64,
    /// The fact by which samples in it were summarised last, if any were.
    pub summarised_by: Option<Position>,
    /// The samples whose raw values it holds, by kind.
    pub samples: Vec<RawSamples>,
}

impl Shared {
    /// All sealed segments, oldest first.
    pub(crate) fn segment_infos(&self) -> Result<Vec<SegmentInfo>, Error> {
        let info = |segment: &Arc<Segment>| {
            Ok(SegmentInfo {
                first: segment.first(),
                last: segment.last(),
                bytes: segment.length,
                summarised_by: segment.summary.map(|summary| summary.event),
                samples: segment.samples(&self.cache)?,
            })
        };
        self.parts().segments.iter().map(info).collect()
    }

    /// The first position from which on no sample of a kind is summarised.
    pub(crate) fn raw_from(&self, kind: Kind) -> Option<Position> {
        let parts = self.parts();
        let newest = parts
            .segments
            .iter()
            .rev()
            .find(|segment| segment.summary.is_some_and(|summary| summary.kinds.has(kind.code())));
        newest.map(|segment| segment.last().next())
    }

    /// Writes the file that is to take the place of the segment that begins at `first`. None if nothing in it goes, or
    /// the log is being closed.
    pub(crate) fn condense(
        &self,
        first: Position,
        kinds: &[Kind],
        by: &mut dyn Condense,
    ) -> Result<Option<Condensed>, Error> {
        let _sealing = self.sealing.lock().expect(UNPOISONED);
        let Some(source) = self.parts().segments.iter().find(|segment| segment.first() == first).cloned() else {
            let message = format!("no sealed segment begins at position {first}");
            return Err(Error::new(ErrorKind::NotFound, message).at(first, first));
        };
        let cache = Cache::new(limits::SEGMENT_CACHE_BYTES);
        let mut next = source.first();
        while next <= source.last() {
            if self.state().is_closed {
                return Ok(None);
            }
            let events = source.events(&cache, next, ReadLimit::default().bounded())?;
            for envelope in &events {
                let is_raw = !matches!(envelope.event, Event::Summarised(_));
                let goes = is_raw && envelope.event.kind().is_some_and(|kind| kinds.contains(&kind));
                by.push(envelope, goes);
            }
            next = Position(next.0 + events.len() as u64);
        }
        let left = by.finish();
        if left.is_empty() {
            return Ok(None);
        }
        let mut builder = Builder::summarised(self.store, source.footer.first, source.footer.chain_before);
        self.each_left(&source, &cache, &left, kinds, &mut |item| match item {
            Item::Kept(record, before) => builder.push_kept(record, *before),
            Item::Left(_, version, recorded_at, summary) => builder.push_summary(*version, *recorded_at, summary),
        })?;
        let mut summary = source.summary.unwrap_or(Summary { event: first, revision: 0, kinds: Default::default() });
        summary.revision += 1;
        kinds.iter().for_each(|kind| summary.kinds.insert(kind.code()));
        let path = Sealed::path_of(&self.folder, source.first(), source.last(), summary.revision);
        write(&path, &builder.finish_at(source.footer.chain_after), &|step| {
            self.told(if step == SealStep::Written { RetainStep::Written } else { RetainStep::Renamed });
        })?;
        let segment = Segment::open(&path)?;
        self.check_left(&source, &segment, &left, kinds)?;
        self.told(RetainStep::Verified);
        let fact = SamplesSummarised {
            first: segment.first(),
            last: segment.last(),
            kinds: kinds.iter().map(|kind| kind.code()).collect(),
            samples: left.len() as u64,
            digest: segment.file_digest()?,
            bytes_before: source.length,
            bytes_after: segment.length,
        };
        Ok(Some(Condensed { fact, segment, of: source.digest, summary }))
    }

    /// Puts the file in the segment's place; `event` is where its fact was appended.
    pub(crate) fn replace_segment(&self, condensed: Condensed, event: Position) -> Result<(), Error> {
        let _sealing = self.sealing.lock().expect(UNPOISONED);
        let Condensed { mut segment, of, summary, fact } = condensed;
        let parts = self.parts();
        let is_source = |of_parts: &Arc<Segment>| of_parts.first() == segment.first() && of_parts.digest == of;
        let Some(index) = parts.segments.iter().position(is_source) else {
            let message = format!("the segment at position {} was replaced meanwhile", fact.first);
            return Err(Error::new(ErrorKind::Conflict, message).at(fact.first, fact.last));
        };
        segment.summary = Some(Summary { event, ..summary });
        let sealed = sealed_of(&segment);
        self.change_manifest(|manifest| {
            manifest.segments.iter_mut().filter(|of| of.first == sealed.first).for_each(|of| *of = sealed);
        })?;
        self.told(RetainStep::Recorded);
        let old = parts.segments[index].clone();
        drop(parts);
        self.change_parts(|parts| parts.segments[index] = Arc::new(segment));
        // Readers that still hold it keep its file until they are done.
        old.replace();
        drop(old);
        self.told(RetainStep::Removed);
        tracing::info!(
            first = %fact.first,
            last = %fact.last,
            samples = fact.samples,
            bytes_before = fact.bytes_before,
            bytes_after = fact.bytes_after,
            "old samples of the log are summarised"
        );
        Ok(())
    }

    fn told(&self, step: RetainStep) {
        if let Some(hook) = self.options.retain_hook {
            hook(step);
        }
    }

    /// Visits what the new file is to hold.
    fn each_left(
        &self,
        source: &Segment,
        cache: &Cache,
        left: &[(Position, SampleSummary)],
        kinds: &[Kind],
        visit: &mut dyn FnMut(&Item),
    ) -> Result<(), Error> {
        let mut left = left.iter().peekable();
        let mut next = source.first();
        while next <= source.last() {
            let items = source.items(cache, next, ReadLimit::default().bounded())?;
            next = Position(next.0 + items.len() as u64);
            for item in items {
                let Item::Kept(record, _) = &item else {
                    visit(&item);
                    continue;
                };
                match left.next_if(|(position, _)| *position == record.position) {
                    Some((position, summary)) if is_of(summary, record.kind, kinds) => {
                        let recorded_at = whole_seconds(record.recorded_at);
                        visit(&Item::Left(*position, record.version, recorded_at, Box::new(summary.clone())));
                    }
                    Some((position, _)) => return Err(not_asked(*position)),
                    None => visit(&item),
                }
            }
        }
        left.next().map_or(Ok(()), |(position, _)| Err(not_asked(*position)))
    }

    /// Reads the new file back.
    fn check_left(
        &self,
        source: &Segment,
        segment: &Segment,
        left: &[(Position, SampleSummary)],
        kinds: &[Kind],
    ) -> Result<(), Error> {
        let (of_source, of_new) = (Cache::new(limits::SEGMENT_CACHE_BYTES), Cache::new(limits::SEGMENT_CACHE_BYTES));
        let (mut next, mut found) = (segment.first(), Vec::new().into_iter());
        let mut result = Ok(());
        self.each_left(source, &of_source, left, kinds, &mut |item| {
            if result.is_err() {
                return;
            }
            if found.len() == 0 {
                match segment.items(&of_new, next, ReadLimit::default().bounded()) {
                    Ok(items) => found = items.into_iter(),
                    Err(error) => return result = Err(error),
                }
            }
            if found.next().as_ref() != Some(item) {
                let message = format!(
                    "the segment {} does not give back position {next}: it is not used",
                    segment.path().display()
                );
                result = Err(Error::new(ErrorKind::Corrupt, message).in_file(segment.path()).at(next, next));
            }
            next = next.next();
        })?;
        result
    }

    /// Removes files of segments that another file took the place of, or was to take: a crash came between.
    pub(crate) fn remove_replaced(&self) {
        let segments = self.manifest.lock().expect(UNPOISONED).segments.clone();
        let named: BTreeSet<PathBuf> = segments.iter().map(|sealed| sealed.path(&self.folder)).collect();
        let Ok(entries) = std::fs::read_dir(self.folder.join("segments")) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            let front = path.file_name().and_then(|name| name.to_str()?.get(..41).map(str::to_owned));
            let is_ours = front.is_some_and(|front| {
                segments.iter().any(|sealed| format!("{:020}-{:020}", sealed.first.0, sealed.last.0) == front)
            });
            if is_ours
                && !named.contains(&path)
                && let Err(error) = std::fs::remove_file(&path)
            {
                tracing::warn!(%error, file = %path.display(), "a replaced segment cannot be removed");
            }
        }
    }
}

/// Recorded times of what is left are kept to the second.
fn whole_seconds(at: Timestamp) -> Timestamp {
    const SECOND: i64 = 1_000_000_000;
    Timestamp::from_nanos(at.as_nanos() / SECOND * SECOND)
}

fn is_of(summary: &SampleSummary, kind: u16, kinds: &[Kind]) -> bool {
    summary.kind.code() == kind && kinds.contains(&summary.kind)
}

fn not_asked(position: Position) -> Error {
    let message = format!("position {position} was summarised and is no sample that goes");
    Error::new(ErrorKind::Invalid, message).at(position, position)
}

/// Proves what is left of samples: each file is the one that a fact of the chain names, and the chain goes on after it.
pub(crate) fn check_facts(log: &dyn Log, segments: &[Arc<Segment>]) -> Vec<Damage> {
    let wrong = |segment: &Segment| -> Result<Option<String>, Error> {
        let Some(Summary { event, .. }) = segment.summary else { return Ok(None) };
        let fact = fact(log, event)?;
        if (fact.first, fact.last, fact.digest) != (segment.first(), segment.last(), segment.file_digest()?) {
            return Ok(Some(format!("what is left of its samples is not what the event at position {event} says")));
        }
        let next = segment.last().next();
        let follows = match segments.iter().find(|segment| segment.first() == next) {
            Some(next) => next.footer.chain_before == segment.footer.chain_after,
            None if next == log.tail() => log.head().chain == segment.footer.chain_after,
            None => {
                log.get(&[next])?.first().is_some_and(|record| record.verify_chain(segment.footer.chain_after).is_ok())
            }
        };
        Ok((!follows).then(|| "the record after it does not follow: the chain is broken".to_owned()))
    };
    let damage = |segment: &Arc<Segment>| {
        let why = wrong(segment).map_err(|error| error.to_string());
        let why = why.unwrap_or_else(Some)?;
        Some(Damage { first: segment.first(), last: segment.last(), why })
    };
    segments.iter().filter_map(damage).collect()
}

fn fact(log: &dyn Log, at: Position) -> Result<SamplesSummarised, Error> {
    let records = log.get(&[at])?;
    let event = records.first().and_then(|record| decode(record.kind, record.version, &record.payload).ok());
    match event {
        Some(Event::SamplesSummarised(fact)) => Ok(fact),
        _ => {
            let message = format!("position {at} holds no fact of retention");
            Err(Error::new(ErrorKind::Corrupt, message).at(at, at))
        }
    }
}
