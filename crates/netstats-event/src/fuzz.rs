//! What the fuzzer runs on any bytes, and what it begins with. Compiled for it and for tests alone.

use crate::{ChainHash, Draft, Kind, Position, Record, Timestamp, decode, encode};

/// Every kind with its golden payload.
fn golden() -> Vec<(u16, Vec<u8>)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/events/v1");
    let payload = |kind: Kind| std::fs::read(format!("{folder}/{}.bin", kind.name())).expect("a golden payload");
    Kind::ALL.iter().map(|kind| (kind.code(), payload(*kind))).collect()
}

/// Kind's number (u16, little-endian) and a payload: refused, or an event whose own bytes give it back.
pub fn event(bytes: &[u8]) {
    let Some((kind, payload)) = bytes.split_first_chunk() else { return };
    let Ok(event) = decode(u16::from_le_bytes(*kind), 1, payload) else { return };
    let _ = (event.head(), event.destination(), event.job());
    if let Ok(draft) = encode(&event, Timestamp::default()) {
        let again = decode(draft.kind, draft.version, &draft.payload).expect("what was written is read");
        assert_eq!(encode(&again, Timestamp::default()), Ok(draft), "an event is written in one way");
    }
}

/// The golden payloads.
#[must_use]
pub fn event_seeds() -> Vec<Vec<u8>> {
    golden().into_iter().map(|(kind, payload)| [&kind.to_le_bytes()[..], &payload].concat()).collect()
}

/// A record as it is, and with its checksum made right.
pub fn record(bytes: &[u8]) {
    read_record(bytes);
    let mut bytes = bytes.to_vec();
    if mend_record(&mut bytes) {
        read_record(&bytes);
    }
}

fn read_record(bytes: &[u8]) {
    let Ok((record, used)) = Record::read(bytes) else { return };
    assert!(used <= bytes.len() && used == record.len(), "a record takes what it is long");
    let mut again = Vec::new();
    record.write(&mut again);
    assert_eq!(Record::read(&again).as_ref(), Ok(&(record.clone(), used)), "a record comes back");
    let _ = record.verify_chain(ChainHash::default());
    let _ = decode(record.kind, record.version, &record.payload);
}

/// Makes the checksum of the record at the start right; false if there is none.
fn mend_record(bytes: &mut [u8]) -> bool {
    let Some(length) = bytes.get(24..28).and_then(|length| length.try_into().ok()) else { return false };
    let end = crate::HEADER_BYTES.saturating_add(u32::from_le_bytes(length) as usize);
    let Some(payload) = bytes.get(crate::HEADER_BYTES..end) else { return false };
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..28]), payload);
    bytes[28..32].copy_from_slice(&crc.to_le_bytes());
    true
}

/// A record of every kind.
#[must_use]
pub fn record_seeds() -> Vec<Vec<u8>> {
    let bytes = |(kind, payload)| {
        let draft = Draft { kind, version: 1, recorded_at: Timestamp::from_millis(7), payload };
        let mut bytes = Vec::new();
        draft.write(Position(9), ChainHash::default(), &mut bytes);
        bytes
    };
    golden().into_iter().map(bytes).collect()
}

#[cfg(test)]
#[path = "../../../fixtures/fuzz/kept.rs"]
mod kept;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_fuzzer_begins_with_and_what_it_found_is_taken() {
        kept::take("event", event_seeds(), event);
        kept::take("record", record_seeds(), record);
        for mut bytes in record_seeds() {
            let whole = bytes.clone();
            assert!(Record::read(&bytes).is_ok() && mend_record(&mut bytes) && bytes == whole);
        }
        for bytes in event_seeds() {
            let kind = u16::from_le_bytes([bytes[0], bytes[1]]);
            assert!(decode(kind, 1, &bytes[2..]).is_ok(), "{kind}");
        }
    }
}
