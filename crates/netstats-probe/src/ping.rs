//! Ping, packet loss and jitter: one burst of ICMP echoes.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use netstats_event::{FailReason, PingMeasured, PingOptions, ProbeKind};

use crate::limits::{MAX_LINGER, MAX_PACKETS, MIN_PAYLOAD_BYTES};
use crate::{BoxFuture, Burst, IcmpTransport, Outcome, Probe, Report, Request, Resolver, TransportError, platform};

/// Pings through an [`IcmpTransport`].
pub struct PingProbe {
    icmp: Arc<dyn IcmpTransport>,
    resolver: Arc<Resolver>,
}

impl PingProbe {
    /// Through that engine.
    #[must_use]
    pub fn new(icmp: Arc<dyn IcmpTransport>, resolver: Arc<Resolver>) -> Self {
        Self { icmp, resolver }
    }

    async fn measure(&self, request: &Request) -> Result<Report, TransportError> {
        let options = &request.options.ping;
        let resolved = self.resolver.resolve(request.contact(ProbeKind::Ping, None), options.family).await?;
        let burst = burst(options, resolved.address, resolved.scope_id)?;
        let (payload_bytes, address) = (burst.payload_bytes, burst.address);
        let result = match self.icmp.burst(burst).await {
            Ok(result) => result,
            Err(error) => {
                let report = Report::failed(error.reason, error.detail);
                return Ok(Report { answers: resolved.answers, ..report });
            }
        };
        let sample = PingMeasured {
            head: Outcome::BLANK,
            address,
            transport: result.transport,
            clock: result.clock,
            payload_bytes,
            spacing_ms: options.spacing_ms,
            timeout_ms: options.timeout_ms,
            echoes: result.echoes,
            ttl: result.ttl,
            duplicates: result.duplicates,
            reordered: result.reordered,
            bad_replies: result.bad_replies,
        };
        Ok(Report {
            outcome: Outcome::Ping(sample),
            first_sent: result.first_sent,
            flags: result.flags,
            answers: resolved.answers,
        })
    }
}

impl Probe for PingProbe {
    fn kind(&self) -> ProbeKind {
        ProbeKind::Ping
    }

    fn run<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Report> {
        Box::pin(async { self.measure(request).await.unwrap_or_else(Report::from) })
    }
}

/// The burst that these options ask for.
fn burst(options: &PingOptions, address: IpAddr, scope_id: u32) -> Result<Burst, TransportError> {
    let bad = |detail: String| TransportError { reason: FailReason::BadOptions, detail };
    if options.packets == 0 || options.packets > MAX_PACKETS {
        return Err(bad(format!("packets is {}; it may be 1 to {MAX_PACKETS}", options.packets)));
    }
    let (mut source, mut interface) = (None, 0);
    if let Some(text) = &options.source {
        match text.parse::<IpAddr>() {
            Ok(from) if from.is_ipv4() == address.is_ipv4() => source = Some(from),
            Ok(from) => return Err(bad(format!("source {from} is of another address family than {address}"))),
            Err(_) => {
                interface = platform::interface_index(text).ok_or_else(|| TransportError {
                    reason: FailReason::NoRoute,
                    detail: format!("this machine has no interface {text}"),
                })?;
            }
        }
    }
    let timeout = Duration::from_millis(u64::from(options.timeout_ms));
    Ok(Burst {
        address,
        scope_id,
        packets: options.packets,
        spacing: Duration::from_millis(u64::from(options.spacing_ms)),
        timeout,
        payload_bytes: options.payload_bytes.max(MIN_PAYLOAD_BYTES),
        dscp: options.dscp,
        dont_fragment: options.dont_fragment,
        source,
        interface,
        ttls: Vec::new(),
        linger: timeout.min(MAX_LINGER),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_become_a_burst_or_a_reason() {
        let local = "127.0.0.1".parse().unwrap();
        let mut options = PingOptions { payload_bytes: 1, timeout_ms: 300, ..PingOptions::default() };
        let sent = burst(&options, local, 0).unwrap();
        assert_eq!((sent.packets, sent.payload_bytes, sent.linger), (10, 16, Duration::from_millis(300)));
        options.source = Some("::1".to_owned());
        assert_eq!(burst(&options, local, 0).unwrap_err().reason, FailReason::BadOptions);
        options.source = Some("no-such-interface".to_owned());
        assert_eq!(burst(&options, local, 0).unwrap_err().reason, FailReason::NoRoute);
        options = PingOptions { packets: MAX_PACKETS + 1, ..PingOptions::default() };
        assert!(burst(&options, local, 0).unwrap_err().detail.contains("1 to 1000"));
    }
}
