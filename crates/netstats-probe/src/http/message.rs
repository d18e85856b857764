//! HTTP/1.1 on a stream: one request, one response, bounded (RFC 9112).

use netstats_event::Rtt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::clock;
use crate::limits::{MAX_BODY_BYTES, MAX_HEAD_BYTES, MAX_HEADERS, MAX_MATCHED_BYTES};

/// What is asked.
pub(crate) struct Ask<'a> {
    pub(crate) method: &'a str,
    pub(crate) authority: &'a str,
    pub(crate) path: &'a str,
    /// More header lines, each with its line end.
    pub(crate) headers: &'a str,
    pub(crate) body: &'a [u8],
}

/// What came.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
    /// Body bytes read.
    pub(crate) body_bytes: usize,
    /// The body's beginning.
    pub(crate) start: Vec<u8>,
}

impl Reply {
    /// True if the beginning of the body holds this text.
    pub(crate) fn start_holds(&self, text: &[u8]) -> bool {
        text.is_empty() || self.start.windows(text.len()).any(|window| window == text)
    }

    fn take(&mut self, bytes: &[u8]) {
        let room = MAX_MATCHED_BYTES.saturating_sub(self.start.len());
        self.start.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.body_bytes += bytes.len();
    }
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    None,
    Length(usize),
    Chunked,
    /// With the connection.
    Close,
}

