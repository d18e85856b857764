//! From the file's shape to what the inventory understands. What an entry may be is the inventory's to decide: it is
//! asked, and its no is translated to the file's own words.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use netstats_event::{
    AddressFamily, BandwidthDirection, BandwidthEngine, BandwidthOptions, DestinationSpec, DnsOptions, DnsTransport,
    HttpOptions, JobSpec, ManagedBy, Meta, Metric, PingOptions, ProbeOptions, TcpOptions, Timestamp, TracerouteOptions,
    TracerouteProtocol, WeeklyHours, WeeklySpan,
};
use netstats_inventory::{
    Command, DesiredJob, DesiredState, Inventory, LOWEST_MIN_INTERVAL_S, MAX_INTERVAL_S, Network, Policy, Rates,
    Rejection, Starter, TargetPolicy, decide,
};

use super::shape::{self, HostFrom};
use super::unit::Span;
use super::{Config, Fault, Retention};
use crate::retention::KEPT_AT_LEAST;

/// Bytes that a log may be told to keep to, at least: its journals alone take some tens of megabytes.
const LEAST_MAX_SIZE: u64 = 200_000_000;
/// How long raw values may be told to be kept, at most; longer is for ever.
const MOST_AGE: Duration = Duration::from_hours(36_500 * 24);

/// Destinations and jobs of one block of the file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entries {
    destinations: Vec<(DestinationSpec, Option<HostFrom>)>,
    jobs: Vec<DesiredJob>,
}

impl Entries {
    /// How many, in words.
    pub(super) fn count(&self) -> String {
        let some = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        format!("{}, {}", some(self.destinations.len(), "destination"), some(self.jobs.len(), "job"))
    }

    /// Hosts filled in with what the system knows; an entry whose host it does not know is left out, and named.
    fn with_gateway(&self, gateway: Option<IpAddr>) -> (Vec<DestinationSpec>, Vec<DesiredJob>, Vec<String>) {
        let (mut destinations, mut left_out) = (Vec::new(), Vec::new());
        for (spec, from) in &self.destinations {
            match (from, gateway) {
                (None, _) => destinations.push(spec.clone()),
                (Some(HostFrom::DefaultGateway), Some(gateway)) => {
                    destinations.push(DestinationSpec { host: gateway.to_string(), ..spec.clone() });
                }
                (Some(HostFrom::DefaultGateway), None) => left_out.push(spec.name.clone()),
            }
        }
        let mut jobs = self.jobs.clone();
        // A job that loses its last destination goes with it. One that never named any is a mistake, and is told so.
        jobs.retain_mut(|job| {
            let named = job.destinations.len();
            job.destinations.retain(|name| !left_out.contains(name));
            let has_lost = job.destinations.len() < named;
            !has_lost || !job.destinations.is_empty() || !job.spec.destination_tags.is_empty()
        });
        (destinations, jobs, left_out)
    }
}

impl Config {
    /// The hosts of declared destinations that are names.
    pub(crate) fn host_names(&self) -> Vec<&str> {
        let hosts = self.managed.destinations.iter().map(|(spec, _)| spec.host.as_str());
        hosts.filter(|host| host.parse::<IpAddr>().is_err()).collect()
    }

    /// What the inventory is asked for, and the starter entries left out because this machine has no gateway.
    pub(crate) fn desired(&self, gateway: Option<IpAddr>) -> (DesiredState, Vec<String>) {
        let (destinations, jobs, _) = self.managed.with_gateway(None);
        let starter = self.starter.as_ref().map(|starter| starter.with_gateway(gateway));
        let left_out = starter.as_ref().map(|(.., left_out)| left_out.clone()).unwrap_or_default();
        let starter = starter.map(|(destinations, jobs, _)| Starter { destinations, jobs });
        (DesiredState { digest: self.digest, destinations, jobs, starter }, left_out)
    }
}

