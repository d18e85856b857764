//! One spelling for each host.
//!
//! Programs disagree on what `0177.0.0.1`, `127.1` or `2130706433` mean (`inet_aton` reads all three as 127.0.0.1),
//! and a rule that is checked on one reading is passed by another. So what is not the one plain spelling is refused,
//! with the plain spelling as the hint.

use std::net::{Ipv4Addr, Ipv6Addr};

use netstats_event::MAX_HOST_CHARS;

use crate::command::Rejection;

/// Characters of one label of a host name (RFC 1035).
const MAX_LABEL_CHARS: usize = 63;
/// Characters of an interface name (Linux: 15; others name interfaces longer).
const MAX_ZONE_CHARS: usize = 32;

/// The canonical form of an address or host name as a user may type it: names in lower case without the last dot,
/// IPv4 in dotted decimal, IPv6 by RFC 5952 without brackets, an IPv4-mapped address as IPv4, a link-local address
/// with its interface.
///
/// # Errors
/// Not a host, or one written in a way that programs read differently.
pub fn canonical_host(text: &str) -> Result<String, Rejection> {
    let text = text.trim_matches(' ');
    if text.is_empty() {
        return Err(refuse("it is empty"));
    }
    if let Some(bad) = text.chars().find(|c| c.is_control() || c.is_whitespace()) {
        return Err(refuse(format!("it holds the character {}", bad.escape_default())));
    }
    if text.contains("://") {
        return Err(refuse("it is a URL").hinting("give the host name alone; port and path are fields of their own"));
    }
    if text.contains('@') {
        return Err(refuse("it holds a user name").hinting("give the part after the @"));
    }
    if let Some((address, _)) = text.split_once('/') {
        let hint = if address.parse::<std::net::IpAddr>().is_ok() {
            "a destination is one address, not a range of them"
        } else {
            "give the part before the /"
        };
        return Err(refuse("it holds a /").hinting(hint));
    }
    match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            // In brackets, as in a URL, the zone's % is itself written %25 (RFC 6874).
            Some((inside, "")) => ipv6(&inside.replacen("%25", "%", 1)),
            Some((inside, _)) => {
                Err(refuse("it holds more than an address").hinting(format!("give {inside:?}, and the port in `port`")))
            }
            None => Err(refuse("a bracket is not closed")),
        },
        None => match text.split_once(':') {
            None => name_or_ipv4(text),
            Some((host, port)) if !port.contains(':') && !port.is_empty() => {
                Err(refuse("it holds a port").hinting(format!("give {host:?}, and the port in `port`")))
            }
            Some(_) => ipv6(text),
        },
    }
}

fn refuse(why: impl std::fmt::Display) -> Rejection {
    Rejection::invalid("host", format!("not a host: {why}"))
        .accepting(format!("an IPv4 address, an IPv6 address, or a host name of at most {MAX_HOST_CHARS} characters"))
}

fn ipv6(text: &str) -> Result<String, Rejection> {
    let (address, zone) = text.split_once('%').map_or((text, None), |(address, zone)| (address, Some(zone)));
    let address: Ipv6Addr = address.parse().map_err(|_| refuse("it is not an IPv6 address"))?;
    if let Some(v4) = address.to_ipv4_mapped() {
        return match zone {
            None => one_machine_v4(v4),
            Some(_) => Err(refuse("an IPv4 address has no interface")),
        };
    }
    if address.is_unspecified() || address.is_multicast() {
        return Err(refuse("it is not the address of one machine"));
    }
    match zone {
        None if address.is_unicast_link_local() => {
            Err(refuse("a link-local address is one on each link")
                .hinting(format!("name the interface: {address}%eth0")))
        }
        None => Ok(address.to_string()),
        Some(_) if !address.is_unicast_link_local() => {
            Err(refuse("only a link-local address takes an interface").hinting(format!("give {address}")))
        }
        Some(zone) => {
            let right = (1..=MAX_ZONE_CHARS).contains(&zone.len())
                && zone.bytes().all(|c| c.is_ascii_alphanumeric() || b"._-".contains(&c));
            if right {
                Ok(format!("{address}%{zone}"))
            } else {
                Err(refuse("the interface after the % has no such name"))
            }
        }
    }
}

fn one_machine_v4(address: Ipv4Addr) -> Result<String, Rejection> {
    if address.octets()[0] == 0 || address.is_broadcast() || address.is_multicast() {
        return Err(refuse("it is not the address of one machine"));
    }
    Ok(address.to_string())
}

