//! What an event may hold at most. Past a limit `encode` refuses; nothing is cut silently.

/// Bytes of one event's payload.
pub const MAX_PAYLOAD_BYTES: usize = 256 * 1024;
/// Characters of a name, an actor, a tag.
pub const MAX_NAME_CHARS: usize = 128;
/// Characters of a description or a reason.
pub const MAX_TEXT_CHARS: usize = 4_096;
/// Characters of a host name (RFC 1035) or an address.
pub const MAX_HOST_CHARS: usize = 253;
/// Tags of one destination or job.
pub const MAX_TAGS: usize = 64;
/// Packets of one burst.
pub const MAX_BURST_PACKETS: usize = 1_000;
/// Hops of one traced route.
pub const MAX_HOPS: usize = 64;
/// Destinations named by one job.
pub const MAX_JOB_DESTINATIONS: usize = 10_000;
