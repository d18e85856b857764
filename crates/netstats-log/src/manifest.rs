//! Two small files beside fjall's folder that prove what must be in it.
//!
//! fjall opens "empty" when its journal is missing, and drops every event after a damaged sector, without an error. So
//! the truth about what exists is kept outside: `MANIFEST` names the store and its parts (segments and epochs) and
//! changes rarely; `witness`
//! names the newest record known to be durable and is written every second, at the end, and before a config event is
//! acknowledged.

use std::path::{Path, PathBuf};

use netstats_event::{ChainHash, Position, Timestamp};

use crate::files::{open_text, read, replace, rfc3339, seal_text};
use crate::{Error, ErrorKind, Head};

/// A segment takes a line of at most 220 bytes.
const MAX_MANIFEST_BYTES: u64 = 4 * 1024 * 1024;
const MAX_WITNESS_BYTES: u64 = 4 * 1024;

/// The only format so far of the witness.
const WITNESS_FORMAT: &str = "1";
/// The newest format of the manifest. Format 1 knew no segments, format 2 no summaries; they are read as format 3 is.
const MANIFEST_FORMAT: &str = "3";
/// The format of a manifest without summaries.
const PLAIN_FORMAT: &str = "2";

/// Names one store for ever, so that files of two stores are never mixed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreId(pub(crate) [u8; 16]);

impl StoreId {
    pub(crate) fn random() -> Result<Self, Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)
            .map_err(|error| Error::new(ErrorKind::Unavailable, "the system gives no random numbers").because(error))?;
        Ok(Self(bytes))
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 32).map(|number| Self(number.to_be_bytes()))
    }
}

impl std::fmt::Display for StoreId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// One keyspace of the LSM store: the records from `first` to the next epoch's first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Epoch {
    pub(crate) first: Position,
}

impl Epoch {
    /// Its name in the store.
    pub(crate) fn keyspace(self) -> String {
        format!("log-{:020}", self.first.0)
    }

    /// The epoch of that name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        name.strip_prefix("log-")?.parse().ok().map(|first| Self { first: Position(first) })
    }
}

/// One sealed segment: the file that holds the records from `first` to `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) first: Position,
    pub(crate) last: Position,
    /// Bytes of the file.
    pub(crate) length: u64,
    /// CRC-32C of its footer, which proves all of it.
    pub(crate) digest: u32,
    /// The chain after `last`.
    pub(crate) chain: ChainHash,
    /// What retention did to it.
    pub(crate) summary: Option<Summary>,
}

/// Samples of a segment are summarised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    /// The fact that says so, with the digest of the file.
    pub(crate) event: Position,
    /// How often: the file's name has it.
    pub(crate) revision: u32,
    /// Which kinds.
    pub(crate) kinds: SampleKinds,
}

/// A set of kinds of samples: 200 to 263.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SampleKinds(u64);

impl SampleKinds {
    pub(crate) fn insert(&mut self, code: u16) {
        if let Some(bit) = code.checked_sub(200).filter(|bit| *bit < 64) {
            self.0 |= 1 << bit;
        }
    }

    pub(crate) fn has(self, code: u16) -> bool {
        self.iter().any(|of| of == code)
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = u16> {
        (0..64).filter(move |bit| self.0 >> bit & 1 == 1).map(|bit| 200 + bit)
    }
}

impl Sealed {
    /// Its file.
    pub(crate) fn path(&self, folder: &Path) -> PathBuf {
        let revision = self.summary.map_or(0, |summary| summary.revision);
        Self::path_of(folder, self.first, self.last, revision)
    }

    /// The file of a segment that was summarised so often.
    pub(crate) fn path_of(folder: &Path, first: Position, last: Position, revision: u32) -> PathBuf {
        let revision = if revision == 0 { String::new() } else { format!(".r{revision}") };
        folder.join("segments").join(format!("{:020}-{:020}{revision}.segment", first.0, last.0))
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split(' ').collect();
        let (&[first, last, length, digest, chain], rest) = words.split_first_chunk()?;
        let summary = match rest {
            [] => None,
            [event, revision, kinds @ ..] => {
                let mut summary = Summary {
                    event: Position(event.parse().ok()?),
                    revision: revision.parse().ok()?,
                    kinds: SampleKinds::default(),
                };
                for kind in kinds {
                    summary.kinds.insert(kind.parse().ok().filter(|kind| (200..264).contains(kind))?);
                }
                Some(summary)
            }
            _ => return None,
        };
        Some(Self {
            summary,
            first: Position(first.parse().ok()?),
            last: Position(last.parse().ok()?),
            length: length.parse().ok()?,
            digest: u32::from_str_radix(digest, 16).ok()?,
            chain: chain.parse().ok()?,
        })
    }
}

impl std::fmt::Display for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {} {:08x} {}", self.first, self.last, self.length, self.digest, self.chain)?;
        let Some(Summary { event, revision, kinds }) = self.summary else { return Ok(()) };
        write!(f, " {event} {revision}")?;
        kinds.iter().try_for_each(|kind| write!(f, " {kind}"))
    }
}

