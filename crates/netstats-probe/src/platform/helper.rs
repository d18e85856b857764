//! What the Windows ICMP helper writes into its reply buffer: `ICMP_ECHO_REPLY` and `ICMPV6_ECHO_REPLY` of `ipexport.h`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netstats_event::IcmpError;

/// Bytes of a pointer: the IPv4 structure holds two.
const POINTER: usize = size_of::<usize>();
/// Where things are in the IPv4 structure.
pub(crate) const V4_STATUS_AT: usize = 4;
pub(crate) const V4_SIZE_AT: usize = 12;
pub(crate) const V4_DATA_AT: usize = 16;
pub(crate) const V4_TTL_AT: usize = V4_DATA_AT + POINTER;
pub(crate) const V4_BYTES: usize = V4_DATA_AT + 3 * POINTER;
/// Where things are in the IPv6 structure; the data follows it.
pub(crate) const V6_ADDRESS_AT: usize = 6;
pub(crate) const V6_STATUS_AT: usize = 28;
pub(crate) const V6_BYTES: usize = 36;

// IP_STATUS codes. For IPv6 the same numbers have other names; `icmp_of` tells what they stand for.
const SUCCESS: u32 = 0;
const NET_UNREACHABLE: u32 = 11_002;
const HOST_UNREACHABLE: u32 = 11_003;
const PROTOCOL_UNREACHABLE: u32 = 11_004;
const PORT_UNREACHABLE: u32 = 11_005;
const PACKET_TOO_BIG: u32 = 11_009;
const TIMED_OUT: u32 = 11_010;
const TTL_EXPIRED: u32 = 11_013;
const REASSEMBLY_EXPIRED: u32 = 11_014;

/// What became of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It came back, with this time to live where the system tells.
    Reply { ttl: Option<u8> },
    /// Somebody on the way could not deliver it.
    Error(IcmpError),
    /// What came back was not what was sent.
    Bad,
    /// Nothing came back.
    Lost,
    /// The system refused it, with its error code.
    NotSent(u32),
}

/// What the buffer says of a call that counted a reply. `start` is the buffer's address, because an IPv4 reply points to
/// its data; `payload` is what was sent to `to`.
pub(crate) fn with_reply(buffer: &[u8], start: usize, payload: &[u8], to: IpAddr) -> Fate {
    let Some(head) = Head::read(buffer, start, to.is_ipv6()) else { return Fate::Bad };
    if head.status != SUCCESS {
        return head.failure();
    }
    let is_same = head.data_at.and_then(|at| buffer.get(at..)?.get(..payload.len())) == Some(payload);
    let is_whole = head.data_bytes.is_none_or(|bytes| bytes == payload.len());
    if head.from == to && is_same && is_whole { Fate::Reply { ttl: head.ttl } } else { Fate::Bad }
}

/// What became of a packet whose call counted no reply and gave `code`. Some versions of Windows count none when a
/// router answered, but name it in the buffer; where nobody is named, the code is this system's own.
pub(crate) fn without_reply(buffer: &[u8], code: u32, to: IpAddr) -> Fate {
    match Head::read(buffer, 0, to.is_ipv6()) {
        _ if code == TIMED_OUT => Fate::Lost,
        Some(head) if code != SUCCESS && head.status == code && !head.from.is_unspecified() => head.failure(),
        _ => Fate::NotSent(code),
    }
}

struct Head {
    from: IpAddr,
    status: u32,
    ttl: Option<u8>,
    data_at: Option<usize>,
    /// Not told for IPv6.
    data_bytes: Option<usize>,
}

impl Head {
    fn read(buffer: &[u8], start: usize, is_v6: bool) -> Option<Self> {
        let status = |at: usize| Some(u32::from_ne_bytes(bytes(buffer, at)?));
        if is_v6 {
            return Some(Self {
                from: Ipv6Addr::from(bytes::<16>(buffer, V6_ADDRESS_AT)?).into(),
                status: status(V6_STATUS_AT)?,
                ttl: None,
                data_at: Some(V6_BYTES),
                data_bytes: None,
            });
        }
        let data = usize::from_ne_bytes(bytes(buffer, V4_DATA_AT)?);
        Some(Self {
            from: Ipv4Addr::from(bytes::<4>(buffer, 0)?).into(),
            status: status(V4_STATUS_AT)?,
            ttl: buffer.get(V4_TTL_AT).copied(),
            data_at: data.checked_sub(start).filter(|at| *at >= V4_BYTES),
            data_bytes: Some(usize::from(u16::from_ne_bytes(bytes(buffer, V4_SIZE_AT)?))),
        })
    }

