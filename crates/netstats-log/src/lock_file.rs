//! A lock that is a file: held by one process, and let go with it whatever ends it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Seek, Write};
use std::path::Path;

/// Held while it lives.
#[derive(Debug)]
pub struct LockFile(File);

impl LockFile {
    /// Takes the lock, making the file if it is not there; none if somebody has it.
    ///
    /// # Errors
    /// The file cannot be opened or locked.
    pub fn take(path: &Path) -> io::Result<Option<Self>> {
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
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
    /// Unlocked, not only closed: a child that is being started holds copies of all open files until its program runs,
    /// and a lock lasts until the last copy is closed.
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_one_holders_signed_and_let_go_even_while_a_copy_is_open() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let mut held = LockFile::take(&path).unwrap().unwrap();
        assert!(LockFile::take(&path).unwrap().is_none());
        assert_eq!(LockFile::signer(&path), None);
        held.sign().unwrap();
        assert_eq!(LockFile::signer(&path), Some(std::process::id().to_string()));
        let copy = held.0.try_clone().unwrap();
        drop(held);
        assert!(LockFile::take(&path).unwrap().is_some());
        drop(copy);
    }
}
