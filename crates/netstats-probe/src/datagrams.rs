//! Datagrams from one peer, timed: with the kernel's stamps where the system gives them, with our clock elsewhere.

use std::time::Instant;

use netstats_event::{ClockSource, Rtt};

/// One that came.
pub(crate) struct Datagram {
    pub(crate) bytes: Vec<u8>,
    /// Since the last one was sent.
    pub(crate) rtt: Rtt,
    pub(crate) clock: ClockSource,
}

/// When the last one was sent.
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "the portable path has the monotonic clock only"))]
pub(crate) struct Sent {
    /// Our wall clock before the call.
    pub(crate) wall: i64,
    /// Our monotonic clock before the call.
    pub(crate) monotonic: Instant,
    /// The kernel's stamp.
    pub(crate) stamp: Option<i64>,
}

#[cfg(target_os = "linux")]
pub(crate) use crate::platform::Datagrams;
#[cfg(not(target_os = "linux"))]
pub(crate) use portable::Datagrams;

#[cfg(not(target_os = "linux"))]
mod portable {
    use std::io;
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
    use std::time::Instant;

    use netstats_event::ClockSource;
    use tokio::net::UdpSocket;

    use super::Datagram;
    use crate::clock;
    use crate::limits::MAX_DATAGRAM_BYTES;

    pub(crate) struct Datagrams {
        socket: UdpSocket,
        sent: Instant,
    }

    impl Datagrams {
        pub(crate) fn open(peer: SocketAddr) -> io::Result<Self> {
            let any: SocketAddr =
                if peer.is_ipv6() { (Ipv6Addr::UNSPECIFIED, 0).into() } else { (Ipv4Addr::UNSPECIFIED, 0).into() };
            let socket = std::net::UdpSocket::bind(any)?;
            socket.connect(peer)?;
            socket.set_nonblocking(true)?;
            Ok(Self { socket: UdpSocket::from_std(socket)?, sent: clock::now() })
        }

        pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<Instant> {
            self.sent = clock::now();
            self.socket.try_send(bytes).map(|_| self.sent)
        }

        pub(crate) async fn receive(&mut self) -> io::Result<Datagram> {
            let mut bytes = vec![0; MAX_DATAGRAM_BYTES];
            let count = self.socket.recv(&mut bytes).await?;
            bytes.truncate(count);
            Ok(Datagram { bytes, rtt: clock::since(self.sent), clock: ClockSource::User })
        }
    }
}
