//! The view of samples: the latest of every destination, rows over any range, roll-ups. Folded from the log, so that
//! the dashboard, the API and the spreadsheet read the same numbers.
//!
//! # It is not
//! - a copy of the samples: it keeps where they are (positions) and what they sum up to; the log keeps them;
//! - aware of jobs' rules: intervals, windows, tags and names are the inventory's;
//! - a door: rows are typed, in milliseconds and ratios; JSON and percent are made outside.

mod bucket;
mod bytes;
mod fold;
mod latest;
mod limits;
mod outcome;
mod page;
mod points;
mod query;
mod row;
mod stream;

pub use fold::SeriesProjector;
pub use latest::{DestinationLatest, Failure, ProbeLatest, Status};
pub use limits::*;
pub use points::{Percentile, Point, Resolution, SeriesAnswer, SeriesQuery};
pub use query::{RawQuery, Series};
pub use row::{Cursor, Row, RowDetail, RowStatus, rows_of};
