//! Descriptions, checked and put into their one form: texts trimmed, lists sorted, hosts canonical.

use std::fmt::Display;
use std::ops::RangeInclusive;

use netstats_event::{
    BandwidthDirection, BandwidthOptions, DestinationSpec, DnsOptions, DnsTransport, HttpOptions, JobSpec,
    MAX_BURST_PACKETS, MAX_HOPS, MAX_HOST_CHARS, MAX_JOB_DESTINATIONS, MAX_NAME_CHARS, MAX_TAGS, MAX_TEXT_CHARS, Meta,
    Metric, PingOptions, ProbeKind, Timestamp, TracerouteOptions, WeeklyHours,
};

use crate::command::{Policy, Rejection};
use crate::host::canonical_host;
use crate::limits::{
    LOWEST_MIN_INTERVAL_S, MAX_ACTIVE_SPANS, MAX_BANDWIDTH_DURATION_S, MAX_BANDWIDTH_STREAMS, MAX_DNS_LIST,
    MAX_HTTP_BODY_CHARS, MAX_HTTP_PATH_CHARS, MAX_HTTP_REDIRECTS, MAX_HTTP_STATUSES, MAX_INTERVAL_S,
    MAX_PING_PAYLOAD_BYTES, MAX_PROBES_PER_HOP, MAX_SPACING_MS, MAX_TIMEOUT_MS, MIN_PING_PAYLOAD_BYTES, MIN_SPACING_MS,
    MIN_TIMEOUT_MS,
};
use crate::model::Inventory;
use crate::slots::probes;
use crate::window::{Window, zone, zone_names};

type Checked<T = ()> = Result<T, Rejection>;

/// Characters that would break a name's place in a URL's path or in a list of names.
const NOT_IN_NAMES: [char; 6] = ['/', '\\', '?', '#', '%', ','];

/// Record types that can be asked for.
const RECORD_TYPES: [&str; 14] =
    ["A", "AAAA", "CAA", "CNAME", "HTTPS", "MX", "NAPTR", "NS", "PTR", "SOA", "SRV", "SVCB", "TLSA", "TXT"];

/// Response codes that can be expected (IANA, RFC 6895).
const RCODES: [&str; 11] = [
    "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH",
    "NOTZONE",
];

/// The candidate nearest to a word, if it is near enough to be meant.
pub(crate) fn nearest<S: AsRef<str>>(word: &str, candidates: impl IntoIterator<Item = S>) -> Option<String> {
    let word = word.to_lowercase();
    let near = (word.chars().count() / 3).clamp(1, 4);
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&word, &candidate.as_ref().to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= near)
        .min_by(|(a, x), (b, y)| a.cmp(b).then_with(|| x.as_ref().cmp(y.as_ref())))
        .map(|(_, candidate)| candidate.as_ref().to_owned())
}

/// The hint that goes with it.
pub(crate) fn did_you_mean<S: AsRef<str>>(
    rejection: Rejection,
    word: &str,
    candidates: impl IntoIterator<Item = S>,
) -> Rejection {
    match nearest(word, candidates) {
        Some(candidate) => rejection.hinting(format!("did you mean {candidate:?}?")),
        None => rejection,
    }
}

/// Who asks and why: it goes into the log as it is.
pub(crate) fn meta(meta: &Meta) -> Checked {
    let actor = meta.actor.chars().count();
    if actor == 0 || actor > MAX_NAME_CHARS {
        return Err(Rejection::invalid("actor", format!("it has {actor} characters"))
            .accepting(format!("1 to {MAX_NAME_CHARS} characters")));
    }
    let reason = meta.reason.as_deref().map_or(0, |reason| reason.chars().count());
    if reason > MAX_TEXT_CHARS { Err(too_long("reason", reason, MAX_TEXT_CHARS)) } else { Ok(()) }
}

