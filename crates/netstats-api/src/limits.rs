//! What the door takes at most. Each limit has a test of what happens past it (`tests/limits.rs`, which
//! names the others).

use std::time::Duration;

/// Limits of the server. `Default` is what the product ships with; the config file can change each.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a request's head (431 past it).
    pub head_bytes: usize,
    /// Header fields of a request (431 past it).
    pub head_fields: usize,
    /// From a request's first byte to the end of its head (the connection is closed past it).
    pub head_time: Duration,
    /// Bytes of a request's body (413 past it).
    pub body_bytes: usize,
    /// From the end of the head to the end of the body (408 past it).
    pub body_time: Duration,
    /// How long a connection may be kept without a request (closed past it).
    pub idle_time: Duration,
    /// How long a client may leave a response unread; 8 KiB read buy another second (closed past it).
    pub write_time: Duration,
    /// How long a handler may take (503 past it).
    pub handler_time: Duration,
    /// Connections that are not WebSockets (503 past it).
    pub connections: usize,
    /// Of them from one address; IPv6 by /64 (503 past it).
    pub connections_per_address: usize,
    /// WebSockets (503 past it).
    pub sockets: usize,
    /// Bytes of a WebSocket message from a client (close 1009 past it).
    pub message_bytes: usize,
    /// Messages a second from a WebSocket client, averaged over ten (close 1008 past it).
    pub messages_per_s: u32,
    /// Subscriptions of one WebSocket (error `too_many_subscriptions` past it).
    pub subscriptions: usize,
    /// From one ping and heartbeat to the next on a quiet WebSocket.
    pub heartbeat: Duration,
    /// How long a WebSocket client may leave messages unread (close 1013 past it).
    pub socket_write_time: Duration,
    /// Rows of one answer of `GET /api/jobs/{id}/metrics` (422 for a `limit` past it).
    pub rows: usize,
    /// Probes (job, destination, kind) of one `GET /metrics`; it says how many are left out.
    pub scraped_probes: usize,
    /// How long a stop waits for requests under way.
    pub stop_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 16 * 1024,
            head_fields: 64,
            head_time: Duration::from_secs(10),
            body_bytes: 1024 * 1024,
            body_time: Duration::from_secs(30),
            idle_time: Duration::from_secs(60),
            write_time: Duration::from_secs(30),
            handler_time: Duration::from_secs(30),
            connections: 256,
            connections_per_address: 32,
            sockets: 512,
            message_bytes: 64 * 1024,
            messages_per_s: 20,
            subscriptions: 64,
            heartbeat: Duration::from_secs(20),
            socket_write_time: Duration::from_secs(10),
            rows: 100_000,
            scraped_probes: 50_000,
            stop_time: Duration::from_secs(3),
        }
    }
}

