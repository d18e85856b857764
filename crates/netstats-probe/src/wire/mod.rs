//! Codecs of what travels: pure, total, no clock and no socket.

pub(crate) mod icmp;
pub(crate) mod mark;
