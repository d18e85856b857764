//! Completions and manual pages, made of the command line itself.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_complete::Shell;

use crate::ask::say;
use crate::cli::Cli;

const NAME: &str = "network-stats";

/// Prints the completions for a shell.
pub(crate) fn completions(shell: Shell) {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), NAME, &mut text);
    // Nobody reading is no reason to fail.
    let _ = std::io::stdout().lock().write_all(&text);
}

/// Writes a manual page for the program and for each of its commands.
///
/// # Errors
/// The folder cannot be written.
pub(crate) fn manual(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    clap_mangen::generate_to(Cli::command(), folder)
        .with_context(|| format!("the pages cannot be written to {}", folder.display()))?;
    say(&format!("manual pages are in {}", folder.display()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_its_page() {
        let folder = tempfile::tempdir().unwrap();
        manual(folder.path()).unwrap();
        for name in ["network-stats.1", "network-stats-log-verify.1", "network-stats-doctor.1"] {
            let page = std::fs::read_to_string(folder.path().join(name)).unwrap();
            assert!(page.contains(".SH SYNOPSIS"), "{name}");
        }
    }
}
