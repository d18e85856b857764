//! Round trips beside a bandwidth test: idle before, loaded while it runs.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use netstats_event::{Echo, Rtt};
use tokio::task::JoinSet;

use crate::{Burst, IcmpTransport};

const IDLE_PACKETS: u16 = 10;
const IDLE_SPACING: Duration = Duration::from_millis(30);
/// From one packet under load to the next.
const LOADED_SPACING: Duration = Duration::from_millis(100);
/// A deep queue holds packets for seconds: late ones are the point.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Queues fill while the test starts up.
const START_UP: Duration = Duration::from_secs(1);

/// The smallest round trip while nothing of ours is on the way; none if nothing comes back.
pub(super) async fn idle(icmp: &dyn IcmpTransport, address: IpAddr, scope_id: u32) -> Option<Rtt> {
    let burst = Burst {
        packets: IDLE_PACKETS,
        spacing: IDLE_SPACING,
        timeout: Duration::from_secs(1),
        linger: Duration::ZERO,
        scope_id,
        ..Burst::to(address)
    };
    icmp.burst(burst).await.ok()?.echoes.iter().filter_map(Echo::rtt).min()
}

/// Round trips beside `work`, from a second after its start to its end, with what `work` gives.
pub(super) async fn beside<T>(
    icmp: &Arc<dyn IcmpTransport>,
    address: IpAddr,
    scope_id: u32,
    work: impl Future<Output = T>,
) -> (T, Vec<Rtt>) {
    let mut packets: JoinSet<Option<Rtt>> = JoinSet::new();
    let mut ticks = tokio::time::interval(LOADED_SPACING);
    let begin = tokio::time::Instant::now();
    tokio::pin!(work);
    let result = loop {
        tokio::select! {
            result = &mut work => break result,
            _ = ticks.tick(), if begin.elapsed() >= START_UP => {
                let icmp = Arc::clone(icmp);
                let burst =
                    Burst { packets: 1, timeout: TIMEOUT, linger: Duration::ZERO, scope_id, ..Burst::to(address) };
                packets.spawn(async move { icmp.burst(burst).await.ok()?.echoes.first()?.rtt() });
            }
            () = tokio::time::sleep(LOADED_SPACING) => {}
        }
    };
    let mut rtts = Vec::new();
    while let Some(rtt) = packets.join_next().await {
        rtts.extend(rtt.ok().flatten());
    }
    (result, rtts)
}

/// The value that 95 % do not exceed; none of fewer than 5.
pub(super) fn p95(mut rtts: Vec<Rtt>) -> Option<Rtt> {
    rtts.sort_unstable();
    let at = (rtts.len() * 95).div_ceil(100).checked_sub(1)?;
    rtts.get(at).copied().filter(|_| rtts.len() >= 5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_round_trips_have_no_95th_percentile() {
        let rtts = |count: u32| (1..=count).map(Rtt::from_micros).collect::<Vec<_>>();
        assert_eq!(p95(rtts(0)), None);
        assert_eq!(p95(rtts(4)), None);
        assert_eq!(p95(rtts(100)), Some(Rtt::from_micros(95)));
        assert_eq!(p95(rtts(10)), Some(Rtt::from_micros(10)));
    }
}
