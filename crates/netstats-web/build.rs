//! Builds the web interface into `OUT_DIR` and writes the table of assets.
//!
//! With the feature `ui`: `npm ci` in `ui/` (only when the lock file changed or nothing is installed), `vite build`,
//! then `ui/scripts/pack.mjs`, which compresses and hashes. Everything made lies in `OUT_DIR`; in the source tree only
//! `ui/node_modules` appears, which git ignores. Without the feature: one small page, and neither Node nor npm.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, exit};
use std::{env, fs};

/// The oldest Node that Vite runs on.
const NODE_AT_LEAST: (u32, u32) = (20, 19);

/// What the interface is made of. Anything else in `ui/` (tests, mock server) does not cause a rebuild.
const INPUTS: &[&str] = &[
    ".npmrc",
    "index.html",
    "package.json",
    "package-lock.json",
    "public",
    "scripts/pack.mjs",
    "src",
    "svelte.config.js",
    "tsconfig.json",
    "vite.config.ts",
    "worker",
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("set by cargo"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("set by cargo"));
    let table = if env::var_os("CARGO_FEATURE_UI").is_some() {
        build_ui(&root.join("ui"), &out)
    } else {
        let page = root.join("src").join("without-ui.html");
        println!("cargo::rerun-if-changed={}", page.display());
        let version = env::var("CARGO_PKG_VERSION").expect("set by cargo");
        format!("/index.html\ttext/html; charset=utf-8\twithout-ui-{version}\tno\t{}\t\t\n", page.display())
    };
    fs::write(out.join("assets.rs"), rust_table(&table)).expect("write to OUT_DIR");
}

/// Builds the interface; returns lines of path, content type, hash, immutable, file, gzip file, brotli file.
fn build_ui(ui: &Path, out: &Path) -> String {
    for input in INPUTS {
        println!("cargo::rerun-if-changed={}", ui.join(input).display());
    }
    check_node(ui);
    install(ui);

    let dist = out.join("ui");
    let vite = ui.join("node_modules/vite/bin/vite.js");
    node(
        ui,
        "vite build",
        &[vite.as_os_str(), "build".as_ref(), "--emptyOutDir".as_ref(), "--outDir".as_ref(), dist.as_os_str()],
    );
    let table = out.join("assets.tsv");
    node(ui, "scripts/pack.mjs", &["scripts/pack.mjs".as_ref(), dist.as_os_str(), table.as_os_str()]);
    fs::read_to_string(table).expect("read what pack.mjs wrote")
}

fn check_node(ui: &Path) {
    let version = match command("node").arg("--version").current_dir(ui).output() {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        _ => fail("`node` was not found on the PATH.", INSTALL_NODE),
    };
    let mut numbers = version.trim_start_matches('v').split('.').map_while(|part| part.parse::<u32>().ok());
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if found < NODE_AT_LEAST {
        let (major, minor) = NODE_AT_LEAST;
        fail(&format!("`node` is {version}; {major}.{minor} or newer is needed."), INSTALL_NODE);
    }
}

/// `npm ci`, unless what is installed came from this very lock file. Several builds may run at once (an editor's and
/// a terminal's, say) and share `node_modules`: a file lock lets one install and the others wait.
fn install(ui: &Path) {
    let lock = fs::File::create(ui.join(".install.lock")).expect("create ui/.install.lock");
    lock.lock().expect("lock ui/.install.lock");

    let wanted = fs::read(ui.join("package-lock.json")).expect("read ui/package-lock.json");
    let stamp = ui.join("node_modules").join(".installed-from");
    if fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return;
    }
    match command("npm").args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(ui).output() {
        Ok(output) if output.status.success() => {
            fs::write(stamp, wanted).expect("write to ui/node_modules");
        }
        Ok(output) => {
            let advice = format!(
                "npm downloads the packages named in {}.\n\
                 - No network, or a proxy in between? Set HTTPS_PROXY, or `npm config set registry ADDRESS` for a mirror.\n\
                 - Then try again by hand: cd {} && npm ci",
                ui.join("package-lock.json").display(),
                ui.display()
            );
            fail(&format!("`npm ci` failed.\n{}", text(&output)), &advice);
        }
        Err(error) => fail(&format!("`npm` could not be started: {error}."), INSTALL_NODE),
    }
}

fn node(ui: &Path, what: &str, arguments: &[&OsStr]) {
    match command("node").args(arguments).current_dir(ui).env("NODE_ENV", "production").output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => fail(
            &format!("`{what}` failed.\n{}", text(&output)),
            &format!(
                "Try it by hand: cd {} && npm run check && npm run build\n\
                      If packages seem damaged, delete {} and build again.",
                ui.display(),
                ui.join("node_modules").display()
            ),
        ),
        Err(error) => fail(&format!("`node` could not be started: {error}."), INSTALL_NODE),
    }
}

/// npm is a batch file on Windows, and has to be called by its whole name there.
fn command(name: &str) -> Command {
    Command::new(if cfg!(windows) && name == "npm" { "npm.cmd" } else { name })
}

fn text(output: &Output) -> String {
    let all = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    let all = String::from_utf8_lossy(&all);
    let lines: Vec<&str> = all.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

const INSTALL_NODE: &str = "Install Node.js 20.19 or newer, which brings npm:\n\
     - Debian 13, Ubuntu 25.10 and newer:  sudo apt install nodejs npm\n\
     - Older Debian or Ubuntu:  their nodejs is too old; take the archive from nodejs.org, or use nvm or fnm\n\
     - Windows:  winget install OpenJS.NodeJS.LTS   (then open a new terminal)\n\
     - macOS:  brew install node";

fn fail(what: &str, advice: &str) -> ! {
    let message = format!(
        "The web interface could not be built: {what}\n\n{advice}\n\n\
         Or build without the web interface: cargo run --release --no-default-features"
    );
    // Cargo shows `cargo::error` lines even when it hides the rest, one line each.
    for line in message.lines() {
        println!("cargo::error={line}");
    }
    exit(1)
}

/// The lines as a Rust table, sorted by path.
fn rust_table(lines: &str) -> String {
    let mut rows: Vec<Vec<&str>> = lines.lines().map(|line| line.split('\t').collect()).collect();
    rows.sort();
    let mut source = String::from("static ASSETS: &[Asset] = &[\n");
    for row in rows {
        let [path, content_type, hash, immutable, plain, gzip, brotli] = row[..] else {
            panic!("a line of the asset table has not seven fields: {row:?}")
        };
        let body = |file: &str, encoding: Option<&str>| {
            let etag = encoding.map_or_else(|| format!("\"{hash}\""), |encoding| format!("\"{hash}-{encoding}\""));
            format!("Body {{ bytes: include_bytes!({file:?}), etag: {etag:?}, encoding: {encoding:?} }}")
        };
        let some = |file: &str, encoding: &str| {
            if file.is_empty() { "None".to_owned() } else { format!("Some({})", body(file, Some(encoding))) }
        };
        writeln!(
            source,
            "    Asset {{ path: {path:?}, content_type: {content_type:?}, immutable: {}, plain: {}, gzip: {}, brotli: {} }},",
            immutable == "yes",
            body(plain, None),
            some(gzip, "gzip"),
            some(brotli, "br"),
        )
        .expect("write to a string");
    }
    source + "];\n"
}
