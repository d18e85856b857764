//! Probe options, version 1.

use rkyv::{Archive, Deserialize, Serialize};

use super::Meaning;
use super::codes::Code;
use crate::{
    AddressFamily, BandwidthDirection, BandwidthEngine, BandwidthOptions, DnsOptions, DnsTransport, HttpOptions,
    PingOptions, ProbeOptions, TcpOptions, TracerouteOptions, TracerouteProtocol,
};

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct OptionsV1 {
    ping: PingV1,
    traceroute: TracerouteV1,
    dns: DnsV1,
    bandwidth: BandwidthV1,
    tcp: TcpV1,
    http: HttpV1,
}

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct PingV1 {
    packets: u16,
    spacing_ms: u32,
    timeout_ms: u32,
    payload_bytes: u16,
    dscp: Option<u8>,
    dont_fragment: bool,
    source: Option<String>,
    family: u8,
}

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct TracerouteV1 {
    protocol: u8,
    max_hops: u8,
    probes_per_hop: u8,
    timeout_ms: u32,
    port: Option<u16>,
    reverse_names: bool,
    family: u8,
}

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct DnsV1 {
    name: Option<String>,
    server: Option<String>,
    transport: u8,
    record_types: Vec<String>,
    expect_rcodes: Vec<String>,
    expect_answers: Vec<String>,
    timeout_ms: u32,
    random_prefix: bool,
}

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct BandwidthV1 {
    engine: u8,
    port: Option<u16>,
    direction: u8,
    duration_s: u16,
    streams: u8,
    max_run_bytes: u64,
    max_day_bytes: u64,
    credential: Option<String>,
}

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct TcpV1 {
    port: Option<u16>,
    timeout_ms: u32,
    family: u8,
}

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct HttpV1 {
    tls: bool,
    port: Option<u16>,
    path: String,
    method: String,
    expect_status: Vec<u16>,
    expect_body: Option<String>,
    max_redirects: u8,
    verify_tls: bool,
    timeout_ms: u32,
    family: u8,
}

impl OptionsV1 {
    pub(super) fn new(options: &ProbeOptions) -> Self {
        let ProbeOptions { ping, traceroute, dns, bandwidth, tcp, http } = options.clone();
        Self {
            ping: PingV1 {
                packets: ping.packets,
                spacing_ms: ping.spacing_ms,
                timeout_ms: ping.timeout_ms,
                payload_bytes: ping.payload_bytes,
                dscp: ping.dscp,
                dont_fragment: ping.dont_fragment,
                source: ping.source,
                family: ping.family.code(),
            },
            traceroute: TracerouteV1 {
                protocol: traceroute.protocol.code(),
                max_hops: traceroute.max_hops,
                probes_per_hop: traceroute.probes_per_hop,
                timeout_ms: traceroute.timeout_ms,
                port: traceroute.port,
                reverse_names: traceroute.reverse_names,
                family: traceroute.family.code(),
            },
            dns: DnsV1 {
                name: dns.name,
                server: dns.server,
                transport: dns.transport.code(),
                record_types: dns.record_types,
                expect_rcodes: dns.expect_rcodes,
                expect_answers: dns.expect_answers,
                timeout_ms: dns.timeout_ms,
                random_prefix: dns.random_prefix,
            },
            bandwidth: BandwidthV1 {
                engine: bandwidth.engine.code(),
                port: bandwidth.port,
                direction: bandwidth.direction.code(),
                duration_s: bandwidth.duration_s,
                streams: bandwidth.streams,
                max_run_bytes: bandwidth.max_run_bytes,
                max_day_bytes: bandwidth.max_day_bytes,
                credential: bandwidth.credential,
            },
            tcp: TcpV1 { port: tcp.port, timeout_ms: tcp.timeout_ms, family: tcp.family.code() },
            http: HttpV1 {
                tls: http.tls,
                port: http.port,
                path: http.path,
                method: http.method,
                expect_status: http.expect_status,
                expect_body: http.expect_body,
                max_redirects: http.max_redirects,
                verify_tls: http.verify_tls,
                timeout_ms: http.timeout_ms,
                family: http.family.code(),
            },
        }
    }

    pub(super) fn get(self) -> Meaning<ProbeOptions> {
        let Self { ping, traceroute, dns, bandwidth, tcp, http } = self;
        Ok(ProbeOptions {
            ping: PingOptions {
                packets: ping.packets,
                spacing_ms: ping.spacing_ms,
                timeout_ms: ping.timeout_ms,
                payload_bytes: ping.payload_bytes,
                dscp: ping.dscp,
                dont_fragment: ping.dont_fragment,
                source: ping.source,
                family: AddressFamily::from_code(ping.family)?,
            },
            traceroute: TracerouteOptions {
                protocol: TracerouteProtocol::from_code(traceroute.protocol)?,
                max_hops: traceroute.max_hops,
                probes_per_hop: traceroute.probes_per_hop,
                timeout_ms: traceroute.timeout_ms,
                port: traceroute.port,
                reverse_names: traceroute.reverse_names,
                family: AddressFamily::from_code(traceroute.family)?,
            },
            dns: DnsOptions {
                name: dns.name,
                server: dns.server,
                transport: DnsTransport::from_code(dns.transport)?,
                record_types: dns.record_types,
                expect_rcodes: dns.expect_rcodes,
                expect_answers: dns.expect_answers,
                timeout_ms: dns.timeout_ms,
                random_prefix: dns.random_prefix,
            },
            bandwidth: BandwidthOptions {
                engine: BandwidthEngine::from_code(bandwidth.engine)?,
                port: bandwidth.port,
                direction: BandwidthDirection::from_code(bandwidth.direction)?,
                duration_s: bandwidth.duration_s,
                streams: bandwidth.streams,
                max_run_bytes: bandwidth.max_run_bytes,
                max_day_bytes: bandwidth.max_day_bytes,
                credential: bandwidth.credential,
            },
            tcp: TcpOptions {
                port: tcp.port,
                timeout_ms: tcp.timeout_ms,
                family: AddressFamily::from_code(tcp.family)?,
            },
            http: HttpOptions {
                tls: http.tls,
                port: http.port,
                path: http.path,
                method: http.method,
                expect_status: http.expect_status,
                expect_body: http.expect_body,
                max_redirects: http.max_redirects,
                verify_tls: http.verify_tls,
                timeout_ms: http.timeout_ms,
                family: AddressFamily::from_code(http.family)?,
            },
        })
    }
}
