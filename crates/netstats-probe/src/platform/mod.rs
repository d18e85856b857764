//! Everything that differs between systems, and the only place where `unsafe` may be.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub(crate) use linux::{Datagrams, handshake_rtt, icmp_capability, icmp_transport, interface_index};

#[cfg(target_os = "macos")]
mod macos;
#[cfg(target_os = "macos")]
pub(crate) use macos::{handshake_rtt, icmp_capability, icmp_transport, interface_index};

#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub(crate) use windows::{handshake_rtt, icmp_capability, icmp_transport, interface_index};
