//! Linux and macOS.

use std::io;

/// Whether a connection is on its way.
pub(crate) fn is_connecting(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EINPROGRESS) || error.kind() == io::ErrorKind::WouldBlock
}
