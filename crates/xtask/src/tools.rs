//! What the tests need beside Rust: found, or installed where that is allowed, or named.

use std::path::PathBuf;
use std::process::Stdio;

use crate::step::{Step, command};

/// A program, the Debian package that has it, and what is left out without it.
struct Tool {
    program: &'static str,
    package: &'static str,
    left_out: &'static str,
}

const TOOLS: [Tool; 15] = [
    Tool { program: "c++", package: "g++", left_out: "coverage-guided fuzzing" },
    Tool { program: "python3", package: "python3-venv", left_out: "what Python reads back" },
    Tool { program: "soffice", package: "libreoffice-calc", left_out: "the report in LibreOffice" },
    Tool { program: "pdftoppm", package: "poppler-utils", left_out: "the report on paper" },
    Tool { program: "zsh", package: "zsh", left_out: "completions as zsh reads them" },
    Tool { program: "fish", package: "fish", left_out: "completions as fish reads them" },
    Tool { program: "npm", package: "npm", left_out: "the web interface and its tests" },
    Tool { program: "chromium", package: "chromium", left_out: "the page in a browser" },
    Tool { program: "ip", package: "iproute2", left_out: "tests in network namespaces" },
    Tool { program: "nft", package: "nftables", left_out: "tests of filtered networks" },
    Tool { program: "mkfs.btrfs", package: "btrfs-progs", left_out: "power cuts" },
    Tool { program: "mkfs.ext4", package: "e2fsprogs", left_out: "power cuts" },
    Tool { program: "strace", package: "strace", left_out: "failing system calls" },
    Tool { program: "ethtool", package: "ethtool", left_out: "tests in network namespaces" },
    Tool { program: "tcpdump", package: "tcpdump", left_out: "measurements against a capture" },
];

/// What other programs read our files with, to compare. They live in an environment of their own under `target/`, so
/// that nothing of the system's Python is changed; the tests find it first in their `PATH`.
const PYTHON_PACKAGES: [&str; 5] =
    ["openpyxl==3.1.5", "pandas==3.1.1", "prometheus-client==0.26.0", "pyarrow==22.0.0", "requests==2.34.2"];

/// True if the program is there.
pub(crate) fn has(program: &str) -> bool {
    // chromium and nft say nothing on --version in some versions without a display or rights: being found is enough.
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let names =
        if cfg!(windows) { vec![format!("{program}.exe"), format!("{program}.cmd")] } else { vec![program.into()] };
    std::env::split_paths(&paths)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|folder| names.iter().any(|name| folder.join(name).is_file()))
}

/// Sees to it that the tools are there.
pub(crate) fn provide(step: &mut Step) -> anyhow::Result<()> {
    programs(step);
    if let Err(error) = python(step) {
        step.skip(format!("what Python reads back: its packages {PYTHON_PACKAGES:?} cannot be installed: {error:#}"));
    }
    Ok(())
}

fn programs(step: &mut Step) {
    let missing: Vec<&Tool> = TOOLS.iter().filter(|tool| !has(tool.program)).collect();
    if !missing.is_empty() && may_install() {
        let packages: Vec<&str> = missing.iter().map(|tool| tool.package).collect();
        let quiet = [("DEBIAN_FRONTEND", "noninteractive")];
        let root = crate::step::root();
        let install = [&["install", "--yes", "--no-install-recommends"][..], &packages].concat();
        // An old package list is refreshed only when it is needed.
        if step.run_with("apt-get", &install, &root, &quiet).is_err() {
            let _ = step.run_with("apt-get", &["update"], &root, &quiet);
            let _ = step.run_with("apt-get", &install, &root, &quiet);
        }
    }
    for tool in missing.iter().filter(|tool| !has(tool.program)) {
        let Tool { program, package, left_out } = tool;
        step.skip(format!("{left_out}: `{program}` is missing; install it, on Debian: sudo apt-get install {package}"));
    }
}

/// The environment with [`PYTHON_PACKAGES`]; made anew when the list has changed.
fn python(step: &Step) -> anyhow::Result<()> {
    let (folder, wanted) = (python_folder(), PYTHON_PACKAGES.join("\n"));
    let note = folder.join("packages");
    if std::fs::read_to_string(&note).is_ok_and(|has| has == wanted) {
        return Ok(());
    }
    let _ = std::fs::remove_dir_all(&folder);
    step.run("python3", &["-m", "venv", &folder.to_string_lossy()])?;
    let pip = python_path().join(if cfg!(windows) { "pip.exe" } else { "pip" });
    step.run(&pip.to_string_lossy(), &[&["install", "--quiet", "--no-input"][..], &PYTHON_PACKAGES].concat())?;
    Ok(std::fs::write(note, wanted)?)
}

fn python_folder() -> PathBuf {
    crate::step::root().join("target/xtask/python")
}

/// Where its programs are.
fn python_path() -> PathBuf {
    python_folder().join(if cfg!(windows) { "Scripts" } else { "bin" })
}

/// `PATH` with our Python first.
pub(crate) fn path_with_python() -> String {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let all = std::iter::once(python_path()).chain(std::env::split_paths(&paths));
    std::env::join_paths(all)
        .map_or_else(|_| paths.to_string_lossy().into_owned(), |all| all.to_string_lossy().into_owned())
}

fn may_install() -> bool {
    is_root() && has("apt-get")
}

/// True for the administrator of a Unix system.
pub(crate) fn is_root() -> bool {
    let id = command("id").arg("-u").stderr(Stdio::null()).output();
    id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
