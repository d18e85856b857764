//! HTTP(S): one request, phase by phase: name, connection, TLS, first byte, whole.

#[cfg(any(test, netstats_fuzz))]
pub(crate) mod fuzz;
mod message;
mod url;

use std::sync::Arc;
use std::time::{Duration, Instant};

use netstats_event::{FailReason, HttpMeasured, HttpOptions, HttpOutcome, ProbeKind};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::connect::{Attempt, connect, socket_address};
use crate::limits::MAX_REDIRECTS;
use crate::tls::Tls;
use crate::{BoxFuture, Contact, Outcome, Probe, Report, Request, Resolver, TransportError, clock};

pub(crate) use message::{Ask, Reply, exchange};
use url::Url;

/// Asks web servers.
pub struct HttpProbe {
    resolver: Arc<Resolver>,
    tls: Tls,
}

/// A run under way: the sample as far as it is known.
struct Run<'a> {
    options: &'a HttpOptions,
    sample: HttpMeasured,
    deadline: Instant,
    answers: Vec<std::net::IpAddr>,
}

/// Why a run goes no further.
enum Stop {
    Outcome(HttpOutcome),
    /// The guard does not allow the first address, or one that a redirect leads to.
    Denied(TransportError),
}

impl From<HttpOutcome> for Stop {
    fn from(outcome: HttpOutcome) -> Self {
        Self::Outcome(outcome)
    }
}

impl Run<'_> {
    fn not_resolved(&self, error: TransportError) -> Stop {
        if error.reason != FailReason::Denied {
            return HttpOutcome::NameNotResolved(error.detail).into();
        }
        let redirected = if self.sample.redirects > 0 { "redirected: " } else { "" };
        Stop::Denied(TransportError { detail: format!("{redirected}{}", error.detail), ..error })
    }
}

impl HttpProbe {
    /// Resolves names with that resolver, trusts whom `tls` trusts.
    #[must_use]
    pub fn new(resolver: Arc<Resolver>, tls: Tls) -> Self {
        Self { resolver, tls }
    }

    async fn measure(&self, request: &Request) -> Report {
        let options = &request.options.http;
        let begin = clock::now();
        let first = Url::of(options, &request.host, request.port);
        let mut run = Run {
            options,
            sample: HttpMeasured {
                head: Outcome::BLANK,
                url: first.to_string(),
                address: None,
                dns: None,
                connect: None,
                tls: None,
                first_byte: None,
                total: None,
                certificate_expires: None,
                redirects: 0,
                body_bytes: 0,
                outcome: HttpOutcome::Timeout("dns".to_owned()),
            },
            deadline: begin + Duration::from_millis(options.timeout_ms.into()),
            answers: Vec::new(),
        };
        run.sample.outcome = match self.follow(&mut run, first, begin).await {
            Ok(outcome) | Err(Stop::Outcome(outcome)) => outcome,
            // Nothing was learnt of the destination: to follow where it leads is not allowed us.
            Err(Stop::Denied(denied)) => {
                return Report { first_sent: Some(begin), answers: run.answers, ..Report::from(denied) };
            }
        };
        Report { first_sent: Some(begin), answers: run.answers, ..Report::of(Outcome::Http(run.sample)) }
    }

    /// The first request and those that it leads to.
    async fn follow(&self, run: &mut Run<'_>, first: Url, begin: Instant) -> Result<HttpOutcome, Stop> {
        let (mut url, mut is_first_inner) = (first, None);
        loop {
            let reply = self.ask(run, &url, &mut is_first_inner).await?;
            run.sample.total = Some(clock::since(begin));
            let may_follow = run.sample.redirects < run.options.max_redirects.min(MAX_REDIRECTS);
            match reply.location.as_deref().filter(|_| may_follow && matches!(reply.status, 301..=303 | 307 | 308)) {
                Some(location) => {
                    url = url.join(location).map_err(|why| {
                        HttpOutcome::Protocol(format!("redirected to {location:?}, which is not followed: {why}"))
                    })?;
                    run.sample.redirects += 1;
                }
                None => {
                    run.sample.body_bytes = u32::try_from(reply.body_bytes).unwrap_or(u32::MAX);
                    return Ok(judge(run.options, &reply));
                }
            }
        }
    }

