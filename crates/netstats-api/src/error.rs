//! What can keep the door from opening, and from being watched.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Why the server does not listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address can be reached from other machines, unprotected.
    #[error(
        "will not listen on {0} without TLS: other machines could reach it and read passwords on the way. Give \
         `server.tls` in the config file (`network-stats cert self-signed` makes a certificate), or \
         `server.behind_proxy: true` if a proxy in front speaks TLS; or listen on localhost and use an SSH tunnel: \
         ssh -L 8080:127.0.0.1:8080 HOST"
    )]
    NotLoopback(SocketAddr),
    /// Nobody could come in by any name.
    #[error(
        "listening on {0}, under which names? Give them in `server.allowed_hosts` in the config file: a list of exact \
         names keeps out pages that point a name of theirs at this machine"
    )]
    NoHosts(SocketAddr),
    /// The certificate or its key.
    #[error("{}: {why}", path.display())]
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The system refuses the address.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// A server that was watched does not go on.
    #[error("{0}")]
    Watch(String),
    /// A listener that does not know its own address.
    #[error("the listener has no address: {0}")]
    Listener(#[source] std::io::Error),
}
