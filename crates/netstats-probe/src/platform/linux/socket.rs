//! One ICMP or UDP socket with kernel time stamps, read and written in batches.

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use libc::{c_int, c_void, cmsghdr, iovec, mmsghdr, sockaddr_in, sockaddr_in6, sockaddr_storage, socklen_t, timespec};
use netstats_event::Transport;
use socket2::{Domain, Protocol, Socket, Type};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::open_icmp;

/// Messages moved by one system call.
const BATCH: usize = 64;
/// Bytes kept of one received message. Our mark is at the front, so a larger reply is still told apart.
const RECEIVE_BYTES: usize = 2_048;
const CONTROL_BYTES: usize = 256;
/// A receive buffer of the default size holds 256 replies, five milliseconds at 50,000 a second.
const RECEIVE_BUFFER: c_int = 16 << 20;
const SEND_BUFFER: c_int = 4 << 20;

const IP_RECVERR_RFC4884: c_int = 26;
const IPV6_RECVERR_RFC4884: c_int = 31;
const SOL_RAW: c_int = 255;
const ICMP_FILTER: c_int = 1;
const ICMP6_FILTER: c_int = 1;
const STAMPS: c_int = (libc::SOF_TIMESTAMPING_TX_SOFTWARE
    | libc::SOF_TIMESTAMPING_RX_SOFTWARE
    | libc::SOF_TIMESTAMPING_SOFTWARE
    | libc::SOF_TIMESTAMPING_OPT_ID
    | libc::SOF_TIMESTAMPING_OPT_TSONLY) as c_int;

/// A packet to be sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outgoing {
    pub(super) address: IpAddr,
    /// UDP port; 0 for ICMP.
    pub(super) port: u16,
    pub(super) scope_id: u32,
    pub(super) ttl: Option<u8>,
    pub(super) dscp: Option<u8>,
    pub(super) source: Option<IpAddr>,
    pub(super) interface: u32,
    /// Where its bytes lie in the batch's buffer.
    pub(super) start: usize,
    pub(super) end: usize,
}

/// A message received.
pub(super) struct Incoming<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) from: IpAddr,
    /// The kernel's stamp of receipt, nanoseconds of the wall clock.
    pub(super) stamp: Option<i64>,
    pub(super) ttl: Option<u8>,
    pub(super) is_cut: bool,
}

/// A message from the error queue.
pub(super) enum Notice<'a> {
    /// The nth packet sent left at this time.
    Sent { number: u32, stamp: i64 },
    /// An ICMP error about a packet of ours (datagram sockets), and that packet without its IP header.
    Error {
        icmp_type: u8,
        icmp_code: u8,
        from: Option<IpAddr>,
        destination: IpAddr,
        packet: &'a [u8],
        /// Where in `packet` extensions begin (RFC 4884), where the kernel has found them.
        extensions: Option<u16>,
        stamp: Option<i64>,
    },
}

impl AsRawFd for ProbeSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.fd()
    }
}

pub(super) struct ProbeSocket {
    socket: Socket,
    pub(super) transport: Transport,
    is_v6: bool,
    /// The ICMP id of our packets.
    pub(super) id: u16,
    /// The kernel gives stamps of sending and receipt.
    pub(super) has_stamps: bool,
    /// Packets that the kernel dropped because we did not read in time.
    pub(super) dropped: u32,
    arena: Box<Arena>,
}

/// Memory that system calls read and fill, made once.
struct Arena {
    buffers: Vec<[u8; RECEIVE_BYTES]>,
    controls: Vec<Control>,
    names: Vec<sockaddr_storage>,
    vectors: Vec<iovec>,
    messages: Vec<mmsghdr>,
}

impl Arena {
    fn new(batch: usize) -> Box<Self> {
        Box::new(Self {
            buffers: vec![[0; RECEIVE_BYTES]; batch],
            controls: vec![Control([0; CONTROL_BYTES]); batch],
            names: vec![blank(); batch],
            vectors: vec![blank(); batch],
            messages: vec![blank(); batch],
        })
    }
}

#[derive(Clone, Copy)]
#[repr(C, align(16))]
struct Control([u8; CONTROL_BYTES]);

