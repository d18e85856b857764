//! The Excel report: one pass over the events writes the raw sheet and gathers the figures, then the other sheets are
//! filled and the whole is written out.

mod charts;
mod looks;
mod others;
mod raw;
mod tables;

use std::collections::BTreeMap;
use std::io::Write;

use netstats_event::{DestinationId, Envelope, Metric};
use netstats_series::{AccountBasis, rows_of};
use rust_xlsxwriter::{DocProperties, Workbook, Worksheet, XlsxError};

use crate::column::Column;
use crate::names::Names;
use crate::report::{Report, ReportHead};
use looks::Looks;
use raw::RawSheets;

/// Why a workbook could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the Excel file could not be made: {0}")]
pub struct XlsxFailure(#[from] XlsxError);

/// Sheets before the raw data, in order.
const SHEETS: [&str; 9] =
    ["Summary", "Statistics", "Success rate", "Response time", "Distribution", "Heatmap", "Outages", "Paths", "About"];

/// Makes the report as an Excel workbook.
pub struct XlsxReport {
    workbook: Workbook,
    report: Report,
    names: Names,
    metrics: Vec<Metric>,
    looks: Looks,
    raw: RawSheets,
}

impl std::fmt::Debug for XlsxReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("XlsxReport").field("report", &self.report.head).finish_non_exhaustive()
    }
}

impl XlsxReport {
    /// An empty report; `columns` are those of the raw data, and `accounts` say how available the destinations were. Raw
    /// rows are kept in a temporary file, so that memory does not grow with them.
    ///
    /// # Errors
    /// The temporary file cannot be made.
    pub fn new(
        head: ReportHead,
        names: Names,
        metrics: Vec<Metric>,
        columns: Vec<&'static Column>,
        accounts: &BTreeMap<DestinationId, AccountBasis>,
    ) -> Result<Self, XlsxFailure> {
        let mut workbook = Workbook::new();
        // As Excel itself: a little larger, and half the time of a large one is its compression.
        workbook.set_zip_compression_level(3);
        let created = head.generated_at.as_secs();
        let mut properties = DocProperties::new()
            .set_title(&head.title)
            .set_subject(&head.scope)
            .set_author(&head.generator)
            .set_comment(format!("Log position {}, chain {}", head.position, head.chain));
        if let Ok(created) = rust_xlsxwriter::ExcelDateTime::from_timestamp(created) {
            properties = properties.set_creation_datetime(&created);
        }
        workbook.set_properties(&properties);
        for name in SHEETS {
            workbook.add_worksheet().set_name(name)?;
        }
        let looks = Looks::new();
        let raw = RawSheets::new(columns, head.time_zone.clone());
        let report = Report::new(head, accounts, &names);
        Ok(Self { workbook, report, names, metrics, looks, raw })
    }

    /// Takes up an event: samples and failed slots; others are passed over. Events of one destination come in the order
    /// of their slots.
    ///
    /// # Errors
    /// The temporary file cannot be written.
    pub fn add(&mut self, envelope: &Envelope) -> Result<(), XlsxFailure> {
        let rows = rows_of(envelope, &self.metrics);
        for row in &rows {
            self.names.complete(row);
            self.raw.write(&mut self.workbook, row, &self.names, &self.looks)?;
        }
        if let Some(row) = rows.first() {
            let (name, host) = self.names.destination(row.destination);
            self.report.add(envelope, &rows, name, host).map_err(XlsxError::from)?;
        }
        Ok(())
    }

    /// Fills the other sheets and writes the workbook.
    ///
    /// # Errors
    /// Those of `out` and of the temporary file.
    pub fn finish<W: Write + Send>(mut self, out: W) -> Result<Report, XlsxFailure> {
        self.raw.finish(&mut self.workbook, &self.names, &self.looks)?;
        let report = self.report.finish().map_err(XlsxError::from)?;
        let series = charts::response_time(sheet(&mut self.workbook, 3)?, &report, &self.looks)?;
        tables::summary(sheet(&mut self.workbook, 0)?, &report, &series, &self.looks)?;
        tables::statistics(sheet(&mut self.workbook, 1)?, &report, &self.looks)?;
        charts::success_rate(sheet(&mut self.workbook, 2)?, &report, &self.looks)?;
        charts::distribution(sheet(&mut self.workbook, 4)?, &report, &self.looks)?;
        charts::heatmap(sheet(&mut self.workbook, 5)?, &report, &self.looks)?;
        tables::outages(sheet(&mut self.workbook, 6)?, &report, &self.looks)?;
        tables::paths(sheet(&mut self.workbook, 7)?, &report, &self.names, &self.looks)?;
        tables::about(sheet(&mut self.workbook, 8)?, &report, &self.looks)?;
        others::insert(self.workbook.worksheets_mut(), SHEETS.len() - 1, &report, &self.looks)?;
        self.workbook.save_to_writer(out)?;
        Ok(report)
    }
}

fn sheet(workbook: &mut Workbook, index: usize) -> Result<&mut Worksheet, XlsxError> {
    workbook.worksheet_from_index(index)
}