/// A destination's description in its one form. `managed_by` is the caller's affair.
pub(crate) fn destination(mut spec: DestinationSpec) -> Checked<DestinationSpec> {
    spec.name = name("name", &spec.name)?;
    spec.host = canonical_host(&spec.host)?;
    if spec.port == Some(0) {
        return Err(out_of("port", 0, "", 1..=65_535));
    }
    spec.display_name = line("display_name", spec.display_name, MAX_NAME_CHARS)?;
    spec.description = text("description", spec.description)?;
    spec.tags = tags("tags", &spec.tags)?;
    Ok(spec)
}

/// A job's description in its one form; its destinations are those of `state`.
pub(crate) fn job(mut spec: JobSpec, state: &Inventory, policy: &Policy) -> Checked<JobSpec> {
    spec.name = name("name", &spec.name)?;
    spec.description = text("description", spec.description)?;
    spec.tags = tags("tags", &spec.tags)?;
    interval(spec.interval_s, policy)?;
    spec.metrics.sort_unstable();
    spec.metrics.dedup();
    if spec.metrics.is_empty() {
        return Err(Rejection::invalid("metrics", "a job measures at least one metric")
            .accepting(Metric::ALL.map(Metric::name).join(", ")));
    }
    members(&mut spec, state)?;
    window(&mut spec)?;
    ping(&mut spec.options.ping)?;
    traceroute(&spec.options.traceroute)?;
    dns(&mut spec.options.dns)?;
    bandwidth(&mut spec.options.bandwidth)?;
    port("options.tcp.port", spec.options.tcp.port)?;
    timeout("options.tcp.timeout_ms", spec.options.tcp.timeout_ms)?;
    http(&mut spec.options.http)?;
    run_time(&spec)?;
    tcp_port(&spec, state)?;
    Ok(spec)
}

fn interval(interval_s: u32, policy: &Policy) -> Checked {
    let floor = policy.min_interval_s.max(LOWEST_MIN_INTERVAL_S);
    if interval_s < floor {
        return Err(Rejection::invalid("interval_s", format!("{interval_s} s is below the floor of {floor} s"))
            .accepting(format!("{floor} to {MAX_INTERVAL_S} s"))
            .hinting(format!(
                "`limits.min_interval_s` in the config file sets the floor, down to {LOWEST_MIN_INTERVAL_S} s"
            )));
    }
    within("interval_s", interval_s, " s", floor..=MAX_INTERVAL_S)
}

fn members(spec: &mut JobSpec, state: &Inventory) -> Checked {
    spec.destination_tags = tags("destination_tags", &spec.destination_tags)?;
    if spec.destinations.is_empty() && spec.destination_tags.is_empty() {
        return Err(Rejection::invalid("destinations", "a job needs at least one destination, by name or by tag")
            .hinting("name destinations in `destinations`, or tags of theirs in `destination_tags`"));
    }
    if let Some(unknown) = spec.destinations.iter().find(|id| !state.destinations.contains_key(id)) {
        return Err(Rejection::invalid("destinations", format!("there is no destination {unknown}")));
    }
    spec.destinations.sort_unstable();
    spec.destinations.dedup();
    at_most("destinations", spec.destinations.len(), MAX_JOB_DESTINATIONS)
}

fn window(spec: &mut JobSpec) -> Checked {
    spec.start_time = spec.start_time.map(Timestamp::to_whole_millis);
    spec.end_time = spec.end_time.map(Timestamp::to_whole_millis);
    if let (Some(start), Some(end)) = (spec.start_time, spec.end_time)
        && end <= start
    {
        return Err(Rejection::invalid("end_time", "it is not after `start_time`"));
    }
    let Some(hours) = &mut spec.active_hours else { return Ok(()) };
    active_hours("active_hours", hours)?;
    let start = spec.start_time.unwrap_or_else(|| Timestamp::from_secs(0));
    if Window::of(spec).next_open(start).is_none() {
        return Err(Rejection::invalid("active_hours", "they never open between `start_time` and `end_time`"));
    }
    Ok(())
}

