//! Raw data: one row a (slot, destination, metric), as many sheets as it takes, in constant memory.

use jiff::tz::TimeZone;
use netstats_event::Metric;
use rust_xlsxwriter::{Table, TableColumn, Workbook, Worksheet, XlsxError};

use super::looks::{Looks, serial, set_up_print, text};
use crate::column::{Cell, Column, Line, columns_for};
use crate::limits::{MAX_SHEET_ROWS, MAX_TABLE_CELLS};

/// The raw sheet being written.
pub(super) struct RawSheet {
    columns: Vec<&'static Column>,
    zone: TimeZone,
    /// Index of the current sheet in the workbook.
    sheet: usize,
    sheets: u32,
    /// The next row.
    row: u32,
}

impl RawSheet {
    pub(super) fn open(
        workbook: &mut Workbook,
        metrics: &[Metric],
        zone: TimeZone,
        looks: &Looks,
    ) -> Result<Self, XlsxError> {
        let mut raw = Self { columns: columns_for(metrics), zone, sheet: 0, sheets: 0, row: 0 };
        raw.next_sheet(workbook, looks)?;
        Ok(raw)
    }

    fn next_sheet(&mut self, workbook: &mut Workbook, looks: &Looks) -> Result<(), XlsxError> {
        self.sheet = workbook.worksheets().len();
        self.sheets += 1;
        let sheet = workbook.add_worksheet_with_constant_memory()?;
        let name = if self.sheets == 1 { "Raw data".to_owned() } else { format!("Raw data {}", self.sheets) };
        sheet.set_name(name)?;
        for (column, about) in (0..).zip(&self.columns) {
            sheet.set_column_width(column, f64::from(about.width) + 2.0)?;
        }
        sheet.set_freeze_panes(1, 0)?;
        set_up_print(sheet, Some(0))?;
        for (column, about) in (0..).zip(&self.columns) {
            sheet.write_string_with_format(0, column, about.name, &looks.header)?;
        }
        self.row = 1;
        Ok(())
    }

    pub(super) fn write(&mut self, workbook: &mut Workbook, line: &Line<'_>, looks: &Looks) -> Result<(), XlsxError> {
        if self.row == MAX_SHEET_ROWS {
            self.close_sheet(workbook)?;
            self.next_sheet(workbook, looks)?;
        }
        let sheet = workbook.worksheet_from_index(self.sheet)?;
        for (column, about) in (0..).zip(&self.columns) {
            let format = looks.of(about.look);
            write_cell(sheet, self.row, column, (about.value)(line), &self.zone, format)?;
        }
        self.row += 1;
        Ok(())
    }

    pub(super) fn finish(&mut self, workbook: &mut Workbook) -> Result<(), XlsxError> {
        self.close_sheet(workbook)
    }

    fn close_sheet(&mut self, workbook: &mut Workbook) -> Result<(), XlsxError> {
        let last_column = u16::try_from(self.columns.len().saturating_sub(1)).unwrap_or(u16::MAX);
        let sheet = workbook.worksheet_from_index(self.sheet)?;
        let has_rows = self.row > 1;
        let cells = u64::from(self.row) * u64::from(last_column);
        if has_rows && cells <= u64::from(MAX_TABLE_CELLS) {
            let columns: Vec<_> = self.columns.iter().map(|about| TableColumn::new().set_header(about.name)).collect();
            let table = Table::new().set_columns(&columns).set_name(format!("RawData{}", self.sheets));
            sheet.add_table(0, 0, self.row - 1, last_column, &table)?;
        } else {
            sheet.autofilter(0, 0, self.row - 1, last_column)?;
        }
        Ok(())
    }
}

fn write_cell(
    sheet: &mut Worksheet,
    row: u32,
    column: u16,
    cell: Cell<'_>,
    zone: &TimeZone,
    format: &rust_xlsxwriter::Format,
) -> Result<(), XlsxError> {
    match cell {
        // Undefined stays empty: a filter, a chart and a mean pass over it.
        Cell::Empty => {}
        #[expect(clippy::cast_precision_loss, reason = "Excel has no larger integers")]
        Cell::Count(count) => {
            sheet.write_number_with_format(row, column, count as f64, format)?;
        }
        Cell::Real(real) => {
            sheet.write_number_with_format(row, column, real, format)?;
        }
        Cell::Truth(truth) => {
            sheet.write_boolean(row, column, truth)?;
        }
        Cell::Time(at) => {
            sheet.write_number_with_format(row, column, serial(zone, at), format)?;
        }
        Cell::Address(address) => {
            sheet.write_string(row, column, address.to_string())?;
        }
        // Never as a formula or a link: what looks like one stays text.
        Cell::Text(value) => {
            sheet.write_string(row, column, text(&value))?;
        }
    }
    Ok(())
}
