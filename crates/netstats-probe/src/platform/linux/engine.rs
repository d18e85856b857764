//! The ICMP engine: one thread, one socket a family (and one more for bursts that forbid fragments), for any number of
//! destinations.
//!
//! Both time stamps are the kernel's, so nothing is lost by looking late: while much is in the air, the engine looks
//! once a millisecond and moves packets in batches, which costs a quarter of a wake-up a packet. Packets are known by
//! the mark in their payload ([`crate::wire::mark`]); stamps of sending by their number, which is the ICMP sequence
//! number plus an offset.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::fd::{AsRawFd, FromRawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use netstats_event::{FailReason, IcmpError, MplsLabel, SampleFlags, Transport};
use tokio::sync::oneshot;

use super::permission_advice;
use super::socket::{Incoming, Notice, Outgoing, ProbeSocket, wait};
use crate::clock::{now, wall_ns};
use crate::flight::Flight;
use crate::icmp::is_delay_felt;
use crate::limits::{MAX_BURSTS, MIN_PAYLOAD_BYTES, REACHED_MARGIN};
use crate::wire::icmp::{self, Inner, Message};
use crate::wire::mark::{self, Key, Token};
use crate::{BoxFuture, Burst, BurstResult, IcmpTransport, TransportError};

/// How long the engine rests between two looks while much is in the air.
const TICK: Duration = Duration::from_millis(1);
/// So many bursts in the air are much.
const MUCH: usize = 64;
/// How long a full send queue is waited for before a packet counts as not sent.
const SEND_PATIENCE: Duration = Duration::from_millis(100);
/// How long a socket that cannot be read is left alone.
const ERROR_PAUSE: Duration = Duration::from_millis(200);
/// How long a trouble is shown after it was last seen.
const TROUBLE_SHOWN: Duration = Duration::from_secs(60);
/// A wall clock that moves by more than this against the monotonic one between two looks was stepped.
const CLOCK_STEP_NS: i64 = 1_000_000;
/// Low bits of a burst's number: its slot.
const SLOT_BITS: u32 = 20;
/// The number of a packet that is nobody's.
const NOBODY: Token = Token::new(0, 0);

type Answer = Result<BurstResult, TransportError>;

/// The handle: hands bursts to the thread.
pub(crate) struct LinuxTransport {
    shared: Arc<Shared>,
}

struct Shared {
    inbox: Mutex<Vec<(Burst, oneshot::Sender<Answer>)>>,
    trouble: Mutex<Option<(Instant, String)>>,
    /// An event counter: readable when written to.
    bell: File,
    is_asleep: AtomicBool,
    is_closed: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Wakes the thread if it sleeps.
    fn ring(&self) {
        if self.is_asleep.swap(false, Ordering::SeqCst) {
            let _ = (&self.bell).write(&1_u64.to_ne_bytes());
        }
    }
}

impl LinuxTransport {
    /// Starts the thread. Sockets are opened at the first burst that needs them.
    pub(crate) fn start() -> io::Result<Self> {
        let shared = Arc::new(Shared {
            inbox: Mutex::default(),
            trouble: Mutex::default(),
            bell: bell()?,
            is_asleep: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
        });
        let engine = Engine::new(Arc::clone(&shared));
        std::thread::Builder::new().name("icmp".to_owned()).spawn(move || engine.run())?;
        Ok(Self { shared })
    }
}

impl Drop for LinuxTransport {
    fn drop(&mut self) {
        self.shared.is_closed.store(true, Ordering::SeqCst);
        self.shared.is_asleep.store(true, Ordering::SeqCst);
        self.shared.ring();
    }
}

impl IcmpTransport for LinuxTransport {
    fn name(&self) -> &'static str {
        "linux"
    }

    fn burst(&self, burst: Burst) -> BoxFuture<'_, Answer> {
        let (answer, answered) = oneshot::channel();
        lock(&self.shared.inbox).push((burst, answer));
        self.shared.ring();
        Box::pin(async {
            answered.await.unwrap_or_else(|_| {
                let detail = "the ICMP engine has ended; see the log file".to_owned();
                Err(TransportError { reason: FailReason::Internal, detail })
            })
        })
    }

    fn trouble(&self) -> Option<String> {
        let trouble = lock(&self.shared.trouble);
        trouble.as_ref().filter(|(at, _)| at.elapsed() < TROUBLE_SHOWN).map(|(_, what)| what.clone())
    }
}

