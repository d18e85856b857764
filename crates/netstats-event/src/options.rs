//! What to measure and how: metrics, probes and their options, with the defaults of `docs/METRICS.md`.

/// What a user asks for. Several metrics can come from one probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// Round-trip times of an ICMP echo burst.
    Ping,
    /// Share of the burst that did not come back.
    PacketLoss,
    /// Variation of the burst's round trips.
    Jitter,
    /// The hops on the way.
    Traceroute,
    /// A name lookup, timed and checked.
    Dns,
    /// Throughput and latency under load.
    Bandwidth,
    /// A TCP connection's set-up time.
    Tcp,
    /// An HTTP request, phase by phase.
    Http,
}

impl Metric {
    /// All metrics, in the order in which they are shown.
    pub const ALL: [Self; 8] = [
        Self::Ping,
        Self::PacketLoss,
        Self::Jitter,
        Self::Traceroute,
        Self::Dns,
        Self::Bandwidth,
        Self::Tcp,
        Self::Http,
    ];

    /// The name at every door.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::PacketLoss => "packet_loss",
            Self::Jitter => "jitter",
            Self::Traceroute => "traceroute",
            Self::Dns => "dns",
            Self::Bandwidth => "bandwidth",
            Self::Tcp => "tcp",
            Self::Http => "http",
        }
    }

    /// The metric of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.name() == name)
    }

    /// The probe that measures it.
    #[must_use]
    pub const fn probe(self) -> ProbeKind {
        match self {
            Self::Ping | Self::PacketLoss | Self::Jitter => ProbeKind::Ping,
            Self::Traceroute => ProbeKind::Traceroute,
            Self::Dns => ProbeKind::Dns,
            Self::Bandwidth => ProbeKind::Bandwidth,
            Self::Tcp => ProbeKind::Tcp,
            Self::Http => ProbeKind::Http,
        }
    }
}

/// One kind of active measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProbeKind {
    /// ICMP echo burst.
    Ping,
    /// Hops on the way.
    Traceroute,
    /// Name lookup.
    Dns,
    /// Throughput.
    Bandwidth,
    /// TCP connect.
    Tcp,
    /// HTTP request.
    Http,
}

impl ProbeKind {
    /// All kinds.
    pub const ALL: [Self; 6] = [Self::Ping, Self::Traceroute, Self::Dns, Self::Bandwidth, Self::Tcp, Self::Http];

    /// The name at every door.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Traceroute => "traceroute",
            Self::Dns => "dns",
            Self::Bandwidth => "bandwidth",
            Self::Tcp => "tcp",
            Self::Http => "http",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Which address family to use where a name has both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressFamily {
    /// The first address the system gives.
    #[default]
    Any,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

/// The options of every probe of a job. A probe that the job's metrics do not ask for keeps its defaults, unused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProbeOptions {
    /// Ping, packet loss, jitter.
    pub ping: PingOptions,
    /// Traceroute.
    pub traceroute: TracerouteOptions,
    /// DNS.
    pub dns: DnsOptions,
    /// Bandwidth.
    pub bandwidth: BandwidthOptions,
    /// TCP.
    pub tcp: TcpOptions,
    /// HTTP.
    pub http: HttpOptions,
}

/// How an ICMP echo burst is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PingOptions {
    /// Packets of one burst.
    pub packets: u16,
    /// From one packet to the next, in milliseconds.
    pub spacing_ms: u32,
    /// How long each packet is waited for, from its own sending, in milliseconds.
    pub timeout_ms: u32,
    /// ICMP payload bytes (the IP packet is 28 bytes larger over IPv4, 48 over IPv6).
    pub payload_bytes: u16,
    /// Differentiated services code point (RFC 2474), 0 to 63.
    pub dscp: Option<u8>,
    /// Set the don't-fragment bit.
    pub dont_fragment: bool,
    /// Source address or interface name.
    pub source: Option<String>,
    /// Address family.
    pub family: AddressFamily,
}

impl Default for PingOptions {
    fn default() -> Self {
        Self {
            packets: 10,
            spacing_ms: 200,
            timeout_ms: 2_000,
            payload_bytes: 56,
            dscp: None,
            dont_fragment: false,
            source: None,
            family: AddressFamily::Any,
        }
    }
}

/// What a traceroute sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TracerouteProtocol {
    /// ICMP echo where allowed, UDP otherwise.
    #[default]
    Auto,
    /// ICMP echo.
    Icmp,
    /// UDP with constant ports.
    Udp,
    /// TCP SYN.
    Tcp,
}

/// How a route is traced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracerouteOptions {
    /// What is sent.
    pub protocol: TracerouteProtocol,
    /// The largest time to live tried.
    pub max_hops: u8,
    /// Probes for each hop.
    pub probes_per_hop: u8,
    /// How long a probe is waited for, in milliseconds.
    pub timeout_ms: u32,
    /// Destination port for UDP and TCP.
    pub port: Option<u16>,
    /// Look up the hops' names, outside the timed path.
    pub reverse_names: bool,
    /// Address family.
    pub family: AddressFamily,
}

