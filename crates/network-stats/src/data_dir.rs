//! The data folder: made, closed to others, held by one process.
//!
//! ```text
//! data/
//!   lock      held while the product runs; its process id
//!   address   where the running product listens
//!   token     what lets the other commands in, new at each start
//!   log/      the event log (ground state)
//!   exports/  files of export jobs, unless the config names another folder
//!   secrets/  secrets that jobs name, one file each
//!   signing.key  what evidence packs are signed with; signing.pub is what others prove them with
//!   unrecorded  what the last stop could not record, until the log says so
//!   views/    the views (derived, may be deleted while the product is not running)
//! ```

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use netstats_export::SigningKey;
use netstats_log::LockFile;

use crate::platform;

/// The data folder, ours while this lives.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    _lock: LockFile,
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
        platform::make_folder(path).with_context(|| format!("the data folder {} cannot be used", path.display()))?;
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

    /// Whether a process holds the folder now.
    pub(crate) fn is_held(path: &Path) -> bool {
        matches!(LockFile::take(&path.join("lock")), Ok(None))
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    /// Where secrets are that jobs name: one file each. Not part of the log, and deletable.
    pub(crate) fn secrets(&self) -> PathBuf {
        self.path.join("secrets")
    }

    /// The installation's key, made when it is asked for the first time.
    ///
    /// # Errors
    /// It cannot be read or made, or is damaged.
    pub(crate) fn signing_key(&self) -> Result<SigningKey> {
        let path = self.path.join("signing.key");
        let seed = match fs::read_to_string(&path) {
            Ok(text) => seed_of(&text).with_context(|| {
                format!(
                    "{} is damaged: take it from a backup, or move it away, and new packs are signed with a new key",
                    path.display()
                )
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => new_seed(&path)?,
            Err(error) => return Err(error).context(format!("{} cannot be read", path.display())),
        };
        let key = SigningKey::from_seed(&seed);
        let public = self.path.join("signing.pub");
        if !fs::read_to_string(&public).is_ok_and(|text| text.trim() == key.public_hex()) {
            fs::write(&public, format!("{}\n", key.public_hex()))?;
        }
        Ok(key)
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

fn lock(folder: &Path) -> Result<LockFile> {
    let path = folder.join("lock");
    let Some(mut lock) = LockFile::take(&path).with_context(|| format!("{} cannot be locked", path.display()))? else {
        let by = LockFile::signer(&path).map_or("another process".to_owned(), |holder| format!("process {holder}"));
        bail!(
            "the data folder {} is in use by {by}: stop that first, or use another with --data-dir DIR",
            folder.display()
        );
    };
    lock.sign()?;
    Ok(lock)
}

fn seed_of(text: &str) -> Option<[u8; 32]> {
    let text = text.trim();
    let is_hex = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut seed = [0; 32];
    for (at, byte) in seed.iter_mut().enumerate().filter(|_| is_hex) {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    is_hex.then_some(seed)
}

/// A new seed, stored for its owner alone before it is used: whole, or not at all.
fn new_seed(path: &Path) -> Result<[u8; 32]> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| anyhow!("the system gives no randomness: {error}"))?;
    let text: String = seed.iter().map(|byte| format!("{byte:02x}")).collect();
    let part = path.with_extension("part");
    let _ = fs::remove_file(&part);
    let mut options = File::options();
    options.write(true).create_new(true);
    let mut file = platform::for_owner(&mut options)
        .open(&part)
        .with_context(|| format!("{} cannot be written", part.display()))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    netstats_log::rename(&part, path).with_context(|| format!("{} cannot be put in its place", path.display()))?;
    Ok(seed)
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
        assert!(DataDir::is_held(&path));
        drop(held);
        assert!(!DataDir::is_held(&path), "a lock file without its process");
        DataDir::open(&path).unwrap();
    }

    #[test]
    fn the_signing_key_is_made_once_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(&folder.path().join("data")).unwrap();
        let public = data.signing_key().unwrap().public_hex();
        assert_eq!(data.signing_key().unwrap().public_hex(), public);
        let path = folder.path().join("data");
        assert_eq!(fs::read_to_string(path.join("signing.pub")).unwrap().trim(), public);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(path.join("signing.key")).unwrap().permissions().mode() & 0o777, 0o600);
        }
        fs::write(path.join("signing.key"), "half").unwrap();
        let said = format!("{:#}", data.signing_key().unwrap_err());
        assert!(said.contains("damaged") && said.contains("backup"), "{said}");
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