#[expect(unsafe_code, reason = "eventfd")]
fn bell() -> io::Result<File> {
    // SAFETY: the call takes no pointers, and the descriptor it returns is nobody else's.
    unsafe {
        match libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) {
            -1 => Err(io::Error::last_os_error()),
            fd => Ok(File::from_raw_fd(fd)),
        }
    }
}

/// A burst in the air.
struct Air {
    burst: Burst,
    answer: oneshot::Sender<Answer>,
    flight: Flight,
    number: u64,
    channel: usize,
    begin: Instant,
    /// The next packet to be sent.
    next: u16,
    first_sent: Option<Instant>,
    last_sent: Instant,
    latest: Duration,
    steps: u64,
    dropped: u32,
    mpls: Vec<(u16, Vec<MplsLabel>)>,
    /// A trace's target has answered: when to stop waiting for the rest.
    reached: Option<Instant>,
    /// The smallest time to live that reached it: nothing is sent further.
    reached_ttl: Option<u8>,
}

/// A packet handed to a socket's queue, not yet to the system.
struct Queued {
    out: Outgoing,
    token: Token,
    since: Instant,
}

/// A socket with what goes through it.
struct Channel {
    socket: ProbeSocket,
    bytes: Vec<u8>,
    queue: Vec<Queued>,
    /// Who sent each of the last 65,536 packets, by sequence number.
    senders: Vec<Token>,
    sequence: u16,
    /// The sequence number of the packet that the kernel counts as number 0.
    number_offset: u16,
    paused_until: Option<Instant>,
}

struct Engine {
    shared: Arc<Shared>,
    key: Key,
    /// IPv4, IPv6, and the same without fragments.
    channels: [Option<Channel>; 4],
    slots: Vec<Option<Box<Air>>>,
    free: Vec<u32>,
    next_generation: u64,
    in_air: usize,
    /// When each burst wants to be looked at.
    heap: BinaryHeap<Reverse<(Instant, u64)>>,
    settled: Vec<u64>,
    steps: u64,
    wall_offset: Option<(Instant, i64)>,
}

