//! Asks the running product, over its own API. HTTP/1.1 in the small: one request, one connection, loopback only.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::Value;

use crate::trust::Trust;

/// Bytes of a reply that are read at most.
const MAX_REPLY_BYTES: u64 = 16 * 1024 * 1024;
/// Bytes of a head, and of the line in front of a chunk.
const MAX_HEAD_BYTES: usize = 64 * 1024;
const MAX_CHUNK_LINE_BYTES: u64 = 256;
const TIMEOUT: Duration = Duration::from_secs(30);
const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(600);

/// The product's API at `localhost:PORT`.
#[derive(Debug)]
pub(crate) struct Client {
    authority: String,
    token: Option<String>,
    /// Whom to trust; none for plain HTTP.
    tls: Option<Trust>,
}

impl Client {
    /// For a URL such as `http://localhost:8080`.
    pub(crate) fn new(url: &str, token: Option<String>, trust: Trust) -> Self {
        let rest = url.trim_start_matches("https://").trim_start_matches("http://");
        let tls = url.starts_with("https://").then_some(trust);
        Self { authority: rest.trim_end_matches('/').to_owned(), token, tls }
    }

    /// The header that lets this command in.
    fn authorization(&self) -> String {
        self.token.as_ref().map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default()
    }

    /// One request; the reply's JSON, or what the product says is wrong.
    pub(crate) fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let mut stream = self.open(TIMEOUT)?;
        let body = body.map(Value::to_string).unwrap_or_default();
        let token = self.authorization();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\n{token}Connection: close\r\nAccept: application/json\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.authority,
            body.len()
        );
        stream.write_all(request.as_bytes())?;
        let mut reply = Vec::new();
        read_all(stream, &mut reply)?;
        let (status, body) = read_reply(&reply)?;
        let json = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body)? };
        if (200..300).contains(&status) {
            return Ok(json);
        }
        bail!("{}", in_words(status, &json))
    }

    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// Asks for a file and hands on what comes, piece by piece; returns its bytes. A transfer that is cut off is an
    /// error.
    pub(crate) fn download(&self, path: &str, mut take: impl FnMut(&[u8]) -> std::io::Result<()>) -> Result<u64> {
        // A report is gathered before its first byte comes.
        let mut stream = self.open(DOWNLOAD_TIMEOUT)?;
        let token = self.authorization();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\n{token}Connection: close\r\n\r\n", self.authority)?;
        let mut reader = BufReader::with_capacity(64 * 1024, stream);
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if reader.read_until(b'\n', &mut head)? == 0 || head.len() > MAX_HEAD_BYTES {
                bail!("the reply is cut off");
            }
        }
        let head = Head::read(&head)?;
        if head.status != 200 || !head.is_chunked {
            let mut body = Vec::new();
            read_all(reader, &mut body)?;
            bail!("{}", in_words(head.status, &serde_json::from_slice(&body).unwrap_or(Value::Null)));
        }
        each_chunk(&mut reader, |chunk| Ok(take(chunk)?))
    }

    pub(crate) fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// How to speak TLS, and with whom; none for plain HTTP.
    ///
    /// # Errors
    /// Nobody is trusted.
    pub(crate) fn tls(&self) -> Result<Option<(Arc<ClientConfig>, ServerName<'static>)>> {
        let Some(trust) = &self.tls else { return Ok(None) };
        let host = self.authority.rsplit_once(':').map_or(self.authority.as_str(), |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name =
            ServerName::try_from(host).with_context(|| format!("{:?} is no name of a server", self.authority))?;
        Ok(Some((trust.config()?, name)))
    }

    /// A connection, over TLS if the product speaks that.
    fn open(&self, read_timeout: Duration) -> Result<Box<dyn Wire>> {
        let stream = self.connect()?;
        stream.set_read_timeout(Some(read_timeout))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        let Some((config, name)) = self.tls()? else { return Ok(Box::new(stream)) };
        let mut tls = StreamOwned::new(ClientConnection::new(config, name)?, stream);
        while tls.conn.is_handshaking() {
            tls.conn.complete_io(&mut tls.sock).with_context(|| {
                format!("no TLS connection to {} that can be trusted; see --ca and --fingerprint", self.authority)
            })?;
        }
        Ok(Box::new(tls))
    }

    pub(crate) fn connect(&self) -> Result<TcpStream> {
        let addresses =
            self.authority.to_socket_addrs().with_context(|| format!("\"{}\" is not an address", self.authority))?;
        let mut last = anyhow!("no address");
        for address in addresses {
            match TcpStream::connect_timeout(&address, TIMEOUT) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error.into(),
            }
        }
        Err(last.context(format!(
            "no product answers at http://{}: start it first, or name its data folder with --data-dir",
            self.authority
        )))
    }
}

