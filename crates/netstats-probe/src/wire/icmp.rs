//! ICMP (RFC 792) and `ICMPv6` (RFC 4443) as far as probes need them: echo requests out; echo replies, and errors with
//! the packet they quote, in. Any bytes are taken: what does not parse is a [`Fault`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netstats_event::MplsLabel;

/// Bytes of an ICMP header.
pub(crate) const HEADER_BYTES: usize = 8;

const ECHO_REPLY: u8 = 0;
const UNREACHABLE: u8 = 3;
const ECHO_REQUEST: u8 = 8;
const TIME_EXCEEDED: u8 = 11;
const PARAMETER_PROBLEM: u8 = 12;
const V6_ECHO_REQUEST: u8 = 128;
const V6_ECHO_REPLY: u8 = 129;

const IPPROTO_ICMP: u8 = 1;
const IPPROTO_TCP: u8 = 6;
const IPPROTO_UDP: u8 = 17;
const IPPROTO_ICMPV6: u8 = 58;

/// Why bytes are not a message for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Too short for what it claims to be.
    Short,
    /// The checksum does not hold.
    Checksum,
    /// A header field that cannot be.
    Malformed,
}

/// A message that a probe may be waiting for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message<'a> {
    /// An echo reply.
    EchoReply { id: u16, sequence: u16, payload: &'a [u8] },
    /// An error about a packet of somebody on this machine.
    Error { icmp_type: u8, icmp_code: u8, quoted: Quoted<'a>, mpls: Vec<MplsLabel> },
    /// Anything else: requests, router advertisements.
    Other,
}

/// The packet that an error is about, as far as it is quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quoted<'a> {
    /// Where it went.
    pub(crate) destination: IpAddr,
    /// What it was.
    pub(crate) inner: Inner<'a>,
}

/// What a quoted packet carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inner<'a> {
    /// An echo request; the payload as far as it is quoted.
    Echo { id: u16, sequence: u16, payload: &'a [u8] },
    /// UDP: ports and checksum.
    Udp { source: u16, destination: u16, checksum: u16 },
    /// TCP: ports and sequence number.
    Tcp { source: u16, destination: u16, sequence: u32 },
    /// Something else.
    Other,
}

/// The fields of an IPv4 header that matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ipv4Header {
    pub(crate) source: Ipv4Addr,
    pub(crate) destination: Ipv4Addr,
    pub(crate) ttl: u8,
    pub(crate) protocol: u8,
}

/// Appends an echo request with a zeroed payload of `payload_bytes` and no checksum; returns where it starts.
pub(crate) fn push_echo_request(
    buffer: &mut Vec<u8>,
    is_v6: bool,
    id: u16,
    sequence: u16,
    payload_bytes: usize,
) -> usize {
    let start = buffer.len();
    buffer.extend_from_slice(&[if is_v6 { V6_ECHO_REQUEST } else { ECHO_REQUEST }, 0, 0, 0]);
    buffer.extend_from_slice(&id.to_be_bytes());
    buffer.extend_from_slice(&sequence.to_be_bytes());
    buffer.resize(start + HEADER_BYTES + payload_bytes, 0);
    start
}

/// Writes the checksum of an `ICMPv4` message (the kernel makes that of `ICMPv6`).
pub(crate) fn seal(message: &mut [u8]) {
    message[2..4].fill(0);
    let sum = checksum(message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
}

/// Sets the two bytes at `at` so that the message's checksum comes out as `wanted`, whatever else it holds: load
/// balancers that look at the checksum then see one flow.
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "traces of the Linux engine go by flows"))]
pub(crate) fn balance(message: &mut [u8], at: usize, wanted: u16) {
    message[2..4].fill(0);
    message[at..at + 2].fill(0);
    // One's complement: the sum of all words must be !wanted, and checksum() is the sum's negative.
    let missing = u32::from(!wanted) + u32::from(checksum(message));
    let folded = (missing & 0xffff) + (missing >> 16);
    message[at..at + 2].copy_from_slice(&(folded as u16).to_be_bytes());
}

