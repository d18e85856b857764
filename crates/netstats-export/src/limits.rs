//! What a report may hold at most.

/// Points of a line in a chart.
pub const MAX_CHART_BUCKETS: u32 = 500;
/// Lines in one chart; the table beside it holds all.
pub const MAX_CHART_SERIES: usize = 12;
/// Heatmaps in one workbook.
pub const MAX_HEATMAPS: usize = 40;
/// Rows of one worksheet, header included (Excel).
pub const MAX_SHEET_ROWS: u32 = 1_048_576;
/// Cells up to which the raw data is an Excel table: the writer keeps them all in memory. Larger sheets are written as
/// they grow, and have a frozen header and a filter instead.
pub const MAX_TABLE_CELLS: u32 = 400_000;
/// Rows of one group of a Parquet file: what its writer holds in memory.
pub const MAX_ROW_GROUP_ROWS: usize = 65_536;
/// Bytes of an evidence pack's manifest when it is read back: names of all destinations fit many times.
pub const MAX_MANIFEST_BYTES: u64 = 64 * 1024 * 1024;
/// Differences between a report and its records that are named one by one.
pub const MAX_NAMED_PROBLEMS: usize = 20;
/// Characters of one cell (Excel).
pub const MAX_CELL_CHARS: usize = 32_767;