// The pointers inside point into the arena itself or to buffers that live through one call; nothing is shared.
#[expect(unsafe_code, reason = "raw pointers in message headers are set before each call")]
// SAFETY: no pointer is followed except inside the system call that it was set up for.
unsafe impl Send for Arena {}

#[expect(unsafe_code, reason = "all-zero is a valid value of these C structures")]
fn blank<T: Copy>() -> T {
    const {
        assert!(size_of::<T>() > 0);
    }
    // SAFETY: used for C structures of integers and nullable pointers only.
    unsafe { zeroed() }
}

impl ProbeSocket {
    pub(super) fn open(is_v6: bool, dont_fragment: bool, raw_id: u16) -> io::Result<Self> {
        let (socket, transport) = open_icmp(is_v6)?;
        socket.set_nonblocking(true)?;
        let fd = socket.as_raw_fd();
        // Past the system's limit where allowed, up to it otherwise.
        for (force, plain, bytes) in [
            (libc::SO_RCVBUFFORCE, libc::SO_RCVBUF, RECEIVE_BUFFER),
            (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF, SEND_BUFFER),
        ] {
            if set(fd, libc::SOL_SOCKET, force, &bytes).is_err() {
                set(fd, libc::SOL_SOCKET, plain, &bytes)?;
            }
        }
        set(fd, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, &1)?;
        let discover = if dont_fragment { libc::IP_PMTUDISC_PROBE } else { libc::IP_PMTUDISC_DONT };
        if is_v6 {
            set(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVHOPLIMIT, &1)?;
            set(fd, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, &discover)?;
        } else {
            set(fd, libc::IPPROTO_IP, libc::IP_RECVTTL, &1)?;
            set(fd, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, &discover)?;
        }
        let id = if transport == Transport::IcmpDatagram {
            // The kernel keeps the id as a port, and gives each socket its own replies only.
            let any: std::net::SocketAddr =
                if is_v6 { (Ipv6Addr::UNSPECIFIED, 0).into() } else { (Ipv4Addr::UNSPECIFIED, 0).into() };
            socket.bind(&any.into())?;
            let (level, name) =
                if is_v6 { (libc::IPPROTO_IPV6, libc::IPV6_RECVERR) } else { (libc::IPPROTO_IP, libc::IP_RECVERR) };
            set(fd, level, name, &1)?;
            socket.local_addr()?.as_socket().map_or(0, |local| local.port())
        } else {
            if is_v6 {
                let mut blocked = [u32::MAX; 8];
                for passed in [1_usize, 2, 3, 4, 129] {
                    blocked[passed / 32] &= !(1 << (passed % 32));
                }
                set(fd, libc::IPPROTO_ICMPV6, ICMP6_FILTER, &blocked)?;
            } else {
                let blocked: u32 = !(1 | 1 << 3 | 1 << 11 | 1 << 12);
                set(fd, SOL_RAW, ICMP_FILTER, &blocked)?;
            }
            raw_id
        };
        let has_stamps = set(fd, libc::SOL_SOCKET, libc::SO_TIMESTAMPING, &STAMPS).is_ok();
        if !has_stamps {
            set(fd, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, &1)?;
        }
        Ok(Self { socket, transport, is_v6, id, has_stamps, dropped: 0, arena: Arena::new(BATCH) })
    }

    /// A UDP socket that moves `batch` messages at a time. It is told of ICMP errors (`IP_RECVERR`), extensions of
    /// theirs included (RFC 4884) where the kernel knows how.
    pub(super) fn udp(is_v6: bool, batch: usize) -> io::Result<Self> {
        let domain = if is_v6 { Domain::IPV6 } else { Domain::IPV4 };
        let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        let fd = socket.as_raw_fd();
        let (level, errors, extensions) = if is_v6 {
            (libc::IPPROTO_IPV6, libc::IPV6_RECVERR, IPV6_RECVERR_RFC4884)
        } else {
            (libc::IPPROTO_IP, libc::IP_RECVERR, IP_RECVERR_RFC4884)
        };
        set(fd, level, errors, &1)?;
        let _ = set(fd, level, extensions, &1);
        let has_stamps = set(fd, libc::SOL_SOCKET, libc::SO_TIMESTAMPING, &STAMPS).is_ok();
        if !has_stamps {
            set(fd, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, &1)?;
        }
        let arena = Arena::new(batch.min(BATCH));
        Ok(Self { socket, transport: Transport::Udp, is_v6, id: 0, has_stamps, dropped: 0, arena })
    }

