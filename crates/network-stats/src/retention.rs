//! Retention: the raw values of samples that are older than the config file keeps them, or that the log has no room for,
//! are summarised. What is left answers the same series by the hour and by the day.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use netstats_event::{Kind, Position, Timestamp};
use netstats_log::{Journal, SegmentInfo};
use netstats_series::Summariser;

use crate::apply::Applier;
use crate::config::Retention;
use crate::serve::now;

/// How often old samples are looked for.
const LOOK_EVERY: Duration = Duration::from_hours(1);
/// Samples younger than this keep their raw values, however little room there is.
pub(crate) const KEPT_AT_LEAST: Duration = Duration::from_hours(24);

/// The task.
pub(crate) struct Retainer {
    journal: Arc<Journal>,
    applier: Arc<Applier>,
    trouble: Mutex<Option<String>>,
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) segments: usize,
    pub(crate) samples: u64,
    /// Bytes of the log over its budget that nothing is left to go for.
    pub(crate) over_budget: u64,
}

impl Retainer {
    pub(crate) fn new(journal: Arc<Journal>, applier: Arc<Applier>) -> Self {
        Self { journal, applier, trouble: Mutex::default() }
    }

    /// Looks at once, and then every hour.
    pub(crate) async fn until_stopped(self: Arc<Self>) {
        loop {
            let this = Arc::clone(&self);
            if let Err(error) = tokio::task::spawn_blocking(move || this.look()).await {
                tracing::error!(%error, "retention broke");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// What keeps the log from being as small as it is to be; none if nothing does.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn look(&self) {
        let trouble = match run(&self.journal, &self.applier.retention(), now()) {
            Ok(Done { over_budget: 0, .. }) => None,
            Ok(Done { over_budget, .. }) => Some(format!(
                "the log is {} MB over retention.max_size, and all samples older than a day are summarised already",
                over_budget.div_ceil(1_000_000)
            )),
            Err(error) => Some(format!("old samples could not be summarised: {error:#}")),
        };
        if let Some(trouble) = &trouble {
            tracing::warn!("{trouble}");
        }
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}

/// Summarises what is to go at a moment.
///
/// # Errors
/// The log cannot be read or written; what is summarised so far stays so, and nothing is lost.
pub(crate) fn run(journal: &Journal, rules: &Retention, at: Timestamp) -> Result<Done> {
    let mut done = Done::default();
    if *rules == Retention::default() {
        return Ok(done);
    }
    let mut summarise = |first: Position, kinds: &[Kind]| -> Result<()> {
        if let Some(fact) = journal.summarise(first, kinds, &mut Summariser::default())? {
            done.segments += 1;
            done.samples += fact.samples;
        }
        Ok(())
    };
    // A segment's samples of a kind go together, when the newest of them is old enough.
    let old = |info: &SegmentInfo, age: &dyn Fn(Kind) -> Option<Duration>| -> Vec<Kind> {
        let is_old = |newest: Timestamp, age: Duration| at.since(newest) >= age && newest < at;
        let samples = info.samples.iter();
        samples.filter(|of| age(of.kind).is_some_and(|age| is_old(of.newest, age))).map(|of| of.kind).collect()
    };
    for info in journal.segment_infos()? {
        let kinds = old(&info, &|kind| rules.age(kind));
        if !kinds.is_empty() {
            summarise(info.first, &kinds)?;
        }
    }
    let Some(budget) = rules.max_bytes else { return Ok(done) };
    for info in journal.segment_infos()? {
        if journal.disk_bytes() <= budget {
            break;
        }
        let kinds = old(&info, &|_| Some(KEPT_AT_LEAST));
        if !kinds.is_empty() {
            summarise(info.first, &kinds)?;
        }
    }
    done.over_budget = journal.disk_bytes().saturating_sub(budget);
    Ok(done)
}
