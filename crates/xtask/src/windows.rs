//! `cargo xtask windows`: the product built for Windows (x86_64-pc-windows-gnu) and run under Wine, on a Debian machine.
//!
//! A chroot of Debian sid holds what this needs: rustc with the source of its library (no ready one is packaged for the
//! target, so it is built), mingw-w64 and Wine. What that proves is that the code compiles, links, and works on the
//! Windows API as Wine implements it. It proves nothing about NTFS after a power cut, the firewall, real administrators'
//! rights, or the service manager.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::step::{command, ended, root, say};
use crate::{http, tools};

const USAGE: &str = "usage: cargo xtask windows COMMAND     (needs root, and debootstrap to make the chroot)
  setup              make the chroot: some 3 GB in ~/.cache/network-stats-windows, or in NETSTATS_WINDOWS_ROOT
  build [ARGS...]    cargo build -p network-stats --no-default-features ARGS for Windows, into target-windows/
                     (the web interface is left out unless ARGS has --features ui, which needs Node in the chroot)
  cargo ARGS...      any cargo command for Windows: cargo test -p netstats-log
  wine PROGRAM ...   run a program, by its path from the top of the source tree
  check              build, and see it work: version, config, log, doctor, a kill; paths with blanks and letters
  down               take the mounts away
";

const TARGET: &str = "x86_64-pc-windows-gnu";
const PACKAGES: &str = "rustc,cargo,rust-src,gcc,libc6-dev,gcc-mingw-w64-x86-64-posix,g++-mingw-w64-x86-64-posix,\
                        ca-certificates,nasm,cmake,make";
const PATIENCE: Duration = Duration::from_secs(60);

/// One command.
pub(crate) fn run(words: &[&str]) -> ExitCode {
    let done = match words {
        ["setup"] => setup(),
        ["build", arguments @ ..] => build(arguments),
        ["cargo", arguments @ ..] => ready().and_then(|lab| lab.call("cargo", arguments)),
        ["wine", arguments @ ..] => ready().and_then(|lab| lab.call("wine", arguments)),
        ["check"] => check(),
        ["down"] => down(),
        _ => {
            say(USAGE);
            return ExitCode::from(2);
        }
    };
    ended("windows", done)
}

/// The chroot.
struct Lab {
    root: PathBuf,
}

fn place() -> Result<PathBuf> {
    if let Some(place) = std::env::var_os("NETSTATS_WINDOWS_ROOT") {
        return Ok(place.into());
    }
    let home = std::env::var_os("HOME").context("HOME is not set: name a folder with NETSTATS_WINDOWS_ROOT")?;
    Ok(Path::new(&home).join(".cache/network-stats-windows"))
}

fn is_mounted(path: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let path = path.to_string_lossy();
    mounts.lines().any(|line| line.split(' ').nth(1) == Some(&*path))
}

fn mount(from: &Path, to: &Path) -> Result<()> {
    if is_mounted(to) {
        return Ok(());
    }
    fs::create_dir_all(to)?;
    let status = command("mount").arg("--bind").arg(from).arg(to).status()?;
    if status.success() { Ok(()) } else { bail!("{} cannot be mounted", to.display()) }
}

/// The chroot with this source tree at `/src`.
fn ready() -> Result<Lab> {
    setup()?;
    let lab = Lab { root: place()? };
    mount(Path::new("/proc"), &lab.root.join("proc"))?;
    mount(Path::new("/dev"), &lab.root.join("dev"))?;
    let source = lab.root.join("src");
    if is_mounted(&source) {
        // It may be that of another source tree.
        command("umount").arg(&source).status()?;
    }
    mount(&root(), &source)?;
    Ok(lab)
}

