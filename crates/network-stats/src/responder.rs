//! `network-stats responder`: the other end of bandwidth tests.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use netstats_probe::{RESPONDER_PORT, Responder, ResponderConfig};

use crate::ask::say;
use crate::logging;
use crate::platform::Signals;
use crate::signal::Signal;

/// What a responder needs to know.
#[derive(Clone, Debug, Args)]
pub(crate) struct ResponderArgs {
    /// Where to answer [default: every address, port 7123]
    #[arg(long, value_name = "ADDR:PORT")]
    at: Option<SocketAddr>,
    /// File with the token that probers must know: at least 16 characters, in one line
    #[arg(long, value_name = "FILE")]
    token_file: PathBuf,
    /// Mbit/s (10^6) each way at most, 0 for no limit
    #[arg(long, value_name = "MBIT", default_value_t = 1_000)]
    max_mbps: u64,
    /// Gigabytes (10^9 bytes) within 24 hours at most, both ways together, 0 for no limit
    #[arg(long, value_name = "GB", default_value_t = 50)]
    max_day_gb: u64,
}

/// Answers until a signal.
///
/// # Errors
/// The token cannot be read or is too short; the address is taken.
pub(crate) fn run(arguments: &ResponderArgs) -> Result<()> {
    logging::start(&logging::Settings::of("info"))?;
    let file = &arguments.token_file;
    let token =
        std::fs::read_to_string(file).with_context(|| format!("the token cannot be read: {}", file.display()))?;
    let config = ResponderConfig {
        token: token.trim().to_owned(),
        max_bytes_per_s: arguments.max_mbps.saturating_mul(1_000_000) / 8,
        max_day_bytes: arguments.max_day_gb.saturating_mul(1_000_000_000),
    };
    let at = arguments.at.unwrap_or_else(|| SocketAddr::from(([0; 8], RESPONDER_PORT)));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no threads to run on")?;
    runtime.block_on(async {
        let mut signals = Signals::new().context("the system gives no signals")?;
        let responder = Responder::open(at, config).await.with_context(|| format!("cannot answer at {at}"))?;
        say(&format!("answers bandwidth tests at {}", responder.address()?));
        tokio::select! {
            () = responder.run() => {}
            () = async { while signals.next().await != Signal::Stop {} } => say("stopped"),
        }
        Ok(())
    })
}
