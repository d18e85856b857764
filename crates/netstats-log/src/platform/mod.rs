//! What differs between systems: how a file is held, and when a name is durable.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub use unix::sync_folder;
#[cfg(unix)]
pub(crate) use unix::{hold, let_go};

#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub use windows::sync_folder;
#[cfg(windows)]
pub(crate) use windows::{hold, let_go};
