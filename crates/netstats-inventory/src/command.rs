//! What may be asked of the inventory, and how it says no.

use std::fmt;
use std::net::IpAddr;

use netstats_event::{
    AccountingSpec, AnnotationId, AnnotationSpec, DestinationId, DestinationSpec, ExportId, ExportRun, ExportSpec,
    JobId, JobSpec, MaintenanceId, MaintenanceSpec, SessionId, Timestamp, TokenId, TokenSpec, UserId, UserSpec,
};

use crate::limits::{
    DEFAULT_MAX_DESTINATIONS, DEFAULT_MAX_JOBS, DEFAULT_MIN_INTERVAL_S, DEFAULT_PACKETS_PER_S,
    DEFAULT_TARGET_PACKETS_PER_S,
};
use crate::target::TargetPolicy;
use crate::undo::Undo;

/// A wish. Whoever carries it out owns nothing by it: `managed_by` in a spec is set by `decide`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Add a destination; its id is the next free one.
    AddDestination(DestinationSpec),
    /// Replace all of a destination's description.
    ChangeDestination {
        /// Which.
        id: DestinationId,
        /// All that it shall be.
        spec: DestinationSpec,
    },
    /// Remove a destination, and take it out of the jobs that name it. Its samples stay.
    RemoveDestination {
        /// Which.
        id: DestinationId,
    },
    /// Add a job; its id is the next free one.
    AddJob(JobSpec),
    /// Replace all of a job's description.
    ChangeJob {
        /// Which.
        id: JobId,
        /// All that it shall be.
        spec: JobSpec,
    },
    /// Remove a job. Its samples stay.
    RemoveJob {
        /// Which.
        id: JobId,
    },
    /// Enable a job.
    StartJob {
        /// Which.
        id: JobId,
    },
    /// Disable a job.
    StopJob {
        /// Which.
        id: JobId,
    },
    /// Add an annotation; its id is the next free one.
    AddAnnotation(AnnotationSpec),
    /// Replace all that an annotation says.
    ChangeAnnotation {
        /// Which.
        id: AnnotationId,
        /// All that it shall say.
        spec: AnnotationSpec,
    },
    /// Remove an annotation.
    RemoveAnnotation {
        /// Which.
        id: AnnotationId,
    },
    /// Add a maintenance window; its id is the next free one.
    AddMaintenance(MaintenanceSpec),
    /// Replace all of a maintenance window.
    ChangeMaintenance {
        /// Which.
        id: MaintenanceId,
        /// All that it shall be.
        spec: MaintenanceSpec,
    },
    /// Remove a maintenance window: accounts are as if it never was.
    RemoveMaintenance {
        /// Which.
        id: MaintenanceId,
    },
    /// Add an export; its id is the next free one.
    AddExport(ExportSpec),
    /// Replace all of an export's description.
    ChangeExport {
        /// Which.
        id: ExportId,
        /// All that it shall be.
        spec: ExportSpec,
    },
    /// Remove an export. Its files stay.
    RemoveExport {
        /// Which.
        id: ExportId,
    },
    /// Record that somebody asked for a run of an export.
    RequestExport {
        /// Which.
        id: ExportId,
    },
    /// Record how a run of an export ended.
    FinishExport {
        /// Which.
        id: ExportId,
        /// How.
        run: ExportRun,
    },
    /// Save the method of accounting.
    ChangeAccounting(AccountingSpec),
    /// Add these, or change those of the same name: all of them or none.
    Import {
        /// Destinations.
        destinations: Vec<DestinationSpec>,
        /// Jobs; they name destinations that are there or come with them.
        jobs: Vec<DesiredJob>,
    },
    /// Take a config event back.
    Undo(Box<Undo>),
    /// Say who may come in.
    Access(AccessCommand),
    /// Make the entries that the config file manages what the file says.
    ApplyConfig(DesiredState),
}

/// A wish about who may come in. Passwords and tokens arrive as hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessCommand {
    /// Add a user; the first one must be an admin.
    AddUser(UserSpec),
    /// Replace all of a user's description. A new password ends their sessions.
    ChangeUser {
        /// Which.
        id: UserId,
        /// All that they shall be.
        spec: UserSpec,
    },
    /// Remove a user with their tokens and sessions.
    RemoveUser {
        /// Which.
        id: UserId,
    },
    /// Add a token; it never may more than its owner.
    AddToken(TokenSpec),
    /// Revoke a token.
    RevokeToken {
        /// Which.
        id: TokenId,
    },
    /// Let a user in whose password was right.
    StartSession {
        /// Who.
        user: UserId,
        /// BLAKE3 of the session's secret.
        hash: [u8; 32],
        /// From where.
        address: Option<IpAddr>,
        /// Not at or after.
        expires_at: Timestamp,
    },
    /// End a session; nothing if it ended already.
    EndSession {
        /// Which.
        id: SessionId,
    },
}

