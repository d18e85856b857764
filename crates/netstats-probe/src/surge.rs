//! The portable ICMP engine: surge-ping's sockets, our matching.
//!
//! surge-ping's own `Pinger` stamps after the send (round trips come out short, 0 on loopback), forgets a timed-out
//! request so that its late reply answers the next one, does not look at payloads and does not count duplicates. Its
//! sockets are sound and portable, so those are used, and packets are marked, stamped and matched here.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use netstats_event::{FailReason, IcmpError, SampleFlags, Transport};
use surge_ping::{AsyncSocket, Config, ICMP};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::flight::Flight;
use crate::wire::icmp::{self, Inner, Message};
use crate::wire::mark::{self, Key, Token};
use crate::{BoxFuture, Burst, BurstResult, IcmpTransport, TransportError, platform};

/// How long the receiver rests after a socket error, so that a lasting one does not spin.
const ERROR_PAUSE: Duration = Duration::from_millis(100);

/// The portable engine. Sockets open at the first burst of their family, inside a tokio runtime.
pub struct SurgeTransport {
    shared: Arc<Shared>,
    v4: Mutex<Option<Channel>>,
    v6: Mutex<Option<Channel>>,
}

struct Shared {
    key: Key,
    /// The ICMP id of our raw packets; datagram sockets get theirs from the kernel.
    id: u16,
    epoch: Instant,
    next_number: AtomicU64,
    flights: Mutex<HashMap<u64, Arc<InFlight>>>,
    trouble: Mutex<Option<String>>,
}

struct InFlight {
    address: IpAddr,
    payload_bytes: usize,
    state: Mutex<Flight>,
    changed: Notify,
}

/// A socket and its receiving task, which ends with it.
struct Channel {
    socket: AsyncSocket,
    receiver: JoinHandle<()>,
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.receiver.abort();
    }
}

/// Takes a burst off the books however it ends.
struct Registered<'a> {
    shared: &'a Shared,
    number: u64,
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        lock(&self.shared.flights).remove(&self.number);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for SurgeTransport {
    fn default() -> Self {
        Self::new()
    }
}

impl SurgeTransport {
    /// An engine with a key of its own.
    #[must_use]
    pub fn new() -> Self {
        let key = Key::default();
        let id = key.id();
        let shared = Shared {
            key,
            id,
            epoch: now(),
            next_number: AtomicU64::new(1),
            flights: Mutex::default(),
            trouble: Mutex::default(),
        };
        Self { shared: Arc::new(shared), v4: Mutex::default(), v6: Mutex::default() }
    }

    fn channel(&self, is_v6: bool) -> Result<AsyncSocket, TransportError> {
        let mut channel = lock(if is_v6 { &self.v6 } else { &self.v4 });
        if let Some(open) = channel.as_ref().filter(|open| !open.receiver.is_finished()) {
            return Ok(open.socket.clone());
        }
        let config = Config::builder().kind(if is_v6 { ICMP::V6 } else { ICMP::V4 }).build();
        let socket = AsyncSocket::new(&config).map_err(|error| cannot_open(is_v6, &error))?;
        let receiver = tokio::spawn(receive(Arc::clone(&self.shared), socket.clone(), is_v6));
        *channel = Some(Channel { socket: socket.clone(), receiver });
        Ok(socket)
    }

    async fn fly(&self, burst: Burst) -> Result<BurstResult, TransportError> {
        if burst.dscp.is_some()
            || burst.dont_fragment
            || burst.source.is_some()
            || burst.interface != 0
            || !burst.ttls.is_empty()
        {
            let detail = "dscp, dont_fragment, source and times to live are not supported by the portable ICMP engine of this system";
            return Err(TransportError { reason: FailReason::BadOptions, detail: detail.to_owned() });
        }
        let is_v6 = burst.address.is_ipv6();
        let socket = self.channel(is_v6)?;
        let shared = &*self.shared;
        let number = shared.next_number.fetch_add(1, Ordering::Relaxed);
        let flight = Arc::new(InFlight {
            address: burst.address,
            payload_bytes: burst.payload_bytes.into(),
            state: Mutex::new(Flight::new(burst.packets)),
            changed: Notify::new(),
        });
        lock(&shared.flights).insert(number, Arc::clone(&flight));
        let _registered = Registered { shared, number };

        let target = match burst.address {
            IpAddr::V4(_) => SocketAddr::new(burst.address, 0),
            IpAddr::V6(address) => SocketAddrV6::new(address, 0, 0, burst.scope_id).into(),
        };
        let is_raw = socket.get_type() == surge_raw();
        let (begin, mut first_sent, mut latest) = (now(), None, Duration::ZERO);
        let mut packet = Vec::new();
        for index in 0..burst.packets {
            let due = begin + burst.spacing * u32::from(index);
            if index > 0 {
                tokio::time::sleep_until(due.into()).await;
            }
            packet.clear();
            let token = Token::new(number, index);
            icmp::push_echo_request(&mut packet, is_v6, shared.id, index, usize::from(burst.payload_bytes));
            shared.key.write(token, burst.address, &mut packet[icmp::HEADER_BYTES..]);
            if !is_v6 && is_raw {
                icmp::seal(&mut packet);
            }
            let before = now();
            latest = latest.max(before.saturating_duration_since(due));
            lock(&flight.state).sent(index, shared.nanos(before));
            match socket.send_to(&mut packet, &target).await {
                Ok(_) => {
                    first_sent.get_or_insert(before);
                }
                Err(error) => lock(&flight.state).not_sent(index, error.raw_os_error().unwrap_or(0)),
            }
        }
        let last = now() + burst.timeout + burst.linger;
        loop {
            let changed = flight.changed.notified();
            if lock(&flight.state).is_settled() || tokio::time::timeout_at(last.into(), changed).await.is_err() {
                break;
            }
        }
        let state = lock(&flight.state);
        let timeout_ns = i64::try_from(burst.timeout.as_nanos()).unwrap_or(i64::MAX);
        let (echoes, clock, clock_suspect) = state.echoes(timeout_ns, 0);
        Ok(BurstResult {
            transport: if is_raw { Transport::IcmpRaw } else { Transport::IcmpDatagram },
            clock,
            echoes,
            hops: Vec::new(),
            mpls: Vec::new(),
            ttl: state.ttl,
            duplicates: state.duplicates,
            reordered: state.reordered,
            bad_replies: state.bad_replies,
            first_sent,
            flags: SampleFlags {
                self_delayed: crate::icmp::is_delay_felt(latest, state.shortest()),
                clock_suspect,
                ..SampleFlags::default()
            },
        })
    }
}