    /// A TCP socket whose SYN dies after `ttl` hops, and that is told where.
    pub(super) fn tcp(is_v6: bool, ttl: u8) -> io::Result<Self> {
        let domain = if is_v6 { Domain::IPV6 } else { Domain::IPV4 };
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        let fd = socket.as_raw_fd();
        let ttl = c_int::from(ttl);
        if is_v6 {
            set(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVERR, &1)?;
            set(fd, libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, &ttl)?;
        } else {
            set(fd, libc::IPPROTO_IP, libc::IP_RECVERR, &1)?;
            set(fd, libc::IPPROTO_IP, libc::IP_TTL, &ttl)?;
        }
        let arena = Arena::new(1);
        Ok(Self { socket, transport: Transport::Tcp, is_v6, id: 0, has_stamps: false, dropped: 0, arena })
    }

    /// The socket with tokio to wait on it, for messages and for its error queue.
    #[expect(unsafe_code, reason = "tokio wants a descriptor that stays open")]
    pub(super) fn into_async(self) -> io::Result<AsyncFd<Self>> {
        let is_tcp = self.transport == Transport::Tcp;
        let interest = if is_tcp { Interest::WRITABLE } else { Interest::READABLE } | Interest::ERROR;
        // SAFETY: the socket owns its descriptor, and closes it only when it is dropped, after the registration.
        unsafe { AsyncFd::register_with_interest(self, interest) }.map_err(io::Error::from)
    }

    /// The socket itself, to bind or connect it.
    pub(super) const fn socket(&self) -> &Socket {
        &self.socket
    }

    pub(super) fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Counts packets from 0 again. After a failed send it is not known whether the kernel counted it.
    pub(super) fn restart_numbers(&self) {
        if self.has_stamps {
            let _ = set(self.fd(), libc::SOL_SOCKET, libc::SO_TIMESTAMPING, &0);
            let _ = set(self.fd(), libc::SOL_SOCKET, libc::SO_TIMESTAMPING, &STAMPS);
        }
    }

    /// Takes an error that lies ready on the socket because of an earlier packet: it is not about the next one.
    pub(super) fn clear_error(&self) {
        let _ = self.socket.take_error();
    }