impl Default for TracerouteOptions {
    fn default() -> Self {
        Self {
            protocol: TracerouteProtocol::Auto,
            max_hops: 30,
            probes_per_hop: 3,
            timeout_ms: 2_000,
            port: None,
            reverse_names: true,
            family: AddressFamily::Any,
        }
    }
}

/// How a DNS query travels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DnsTransport {
    /// UDP, TCP when truncated (RFC 7766).
    #[default]
    Udp,
    /// TCP.
    Tcp,
    /// TLS (RFC 7858).
    Tls,
    /// HTTPS (RFC 8484).
    Https,
    /// The system's own resolver: what applications feel.
    System,
}

/// Which lookup is made and what counts as right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsOptions {
    /// The name to look up. None: the destination's host, asked of the system's resolver or `server`.
    pub name: Option<String>,
    /// The server to ask: address, or address and port. None: the destination itself if `name` is set, else the
    /// system's first server.
    pub server: Option<String>,
    /// How the query travels.
    pub transport: DnsTransport,
    /// Record types by name, as `A`, `AAAA`.
    pub record_types: Vec<String>,
    /// Response codes that count as success, by name; empty: `NOERROR`.
    pub expect_rcodes: Vec<String>,
    /// Answers of which each must be there; empty: any.
    pub expect_answers: Vec<String>,
    /// How long one query is waited for, in milliseconds.
    pub timeout_ms: u32,
    /// Put a random label in front of the name, to pass every cache.
    pub random_prefix: bool,
}

impl Default for DnsOptions {
    fn default() -> Self {
        Self {
            name: None,
            server: None,
            transport: DnsTransport::Udp,
            record_types: vec!["A".to_owned()],
            expect_rcodes: Vec::new(),
            expect_answers: Vec::new(),
            timeout_ms: 2_000,
            random_prefix: false,
        }
    }
}

/// Who is at the other end of a bandwidth test.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BandwidthEngine {
    /// Another process of ours: `network-stats responder`.
    #[default]
    Responder,
    /// An ndt7 server.
    Ndt7,
    /// An iperf3 server.
    Iperf3,
}

/// Which way the bytes go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BandwidthDirection {
    /// First down, then up.
    #[default]
    Both,
    /// From the destination to us.
    Down,
    /// From us to the destination.
    Up,
}

/// How throughput is measured, and how much it may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BandwidthOptions {
    /// The other end.
    pub engine: BandwidthEngine,
    /// Port of the other end; None: the engine's own default.
    pub port: Option<u16>,
    /// Which way.
    pub direction: BandwidthDirection,
    /// Seconds each way, the first of which is left out of the result.
    pub duration_s: u16,
    /// Parallel TCP connections.
    pub streams: u8,
    /// Bytes one run may move, both ways together.
    pub max_run_bytes: u64,
    /// Bytes the job may move in a UTC day; 0: no limit.
    pub max_day_bytes: u64,
    /// Name of the stored credential (never the secret itself).
    pub credential: Option<String>,
}

impl Default for BandwidthOptions {
    fn default() -> Self {
        Self {
            engine: BandwidthEngine::Responder,
            port: None,
            direction: BandwidthDirection::Both,
            duration_s: 8,
            streams: 1,
            max_run_bytes: 1_000_000_000,
            max_day_bytes: 5_000_000_000,
            credential: None,
        }
    }
}

/// How a TCP connection is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpOptions {
    /// Port; None: the destination's port.
    pub port: Option<u16>,
    /// How long the connection is waited for, in milliseconds.
    pub timeout_ms: u32,
    /// Address family.
    pub family: AddressFamily,
}

impl Default for TcpOptions {
    fn default() -> Self {
        Self { port: None, timeout_ms: 5_000, family: AddressFamily::Any }
    }
}

/// Which HTTP request is made and what counts as right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpOptions {
    /// `https` or `http`.
    pub tls: bool,
    /// Port; None: the destination's port, else 443 or 80.
    pub port: Option<u16>,
    /// Path and query.
    pub path: String,
    /// `GET` or `HEAD`.
    pub method: String,
    /// Status codes that count as success; empty: 200 to 399.
    pub expect_status: Vec<u16>,
    /// Text that the first 64 KiB of the body must hold.
    pub expect_body: Option<String>,
    /// Redirects followed at most.
    pub max_redirects: u8,
    /// Check the certificate against the system's roots and the name.
    pub verify_tls: bool,
    /// How long the whole request may take, in milliseconds.
    pub timeout_ms: u32,
    /// Address family.
    pub family: AddressFamily,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            tls: true,
            port: None,
            path: "/".to_owned(),
            method: "GET".to_owned(),
            expect_status: Vec::new(),
            expect_body: None,
            max_redirects: 0,
            verify_tls: true,
            timeout_ms: 10_000,
            family: AddressFamily::Any,
        }
    }
}
