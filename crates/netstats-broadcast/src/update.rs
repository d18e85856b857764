//! What is sent: an event, and what is asked for.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use netstats_event::{DestinationId, Envelope, Event, Family, JobId, Kind};

/// One live change. All subscribers share it, and its encoding.
#[derive(Debug)]
pub struct Update {
    /// The event.
    pub envelope: Envelope,
    encoded: OnceLock<Arc<str>>,
}

impl Update {
    /// The update of an event.
    #[must_use]
    pub fn new(envelope: Envelope) -> Arc<Self> {
        Arc::new(Self { envelope, encoded: OnceLock::new() })
    }

    /// Its text for the wire, if somebody has asked for it.
    #[must_use]
    pub fn text(&self) -> Option<&Arc<str>> {
        self.encoded.get()
    }

    /// Its text for the wire, made by the first who asks and shared by all others.
    pub fn encoded(&self, encode: impl FnOnce(&Envelope) -> String) -> &Arc<str> {
        self.encoded.get_or_init(|| encode(&self.envelope).into())
    }
}

/// Which updates somebody wants. Empty sets ask for all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only about these destinations; events about no destination are left out then.
    pub destinations: BTreeSet<DestinationId>,
    /// Only about these jobs; events about no job are left out then.
    pub jobs: BTreeSet<JobId>,
    /// Only of these families and kinds (either suffices).
    pub families: BTreeSet<Family>,
    /// See `families`.
    pub kinds: BTreeSet<Kind>,
}

impl Filter {
    /// True if the event is wanted. Events of unknown kinds are never sent.
    #[must_use]
    pub fn wants(&self, event: &Event) -> bool {
        let Some(kind) = event.kind() else { return false };
        let is_kind_wanted = (self.families.is_empty() && self.kinds.is_empty())
            || self.families.contains(&kind.family())
            || self.kinds.contains(&kind);
        let is_in = |all: bool, found: Option<bool>| all || found == Some(true);
        is_kind_wanted
            && is_in(self.destinations.is_empty(), event.destination().map(|id| self.destinations.contains(&id)))
            && is_in(self.jobs.is_empty(), event.job().map(|id| self.jobs.contains(&id)))
    }
}
