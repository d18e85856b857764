//! What the two live doors share: `/ws` and `GET /api/stream` send the same texts, made once for each update.

use std::sync::Arc;

use netstats_broadcast::{Filter, Update, replay};
use netstats_event::{Envelope, Family, Position};
use netstats_inventory::Inventory;
use netstats_log::ReadLimit;

use crate::app::App;
use crate::names::Names;
use crate::problem::Problem;
use crate::protocol::{Say, Wanted};

/// The text of an update, if any of these wants it. Names and tags are as of the event: its text is the same for
/// everybody, live or replayed.
pub(crate) async fn text_for<'w>(
    app: &Arc<App>,
    update: &Arc<Update>,
    all: impl Iterator<Item = &'w Wanted> + Clone,
) -> Result<Option<Arc<str>>, Problem> {
    let has_tags = all.clone().any(|wanted| !wanted.tags.is_empty());
    let inventory = if update.text().is_some() && !has_tags {
        // Nobody will look into it.
        app.context.inventory.current()
    } else {
        Names::at(app, update.envelope.position).await?
    };
    if !all.clone().any(|wanted| wanted.wants(&update.envelope.event, &inventory)) {
        return Ok(None);
    }
    Ok(Some(update.encoded(|envelope| crate::json::update_text(envelope, &inventory)).clone()))
}

/// Why what came after `from` cannot be had, to be said to whoever asks for it; none if it can.
pub(crate) fn reset<'a>(app: &App, id: &'a str, from: Position) -> Option<Say<'a>> {
    let (first, head) = (app.context.journal.first(), app.context.journal.head().last);
    let message = if from.next() < first {
        "what came after that position is not kept any more: load everything again"
    } else if from.0 > head {
        "that position is not in this log: load everything again"
    } else {
        return None;
    };
    Some(Say::Reset { id, position: app.context.broadcaster.position().0, first: first.0, message })
}

/// A walk over the log, each event with the names of its time.
#[derive(Clone, Debug)]
pub(crate) struct Walk {
    /// Everything up to here was looked at.
    pub(crate) past: Position,
    inventory: Arc<Inventory>,
}

impl Walk {
    /// From the beginning of a log that is kept whole.
    #[cfg(test)]
    pub(crate) fn begin() -> Self {
        Self { past: Position::START, inventory: Arc::default() }
    }

    /// Over what came after `past`. May block.
    pub(crate) fn after(app: &App, past: Position) -> Result<Self, Problem> {
        Ok(Self { past, inventory: app.context.inventory.as_of(&*app.context.journal, past)? })
    }

    /// Hands at most `records` events up to and with `to` on, those that are wanted; true if there may be more. Blocks.
    pub(crate) fn read(
        &mut self,
        app: &App,
        wanted: &Wanted,
        to: Position,
        records: usize,
        mut take: impl FnMut(&Envelope, &Inventory),
    ) -> Result<bool, Problem> {
        let limit = ReadLimit { records, ..ReadLimit::default() };
        // All of them: config events make the names that the others are told with.
        let (updates, looked_at) = replay(&*app.context.journal, &Filter::default(), self.past, to, limit)?;
        for update in updates {
            let envelope = &update.envelope;
            if envelope.event.family() == Some(Family::Config) {
                Arc::make_mut(&mut self.inventory).apply(envelope);
            }
            if wanted.wants(&envelope.event, &self.inventory) {
                take(envelope, &self.inventory);
            }
        }
        self.past = if looked_at == self.past { to } else { looked_at };
        Ok(self.past < to)
    }
}