    /// One request to one place.
    async fn ask(&self, run: &mut Run<'_>, url: &Url, is_first_inner: &mut Option<bool>) -> Result<Reply, Stop> {
        let deadline = run.deadline.into();
        let late = |phase: &str| HttpOutcome::Timeout(phase.to_owned());
        let start = clock::now();
        let contact = Contact { host: &url.host, probe: ProbeKind::Http, port: Some(url.port) };
        let resolved = tokio::time::timeout_at(deadline, self.resolver.resolve(contact, run.options.family))
            .await
            .map_err(|_| late("dns"))?
            .map_err(|error| run.not_resolved(error))?;
        run.sample.dns = (!resolved.answers.is_empty()).then(|| clock::since(start));
        // A server outside must not make us knock at doors inside.
        let is_inner = url::is_inner(resolved.address);
        if is_inner && *is_first_inner.get_or_insert(is_inner) != is_inner {
            return Err(HttpOutcome::Protocol(format!("redirected to the inner address {}", resolved.address)).into());
        }
        run.sample.address = Some(resolved.address);
        if run.sample.redirects == 0 {
            run.answers.clone_from(&resolved.answers);
        }
        let left = run.deadline.saturating_duration_since(clock::now());
        let stream = match connect(socket_address(&resolved, url.port), left).await.attempt {
            Attempt::Connected { stream, rtt } => {
                run.sample.connect = Some(rtt);
                stream
            }
            Attempt::Refused(_) => return Err(HttpOutcome::Refused.into()),
            Attempt::Timeout => return Err(late("connect").into()),
            Attempt::Unreachable(code) => return Err(HttpOutcome::Unreachable(code).into()),
            Attempt::NotSent(error) => return Err(HttpOutcome::Local(error.to_string()).into()),
        };
        if !url.is_tls {
            run.sample.tls = None;
            return Ok(self.talk(run, url, stream).await?);
        }
        let start = clock::now();
        let shaken = self.tls.connect(stream, &url.host, run.options.verify_tls, &["http/1.1"]);
        let shaken = tokio::time::timeout_at(deadline, shaken).await.map_err(|_| late("tls"))?;
        run.sample.certificate_expires = shaken.certificate_expires;
        let stream = shaken.stream.map_err(HttpOutcome::Tls)?;
        run.sample.tls = Some(clock::since(start));
        Ok(self.talk(run, url, stream).await?)
    }

    async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        run: &mut Run<'_>,
        url: &Url,
        stream: S,
    ) -> Result<Reply, HttpOutcome> {
        let ask =
            Ask { method: &run.options.method, authority: &url.authority(), path: &url.path, headers: "", body: &[] };
        match tokio::time::timeout_at(run.deadline.into(), exchange(stream, &ask, &mut run.sample.first_byte)).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(why)) => Err(HttpOutcome::Protocol(why)),
            Err(_) => {
                let phase = if run.sample.first_byte.is_some() { "body" } else { "first_byte" };
                Err(HttpOutcome::Timeout(phase.to_owned()))
            }
        }
    }
}

/// Whether the response is what the job expects.
fn judge(options: &HttpOptions, reply: &Reply) -> HttpOutcome {
    let is_status_right = match options.expect_status.as_slice() {
        [] => (200..400).contains(&reply.status),
        wanted => wanted.contains(&reply.status),
    };
    if !is_status_right {
        return HttpOutcome::UnexpectedStatus(reply.status);
    }
    match &options.expect_body {
        Some(text) if !reply.start_holds(text.as_bytes()) => HttpOutcome::UnexpectedBody(reply.status),
        _ => HttpOutcome::Expected(reply.status),
    }
}

impl Probe for HttpProbe {
    fn kind(&self) -> ProbeKind {
        ProbeKind::Http
    }

    fn run<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Report> {
        Box::pin(self.measure(request))
    }
}
