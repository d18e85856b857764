//! `cargo xtask dist`: the product as others install it. What goes into the packages lies in
//! `crates/network-stats/packaging`; completions and manual pages are made by the program itself.

mod looks;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::step::{Step, command, ended, root, say};
use crate::{tools, windows};

const USAGE: &str = "usage: cargo xtask dist KIND [--binary FILE]
  tar         target/dist/network-stats-VERSION-MACHINE.tar.gz: program, completions, manual pages, services, documents
  deb         target/dist/network-stats_VERSION_ARCHITECTURE.deb (needs dpkg-deb)
  windows     target/dist/network-stats-VERSION-windows-x86_64.zip, portable, with an installer script; the program
              is built in the chroot of `cargo xtask windows`
  container   target/dist/container: a folder to build an image from, and the image if docker or podman works here
  --binary    this program instead of a fresh release build
";

const VERSION: &str = env!("CARGO_PKG_VERSION");
const COMPLETIONS: [(&str, &str); 4] = [
    ("bash", "network-stats.bash"),
    ("zsh", "_network-stats"),
    ("fish", "network-stats.fish"),
    ("powershell", "network-stats.ps1"),
];

/// One command.
pub(crate) fn run(words: &[&str]) -> ExitCode {
    let done = match words {
        [kind, "--binary", file] => make(kind, Some(Path::new(file))),
        [kind] => make(kind, None),
        _ => Ok(false),
    };
    if let Ok(false) = done {
        say(USAGE);
        return ExitCode::from(2);
    }
    ended("dist", done.map(drop))
}

fn make(kind: &str, binary: Option<&Path>) -> Result<bool> {
    let own = || binary.map_or_else(build, |file| Ok(file.to_owned()));
    let made = match kind {
        "tar" => tar(&own()?)?,
        "deb" => deb(&own()?, true)?,
        "windows" => zip(binary)?,
        "container" => container(&own()?)?,
        _ => return Ok(false),
    };
    say(&format!("{} ({:.1} MB)", made.display(), size(&made)? as f64 / 1e6));
    Ok(true)
}

/// Bytes of a file, or of all files in a folder.
fn size(path: &Path) -> Result<u64> {
    let meta = fs::metadata(path)?;
    if meta.is_file() {
        return Ok(meta.len());
    }
    fs::read_dir(path)?.map(|entry| size(&entry?.path())).sum()
}

fn build() -> Result<PathBuf> {
    call("cargo", &["build", "--release", "-p", "network-stats"], &root())?;
    Ok(root().join("target/release/network-stats"))
}

/// Runs a program in a folder; what it said is the error.
pub(crate) fn call(program: &str, arguments: &[&str], folder: &Path) -> Result<()> {
    let output = command(program)
        .args(arguments)
        .current_dir(folder)
        .stderr(std::process::Stdio::inherit())
        .output()
        .with_context(|| format!("{program} does not start"))?;
    if !output.status.success() {
        bail!(
            "`{program} {}` failed ({}): {}",
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stdout)
        );
    }
    Ok(())
}

fn packaging() -> PathBuf {
    root().join("crates/network-stats/packaging")
}

/// An empty folder under `target/dist`.
fn fresh(name: &str) -> Result<PathBuf> {
    let folder = root().join("target/dist").join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Puts a file in its place, with its mode.
fn put(from: &Path, to: &Path, mode: u32) -> Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::copy(from, to).with_context(|| format!("{} cannot be copied to {}", from.display(), to.display()))?;
    set_mode(to, mode)
}

fn put_text(text: &[u8], to: &Path, mode: u32) -> Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(to, text).with_context(|| format!("{} cannot be written", to.display()))?;
    set_mode(to, mode)
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(mode))?)
}

#[cfg(not(unix))]
fn set_mode(_: &Path, _: u32) -> Result<()> {
    Ok(())
}

/// What `program` prints as completions for a shell.
fn completions(program: &Path, shell: &str) -> Result<Vec<u8>> {
    let output = command(&program.to_string_lossy()).args(["completions", shell]).output()?;
    if !output.status.success() || output.stdout.is_empty() {
        bail!("{} gives no completions for {shell}", program.display());
    }
    Ok(output.stdout)
}

