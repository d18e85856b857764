//! Responses of web servers made of any bytes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Ask, Url, exchange};
use crate::limits::{MAX_BODY_BYTES, MAX_MATCHED_BYTES};

/// A server that says these bytes, some at a time, and takes everything.
struct Server<'a> {
    says: &'a [u8],
    step: usize,
}

impl AsyncRead for Server<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let count = self.step.min(self.says.len()).min(buffer.remaining());
        let (now, later) = self.says.split_at(count);
        buffer.put_slice(now);
        self.says = later;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Server<'_> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buffer.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A response behind two bytes: how many bytes come at a time, and what was asked.
pub(crate) fn response(bytes: &[u8]) {
    let Some(([step, asked], says)) = bytes.split_first_chunk() else { return };
    let step = if *step == 0 { usize::MAX } else { usize::from(*step) };
    let method = ["GET", "HEAD", "POST"][usize::from(*asked) % 3];
    let ask = Ask { method, authority: "example.org", path: "/", headers: "", body: &[] };
    let read = exchange(Server { says, step }, &ask, &mut None).now_or_never().expect("this server never waits");
    let Ok(reply) = read else { return };
    assert!(reply.body_bytes <= MAX_BODY_BYTES && reply.start.len() <= MAX_MATCHED_BYTES);
    assert!((200..1_000).contains(&reply.status) || reply.status == 101, "status {}", reply.status);
    let _ = reply.start_holds(b"text");
    let here = Url { is_tls: true, host: "example.org".into(), port: 443, path: "/a/b?q".into() };
    if let Some(Ok(there)) = reply.location.map(|location| here.join(&location)) {
        assert!(there.is_tls && !there.host.is_empty() && there.port > 0, "{there}");
        // What goes into the next request's head.
        let is_line = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        assert!(is_line(&there.path) && is_line(&there.authority()), "{there}");
    }
}
