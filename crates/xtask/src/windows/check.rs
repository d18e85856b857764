//! The product at work under Wine, in folders with blanks and letters of other alphabets.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::{Lab, quoted, ready};
use crate::step::{root, say};
use crate::{dist, http};

/// From the top of the source tree, as Wine's current folder is that.
const FOLDER: &str = "target-windows/Prüf Ordner ☃";
const PATIENCE: Duration = Duration::from_secs(60);

const CONFIG: &str = r#"(
    limits: (min_interval_s: 1),
    starter: (
        destinations: [(name: "hier", host: "127.0.0.1", display_name: "Dieser Rechner (Ü)")],
        jobs: [(name: "überall", interval: "1s", metrics: [ping], destinations: ["hier"], packets: 2, timeout: "500ms")],
    ),
)"#;

/// The program out of a package.
pub(super) fn of_zip(zip: &Path) -> Result<()> {
    let zip = std::path::absolute(zip)?;
    let place = fresh()?;
    dist::call("unzip", &["-q", &zip.to_string_lossy(), "-d", &place.to_string_lossy()], &root())?;
    let unpacked = place.join(zip.file_stem().unwrap_or_default());
    for wanted in ["network-stats.exe", "install.ps1", "completions/network-stats.ps1", "README.md", "LICENSE"] {
        if !unpacked.join(wanted).is_file() {
            bail!("the package has no {wanted}");
        }
    }
    say("ok  the package has what it should");
    work(&unpacked.join("network-stats.exe"))
}

/// The program at that path from the top of the source tree.
pub(super) fn run(program: &Path) -> Result<()> {
    fresh()?;
    work(&root().join(program))
}

fn fresh() -> Result<PathBuf> {
    let place = root().join(FOLDER);
    if place.exists() {
        fs::remove_dir_all(&place)?;
    }
    fs::create_dir_all(&place)?;
    Ok(place)
}

/// The product under Wine.
struct Product {
    lab: Lab,
    /// From the top of the source tree.
    program: String,
}

impl Product {
    /// What the shell runs.
    fn line(&self, arguments: &[&str]) -> String {
        let words: Vec<String> = arguments.iter().map(|word| quoted(word)).collect();
        format!("wine {} {}", quoted(&self.program), words.join(" "))
    }

    /// Runs it to its end; exit code and what it said.
    fn run(&self, arguments: &[&str]) -> Result<(i32, String)> {
        let output = self.lab.inside("/src").arg(self.line(arguments)).output()?;
        let text = [output.stdout, output.stderr].concat();
        Ok((output.status.code().unwrap_or(-1), String::from_utf8(text).context("what it says is not UTF-8")?))
    }

    /// Runs it to an end of that code, having said that text.
    fn expect(&self, words: &[&str], code: i32, text: &str) -> Result<String> {
        let (found, said) = self.run(words)?;
        if found != code || !said.contains(text) {
            bail!("{words:?} ended with {found} instead of {code}, or did not say {text:?}:\n{said}");
        }
        say(&format!("ok  {}", words.join(" ")));
        Ok(said)
    }

    /// Starts it, to be ended with what is returned.
    fn start(&self, arguments: &[&str]) -> Result<Running> {
        // exec, so that the process that is killed is Wine's.
        let line = format!("exec {}", self.line(arguments));
        Ok(Running(self.lab.inside("/src").arg(line).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?))
    }
}

fn work(program: &Path) -> Result<()> {
    let program = program.strip_prefix(root())?.to_string_lossy().into_owned();
    let product = Product { lab: ready()?, program };
    fs::write(root().join(FOLDER).join("Ein stellung.ron"), CONFIG.replace('\n', "\r\n"))?;
    let (config, data) = (format!("{FOLDER}/Ein stellung.ron"), format!("{FOLDER}/Mess daten"));
    let settings = ["--config", &*config, "--data-dir", &*data];
    let with = |words: &[&'static str]| [words, &settings].concat();
    product.expect(&["--version"], 0, env!("CARGO_PKG_VERSION"))?;
    // Its own words are UTF-8: the path comes back as it was given.
    product.expect(&["check-config", &config], 0, &format!("{config} is right: 1 destination, 1 job"))?;
    product.expect(&["completions", "powershell"], 0, "network-stats")?;
    product.expect(&["service", "--help"], 0, "uninstall")?;
    product.expect(&["service", "status"], 1, "network-stats service install")?;
    let acknowledged = serve_and_kill(&product, &settings)?;
    let verified = product.expect(&with(&["log", "verify"]), 0, "every checksum")?;
    let events: u64 = verified.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0);
    if events < acknowledged {
        bail!("{acknowledged} events were acknowledged before the kill, {events} are there");
    }
    say(&format!("ok  killed after {acknowledged} acknowledged events, {events} are there"));
    product.expect(&with(&["views", "rebuild"]), 0, "the same as before")?;
    let doctor = product.run(&with(&["doctor"]))?.1;
    if let Some(check) = ["antivirus", "ping IPv4", "clock", "Prüf Ordner ☃"].iter().find(|c| !doctor.contains(**c))
    {
        bail!("doctor does not tell of {check}:\n{doctor}");
    }
    say(&format!("ok  doctor:\n{doctor}"));
    service(&product, &config)
}

