//! `network-stats log ...`: the commands that look after the event log.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::num::NonZero;
use std::path::Path;
use std::thread::available_parallelism;

use anyhow::{Context, Result, bail};
use netstats_api::{moment_of, update_text};
use netstats_event::{ChainHash, Envelope, Event, Kind, Position, Timestamp};
use netstats_inventory::InventoryProjector;
use netstats_log::{
    Backup, Error, ErrorKind, FjallLog, Log, ReadLimit, Repair, backup, examine, place_for_damaged, repair, restore,
    verify,
};
use netstats_projector::Projector;

use crate::ask::say;
use crate::cli::LogCommand;
use crate::data_dir::DataDir;
use crate::exit::Usage;
use crate::serve::now;
use crate::settings::Decided;

/// Does one of them.
///
/// # Errors
/// What the command says; exit code 3 if the log is damaged.
pub(crate) fn run(decided: &Decided, command: LogCommand) -> Result<()> {
    match command {
        LogCommand::Verify { head } => verify_log(decided, head.as_deref()),
        LogCommand::Stat => stat(decided),
        LogCommand::Dump { json: _, kind, from, to } => dump(decided, &kind, from.as_deref(), to.as_deref()),
        LogCommand::Repair { dry_run: true, .. } => say_what_can_be_saved(decided),
        LogCommand::Repair { rejoin, .. } => repair_log(decided, rejoin),
        LogCommand::Backup { dir } => back_up(decided, &dir),
        LogCommand::Restore { dir, to } => restore_log(decided, &dir, to.as_deref()),
    }
}

/// Reads the whole log and proves it.
///
/// # Errors
/// Something is damaged (exit code 3), or it does not hold the noted head.
fn verify_log(decided: &Decided, noted: Option<&str>) -> Result<()> {
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
            "the log is damaged: {} of its events are lost; see what can be saved: `network-stats log repair --dry-run --data-dir {}`",
            report.lost,
            decided.data_dir.display()
        );
        return Err(Error::new(ErrorKind::Corrupt, message).into());
    }
    say(&format!(
        "{} events, {} bytes: every checksum, position and chain value is right",
        report.records, report.bytes
    ));
    if report.summarised > 0 {
        say(&format!(
            "{} samples are summarised by retention: what is left of them is what the facts in the log say",
            report.summarised
        ));
    }
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

/// Says what the log consists of.
fn stat(decided: &Decided) -> Result<()> {
    let data = DataDir::open_existing(&decided.data_dir)?;
    let log = FjallLog::open(data.log())?;
    let mut kinds: BTreeMap<u16, u64> = BTreeMap::new();
    let mut times: Option<(Timestamp, Timestamp)> = None;
    let mut summarised: BTreeMap<u16, u64> = BTreeMap::new();
    walk(&log, log.first(), Position(log.head().last), |envelope| {
        let code = match &envelope.event {
            Event::Unknown { kind, .. } => *kind,
            event => event.kind().map_or(0, Kind::code),
        };
        let counts = if matches!(envelope.event, Event::Summarised(_)) { &mut summarised } else { &mut kinds };
        *counts.entry(code).or_default() += 1;
        let (first, _) = times.unwrap_or((envelope.recorded_at, envelope.recorded_at));
        times = Some((first, envelope.recorded_at));
        Ok(true)
    })?;
    say(&format!("store {}", log.store_id()));
    say(&format!("positions {} to {}", log.first(), log.head().last));
    if let Some((first, last)) = times {
        say(&format!("recorded {} to {}", in_words(first), in_words(last)));
    }
    let name = |code: u16| Kind::from_code(code).map_or("of a newer program", Kind::name);
    for (code, count) in kinds {
        say(&format!("kind {code} {}: {count} events", name(code)));
    }
    for (code, count) in summarised {
        let raw_from = Kind::from_code(code).map_or_else(|| log.first(), |kind| log.raw_from(kind));
        say(&format!("summarised {code} {}: {count} samples, all before position {raw_from}", name(code)));
    }
    say(&format!("on disk {} bytes", log.disk_bytes()));
    say(&format!("head {}:{}", log.head().last, log.head().chain));
    log.close();
    Ok(())
}