impl Engine {
    fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            key: Key::default(),
            channels: [None, None, None, None],
            slots: Vec::new(),
            free: Vec::new(),
            next_generation: 1,
            in_air: 0,
            heap: BinaryHeap::new(),
            settled: Vec::new(),
            steps: 0,
            wall_offset: None,
        }
    }

    fn run(mut self) {
        while !self.shared.is_closed.load(Ordering::SeqCst) {
            let begin = now();
            self.look_at_clocks();
            let arrived = std::mem::take(&mut *lock(&self.shared.inbox));
            for (burst, answer) in arrived {
                self.admit(burst, answer, begin);
            }
            self.advance();
            for channel in 0..self.channels.len() {
                self.flush(channel);
                self.receive(channel);
            }
            self.land();
            self.rest(begin);
        }
    }

    /// A step of the wall clock spoils the stamps of what is in the air.
    fn look_at_clocks(&mut self) {
        let (monotonic, wall) = (now(), wall_ns());
        if let Some((before, wall_before)) = self.wall_offset {
            let passed = i64::try_from(monotonic.duration_since(before).as_nanos()).unwrap_or(i64::MAX);
            // Taken away from the processor between the two readings? Then the next look decides.
            if (wall - wall_before - passed).abs() > CLOCK_STEP_NS && now().duration_since(monotonic) < TICK {
                self.steps += 1;
            }
        }
        self.wall_offset = Some((monotonic, wall));
    }

    fn admit(&mut self, burst: Burst, answer: oneshot::Sender<Answer>, at: Instant) {
        let index = usize::from(burst.address.is_ipv6()) + 2 * usize::from(burst.dont_fragment);
        if self.channels[index].is_none() {
            match self.open(burst.address.is_ipv6(), burst.dont_fragment, index) {
                Ok(channel) => self.channels[index] = Some(channel),
                Err(error) => return drop(answer.send(Err(error))),
            }
        }
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None if self.slots.len() < MAX_BURSTS => {
                self.slots.push(None);
                (self.slots.len() - 1) as u32
            }
            None => {
                let detail = format!("{MAX_BURSTS} bursts are in the air already");
                return drop(answer.send(Err(TransportError { reason: FailReason::Internal, detail })));
            }
        };
        let number = (self.next_generation << SLOT_BITS | u64::from(slot)) & (u64::MAX >> 16);
        self.next_generation += 1;
        let air = Air {
            flight: Flight::new(burst.packets),
            answer,
            number,
            channel: index,
            begin: at,
            next: 0,
            first_sent: None,
            last_sent: at,
            latest: Duration::ZERO,
            steps: self.steps,
            dropped: self.channels[index].as_ref().map_or(0, |channel| channel.socket.dropped),
            mpls: Vec::new(),
            reached: None,
            reached_ttl: None,
            burst,
        };
        self.slots[slot as usize] = Some(Box::new(air));
        self.in_air += 1;
        self.heap.push(Reverse((at, number)));
    }

    fn open(&self, is_v6: bool, dont_fragment: bool, index: usize) -> Result<Channel, TransportError> {
        let id = self.key.id().wrapping_add(index as u16).max(1);
        let socket = ProbeSocket::open(is_v6, dont_fragment, id).map_err(|error| {
            let family = if is_v6 { "IPv6" } else { "IPv4" };
            match error.kind() {
                io::ErrorKind::PermissionDenied => TransportError {
                    reason: FailReason::NotPermitted,
                    detail: format!(
                        "this system does not let the program send ICMP echoes; to allow it: {}",
                        permission_advice()
                    ),
                },
                _ => TransportError {
                    reason: FailReason::Socket,
                    detail: format!("no ICMP socket for {family}: {error}"),
                },
            }
        })?;
        Ok(Channel {
            socket,
            bytes: Vec::new(),
            queue: Vec::new(),
            senders: vec![NOBODY; 1 << 16],
            sequence: 0,
            number_offset: 0,
            paused_until: None,
        })
    }

    /// Queues the packets that are due and ends the bursts whose time is over.
    fn advance(&mut self) {
        let at = now();
        while let Some(Reverse((due, number))) = self.heap.peek().copied() {
            if due > at {
                break;
            }
            self.heap.pop();
            let Some(air) = air(&mut self.slots, number) else { continue };
            if air.answer.is_closed() || air.reached.is_some_and(|reached| reached <= at) {
                self.settled.push(number);
                continue;
            }
            let next_ttl = air.burst.ttls.get(usize::from(air.next)).copied();
            let is_beyond = air.reached_ttl.zip(next_ttl).is_some_and(|(reached, next)| next > reached);
            let planned = if is_beyond { air.next } else { air.burst.packets };
            // A burst that fell behind (the host slept) is not made up for in one go.
            if air.next < planned {
                let due = air.begin + air.burst.spacing * u32::from(air.next);
                let latest = at.saturating_duration_since(due);
                air.latest = air.latest.max(latest);
                if latest > air.burst.spacing {
                    air.begin += latest;
                }
                let at_once = if air.burst.spacing.is_zero() { planned - air.next } else { 1 };
                for _ in 0..at_once {
                    if let Some(channel) = &mut self.channels[air.channel] {
                        channel.enqueue(&self.key, air, at);
                    }
                    air.next += 1;
                }
                air.last_sent = at;
            }
            let wake = if air.next < planned {
                air.begin + air.burst.spacing * u32::from(air.next)
            } else {
                let last = air.last_sent + air.burst.timeout + air.burst.linger;
                if last <= at {
                    self.settled.push(number);
                    continue;
                }
                air.reached.map_or(last, |reached| reached.min(last))
            };
            self.heap.push(Reverse((wake, number)));
        }
    }

    /// Hands a channel's queue to the system.
    fn flush(&mut self, index: usize) {
        let Some(channel) = &mut self.channels[index] else { return };
        let mut done = 0;
        let mut has_failed = false;
        while done < channel.queue.len() {
            channel.mark_before(&mut self.slots, done);
            let outgoing: Vec<Outgoing> = channel.queue[done..].iter().take(64).map(|queued| queued.out).collect();
            if channel.socket.transport == Transport::IcmpDatagram {
                channel.socket.clear_error();
            }
            match channel.socket.send(&channel.bytes, &outgoing) {
                Ok(sent) => done += sent.max(1),
                Err(error) => {
                    let queued = &channel.queue[done];
                    let errno = error.raw_os_error().unwrap_or(0);
                    let is_full = matches!(errno, libc::EAGAIN | libc::ENOBUFS);
                    if is_full && now().duration_since(queued.since) < SEND_PATIENCE {
                        has_failed = true;
                        break;
                    }
                    if let Some(air) = air(&mut self.slots, queued.token.number()) {
                        air.flight.not_sent(queued.token.index(), errno);
                        if air.flight.is_settled() {
                            self.settled.push(air.number);
                        }
                    }
                    has_failed = true;
                    done += 1;
                    // The numbers of those that follow start anew, at the next sequence number.
                    channel.restart_numbers(done);
                }
            }
        }
        channel.queue.drain(..done);
        if channel.queue.is_empty() {
            channel.bytes.clear();
        } else if has_failed {
            channel.restart_numbers(0);
        }
    }

    /// Takes in what has come: replies first, then stamps, so that a reply is never without its stamp of sending.
    fn receive(&mut self, index: usize) {
        let Some(channel) = &mut self.channels[index] else { return };
        if channel.paused_until.is_some_and(|until| until > now()) {
            return;
        }
        channel.paused_until = None;
        let is_raw = channel.socket.transport == Transport::IcmpRaw;
        let dropped_before = channel.socket.dropped;
        let (id, is_v6) = (channel.socket.id, channel.socket.is_v6());
        let mut intake = Intake {
            key: &self.key,
            slots: &mut self.slots,
            heap: &mut self.heap,
            settled: &mut self.settled,
            senders: &channel.senders,
            is_raw,
            is_v6,
            id,
        };
        let received = channel.socket.receive(|incoming| intake.message(&incoming));
        let offset = channel.number_offset;
        let noticed = channel.socket.notices(|notice| intake.notice(&notice, offset));
        let problem = match received.and(noticed) {
            Err(error) => {
                channel.paused_until = Some(now() + ERROR_PAUSE);
                Some(format!("the ICMP socket cannot be read: {error}"))
            }
            Ok(()) if channel.socket.dropped != dropped_before => {
                let dropped = channel.socket.dropped.wrapping_sub(dropped_before);
                Some(format!("{dropped} replies were dropped by this machine because they were not read in time"))
            }
            Ok(()) => None,
        };
        if let Some(problem) = problem {
            *lock(&self.shared.trouble) = Some((now(), problem));
        }
    }

    /// Answers for the bursts that are settled.
    fn land(&mut self) {
        for number in std::mem::take(&mut self.settled) {
            let slot = slot_of(number);
            if air(&mut self.slots, number).is_none() {
                continue;
            }
            let Some(air) = self.slots.get_mut(slot).and_then(Option::take) else { continue };
            self.free.push(slot as u32);
            self.in_air -= 1;
            let Some(channel) = &self.channels[air.channel] else { continue };
            let timeout_ns = i64::try_from(air.burst.timeout.as_nanos()).unwrap_or(i64::MAX);
            let (echoes, clock, is_suspect) = air.flight.echoes(timeout_ns, libc::ECANCELED);
            let hops = if air.burst.ttls.is_empty() { Vec::new() } else { air.flight.hops(air.burst.address) };
            let was_dropped = channel.socket.dropped != air.dropped && !air.flight.is_settled();
            let result = BurstResult {
                transport: channel.socket.transport,
                clock,
                echoes,
                hops,
                mpls: air.mpls,
                ttl: air.flight.ttl,
                duplicates: air.flight.duplicates,
                reordered: air.flight.reordered,
                bad_replies: air.flight.bad_replies,
                first_sent: air.first_sent,
                flags: SampleFlags {
                    self_delayed: was_dropped || is_delay_felt(air.latest, air.flight.shortest()),
                    clock_suspect: is_suspect || air.steps != self.steps,
                    ..SampleFlags::default()
                },
            };
            let _ = air.answer.send(Ok(result));
        }
    }

    /// Waits for something to do.
    fn rest(&mut self, begin: Instant) {
        let has_queue = self.channels.iter().flatten().any(|channel| !channel.queue.is_empty());
        let at = now();
        let due = self.heap.peek().map(|Reverse((due, _))| *due);
        if self.in_air > MUCH || has_queue {
            let until = begin + TICK;
            return wait(&[], until.saturating_duration_since(at));
        }
        self.shared.is_asleep.store(true, Ordering::SeqCst);
        if lock(&self.shared.inbox).is_empty() && !self.shared.is_closed.load(Ordering::SeqCst) {
            let mut fds = vec![self.shared.bell.as_raw_fd()];
            // Nothing in the air: what comes now is nobody's, and can wait.
            if self.in_air > 0 {
                let awake = |channel: &&Channel| channel.paused_until.is_none_or(|until| until <= at);
                fds.extend(self.channels.iter().flatten().filter(awake).map(|channel| channel.socket.fd()));
            }
            let at_most = due.map_or(Duration::from_secs(3_600), |due| due.saturating_duration_since(at));
            wait(&fds, at_most);
            let _: io::Result<usize> = (&self.shared.bell).read(&mut [0; 8]);
        }
        self.shared.is_asleep.store(false, Ordering::SeqCst);
    }
}

