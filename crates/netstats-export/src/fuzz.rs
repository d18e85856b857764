//! What the fuzzer runs on any bytes, and what it begins with. Compiled for it and for tests alone.

use std::collections::BTreeMap;
use std::io::{Cursor, Read, Write};

use jiff::tz::TimeZone;
use netstats_event::{ChainHash, Draft, Envelope, HEADER_BYTES, Kind, Metric, Position, Record, Timestamp, decode};
use netstats_stats::Accounting;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::pack::{ACCOUNTS, MANIFEST, Pack, RECORDS, REPORT, SIGNATURE};
use crate::{Linked, Names, ReportHead, SigningKey, verify_pack};

const KEY: [u8; 32] = [7; 32];
/// Bytes of the chain before each record of a pack.
const CHAIN_BYTES: usize = 16;

/// The parts of an evidence pack behind their lengths: two bytes each for the manifest, the accounts and the records, the
/// rest is the report. The archive around them is whole, the manifest is signed, and the records' checksums are right.
pub fn pack(bytes: &[u8]) {
    let Some((lengths, mut rest)) = bytes.split_first_chunk::<6>() else { return };
    let [manifest, accounts, records] = [0, 2, 4].map(|at| {
        let length = usize::from(u16::from_le_bytes([lengths[at], lengths[at + 1]]));
        let (part, after) = rest.split_at(length.min(rest.len()));
        rest = after;
        part
    });
    let report = rest;
    let records = mended(records);
    let key = SigningKey::from_seed(&KEY);
    let pack = archive(&[
        (RECORDS, &records),
        (REPORT, report),
        (ACCOUNTS, accounts),
        (MANIFEST, manifest),
        (SIGNATURE, key.sign(manifest).as_bytes()),
    ]);
    if let Ok(verdict) = verify_pack(Cursor::new(pack), None) {
        assert_eq!(verdict.holds(), verdict.problems.is_empty() && verdict.more_problems == 0);
    }
}

fn archive(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, bytes) in parts {
        zip.start_file(*name, options).expect("an archive in memory");
        zip.write_all(bytes).expect("an archive in memory");
    }
    zip.finish().expect("an archive in memory").into_inner()
}

/// The same records with their checksums right, and lengths that lead no farther than there are bytes.
fn mended(mut rest: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(rest.len());
    while let Some((front, after)) = rest.split_first_chunk::<{ CHAIN_BYTES + HEADER_BYTES }>() {
        let (before, header) = front.split_at(CHAIN_BYTES);
        let word = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
        let long = |at: usize| header[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let (payload, after) = after.split_at(usize::from(word(24)).min(after.len()));
        let record = Record {
            position: Position(long(8)),
            kind: word(2),
            version: word(4),
            recorded_at: Timestamp::from_nanos(long(16).cast_signed()),
            chain: header[32..].first_chunk().copied().map_or(ChainHash::default(), ChainHash),
            payload: payload.to_vec(),
        };
        out.extend_from_slice(before);
        record.write(&mut out);
        rest = after;
    }
    out.extend_from_slice(rest);
    out
}

/// A pack of one sample of each kind.
#[must_use]
pub fn pack_seeds() -> Vec<Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/events/v1");
    let (mut before, mut linked, mut events) = (ChainHash::default(), Vec::new(), Vec::new());
    for (position, kind) in (1..).map(Position).zip(Kind::ALL.iter().filter(|kind| kind.probe().is_some())) {
        let payload = std::fs::read(format!("{folder}/{}.bin", kind.name())).expect("a golden payload");
        let event = decode(kind.code(), 1, &payload).expect("a golden payload");
        let recorded_at = Timestamp::from_millis(1_795_564_800_000);
        let record: Record = Draft { kind: kind.code(), version: 1, recorded_at, payload }.at(position, before);
        events.push(Envelope { position, recorded_at, event });
        let chain = record.chain;
        linked.push(Linked { before, record });
        before = chain;
    }
    let slots = events.iter().filter_map(|envelope| envelope.event.head()).map(|head| head.slot_at);
    let (first, last) = slots.fold((Timestamp::from_secs(i64::MAX), Timestamp::from_secs(i64::MIN)), |(a, b), slot| {
        (a.min(slot), b.max(slot))
    });
    let hour = std::time::Duration::from_secs(3_600);
    let head = ReportHead {
        title: "Report".into(),
        scope: "all".into(),
        range: first..last.plus(hour),
        time_zone: TimeZone::UTC,
        time_zone_name: "UTC".into(),
        generated_at: last.plus(hour),
        generator: "fuzz".into(),
        accounting: Accounting::default(),
        position: Position(linked.len() as u64),
        chain: before.to_string(),
    };
    let (names, metrics, key) = (Names::default(), vec![Metric::Ping, Metric::PacketLoss], SigningKey::from_seed(&KEY));
    let mut pack = Vec::new();
    Pack { head, names, metrics, accounts: BTreeMap::new(), key: &key }
        .write(std::iter::once(Ok(events)), &mut |_| Ok(linked.clone()), &mut pack)
        .expect("a pack in memory");
    let mut zip = ZipArchive::new(Cursor::new(pack)).expect("a whole archive");
    let part = |name: &str| {
        let mut bytes = Vec::new();
        zip.by_name(name).expect("a part").read_to_end(&mut bytes).expect("a part");
        bytes
    };
    let [manifest, accounts, records, report] = [MANIFEST, ACCOUNTS, RECORDS, REPORT].map(part);
    let length = |bytes: &Vec<u8>| u16::try_from(bytes.len()).expect("a small part").to_le_bytes();
    let lengths = [&manifest, &accounts, &records].map(length);
    vec![[&lengths.concat()[..], &manifest, &accounts, &records, &report].concat()]
}

#[cfg(test)]
#[path = "../../../fixtures/fuzz/kept.rs"]
mod kept;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_fuzzer_begins_with_and_what_it_found_is_taken() {
        kept::take("pack", pack_seeds(), pack);
    }
}
