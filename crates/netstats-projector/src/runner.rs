//! Runs projectors, each on a thread of its own.

use std::sync::Arc;
use std::time::Duration;

use netstats_event::Position;
use netstats_log::Journal;

use crate::reader::Error;
use crate::{Projector, ViewStore};

/// How far a projector has folded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The projector.
    pub name: &'static str,
    /// The last position that queries see.
    pub visible: Position,
    /// The last position that the view store holds.
    pub stored: Position,
    /// Why it stands still, if it does.
    pub failure: Option<String>,
}

/// Projectors at work: folds what comes, publishes it to queries, stores it now and then.
pub struct Runner {}

impl Runner {
    /// Loads every projector from its rows (or folds it anew where version or checkpoint say so) up to the log's tail,
    /// then follows.
    ///
    /// # Errors
    /// A checkpoint beyond the log's tail: acknowledged events were lost (Corrupt). The store cannot be read.
    pub fn start(
        _journal: Arc<Journal>,
        _store: Arc<dyn ViewStore>,
        _projectors: Vec<Box<dyn Projector>>,
    ) -> Result<Self, Error> {
        unimplemented!()
    }

    /// Blocks until every projector shows `position` or the time is over; true if it does.
    #[must_use]
    pub fn wait_for(&self, _position: Position, _at_most: Duration) -> bool {
        unimplemented!()
    }

    /// How far each has come.
    #[must_use]
    pub fn progress(&self) -> Vec<Progress> {
        unimplemented!()
    }

    /// Stores what is folded and ends the threads.
    pub fn stop(&self) {
        unimplemented!()
    }
}
