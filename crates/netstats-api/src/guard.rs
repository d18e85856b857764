//! Deadlines on a connection's bytes. hyper's own timer starts when a connection falls idle, so one time would have to
//! serve both a client that thinks and a client that dribbles a head; and it has none for a client that does not read.
//!
//! Cost on the fast path: one clock reading a request. The timer is armed only when a read or write has to wait, and
//! left armed when its deadline moves on.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::limits::{Limits, SLOWEST_READER_BYTES_PER_S};

/// Between requests.
const IDLE: u8 = 0;
/// Bytes of a head have come.
const HEAD: u8 = 1;
/// A handler or a streaming body is at work, or the connection is a WebSocket: others keep the time.
const BUSY: u8 = 2;

/// What the service tells the connection's guard.
#[derive(Debug, Default)]
pub(crate) struct Pulse(AtomicU8);

impl Pulse {
    /// A head is complete.
    pub(crate) fn busy(&self) {
        self.0.store(BUSY, Ordering::Relaxed);
    }

    /// The response is handed over.
    pub(crate) fn idle(&self) {
        self.0.store(IDLE, Ordering::Relaxed);
    }
}

/// A deadline that is cheap to move.
#[derive(Default)]
struct Alarm {
    deadline: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    fn set(&mut self, after: Duration) {
        self.deadline = Some(Instant::now() + after);
    }

    /// Ready once the deadline has passed; arms the timer otherwise.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
    }
}

/// A connection with deadlines.
pub(crate) struct Guarded<T> {
    inner: T,
    pulse: Arc<Pulse>,
    seen: u8,
    reading: Alarm,
    writing: Alarm,
    limits: Arc<Limits>,
}

impl<T> Guarded<T> {
    pub(crate) fn new(inner: T, pulse: Arc<Pulse>, limits: Arc<Limits>) -> Self {
        let mut reading = Alarm::default();
        reading.set(limits.head_time);
        Self { inner, pulse, seen: IDLE, reading, writing: Alarm::default(), limits }
    }

    /// Follows the phase; the deadline of a phase starts when it is first seen.
    fn follow(&mut self) {
        let phase = self.pulse.0.load(Ordering::Relaxed);
        if phase != self.seen {
            self.seen = phase;
            match phase {
                IDLE => self.reading.set(self.limits.idle_time),
                HEAD => self.reading.set(self.limits.head_time),
                _ => self.reading.deadline = None,
            }
        }
    }

    fn wrote(&mut self, result: Poll<io::Result<usize>>, of: usize, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match result {
            Poll::Ready(Ok(taken)) => {
                if taken == of {
                    self.writing.deadline = None;
                } else if let Some(deadline) = &mut self.writing.deadline {
                    *deadline += Duration::from_millis(taken as u64 * 1_000 / SLOWEST_READER_BYTES_PER_S);
                }
                Poll::Ready(Ok(taken))
            }
            Poll::Pending => {
                if self.writing.deadline.is_none() {
                    self.writing.set(self.limits.write_time);
                }
                ready!(self.writing.poll(cx));
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read")))
            }
            other => other,
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Guarded<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        match Pin::new(&mut self.inner).poll_read(cx, buf) {
            Poll::Pending => {
                self.follow();
                ready!(self.reading.poll(cx));
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client sends nothing")))
            }
            ready => {
                if buf.filled().len() > before {
                    let _ = self.pulse.0.compare_exchange(IDLE, HEAD, Ordering::Relaxed, Ordering::Relaxed);
                }
                ready
            }
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Guarded<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.wrote(result, buf.len(), cx)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.wrote(result, bufs.iter().map(|b| b.len()).sum(), cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}
