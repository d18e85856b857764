//! A look at fjall's folder before fjall opens it, because fjall takes missing small files for orders: without a
//! keyspace's `current` it removes the keyspace, without its own keyspace 0 it removes all of them, without a journal
//! it begins a new one. Nothing is changed here but the remains of a creation that never came to hold an event.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use netstats_event::Position;

use crate::manifest::{Manifest, Witness};

/// Bytes of a keyspace's list of tables: 33 for each table, of which there are hundreds at most.
const MAX_LIST_BYTES: u64 = 16 * 1024 * 1024;

/// What must not be opened, and which file and positions it is about.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) file: PathBuf,
    pub(crate) error: io::Error,
    pub(crate) positions: Option<(Position, Position)>,
    /// Not now, but nothing is damaged.
    pub(crate) is_unavailable: bool,
}

impl Refused {
    pub(crate) fn about(file: &Path, error: io::Error) -> Self {
        Self { file: file.to_owned(), error, positions: None, is_unavailable: false }
    }

    pub(crate) fn at(self, first: Position, last: Position) -> Self {
        Self { positions: Some((first, last)), ..self }
    }

    pub(crate) fn unavailable(self) -> Self {
        Self { is_unavailable: true, ..self }
    }
}

/// Refuses a store whose files are less than the manifest and the witness say.
pub(crate) fn check(folder: &Path, manifest: &Manifest, witness: &Witness) -> Result<(), Refused> {
    let store = folder.join("fjall");
    let refuse = |file: PathBuf, error| Err(Refused::about(&file, error));
    let missing = |file: PathBuf| {
        let error = io::Error::other(format!("{} is missing", file.display()));
        refuse(file, error)
    };
    let keyspaces = match keyspaces(&store) {
        Ok(keyspaces) => keyspaces,
        Err(error) => return refuse(store.join("keyspaces"), error),
    };
    // Number 0 is fjall's own list of keyspaces; ours come after it, and no event is written before one of them exists.
    // What is sealed and being removed may be there, in part, or not.
    let ours: Vec<u64> =
        keyspaces.into_iter().filter(|number| *number > 0 && !manifest.dropping.contains(number)).collect();
    // Nothing acknowledged is in an epoch: there is nothing yet, or all of it is in segments.
    let is_sealed = manifest.epochs.first().is_some_and(|epoch| epoch.first.0 > witness.head.last);
    let is_unfinished = ours.is_empty() && is_sealed;
    let version = store.join("version");
    let is_marked = match read_bounded(&version) {
        // Created last: cut off, it is there without its bytes.
        Ok(bytes) => bytes.iter().filter(|byte| **byte != 0).count() >= 4,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return refuse(version, error),
    };
    if !is_marked {
        if !is_unfinished {
            return missing(version);
        }
        // fjall does not continue a creation that was cut off.
        return match fs::remove_dir_all(&store) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => refuse(store, error),
            _ => Ok(()),
        };
    }
    if is_unfinished {
        return Ok(());
    }
    let current = |number: u64| store.join("keyspaces").join(number.to_string()).join("current");
    // The newest epoch may have been cut off while it was made, and then again while fjall removed what was left of it:
    // then nothing was ever written to it.
    let witnessed = manifest.epochs.iter().filter(|epoch| epoch.first.0 <= witness.head.last).count();
    let mut whole = 0;
    let mut absent = Vec::new();
    for number in ours.iter().copied().chain([0]) {
        match check_version(&current(number))? {
            None if number > 0 => whole += 1,
            None => {}
            Some(file) => absent.push((number, file)),
        }
    }
    let newest = ours.iter().max().copied();
    if let Some((_, file)) = absent.into_iter().find(|(number, _)| Some(*number) != newest || whole < witnessed) {
        return missing(file);
    }
    if whole < witnessed {
        let error = io::Error::other(format!("{witnessed} keyspaces hold acknowledged events and {whole} are there"));
        return refuse(store.join("keyspaces"), error);
    }
    match has_journal(&store) {
        // The removal of sealed keyspaces goes on, before fjall may stumble over what is left of them.
        Ok(true) => manifest.dropping.iter().try_for_each(|number| {
            let keyspace = store.join("keyspaces").join(number.to_string());
            match fs::remove_dir_all(&keyspace) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => refuse(keyspace, error),
                _ => Ok(()),
            }
        }),
        Ok(false) => {
            let error = io::Error::other(format!("its journal ({}) is missing", store.join("*.jnl").display()));
            refuse(store, error)
        }
        Err(error) => refuse(store, error),
    }
}

/// The numbers of the keyspaces' folders; a foreign name would make fjall panic.
fn keyspaces(store: &Path) -> io::Result<Vec<u64>> {
    let entries = match fs::read_dir(store.join("keyspaces")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.parse().ok());
            numbers.push(number.ok_or_else(|| io::Error::other(format!("{} is not ours", entry.path().display())))?);
        }
    }
    Ok(numbers)
}

/// A keyspace's list of tables against the checksum in `current`: fjall does not compare them, and what it makes of a
/// damaged list may be a panic that no `catch_unwind` survives, or an empty keyspace. Answers which of the two files is
/// not there.
///
/// `current` holds the list's number (u64), its XXH3-128 and the checksum's type (0), little-endian.
pub(crate) fn check_version(current: &Path) -> Result<Option<PathBuf>, Refused> {
    let refuse = |file: &Path, why: String| {
        let error = io::Error::other(format!("{} {why}", file.display()));
        Refused::about(file, error)
    };
    let read = |file: &Path| match read_bounded(file) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(refuse(file, format!("cannot be read: {error}"))),
    };
    let Some(bytes) = read(current)? else { return Ok(Some(current.to_owned())) };
    let parts = bytes.split_first_chunk().and_then(|(number, rest)| Some((number, rest.split_first_chunk()?)));
    let Some((number, (checksum, [0]))) = parts else { return Err(refuse(current, "is damaged".to_owned())) };
    let list = current.with_file_name(format!("v{}", u64::from_le_bytes(*number)));
    let Some(bytes) = read(&list)? else { return Ok(Some(list)) };
    if xxhash_rust::xxh3::xxh3_128(&bytes) == u128::from_le_bytes(*checksum) {
        return Ok(None);
    }
    Err(refuse(&list, format!("is damaged: its checksum is not the one in {}", current.display())))
}

/// A small file of the store; one that has grown absurdly is not read.
fn read_bounded(file: &Path) -> io::Result<Vec<u8>> {
    let length = fs::metadata(file)?.len();
    if length > MAX_LIST_BYTES {
        return Err(io::Error::other(format!("it holds {length} bytes, at most {MAX_LIST_BYTES} belong in it")));
    }
    fs::read(file)
}

fn has_journal(store: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(store)? {
        if entry?.path().extension().is_some_and(|extension| extension == "jnl") {
            return Ok(true);
        }
    }
    Ok(false)
}