/// Hours of the week under the field `at`.
pub(crate) fn active_hours(at: &str, hours: &mut WeeklyHours) -> Checked {
    let field = |name: &str| format!("{at}.{name}");
    let given = hours.time_zone.trim();
    let Some(known) = zone(given) else {
        let rejection = Rejection::invalid(field("time_zone"), format!("there is no time zone {given:?}"))
            .accepting("an IANA name, as \"Europe/Berlin\" or \"UTC\"");
        return Err(did_you_mean(rejection, given, zone_names()));
    };
    hours.time_zone = known.iana_name().unwrap_or(given).to_owned();
    if hours.spans.is_empty() {
        return Err(Rejection::invalid(field("spans"), "without a span it is never open")
            .hinting(format!("leave `{at}` out for any hour")));
    }
    hours.spans.sort_unstable();
    hours.spans.dedup();
    at_most(&field("spans"), hours.spans.len(), MAX_ACTIVE_SPANS)?;
    for span in &hours.spans {
        within(&field("spans.day"), span.weekday, " (0 is Monday)", 0..=6)?;
        within(&field("spans.from"), span.from_minute, " minutes after midnight", 0..=1_439)?;
        within(&field("spans.to"), span.to_minute, " minutes after midnight", 1..=1_440)?;
    }
    Ok(())
}

fn ping(options: &mut PingOptions) -> Checked {
    within("packets", usize::from(options.packets), "", 1..=MAX_BURST_PACKETS)?;
    within("spacing_ms", options.spacing_ms, " ms", MIN_SPACING_MS..=MAX_SPACING_MS)?;
    timeout("timeout_ms", options.timeout_ms)?;
    let payload = MIN_PING_PAYLOAD_BYTES..=MAX_PING_PAYLOAD_BYTES;
    within("options.ping.payload_bytes", options.payload_bytes, " bytes", payload)?;
    within("options.ping.dscp", options.dscp.unwrap_or(0), "", 0..=63)?;
    options.source = line("options.ping.source", options.source.take(), MAX_NAME_CHARS)?;
    if let Some(source) = &options.source
        && !source.bytes().all(|c| c.is_ascii_alphanumeric() || b".:%_-".contains(&c))
    {
        return Err(Rejection::invalid(
            "options.ping.source",
            format!("{source:?} is neither an address nor an interface"),
        ));
    }
    Ok(())
}

fn traceroute(options: &TracerouteOptions) -> Checked {
    within("options.traceroute.max_hops", usize::from(options.max_hops), "", 1..=MAX_HOPS)?;
    within("options.traceroute.probes_per_hop", options.probes_per_hop, "", 1..=MAX_PROBES_PER_HOP)?;
    timeout("options.traceroute.timeout_ms", options.timeout_ms)?;
    port("options.traceroute.port", options.port)
}

fn dns(options: &mut DnsOptions) -> Checked {
    options.name = line("options.dns.name", options.name.take(), MAX_HOST_CHARS + 1)?;
    if let Some(name) = &mut options.name {
        *name = dns_name(name)?;
    }
    options.server = line("options.dns.server", options.server.take(), MAX_HOST_CHARS + 6)?;
    if let Some(server) = &mut options.server {
        *server = dns_server(server)?;
        if options.transport == DnsTransport::System {
            return Err(Rejection::invalid("options.dns.server", "the system's resolver chooses its server itself")
                .hinting("leave `server` out, or choose another transport"));
        }
    }
    options.record_types = words("options.dns.record_types", &options.record_types, &RECORD_TYPES)?;
    if options.record_types.is_empty() {
        return Err(Rejection::invalid("options.dns.record_types", "at least one is looked up")
            .accepting(RECORD_TYPES.join(", ")));
    }
    options.expect_rcodes = words("options.dns.expect_rcodes", &options.expect_rcodes, &RCODES)?;
    at_most("options.dns.expect_answers", options.expect_answers.len(), MAX_DNS_LIST)?;
    for answer in &mut options.expect_answers {
        *answer = line("options.dns.expect_answers", Some(std::mem::take(answer)), MAX_HOST_CHARS)?
            .ok_or_else(|| Rejection::invalid("options.dns.expect_answers", "an answer is empty"))?;
    }
    timeout("options.dns.timeout_ms", options.timeout_ms)
}

