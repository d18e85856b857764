//! The mark in the payload of every echo that we send: which packet of which burst it is, and proof that it is ours.
//!
//! ```text
//!   0        8        16                        n
//!   | token  | check  | 0x10 0x11 0x12 ...      |
//! ```
//! Behind the check each byte is its own place, as far as that fits a byte.
//!
//! The token is the burst's number (48 bits, never used again) and the packet's (16 bits). The check is a keyed hash
//! (SipHash with a key of this process) of token and destination: nobody who has not seen the packet can make one, and
//! another process's packets fail it. Sixteen bits of ICMP sequence number wrap after seconds; this does not.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

use crate::limits::MIN_PAYLOAD_BYTES;

const MARK_BYTES: usize = MIN_PAYLOAD_BYTES as usize;

/// A packet's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token(u64);

impl Token {
    /// Packet `index` of burst `number`.
    pub(crate) const fn new(number: u64, index: u16) -> Self {
        Self(number << 16 | index as u64)
    }

    /// The burst's number.
    pub(crate) const fn number(self) -> u64 {
        self.0 >> 16
    }

    /// The packet's place in the burst.
    pub(crate) const fn index(self) -> u16 {
        self.0 as u16
    }
}

/// This process's key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Key(RandomState);

impl Key {
    fn check(&self, token: Token, address: IpAddr) -> u64 {
        self.0.hash_one((token.0, address))
    }

    /// An ICMP id for this process, never 0.
    pub(crate) fn id(&self) -> u16 {
        (self.0.hash_one("id") as u16).max(1)
    }

    /// Fills a payload of at least [`MARK_BYTES`].
    pub(crate) fn write(&self, token: Token, address: IpAddr, payload: &mut [u8]) {
        payload[..8].copy_from_slice(&token.0.to_be_bytes());
        payload[8..16].copy_from_slice(&self.check(token, address).to_be_bytes());
        for (place, byte) in payload.iter_mut().enumerate().skip(MARK_BYTES) {
            *byte = place as u8;
        }
    }

    /// True if this is the payload of `sent_bytes` that was written for that packet, whole.
    pub(crate) fn holds(&self, token: Token, address: IpAddr, payload: &[u8], sent_bytes: usize) -> bool {
        let odd = |odd: u8, (place, byte): (usize, &u8)| odd | (byte ^ place as u8);
        payload.len() == sent_bytes
            && self.starts(token, address, payload)
            && payload.iter().enumerate().skip(MARK_BYTES).fold(0, odd) == 0
    }

    /// True if this begins as the payload of that packet: what a router quotes, for what lies behind the mark may be cut
    /// or, by some routers, overwritten.
    pub(crate) fn starts(&self, token: Token, address: IpAddr, payload: &[u8]) -> bool {
        payload.len() >= MARK_BYTES
            && payload[..8] == token.0.to_be_bytes()
            && payload[8..16] == self.check(token, address).to_be_bytes()
    }
}

/// The identity that a payload claims; to be checked with [`Key::holds`].
pub(crate) fn claimed(payload: &[u8]) -> Option<Token> {
    (payload.len() >= MARK_BYTES).then(|| Token(u64::from_be_bytes(payload[..8].try_into().expect("eight bytes"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn a_mark_is_ours_and_names_its_packet() {
        let (key, token) = (Key::default(), Token::new(0x1234_5678_9abc, 999));
        let mut payload = [0; 56];
        key.write(token, ADDRESS, &mut payload);
        assert_eq!(claimed(&payload), Some(token));
        assert_eq!((token.number(), token.index()), (0x1234_5678_9abc, 999));
        assert!(key.holds(token, ADDRESS, &payload, 56));
        assert!(key.starts(token, ADDRESS, &payload[..20]), "an error may quote the beginning only");
        assert!(!key.holds(token, ADDRESS, &payload[..20], 56) && !key.holds(token, ADDRESS, &payload, 20));
        assert!(!key.holds(token, "127.0.0.2".parse().unwrap(), &payload, 56), "the destination is part of the mark");
        assert!(!Key::default().holds(token, ADDRESS, &payload, 56), "another process has another key");
    }

    #[test]
    fn any_damaged_byte_breaks_the_mark() {
        let (key, token) = (Key::default(), Token::new(7, 3));
        let mut payload = [0; 600];
        key.write(token, ADDRESS, &mut payload);
        for at in 0..payload.len() {
            let mut damaged = payload;
            damaged[at] ^= 0x40;
            assert!(!key.holds(token, ADDRESS, &damaged, 600), "byte {at}");
        }
        assert_eq!(claimed(&payload[..15]), None);
    }
}