/// Checks the whole file.
pub(super) fn check(file: PathBuf, digest: [u8; 32], shape: &shape::File) -> Result<Config, Fault> {
    let policy = policy(&shape.limits, &shape.targets)?;
    if let Some(listen) = &shape.server.listen {
        crate::listen::parse(listen)
            .and_then(|addresses| crate::listen::check(&addresses, &shape.server))
            .map_err(|message| Fault::at("server.listen", message))?;
    }
    if let Some(level) = &shape.log_level {
        crate::logging::parse(level).map_err(|message| Fault::at("log_level", message))?;
    }
    if let Some((key, message)) = crate::logging::fault(&shape.log) {
        return Err(Fault::at(format!("log.{key}"), message));
    }
    let starter = |starter: &shape::Starter| entries("starter.", &starter.destinations, &starter.jobs, ManagedBy::User);
    let config = Config {
        file,
        digest,
        listen: shape.server.listen.clone(),
        server: shape.server.clone(),
        data_dir: shape.data_dir.clone(),
        exports_dir: shape.exports_dir.clone(),
        log_level: shape.log_level.clone(),
        log: shape.log.clone(),
        managed: entries("", &shape.destinations, &shape.jobs, ManagedBy::Config)?,
        starter: shape.starter.as_ref().map(starter).transpose()?,
        policy,
        warnings: Vec::new(),
        retention: retention(&shape.retention)?,
        local_services: shape.targets.local_services,
    };
    // Any gateway will do to see whether the entries are right (RFC 5737).
    let (desired, _) = config.desired(Some([192, 0, 2, 1].into()));
    let command = Command::ApplyConfig(desired);
    match decide(&Inventory::default(), command, &Meta::by("config"), &config.policy) {
        Ok(_) => Ok(config),
        Err(no) => Err(translate(no)),
    }
}

fn retention(rules: &shape::RetentionRules) -> Result<Retention, Fault> {
    let max_bytes = rules.max_size.map(|size| size.0);
    if let Some(bytes) = max_bytes.filter(|bytes| *bytes < LEAST_MAX_SIZE) {
        let message = format!("{bytes} bytes is too little: at least \"{}MB\"", LEAST_MAX_SIZE / 1_000_000);
        return Err(Fault::at("retention.max_size", message).note("left out, the log may take the whole disk"));
    }
    let shape::RawAges { ping, traceroute, dns, bandwidth, tcp, http } = &rules.raw;
    let named = [
        ("ping", ping),
        ("traceroute", traceroute),
        ("dns", dns),
        ("bandwidth", bandwidth),
        ("tcp", tcp),
        ("http", http),
    ];
    let mut ages = [None; 6];
    for (age, (name, span)) in ages.iter_mut().zip(named) {
        *age = span.map(|span| span.0);
        if age.is_some_and(|age| !(KEPT_AT_LEAST..=MOST_AGE).contains(&age)) {
            return Err(Fault::at(format!("retention.raw.{name}"), "out of range: \"1d\" to \"36500d\"")
                .note("left out, raw values of this kind are kept for ever"));
        }
    }
    Ok(Retention { max_bytes, ages })
}

fn policy(limits: &shape::Limits, targets: &shape::Targets) -> Result<Policy, Fault> {
    let default = Policy::default();
    let min_interval_s = limits.min_interval_s.unwrap_or(default.min_interval_s);
    let accepted = LOWEST_MIN_INTERVAL_S..=MAX_INTERVAL_S;
    if !accepted.contains(&min_interval_s) {
        let message = format!("{min_interval_s} is out of range: {} to {} seconds", accepted.start(), accepted.end());
        return Err(Fault::at("limits.min_interval_s", message));
    }
    Ok(Policy {
        min_interval_s,
        max_destinations: limits.max_destinations.unwrap_or(default.max_destinations),
        max_jobs: limits.max_jobs.unwrap_or(default.max_jobs),
        targets: target_policy(targets)?,
        rates: Rates {
            packets_per_s: rate("packets_per_s", limits.packets_per_s, default.rates.packets_per_s)?,
            target_packets_per_s: rate(
                "target_packets_per_s",
                limits.target_packets_per_s,
                default.rates.target_packets_per_s,
            )?,
        },
    })
}

fn rate(key: &str, given: Option<u32>, default: u32) -> Result<u32, Fault> {
    match given {
        Some(0) => Err(Fault::at(format!("limits.{key}"), "0 packets a second measure nothing: 1 or more")),
        given => Ok(given.unwrap_or(default)),
    }
}

