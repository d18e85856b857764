//! Windows: the ICMP helper (`IcmpSendEcho2Ex`, `Icmp6SendEcho2`), which needs no administrator. Its own round trip time
//! is whole milliseconds, so each call is timed by our monotonic clock.

use std::ffi::c_void;
use std::mem::{offset_of, zeroed};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use netstats_event::{ClockSource, FailReason, SampleFlags, Transport};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use windows_sys::Win32::Foundation::{GetLastError, HANDLE, INVALID_HANDLE_VALUE};
use windows_sys::Win32::NetworkManagement::IpHelper::{
    ICMP_ECHO_REPLY, ICMPV6_ECHO_REPLY_LH, IP_OPTION_INFORMATION, Icmp6CreateFile, Icmp6SendEcho2, IcmpCloseHandle,
    IcmpCreateFile, IcmpSendEcho2Ex,
};
use windows_sys::Win32::Networking::WinSock::{AF_INET6, SOCKADDR_IN6};

use super::helper::{self, Fate};
use crate::clock::now;
use crate::flight::Flight;
use crate::icmp::is_delay_felt;
use crate::limits::{MAX_HELPER_CALLS, REACHED_MARGIN};
use crate::{BoxFuture, Burst, BurstResult, IcmpCapability, IcmpTransport, TransportError};

const NOT_OPEN: &str = "the system's ICMP helper does not open";
/// Do not fragment (`IP_FLAG_DF`).
const DONT_FRAGMENT: u8 = 2;
/// Bytes of a reply beyond its data: the structure, an ICMP error, an I/O status block.
const REPLY_EXTRA: usize = 128;

/// There are no ICMP datagram sockets.
pub(crate) const IS_PLAIN_ICMP: bool = false;

/// The index of a network interface: Windows gives zones as numbers.
pub(crate) fn interface_index(name: &str) -> Option<u32> {
    name.parse().ok().filter(|index| *index != 0)
}

/// How ICMP goes here.
pub(crate) fn icmp_capability(is_v6: bool) -> IcmpCapability {
    let opened = Helper::open(is_v6);
    IcmpCapability {
        transport: opened.is_some().then_some(Transport::IcmpHelper),
        engine: "windows",
        clock: ClockSource::User,
        problem: opened.is_none().then(|| NOT_OPEN.to_owned()),
        fix: None,
    }
}

/// A connection that is not there yet says so as on no other system: `WSAEWOULDBLOCK`.
pub(crate) fn is_connecting(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::WouldBlock
}

/// The engine of this system.
pub(crate) fn icmp_transport() -> Option<Arc<dyn IcmpTransport>> {
    Some(Arc::new(HelperTransport { calls: Arc::new(Semaphore::new(MAX_HELPER_CALLS)) }))
}

/// One call of the helper a packet, each on a thread of tokio's pool, at most so many at a time.
struct HelperTransport {
    calls: Arc<Semaphore>,
}

impl IcmpTransport for HelperTransport {
    fn name(&self) -> &'static str {
        "windows"
    }

    fn burst(&self, burst: Burst) -> BoxFuture<'_, Result<BurstResult, TransportError>> {
        Box::pin(self.send(burst))
    }
}

/// What one call gave, and when it began and ended.
struct Called {
    index: u16,
    begin: Instant,
    end: Instant,
    fate: Fate,
}

