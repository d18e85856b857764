//! Sealed segments: a closed epoch of the log as one immutable file, in columns, from which every record comes back bit
//! by bit. A version of the format is for ever; a newer one is refused untouched.
//!
//! ```text
//!  0        magic "NSCSEG\r\n", format u32 = 1, CRC-32C of bytes 0..12
//!  16       pages, one after the other      records of one series (job, destination, kind, version), in columns, or as
//!                                           compressed payloads where columns would not give back the same bytes
//!           order                           for each position the number of its page
//!           marks                           the chain before every 1,024th position, 16 bytes each
//!           index                           64 bytes a page: series, rows, slots, offset, length, CRC-32C
//!  end-128  footer                          store, first position, events, chain before and after, where order, marks
//!                                           and index lie and their CRC-32C, its own CRC-32C
//! ```
//! Format 2 is a segment some of whose samples retention has summarised (`retain.rs`): in their place stand pages of what
//! is left of them (column 13 of the index: 1), and the marks are the chain before each record that is kept and does not
//! follow one that is kept.
//!
//! CRC, length and chain of a record are not kept: they follow from the rest. The footer proves the index, the index the
//! pages, and the chain through all records proves that they are put together right.

mod build;
mod cache;
mod column;
mod format;
#[cfg(any(test, netstats_fuzz))]
pub(crate) mod fuzz;
#[cfg(test)]
mod mutated;
mod page;
mod read;

pub(crate) use build::Builder;
pub(crate) use cache::Cache;
pub(crate) use read::Item;
pub(crate) use read::Segment;
pub use read::{RawSamples, SealedSeries, SeriesKey, SeriesPage};