/// A name to look up: labels of any printable ASCII (service names have underscores), lower case, no last dot.
fn dns_name(name: &str) -> Checked<String> {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let right = name.len() <= MAX_HOST_CHARS
        && name.split('.').all(|label| (1..=63).contains(&label.len()) && label.bytes().all(|c| c.is_ascii_graphic()));
    if right {
        Ok(name)
    } else {
        Err(Rejection::invalid("options.dns.name", format!("{name:?} is not a domain name"))
            .accepting("labels of 1 to 63 ASCII characters with dots between, 253 in all"))
    }
}

/// Host, or host and port: `192.0.2.53`, `192.0.2.53:5353`, `2001:db8::53`, `[2001:db8::53]:5353`.
fn dns_server(server: &str) -> Checked<String> {
    let split = match server.rsplit_once(':') {
        Some((host, port)) if host.starts_with('[') && host.ends_with(']') => Some((host, port)),
        Some((host, port)) if !host.contains(':') => Some((host, port)),
        _ => None,
    };
    let at_field = |rejection: Rejection| rejection.at("options.dns.server");
    match split {
        None => canonical_host(server).map_err(at_field),
        Some((host, port)) => {
            let host = canonical_host(host).map_err(at_field)?;
            let port: u16 = port.parse().ok().filter(|port| *port > 0).ok_or_else(|| {
                Rejection::invalid("options.dns.server", format!("{port:?} is not a port")).accepting("1 to 65535")
            })?;
            Ok(if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") })
        }
    }
}

fn bandwidth(options: &mut BandwidthOptions) -> Checked {
    port("options.bandwidth.port", options.port)?;
    // The first second is left out of the result, so one second measures nothing.
    within("options.bandwidth.duration_s", options.duration_s, " s", 2..=MAX_BANDWIDTH_DURATION_S)?;
    within("options.bandwidth.streams", options.streams, "", 1..=MAX_BANDWIDTH_STREAMS)?;
    if options.max_run_bytes == 0 {
        return Err(Rejection::invalid(
            "options.bandwidth.max_run_bytes",
            "a run that may move nothing measures nothing",
        )
        .accepting("1 or more"));
    }
    options.credential = line("options.bandwidth.credential", options.credential.take(), MAX_NAME_CHARS)?;
    Ok(())
}

fn http(options: &mut HttpOptions) -> Checked {
    port("options.http.port", options.port)?;
    let path = &options.path;
    if path.chars().count() > MAX_HTTP_PATH_CHARS {
        return Err(too_long("options.http.path", path.chars().count(), MAX_HTTP_PATH_CHARS));
    }
    if !path.starts_with('/') || !path.bytes().all(|c| c.is_ascii_graphic()) || path.contains('#') {
        return Err(Rejection::invalid("options.http.path", format!("{path:?} is not a path"))
            .accepting("a / and printable ASCII without # and spaces")
            .hinting("write other characters percent-encoded"));
    }
    options.method.make_ascii_uppercase();
    if !matches!(options.method.as_str(), "GET" | "HEAD") {
        return Err(Rejection::invalid("options.http.method", format!("{:?} is not asked for", options.method))
            .accepting("GET, HEAD"));
    }
    options.expect_status.sort_unstable();
    options.expect_status.dedup();
    at_most("options.http.expect_status", options.expect_status.len(), MAX_HTTP_STATUSES)?;
    for &status in &options.expect_status {
        within("options.http.expect_status", status, "", 100..=599)?;
    }
    if let Some(body) = options.expect_body.take().filter(|body| !body.is_empty()) {
        let chars = body.chars().count();
        if chars > MAX_HTTP_BODY_CHARS {
            return Err(too_long("options.http.expect_body", chars, MAX_HTTP_BODY_CHARS));
        }
        if options.method == "HEAD" {
            return Err(Rejection::invalid("options.http.expect_body", "the answer to HEAD has no body")
                .hinting("use the method GET"));
        }
        options.expect_body = Some(body);
    }
    within("options.http.max_redirects", options.max_redirects, "", 0..=MAX_HTTP_REDIRECTS)?;
    timeout("options.http.timeout_ms", options.timeout_ms)
}

/// A run must be over before the next one is due.
fn run_time(spec: &JobSpec) -> Checked {
    let options = &spec.options;
    let interval_ms = u64::from(spec.interval_s) * 1_000;
    for probe in probes(spec) {
        let (takes_ms, fields) = match probe {
            ProbeKind::Ping => {
                let gaps = u64::from(options.ping.packets.saturating_sub(1));
                let takes_ms = gaps * u64::from(options.ping.spacing_ms) + u64::from(options.ping.timeout_ms);
                (takes_ms, "`packets`, `spacing_ms` or `timeout_ms`")
            }
            ProbeKind::Traceroute => (options.traceroute.timeout_ms.into(), "`options.traceroute.timeout_ms`"),
            ProbeKind::Dns => (options.dns.timeout_ms.into(), "`options.dns.timeout_ms`"),
            ProbeKind::Bandwidth => {
                let ways = if options.bandwidth.direction == BandwidthDirection::Both { 2 } else { 1 };
                (ways * u64::from(options.bandwidth.duration_s) * 1_000, "`options.bandwidth.duration_s`")
            }
            ProbeKind::Tcp => (options.tcp.timeout_ms.into(), "`options.tcp.timeout_ms`"),
            ProbeKind::Http => (options.http.timeout_ms.into(), "`options.http.timeout_ms`"),
        };
        if takes_ms >= interval_ms {
            let message = format!(
                "a {} run may take {takes_ms} ms, as long as the interval of {interval_ms} ms or longer",
                probe.name()
            );
            return Err(Rejection::invalid("interval_s", message)
                .accepting(format!("more than {takes_ms} ms"))
                .hinting(format!("lengthen the interval, or lower {fields}")));
        }
    }
    Ok(())
}

/// A TCP connection needs a port from somewhere. What tags match changes with time, so they may always match one.
fn tcp_port(spec: &JobSpec, state: &Inventory) -> Checked {
    if !spec.metrics.contains(&Metric::Tcp) || spec.options.tcp.port.is_some() || !spec.destination_tags.is_empty() {
        return Ok(());
    }
    let named = spec.destinations.iter().filter_map(|id| state.destinations.get(id));
    if named.into_iter().any(|destination| destination.spec.port.is_some()) {
        return Ok(());
    }
    Err(Rejection::invalid("options.tcp.port", "the metric tcp needs a port, and no destination of the job has one")
        .accepting("1 to 65535")
        .hinting("set `options.tcp.port`, or `port` on the destinations"))
}

/// A name: of a destination or job, and so a place in a URL.
pub(crate) fn name(field: &str, given: &str) -> Checked<String> {
    let name = given.trim();
    let accepted = format!(
        "1 to {MAX_NAME_CHARS} characters, not all digits, none of {}",
        NOT_IN_NAMES.map(String::from).join(" ")
    );
    let refuse = |why: String| Err(Rejection::invalid(field, why).accepting(accepted.clone()));
    let chars = name.chars().count();
    if chars == 0 {
        return refuse("it is empty".to_owned());
    }
    if chars > MAX_NAME_CHARS {
        return refuse(format!("it has {chars} characters"));
    }
    if name.chars().all(char::is_numeric) {
        return refuse(format!("{name:?} could be taken for an id"));
    }
    if name == "." || name == ".." {
        return refuse(format!("{name:?} has another meaning in a path"));
    }
    if let Some(bad) = name.chars().find(|c| NOT_IN_NAMES.contains(c) || c.is_control() || is_invisible(*c)) {
        return refuse(format!("it holds the character {}", shown(bad)));
    }
    Ok(name.to_owned())
}

fn shown(bad: char) -> String {
    if NOT_IN_NAMES.contains(&bad) { bad.to_string() } else { bad.escape_unicode().to_string() }
}

/// Characters that show nothing or turn the direction of text: two names would look alike.
const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Tags in lower case, sorted, without repeats.
pub(crate) fn tags(field: &str, given: &[String]) -> Checked<Vec<String>> {
    let mut tags = Vec::with_capacity(given.len().min(MAX_TAGS));
    for tag in given {
        let tag = tag.trim().to_lowercase();
        let chars = tag.chars().count();
        if chars == 0 || chars > MAX_NAME_CHARS {
            return Err(Rejection::invalid(field, format!("a tag has {chars} characters"))
                .accepting(format!("1 to {MAX_NAME_CHARS} characters")));
        }
        if let Some(bad) = tag.chars().find(|c| NOT_IN_NAMES.contains(c) || c.is_control() || is_invisible(*c)) {
            return Err(Rejection::invalid(field, format!("the tag {tag:?} holds the character {}", shown(bad))));
        }
        tags.push(tag);
    }
    tags.sort_unstable();
    tags.dedup();
    at_most(field, tags.len(), MAX_TAGS)?;
    Ok(tags)
}

/// Free text; empty is none.
pub(crate) fn text(field: &str, given: Option<String>) -> Checked<Option<String>> {
    let Some(text) = given.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let chars = text.chars().count();
    if chars > MAX_TEXT_CHARS {
        return Err(too_long(field, chars, MAX_TEXT_CHARS));
    }
    if let Some(bad) = text.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Err(Rejection::invalid(field, format!("it holds the character {}", bad.escape_unicode())));
    }
    Ok(Some(text))
}