/// Bytes of a path (414 past it).
pub(crate) const MAX_PATH_BYTES: usize = 2_048;
/// Bytes of a query string (414 past it).
pub(crate) const MAX_QUERY_BYTES: usize = 8_192;
/// Parameters of a query string (400 past it).
pub(crate) const MAX_QUERY_PARAMETERS: usize = 64;
/// Nesting of a JSON body (400 past it).
pub(crate) const MAX_JSON_DEPTH: usize = 32;
/// Bytes of a response that the client may leave in its socket for each further second.
pub(crate) const SLOWEST_READER_BYTES_PER_S: u64 = 8 * 1024;
/// Entries of one list; more go by pages.
pub(crate) const MAX_LIST: usize = 10_000;
/// Bytes of a body that gets an entity tag; the tags of larger ones would cost more than they save.
pub(crate) const MAX_TAGGED_BYTES: usize = 64 * 1024;
/// Bytes of a body from which on it is compressed for those who take that.
pub(crate) const MIN_COMPRESSED_BYTES: usize = 1_024;
/// Answers kept for repeated requests with the same `Idempotency-Key`; the oldest go first.
pub(crate) const MAX_KEPT_ANSWERS: usize = 1_024;
/// Bytes of all of them.
pub(crate) const MAX_KEPT_BYTES: usize = 8 * 1024 * 1024;
/// How long they are kept, by the server's clock; a restart forgets them.
pub(crate) const KEPT_FOR: Duration = Duration::from_secs(24 * 3_600);
/// Characters of an `Idempotency-Key` (400 past it).
pub(crate) const MAX_KEY_CHARS: usize = 128;
/// Destinations of one answer of `GET /api/top` (`worst` is held to it).
pub(crate) const MAX_WORST: usize = 1_000;
/// Outages of one answer of `GET /api/outages` (`limit` is held to it).
pub(crate) const MAX_OUTAGES: usize = 1_000;
/// Traces of which `GET /api/paths` makes versions: the newest, if there are more (`is_cut` says so).
pub(crate) const MAX_TRACES: usize = 10_000;
/// Characters of a password, at least.
pub(crate) const MIN_PASSWORD_CHARS: usize = 12;
/// Bytes of a password.
pub(crate) const MAX_PASSWORD_BYTES: usize = 1_024;
/// Failed logins of a name or an address before each further one waits (429).
pub(crate) const FREE_FAILURES: u32 = 5;
/// The longest such wait.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// Names and addresses whose failures are kept.
pub(crate) const MAX_THROTTLED: usize = 4_096;
/// Passwords hashed at the same time, and how many more may wait for it (503 past them).
pub(crate) const HASHES_AT_ONCE: usize = 2;
/// How long a login waits for its turn to be hashed (503 past it).
pub(crate) const HASH_WAIT: Duration = Duration::from_secs(10);
/// A session ends when it is not used for so long ...
pub(crate) const SESSION_IDLE: Duration = Duration::from_secs(12 * 3_600);
/// ... or at this age.
pub(crate) const SESSION_LASTS: Duration = Duration::from_secs(7 * 86_400);
/// One `access_denied` event for each address and reason within this time.
pub(crate) const DENIAL_EVERY: Duration = Duration::from_secs(60);
/// Addresses and reasons that are told apart within that time.
pub(crate) const MAX_DENIALS: usize = 64;
/// Config events that one page of the audit trail looks through.
pub(crate) const MAX_TRAIL_LOOK: usize = 10_000;
/// Events of one page of the audit trail.
pub(crate) const MAX_TRAIL_PAGE: usize = 1_000;
/// From one look at the certificate's files to the next.
pub(crate) const CERTIFICATE_LOOK: Duration = Duration::from_secs(5);
/// Steps of one question in PromQL: as Prometheus.
pub(crate) const MAX_PROM_STEPS: usize = 11_000;
/// Series that one selector may find.
pub(crate) const MAX_PROM_SERIES: usize = 2_000;
/// Figures that one selector may give: series times steps.
pub(crate) const MAX_PROM_FIGURES: usize = 1_000_000;
/// Lines of one page of `GET /api/export/stream` (`limit` is held to it).
pub(crate) const MAX_PULLED: usize = 10_000;
/// Bytes from which on such a page ends.
pub(crate) const MAX_PULL_BYTES: usize = 8 * 1024 * 1024;
/// Events that one such page looks through.
pub(crate) const MAX_PULL_LOOK: u64 = 100_000;
/// Streams of `GET /api/stream` (503 past it): they hold a connection each, and others must get in.
pub(crate) const STREAMS: usize = 128;
/// Tests by hand (`POST /api/test`) at the same time (429 past it).
pub(crate) const TESTS_AT_ONCE: usize = 8;
/// How long one may take (504 past it); below the handler's time.
pub(crate) const TEST_TIME: Duration = Duration::from_secs(20);
/// Files made at the same time; further ones wait for their turn within the handler's time.
pub(crate) const EXPORTS_AT_ONCE: usize = 2;
/// Events of an export in memory at a time.
pub(crate) const EXPORT_EVENTS_AT_ONCE: usize = 4_096;
/// Files of export jobs made at the same time; the rest queue.
pub(crate) const BATCH_EXPORTS_AT_ONCE: usize = 2;
/// From one look at the schedules of export jobs to the next.
pub(crate) const EXPORT_LOOK: Duration = Duration::from_secs(1);
/// From one try to record how an export ended to the next.
pub(crate) const EXPORT_RECORD_AGAIN: Duration = Duration::from_secs(5);
/// Characters of a report's title (422 past it).
pub(crate) const MAX_TITLE_CHARS: usize = 120;
/// Days of one `POST /api/what-if`, over all its destinations: a year of a hundred.
pub(crate) const MAX_WHAT_IF_DAYS: u64 = 40_000;
/// Maintenance windows that one `POST /api/what-if` supposes.
pub(crate) const MAX_SUPPOSED_WINDOWS: usize = 100;
/// Events from one of which the recorded time is kept in memory to the next.
pub(crate) const LANDMARK_EVERY: u64 = 4_096;
/// Such times kept; past it they are forgotten and read again.
pub(crate) const MAX_LANDMARKS: usize = 16_384;
/// Destinations of one `GET /api/correlation`: each with each other.
pub(crate) const MAX_CORRELATED: usize = 50;