/// Prints events as JSON lines. Names are those of the moment of each event.
fn dump(decided: &Decided, kinds: &[String], from: Option<&str>, to: Option<&str>) -> Result<()> {
    let kinds = kinds.iter().map(|name| parse_kind(name)).collect::<Result<Vec<Kind>, Usage>>()?;
    let (from, to) = (from.map(parse_place).transpose()?, to.map(parse_place).transpose()?);
    let data = DataDir::open_existing(&decided.data_dir)?;
    let log = FjallLog::open(data.log())?;
    let (mut inventory, names) = InventoryProjector::new();
    let mut out = BufWriter::new(std::io::stdout().lock());
    let written = walk(&log, log.first(), Position(log.head().last), |envelope| {
        inventory.apply(std::slice::from_ref(envelope));
        if to.is_some_and(|to| to.is_before(envelope)) {
            return Ok(!matches!(to, Some(Place::Position(_))));
        }
        let is_wanted = from.is_none_or(|from| !from.is_after(envelope))
            && (kinds.is_empty() || kinds.iter().any(|kind| Some(*kind) == envelope.event.kind()));
        if is_wanted {
            writeln!(out, "{}", update_text(envelope, &names.current()))?;
        }
        Ok(true)
    });
    let done = written.and_then(|()| Ok(out.flush()?));
    log.close();
    match done {
        // Nobody reads any more, as behind `head`: that is no failure.
        Err(error) if is_broken_pipe(&error) => Ok(()),
        done => done,
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// All events of a range, in order, until `take` says no.
fn walk(log: &dyn Log, from: Position, last: Position, mut take: impl FnMut(&Envelope) -> Result<bool>) -> Result<()> {
    let mut next = from;
    while next <= last {
        let events = log.events(next, ReadLimit::default())?;
        for envelope in &events {
            if !take(envelope)? {
                return Ok(());
            }
        }
        next = events.last().context("the log ends early")?.position.next();
    }
    Ok(())
}

fn say_what_can_be_saved(decided: &Decided) -> Result<()> {
    let data = DataDir::open_existing(&decided.data_dir)?;
    let found = examine(&data.log())?;
    tell(&found);
    if found.is_whole() {
        say("every event is there: if the log opens there is nothing to repair, else --apply builds it anew");
    } else {
        say("`network-stats log repair --apply` builds the repaired log and moves the damaged one aside");
    }
    Ok(())
}

fn repair_log(decided: &Decided, rejoins: bool) -> Result<()> {
    let data = DataDir::open_existing(&decided.data_dir)?;
    let found = examine(&data.log())?;
    if found.is_whole() && FjallLog::open(data.log()).is_ok() {
        say("the log is whole and opens: there is nothing to repair");
        return Ok(());
    }
    let aside = place_for_damaged(&data.log());
    let done = repair(&data.log(), &aside, rejoins)?;
    tell(&done);
    // Views of the damaged log may know positions that are gone; they are made of the log again at the next start.
    if data.views().exists() {
        std::fs::remove_dir_all(data.views())
            .context("the views cannot be removed: remove them before the next start")?;
    }
    say(&format!(
        "the damaged log is in {}; what was lost is noted in {}",
        aside.display(),
        data.log().join("REPAIRED").display()
    ));
    Ok(())
}

fn tell(found: &Repair) {
    say(&format!(
        "proven prefix: {} events, up to {}:{}, recorded {}",
        found.prefix.last,
        found.prefix.last,
        found.prefix.chain,
        in_words(found.prefix_recorded_at)
    ));
    for (first, last) in &found.holes {
        say(&format!("lost: positions {first} to {last}"));
    }
    if let Some((first, last)) = found.later_range {
        say(&format!("proved after a hole: {} events of positions {first} to {last}", found.later));
    }
    found.notes.iter().for_each(|note| say(&format!("note: {note}")));
}

fn back_up(decided: &Decided, dir: &Path) -> Result<()> {
    let Backup { head, recorded_at, added, .. } = backup(&decided.data_dir.join("log"), dir)?;
    say(&format!(
        "{added} events added; the backup holds {} events, recorded up to {}",
        head.last,
        in_words(recorded_at)
    ));
    say(&format!("head {}:{}", head.last, head.chain));
    Ok(())
}

fn restore_log(decided: &Decided, dir: &Path, to: Option<&str>) -> Result<()> {
    let (position, time) = match to.map(parse_place).transpose()? {
        Some(Place::Position(position)) => (Some(position), None),
        Some(Place::Time(time)) => (None, Some(time)),
        None => (None, None),
    };
    let data = DataDir::open(&decided.data_dir)?;
    if data.views().exists() {
        bail!("{} is there already: move it away, or give another data folder with --data-dir", data.views().display());
    }
    let done = restore(dir, &data.log(), position, time)?;
    say(&format!("{} events restored, recorded up to {}", done.added, in_words(done.recorded_at)));
    say(&format!("head {}:{}", done.head.last, done.head.chain));
    if let Some(at) = done.damaged_at {
        let message =
            format!("the backup is damaged at position {at}: everything before it was restored, nothing after it");
        return Err(Error::new(ErrorKind::Corrupt, message).in_file(dir).at(at, at).into());
    }
    Ok(())
}

/// A place in the log: a position, or a recorded time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Position(Position),
    Time(Timestamp),
}

impl Place {
    fn is_before(self, envelope: &Envelope) -> bool {
        match self {
            Self::Position(position) => position < envelope.position,
            Self::Time(time) => time < envelope.recorded_at,
        }
    }

    fn is_after(self, envelope: &Envelope) -> bool {
        match self {
            Self::Position(position) => position > envelope.position,
            Self::Time(time) => time > envelope.recorded_at,
        }
    }
}

fn parse_place(text: &str) -> Result<Place, Usage> {
    if let Ok(position) = text.parse() {
        return Ok(Place::Position(Position(position)));
    }
    moment_of(text, now()).map(Place::Time).map_err(|why| Usage(format!("\"{text}\" is no position either; {why}")))
}

fn parse_kind(name: &str) -> Result<Kind, Usage> {
    Kind::ALL.iter().copied().find(|kind| kind.name() == name).ok_or_else(|| {
        let known: Vec<&str> = Kind::ALL.iter().copied().map(Kind::name).collect();
        Usage(format!("\"{name}\" is no kind of event: expected one of {}", known.join(", ")))
    })
}

fn in_words(time: Timestamp) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(time.as_nanos()))
        .map_or_else(|_| "?".to_owned(), |time| time.to_string())
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

    #[test]
    fn a_place_is_a_position_or_a_time_with_a_zone() {
        assert_eq!(parse_place("17").unwrap(), Place::Position(Position(17)));
        assert_eq!(parse_place("1970-01-01T00:00:01Z").unwrap(), Place::Time(Timestamp::from_millis(1_000)));
        assert!(matches!(parse_place("now-24h").unwrap(), Place::Time(time) if time < now()));
        for wrong in ["", "-1", "yesterday", "2026-11-24T04:18:12", "now-1y"] {
            assert!(parse_place(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse_kind("ping_measured").unwrap(), Kind::PingMeasured);
        assert!(parse_kind("pong").unwrap_err().0.contains("ping_measured"));
    }
}
