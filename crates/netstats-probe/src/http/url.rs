//! Where a request goes, and where a redirect may lead.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use netstats_event::HttpOptions;

/// Scheme, host, port and path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url {
    pub(super) is_tls: bool,
    /// Name or address, an IPv6 address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) path: String,
}

impl Url {
    /// Of a job's options and a destination.
    pub(super) fn of(options: &HttpOptions, host: &str, port: Option<u16>) -> Self {
        let usual = usual_port(options.tls);
        Self {
            is_tls: options.tls,
            host: host.to_owned(),
            port: options.port.or(port).unwrap_or(usual),
            path: options.path.clone(),
        }
    }

    /// Host and port as in a `Host` header.
    pub(super) fn authority(&self) -> String {
        let host = match self.host.split('%').next().unwrap_or_default() {
            address if address.parse::<Ipv6Addr>().is_ok() => format!("[{address}]"),
            name => name.to_owned(),
        };
        if self.port == usual_port(self.is_tls) { host } else { format!("{host}:{}", self.port) }
    }

    /// Where a `Location` leads from here (RFC 3986, section 5, as far as servers use it).
    pub(super) fn join(&self, location: &str) -> Result<Self, &'static str> {
        if !location.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("it is not ASCII");
        }
        let location = location.split('#').next().unwrap_or_default();
        let (is_tls, rest) = match location.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, rest),
            Some(_) => return Err("it is neither http nor https"),
            None => match location.strip_prefix("//") {
                Some(rest) => (self.is_tls, rest),
                None => return Ok(Self { path: self.path_to(location), ..self.clone() }),
            },
        };
        if self.is_tls && !is_tls {
            return Err("it leads from https to http");
        }
        let (authority, path) = rest.find(['/', '?']).map_or((rest, ""), |at| rest.split_at(at));
        if authority.contains('@') {
            return Err("it holds a user name");
        }
        let (host, port) = split_port(authority)?;
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { is_tls, host, port: port.unwrap_or(usual_port(is_tls)), path })
    }

    fn path_to(&self, location: &str) -> String {
        let own = self.path.split('?').next().unwrap_or_default();
        match location {
            "" => self.path.clone(),
            absolute if absolute.starts_with('/') => absolute.to_owned(),
            query if query.starts_with('?') => format!("{own}{query}"),
            relative => format!("{}/{relative}", own.rsplit_once('/').map_or("", |(folder, _)| folder)),
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", if self.is_tls { "https" } else { "http" }, self.authority(), self.path)
    }
}

const fn usual_port(is_tls: bool) -> u16 {
    if is_tls { 443 } else { 80 }
}

fn split_port(authority: &str) -> Result<(String, Option<u16>), &'static str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or("a bracket is not closed")?;
            (host, after.strip_prefix(':'))
        }
        None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    if host.is_empty() {
        return Err("it has no host");
    }
    let port = match port {
        None | Some("") => None,
        Some(text) => Some(text.parse::<u16>().ok().filter(|port| *port > 0).ok_or("its port is none")?),
    };
    Ok((host.to_ascii_lowercase(), port))
}

/// Loopback, private and link-local addresses: reachable from here, not from outside.
pub(super) fn is_inner(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            v4.is_loopback() || v4.is_private() || v4.is_link_local() || v4.is_unspecified()
                // Shared between a provider and its customers (RFC 6598).
                || (v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64)
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unspecified() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here() -> Url {
        Url { is_tls: true, host: "example.org".into(), port: 443, path: "/a/b?q".into() }
    }

    #[test]
    fn a_location_is_read_as_servers_write_it() {
        for (location, wanted) in [
            ("/x?y#z", "https://example.org/x?y"),
            ("c", "https://example.org/a/c"),
            ("?r", "https://example.org/a/b?r"),
            ("//other.example", "https://other.example/"),
            ("HTTPS://Other.example:8443/p", "https://other.example:8443/p"),
            ("https://[2001:db8::1]:444?q", "https://[2001:db8::1]:444/?q"),
        ] {
            assert_eq!(here().join(location).unwrap().to_string(), wanted, "{location}");
        }
    }

    #[test]
    fn a_redirect_that_could_do_harm_is_not_followed() {
        for location in [
            "http://example.org/",
            "file:///etc/passwd",
            "gopher://x/",
            "https://user:pass@example.org/",
            "https://x:0/",
            "https://x:99999/",
            "https:///p",
            "https://[::1",
            "/caf\u{e9}",
            "/a\r\nX: y",
        ] {
            assert!(here().join(location).is_err(), "{location}");
        }
        for inner in [
            "127.0.0.1",
            "10.1.2.3",
            "192.168.0.1",
            "169.254.1.1",
            "100.64.0.1",
            "::1",
            "fd00::1",
            "fe80::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(is_inner(inner.parse().unwrap()), "{inner}");
        }
        for outer in ["198.18.0.1", "100.128.0.1", "2001:db8::1"] {
            assert!(!is_inner(outer.parse().unwrap()), "{outer}");
        }
    }
}
