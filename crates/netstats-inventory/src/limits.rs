//! What destinations and jobs may ask for at most. Past a limit `decide` refuses with a [`crate::Rejection`] that
//! names the field and the accepted range. Limits on text, tags and packets are the events' own
//! (`netstats_event::MAX_*`); what an operator may want to move is in [`crate::Policy`].

/// The default floor of a job's interval, in seconds; `limits.min_interval_s` may lower it to [`LOWEST_MIN_INTERVAL_S`].
pub const DEFAULT_MIN_INTERVAL_S: u32 = 60;
/// The lowest floor that an operator may set, in seconds.
pub const LOWEST_MIN_INTERVAL_S: u32 = 1;
/// The longest interval: a week, in seconds.
pub const MAX_INTERVAL_S: u32 = 7 * 86_400;
/// Destinations of one inventory, by default.
pub const DEFAULT_MAX_DESTINATIONS: usize = 10_000;
/// Jobs of one inventory, by default.
pub const DEFAULT_MAX_JOBS: usize = 1_000;
/// Packets a second of all probes together, averaged over a minute: the most destinations, pinged once a minute, and as
/// much again for everything else.
pub const DEFAULT_PACKETS_PER_S: u32 = 5_000;
/// Packets a second to one host, averaged over a minute: several bursts of ten every second.
pub const DEFAULT_TARGET_PACKETS_PER_S: u32 = 50;
/// The shortest wait for an answer, in milliseconds.
pub const MIN_TIMEOUT_MS: u32 = 10;
/// The longest wait for an answer, in milliseconds.
pub const MAX_TIMEOUT_MS: u32 = 60_000;
/// The shortest time from one packet of a burst to the next, in milliseconds: measuring is not flooding.
pub const MIN_SPACING_MS: u32 = 10;
/// The longest time from one packet of a burst to the next, in milliseconds.
pub const MAX_SPACING_MS: u32 = 60_000;
/// The smallest ICMP payload in bytes: our nonce must fit.
pub const MIN_PING_PAYLOAD_BYTES: u16 = 16;
/// The largest ICMP payload in bytes that an IPv4 packet can carry.
pub const MAX_PING_PAYLOAD_BYTES: u16 = 65_507;
/// Probes for each hop of a traced route.
pub const MAX_PROBES_PER_HOP: u8 = 10;
/// Record types, response codes or answers in one DNS job.
pub const MAX_DNS_LIST: usize = 16;
/// The longest bandwidth test each way, in seconds.
pub const MAX_BANDWIDTH_DURATION_S: u16 = 60;
/// Parallel connections of one bandwidth test.
pub const MAX_BANDWIDTH_STREAMS: u8 = 32;
/// Characters of an HTTP path and query.
pub const MAX_HTTP_PATH_CHARS: usize = 2_048;
/// Characters of the text an HTTP body must hold.
pub const MAX_HTTP_BODY_CHARS: usize = 1_024;
/// Status codes that may be listed as right.
pub const MAX_HTTP_STATUSES: usize = 64;
/// Redirects followed.
pub const MAX_HTTP_REDIRECTS: u8 = 5;
/// Spans of a job's active hours.
pub const MAX_ACTIVE_SPANS: usize = 128;
/// Slots of one preview.
pub const MAX_PREVIEW_SLOTS: usize = 1_000;
/// Annotations at once; the log keeps those that were removed.
pub const MAX_ANNOTATIONS: usize = 10_000;
/// Maintenance windows at once, each of which may come again every week.
pub const MAX_MAINTENANCE: usize = 1_000;
/// Openings of one maintenance window within one range.
pub const MAX_MAINTENANCE_SPANS: usize = 10_000;
/// Retries of a method of accounting.
pub const MAX_ACCOUNTING_RETRIES: u32 = 100;
/// Grace of a method of accounting: a day, in seconds.
pub const MAX_GRACE_S: u32 = 86_400;
/// Exports.
pub const MAX_EXPORTS: usize = 200;
/// Files of one export that are kept.
pub const MAX_EXPORT_KEEP: u32 = 100;
/// Times of day of one export's schedule.
pub const MAX_EXPORT_TIMES: usize = 96;
/// Runs of one export that the inventory knows; the log keeps them all.
pub const MAX_EXPORT_RUNS: usize = 400;
/// Users.
pub const MAX_USERS: usize = 1_000;
/// API tokens of all users.
pub const MAX_TOKENS: usize = 10_000;
/// Sessions of one user; one more ends the oldest.
pub const MAX_SESSIONS_OF_USER: usize = 32;
/// Destinations and jobs of one import.
pub const MAX_IMPORT: usize = 10_000;
/// Subscribers to inventory changes.
pub const MAX_SUBSCRIBERS: usize = 64;
/// Inventories of the past that are kept for who asks for them again; their entries are shared.
pub(crate) const PAST_INVENTORIES: usize = 8;
