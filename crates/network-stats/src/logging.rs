//! Diagnostic logs on standard error. Facts go to the event log, not here.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

const QUIET: &str = "fjall=warn,lsm_tree=warn";

/// Reads a level (`info`) or a filter (`info,netstats_collector=debug`).
///
/// # Errors
/// Not such a text.
pub(crate) fn parse(text: &str) -> Result<EnvFilter, String> {
    let words_are_plain = text.split(',').all(|part| {
        let level = part.rsplit('=').next().unwrap_or_default().trim();
        matches!(level.to_ascii_lowercase().as_str(), "off" | "error" | "warn" | "info" | "debug" | "trace")
    });
    // The store's own talk is for those who ask for it by name.
    let text_with_store = format!("{QUIET},{text}");
    words_are_plain.then(|| EnvFilter::try_new(text_with_store).ok()).flatten().ok_or_else(|| {
        format!(
            "\"{text}\" is not a log level: expected error, warn, info, debug or trace, or a filter such as \
             \"info,netstats_collector=debug\""
        )
    })
}

/// Starts logging.
pub(crate) fn start(filter: EnvFilter) {
    // A second start (tests) keeps the first.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_filters_are_understood_and_others_refused() {
        for good in ["info", "WARN", "info,netstats_collector=debug"] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in ["", "loud", "info,netstats=", "5"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
