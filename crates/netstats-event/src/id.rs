//! Identities: where in the log, which destination, which job.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// A place in the log. The first event is at 1; positions have no gaps. 0 means "before the first event".
    Position, u64
}
id! {
    /// A destination's number: small, given in order, never used again after a removal.
    DestinationId, u32
}
id! {
    /// A job's number: small, given in order, never used again after a removal.
    JobId, u32
}

id! {
    /// An annotation's number: small, given in order, never used again after a removal.
    AnnotationId, u32
}
id! {
    /// A maintenance window's number: small, given in order, never used again after a removal.
    MaintenanceId, u32
}
id! {
    /// An export job's number: small, given in order, never used again after a removal.
    ExportId, u32
}
id! {
    /// A user's number: given in order, never used again after a removal.
    UserId, u32
}
id! {
    /// An API token's number: given in order, never used again.
    TokenId, u32
}
id! {
    /// A session's number: given in order, never used again.
    SessionId, u32
}

impl Default for Position {
    fn default() -> Self {
        Self::START
    }
}

impl Position {
    /// Before the first event.
    pub const START: Self = Self(0);

    /// The position after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}
