//! DNS: a server asked directly and timed, or the system's own resolver as applications feel it.

mod exchange;
#[cfg(any(test, netstats_fuzz))]
pub(crate) mod fuzz;
mod message;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use netstats_event::{
    AddressFamily, AnswerRecord, ClockSource, DnsFailure, DnsOptions, DnsOutcome, DnsTransport, FailReason,
    NameResolved, ProbeKind,
};

use crate::connect::socket_address;
use crate::tls::Tls;
use crate::{BoxFuture, Contact, Outcome, Probe, Report, Request, Resolver, TransportError, clock};
use exchange::{Answered, Server};
use message::Question;
pub(crate) use message::records as answer_records;

/// Looks names up.
pub struct DnsProbe {
    resolver: Arc<Resolver>,
    tls: Tls,
}

/// What was found for one record type.
struct Found {
    outcome: DnsOutcome,
    clock: ClockSource,
    attempts: u8,
}

impl DnsProbe {
    /// Resolves servers' names with that resolver, trusts whom `tls` trusts.
    #[must_use]
    pub fn new(resolver: Arc<Resolver>, tls: Tls) -> Self {
        Self { resolver, tls }
    }

    async fn measure(&self, request: &Request) -> Result<Report, TransportError> {
        let options = &request.options.dns;
        let name = name_to_ask(options, &request.host)?;
        let is_system = options.transport == DnsTransport::System;
        let server = if is_system { None } else { Some(self.server(options, request).await?) };
        let begin = clock::now();
        let until = begin + Duration::from_millis(options.timeout_ms.into());
        let mut found: Option<Found> = None;
        for record_type in &options.record_types {
            let one = match &server {
                Some((address, host)) => {
                    let server = Server { address: *address, name: host, tls: &self.tls };
                    query(options.transport, &server, &name, record_type, until).await?
                }
                None => self.system(&name, record_type, until).await,
            };
            found = Some(match found {
                None => one,
                Some(before) => before.and(one),
            });
        }
        let found = found.ok_or_else(|| bad("no record type is asked for"))?;
        let sample = NameResolved {
            head: Outcome::BLANK,
            is_expected: is_expected(options, &found.outcome),
            name,
            record_type: options.record_types.join("+"),
            server: server.map(|(address, _)| address.to_string()),
            transport: transport_name(options.transport).to_owned(),
            clock: found.clock,
            attempts: found.attempts,
            outcome: found.outcome,
        };
        Ok(Report { first_sent: Some(begin), ..Report::of(Outcome::Dns(sample)) })
    }

    /// The server to ask, and the name that its certificate must hold.
    async fn server(&self, options: &DnsOptions, request: &Request) -> Result<(SocketAddr, String), TransportError> {
        let usual = match options.transport {
            DnsTransport::Tls => 853,
            DnsTransport::Https => 443,
            DnsTransport::Udp | DnsTransport::Tcp | DnsTransport::System => 53,
        };
        let (host, port) = match (&options.server, &options.name) {
            (Some(server), _) => split_port(server),
            (None, Some(_)) => (request.host.as_str(), request.port),
            (None, None) => {
                let first = self.resolver.first_server().await?;
                return Ok((SocketAddr::new(first, usual), first.to_string()));
            }
        };
        let port = port.unwrap_or(usual);
        let contact = Contact { host, probe: ProbeKind::Dns, port: Some(port) };
        let resolved = self.resolver.resolve(contact, AddressFamily::Any).await?;
        Ok((socket_address(&resolved, port), host.to_owned()))
    }

    /// Through the system's configuration: its servers, their retries, no cache of ours.
    async fn system(&self, name: &str, record_type: &str, until: Instant) -> Found {
        let begin = clock::now();
        let lookup = tokio::time::timeout_at(until.into(), self.resolver.records(name, record_type)).await;
        let outcome = match lookup {
            Ok(Ok((rcode, answers))) => DnsOutcome::Response { rtt: clock::since(begin), rcode, flags: 0, answers },
            Ok(Err(failure)) => DnsOutcome::Failure(failure),
            Err(_) => DnsOutcome::Failure(DnsFailure::Timeout),
        };
        Found { outcome, clock: ClockSource::User, attempts: 1 }
    }
}

/// Asks one server for one type.
async fn query(
    transport: DnsTransport,
    server: &Server<'_>,
    name: &str,
    record_type: &str,
    until: Instant,
) -> Result<Found, TransportError> {
    let question = Question::new(name, record_type, transport == DnsTransport::Udp).map_err(|why| bad(&why))?;
    let mut attempts = 1;
    let result = match transport {
        DnsTransport::Udp | DnsTransport::System => udp_twice(server.address, &question, until, &mut attempts).await,
        DnsTransport::Tcp => exchange::tcp(server.address, &question, until).await,
        DnsTransport::Tls => exchange::tls(server, &question, until).await,
        DnsTransport::Https => exchange::https(server, &question.cacheable(), until).await,
    };
    Ok(match result {
        Ok(Answered { response, rtt, clock }) => {
            let (rcode, flags, answers) = (response.rcode, response.flags, response.answers);
            Found { outcome: DnsOutcome::Response { rtt, rcode, flags, answers }, clock, attempts }
        }
        Err(failure) => Found { outcome: DnsOutcome::Failure(failure), clock: ClockSource::User, attempts },
    })
}

