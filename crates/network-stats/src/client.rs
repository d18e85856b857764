//! Asks the running product, over its own API. HTTP/1.1 in the small: one request, one connection, loopback only.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

/// Bytes of a reply that are read at most.
const MAX_REPLY_BYTES: u64 = 16 * 1024 * 1024;
const TIMEOUT: Duration = Duration::from_secs(30);

/// The product's API at `localhost:PORT`.
#[derive(Debug)]
pub(crate) struct Client {
    authority: String,
}

impl Client {
    /// For a URL such as `http://localhost:8080`.
    pub(crate) fn new(url: &str) -> Self {
        Self { authority: url.trim_start_matches("http://").trim_end_matches('/').to_owned() }
    }

    /// One request; the reply's JSON, or what the product says is wrong.
    pub(crate) fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let mut stream = self.connect()?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAccept: application/json\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.authority,
            body.len()
        );
        stream.write_all(request.as_bytes())?;
        let mut reply = Vec::new();
        stream.take(MAX_REPLY_BYTES).read_to_end(&mut reply)?;
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

/// An RFC 9457 problem as one line.
fn in_words(status: u16, problem: &Value) -> String {
    let text = |key: &str| problem.get(key).and_then(Value::as_str);
    let mut line = text("detail").or_else(|| text("title")).map_or_else(|| format!("status {status}"), str::to_owned);
    if let Some(hint) = text("hint") {
        line = format!("{line}; {hint}");
    }
    line
}

/// Status and body of a whole reply.
fn read_reply(reply: &[u8]) -> Result<(u16, Vec<u8>)> {
    let end = reply.windows(4).position(|four| four == b"\r\n\r\n").context("the reply is cut off")?;
    let head = std::str::from_utf8(&reply[..end]).context("the reply is not HTTP")?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).context("the reply is not HTTP")?;
    let is_chunked = head.lines().any(|line| {
        let line = line.to_ascii_lowercase();
        line.starts_with("transfer-encoding:") && line.contains("chunked")
    });
    let body = &reply[end + 4..];
    Ok((status, if is_chunked { join_chunks(body)? } else { body.to_vec() }))
}

fn join_chunks(mut body: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    loop {
        let line = body.windows(2).position(|two| two == b"\r\n").context("the reply is cut off")?;
        let size = std::str::from_utf8(&body[..line])?.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).context("the reply is not HTTP")?;
        if size == 0 {
            return Ok(out);
        }
        let from = line + 2;
        let chunk = from.checked_add(size).and_then(|to| body.get(from..to)).context("the reply is cut off")?;
        out.extend_from_slice(chunk);
        body = body.get(from + size + 2..).context("the reply is cut off")?;
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
