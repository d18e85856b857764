//! Criterion benches of the hot paths; see `docs/PERFORMANCE.md`.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

/// A client that keeps its connection.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    request: Vec<u8>,
    buffer: Vec<u8>,
}

impl Client {
    /// Connects, to ask for one path over and over.
    ///
    /// # Panics
    /// Nobody listens.
    #[must_use]
    pub fn new(address: SocketAddr, path: &str) -> Self {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_nodelay(true).expect("an option of TCP");
        let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n").into_bytes();
        Self { stream, request, buffer: vec![0; 1 << 16] }
    }

    /// One request and its whole answer; its bytes.
    ///
    /// # Panics
    /// The answer is not a 200.
    pub fn ask(&mut self) -> usize {
        self.stream.write_all(&self.request).expect("the server reads");
        let (mut read, mut needed) = (0, usize::MAX);
        while read < needed {
            let at = if needed == usize::MAX { read } else { 0 };
            let n = self.stream.read(&mut self.buffer[at..]).expect("the server answers");
            assert!(n > 0, "the server closed");
            read += n;
            if needed == usize::MAX
                && let Some(end) = self.buffer[..read].windows(4).position(|four| four == b"\r\n\r\n")
            {
                let head = std::str::from_utf8(&self.buffer[..end]).expect("ASCII");
                assert!(head.starts_with("HTTP/1.1 200"), "{head}");
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
                needed = end + 4 + length.parse::<usize>().expect("a number");
            }
        }
        read
    }
}
