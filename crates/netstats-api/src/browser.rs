//! Who may knock: the exact `Host` list against DNS rebinding, and `Origin` and `Sec-Fetch-Site` against pages of other
//! sites that use the visitor's browser to get at us. A program on this machine sends neither of the latter and
//! passes.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use hyper::header::{HOST, HeaderName, ORIGIN};
use hyper::{HeaderMap, Method, StatusCode};

use crate::gate::Reach;
use crate::problem::Problem;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// The names under which this server answers, each with its port.
#[derive(Clone, Debug)]
pub(crate) struct Hosts {
    allowed: BTreeSet<String>,
    /// Of our own pages' addresses, as browsers see them.
    schemes: &'static [&'static str],
}

impl Hosts {
    /// `localhost`, `127.0.0.1` and `[::1]`, the addresses listened on and the `configured` names, with the ports of
    /// `listening`; `name:port` stands as it is. A proxy in front is asked on its own port, so there names stand alone
    /// too.
    pub(crate) fn new(listening: &[SocketAddr], configured: &[String], reach: Reach) -> Self {
        let schemes: &[&str] = if reach.is_secure { &["https"] } else { &["http"] };
        let own = listening.iter().map(SocketAddr::ip).filter(|ip| !ip.is_unspecified()).map(|ip| match ip {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        });
        let known = ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned).into_iter();
        let mut allowed = BTreeSet::new();
        for name in known.chain(own).chain(configured.iter().cloned()) {
            let name = name.to_ascii_lowercase();
            if name.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) && !name.ends_with(']') {
                allowed.insert(name);
                continue;
            }
            let own_port = if reach.is_secure { 443 } else { 80 };
            for port in listening.iter().map(SocketAddr::port) {
                allowed.insert(format!("{name}:{port}"));
                // Clients leave the port out where it is the scheme's own.
                if port == own_port || reach.is_proxied {
                    allowed.insert(name.clone());
                }
            }
        }
        Self { allowed, schemes }
    }

    fn knows(&self, host: &str) -> bool {
        self.allowed.contains(host) || self.allowed.contains(&host.to_ascii_lowercase())
    }
}

fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(Problem::malformed(format!("the header {name} is given twice")).field(name.as_str()).closing());
    }
    first
        .map(|value| value.to_str().map_err(|_| Problem::malformed(format!("the header {name} is not ASCII"))))
        .transpose()
}

/// Checks host and browser headers of one request. `is_page` is true for what a browser may open by following a link
/// from anywhere: the UI's documents.
pub(crate) fn check(hosts: &Hosts, method: &Method, headers: &HeaderMap, is_page: bool) -> Result<(), Problem> {
    let host = one(headers, &HOST)?
        .ok_or_else(|| Problem::malformed("the request has no Host header").field("host").closing())?;
    if !hosts.knows(host) {
        let known = hosts.allowed.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let shown: String = host.chars().take(80).collect();
        return Err(Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            "unknown-host",
            format!("this server does not answer for {shown:?}: a page elsewhere may have pointed its name here"),
        )
        .field("host")
        .accepted(known)
        .hint("add the name to server.allowed_hosts in the config file if it is yours")
        .closing());
    }
    if let Some(origin) = one(headers, &ORIGIN)? {
        // The page's own address must be the very address it calls, port included; `null` is nobody's.
        let is_own = origin
            .split_once("://")
            .is_some_and(|(scheme, rest)| hosts.schemes.contains(&scheme) && rest.eq_ignore_ascii_case(host));
        if !is_own {
            let shown: String = origin.chars().take(80).collect();
            return Err(Problem::foreign(format!("a page of {shown:?} may not use this server")).field("origin"));
        }
    }
    match one(headers, &SEC_FETCH_SITE)? {
        None | Some("same-origin" | "none") => Ok(()),
        Some(_) => {
            let opens_page = is_page
                && (method == Method::GET || method == Method::HEAD)
                && one(headers, &SEC_FETCH_MODE)? == Some("navigate")
                && one(headers, &SEC_FETCH_DEST)? == Some("document");
            if opens_page {
                return Ok(());
            }
            Err(Problem::foreign("a page of another site may not use this server")
                .field("sec-fetch-site")
                .accepted("same-origin, none"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts() -> Hosts {
        Hosts::new(
            &["127.0.0.1:8080".parse().unwrap(), "[::1]:8080".parse().unwrap()],
            &["nsc.lan".to_owned(), "a:1".into()],
            LOCAL,
        )
    }

    const LOCAL: Reach = Reach { is_local: true, is_secure: false, is_proxied: false };

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (HeaderName::from_static(n), v.parse().unwrap())).collect()
    }

    #[test]
    fn the_host_is_one_of_the_list_with_its_port() {
        for good in ["localhost:8080", "LocalHost:8080", "127.0.0.1:8080", "[::1]:8080", "nsc.lan:8080", "a:1"] {
            assert!(hosts().knows(good), "{good}");
        }
        for bad in [
            "localhost",
            "localhost:80",
            "evil.test:8080",
            "127.0.0.2:8080",
            "::1:8080",
            "",
            "localhost:8080.",
            "localhost.:8080",
            "nsc.lan",
            "a",
            "a:8080",
            "127.1:8080",
            "[0:0:0:0:0:0:0:1]:8080",
            "user@localhost:8080",
        ] {
            assert!(!hosts().knows(bad), "{bad}");
        }
        assert!(Hosts::new(&["127.0.0.1:80".parse().unwrap()], &[], LOCAL).knows("localhost"));
    }

    #[test]
    fn a_script_passes_and_a_foreign_page_does_not() {
        let host = ("host", "localhost:8080");
        let status = |pairs: &[(&'static str, &'static str)], method: Method, is_page: bool| {
            check(&hosts(), &method, &headers(pairs), is_page).map_or_else(|p| p.status.as_u16(), |()| 200)
        };
        assert_eq!(status(&[host], Method::POST, false), 200);
        assert_eq!(status(&[host, ("origin", "http://localhost:8080")], Method::POST, false), 200);
        assert_eq!(status(&[host, ("sec-fetch-site", "same-origin")], Method::POST, false), 200);
        assert_eq!(status(&[host, ("sec-fetch-site", "none")], Method::GET, true), 200);
        for origin in [
            "http://evil.test",
            "null",
            "https://localhost:8080",
            "http://localhost:8081",
            "http://localhost",
            "http://127.0.0.1:8080",
            "",
            "http://localhost:8080.evil.test",
            "http://localhost:8080/",
        ] {
            assert_eq!(status(&[host, ("origin", origin)], Method::GET, true), 403, "{origin}");
        }
        for site in ["cross-site", "same-site", "", "Same-Origin"] {
            assert_eq!(status(&[host, ("sec-fetch-site", site)], Method::GET, true), 403, "{site}");
        }
        let link =
            [host, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
        assert_eq!(status(&link, Method::GET, true), 200);
        assert_eq!(status(&link, Method::GET, false), 403);
        assert_eq!(status(&link, Method::POST, true), 403);
        assert_eq!(status(&[], Method::GET, true), 400);
        assert_eq!(status(&[("host", "evil.test:8080")], Method::GET, true), 421);
        let mut twice = headers(&[host]);
        twice.append(HOST, "localhost:8080".parse().unwrap());
        assert_eq!(check(&hosts(), &Method::GET, &twice, true).unwrap_err().status, 400);
    }
}
