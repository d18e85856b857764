//! A look at fjall's folder before fjall opens it, because fjall takes missing small files for orders: without a
//! keyspace's `current` it removes the keyspace, without its own keyspace 0 it removes all of them, without a journal
//! it begins a new one. Nothing is changed here but the remains of a creation that never came to hold an event.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::manifest::{Manifest, Witness};

/// What must not be opened, and which file it is about.
pub(crate) struct Refused {
    pub(crate) file: PathBuf,
    pub(crate) error: io::Error,
}

/// Refuses a store whose files are less than the manifest and the witness say.
pub(crate) fn check(folder: &Path, manifest: &Manifest, witness: &Witness) -> Result<(), Refused> {
    let store = folder.join("fjall");
    let refuse = |file: PathBuf, error| Err(Refused { file, error });
    let missing = |file: PathBuf| {
        let error = io::Error::other(format!("{} is missing", file.display()));
        refuse(file, error)
    };
    let keyspaces = match keyspaces(&store) {
        Ok(keyspaces) => keyspaces,
        Err(error) => return refuse(store.join("keyspaces"), error),
    };
    // Number 0 is fjall's own list of keyspaces; ours come after it, and no event is written before one of them exists.
    let ours: Vec<u64> = keyspaces.into_iter().filter(|number| *number > 0).collect();
    let is_unfinished = ours.is_empty() && witness.head.last == 0;
    if !store.join("version").exists() {
        if !is_unfinished {
            return missing(store.join("version"));
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
    if !current(0).exists() {
        return missing(current(0));
    }
    // The newest epoch may have been cut off while it was made: then nothing was ever written to it.
    let witnessed = manifest.epochs.iter().filter(|epoch| epoch.first.0 <= witness.head.last).count();
    let whole = ours.iter().filter(|number| current(**number).exists()).count();
    let newest = ours.iter().max();
    if let Some(cut) = ours.iter().find(|number| !current(**number).exists())
        && (Some(cut) != newest || whole < witnessed)
    {
        return missing(current(*cut));
    }
    if whole < witnessed {
        let error = io::Error::other(format!("{witnessed} keyspaces hold acknowledged events and {whole} are there"));
        return refuse(store.join("keyspaces"), error);
    }
    match has_journal(&store) {
        Ok(true) => Ok(()),
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

fn has_journal(store: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(store)? {
        if entry?.path().extension().is_some_and(|extension| extension == "jnl") {
            return Ok(true);
        }
    }
    Ok(false)
}
