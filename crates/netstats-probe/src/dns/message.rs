//! A DNS question, and what makes a message the answer to it (RFC 1035).

use std::str::FromStr;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::{DNSClass, Name, Record, RecordType};
use netstats_event::AnswerRecord;

use crate::limits::{MAX_ANSWER_CHARS, MAX_ANSWERS};

/// What we take over UDP (RFC 9715).
const UDP_PAYLOAD: u16 = 1_232;
const TRUNCATED: u16 = 0x0200;

/// One question.
#[derive(Clone, Debug)]
pub(super) struct Question {
    id: u16,
    name: Name,
    record_type: RecordType,
    /// The name's letters are in random case, which an answer must repeat: bits that a forger must guess.
    is_guarded: bool,
}

/// The answer to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) rcode: u16,
    pub(super) flags: u16,
    pub(super) answers: Vec<AnswerRecord>,
}

/// Why a message is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mismatch {
    /// It answers something else, or nothing: an old answer, a forgery.
    NotOurs,
    /// It carries our id and cannot be read.
    Malformed,
}

impl Question {
    /// # Errors
    /// Not a name, or not a record type.
    pub(super) fn new(name: &str, record_type: &str, is_guarded: bool) -> Result<Self, String> {
        let mut random = [0; 34];
        getrandom::fill(&mut random).map_err(|error| error.to_string())?;
        let mixed: String = name
            .chars()
            .enumerate()
            .map(|(at, letter)| match random[2 + at / 8 % 32] >> (at % 8) & 1 {
                1 if is_guarded => letter.to_ascii_uppercase(),
                _ => letter,
            })
            .collect();
        let mut parsed = Name::from_ascii(&mixed).map_err(|error| format!("{name} cannot be asked for: {error}"))?;
        parsed.set_fqdn(true);
        let record_type = RecordType::from_str(record_type).map_err(|_| format!("there is no type {record_type}"))?;
        Ok(Self { id: u16::from_be_bytes([random[0], random[1]]), name: parsed, record_type, is_guarded })
    }

    /// With the id 0, so that caches between can do their work (RFC 8484).
    pub(super) fn cacheable(mut self) -> Self {
        self.id = 0;
        self
    }

    pub(super) fn bytes(&self) -> Result<Vec<u8>, String> {
        let mut message = Message::new(self.id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(self.name.clone(), self.record_type));
        let mut edns = Edns::new();
        edns.set_max_payload(UDP_PAYLOAD);
        message.set_edns(edns);
        message.to_vec().map_err(|error| error.to_string())
    }

    /// Reads a message. A cut one (flag TC) is an answer too, though it may end in the middle.
    pub(super) fn answered_by(&self, bytes: &[u8]) -> Result<Response, Mismatch> {
        let header = bytes.get(..12).ok_or(Mismatch::NotOurs)?;
        let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let flags = word(2);
        if word(0) != self.id || flags & 0x8000 == 0 {
            return Err(Mismatch::NotOurs);
        }
        let message = match Message::from_vec(bytes) {
            Ok(message) => message,
            Err(_) if flags & TRUNCATED != 0 => {
                return Ok(Response { rcode: flags & 0x0f, flags: flags & 0x07b0, answers: Vec::new() });
            }
            Err(_) => return Err(Mismatch::Malformed),
        };
        match message.queries.as_slice() {
            [asked] if self.is_asked(asked) => {}
            // Some servers leave the question out of an error.
            [] if flags & 0x0f != 0 => {}
            _ => return Err(Mismatch::NotOurs),
        }
        Ok(Response {
            rcode: message.metadata.response_code.into(),
            flags: flags & 0x07b0,
            answers: records(&message.answers),
        })
    }

    fn is_asked(&self, asked: &Query) -> bool {
        let is_same = if self.is_guarded { asked.name().eq_case(&self.name) } else { *asked.name() == self.name };
        is_same && asked.query_type() == self.record_type && asked.query_class() == DNSClass::IN
    }
}

impl Response {
    pub(super) const fn is_truncated(&self) -> bool {
        self.flags & TRUNCATED != 0
    }
}

