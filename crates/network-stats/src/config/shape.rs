//! The shape of the config file (`docs/configuration.md`). Every struct refuses keys it does not know.

use std::path::PathBuf;

use serde::Deserialize;

use super::unit::{Size, Span};

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct File {
    pub(crate) server: Server,
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) exports_dir: Option<PathBuf>,
    pub(crate) log_level: Option<String>,
    pub(crate) log: Log,
    pub(crate) limits: Limits,
    pub(crate) retention: RetentionRules,
    pub(crate) targets: Targets,
    pub(crate) destinations: Vec<Destination>,
    pub(crate) jobs: Vec<Job>,
    pub(crate) starter: Option<Starter>,
}

/// How the diagnostic log is written, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Log {
    pub(crate) format: Option<LogFormat>,
    /// Relative to the config file; standard error if there is none.
    pub(crate) file: Option<PathBuf>,
    pub(crate) file_size: Option<Size>,
    pub(crate) files: Option<u32>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogFormat {
    /// A line for people.
    #[default]
    Text,
    /// A JSON object for each line.
    Json,
}

/// Where the product listens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Server {
    pub(crate) listen: Option<String>,
    pub(crate) allowed_hosts: Vec<String>,
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) behind_proxy: bool,
    pub(crate) limits: ServerLimits,
}

/// A certificate chain and its key, PEM; relative to the config file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TlsFiles {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

/// What the server takes at most.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ServerLimits {
    pub(crate) head: Option<Size>,
    pub(crate) head_fields: Option<usize>,
    pub(crate) head_time: Option<Span>,
    pub(crate) body: Option<Size>,
    pub(crate) body_time: Option<Span>,
    pub(crate) idle_time: Option<Span>,
    pub(crate) write_time: Option<Span>,
    pub(crate) handler_time: Option<Span>,
    pub(crate) connections: Option<usize>,
    pub(crate) connections_per_address: Option<usize>,
    pub(crate) sockets: Option<usize>,
    pub(crate) message: Option<Size>,
    pub(crate) messages_per_s: Option<u32>,
    pub(crate) subscriptions: Option<usize>,
}

/// Guard rails that the owner may move.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    pub(crate) min_interval_s: Option<u32>,
    pub(crate) max_destinations: Option<usize>,
    pub(crate) max_jobs: Option<usize>,
    pub(crate) packets_per_s: Option<u32>,
    pub(crate) target_packets_per_s: Option<u32>,
}

/// Who may be probed: networks as `"10.0.0.0/8"`, ports as `"443"` or `"8000-8999"`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Targets {
    pub(crate) allow: Vec<String>,
    pub(crate) deny: Vec<String>,
    pub(crate) only: Vec<String>,
    pub(crate) ports: Vec<String>,
    pub(crate) deny_ports: Vec<String>,
    pub(crate) local_services: Option<bool>,
}

/// How long raw values are kept.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RetentionRules {
    pub(crate) max_size: Option<Size>,
    pub(crate) raw: RawAges,
}

/// The same of each kind of sample.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawAges {
    pub(crate) ping: Option<Span>,
    pub(crate) traceroute: Option<Span>,
    pub(crate) dns: Option<Span>,
    pub(crate) bandwidth: Option<Span>,
    pub(crate) tcp: Option<Span>,
    pub(crate) http: Option<Span>,
}

/// Appended once, into an empty log, and the user's from then on.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Starter {
    pub(crate) destinations: Vec<Destination>,
    pub(crate) jobs: Vec<Job>,
}

/// What is measured.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Destination {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) host: Option<String>,
    #[serde(default)]
    pub(crate) host_from: Option<HostFrom>,
    #[serde(default)]
    pub(crate) port: Option<u16>,
    #[serde(default)]
    pub(crate) display_name: Option<String>,
    #[serde(default)]
    pub(crate) description: Option<String>,
    #[serde(default)]
    pub(crate) tags: Vec<String>,
    #[serde(default)]
    pub(crate) status: Status,
}

/// A host that the system knows and the file cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum HostFrom {
    DefaultGateway,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    #[default]
    Active,
    Paused,
}