fn name_or_ipv4(text: &str) -> Result<String, Rejection> {
    if !text.is_ascii() {
        return Err(refuse("it holds characters beyond ASCII")
            .hinting("write an international name in its ASCII form, each such label starting with xn--"));
    }
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    if name.len() > MAX_HOST_CHARS {
        return Err(refuse(format!("it has {} characters", name.len())));
    }
    for label in name.split('.') {
        if label.is_empty() {
            return Err(refuse("a label between dots is empty"));
        }
        if label.len() > MAX_LABEL_CHARS {
            return Err(refuse(format!(
                "the label {label:?} has {} characters, {MAX_LABEL_CHARS} at most",
                label.len()
            )));
        }
        if let Some(bad) = label.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_')) {
            return Err(refuse(format!("it holds the character {bad:?}")));
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err(refuse(format!("the label {label:?} starts or ends with a hyphen")));
        }
    }
    // A name whose last label is a number is an address for some programs (WHATWG URL, "ends in a number").
    if name.rsplit('.').next().is_some_and(is_number) {
        return match name.parse::<Ipv4Addr>() {
            Ok(address) => one_machine_v4(address),
            Err(_) => {
                let refusal = refuse("an IPv4 address is four decimal numbers, without leading zeros");
                Err(match as_inet_aton(&name) {
                    Some(address) => refusal.hinting(format!("did you mean {address}?")),
                    None => refusal,
                })
            }
        };
    }
    Ok(name)
}

fn is_number(label: &str) -> bool {
    match label.strip_prefix("0x") {
        Some(hex) => hex.bytes().all(|c| c.is_ascii_hexdigit()),
        None => label.bytes().all(|c| c.is_ascii_digit()),
    }
}

