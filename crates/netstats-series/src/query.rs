//! Questions to the view.

use std::ops::Range;
use std::sync::Arc;

use netstats_event::{DestinationId, Envelope, JobId, Metric, Position, ProbeKind, Timestamp};
use netstats_projector::{Error, EventReader, Projector, RowBatch, RowReader};

use crate::{Cursor, DestinationLatest, ProbeLatest, Row};

/// Which rows.
#[derive(Clone, Debug, PartialEq)]
pub struct RawQuery {
    /// Of this job; none for all.
    pub job: Option<JobId>,
    /// Of these destinations; empty for all.
    pub destinations: Vec<DestinationId>,
    /// These metrics, in this order for each event; empty for all.
    pub metrics: Vec<Metric>,
    /// From this slot on.
    pub from: Timestamp,
    /// Up to, and without, this slot.
    pub to: Timestamp,
    /// Events (slots with an outcome) at most; each gives a row for each of its metrics.
    pub limit: usize,
    /// Go on after this one.
    pub after: Option<Cursor>,
    /// The newest slots first.
    pub newest_first: bool,
    /// As known at this position; none for now.
    pub as_of: Option<Position>,
}

impl Default for RawQuery {
    fn default() -> Self {
        Self {
            job: None,
            destinations: Vec::new(),
            metrics: Vec::new(),
            from: Timestamp::from_nanos(i64::MIN),
            to: Timestamp::from_nanos(i64::MAX),
            limit: 1_000,
            after: None,
            newest_first: false,
            as_of: None,
        }
    }
}

/// The handle for queries. Cheap to clone; answers from memory, stored rows and the log.
#[derive(Clone, Default)]
pub struct Series {
    shared: Arc<()>,
}

impl std::fmt::Debug for Series {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Series").field("position", &self.position()).finish_non_exhaustive()
    }
}

impl Series {
    /// The last event folded.
    #[must_use]
    pub fn position(&self) -> Position {
        Position::START
    }

    /// The latest of a destination; none if nothing was ever recorded of it.
    #[must_use]
    pub fn latest(&self, _destination: DestinationId) -> Option<DestinationLatest> {
        None
    }

    /// The latest of all destinations, by id.
    #[must_use]
    pub fn latest_all(&self) -> Vec<DestinationLatest> {
        Vec::new()
    }

    /// The latest of each destination and probe of a job, by destination and probe.
    #[must_use]
    pub fn latest_of_job(&self, _job: JobId) -> Vec<ProbeLatest> {
        Vec::new()
    }

    /// Since when our own network is down; none while it is up.
    #[must_use]
    pub fn uplink_lost_since(&self) -> Option<Timestamp> {
        let _ = &self.shared;
        None
    }

    /// Positions of the slots' outcomes (samples and failed slots) of one probe with a slot in `range`, by slot and
    /// position.
    ///
    /// # Errors
    /// The stored rows cannot be read.
    pub fn index(
        &self,
        _job: Option<JobId>,
        _destination: Option<DestinationId>,
        _probe: ProbeKind,
        _range: Range<Timestamp>,
        _limit: usize,
        _newest_first: bool,
    ) -> Result<Vec<Position>, Error> {
        Ok(Vec::new())
    }

    /// Rows by slot and position (newest first if so asked), each computed from its raw event.
    ///
    /// # Errors
    /// The stored rows or the log cannot be read.
    pub fn raw(&self, _reader: &dyn EventReader, _query: &RawQuery) -> Result<Vec<Row>, Error> {
        Ok(Vec::new())
    }
}

/// The fold behind [`Series`].
#[derive(Debug, Default)]
pub struct SeriesProjector {}

impl SeriesProjector {
    /// The projector, for the runner, and its handle, for queries.
    #[must_use]
    pub fn new() -> (Self, Series) {
        (Self {}, Series::default())
    }
}

impl Projector for SeriesProjector {
    fn name(&self) -> &'static str {
        "series"
    }

    fn version(&self) -> u32 {
        1
    }

    fn load(&mut self, _rows: &dyn RowReader) -> Result<(), Error> {
        Ok(())
    }

    fn apply(&mut self, _events: &[Envelope]) {}

    fn flush(&mut self, _rows: &mut RowBatch) {}
}
