//! Whether an evidence pack is what it says, told by the pack alone: signature, files, records and their chain, and
//! every cell of the report against one that is made anew from the records.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};

use calamine::{DataRef, Reader, Xlsx};
use netstats_event::{
    ChainHash, DestinationId, Envelope, HEADER_BYTES, MAX_PAYLOAD_BYTES, Metric, Position, Record, decode,
};
use netstats_series::{AccountBasis, check_of};
use ring::signature::{ED25519, UnparsedPublicKey};
use zip::ZipArchive;

use crate::accounts::{Accounts, Witness};
use crate::column::columns_for;
use crate::limits::{MAX_LINKS_AT_ONCE, MAX_MANIFEST_BYTES, MAX_NAMED_PROBLEMS};
use crate::pack::{ACCOUNTS, FORMAT, Hashed, MANIFEST, Manifest, RECORDS, REPORT, SIGNATURE, from_hex};
use crate::xlsx::XlsxReport;

/// What the manifest tells of.
const PARTS: [&str; 3] = [RECORDS, REPORT, ACCOUNTS];
/// Bytes of a record without its payload in its part.
const LEAST_RECORD: u64 = 16 + HEADER_BYTES as u64;

/// Why a file could not be looked at as a pack at all.
#[derive(Debug, thiserror::Error)]
pub enum PackFailure {
    /// It is no zip file, or a broken one.
    #[error("this is no evidence pack: {0}")]
    Zip(#[from] zip::result::ZipError),
    /// A part is not there or cannot be understood.
    #[error("this is no evidence pack: {0}")]
    NoPack(String),
    /// The disk.
    #[error("the pack cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// What a pack is about, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackVerdict {
    /// The report's title.
    pub title: String,
    /// Which jobs and destinations, in words.
    pub scope: String,
    /// The program that made it.
    pub generator: String,
    /// The last position that it could know, and the chain there.
    pub head: (u64, String),
    /// The public key that signed it, in hexadecimal.
    pub public_key: String,
    /// Records that were proved.
    pub records: u64,
    /// Cells that were compared.
    pub cells: u64,
    /// Streams of checks that the accounts of availability rest on and whose records are not in the pack, since it is
    /// not about their probes: the signature alone stands for them.
    pub unproved_streams: u64,
    /// What is wrong, each in a sentence that names the place; empty for a pack that holds.
    pub problems: Vec<String>,
    /// Problems that are not named one by one.
    pub more_problems: u64,
}

impl PackVerdict {
    /// Nothing is wrong with it.
    #[must_use]
    pub const fn holds(&self) -> bool {
        self.problems.is_empty()
    }

