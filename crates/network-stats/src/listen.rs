//! Where the product listens.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use crate::config::Server;

/// The default.
pub(crate) const DEFAULT: &str = "localhost:8080";

/// Reads `localhost:PORT` (both loopback addresses) or `ADDRESS:PORT`.
///
/// # Errors
/// Not such a text.
pub(crate) fn parse(text: &str) -> Result<Vec<SocketAddr>, String> {
    let wrong = || {
        format!(
            "\"{text}\" is not where one can listen: expected \"localhost:8080\", \"127.0.0.1:8080\" or \"[::1]:8080\""
        )
    };
    let addresses = match text.strip_prefix("localhost:") {
        Some(port) => {
            let port: u16 = port.parse().map_err(|_| wrong())?;
            vec![(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()]
        }
        None => vec![text.parse::<SocketAddr>().map_err(|_| wrong())?],
    };
    Ok(addresses)
}

/// Refuses an address that others can reach without TLS or a proxy that speaks it.
///
/// # Errors
/// There is one.
pub(crate) fn check(addresses: &[SocketAddr], server: &Server) -> Result<(), String> {
    let is_protected = server.tls.is_some() || server.behind_proxy;
    match addresses.iter().find(|address| !address.ip().to_canonical().is_loopback()) {
        Some(address) if !is_protected => Err(format!(
            "{} can be reached by other machines, and passwords would travel in clear: give `server.tls` \
             (`network-stats cert self-signed` makes a certificate), or `server.behind_proxy: true` if a proxy in front \
             speaks TLS; or listen on localhost and use an SSH tunnel",
            address.ip()
        )),
        _ => Ok(()),
    }
}

/// Listens on all of `addresses`: the first must succeed, the others may be missing on this machine (IPv6 switched
/// off). A port of 0 becomes one free port, the same for all.
///
/// # Errors
/// The first address is taken or not allowed.
pub(crate) fn bind(addresses: &[SocketAddr]) -> io::Result<Vec<TcpListener>> {
    let mut listeners: Vec<TcpListener> = Vec::new();
    for address in addresses {
        let mut address = *address;
        if let (0, Some(first)) = (address.port(), listeners.first()) {
            address.set_port(first.local_addr()?.port());
        }
        match TcpListener::bind(address) {
            Ok(listener) => {
                listener.set_nonblocking(true)?;
                listeners.push(listener);
            }
            Err(error) if listeners.is_empty() || error.kind() == io::ErrorKind::AddrInUse => return Err(error),
            Err(error) => tracing::debug!(%address, %error, "not listening there"),
        }
    }
    Ok(listeners)
}

/// What to type into a browser.
pub(crate) fn url(asked: &str, listeners: &[TcpListener], scheme: &str) -> io::Result<String> {
    let Some(first) = listeners.first() else { return Ok(String::new()) };
    let address = first.local_addr()?;
    Ok(match address.ip() {
        _ if asked.starts_with("localhost:") => format!("{scheme}://localhost:{}", address.port()),
        IpAddr::V4(ip) => format!("{scheme}://{ip}:{}", address.port()),
        IpAddr::V6(ip) => format!("{scheme}://[{ip}]:{}", address.port()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn localhost_is_both_loopbacks() {
        let both = parse("localhost:8080").unwrap();
        assert_eq!(both.iter().map(ToString::to_string).collect::<Vec<_>>(), ["127.0.0.1:8080", "[::1]:8080"]);
        assert_eq!(parse("127.0.0.1:0").unwrap().len(), 1);
        assert_eq!(parse("[::1]:80").unwrap().len(), 1);
    }

    #[test]
    fn an_address_that_others_reach_needs_tls_or_a_proxy() {
        for text in ["0.0.0.0:8080", "[::]:8080", "192.0.2.1:80"] {
            let addresses = parse(text).unwrap();
            assert!(check(&addresses, &Server::default()).unwrap_err().contains("server.tls"), "{text}");
            check(&addresses, &Server { behind_proxy: true, ..Server::default() }).unwrap();
        }
        check(&parse("localhost:1").unwrap(), &Server::default()).unwrap();
        for text in ["8080", "localhost", "localhost:http", "http://localhost:8080", "", "127.1:80", ":8080"] {
            assert!(parse(text).unwrap_err().contains("expected \"localhost:8080\""), "{text}");
        }
    }

    #[test]
    fn one_free_port_serves_both_loopbacks() {
        let listeners = bind(&parse("localhost:0").unwrap()).unwrap();
        let port = listeners[0].local_addr().unwrap().port();
        assert!(listeners.iter().all(|listener| listener.local_addr().unwrap().port() == port));
        assert_eq!(url("localhost:0", &listeners, "http").unwrap(), format!("http://localhost:{port}"));
        assert_eq!(bind(&[listeners[0].local_addr().unwrap()]).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
