//! One embedded file and its encodings.

/// An embedded file.
#[derive(Clone, Copy, Debug)]
pub struct Asset {
    /// Absolute path in the URL, as `/assets/app-C3b1.js`.
    pub path: &'static str,
    /// Value for `Content-Type`.
    pub content_type: &'static str,
    /// The path holds a hash of the content: the same path never means other bytes.
    pub immutable: bool,
    /// As it is.
    pub plain: Body,
    /// Compressed with gzip; none where that does not make it smaller.
    pub gzip: Option<Body>,
    /// Compressed with brotli; none where that does not make it smaller.
    pub brotli: Option<Body>,
}

/// The bytes of one encoding of a file.
#[derive(Clone, Copy, Debug)]
pub struct Body {
    /// The bytes to send.
    pub bytes: &'static [u8],
    /// Value for `ETag`, quotes included. Each encoding has its own (RFC 9110, 8.8.3.3).
    pub etag: &'static str,
    /// Value for `Content-Encoding`, if any.
    pub encoding: Option<&'static str>,
}

impl Asset {
    /// The smallest encoding that a client with this `Accept-Encoding` takes; plain if in doubt.
    #[must_use]
    pub fn negotiate(&self, accept_encoding: Option<&str>) -> Body {
        let accepts = |coding: &str| accept_encoding.is_some_and(|header| accepts(header, coding));
        [self.brotli, self.gzip]
            .into_iter()
            .flatten()
            .find(|body| body.encoding.is_some_and(accepts))
            .unwrap_or(self.plain)
    }

    /// Value for `Cache-Control`.
    #[must_use]
    pub const fn cache_control(&self) -> &'static str {
        if self.immutable { "public, max-age=31536000, immutable" } else { "no-cache" }
    }
}

/// True if `Accept-Encoding` names the coding, or `*`, with a weight above zero. The name wins over the star.
fn accepts(header: &str, coding: &str) -> bool {
    let mut star = false;
    for item in header.split(',') {
        let (name, parameters) = item.split_once(';').unwrap_or((item, ""));
        let is_refused = parameters
            .trim()
            .strip_prefix("q=")
            .or_else(|| parameters.trim().strip_prefix("Q="))
            .is_some_and(|weight| weight.trim().parse::<f32>().is_ok_and(|weight| weight <= 0.0));
        let name = name.trim();
        if name.eq_ignore_ascii_case(coding) {
            return !is_refused;
        }
        star |= name == "*" && !is_refused;
    }
    star
}

/// True if `If-None-Match` holds this `ETag` (weak comparison, RFC 9110, 13.1.2) or is `*`.
#[must_use]
pub fn etag_matches(if_none_match: &str, etag: &str) -> bool {
    if_none_match.trim() == "*"
        || if_none_match.split(',').any(|item| {
            let item = item.trim();
            item.strip_prefix("W/").unwrap_or(item) == etag
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Body = Body { bytes: b"plain", etag: "\"1\"", encoding: None };
    const GZIP: Body = Body { bytes: b"gz", etag: "\"1-gz\"", encoding: Some("gzip") };
    const BROTLI: Body = Body { bytes: b"br", etag: "\"1-br\"", encoding: Some("br") };

    fn chosen(accept: Option<&str>) -> &'static str {
        let asset = Asset {
            path: "/x.js",
            content_type: "text/javascript",
            immutable: false,
            plain: PLAIN,
            gzip: Some(GZIP),
            brotli: Some(BROTLI),
        };
        asset.negotiate(accept).encoding.unwrap_or("plain")
    }

    #[test]
    fn the_smallest_accepted_encoding_is_chosen() {
        assert_eq!(chosen(Some("gzip, deflate, br, zstd")), "br");
        assert_eq!(chosen(Some("GZIP;q=0.5")), "gzip");
        assert_eq!(chosen(Some("*")), "br");
        assert_eq!(chosen(Some("br;q=0, *")), "gzip");
        assert_eq!(chosen(Some("br; q=0, gzip;q=0.000")), "plain");
        assert_eq!(chosen(Some("identity")), "plain");
        assert_eq!(chosen(Some("")), "plain");
        assert_eq!(chosen(None), "plain");
    }

    #[test]
    fn an_asset_without_an_encoding_is_sent_plain() {
        let asset = Asset {
            path: "/x.png",
            content_type: "image/png",
            immutable: true,
            plain: PLAIN,
            gzip: None,
            brotli: None,
        };
        assert_eq!(asset.negotiate(Some("br, gzip")).encoding, None);
        assert!(asset.cache_control().contains("immutable"));
    }

    #[test]
    fn etags_are_compared_weakly_and_exactly() {
        assert!(etag_matches("\"1\"", "\"1\""));
        assert!(etag_matches("\"0\", W/\"1\"", "\"1\""));
        assert!(etag_matches(" * ", "\"1\""));
        assert!(!etag_matches("\"1-gz\"", "\"1\""));
        assert!(!etag_matches("", "\"1\""));
    }
}
