//! Bodies that are made while they are sent: files of any size in little memory.

use std::io::{self, Write};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::sync::mpsc;

use crate::guard::Pulse;

/// Bytes of one chunk.
const CHUNK_BYTES: usize = 64 * 1024;
/// Chunks that wait for a client; then whoever makes them waits too.
const CHUNKS: usize = 4;

type Chunk = io::Result<Bytes>;

/// The client is gone, or takes nothing any more.
#[derive(Debug)]
pub(crate) struct Gone;

/// A body in the making, to be taken once.
#[derive(Clone, Debug)]
pub(crate) struct Stream(Arc<Mutex<Option<mpsc::Receiver<Chunk>>>>);

impl Stream {
    /// What `make` writes, on a thread that may block. If it fails, or panics, the transfer is cut off, so that the
    /// client sees that it does not have all; if the client goes, the next write fails.
    pub(crate) fn made_by(make: impl FnOnce(&mut Chunks) -> io::Result<()> + Send + 'static) -> Self {
        let (to, from) = mpsc::channel(CHUNKS);
        tokio::task::spawn_blocking(move || {
            let mut chunks = Chunks { buffer: Vec::with_capacity(CHUNK_BYTES), to, is_whole: false };
            match make(&mut chunks).and_then(|()| chunks.flush()) {
                Ok(()) => chunks.is_whole = true,
                Err(error) => tracing::info!(%error, "a download was cut off"),
            }
        });
        Self(Arc::new(Mutex::new(Some(from))))
    }

    /// What `feed` hands on, as it comes, on a task: for what waits most of the time. A client that leaves a chunk unread
    /// for `limit` is given up. Its end is the body's end.
    pub(crate) fn fed_by<F>(limit: Duration, feed: impl FnOnce(Feeder) -> F) -> Self
    where
        F: Future<Output = Result<(), Gone>> + Send + 'static,
    {
        let (to, from) = mpsc::channel(CHUNKS);
        let feeding = feed(Feeder { to, limit });
        tokio::spawn(async move {
            let _ = feeding.await;
        });
        Self(Arc::new(Mutex::new(Some(from))))
    }

    /// The body for hyper. `pulse` keeps the connection from counting as idle until all is sent.
    pub(crate) fn into_body(self, pulse: Arc<Pulse>) -> StreamBody {
        let from = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        StreamBody { from, pulse }
    }
}

/// Where a body is handed on to, chunk by chunk.
pub(crate) struct Feeder {
    to: mpsc::Sender<Chunk>,
    limit: Duration,
}

impl Feeder {
    pub(crate) async fn feed(&self, chunk: Bytes) -> Result<(), Gone> {
        self.to.send_timeout(Ok(chunk), self.limit).await.map_err(|_| Gone)
    }

    /// Ends when the client goes.
    pub(crate) async fn gone(&self) {
        self.to.closed().await;
    }
}

/// Where a body is written to.
pub(crate) struct Chunks {
    buffer: Vec<u8>,
    to: mpsc::Sender<Chunk>,
    is_whole: bool,
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let full = std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK_BYTES));
        self.to.blocking_send(Ok(full.into())).map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the client went"))
    }
}

impl Drop for Chunks {
    fn drop(&mut self) {
        if !self.is_whole {
            let _ = self.to.blocking_send(Err(io::Error::other("the body could not be made to its end")));
        }
    }
}

/// See [`Stream::into_body`].
#[derive(Debug)]
pub(crate) struct StreamBody {
    from: Option<mpsc::Receiver<Chunk>>,
    pulse: Arc<Pulse>,
}

impl Body for StreamBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let Some(from) = &mut self.from else { return Poll::Ready(None) };
        from.poll_recv(cx).map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
    }
}

impl Drop for StreamBody {
    fn drop(&mut self) {
        self.pulse.idle();
    }
}