/// What `inet_aton` makes of it: one to four numbers, decimal, octal or hexadecimal, the last filling what is left.
fn as_inet_aton(text: &str) -> Option<Ipv4Addr> {
    let parts: Vec<u32> = text
        .split('.')
        .map(|part| match part.strip_prefix("0x") {
            Some("") => Some(0),
            Some(hex) => u32::from_str_radix(hex, 16).ok(),
            None if part.len() > 1 && part.starts_with('0') => u32::from_str_radix(part, 8).ok(),
            None => part.parse().ok(),
        })
        .collect::<Option<_>>()?;
    let (last, firsts) = parts.split_last()?;
    if firsts.len() > 3 || firsts.iter().any(|part| *part > 255) {
        return None;
    }
    let bits_left = 32 - 8 * u32::try_from(firsts.len()).ok()?;
    if u64::from(*last) >= 1 << bits_left {
        return None;
    }
    let high = firsts.iter().zip([24, 16, 8]).map(|(part, shift)| part << shift).sum::<u32>();
    Some(Ipv4Addr::from(high | last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_one_spelling() {
        let label_63 = "a".repeat(63);
        let name_253 = [label_63.as_str(), &label_63, &label_63, &label_63[..61]].join(".");
        let table: &[(&str, &str)] = &[
            ("192.0.2.1", "192.0.2.1"),
            (" 192.0.2.1 ", "192.0.2.1"),
            ("192.0.2.1.", "192.0.2.1"),
            ("127.0.0.1", "127.0.0.1"),
            ("255.255.255.254", "255.255.255.254"),
            ("169.254.169.254", "169.254.169.254"),
            ("::1", "::1"),
            ("[::1]", "::1"),
            ("0:0:0:0:0:0:0:1", "::1"),
            ("0000:0000:0000:0000:0000:0000:0000:0001", "::1"),
            ("2001:DB8::1", "2001:db8::1"),
            ("[2001:DB8:0:0:1:0:0:1]", "2001:db8::1:0:0:1"),
            ("2001:db8::192.0.2.1", "2001:db8::c000:201"),
            ("64:ff9b::192.0.2.1", "64:ff9b::c000:201"),
            ("::ffff:127.0.0.1", "127.0.0.1"),
            ("[::ffff:127.0.0.1]", "127.0.0.1"),
            ("::FFFF:7f00:1", "127.0.0.1"),
            ("0:0:0:0:0:ffff:c000:0201", "192.0.2.1"),
            ("fe80::1%eth0", "fe80::1%eth0"),
            ("FE80::1%en0", "fe80::1%en0"),
            ("[fe80::1%25eth0]", "fe80::1%eth0"),
            ("[fe80::1%eth0]", "fe80::1%eth0"),
            ("fe80::1%25", "fe80::1%25"),
            ("fe80:0:0::1%3", "fe80::1%3"),
            ("localhost", "localhost"),
            ("LocalHost", "localhost"),
            ("Example.COM", "example.com"),
            ("example.com.", "example.com"),
            ("my_printer.lan", "my_printer.lan"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
            ("1.example", "1.example"),
            ("3com.com", "3com.com"),
            ("0x7f.example", "0x7f.example"),
            ("1e100.net", "1e100.net"),
            ("a--b.example", "a--b.example"),
            (&label_63, &label_63),
            (&name_253, &name_253),
        ];
        for (typed, canonical) in table {
            assert_eq!(canonical_host(typed).as_deref(), Ok(*canonical), "{typed:?}");
            assert_eq!(
                canonical_host(canonical).as_deref(),
                Ok(*canonical),
                "canonical is a fixed point: {canonical:?}"
            );
        }
    }

    #[test]
    fn what_is_not_plainly_a_host_is_refused() {
        let (label_64, name_254) = ("a".repeat(64), format!("{}a", "aa.".repeat(85)).replacen("aa", "a", 2));
        assert_eq!(name_254.len(), 254);
        let table: &[(&str, &str)] = &[
            ("", "empty"),
            ("   ", "empty"),
            (".", "empty"),
            ("..", "empty"),
            ("a..b", "empty"),
            (".example.com", "empty"),
            ("example.com..", "empty"),
            (&label_64, "64 characters"),
            (&name_254, "254 characters"),
            ("0x7f.1", "did you mean 127.0.0.1?"),
            ("0X7F.1", "did you mean 127.0.0.1?"),
            ("0x7f000001", "did you mean 127.0.0.1?"),
            ("0177.0.0.1", "did you mean 127.0.0.1?"),
            ("127.0.0.01", "did you mean 127.0.0.1?"),
            ("017700000001", "did you mean 127.0.0.1?"),
            ("2130706433", "did you mean 127.0.0.1?"),
            ("127.1", "did you mean 127.0.0.1?"),
            ("127.0.1", "did you mean 127.0.0.1?"),
            ("0x7f.0x0.0x0.0x1", "did you mean 127.0.0.1?"),
            ("192.168.257", "did you mean 192.168.1.1?"),
            ("256.0.0.1", "four decimal numbers"),
            ("1.2.3.4.5", "four decimal numbers"),
            ("4294967296", "four decimal numbers"),
            ("example.1", "four decimal numbers"),
            ("example.0x1", "four decimal numbers"),
            ("0x", "did you mean 0.0.0.0?"),
            ("08.8.8.8", "four decimal numbers"),
            ("0.0.0.0", "one machine"),
            ("0.1.2.3", "one machine"),
            ("255.255.255.255", "one machine"),
            ("224.0.0.1", "one machine"),
            ("239.255.255.250", "one machine"),
            ("::ffff:0.0.0.0", "one machine"),
            ("::ffff:224.0.0.1", "one machine"),
            ("::", "one machine"),
            ("[::]", "one machine"),
            ("ff02::1", "one machine"),
            ("ff02::1%eth0", "one machine"),
            ("fe80::1", "name the interface"),
            ("fe80::1%", "interface"),
            ("fe80::1%eth0/64", "/"),
            ("fe80::1%eth 0", "character"),
            ("fe80::1%eth0%eth1", "interface"),
            ("2001:db8::1%eth0", "give 2001:db8::1"),
            ("::ffff:1.2.3.4%eth0", "no interface"),
            ("1::2::3", "not an IPv6"),
            (":::", "not an IPv6"),
            ("[1.2.3.4]", "not an IPv6"),
            ("[::1", "bracket"),
            ("[::1]:80", "`port`"),
            ("::1]", "not an IPv6"),
            ("192.0.2.1:80", "`port`"),
            ("example.com:443", "`port`"),
            ("example.com:", "not an IPv6"),
            ("http://example.com", "URL"),
            ("file:///etc/passwd", "URL"),
            ("icmp://192.0.2.1", "URL"),
            ("user@example.com", "user name"),
            ("a@b", "user name"),
            ("10.0.0.0/8", "not a range"),
            ("example.com/path", "before the /"),
            ("example.com\\x", "character"),
            ("example.com?x", "character"),
            ("example.com#x", "character"),
            ("ex%61mple.com", "character"),
            ("*.example.com", "character"),
            ("a b", "character"),
            ("a\tb", "character"),
            ("example.com\0", "character"),
            ("example.com\r\nHost: x", "character"),
            ("example.com\n", "character"),
            ("\u{a0}example.com", "character"),
            ("b\u{fc}cher.example", "xn--"),
            ("ex\u{430}mple.com", "xn--"),
            ("\u{ff11}\u{ff12}\u{ff17}.0.0.1", "xn--"),
            ("127\u{3002}0\u{3002}0\u{3002}1", "xn--"),
            ("\u{2460}.example", "xn--"),
            ("exa\u{200b}mple.com", "xn--"),
            ("-a.example", "hyphen"),
            ("a-.example", "hyphen"),
            ("-", "hyphen"),
            ("-c 1 192.0.2.1", "character"),
            ("$(reboot)", "character"),
            ("a;b", "character"),
        ];
        for (typed, says) in table {
            let no = canonical_host(typed).expect_err(typed);
            assert_eq!(no.field.as_deref(), Some("host"));
            assert!(no.to_string().contains(says), "{typed:?} gives {no}");
        }
    }
}
