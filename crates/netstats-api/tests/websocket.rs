//! RFC 6455 case by case, in the order and with the numbers of the Autobahn test suite: framing, pings, reserved bits and
//! opcodes, fragments, UTF-8, closing, sizes. Where Autobahn waits for an echo, the protocol of `/ws` answers: each text
//! gets exactly one message, `{"op":"ping"}` (with spaces up to the length wanted) a pong of ours, anything else an error.

mod support;

use std::fmt::Write as _;

use serde_json::Value;
use support::ws::{frame, raw};
use support::{BOUND, Server, start};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
const FIN: u8 = 0x80;

/// What a server said until it closed.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    /// Types of its messages, after the greeting.
    texts: Vec<String>,
    pongs: Vec<Vec<u8>>,
    /// The code of its close frame; 1005 for one without.
    close: Option<u16>,
}

impl Said {
    /// Nothing but a close with this code.
    fn closed(code: u16) -> Self {
        Self { close: Some(code), ..Self::default() }
    }

    /// This many answers to our pings in JSON, and the close that we asked for.
    fn answered(times: usize) -> Self {
        Self { texts: vec!["pong".to_owned(); times], ..Self::closed(1_000) }
    }

    fn ponged(mut self, payloads: &[&[u8]]) -> Self {
        self.pongs = payloads.iter().map(|payload| payload.to_vec()).collect();
        self
    }
}

/// Frames, in how many bytes at a time they are sent (0: each as it is), and what has to come of it.
struct Case {
    number: String,
    frames: Vec<Vec<u8>>,
    chop: usize,
    expected: Said,
}

fn case(number: impl Into<String>, frames: Vec<Vec<u8>>, expected: Said) -> Case {
    Case { number: number.into(), frames, chop: 0, expected }
}

/// The same, and that we go afterwards.
fn good(number: impl Into<String>, mut frames: Vec<Vec<u8>>, expected: Said) -> Case {
    frames.push(frame(FIN | CLOSE, &1_000_u16.to_be_bytes()));
    case(number, frames, expected)
}

impl Case {
    fn chopped(mut self, chop: usize) -> Self {
        write!(self.number, " in pieces of {chop}").unwrap();
        self.chop = chop;
        self
    }
}

/// `{"op":"ping"}`, this long.
fn ping_text(bytes: usize) -> Vec<u8> {
    let spaces = bytes.checked_sub(13).expect("as long as the shortest");
    format!("{{\"op\":\"ping\"{}}}", " ".repeat(spaces)).into_bytes()
}

/// A frame under a mask that is not zero.
fn masked(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut bytes = frame(first, payload);
    let start = bytes.len() - payload.len();
    bytes[start - 4..start].copy_from_slice(&mask);
    bytes[start..].iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    bytes
}

/// A text in frames of these payloads.
fn fragments<'p>(parts: impl IntoIterator<Item = &'p [u8]>) -> Vec<Vec<u8>> {
    let parts: Vec<_> = parts.into_iter().collect();
    let frames = parts.iter().enumerate().map(|(i, part)| {
        let opcode = if i == 0 { TEXT } else { CONTINUATION };
        frame(if i + 1 == parts.len() { FIN | opcode } else { opcode }, part)
    });
    frames.collect()
}

fn framing() -> Vec<Case> {
    let mut cases =
        vec![good("1.1.1", vec![frame(FIN | TEXT, b"")], Said { texts: vec!["error".into()], ..Said::closed(1_000) })];
    for (i, bytes) in [13, 125, 126, 127, 128, 65_535, 65_536].into_iter().enumerate() {
        let text = || vec![frame(FIN | TEXT, &ping_text(bytes))];
        cases.push(good(format!("1.1.{} of {bytes}", i + 2), text(), Said::answered(1)));
        cases.push(good(format!("1.1.{} of {bytes}", i + 2), text(), Said::answered(1)).chopped(997));
        let masks = [[1, 2, 3, 4], [0xff; 4], [0x80, 0, 0, 0x7f]];
        for mask in masks {
            let text = vec![masked(FIN | TEXT, &ping_text(bytes), mask)];
            cases.push(good(format!("1.1.{} of {bytes} under {mask:?}", i + 2), text, Said::answered(1)));
        }
    }
    // Ours is a protocol of text.
    for (i, bytes) in [0, 125, 126, 127, 128, 65_535, 65_536].into_iter().enumerate() {
        let binary = vec![frame(FIN | BINARY, &vec![0xfe; bytes])];
        cases.push(case(format!("1.2.{} of {bytes}", i + 1), binary, Said::closed(1_003)));
    }
    cases
}