/// What the store consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) store: StoreId,
    /// In the order of positions, without gaps; then come the epochs.
    pub(crate) segments: Vec<Sealed>,
    /// Keyspaces, by their number, whose records are in segments: they are being removed.
    pub(crate) dropping: Vec<u64>,
    /// In the order of positions; never empty.
    pub(crate) epochs: Vec<Epoch>,
}

impl Manifest {
    pub(crate) fn path(folder: &Path) -> PathBuf {
        folder.join("MANIFEST")
    }

    /// Reads it; none if it is not there.
    pub(crate) fn load(folder: &Path) -> Result<Option<Self>, Error> {
        let path = Self::path(folder);
        let Some(bytes) = read(&path, MAX_MANIFEST_BYTES)? else { return Ok(None) };
        check_format(&path, &bytes, MANIFEST_FORMAT)?;
        Self::parse(&bytes).map(Some).ok_or_else(|| damaged(&path))
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut lines = open_text(bytes)?.into_iter();
        matches!(lines.next()?, ("format", "1" | PLAIN_FORMAT | MANIFEST_FORMAT)).then_some(())?;
        let ("store", store) = lines.next()? else { return None };
        let store = StoreId::parse(store)?;
        let mut manifest = Self { store, segments: Vec::new(), dropping: Vec::new(), epochs: Vec::new() };
        for (key, value) in lines {
            match key {
                "segment" => manifest.segments.push(Sealed::parse(value)?),
                "dropping" => manifest.dropping.push(value.parse().ok()?),
                "epoch" => manifest.epochs.push(Epoch { first: Position(value.parse().ok()?) }),
                _ => return None,
            }
        }
        manifest.is_sane().then_some(manifest)
    }

    /// Segments without gaps, and after them the epochs, at least one.
    fn is_sane(&self) -> bool {
        let Some(first_epoch) = self.epochs.first() else { return false };
        let starts = self.segments.iter().map(|sealed| sealed.first).chain([first_epoch.first]).skip(1);
        self.epochs.is_sorted_by(|a, b| a.first < b.first)
            && self.segments.iter().all(|sealed| sealed.first.0 >= 1 && sealed.first <= sealed.last)
            && self.segments.iter().zip(starts).all(|(sealed, next)| sealed.last.0.checked_add(1) == Some(next.0))
    }

    pub(crate) fn save(&self, folder: &Path) -> Result<(), Error> {
        // A program that does not know summaries must not open them; without any it may.
        let has_summaries = self.segments.iter().any(|sealed| sealed.summary.is_some());
        let format = if has_summaries { MANIFEST_FORMAT } else { PLAIN_FORMAT };
        let mut text = format!("format {format}\nstore {}\n", self.store);
        for sealed in &self.segments {
            text.push_str(&format!("segment {sealed}\n"));
        }
        for keyspace in &self.dropping {
            text.push_str(&format!("dropping {keyspace}\n"));
        }
        for epoch in &self.epochs {
            text.push_str(&format!("epoch {}\n", epoch.first));
        }
        replace(&Self::path(folder), seal_text(&text).as_bytes())
    }
}

/// What is known to be durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Witness {
    pub(crate) store: StoreId,
    pub(crate) head: Head,
    /// When the head was recorded: the last time known to be good.
    pub(crate) recorded_at: Timestamp,
    /// The last event of the config family at or before the head; 0 if there is none.
    pub(crate) last_config: Position,
    /// The log was closed in order: nothing is after the head.
    pub(crate) is_closed: bool,
}

impl Witness {
    pub(crate) fn path(folder: &Path) -> PathBuf {
        folder.join("witness")
    }

    /// Reads it; none if it is not there.
    pub(crate) fn load(folder: &Path) -> Result<Option<Self>, Error> {
        let path = Self::path(folder);
        let Some(bytes) = read(&path, MAX_WITNESS_BYTES)? else { return Ok(None) };
        check_format(&path, &bytes, WITNESS_FORMAT)?;
        Self::parse(&bytes).map(Some).ok_or_else(|| damaged(&path))
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let lines = open_text(bytes)?;
        let [
            ("format", WITNESS_FORMAT),
            ("store", store),
            ("last", last),
            ("chain", chain),
            ("recorded_at_ns", at),
            ("recorded_at", _),
            ("last_config", config),
            ("closed", closed),
        ] = lines[..]
        else {
            return None;
        };
        Some(Self {
            store: StoreId::parse(store)?,
            head: Head { last: last.parse().ok()?, chain: chain.parse().ok()? },
            recorded_at: Timestamp::from_nanos(at.parse().ok()?),
            last_config: Position(config.parse().ok()?),
            is_closed: match closed {
                "yes" => true,
                "no" => false,
                _ => return None,
            },
        })
    }

