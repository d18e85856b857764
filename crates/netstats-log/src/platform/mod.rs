//! What differs between systems: how a file is held, replaced, and when a name is durable.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(crate) use unix::{hold, let_go};
#[cfg(unix)]
pub use unix::{rename, sync_folder};

#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub(crate) use windows::{hold, let_go};
#[cfg(windows)]
pub use windows::{rename, sync_folder};