fn pings() -> Vec<Case> {
    let all: Vec<u8> = (0..125).collect();
    let mut cases = Vec::new();
    for (i, payload) in
        [&b""[..], b"Hello, world!", &[0x00, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0x00, 0xff], &all].into_iter().enumerate()
    {
        cases.push(good(
            format!("2.{}", i + 1),
            vec![frame(FIN | PING, payload)],
            Said::answered(0).ponged(&[payload]),
        ));
    }
    cases.push(case("2.5", vec![frame(FIN | PING, &[0; 126])], Said::closed(1_002)));
    cases.push(good("2.6", vec![frame(FIN | PING, &all)], Said::answered(0).ponged(&[&all])).chopped(1));
    cases.push(good("2.7", vec![frame(FIN | PONG, b"")], Said::answered(0)));
    cases.push(good("2.8", vec![frame(FIN | PONG, b"unasked")], Said::answered(0)));
    let after = vec![frame(FIN | PONG, b"unasked"), frame(FIN | PING, b"asked")];
    cases.push(good("2.9", after, Said::answered(0).ponged(&[b"asked"])));
    let ten: Vec<Vec<u8>> = (0..10).map(|i| format!("payload-{i}").into_bytes()).collect();
    let payloads: Vec<&[u8]> = ten.iter().map(Vec::as_slice).collect();
    let frames = || ten.iter().map(|payload| frame(FIN | PING, payload)).collect();
    cases.push(good("2.10", frames(), Said::answered(0).ponged(&payloads)));
    cases.push(good("2.11", frames(), Said::answered(0).ponged(&payloads)).chopped(1));
    cases
}

fn reserved() -> Vec<Case> {
    let mut cases = Vec::new();
    let text = frame(FIN | TEXT, &ping_text(13));
    for bits in 1..=7_u8 {
        for (name, opcode, payload) in [
            ("text", TEXT, &b"{}"[..]),
            ("binary", BINARY, b"x"),
            ("ping", PING, b""),
            ("pong", PONG, b"x"),
            ("close", CLOSE, b"\x03\xe8"),
        ] {
            let wrong = frame(FIN | bits << 4 | opcode, payload);
            cases.push(case(format!("3.{bits} on a {name}"), vec![wrong.clone()], Said::closed(1_002)));
            let after = Said { close: Some(1_002), ..Said::answered(1) };
            cases.push(case(format!("3.{bits} on a {name} after a text"), vec![text.clone(), wrong.clone()], after));
            let after = Said { close: Some(1_002), ..Said::answered(1) };
            let both = vec![[&text[..], &wrong].concat()];
            cases.push(case(format!("3.{bits} on a {name} with a text"), both, after).chopped(1));
        }
    }
    for (part, opcodes) in [(1, 3..=7), (2, 11..=15)] {
        for opcode in opcodes {
            for payload in [&b""[..], b"payload"] {
                let wrong = frame(FIN | opcode, payload);
                let name = format!("4.{part} opcode {opcode}, {} bytes", payload.len());
                cases.push(case(name.clone(), vec![wrong.clone()], Said::closed(1_002)));
                let after = Said { close: Some(1_002), ..Said::answered(1) };
                cases.push(case(format!("{name}, after a text"), vec![text.clone(), wrong], after));
            }
        }
    }
    cases
}

