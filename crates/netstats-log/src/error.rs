//! What can go wrong with the log.

use std::path::PathBuf;
use std::sync::Arc;

use netstats_event::Position;

/// What to do about an error, by kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The caller's fault: change the request.
    Invalid,
    /// The state moved on: look again and repeat.
    Conflict,
    /// Not there.
    NotFound,
    /// It was there, and retention has taken it: what is left is a summary.
    Gone,
    /// Not now: a full disk, a failed sync, a closed log. What was asked may or may not have happened if the message
    /// says `unknown`.
    Unavailable,
    /// Bytes on disk are not what was written.
    Corrupt,
}

/// An error of the log: what happened, why, what to do. Cheap to clone: one failed commit answers many tickets.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: ErrorKind,
    message: String,
    /// The file concerned, if one is.
    pub file: Option<PathBuf>,
    /// The first and last position concerned, if known.
    pub positions: Option<(Position, Position)>,
    #[source]
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of that kind in those words.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), file: None, positions: None, source: None }
    }

    /// The same with what caused it.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(Arc::from(source.into()));
        self
    }

    /// The same about that file.
    #[must_use]
    pub fn in_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.file = Some(file.into());
        self
    }

    /// The same about the records from `first` to `last`.
    #[must_use]
    pub fn at(mut self, first: Position, last: Position) -> Self {
        self.positions = Some((first, last));
        self
    }

    /// What to do about it, by kind.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }
}