/// Answer records in presentation form.
pub(crate) fn records(records: &[Record]) -> Vec<AnswerRecord> {
    records
        .iter()
        .take(MAX_ANSWERS)
        .map(|record| AnswerRecord {
            record_type: record.record_type().to_string(),
            data: record.data.to_string().chars().take(MAX_ANSWER_CHARS).collect(),
            ttl_s: record.ttl,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    fn question(id: u16) -> Question {
        Question { id, ..Question::new("example.com", "A", false).unwrap() }
    }

    /// As a resolver sends it: example.com A 93.184.215.14, TTL 300, with the flags QR RD RA.
    const ANSWER: &str = "abcd 8180 0001 0001 0000 0000
        07 6578616d706c65 03 636f6d 00 0001 0001
        c00c 0001 0001 0000012c 0004 5db8d70e";

    #[test]
    fn an_answer_is_read_and_another_one_is_not_ours() {
        let answer = hex(ANSWER);
        let record = AnswerRecord { record_type: "A".into(), data: "93.184.215.14".into(), ttl_s: 300 };
        let response = Response { rcode: 0, flags: 0x0180, answers: vec![record] };
        assert_eq!(question(0xabcd).answered_by(&answer), Ok(response));
        assert_eq!(question(0xabce).answered_by(&answer), Err(Mismatch::NotOurs), "another id");
        let other = Question { id: 0xabcd, ..Question::new("example.org", "A", false).unwrap() };
        assert_eq!(other.answered_by(&answer), Err(Mismatch::NotOurs), "another name");
        let other = Question { id: 0xabcd, ..Question::new("example.com", "AAAA", false).unwrap() };
        assert_eq!(other.answered_by(&answer), Err(Mismatch::NotOurs), "another type");
        let mut query = answer.clone();
        query[2] &= 0x7f;
        assert_eq!(question(0xabcd).answered_by(&query), Err(Mismatch::NotOurs), "a question is no answer");
        assert_eq!(question(0xabcd).answered_by(&answer[..40]), Err(Mismatch::Malformed));
        assert_eq!(question(0xabcd).answered_by(&answer[..11]), Err(Mismatch::NotOurs));
    }

    #[test]
    fn a_cut_answer_says_that_it_is_cut() {
        let mut cut = hex(ANSWER);
        cut[2] |= 0x02;
        cut.truncate(35);
        assert!(question(0xabcd).answered_by(&cut).unwrap().is_truncated());
    }

    #[test]
    fn an_answer_must_repeat_the_case_of_the_question() {
        let long = "a-name-with-many-letters-to-be-sure.example.com";
        let guarded = Question::new(long, "A", true).unwrap();
        assert_ne!(guarded.name.to_ascii(), format!("{long}."), "one in 10^12 fails here");
        let mut reply = guarded.bytes().unwrap();
        reply[2] |= 0x80;
        assert!(guarded.answered_by(&reply).is_ok());
        for byte in &mut reply[12..12 + long.len()] {
            byte.make_ascii_lowercase();
        }
        assert_eq!(guarded.answered_by(&reply), Err(Mismatch::NotOurs));
    }

    #[test]
    fn names_and_types_that_do_not_exist_are_refused() {
        assert!(Question::new("example.com", "QQQ", false).is_err());
        assert!(Question::new(&"x".repeat(64), "A", false).is_err());
        assert!(Question::new("_dmarc.example.com", "TXT", true).is_ok());
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(mut bytes in proptest::collection::vec(any::<u8>(), 0..400), is_ours in any::<bool>()) {
            if is_ours && bytes.len() > 3 {
                bytes[..2].copy_from_slice(&[0xab, 0xcd]);
                bytes[2] |= 0x80;
            }
            let _ = question(0xabcd).answered_by(&bytes);
        }

        #[test]
        fn any_damage_is_taken(at in 0_usize..45, value in any::<u8>(), cut in 0_usize..46) {
            let mut bytes = hex(ANSWER);
            let at = at % bytes.len();
            bytes[at] = value;
            bytes.truncate(cut.max(1));
            let _ = question(0xabcd).answered_by(&bytes);
        }
    }
}
