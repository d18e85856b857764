//! The steps of `cargo xtask test`, in order.

use std::io::{BufRead, BufReader};
use std::process::{Child, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::step::{Step, command, root, say};
use crate::{dist, fuzz, lab, layout, tools};

type Run = fn(&mut Step) -> Result<()>;

/// Name, what it proves, and how.
pub(crate) const STEPS: [(&str, &str, Run); 11] = [
    ("tools", "what the tests need is there, or is installed", tools::provide),
    ("format", "every file is formatted", |step| step.run("cargo", &["fmt", "--all", "--check"])),
    ("layout", "crates use each other only as docs/ARCHITECTURE.md says", layout::check),
    ("clippy", "no warning anywhere", |step| {
        step.run("cargo", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])
    }),
    ("tests", "unit, property, conformance, end-to-end and doc tests", |step| {
        // --show-output lets a passing test say SKIP.
        let arguments = ["test", "--workspace", "--no-fail-fast", "--", "--show-output"];
        step.run_with("cargo", &arguments, &crate::step::root(), &[("PATH", &tools::path_with_python())])
    }),
    ("fuzz", "whatever reads bytes from outside, fed with any bytes by how they steer it", fuzz::run),
    ("no-ui", "the product builds without its web interface", |step| {
        step.run("cargo", &["check", "-p", "network-stats", "--no-default-features"])
    }),
    (
        "dist",
        "the packages: the Debian one installed, the archive, the image's folder, the services' files",
        dist::check,
    ),
    ("lab", "probes against a network of known delay, loss and faults", in_lab),
    ("ui", "the web interface: types, lint, unit tests", ui),
    ("browser", "the page in headless Chromium, fed by the real product", browser),
];

/// Steps that run only when they are named: too long for every run.
const WHEN_NAMED: [&str; 1] = ["fuzz"];

/// Runs the steps of these names (all but the long ones, if none is named) and sums up.
#[expect(clippy::disallowed_methods, reason = "chores are timed by the clock on the wall")]
pub(crate) fn run(names: &[&str]) -> ExitCode {
    if let Some(unknown) = names.iter().find(|name| STEPS.iter().all(|(step, ..)| step != *name)) {
        say(&format!("there is no step `{unknown}`; cargo xtask steps lists them"));
        return ExitCode::from(2);
    }
    let skips_fail = std::env::var_os("CI").is_some_and(|value| value == "true");
    let (mut failed, mut skips) = (Vec::new(), Vec::new());
    let begin = Instant::now();
    let is_wanted = |name: &str| if names.is_empty() { !WHEN_NAMED.contains(&name) } else { names.contains(&name) };
    for (name, about, run) in STEPS.iter().filter(|(name, ..)| is_wanted(name)) {
        say(&format!("{name:8} {about} ..."));
        let start = Instant::now();
        let result = Step::new(name).and_then(|mut step| {
            let result = run(&mut step);
            skips.extend(step.skips());
            result.map_err(|error| error.context(step.output()))
        });
        let seconds = start.elapsed().as_secs_f64();
        match result {
            Ok(()) => say(&format!("{name:8} ok, {seconds:.1} s")),
            Err(error) => {
                // The outermost context is the step's output, the rest says what failed.
                let why = error.chain().skip(1).map(ToString::to_string).collect::<Vec<_>>().join(": ");
                say(&format!("{error}\n{name:8} FAILED after {seconds:.1} s: {why}"));
                failed.push(*name);
            }
        }
    }
    say("");
    skips.iter().for_each(|reason| say(&format!("SKIP: {reason}")));
    let verdict = match (failed.is_empty(), skips.is_empty() || !skips_fail) {
        (true, true) => "passed".to_owned(),
        (true, false) => "FAILED: with CI=true nothing may be skipped".to_owned(),
        (false, _) => format!("FAILED: {}", failed.join(", ")),
    };
    say(&format!("{verdict}; {} skipped; {:.0} s", skips.len(), begin.elapsed().as_secs_f64()));
    if verdict == "passed" { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn in_lab(step: &mut Step) -> Result<()> {
    match lab::obstacle() {
        Some(why) => {
            step.skip(format!("probes against ground truth: {why}"));
            Ok(())
        }
        None => lab::tests(&mut |program, arguments| step.run(program, arguments)),
    }
}

fn ui(step: &mut Step) -> Result<()> {
    if !tools::has("npm") {
        step.skip("the web interface's tests: npm is missing");
        return Ok(());
    }
    let folder = root().join("crates/netstats-web/ui");
    // The build of netstats-web has installed them, unless this step runs alone.
    if !folder.join("node_modules").is_dir() {
        step.run_with("npm", &["ci", "--no-audit", "--no-fund"], &folder, &[])?;
    }
    for script in ["check", "lint", "test", "size"] {
        step.run_with("npm", &["run", script], &folder, &[])?;
    }
    Ok(())
}

fn browser(step: &mut Step) -> Result<()> {
    if !tools::has("npm") || !tools::has("chromium") {
        step.skip("the page in a browser: npm or chromium is missing");
        return Ok(());
    }
    step.run("cargo", &["build", "-p", "network-stats"])?;
    let data = |name: &str| {
        let folder = root().join("target/xtask").join(name);
        let _ = std::fs::remove_dir_all(&folder);
        folder
    };
    let product = Product::start(step, &["serve"], &data("browser-data"))?;
    // Long enough for a week beside a week; short enough to be invented in seconds.
    let demo = Product::start(step, &["demo", "--days", "16"], &data("browser-demo"))?;
    let folder = root().join("crates/netstats-web/ui");
    let urls = ["run", "e2e", "--", "--base-url", &product.url, "--demo-url", &demo.url];
    step.run_with("npm", &urls, &folder, &[])
}

/// The product, running until dropped.
struct Product {
    child: Child,
    url: String,
}

impl Product {
    fn start(step: &Step, command_line: &[&str], data: &std::path::Path) -> Result<Self> {
        let binary = root().join("target/debug").join(format!("network-stats{}", std::env::consts::EXE_SUFFIX));
        let mut child = command(&binary.to_string_lossy())
            .current_dir(root())
            .args(command_line)
            // What a disk nearly full does is tested elsewhere.
            .env("NETWORK_STATS_MIN_FREE_MIB", "256")
            .args(["--listen", "localhost:0", "--data-dir"])
            .arg(data)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(step.sink()?.1)
            .spawn()
            .context("the product cannot be started")?;
        let lines = BufReader::new(child.stdout.take().context("no output")?).lines();
        for line in lines.map_while(Result::ok) {
            if let Some(at) = line.find("http://") {
                let url = line[at..].split_whitespace().next().unwrap_or_default().to_owned();
                return Ok(Self { child, url });
            }
        }
        let status = child.wait()?;
        bail!("the product ended before it said where it listens ({status})")
    }
}

impl Drop for Product {
    fn drop(&mut self) {
        // SIGKILL on purpose: what was acknowledged must survive that, and other tests stop it in order.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
