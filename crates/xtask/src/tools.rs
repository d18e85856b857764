//! What the tests need beside Rust: found, or installed where that is allowed, or named.

use std::process::Stdio;

use crate::step::{Step, command};

/// A program, the Debian package that has it, and what is left out without it.
struct Tool {
    program: &'static str,
    package: &'static str,
    left_out: &'static str,
}

const TOOLS: [Tool; 4] = [
    Tool { program: "npm", package: "npm", left_out: "the web interface and its tests" },
    Tool { program: "chromium", package: "chromium", left_out: "the page in a browser" },
    Tool { program: "ip", package: "iproute2", left_out: "tests in network namespaces" },
    Tool { program: "nft", package: "nftables", left_out: "tests of filtered networks" },
];

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
    let missing: Vec<&Tool> = TOOLS.iter().filter(|tool| !has(tool.program)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if may_install() {
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
    Ok(())
}

fn may_install() -> bool {
    let id = command("id").arg("-u").stderr(Stdio::null()).output();
    let is_root = id.is_ok_and(|output| output.stdout.trim_ascii() == b"0");
    is_root && has("apt-get")
}
