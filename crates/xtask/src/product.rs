//! The running product, for chores that watch it: started, asked, stopped.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::park_timeout;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::lab;
use crate::step::{command, root};

/// How long it may take to end in order.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// How it is started.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) program: PathBuf,
    pub(crate) config: PathBuf,
    pub(crate) data: PathBuf,
    pub(crate) port: u16,
    /// The node of the lab that it runs in; none: here.
    pub(crate) node: Option<&'static str>,
    /// More arguments of `serve`.
    pub(crate) more: Vec<String>,
}

/// The product of this run; killed when dropped.
pub(crate) struct Product {
    pub(crate) setup: Setup,
    child: Child,
}

/// Builds the program.
pub(crate) fn build(is_debug: bool) -> Result<PathBuf> {
    let mut cargo = command("cargo");
    cargo.args(["build", "-p", "network-stats"]).current_dir(root());
    if !is_debug {
        cargo.arg("--release");
    }
    if !cargo.status()?.success() {
        bail!("the product does not build");
    }
    Ok(root().join("target").join(if is_debug { "debug" } else { "release" }).join("network-stats"))
}

/// Copies it to `target/xtask/NAME`: what is built meanwhile is not what is watched.
pub(crate) fn copy_of(built: &Path, name: &str) -> Result<PathBuf> {
    let copy = root().join("target/xtask").join(name);
    fs::create_dir_all(root().join("target/xtask"))?;
    fs::copy(built, &copy).with_context(|| format!("{} is not there", built.display()))?;
    Ok(copy)
}

impl Setup {
    fn command(&self) -> Command {
        let program = self.program.to_string_lossy();
        match self.node {
            Some(node) => lab::inside(node, &program),
            None => command(&program),
        }
    }

    /// A command of the program on the data folder: what it says; an error if it does not end with 0.
    pub(crate) fn run(&self, words: &[&str]) -> Result<String> {
        let mut command = self.command();
        command.args(words).arg("--config").arg(&self.config).arg("--data-dir").arg(&self.data);
        let output = command.output()?;
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        if output.status.success() { Ok(said) } else { bail!("{words:?} ended with {}: {said}", output.status) }
    }

    fn spawn(&self) -> Result<Child> {
        let log = self.data.with_file_name("product.log");
        let mut child = self
            .command()
            .args(["serve", "--log-level", "warn", "--listen", &format!("127.0.0.1:{}", self.port), "--log-file"])
            .arg(log)
            .args(&self.more)
            .arg("--config")
            .arg(&self.config)
            .arg("--data-dir")
            .arg(&self.data)
            .current_dir(root())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("the product does not start")?;
        let lines = BufReader::new(child.stdout.take().context("no output")?).lines();
        // Until it listens; what it says later nobody needs, and a closed pipe is no reason for it to fail.
        if lines.map_while(Result::ok).any(|line| line.contains("http://")) {
            return Ok(child);
        }
        let status = child.wait()?;
        bail!("the product ended at its start ({status})")
    }
}

impl Product {
    /// Starts it, and waits until it listens.
    pub(crate) fn start(setup: Setup) -> Result<Self> {
        let child = setup.spawn()?;
        Ok(Self { setup, child })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn data(&self) -> &Path {
        &self.setup.data
    }

    pub(crate) fn kill_and_start(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        self.child = self.setup.spawn()?;
        Ok(())
    }

    pub(crate) fn signal(&self, name: &str) -> Result<()> {
        let status = command("kill").args([&format!("-{name}"), &self.id().to_string()]).status()?;
        if status.success() { Ok(()) } else { bail!("no signal reaches the product") }
    }

    /// Ends in order.
    #[expect(clippy::disallowed_methods, reason = "chores are timed by the clock on the wall")]
    pub(crate) fn stop(mut self) -> Result<(ExitStatus, Duration)> {
        let start = Instant::now();
        self.signal("TERM")?;
        while start.elapsed() < STOP_WITHIN {
            if let Some(status) = self.child.try_wait()? {
                return Ok((status, start.elapsed()));
            }
            park_timeout(Duration::from_millis(10));
        }
        bail!("it does not stop within {} s", STOP_WITHIN.as_secs())
    }
}

impl Drop for Product {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
