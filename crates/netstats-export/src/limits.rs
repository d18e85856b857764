//! What a report may hold at most.

/// Points of a line in a chart.
pub const MAX_CHART_BUCKETS: u32 = 500;
/// Lines in one chart; the table beside it holds all.
pub const MAX_CHART_SERIES: usize = 12;
/// Heatmaps in one workbook.
pub const MAX_HEATMAPS: usize = 40;
/// Rows of one worksheet, header included (Excel).
pub const MAX_SHEET_ROWS: u32 = 1_048_576;
/// Cells up to which the raw data is an Excel table. Beyond, the writer would keep an entry in memory for each cell:
/// larger sheets have a frozen header and an autofilter instead.
pub const MAX_TABLE_CELLS: u32 = 400_000;
/// Characters of one cell (Excel).
pub const MAX_CELL_CHARS: usize = 32_767;
