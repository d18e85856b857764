//! What people add to the measurements, also after the fact: annotations, maintenance windows, and the method of
//! accounting for availability. They are config events: who said it and when is on record, and what was known before
//! stays readable.

use crate::{AnnotationId, DestinationId, MaintenanceId, Meta, Timestamp, WeeklyHours};

/// A remark on a moment or a span of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnnotationSpec {
    /// In a few words.
    pub title: String,
    /// In more words.
    pub text: Option<String>,
    /// The moment, or the beginning.
    pub start_time: Timestamp,
    /// The end; none for a moment.
    pub end_time: Option<Timestamp>,
    /// What it is about: sorted, without repeats; empty for everything.
    pub destinations: Vec<DestinationId>,
    /// Its own labels: sorted, without repeats.
    pub tags: Vec<String>,
}

/// A time in which work on the network is to be expected. Measuring goes on; accounts of availability may leave it out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MaintenanceSpec {
    /// In a few words.
    pub title: String,
    /// In more words.
    pub text: Option<String>,
    /// Not before.
    pub start_time: Timestamp,
    /// Not at or after; none until somebody says so.
    pub end_time: Option<Timestamp>,
    /// Between the two only within these hours of the week; none for all of it.
    pub weekly: Option<WeeklyHours>,
    /// These destinations: sorted, without repeats.
    pub destinations: Vec<DestinationId>,
    /// And all that carry one of these tags. All destinations, if there are neither ids nor tags.
    pub destination_tags: Vec<String>,
}

/// What the observer's own outages count as: its failures, its network, its absence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObserverOutages {
    /// They leave the account.
    #[default]
    Excluded,
    /// The destination was up.
    Up,
    /// The destination was down.
    Down,
}

/// How availability is accounted for, and from where on an hour counts as degraded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountingSpec {
    /// Failed checks that have to follow the first, one after another, before it counts.
    pub retries: u32,
    /// Outages shorter than this do not count, in seconds.
    pub grace_s: u32,
    /// Maintenance leaves the account.
    pub is_maintenance_excluded: bool,
    /// What the observer's own outages count as.
    pub observer_outages: ObserverOutages,
    /// An hour that loses more than this is degraded, in millionths.
    pub max_loss_ppm: Option<u32>,
    /// An hour whose 95th percentile is longer than this is degraded, in microseconds.
    pub max_p95_us: Option<u32>,
}

impl Default for AccountingSpec {
    fn default() -> Self {
        Self {
            retries: 0,
            grace_s: 0,
            is_maintenance_excluded: true,
            observer_outages: ObserverOutages::Excluded,
            max_loss_ppm: None,
            max_p95_us: None,
        }
    }
}

macro_rules! events {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {
        $($(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
            /// By whom.
            pub meta: Meta,
        })*
    };
}

events! {
    /// An annotation was added.
    AnnotationAdded {
        /// Its id.
        id: AnnotationId,
        /// What it says.
        spec: AnnotationSpec,
    }
    /// An annotation was changed: the whole new state.
    AnnotationChanged {
        /// Its id.
        id: AnnotationId,
        /// What it says now.
        spec: AnnotationSpec,
    }
    /// An annotation was removed.
    AnnotationRemoved {
        /// Its id.
        id: AnnotationId,
    }
    /// A maintenance window was added.
    MaintenanceAdded {
        /// Its id.
        id: MaintenanceId,
        /// When, and of what.
        spec: MaintenanceSpec,
    }
    /// A maintenance window was changed: the whole new state.
    MaintenanceChanged {
        /// Its id.
        id: MaintenanceId,
        /// When, and of what, now.
        spec: MaintenanceSpec,
    }
    /// A maintenance window was removed: it never was.
    MaintenanceRemoved {
        /// Its id.
        id: MaintenanceId,
    }
    /// The method of accounting was changed, for all times.
    AccountingChanged {
        /// The method now.
        spec: AccountingSpec,
    }
}