/// What to measure, how often, when.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Job {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) description: Option<String>,
    #[serde(default)]
    pub(crate) tags: Vec<String>,
    #[serde(default = "yes")]
    pub(crate) enabled: bool,
    pub(crate) interval: Span,
    pub(crate) metrics: Vec<MetricName>,
    #[serde(default)]
    pub(crate) destinations: Vec<String>,
    #[serde(default)]
    pub(crate) destination_tags: Vec<String>,
    #[serde(default)]
    pub(crate) start_time: Option<String>,
    #[serde(default)]
    pub(crate) end_time: Option<String>,
    #[serde(default)]
    pub(crate) active_hours: Option<ActiveHours>,
    #[serde(default)]
    pub(crate) packets: Option<u16>,
    #[serde(default)]
    pub(crate) spacing: Option<Span>,
    #[serde(default)]
    pub(crate) timeout: Option<Span>,
    #[serde(default)]
    pub(crate) ping: Ping,
    #[serde(default)]
    pub(crate) traceroute: Traceroute,
    #[serde(default)]
    pub(crate) dns: Dns,
    #[serde(default)]
    pub(crate) bandwidth: Bandwidth,
    #[serde(default)]
    pub(crate) tcp: Tcp,
    #[serde(default)]
    pub(crate) http: Http,
}

const fn yes() -> bool {
    true
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MetricName {
    Ping,
    PacketLoss,
    Jitter,
    Traceroute,
    Dns,
    Bandwidth,
    Tcp,
    Http,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ActiveHours {
    pub(crate) time_zone: String,
    pub(crate) spans: Vec<ActiveSpan>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ActiveSpan {
    pub(crate) days: Vec<Day>,
    pub(crate) from: String,
    pub(crate) to: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Family {
    #[default]
    Any,
    V4,
    V6,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Ping {
    pub(crate) payload_bytes: Option<u16>,
    pub(crate) dscp: Option<u8>,
    pub(crate) dont_fragment: bool,
    pub(crate) source: Option<String>,
    pub(crate) family: Family,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TraceProtocol {
    Auto,
    Icmp,
    Udp,
    Tcp,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Traceroute {
    pub(crate) protocol: Option<TraceProtocol>,
    pub(crate) max_hops: Option<u8>,
    pub(crate) probes_per_hop: Option<u8>,
    pub(crate) timeout: Option<Span>,
    pub(crate) port: Option<u16>,
    pub(crate) reverse_names: Option<bool>,
    pub(crate) family: Family,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DnsTransport {
    Udp,
    Tcp,
    Tls,
    Https,
    System,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Dns {
    pub(crate) name: Option<String>,
    pub(crate) server: Option<String>,
    pub(crate) transport: Option<DnsTransport>,
    pub(crate) record_types: Option<Vec<String>>,
    pub(crate) expect_rcodes: Vec<String>,
    pub(crate) expect_answers: Vec<String>,
    pub(crate) timeout: Option<Span>,
    pub(crate) random_prefix: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Engine {
    Responder,
    Ndt7,
    Iperf3,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Direction {
    Both,
    Down,
    Up,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Bandwidth {
    pub(crate) engine: Option<Engine>,
    pub(crate) port: Option<u16>,
    pub(crate) direction: Option<Direction>,
    pub(crate) duration: Option<Span>,
    pub(crate) streams: Option<u8>,
    pub(crate) max_run: Option<Size>,
    pub(crate) max_day: Option<Size>,
    pub(crate) credential: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Tcp {
    pub(crate) port: Option<u16>,
    pub(crate) timeout: Option<Span>,
    pub(crate) family: Family,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Http {
    pub(crate) tls: Option<bool>,
    pub(crate) port: Option<u16>,
    pub(crate) path: Option<String>,
    pub(crate) method: Option<String>,
    pub(crate) expect_status: Vec<u16>,
    pub(crate) expect_body: Option<String>,
    pub(crate) max_redirects: Option<u8>,
    pub(crate) verify_tls: Option<bool>,
    pub(crate) timeout: Option<Span>,
    pub(crate) family: Family,
}
