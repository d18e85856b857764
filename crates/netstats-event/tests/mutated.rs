//! Wrong bytes where events and records are expected: an error or another event, never a panic, never memory by an
//! unchecked length.

#[path = "../../../fixtures/mutate.rs"]
mod mutate;

use mutate::{Mutator, within_bounds};
use netstats_event::{ChainHash, Draft, Kind, Position, Record, Timestamp, decode, encode};

const MUTATIONS: u64 = 20_000;

/// Every kind with its golden payload.
fn golden() -> Vec<(u16, Vec<u8>)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/events/v1");
    let payload = |kind: Kind| std::fs::read(format!("{folder}/{}.bin", kind.name())).unwrap();
    Kind::ALL.iter().map(|kind| (kind.code(), payload(*kind))).collect()
}

#[test]
fn a_mutated_payload_is_refused_or_is_an_event_that_can_be_written_again() {
    let golden = golden();
    within_bounds(|| {
        let (mut refused, mut taken) = (0_u64, 0_u64);
        for (number, mut mutator) in Mutator::all(MUTATIONS) {
            let (kind, payload) = &golden[mutator.below(golden.len())];
            let bytes = mutator.mutate(payload, false);
            let Ok(event) = decode(*kind, 1, &bytes) else {
                refused += 1;
                continue;
            };
            taken += 1;
            if let Ok(draft) = encode(&event, Timestamp::default()) {
                let again = decode(*kind, 1, &draft.payload).unwrap();
                let same = encode(&again, Timestamp::default()).unwrap();
                assert_eq!(same, draft, "mutation {number} of kind {kind} is not stable");
            }
        }
        assert!(refused > taken / 20 && taken > refused / 20, "{refused} refused, {taken} taken: hardly a test");
    });
}

#[test]
fn a_mutated_record_is_refused_also_when_its_checksum_was_made_right() {
    let record = |(kind, payload): &(u16, Vec<u8>)| {
        let draft = Draft { kind: *kind, version: 1, recorded_at: Timestamp::from_millis(7), payload: payload.clone() };
        draft.at(Position(9), ChainHash([3; 16]))
    };
    let bytes = |golden: &(u16, Vec<u8>)| {
        let mut bytes = Vec::new();
        record(golden).write(&mut bytes);
        bytes
    };
    let records: Vec<Vec<u8>> = golden().iter().map(bytes).collect();
    within_bounds(|| {
        for (number, mut mutator) in Mutator::all(MUTATIONS) {
            let whole = &records[mutator.below(records.len())];
            let mut bytes = mutator.mutate(whole, false);
            if let Ok((read, used)) = Record::read(&bytes) {
                // What was changed lies behind the record, or was the chain, which a checksum does not cover.
                let is_chain_broken = read.verify_chain(ChainHash([3; 16])).is_err();
                assert!(is_chain_broken || bytes[..used] == whole[..used], "mutation {number} went unnoticed");
            }
            if bytes.len() >= 48 {
                let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..28]), &bytes[48..]);
                bytes[28..32].copy_from_slice(&crc.to_le_bytes());
                if let Ok((read, used)) = Record::read(&bytes) {
                    assert!(used <= bytes.len());
                    let _ = decode(read.kind, read.version, &read.payload);
                }
            }
        }
    });
}
