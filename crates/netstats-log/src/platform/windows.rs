//! Windows.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::fs::OpenOptionsExt;
use std::path::Path;

/// `FILE_SHARE_READ` of `CreateFileW`.
const SHARE_READ: u32 = 1;
/// `ERROR_SHARING_VIOLATION`: it is open, and not shared so.
const IS_HELD: i32 = 32;

/// Opens the file, making it if it is not there, and holds it; none if somebody does. Held by not being shared: what is
/// locked by `LockFileEx` cannot be read by others, and they want to know who holds it.
pub(crate) fn hold(path: &Path) -> io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    match options.create(true).truncate(false).read(true).write(true).share_mode(SHARE_READ).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.raw_os_error() == Some(IS_HELD) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Closing it is enough: children get no copies.
pub(crate) fn let_go(_: &File) {}

/// A folder cannot be opened as a file here. NTFS keeps names in a journal of its own, in their order: the next flush of
/// any file brings them along, and a name that a power cut takes, takes with it what came after.
///
/// # Errors
/// None.
pub fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}
