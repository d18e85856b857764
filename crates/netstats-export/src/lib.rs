//! Rows and reports on any `Write`: csv, JSON lines, a JSON array, Excel.
//!
//! ```
//! use netstats_export::{CsvStyle, CsvWriter, columns_named};
//!
//! let columns = columns_named(["timestamp", "destination", "response_time_ms"]).unwrap();
//! let csv = CsvWriter::new(Vec::new(), columns, CsvStyle::default()).unwrap();
//! assert_eq!(csv.finish().unwrap(), b"timestamp,destination,response_time_ms\r\n");
//! ```
//!
//! # It is not
//! - a query: it is handed rows and events, and writes them;
//! - aware of the log, of HTTP or of file paths: whoever calls it owns the `Write`.

mod column;
mod csv;
mod json;
mod limits;
mod names;
mod report;
mod time;
mod write;
mod xlsx;

pub use column::{COLUMNS, Cell, Column, Line, Look, columns_for, columns_named};
pub use csv::{CsvStyle, CsvWriter};
pub use json::{JsonStyle, JsonWriter};
pub use limits::{MAX_CELL_CHARS, MAX_CHART_BUCKETS, MAX_CHART_SERIES, MAX_HEATMAPS, MAX_SHEET_ROWS, MAX_TABLE_CELLS};
pub use names::Names;
pub use report::{DestinationReport, Outage, PathVersion, Report, ReportHead, Slots};
pub use write::{Export, Format};
pub use xlsx::{XlsxFailure, XlsxReport};
