//! What a probe may take at most.

use std::time::Duration;

/// Bytes of an ICMP payload at least: our mark must fit (`wire::mark`).
pub const MIN_PAYLOAD_BYTES: u16 = 16;
/// Addresses kept of one name.
pub const MAX_ADDRESSES: usize = 16;
/// How long a name lookup may take.
pub const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Replies of one burst that are counted as duplicate, reordered or bad; more are counted as this many.
pub const MAX_ODD_REPLIES: u16 = u16::MAX;
/// How long after its timeout a packet is still waited for at most.
pub const MAX_LINGER: Duration = Duration::from_secs(1);
/// Packets of one burst.
pub const MAX_PACKETS: u16 = 1_000;
/// Bursts in the air in one engine.
pub const MAX_BURSTS: usize = 1 << 20;