fn target_policy(targets: &shape::Targets) -> Result<TargetPolicy, Fault> {
    fn each<T>(key: &str, texts: &[String], read: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, Fault> {
        let place = |i| format!("targets.{key}[{i}]");
        texts.iter().enumerate().map(|(i, text)| read(text).map_err(|why| Fault::at(place(i), why))).collect()
    }
    let network = |text: &str| text.parse::<Network>();
    Ok(TargetPolicy {
        allow: each("allow", &targets.allow, network)?,
        deny: each("deny", &targets.deny, network)?,
        only: each("only", &targets.only, network)?,
        ports: each("ports", &targets.ports, port_range)?,
        deny_ports: each("deny_ports", &targets.deny_ports, port_range)?,
        local_services: targets.local_services.unwrap_or(true),
        ..TargetPolicy::default()
    })
}

/// `443`, or `8000-8999`.
fn port_range(text: &str) -> Result<RangeInclusive<u16>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.trim().parse::<u16>(), last.trim().parse::<u16>()) {
        (Ok(first), Ok(last)) if 0 < first && first <= last => Ok(first..=last),
        _ => Err(format!("{text:?} is neither a port nor a range of them: expected \"443\" or \"8000-8999\"")),
    }
}

/// A no of the inventory in the file's words: its fields have units in their names, the file has them in the values.
fn translate(no: Rejection) -> Fault {
    let path = no.field.unwrap_or_default().replace(".options.", ".");
    // One span of the file is several of the inventory, one a day: the list is as near as it gets.
    let path = path.split_once(".spans[").map_or(path.as_str(), |(before, _)| before);
    let mut path = path.replace("max_run_bytes", "max_run").replace("max_day_bytes", "max_day");
    for unit in ["_ms", "_s"] {
        path = path.strip_suffix(unit).unwrap_or(&path).to_owned();
    }
    for own in ["packets", "spacing", "timeout"] {
        path = path.replace(&format!(".ping.{own}"), &format!(".{own}"));
    }
    let mut fault = Fault::at(path, no.message);
    fault.notes.extend(no.accepted.map(|accepted| format!("accepted: {accepted}")));
    fault.notes.extend(no.hint);
    fault
}

fn entries(
    at: &str,
    destinations: &[shape::Destination],
    jobs: &[shape::Job],
    managed_by: ManagedBy,
) -> Result<Entries, Fault> {
    let mut out = Entries::default();
    for (i, destination) in destinations.iter().enumerate() {
        let spec = destination_spec(&format!("{at}destinations[{i}]"), destination, managed_by)?;
        out.destinations.push((spec, destination.host_from));
    }
    for (i, job) in jobs.iter().enumerate() {
        let spec = job_spec(&format!("{at}jobs[{i}]"), job, managed_by)?;
        out.jobs.push(DesiredJob { spec, destinations: job.destinations.clone() });
    }
    Ok(out)
}

fn destination_spec(path: &str, from: &shape::Destination, managed_by: ManagedBy) -> Result<DestinationSpec, Fault> {
    let at_from = || format!("{path}.host_from");
    let host = match (&from.host, from.host_from) {
        (Some(host), None) => host.clone(),
        (None, Some(_)) if managed_by == ManagedBy::User => String::new(),
        (None, Some(_)) => {
            return Err(
                Fault::at(at_from(), "`host_from` is for `starter` entries only").note("write the address as `host`")
            );
        }
        (Some(_), Some(_)) => return Err(Fault::at(at_from(), "give `host` or `host_from`, not both")),
        (None, None) => {
            return Err(Fault::at(path, format!("destination \"{}\" has no `host`", from.name))
                .note("expected an address or a host name, such as host: \"192.0.2.1\""));
        }
    };
    Ok(DestinationSpec {
        name: from.name.clone(),
        host,
        port: from.port,
        display_name: from.display_name.clone(),
        description: from.description.clone(),
        tags: sorted(&from.tags),
        paused: from.status == shape::Status::Paused,
        managed_by,
    })
}

fn job_spec(path: &str, from: &shape::Job, managed_by: ManagedBy) -> Result<JobSpec, Fault> {
    let at = |field: &str| format!("{path}.{field}");
    let interval = from.interval.0;
    if interval.subsec_millis() != 0 {
        return Err(Fault::at(at("interval"), "an interval is a whole number of seconds"));
    }
    let mut metrics: Vec<Metric> = from.metrics.iter().map(|name| metric(*name)).collect();
    metrics.sort_unstable();
    metrics.dedup();
    let time = |field: &str, text: &Option<String>| text.as_ref().map(|text| timestamp(&at(field), text)).transpose();
    Ok(JobSpec {
        name: from.name.clone(),
        description: from.description.clone(),
        tags: sorted(&from.tags),
        enabled: from.enabled,
        interval_s: u32::try_from(interval.as_secs()).unwrap_or(u32::MAX),
        metrics,
        destinations: Vec::new(),
        destination_tags: sorted(&from.destination_tags),
        start_time: time("start_time", &from.start_time)?,
        end_time: time("end_time", &from.end_time)?,
        active_hours: from.active_hours.as_ref().map(|hours| active_hours(&at("active_hours"), hours)).transpose()?,
        options: options(path, from)?,
        managed_by,
    })
}