const fn slot_of(number: u64) -> usize {
    (number & ((1 << SLOT_BITS) - 1)) as usize
}

/// The burst of that number, if it is still in the air.
fn air(slots: &mut [Option<Box<Air>>], number: u64) -> Option<&mut Air> {
    slots.get_mut(slot_of(number))?.as_deref_mut().filter(|air| air.number == number)
}

impl Channel {
    fn enqueue(&mut self, key: &Key, air: &Air, at: Instant) {
        let burst = &air.burst;
        let token = Token::new(air.number, air.next);
        let is_v6 = self.socket.is_v6();
        let payload = usize::from(burst.payload_bytes.max(MIN_PAYLOAD_BYTES));
        let start = icmp::push_echo_request(&mut self.bytes, is_v6, self.socket.id, self.sequence, payload);
        let packet = &mut self.bytes[start..];
        key.write(token, burst.address, &mut packet[icmp::HEADER_BYTES..]);
        if !burst.ttls.is_empty() && payload >= usize::from(MIN_PAYLOAD_BYTES) + 2 {
            // Behind the mark. Any value but 0 and its negative serves, as long as it is the burst's.
            let flow = (air.number as u16 | 1).min(0xfffe);
            icmp::balance(packet, icmp::HEADER_BYTES + usize::from(MIN_PAYLOAD_BYTES), flow);
        }
        if !is_v6 {
            icmp::seal(packet);
        }
        self.senders[usize::from(self.sequence)] = token;
        self.sequence = self.sequence.wrapping_add(1);
        let out = Outgoing {
            address: burst.address,
            port: 0,
            scope_id: burst.scope_id,
            ttl: burst.ttls.get(usize::from(air.next)).copied(),
            dscp: burst.dscp,
            source: burst.source,
            interface: burst.interface,
            start,
            end: self.bytes.len(),
        };
        self.queue.push(Queued { out, token, since: at });
    }

