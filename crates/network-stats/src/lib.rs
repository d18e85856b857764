//! Network Stats Collector: the product's one program.
//!
//! Reads the command line and the config file, opens log and views, starts collector and doors, and stops them in
//! order. It is not the place for rules: what is allowed is decided in `netstats-inventory`, what is shown in
//! `netstats-api`.
//!
//! A library with one entry, so that tests can be linked to what is inside.

mod apply;
mod ask;
mod cert;
mod cli;
mod client;
mod config;
mod core;
mod data_dir;
mod demo;
mod doctor;
mod exit;
mod export;
#[cfg(any(test, netstats_fuzz))]
pub mod fuzz;
mod listen;
mod log_command;
mod log_file;
mod logging;
mod lost;
mod maintain;
mod pages;
mod paths;
mod platform;
mod replay;
mod responder;
mod retention;
mod serve;
mod settings;
mod signal;
mod supervise;
mod trust;
mod verify_pack;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use ask::say;
use cli::{CertCommand, Cli, Command, ConfigCommand, DestinationCommand, ViewsCommand};

/// Does what the command line says; the exit code is documented in `docs/configuration.md`.
#[must_use]
pub fn main() -> ExitCode {
    platform::speak_utf8();
    // clap itself ends with 2 on a wrong command line and with 0 after --help.
    match run(Cli::parse()) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let _ = writeln!(std::io::stderr().lock(), "network-stats: {error:#}");
            ExitCode::from(exit::code_of(&error))
        }
    }
}

/// The exit code, if nothing went wrong.
fn run(cli: Cli) -> Result<u8> {
    let settings = cli.settings.without_empty();
    match cli.command.unwrap_or(Command::Serve) {
        Command::CheckConfig { file } => {
            let config = config::load(&file)?;
            config.warnings.iter().for_each(|warning| say(&format!("warning: {warning}")));
            say(&format!("{} is right: {}", file.display(), config.summary()));
        }
        Command::Responder(arguments) => responder::run(&arguments)?,
        Command::VerifyPack { file, key } => verify_pack::run(&file, key.as_deref())?,
        Command::Cert(CertCommand::SelfSigned { out, names }) => cert::self_signed(&out, &names)?,
        Command::Service(command) => platform::service::run(command, &settings)?,
        Command::Completions { shell } => pages::completions(shell),
        Command::Man { dir } => pages::manual(&dir)?,
        Command::Doctor(arguments) => return doctor::run(&settings, &arguments),
        command => with_settings(&settings, command)?,
    }
    Ok(0)
}

/// The commands that need to know where things are.
fn with_settings(settings: &cli::Settings, command: Command) -> Result<()> {
    let decided = settings::decide(settings, &paths::Places::here())?;
    match command {
        Command::Serve => serve::serve(decided, serve::Served::Real),
        Command::Demo { days, seed } => demo::run(decided, settings.data_dir.as_deref(), days, seed),
        // Done before.
        Command::CheckConfig { .. }
        | Command::Responder(_)
        | Command::Cert(_)
        | Command::VerifyPack { .. }
        | Command::Doctor(_)
        | Command::Service(_)
        | Command::Completions { .. }
        | Command::Man { .. } => Ok(()),
        Command::Health => ask::health(&decided),
        Command::Start { job } => ask::start(&decided, &job),
        Command::Stop { job } => ask::stop(&decided, &job),
        Command::Destination(DestinationCommand::Pause { destination }) => {
            ask::destination(&decided, &destination, "paused")
        }
        Command::Destination(DestinationCommand::Resume { destination }) => {
            ask::destination(&decided, &destination, "active")
        }
        Command::Replay(asked) => replay::replay(&decided, &asked),
        Command::Config(ConfigCommand::Reload) => ask::reload(&decided),
        Command::LogLevel { level } => ask::log_level(&decided, level.as_deref()),
        Command::Export(wanted) => export::run(&decided, &wanted),
        Command::Log(command) => log_command::run(&decided, command),
        Command::Views(ViewsCommand::Rebuild) => maintain::rebuild_views(&decided),
    }
}
