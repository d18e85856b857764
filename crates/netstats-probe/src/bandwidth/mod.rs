//! Bandwidth: goodput each way as the receiver saw it, and what it does to round trips.

mod cpu;
#[cfg(any(test, netstats_fuzz))]
pub(crate) mod fuzz;
mod iperf3;
mod latency;
mod meter;
mod ndt7;
mod own;
mod protocol;
mod responder;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use netstats_event::{
    AddressFamily, BandwidthDirection, BandwidthEngine, BandwidthMeasured, BandwidthOptions, FailReason, ProbeKind,
    Rtt, Throughput,
};
use tokio::net::TcpStream;

use crate::connect::{Attempt, connect, socket_address};
use crate::limits::{CONNECT_WITHIN, TEST_GRACE};
use crate::tls::Tls;
use crate::{BoxFuture, IcmpTransport, Outcome, Probe, Report, Request, Resolver, TransportError, clock, platform};
pub(crate) use cpu::Cpu;
use protocol::Way;
pub use responder::{Responder, ResponderConfig};

/// Where a responder listens, unless told otherwise.
pub const RESPONDER_PORT: u16 = 7_123;

/// A machine busier than this is the limit of what was measured.
const BUSY_PERMILLE: u16 = 900;

/// Measures throughput.
pub struct BandwidthProbe {
    icmp: Arc<dyn IcmpTransport>,
    resolver: Arc<Resolver>,
    tls: Tls,
    secrets: Option<PathBuf>,
}

/// One way of one run.
#[derive(Clone)]
struct Plan {
    address: SocketAddr,
    host: String,
    duration: Duration,
    streams: u8,
    max_bytes: u64,
    secret: Option<String>,
    tls: Tls,
}

/// What one way gave.
struct Moved {
    throughput: Option<Throughput>,
    bytes: u64,
    /// The byte budget ended it.
    is_cut: bool,
}

impl BandwidthProbe {
    /// Round trips through that engine, names by that resolver, secrets from files of that folder.
    #[must_use]
    pub fn new(icmp: Arc<dyn IcmpTransport>, resolver: Arc<Resolver>, tls: Tls, secrets: Option<PathBuf>) -> Self {
        Self { icmp, resolver, tls, secrets }
    }

    async fn measure(&self, request: &Request) -> Result<Report, TransportError> {
        let options = &request.options.bandwidth;
        let port = options.port.or(request.port).unwrap_or(usual_port(options.engine));
        let contact = request.contact(ProbeKind::Bandwidth, Some(port));
        let resolved = self.resolver.resolve(contact, AddressFamily::Any).await?;
        let plan = Plan {
            address: socket_address(&resolved, port),
            host: request.host.clone(),
            duration: Duration::from_secs(options.duration_s.into()),
            streams: options.streams.max(1),
            max_bytes: options.max_run_bytes,
            secret: options.credential.as_deref().map(|name| self.secret(name)).transpose()?,
            tls: self.tls.clone(),
        };
        let begin = clock::now();
        let idle_rtt = latency::idle(&*self.icmp, resolved.address, resolved.scope_id).await;
        let cpu_before = platform::cpu();
        let mut sample = BandwidthMeasured {
            head: Outcome::BLANK,
            address: resolved.address,
            engine: engine_name(options.engine).to_owned(),
            down: None,
            up: None,
            idle_rtt,
            loaded_rtt_p95: None,
            is_cpu_bound: false,
            cpu_permille: 0,
            failure: None,
        };
        self.both_ways(options, plan, resolved.scope_id, &mut sample).await;
        if let Some(share) = platform::cpu().zip(cpu_before).map(|(after, before)| after.since(before)) {
            (sample.cpu_permille, sample.is_cpu_bound) = (share.own_permille, share.busy_permille >= BUSY_PERMILLE);
        }
        Ok(Report { first_sent: Some(begin), answers: resolved.answers, ..Report::of(Outcome::Bandwidth(sample)) })
    }

