//! What the fuzzer runs on any bytes, and what it begins with. Compiled for it and for tests alone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::platform::helper;
use crate::wire::icmp::{self, Inner, Message};
use crate::wire::mark;

/// What a socket received behind a byte that says of which kind it is.
pub fn icmp(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    match kind % 7 {
        0 => look(icmp::parse_v4(bytes, true)),
        1 => look(icmp::parse_v4(bytes, false)),
        2 => look(icmp::parse_v6(bytes)),
        3 => {
            if let Some((_, _, payload)) = icmp::parse_own_request(bytes) {
                assert!(payload.len() + icmp::HEADER_BYTES == bytes.len());
            }
        }
        // A raw socket has the IP header too, and the checksum is ours to check.
        4 => {
            let Ok((_, message)) = icmp::split_ipv4(bytes) else { return };
            let mut message = message.to_vec();
            look(icmp::parse_v4(&message, false));
            if icmp::claimed_echo(&message).is_some() {
                icmp::seal(&mut message);
                look(icmp::parse_v4(&message, false));
            }
        }
        5 => assert!(icmp::mpls_labels(bytes).len() * 4 <= bytes.len()),
        _ => windows(bytes),
    }
}

/// An error of a router about a packet of ours: a byte for its type, one for the length of what it quotes, the packet.
pub fn quoted(bytes: &[u8]) {
    let Some(([kind, words], packet)) = bytes.split_first_chunk() else { return };
    let is_v6 = kind & 0x80 != 0;
    let mut message = vec![kind & 0x7f, 0, 0, 0, 0, 0, 0, 0];
    message[if is_v6 { 4 } else { 5 }] = *words;
    message.extend_from_slice(packet);
    if is_v6 {
        look(icmp::parse_v6(&message));
    } else {
        icmp::seal(&mut message);
        let parsed = icmp::parse_v4(&message, false);
        assert_ne!(parsed, Err(icmp::Fault::Checksum), "it was made right");
        look(parsed);
    }
}

/// What an engine does with a message: it looks for its mark.
fn look(parsed: Result<Message<'_>, icmp::Fault>) {
    let payload = match parsed {
        Ok(Message::EchoReply { payload, .. }) => payload,
        Ok(Message::Error { quoted, mpls, .. }) => {
            assert!(mpls.len() <= usize::from(u16::MAX) / 4);
            let Inner::Echo { payload, .. } = quoted.inner else { return };
            payload
        }
        Ok(Message::Other) | Err(_) => return,
    };
    if let Some(token) = mark::claimed(payload) {
        let key = mark::Key::default();
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        assert!(
            !key.holds(token, address, payload, payload.len()) && !key.starts(token, address, payload),
            "nobody knows the key"
        );
    }
}

