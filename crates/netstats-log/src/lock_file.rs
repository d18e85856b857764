//! A lock that is a file: held by one process, and let go with it whatever ends it.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::path::Path;

use crate::platform;

/// Held while it lives.
#[derive(Debug)]
pub struct LockFile(File);

impl LockFile {
    /// Takes the lock, making the file if it is not there; none if somebody has it.
    ///
    /// # Errors
    /// The file cannot be opened or locked.
    pub fn take(path: &Path) -> io::Result<Option<Self>> {
        Ok(platform::hold(path)?.map(Self))
    }

    /// Writes this process's id into the file, for whoever finds it locked.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn sign(&mut self) -> io::Result<()> {
        self.0.set_len(0)?;
        self.0.rewind()?;
        write!(self.0, "{}", std::process::id())
    }

    /// Who has signed the file; none if nobody has.
    #[must_use]
    pub fn signer(path: &Path) -> Option<String> {
        let text = std::fs::read_to_string(path).ok()?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        platform::let_go(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_one_holders_and_signed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let mut held = LockFile::take(&path).unwrap().unwrap();
        assert!(LockFile::take(&path).unwrap().is_none());
        assert_eq!(LockFile::signer(&path), None);
        held.sign().unwrap();
        assert_eq!(LockFile::signer(&path), Some(std::process::id().to_string()));
        assert!(LockFile::take(&path).unwrap().is_none(), "asked for its signer");
        drop(held);
        assert!(LockFile::take(&path).unwrap().is_some());
    }

    /// On Windows children get no copies.
    #[cfg(unix)]
    #[test]
    fn a_lock_is_let_go_even_while_a_copy_is_open() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let held = LockFile::take(&path).unwrap().unwrap();
        let copy = held.0.try_clone().unwrap();
        drop(held);
        assert!(LockFile::take(&path).unwrap().is_some());
        drop(copy);
    }
}
