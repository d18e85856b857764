//! Network Stats Collector: the product's one program.
//!
//! Reads the command line and the config file, opens log and views, starts collector and doors, and stops them in
//! order. It is not the place for rules: what is allowed is decided in `netstats-inventory`, what is shown in
//! `netstats-api`.

mod apply;
mod ask;
mod cert;
mod cli;
mod client;
mod config;
mod core;
mod data_dir;
mod demo;
mod exit;
mod export;
mod gateway;
mod listen;
mod log_command;
mod logging;
mod lost;
mod maintain;
mod paths;
mod replay;
mod responder;
mod serve;
mod settings;
mod signal;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use ask::say;
use cli::{CertCommand, Cli, Command, ConfigCommand, DestinationCommand, ViewsCommand};

fn main() -> ExitCode {
    // clap itself ends with 2 on a wrong command line and with 0 after --help.
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr().lock(), "network-stats: {error:#}");
            ExitCode::from(exit::code_of(&error))
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    let command = cli.command.unwrap_or(Command::Serve);
    if let Command::CheckConfig { file } = &command {
        let config = config::load(file)?;
        say(&format!("{} is right: {}", file.display(), config.summary()));
        return Ok(());
    }
    if let Command::Responder(arguments) = &command {
        return responder::run(arguments);
    }
    if let Command::Cert(CertCommand::SelfSigned { out, names }) = &command {
        return cert::self_signed(out, names);
    }
    let settings = cli.settings.without_empty();
    let decided = settings::decide(&settings, &paths::Places::here())?;
    match command {
        Command::Serve => serve::serve(decided, serve::Served::Real),
        Command::Demo { days, seed } => demo::run(decided, settings.data_dir.as_deref(), days, seed),
        Command::CheckConfig { .. } | Command::Responder(_) | Command::Cert(_) => Ok(()),
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
        Command::Export(wanted) => export::run(&decided, &wanted),
        Command::Log(command) => log_command::run(&decided, command),
        Command::Views(ViewsCommand::Rebuild) => maintain::rebuild_views(&decided),
    }
}
