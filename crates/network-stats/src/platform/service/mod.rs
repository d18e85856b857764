//! `network-stats service ...`: the product as a service of the system.

#[cfg(windows)]
mod windows;
#[cfg(windows)]
use windows as system;
#[cfg(windows)]
pub(crate) use windows::{Phase, report};

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux as system;

#[cfg(target_os = "macos")]
mod macos;
#[cfg(target_os = "macos")]
use macos as system;

#[cfg(not(windows))]
use std::process::Command;

use anyhow::Result;
#[cfg(not(windows))]
use anyhow::{Context, bail};
use clap::Subcommand;

use crate::cli::Settings;

/// What is to be done with the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum ServiceCommand {
    /// Make it a service of this machine that starts with it; needs an administrator
    Install,
    /// Stop it and take it out; what was measured stays
    Uninstall,
    /// Start it
    Start,
    /// Stop it
    Stop,
    /// Say how it is
    Status,
    /// What the service manager of Windows starts
    #[command(hide = true)]
    Run,
}

/// Does it.
///
/// # Errors
/// The system refuses, or has no services that are known here.
pub(crate) fn run(command: ServiceCommand, settings: &Settings) -> Result<()> {
    system::run(command, settings)
}

/// Runs a program of the system; its own words are the error.
#[cfg(not(windows))]
fn call(program: &str, arguments: &[&str]) -> Result<()> {
    let status = Command::new(program).args(arguments).status().with_context(|| format!("{program} does not start"))?;
    if !status.success() {
        bail!("`{program} {}` failed ({status})", arguments.join(" "));
    }
    Ok(())
}
