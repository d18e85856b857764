//! Evidence packs: one that nobody touched holds, and whatever is changed in one is found and named.

mod support;

use std::io::{Cursor, Read, Write};
use std::sync::OnceLock;

use netstats_event::{ChainHash, Draft, Envelope, Event, Position, Record, Timestamp, encode};
use netstats_export::{Export, Format, Linked, PackVerdict, Proof, SigningKey, columns_for, verify_pack};
use ring::digest::{SHA256, digest};
use ring::signature::{Ed25519KeyPair, KeyPair};
use support::{METRICS, accounts, head, history, names, report_head};
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

const OURS: [u8; 32] = [7; 32];
const THEIRS: [u8; 32] = [8; 32];

/// The events as a log holds them; every third position is about something that is not in the pack.
struct Log {
    records: Vec<Record>,
}

impl Log {
    fn of(events: &[Envelope]) -> Self {
        let (mut before, mut records) = (ChainHash::default(), Vec::new());
        let mut push = |draft: Draft| {
            let record = draft.at(Position(records.len() as u64 + 1), before);
            before = record.chain;
            records.push(record);
        };
        for (number, envelope) in events.iter().enumerate() {
            if number % 3 == 0 {
                push(Draft { kind: 9_999, version: 1, recorded_at: Timestamp::from_millis(1), payload: vec![1; 9] });
            }
            push(encode(&envelope.event, Timestamp::from_millis(1_790_000_000_000)).unwrap());
        }
        Self { records }
    }

    /// Those of ours, as the log knows them.
    fn events(&self) -> Vec<Envelope> {
        let ours = self.records.iter().filter(|record| record.kind != 9_999);
        ours.map(|record| Envelope {
            position: record.position,
            recorded_at: record.recorded_at,
            event: netstats_event::decode(record.kind, record.version, &record.payload).unwrap(),
        })
        .collect()
    }

    fn linked(&self, positions: &[Position]) -> Vec<Linked> {
        let at = |position: u64| &self.records[usize::try_from(position).unwrap() - 1];
        let linked = |position: &Position| Linked {
            before: if position.0 == 1 { ChainHash::default() } else { at(position.0 - 1).chain },
            record: at(position.0).clone(),
        };
        positions.iter().map(linked).collect()
    }
}

/// Five hours of the day, and the slot that failed.
fn measured() -> Vec<Envelope> {
    let mut events = history();
    events.drain(600..events.len() - 1);
    events
}

/// A pack, made once.
fn pack(seed: &[u8; 32]) -> Vec<u8> {
    static MADE: [OnceLock<Vec<u8>>; 2] = [OnceLock::new(), OnceLock::new()];
    MADE[usize::from(*seed == OURS)].get_or_init(|| make(seed)).clone()
}

fn make(seed: &[u8; 32]) -> Vec<u8> {
    let log = Log::of(&measured());
    let events = log.events();
    let mut head = report_head();
    let last = log.records.last().unwrap();
    (head.position, head.chain) = (last.position, last.chain.to_string());
    let export = Export {
        format: Format::Pack,
        accounts: accounts(&events, &head.range),
        head,
        names: names(),
        metrics: METRICS.to_vec(),
        columns: columns_for(&METRICS),
    };
    let key = SigningKey::from_seed(seed);
    let mut records = |positions: &[Position]| Ok(log.linked(positions));
    let mut out = Vec::new();
    let portions = events.chunks(777).map(|portion| Ok(portion.to_vec()));
    let proof = Proof { records: &mut records, key: &key };
    let rows = export.write(portions, Some(proof), &mut out).unwrap();
    assert_eq!(rows, events.len() as u64);
    out
}

fn check(pack: &[u8], key: Option<&str>) -> PackVerdict {
    verify_pack(Cursor::new(pack), key).unwrap()
}

fn ours() -> String {
    SigningKey::from_seed(&OURS).public_hex()
}

/// The parts of a zip file.
fn parts(zip: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut zip = ZipArchive::new(Cursor::new(zip)).unwrap();
    (0..zip.len())
        .map(|at| {
            let mut part = zip.by_index(at).unwrap();
            let mut bytes = Vec::new();
            part.read_to_end(&mut bytes).unwrap();
            (part.name().unwrap().into_owned(), bytes)
        })
        .collect()
}

