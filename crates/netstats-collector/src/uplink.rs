//! Our own network: whether the way out is there. Without it nothing can be learnt about any destination.
//!
//! What is watched is the default gateway: that there is one, and that it answers echoes, if it ever did. A gateway that
//! never answers proves nothing by its silence. A run that got less than it asked for looks at the gateway once more
//! before it is recorded, so that what is lost in the first seconds of an outage is not blamed on its destination.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use netstats_event::{Echo, Event, UplinkLost, UplinkRestored};
use netstats_probe::{Burst, IcmpTransport};
use tokio::sync::Mutex;
use tokio::sync::mpsc::UnboundedSender;

use crate::limits::{GATEWAY_PACKETS, GATEWAY_TIMEOUT, UPLINK_EVERY, UPLINK_EVERY_DOWN};
use crate::run::now;

const SPACING: Duration = Duration::from_millis(100);

/// How the default gateway is found.
pub(crate) type FindGateway = fn() -> Option<IpAddr>;

/// The watch. One look at a time: who asks meanwhile takes its result.
pub(crate) struct Uplink {
    find: Option<FindGateway>,
    icmp: Option<Arc<dyn IcmpTransport>>,
    events: UnboundedSender<Event>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    gateway: Option<IpAddr>,
    /// It has answered an echo before.
    answers: bool,
    down: Option<&'static str>,
    /// When it was last known to be down.
    last_down: Option<Instant>,
    looked_at: Option<Instant>,
}

/// What a look saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    NoGateway,
    Answer(IpAddr),
    Silence(IpAddr),
}

impl State {
    /// Takes in what was seen; true if it went down or came back.
    fn take(&mut self, seen: Seen, at: Instant) -> bool {
        let down = match seen {
            // Where there never was a gateway, there is no way out to lose.
            Seen::NoGateway => self.gateway.is_some().then_some("no route"),
            Seen::Answer(gateway) => {
                (self.gateway, self.answers) = (Some(gateway), true);
                None
            }
            Seen::Silence(gateway) => {
                if self.gateway != Some(gateway) {
                    (self.gateway, self.answers) = (Some(gateway), false);
                }
                self.answers.then_some("gateway silent")
            }
        };
        if down.is_some() || self.down.is_some() {
            self.last_down = Some(at);
        }
        let is_change = down.is_some() != self.down.is_some();
        self.down = down;
        is_change
    }
}

impl Uplink {
    pub(crate) fn new(
        find: Option<FindGateway>,
        icmp: Option<Arc<dyn IcmpTransport>>,
        events: UnboundedSender<Event>,
    ) -> Self {
        Self { find, icmp, events, state: Mutex::default() }
    }

    /// Watches until dropped.
    pub(crate) async fn watch(self: Arc<Self>) {
        while self.find.is_some() {
            let is_down = self.look(now()).await.down.is_some();
            tokio::time::sleep(if is_down { UPLINK_EVERY_DOWN } else { UPLINK_EVERY }).await;
        }
    }

    /// True if the way out was missing at any time since `began`.
    pub(crate) async fn was_down_since(&self, began: Instant) -> bool {
        if self.find.is_none() {
            return false;
        }
        let state = self.look(now()).await;
        state.down.is_some() || state.last_down.is_some_and(|at| at >= began)
    }

    /// The state as of `since` or later: looks, unless somebody has meanwhile.
    async fn look(&self, since: Instant) -> tokio::sync::MutexGuard<'_, State> {
        let mut state = self.state.lock().await;
        if state.looked_at.is_some_and(|at| at >= since) {
            return state;
        }
        let begun = now();
        let seen = self.see().await;
        let is_change = state.take(seen, now());
        state.looked_at = Some(begun);
        if is_change {
            let gateway = state.gateway;
            tracing::warn!(?gateway, down = state.down, "our own network");
            let _ = self.events.send(match state.down {
                Some(reason) => UplinkLost { reason: reason.to_owned(), gateway }.into(),
                None => UplinkRestored { gateway }.into(),
            });
        }
        state
    }

    async fn see(&self) -> Seen {
        let found = match self.find {
            // On some systems it is another program that knows.
            Some(find) => tokio::task::spawn_blocking(find).await.ok().flatten(),
            None => None,
        };
        let Some(gateway) = found else { return Seen::NoGateway };
        let Some(icmp) = &self.icmp else { return Seen::Silence(gateway) };
        let burst = Burst {
            packets: GATEWAY_PACKETS,
            spacing: SPACING,
            timeout: GATEWAY_TIMEOUT,
            linger: Duration::ZERO,
            ..Burst::to(gateway)
        };
        match icmp.burst(burst).await {
            Ok(result) if result.echoes.iter().any(|echo| matches!(echo, Echo::Reply(_) | Echo::Late(_))) => {
                Seen::Answer(gateway)
            }
            Ok(_) => Seen::Silence(gateway),
            // We cannot ask: that says nothing about the gateway.
            Err(_) => Seen::Answer(gateway),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GATEWAY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn after(seen: &[Seen]) -> (Vec<bool>, Option<&'static str>) {
        let mut state = State::default();
        (seen.iter().map(|seen| state.take(*seen, now())).collect(), state.down)
    }

    #[test]
    fn a_gateway_that_stops_answering_or_is_gone_is_a_loss() {
        let (answer, silence) = (Seen::Answer(GATEWAY), Seen::Silence(GATEWAY));
        assert_eq!(after(&[answer, silence, silence]), (vec![false, true, false], Some("gateway silent")));
        assert_eq!(after(&[answer, silence, answer]), (vec![false, true, true], None));
        assert_eq!(after(&[answer, Seen::NoGateway]), (vec![false, true], Some("no route")));
        assert_eq!(after(&[silence, Seen::NoGateway]).1, Some("no route"));
    }

    #[test]
    fn a_gateway_that_never_answered_proves_nothing() {
        assert_eq!(after(&[Seen::Silence(GATEWAY); 3]).1, None);
        assert_eq!(after(&[Seen::NoGateway; 3]).1, None, "a machine without a way out");
        assert_eq!(after(&[Seen::Answer(GATEWAY), Seen::Silence(OTHER)]).1, None, "another network's gateway");
    }

    #[test]
    fn the_last_moment_down_is_remembered() {
        let mut state = State::default();
        let begin = now();
        state.take(Seen::Answer(GATEWAY), begin);
        assert_eq!(state.last_down, None);
        state.take(Seen::Silence(GATEWAY), begin + Duration::from_secs(1));
        state.take(Seen::Answer(GATEWAY), begin + Duration::from_secs(2));
        state.take(Seen::Answer(GATEWAY), begin + Duration::from_secs(3));
        assert_eq!(state.last_down, Some(begin + Duration::from_secs(2)), "until it was seen back");
    }
}
