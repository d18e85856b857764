//! Raw data: one row a (slot, destination, metric), as many sheets as it takes, in constant memory.
//!
//! What is small is an Excel table. The writer needs all rows of a table in memory, so the first rows wait until it is
//! known whether more come: then they go into a sheet that is written as it grows, with a frozen header and a filter.

use jiff::tz::TimeZone;
use netstats_series::Row;
use rust_xlsxwriter::{Table, TableColumn, Workbook, Worksheet, XlsxError};

use super::looks::{Looks, serial, set_up_print, text};
use crate::column::{Cell, Column};
use crate::limits::{MAX_SHEET_ROWS, MAX_TABLE_CELLS};
use crate::names::Names;

/// The raw data being written.
pub(super) struct RawSheets {
    columns: Vec<&'static Column>,
    zone: TimeZone,
    /// Rows that wait; none once they are too many for a table.
    waiting: Option<Vec<Row>>,
    /// Index of the current sheet in the workbook.
    sheet: usize,
    sheets: u32,
    /// The next row.
    row: u32,
    /// Rows of a sheet, and cells of a table, at most.
    most_rows: u32,
    most_cells: u32,
}

impl RawSheets {
    pub(super) fn new(columns: Vec<&'static Column>, zone: TimeZone) -> Self {
        Self {
            columns,
            zone,
            waiting: Some(Vec::new()),
            sheet: 0,
            sheets: 0,
            row: 0,
            most_rows: MAX_SHEET_ROWS,
            most_cells: MAX_TABLE_CELLS,
        }
    }

    pub(super) fn write(
        &mut self,
        workbook: &mut Workbook,
        row: &Row,
        names: &Names,
        looks: &Looks,
    ) -> Result<(), XlsxError> {
        if let Some(waiting) = &mut self.waiting {
            waiting.push(row.clone());
            let cells = waiting.len().saturating_mul(self.columns.len());
            if cells > self.most_cells as usize {
                let rows = self.waiting.take().unwrap_or_default();
                self.next_sheet(workbook, looks)?;
                return rows.iter().try_for_each(|row| self.append(workbook, row, names, looks));
            }
            return Ok(());
        }
        self.append(workbook, row, names, looks)
    }

    pub(super) fn finish(&mut self, workbook: &mut Workbook, names: &Names, looks: &Looks) -> Result<(), XlsxError> {
        let Some(rows) = self.waiting.take() else { return self.close_sheet(workbook) };
        let sheet = workbook.add_worksheet();
        begin(sheet, "Raw data", &self.columns, looks)?;
        for (at, row) in (1..).zip(&rows) {
            write_row(sheet, at, &self.columns, row, names, &self.zone)?;
        }
        let last_row = u32::try_from(rows.len()).unwrap_or(MAX_SHEET_ROWS - 1);
        if rows.is_empty() {
            return Ok(());
        }
        let column = |about: &&Column| TableColumn::new().set_header(about.name).set_header_format(&looks.header);
        let columns: Vec<_> = self.columns.iter().map(column).collect();
        let table = Table::new().set_columns(&columns).set_name("RawData");
        sheet.add_table(0, 0, last_row, last(&self.columns), &table)?;
        Ok(())
    }

    fn append(&mut self, workbook: &mut Workbook, row: &Row, names: &Names, looks: &Looks) -> Result<(), XlsxError> {
        if self.row == self.most_rows {
            self.close_sheet(workbook)?;
            self.next_sheet(workbook, looks)?;
        }
        let sheet = workbook.worksheet_from_index(self.sheet)?;
        write_row(sheet, self.row, &self.columns, row, names, &self.zone)?;
        self.row += 1;
        Ok(())
    }

    fn next_sheet(&mut self, workbook: &mut Workbook, looks: &Looks) -> Result<(), XlsxError> {
        self.sheet = workbook.worksheets().len();
        self.sheets += 1;
        let name = if self.sheets == 1 { "Raw data".to_owned() } else { format!("Raw data {}", self.sheets) };
        let sheet = workbook.add_worksheet_with_constant_memory()?;
        begin(sheet, &name, &self.columns, looks)?;
        self.row = 1;
        Ok(())
    }

    fn close_sheet(&mut self, workbook: &mut Workbook) -> Result<(), XlsxError> {
        let sheet = workbook.worksheet_from_index(self.sheet)?;
        sheet.autofilter(0, 0, self.row - 1, last(&self.columns))?;
        Ok(())
    }
}