fn sorted(words: &[String]) -> Vec<String> {
    let mut words = words.to_vec();
    words.sort_unstable();
    words.dedup();
    words
}

const fn metric(name: shape::MetricName) -> Metric {
    match name {
        shape::MetricName::Ping => Metric::Ping,
        shape::MetricName::PacketLoss => Metric::PacketLoss,
        shape::MetricName::Jitter => Metric::Jitter,
        shape::MetricName::Traceroute => Metric::Traceroute,
        shape::MetricName::Dns => Metric::Dns,
        shape::MetricName::Bandwidth => Metric::Bandwidth,
        shape::MetricName::Tcp => Metric::Tcp,
        shape::MetricName::Http => Metric::Http,
    }
}

const fn family(name: shape::Family) -> AddressFamily {
    match name {
        shape::Family::Any => AddressFamily::Any,
        shape::Family::V4 => AddressFamily::V4,
        shape::Family::V6 => AddressFamily::V6,
    }
}

fn timestamp(path: &str, text: &str) -> Result<Timestamp, Fault> {
    let time: jiff::Timestamp = text.parse().map_err(|_| {
        Fault::at(path, format!("\"{text}\" is not a time with its zone"))
            .note("expected RFC 3339, such as \"2026-11-24T08:00:00Z\" or \"2026-11-24T09:00:00+01:00\"")
    })?;
    Ok(Timestamp::from_millis(time.as_millisecond()))
}

fn active_hours(path: &str, from: &shape::ActiveHours) -> Result<WeeklyHours, Fault> {
    let mut spans = Vec::new();
    for (i, span) in from.spans.iter().enumerate() {
        let at = |field| format!("{path}.spans[{i}].{field}");
        let from_minute = minute(&at("from"), &span.from, 1_439)?;
        let to_minute = minute(&at("to"), &span.to, 1_440)?;
        if span.days.is_empty() {
            return Err(Fault::at(at("days"), "a span needs at least one day").note("for example days: [mon, tue]"));
        }
        spans.extend(span.days.iter().map(|day| WeeklySpan { weekday: *day as u8, from_minute, to_minute }));
    }
    spans.sort_unstable();
    spans.dedup();
    Ok(WeeklyHours { time_zone: from.time_zone.clone(), spans })
}

/// `"08:30"` as minutes after midnight.
fn minute(path: &str, text: &str, most: u16) -> Result<u16, Fault> {
    let read = || {
        let (hours, minutes) = text.split_once(':')?;
        let is_plain = |part: &str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
        if !is_plain(hours) || !is_plain(minutes) {
            return None;
        }
        let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
        (minutes < 60).then_some(hours * 60 + minutes).filter(|minute| *minute <= most)
    };
    read().ok_or_else(|| {
        let last = if most == 1_440 { "24:00" } else { "23:59" };
        Fault::at(path, format!("\"{text}\" is not a time of day: \"00:00\" to \"{last}\" is expected"))
    })
}

/// Whole milliseconds; what is too long for the type is far too long for the inventory, which says so.
fn millis(span: Option<Span>, default: u32) -> u32 {
    span.map_or(default, |span| u32::try_from(span.0.as_millis()).unwrap_or(u32::MAX))
}

