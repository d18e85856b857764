//! What can keep the door from opening, and from being watched.

use std::net::SocketAddr;

/// Why the server does not listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address can be reached from other machines.
    #[error(
        "will not listen on {0}: other machines could reach it, and this version has no users and passwords yet. \
         Listen on 127.0.0.1 or [::1] instead, and use an SSH tunnel from elsewhere: ssh -L 8080:127.0.0.1:8080 HOST"
    )]
    NotLoopback(SocketAddr),
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
