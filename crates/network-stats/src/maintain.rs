//! Commands on a data folder that no running product holds.

use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;

use anyhow::{Context, Result};
use netstats_event::{ChainHash, Position};
use netstats_log::{Error, ErrorKind, FjallLog, Journal, Log, verify};
use netstats_projector::{FjallViews, Runner, ViewStore, digest, rebuild_all};

use crate::ask::say;
use crate::core::{catch_up, projectors};
use crate::data_dir::DataDir;
use crate::exit::Usage;
use crate::settings::Decided;

/// Reads the whole log and proves it.
///
/// # Errors
/// Something is damaged (exit code 3), or it does not hold the noted head.
pub(crate) fn verify_log(decided: &Decided, noted: Option<&str>) -> Result<()> {
    let noted = noted.map(parse_head).transpose()?;
    let data = DataDir::open_existing(&decided.data_dir)?;
    let log = FjallLog::open(data.log())?;
    let threads = available_parallelism().unwrap_or(NonZero::<usize>::MIN);
    let report = verify(&log, threads)?;
    for damage in &report.damage {
        say(&format!("positions {} to {}: {}", damage.first, damage.last, damage.why));
    }
    if !report.is_whole() {
        let message = format!(
            "the log is damaged: {} of its events are lost; change nothing in {}, copy it, and see docs/OPERATIONS.md",
            report.lost,
            data.log().display()
        );
        return Err(Error::new(ErrorKind::Corrupt, message).into());
    }
    say(&format!(
        "{} events, {} bytes: every checksum, position and chain value is right",
        report.records, report.bytes
    ));
    say(&format!("head {}:{}", report.head.last, report.head.chain));
    if let Some((position, chain)) = noted {
        hold_against(&log, position, chain)?;
        say(&format!("the log still holds the history noted at {position}"));
    }
    log.close();
    Ok(())
}

fn hold_against(log: &dyn Log, position: Position, chain: ChainHash) -> Result<()> {
    let records = log.get(&[position]).with_context(|| format!("the log has no event at {position}"))?;
    let found = records.first().map(|record| record.chain);
    if found == Some(chain) {
        return Ok(());
    }
    let message = format!("the history was changed: the chain at {position} is not {chain}");
    Err(Error::new(ErrorKind::Corrupt, message).into())
}

fn parse_head(text: &str) -> Result<(Position, ChainHash), Usage> {
    let wrong = || Usage(format!("\"{text}\" is not a head: expected POSITION:HASH as `log verify` prints it"));
    let (position, chain) = text.split_once(':').ok_or_else(wrong)?;
    Ok((Position(position.parse().map_err(|_| wrong())?), chain.parse().map_err(|_| wrong())?))
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_reads_as_it_is_printed() {
        let (position, chain) = parse_head(&format!("17:{}", ChainHash([7; 16]))).unwrap();
        assert_eq!((position, chain), (Position(17), ChainHash([7; 16])));
        for wrong in ["", "17", "x:07", "17:07", "17:"] {
            assert!(parse_head(wrong).is_err(), "{wrong}");
        }
    }
}