fn setup() -> Result<()> {
    if !tools::is_root() {
        bail!("a chroot needs root");
    }
    let place = place()?;
    // The link to Wine leads to nowhere seen from out here.
    if fs::symlink_metadata(place.join("usr/bin/wine")).is_ok() && place.join("usr/bin/cargo").exists() {
        return Ok(());
    }
    if place.exists() {
        bail!("{} is there, and is no chroot with Rust and Wine: remove it, or name another place", place.display());
    }
    if !tools::has("debootstrap") {
        bail!("debootstrap is missing: apt-get install debootstrap");
    }
    say(&format!("making {}: some minutes", place.display()));
    fs::create_dir_all(&place)?;
    let include = format!("--include={PACKAGES}");
    let bootstrap = command("debootstrap")
        .args(["--variant=minbase", &include, "sid"])
        .arg(&place)
        .args(mirror())
        .stdout(Stdio::null())
        .status()?;
    if !bootstrap.success() {
        bail!("debootstrap failed: see {}/debootstrap/debootstrap.log", place.display());
    }
    for file in ["etc/resolv.conf", "etc/ssl/certs/ca-certificates.crt"] {
        let _ = fs::copy(Path::new("/").join(file), place.join(file));
    }
    // Proxies and the like.
    for file in fs::read_dir("/etc/apt/apt.conf.d").into_iter().flatten().flatten() {
        let _ = fs::copy(file.path(), place.join("etc/apt/apt.conf.d").join(file.file_name()));
    }
    let lab = Lab { root: place };
    mount(Path::new("/proc"), &lab.root.join("proc"))?;
    mount(Path::new("/dev"), &lab.root.join("dev"))?;
    let install =
        lab.inside("/").arg("apt-get install -y --no-install-recommends wine wine64").stdout(Stdio::null()).status()?;
    if !install.success() {
        bail!("Wine does not install");
    }
    let _ = lab.inside("/").arg("timeout 180 wine wineboot -i").stdout(Stdio::null()).stderr(Stdio::null()).status();
    Ok(())
}

/// The machine's own Debian mirror, if it names one.
fn mirror() -> Option<String> {
    let sources = fs::read_to_string("/etc/apt/sources.list.d/debian.sources").ok()?;
    let line = sources.lines().find_map(|line| line.strip_prefix("URIs:"))?;
    line.split_whitespace().next().map(str::to_owned)
}

impl Lab {
    /// A shell in the chroot, in that folder; its one argument is the command.
    fn inside(&self, folder: &str) -> Command {
        let upper = TARGET.to_uppercase().replace('-', "_");
        let lower = TARGET.replace('-', "_");
        let mut shell = command("chroot");
        shell.arg(&self.root).args(["/usr/bin/env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"]);
        shell.args(["LANG=C.UTF-8", "WINEDEBUG=-all", "WINEPREFIX=/root/.wine", "RUSTC_BOOTSTRAP=1"]);
        shell.args(["CARGO_UNSTABLE_BUILD_STD=std,panic_unwind", "CARGO_TARGET_DIR=/src/target-windows"]);
        shell.args(["SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"]);
        shell.args(["CARGO_HTTP_CAINFO=/etc/ssl/certs/ca-certificates.crt"]);
        shell.args(["CARGO_PROFILE_DEV_DEBUG=0", "CARGO_PROFILE_TEST_DEBUG=0"]);
        shell.arg(format!("CARGO_BUILD_TARGET={TARGET}"));
        shell.arg(format!("CARGO_TARGET_{upper}_LINKER=x86_64-w64-mingw32-gcc"));
        shell.arg(format!("CARGO_TARGET_{upper}_RUNNER=wine"));
        for (variable, tool) in [("CC", "gcc"), ("CXX", "g++"), ("AR", "ar")] {
            shell.arg(format!("{variable}_{lower}=x86_64-w64-mingw32-{tool}"));
        }
        shell.args(["bash", "-c", &format!("cd {folder} && eval \"$0\"")]);
        shell
    }

    /// Runs a program in the source tree; an error if it fails.
    fn call(&self, program: &str, arguments: &[&str]) -> Result<()> {
        let words: Vec<String> = std::iter::once(&program).chain(arguments).map(|word| quoted(word)).collect();
        let status = self.inside("/src").arg(format!("nice {}", words.join(" "))).status()?;
        if status.success() { Ok(()) } else { bail!("`{program} {}` failed ({status})", arguments.join(" ")) }
    }

    /// Runs the product under Wine to its end; exit code and what it said.
    fn product(&self, arguments: &[&str]) -> Result<(i32, String)> {
        let output = self.inside("/src").arg(product_line(arguments)).output()?;
        let text = [output.stdout, output.stderr].concat();
        Ok((output.status.code().unwrap_or(-1), String::from_utf8(text).context("what it says is not UTF-8")?))
    }
}

/// For the shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

fn product_line(arguments: &[&str]) -> String {
    let words: Vec<String> = arguments.iter().map(|word| quoted(word)).collect();
    format!("wine target-windows/{TARGET}/debug/network-stats.exe {}", words.join(" "))
}

fn build(arguments: &[&str]) -> Result<()> {
    let fixed = ["build", "-p", "network-stats", "--no-default-features"];
    ready()?.call("cargo", &[&fixed, arguments].concat())
}

