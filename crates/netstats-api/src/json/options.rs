//! Probe options in JSON: one object for each probe, every field with its default.

use netstats_event::{
    AddressFamily, BandwidthDirection, BandwidthEngine, BandwidthOptions, DnsOptions, DnsTransport, HttpOptions,
    PingOptions, ProbeOptions, TcpOptions, TracerouteOptions, TracerouteProtocol,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Fields, Json};
use crate::problem::Problem;

macro_rules! words {
    ($name:ident, $type:ident, $($word:literal = $variant:ident),*) => {
        pub(super) mod $name {
            use super::$type;

            pub(crate) const ALL: &[&str] = &[$($word),*];

            pub(super) const fn name(value: $type) -> &'static str {
                match value {
                    $($type::$variant => $word,)*
                }
            }

            pub(super) fn find(word: &str) -> Option<$type> {
                match word {
                    $($word => Some($type::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

words!(family, AddressFamily, "any" = Any, "v4" = V4, "v6" = V6);
words!(traceroute_protocol, TracerouteProtocol, "auto" = Auto, "icmp" = Icmp, "udp" = Udp, "tcp" = Tcp);
words!(dns_transport, DnsTransport, "udp" = Udp, "tcp" = Tcp, "tls" = Tls, "https" = Https, "system" = System);
words!(engine, BandwidthEngine, "responder" = Responder, "ndt7" = Ndt7, "iperf3" = Iperf3);
words!(direction, BandwidthDirection, "both" = Both, "down" = Down, "up" = Up);

/// All options on their way out.
#[derive(Serialize, ToSchema)]
pub(crate) struct OptionsJson<'a> {
    ping: PingJson<'a>,
    traceroute: TracerouteJson,
    dns: DnsJson<'a>,
    bandwidth: BandwidthJson<'a>,
    tcp: TcpJson,
    http: HttpJson<'a>,
}

#[derive(Serialize, ToSchema)]
struct PingJson<'a> {
    packets: u16,
    spacing_ms: u32,
    timeout_ms: u32,
    payload_bytes: u16,
    dscp: Option<u8>,
    dont_fragment: bool,
    source: Option<&'a str>,
    family: &'static str,
}

#[derive(Serialize, ToSchema)]
struct TracerouteJson {
    protocol: &'static str,
    max_hops: u8,
    probes_per_hop: u8,
    timeout_ms: u32,
    port: Option<u16>,
    reverse_names: bool,
    family: &'static str,
}

#[derive(Serialize, ToSchema)]
struct DnsJson<'a> {
    name: Option<&'a str>,
    server: Option<&'a str>,
    transport: &'static str,
    record_types: &'a [String],
    expect_rcodes: &'a [String],
    expect_answers: &'a [String],
    timeout_ms: u32,
    random_prefix: bool,
}

#[derive(Serialize, ToSchema)]
struct BandwidthJson<'a> {
    engine: &'static str,
    port: Option<u16>,
    direction: &'static str,
    duration_s: u16,
    streams: u8,
    max_run_bytes: u64,
    max_day_bytes: u64,
    credential: Option<&'a str>,
}

#[derive(Serialize, ToSchema)]
struct TcpJson {
    port: Option<u16>,
    timeout_ms: u32,
    family: &'static str,
}

#[derive(Serialize, ToSchema)]
struct HttpJson<'a> {
    tls: bool,
    port: Option<u16>,
    path: &'a str,
    method: &'a str,
    expect_status: &'a [u16],
    expect_body: Option<&'a str>,
    max_redirects: u8,
    verify_tls: bool,
    timeout_ms: u32,
    family: &'static str,
}

impl<'a> OptionsJson<'a> {
    pub(crate) fn new(options: &'a ProbeOptions) -> Self {
        let ProbeOptions { ping, traceroute, dns, bandwidth, tcp, http } = options;
        Self {
            ping: PingJson {
                packets: ping.packets,
                spacing_ms: ping.spacing_ms,
                timeout_ms: ping.timeout_ms,
                payload_bytes: ping.payload_bytes,
                dscp: ping.dscp,
                dont_fragment: ping.dont_fragment,
                source: ping.source.as_deref(),
                family: family::name(ping.family),
            },
            traceroute: TracerouteJson {
                protocol: traceroute_protocol::name(traceroute.protocol),
                max_hops: traceroute.max_hops,
                probes_per_hop: traceroute.probes_per_hop,
                timeout_ms: traceroute.timeout_ms,
                port: traceroute.port,
                reverse_names: traceroute.reverse_names,
                family: family::name(traceroute.family),
            },
            dns: DnsJson {
                name: dns.name.as_deref(),
                server: dns.server.as_deref(),
                transport: dns_transport::name(dns.transport),
                record_types: &dns.record_types,
                expect_rcodes: &dns.expect_rcodes,
                expect_answers: &dns.expect_answers,
                timeout_ms: dns.timeout_ms,
                random_prefix: dns.random_prefix,
            },
            bandwidth: BandwidthJson {
                engine: engine::name(bandwidth.engine),
                port: bandwidth.port,
                direction: direction::name(bandwidth.direction),
                duration_s: bandwidth.duration_s,
                streams: bandwidth.streams,
                max_run_bytes: bandwidth.max_run_bytes,
                max_day_bytes: bandwidth.max_day_bytes,
                credential: bandwidth.credential.as_deref(),
            },
            tcp: TcpJson { port: tcp.port, timeout_ms: tcp.timeout_ms, family: family::name(tcp.family) },
            http: HttpJson {
                tls: http.tls,
                port: http.port,
                path: &http.path,
                method: &http.method,
                expect_status: &http.expect_status,
                expect_body: http.expect_body.as_deref(),
                max_redirects: http.max_redirects,
                verify_tls: http.verify_tls,
                timeout_ms: http.timeout_ms,
                family: family::name(http.family),
            },
        }
    }
}

/// Options as a client describes them. What is left out has its default. Ranges are checked by `decide`.
pub(crate) fn read_options(json: &Json) -> Result<ProbeOptions, Problem> {
    let mut fields = Fields::of(json, "options")?;
    let mut part =
        |name: &'static str| fields.value(name).map(|json| Fields::of(json, &format!("options.{name}"))).transpose();
    let options = ProbeOptions {
        ping: part("ping")?.map_or_else(|| Ok(PingOptions::default()), read_ping)?,
        traceroute: part("traceroute")?.map_or_else(|| Ok(TracerouteOptions::default()), read_traceroute)?,
        dns: part("dns")?.map_or_else(|| Ok(DnsOptions::default()), read_dns)?,
        bandwidth: part("bandwidth")?.map_or_else(|| Ok(BandwidthOptions::default()), read_bandwidth)?,
        tcp: part("tcp")?.map_or_else(|| Ok(TcpOptions::default()), read_tcp)?,
        http: part("http")?.map_or_else(|| Ok(HttpOptions::default()), read_http)?,
    };
    fields.done()?;
    Ok(options)
}

fn read_ping(mut fields: Fields<'_>) -> Result<PingOptions, Problem> {
    let default = PingOptions::default();
    let options = PingOptions {
        packets: fields.number("packets")?.unwrap_or(default.packets),
        spacing_ms: fields.number("spacing_ms")?.unwrap_or(default.spacing_ms),
        timeout_ms: fields.number("timeout_ms")?.unwrap_or(default.timeout_ms),
        payload_bytes: fields.number("payload_bytes")?.unwrap_or(default.payload_bytes),
        dscp: fields.number("dscp")?,
        dont_fragment: fields.flag("dont_fragment")?.unwrap_or(default.dont_fragment),
        source: fields.text("source")?,
        family: fields.word("family", family::ALL, family::find)?.unwrap_or_default(),
    };
    fields.done()?;
    Ok(options)
}

fn read_traceroute(mut fields: Fields<'_>) -> Result<TracerouteOptions, Problem> {
    let default = TracerouteOptions::default();
    let options = TracerouteOptions {
        protocol: fields.word("protocol", traceroute_protocol::ALL, traceroute_protocol::find)?.unwrap_or_default(),
        max_hops: fields.number("max_hops")?.unwrap_or(default.max_hops),
        probes_per_hop: fields.number("probes_per_hop")?.unwrap_or(default.probes_per_hop),
        timeout_ms: fields.number("timeout_ms")?.unwrap_or(default.timeout_ms),
        port: fields.number("port")?,
        reverse_names: fields.flag("reverse_names")?.unwrap_or(default.reverse_names),
        family: fields.word("family", family::ALL, family::find)?.unwrap_or_default(),
    };
    fields.done()?;
    Ok(options)
}

fn read_dns(mut fields: Fields<'_>) -> Result<DnsOptions, Problem> {
    let default = DnsOptions::default();
    let options = DnsOptions {
        name: fields.text("name")?,
        server: fields.text("server")?,
        transport: fields.word("transport", dns_transport::ALL, dns_transport::find)?.unwrap_or_default(),
        record_types: fields.texts("record_types")?.unwrap_or(default.record_types),
        expect_rcodes: fields.texts("expect_rcodes")?.unwrap_or_default(),
        expect_answers: fields.texts("expect_answers")?.unwrap_or_default(),
        timeout_ms: fields.number("timeout_ms")?.unwrap_or(default.timeout_ms),
        random_prefix: fields.flag("random_prefix")?.unwrap_or(default.random_prefix),
    };
    fields.done()?;
    Ok(options)
}

fn read_bandwidth(mut fields: Fields<'_>) -> Result<BandwidthOptions, Problem> {
    let default = BandwidthOptions::default();
    let options = BandwidthOptions {
        engine: fields.word("engine", engine::ALL, engine::find)?.unwrap_or_default(),
        port: fields.number("port")?,
        direction: fields.word("direction", direction::ALL, direction::find)?.unwrap_or_default(),
        duration_s: fields.number("duration_s")?.unwrap_or(default.duration_s),
        streams: fields.number("streams")?.unwrap_or(default.streams),
        max_run_bytes: fields.number("max_run_bytes")?.unwrap_or(default.max_run_bytes),
        max_day_bytes: fields.number("max_day_bytes")?.unwrap_or(default.max_day_bytes),
        credential: fields.text("credential")?,
    };
    fields.done()?;
    Ok(options)
}

fn read_tcp(mut fields: Fields<'_>) -> Result<TcpOptions, Problem> {
    let default = TcpOptions::default();
    let options = TcpOptions {
        port: fields.number("port")?,
        timeout_ms: fields.number("timeout_ms")?.unwrap_or(default.timeout_ms),
        family: fields.word("family", family::ALL, family::find)?.unwrap_or_default(),
    };
    fields.done()?;
    Ok(options)
}

fn read_http(mut fields: Fields<'_>) -> Result<HttpOptions, Problem> {
    let default = HttpOptions::default();
    let expect_status = match fields.value("expect_status") {
        None => Vec::new(),
        Some(Json::List(values)) => {
            let status = |value: &Json| match value {
                Json::Number(number) => number.as_u64().and_then(|n| u16::try_from(n).ok()),
                _ => None,
            };
            let all: Option<Vec<u16>> = values.iter().map(status).collect();
            all.ok_or_else(|| {
                fields.refuse("expect_status", "holds something else", "a list of numbers from 100 to 599")
            })?
        }
        Some(_) => return Err(fields.refuse("expect_status", "is no list", "a list of numbers from 100 to 599")),
    };
    let options = HttpOptions {
        tls: fields.flag("tls")?.unwrap_or(default.tls),
        port: fields.number("port")?,
        path: fields.text("path")?.unwrap_or(default.path),
        method: fields.text("method")?.unwrap_or(default.method),
        expect_status,
        expect_body: fields.text("expect_body")?,
        max_redirects: fields.number("max_redirects")?.unwrap_or(default.max_redirects),
        verify_tls: fields.flag("verify_tls")?.unwrap_or(default.verify_tls),
        timeout_ms: fields.number("timeout_ms")?.unwrap_or(default.timeout_ms),
        family: fields.word("family", family::ALL, family::find)?.unwrap_or_default(),
    };
    fields.done()?;
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_went_out_come_in_the_same() {
        let mut options = ProbeOptions::default();
        options.ping.dscp = Some(46);
        options.ping.source = Some("eth0".to_owned());
        options.ping.family = AddressFamily::V6;
        options.traceroute.protocol = TracerouteProtocol::Udp;
        options.traceroute.port = Some(33_434);
        options.dns.name = Some("example.test".to_owned());
        options.dns.transport = DnsTransport::Https;
        options.dns.expect_rcodes = vec!["NXDOMAIN".to_owned()];
        options.bandwidth.engine = BandwidthEngine::Iperf3;
        options.bandwidth.direction = BandwidthDirection::Up;
        options.bandwidth.credential = Some("lab".to_owned());
        options.tcp.port = Some(443);
        options.http.expect_status = vec![200, 204];
        options.http.expect_body = Some("ok".to_owned());
        for options in [options, ProbeOptions::default()] {
            let text = serde_json::to_vec(&OptionsJson::new(&options)).unwrap();
            assert_eq!(read_options(&super::super::parse(&text).unwrap()).unwrap(), options);
        }
    }

    #[test]
    fn a_wrong_option_is_named_with_its_path() {
        let read = |text: &str| read_options(&super::super::parse(text.as_bytes()).unwrap()).unwrap_err();
        let problem = read(r#"{"dns": {"transport": "htps"}}"#);
        assert_eq!(problem.field.as_deref(), Some("options.dns.transport"));
        assert_eq!(problem.hint.as_deref(), Some("did you mean \"https\"?"));
        assert_eq!(read(r#"{"pin": {}}"#).hint.as_deref(), Some("did you mean \"ping\"?"));
        assert_eq!(read(r#"{"tcp": {"prt": 1}}"#).field.as_deref(), Some("options.tcp.prt"));
        assert_eq!(read(r#"{"http": {"expect_status": ["a"]}}"#).field.as_deref(), Some("options.http.expect_status"));
        assert_eq!(read(r#"{"ping": 3}"#).field.as_deref(), Some("options.ping"));
    }
}