/// Asks and reads the answer. `first_byte` is set when the first byte of the answer is there: from the request's last
/// byte to that.
pub(crate) async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    ask: &Ask<'_>,
    first_byte: &mut Option<Rtt>,
) -> Result<Reply, String> {
    let Ask { method, authority, path, headers, body } = ask;
    let mut request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: network-stats/{}\r\nAccept: */*\r\nConnection: close\r\n{headers}\r\n",
        env!("CARGO_PKG_VERSION")
    )
    .into_bytes();
    request.extend_from_slice(body);
    let broke = |error: std::io::Error| format!("the connection broke: {error}");
    stream.write_all(&request).await.map_err(broke)?;
    stream.flush().await.map_err(broke)?;
    let sent = clock::now();
    let mut input = Input { stream, buffer: Vec::new(), at: 0, is_ended: false };
    if !input.fill().await? {
        return Err("the server closed without an answer".to_owned());
    }
    *first_byte = Some(clock::since(sent));
    let (mut reply, framing) = loop {
        let (reply, framing) = head(&mut input, method).await?;
        // Interim answers (100 Continue, 103 Early Hints) come before the real one.
        if reply.status >= 200 || reply.status == 101 {
            break (reply, framing);
        }
    };
    body_of(&mut input, framing, &mut reply).await?;
    Ok(reply)
}

struct Input<S> {
    stream: S,
    buffer: Vec<u8>,
    at: usize,
    is_ended: bool,
}

impl<S: AsyncRead + Unpin> Input<S> {
    fn rest(&self) -> &[u8] {
        &self.buffer[self.at..]
    }

    /// Reads more; false at the end.
    async fn fill(&mut self) -> Result<bool, String> {
        if self.at > 0 {
            self.buffer.drain(..self.at);
            self.at = 0;
        }
        let mut chunk = [0; 16 << 10];
        let count = match self.stream.read(&mut chunk).await {
            Ok(count) => count,
            // Many servers close TLS without saying so.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => 0,
            Err(error) => return Err(format!("the connection broke: {error}")),
        };
        self.buffer.extend_from_slice(&chunk[..count]);
        self.is_ended = count == 0;
        Ok(count > 0)
    }
}

async fn head<S: AsyncRead + Unpin>(input: &mut Input<S>, method: &str) -> Result<(Reply, Framing), String> {
    loop {
        let mut fields = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut fields);
        match response.parse(input.rest()) {
            Ok(httparse::Status::Complete(length)) => {
                let (reply, framing) = read_head(&response, method)?;
                input.at += length;
                return Ok((reply, framing));
            }
            Ok(httparse::Status::Partial) if input.rest().len() > MAX_HEAD_BYTES => {
                return Err(format!("the response's head is longer than {MAX_HEAD_BYTES} bytes"));
            }
            Ok(httparse::Status::Partial) => {
                if !input.fill().await? {
                    return Err("the response breaks off in its head".to_owned());
                }
            }
            Err(error) => return Err(format!("the response is not HTTP: {error}")),
        }
    }
}

fn read_head(response: &httparse::Response<'_, '_>, method: &str) -> Result<(Reply, Framing), String> {
    let status = response.code.unwrap_or(0);
    if !(100..1_000).contains(&status) {
        return Err(format!("the response is not HTTP: status {status}"));
    }
    let fields = |name: &str| {
        let name = name.to_owned();
        response.headers.iter().filter(move |field| field.name.eq_ignore_ascii_case(&name)).map(|field| field.value)
    };
    let location = fields("location").next().map(|value| String::from_utf8_lossy(value).trim().to_owned());
    let framing = if method == "HEAD" || status < 200 || matches!(status, 204 | 304) {
        Framing::None
    } else if let Some(coding) = fields("transfer-encoding").next_back() {
        if coding.trim_ascii().to_ascii_lowercase().ends_with(b"chunked") { Framing::Chunked } else { Framing::Close }
    } else {
        let mut lengths = fields("content-length");
        match lengths.next() {
            None => Framing::Close,
            Some(first) if lengths.all(|other| other == first) => {
                let digits = std::str::from_utf8(first).ok().filter(|text| text.bytes().all(|c| c.is_ascii_digit()));
                Framing::Length(digits.and_then(|text| text.parse().ok()).ok_or("the response's length is no number")?)
            }
            Some(_) => return Err("the response has two lengths".to_owned()),
        }
    };
    Ok((Reply { status, location, ..Reply::default() }, framing))
}

/// Reads the body, at most [`MAX_BODY_BYTES`] of it.
async fn body_of<S: AsyncRead + Unpin>(
    input: &mut Input<S>,
    framing: Framing,
    reply: &mut Reply,
) -> Result<(), String> {
    match framing {
        Framing::None => Ok(()),
        Framing::Length(length) => copy(input, length, reply).await,
        Framing::Close => {
            while reply.body_bytes < MAX_BODY_BYTES {
                let count = input.rest().len().min(MAX_BODY_BYTES - reply.body_bytes);
                reply.take(&input.buffer[input.at..input.at + count]);
                input.at += count;
                if !input.fill().await? {
                    return Ok(());
                }
            }
            Ok(())
        }
        Framing::Chunked => loop {
            let (skipped, length) = match httparse::parse_chunk_size(input.rest()) {
                Ok(httparse::Status::Complete(found)) => found,
                Ok(httparse::Status::Partial) if input.rest().len() > MAX_HEAD_BYTES => {
                    return Err("a chunk's size is too long".to_owned());
                }
                Ok(httparse::Status::Partial) => {
                    if !input.fill().await? {
                        return Err("the response breaks off in its body".to_owned());
                    }
                    continue;
                }
                Err(_) => return Err("a chunk's size is no number".to_owned()),
            };
            input.at += skipped;
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            if length == 0 {
                return Ok(());
            }
            copy(input, length, reply).await?;
            if reply.body_bytes >= MAX_BODY_BYTES {
                return Ok(());
            }
            // The line end behind the chunk.
            while input.rest().len() < 2 {
                if !input.fill().await? {
                    return Err("the response breaks off in its body".to_owned());
                }
            }
            input.at += 2;
        },
    }
}

async fn copy<S: AsyncRead + Unpin>(input: &mut Input<S>, mut left: usize, reply: &mut Reply) -> Result<(), String> {
    while left > 0 && reply.body_bytes < MAX_BODY_BYTES {
        if input.rest().is_empty() && !input.fill().await? {
            return Err("the response breaks off in its body".to_owned());
        }
        let count = input.rest().len().min(left).min(MAX_BODY_BYTES - reply.body_bytes);
        reply.take(&input.buffer[input.at..input.at + count]);
        input.at += count;
        left -= count;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a server that says exactly this, in pieces of `step` bytes, is read as.
    async fn answered(method: &str, response: &[u8], step: usize) -> Result<Reply, String> {
        let (ours, mut theirs) = tokio::io::duplex(1 << 16);
        let response = response.to_vec();
        tokio::spawn(async move {
            let mut request = vec![0; 4096];
            let _ = theirs.read(&mut request).await;
            for piece in response.chunks(step.max(1)) {
                if theirs.write_all(piece).await.is_err() {
                    return;
                }
            }
        });
        let ask = Ask { method, authority: "x", path: "/", headers: "", body: &[] };
        exchange(ours, &ask, &mut None).await
    }

    #[tokio::test]
    async fn bodies_end_where_their_framing_says() {
        for step in [1, 7, 10_000] {
            for (response, body) in [
                (&b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello and more"[..], &b"hello"[..]),
                (
                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n",
                    b"hello",
                ),
                (b"HTTP/1.0 200 OK\r\n\r\nhello", b"hello"),
                (
                    b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
                    b"hello",
                ),
                (b"HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n", b""),
            ] {
                let reply = answered("GET", response, step).await.unwrap();
                assert_eq!((reply.start.as_slice(), reply.body_bytes), (body, body.len()));
            }
        }
        let reply =
            answered("HEAD", b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 5\r\n\r\n", 10).await.unwrap();
        assert_eq!((reply.status, reply.location.as_deref()), (302, Some("/x")));
    }

    #[tokio::test]
    async fn what_is_not_http_is_named() {
        for (response, why) in [
            (&b""[..], "without an answer"),
            (b"SSH-2.0-OpenSSH_9.2\r\n", "not HTTP"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", "breaks off in its body"),
            (b"HTTP/1.1 200 OK\r\nContent-", "breaks off in its head"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", "two lengths"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello", "no number"),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "no number"),
        ] {
            let error = answered("GET", response, 64).await.unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[tokio::test]
    async fn a_response_without_end_is_bounded() {
        let mut head = b"HTTP/1.1 200 OK\r\n".to_vec();
        head.extend((0..80).flat_map(|_| [b"X: ".as_slice(), &[b'y'; 2_000], b"\r\n"].concat()));
        assert!(answered("GET", &head, 4_096).await.unwrap_err().contains("longer than"));
        let mut body = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        body.resize(body.len() + MAX_BODY_BYTES + 100_000, b'x');
        let reply = answered("GET", &body, 32_768).await.unwrap();
        assert_eq!((reply.body_bytes, reply.start.len()), (MAX_BODY_BYTES, MAX_MATCHED_BYTES));
    }

    proptest! {
        #[test]
        fn any_response_is_taken(bytes in proptest::collection::vec(any::<u8>(), 0..200), chunked in any::<bool>(), step in 1_usize..50) {
            let head: &[u8] = if chunked { b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" } else { b"" };
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let _ = runtime.block_on(answered("GET", &[head, &bytes].concat(), step));
        }
    }
}
