//! Rows and reports on any `Write`: csv, JSON lines, a JSON array, Parquet, Excel, and the evidence pack that proves one.
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

mod accounts;
mod column;
mod csv;
#[cfg(any(test, netstats_fuzz))]
pub mod fuzz;
mod json;
mod limits;
mod names;
mod pack;
#[cfg(feature = "parquet")]
mod parquet_file;
mod probes;
mod report;
mod spill;
mod time;
mod verify;
mod write;
mod xlsx;

pub use column::{COLUMNS, Cell, Column, Line, Look, columns_for, columns_named};
pub use csv::{CsvStyle, CsvWriter};
pub use json::{JsonStyle, JsonWriter};
pub use limits::{
    MAX_CELL_CHARS, MAX_CHART_BUCKETS, MAX_CHART_SERIES, MAX_COLUMN_DESTINATIONS, MAX_HEATMAPS, MAX_LINKS_AT_ONCE,
    MAX_MANIFEST_BYTES, MAX_NAMED_PROBLEMS, MAX_PENDING_VALUES, MAX_ROW_GROUP_ROWS, MAX_SELECTED_VALUES,
    MAX_SHEET_ROWS, MAX_TABLE_CELLS,
};
pub use names::Names;
pub use pack::{Linked, Records, SigningKey};
#[cfg(feature = "parquet")]
pub use parquet_file::ParquetWriter;
pub use probes::{ProbeKey, ProbeReport};
pub use report::{BIN_ENDS, BucketTimes, DestinationReport, Outage, PathVersion, Report, ReportHead, Slots, bin_of};
pub use verify::{PackFailure, PackVerdict, verify_pack};
pub use write::{Export, Format, Proof};
pub use xlsx::{XlsxFailure, XlsxReport};
