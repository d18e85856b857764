//! `cargo xtask macos`: the product type-checked for macOS, in the chroot of `cargo xtask windows`.
//!
//! There is no kit of Apple's to link with, so nothing is linked or run, and C code of dependencies is not compiled: its
//! compiler is a script that makes empty files. What that proves is that all Rust code is right for that system as far as
//! the compiler can tell: names, types, conditions.

use std::process::ExitCode;

use anyhow::Result;

use crate::step::{ended, root, say};
use crate::windows;

const USAGE: &str = "usage: cargo xtask macos check     (needs what cargo xtask windows needs)\n";
const TARGET: &str = "aarch64-apple-darwin";

/// Makes what is asked for with -o, or the archive that is named second.
const COMPILER: &str = "#!/bin/sh
[ \"$1\" = cq ] || [ \"$1\" = s ] && { : >> \"$2\"; exit 0; }
while [ $# -gt 0 ]; do [ \"$1\" = -o ] && : > \"$2\"; shift; done
";

/// One command.
pub(crate) fn run(words: &[&str]) -> ExitCode {
    match words {
        ["check"] => ended("macos", check()),
        _ => {
            say(USAGE);
            ExitCode::from(2)
        }
    }
}

fn check() -> Result<()> {
    let folder = root().join("target-macos");
    std::fs::create_dir_all(folder.join("kit"))?;
    let script = folder.join("compiler");
    std::fs::write(&script, COMPILER)?;
    let lower = TARGET.replace('-', "_");
    let variables = format!(
        "CARGO_BUILD_TARGET={TARGET} CARGO_TARGET_DIR=/src/target-macos SDKROOT=/src/target-macos/kit \
         CC_{lower}=/src/target-macos/compiler CXX_{lower}=/src/target-macos/compiler AR_{lower}=/src/target-macos/compiler"
    );
    let cargo = "nice cargo check -p network-stats --no-default-features";
    windows::in_chroot(&format!("chmod +x target-macos/compiler && {variables} {cargo}"))
}