fn zipped(parts: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in parts {
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// The same zip file with one part changed.
fn changed(zip: &[u8], name: &str, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut parts = parts(zip);
    change(&mut parts.iter_mut().find(|(part, _)| part == name).unwrap().1);
    zipped(&parts)
}

/// What somebody would do who wants it to look right: digests and signature made anew, with a key of their own.
fn signed_anew(pack: &[u8], seed: &[u8; 32]) -> Vec<u8> {
    let mut parts = parts(pack);
    let key = Ed25519KeyPair::from_seed_unchecked(seed).unwrap();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let at = parts.iter().position(|(name, _)| name == "manifest.json").unwrap();
    let mut manifest: serde_json::Value = serde_json::from_slice(&parts[at].1).unwrap();
    for (name, bytes) in parts.iter().filter(|(name, _)| !name.starts_with("manifest")) {
        let sha256 = hex(digest(&SHA256, bytes).as_ref());
        manifest["files"][name] = serde_json::json!({"bytes": bytes.len(), "sha256": sha256});
    }
    manifest["public_key"] = hex(key.public_key().as_ref()).into();
    let bytes = serde_json::to_vec_pretty(&manifest).unwrap();
    let signature = hex(key.sign(&bytes).as_ref());
    parts[at].1 = bytes;
    parts.iter_mut().find(|(name, _)| name == "manifest.sig").unwrap().1 = signature.into_bytes();
    zipped(&parts)
}

/// Changes the number in one cell of a sheet, as somebody with a text editor would.
fn with_cell(pack: &[u8], sheet: &str, cell: &str, value: &str) -> Vec<u8> {
    changed(pack, "report.xlsx", |report| {
        *report = changed(report, sheet, |xml| {
            let text = String::from_utf8(std::mem::take(xml)).unwrap();
            let place = text.find(&format!("<c r=\"{cell}\"")).unwrap();
            let from = place + text[place..].find("<v>").unwrap() + 3;
            let to = from + text[from..].find("</v>").unwrap();
            *xml = format!("{}{value}{}", &text[..from], &text[to..]).into_bytes();
        });
    })
}

#[track_caller]
fn finds(pack: &[u8], words: &[&str]) {
    let verdict = check(pack, Some(&ours()));
    for words in words {
        assert!(
            verdict.problems.iter().any(|problem| problem.contains(words)),
            "{words:?} is not in {:#?}",
            verdict.problems
        );
    }
}

#[test]
fn a_pack_that_nobody_touched_holds() {
    let pack = pack(&OURS);
    let verdict = check(&pack, Some(&ours()));
    assert_eq!(verdict.problems, [] as [String; 0]);
    assert_eq!(verdict.records, measured().len() as u64);
    assert!(verdict.cells > 10 * verdict.records, "{} cells", verdict.cells);
    assert_eq!((verdict.public_key, verdict.title.as_str()), (ours(), "Network quality"));
    assert!(check(&pack, None).holds());
}

#[test]
fn the_same_events_make_the_same_pack() {
    assert!(make(&OURS) == pack(&OURS), "two makings differ");
}

#[test]
fn a_changed_cell_is_named_even_if_all_is_signed_anew() {
    let pack = pack(&OURS);
    // Loss of the second destination.
    let better = with_cell(&pack, "xl/worksheets/sheet2.xml", "E6", "0");
    finds(&better, &["report.xlsx: it is not the one that was signed", "report.xlsx: Statistics!E6 says 0.0"]);
    let signed = signed_anew(&better, &THEIRS);
    finds(&signed, &["report.xlsx: Statistics!E6 says 0.0, and the records give", "it was signed with the key"]);
    // Without the key of the installation the figure still does not follow from the records.
    assert_eq!(check(&signed, None).problems.len(), 1, "{:?}", check(&signed, None).problems);
}

#[test]
fn a_changed_raw_cell_is_named() {
    let pack = pack(&OURS);
    let raw = signed_anew(&with_cell(&pack, "xl/worksheets/sheet10.xml", "I3", "1.5"), &OURS);
    finds(&raw, &["report.xlsx: Raw data!I3 says 1.5"]);
}

#[test]
fn an_account_that_the_records_do_not_bear_is_named() {
    let text = |pack: &[u8], change: &dyn Fn(String) -> String| {
        changed(pack, "accounts.json", |bytes| {
            let before = String::from_utf8(std::mem::take(bytes)).unwrap();
            let after = change(before.clone());
            assert_ne!(after, before);
            *bytes = after.into_bytes();
        })
    };
    let pack = pack(&OURS);
    // A check was answered, and is said not to have been: both by the report and by what it rests on.
    let down = text(&pack, &|json| json.replacen(",0,1]", ",1,1]", 1));
    finds(&down, &["accounts.json: it is not the one that was signed"]);
    finds(
        &signed_anew(&down, &OURS),
        &["accounts.json: destination 1, job 1, ping: the record at position", "report.xlsx: Summary!"],
    );
    // Two more checks than there are records.
    let more = signed_anew(&text(&pack, &|json| json.replacen(",0,1]", ",0,3]", 1)), &OURS);
    finds(&more, &["accounts.json: destination 1, job 1, ping: 3 checks from", "and there are 1 records"]);
    let strange = signed_anew(&text(&pack, &|json| json.replacen("\"ping\"", "\"pong\"", 1)), &OURS);
    finds(&strange, &["accounts.json: it cannot be understood"]);
    let gone = signed_anew(&text(&pack, &|json| json.replacen("\"job\":1", "\"job\":9", 1)), &OURS);
    finds(&gone, &["accounts.json: it knows nothing of the record at position 2"]);
}

#[test]
fn another_key_is_told() {
    let theirs = pack(&THEIRS);
    assert!(check(&theirs, None).holds());
    finds(&theirs, &["manifest.sig: it was signed with the key"]);
}

#[test]
fn a_changed_manifest_does_not_fit_its_signature() {
    let pack = changed(&pack(&OURS), "manifest.json", |bytes| {
        let text = String::from_utf8(std::mem::take(bytes)).unwrap();
        *bytes = text.replace("Zürich", "Geneva").into_bytes();
    });
    finds(&pack, &["manifest.json: it was changed after it was signed", "report.xlsx: Summary!"]);
}

#[test]
fn every_changed_byte_of_a_record_is_found() {
    let pack = pack(&OURS);
    let first = 16 + 48;
    for at in [0, 16 + 8, 16 + 20, 16 + 30, 16 + 40, first + 5] {
        let damaged = changed(&pack, "records.bin", |bytes| bytes[at] ^= 1);
        finds(&damaged, &["records.bin: it is not the one that was signed"]);
        let signed = check(&signed_anew(&damaged, &OURS), Some(&ours()));
        assert!(!signed.holds(), "byte {at} went unnoticed");
    }
}

#[test]
fn a_record_that_is_left_out_is_missed() {
    let pack = pack(&OURS);
    let shorter = changed(&pack, "records.bin", |bytes| {
        let length = u32::from_le_bytes(bytes[16 + 24..16 + 28].try_into().unwrap()) as usize;
        bytes.drain(..16 + 48 + length);
    });
    finds(&signed_anew(&shorter, &OURS), &["records.bin: 600 records, and 601 were signed", "report.xlsx: "]);
    let cut = changed(&pack, "records.bin", |bytes| bytes.truncate(bytes.len() - 3));
    finds(&signed_anew(&cut, &OURS), &["records.bin: it is cut off"]);
}

#[test]
fn a_record_that_was_made_up_breaks_the_chain_to_its_neighbour() {
    let pack = pack(&OURS);
    // The second record of the pack (position 3): a better burst, with checksum and chain made anew.
    let forged = changed(&pack, "records.bin", |bytes| {
        let length = |at: usize, bytes: &[u8]| u32::from_le_bytes(bytes[at + 40..at + 44].try_into().unwrap()) as usize;
        let at = 64 + length(0, bytes);
        let end = at + 64 + length(at, bytes);
        let before = ChainHash(bytes[at..at + 16].try_into().unwrap());
        let (record, _) = Record::read(&bytes[at + 16..end]).unwrap();
        let Event::PingMeasured(mut burst) =
            netstats_event::decode(record.kind, record.version, &record.payload).unwrap()
        else {
            panic!("a burst")
        };
        burst
            .echoes
            .iter_mut()
            .for_each(|echo| *echo = netstats_event::Echo::Reply(netstats_event::Rtt::from_micros(9)));
        assert_eq!(burst.head, head(2, 0));
        let mut made_up = before.0.to_vec();
        encode(&burst.into(), record.recorded_at).unwrap().at(record.position, before).write(&mut made_up);
        bytes.splice(at..end, made_up);
    });
    finds(&signed_anew(&forged, &OURS), &["records.bin: position 4 does not follow position 3"]);
}

#[test]
fn a_part_that_the_manifest_does_not_know_is_told() {
    let mut parts = parts(&pack(&OURS));
    parts.push(("read me first.html".to_owned(), b"<script>".to_vec()));
    finds(&zipped(&parts), &["read me first.html: it is in the pack"]);
}

#[test]
fn what_is_no_pack_is_said_to_be_none() {
    let verify = |bytes: &[u8]| verify_pack(Cursor::new(bytes), None).unwrap_err().to_string();
    assert!(verify(b"nonsense").contains("no evidence pack"));
    let mut parts = parts(&pack(&OURS));
    parts.retain(|(name, _)| name != "manifest.json");
    assert!(verify(&zipped(&parts)).contains("manifest.json"));
}
