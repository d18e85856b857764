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
/// Calls of the Windows ICMP helper under way at once, a thread each; further packets wait their turn and are flagged.
pub const MAX_HELPER_CALLS: usize = 256;
/// Bytes of an HTTP response's head.
pub const MAX_HEAD_BYTES: usize = 64 << 10;
/// Header fields of an HTTP response.
pub const MAX_HEADERS: usize = 100;
/// Bytes of an HTTP body that are read; the rest is left unread.
pub const MAX_BODY_BYTES: usize = 1 << 20;
/// Bytes of an HTTP body in which the expected text is looked for.
pub const MAX_MATCHED_BYTES: usize = 64 << 10;
/// Redirects followed, whatever the job asks for.
pub const MAX_REDIRECTS: u8 = 5;
/// Bytes of a datagram that are read.
pub const MAX_DATAGRAM_BYTES: usize = 2_048;
/// Records kept of a DNS answer; more are counted as if they were not there.
pub const MAX_ANSWERS: usize = 128;
/// Characters kept of one record's data.
pub const MAX_ANSWER_CHARS: usize = 1_024;
/// How long a trace's reverse names may take, all together.
pub const NAMES_WITHIN: Duration = Duration::from_secs(2);
/// Reverse names kept; then all are asked anew.
pub const MAX_KEPT_NAMES: usize = 10_000;
/// Once a trace's target has answered, packets under way are waited for as long as the longest round trip, and this.
pub const REACHED_MARGIN: Duration = Duration::from_millis(50);
/// Tenths of a second kept of one way of a bandwidth test.
pub const MAX_BINS: usize = 1_300;
/// Longest bandwidth test that a responder takes part in, each way.
pub const MAX_TEST: Duration = Duration::from_secs(120);
/// How much longer than planned one may take: buffers empty, results travel.
pub const TEST_GRACE: Duration = Duration::from_secs(10);
/// Streams of one test at a responder.
pub const MAX_TEST_STREAMS: usize = 64;
/// How long a connection to a responder may take to say what it wants.
pub const HELLO_WITHIN: Duration = Duration::from_secs(5);
/// How long a connection of a bandwidth test may take.
pub const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Bytes moved at a time by a bandwidth test.
pub const CHUNK_BYTES: usize = 128 << 10;
/// Bytes of an iperf3 server's results.
pub const MAX_JSON_BYTES: u32 = 1 << 20;