    pub(crate) fn save(&self, folder: &Path) -> Result<(), Error> {
        let Self { store, head, recorded_at, last_config, is_closed } = self;
        let text = format!(
            "format {WITNESS_FORMAT}\nstore {store}\nlast {}\nchain {}\nrecorded_at_ns {}\nrecorded_at {}\nlast_config {last_config}\nclosed {}\n",
            head.last,
            head.chain,
            recorded_at.as_nanos(),
            rfc3339(*recorded_at),
            if *is_closed { "yes" } else { "no" },
        );
        replace(&Self::path(folder), seal_text(&text).as_bytes())
    }
}

/// A newer program's files are refused before anything else is looked at, and are left as they are.
fn check_format(path: &Path, bytes: &[u8], newest: &str) -> Result<(), Error> {
    let format = bytes.strip_prefix(b"format ").and_then(|rest| rest.split(|byte| *byte == b'\n').next());
    let is_newer = format
        .and_then(|format| std::str::from_utf8(format).ok()?.parse::<u32>().ok())
        .is_some_and(|format| format > newest.parse().expect("a number"));
    // Only a whole file says so: one flipped bit must not look like a message from the future.
    if is_newer && open_text(bytes).is_some() {
        let message = format!("{} is of a newer program: use that program; nothing was changed", path.display());
        return Err(Error::new(ErrorKind::Invalid, message).in_file(path));
    }
    Ok(())
}

fn damaged(path: &Path) -> Error {
    let message = format!("{} is damaged: its checksum does not match", path.display());
    Error::new(ErrorKind::Corrupt, message).in_file(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let sealed = |first, last| Sealed {
            first: Position(first),
            last: Position(last),
            length: 4_711,
            digest: 0xabc,
            chain: ChainHash([5; 16]),
            summary: None,
        };
        Manifest {
            store: StoreId([7; 16]),
            segments: vec![sealed(1, 40), sealed(41, 60)],
            dropping: vec![3],
            epochs: vec![Epoch { first: Position(61) }, Epoch { first: Position(90) }],
        }
    }

    fn witness() -> Witness {
        Witness {
            store: StoreId([7; 16]),
            head: Head { last: 99, chain: ChainHash([3; 16]) },
            recorded_at: Timestamp::from_millis(1_795_564_799_999),
            last_config: Position(12),
            is_closed: false,
        }
    }

    #[test]
    fn both_files_read_back() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Manifest::load(folder.path()).unwrap().is_none());
        assert!(Witness::load(folder.path()).unwrap().is_none());
        manifest().save(folder.path()).unwrap();
        witness().save(folder.path()).unwrap();
        assert_eq!(Manifest::load(folder.path()).unwrap().unwrap(), manifest());
        assert_eq!(Witness::load(folder.path()).unwrap().unwrap(), witness());
    }

    #[test]
    fn the_first_format_is_still_read() {
        let folder = tempfile::tempdir().unwrap();
        let text = seal_text(&format!("format 1\nstore {}\nepoch 1\nepoch 90\n", StoreId([7; 16])));
        std::fs::write(Manifest::path(folder.path()), text).unwrap();
        let manifest = Manifest::load(folder.path()).unwrap().unwrap();
        assert_eq!(manifest.epochs, [Epoch { first: Position(1) }, Epoch { first: Position(90) }]);
        assert!(manifest.segments.is_empty());
    }

    #[test]
    fn a_manifest_with_a_gap_between_its_parts_is_damage() {
        let folder = tempfile::tempdir().unwrap();
        for change in [
            |manifest: &mut Manifest| manifest.segments[0].last = Position(39),
            |manifest: &mut Manifest| {
                manifest.epochs.clear();
            },
        ] {
            let mut broken = manifest();
            change(&mut broken);
            broken.save(folder.path()).unwrap();
            assert_eq!(Manifest::load(folder.path()).unwrap_err().kind(), ErrorKind::Corrupt);
        }
    }

    #[test]
    fn every_bit_flip_is_damage_and_never_a_newer_format() {
        let folder = tempfile::tempdir().unwrap();
        witness().save(folder.path()).unwrap();
        let path = Witness::path(folder.path());
        let whole = std::fs::read(&path).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(Witness::load(folder.path()).unwrap_err().kind(), ErrorKind::Corrupt, "bit {bit}");
        }
    }

    #[test]
    fn a_newer_format_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let newer = seal_text("format 4\nsomething new\n");
        std::fs::write(Manifest::path(folder.path()), &newer).unwrap();
        let refused = Manifest::load(folder.path()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid);
        assert!(refused.to_string().contains("newer program"), "{refused}");
        assert_eq!(std::fs::read_to_string(Manifest::path(folder.path())).unwrap(), newer);
    }
}
