//! The demo's probes: the real collector asks, the world answers, after as long as a real answer would take.

use std::sync::Arc;
use std::time::Duration;

use netstats_event::{Echo, ProbeKind};
use netstats_probe::{BoxFuture, Outcome, Probe, Probes, Report, Request};

use super::world::World;
use crate::serve::{monotonic, now};

/// Every kind of probe that the demo's jobs use.
pub(super) fn all(world: &Arc<World>) -> Probes {
    let kinds =
        [ProbeKind::Ping, ProbeKind::Traceroute, ProbeKind::Dns, ProbeKind::Bandwidth, ProbeKind::Tcp, ProbeKind::Http];
    let probe = |kind| Arc::new(Simulated { kind, world: Arc::clone(world) }) as Arc<dyn Probe>;
    Probes::of(kinds.into_iter().map(probe).collect())
}

struct Simulated {
    kind: ProbeKind,
    world: Arc<World>,
}

impl Probe for Simulated {
    fn kind(&self) -> ProbeKind {
        self.kind
    }

    fn run<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Report> {
        Box::pin(async move {
            let first_sent = monotonic();
            let outcome = outcome(&self.world, self.kind, request, now());
            tokio::time::sleep(duration(&outcome)).await;
            Report { outcome, first_sent: Some(first_sent), flags: Default::default(), answers: Vec::new() }
        })
    }
}

pub(super) fn outcome(world: &World, kind: ProbeKind, request: &Request, at: netstats_event::Timestamp) -> Outcome {
    match kind {
        ProbeKind::Traceroute => world.route(&request.host, at),
        ProbeKind::Dns => world.dns(&request.host, at),
        ProbeKind::Tcp => world.tcp(&request.host, at),
        ProbeKind::Http => world.http(&request.host, at),
        ProbeKind::Bandwidth => world.bandwidth(&request.host, at),
        ProbeKind::Ping => world.ping(&request.host, &request.options.ping, at),
    }
}

/// How long the measurement takes.
fn duration(outcome: &Outcome) -> Duration {
    match outcome {
        Outcome::Ping(ping) => {
            let last = ping.echoes.iter().map(|echo| match echo {
                Echo::Reply(rtt) | Echo::Late(rtt) => Duration::from_nanos(rtt.as_nanos()),
                _ => Duration::from_millis(u64::from(ping.timeout_ms)),
            });
            let gaps = u64::from(ping.spacing_ms) * ping.echoes.len().saturating_sub(1) as u64;
            Duration::from_millis(gaps) + last.max().unwrap_or_default()
        }
        Outcome::Traceroute(route) => Duration::from_micros(u64::from(route.duration_us)),
        Outcome::Bandwidth(run) => {
            let parts = [&run.down, &run.up].into_iter().flatten().map(|way| way.bytes_per_100ms.len() as u64);
            Duration::from_millis(100 * parts.sum::<u64>().max(20))
        }
        Outcome::Http(http) => http.total.map_or(Duration::from_secs(2), |rtt| Duration::from_nanos(rtt.as_nanos())),
        _ => Duration::from_millis(30),
    }
}
