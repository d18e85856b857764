//! The ICMP engine: one thread, one socket a family (and one more for bursts that forbid fragments), for any number of
//! destinations.
//!
//! Both time stamps are the kernel's, so nothing is lost by looking late: while much is in the air, the engine looks
//! once a millisecond and moves packets in batches, which costs a quarter of a wake-up a packet. Packets are known by
//! the mark in their payload ([`crate::wire::mark`]); stamps of sending by their number, which is the ICMP sequence
//! number plus an offset.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::fd::{AsRawFd, FromRawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use netstats_event::{FailReason, IcmpError, MplsLabel, SampleFlags, Transport};
use tokio::sync::oneshot;

use super::socket::{Incoming, Notice, Outgoing, ProbeSocket, wait};
use super::wheel::Wheel;
use super::{be_prompt, permission_advice};
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
/// Packets sent before the answers are looked at: a few hundred kilobytes of buffers.
const AT_ONCE: usize = 1_024;
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
        std::thread::Builder::new().name("icmp".to_owned()).spawn(move || {
            be_prompt();
            engine.run();
        })?;
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
    wheel: Wheel<u64>,
    /// Those that are being looked at, kept for its memory.
    due: Vec<u64>,
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
            wheel: Wheel::new(now()),
            due: Vec::new(),
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
                // An engine that was kept waiting has much to send, and must not let the answers to it overflow.
                while self.flush(channel) {
                    self.receive(channel);
                }
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
        self.wheel.push(at, number);
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
        Ok(Channel::over(socket))
    }

    /// Queues the packets that are due and ends the bursts whose time is over.
    fn advance(&mut self) {
        let at = now();
        let mut due = std::mem::take(&mut self.due);
        self.wheel.take(at, &mut due);
        for number in due.drain(..) {
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
            self.wheel.push(wake, number);
        }
        self.due = due;
    }

    /// Hands a channel's queue to the system, [`AT_ONCE`] packets at most. True if more are to follow at once.
    fn flush(&mut self, index: usize) -> bool {
        let Some(channel) = &mut self.channels[index] else { return false };
        let mut done = 0;
        let mut has_failed = false;
        while done < channel.queue.len().min(AT_ONCE) {
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
        !has_failed && !channel.queue.is_empty()
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
            wheel: &mut self.wheel,
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
            let at_most = self.wheel.next().map_or(Duration::from_secs(3_600), |due| due.saturating_duration_since(at));
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
    fn over(socket: ProbeSocket) -> Self {
        Self {
            socket,
            bytes: Vec::new(),
            queue: Vec::new(),
            senders: vec![NOBODY; 1 << 16],
            sequence: 0,
            number_offset: 0,
            paused_until: None,
        }
    }

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
    wheel: &'a mut Wheel<u64>,
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
        let is_trace = !air.burst.ttls.is_empty();
        let sent_bytes = usize::from(air.burst.payload_bytes.max(MIN_PAYLOAD_BYTES));
        // Of one that is larger than our buffer the beginning must do.
        let sent_bytes = if incoming.is_cut { sent_bytes.min(payload.len()) } else { sent_bytes };
        // Behind the mark, a trace's packets are balanced, each in its own way.
        let is_whole = if is_trace {
            payload.len() == sent_bytes && self.key.starts(claimed, air.burst.address, payload)
        } else {
            self.key.holds(claimed, air.burst.address, payload, sent_bytes)
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
            self.wheel.push(reached, air.number);
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

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 9));
    const ROUTER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const ID: u16 = 7;
    const MS: i64 = 1_000_000;

    /// What happens to a reply on the way.
    type Change = fn(Vec<u8>) -> Vec<u8>;

    /// A burst in the air whose packets were made and marked as sent, but lie here: the socket is a stand-in that any
    /// user may open.
    struct Rig {
        engine: Engine,
        answer: oneshot::Receiver<Answer>,
        packets: Vec<Vec<u8>>,
        sent_at: i64,
    }

    impl Rig {
        fn new(packets: u16) -> Self {
            let shared = Arc::new(Shared {
                inbox: Mutex::default(),
                trouble: Mutex::default(),
                bell: bell().unwrap(),
                is_asleep: AtomicBool::new(false),
                is_closed: AtomicBool::new(false),
            });
            let mut engine = Engine::new(shared);
            let mut socket = ProbeSocket::udp(false, 4).unwrap();
            socket.id = ID;
            engine.channels[0] = Some(Channel::over(socket));
            let timeout = Duration::from_secs(1);
            let burst = Burst { packets, spacing: Duration::ZERO, timeout, ..Burst::to(TARGET) };
            let (sender, answer) = oneshot::channel();
            engine.admit(burst, sender, now());
            engine.advance();
            let sent_at = wall_ns();
            let channel = engine.channels[0].as_mut().unwrap();
            channel.mark_before(&mut engine.slots, 0);
            let bytes = |queued: &Queued| channel.bytes[queued.out.start..queued.out.end].to_vec();
            let made = channel.queue.iter().map(bytes).collect();
            channel.queue.clear();
            Self { engine, answer, packets: made, sent_at }
        }

        /// A message arrives, with an IP header in front of it, so many milliseconds after the sending.
        fn hear(&mut self, message: &[u8], from: IpAddr, after_ms: i64, is_cut: bool) {
            let Engine { key, slots, wheel, settled, channels, .. } = &mut self.engine;
            let senders = &channels[0].as_ref().unwrap().senders;
            let mut intake = Intake { key, slots, wheel, settled, senders, is_raw: true, is_v6: false, id: ID };
            let mut bytes = vec![0; 20];
            bytes[0] = 0x45;
            bytes.extend(message);
            let stamp = Some(self.sent_at + after_ms * MS);
            intake.message(&Incoming { bytes: &bytes, from, stamp, ttl: Some(61), is_cut });
        }

        /// The target's true answer to a packet.
        fn reply(&self, index: usize) -> Vec<u8> {
            let mut reply = self.packets[index].clone();
            reply[0] = 0;
            icmp::seal(&mut reply);
            reply
        }

        /// What the burst comes to, its time being over.
        fn end(mut self) -> BurstResult {
            let open: Vec<u64> = self.engine.slots.iter().flatten().map(|air| air.number).collect();
            self.engine.settled.extend(open);
            self.engine.land();
            self.answer.try_recv().expect("an answer").expect("a result")
        }
    }

    /// A router's error about a packet, quoting so much of it.
    fn error_about(packet: &[u8], to: IpAddr, quoted_bytes: usize) -> Vec<u8> {
        let mut error = vec![11, 0, 0, 0, 0, 0, 0, 0, 0x45];
        error.resize(8 + 20, 0);
        error[8 + 9] = 1;
        let IpAddr::V4(to) = to else { panic!("IPv4") };
        error[8 + 16..].copy_from_slice(&to.octets());
        error.extend(&packet[..quoted_bytes]);
        icmp::seal(&mut error);
        error
    }

    #[test]
    fn true_replies_are_samples_and_a_second_one_is_a_duplicate() {
        let mut rig = Rig::new(3);
        for (index, after_ms) in [(0, 5), (2, 7), (1, 9), (1, 11)] {
            let reply = rig.reply(index);
            rig.hear(&reply, TARGET, after_ms, false);
        }
        let result = rig.end();
        for (echo, after_ms) in result.echoes.iter().zip([5, 9, 7]) {
            let micros = echo.rtt().expect("a round trip").as_micros();
            assert!((1..=after_ms * 1_000).contains(&micros), "{result:?}");
        }
        assert_eq!((result.duplicates, result.reordered, result.bad_replies, result.ttl), (1, 1, 0, Some(61)));
    }

    #[test]
    fn a_late_reply_is_no_sample_and_no_loss() {
        let mut rig = Rig::new(2);
        let reply = rig.reply(0);
        rig.hear(&reply, TARGET, 60_000, false);
        let result = rig.end();
        assert!(matches!(result.echoes[..], [netstats_event::Echo::Late(_), netstats_event::Echo::Lost]), "{result:?}");
    }

    #[test]
    fn what_is_not_the_very_packet_that_was_sent_is_counted_and_never_a_sample() {
        let sealed = |mut message: Vec<u8>| {
            icmp::seal(&mut message);
            message
        };
        let with = |mut message: Vec<u8>, at: usize| {
            message[at] ^= 1;
            message
        };
        let cases: [(&str, Change); 5] = [
            ("a forged number", |reply| reply),
            ("a forged check", |reply| reply),
            ("another filling", |reply| reply),
            ("cut on the way", |mut reply| {
                reply.truncate(8 + 20);
                reply
            }),
            ("longer than what was sent", |mut reply| {
                let from = reply.len() - 8;
                reply.extend((from..from + 100).map(|place| place as u8));
                reply
            }),
        ];
        for ((what, change), damaged) in cases.into_iter().zip([Some(8), Some(16), Some(40), None, None]) {
            let mut rig = Rig::new(1);
            let reply = change(rig.reply(0));
            let reply = sealed(damaged.map_or_else(|| reply.clone(), |at| with(reply.clone(), at)));
            rig.hear(&reply, TARGET, 5, false);
            let result = rig.end();
            assert_eq!((result.bad_replies, &result.echoes[..]), (1, &[netstats_event::Echo::Lost][..]), "{what}");
        }
        // Damaged on the way, with the checksum that it had.
        let mut rig = Rig::new(1);
        let damaged = with(rig.reply(0), 50);
        rig.hear(&damaged, TARGET, 5, false);
        // The right one, from a wrong place.
        let reply = rig.reply(0);
        rig.hear(&reply, ROUTER, 6, false);
        // So large that it does not fit our buffer.
        let mut oversized = rig.reply(0);
        oversized.resize(2_028, 0xff);
        rig.hear(&oversized, TARGET, 7, true);
        let result = rig.end();
        assert_eq!((result.bad_replies, &result.echoes[..]), (3, &[netstats_event::Echo::Lost][..]));
    }

    #[test]
    fn what_belongs_to_others_is_not_even_counted() {
        let mut rig = Rig::new(1);
        let mut other_program = rig.reply(0);
        other_program[5] ^= 1;
        icmp::seal(&mut other_program);
        let old = Rig::new(1).reply(0);
        let request = rig.packets[0].clone();
        for (message, from) in [(&other_program, TARGET), (&old, ROUTER), (&request, TARGET), (&vec![0; 5], TARGET)] {
            rig.hear(message, from, 5, false);
        }
        let result = rig.end();
        assert_eq!((result.bad_replies, &result.echoes[..]), (0, &[netstats_event::Echo::Lost][..]));
    }

    #[test]
    fn a_router_is_believed_only_about_a_packet_of_ours() {
        let mut rig = Rig::new(4);
        let quoted = |rig: &Rig, index: usize, to: IpAddr, bytes: usize| error_about(&rig.packets[index], to, bytes);
        let whole = quoted(&rig, 0, TARGET, 64);
        rig.hear(&whole, ROUTER, 5, false);
        // As much as RFC 792 asks for: the sequence number must do.
        let short = quoted(&rig, 1, TARGET, 8);
        rig.hear(&short, ROUTER, 5, false);
        let elsewhere = quoted(&rig, 2, ROUTER, 64);
        rig.hear(&elsewhere, ROUTER, 5, false);
        rig.packets[3][20] ^= 1;
        let forged = quoted(&rig, 3, TARGET, 64);
        rig.hear(&forged, ROUTER, 5, false);
        let result = rig.end();
        let error = netstats_event::Echo::Error(IcmpError { icmp_type: 11, icmp_code: 0, from: Some(ROUTER) });
        let lost = netstats_event::Echo::Lost;
        assert_eq!(result.echoes, [error, error, lost, lost]);
    }

    #[test]
    #[expect(unsafe_code, reason = "dup2, to take a socket away under the engine")]
    fn a_socket_that_fails_is_left_alone_for_a_while_and_its_trouble_is_told() {
        let mut rig = Rig::new(1);
        let fd = rig.engine.channels[0].as_ref().unwrap().socket.fd();
        let nothing = File::open("/dev/null").unwrap();
        // SAFETY: both descriptors are open, and the socket that the first one was is used by nobody else.
        assert!(unsafe { libc::dup2(nothing.as_raw_fd(), fd) } >= 0);
        let transport = LinuxTransport { shared: Arc::clone(&rig.engine.shared) };
        assert_eq!(transport.trouble(), None);
        rig.engine.receive(0);
        let until = rig.engine.channels[0].as_ref().unwrap().paused_until.expect("a pause");
        assert!(until > now());
        let told = transport.trouble().expect("a trouble");
        assert!(told.contains("cannot be read"), "{told}");
        // Not read again before the pause is over, and not polled: a lasting error spins no processor.
        *lock(&rig.engine.shared.trouble) = None;
        rig.engine.receive(0);
        assert_eq!(transport.trouble(), None);
    }
}