/// The Internet checksum (RFC 1071); 0 over a message that holds its own.
pub(crate) fn checksum(bytes: &[u8]) -> u16 {
    let mut words = bytes.chunks_exact(4);
    let mut sum: u64 = words.by_ref().map(|word| u64::from(u32::from_be_bytes(word.try_into().expect("four")))).sum();
    let rest = words.remainder();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    sum += u64::from(u32::from_be_bytes(last));
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// Splits an IPv4 packet; the rest is its payload as far as it is there.
pub(crate) fn split_ipv4(packet: &[u8]) -> Result<(Ipv4Header, &[u8]), Fault> {
    let first = *packet.first().ok_or(Fault::Short)?;
    let header_bytes = usize::from(first & 0x0f) * 4;
    if first >> 4 != 4 || header_bytes < 20 {
        return Err(Fault::Malformed);
    }
    if packet.len() < header_bytes {
        return Err(Fault::Short);
    }
    let address = |at: usize| Ipv4Addr::from(<[u8; 4]>::try_from(&packet[at..at + 4]).expect("four"));
    let header = Ipv4Header { ttl: packet[8], protocol: packet[9], source: address(12), destination: address(16) };
    Ok((header, &packet[header_bytes..]))
}

/// Parses an `ICMPv4` message. `is_checked`: the kernel has checked the checksum (datagram sockets); else it is checked
/// here.
pub(crate) fn parse_v4(message: &[u8], is_checked: bool) -> Result<Message<'_>, Fault> {
    if message.len() < HEADER_BYTES {
        return Err(Fault::Short);
    }
    if !is_checked && checksum(message) != 0 {
        return Err(Fault::Checksum);
    }
    Ok(match message[0] {
        ECHO_REPLY => echo_reply(message),
        UNREACHABLE | TIME_EXCEEDED | PARAMETER_PROBLEM => {
            let body = &message[HEADER_BYTES..];
            // RFC 4884: the length of the quoted packet in 32-bit words; extensions follow it.
            let (quoted, extensions) = split_extensions(body, usize::from(message[5]) * 4);
            Message::Error {
                icmp_type: message[0],
                icmp_code: message[1],
                quoted: quoted_v4(quoted)?,
                mpls: mpls_labels(extensions),
            }
        }
        _ => Message::Other,
    })
}

/// Parses an `ICMPv6` message, whose checksum the kernel has checked.
pub(crate) fn parse_v6(message: &[u8]) -> Result<Message<'_>, Fault> {
    if message.len() < HEADER_BYTES {
        return Err(Fault::Short);
    }
    Ok(match message[0] {
        V6_ECHO_REPLY => echo_reply(message),
        1..=4 => {
            let body = &message[HEADER_BYTES..];
            // RFC 4884: in 64-bit words for ICMPv6, and only where the field exists (types 1 and 3).
            let words = if matches!(message[0], 1 | 3) { usize::from(message[4]) * 8 } else { 0 };
            let (quoted, extensions) = split_extensions(body, words);
            Message::Error {
                icmp_type: message[0],
                icmp_code: message[1],
                quoted: quoted_v6(quoted)?,
                mpls: mpls_labels(extensions),
            }
        }
        _ => Message::Other,
    })
}

fn echo_reply(message: &[u8]) -> Message<'_> {
    Message::EchoReply { id: be16(message, 4), sequence: be16(message, 6), payload: &message[HEADER_BYTES..] }
}

/// An echo request as it lies in an error queue: an ICMP message without an IP header.
pub(crate) fn parse_own_request(message: &[u8]) -> Option<(u16, u16, &[u8])> {
    let is_request = matches!(message.first(), Some(&(ECHO_REQUEST | V6_ECHO_REQUEST)));
    (is_request && message.len() >= HEADER_BYTES).then(|| (be16(message, 4), be16(message, 6), &message[8..]))
}

/// The id and sequence number that a message with a broken checksum claims, if it claims to be an echo reply.
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "the Linux engine alone sees broken replies"))]
pub(crate) fn claimed_echo(message: &[u8]) -> Option<(u16, u16)> {
    let is_reply = matches!(message.first(), Some(&(ECHO_REPLY | V6_ECHO_REPLY)));
    (is_reply && message.len() >= HEADER_BYTES).then(|| (be16(message, 4), be16(message, 6)))
}

fn quoted_v4(packet: &[u8]) -> Result<Quoted<'_>, Fault> {
    let (header, rest) = split_ipv4(packet)?;
    Ok(Quoted { destination: header.destination.into(), inner: inner(header.protocol, rest)? })
}