/// Starts the product, sees it measure, adds a destination, and kills it.
fn serve_and_kill(product: &Product, settings: &[&str]) -> Result<u64> {
    let mut running = product.start(&[&["serve", "--listen", "127.0.0.1:0"][..], settings].concat())?;
    let lines = BufReader::new(running.0.stdout.take().context("no output")?).lines();
    let start =
        lines.map_while(Result::ok).find(|line| line.contains("http://")).context("it ended before it listened")?;
    let port = port_of(start.trim())?;
    say(&format!("ok  {}", start.trim()));
    measures(port)?;
    let body = json!({"name": "Straße", "host": "127.0.0.2", "status": "paused"});
    let (status, made) = http::ask(port, "POST", "/api/destinations", Some(&body), PATIENCE)?;
    let (_, found) = http::ask(port, "GET", "/api/destinations", None, PATIENCE)?;
    if !found.to_string().contains("Straße") {
        bail!("a name does not come back as it was given: {found}");
    }
    match made["position"].as_u64() {
        Some(position) if status == 201 => Ok(position),
        _ => bail!("{status}: {made}"),
    }
}

fn port_of(url: &str) -> Result<u16> {
    url.trim_end_matches('/')
        .rsplit(':')
        .next()
        .and_then(|port| port.parse().ok())
        .with_context(|| format!("no port in {url}"))
}

/// It is well, and the loopback answers.
fn measures(port: u16) -> Result<()> {
    let health = until(port, "/api/health", |health| health["status"] == "ok")?;
    say(&format!("ok  health {}, log at {}", health["status"], health["log"]["last"]));
    let is_answered =
        |rows: &Value| rows.as_array().is_some_and(|rows| rows.iter().any(|row| row["status"] == "success"));
    let rows = until(port, "/api/jobs/1/metrics", is_answered)?;
    say(&format!("ok  measured: {} {} ms", rows[0]["status"], rows[0]["response_time_ms"]));
    Ok(())
}

/// As a service: installed, started, asked, stopped in order, taken out. What it measured stays.
fn service(product: &Product, config: &str) -> Result<()> {
    // Wine's services end with the last program of a user: this one waits for input.
    let _user =
        Running(product.lab.inside("/src").arg("exec wine cmd").stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?);
    let data = format!("{FOLDER}/Dienst daten");
    let settings = ["--config", config, "--data-dir", &*data, "--listen", "127.0.0.1:0"];
    // What a check that was cut off left.
    let _ = product.run(&["service", "uninstall"])?;
    product.expect(&[&["service", "install"][..], &settings].concat(), 0, "installed")?;
    let used = (|| {
        product.expect(&["service", "start"], 0, "started")?;
        let address = root().join(&data).join("address");
        let url = poll(|| fs::read_to_string(&address).ok()).context("the service does not say where it listens")?;
        measures(port_of(url.trim())?)?;
        product.expect(&["service", "status"], 0, "Running")?;
        product.expect(&["service", "stop"], 0, "stopping")?;
        poll(|| (!address.exists()).then_some(())).context("the service does not stop in order")
    })();
    product.expect(&["service", "uninstall"], 0, "removed")?;
    used?;
    product.expect(&["log", "verify", "--config", config, "--data-dir", &data], 0, "every checksum")?;
    Ok(())
}

/// Looks for at most a minute.
fn poll<T>(look: impl Fn() -> Option<T>) -> Option<T> {
    (0..600).find_map(|_| {
        let found = look();
        if found.is_none() {
            std::thread::park_timeout(Duration::from_millis(100));
        }
        found
    })
}

/// Asks until it pleases.
fn until(port: u16, path: &str, pleases: impl Fn(&Value) -> bool) -> Result<Value> {
    poll(|| match http::ask(port, "GET", path, None, PATIENCE) {
        Ok((200, json)) if pleases(&json) => Some(json),
        _ => None,
    })
    .with_context(|| format!("GET {path} does not please within a minute"))
}

/// Killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
