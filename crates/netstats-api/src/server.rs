//! Owns the network: listens, counts connections, speaks HTTP/1.1 through hyper, stops in order.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::Error;
use crate::door::Door;
use crate::gate::Reach;
use crate::guard::{Guarded, Pulse};
use crate::limits::Limits;

/// Header fields that hyper takes if it is not told.
const HYPER_HEAD_FIELDS: usize = 100;

/// How the server is reached at `addresses`.
///
/// # Errors
/// Others can reach it, and neither TLS nor a proxy protects them; or it would answer to no name.
pub(crate) fn reach(
    addresses: &[SocketAddr],
    has_tls: bool,
    is_proxied: bool,
    names: &[String],
) -> Result<Reach, Error> {
    let far = addresses.iter().find(|address| !address.ip().to_canonical().is_loopback());
    if let Some(far) = far {
        if !has_tls && !is_proxied {
            return Err(Error::NotLoopback(*far));
        }
        if far.ip().is_unspecified() && names.is_empty() {
            return Err(Error::NoHosts(*far));
        }
    }
    Ok(Reach { is_local: far.is_none() && !is_proxied, is_secure: has_tls || is_proxied, is_proxied })
}

/// Opens a listener.
///
/// # Errors
/// In use; not allowed.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|source| Error::Bind { address, source })
}

/// Connections counted, in all and by address.
#[derive(Default)]
pub(crate) struct Slots {
    counts: Mutex<(usize, HashMap<IpAddr, usize>)>,
}

/// A counted connection; given back when dropped.
pub(crate) struct Slot {
    slots: Arc<Slots>,
    key: IpAddr,
}

impl Slots {
    pub(crate) fn take(self: &Arc<Self>, peer: IpAddr, most: usize, most_of_one: usize) -> Option<Slot> {
        let key = match peer.to_canonical() {
            IpAddr::V6(v6) if !v6.is_loopback() => {
                let s = v6.segments();
                Ipv6Addr::new(s[0], s[1], s[2], s[3], 0, 0, 0, 0).into()
            }
            other => other,
        };
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let of_one = counts.1.get(&key).copied().unwrap_or(0);
        if counts.0 >= most || of_one >= most_of_one {
            return None;
        }
        counts.0 += 1;
        counts.1.insert(key, of_one + 1);
        Some(Slot { slots: self.clone(), key })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut counts = self.slots.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.0 -= 1;
        if let Some(of_one) = counts.1.get_mut(&self.key) {
            *of_one -= 1;
            if *of_one == 0 {
                counts.1.remove(&self.key);
            }
        }
    }
}

/// Serves until `stopping` turns true, then lets requests under way finish for a while.
pub(crate) async fn serve(
    listeners: Vec<TcpListener>,
    tls: Option<TlsAcceptor>,
    door: Arc<Door>,
    limits: Arc<Limits>,
    stopping: watch::Receiver<bool>,
) {
    let slots = Arc::new(Slots::default());
    let mut loops = JoinSet::new();
    for listener in listeners {
        loops.spawn(accept(listener, tls.clone(), door.clone(), limits.clone(), slots.clone(), stopping.clone()));
    }
    while loops.join_next().await.is_some() {}
}

async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    door: Arc<Door>,
    limits: Arc<Limits>,
    slots: Arc<Slots>,
    stopping: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    let mut stop = pin!(stopped(stopping.clone()));
    loop {
        tokio::select! {
            biased;
            _ = &mut stop => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => match slots.take(peer.ip(), limits.connections, limits.connections_per_address) {
                    Some(slot) => {
                        // Small replies must not wait for the acknowledgement of the one before.
                        let _ = stream.set_nodelay(true);
                        let (door, limits, stopping) = (door.clone(), limits.clone(), stopping.clone());
                        match tls.clone() {
                            None => connections.spawn(connection(stream, peer, slot, door, limits, stopping)),
                            Some(tls) => connections.spawn(secured(tls, stream, peer, slot, door, limits, stopping)),
                        };
                    }
                    None => turn_away(&stream),
                },
                Err(error) => {
                    // Out of file descriptors, most likely: connections under way will give some back.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    let all_done = async { while connections.join_next().await.is_some() {} };
    // Past the time the rest is dropped with the set.
    let _ = tokio::time::timeout(limits.stop_time, all_done).await;
}

/// Ends when the server is told to stop, or nobody is left to tell it.
pub(crate) async fn stopped(mut stopping: watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// One connection more than there may be: told so without a task, a buffer or a wait.
fn turn_away(stream: &TcpStream) {
    const BODY: &str = "{\"type\":\"urn:network-stats:problem:busy\",\"title\":\"Service Unavailable\",\"status\":503,\
        \"detail\":\"too many connections\"}";
    let head = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 2\r\nconnection: close\r\ncontent-type: application/problem+json\r\n";
    let busy = format!("{head}content-length: {}\r\n\r\n{BODY}", BODY.len());
    let _ = stream.try_write(busy.as_bytes());
}

/// A connection with TLS; the handshake has as long as a head.
async fn secured(
    tls: TlsAcceptor,
    stream: TcpStream,
    peer: SocketAddr,
    slot: Slot,
    door: Arc<Door>,
    limits: Arc<Limits>,
    stopping: watch::Receiver<bool>,
) {
    match tokio::time::timeout(limits.head_time, tls.accept(stream)).await {
        Ok(Ok(stream)) => connection(stream, peer, slot, door, limits, stopping).await,
        Ok(Err(error)) => tracing::debug!(%peer, %error, "no TLS connection came about"),
        Err(_) => tracing::debug!(%peer, "the TLS handshake took too long"),
    }
}

pub(crate) async fn connection<T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: T,
    peer: SocketAddr,
    slot: Slot,
    door: Arc<Door>,
    limits: Arc<Limits>,
    stopping: watch::Receiver<bool>,
) {
    let pulse = Arc::new(Pulse::default());
    let io = TokioIo::new(Guarded::new(stream, pulse.clone(), limits.clone()));
    let service = service_fn(|request| door.answer(request, peer, &pulse));
    // The guard keeps hyper's time, see `guard.rs`. The count of header fields is held in `door.rs`: told to hyper, it
    // costs an allocation for each request, so only a limit past hyper's own is.
    let mut http = hyper::server::conn::http1::Builder::new();
    http.max_buf_size(limits.head_bytes).header_read_timeout(None);
    if limits.head_fields >= HYPER_HEAD_FIELDS {
        http.max_headers(limits.head_fields + 1);
    }
    let served = http.serve_connection(io, service).with_upgrades();
    let mut served = pin!(served);
    let outcome = tokio::select! {
        outcome = &mut served => outcome,
        () = stopped(stopping) => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    drop(slot);
    if let Err(error) = outcome {
        tracing::debug!(%peer, %error, "connection ended");
    }
}