    fn failure(&self) -> Fate {
        match icmp_of(self.status, self.from.is_ipv6()) {
            Some((icmp_type, icmp_code)) => Fate::Error(IcmpError { icmp_type, icmp_code, from: Some(self.from) }),
            None if self.status == TIMED_OUT => Fate::Lost,
            None => Fate::NotSent(self.status),
        }
    }
}

fn bytes<const N: usize>(buffer: &[u8], at: usize) -> Option<[u8; N]> {
    buffer.get(at..)?.first_chunk().copied()
}

/// The ICMP type and code that a status stands for.
const fn icmp_of(status: u32, is_v6: bool) -> Option<(u8, u8)> {
    Some(match (status, is_v6) {
        (NET_UNREACHABLE, false) => (3, 0),
        (HOST_UNREACHABLE, false) => (3, 1),
        (PROTOCOL_UNREACHABLE, false) => (3, 2),
        (PORT_UNREACHABLE, false) => (3, 3),
        (PACKET_TOO_BIG, false) => (3, 4),
        (TTL_EXPIRED, false) => (11, 0),
        (REASSEMBLY_EXPIRED, false) => (11, 1),
        (NET_UNREACHABLE, true) => (1, 0),
        (PROTOCOL_UNREACHABLE, true) => (1, 1),
        (HOST_UNREACHABLE, true) => (1, 3),
        (PORT_UNREACHABLE, true) => (1, 4),
        (PACKET_TOO_BIG, true) => (2, 0),
        (TTL_EXPIRED, true) => (3, 0),
        (REASSEMBLY_EXPIRED, true) => (3, 1),
        _ => return None,
    })
}

#[cfg(all(test, target_pointer_width = "64", target_endian = "little"))]
mod tests {
    use super::*;

    /// What was sent in the recorded calls, and where their buffer was.
    const PAYLOAD: [u8; 16] = *b"\xa0\xa1\xa2\xa3\xa4\xa5\xa6\xa7\xa8\xa9\xaa\xab\xac\xad\xae\xaf";
    const START: usize = 0x1_4000_d040;
    const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// Recorded from `IcmpSendEcho2Ex` to 127.0.0.1 (64 bit, Wine): one reply after 8 ms with a time to live of 64.
    const REPLY: [u8; 56] = *b"\x7f\x00\x00\x01\x00\x00\x00\x00\x08\x00\x00\x00\x10\x00\x00\x00\
        \x68\xd0\x00\x40\x01\x00\x00\x00\x40\x00\x02\x00\x00\x00\x00\x00\x68\xd0\x00\x40\x01\x00\x00\x00\
        \xa0\xa1\xa2\xa3\xa4\xa5\xa6\xa7\xa8\xa9\xaa\xab\xac\xad\xae\xaf";
    /// Recorded likewise, of a router (its address replaced) that does not know 240.0.0.1.
    const REFUSAL: [u8; 40] = *b"\xc0\x00\x02\x01\xfd\x2a\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\
        \x68\xd0\x00\x40\x01\x00\x00\x00\x3f\xc0\x00\x00\x02\x00\x00\x00\x68\xd0\x00\x40\x01\x00\x00\x00";

    fn changed(at: usize, bytes: &[u8]) -> [u8; 56] {
        let mut reply = REPLY;
        reply[at..at + bytes.len()].copy_from_slice(bytes);
        reply
    }

    /// An IPv6 reply as `ipexport.h` lays it out: port, flow, address, zone, two bytes unused, status, time, data.
    fn reply_v6(from: IpAddr, status: u32) -> Vec<u8> {
        let IpAddr::V6(from) = from else { panic!("{from} is not IPv6") };
        let mut reply = vec![0; V6_ADDRESS_AT];
        reply.extend(from.octets());
        reply.extend([0; 6]);
        reply.extend(status.to_ne_bytes());
        reply.extend([0; 4]);
        reply.extend(PAYLOAD);
        reply
    }

