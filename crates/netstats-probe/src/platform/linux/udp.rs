//! A UDP socket with one peer, timed by the kernel.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use netstats_event::ClockSource;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::socket::{Notice, ProbeSocket};
use crate::clock;
use crate::datagrams::Datagram;

/// Messages moved at a time: one answer and one stamp, seldom more.
const BATCH: usize = 4;

/// When the last one was sent.
struct Sent {
    /// Our wall clock before the call.
    wall: i64,
    /// Our monotonic clock before the call.
    monotonic: Instant,
    /// The kernel's stamp.
    stamp: Option<i64>,
}

pub(crate) struct Datagrams {
    socket: AsyncFd<ProbeSocket>,
    sent: Option<Sent>,
    inbox: VecDeque<(Vec<u8>, Option<i64>)>,
    refused: Option<io::Error>,
}

impl Datagrams {
    /// From a fresh port of the system's choice.
    pub(crate) fn open(peer: SocketAddr) -> io::Result<Self> {
        let socket = ProbeSocket::udp(peer.is_ipv6(), BATCH)?;
        let any: SocketAddr =
            if peer.is_ipv6() { (Ipv6Addr::UNSPECIFIED, 0).into() } else { (Ipv4Addr::UNSPECIFIED, 0).into() };
        socket.socket().bind(&any.into())?;
        socket.socket().connect(&peer.into())?;
        Ok(Self { socket: socket.into_async()?, sent: None, inbox: VecDeque::new(), refused: None })
    }

    /// Sends; what is received afterwards is timed from here.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<Instant> {
        let sent = Sent { wall: clock::wall_ns(), monotonic: clock::now(), stamp: None };
        self.socket.get_ref().socket().send(bytes)?;
        let began = sent.monotonic;
        self.sent = Some(sent);
        Ok(began)
    }

    /// The next datagram of the peer. An ICMP error about ours ends the wait.
    pub(crate) async fn receive(&mut self) -> io::Result<Datagram> {
        loop {
            if let Some((bytes, stamp)) = self.inbox.pop_front() {
                let sent = self.sent.as_ref().ok_or(io::ErrorKind::NotConnected)?;
                return Ok(sent.answered(bytes, stamp));
            }
            if let Some(error) = self.refused.take() {
                return Err(error);
            }
            let mut ready = self.socket.ready_mut(Interest::READABLE | Interest::ERROR).await?;
            let socket = ready.get_inner_mut();
            let (inbox, refused, sent) = (&mut self.inbox, &mut self.refused, &mut self.sent);
            socket.receive(|message| inbox.push_back((message.bytes.to_vec(), message.stamp)))?;
            socket.notices(|notice| match notice {
                Notice::Sent { stamp, .. } => {
                    if let Some(sent) = sent {
                        sent.stamp = Some(stamp).filter(|stamp| *stamp >= sent.wall);
                    }
                }
                Notice::Error { icmp_type, icmp_code, from, .. } => {
                    let from = from.map(|from| format!(" from {from}")).unwrap_or_default();
                    let why = format!("ICMP error type {icmp_type}, code {icmp_code}{from}");
                    *refused = Some(io::Error::new(io::ErrorKind::ConnectionRefused, why));
                }
            })?;
            if self.inbox.is_empty() && self.refused.is_none() {
                ready.clear_ready();
            }
        }
    }
}

impl Sent {
    /// Puts the best stamps there are together.
    fn answered(&self, bytes: Vec<u8>, stamp: Option<i64>) -> Datagram {
        let waited = clock::since(self.monotonic);
        let (span, clock) = match (self.stamp, stamp) {
            (Some(sent), Some(received)) => (received - sent, ClockSource::Kernel),
            (None, Some(received)) => (received - self.wall, ClockSource::KernelReceive),
            (_, None) => (0, ClockSource::User),
        };
        let rtt = u64::try_from(span).ok().filter(|span| *span > 0).map(netstats_event::Rtt::from_nanos);
        // Longer than we have waited, or none at all: the wall clock was stepped.
        match rtt.filter(|rtt| *rtt <= waited) {
            Some(rtt) => Datagram { bytes, rtt, clock },
            None => Datagram { bytes, rtt: waited, clock: ClockSource::User },
        }
    }
}
