//! What prober and responder say to each other before and after the bytes.
//!
//! ```text
//! prober      "NSBW0001"                                             8 bytes
//! responder   nonce                                                 32
//! prober      way 1 | 0 0 0 | duration_ms 4 | max_bytes 8           16
//!             mac: BLAKE3 keyed by the token, of nonce and request  32
//! responder   0, or 1, length 2, why not                             1 or more
//! down        the responder sends until time or bytes are over, and closes
//! up          the prober does; the responder answers with what arrived: count 2, bytes of each 100 ms 4
//! ```
//! Numbers are big-endian. The token never travels, and an overheard request is worth nothing: the nonce is new.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::limits::MAX_BINS;

pub(super) const HELLO: [u8; 8] = *b"NSBW0001";
pub(super) const NONCE_BYTES: usize = 32;
const REQUEST_BYTES: usize = 16;
const REFUSAL_BYTES: u16 = 512;

/// Which way the bytes go, seen from the prober.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Down,
    Up,
}

/// What the prober asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TestRequest {
    pub(super) way: Way,
    pub(super) duration_ms: u32,
    pub(super) max_bytes: u64,
}

impl TestRequest {
    fn bytes(self) -> [u8; REQUEST_BYTES] {
        let mut bytes = [0; REQUEST_BYTES];
        bytes[0] = u8::from(self.way == Way::Up);
        bytes[4..8].copy_from_slice(&self.duration_ms.to_be_bytes());
        bytes[8..].copy_from_slice(&self.max_bytes.to_be_bytes());
        bytes
    }

    fn of(bytes: [u8; REQUEST_BYTES]) -> Option<Self> {
        let way = match bytes[..4] {
            [0, 0, 0, 0] => Way::Down,
            [1, 0, 0, 0] => Way::Up,
            _ => return None,
        };
        let duration_ms = u32::from_be_bytes(bytes[4..8].try_into().ok()?);
        Some(Self { way, duration_ms, max_bytes: u64::from_be_bytes(bytes[8..].try_into().ok()?) })
    }
}

/// The key that a token stands for.
#[derive(Clone)]
pub(super) struct TokenKey([u8; 32]);

impl TokenKey {
    pub(super) fn of(token: &str) -> Self {
        Self(blake3::derive_key("network-stats 2026 bandwidth responder token", token.as_bytes()))
    }

    fn mac(&self, nonce: &[u8; NONCE_BYTES], request: &[u8; REQUEST_BYTES]) -> blake3::Hash {
        blake3::keyed_hash(&self.0, &[&nonce[..], request].concat())
    }
}

/// The prober's side; an error in words if the responder refuses.
pub(super) async fn ask(stream: &mut TcpStream, key: &TokenKey, request: TestRequest) -> Result<(), String> {
    let broke = |error: io::Error| format!("this is no responder, or it closed: {error}");
    stream.write_all(&HELLO).await.map_err(broke)?;
    let mut nonce = [0; NONCE_BYTES];
    stream.read_exact(&mut nonce).await.map_err(broke)?;
    let bytes = request.bytes();
    stream.write_all(&[&bytes[..], key.mac(&nonce, &bytes).as_bytes()].concat()).await.map_err(broke)?;
    match stream.read_u8().await.map_err(broke)? {
        0 => Ok(()),
        _ => {
            let length = stream.read_u16().await.map_err(broke)?.min(REFUSAL_BYTES);
            let mut why = vec![0; usize::from(length)];
            stream.read_exact(&mut why).await.map_err(broke)?;
            Err(format!("the responder refuses: {}", String::from_utf8_lossy(&why)))
        }
    }
}

/// The responder's side: what is asked for, by whom knows the token.
pub(super) async fn hear(stream: &mut TcpStream, key: &TokenKey) -> io::Result<Result<TestRequest, &'static str>> {
    let mut hello = [0; HELLO.len()];
    stream.read_exact(&mut hello).await?;
    if hello != HELLO {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut nonce = [0; NONCE_BYTES];
    getrandom::fill(&mut nonce).map_err(io::Error::other)?;
    stream.write_all(&nonce).await?;
    let (mut request, mut mac) = ([0; REQUEST_BYTES], [0; 32]);
    stream.read_exact(&mut request).await?;
    stream.read_exact(&mut mac).await?;
    // blake3::Hash compares in constant time.
    if key.mac(&nonce, &request) != blake3::Hash::from(mac) {
        return Ok(Err("the token is wrong"));
    }
    Ok(TestRequest::of(request).ok_or("the request cannot be read"))
}

pub(super) async fn accept(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(&[0]).await
}

pub(super) async fn refuse(stream: &mut TcpStream, why: &str) -> io::Result<()> {
    let length = u16::try_from(why.len()).unwrap_or(REFUSAL_BYTES).min(REFUSAL_BYTES);
    let text = &why.as_bytes()[..usize::from(length)];
    stream.write_all(&[&[1], &length.to_be_bytes()[..], text].concat()).await
}

pub(super) async fn send_bins(stream: &mut TcpStream, bins: &[u32]) -> io::Result<()> {
    let count = u16::try_from(bins.len().min(MAX_BINS)).unwrap_or(0);
    let words = bins.iter().take(count.into()).flat_map(|bin| bin.to_be_bytes());
    stream.write_all(&count.to_be_bytes().into_iter().chain(words).collect::<Vec<u8>>()).await
}

pub(super) async fn read_bins(stream: &mut TcpStream) -> io::Result<Vec<u32>> {
    let count = usize::from(stream.read_u16().await?).min(MAX_BINS);
    let mut bins = Vec::with_capacity(count);
    for _ in 0..count {
        bins.push(stream.read_u32().await?);
    }
    Ok(bins)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_survives_the_way() {
        for way in [Way::Down, Way::Up] {
            let request = TestRequest { way, duration_ms: 8_000, max_bytes: u64::MAX };
            assert_eq!(TestRequest::of(request.bytes()), Some(request));
        }
        assert_eq!(TestRequest::of([2; 16]), None);
    }

    #[test]
    fn a_mac_is_of_this_token_nonce_and_request() {
        let (key, nonce, request) = (TokenKey::of("secret"), [1; 32], [0; 16]);
        let mac = key.mac(&nonce, &request);
        assert_ne!(mac, TokenKey::of("Secret").mac(&nonce, &request));
        assert_ne!(mac, key.mac(&[2; 32], &request));
        assert_ne!(mac, key.mac(&nonce, &[1; 16]));
    }
}