    fn wrong(&mut self, problem: String) {
        if self.problems.len() < MAX_NAMED_PROBLEMS { self.problems.push(problem) } else { self.more_problems += 1 }
    }
}

/// Looks at a pack. `trusted` is the public key that must have signed it; none to be told which did.
///
/// # Errors
/// It is no pack, or cannot be read. What is wrong with one is in the verdict.
pub fn verify_pack(pack: impl Read + Seek, trusted: Option<&str>) -> Result<PackVerdict, PackFailure> {
    let mut zip = ZipArchive::new(BufReader::new(pack))?;
    let bytes = part(&mut zip, MANIFEST)?;
    let manifest: Manifest = serde_json::from_slice(&bytes)
        .map_err(|error| PackFailure::NoPack(format!("{MANIFEST} cannot be understood: {error}")))?;
    if manifest.format != FORMAT {
        let message = format!("its format is {:?}, and this program knows {FORMAT:?} alone", manifest.format);
        return Err(PackFailure::NoPack(message));
    }
    let mut verdict = PackVerdict {
        title: manifest.title.clone(),
        scope: manifest.scope.clone(),
        generator: manifest.generator.clone(),
        head: (manifest.position, manifest.chain.clone()),
        public_key: manifest.public_key.clone(),
        ..PackVerdict::default()
    };
    signature(&bytes, &part(&mut zip, SIGNATURE)?, &manifest, trusted, &mut verdict);
    names(&zip, &manifest, &mut verdict);
    let accounts = accounts(&mut zip, &manifest, &mut verdict)?;
    let remade = match accounts {
        Some(accounts) => records(&mut zip, &manifest, &accounts, &mut verdict)?,
        None => None,
    };
    let mut report = extracted(&mut zip, REPORT, &manifest, &mut verdict)?;
    if let Some(mut remade) = remade {
        report.seek(SeekFrom::Start(0))?;
        remade.seek(SeekFrom::Start(0))?;
        compare(BufReader::new(report), BufReader::new(remade), &mut verdict);
    }
    Ok(verdict)
}

fn part<R: Read + Seek>(zip: &mut ZipArchive<R>, name: &str) -> Result<Vec<u8>, PackFailure> {
    let file = zip.by_name(name).map_err(|error| PackFailure::NoPack(format!("{name}: {error}")))?;
    let mut bytes = Vec::new();
    file.take(MAX_MANIFEST_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_MANIFEST_BYTES {
        return Err(PackFailure::NoPack(format!("{name} is larger than {MAX_MANIFEST_BYTES} bytes")));
    }
    Ok(bytes)
}

/// What the accounts rest on; none if it cannot be understood.
fn accounts<R: Read + Seek>(
    zip: &mut ZipArchive<R>,
    manifest: &Manifest,
    verdict: &mut PackVerdict,
) -> Result<Option<BTreeMap<DestinationId, AccountBasis>>, PackFailure> {
    let bytes = part(zip, ACCOUNTS)?;
    let mut hashed = Hashed::new(io::sink());
    hashed.write_all(&bytes)?;
    contents(ACCOUNTS, hashed.contents(), manifest, verdict);
    let Some(head) = manifest.head() else {
        verdict.wrong(format!("{MANIFEST}: its time zone or its accounting are not known to this program"));
        return Ok(None);
    };
    let accounts = serde_json::from_slice(&bytes).ok().and_then(|read: Accounts| read.bases(head.accounting));
    if accounts.is_none() {
        verdict.wrong(format!("{ACCOUNTS}: it cannot be understood"));
    }
    Ok(accounts)
}

fn signature(
    manifest_bytes: &[u8],
    signature: &[u8],
    manifest: &Manifest,
    trusted: Option<&str>,
    verdict: &mut PackVerdict,
) {
    let key = from_hex(&manifest.public_key).unwrap_or_default();
    let signature = std::str::from_utf8(signature).ok().and_then(from_hex).unwrap_or_default();
    if UnparsedPublicKey::new(&ED25519, key).verify(manifest_bytes, &signature).is_err() {
        verdict.wrong(format!("{MANIFEST}: it was changed after it was signed ({SIGNATURE} does not fit)"));
    }
    if let Some(trusted) = trusted.map(|key| key.trim().to_lowercase())
        && trusted != manifest.public_key
    {
        verdict.wrong(format!("{SIGNATURE}: it was signed with the key {}, not with {trusted}", manifest.public_key));
    }
}

fn names<R: Read + Seek>(zip: &ZipArchive<R>, manifest: &Manifest, verdict: &mut PackVerdict) {
    let known: BTreeSet<&str> =
        manifest.files.keys().map(String::as_str).chain([MANIFEST, SIGNATURE]).chain(PARTS).collect();
    let all = zip.file_names().map(|name| name.map_or_else(|_| "a part without a name".to_owned(), Cow::into_owned));
    for name in all.filter(|name| !known.contains(name.as_str())) {
        verdict.wrong(format!("{name}: it is in the pack, and the manifest does not know it"));
    }
    for name in PARTS.into_iter().filter(|name| !manifest.files.contains_key(*name)) {
        verdict.wrong(format!("{name}: the manifest does not say what is in it"));
    }
}

/// Compares a part with what the manifest says of it.
fn contents(name: &str, found: crate::pack::Contents, manifest: &Manifest, verdict: &mut PackVerdict) {
    if manifest.files.get(name).is_some_and(|said| *said != found) {
        verdict.wrong(format!(
            "{name}: it is not the one that was signed ({} bytes, SHA-256 {})",
            found.bytes, found.sha256
        ));
    }
}

/// Reads the records, proves them, and makes the report of them anew; none if they do not make one.
fn records<R: Read + Seek>(
    zip: &mut ZipArchive<R>,
    manifest: &Manifest,
    accounts: &BTreeMap<DestinationId, AccountBasis>,
    verdict: &mut PackVerdict,
) -> Result<Option<std::fs::File>, PackFailure> {
    let file = zip.by_name(RECORDS).map_err(|error| PackFailure::NoPack(format!("{RECORDS}: {error}")))?;
    let said = manifest.files.get(RECORDS).map_or(u64::MAX - 1, |said| said.bytes);
    let mut reader = RecordReader { file: file.take(said.saturating_add(1)), hashed: Hashed::new(io::sink()), at: 0 };
    let (Some(head), Some(metrics)) = (manifest.head(), manifest.metrics()) else {
        verdict.wrong(format!("{MANIFEST}: its time zone or its metrics are not known to this program"));
        return Ok(None);
    };
    let columns = columns_for(&metrics);
    let mut report =
        XlsxReport::new(head, manifest.names(), metrics.clone(), columns, accounts).map_err(io::Error::other)?;
    let mut witness = Witness::new(accounts);
    // No more than there can be, whatever the manifest says.
    let most = usize::try_from(manifest.records.min(reader.file.limit() / LEAST_RECORD)).unwrap_or(0);
    let (mut links, mut is_whole) = (Vec::with_capacity(most.min(MAX_LINKS_AT_ONCE)), true);
    loop {
        match reader.next() {
            Ok(None) => break,
            Ok(Some((before, record))) => {
                let position = record.position;
                if record.verify_chain(before).is_err() {
                    verdict.wrong(format!("{RECORDS}: the record at position {position} does not follow its chain"));
                    is_whole = false;
                }
                if position.0 > manifest.position {
                    verdict.wrong(format!("{RECORDS}: position {position} lies behind what the report could know"));
                }
                links.push((position, before, record.chain));
                match decode(record.kind, record.version, &record.payload) {
                    Ok(event) => {
                        let envelope = Envelope { position, recorded_at: record.recorded_at, event };
                        report.add(&envelope).map_err(io::Error::other)?;
                        attest(&mut witness, &envelope, verdict);
                        verdict.records += 1;
                    }
                    Err(error) => {
                        verdict.wrong(format!("{RECORDS}: the record at position {position}: {error}"));
                        is_whole = false;
                    }
                }
            }
            Err(why) => {
                verdict.wrong(format!("{RECORDS}: {why}"));
                is_whole = false;
                break;
            }
        }
    }
    neighbours(links, manifest, verdict);
    against(witness, &metrics, verdict);
    if verdict.records != manifest.records && is_whole {
        verdict.wrong(format!("{RECORDS}: {} records, and {} were signed", verdict.records, manifest.records));
    }
    let hashed = reader.rest()?;
    contents(RECORDS, hashed, manifest, verdict);
    if !is_whole {
        return Ok(None);
    }
    let mut remade = tempfile::tempfile()?;
    report.finish(BufWriter::new(&mut remade)).map_err(io::Error::other)?;
    Ok(Some(remade))
}

/// Shows a record to the accounts.
fn attest(witness: &mut Witness<'_>, envelope: &Envelope, verdict: &mut PackVerdict) {
    let Some(((slot, probe, known), head)) = check_of(&envelope.event).zip(envelope.event.head()) else { return };
    if !witness.take((head.destination, head.job, probe), slot, known, envelope.position) {
        verdict.wrong(format!("{ACCOUNTS}: it knows nothing of the record at position {}", envelope.position));
    }
}

fn against(witness: Witness<'_>, metrics: &[Metric], verdict: &mut PackVerdict) {
    let (problems, unproved) = witness.verdict(metrics);
    problems.into_iter().for_each(|problem| verdict.wrong(format!("{ACCOUNTS}: {problem}")));
    verdict.unproved_streams = unproved;
}

/// No position twice; where two neighbours are there, and where the head is, the chain goes on from one to the other.
fn neighbours(mut links: Vec<(Position, ChainHash, ChainHash)>, manifest: &Manifest, verdict: &mut PackVerdict) {
    links.sort_unstable_by_key(|(position, ..)| *position);
    for pair in links.windows(2) {
        let [(first, _, after), (second, before, _)] = [pair[0], pair[1]];
        if first == second {
            verdict.wrong(format!("{RECORDS}: position {first} is there twice"));
        } else if first.next() == second && after != before {
            verdict.wrong(format!("{RECORDS}: position {second} does not follow position {first}"));
        }
    }
    if let Some((last, _, chain)) = links.last()
        && last.0 == manifest.position
        && chain.to_string() != manifest.chain
    {
        verdict.wrong(format!("{RECORDS}: the chain at position {last} is not the one of the manifest"));
    }
}

struct RecordReader<R> {
    file: R,
    hashed: Hashed<io::Sink>,
    at: u64,
}

impl<R: Read> RecordReader<R> {
    fn next(&mut self) -> Result<Option<(ChainHash, Record)>, String> {
        let cut = |at: u64| format!("it is cut off in the record at byte {at}");
        let mut front = [0; 16 + HEADER_BYTES];
        let read = fill(&mut self.file, &mut front).map_err(|error| error.to_string())?;
        self.hash(&front[..read])?;
        if read == 0 {
            return Ok(None);
        }
        let (before, header) = front.split_at(16);
        let length = header.get(24..28).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes) as usize;
        if read < front.len() {
            return Err(cut(self.at));
        }
        if length > MAX_PAYLOAD_BYTES {
            return Err(format!("the record at byte {} says that it is too long", self.at));
        }
        let mut bytes = header.to_vec();
        bytes.resize(HEADER_BYTES + length, 0);
        let read = fill(&mut self.file, &mut bytes[HEADER_BYTES..]).map_err(|error| error.to_string())?;
        let payload = bytes[HEADER_BYTES..HEADER_BYTES + read].to_vec();
        self.hash(&payload)?;
        if read < length {
            return Err(cut(self.at));
        }
        let (record, _) = Record::read(&bytes).map_err(|error| {
            let position = header.get(8..16).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes);
            format!("the record at position {position} (byte {}): {error}", self.at)
        })?;
        self.at += 16 + (HEADER_BYTES + length) as u64;
        Ok(Some((ChainHash(before.try_into().unwrap_or_default()), record)))
    }