    /// Reads the clock before the send call: the fallback where the kernel gives no stamp of sending.
    fn mark_before(&self, slots: &mut [Option<Box<Air>>], from: usize) {
        let (before, at) = (wall_ns(), now());
        for queued in self.queue[from..].iter().take(64) {
            if let Some(air) = air(slots, queued.token.number()) {
                air.flight.sent(queued.token.index(), before);
                air.first_sent.get_or_insert(at);
            }
        }
    }

    /// The kernel's count of packets begins anew with the queue's `next` one.
    fn restart_numbers(&mut self, next: usize) {
        self.socket.restart_numbers();
        let left = u16::try_from(self.queue.len() - next).unwrap_or(u16::MAX);
        self.number_offset = self.sequence.wrapping_sub(left);
    }
}

/// What takes messages in: everything of the engine that they may touch.
struct Intake<'a> {
    key: &'a Key,
    slots: &'a mut Vec<Option<Box<Air>>>,
    heap: &'a mut BinaryHeap<Reverse<(Instant, u64)>>,
    settled: &'a mut Vec<u64>,
    senders: &'a [Token],
    is_raw: bool,
    is_v6: bool,
    id: u16,
}

impl Intake<'_> {
    fn message(&mut self, incoming: &Incoming<'_>) {
        let body = if self.is_raw && !self.is_v6 {
            match icmp::split_ipv4(incoming.bytes) {
                Ok((_, body)) => body,
                Err(_) => return,
            }
        } else {
            incoming.bytes
        };
        // A message that did not fit cannot be summed up; its mark is at the front and is checked.
        let is_checked = !self.is_raw || incoming.is_cut;
        let parsed = if self.is_v6 { icmp::parse_v6(body) } else { icmp::parse_v4(body, is_checked) };
        let (at, is_kernel) = incoming.stamp.map_or_else(|| (wall_ns(), false), |stamp| (stamp, true));
        match parsed {
            Ok(Message::EchoReply { id, sequence, payload }) if id == self.id => {
                self.reply(sequence, payload, incoming, at, is_kernel);
            }
            Ok(Message::Error { icmp_type, icmp_code, quoted, mpls }) => {
                let Inner::Echo { id, sequence, payload } = quoted.inner else { return };
                if id == self.id {
                    let error = IcmpError { icmp_type, icmp_code, from: Some(incoming.from) };
                    self.error(sequence, payload, quoted.destination, error, mpls, at, is_kernel);
                }
            }
            Err(icmp::Fault::Checksum) => {
                // Damaged on the way: whose it was is a guess by sequence number, good enough to count it.
                if let Some((id, sequence)) = icmp::claimed_echo(body).filter(|(id, _)| *id == self.id) {
                    debug_assert_eq!(id, self.id);
                    self.bad(sequence, incoming.from);
                }
            }
            _ => {}
        }
    }

    fn reply(&mut self, sequence: u16, payload: &[u8], incoming: &Incoming<'_>, at: i64, is_kernel: bool) {
        let claimed = mark::claimed(payload).unwrap_or(NOBODY);
        let Some(air) = air(self.slots, claimed.number()) else { return self.bad(sequence, incoming.from) };
        // Behind the mark, a trace's packets are balanced, each in its own way.
        let is_trace = !air.burst.ttls.is_empty();
        let is_whole = if is_trace {
            self.key.starts(claimed, air.burst.address, payload)
        } else {
            self.key.holds(claimed, air.burst.address, payload)
        };
        if !is_whole {
            return self.bad(sequence, incoming.from);
        }
        if incoming.from != air.burst.address {
            // Ours, but answered by somebody else.
            air.flight.bad();
            return;
        }
        air.flight.replied(claimed.index(), at, is_kernel, incoming.ttl);
        if air.flight.is_settled() {
            self.settled.push(air.number);
        } else if is_trace {
            let ttl = air.burst.ttls.get(usize::from(claimed.index())).copied().unwrap_or(u8::MAX);
            air.reached_ttl = Some(air.reached_ttl.map_or(ttl, |known| known.min(ttl)));
        }
        if is_trace && air.reached.is_none() {
            // The target of a trace has answered: its other answers are on their way.
            let span = Duration::from_nanos(air.flight.longest().and_then(|ns| ns.try_into().ok()).unwrap_or(0));
            let reached = now() + span + REACHED_MARGIN;
            air.reached = Some(reached);
            self.heap.push(Reverse((reached, air.number)));
        }
    }

    #[expect(clippy::too_many_arguments, reason = "what an error consists of")]
    fn error(
        &mut self,
        sequence: u16,
        payload: &[u8],
        destination: IpAddr,
        error: IcmpError,
        mpls: Vec<MplsLabel>,
        at: i64,
        is_kernel: bool,
    ) {
        // Routers quote at least the ICMP header; then the sequence number must do, with the address.
        let token = match mark::claimed(payload) {
            Some(token) => token,
            None => self.senders[usize::from(sequence)],
        };
        let Some(air) = air(self.slots, token.number()) else { return };
        let is_quoted = payload.len() >= usize::from(MIN_PAYLOAD_BYTES);
        if air.burst.address != destination || (is_quoted && !self.key.starts(token, destination, payload)) {
            return;
        }
        air.flight.errored(token.index(), error, at, is_kernel);
        if !mpls.is_empty() {
            air.mpls.push((token.index(), mpls));
        }
        if air.flight.is_settled() {
            self.settled.push(air.number);
        }
    }

    /// Something that carries our id but not our mark.
    fn bad(&mut self, sequence: u16, from: IpAddr) {
        let token = self.senders[usize::from(sequence)];
        if let Some(air) = air(self.slots, token.number()).filter(|air| air.burst.address == from) {
            air.flight.bad();
        }
    }

    fn notice(&mut self, notice: &Notice<'_>, number_offset: u16) {
        match *notice {
            Notice::Sent { number, stamp } => {
                let token = self.senders[usize::from((number as u16).wrapping_add(number_offset))];
                if let Some(air) = air(self.slots, token.number()) {
                    air.flight.stamped(token.index(), stamp);
                }
            }
            Notice::Error { icmp_type, icmp_code, from, destination, packet, stamp, .. } => {
                let Some((_, sequence, payload)) = icmp::parse_own_request(packet) else { return };
                let error = IcmpError { icmp_type, icmp_code, from };
                let (at, is_kernel) = stamp.map_or_else(|| (wall_ns(), false), |stamp| (stamp, true));
                self.error(sequence, payload, destination, error, Vec::new(), at, is_kernel);
            }
        }
    }
}
