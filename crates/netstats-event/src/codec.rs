//! Events to bytes and back.

use crate::{Draft, Event, Timestamp};

/// Why an event cannot be encoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// What is left of a sample is made by retention, and is no event of its own.
    #[error("what is left of a sample is not appended")]
    NotAppended,
    /// A field is over its limit.
    #[error("{field} holds {has}, the limit is {limit}")]
    OverLimit {
        /// Which.
        field: &'static str,
        /// How much it holds.
        has: usize,
        /// How much it may.
        limit: usize,
    },
}

/// Why bytes are not an event of their kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The archive does not validate.
    #[error("the payload of a {kind} (version {version}) does not validate: {why}")]
    Invalid {
        /// Kind's name.
        kind: &'static str,
        /// Version.
        version: u16,
        /// What rkyv or our own checks say.
        why: String,
    },
}

/// Encodes an event in its newest version.
///
/// # Errors
/// A field is over its limit (`limits.rs`).
pub fn encode(event: &Event, recorded_at: Timestamp) -> Result<Draft, EncodeError> {
    crate::v1::encode(event, recorded_at)
}

/// Decodes a payload of any known version into the newest shape; an unknown kind or version becomes
/// [`Event::Unknown`].
///
/// # Errors
/// The payload does not validate.
pub fn decode(kind: u16, version: u16, payload: &[u8]) -> Result<Event, DecodeError> {
    crate::v1::decode(kind, version, payload)
}
