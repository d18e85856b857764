//! One question to one server and its answer, over each transport. Time runs from sending the question to the matching
//! answer; setting a connection up is not part of it.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use netstats_event::{ClockSource, DnsFailure, Rtt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::message::{Mismatch, Question, Response};
use crate::clock;
use crate::connect::{Attempt, connect};
use crate::datagrams::Datagrams;
use crate::http::{Ask, exchange};
use crate::tls::Tls;

/// An answer and its time.
#[derive(Clone, Debug)]
pub(super) struct Answered {
    pub(super) response: Response,
    pub(super) rtt: Rtt,
    pub(super) clock: ClockSource,
}

pub(super) type Result<T> = std::result::Result<T, DnsFailure>;

/// Where and how to ask.
#[derive(Clone, Debug)]
pub(super) struct Server<'a> {
    pub(super) address: SocketAddr,
    /// What its certificate must be for.
    pub(super) name: &'a str,
    pub(super) tls: &'a Tls,
}

/// Over UDP: wrong and forged answers are passed over while time is left.
pub(super) async fn udp(server: SocketAddr, question: &Question, until: Instant) -> Result<Answered> {
    let mut socket = Datagrams::open(server).map_err(|error| local(&error))?;
    let bytes = question.bytes().map_err(|_| DnsFailure::Malformed)?;
    socket.send(&bytes).map_err(|error| local(&error))?;
    let mut is_malformed = false;
    loop {
        match tokio::time::timeout_at(until.into(), socket.receive()).await {
            Ok(Ok(datagram)) => match question.answered_by(&datagram.bytes) {
                Ok(response) => return Ok(Answered { response, rtt: datagram.rtt, clock: datagram.clock }),
                Err(Mismatch::Malformed) => is_malformed = true,
                Err(Mismatch::NotOurs) => {}
            },
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => return Err(DnsFailure::Refused),
            Ok(Err(error)) => return Err(local(&error)),
            Err(_) if is_malformed => return Err(DnsFailure::Malformed),
            Err(_) => return Err(DnsFailure::Timeout),
        }
    }
}

/// Over TCP (RFC 7766).
pub(super) async fn tcp(server: SocketAddr, question: &Question, until: Instant) -> Result<Answered> {
    let stream = connected(server, until).await?;
    in_time(until, on_stream(stream, question)).await
}

/// Over TLS (RFC 7858).
pub(super) async fn tls(server: &Server<'_>, question: &Question, until: Instant) -> Result<Answered> {
    let stream = connected(server.address, until).await?;
    let shaken = in_time(until, async { Ok(server.tls.connect(stream, server.name, true, &["dot"]).await) }).await?;
    let stream = shaken.stream.map_err(|why| secure(server, &why))?;
    in_time(until, on_stream(stream, question)).await
}

/// Over HTTPS (RFC 8484), at the usual path.
pub(super) async fn https(server: &Server<'_>, question: &Question, until: Instant) -> Result<Answered> {
    let stream = connected(server.address, until).await?;
    let shaken = server.tls.connect(stream, server.name, true, &["http/1.1"]);
    let shaken = in_time(until, async { Ok(shaken.await) }).await?;
    let stream = shaken.stream.map_err(|why| secure(server, &why))?;
    let body = question.bytes().map_err(|_| DnsFailure::Malformed)?;
    let headers = format!(
        "Accept: application/dns-message\r\nContent-Type: application/dns-message\r\nContent-Length: {}\r\n",
        body.len()
    );
    let ask = Ask { method: "POST", authority: server.name, path: "/dns-query", headers: &headers, body: &body };
    let begin = clock::now();
    let reply =
        in_time(until, async { exchange(stream, &ask, &mut None).await.map_err(|why| secure(server, &why)) }).await?;
    let rtt = clock::since(begin);
    if reply.status != 200 {
        return Err(secure(server, &format!("HTTP status {}", reply.status)));
    }
    let response = question.answered_by(&reply.start).map_err(|_| DnsFailure::Malformed)?;
    Ok(Answered { response, rtt, clock: ClockSource::User })
}

async fn connected(server: SocketAddr, until: Instant) -> Result<TcpStream> {
    let left = until.saturating_duration_since(clock::now()).max(Duration::from_millis(1));
    match connect(server, left).await.attempt {
        Attempt::Connected { stream, .. } => Ok(stream),
        Attempt::Refused(_) | Attempt::Unreachable(_) => Err(DnsFailure::Refused),
        Attempt::Timeout => Err(DnsFailure::Timeout),
        Attempt::NotSent(error) => Err(local(&error)),
    }
}

async fn in_time<T>(until: Instant, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout_at(until.into(), work).await.unwrap_or(Err(DnsFailure::Timeout))
}

/// Two bytes of length before each message (RFC 1035, section 4.2.2).
async fn on_stream<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, question: &Question) -> Result<Answered> {
    let message = question.bytes().map_err(|_| DnsFailure::Malformed)?;
    let length = u16::try_from(message.len()).map_err(|_| DnsFailure::Malformed)?;
    let framed = [&length.to_be_bytes()[..], &message].concat();
    let begin = clock::now();
    let broke = |_| DnsFailure::Malformed;
    stream.write_all(&framed).await.map_err(broke)?;
    stream.flush().await.map_err(broke)?;
    loop {
        let length = stream.read_u16().await.map_err(broke)?;
        let mut bytes = vec![0; usize::from(length)];
        stream.read_exact(&mut bytes).await.map_err(broke)?;
        match question.answered_by(&bytes) {
            Ok(response) => return Ok(Answered { response, rtt: clock::since(begin), clock: ClockSource::User }),
            Err(Mismatch::Malformed) => return Err(DnsFailure::Malformed),
            Err(Mismatch::NotOurs) => {}
        }
    }
}

fn local(error: &io::Error) -> DnsFailure {
    DnsFailure::Local(error.raw_os_error().unwrap_or(0))
}

fn secure(server: &Server<'_>, why: &str) -> DnsFailure {
    tracing::debug!(server = server.name, why, "a secure DNS exchange failed");
    DnsFailure::Secure
}
