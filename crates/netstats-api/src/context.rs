//! What the door is given: views to read, a journal to write to, and hooks into what it must not know.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use netstats_broadcast::Broadcaster;
use netstats_event::{Event, ProbeKind, ProbeOptions, SampleHead, Timestamp};
use netstats_export::SigningKey;
use netstats_inventory::{InventoryHandle, Policy};
use netstats_log::Journal;
use netstats_projector::Runner;
use netstats_series::{AvailabilityView, Series};
use serde::Serialize;
use utoipa::ToSchema;

use crate::limits::Limits;
use crate::tls::Tls;

/// The wall clock, read by whoever may.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Reads the config file again; blocks.
pub type ReloadHook = Arc<dyn Fn() -> Result<Reloaded, ReloadRefused> + Send + Sync>;

/// What of the diagnostic log is written: read and changed while the product runs.
pub trait LogLevel: Send + Sync {
    /// The level or filter that counts now.
    fn level(&self) -> String;

    /// Lets another one count from now on.
    ///
    /// # Errors
    /// It is no level; the text says what is.
    fn set_level(&self, level: &str) -> Result<(), String>;
}

/// How long raw values of samples are kept; what is left out is kept for ever.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Bytes of the log on disk, past which the oldest go.
    pub max_bytes: Option<u64>,
    /// By probe.
    pub raw: BTreeMap<ProbeKind, Duration>,
}

/// Looks at the collector and the machine; quick.
pub type ReportHook = Arc<dyn Fn() -> Report + Send + Sync>;

/// Probes once, now; its error is a rate that would be passed, in words.
pub type ProbeHook =
    Arc<dyn Fn(ProbeAsk) -> Pin<Box<dyn Future<Output = Result<Probed, String>> + Send>> + Send + Sync>;

/// What to probe.
#[derive(Clone, Debug)]
pub struct ProbeAsk {
    /// For the event's head.
    pub head: SampleHead,
    /// Name or address.
    pub host: String,
    /// The destination's port.
    pub port: Option<u16>,
    /// Which probe.
    pub probe: ProbeKind,
    /// How.
    pub options: ProbeOptions,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Probed {
    /// The event that a slot of a job would have ended in.
    pub event: Event,
    /// All addresses of the name.
    pub answers: Vec<IpAddr>,
}

/// Everything the door needs. `ApiContext::new` has the parts that have no default; the others are fields.
#[derive(Clone)]
pub struct ApiContext {
    /// The only writer.
    pub journal: Arc<Journal>,
    /// Tells when a written event can be read.
    pub runner: Arc<Runner>,
    /// Destinations and jobs.
    pub inventory: InventoryHandle,
    /// Samples.
    pub series: Series,
    /// Availability.
    pub availability: AvailabilityView,
    /// Live updates.
    pub broadcaster: Broadcaster,
    /// The wall clock.
    pub clock: Clock,
    /// Limits on commands, as they are now.
    pub policy: Arc<dyn Fn() -> Policy + Send + Sync>,
    /// How long raw values are kept, as it is now.
    pub retention: Arc<dyn Fn() -> Kept + Send + Sync>,
    /// The config file; none where there is none.
    pub reload: Option<ReloadHook>,
    /// The diagnostic log; none where it cannot be changed.
    pub log_level: Option<Arc<dyn LogLevel>>,
    /// Runs one probe; none where there are no probes.
    pub probe: Option<ProbeHook>,
    /// Collector and machine.
    pub report: ReportHook,
    /// Limits of the server.
    pub limits: Limits,
    /// Names besides `localhost`, `127.0.0.1` and `[::1]` under which browsers may come: `name` or `name:port`.
    pub allowed_hosts: Vec<String>,
    /// TLS on every listener; none for plain HTTP.
    pub tls: Option<Tls>,
    /// A proxy stands in front: it speaks TLS, passes `Host` on, and names the client in `X-Forwarded-For`.
    pub behind_proxy: bool,
    /// Lets the first admin be made where others can reach the server (`POST /api/setup`); shown on the console.
    pub setup_token: Option<String>,
    /// Lets those in who can read the data folder: the command line on this machine.
    pub place_token: Option<String>,
    /// Where export jobs leave their files; none for a server that makes none.
    pub exports_folder: Option<PathBuf>,
    /// Signs evidence packs; none for a server that makes none.
    pub signing_key: Option<Arc<SigningKey>>,
    /// Program version, as shown.
    pub version: &'static str,
}

impl ApiContext {
    /// A context with default policy, limits and hooks.
    #[must_use]
    pub fn new(
        journal: Arc<Journal>,
        runner: Arc<Runner>,
        inventory: InventoryHandle,
        series: Series,
        availability: AvailabilityView,
        broadcaster: Broadcaster,
        clock: Clock,
    ) -> Self {
        Self {
            journal,
            runner,
            inventory,
            series,
            availability,
            broadcaster,
            clock,
            policy: Arc::new(Policy::default),
            retention: Arc::new(Kept::default),
            reload: None,
            log_level: None,
            probe: None,
            report: Arc::new(Report::default),
            limits: Limits::default(),
            allowed_hosts: Vec::new(),
            tls: None,
            behind_proxy: false,
            setup_token: None,
            place_token: None,
            exports_folder: None,
            signing_key: None,
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

/// What a reload did.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct Reloaded {
    /// The last event it appended, or the newest config event if it changed nothing.
    pub position: u64,
    /// Entries changed.
    pub changed: usize,
    /// Settings that count only after a restart, and other remarks.
    pub warnings: Vec<String>,
}

/// Why the config file was not taken; the old config stays.
#[derive(Clone, Debug, Default)]
pub struct ReloadRefused {
    /// With file, line and column.
    pub message: String,
    /// What is accepted there.
    pub accepted: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

/// How the collector and the machine do, for `GET /api/health`.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct Report {
    /// The collector.
    pub collector: CollectorReport,
    /// What the system lets us send.
    pub privileges: PrivilegesReport,
    /// What keeps the product from its work, each with what to do. Any of them makes the status `degraded`.
    pub problems: Vec<ProblemReport>,
    /// Memory of the process that is in RAM; none where the system does not say.
    pub resident_bytes: Option<u64>,
}

/// The collector's state.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct CollectorReport {
    /// It takes slots.
    pub running: bool,
    /// Combinations of job, destination and probe that are planned.
    pub planned: usize,
    /// Probes under way.
    pub in_flight: usize,
    /// Slots due that wait for a worker.
    pub queued: usize,
    /// Slots run since the start.
    pub slots_run: u64,
    /// Of those, how many failed on our side.
    pub slots_failed: u64,
    /// Slots that were not run.
    pub slots_missed: u64,
    /// Median lateness of the last runs.
    pub lateness_p50_ms: f64,
    /// 95th percentile of the lateness of the last runs.
    pub lateness_p95_ms: f64,
    /// 99th percentile of the lateness of the last runs.
    pub lateness_p99_ms: f64,
    /// Events that wait for the journal.
    pub unrecorded: usize,
    /// Events given up because the journal refused for too long.
    pub dropped: u64,
}

/// What the system lets us send.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct PrivilegesReport {
    /// The ICMP transport in use: `datagram`, `raw`, `helper`; none if there is none.
    pub icmp: Option<String>,
    /// The command that would give one.
    pub fix: Option<String>,
}

/// One trouble.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct ProblemReport {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub fix: Option<String>,
}