fn fragmented() -> Vec<Case> {
    let text = ping_text(40);
    let (one, two) = text.split_at(17);
    let mut cases = vec![
        case("5.1", vec![frame(PING, b"a"), frame(FIN | CONTINUATION, b"b")], Said::closed(1_002)),
        case("5.2", vec![frame(PONG, b"a"), frame(FIN | CONTINUATION, b"b")], Said::closed(1_002)),
        case("a close in fragments", vec![frame(CLOSE, b"\x03")], Said::closed(1_002)),
    ];
    for (number, chop) in [("5.3", 0), ("5.4", 2_048), ("5.5", 1)] {
        cases.push(good(number, fragments([one, two]), Said::answered(1)).chopped(chop));
    }
    for (number, chop) in [("5.6", 0), ("5.7", 2_048), ("5.8", 1)] {
        let between = vec![frame(TEXT, one), frame(FIN | PING, b"between"), frame(FIN | CONTINUATION, two)];
        cases.push(good(number, between, Said::answered(1).ponged(&[b"between"])).chopped(chop));
    }
    let whole = frame(FIN | TEXT, &text);
    for (number, first, chop) in
        [("5.9", FIN, 0), ("5.10", FIN, 2_048), ("5.11", FIN, 1), ("5.12", 0, 0), ("5.13", 0, 2_048), ("5.14", 0, 1)]
    {
        let frames = vec![frame(first | CONTINUATION, b"of nothing")];
        cases.push(case(number, frames, Said::closed(1_002)).chopped(chop));
    }
    let after = || Said { close: Some(1_002), ..Said::answered(1) };
    let mut more = fragments([one, two]);
    more.push(frame(CONTINUATION, b"more"));
    cases.push(case("5.15", more, after()));
    for (number, fin) in [("5.16", 0), ("5.17", FIN)] {
        cases.push(case(number, vec![frame(fin | CONTINUATION, b"a")], Said::closed(1_002)));
    }
    cases.push(case("5.18", vec![frame(TEXT, one), frame(FIN | TEXT, two)], Said::closed(1_002)));
    cases.push(case("a binary inside a text", vec![frame(TEXT, one), frame(FIN | BINARY, two)], Said::closed(1_002)));
    let five = [&text[..8], &text[8..16], &text[16..24], &text[24..32], &text[32..]];
    for (number, chop) in [("5.19", 0), ("5.20", 1)] {
        let mut frames = fragments(five);
        frames.insert(2, frame(FIN | PING, b"first"));
        frames.insert(5, frame(FIN | PING, b"second"));
        cases.push(good(number, frames, Said::answered(1).ponged(&[b"first", b"second"])).chopped(chop));
    }
    cases.push(good(
        "empty fragments between",
        fragments([&b""[..], &text[..9], b"", b"", &text[9..], b""]),
        Said::answered(1),
    ));
    cases.push(good("a fragment of each byte", fragments(text.chunks(1)), Said::answered(1)));
    cases.push(good("one text after another", vec![whole.clone(), whole], Said::answered(2)));
    cases
}

/// After M. Kuhn's "UTF-8 decoder capability and stress test": sequences that are right, and those that are not.
const RIGHT: [&[u8]; 12] = [
    "κόσμε".as_bytes(),
    b"\x00",
    b"\xc2\x80",
    b"\xe0\xa0\x80",
    b"\xf0\x90\x80\x80",
    b"\x7f",
    b"\xdf\xbf",
    b"\xef\xbf\xbf",
    b"\xed\x9f\xbf",
    b"\xee\x80\x80",
    b"\xef\xbf\xbd",
    b"\xf4\x8f\xbf\xbf",
];
const WRONG: [&[u8]; 30] = [
    b"\xf4\x90\x80\x80",
    b"\xf8\x88\x80\x80\x80",
    b"\xfc\x84\x80\x80\x80\x80",
    b"\xf7\xbf\xbf\xbf",
    b"\xfb\xbf\xbf\xbf\xbf",
    b"\xfd\xbf\xbf\xbf\xbf\xbf",
    b"\x80",
    b"\xbf",
    b"\x80\xbf",
    b"\x80\xbf\x80\xbf\x80\xbf",
    b"\xc0 \xc1 \xc2 \xdf ",
    b"\xe0 \xef ",
    b"\xf0 \xf4 ",
    b"\xce",
    b"\xe0\xa0",
    b"\xf0\x90\x80",
    b"\xfe",
    b"\xff",
    b"\xfe\xfe\xff\xff",
    b"\xc0\xaf",
    b"\xe0\x80\xaf",
    b"\xf0\x80\x80\xaf",
    b"\xc1\xbf",
    b"\xe0\x9f\xbf",
    b"\xf0\x8f\xbf\xbf",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xed\xbf\xbf",
    b"\xed\xa0\x80\xed\xb0\x80",
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
];