const fn surge_raw() -> socket2::Type {
    socket2::Type::RAW
}

fn cannot_open(is_v6: bool, error: &std::io::Error) -> TransportError {
    let capability = platform::icmp_capability(is_v6);
    match capability.fix {
        Some(fix) => TransportError {
            reason: FailReason::NotPermitted,
            detail: format!("{}; to allow it: {fix}", capability.problem.unwrap_or_default()),
        },
        None => TransportError {
            reason: FailReason::Socket,
            detail: format!("no ICMP socket for IPv{}: {error}", if is_v6 { 6 } else { 4 }),
        },
    }
}

#[expect(clippy::disallowed_methods, reason = "a probe reads the monotonic clock")]
fn now() -> Instant {
    Instant::now()
}

impl IcmpTransport for SurgeTransport {
    fn name(&self) -> &'static str {
        "surge"
    }

    fn burst(&self, burst: Burst) -> BoxFuture<'_, Result<BurstResult, TransportError>> {
        Box::pin(self.fly(burst))
    }

    fn trouble(&self) -> Option<String> {
        lock(&self.shared.trouble).clone()
    }
}

impl Shared {
    fn nanos(&self, at: Instant) -> i64 {
        i64::try_from(at.saturating_duration_since(self.epoch).as_nanos()).unwrap_or(i64::MAX)
    }

    fn flight(&self, token: Token) -> Option<Arc<InFlight>> {
        lock(&self.flights).get(&token.number()).cloned()
    }

    fn take(&self, message: &[u8], from: IpAddr, at: Instant, has_ip_header: bool, is_checked: bool) {
        let (ttl, body) = match from {
            IpAddr::V4(_) if has_ip_header => match icmp::split_ipv4(message) {
                Ok((header, body)) => (Some(header.ttl), body),
                Err(_) => return,
            },
            _ => (None, message),
        };
        let parsed = if from.is_ipv4() { icmp::parse_v4(body, is_checked) } else { icmp::parse_v6(body) };
        match parsed {
            Ok(Message::EchoReply { id, payload, .. }) => {
                // A raw socket sees the replies of every process.
                if has_ip_header && id != self.id {
                    return;
                }
                let Some(token) = mark::claimed(payload) else { return };
                let Some(flight) = self.flight(token) else { return };
                let mut state = lock(&flight.state);
                if flight.address == from && self.key.holds(token, flight.address, payload, flight.payload_bytes) {
                    state.replied(token.index(), self.nanos(at), false, ttl);
                } else {
                    state.bad();
                }
                drop(state);
                flight.changed.notify_one();
            }
            Ok(Message::Error { icmp_type, icmp_code, quoted, .. }) => {
                let Inner::Echo { payload, .. } = quoted.inner else { return };
                let Some(token) = mark::claimed(payload) else { return };
                let Some(flight) = self.flight(token) else { return };
                if flight.address == quoted.destination && self.key.starts(token, flight.address, payload) {
                    let error = IcmpError { icmp_type, icmp_code, from: Some(from) };
                    lock(&flight.state).errored(token.index(), error, self.nanos(at), false);
                    flight.changed.notify_one();
                }
            }
            Ok(Message::Other) | Err(_) => {}
        }
    }
}

async fn receive(shared: Arc<Shared>, socket: AsyncSocket, is_v6: bool) {
    // Raw sockets always give the IP header.
    let is_plain = platform::IS_PLAIN_ICMP && socket.get_type() != surge_raw();
    let mut buffer = vec![0; 65_536];
    loop {
        match socket.recv_from(&mut buffer).await {
            Ok((bytes, from)) => {
                let at = now();
                shared.take(&buffer[..bytes], from.ip(), at, !is_v6 && !is_plain, is_plain);
                lock(&shared.trouble).take();
            }
            Err(error) => {
                *lock(&shared.trouble) = Some(format!("the ICMP socket cannot be read: {error}"));
                tokio::time::sleep(ERROR_PAUSE).await;
            }
        }
    }
}
