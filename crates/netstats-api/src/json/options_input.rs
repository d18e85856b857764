//! Probe options as a client gives them, for the OpenAPI document: every field may be left out. The bounds are those of
//! `netstats_inventory`.

use utoipa::ToSchema;

use super::shapes::{DirectionWord, EngineWord, FamilyWord, MethodWord, ProtocolWord, TransportWord};

/// Options of each probe, under its name; what is left out has its default.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape of a body that `read_options` reads field by field")]
pub(crate) struct OptionsInput {
    ping: Option<PingInput>,
    traceroute: Option<TracerouteInput>,
    dns: Option<DnsInput>,
    bandwidth: Option<BandwidthInput>,
    tcp: Option<TcpInput>,
    http: Option<HttpInput>,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "as above")]
struct PingInput {
    #[schema(minimum = 1, maximum = 1000)]
    packets: Option<u16>,
    #[schema(minimum = 10, maximum = 60000)]
    spacing_ms: Option<u32>,
    #[schema(minimum = 10, maximum = 60000)]
    timeout_ms: Option<u32>,
    #[schema(minimum = 16, maximum = 65507)]
    payload_bytes: Option<u16>,
    #[schema(maximum = 63)]
    dscp: Option<u8>,
    dont_fragment: Option<bool>,
    /// An address or interface of this machine.
    #[schema(max_length = 128)]
    source: Option<String>,
    family: Option<FamilyWord>,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "as above")]
struct TracerouteInput {
    protocol: Option<ProtocolWord>,
    #[schema(minimum = 1, maximum = 64)]
    max_hops: Option<u8>,
    #[schema(minimum = 1, maximum = 10)]
    probes_per_hop: Option<u8>,
    #[schema(minimum = 10, maximum = 60000)]
    timeout_ms: Option<u32>,
    #[schema(minimum = 1, maximum = 65535)]
    port: Option<u16>,
    reverse_names: Option<bool>,
    family: Option<FamilyWord>,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "as above")]
struct DnsInput {
    /// What is looked up; the destination's own name, where left out.
    name: Option<String>,
    /// `192.0.2.53`, `[2001:db8::53]:5353`; the destination, where left out.
    server: Option<String>,
    transport: Option<TransportWord>,
    /// A, AAAA, CAA, CNAME, HTTPS, MX, NAPTR, NS, PTR, SOA, SRV, SVCB, TLSA, TXT.
    #[schema(min_items = 1)]
    record_types: Option<Vec<String>>,
    /// NOERROR, NXDOMAIN, ...
    expect_rcodes: Option<Vec<String>>,
    expect_answers: Option<Vec<String>>,
    #[schema(minimum = 10, maximum = 60000)]
    timeout_ms: Option<u32>,
    random_prefix: Option<bool>,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "as above")]
struct BandwidthInput {
    engine: Option<EngineWord>,
    #[schema(minimum = 1, maximum = 65535)]
    port: Option<u16>,
    direction: Option<DirectionWord>,
    #[schema(minimum = 2, maximum = 60)]
    duration_s: Option<u16>,
    #[schema(minimum = 1, maximum = 32)]
    streams: Option<u8>,
    #[schema(minimum = 1)]
    max_run_bytes: Option<u64>,
    max_day_bytes: Option<u64>,
    #[schema(max_length = 128)]
    credential: Option<String>,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "as above")]
struct TcpInput {
    #[schema(minimum = 1, maximum = 65535)]
    port: Option<u16>,
    #[schema(minimum = 10, maximum = 60000)]
    timeout_ms: Option<u32>,
    family: Option<FamilyWord>,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "as above")]
struct HttpInput {
    tls: Option<bool>,
    #[schema(minimum = 1, maximum = 65535)]
    port: Option<u16>,
    #[schema(max_length = 2048, pattern = "^/[!-\"$-~]*$")]
    path: Option<String>,
    method: Option<MethodWord>,
    /// None: any that is no error.
    #[schema(value_type = Option<Vec<u16>>)]
    expect_status: Option<Vec<u16>>,
    #[schema(max_length = 1024)]
    expect_body: Option<String>,
    #[schema(maximum = 5)]
    max_redirects: Option<u8>,
    verify_tls: Option<bool>,
    #[schema(minimum = 10, maximum = 60000)]
    timeout_ms: Option<u32>,
    family: Option<FamilyWord>,
}
