//! Config events: what is measured, how, and who decided it. Together they are the audit trail.

use crate::{DestinationId, JobId, Metric, ProbeOptions, Timestamp};

/// Who caused a config event, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// `config`, `api:local`, `user:NAME`, `token:NAME`, `system`.
    pub actor: String,
    /// In the actor's own words.
    pub reason: Option<String>,
    /// The command's id, so that a repeated command is recognised.
    pub command_id: Option<[u8; 16]>,
}

impl Meta {
    /// By `actor`, without a reason.
    #[must_use]
    pub fn by(actor: &str) -> Self {
        Self { actor: actor.to_owned(), reason: None, command_id: None }
    }
}

/// Who owns an entry, and so where it can be changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ManagedBy {
    /// The user: API and UI. Starter entries are the user's from the moment they exist.
    #[default]
    User,
    /// The config file: changed there and nowhere else.
    Config,
}

/// What somebody may do; each may also do what those before it may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Look at everything that is measured.
    #[default]
    Viewer,
    /// Change what is measured.
    Operator,
    /// Say who may, and look after the product.
    Admin,
}

impl Role {
    /// All, from the least.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// The name at every door.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// The role of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// A destination as the user describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DestinationSpec {
    /// Unique, case-insensitively.
    pub name: String,
    /// Address or host name, in canonical form.
    pub host: String,
    /// Port for the probes that need one.
    pub port: Option<u16>,
    /// What people read.
    pub display_name: Option<String>,
    /// Free text.
    pub description: Option<String>,
    /// Sorted, without repeats.
    pub tags: Vec<String>,
    /// Not measured while true.
    pub paused: bool,
    /// Who owns it.
    pub managed_by: ManagedBy,
}

/// A job as the user describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobSpec {
    /// Unique, case-insensitively.
    pub name: String,
    /// Free text.
    pub description: Option<String>,
    /// Sorted, without repeats.
    pub tags: Vec<String>,
    /// Runs when true (and inside its window); false is "stopped".
    pub enabled: bool,
    /// Seconds from one slot to the next.
    pub interval_s: u32,
    /// What is measured: sorted, without repeats, not empty.
    pub metrics: Vec<Metric>,
    /// Destinations by id: sorted, without repeats.
    pub destinations: Vec<DestinationId>,
    /// And all destinations that carry one of these tags.
    pub destination_tags: Vec<String>,
    /// Not before.
    pub start_time: Option<Timestamp>,
    /// Not at or after.
    pub end_time: Option<Timestamp>,
    /// Only within these hours of the week.
    pub active_hours: Option<WeeklyHours>,
    /// How each probe is made.
    pub options: ProbeOptions,
    /// Who owns it.
    pub managed_by: ManagedBy,
}

/// Hours of the week in a time zone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WeeklyHours {
    /// IANA name, as `Europe/Berlin`.
    pub time_zone: String,
    /// Spans; a moment inside any of them is active.
    pub spans: Vec<WeeklySpan>,
}

/// One span of one weekday. A span that ends at or before its start goes on past midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WeeklySpan {
    /// 0 is Monday, 6 is Sunday (ISO 8601 order).
    pub weekday: u8,
    /// Minutes after midnight at which the span opens, 0 to 1439.
    pub from_minute: u16,
    /// Minutes after midnight at which it closes, 1 to 1440.
    pub to_minute: u16,
}

/// A destination was added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationAdded {
    /// Its id.
    pub id: DestinationId,
    /// What it is.
    pub spec: DestinationSpec,
    /// By whom.
    pub meta: Meta,
}

/// A destination was changed: the whole new state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationChanged {
    /// Its id.
    pub id: DestinationId,
    /// What it is now.
    pub spec: DestinationSpec,
    /// By whom.
    pub meta: Meta,
}

/// A destination was removed. Its samples stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationRemoved {
    /// Its id.
    pub id: DestinationId,
    /// By whom.
    pub meta: Meta,
}

/// A job was added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobAdded {
    /// Its id.
    pub id: JobId,
    /// What it is.
    pub spec: JobSpec,
    /// By whom.
    pub meta: Meta,
}

/// A job was changed: the whole new state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobChanged {
    /// Its id.
    pub id: JobId,
    /// What it is now.
    pub spec: JobSpec,
    /// By whom.
    pub meta: Meta,
}

/// A job was removed. Its samples stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRemoved {
    /// Its id.
    pub id: JobId,
    /// By whom.
    pub meta: Meta,
}

/// A job was started (enabled).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobStarted {
    /// Its id.
    pub job: JobId,
    /// By whom.
    pub meta: Meta,
}

/// A job was stopped (disabled).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobStopped {
    /// Its id.
    pub job: JobId,
    /// By whom.
    pub meta: Meta,
}

/// The config file was applied; the events before it with the same actor are its differences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigApplied {
    /// BLAKE3 of the file's text.
    pub digest: [u8; 32],
    /// True when the file's starter block was appended with it: it is never appended again.
    pub starter: bool,
    /// By whom.
    pub meta: Meta,
}