fn utf8() -> Vec<Case> {
    let mut cases = Vec::new();
    let error = || Said { texts: vec!["error".into()], ..Said::closed(1_000) };
    for bytes in RIGHT {
        let text = [b"\"", bytes, b"\""].concat();
        let name = format!("6, right: {}", text.escape_ascii());
        cases.push(good(name.clone(), vec![frame(FIN | TEXT, &text)], error()));
        cases.push(good(name.clone(), fragments(text.chunks(1)), error()));
        cases.push(good(name, vec![frame(FIN | TEXT, &text)], error()).chopped(1));
    }
    for bytes in WRONG {
        let text = [b"\"", bytes, b"\""].concat();
        let name = format!("6, wrong: {}", text.escape_ascii());
        cases.push(case(name.clone(), vec![frame(FIN | TEXT, &text)], Said::closed(1_007)));
        cases.push(case(format!("{name} at the end"), vec![frame(FIN | TEXT, bytes)], Said::closed(1_007)));
        cases.push(case(name, vec![frame(FIN | TEXT, &text)], Said::closed(1_007)).chopped(1));
    }
    // What begins in one fragment and does not go on in the next.
    cases.push(case("6.3", vec![frame(TEXT, b"\xce"), frame(FIN | CONTINUATION, b"x")], Said::closed(1_007)));
    for byte in 0x80..=0xff_u8 {
        cases.push(case(
            format!("6, the byte {byte:#04x} alone"),
            vec![frame(FIN | TEXT, &[byte])],
            Said::closed(1_007),
        ));
    }
    cases
}

fn closing() -> Vec<Case> {
    let close = |code: u16, reason: &[u8]| frame(FIN | CLOSE, &[&code.to_be_bytes()[..], reason].concat());
    let text = frame(FIN | TEXT, &ping_text(13));
    let mut cases = vec![
        good("7.1.1", vec![text.clone()], Said::answered(1)),
        good("7.1.2", vec![close(1_000, b"")], Said::answered(0)),
        good("7.1.3", vec![close(1_000, b""), frame(FIN | PING, b"late")], Said::answered(0)),
        good("7.1.4", vec![close(1_000, b""), text.clone()], Said::answered(0)),
        good("7.1.5", vec![frame(TEXT, b"{"), close(1_000, b""), frame(FIN | CONTINUATION, b"}")], Said::answered(0)),
        case("7.3.1", vec![frame(FIN | CLOSE, b"")], Said::closed(1_005)),
        case("7.3.2", vec![frame(FIN | CLOSE, b"\x03")], Said::closed(1_002)),
        case("7.3.3", vec![close(1_000, b"")], Said::closed(1_000)),
        case("7.3.4", vec![close(1_000, b"goodbye")], Said::closed(1_000)),
        case("7.3.5", vec![close(1_000, &[b'*'; 123])], Said::closed(1_000)),
        case("7.3.6", vec![close(1_000, &[b'*'; 124])], Said::closed(1_002)),
        case("7.5.1", vec![close(1_000, b"\xce\xba\xe1\xbd\xb9\xed\xa0\x80edited")], Said::closed(1_007)),
    ];
    for code in [1_000, 1_001, 1_002, 1_003, 1_007, 1_008, 1_009, 1_010, 1_011, 3_000, 3_999, 4_000, 4_999] {
        cases.push(case(format!("7.7 with {code}"), vec![close(code, b"")], Said::closed(code)));
        cases.push(case(format!("7.7 with {code}"), vec![close(code, b"why")], Said::closed(code)).chopped(1));
    }
    for code in [0, 999, 1_004, 1_005, 1_006, 1_016, 1_100, 2_000, 2_999, 5_000, 65_535] {
        cases.push(case(format!("7.9 with {code}"), vec![close(code, b"")], Said::closed(1_002)));
    }
    cases
}

