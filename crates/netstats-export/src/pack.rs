//! The evidence pack: a zip with the report, the exact records that it was made of, and a signed manifest. Whoever has
//! it can make the report again, without the server ([`crate::verify_pack`]).
//!
//! ```text
//! records.bin     for each record: the chain's value before it (16 bytes), then the record as the log keeps it
//! report.xlsx     what the report says of them
//! accounts.json   what its accounts of availability rest on: for each job's probe of each destination what the checks
//!                 found, one after another, also before the first record; and maintenance
//! manifest.json   what both are about, their SHA-256, the log's position and chain, the signer's public key
//! manifest.sig    ed25519 over the bytes of manifest.json, in hexadecimal
//! ```
//! Records in between that are about something else are not in the pack: they are nobody's business. Where two
//! neighbours are in it, the chain must go on from the one to the other.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};

use jiff::tz::TimeZone;
use netstats_event::{ChainHash, DestinationId, Envelope, JobId, Metric, Position, Record, Timestamp};
use netstats_series::AccountBasis;
use ring::digest::{Context, SHA256};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde::{Deserialize, Serialize};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use crate::accounts::{Accounts, Method};
use crate::column::columns_for;
use crate::names::Names;
use crate::report::ReportHead;
use crate::xlsx::XlsxReport;

pub(crate) const RECORDS: &str = "records.bin";
pub(crate) const REPORT: &str = "report.xlsx";
pub(crate) const ACCOUNTS: &str = "accounts.json";
pub(crate) const MANIFEST: &str = "manifest.json";
pub(crate) const SIGNATURE: &str = "manifest.sig";
pub(crate) const FORMAT: &str = "network-stats evidence pack 2";

/// The key of an installation. It is made once, kept in the data folder, and never leaves it.
pub struct SigningKey(Ed25519KeyPair);

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({})", self.public_hex())
    }
}

impl SigningKey {
    /// The key that 32 random bytes make.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(seed).expect("any 32 bytes are a seed"))
    }

    /// The public key in hexadecimal: what others know the installation by.
    #[must_use]
    pub fn public_hex(&self) -> String {
        hex(self.0.public_key().as_ref())
    }

    pub(crate) fn sign(&self, bytes: &[u8]) -> String {
        hex(self.0.sign(bytes).as_ref())
    }
}

/// What a pack is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) format: String,
    pub(crate) generator: String,
    pub(crate) title: String,
    pub(crate) scope: String,
    pub(crate) generated_at_ms: i64,
    pub(crate) from_ms: i64,
    pub(crate) to_ms: i64,
    pub(crate) time_zone: String,
    pub(crate) metrics: Vec<String>,
    pub(crate) accounting: Method,
    /// The last position that the report could know, and the chain there.
    pub(crate) position: u64,
    pub(crate) chain: String,
    pub(crate) jobs: BTreeMap<u32, String>,
    pub(crate) destinations: BTreeMap<u32, NamedHost>,
    pub(crate) records: u64,
    pub(crate) files: BTreeMap<String, Contents>,
    pub(crate) public_key: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NamedHost {
    pub(crate) name: String,
    pub(crate) host: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Contents {
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

impl Manifest {
    /// What the report was made with, as far as it says.
    pub(crate) fn head(&self) -> Option<ReportHead> {
        Some(ReportHead {
            title: self.title.clone(),
            scope: self.scope.clone(),
            range: Timestamp::from_millis(self.from_ms)..Timestamp::from_millis(self.to_ms),
            time_zone: TimeZone::get(&self.time_zone).ok()?,
            time_zone_name: self.time_zone.clone(),
            generated_at: Timestamp::from_millis(self.generated_at_ms),
            generator: self.generator.clone(),
            accounting: self.accounting.accounting()?,
            position: Position(self.position),
            chain: self.chain.clone(),
        })
    }

    pub(crate) fn names(&self) -> Names {
        let mut names = Names::default();
        self.jobs.iter().for_each(|(id, name)| names.add_job(JobId(*id), name));
        for (id, NamedHost { name, host }) in &self.destinations {
            names.add_destination(DestinationId(*id), name, host);
        }
        names
    }

    pub(crate) fn metrics(&self) -> Option<Vec<Metric>> {
        self.metrics.iter().map(|name| Metric::from_name(name)).collect()
    }
}

/// A record with the chain's value before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linked {
    /// The chain's value after the record before.
    pub before: ChainHash,
    /// The record.
    pub record: Record,
}

/// Where the records of some events are read: for each position, in the order given.
pub type Records<'a> = &'a mut dyn FnMut(&[Position]) -> io::Result<Vec<Linked>>;

/// What a pack is made with.
pub(crate) struct Pack<'a> {
    pub(crate) head: ReportHead,
    pub(crate) names: Names,
    pub(crate) metrics: Vec<Metric>,
    pub(crate) accounts: BTreeMap<DestinationId, AccountBasis>,
    pub(crate) key: &'a SigningKey,
}

