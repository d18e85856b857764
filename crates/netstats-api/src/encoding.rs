//! Compressed answers, for those who say that they take them.

use std::io::Write;

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderValue, VARY};

use crate::command::blocking;
use crate::limits::MIN_COMPRESSED_BYTES;
use crate::reply::Reply;

/// Bytes that are compressed where they are; more go to a thread that may take its time.
const QUICK_BYTES: usize = 32 * 1024;
/// Fast rather than small: the answer is made for this one request.
const BROTLI_QUALITY: u32 = 4;
const BROTLI_WINDOW: u32 = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Brotli,
    Gzip,
}

impl Encoding {
    const fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    fn encode(self, body: &[u8]) -> std::io::Result<Vec<u8>> {
        let out = Vec::with_capacity(body.len() / 4);
        match self {
            Self::Brotli => {
                let mut writer = brotli::CompressorWriter::new(out, 16 * 1024, BROTLI_QUALITY, BROTLI_WINDOW);
                writer.write_all(body)?;
                writer.flush()?;
                Ok(writer.into_inner())
            }
            Self::Gzip => {
                let mut writer = flate2::write::GzEncoder::new(out, flate2::Compression::fast());
                writer.write_all(body)?;
                writer.finish()
            }
        }
    }
}

/// What the client likes best of what we can (RFC 9110 12.5.3); none: as it is.
fn wanted(accepted: &str) -> Option<Encoding> {
    let weight = |name: &str| {
        accepted
            .split(',')
            .filter_map(|part| {
                let (coding, q) = part.split_once(';').unwrap_or((part, "q=1"));
                let q = q.trim().strip_prefix("q=").and_then(|q| q.parse::<f32>().ok()).unwrap_or(0.0);
                coding.trim().eq_ignore_ascii_case(name).then_some(q)
            })
            .next_back()
    };
    let of = |name| weight(name).or_else(|| weight("*")).unwrap_or(0.0);
    let (br, gzip) = (of("br"), of("gzip"));
    if br <= 0.0 && gzip <= 0.0 {
        None
    } else if br >= gzip {
        Some(Encoding::Brotli)
    } else {
        Some(Encoding::Gzip)
    }
}

fn is_text(headers: &HeaderMap) -> bool {
    const TEXTS: [&[u8]; 5] = [
        b"application/json",
        b"application/problem+json",
        b"application/openmetrics-text",
        b"text/",
        b"application/x-ndjson",
    ];
    headers.get(CONTENT_TYPE).is_some_and(|kind| TEXTS.iter().any(|text| kind.as_bytes().starts_with(text)))
}

/// The reply, compressed if that is asked for and worth it.
pub(crate) async fn encode(mut reply: Reply, accepted: Option<HeaderValue>) -> Reply {
    if reply.body.len() < MIN_COMPRESSED_BYTES
        || reply.headers.contains_key(CONTENT_ENCODING)
        || !is_text(&reply.headers)
    {
        return reply;
    }
    reply.headers.append(VARY, HeaderValue::from_static("accept-encoding"));
    let Some(encoding) = accepted.as_ref().and_then(|value| wanted(value.to_str().ok()?)) else { return reply };
    let body = reply.body.clone();
    let encoded = if body.len() <= QUICK_BYTES {
        encoding.encode(&body).ok()
    } else {
        blocking(move || encoding.encode(&body)).await.ok().and_then(Result::ok)
    };
    if let Some(encoded) = encoded.filter(|encoded| encoded.len() < reply.body.len()) {
        reply.body = Bytes::from(encoded);
        reply.headers.remove(CONTENT_LENGTH);
        reply.headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding.name()));
        mark_tag(&mut reply.headers, encoding);
    }
    reply
}

/// A strong tag is that of these very bytes: `"v42.9c1e-br"`.
fn mark_tag(headers: &mut HeaderMap, encoding: Encoding) {
    let marked = headers.get(ETAG).and_then(|tag| {
        let tag = tag.to_str().ok()?.strip_suffix('"')?;
        HeaderValue::from_str(&format!("{tag}-{}\"", encoding.name())).ok()
    });
    if let Some(marked) = marked {
        headers.insert(ETAG, marked);
    }
}

/// The `Accept-Encoding` of a request.
pub(crate) fn accepted(headers: &HeaderMap) -> Option<HeaderValue> {
    headers.get(ACCEPT_ENCODING).cloned()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn the_client_says_what_it_takes() {
        for (accepted, encoding) in [
            ("", None),
            ("identity", None),
            ("gzip", Some(Encoding::Gzip)),
            ("gzip, deflate, br", Some(Encoding::Brotli)),
            ("br;q=0.2, gzip;q=0.9", Some(Encoding::Gzip)),
            ("br;q=0, gzip;q=0", None),
            ("*", Some(Encoding::Brotli)),
            ("*;q=0.1, br;q=0", Some(Encoding::Gzip)),
            ("GZIP", Some(Encoding::Gzip)),
            ("gzip;q=x", None),
        ] {
            assert_eq!(wanted(accepted), encoding, "{accepted}");
        }
    }

    #[test]
    fn what_was_compressed_is_the_same_again() {
        let body: Vec<u8> = (0..50_000_u32).flat_map(|i| (i / 7).to_string().into_bytes()).collect();
        let mut out = Vec::new();
        brotli::Decompressor::new(&Encoding::Brotli.encode(&body).unwrap()[..], 4_096).read_to_end(&mut out).unwrap();
        assert_eq!(out, body);
        let mut out = Vec::new();
        flate2::read::GzDecoder::new(&Encoding::Gzip.encode(&body).unwrap()[..]).read_to_end(&mut out).unwrap();
        assert_eq!(out, body);
    }
}