    /// Down, then up, as far as the budget goes.
    async fn both_ways(&self, options: &BandwidthOptions, plan: Plan, scope_id: u32, sample: &mut BandwidthMeasured) {
        let ways: &[Way] = match options.direction {
            BandwidthDirection::Both => &[Way::Down, Way::Up],
            BandwidthDirection::Down => &[Way::Down],
            BandwidthDirection::Up => &[Way::Up],
        };
        let mut loaded: Vec<Rtt> = Vec::new();
        let mut left = plan.max_bytes;
        for (at, way) in ways.iter().enumerate() {
            let share = left / (ways.len() - at) as u64;
            let plan = Plan { max_bytes: share.max(1), ..plan.clone() };
            let work = tokio::time::timeout(plan.duration + TEST_GRACE, one_way(options.engine, &plan, *way));
            let (moved, rtts) = latency::beside(&self.icmp, plan.address.ip(), scope_id, work).await;
            loaded.extend(rtts);
            match moved.unwrap_or_else(|_| Err("the other end did not finish in time".to_owned())) {
                Ok(moved) => {
                    left = left.saturating_sub(moved.bytes);
                    if moved.is_cut {
                        sample.failure = Some("the byte budget of the run ended it before its time".to_owned());
                    }
                    *(if *way == Way::Down { &mut sample.down } else { &mut sample.up }) = moved.throughput;
                }
                Err(why) => {
                    sample.failure = Some(why);
                    break;
                }
            }
        }
        sample.loaded_rtt_p95 = latency::p95(loaded);
    }

    /// A stored secret by name; read anew for each run, so that a deleted one is gone.
    fn secret(&self, name: &str) -> Result<String, TransportError> {
        let bad = |detail: String| TransportError { reason: FailReason::BadOptions, detail };
        let is_plain = !name.is_empty() && name.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_".contains(&c));
        let folder = self.secrets.as_ref().filter(|_| is_plain);
        let folder = folder.ok_or_else(|| bad(format!("{name:?} is no name of a stored credential")))?;
        let path = folder.join(name);
        let text = std::fs::read_to_string(&path)
            .map_err(|error| bad(format!("the credential {name} cannot be read: {}: {error}", path.display())))?;
        Ok(text.trim().to_owned())
    }
}

async fn one_way(engine: BandwidthEngine, plan: &Plan, way: Way) -> Result<Moved, String> {
    match engine {
        BandwidthEngine::Responder => own::run(plan, way).await,
        BandwidthEngine::Ndt7 => ndt7::run(plan, way).await,
        BandwidthEngine::Iperf3 => iperf3::run(plan, way).await,
    }
}

async fn stream_to(plan: &Plan) -> Result<TcpStream, String> {
    match connect(plan.address, CONNECT_WITHIN).await.attempt {
        Attempt::Connected { stream, .. } => Ok(stream),
        Attempt::Refused(_) => Err(format!("{} refuses", plan.address)),
        Attempt::Timeout => Err(format!("{} does not answer", plan.address)),
        Attempt::Unreachable(code) => Err(format!("{} is unreachable (system error {code})", plan.address)),
        Attempt::NotSent(error) => Err(error.to_string()),
    }
}

const fn usual_port(engine: BandwidthEngine) -> u16 {
    match engine {
        BandwidthEngine::Responder => RESPONDER_PORT,
        BandwidthEngine::Ndt7 => 443,
        BandwidthEngine::Iperf3 => 5_201,
    }
}

const fn engine_name(engine: BandwidthEngine) -> &'static str {
    match engine {
        BandwidthEngine::Responder => "responder",
        BandwidthEngine::Ndt7 => "ndt7",
        BandwidthEngine::Iperf3 => "iperf3",
    }
}

impl Probe for BandwidthProbe {
    fn kind(&self) -> ProbeKind {
        ProbeKind::Bandwidth
    }

    fn run<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Report> {
        Box::pin(async { self.measure(request).await.unwrap_or_else(Report::from) })
    }
}
