//! One way from events to a file, whatever its format.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::sync::mpsc;

use netstats_event::{DestinationId, Envelope, Metric};
use netstats_series::{AccountBasis, Row, rows_of};

use crate::pack::Pack;
use crate::report::ReportHead;
use crate::{Column, CsvStyle, CsvWriter, JsonStyle, JsonWriter, Names, Records, SigningKey, XlsxReport};

/// What kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The report as an Excel workbook.
    Xlsx,
    /// Rows, RFC 4180.
    Csv(CsvStyle),
    /// Rows, one JSON array.
    Json,
    /// Rows, a JSON object a line.
    JsonLines,
    /// Rows, Apache Parquet.
    Parquet,
    /// The report with the records it was made of, signed.
    Pack,
}

/// What an evidence pack needs besides the events.
pub struct Proof<'a> {
    /// Where their records are read.
    pub records: Records<'a>,
    /// Who signs.
    pub key: &'a SigningKey,
}

impl std::fmt::Debug for Proof<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proof").field("key", self.key).finish_non_exhaustive()
    }
}

impl Format {
    /// The formats' names.
    pub const NAMES: [&str; 6] = ["xlsx", "csv", "json", "jsonl", "parquet", "pack"];

    /// The format of that name; csv as RFC 4180 has it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "xlsx" => Some(Self::Xlsx),
            "csv" => Some(Self::Csv(CsvStyle::default())),
            "json" => Some(Self::Json),
            "jsonl" => Some(Self::JsonLines),
            "parquet" => Some(Self::Parquet),
            "pack" => Some(Self::Pack),
            _ => None,
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Xlsx => "xlsx",
            Self::Csv(_) => "csv",
            Self::Json => "json",
            Self::JsonLines => "jsonl",
            Self::Parquet => "parquet",
            Self::Pack => "pack",
        }
    }

    /// The ending of its files.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Pack => "zip",
            _ => self.name(),
        }
    }

    /// Its media type.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            Self::Csv(_) => "text/csv; charset=utf-8",
            Self::Json => "application/json",
            Self::JsonLines => "application/x-ndjson",
            Self::Parquet => "application/vnd.apache.parquet",
            Self::Pack => "application/zip",
        }
    }
}

/// What is to be written.
#[derive(Clone, Debug)]
pub struct Export {
    /// Into what.
    pub format: Format,
    /// What it is about; the report says so.
    pub head: ReportHead,
    /// Names of ids, those of removed entries included.
    pub names: Names,
    /// Rows of these metrics, in this order for each event.
    pub metrics: Vec<Metric>,
    /// The columns of rows; a pack has those of its metrics.
    pub columns: Vec<&'static Column>,
    /// What the accounts of availability rest on, by destination; rows have none.
    pub accounts: BTreeMap<DestinationId, AccountBasis>,
}

impl Export {
    /// Writes the events, portion by portion, in the order in which they come: that of their slots. Returns the number
    /// of rows.
    ///
    /// # Errors
    /// Those of the events' source and of `out`; a pack without `proof`.
    pub fn write(
        self,
        portions: impl Iterator<Item = io::Result<Vec<Envelope>>> + Send,
        proof: Option<Proof<'_>>,
        out: impl Write + Send,
    ) -> io::Result<u64> {
        match self.format {
            Format::Pack => {
                let Proof { records, key } = proof.ok_or_else(|| io::Error::other("a pack is made with a key"))?;
                let Self { head, names, metrics, accounts, .. } = self;
                Pack { head, names, metrics, accounts, key }.write(portions, records, BufWriter::new(out))
            }
            Format::Parquet => self.parquet(portions, out),
            Format::Xlsx => self.workbook(portions, out),
            Format::Csv(style) => {
                let mut csv = CsvWriter::new(BufWriter::new(out), self.columns.clone(), style)?;
                let rows = self.each(portions, |line| csv.write(line))?;
                csv.finish()?.flush()?;
                Ok(rows)
            }
            Format::Json => self.json(portions, out, JsonStyle::Array),
            Format::JsonLines => self.json(portions, out, JsonStyle::Lines),
        }
    }

    fn json(
        self,
        portions: impl Iterator<Item = io::Result<Vec<Envelope>>> + Send,
        out: impl Write,
        style: JsonStyle,
    ) -> io::Result<u64> {
        let mut json = JsonWriter::new(BufWriter::new(out), self.columns.clone(), style)?;
        let rows = self.each(portions, |line| json.write(line))?;
        json.finish()?.flush()?;
        Ok(rows)
    }

    #[cfg(feature = "parquet")]
    fn parquet(
        self,
        portions: impl Iterator<Item = io::Result<Vec<Envelope>>> + Send,
        out: impl Write + Send,
    ) -> io::Result<u64> {
        let out = BufWriter::new(out);
        let mut parquet = crate::ParquetWriter::new(out, self.columns.clone(), &self.head.generator)?;
        let rows = self.each(portions, |line| parquet.write(line))?;
        parquet.finish()?.flush()?;
        Ok(rows)
    }

    #[cfg(not(feature = "parquet"))]
    fn parquet(
        self,
        _portions: impl Iterator<Item = io::Result<Vec<Envelope>>> + Send,
        _out: impl Write + Send,
    ) -> io::Result<u64> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "this program was built without Parquet"))
    }

    /// The rows are made by a thread of their own, a few portions ahead of the writing at most.
    fn each(
        self,
        portions: impl Iterator<Item = io::Result<Vec<Envelope>>> + Send,
        mut write: impl FnMut(&crate::Line<'_>) -> io::Result<()>,
    ) -> io::Result<u64> {
        const AHEAD: usize = 2;
        let Self { mut names, metrics, .. } = self;
        let rows_in = |portion: Vec<Envelope>| {
            let mut rows = Vec::with_capacity(portion.len());
            portion.iter().for_each(|event| rows.extend(rows_of(event, &metrics)));
            rows
        };
        std::thread::scope(|scope| {
            let (made, to_write) = mpsc::sync_channel::<io::Result<Vec<Row>>>(AHEAD);
            scope.spawn(move || {
                // Nobody takes them any more once the writing has failed.
                portions.map(|portion| portion.map(&rows_in)).all(|rows| made.send(rows).is_ok())
            });
            let mut count = 0;
            for rows in to_write {
                for row in rows? {
                    names.complete(&row);
                    write(&names.line(&row))?;
                    count += 1;
                }
            }
            Ok(count)
        })
    }

    fn workbook(
        self,
        portions: impl Iterator<Item = io::Result<Vec<Envelope>>> + Send,
        out: impl Write + Send,
    ) -> io::Result<u64> {
        let mut report = XlsxReport::new(self.head, self.names, self.metrics, self.columns, &self.accounts)
            .map_err(io::Error::other)?;
        for portion in portions {
            for event in &portion? {
                report.add(event).map_err(io::Error::other)?;
            }
        }
        let report = report.finish(BufWriter::new(out)).map_err(io::Error::other)?;
        Ok(report.rows.values().sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_has_a_name_that_finds_it() {
        for name in Format::NAMES {
            assert_eq!(Format::from_name(name).map(Format::name), Some(name));
        }
        assert_eq!(Format::from_name("exe"), None);
    }
}