fn quoted_v6(packet: &[u8]) -> Result<Quoted<'_>, Fault> {
    const FIXED: usize = 40;
    if packet.len() < FIXED {
        return Err(Fault::Short);
    }
    if packet[0] >> 4 != 6 {
        return Err(Fault::Malformed);
    }
    let destination = Ipv6Addr::from(<[u8; 16]>::try_from(&packet[24..40]).expect("sixteen"));
    let (mut next, mut rest) = (packet[6], &packet[FIXED..]);
    // Extension headers (RFC 8200): hop-by-hop, routing, destination options, fragment.
    while matches!(next, 0 | 43 | 44 | 60) {
        let length = if next == 44 { 8 } else { usize::from(*rest.get(1).ok_or(Fault::Short)?) * 8 + 8 };
        next = *rest.first().ok_or(Fault::Short)?;
        rest = rest.get(length..).ok_or(Fault::Short)?;
    }
    Ok(Quoted { destination: destination.into(), inner: inner(next, rest)? })
}

fn inner(protocol: u8, rest: &[u8]) -> Result<Inner<'_>, Fault> {
    if rest.len() < HEADER_BYTES {
        return Err(Fault::Short);
    }
    Ok(match protocol {
        IPPROTO_ICMP | IPPROTO_ICMPV6 => parse_own_request(rest)
            .map_or(Inner::Other, |(id, sequence, payload)| Inner::Echo { id, sequence, payload }),
        IPPROTO_UDP => Inner::Udp { source: be16(rest, 0), destination: be16(rest, 2), checksum: be16(rest, 6) },
        IPPROTO_TCP => Inner::Tcp {
            source: be16(rest, 0),
            destination: be16(rest, 2),
            sequence: u32::from_be_bytes(rest[4..8].try_into().expect("four")),
        },
        _ => Inner::Other,
    })
}

/// Cuts the body of an error into the quoted packet and the extensions behind it (RFC 4884). Routers that do not set
/// the length put extensions after 128 bytes, if at all.
fn split_extensions(body: &[u8], length: usize) -> (&[u8], &[u8]) {
    match length {
        0 if body.len() > 128 && is_extension(&body[128..]) => body.split_at(128),
        0 => (body, &[]),
        length if length <= body.len() => body.split_at(length),
        _ => (body, &[]),
    }
}

/// Version 2 and a checksum that holds (or is not used).
fn is_extension(bytes: &[u8]) -> bool {
    bytes.len() >= 4 && bytes[0] >> 4 == 2 && (bytes[2..4] == [0, 0] || checksum(bytes) == 0)
}

/// The label stack (RFC 4950: class 1, type 1) of the extensions; empty if there is none.
pub(crate) fn mpls_labels(extensions: &[u8]) -> Vec<MplsLabel> {
    if !is_extension(extensions) {
        return Vec::new();
    }
    let mut rest = &extensions[4..];
    while rest.len() >= 4 {
        let length = usize::from(be16(rest, 0));
        let Some(object) = rest.get(4..length) else { break };
        if rest[2..4] == [1, 1] {
            return object.chunks_exact(4).map(label).collect();
        }
        rest = &rest[length..];
    }
    Vec::new()
}

fn label(entry: &[u8]) -> MplsLabel {
    let word = u32::from_be_bytes(entry.try_into().expect("four"));
    MplsLabel { label: word >> 12, traffic_class: (word >> 9) as u8 & 7, is_bottom: word & 0x100 != 0, ttl: word as u8 }
}

fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    #[test]
    fn the_checksum_is_that_of_rfc_1071() {
        assert_eq!(checksum(&hex("0001 f203 f4f5 f6f7")), !0xddf2);
        assert_eq!(checksum(&hex("0001 f203 f4f5 f6")), !0xdcfb, "an odd byte is padded on the right");
        assert_eq!(checksum(&[]), 0xffff);
    }

    #[test]
    fn a_request_is_sealed_and_comes_back_as_a_reply() {
        let mut packet = Vec::new();
        push_echo_request(&mut packet, false, 0x1234, 7, 11);
        packet[8..].copy_from_slice(b"hello world");
        seal(&mut packet);
        assert_eq!(parse_own_request(&packet), Some((0x1234, 7, &b"hello world"[..])));
        assert_eq!(parse_v4(&packet, false), Ok(Message::Other), "a request is not an answer");
        packet[0] = ECHO_REPLY;
        seal(&mut packet);
        let reply = Message::EchoReply { id: 0x1234, sequence: 7, payload: b"hello world" };
        assert_eq!(parse_v4(&packet, false), Ok(reply.clone()));
        packet[12] ^= 1;
        assert_eq!(parse_v4(&packet, false), Err(Fault::Checksum));
        assert_eq!(parse_v4(&packet[..7], true), Err(Fault::Short));
        packet[12] ^= 1;
        packet[0] = V6_ECHO_REPLY;
        assert_eq!(parse_v6(&packet), Ok(reply));
    }

    /// As a Linux router sends it (RFC 1812: the whole packet is quoted), laid out by hand.
    #[test]
    fn a_time_exceeded_names_the_packet_it_is_about() {
        let mut message = hex("0b00 0000 0000 0000
             4500 002c 1234 4000 0101 0000 c612 0001 c613 0105
             0800 0000 beef 0003 0001020304050607");
        seal(&mut message);
        let Ok(Message::Error { icmp_type: 11, icmp_code: 0, quoted, mpls }) = parse_v4(&message, false) else {
            panic!("{:?}", parse_v4(&message, false))
        };
        assert_eq!(quoted.destination, "198.19.1.5".parse::<IpAddr>().unwrap());
        let payload = &[0, 1, 2, 3, 4, 5, 6, 7][..];
        assert_eq!(quoted.inner, Inner::Echo { id: 0xbeef, sequence: 3, payload });
        assert!(mpls.is_empty());
    }

    #[test]
    fn labels_are_read_behind_the_quoted_packet() {
        // Length 32 words = 128 bytes of quoted packet, then an extension header and one stack of two labels.
        let mut message = hex("0b00 0000 0020 0000");
        message.extend(hex("4500 0080 0000 0000 0111 0000 c612 0001 c613 0105 8235 829b 0060 abcd"));
        message.resize(8 + 128, 0);
        message.extend(hex("2000 0000 000c 0101 3e8f 0001 0001 0140"));
        seal(&mut message);
        let Ok(Message::Error { quoted, mpls, .. }) = parse_v4(&message, false) else { panic!() };
        assert_eq!(quoted.inner, Inner::Udp { source: 0x8235, destination: 0x829b, checksum: 0xabcd });
        assert_eq!(
            mpls,
            [
                MplsLabel { label: 0x3e8f0, traffic_class: 0, is_bottom: false, ttl: 1 },
                MplsLabel { label: 0x10, traffic_class: 0, is_bottom: true, ttl: 0x40 },
            ]
        );
    }

    #[test]
    fn extension_headers_of_a_quoted_ipv6_packet_are_skipped() {
        let mut message = hex("0300 0000 0000 0000");
        message.extend(hex("6000 0000 0018 0001"));
        message.extend([0x20; 16]);
        message.extend([0x30; 16]);
        message.extend(hex("3a00 0000 0000 0000")); // hop-by-hop, then ICMPv6
        message.extend(hex("8000 0000 1111 2222"));
        let Ok(Message::Error { icmp_type: 3, quoted, .. }) = parse_v6(&message) else { panic!() };
        assert_eq!(quoted.destination, IpAddr::from([0x30; 16]));
        assert_eq!(quoted.inner, Inner::Echo { id: 0x1111, sequence: 0x2222, payload: &[] });
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse_v4(&bytes, true);
            let _ = parse_v4(&bytes, false);
            let _ = parse_v6(&bytes);
            let _ = split_ipv4(&bytes);
            let _ = parse_own_request(&bytes);
        }

        #[test]
        fn any_error_body_is_taken(kind in 0_u8..20, words in 0_u8..40, mut bytes in proptest::collection::vec(any::<u8>(), 28..400)) {
            (bytes[0], bytes[5], bytes[8]) = (kind, words, 0x45);
            seal(&mut bytes);
            let _ = parse_v4(&bytes, false);
            (bytes[4], bytes[8]) = (words, 0x60);
            let _ = parse_v6(&bytes);
        }

        #[test]
        fn a_balanced_message_has_the_checksum_asked_for(mut bytes in proptest::collection::vec(any::<u8>(), 10..80), wanted in 1_u16..0xffff) {
            bytes[0] = ECHO_REQUEST;
            balance(&mut bytes, 8, wanted);
            seal(&mut bytes);
            prop_assert_eq!(be16(&bytes, 2), wanted);
        }

        #[test]
        fn a_sealed_message_holds(mut bytes in proptest::collection::vec(any::<u8>(), 8..200)) {
            seal(&mut bytes);
            prop_assert_eq!(checksum(&bytes), 0);
        }
    }
}
