//! When destinations did well and when not: the changes of their status, and the times in which they were down.

use std::ops::Range;

use netstats_event::{DestinationId, Position, Timestamp};
use netstats_projector::Error;

use crate::Status;
use crate::fold::{Change, change_key};
use crate::limits::MAX_STATUS_CHANGES;
use crate::query::Series;

/// A destination's status changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusChange {
    /// Where the event is that changed it.
    pub position: Position,
    /// The slot that changed it.
    pub at: Timestamp,
    /// The status from then on.
    pub status: Status,
}

/// A time in which a destination was down: from the first slot that says so to the first that says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Down {
    /// The change to down.
    pub from: StatusChange,
    /// The change to something else; none while it lasts.
    pub to: Option<StatusChange>,
}

impl Series {
    /// The changes of a destination's status up to a position (none: now), in the order of the log: at most the last
    /// [`MAX_STATUS_CHANGES`].
    ///
    /// # Errors
    /// The stored rows cannot be read.
    pub fn status_changes(
        &self,
        destination: DestinationId,
        as_of: Option<Position>,
    ) -> Result<Vec<StatusChange>, Error> {
        let end = as_of.map_or(u64::MAX, |as_of| as_of.0.saturating_add(1));
        let (first, end) = (change_key(destination, 0), change_key(destination, end));
        // Memory first: what is stored in between is then seen twice, not missed.
        let (unstored, position) = {
            let state = self.shared.read();
            let rows = state.unstored(&first..&end).map(|(key, row)| Change::decode(key, row));
            (rows.collect::<Result<Vec<_>, _>>()?, state.position)
        };
        let mut changes = unstored;
        let mut outcome = Ok(());
        if let Some(rows) = self.shared.rows() {
            rows.range(&first..&end, true, &mut |key, row| {
                outcome = Change::decode(key, row).map(|change| changes.push(change));
                outcome.is_ok() && changes.len() < MAX_STATUS_CHANGES
            })?;
        }
        outcome?;
        changes.retain(|change| change.position <= position);
        changes.sort_unstable_by_key(|change| change.position);
        changes.dedup_by_key(|change| change.position);
        let public = |change: Change| StatusChange {
            position: Position(change.position),
            at: Timestamp::from_millis(change.at),
            status: change.status,
        };
        Ok(changes.into_iter().map(public).collect())
    }

    /// The times in which a destination was down that touch `range`, as known at a position, oldest first.
    ///
    /// # Errors
    /// The stored rows cannot be read.
    pub fn outages(
        &self,
        destination: DestinationId,
        range: Range<Timestamp>,
        as_of: Option<Position>,
    ) -> Result<Vec<Down>, Error> {
        let changes = self.status_changes(destination, as_of)?;
        let downs = changes.iter().enumerate().filter(|(_, change)| change.status == Status::Down);
        let outages = downs.map(|(i, from)| Down { from: *from, to: changes.get(i + 1).copied() });
        let touches = |down: &Down| down.from.at < range.end && down.to.is_none_or(|to| to.at >= range.start);
        Ok(outages.filter(touches).collect())
    }
}
