//! One step of the test command: runs programs, keeps what they say, tells it when it matters.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};

/// Prints a line.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// How a command of this program ends, and why if it is not well.
pub(crate) fn ended(command: &str, done: Result<()>) -> ExitCode {
    let Err(error) = done else { return ExitCode::SUCCESS };
    say(&format!("{command}: {error:#}"));
    ExitCode::FAILURE
}

/// The top of the source tree.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// What a step has to work with.
#[derive(Debug)]
pub(crate) struct Step {
    log: PathBuf,
    skips: Vec<String>,
}

impl Step {
    /// The step of that name; its output goes into a file under `target/`.
    pub(crate) fn new(name: &str) -> Result<Self> {
        let folder = root().join("target").join("xtask");
        fs::create_dir_all(&folder)?;
        let log = folder.join(format!("{name}.log"));
        File::create(&log)?;
        Ok(Self { log, skips: Vec::new() })
    }

    /// Something could not be tested here.
    pub(crate) fn skip(&mut self, reason: impl Into<String>) {
        self.skips.push(reason.into());
    }

    /// What could not be tested, including what the tests themselves said (`SKIP: reason`).
    pub(crate) fn skips(&self) -> Vec<String> {
        let said = self.output();
        let told = said.lines().filter_map(|line| line.trim().strip_prefix("SKIP: ").map(str::to_owned));
        let mut all: Vec<String> = self.skips.iter().cloned().chain(told).collect();
        all.dedup();
        all
    }

    /// Everything the step's programs said.
    pub(crate) fn output(&self) -> String {
        let mut bytes = Vec::new();
        let _ = File::open(&self.log).and_then(|mut file| file.read_to_end(&mut bytes));
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// A place for a program's output.
    pub(crate) fn sink(&self) -> Result<(Stdio, Stdio)> {
        let file = File::options().append(true).open(&self.log)?;
        Ok((Stdio::from(file.try_clone()?), Stdio::from(file)))
    }

    /// Runs a program in the top folder; an error if it fails.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> Result<()> {
        self.run_with(program, arguments, &root(), &[])
    }

    /// Runs a program in a folder with some variables set; an error if it fails.
    pub(crate) fn run_with(
        &self,
        program: &str,
        arguments: &[&str],
        folder: &Path,
        variables: &[(&str, &str)],
    ) -> Result<()> {
        let line = format!("{program} {}", arguments.join(" "));
        writeln!(File::options().append(true).open(&self.log)?, "$ {line}")?;
        let (out, err) = self.sink()?;
        let status = command(program)
            .args(arguments)
            .current_dir(folder)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .status()
            .with_context(|| format!("{program} cannot be started"))?;
        if !status.success() {
            bail!("`{line}` failed ({status})");
        }
        Ok(())
    }
}

/// A program by name; on Windows npm is a script.
pub(crate) fn command(program: &str) -> Command {
    if cfg!(windows) && program == "npm" { Command::new("npm.cmd") } else { Command::new(program) }
}