fn manual(program: &Path, folder: &Path) -> Result<()> {
    call(&program.to_string_lossy(), &["man", &folder.to_string_lossy()], &root())
}

/// What every package has to read: licence, readme, documents, the commented config file and examples.
fn documents(folder: &Path) -> Result<()> {
    for file in ["LICENSE", "README.md"] {
        put(&root().join(file), &folder.join(file), 0o644)?;
    }
    for (from, ending) in [("docs", "md"), ("docs/screenshots", "png"), ("config", "ron"), ("config/examples", "ron")] {
        let Ok(files) = fs::read_dir(root().join(from)) else { continue };
        for file in files {
            let file = file?.path();
            if file.extension().is_some_and(|own| own == ending) {
                put(&file, &folder.join(from).join(file.file_name().unwrap_or_default()), 0o644)?;
            }
        }
    }
    Ok(())
}

fn tar(program: &Path) -> Result<PathBuf> {
    let name = format!("network-stats-{VERSION}-{}-{}", std::env::consts::ARCH, std::env::consts::OS);
    let folder = fresh(&name)?;
    put(program, &folder.join("network-stats"), 0o755)?;
    for (shell, file) in COMPLETIONS {
        put_text(&completions(program, shell)?, &folder.join("completions").join(file), 0o644)?;
    }
    manual(program, &folder.join("man"))?;
    for file in ["network-stats.service", "ping.conf", "net.network-stats.plist", "Containerfile"] {
        put(&packaging().join(file), &folder.join("packaging").join(file), 0o644)?;
    }
    documents(&folder)?;
    let file = format!("{name}.tar.gz");
    call("tar", &["--owner=0", "--group=0", "--numeric-owner", "-czf", &file, &name], &root().join("target/dist"))?;
    Ok(root().join("target/dist").join(file))
}

/// `is_small`: compressed well; else quickly.
fn deb(program: &Path, is_small: bool) -> Result<PathBuf> {
    let output = command("dpkg").arg("--print-architecture").output().context("dpkg is missing")?;
    let architecture = String::from_utf8(output.stdout)?.trim().to_owned();
    let folder = fresh("deb")?;
    let at = |path: &str| folder.join(path);
    put(program, &at("usr/bin/network-stats"), 0o755)?;
    put(&packaging().join("network-stats.service"), &at("usr/lib/systemd/system/network-stats.service"), 0o644)?;
    put(&packaging().join("ping.conf"), &at("usr/share/network-stats/ping.conf"), 0o644)?;
    put(&root().join("config/network-stats.ron"), &at("etc/network-stats/network-stats.ron"), 0o644)?;
    for (shell, place) in [
        ("bash", "usr/share/bash-completion/completions/network-stats"),
        ("zsh", "usr/share/zsh/vendor-completions/_network-stats"),
        ("fish", "usr/share/fish/vendor_completions.d/network-stats.fish"),
    ] {
        put_text(&completions(program, shell)?, &at(place), 0o644)?;
    }
    let pages = at("usr/share/man/man1");
    manual(program, &pages)?;
    for page in fs::read_dir(&pages)? {
        call("gzip", &["-9n", &page?.path().to_string_lossy()], &root())?;
    }
    documents(&at("usr/share/doc/network-stats"))?;
    fs::rename(at("usr/share/doc/network-stats/LICENSE"), at("usr/share/doc/network-stats/copyright"))?;
    for script in ["postinst", "prerm", "postrm"] {
        put(&packaging().join("debian").join(script), &at("DEBIAN").join(script), 0o755)?;
    }
    put_text(b"/etc/network-stats/network-stats.ron\n", &at("DEBIAN/conffiles"), 0o644)?;
    let control = fs::read_to_string(packaging().join("debian/control"))?
        .replace("@VERSION@", VERSION)
        .replace("@ARCHITECTURE@", &architecture)
        .replace("@SIZE@", &(size(&folder)? / 1_024).to_string());
    put_text(control.as_bytes(), &at("DEBIAN/control"), 0o644)?;
    let file = root().join("target/dist").join(format!("network-stats_{VERSION}_{architecture}.deb"));
    let compression: &[&str] = if is_small { &["-Zxz"] } else { &["-Zgzip", "-z1"] };
    let (from, to) = (folder.to_string_lossy(), file.to_string_lossy());
    call("dpkg-deb", &[&["--root-owner-group"], compression, &["--build", &from, &to]].concat(), &root())?;
    Ok(file)
}

