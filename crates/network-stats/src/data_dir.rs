//! The data folder: made, closed to others, held by one process.
//!
//! ```text
//! data/
//!   lock      held while the product runs; its process id
//!   address   where the running product listens
//!   token     what lets the other commands in, new at each start
//!   log/      the event log (ground state)
//!   secrets/  secrets that jobs name, one file each
//!   unrecorded  what the last stop could not record, until the log says so
//!   views/    the views (derived, may be deleted while the product is not running)
//! ```

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The data folder, ours while this lives.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    _lock: File,
}

/// Where the running product says it listens.
pub(crate) fn address_file(data_dir: &Path) -> PathBuf {
    data_dir.join("address")
}

/// What lets other commands of this machine in, new at each start.
pub(crate) fn token_file(data_dir: &Path) -> PathBuf {
    data_dir.join("token")
}

impl DataDir {
    /// Makes the folder if it is not there, and takes it.
    ///
    /// # Errors
    /// It cannot be made or closed to others, or another process holds it.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        prepare(path).with_context(|| format!("the data folder {} cannot be used", path.display()))?;
        Ok(Self { path: path.to_owned(), _lock: lock(path)? })
    }

    /// Takes a folder that is there.
    ///
    /// # Errors
    /// It is not there, or another process holds it.
    pub(crate) fn open_existing(path: &Path) -> Result<Self> {
        if !path.join("log").is_dir() {
            bail!("there is no log in {}: name the data folder with --data-dir", path.display());
        }
        Self::open(path)
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    /// Where secrets are that jobs name: one file each. Not part of the log, and deletable.
    pub(crate) fn secrets(&self) -> PathBuf {
        self.path.join("secrets")
    }

    /// What the last stop could not record.
    pub(crate) fn unrecorded(&self) -> PathBuf {
        self.path.join("unrecorded")
    }

    pub(crate) fn views(&self) -> PathBuf {
        self.path.join("views")
    }

    /// Tells other commands where the product listens.
    pub(crate) fn announce(&self, url: &str, token: &str) -> io::Result<()> {
        // Whoever can read this folder, which is closed to others, may everything here.
        fs::write(token_file(&self.path), token)?;
        fs::write(address_file(&self.path), url)
    }

    /// Takes the announcement back.
    pub(crate) fn withdraw(&self) {
        let _ = fs::remove_file(address_file(&self.path));
        let _ = fs::remove_file(token_file(&self.path));
    }
}

fn lock(folder: &Path) -> Result<File> {
    let path = folder.join("lock");
    let mut file = File::options().read(true).write(true).create(true).truncate(false).open(&path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let by = fs::read_to_string(&path).unwrap_or_default();
            let by = if by.trim().is_empty() { "another process".to_owned() } else { format!("process {}", by.trim()) };
            bail!(
                "the data folder {} is in use by {by}: stop that first, or use another with --data-dir DIR",
                folder.display()
            );
        }
        Err(TryLockError::Error(error)) => return Err(error).context(format!("{} cannot be locked", path.display())),
    }
    file.set_len(0)?;
    write!(file, "{}", std::process::id())?;
    Ok(file)
}

#[cfg(unix)]
fn prepare(path: &Path) -> Result<()> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    if !path.exists() {
        return Ok(fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?);
    }
    let mode = fs::metadata(path)?.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    // A folder made for us (mkdir, StateDirectory=) is closed; a folder with other things in it is left alone.
    let is_ours = path.join("log").is_dir() || fs::read_dir(path)?.next().is_none();
    if !is_ours {
        bail!(
            "others can read it (mode {mode:03o}) and it holds other things: give a folder of its own, or chmod 700 it"
        );
    }
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o700))?)
}

#[cfg(not(unix))]
fn prepare(path: &Path) -> Result<()> {
    Ok(fs::create_dir_all(path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_held_by_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        let held = DataDir::open(&path).unwrap();
        let said = DataDir::open(&path).unwrap_err().to_string();
        assert!(said.contains(&format!("in use by process {}", std::process::id())), "{said}");
        drop(held);
        DataDir::open(&path).unwrap();
    }

    #[test]
    fn maintenance_needs_a_log() {
        let folder = tempfile::tempdir().unwrap();
        let said = DataDir::open_existing(folder.path()).unwrap_err().to_string();
        assert!(said.contains("no log in"), "{said}");
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_is_closed_to_others_unless_it_holds_other_things() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let path = folder.path().join("made");
        drop(DataDir::open(&path).unwrap());
        assert_eq!(mode(&path), 0o700);

        let open = folder.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
        drop(DataDir::open(&open).unwrap());
        assert_eq!(mode(&open), 0o700);

        let shared = folder.path().join("shared");
        fs::create_dir(&shared).unwrap();
        fs::write(shared.join("letter.txt"), "").unwrap();
        fs::set_permissions(&shared, fs::Permissions::from_mode(0o755)).unwrap();
        let said = format!("{:#}", DataDir::open(&shared).unwrap_err());
        assert!(said.contains("chmod 700"), "{said}");
        assert_eq!(mode(&shared), 0o755);
    }
}
