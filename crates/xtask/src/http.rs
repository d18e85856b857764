//! The smallest HTTP client that can ask the product.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

/// Asks `localhost:PORT`; status and JSON.
pub(crate) fn ask(port: u16, method: &str, path: &str, body: Option<&Value>, within: Duration) -> Result<(u16, Value)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(within))?;
    stream.set_write_timeout(Some(within))?;
    let body = body.map(Value::to_string).unwrap_or_default();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    let (head, body) = reply.split_once("\r\n\r\n").context("the reply is cut off")?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).context("the reply is not HTTP")?;
    Ok((status, serde_json::from_str(body).unwrap_or(Value::Null)))
}