    fn hash(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.hashed.write_all(bytes).map_err(|error| error.to_string())
    }

    /// Reads what is left, to its end, and says what all of it is.
    fn rest(mut self) -> io::Result<crate::pack::Contents> {
        // A part that does not unpack to its end is told by its digest.
        let _ = io::copy(&mut self.file, &mut self.hashed);
        Ok(self.hashed.contents())
    }
}

/// Reads until the buffer is full or there is no more.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// A part as a file, at most as long as the manifest says.
fn extracted<R: Read + Seek>(
    zip: &mut ZipArchive<R>,
    name: &str,
    manifest: &Manifest,
    verdict: &mut PackVerdict,
) -> Result<std::fs::File, PackFailure> {
    let mut out = tempfile::tempfile()?;
    let file = zip.by_name(name).map_err(|error| PackFailure::NoPack(format!("{name}: {error}")))?;
    let said = manifest.files.get(name).map_or(u64::MAX - 1, |said| said.bytes);
    let mut hashed = Hashed::new(BufWriter::new(&mut out));
    if let Err(error) = io::copy(&mut file.take(said.saturating_add(1)), &mut hashed) {
        verdict.wrong(format!("{name}: {error}"));
    }
    hashed.flush()?;
    let found = hashed.contents();
    contents(name, found, manifest, verdict);
    Ok(out)
}

