//! TCP: how long a connection takes to be set up, and what becomes of it.

use std::sync::Arc;
use std::time::Duration;

use netstats_event::{FailReason, ProbeKind, TcpMeasured, TcpOutcome};

use crate::connect::{Attempt, connect, socket_address};
use crate::{BoxFuture, Outcome, Probe, Report, Request, Resolver, TransportError};

/// Connects to a port and closes again.
pub struct TcpProbe {
    resolver: Arc<Resolver>,
}

impl TcpProbe {
    /// Resolves names with that resolver.
    #[must_use]
    pub fn new(resolver: Arc<Resolver>) -> Self {
        Self { resolver }
    }

    async fn measure(&self, request: &Request) -> Result<Report, TransportError> {
        let options = &request.options.tcp;
        let port = options.port.or(request.port).ok_or_else(|| TransportError {
            reason: FailReason::BadOptions,
            detail: "no port: set `options.tcp.port`, or the destination's `port`".to_owned(),
        })?;
        let resolved = self.resolver.resolve(request.contact(ProbeKind::Tcp, Some(port)), options.family).await?;
        let timeout = Duration::from_millis(options.timeout_ms.into());
        let tried = connect(socket_address(&resolved, port), timeout).await;
        let outcome = match tried.attempt {
            Attempt::Connected { rtt, .. } => TcpOutcome::Connected(rtt),
            Attempt::Refused(rtt) => TcpOutcome::Refused(rtt),
            Attempt::Timeout => TcpOutcome::Timeout,
            Attempt::Unreachable(code) => TcpOutcome::Unreachable(code),
            Attempt::NotSent(error) => TcpOutcome::Local(error.raw_os_error().unwrap_or(0)),
        };
        let sample = TcpMeasured { head: Outcome::BLANK, address: resolved.address, port, outcome };
        Ok(Report { first_sent: Some(tried.began), answers: resolved.answers, ..Report::of(Outcome::Tcp(sample)) })
    }
}

impl Probe for TcpProbe {
    fn kind(&self) -> ProbeKind {
        ProbeKind::Tcp
    }

    fn run<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Report> {
        Box::pin(async { self.measure(request).await.unwrap_or_else(Report::from) })
    }
}
