//! `cargo xtask windows`: the product built for Windows (x86_64-pc-windows-gnu) and run under Wine, on a Debian machine.
//!
//! A chroot of Debian sid holds what this needs: rustc with the source of its library (no ready one is packaged for the
//! target, so it is built), mingw-w64, Wine, and Node for the page. What that proves is that the code compiles, links, and works on the
//! Windows API as Wine implements it. It proves nothing about NTFS after a power cut, the firewall, real administrators'
//! rights, or the service manager.

mod check;
mod suites;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};

use crate::step::{command, ended, root, say};
use crate::tools;

const USAGE: &str = "usage: cargo xtask windows COMMAND     (needs root, and debootstrap to make the chroot)
  setup              make the chroot: some 3 GB in ~/.cache/network-stats-windows, or in NETSTATS_WINDOWS_ROOT
  build [ARGS...]    cargo build -p network-stats --no-default-features ARGS for Windows, into target-windows/
                     (the web interface is left out unless ARGS has --features ui)
  cargo ARGS...      any cargo command for Windows: cargo test -p netstats-log
  test [CRATE...]    the tests of these crates, or of all, crate by crate; counts, and what was left out
  wine PROGRAM ...   run a program, by its path from the top of the source tree
  check [ZIP]        build, or unpack what `cargo xtask dist windows` made, and see it work: version, config, log, doctor,
                     a kill, the service; all in paths with blanks and letters of other alphabets
  down               take the mounts away
";

const TARGET: &str = "x86_64-pc-windows-gnu";
const PACKAGES: &str = "rustc,cargo,rust-src,gcc,libc6-dev,gcc-mingw-w64-x86-64-posix,g++-mingw-w64-x86-64-posix,\
                        ca-certificates,nasm,cmake,make";
/// The debug build, from the top of the source tree.
const BUILT: &str = "target-windows/x86_64-pc-windows-gnu/debug/network-stats.exe";

/// One command.
pub(crate) fn run(words: &[&str]) -> ExitCode {
    let done = match words {
        ["setup"] => setup(),
        ["build", arguments @ ..] => build(arguments),
        ["cargo", arguments @ ..] => ready().and_then(|lab| lab.call("cargo", arguments)),
        ["wine", arguments @ ..] => ready().and_then(|lab| lab.call("wine", arguments)),
        ["test", crates @ ..] => suites::run(crates),
        ["check"] => build(&[]).and_then(|()| check::run(Path::new(BUILT))),
        ["check", zip] => check::of_zip(Path::new(zip)),
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
    let has = |program: &str| fs::symlink_metadata(place.join("usr/bin").join(program)).is_ok();
    if ["cargo", "wine", "node"].into_iter().all(has) {
        return Ok(());
    }
    if place.exists() {
        bail!("{} is there without Rust, Wine and Node in it: remove it, or name another place", place.display());
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
    let install = lab
        .inside("/")
        .arg("apt-get install -y --no-install-recommends wine wine64 nodejs")
        .stdout(Stdio::null())
        .status()?;
    if !install.success() {
        bail!("Wine and Node do not install");
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
        // Sizes and seeds of the tests.
        for name in ["NETSTATS_LONG", "NETSTATS_SEED"] {
            shell.args(std::env::var(name).ok().map(|value| format!("{name}={value}")));
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
}

/// For the shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// Builds the product for Windows.
///
/// # Errors
/// There is no chroot and none can be made, or it does not build.
pub(crate) fn build(arguments: &[&str]) -> Result<()> {
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
