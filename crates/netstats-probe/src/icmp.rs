//! What every ICMP engine does: a burst of echoes to one address.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use netstats_event::{ClockSource, Echo, FailReason, HopAnswer, MplsLabel, SampleFlags, Transport};

use crate::BoxFuture;

/// A burst to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Burst {
    /// To whom.
    pub address: IpAddr,
    /// The interface of a link-local IPv6 address; 0: none.
    pub scope_id: u32,
    /// Packets.
    pub packets: u16,
    /// From one packet to the next.
    pub spacing: Duration,
    /// How long each packet is waited for, from its own sending.
    pub timeout: Duration,
    /// ICMP payload bytes, at least [`crate::limits::MIN_PAYLOAD_BYTES`].
    pub payload_bytes: u16,
    /// Differentiated services code point.
    pub dscp: Option<u8>,
    /// Set the don't-fragment bit.
    pub dont_fragment: bool,
    /// Source address.
    pub source: Option<IpAddr>,
    /// Outgoing interface by index; 0: as routed.
    pub interface: u32,
    /// Time to live of each packet; empty: the system's default. With it, the result has hops, and the burst ends soon
    /// after the target has answered.
    pub ttls: Vec<u8>,
    /// How long after its timeout a packet is still waited for, so that late is told from lost.
    pub linger: Duration,
}

/// What came of a burst.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BurstResult {
    /// How the packets travelled.
    pub transport: Transport,
    /// Where the time stamps came from: the worst of the burst.
    pub clock: ClockSource,
    /// One entry for each packet, in order of sending.
    pub echoes: Vec<Echo>,
    /// Who answered each packet, if the burst had times to live.
    pub hops: Vec<HopAnswer>,
    /// MPLS labels of answers, by packet.
    pub mpls: Vec<(u16, Vec<MplsLabel>)>,
    /// Time to live of the last reply, where the system tells.
    pub ttl: Option<u8>,
    /// Replies that repeated an answered packet.
    pub duplicates: u16,
    /// Replies that came after the reply to a later packet.
    pub reordered: u16,
    /// Packets that looked like ours and were not.
    pub bad_replies: u16,
    /// When the first packet was handed to the system.
    pub first_sent: Option<Instant>,
    /// `self_delayed` and `clock_suspect`, as the engine saw it.
    pub flags: SampleFlags,
}

/// Why a burst could not be sent at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct TransportError {
    /// Why.
    pub reason: FailReason,
    /// In words, with what to do about it.
    pub detail: String,
}

/// Sends bursts. Dropping the future ends the burst: nothing more is sent for it.
pub trait IcmpTransport: Send + Sync + 'static {
    /// The engine's name: `linux`, `surge`, `windows`.
    fn name(&self) -> &'static str;

    /// Sends one burst and waits for its answers.
    fn burst(&self, burst: Burst) -> BoxFuture<'_, Result<BurstResult, TransportError>>;

    /// What troubles the engine now, if anything does.
    fn trouble(&self) -> Option<String> {
        None
    }
}

impl Burst {
    /// To `address`, with the defaults of `docs/METRICS.md`.
    #[must_use]
    pub fn to(address: IpAddr) -> Self {
        Self {
            address,
            scope_id: 0,
            packets: 10,
            spacing: Duration::from_millis(200),
            timeout: Duration::from_secs(2),
            payload_bytes: 56,
            dscp: None,
            dont_fragment: false,
            source: None,
            interface: 0,
            ttls: Vec::new(),
            linger: crate::limits::MAX_LINGER,
        }
    }
}

/// True if our own lateness could be felt in the round trips: over 1 ms and over a tenth of the shortest.
pub(crate) fn is_delay_felt(lateness: Duration, shortest_ns: Option<i64>) -> bool {
    let tenth = shortest_ns.map_or(0, |rtt| u64::try_from(rtt).unwrap_or(0) / 10);
    lateness > Duration::from_millis(1).max(Duration::from_nanos(tenth))
}