/// Both ways of a connection.
trait Wire: Read + Write {}

impl<T: Read + Write> Wire for T {}

/// Everything up to the end; over TLS a server may just close.
fn read_all(from: impl Read, into: &mut Vec<u8>) -> std::io::Result<()> {
    match from.take(MAX_REPLY_BYTES).read_to_end(into) {
        Err(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => Err(error),
        _ => Ok(()),
    }
}

/// An RFC 9457 problem as one line.
fn in_words(status: u16, problem: &Value) -> String {
    let text = |key: &str| problem.get(key).and_then(Value::as_str);
    let mut line = text("detail").or_else(|| text("title")).map_or_else(|| format!("status {status}"), str::to_owned);
    if let Some(hint) = text("hint") {
        line = format!("{line}; {hint}");
    }
    line
}

/// What a reply's head says.
struct Head {
    status: u16,
    is_chunked: bool,
}

impl Head {
    fn read(head: &[u8]) -> Result<Self> {
        let head = std::str::from_utf8(head).context("the reply is not HTTP")?;
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).context("the reply is not HTTP")?;
        let is_chunked = head.lines().any(|line| {
            let line = line.to_ascii_lowercase();
            line.starts_with("transfer-encoding:") && line.contains("chunked")
        });
        Ok(Self { status, is_chunked })
    }
}

/// Status and body of a whole reply.
fn read_reply(reply: &[u8]) -> Result<(u16, Vec<u8>)> {
    let end = reply.windows(4).position(|four| four == b"\r\n\r\n").context("the reply is cut off")?;
    let head = Head::read(&reply[..end])?;
    let mut body = &reply[end + 4..];
    if !head.is_chunked {
        return Ok((head.status, body.to_vec()));
    }
    let mut joined = Vec::new();
    each_chunk(&mut body, |chunk| {
        joined.extend_from_slice(chunk);
        Ok(())
    })?;
    Ok((head.status, joined))
}

/// Undoes the chunked coding (RFC 9112 7.1); returns the bytes in all.
fn each_chunk(body: &mut impl BufRead, mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<u64> {
    let mut total = 0;
    loop {
        let mut line = Vec::new();
        body.by_ref().take(MAX_CHUNK_LINE_BYTES).read_until(b'\n', &mut line)?;
        let line = line.strip_suffix(b"\r\n").context("the reply is cut off")?;
        let size = std::str::from_utf8(line)?.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16).context("the reply is not HTTP")?;
        if size == 0 {
            return Ok(total);
        }
        let mut left = size;
        while left > 0 {
            let part = body.fill_buf()?;
            if part.is_empty() {
                bail!("the reply is cut off");
            }
            let now = part.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            take(&part[..now])?;
            body.consume(now);
            left -= now as u64;
        }
        total += size;
        let mut end = [0; 2];
        body.read_exact(&mut end).context("the reply is cut off")?;
        if end != *b"\r\n" {
            bail!("the reply is not HTTP");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_and_chunked_replies_are_read() {
        let plain = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(read_reply(plain).unwrap(), (200, b"{}".to_vec()));
        let chunked = b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n[1,\r\n2;x=y\r\n2]\r\n0\r\n\r\n";
        assert_eq!(read_reply(chunked).unwrap(), (201, b"[1,2]".to_vec()));
    }

    #[test]
    fn a_broken_reply_is_an_error() {
        for bytes in [
            &b""[..],
            b"HTTP/1.1 200 OK\r\n",
            b"nonsense\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nx",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        ] {
            assert!(read_reply(bytes).is_err(), "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn a_problem_is_told_in_its_own_words() {
        let problem =
            serde_json::json!({"title": "Conflict", "detail": "managed by the file", "hint": "change it there"});
        assert_eq!(in_words(409, &problem), "managed by the file; change it there");
        assert_eq!(in_words(500, &Value::Null), "status 500");
    }
}