fn down() -> Result<()> {
    let place = place()?;
    for folder in ["src", "dev", "proc"] {
        let folder = place.join(folder);
        if is_mounted(&folder) {
            command("umount").arg(&folder).status()?;
        }
    }
    Ok(())
}

const CONFIG: &str = r#"(
    limits: (min_interval_s: 1),
    starter: (
        destinations: [(name: "hier", host: "127.0.0.1", display_name: "Dieser Rechner (Ü)")],
        jobs: [(name: "überall", interval: "1s", metrics: [ping], destinations: ["hier"], packets: 2, timeout: "500ms")],
    ),
)"#;

/// The product at work under Wine.
fn check() -> Result<()> {
    build(&[])?;
    let lab = ready()?;
    let folder = "target-windows/Prüf Ordner ☃";
    let place = root().join(folder);
    if place.exists() {
        fs::remove_dir_all(&place)?;
    }
    fs::create_dir_all(&place)?;
    fs::write(place.join("Ein stellung.ron"), CONFIG.replace('\n', "\r\n"))?;
    let (config, data) = (format!("{folder}/Ein stellung.ron"), format!("{folder}/Mess daten"));
    let settings = ["--config", &*config, "--data-dir", &*data];
    let expect = |words: &[&str], code: i32, text: &str| -> Result<String> {
        let (found, said) = lab.product(words)?;
        if found != code || !said.contains(text) {
            bail!("{words:?} ended with {found} instead of {code}, or did not say {text:?}:\n{said}");
        }
        say(&format!("ok  {}", words.join(" ")));
        Ok(said)
    };
    expect(&["--version"], 0, env!("CARGO_PKG_VERSION"))?;
    expect(&["check-config", &config], 0, "1 destination, 1 job")?;
    expect(&["completions", "powershell"], 0, "network-stats")?;
    expect(&["service", "status"], 1, "network-stats")?;
    let acknowledged = serve_and_kill(&lab, &settings)?;
    let verified = expect(&[&["log", "verify"][..], &settings].concat(), 0, "every checksum")?;
    let events: u64 = verified.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0);
    if events < acknowledged {
        bail!("{acknowledged} events were acknowledged before the kill, {events} are there");
    }
    say(&format!("ok  killed after {acknowledged} acknowledged events, {events} are there"));
    expect(&[&["views", "rebuild"][..], &settings].concat(), 0, "the same as before")?;
    let doctor = lab.product(&[&["doctor"][..], &settings].concat())?.1;
    for check in ["antivirus", "ping IPv4", "clock"] {
        if !doctor.contains(check) {
            bail!("doctor does not tell of {check}:\n{doctor}");
        }
    }
    say(&format!("ok  doctor:\n{doctor}"));
    Ok(())
}

/// Starts the product, sees it measure, adds a destination, and kills it.
fn serve_and_kill(lab: &Lab, settings: &[&str]) -> Result<u64> {
    let words = [&["serve", "--listen", "127.0.0.1:0"][..], settings].concat();
    // exec, so that the process that is killed is Wine's.
    let line = format!("exec {}", product_line(&words));
    let mut product = Running(lab.inside("/src").arg(line).stdout(Stdio::piped()).spawn()?);
    let lines = BufReader::new(product.0.stdout.take().context("no output")?).lines();
    let start =
        lines.map_while(Result::ok).find(|line| line.contains("http://")).context("it ended before it listened")?;
    let port: u16 = start.trim().rsplit(':').next().and_then(|port| port.parse().ok()).context("no port")?;
    say(&format!("ok  {}", start.trim()));
    let row = until(port, "/api/jobs/1/metrics", |rows| rows.as_array().is_some_and(|rows| !rows.is_empty()))?;
    say(&format!("ok  measured: {} {} ms", row[0]["status"], row[0]["response_time_ms"]));
    let body = json!({"name": "Straße", "host": "127.0.0.2", "status": "paused"});
    let (status, made) = http::ask(port, "POST", "/api/destinations", Some(&body), PATIENCE)?;
    match made["position"].as_u64() {
        Some(position) if status == 201 => Ok(position),
        _ => bail!("{status}: {made}"),
    }
}

/// Asks until it pleases.
fn until(port: u16, path: &str, pleases: impl Fn(&serde_json::Value) -> bool) -> Result<serde_json::Value> {
    for _ in 0..600 {
        if let Ok((200, json)) = http::ask(port, "GET", path, None, PATIENCE)
            && pleases(&json)
        {
            return Ok(json);
        }
        std::thread::park_timeout(Duration::from_millis(100));
    }
    bail!("GET {path} does not please within a minute")
}

/// Killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
