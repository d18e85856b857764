//! Everything that differs between systems, and the only place where `unsafe` may be.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub(crate) use linux::{
    Datagrams, handshake_rtt, icmp_capability, icmp_transport, interface_index, retransmits, trace_tcp, trace_udp,
};

#[cfg(target_os = "macos")]
mod macos;
#[cfg(target_os = "macos")]
pub(crate) use macos::{handshake_rtt, icmp_capability, icmp_transport, interface_index, retransmits};

#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub(crate) use windows::{handshake_rtt, icmp_capability, icmp_transport, interface_index, retransmits};

/// Traces that need the errors of a socket, which only Linux tells.
#[cfg(not(target_os = "linux"))]
mod no_trace {
    use netstats_event::FailReason;

    use crate::TransportError;
    use crate::traceroute::{TraceAsk, TraceResult};

    pub(crate) async fn trace_udp(_: &TraceAsk) -> Result<TraceResult, TransportError> {
        Err(TransportError {
            reason: FailReason::BadOptions,
            detail: "on this system routes are traced by ICMP only: set `options.traceroute.protocol` to icmp".into(),
        })
    }

    pub(crate) use trace_udp as trace_tcp;
}
#[cfg(not(target_os = "linux"))]
pub(crate) use no_trace::{trace_tcp, trace_udp};