    #[test]
    fn a_reply_is_ours_if_it_is_whole_and_from_the_target() {
        let fate = |reply: &[u8], to: IpAddr| with_reply(reply, START, &PAYLOAD, to);
        assert_eq!(fate(&REPLY, LOCAL), Fate::Reply { ttl: Some(64) });
        assert_eq!(fate(&REPLY, IpAddr::from([127, 0, 0, 2])), Fate::Bad, "from somebody else");
        assert_eq!(fate(&changed(55, &[0]), LOCAL), Fate::Bad, "another payload");
        assert_eq!(fate(&changed(V4_SIZE_AT, &[15]), LOCAL), Fate::Bad, "cut");
        assert_eq!(fate(&changed(V4_SIZE_AT, &[17]), LOCAL), Fate::Bad, "longer than what was sent");
        let v6 = IpAddr::V6(Ipv6Addr::LOCALHOST);
        assert_eq!(fate(&reply_v6(v6, SUCCESS), v6), Fate::Reply { ttl: None });
        assert_eq!(fate(&reply_v6(v6, SUCCESS), Ipv6Addr::UNSPECIFIED.into()), Fate::Bad);
        assert_eq!(fate(&reply_v6(v6, SUCCESS)[..V6_BYTES + 15], v6), Fate::Bad);
    }

    #[test]
    fn a_data_pointer_out_of_the_buffer_is_never_followed() {
        for pointer in [0, START - 1, START, START + V4_BYTES - 1, START + V4_BYTES + 1, START + 56, usize::MAX] {
            let reply = changed(V4_DATA_AT, &pointer.to_ne_bytes());
            assert_eq!(with_reply(&reply, START, &PAYLOAD, LOCAL), Fate::Bad, "{pointer:#x}");
        }
    }

    #[test]
    fn a_buffer_of_any_length_is_read_without_a_panic() {
        for (length, to) in (0..REPLY.len()).flat_map(|length| [(length, LOCAL), (length, Ipv6Addr::LOCALHOST.into())])
        {
            assert_eq!(with_reply(&REPLY[..length], START, &PAYLOAD, to), Fate::Bad, "{length}");
            assert_eq!(without_reply(&REPLY[..length], 1_231, to), Fate::NotSent(1_231), "{length}");
        }
    }

    #[test]
    fn a_status_is_an_icmp_error_a_loss_or_a_refusal_of_this_system() {
        let router = IpAddr::from([192, 0, 2, 1]);
        let error = |icmp_type, icmp_code, from| Fate::Error(IcmpError { icmp_type, icmp_code, from: Some(from) });
        let to = IpAddr::from([240, 0, 0, 1]);
        assert_eq!(with_reply(&REFUSAL, START, &PAYLOAD, to), error(3, 3, router));
        let with = |status: u32| with_reply(&changed(V4_STATUS_AT, &status.to_ne_bytes()), START, &PAYLOAD, to);
        assert_eq!(with(TTL_EXPIRED), error(11, 0, LOCAL));
        assert_eq!(with(PACKET_TOO_BIG), error(3, 4, LOCAL));
        assert_eq!(with(TIMED_OUT), Fate::Lost);
        assert_eq!(with(11_050), Fate::NotSent(11_050), "general failure");
        let (hop, to) = (IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, 1]), IpAddr::V6(Ipv6Addr::LOCALHOST));
        let with = |status: u32| with_reply(&reply_v6(hop, status), START, &PAYLOAD, to);
        assert_eq!(with(TTL_EXPIRED), error(3, 0, hop));
        assert_eq!(with(PORT_UNREACHABLE), error(1, 4, hop));
    }

    #[test]
    fn a_call_without_a_reply_is_lost_only_by_its_timeout() {
        let to = IpAddr::from([240, 0, 0, 1]);
        let empty = [0; 56];
        assert_eq!(without_reply(&empty, TIMED_OUT, to), Fate::Lost);
        assert_eq!(without_reply(&empty, PACKET_TOO_BIG, to), Fate::NotSent(PACKET_TOO_BIG), "nobody is named");
        assert_eq!(without_reply(&empty, SUCCESS, to), Fate::NotSent(SUCCESS));
        assert!(matches!(without_reply(&REFUSAL, PORT_UNREACHABLE, to), Fate::Error(_)), "the buffer names a router");
        assert_eq!(without_reply(&REFUSAL, TTL_EXPIRED, to), Fate::NotSent(TTL_EXPIRED), "of something else");
    }
}
