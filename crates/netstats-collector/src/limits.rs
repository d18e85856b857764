//! What the collector holds at most, and how long it waits.

use std::time::Duration;

use netstats_event::ProbeKind;

/// A slot that is later than this is not run any more: it is missed, and a fresh run catches up.
pub const GRACE: Duration = Duration::from_secs(5);
/// A destination that has just joined a job, or has just missed slots, is measured within this time.
pub const FRESH_WITHIN: Duration = Duration::from_secs(5);
/// A regular slot that comes at most this much after a fresh one would takes its place.
pub const FRESH_NEAR: Duration = Duration::from_secs(2);
/// Fresh runs of many destinations are spread over at most this time.
pub const FRESH_SPREAD: Duration = Duration::from_secs(4);
/// And over this time for each of them, so that a few begin at once.
pub const FRESH_SPREAD_EACH: Duration = Duration::from_millis(5);
/// How often the loop looks at the inventory and the clocks, at least.
pub const TICK: Duration = Duration::from_millis(250);
/// A wall clock that moves by more than this against the monotonic one was stepped.
pub const CLOCK_STEP: Duration = Duration::from_millis(50);
/// A sleep of the host that is worth an event.
pub const HOST_SLEEP: Duration = Duration::from_secs(1);
/// A loop that wakes later than this was stalled.
pub const STALL: Duration = Duration::from_secs(1);
/// How long a stop may take.
pub const STOP_WITHIN: Duration = Duration::from_secs(3);
/// Runs of one (job, destination, probe) at the same time; more only where the timeout is longer than the interval.
pub const MAX_OVERLAP: u32 = 4;
/// Runs that wait for a worker, of all kinds together.
pub const MAX_WAITING: usize = 100_000;
/// Events in one submission to the journal.
pub const MAX_SUBMIT: usize = 1_000;
/// Events kept while the journal refuses; the oldest go first.
pub const MAX_UNRECORDED: usize = 100_000;
/// How long to wait before a refused submission is repeated.
pub const RETRY_AFTER: Duration = Duration::from_millis(500);
/// How many events are read back at the start to find where the last run ended.
pub const MAX_READ_BACK: usize = 65_536;
/// Skipped slots of one reason in a row are recorded together for at most this time.
pub const COALESCE: Duration = Duration::from_secs(30);
/// Hosts whose packets are counted; one more waits until another was left alone for a while.
pub const MAX_METERED: usize = 65_536;
/// Rates are averages over this time: so much of a rate may leave at once.
pub const RATE_OVER: Duration = Duration::from_secs(60);
/// Lateness figures kept for the status.
pub const LATENESS_SAMPLES: usize = 4_096;

/// Runs of one kind at the same time. A ping costs little while it waits; a bandwidth test must be alone.
#[must_use]
pub const fn max_running(kind: ProbeKind) -> usize {
    match kind {
        ProbeKind::Ping => 65_536,
        ProbeKind::Traceroute => 256,
        ProbeKind::Dns | ProbeKind::Tcp => 1_024,
        ProbeKind::Http => 256,
        ProbeKind::Bandwidth => 1,
    }
}
/// Past bandwidth tests remembered, to mark what ran beside them.
pub const LOADS_KEPT: usize = 64;
/// How often the gateway is looked at while all is well.
pub const UPLINK_EVERY: Duration = Duration::from_secs(5);
/// How often while it is down.
pub const UPLINK_EVERY_DOWN: Duration = Duration::from_secs(1);
/// How long an answer of the gateway is waited for.
pub const GATEWAY_TIMEOUT: Duration = Duration::from_millis(700);
/// Echoes of which the gateway must answer one.
pub const GATEWAY_PACKETS: u16 = 3;
