//! What the documents tell people to type works. Every fenced block of `README.md` and `docs/` is run: `sh` and `python`
//! against a product full of invented history (`network-stats demo`, one for each page and language, in the order of the
//! page), `json` and `ron` are read. A block that cannot be run says so, and why, behind its language: `sh no-run REASON`.
//! `text` is drawn, not typed. What a page leaves out for its readers, because it is not theirs to type, stands in a
//! comment: `<!-- sh: COMMANDS -->`. Commands in a line of text are compared with the command line's own help.
#![cfg(unix)]
#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "tests keep time and may say SKIP")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use support::{Product, root, run, said};

/// A block of a page, or a comment for the runner.
#[derive(Debug)]
struct Block {
    line: usize,
    language: String,
    text: String,
    /// Why it is not run.
    excuse: Option<String>,
}

fn pages() -> Vec<PathBuf> {
    let mut pages = vec![root().join("README.md")];
    for folder in ["docs", "docs/decisions"] {
        pages.extend(fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path()));
    }
    pages.retain(|page| page.extension().is_some_and(|ending| ending == "md"));
    pages.sort();
    pages
}

fn name(page: &Path) -> String {
    page.strip_prefix(root()).unwrap().to_string_lossy().into_owned()
}

fn blocks(page: &Path) -> Vec<Block> {
    let text = fs::read_to_string(page).unwrap();
    let (mut blocks, mut open): (Vec<Block>, Option<(Block, usize)>) = (Vec::new(), None);
    for (number, line) in text.lines().enumerate() {
        let bare = line.trim_start();
        match &mut open {
            Some((block, indent)) => {
                let is_end = if block.language.is_empty() { bare.ends_with("-->") } else { bare == "```" };
                if !is_end {
                    block.text.push_str(line.get(*indent..).unwrap_or(bare));
                    block.text.push('\n');
                    continue;
                }
                blocks.extend(open.take().map(|(block, _)| block));
            }
            None => {
                let indent = line.len() - bare.len();
                if let Some(info) = bare.strip_prefix("```") {
                    let (language, rest) = info.split_once(' ').unwrap_or((info, ""));
                    let excuse = rest.strip_prefix("no-run ").map(str::to_owned);
                    assert!(rest.is_empty() || excuse.is_some(), "{}:{}: {info}", name(page), number + 1);
                    assert!(!language.is_empty(), "{}:{}: a block without a language", name(page), number + 1);
                    let block = Block { line: number + 1, language: language.to_owned(), text: String::new(), excuse };
                    open = Some((block, indent));
                } else if let Some(comment) = ["sh", "python"].into_iter().find_map(|language| {
                    let text = bare.strip_prefix("<!-- ")?.strip_prefix(language)?.strip_prefix(": ")?;
                    Some((language, text.strip_suffix(" -->")?))
                }) {
                    let (language, text) = (comment.0.to_owned(), format!("{}\n", comment.1));
                    blocks.push(Block { line: number + 1, language, text, excuse: None });
                }
            }
        }
    }
    assert!(open.is_none(), "{}: a block is not closed", name(page));
    blocks
}