impl Pack<'_> {
    /// Writes the pack, portion by portion; returns the report's rows.
    pub(crate) fn write(
        self,
        portions: impl Iterator<Item = io::Result<Vec<Envelope>>>,
        records: Records<'_>,
        out: impl Write + Send,
    ) -> io::Result<u64> {
        let Self { head, names, metrics, accounts, key } = self;
        let mut report =
            XlsxReport::new(head.clone(), names.clone(), metrics.clone(), columns_for(&metrics), &accounts)
                .map_err(io::Error::other)?;
        let mut used = Used { names, ..Used::default() };
        // What the report says of a destination without records it says by its name too.
        accounts.keys().for_each(|id| used.name(*id));
        let mut zip = ZipWriter::new_stream(out);
        zip.start_file(RECORDS, options())?;
        let mut hashed = Hashed::new(&mut zip);
        let mut buffer = Vec::new();
        for portion in portions {
            let portion = portion?;
            let positions: Vec<Position> = portion.iter().map(|event| event.position).collect();
            for Linked { before, record } in records(&positions)? {
                buffer.clear();
                buffer.extend_from_slice(&before.0);
                record.write(&mut buffer);
                hashed.write_all(&buffer)?;
            }
            for event in &portion {
                used.note(event);
                report.add(event).map_err(io::Error::other)?;
            }
        }
        let mut files = BTreeMap::from([(RECORDS.to_owned(), hashed.contents())]);
        zip.start_file(REPORT, options())?;
        let mut hashed = Hashed::new(&mut zip);
        let report = report.finish(&mut hashed).map_err(io::Error::other)?;
        files.insert(REPORT.to_owned(), hashed.contents());
        zip.start_file(ACCOUNTS, options())?;
        let mut hashed = Hashed::new(BufWriter::new(&mut zip));
        serde_json::to_writer(&mut hashed, &Accounts::of(&accounts)).map_err(io::Error::other)?;
        hashed.flush()?;
        files.insert(ACCOUNTS.to_owned(), hashed.contents());

        let manifest = used.manifest(&head, &metrics, files, key);
        let bytes = serde_json::to_vec_pretty(&manifest).map_err(io::Error::other)?;
        zip.start_file(MANIFEST, options())?;
        zip.write_all(&bytes)?;
        zip.start_file(SIGNATURE, options())?;
        zip.write_all(key.sign(&bytes).as_bytes())?;
        zip.finish()?.flush()?;
        Ok(report.rows.values().sum())
    }
}

/// What came up on the way.
#[derive(Default)]
struct Used {
    names: Names,
    jobs: BTreeMap<u32, String>,
    destinations: BTreeMap<u32, NamedHost>,
    records: u64,
}

impl Used {
    fn note(&mut self, event: &Envelope) {
        self.records += 1;
        let Some(head) = event.event.head() else { return };
        if !self.jobs.contains_key(&head.job.0) {
            self.names.complete_ids(head.job, head.destination);
            self.jobs.insert(head.job.0, self.names.job(head.job).to_owned());
        }
        self.name(head.destination);
    }

    fn name(&mut self, id: DestinationId) {
        if !self.destinations.contains_key(&id.0) {
            self.names.complete_destination(id);
            let (name, host) = self.names.destination(id);
            self.destinations.insert(id.0, NamedHost { name: name.to_owned(), host: host.to_owned() });
        }
    }

    fn manifest(
        self,
        head: &ReportHead,
        metrics: &[Metric],
        files: BTreeMap<String, Contents>,
        key: &SigningKey,
    ) -> Manifest {
        Manifest {
            format: FORMAT.to_owned(),
            generator: head.generator.clone(),
            title: head.title.clone(),
            scope: head.scope.clone(),
            generated_at_ms: head.generated_at.as_millis(),
            from_ms: head.range.start.as_millis(),
            to_ms: head.range.end.as_millis(),
            time_zone: head.time_zone_name.clone(),
            metrics: metrics.iter().map(|metric| metric.name().to_owned()).collect(),
            accounting: Method::of(&head.accounting),
            position: head.position.0,
            chain: head.chain.clone(),
            jobs: self.jobs,
            destinations: self.destinations,
            records: self.records,
            files,
            public_key: key.public_hex(),
        }
    }
}

/// The same bytes in every making: no clock, no rights.
fn options() -> SimpleFileOptions {
    SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(DateTime::default())
        .large_file(true)
}

/// Counts and hashes what goes through.
pub(crate) struct Hashed<W> {
    out: W,
    context: Context,
    bytes: u64,
}

impl<W> Hashed<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, context: Context::new(&SHA256), bytes: 0 }
    }

    pub(crate) fn contents(self) -> Contents {
        Contents { bytes: self.bytes, sha256: hex(self.context.finish().as_ref()) }
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.context.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let text = text.trim();
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}