fn zip(binary: Option<&Path>) -> Result<PathBuf> {
    // The program of this machine knows the same command line; its build installs what the page is made with.
    let own = root().join("target/debug/network-stats");
    call("cargo", &["build", "-p", "network-stats"], &root())?;
    let program = match binary {
        Some(file) => file.to_owned(),
        None => {
            windows::build(&["--release", "--features", "ui"])?;
            root().join("target-windows/x86_64-pc-windows-gnu/release/network-stats.exe")
        }
    };
    let name = format!("network-stats-{VERSION}-windows-x86_64");
    let folder = fresh(&name)?;
    put(&program, &folder.join("network-stats.exe"), 0o755)?;
    // Lines as Windows writes them.
    let script = fs::read_to_string(packaging().join("windows/install.ps1"))?.replace('\n', "\r\n");
    put_text(script.as_bytes(), &folder.join("install.ps1"), 0o644)?;
    put_text(&completions(&own, "powershell")?, &folder.join("completions/network-stats.ps1"), 0o644)?;
    documents(&folder)?;
    let file = format!("{name}.zip");
    let dist = root().join("target/dist");
    let _ = fs::remove_file(dist.join(&file));
    call("zip", &["-qr", &file, &name], &dist)?;
    Ok(dist.join(file))
}

/// What an image is built from.
fn folder_of_image(program: &Path) -> Result<PathBuf> {
    let folder = fresh("container")?;
    put(program, &folder.join("network-stats"), 0o755)?;
    put(&packaging().join("Containerfile"), &folder.join("Containerfile"), 0o644)?;
    put_text(b"", &folder.join("data/.keep"), 0o644)?;
    Ok(folder)
}

fn container(program: &Path) -> Result<PathBuf> {
    let folder = folder_of_image(program)?;
    let tool = ["podman", "docker"].into_iter().find(|tool| {
        tools::has(tool) && command(tool).arg("info").output().is_ok_and(|output| output.status.success())
    });
    match tool {
        Some(tool) => {
            let tag = format!("network-stats:{VERSION}");
            call(tool, &["build", "-f", "Containerfile", "-t", &tag, "."], &folder)?;
            say(&format!("{tool}: {tag}"));
        }
        None => say("neither podman nor docker works here: the folder is made, the image is not"),
    }
    Ok(folder)
}

/// The step of the test command: the package is what it should be, installs into a folder, runs there, and goes again.
pub(crate) fn check(step: &mut Step) -> Result<()> {
    if !tools::has("dpkg-deb") || !tools::is_root() {
        step.skip("the Debian package: it needs dpkg-deb and root");
        return Ok(());
    }
    step.run("cargo", &["build", "-p", "network-stats"])?;
    let program = root().join("target/debug/network-stats");
    let package = deb(&program, false)?;
    let package = package.to_string_lossy().into_owned();
    let info = said(&["dpkg-deb", "--info", &package])?;
    for wanted in ["Package: network-stats", &format!("Version: {VERSION}"), "postinst", "prerm", "postrm", "conffiles"]
    {
        if !info.contains(wanted) {
            bail!("dpkg-deb --info does not say {wanted:?}:\n{info}");
        }
    }
    let contents = said(&["dpkg-deb", "--contents", &package])?;
    for wanted in [
        "-rwxr-xr-x root/root",
        "./usr/bin/network-stats\n",
        "./usr/lib/systemd/system/network-stats.service\n",
        "./usr/share/man/man1/network-stats-doctor.1.gz\n",
        "./usr/share/bash-completion/completions/network-stats\n",
        "./usr/share/zsh/vendor-completions/_network-stats\n",
        "./usr/share/fish/vendor_completions.d/network-stats.fish\n",
        "./usr/share/doc/network-stats/copyright\n",
        "./etc/network-stats/network-stats.ron\n",
    ] {
        if !contents.contains(wanted) {
            bail!("dpkg-deb --contents does not have {wanted:?}:\n{contents}");
        }
    }
    install(step, &package)?;
    libraries(&program)?;
    looks::tarball(step, &tar(&program)?)?;
    looks::image(&folder_of_image(&program)?)?;
    looks::plist(step, &packaging().join("net.network-stats.plist"))
}

