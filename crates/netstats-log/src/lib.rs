//! The log: gapless, durable, verifiable. Engines store records; the [`Journal`] is the only writer.
//!
//! # It is not
//! - a message bus: readers ask, nothing is pushed;
//! - aware of what events mean: it knows records, kinds' numbers and the chain.

mod engine;
mod error;
mod journal;
pub mod limits;
mod memory;

pub use engine::{Appended, Head, Log, ReadLimit};
pub use error::{Error, ErrorKind};
pub use journal::{AppendTicket, Journal};
pub use memory::MemoryLog;
