//! From the file's shape to what the inventory understands, checking on the way.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use netstats_event::{
    AddressFamily, BandwidthDirection, BandwidthEngine, BandwidthOptions, DestinationSpec, DnsOptions, DnsTransport,
    HttpOptions, JobSpec, ManagedBy, Metric, PingOptions, ProbeOptions, TcpOptions, Timestamp, TracerouteOptions,
    TracerouteProtocol, WeeklyHours, WeeklySpan,
};

use super::locate::Step::{self, Field, Item};
use super::problem::nearest;
use super::shape::{self, HostFrom};
use super::unit::Span;
use super::{Config, Fault};

/// Destinations and jobs of one block of the file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entries {
    pub(crate) destinations: Vec<(DestinationSpec, Option<HostFrom>)>,
    pub(crate) jobs: Vec<DesiredJob>,
}

/// A job whose destinations are still names.
#[derive(Clone, Debug)]
pub(crate) struct DesiredJob {
    pub(crate) spec: JobSpec,
    pub(crate) destinations: Vec<String>,
}

type Path = Vec<Step<'static>>;

fn fault(path: &[Step<'static>], message: impl Into<String>) -> Fault {
    Fault { path: path.to_vec(), message: message.into(), notes: Vec::new() }
}

impl Fault {
    fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}

fn join(path: &[Step<'static>], more: &[Step<'static>]) -> Path {
    [path, more].concat()
}

/// Checks the whole file.
pub(super) fn check(file: PathBuf, digest: [u8; 32], shape: &shape::File) -> Result<Config, Fault> {
    let min = shape.limits.min_interval_s;
    if !(1..=86_400).contains(&min) {
        let path = [Field("limits"), Field("min_interval_s")];
        return Err(fault(&path, format!("{min} is out of range: 1 to 86400 seconds")));
    }
    if let Some(listen) = &shape.server.listen {
        crate::listen::parse(listen).map_err(|message| fault(&[Field("server"), Field("listen")], message))?;
    }
    if let Some(level) = &shape.log_level {
        crate::logging::parse(level).map_err(|message| fault(&[Field("log_level")], message))?;
    }
    let managed = entries(&[], &shape.destinations, &shape.jobs, ManagedBy::Config, &Entries::default(), min)?;
    let starter = shape
        .starter
        .as_ref()
        .map(|starter| {
            entries(&[Field("starter")], &starter.destinations, &starter.jobs, ManagedBy::User, &managed, min)
        })
        .transpose()?;
    Ok(Config {
        file,
        digest,
        listen: shape.server.listen.clone(),
        data_dir: shape.data_dir.clone(),
        log_level: shape.log_level.clone(),
        min_interval_s: min,
        managed,
        starter,
    })
}

fn entries(
    at: &[Step<'static>],
    destinations: &[shape::Destination],
    jobs: &[shape::Job],
    managed_by: ManagedBy,
    declared: &Entries,
    min_interval_s: u32,
) -> Result<Entries, Fault> {
    let mut out = Entries::default();
    let known = |name: &str| declared.destinations.iter().any(|(spec, _)| spec.name.eq_ignore_ascii_case(name));
    let known_job = |name: &str| declared.jobs.iter().any(|job| job.spec.name.eq_ignore_ascii_case(name));
    let mut names = BTreeMap::new();
    for (i, destination) in destinations.iter().enumerate() {
        let path = join(at, &[Field("destinations"), Item(i)]);
        unique(&mut names, &path, i, "destination", &destination.name, known(&destination.name))?;
        out.destinations.push((destination_spec(&path, destination, managed_by)?, destination.host_from));
    }
    let mut job_names = BTreeMap::new();
    for (i, job) in jobs.iter().enumerate() {
        let path = join(at, &[Field("jobs"), Item(i)]);
        unique(&mut job_names, &path, i, "job", &job.name, known_job(&job.name))?;
        for (k, name) in job.destinations.iter().enumerate() {
            let all = || out.destinations.iter().chain(&declared.destinations).map(|(spec, _)| spec.name.as_str());
            if !all().any(|known| known.eq_ignore_ascii_case(name)) {
                let path = join(&path, &[Field("destinations"), Item(k)]);
                let fault = fault(&path, format!("no destination is named \"{name}\" in this file"))
                    .note("a job in the file measures destinations of the file; `destination_tags` reaches all others");
                return Err(match nearest(name, all()) {
                    Some(near) => fault.note(format!("did you mean `{near}`?")),
                    None => fault,
                });
            }
        }
        out.jobs.push(DesiredJob {
            spec: job_spec(&path, job, managed_by, min_interval_s)?,
            destinations: job.destinations.clone(),
        });
    }
    Ok(out)
}

fn unique(
    seen: &mut BTreeMap<String, usize>,
    path: &[Step<'static>],
    index: usize,
    what: &str,
    name: &str,
    is_declared: bool,
) -> Result<(), Fault> {
    let at = join(path, &[Field("name")]);
    if let Some(first) = seen.insert(name.to_lowercase(), index) {
        return Err(fault(&at, format!("the {what} name \"{name}\" is used twice")).note(format!(
            "the first is {what} number {} of this list; upper and lower case count as the same",
            first + 1
        )));
    }
    if is_declared {
        return Err(fault(
            &at,
            format!("the {what} name \"{name}\" is used twice: it is also declared outside `starter`"),
        ));
    }
    Ok(())
}

fn destination_spec(
    path: &[Step<'static>],
    from: &shape::Destination,
    managed_by: ManagedBy,
) -> Result<DestinationSpec, Fault> {
    let host = match (&from.host, from.host_from) {
        (Some(host), None) => host.clone(),
        (None, Some(_)) if managed_by == ManagedBy::User => String::new(),
        (None, Some(_)) => {
            let path = join(path, &[Field("host_from")]);
            return Err(fault(&path, "`host_from` is for `starter` entries only").note("write the address as `host`"));
        }
        (Some(_), Some(_)) => {
            return Err(fault(&join(path, &[Field("host_from")]), "give `host` or `host_from`, not both"));
        }
        (None, None) => {
            return Err(fault(path, format!("destination \"{}\" has no `host`", from.name))
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

fn job_spec(
    path: &[Step<'static>],
    from: &shape::Job,
    managed_by: ManagedBy,
    min_interval_s: u32,
) -> Result<JobSpec, Fault> {
    let interval = from.interval.0;
    let interval_s = u32::try_from(interval.as_secs()).unwrap_or(u32::MAX);
    let at_interval = || join(path, &[Field("interval")]);
    if interval.subsec_millis() != 0 {
        return Err(fault(&at_interval(), "an interval is a whole number of seconds"));
    }
    if interval_s < min_interval_s || interval > MAX_INTERVAL {
        return Err(fault(&at_interval(), format!("the interval is out of range: {min_interval_s} s to 7 d"))
            .note("`limits.min_interval_s` moves the lower end, down to 1"));
    }
    if from.metrics.is_empty() {
        let path = join(path, &[Field("metrics")]);
        return Err(fault(&path, "a job measures at least one metric").note("for example metrics: [ping, packet_loss]"));
    }
    let mut metrics: Vec<Metric> = from.metrics.iter().map(|name| metric(*name)).collect();
    metrics.sort_unstable();
    metrics.dedup();
    let time = |field: &'static str, text: &Option<String>| {
        text.as_ref().map(|text| timestamp(&join(path, &[Field(field)]), text)).transpose()
    };
    Ok(JobSpec {
        name: from.name.clone(),
        description: from.description.clone(),
        tags: sorted(&from.tags),
        enabled: from.enabled,
        interval_s,
        metrics,
        destinations: Vec::new(),
        destination_tags: sorted(&from.destination_tags),
        start_time: time("start_time", &from.start_time)?,
        end_time: time("end_time", &from.end_time)?,
        active_hours: from.active_hours.as_ref().map(|hours| active_hours(path, hours)).transpose()?,
        options: options(path, from)?,
        managed_by,
    })
}

/// A week: longer than that is not a schedule.
const MAX_INTERVAL: Duration = Duration::from_secs(7 * 86_400);

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

fn timestamp(path: &[Step<'static>], text: &str) -> Result<Timestamp, Fault> {
    let time: jiff::Timestamp = text.parse().map_err(|_| {
        fault(path, format!("\"{text}\" is not a time with its zone"))
            .note("expected RFC 3339, such as \"2026-11-24T08:00:00Z\" or \"2026-11-24T09:00:00+01:00\"")
    })?;
    Ok(Timestamp::from_millis(time.as_millisecond()))
}

fn active_hours(path: &[Step<'static>], from: &shape::ActiveHours) -> Result<WeeklyHours, Fault> {
    let path = join(path, &[Field("active_hours")]);
    if jiff::tz::TimeZone::get(&from.time_zone).is_err() {
        return Err(fault(&join(&path, &[Field("time_zone")]), format!("\"{}\" is not a time zone", from.time_zone))
            .note("expected an IANA name, such as \"Europe/Berlin\" or \"UTC\""));
    }
    let mut spans = Vec::new();
    for (i, span) in from.spans.iter().enumerate() {
        let at = |field| join(&path, &[Field("spans"), Item(i), Field(field)]);
        let from_minute = minute(&at("from"), &span.from, 1_439)?;
        let to_minute = minute(&at("to"), &span.to, 1_440)?;
        if span.days.is_empty() {
            return Err(fault(&at("days"), "a span needs at least one day").note("for example days: [mon, tue]"));
        }
        spans.extend(span.days.iter().map(|day| WeeklySpan { weekday: *day as u8, from_minute, to_minute }));
    }
    if spans.is_empty() {
        return Err(fault(&join(&path, &[Field("spans")]), "without a span the job would never run"));
    }
    spans.sort_unstable();
    spans.dedup();
    Ok(WeeklyHours { time_zone: from.time_zone.clone(), spans })
}

/// `"08:30"` as minutes after midnight.
fn minute(path: &[Step<'static>], text: &str, most: u16) -> Result<u16, Fault> {
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
        fault(path, format!("\"{text}\" is not a time of day: \"00:00\" to \"{last}\" is expected"))
    })
}

fn millis(path: &[Step<'static>], fields: &[Step<'static>], span: Option<Span>, default: u32) -> Result<u32, Fault> {
    span.map_or(Ok(default), |span| {
        u32::try_from(span.0.as_millis())
            .map_err(|_| fault(&join(path, fields), "the duration is too long: at most 49 d"))
    })
}

fn options(path: &[Step<'static>], job: &shape::Job) -> Result<ProbeOptions, Fault> {
    let ms = |fields: &[Step<'static>], span, default| millis(path, fields, span, default);
    let timeout = |probe: &'static str, span, default| ms(&[Field(probe), Field("timeout")], span, default);
    let (ping, trace, dns) = (PingOptions::default(), TracerouteOptions::default(), DnsOptions::default());
    let (bandwidth, tcp, http) = (BandwidthOptions::default(), TcpOptions::default(), HttpOptions::default());
    let duration = job.bandwidth.duration.map_or(u64::from(bandwidth.duration_s), |span| span.0.as_secs());
    let at_duration = || join(path, &[Field("bandwidth"), Field("duration")]);
    Ok(ProbeOptions {
        ping: PingOptions {
            packets: job.packets.unwrap_or(ping.packets),
            spacing_ms: ms(&[Field("spacing")], job.spacing, ping.spacing_ms)?,
            timeout_ms: ms(&[Field("timeout")], job.timeout, ping.timeout_ms)?,
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
            timeout_ms: timeout("traceroute", job.traceroute.timeout, trace.timeout_ms)?,
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
            timeout_ms: timeout("dns", job.dns.timeout, dns.timeout_ms)?,
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
            duration_s: u16::try_from(duration).map_err(|_| fault(&at_duration(), "at most 65535 s"))?,
            streams: job.bandwidth.streams.unwrap_or(bandwidth.streams),
            max_run_bytes: job.bandwidth.max_run.map_or(bandwidth.max_run_bytes, |size| size.0),
            max_day_bytes: job.bandwidth.max_day.map_or(bandwidth.max_day_bytes, |size| size.0),
            credential: job.bandwidth.credential.clone(),
        },
        tcp: TcpOptions {
            port: job.tcp.port,
            timeout_ms: timeout("tcp", job.tcp.timeout, tcp.timeout_ms)?,
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
            timeout_ms: timeout("http", job.http.timeout, http.timeout_ms)?,
            family: family(job.http.family),
        },
    })
}