/// Installs the package into a folder of its own, looks, and purges it.
fn install(step: &mut Step, package: &str) -> Result<()> {
    let place = fresh("root")?;
    for folder in ["var/lib/dpkg/info", "var/lib/dpkg/updates", "etc", "usr/sbin", "bin"] {
        fs::create_dir_all(place.join(folder))?;
    }
    for (file, text) in [
        ("var/lib/dpkg/status", ""),
        ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
        ("etc/group", "root:x:0:\n"),
        ("etc/shadow", "root:*:19000:0:99999:7:::\n"),
        ("etc/gshadow", "root:*::\n"),
    ] {
        fs::write(place.join(file), text)?;
    }
    // What the unit calls besides the program: a machine has it.
    put_text(b"", &place.join("bin/kill"), 0o755)?;
    let in_place = format!("--root={}", place.display());
    // Nothing else is installed there, and the scripts run out here, told the folder by DPKG_ROOT.
    let dpkg = |step: &Step, arguments: &[&str]| {
        let forced = [&in_place, "--force-script-chrootless", "--force-depends"];
        step.run("dpkg", &[&forced, arguments].concat())
    };
    dpkg(step, &["--install", package])?;
    let users = fs::read_to_string(place.join("etc/passwd"))?;
    let line = users.lines().find(|line| line.starts_with("network-stats:")).context("no user was made")?;
    let id: u32 = line.split(':').nth(2).and_then(|id| id.parse().ok()).context("the user has no number")?;
    owned_and_closed(&place.join("var/lib/network-stats"), id)?;
    let program = place.join("usr/bin/network-stats");
    let version = said(&[&program.to_string_lossy(), "--version"])?;
    if !version.contains(VERSION) {
        bail!("the installed program says {version:?}");
    }
    let config = place.join("etc/network-stats/network-stats.ron");
    step.run(&program.to_string_lossy(), &["check-config", &config.to_string_lossy()])?;
    if tools::has("systemd-analyze") {
        // It looks for the program that the unit starts.
        let root_flag = format!("--root={}", place.display());
        step.run(
            "systemd-analyze",
            &["verify", "--man=no", "--recursive-errors=no", &root_flag, "network-stats.service"],
        )?;
    } else {
        step.skip("the unit file is verified by systemd-analyze, which is missing");
    }
    dpkg(step, &["--remove", "network-stats"])?;
    if program.exists() || !place.join("var/lib/network-stats").exists() {
        bail!("a removal takes the program and keeps what was measured");
    }
    dpkg(step, &["--purge", "network-stats"])?;
    if place.join("var/lib/network-stats").exists() || config.exists() {
        bail!("a purge leaves something behind");
    }
    Ok(())
}

#[cfg(unix)]
fn owned_and_closed(folder: &Path, id: u32) -> Result<()> {
    use std::os::unix::fs::MetadataExt;
    let meta = fs::metadata(folder).with_context(|| format!("{} is not there", folder.display()))?;
    if (meta.uid(), meta.mode() & 0o777) != (id, 0o700) {
        bail!("{} is of user {} with mode {:o}", folder.display(), meta.uid(), meta.mode());
    }
    Ok(())
}

#[cfg(not(unix))]
fn owned_and_closed(_: &Path, _: u32) -> Result<()> {
    Ok(())
}

/// The container's base has these and no others.
fn libraries(program: &Path) -> Result<()> {
    const BASE: [&str; 5] = ["linux-vdso", "libc.so", "libm.so", "libgcc_s.so", "ld-linux"];
    let list = said(&["ldd", &program.to_string_lossy()])?;
    let foreign = |line: &&str| !line.trim().is_empty() && !BASE.iter().any(|name| line.contains(name));
    match list.lines().find(foreign) {
        Some(line) => bail!("the container's base has no {}", line.trim()),
        None => Ok(()),
    }
}

fn said(words: &[&str]) -> Result<String> {
    let (program, arguments) = words.split_first().context("no program")?;
    let output = command(program).args(arguments).output().with_context(|| format!("{program} does not start"))?;
    if !output.status.success() {
        bail!("`{}` failed: {}", words.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}
