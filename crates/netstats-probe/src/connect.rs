//! TCP connections, timed from SYN to SYN-ACK.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::time::{Duration, Instant};

use netstats_event::Rtt;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;

use crate::{Resolved, clock, platform};

/// What came of an attempt.
#[derive(Debug)]
pub(crate) enum Attempt {
    Connected {
        stream: TcpStream,
        rtt: Rtt,
    },
    Refused(Rtt),
    Timeout,
    /// A router, or the neighbour's silence, says that there is no way.
    Unreachable(i32),
    /// The SYN never left.
    NotSent(io::Error),
}

/// An attempt and when it began.
#[derive(Debug)]
pub(crate) struct Tried {
    pub(crate) attempt: Attempt,
    pub(crate) began: Instant,
}

/// The socket address of a resolved host.
pub(crate) fn socket_address(resolved: &Resolved, port: u16) -> SocketAddr {
    match resolved.address {
        IpAddr::V4(address) => (address, port).into(),
        IpAddr::V6(address) => SocketAddrV6::new(address, port, 0, resolved.scope_id).into(),
    }
}

/// Tries to connect for at most `timeout`.
pub(crate) async fn connect(to: SocketAddr, timeout: Duration) -> Tried {
    let socket = match open(to) {
        Ok(socket) => socket,
        Err(error) => return Tried { attempt: Attempt::NotSent(error), began: clock::now() },
    };
    let began = clock::now();
    let attempt = match socket.connect(&to.into()) {
        Ok(()) => finish(socket, began, timeout).await,
        Err(error) if platform::is_connecting(&error) => finish(socket, began, timeout).await,
        // The loopback answers within the call.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Attempt::Refused(clock::since(began)),
        Err(error) => Attempt::NotSent(error),
    };
    Tried { attempt, began }
}

fn open(to: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket)
}

async fn finish(socket: Socket, began: Instant, timeout: Duration) -> Attempt {
    let stream = match TcpStream::from_std(socket.into()) {
        Ok(stream) => stream,
        Err(error) => return Attempt::NotSent(error),
    };
    match tokio::time::timeout_at((began + timeout).into(), stream.writable()).await {
        Err(_) => return Attempt::Timeout,
        Ok(Err(error)) => return Attempt::NotSent(error),
        Ok(Ok(())) => {}
    }
    let waited = clock::since(began);
    match stream.take_error() {
        Ok(None) if stream.peer_addr().is_ok() => {
            // The kernel's own measure of the handshake does not hold our waiting for the processor.
            let rtt = platform::handshake_rtt(&stream).filter(|rtt| *rtt <= waited).unwrap_or(waited);
            Attempt::Connected { stream, rtt }
        }
        Ok(None) => Attempt::Timeout,
        Ok(Some(error)) | Err(error) => match error.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => Attempt::Refused(waited),
            io::ErrorKind::TimedOut => Attempt::Timeout,
            _ => Attempt::Unreachable(error.raw_os_error().unwrap_or(0)),
        },
    }
}
