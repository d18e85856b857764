//! Everything that differs between systems, and the only place where `unsafe` may be.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub use linux::be_prompt;
#[cfg(target_os = "linux")]
pub(crate) use linux::{
    Datagrams, IS_PLAIN_ICMP, cpu, handshake_rtt, icmp_capability, icmp_transport, interface_index, retransmits,
    trace_tcp, trace_udp,
};

#[cfg(target_os = "macos")]
mod macos;
#[cfg(target_os = "macos")]
pub(crate) use macos::{IS_PLAIN_ICMP, icmp_capability, icmp_transport, interface_index};

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(crate) use unix::is_connecting;

// Compiled for the tests of every system: it is pure.
#[cfg(any(windows, test, netstats_fuzz))]
pub(crate) mod helper;
#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub(crate) use windows::{IS_PLAIN_ICMP, icmp_capability, icmp_transport, interface_index, is_connecting};

#[cfg(not(target_os = "linux"))]
mod portable;
#[cfg(not(target_os = "linux"))]
pub use portable::be_prompt;
#[cfg(not(target_os = "linux"))]
pub(crate) use portable::{Datagrams, cpu, handshake_rtt, retransmits, trace_tcp, trace_udp};
