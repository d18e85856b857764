//! Two small files beside fjall's folder that prove what must be in it.
//!
//! fjall opens "empty" when its journal is missing, and drops every event after a damaged sector, without an error. So
//! the truth about what exists is kept outside: `MANIFEST` names the store and its parts and changes rarely; `witness`
//! names the newest record known to be durable and is written every second, at the end, and before a config event is
//! acknowledged.

use std::path::{Path, PathBuf};

use netstats_event::{Position, Timestamp};

use crate::files::{open_text, read, replace, rfc3339, seal_text};
use crate::{Error, ErrorKind, Head};

const MAX_MANIFEST_BYTES: u64 = 1024 * 1024;
const MAX_WITNESS_BYTES: u64 = 4 * 1024;

/// The only format so far of the folder as a whole.
const FORMAT: &str = "1";

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

    fn parse(text: &str) -> Option<Self> {
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
}

/// What the store consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) store: StoreId,
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
        check_format(&path, &bytes)?;
        Self::parse(&bytes).map(Some).ok_or_else(|| damaged(&path))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut lines = open_text(bytes)?.into_iter();
        (lines.next()? == ("format", FORMAT)).then_some(())?;
        let ("store", store) = lines.next()? else { return None };
        let epochs: Option<Vec<Epoch>> = lines
            .map(|(key, value)| {
                (key == "epoch").then_some(())?;
                value.parse().ok().map(|first| Epoch { first: Position(first) })
            })
            .collect();
        let epochs = epochs.filter(|epochs| !epochs.is_empty() && epochs.is_sorted_by(|a, b| a.first < b.first))?;
        Some(Self { store: StoreId::parse(store)?, epochs })
    }

    pub(crate) fn save(&self, folder: &Path) -> Result<(), Error> {
        let mut text = format!("format {FORMAT}\nstore {}\n", self.store);
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
        check_format(&path, &bytes)?;
        Self::parse(&bytes).map(Some).ok_or_else(|| damaged(&path))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let lines = open_text(bytes)?;
        let [
            ("format", FORMAT),
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
            "format {FORMAT}\nstore {store}\nlast {}\nchain {}\nrecorded_at_ns {}\nrecorded_at {}\nlast_config {last_config}\nclosed {}\n",
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
fn check_format(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let format = bytes.strip_prefix(b"format ").and_then(|rest| rest.split(|byte| *byte == b'\n').next());
    let is_newer = format
        .and_then(|format| std::str::from_utf8(format).ok()?.parse::<u32>().ok())
        .is_some_and(|format| format > FORMAT.parse().expect("a number"));
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
    use netstats_event::ChainHash;

    use super::*;

    fn manifest() -> Manifest {
        Manifest { store: StoreId([7; 16]), epochs: vec![Epoch { first: Position(1) }, Epoch { first: Position(90) }] }
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
        let newer = seal_text("format 2\nsomething new\n");
        std::fs::write(Manifest::path(folder.path()), &newer).unwrap();
        let refused = Manifest::load(folder.path()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid);
        assert!(refused.to_string().contains("newer program"), "{refused}");
        assert_eq!(std::fs::read_to_string(Manifest::path(folder.path())).unwrap(), newer);
    }
}
