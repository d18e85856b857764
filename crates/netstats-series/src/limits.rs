//! What the view keeps and answers at most.

/// Ping medians kept for each destination (sparkline).
pub const RECENT_MEDIANS: usize = 60;
/// Outcomes in one page of the index.
pub const PAGE_ENTRIES: usize = 128;
/// Page spans in one row of a page directory.
pub const DIRECTORY_CHUNK: usize = 256;
/// Outcomes that one raw query returns; a larger limit is cut to it, and the cursor goes on from there.
pub const MAX_RAW_OUTCOMES: usize = 100_000;
/// Points of one series answer; a larger wish is cut to it.
pub const MAX_SERIES_POINTS: usize = 10_000;
/// Outcomes read for buckets below one hour, which are made from raw samples; beyond, buckets of an hour are taken.
pub const MAX_BUCKETED_OUTCOMES: usize = 50_000;
/// Outcomes read from the log at a time.
pub(crate) const READ_CHUNK: usize = 2_048;
/// Pages of outcomes kept decoded for answers about the past, about 12 kB each; the least recently asked for go.
pub const MAX_NOTED_PAGES: usize = 6_000;
/// Outcomes of a page that are read from the log at a time for answers about the past.
pub(crate) const NOTED_AHEAD: usize = 16;
