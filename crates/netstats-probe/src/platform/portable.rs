//! What only Linux tells, done without it.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use netstats_event::{ClockSource, FailReason, Rtt};
use tokio::net::{TcpStream, UdpSocket};

use crate::bandwidth::Cpu;
use crate::datagrams::Datagram;
use crate::limits::MAX_DATAGRAM_BYTES;
use crate::traceroute::{TraceAsk, TraceResult};
use crate::{TransportError, clock};

/// There is nothing to ask for: threads wake when the system finds.
pub const fn be_prompt() {}

/// How long a handshake took: not told.
pub(crate) fn handshake_rtt(_: &TcpStream) -> Option<Rtt> {
    None
}

/// How many segments were sent again: not told.
pub(crate) fn retransmits(_: &TcpStream) -> Option<u32> {
    None
}

/// How busy the machine is: not asked.
pub(crate) fn cpu() -> Option<Cpu> {
    None
}

/// Traces that need the errors of a socket.
pub(crate) async fn trace_udp(_: &TraceAsk) -> Result<TraceResult, TransportError> {
    Err(TransportError {
        reason: FailReason::BadOptions,
        detail: "on this system routes are traced by ICMP only: set `options.traceroute.protocol` to icmp".into(),
    })
}

pub(crate) use trace_udp as trace_tcp;

/// A UDP socket with one peer, timed by our clock.
pub(crate) struct Datagrams {
    socket: UdpSocket,
    sent: Instant,
}

impl Datagrams {
    /// From a fresh port of the system's choice.
    pub(crate) fn open(peer: SocketAddr) -> io::Result<Self> {
        let any: SocketAddr =
            if peer.is_ipv6() { (Ipv6Addr::UNSPECIFIED, 0).into() } else { (Ipv4Addr::UNSPECIFIED, 0).into() };
        let socket = std::net::UdpSocket::bind(any)?;
        socket.connect(peer)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket: UdpSocket::from_std(socket)?, sent: clock::now() })
    }

    /// Sends; what is received afterwards is timed from here.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<Instant> {
        self.sent = clock::now();
        self.socket.try_send(bytes).map(|_| self.sent)
    }

    /// The next datagram of the peer.
    pub(crate) async fn receive(&mut self) -> io::Result<Datagram> {
        let mut bytes = vec![0; MAX_DATAGRAM_BYTES];
        let count = self.socket.recv(&mut bytes).await?;
        bytes.truncate(count);
        Ok(Datagram { bytes, rtt: clock::since(self.sent), clock: ClockSource::User })
    }
}
