//! `network-stats demo`: the product, full, within seconds. A small world of invented destinations with months of
//! history, in a folder of its own; from then on it lives on by itself. No packet is sent to anybody.
//!
//! - [`world`]: what a probe would see, as a pure function of a seed and the time;
//! - [`history`]: the past, appended to an empty log as the collector would have recorded it;
//! - [`probes`]: the present, for the real collector.

mod history;
mod probes;
mod world;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use netstats_event::{Position, Timestamp};

use crate::ask::say;
use crate::config;
use crate::core::Core;
use crate::data_dir::DataDir;
use crate::serve::{Served, now};
use crate::settings::Decided;
use world::World;

/// Days of history at most.
pub(crate) const MOST_DAYS: u32 = 366;

/// Makes the history, then serves it and lets it go on.
///
/// # Errors
/// The folder is not empty; it cannot be written; as `serve`.
pub(crate) fn run(mut decided: Decided, data_dir: Option<&Path>, days: u32, seed: u64) -> Result<()> {
    let temporary = data_dir.is_none().then(|| scratch().map(Scratch)).transpose()?;
    let folder = data_dir.map_or_else(|| temporary.as_ref().map(|it| it.0.clone()).unwrap_or_default(), Path::to_owned);
    decided.config = config::demo()?;
    decided.config_file = None;
    decided.exports_dir = folder.join("exports");
    decided.data_dir = folder;
    let outcome = make(&decided, days, seed).and_then(|world| {
        let probes = probes::all(&Arc::new(world));
        crate::serve::serve(decided, Served::Simulated(probes))
    });
    drop(temporary);
    outcome
}

/// Fills the folder; what was served there before goes on instead.
fn make(decided: &Decided, days: u32, seed: u64) -> Result<World> {
    let data = DataDir::open(&decided.data_dir)?;
    let core = Core::open(&data, decided.floor)?;
    // Whole minutes: two demos of one minute are the same.
    let end = Timestamp::from_secs(now().as_secs().div_euclid(60) * 60);
    let world = World::new(seed, end);
    if core.journal.tail() > Position(1) {
        core.close();
        bail!("there is a log in {}: give the demo an empty folder", decided.data_dir.display());
    }
    say(&format!("inventing {days} days of history ..."));
    let start = end.minus(Duration::from_secs(u64::from(days) * 86_400));
    let written = history::write(&core, &decided.config, &world, start, end);
    core.close();
    say(&format!("{} events", written?));
    Ok(world)
}

/// A folder that goes with the process.
struct Scratch(std::path::PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn scratch() -> Result<std::path::PathBuf> {
    let folder = std::env::temp_dir().join(format!("network-stats-demo-{}", std::process::id()));
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    Ok(folder)
}