fn last(columns: &[&'static Column]) -> u16 {
    u16::try_from(columns.len().saturating_sub(1)).unwrap_or(u16::MAX)
}

/// As wide as its values and its name with the filter's arrow.
fn width(about: &Column) -> f64 {
    let name = u16::try_from(about.name.len()).unwrap_or(u16::MAX);
    f64::from(u16::from(about.width).max(name.saturating_add(2))) + 2.0
}

fn begin(sheet: &mut Worksheet, name: &str, columns: &[&'static Column], looks: &Looks) -> Result<(), XlsxError> {
    sheet.set_name(name)?;
    for (column, about) in (0..).zip(columns) {
        sheet.set_column_width(column, width(about))?;
        // A cell without a format of its own takes its column's: no format is looked up for each of millions.
        sheet.set_column_format(column, looks.of(about.look))?;
    }
    sheet.set_freeze_panes(1, 0)?;
    set_up_print(sheet, Some(0), columns.iter().map(|about| width(about)).sum())?;
    for (column, about) in (0..).zip(columns) {
        sheet.write_string_with_format(0, column, about.name, &looks.header)?;
    }
    Ok(())
}

fn write_row(
    sheet: &mut Worksheet,
    at: u32,
    columns: &[&'static Column],
    row: &Row,
    names: &Names,
    zone: &TimeZone,
) -> Result<(), XlsxError> {
    let line = names.line(row);
    for (column, about) in (0..).zip(columns) {
        write_cell(sheet, at, column, (about.value)(&line), zone)?;
    }
    Ok(())
}

fn write_cell(sheet: &mut Worksheet, row: u32, column: u16, cell: Cell<'_>, zone: &TimeZone) -> Result<(), XlsxError> {
    match cell {
        // Undefined stays empty: a filter, a chart and a mean pass over it.
        Cell::Empty => {}
        #[expect(clippy::cast_precision_loss, reason = "Excel has no larger integers")]
        Cell::Count(count) => {
            sheet.write_number(row, column, count as f64)?;
        }
        Cell::Real(real) => {
            sheet.write_number(row, column, real)?;
        }
        Cell::Truth(truth) => {
            sheet.write_boolean(row, column, truth)?;
        }
        Cell::Time(at) => {
            sheet.write_number(row, column, serial(zone, at))?;
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

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use calamine::{Reader, Xlsx};
    use netstats_event::{
        DestinationId, Envelope, FailReason, JobId, Metric, Position, ProbeKind, SampleFlags, SampleHead, SlotFailed,
        Timestamp,
    };

    use super::*;
    use crate::columns_named;

    #[test]
    fn what_is_too_much_for_a_sheet_goes_on_in_the_next() {
        let columns = columns_named(["position", "status"]).unwrap();
        let (mut workbook, looks, names) = (Workbook::new(), Looks::new(), Names::default());
        let mut raw = RawSheets { most_rows: 4, most_cells: 6, ..RawSheets::new(columns, TimeZone::UTC) };
        for number in 1..=8 {
            let (job, destination) = (JobId(1), DestinationId(1));
            let slot_at = Timestamp::from_secs(number);
            let head = SampleHead { job, destination, slot_at, lateness_us: 0, flags: SampleFlags::default() };
            let failed =
                SlotFailed { head, probe: ProbeKind::Ping, reason: FailReason::NotPermitted, detail: String::new() };
            let position = Position(u64::try_from(number).unwrap());
            let envelope = Envelope { position, recorded_at: slot_at, event: failed.into() };
            for row in netstats_series::rows_of(&envelope, &[Metric::Ping]) {
                raw.write(&mut workbook, &row, &names, &looks).unwrap();
            }
        }
        raw.finish(&mut workbook, &names, &looks).unwrap();
        let mut read = Xlsx::new(Cursor::new(workbook.save_to_buffer().unwrap())).unwrap();
        assert_eq!(read.sheet_names(), ["Raw data", "Raw data 2", "Raw data 3"]);
        let column = |name: &str, read: &mut Xlsx<_>| -> Vec<String> {
            read.worksheet_range(name).unwrap().rows().map(|row| row[0].to_string()).collect()
        };
        assert_eq!(column("Raw data", &mut read), ["position", "1", "2", "3"]);
        assert_eq!(column("Raw data 2", &mut read), ["position", "4", "5", "6"]);
        assert_eq!(column("Raw data 3", &mut read), ["position", "7", "8"]);
    }
}