/// One line of text; empty is none.
pub(crate) fn line(field: &str, given: Option<String>, limit: usize) -> Checked<Option<String>> {
    let Some(line) = given.map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()) else {
        return Ok(None);
    };
    let chars = line.chars().count();
    if chars > limit {
        return Err(too_long(field, chars, limit));
    }
    if let Some(bad) = line.chars().find(|c| c.is_control()) {
        return Err(Rejection::invalid(field, format!("it holds the character {}", bad.escape_unicode())));
    }
    Ok(Some(line))
}

/// One line of text that must say something.
pub(crate) fn required_line(field: &str, given: String) -> Checked<String> {
    line(field, Some(given), MAX_NAME_CHARS)?
        .ok_or_else(|| Rejection::invalid(field, "it is empty").accepting(format!("1 to {MAX_NAME_CHARS} characters")))
}

/// Words of a fixed list, in upper case, in the order given, without repeats.
fn words(field: &str, given: &[String], known: &[&str]) -> Checked<Vec<String>> {
    let mut words: Vec<String> = Vec::new();
    for word in given {
        let word = word.trim().to_ascii_uppercase();
        if !known.contains(&word.as_str()) {
            let rejection = Rejection::invalid(field, format!("{word:?} is not known")).accepting(known.join(", "));
            return Err(did_you_mean(rejection, &word, known));
        }
        if !words.contains(&word) {
            words.push(word);
        }
    }
    at_most(field, words.len(), MAX_DNS_LIST)?;
    Ok(words)
}