/// Every cell of every sheet, in both: numbers bit by bit.
fn compare(given: impl Read + Seek, remade: impl Read + Seek, verdict: &mut PackVerdict) {
    let (mut given, mut remade) = match (Xlsx::new(given), Xlsx::new(remade)) {
        (Ok(given), Ok(remade)) => (given, remade),
        (Err(error), _) | (_, Err(error)) => {
            verdict.wrong(format!("{REPORT}: it cannot be read: {error}"));
            return;
        }
    };
    let (of_given, of_remade) = (given.sheet_names(), remade.sheet_names());
    if of_given != of_remade {
        verdict.wrong(format!("{REPORT}: its sheets are {}, not {}", of_given.join(", "), of_remade.join(", ")));
    }
    for sheet in of_remade.iter().filter(|sheet| of_given.contains(sheet)) {
        if let Err(error) = compare_sheet(&mut given, &mut remade, sheet, verdict) {
            verdict.wrong(format!("{REPORT}: the sheet {sheet} cannot be read: {error}"));
        }
    }
}

fn compare_sheet<A: Read + Seek, B: Read + Seek>(
    given: &mut Xlsx<A>,
    remade: &mut Xlsx<B>,
    sheet: &str,
    verdict: &mut PackVerdict,
) -> Result<(), calamine::XlsxError> {
    let mut given = given.worksheet_cells_reader(sheet)?;
    let mut remade = remade.worksheet_cells_reader(sheet)?;
    let mut next_given = || loop {
        match given.next_cell() {
            Ok(Some(cell)) if matches!(cell.get_value(), DataRef::Empty) => {}
            Ok(cell) => return Ok(cell.map(|cell| (cell.get_position(), value(cell.get_value())))),
            Err(error) => return Err(error),
        }
    };
    let mut next_remade = || loop {
        match remade.next_cell() {
            Ok(Some(cell)) if matches!(cell.get_value(), DataRef::Empty) => {}
            Ok(cell) => return Ok(cell.map(|cell| (cell.get_position(), value(cell.get_value())))),
            Err(error) => return Err(error),
        }
    };
    let (mut has, mut should) = (next_given()?, next_remade()?);
    loop {
        let at = |(row, column): (u32, u32)| format!("{REPORT}: {sheet}!{}", reference(row, column));
        match (&has, &should) {
            (None, None) => return Ok(()),
            (Some((place, value)), Some((wanted, right))) if place == wanted => {
                verdict.cells += 1;
                if value != right {
                    verdict.wrong(format!("{} says {value}, and the records give {right}", at(*place)));
                }
                (has, should) = (next_given()?, next_remade()?);
            }
            (Some((place, value)), other) if other.as_ref().is_none_or(|(wanted, _)| place < wanted) => {
                verdict.wrong(format!("{} says {value}, and the records give nothing", at(*place)));
                has = next_given()?;
            }
            (_, Some((wanted, right))) => {
                verdict.wrong(format!("{} is empty, and the records give {right}", at(*wanted)));
                should = next_remade()?;
            }
            (Some(_), None) => has = next_given()?,
        }
    }
}

/// A value in words that differ if the values do.
fn value(value: &DataRef<'_>) -> String {
    match value {
        DataRef::Float(real) => format!("{real:?}"),
        DataRef::Int(whole) => format!("{:?}", *whole as f64),
        DataRef::DateTime(at) => format!("{:?}", at.as_f64()),
        DataRef::String(text) => format!("{text:?}"),
        DataRef::SharedString(text) => format!("{text:?}"),
        DataRef::Bool(truth) => truth.to_string(),
        other => format!("{other:?}"),
    }
}

/// `AB12` of a place that counts from 0.
fn reference(row: u32, column: u32) -> String {
    let (mut letters, mut left) = (Vec::new(), u64::from(column) + 1);
    while left > 0 {
        letters.push(b'A' + u8::try_from((left - 1) % 26).unwrap_or(0));
        left = (left - 1) / 26;
    }
    letters.reverse();
    format!("{}{}", String::from_utf8_lossy(&letters), u64::from(row) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_have_the_names_of_a_spreadsheet() {
        for (row, column, name) in [(0, 0, "A1"), (4, 25, "Z5"), (0, 26, "AA1"), (11, 701, "ZZ12"), (0, 702, "AAA1")] {
            assert_eq!(reference(row, column), name);
        }
    }
}