/// What the config file declares. The name is an entry's identity: an entry under a new name is a new entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DesiredState {
    /// BLAKE3 of the file's text.
    pub digest: [u8; 32],
    /// All destinations that the file manages.
    pub destinations: Vec<DestinationSpec>,
    /// All jobs that the file manages.
    pub jobs: Vec<DesiredJob>,
    /// What an empty log is started with.
    pub starter: Option<Starter>,
}

/// A job in the config file: ids are not known there, so its destinations are names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DesiredJob {
    /// The job; `destinations` is left empty and filled from the names.
    pub spec: JobSpec,
    /// Destinations of the same file, by name.
    pub destinations: Vec<String>,
}

/// Entries that are appended once, into an empty log, and are the user's from then on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Starter {
    /// Destinations.
    pub destinations: Vec<DestinationSpec>,
    /// Jobs; they name destinations of the starter or of the file.
    pub jobs: Vec<DesiredJob>,
}

/// Limits that an operator may move (`limits` in the config file).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The shortest interval of a job, in seconds.
    pub min_interval_s: u32,
    /// Destinations at most.
    pub max_destinations: usize,
    /// Jobs at most.
    pub max_jobs: usize,
    /// Who may be probed.
    pub targets: TargetPolicy,
    /// How much may be sent.
    pub rates: Rates,
}

/// How much may be sent, averaged over a minute: a burst of that many may leave at once. What does not fit is not sent,
/// and recorded as denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// Packets a second, all probes together.
    pub packets_per_s: u32,
    /// Packets a second to one host.
    pub target_packets_per_s: u32,
}

impl Default for Rates {
    fn default() -> Self {
        Self { packets_per_s: DEFAULT_PACKETS_PER_S, target_packets_per_s: DEFAULT_TARGET_PACKETS_PER_S }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            min_interval_s: DEFAULT_MIN_INTERVAL_S,
            max_destinations: DEFAULT_MAX_DESTINATIONS,
            max_jobs: DEFAULT_MAX_JOBS,
            targets: TargetPolicy::default(),
            rates: Rates::default(),
        }
    }
}

/// What kind of no it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RejectionKind {
    /// The command itself is wrong, whatever the state (422 at the door).
    Invalid,
    /// The state does not allow it (409).
    Conflict,
    /// What it is about is not there (404).
    NotFound,
    /// The target policy does not allow it (403).
    Denied,
}

/// A no: what is wrong, where, what is accepted, what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Rejection {
    /// What kind of no.
    pub kind: RejectionKind,
    /// The field, as a path: `interval_s`, `options.ping.packets`, and in a config file `jobs[2].interval_s`.
    pub field: Option<String>,
    /// What is wrong, in a sentence without a full stop.
    pub message: String,
    /// The accepted range or values.
    pub accepted: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(field) = &self.field {
            write!(f, "{field}: ")?;
        }
        f.write_str(&self.message)?;
        if let Some(accepted) = &self.accepted {
            write!(f, " (accepted: {accepted})")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "; {hint}")?;
        }
        Ok(())
    }
}

impl Rejection {
    /// A no of that kind in those words.
    #[must_use]
    pub fn new(kind: RejectionKind, message: impl Into<String>) -> Self {
        Self { kind, field: None, message: message.into(), accepted: None, hint: None }
    }

    /// The command is wrong in this field.
    #[must_use]
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..Self::new(RejectionKind::Invalid, message) }
    }

    /// The state does not allow it.
    #[must_use]
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(RejectionKind::Conflict, message)
    }

    /// It is not there.
    #[must_use]
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(RejectionKind::NotFound, message)
    }

    /// With the field.
    #[must_use]
    pub fn at(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// With what is accepted.
    #[must_use]
    pub fn accepting(mut self, accepted: impl Into<String>) -> Self {
        self.accepted = Some(accepted.into());
        self
    }

    /// With what to do.
    #[must_use]
    pub fn hinting(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same below a path: `jobs[2]` and `interval_s` make `jobs[2].interval_s`.
    #[must_use]
    pub fn under(mut self, path: &str) -> Self {
        self.field = Some(match self.field {
            Some(field) => format!("{path}.{field}"),
            None => path.to_owned(),
        });
        self
    }
}