impl HelperTransport {
    async fn send(&self, burst: Burst) -> Result<BurstResult, TransportError> {
        refuse(&burst)?;
        let burst = Arc::new(burst);
        let start = now();
        let (mut calls, mut next) = (JoinSet::new(), 0_u16);
        let mut flight = Flight::new(burst.packets);
        let (mut first_sent, mut latest, mut reached) = (None, Duration::ZERO, None::<(u8, Instant)>);
        loop {
            let ttl = burst.ttls.get(usize::from(next)).copied();
            let is_beyond = reached.zip(ttl).is_some_and(|((reached, _), ttl)| ttl > reached);
            let is_last = next >= burst.packets || is_beyond;
            let due = start + burst.spacing * u32::from(next);
            let wake = if is_last { reached.map_or(due + HOUR, |(_, until)| until) } else { due };
            tokio::select! {
                Some(done) = calls.join_next() => {
                    let Ok(called): Result<Called, _> = done else { continue };
                    if !matches!(called.fate, Fate::NotSent(_)) {
                        first_sent = Some(first_sent.map_or(called.begin, |first: Instant| first.min(called.begin)));
                    }
                    let planned = start + burst.spacing * u32::from(called.index);
                    latest = latest.max(called.begin.saturating_duration_since(planned));
                    if let Some(ttl) = land(&mut flight, &burst, start, &called) {
                        let until = now() + called.end.duration_since(called.begin) + REACHED_MARGIN;
                        reached = Some(reached.map_or((ttl, until), |(known, at)| (known.min(ttl), at)));
                    }
                }
                () = tokio::time::sleep_until(wake.into()), if !is_last || (reached.is_some() && !calls.is_empty()) => {
                    if is_last {
                        break;
                    }
                    let (burst, permits, index) = (Arc::clone(&burst), Arc::clone(&self.calls), next);
                    calls.spawn(async move {
                        let permit = permits.acquire_owned().await;
                        let call = tokio::task::spawn_blocking(move || {
                            // Held while the thread is: a burst that is dropped does not free it.
                            let _permit = permit;
                            call(&burst, index)
                        });
                        call.await.unwrap_or_else(|_| Called { index, begin: now(), end: now(), fate: Fate::NotSent(0) })
                    });
                    next += 1;
                }
                else => break,
            }
        }
        let timeout_ns = i64::try_from(burst.timeout.as_nanos()).unwrap_or(i64::MAX);
        let (echoes, _, is_suspect) = flight.echoes(timeout_ns, 0);
        let hops = if burst.ttls.is_empty() { Vec::new() } else { flight.hops(burst.address) };
        Ok(BurstResult {
            transport: Transport::IcmpHelper,
            clock: ClockSource::User,
            echoes,
            hops,
            mpls: Vec::new(),
            ttl: flight.ttl,
            // A call takes one reply, and threads wake in any order: copies and disorder are not seen.
            duplicates: 0,
            reordered: 0,
            bad_replies: flight.bad_replies,
            first_sent,
            flags: SampleFlags {
                self_delayed: is_delay_felt(latest, flight.shortest()),
                clock_suspect: is_suspect,
                ..SampleFlags::default()
            },
        })
    }
}

const HOUR: Duration = Duration::from_secs(3_600);

/// What the helper cannot do is refused, not passed over.
fn refuse(burst: &Burst) -> Result<(), TransportError> {
    let is_v6 = burst.address.is_ipv6();
    let (reason, detail) = if burst.dscp.is_some() || burst.interface != 0 || (is_v6 && burst.dont_fragment) {
        let detail = "dscp, an interface as source (an address works) and dont_fragment over IPv6 are not supported by \
                      the ICMP helper of Windows";
        (FailReason::BadOptions, detail)
    } else if Helper::open(is_v6).is_none() {
        (FailReason::Socket, NOT_OPEN)
    } else {
        return Ok(());
    };
    Err(TransportError { reason, detail: detail.to_owned() })
}

/// Books what a call gave; its time to live, if a trace's target has answered.
fn land(flight: &mut Flight, burst: &Burst, start: Instant, called: &Called) -> Option<u8> {
    let nanos = |at: Instant| i64::try_from(at.duration_since(start).as_nanos()).unwrap_or(i64::MAX);
    flight.sent(called.index, nanos(called.begin));
    match called.fate {
        Fate::Reply { ttl } => {
            flight.replied(called.index, nanos(called.end), false, ttl);
            burst.ttls.get(usize::from(called.index)).copied()
        }
        Fate::Error(error) => {
            flight.errored(called.index, error, nanos(called.end), false);
            None
        }
        Fate::Bad => {
            flight.bad();
            None
        }
        Fate::NotSent(code) => {
            flight.not_sent(called.index, code.cast_signed());
            None
        }
        Fate::Lost => None,
    }
}

/// An open helper.
struct Helper {
    handle: HANDLE,
    is_v6: bool,
}

impl Helper {
    #[expect(unsafe_code, reason = "the ICMP helper")]
    fn open(is_v6: bool) -> Option<Self> {
        // SAFETY: the calls take nothing; what they return is closed once, by `drop`.
        let handle = unsafe { if is_v6 { Icmp6CreateFile() } else { IcmpCreateFile() } };
        (handle != INVALID_HANDLE_VALUE).then_some(Self { handle, is_v6 })
    }

