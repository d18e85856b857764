//! What a report may hold at most.

/// Points of a line in a chart.
pub const MAX_CHART_BUCKETS: u32 = 500;
/// Lines in one chart; the table beside it holds all.
pub const MAX_CHART_SERIES: usize = 12;
/// Destinations with a column of their own in the sheets that have one for each.
pub const MAX_COLUMN_DESTINATIONS: usize = 500;
/// Heatmaps in one workbook.
pub const MAX_HEATMAPS: usize = 40;
/// Values of one figure that wait in memory before they go into the temporary file.
pub const MAX_PENDING_VALUES: usize = 256;
/// Values of one figure that are loaded to find their order statistics; more are counted in passes over the file.
pub const MAX_SELECTED_VALUES: usize = 524_288;
/// Rows of one worksheet, header included (Excel).
pub const MAX_SHEET_ROWS: u32 = 1_048_576;
/// Cells up to which the raw data is an Excel table: the writer keeps them all in memory. Larger sheets are written as
/// they grow, and have a frozen header and a filter instead.
pub const MAX_TABLE_CELLS: u32 = 400_000;
/// Rows of one group of a Parquet file: what its writer holds in memory.
pub const MAX_ROW_GROUP_ROWS: usize = 65_536;
/// Bytes of an evidence pack's manifest, and of its accounts, when they are read back: names of all destinations fit many
/// times.
pub const MAX_MANIFEST_BYTES: u64 = 64 * 1024 * 1024;
/// Records of a pack that room is made for at once when it is verified: 40 bytes each.
pub const MAX_LINKS_AT_ONCE: usize = 4 * 1024 * 1024;
/// Differences between a report and its records that are named one by one.
pub const MAX_NAMED_PROBLEMS: usize = 20;
/// Characters of one cell (Excel).
pub const MAX_CELL_CHARS: usize = 32_767;
