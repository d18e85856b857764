//! Datagrams from one peer, timed: with the kernel's stamps where the system gives them, with our clock elsewhere.

use netstats_event::{ClockSource, Rtt};

pub(crate) use crate::platform::Datagrams;

/// One that came.
pub(crate) struct Datagram {
    pub(crate) bytes: Vec<u8>,
    /// Since the last one was sent.
    pub(crate) rtt: Rtt,
    pub(crate) clock: ClockSource,
}