#[test]
fn every_block_is_of_a_kind_that_is_run_or_says_why_not() {
    let mut wrong = Vec::new();
    for page in pages() {
        for Block { line, language, text, excuse } in blocks(&page) {
            let at = format!("{}:{line}", name(&page));
            match (language.as_str(), &excuse) {
                (_, Some(excuse)) if excuse.split_whitespace().count() >= 3 => {}
                (_, Some(excuse)) => wrong.push(format!("{at}: {excuse:?} is no reason")),
                ("sh" | "python" | "text", None) => {}
                ("json", None) => {
                    if let Err(error) = serde_json::from_str::<serde_json::Value>(&text) {
                        wrong.push(format!("{at}: {error}"));
                    }
                }
                ("ron", None) => {
                    let folder = tempfile::tempdir().unwrap();
                    let file = folder.path().join("x.ron");
                    fs::write(&file, text).unwrap();
                    let read = run(&["check-config", file.to_str().unwrap()]);
                    if !read.status.success() {
                        wrong.push(format!("{at}: {}", said(&read)));
                    }
                }
                (other, None) => wrong.push(format!("{at}: nothing runs {other}: say why, as `{other} no-run REASON`")),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Where a page's blocks run.
struct Place {
    folder: tempfile::TempDir,
    product: Product,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Some 25,000 events and two days: enough for every position and comparison that the pages name.
        let product = Product::start_as("demo", &folder.path().join("data"), &["--days", "2"]);
        for name in ["bin", "here", "stopped"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let program = folder.path().join("bin/network-stats");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_network-stats"), program).unwrap();
        std::os::unix::fs::symlink(folder.path().join("data"), folder.path().join("here/data")).unwrap();
        fs::set_permissions(folder.path().join("stopped"), fs::Permissions::from_mode(0o700)).unwrap();
        Self { folder, product }
    }

    /// In an empty folder, with the program in the path and the running demo as the product that is asked.
    fn command(&self, program: &str) -> Command {
        let at = |name: &str| self.folder.path().join(name);
        let mut command = Command::new(program);
        let path = format!("{}:{}", at("bin").display(), std::env::var("PATH").unwrap_or_default());
        command.current_dir(at("here")).env("PATH", path).env("NETWORK_STATS_DATA_DIR", at("data"));
        command.env("STOPPED", at("stopped")).env("ROOT", root());
        command
    }

    /// With the address of this product instead of the usual one.
    fn here(&self, text: &str) -> String {
        text.replace("localhost:8080", self.product.url.trim_start_matches("http://"))
    }
}

/// A request that is refused fails; a source tree's `cargo run` is the program as it is built.
const SHELL: &str = r#"
set -euo pipefail
curl() { command curl --fail-with-body --max-time 120 "$@" > answer || { cat answer >&2; return 1; }; cat answer; }
cargo() { [ "$1 $2 $3" = "run --release --" ]; shift 3; network-stats "$@"; }
"#;

fn is_run<'a>(blocks: &'a [Block], language: &'static str) -> impl Iterator<Item = &'a Block> {
    blocks.iter().filter(move |block| block.language == language && block.excuse.is_none())
}

#[test]
fn every_shell_block_runs() {
    let mut failed = Vec::new();
    for page in pages() {
        let blocks = blocks(&page);
        if is_run(&blocks, "sh").next().is_none() {
            continue;
        }
        let place = Place::new();
        let mut script = SHELL.to_owned();
        for block in is_run(&blocks, "sh") {
            script += &format!("echo '--- {}:{}' >&2\n{}", name(&page), block.line, place.here(&block.text));
        }
        let output = place.command("bash").args(["-c", &script]).output().unwrap();
        if !output.status.success() {
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            failed.push(told[told.rfind("--- ").unwrap_or(0)..].to_owned());
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Runs blocks one after the other in one interpreter; a fault names the page's line. A request that is refused fails.
const PYTHON: &str = r#"
import json, sys, requests
plain = requests.Session.request
def strict(*arguments, **more):
    answer = plain(*arguments, **more)
    assert answer.ok, answer.text
    return answer
requests.Session.request = strict
everything = {}
for block in json.load(sys.stdin):
    exec(compile("\n" * block["line"] + block["text"], block["page"], "exec"), everything)
"#;

#[test]
fn every_python_block_runs() {
    use std::io::Write;
    use std::process::Stdio;
    let has_packages = Command::new("python3").args(["-c", "import requests, pandas"]).output();
    if !has_packages.is_ok_and(|output| output.status.success()) {
        println!("SKIP: python3 with requests and pandas is missing (cargo xtask test tools)");
        return;
    }
    let mut failed = Vec::new();
    for page in pages() {
        let blocks = blocks(&page);
        if is_run(&blocks, "python").next().is_none() {
            continue;
        }
        let place = Place::new();
        let run: Vec<_> = is_run(&blocks, "python")
            .map(|block| json!({"page": name(&page), "line": block.line, "text": place.here(&block.text)}))
            .collect();
        let mut child = place
            .command("python3")
            .args(["-c", PYTHON])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(serde_json::to_string(&run).unwrap().as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        if !output.status.success() {
            failed.push(String::from_utf8_lossy(&output.stderr).into_owned());
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// The help of a command, with that of the program.
fn help(path: &[&str], known: &mut BTreeMap<String, Option<String>>) -> Option<String> {
    let asked = || {
        let output = run(&[path, &["--help"]].concat());
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    known.entry(path.join(" ")).or_insert_with(asked).clone()
}

#[test]
fn every_command_in_the_text_is_one_of_the_command_line() {
    let (mut wrong, mut known, mut seen) = (Vec::new(), BTreeMap::new(), BTreeSet::new());
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let spans = text.split('`').skip(1).step_by(2).filter_map(|span| span.strip_prefix("network-stats "));
        for span in spans.filter(|span| !span.contains('\n')) {
            seen.insert(span.to_owned());
            let words: Vec<&str> = span.split(['|', ' ', '[', ']']).filter(|word| !word.is_empty()).collect();
            let mut path: Vec<&str> = Vec::new();
            for word in &words {
                let is_name = !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '-');
                let below = [&path[..], &[word]].concat();
                if !is_name || word.starts_with('-') || help(&below, &mut known).is_none() {
                    break;
                }
                path = below;
            }
            let flags: Vec<&&str> = words.iter().filter(|word| word.starts_with("--")).collect();
            let help = help(&path, &mut known).unwrap_or_default();
            if path.is_empty() && flags.is_empty() {
                wrong.push(format!("{}: `network-stats {span}`: there is no such command", name(&page)));
            }
            for flag in flags.into_iter().filter(|flag| !help.contains(**flag)) {
                wrong.push(format!("{}: `network-stats {span}`: there is no {flag}", name(&page)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen.len() > 10, "{seen:?}");
}