    /// Sends and waits. The reply lies in `reply` if the call gave one.
    #[expect(unsafe_code, reason = "the ICMP helper")]
    fn send(&self, burst: &Burst, payload: &[u8], options: &IP_OPTION_INFORMATION, reply: &mut [u64]) -> u32 {
        let timeout_ms = u32::try_from((burst.timeout + burst.linger).as_millis()).unwrap_or(u32::MAX);
        let (data, size) = (payload.as_ptr().cast::<c_void>(), payload.len() as u16);
        let (buffer, buffer_size) = (reply.as_mut_ptr().cast::<c_void>(), (reply.len() * 8) as u32);
        let no_event = std::ptr::null_mut();
        match (self.is_v6, burst.address) {
            (true, IpAddr::V6(to)) => {
                let address = |address: std::net::Ipv6Addr, scope: u32| {
                    // SAFETY: all-zero is a valid value of this C structure.
                    let mut out: SOCKADDR_IN6 = unsafe { zeroed() };
                    out.sin6_family = AF_INET6;
                    out.sin6_addr.u.Byte = address.octets();
                    out.Anonymous.sin6_scope_id = scope;
                    out
                };
                let from = match burst.source {
                    Some(IpAddr::V6(from)) => address(from, 0),
                    _ => address(std::net::Ipv6Addr::UNSPECIFIED, 0),
                };
                let to = address(to, burst.scope_id);
                // SAFETY: every pointer is to memory that lives until the call, which has no event and so waits, is over.
                unsafe {
                    Icmp6SendEcho2(
                        self.handle,
                        no_event,
                        None,
                        std::ptr::null(),
                        &raw const from,
                        &raw const to,
                        data,
                        size,
                        std::ptr::from_ref(options),
                        buffer,
                        buffer_size,
                        timeout_ms,
                    )
                }
            }
            (_, IpAddr::V4(to)) => {
                let from = match burst.source {
                    Some(IpAddr::V4(from)) => u32::from_ne_bytes(from.octets()),
                    _ => 0,
                };
                // SAFETY: as above.
                unsafe {
                    IcmpSendEcho2Ex(
                        self.handle,
                        no_event,
                        None,
                        std::ptr::null(),
                        from,
                        u32::from_ne_bytes(to.octets()),
                        data,
                        size,
                        std::ptr::from_ref(options),
                        buffer,
                        buffer_size,
                        timeout_ms,
                    )
                }
            }
            _ => 0,
        }
    }
}

impl Drop for Helper {
    #[expect(unsafe_code, reason = "the ICMP helper")]
    fn drop(&mut self) {
        // SAFETY: opened by us and closed once.
        unsafe { IcmpCloseHandle(self.handle) };
    }
}

fn bytes(reply: &[u64]) -> Vec<u8> {
    reply.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// One packet, there and back.
fn call(burst: &Burst, index: u16) -> Called {
    let not_sent = |code| Called { index, begin: now(), end: now(), fate: Fate::NotSent(code) };
    let Some(open) = Helper::open(burst.address.is_ipv6()) else { return not_sent(last_error()) };
    // A nonce: the helper matches replies itself, damage it does not look for.
    let mut payload = vec![0; usize::from(burst.payload_bytes)];
    if let Err(error) = getrandom::fill(&mut payload) {
        return not_sent(error.raw_os_error().map_or(0, i32::cast_unsigned));
    }
    let options = IP_OPTION_INFORMATION {
        Ttl: burst.ttls.get(usize::from(index)).copied().unwrap_or(128),
        Tos: 0,
        Flags: if burst.dont_fragment { DONT_FRAGMENT } else { 0 },
        OptionsSize: 0,
        OptionsData: std::ptr::null_mut(),
    };
    let mut reply = vec![0_u64; (payload.len() + REPLY_EXTRA).div_ceil(8)];
    let begin = now();
    let count = open.send(burst, &payload, &options, &mut reply);
    let code = if count == 0 { last_error() } else { 0 };
    let end = now();
    let (start, bytes) = (reply.as_ptr() as usize, bytes(&reply));
    let fate = match count {
        0 => helper::without_reply(&bytes, code, burst.address),
        _ => helper::with_reply(&bytes, start, &payload, burst.address),
    };
    Called { index, begin, end, fate }
}

#[expect(unsafe_code, reason = "the last error has no safe wrapper with its number")]
fn last_error() -> u32 {
    // SAFETY: reads a number of this thread.
    unsafe { GetLastError() }
}

// The codec of replies knows the structures by offsets: they are these.
const _: () = {
    assert!(offset_of!(ICMP_ECHO_REPLY, Status) == helper::V4_STATUS_AT);
    assert!(offset_of!(ICMP_ECHO_REPLY, DataSize) == helper::V4_SIZE_AT);
    assert!(offset_of!(ICMP_ECHO_REPLY, Data) == helper::V4_DATA_AT);
    assert!(offset_of!(ICMP_ECHO_REPLY, Options.Ttl) == helper::V4_TTL_AT);
    assert!(size_of::<ICMP_ECHO_REPLY>() == helper::V4_BYTES);
    assert!(offset_of!(ICMPV6_ECHO_REPLY_LH, Address.sin6_addr) == helper::V6_ADDRESS_AT);
    assert!(offset_of!(ICMPV6_ECHO_REPLY_LH, Status) == helper::V6_STATUS_AT);
    assert!(size_of::<ICMPV6_ECHO_REPLY_LH>() == helper::V6_BYTES);
};
