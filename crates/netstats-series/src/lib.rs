//! The view of samples: the latest of every destination, rows over any range, roll-ups. Folded from the log, so that
//! the dashboard, the API and the spreadsheet read the same numbers.
//!
//! ```
//! use netstats_event::{DestinationId, Envelope, Event, FailReason, JobId, Position, ProbeKind};
//! use netstats_event::{SampleFlags, SampleHead, SlotFailed, Timestamp};
//! use netstats_projector::Projector;
//! use netstats_series::{SeriesProjector, Status};
//!
//! let slot_at = Timestamp::from_millis(1_790_000_000_000);
//! let (job, destination) = (JobId(1), DestinationId(7));
//! let event = Event::SlotFailed(SlotFailed {
//!     head: SampleHead { job, destination, slot_at, lateness_us: 0, flags: SampleFlags::default() },
//!     probe: ProbeKind::Ping,
//!     reason: FailReason::NotPermitted,
//!     detail: "this system does not let us send ICMP".into(),
//! });
//!
//! // The runner does this; the handle answers at once.
//! let (mut projector, series) = SeriesProjector::new();
//! projector.apply(&[Envelope { position: Position(1), recorded_at: slot_at, event }]);
//! let latest = series.latest(destination).unwrap();
//! assert_eq!(latest.status, Status::Unknown, "a failure on our side is never loss");
//! assert_eq!(latest.probes[0].failed_in_a_row, 1);
//! ```
//!
//! # It is not
//! - a copy of the samples: it keeps where they are (positions) and what they sum up to; the log keeps them;
//! - aware of jobs' rules: intervals, windows, tags and names are the inventory's;
//! - a door: rows are typed, in milliseconds and ratios; JSON and percent are made outside.

mod availability;
mod bucket;
mod bytes;
mod fold;
mod latest;
mod limits;
mod outcome;
mod page;
mod past;
mod points;
mod query;
mod rolls;
mod row;
mod stream;
mod summarise;
mod totals;

pub use availability::{
    AccountBasis, AccountQuery, AvailabilityProjector, AvailabilityView, CheckStream, OutageDetail, accounting_of,
    check_of, outage_detail,
};
pub use fold::SeriesProjector;
pub use latest::{DestinationLatest, Failure, ProbeLatest, Status};
pub use limits::*;
pub use outcome::answered;
pub use points::{Percentile, Point, Resolution, SeriesAnswer, SeriesQuery};
pub use query::{RawQuery, Series};
pub use row::{Cursor, Row, RowDetail, RowStatus, rows_of};
pub use summarise::Summariser;
pub use totals::{Totals, TotalsQuery};
