//! Windows.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::windows::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

/// `FILE_SHARE_READ` of `CreateFileW`.
const SHARE_READ: u32 = 1;
/// `ERROR_SHARING_VIOLATION`: it is open, and not shared so.
const IS_HELD: i32 = 32;
/// How often a name is tried, and for how long it is let alone in between: two seconds.
const TRIES: u32 = 200;
const BETWEEN: Duration = Duration::from_millis(10);

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

/// Gives a file or folder another name; a file that has that name is replaced. Here that is refused while somebody reads
/// one of them, a backup or a scanner, which is over in a moment: it is tried again for two seconds.
///
/// # Errors
/// The system's.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    let is_held =
        |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied || error.raw_os_error() == Some(IS_HELD);
    for _ in 1..TRIES {
        match fs::rename(from, to) {
            Err(error) if is_held(&error) => std::thread::park_timeout(BETWEEN),
            done => return done,
        }
    }
    fs::rename(from, to)
}

/// A folder cannot be opened as a file here. NTFS keeps names in a journal of its own, in their order: the next flush of
/// any file brings them along, and a name that a power cut takes, takes with it what came after.
///
/// # Errors
/// None.
pub fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}