fn options(path: &str, job: &shape::Job) -> Result<ProbeOptions, Fault> {
    let (ping, trace, dns) = (PingOptions::default(), TracerouteOptions::default(), DnsOptions::default());
    let (bandwidth, tcp, http) = (BandwidthOptions::default(), TcpOptions::default(), HttpOptions::default());
    let duration_s = match job.bandwidth.duration {
        Some(span) if span.0.subsec_millis() != 0 => {
            return Err(Fault::at(format!("{path}.bandwidth.duration"), "a whole number of seconds is expected"));
        }
        Some(span) => u16::try_from(span.0.as_secs()).unwrap_or(u16::MAX),
        None => bandwidth.duration_s,
    };
    Ok(ProbeOptions {
        ping: PingOptions {
            packets: job.packets.unwrap_or(ping.packets),
            spacing_ms: millis(job.spacing, ping.spacing_ms),
            timeout_ms: millis(job.timeout, ping.timeout_ms),
            payload_bytes: job.ping.payload_bytes.unwrap_or(ping.payload_bytes),
            dscp: job.ping.dscp,
            dont_fragment: job.ping.dont_fragment,
            source: job.ping.source.clone(),
            family: family(job.ping.family),
        },
        traceroute: TracerouteOptions {
            protocol: job.traceroute.protocol.map_or(trace.protocol, |protocol| match protocol {
                shape::TraceProtocol::Auto => TracerouteProtocol::Auto,
                shape::TraceProtocol::Icmp => TracerouteProtocol::Icmp,
                shape::TraceProtocol::Udp => TracerouteProtocol::Udp,
                shape::TraceProtocol::Tcp => TracerouteProtocol::Tcp,
            }),
            max_hops: job.traceroute.max_hops.unwrap_or(trace.max_hops),
            probes_per_hop: job.traceroute.probes_per_hop.unwrap_or(trace.probes_per_hop),
            timeout_ms: millis(job.traceroute.timeout, trace.timeout_ms),
            port: job.traceroute.port,
            reverse_names: job.traceroute.reverse_names.unwrap_or(trace.reverse_names),
            family: family(job.traceroute.family),
        },
        dns: DnsOptions {
            name: job.dns.name.clone(),
            server: job.dns.server.clone(),
            transport: job.dns.transport.map_or(dns.transport, |transport| match transport {
                shape::DnsTransport::Udp => DnsTransport::Udp,
                shape::DnsTransport::Tcp => DnsTransport::Tcp,
                shape::DnsTransport::Tls => DnsTransport::Tls,
                shape::DnsTransport::Https => DnsTransport::Https,
                shape::DnsTransport::System => DnsTransport::System,
            }),
            record_types: job.dns.record_types.clone().unwrap_or(dns.record_types),
            expect_rcodes: job.dns.expect_rcodes.clone(),
            expect_answers: job.dns.expect_answers.clone(),
            timeout_ms: millis(job.dns.timeout, dns.timeout_ms),
            random_prefix: job.dns.random_prefix,
        },
        bandwidth: BandwidthOptions {
            engine: job.bandwidth.engine.map_or(bandwidth.engine, |engine| match engine {
                shape::Engine::Responder => BandwidthEngine::Responder,
                shape::Engine::Ndt7 => BandwidthEngine::Ndt7,
                shape::Engine::Iperf3 => BandwidthEngine::Iperf3,
            }),
            port: job.bandwidth.port,
            direction: job.bandwidth.direction.map_or(bandwidth.direction, |direction| match direction {
                shape::Direction::Both => BandwidthDirection::Both,
                shape::Direction::Down => BandwidthDirection::Down,
                shape::Direction::Up => BandwidthDirection::Up,
            }),
            duration_s,
            streams: job.bandwidth.streams.unwrap_or(bandwidth.streams),
            max_run_bytes: job.bandwidth.max_run.map_or(bandwidth.max_run_bytes, |size| size.0),
            max_day_bytes: job.bandwidth.max_day.map_or(bandwidth.max_day_bytes, |size| size.0),
            credential: job.bandwidth.credential.clone(),
        },
        tcp: TcpOptions {
            port: job.tcp.port,
            timeout_ms: millis(job.tcp.timeout, tcp.timeout_ms),
            family: family(job.tcp.family),
        },
        http: HttpOptions {
            tls: job.http.tls.unwrap_or(http.tls),
            port: job.http.port,
            path: job.http.path.clone().unwrap_or(http.path),
            method: job.http.method.clone().unwrap_or(http.method),
            expect_status: job.http.expect_status.clone(),
            expect_body: job.http.expect_body.clone(),
            max_redirects: job.http.max_redirects.unwrap_or(http.max_redirects),
            verify_tls: job.http.verify_tls.unwrap_or(http.verify_tls),
            timeout_ms: millis(job.http.timeout, http.timeout_ms),
            family: family(job.http.family),
        },
    })
}
