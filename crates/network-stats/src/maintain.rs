//! Commands on a data folder that no running product holds.

use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;

use anyhow::{Context, Result};
use netstats_log::{FjallLog, Journal};
use netstats_projector::{FjallViews, Runner, ViewStore, digest, rebuild_all};

use crate::ask::say;
use crate::core::{catch_up, projectors};
use crate::data_dir::DataDir;
use crate::settings::Decided;

/// Folds all views anew and compares.
///
/// # Errors
/// The log cannot be read, or the views cannot be stored.
pub(crate) fn rebuild_views(decided: &Decided) -> Result<()> {
    let data = DataDir::open_existing(&decided.data_dir)?;
    let journal = Journal::open(Arc::new(FjallLog::open(data.log())?))?;
    let names: Vec<&str> = projectors().0.iter().map(|projector| projector.name()).collect();
    let digests = |views: &dyn ViewStore| names.iter().map(|name| digest(views, name)).collect::<Result<Vec<_>, _>>();
    // What a start would have made of them, so that the same is compared with the same.
    let (caught_up, before) = {
        let views: Arc<dyn ViewStore> = Arc::new(FjallViews::open(data.views()).context("the views cannot be opened")?);
        let runner = Runner::start(Arc::clone(&journal), Arc::clone(&views), projectors().0)?;
        let caught_up = catch_up(&runner, &journal);
        runner.stop();
        (caught_up, digests(&*views)?)
    };
    let threads = available_parallelism().unwrap_or(NonZero::<usize>::MIN);
    let (position, after) = FjallViews::replace(data.views(), |fresh| {
        let position = rebuild_all(&journal, fresh, projectors().0, threads)?;
        Ok((position, digests(&**fresh)?))
    })?;
    let mut differ = Vec::new();
    for ((name, before), after) in names.into_iter().zip(before).zip(after) {
        let verdict = if before == after { "the same as before" } else { "not what it was before" };
        say(&format!("view {name}: {position} events folded, digest {}: {verdict}", hex(&after)));
        if before != after {
            differ.push(name);
        }
    }
    journal.close();
    if let Err(error) = caught_up {
        say(&format!("before the rebuild {error:#}"));
    }
    if !differ.is_empty() {
        say(&format!("{} had been wrong and is right now: please report it", differ.join(" and ")));
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
