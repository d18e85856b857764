//! The view of availability: for every stream of checks, the stretches in which they found the same. Any method of
//! accounting over any range is arithmetic on these ([`netstats_stats::availability()`]), so it costs as much as the
//! range has changes, not as it has samples, and changing the method touches nothing.

mod fold;
mod query;
mod stretch;

pub use fold::AvailabilityProjector;
pub use query::{
    AccountBasis, AccountQuery, AvailabilityView, CheckStream, OutageDetail, accounting_of, check_of, outage_detail,
};
