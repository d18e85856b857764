//! Diagnostic logs, on standard error or in a file. Facts go to the event log, not here.
//!
//! What belongs together carries one id: the lines of a request `request{id=...}`, those of a slot `slot=...` from its
//! time to its position in the event log.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, anyhow};
use netstats_api::LogLevel;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use crate::config::{Log, LogFormat};
use crate::log_file::LogFile;

/// The store's own talk is for those who ask for it by name.
const QUIET: &str = "fjall=warn,lsm_tree=warn";
/// What speaks a protocol shows what goes over the wire, with passwords and tokens in it: these are never asked.
const WIRES: [&str; 8] =
    ["hyper", "hyper_util", "tungstenite", "tokio_tungstenite", "rustls", "tokio_rustls", "http_types", "tide"];
const DEFAULT_LEVEL: &str = "info";
/// Bytes that a log file may be set to.
const FILE_BYTES: std::ops::RangeInclusive<u64> = 64 * 1024..=10 * 1024 * 1024 * 1024;
/// Files that may be kept beside the one being written.
const FILES: std::ops::RangeInclusive<u32> = 1..=100;

/// What is logged, how, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// A level or a filter.
    pub(crate) level: String,
    /// Flag or variable say the level: what the config file says of it does not count.
    pub(crate) is_level_fixed: bool,
    pub(crate) format: LogFormat,
    /// None: standard error.
    pub(crate) file: Option<PathBuf>,
    /// A file of this size is put aside.
    pub(crate) file_bytes: u64,
    /// So many are kept beside the one being written.
    pub(crate) files: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            level: DEFAULT_LEVEL.to_owned(),
            is_level_fixed: false,
            format: LogFormat::default(),
            file: None,
            file_bytes: 20_000_000,
            files: 5,
        }
    }
}

impl Settings {
    /// The default at another level.
    pub(crate) fn of(level: &str) -> Self {
        Self { level: level.to_owned(), ..Self::default() }
    }
}

/// What is wrong with the file's `log`: the key, and why.
pub(crate) fn fault(log: &Log) -> Option<(&'static str, String)> {
    let size = log.file_size.map(|size| size.0).filter(|bytes| !FILE_BYTES.contains(bytes));
    let files = log.files.filter(|files| !FILES.contains(files));
    match (size, files) {
        (Some(bytes), _) => Some(("file_size", format!("{bytes} bytes is out of range: 64KiB to 10GiB"))),
        (_, Some(files)) => Some(("files", format!("{files} is out of range: {} to {}", FILES.start(), FILES.end()))),
        (None, None) => None,
    }
}

/// Reads a level (`info`) or a filter (`info,netstats_collector=debug`).
///
/// # Errors
/// Not such a text.
pub(crate) fn parse(text: &str) -> Result<EnvFilter, String> {
    let words_are_plain = text.split(',').all(|part| {
        let (target, level) = part.rsplit_once('=').unwrap_or(("", part));
        let is_level =
            matches!(level.trim().to_ascii_lowercase().as_str(), "off" | "error" | "warn" | "info" | "debug" | "trace");
        // Spans and fields in a filter cost every line of the log; modules are enough here.
        let is_module = target.trim().chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
        is_level && is_module && !WIRES.contains(&target.trim().split(':').next().unwrap_or_default())
    });
    let filter = format!("{QUIET},{text},{}=info", WIRES.join("=info,"));
    words_are_plain.then(|| EnvFilter::try_new(filter).ok()).flatten().ok_or_else(|| {
        format!(
            "\"{text}\" is not a log level: expected error, warn, info, debug or trace, or a filter such as \
             \"info,netstats_collector=debug\""
        )
    })
}

/// The running log.
pub(crate) struct Logging {
    level: Mutex<String>,
    is_level_fixed: bool,
    filter: reload::Handle<EnvFilter, Registry>,
    file: Option<LogFile>,
}

/// Starts logging.
///
/// # Errors
/// The level is none; the file cannot be written.
pub(crate) fn start(settings: &Settings) -> Result<Arc<Logging>> {
    let filter = parse(&settings.level).map_err(|message| anyhow!(message))?;
    let (filter, handle) = reload::Layer::new(filter);
    let file = settings.file.as_ref().map(|path| {
        LogFile::open(path, settings.file_bytes, settings.files, settings.format)
            .with_context(|| format!("the log file {} cannot be written", path.display()))
    });
    let file = file.transpose()?;
    let writer = match file.clone() {
        Some(file) => BoxMakeWriter::new(file),
        None => BoxMakeWriter::new(std::io::stderr),
    };
    let is_on_terminal = file.is_none() && std::io::stderr().is_terminal();
    let lines = fmt::layer().with_writer(writer).with_ansi(is_on_terminal);
    let lines = match settings.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
    };
    // A second start (tests) keeps the first.
    let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
    let level = Mutex::new(settings.level.clone());
    Ok(Arc::new(Logging { level, is_level_fixed: settings.is_level_fixed, filter: handle, file }))
}

impl Logging {
    /// Lets what the config file now says count; a remark if it cannot.
    pub(crate) fn take_up(&self, level: Option<&str>) -> Option<String> {
        if self.is_level_fixed {
            return Some("`log_level` changed: --log-level or its variable goes before it".to_owned());
        }
        self.set_level(level.unwrap_or(DEFAULT_LEVEL)).err()
    }

    /// Waits a moment for the file to have what was logged.
    pub(crate) fn flush(&self) {
        if let Some(file) = &self.file {
            file.flush();
        }
    }
}

impl LogLevel for Logging {
    fn level(&self) -> String {
        self.level.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_level(&self, level: &str) -> Result<(), String> {
        let filter = parse(level)?;
        let mut now = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        self.filter.reload(filter).map_err(|error| error.to_string())?;
        level.clone_into(&mut now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_filters_are_understood_and_others_refused() {
        for good in ["info", "WARN", "info,netstats_collector=debug", "off,netstats_api::door=trace"] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in ["", "loud", "info,netstats=", "5", "info,[span{a=b}]=debug", "info,,", "hyper::proto=trace"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_and_counts_of_files_have_limits() {
        let with = |bytes: u64, files: u32| Log {
            file_size: Some(crate::config::Size(bytes)),
            files: Some(files),
            ..Log::default()
        };
        assert_eq!(fault(&Log::default()), None);
        assert_eq!(fault(&with(*FILE_BYTES.start(), 1)), None);
        assert_eq!(fault(&with(FILE_BYTES.start() - 1, 1)).unwrap().0, "file_size");
        assert_eq!(fault(&with(FILE_BYTES.end() + 1, 1)).unwrap().0, "file_size");
        assert_eq!(fault(&with(*FILE_BYTES.end(), 0)).unwrap().0, "files");
        assert_eq!(fault(&with(*FILE_BYTES.end(), 101)).unwrap().0, "files");
    }
}