fn sizes() -> Vec<Case> {
    let whole = ping_text(65_536);
    let mut cases = Vec::new();
    for size in [64, 256, 1_300, 4_096, 65_535] {
        // A limit of messages counts messages, not frames.
        cases.push(good(format!("9 in fragments of {size}"), fragments(whole.chunks(size)), Said::answered(1)));
    }
    let header = |length: u64| [&[FIN | TEXT, 0xff][..], &length.to_be_bytes(), &[0; 4]].concat();
    for length in [65_537, 1 << 20, 16 << 20, 1 << 32, (1 << 63) - 1] {
        cases.push(case(format!("a frame said to be of {length} bytes"), vec![header(length)], Said::closed(1_009)));
    }
    // Not a length at all (5.2); told as what it is besides: too much.
    cases.push(case("a length with its highest bit", vec![header(1 << 63)], Said::closed(1_009)));
    cases.push(case("no mask", vec![vec![FIN | TEXT, 2, b'{', b'}']], Said::closed(1_002)));
    cases.push(case("no mask on a ping", vec![vec![FIN | PING, 0]], Said::closed(1_002)));
    cases.push(case("no mask on a close", vec![vec![FIN | CLOSE, 0]], Said::closed(1_002)));
    cases
}

/// Sends a case and hears everything until the end.
async fn run(server: &Server, case: &Case) -> Said {
    let mut stream = raw(server).await;
    stream.set_nodelay(true).unwrap();
    for frame in &case.frames {
        let piece = if case.chop == 0 { frame.len() } else { case.chop };
        for bytes in frame.chunks(piece) {
            if stream.write_all(bytes).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    let mut bytes = Vec::new();
    let _ = tokio::time::timeout(BOUND, stream.read_to_end(&mut bytes)).await.expect("the server ends it");
    heard(&bytes, &case.number)
}

/// Frames of a server: whole, without a mask, nothing after the close.
fn heard(mut bytes: &[u8], number: &str) -> Said {
    let mut said = Said::default();
    while let [first, length, rest @ ..] = bytes {
        assert_eq!(first & 0xf0, FIN, "{number}: a frame in parts or with a reserved bit");
        assert!(said.close.is_none(), "{number}: more after the close");
        let (length, rest) = match length {
            0..=125 => (usize::from(*length), rest),
            126 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
            _ => panic!("{number}: a mask, or a length that we never need"),
        };
        let (payload, rest) = rest.split_at(length);
        match first & 0x0f {
            TEXT => {
                let json: Value = serde_json::from_slice(payload).unwrap();
                said.texts.push(json["type"].as_str().unwrap().to_owned());
            }
            PONG => said.pongs.push(payload.to_vec()),
            CLOSE => said.close = Some(payload.get(..2).map_or(1_005, |code| u16::from_be_bytes([code[0], code[1]]))),
            other => panic!("{number}: opcode {other}"),
        }
        bytes = rest;
    }
    if !said.texts.is_empty() {
        assert_eq!(said.texts.remove(0), "hello", "{number}");
    }
    said
}

#[tokio::test]
async fn every_case_comes_out_as_the_standard_says() {
    let server = start().await;
    let cases: Vec<Case> =
        [framing(), pings(), reserved(), fragmented(), utf8(), closing(), sizes()].into_iter().flatten().collect();
    let mut wrong = Vec::new();
    for case in &cases {
        let said = run(&server, case).await;
        if said != case.expected {
            wrong.push(format!("{}: {said:?}, not {:?}", case.number, case.expected));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert!(cases.len() >= 500, "{} cases", cases.len());
    server.get("/api/health").await.is(200);
    server.stop().await;
}
