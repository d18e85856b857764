//! Where the product listens: loopback, until it knows who is asking.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

/// The default.
pub(crate) const DEFAULT: &str = "localhost:8080";

/// Reads `localhost:PORT` (both loopback addresses) or `ADDRESS:PORT`.
///
/// # Errors
/// Not such a text, or an address that others can reach.
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
    match addresses.iter().find(|address| !address.ip().is_loopback()) {
        None => Ok(addresses),
        Some(address) => Err(format!(
            "{} can be reached by other machines, and there is no login yet: only loopback (127.0.0.1, [::1], localhost) \
             is allowed; use an SSH tunnel meanwhile",
            address.ip()
        )),
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
pub(crate) fn url(asked: &str, listeners: &[TcpListener]) -> io::Result<String> {
    let Some(first) = listeners.first() else { return Ok(String::new()) };
    let address = first.local_addr()?;
    Ok(match address.ip() {
        _ if asked.starts_with("localhost:") => format!("http://localhost:{}", address.port()),
        IpAddr::V4(ip) => format!("http://{ip}:{}", address.port()),
        IpAddr::V6(ip) => format!("http://[{ip}]:{}", address.port()),
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
    fn an_address_that_others_reach_is_refused() {
        for text in ["0.0.0.0:8080", "[::]:8080", "192.0.2.1:80"] {
            assert!(parse(text).unwrap_err().contains("no login yet"), "{text}");
        }
        for text in ["8080", "localhost", "localhost:http", "http://localhost:8080", "", "127.1:80", ":8080"] {
            assert!(parse(text).unwrap_err().contains("expected \"localhost:8080\""), "{text}");
        }
    }

    #[test]
    fn one_free_port_serves_both_loopbacks() {
        let listeners = bind(&parse("localhost:0").unwrap()).unwrap();
        let port = listeners[0].local_addr().unwrap().port();
        assert!(listeners.iter().all(|listener| listener.local_addr().unwrap().port() == port));
        assert_eq!(url("localhost:0", &listeners).unwrap(), format!("http://localhost:{port}"));
        assert_eq!(bind(&[listeners[0].local_addr().unwrap()]).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