/// Over UDP; asked once more when half of the time has passed without an answer, and over TCP when the answer was cut.
/// The answer to either question counts, timed from its own sending.
async fn udp_twice(
    server: SocketAddr,
    question: &Question,
    until: Instant,
    attempts: &mut u8,
) -> exchange::Result<Answered> {
    let first = exchange::udp(server, question, until);
    tokio::pin!(first);
    let half = clock::now() + until.saturating_duration_since(clock::now()) / 2;
    let answered = match tokio::time::timeout_at(half.into(), &mut first).await {
        Ok(result) => result?,
        Err(_) => {
            *attempts = 2;
            tokio::select! {
                biased;
                result = &mut first => result?,
                result = exchange::udp(server, question, until) => result?,
            }
        }
    };
    if answered.response.is_truncated() {
        *attempts += 1;
        return exchange::tcp(server, question, until).await;
    }
    Ok(answered)
}

impl Found {
    /// Both together: the slower time, the worse code, all records; a failure if one failed.
    fn and(self, other: Self) -> Self {
        let outcome = match (self.outcome, other.outcome) {
            (DnsOutcome::Failure(failure), _) | (_, DnsOutcome::Failure(failure)) => DnsOutcome::Failure(failure),
            (
                DnsOutcome::Response { rtt, rcode, flags, mut answers },
                DnsOutcome::Response { rtt: other_rtt, rcode: other_rcode, flags: other_flags, answers: more },
            ) => {
                answers.extend(more);
                let flags = flags & other_flags;
                DnsOutcome::Response { rtt: rtt.max(other_rtt), rcode: rcode.max(other_rcode), flags, answers }
            }
        };
        Self { outcome, clock: self.clock.max(other.clock), attempts: self.attempts.max(other.attempts) }
    }
}

fn name_to_ask(options: &DnsOptions, host: &str) -> Result<String, TransportError> {
    let name = match &options.name {
        Some(name) => name.clone(),
        None if host.parse::<IpAddr>().is_ok() || host.contains('%') => {
            return Err(bad("the destination is an address: set `options.dns.name` to the name to look up"));
        }
        None => host.to_owned(),
    };
    if !options.random_prefix {
        return Ok(name);
    }
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|error| bad(&error.to_string()))?;
    Ok(format!("{:016x}.{name}", u64::from_be_bytes(random)))
}

fn bad(detail: &str) -> TransportError {
    TransportError { reason: FailReason::BadOptions, detail: detail.to_owned() }
}

/// `192.0.2.53`, `192.0.2.53:5353`, `2001:db8::53`, `[2001:db8::53]:5353`, `dns.example:853`.
fn split_port(server: &str) -> (&str, Option<u16>) {
    let split = match server.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => Some((host, port.trim_start_matches(':'))),
        None => server.rsplit_once(':').filter(|(host, _)| !host.contains(':')),
    };
    match split {
        Some((host, port)) => (host, port.parse().ok()),
        None => (server, None),
    }
}

const fn transport_name(transport: DnsTransport) -> &'static str {
    match transport {
        DnsTransport::Udp => "udp",
        DnsTransport::Tcp => "tcp",
        DnsTransport::Tls => "tls",
        DnsTransport::Https => "https",
        DnsTransport::System => "system",
    }
}

const RCODES: [&str; 11] = [
    "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH",
    "NOTZONE",
];

/// The right code, and every answer that must be there.
fn is_expected(options: &DnsOptions, outcome: &DnsOutcome) -> bool {
    let DnsOutcome::Response { rcode, answers, .. } = outcome else { return false };
    let name = RCODES.get(usize::from(*rcode)).copied().unwrap_or_default();
    let is_code_right = match options.expect_rcodes.as_slice() {
        [] => *rcode == 0,
        wanted => wanted.iter().any(|wanted| wanted.eq_ignore_ascii_case(name)),
    };
    let plain = |data: &str| data.trim_end_matches('.').trim_matches('"').to_ascii_lowercase();
    let holds = |wanted: &String| answers.iter().any(|record: &AnswerRecord| plain(&record.data) == plain(wanted));
    is_code_right && options.expect_answers.iter().all(holds)
}

impl Probe for DnsProbe {
    fn kind(&self) -> ProbeKind {
        ProbeKind::Dns
    }

    fn run<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Report> {
        Box::pin(async { self.measure(request).await.unwrap_or_else(Report::from) })
    }
}

#[cfg(test)]
mod tests {
    use netstats_event::Rtt;

    use super::*;

    #[test]
    fn a_server_may_be_written_with_a_port() {
        for (text, host, port) in [
            ("192.0.2.53", "192.0.2.53", None),
            ("192.0.2.53:5353", "192.0.2.53", Some(5353)),
            ("2001:db8::53", "2001:db8::53", None),
            ("[2001:db8::53]:5353", "2001:db8::53", Some(5353)),
            ("dns.example:853", "dns.example", Some(853)),
        ] {
            assert_eq!(split_port(text), (host, port));
        }
    }

    #[test]
    fn what_is_expected_is_a_success_and_nothing_else() {
        let record = |data: &str| AnswerRecord { record_type: "A".into(), data: data.into(), ttl_s: 1 };
        let response = |rcode, answers| DnsOutcome::Response { rtt: Rtt::from_micros(9), rcode, flags: 0, answers };
        let mut options = DnsOptions::default();
        assert!(is_expected(&options, &response(0, vec![record("192.0.2.1")])));
        assert!(!is_expected(&options, &response(3, Vec::new())), "no such name");
        options.expect_answers = vec!["192.0.2.1".into(), "Mail.Example.".into()];
        assert!(!is_expected(&options, &response(0, vec![record("192.0.2.1")])), "one of them is missing");
        assert!(is_expected(&options, &response(0, vec![record("mail.example"), record("192.0.2.1")])));
        options = DnsOptions { expect_rcodes: vec!["NXDOMAIN".into()], ..DnsOptions::default() };
        assert!(is_expected(&options, &response(3, Vec::new())), "a name that must not exist");
        assert!(!is_expected(&options, &response(0, Vec::new())));
        assert!(!is_expected(&options, &DnsOutcome::Failure(DnsFailure::Timeout)));
    }
}