    /// Sends as many of these as the system takes, in order; at most a batch.
    ///
    /// # Errors
    /// The first one was refused.
    #[expect(unsafe_code, reason = "sendmmsg")]
    pub(super) fn send(&mut self, bytes: &[u8], packets: &[Outgoing]) -> io::Result<usize> {
        let fd = self.fd();
        let arena = &mut *self.arena;
        let count = packets.len().min(arena.messages.len());
        for (at, packet) in packets[..count].iter().enumerate() {
            let name_bytes = put_name(&mut arena.names[at], packet);
            let control_bytes = put_options(&mut arena.controls[at], packet);
            let body = &bytes[packet.start..packet.end];
            arena.vectors[at] = iovec { iov_base: body.as_ptr().cast_mut().cast(), iov_len: body.len() };
            let header = &mut arena.messages[at].msg_hdr;
            header.msg_name = (&raw mut arena.names[at]).cast();
            header.msg_namelen = name_bytes;
            header.msg_iov = &raw mut arena.vectors[at];
            header.msg_iovlen = 1;
            header.msg_control =
                if control_bytes == 0 { std::ptr::null_mut() } else { (&raw mut arena.controls[at]).cast() };
            header.msg_controllen = control_bytes as _;
            header.msg_flags = 0;
        }
        // SAFETY: `count` headers are set up above; all they point to lives until the call returns, and the kernel
        // only reads the bodies.
        let sent = unsafe { libc::sendmmsg(fd, arena.messages.as_mut_ptr(), count as u32, 0) };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(sent as usize) }
    }

    /// Hands what has come to `take`, until nothing is left.
    ///
    /// # Errors
    /// The socket cannot be read.
    pub(super) fn receive(&mut self, mut take: impl FnMut(Incoming<'_>)) -> io::Result<()> {
        loop {
            let count = self.receive_batch(0)?;
            for at in 0..count {
                let message = self.arena.messages[at];
                let Some(from) = name(&self.arena.names[at]) else { continue };
                let mut incoming = Incoming {
                    bytes: &self.arena.buffers[at][..(message.msg_len as usize).min(RECEIVE_BYTES)],
                    from,
                    stamp: None,
                    ttl: None,
                    is_cut: message.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
                };
                let control = &self.arena.controls[at].0[..message.msg_hdr.msg_controllen.min(CONTROL_BYTES)];
                let dropped = &mut self.dropped;
                each_option(control, |level, kind, data| match (level, kind) {
                    (libc::SOL_SOCKET, libc::SCM_TIMESTAMPING | libc::SCM_TIMESTAMPNS) => incoming.stamp = stamp(data),
                    (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => {
                        if let Some(count) = read::<u32>(data) {
                            *dropped = count;
                        }
                    }
                    (libc::IPPROTO_IP, libc::IP_TTL) | (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) => {
                        incoming.ttl = read::<c_int>(data).and_then(|ttl| u8::try_from(ttl).ok());
                    }
                    _ => {}
                });
                take(incoming);
            }
            if count < self.arena.messages.len() {
                return Ok(());
            }
        }
    }

    /// Hands the error queue to `take`, until it is empty.
    ///
    /// # Errors
    /// The socket cannot be read.
    pub(super) fn notices(&mut self, mut take: impl FnMut(Notice<'_>)) -> io::Result<()> {
        let is_rfc4884 = self.transport == Transport::Udp;
        loop {
            let count = self.receive_batch(libc::MSG_ERRQUEUE)?;
            for at in 0..count {
                let message = self.arena.messages[at];
                let control = &self.arena.controls[at].0[..message.msg_hdr.msg_controllen.min(CONTROL_BYTES)];
                let (mut when, mut error, mut from) = (None, None, None);
                each_option(control, |level, kind, data| match (level, kind) {
                    (libc::SOL_SOCKET, libc::SCM_TIMESTAMPING) => when = stamp(data),
                    (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR) => {
                        error = read::<libc::sock_extended_err>(data);
                        // The offender's address follows the error (SO_EE_OFFENDER).
                        let mut offender: sockaddr_storage = blank();
                        if let Some(rest) = data.get(size_of::<libc::sock_extended_err>()..) {
                            fill(&mut offender, rest);
                            from = name(&offender);
                        }
                    }
                    _ => {}
                });
                let Some(error) = error else { continue };
                match error.ee_origin {
                    libc::SO_EE_ORIGIN_TIMESTAMPING => {
                        if let Some(stamp) = when {
                            take(Notice::Sent { number: error.ee_data, stamp });
                        }
                    }
                    libc::SO_EE_ORIGIN_ICMP | libc::SO_EE_ORIGIN_ICMP6 => {
                        let Some(destination) = name(&self.arena.names[at]) else { continue };
                        let packet = &self.arena.buffers[at][..(message.msg_len as usize).min(RECEIVE_BYTES)];
                        let (icmp_type, icmp_code) = (error.ee_type, error.ee_code);
                        // `ee_data` holds `struct sock_ee_data_rfc4884`: length of the quoted packet, flags.
                        let extensions = is_rfc4884
                            .then(|| {
                                u16::from_ne_bytes([error.ee_data.to_ne_bytes()[0], error.ee_data.to_ne_bytes()[1]])
                            })
                            .filter(|offset| *offset > 0);
                        take(Notice::Error {
                            icmp_type,
                            icmp_code,
                            from,
                            destination,
                            packet,
                            extensions,
                            stamp: when,
                        });
                    }
                    _ => {}
                }
            }
            if count < self.arena.messages.len() {
                return Ok(());
            }
        }
    }

    #[expect(unsafe_code, reason = "recvmmsg")]
    fn receive_batch(&mut self, flags: c_int) -> io::Result<usize> {
        let fd = self.fd();
        let arena = &mut *self.arena;
        for at in 0..arena.messages.len() {
            arena.vectors[at] = iovec { iov_base: arena.buffers[at].as_mut_ptr().cast(), iov_len: RECEIVE_BYTES };
            let header = &mut arena.messages[at].msg_hdr;
            header.msg_name = (&raw mut arena.names[at]).cast();
            header.msg_namelen = size_of::<sockaddr_storage>() as socklen_t;
            header.msg_iov = &raw mut arena.vectors[at];
            header.msg_iovlen = 1;
            header.msg_control = (&raw mut arena.controls[at]).cast();
            header.msg_controllen = CONTROL_BYTES as _;
            header.msg_flags = 0;
        }
        // SAFETY: all headers point into the arena, which lives until the call returns and is not touched meanwhile.
        let count = unsafe {
            let (messages, batch) = (arena.messages.as_mut_ptr(), arena.messages.len() as u32);
            libc::recvmmsg(fd, messages, batch, flags | libc::MSG_DONTWAIT, std::ptr::null_mut())
        };
        if count >= 0 {
            return Ok(count as usize);
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EAGAIN | libc::EINTR) => Ok(0),
            // A datagram socket reports the ICMP error that now lies in its error queue here, too.
            Some(libc::ECONNREFUSED | libc::EHOSTUNREACH | libc::ENETUNREACH | libc::EPROTO | libc::EACCES)
                if flags == 0 && !matches!(self.transport, Transport::IcmpRaw) =>
            {
                Ok(0)
            }
            _ => Err(error),
        }
    }

    pub(super) const fn is_v6(&self) -> bool {
        self.is_v6
    }
}

/// Waits until one of these can be read, has an error, or the time is over.
#[expect(unsafe_code, reason = "ppoll")]
pub(super) fn wait(fds: &[RawFd], at_most: Duration) {
    let mut polled: Vec<libc::pollfd> =
        fds.iter().map(|fd| libc::pollfd { fd: *fd, events: libc::POLLIN, revents: 0 }).collect();
    let time = timespec { tv_sec: at_most.as_secs() as _, tv_nsec: at_most.subsec_nanos() as _ };
    // SAFETY: the array and the time live until the call returns. An error (EINTR) is as good as a wake-up.
    unsafe {
        libc::ppoll(polled.as_mut_ptr(), polled.len() as _, &raw const time, std::ptr::null());
    }
}

#[expect(unsafe_code, reason = "setsockopt with an option that socket2 does not know")]
fn set<T: Copy>(fd: RawFd, level: c_int, name: c_int, value: &T) -> io::Result<()> {
    let size = size_of::<T>() as socklen_t;
    // SAFETY: `value` is `size` bytes of plain integers that live until the call returns.
    let result = unsafe { libc::setsockopt(fd, level, name, std::ptr::from_ref(value).cast::<c_void>(), size) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[expect(unsafe_code, reason = "socket addresses are C unions")]
fn put_name(name: &mut sockaddr_storage, packet: &Outgoing) -> socklen_t {
    let name = std::ptr::from_mut(name);
    match packet.address {
        IpAddr::V4(address) => {
            let mut v4: sockaddr_in = blank();
            v4.sin_family = libc::AF_INET as _;
            v4.sin_port = packet.port.to_be();
            v4.sin_addr.s_addr = u32::from(address).to_be();
            // SAFETY: the storage is larger than and aligned for every socket address.
            unsafe { name.cast::<sockaddr_in>().write(v4) };
            size_of::<sockaddr_in>() as socklen_t
        }
        IpAddr::V6(address) => {
            let mut v6: sockaddr_in6 = blank();
            v6.sin6_family = libc::AF_INET6 as _;
            v6.sin6_addr.s6_addr = address.octets();
            v6.sin6_port = packet.port.to_be();
            v6.sin6_scope_id = packet.scope_id;
            // SAFETY: as above.
            unsafe { name.cast::<sockaddr_in6>().write(v6) };
            size_of::<sockaddr_in6>() as socklen_t
        }
    }
}

#[expect(unsafe_code, reason = "socket addresses are C unions")]
fn name(name: &sockaddr_storage) -> Option<IpAddr> {
    let pointer = std::ptr::from_ref(name);
    match c_int::from(name.ss_family) {
        // SAFETY: the family says which member it is, and the storage is large enough for each.
        libc::AF_INET => Some(unsafe { u32::from_be((*pointer.cast::<sockaddr_in>()).sin_addr.s_addr) })
            .map(|bits: u32| IpAddr::V4(Ipv4Addr::from(bits))),
        // SAFETY: as above.
        libc::AF_INET6 => Some(IpAddr::from(unsafe { (*pointer.cast::<sockaddr_in6>()).sin6_addr.s6_addr })),
        _ => None,
    }
}

/// Bytes into a C structure, as many as there are.
#[expect(unsafe_code, reason = "control messages are bytes")]
fn fill<T: Copy>(value: &mut T, bytes: &[u8]) {
    let count = bytes.len().min(size_of::<T>());
    // SAFETY: `T` is a C structure of integers, valid for any bytes; `count` fits both sides, which do not overlap.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), std::ptr::from_mut(value).cast::<u8>(), count) };
}

/// A C structure out of bytes.
fn read<T: Copy>(bytes: &[u8]) -> Option<T> {
    (bytes.len() >= size_of::<T>()).then(|| {
        let mut value = blank();
        fill(&mut value, bytes);
        value
    })
}

/// The first (software) stamp of a time stamp message, in nanoseconds of the wall clock.
fn stamp(data: &[u8]) -> Option<i64> {
    let time: timespec = read(data)?;
    let nanos = time.tv_sec.checked_mul(1_000_000_000)?.checked_add(time.tv_nsec)?;
    (nanos != 0).then_some(nanos)
}

const fn aligned(bytes: usize) -> usize {
    bytes.next_multiple_of(size_of::<usize>())
}

/// Walks control messages: level, type, data.
fn each_option(mut control: &[u8], mut visit: impl FnMut(c_int, c_int, &[u8])) {
    const HEADER: usize = aligned(size_of::<cmsghdr>());
    while let Some(header) = read::<cmsghdr>(control) {
        let length = header.cmsg_len;
        let Some(data) = control.get(HEADER..length) else { return };
        visit(header.cmsg_level, header.cmsg_type, data);
        let Some(rest) = control.get(aligned(length)..) else { return };
        control = rest;
    }
}

/// Appends a control message.
fn put_option<T: Copy>(control: &mut Control, at: usize, level: c_int, kind: c_int, value: T) -> usize {
    const HEADER: usize = aligned(size_of::<cmsghdr>());
    let mut header: cmsghdr = blank();
    header.cmsg_len = (HEADER + size_of::<T>()) as _;
    (header.cmsg_level, header.cmsg_type) = (level, kind);
    put(&mut control.0[at..], &header);
    put(&mut control.0[at + HEADER..], &value);
    at + HEADER + aligned(size_of::<T>())
}

#[expect(unsafe_code, reason = "control messages are bytes")]
fn put<T: Copy>(bytes: &mut [u8], value: &T) {
    let target = &mut bytes[..size_of::<T>()];
    // SAFETY: the target is exactly as long as the value, and does not overlap it.
    unsafe { std::ptr::copy_nonoverlapping(std::ptr::from_ref(value).cast(), target.as_mut_ptr(), size_of::<T>()) };
}

/// What a packet asks for beyond its bytes.
fn put_options(control: &mut Control, packet: &Outgoing) -> usize {
    let mut at = 0;
    let is_v6 = packet.address.is_ipv6();
    if let Some(ttl) = packet.ttl {
        let (level, kind) =
            if is_v6 { (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) } else { (libc::IPPROTO_IP, libc::IP_TTL) };
        at = put_option(control, at, level, kind, c_int::from(ttl));
    }
    if let Some(dscp) = packet.dscp {
        let (level, kind) =
            if is_v6 { (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) } else { (libc::IPPROTO_IP, libc::IP_TOS) };
        at = put_option(control, at, level, kind, c_int::from(dscp) << 2);
    }
    match (packet.source, packet.interface) {
        (None, 0) => {}
        (source, interface) if is_v6 => {
            let mut info: libc::in6_pktinfo = blank();
            if let Some(IpAddr::V6(source)) = source {
                info.ipi6_addr.s6_addr = source.octets();
            }
            info.ipi6_ifindex = interface as _;
            at = put_option(control, at, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info);
        }
        (source, interface) => {
            let mut info: libc::in_pktinfo = blank();
            if let Some(IpAddr::V4(source)) = source {
                info.ipi_spec_dst.s_addr = u32::from(source).to_be();
            }
            info.ipi_ifindex = interface as _;
            at = put_option(control, at, libc::IPPROTO_IP, libc::IP_PKTINFO, info);
        }
    }
    at
}