/// The reply buffer of the Windows helper behind a byte: IPv4 or IPv6, and where its data pointer leads.
fn windows(bytes: &[u8]) {
    let Some((flags, buffer)) = bytes.split_first() else { return };
    let to: IpAddr = if flags & 1 == 0 { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
    let payload = [0xa5; 16];
    let start = if flags & 2 == 0 { 0 } else { 0x1_4000_d040_u64 as usize };
    let _ = helper::with_reply(buffer, start, &payload, to);
    let _ = helper::without_reply(buffer, u32::from(*flags) + 11_000, to);
}

fn hex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let digits: Vec<u8> = text.bytes().filter_map(digit).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// An IPv4 packet with an echo request, as a router quotes it.
const QUOTED_ECHO: &str = "4500 002c 1234 4000 0101 0000 c612 0001 c613 0105 0800 0000 beef 0003 0001020304050607";
/// The same with UDP.
const QUOTED_UDP: &str = "4500 0080 0000 0000 0111 0000 c612 0001 c613 0105 8235 829b 0060 abcd";
/// An IPv6 packet with a hop-by-hop header and an echo request.
const QUOTED_V6: &str = "6000 0000 0018 0001 2020202020202020 2020202020202020 3030303030303030 3030303030303030
    3a00 0000 0000 0000 8000 0000 1111 2222 0001020304050607";
/// Extensions behind it: one label stack with two labels.
const LABELS: &str = "2000 0000 000c 0101 3e8f 0001 0001 0140";

/// One of each kind.
#[must_use]
pub fn icmp_seeds() -> Vec<Vec<u8>> {
    let reply = hex("0000 0000 1234 0007 00112233445566778899aabbccddeeff 1011121314151617");
    let mut error = hex(&format!("0b00 0000 0000 0000 {QUOTED_ECHO}"));
    icmp::seal(&mut error);
    let ip = hex("4500 0030 0000 4000 4001 0000 7f00 0001 7f00 0001");
    let v6_reply = [&[129][..], &reply[1..]].concat();
    let v6_error = hex(&format!("0300 0000 0000 0000 {QUOTED_V6}"));
    let helper = hex("00 7f000001 00000000 08000000 1000 0000 1c00000000000000 4000020000000000 1c00000000000000");
    let with = |kind: u8, message: &[u8]| [&[kind][..], message].concat();
    vec![
        with(0, &reply),
        with(1, &error),
        with(2, &v6_reply),
        with(2, &v6_error),
        with(3, &hex("0800 0000 beef 0003 0001020304050607")),
        with(4, &[&ip[..], &reply].concat()),
        with(4, &[&ip[..], &error].concat()),
        with(5, &hex(LABELS)),
        with(6, &[&helper[..], &[0xa5; 16]].concat()),
        with(6, &[&[1][..], &[0; 36], &[0xa5; 16]].concat()),
    ]
}

/// Errors about each protocol, with labels and without.
#[must_use]
pub fn quoted_seeds() -> Vec<Vec<u8>> {
    let with = |kind: u8, words: u8, packet: &str, labels: &str| {
        let mut bytes = hex(packet);
        if !labels.is_empty() {
            bytes.resize(128, 0);
        }
        [&[kind, words][..], &bytes, &hex(labels)].concat()
    };
    let tcp = QUOTED_UDP.replace("0111", "0106");
    vec![
        with(11, 0, QUOTED_ECHO, ""),
        with(11, 32, QUOTED_UDP, LABELS),
        with(11, 0, QUOTED_UDP, LABELS),
        with(3, 0, &tcp, ""),
        with(0x83, 0, QUOTED_V6, ""),
        with(0x81, 16, QUOTED_V6, LABELS),
    ]
}

/// A message that claims to answer our question.
pub fn dns(bytes: &[u8]) {
    crate::dns::fuzz::answer(bytes);
}

/// Answers with records of many types, an error, a cut one.
#[must_use]
pub fn dns_seeds() -> Vec<Vec<u8>> {
    let question = "07 6578616d706c65 03 636f6d 00 0001 0001";
    let answer = |flags: &str, counts: &str, records: &str| hex(&format!("abcd {flags} {counts} {question} {records}"));
    let record = |code: &str, data: &str| {
        let length = hex(data).len();
        answer("8180", "0001 0001 0000 0000", &format!("c00c {code} 0001 0000012c {length:04x} {data}"))
    };
    vec![
        record("0001", "5db8d70e"),
        record("001c", "20010db8000000000000000000000001"),
        record("0005", "03 777777 c00c"),
        record("000f", "000a 04 6d61696c c00c"),
        record("0010", "05 68656c6c6f 03 616263"),
        record("0006", "02 6e73 c00c 02 686d c00c 00000001 00000e10 00000e10 00093a80 00000e10"),
        record("0021", "0001 0002 1f90 03 737276 c00c"),
        record("0101", "00 05 6973737565 6578616d706c65"),
        record("0041", "0001 00 0001 0003 02 6832"),
        record("002b", "1234 08 02 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"),
        answer("8183", "0001 0000 0000 0000", ""),
        answer("8380", "0001 0001 0000 0000", "c00c 0001"),
        answer("8180", "0001 0000 0000 0001", "00 0029 04d0 00000000 0000"),
    ]
}

/// A response of a web server behind two bytes: how many bytes come at a time, and what was asked.
pub fn http_response(bytes: &[u8]) {
    crate::http::fuzz::response(bytes);
}

/// Responses with each framing, interim ones, redirects.
#[must_use]
pub fn http_response_seeds() -> Vec<Vec<u8>> {
    [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\n\r\nuntil the end",
        "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 302 Found\r\nLocation: https://Other.example:8443/p?q#f\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 301 Moved\r\nLocation: //[2001:db8::1]:444?q\r\n\r\n",
        "HTTP/1.1 307 Temporary\r\nLocation: ../c?d\r\n\r\n",
    ]
    .into_iter()
    .flat_map(|response| [[0, 0], [3, 1]].map(|head| [&head[..], response.as_bytes()].concat()))
    .collect()
}

/// What the other end of a bandwidth test says that it received.
pub fn bandwidth(bytes: &[u8]) {
    crate::bandwidth::fuzz::said(bytes);
}

/// A message of an ndt7 server, and results of an iperf3 server.
#[must_use]
pub fn bandwidth_seeds() -> Vec<Vec<u8>> {
    let results = r#"{"cpu_util_total":1.5,"sender_has_retransmits":1,"streams":[{"id":1,"bytes":1234,"retransmits":2},{"id":3,"bytes":99}]}"#;
    let message = r#"{"AppInfo":{"ElapsedTime":250000,"NumBytes":1234},"TCPInfo":{"RTT":9}}"#;
    vec![results.into(), message.into()]
}

/// A certificate as a server shows it.
pub fn certificate(bytes: &[u8]) {
    let _ = crate::tls::expiry(bytes);
}

#[cfg(test)]
#[path = "../../../fixtures/fuzz/kept.rs"]
mod kept;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_fuzzer_begins_with_and_what_it_found_is_taken() {
        kept::take("icmp", icmp_seeds(), icmp);
        kept::take("quoted", quoted_seeds(), quoted);
        kept::take("dns", dns_seeds(), dns);
        kept::take("http_response", http_response_seeds(), http_response);
        kept::take("bandwidth", bandwidth_seeds(), bandwidth);
        let mut expiries = 0;
        kept::take("certificate", Vec::new(), |bytes| {
            certificate(bytes);
            expiries += u32::from(crate::tls::expiry(bytes).is_some());
        });
        assert!(expiries > 0);
    }

    #[test]
    fn the_fuzzer_begins_with_messages_that_are_understood() {
        for seed in quoted_seeds() {
            let is_v6 = seed[0] & 0x80 != 0;
            let head =
                if is_v6 { [seed[0] & 0x7f, 0, 0, 0, seed[1], 0, 0, 0] } else { [seed[0], 0, 0, 0, 0, seed[1], 0, 0] };
            let message = [&head[..], &seed[2..]].concat();
            let parsed = if is_v6 { icmp::parse_v6(&message) } else { icmp::parse_v4(&message, true) };
            let Ok(Message::Error { quoted, .. }) = parsed else { panic!("{parsed:?}") };
            assert_ne!(quoted.inner, Inner::Other);
        }
    }
}