fn timeout(field: &str, timeout_ms: u32) -> Checked {
    within(field, timeout_ms, " ms", MIN_TIMEOUT_MS..=MAX_TIMEOUT_MS)
}

fn port(field: &str, port: Option<u16>) -> Checked {
    within(field, port.unwrap_or(1), "", 1..=u16::MAX)
}

pub(crate) fn within<N: PartialOrd + Display>(field: &str, has: N, unit: &str, range: RangeInclusive<N>) -> Checked {
    if range.contains(&has) { Ok(()) } else { Err(out_of(field, has, unit, range)) }
}

fn out_of<N: Display>(field: &str, has: N, unit: &str, range: RangeInclusive<N>) -> Rejection {
    Rejection::invalid(field, format!("{has}{unit} is out of range")).accepting(format!(
        "{} to {}{unit}",
        range.start(),
        range.end()
    ))
}

pub(crate) fn at_most(field: &str, has: usize, limit: usize) -> Checked {
    if has <= limit {
        return Ok(());
    }
    Err(Rejection::invalid(field, format!("it holds {has}")).accepting(format!("at most {limit}")))
}

fn too_long(field: &str, chars: usize, limit: usize) -> Rejection {
    Rejection::invalid(field, format!("it has {chars} characters")).accepting(format!("at most {limit}"))
}
