//! The config file: reading, checking, and turning it into what the inventory understands.

mod desire;
mod locate;
mod problem;
mod renamed;
mod shape;
mod unit;

use std::path::{Path, PathBuf};
use std::time::Duration;

use netstats_event::{Kind, ProbeKind};
use netstats_inventory::Policy;
use ron::extensions::Extensions;

use desire::Entries;
use locate::locate;
pub(crate) use problem::Problem;
pub(crate) use shape::{Log, LogFormat, Server, ServerLimits};
pub(crate) use unit::{Size, Span};

/// Bytes a config file may have.
const MAX_FILE_BYTES: usize = 1024 * 1024;
/// Brackets inside brackets.
const MAX_DEPTH: usize = 32;

/// A config file that was read and found right.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Where it came from.
    pub(crate) file: PathBuf,
    /// BLAKE3 of its text.
    pub(crate) digest: [u8; 32],
    /// Where to listen.
    pub(crate) listen: Option<String>,
    /// How the server is reached, and its limits.
    pub(crate) server: shape::Server,
    /// Where data goes.
    pub(crate) data_dir: Option<PathBuf>,
    /// Where export jobs leave their files.
    pub(crate) exports_dir: Option<PathBuf>,
    /// What is logged.
    pub(crate) log_level: Option<String>,
    /// How it is logged, and where.
    pub(crate) log: Log,
    /// Limits that the owner may move.
    pub(crate) policy: Policy,
    /// Keys that are called otherwise now, each with its place and its new name.
    pub(crate) warnings: Vec<String>,
    /// How long raw values are kept.
    pub(crate) retention: Retention,
    /// `targets.local_services`, if the file says it; else it goes by who can reach the server.
    pub(crate) local_services: Option<bool>,
    /// Desired state.
    managed: Entries,
    /// Appended once.
    starter: Option<Entries>,
}

/// How long the raw values of samples are kept; by default for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Retention {
    /// Bytes of the whole log on disk.
    pub(crate) max_bytes: Option<u64>,
    /// By probe, in the order of [`ProbeKind::ALL`].
    pub(crate) ages: [Option<Duration>; 6],
}

impl Retention {
    /// The same for the door.
    pub(crate) fn kept(&self) -> netstats_api::Kept {
        let aged = |(probe, age): (&ProbeKind, Option<Duration>)| Some((*probe, age?));
        netstats_api::Kept {
            max_bytes: self.max_bytes,
            raw: ProbeKind::ALL.iter().zip(self.ages).filter_map(aged).collect(),
        }
    }

    /// How old samples of a kind are when their raw values go; none for never.
    pub(crate) fn age(&self, kind: Kind) -> Option<Duration> {
        let probe = kind.probe()?;
        ProbeKind::ALL.iter().zip(self.ages).find(|(of, _)| **of == probe).and_then(|(_, age)| age)
    }
}

impl Config {
    /// What it declares, in a line.
    pub(crate) fn summary(&self) -> String {
        match &self.starter {
            Some(starter) => format!("{}; starter: {}", self.managed.count(), starter.count()),
            None => self.managed.count(),
        }
    }
}

/// Reads and checks the file at `path`.
///
/// # Errors
/// It cannot be read, or something in it is wrong.
pub(crate) fn load(path: &Path) -> Result<Config, Problem> {
    let bytes = std::fs::read(path).map_err(|error| {
        let problem = Problem::whole(path, format!("the config file cannot be read: {error}"));
        match error.kind() {
            std::io::ErrorKind::NotFound => problem.note("give another with --config FILE"),
            _ => problem,
        }
    })?;
    parse(path, &bytes)
}

/// The commented default, as it lies in `config/`: what counts where there is no file.
///
/// # Errors
/// Never; a test reads the same text.
pub(crate) fn built_in() -> Result<Config, Problem> {
    parse(Path::new("(built in)"), include_bytes!("../../../../config/network-stats.ron"))
}

/// The world of `network-stats demo`.
///
/// # Errors
/// Never; a test reads the same text.
pub(crate) fn demo() -> Result<Config, Problem> {
    parse(Path::new("(the demo's own)"), include_bytes!("../../../../config/examples/demo.ron"))
}

pub(crate) fn parse(file: &Path, bytes: &[u8]) -> Result<Config, Problem> {
    parse_with(file, bytes, renamed::RENAMED)
}

fn parse_with(file: &Path, bytes: &[u8], renamed: &[renamed::Renamed]) -> Result<Config, Problem> {
    let (shape, text, warnings) = renamed::read(file, decode(file, bytes)?, renamed)?;
    let digest = *blake3::hash(bytes).as_bytes();
    let checked = desire::check(file.to_owned(), digest, &shape).map_err(|fault| {
        let mut problem = Problem::at_byte(file, &text, locate(&text, &fault.path), fault.message);
        problem.notes = fault.notes;
        problem
    });
    Ok(Config { warnings, ..checked? })
}

/// RON as it is written here.
fn ron_options() -> ron::Options {
    ron::Options::default().with_default_extension(Extensions::IMPLICIT_SOME).with_recursion_limit(MAX_DEPTH)
}

/// The bytes as text, without a byte order mark.
fn decode<'a>(file: &Path, bytes: &'a [u8]) -> Result<&'a str, Problem> {
    if bytes.len() > MAX_FILE_BYTES {
        let message = format!("the file has {} bytes; a config file may have {MAX_FILE_BYTES}", bytes.len());
        return Err(Problem::whole(file, message).note("add destinations in bulk through the API instead"));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) || bytes.iter().take(64).any(|b| *b == 0) {
        return Err(Problem::whole(file, "the file is in UTF-16, not UTF-8")
            .note("save it as UTF-8 (in Notepad: Save as, Encoding: UTF-8)"));
    }
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(text).map_err(|error| {
        let valid = std::str::from_utf8(&text[..error.valid_up_to()]).unwrap_or_default();
        Problem::at_byte(file, valid, valid.len(), "the file is not UTF-8 from here on").note("save it as UTF-8")
    })
}

/// Something wrong with what the file means.
#[derive(Debug)]
struct Fault {
    /// As `starter.jobs[2].interval`.
    path: String,
    message: String,
    notes: Vec<String>,
}

impl Fault {
    fn at(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into(), notes: Vec::new() }
    }

    fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}

#[cfg(test)]
mod keys;
#[cfg(test)]
mod mutated;
#[cfg(test)]
mod tests;
