//! Codecs of what travels: pure, total, no clock and no socket.

#[cfg(any(windows, test))]
pub(crate) mod helper;
pub(crate) mod icmp;
pub(crate) mod mark;
