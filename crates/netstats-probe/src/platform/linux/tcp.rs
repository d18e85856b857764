//! What the kernel knows of a TCP connection (`TCP_INFO`).

use std::mem::{size_of, zeroed};
use std::os::fd::AsRawFd;

use netstats_event::Rtt;

/// The part of `struct tcp_info` that is asked for: it only ever grows at its end.
#[repr(C)]
#[derive(Clone, Copy)]
struct TcpInfo {
    states: [u8; 8],
    words: [u32; 24],
}

/// Places of words in `struct tcp_info` behind its first eight bytes.
const RTT_US: usize = 15;
const TOTAL_RETRANS: usize = 23;

#[expect(unsafe_code, reason = "getsockopt")]
fn info(stream: &impl AsRawFd) -> Option<TcpInfo> {
    // SAFETY: all-zero is a valid value of a structure of integers.
    let mut info: TcpInfo = unsafe { zeroed() };
    let mut length = size_of::<TcpInfo>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes into `info`, and both live through the call.
    let result = unsafe {
        libc::getsockopt(stream.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, (&raw mut info).cast(), &raw mut length)
    };
    (result == 0 && length as usize == size_of::<TcpInfo>()).then_some(info)
}

/// How long the handshake of a fresh connection took, as the kernel measured it; none if a SYN was repeated, for then
/// the waiting in between belongs to the time too.
pub(crate) fn handshake_rtt(stream: &impl AsRawFd) -> Option<Rtt> {
    let info = info(stream)?;
    let rtt_us = info.words[RTT_US];
    (info.words[TOTAL_RETRANS] == 0 && rtt_us > 0).then(|| Rtt::from_micros(rtt_us))
}

/// Segments sent again so far.
pub(crate) fn retransmits(stream: &impl AsRawFd) -> Option<u32> {
    Some(info(stream)?.words[TOTAL_RETRANS])
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn the_kernel_tells_how_long_a_handshake_took() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let rtt = handshake_rtt(&stream).expect("Linux tells");
        assert!((1..100_000).contains(&rtt.as_micros()), "{rtt}");
        assert_eq!(retransmits(&stream), Some(0));
    }
}
