//! The layout test: the tables of `docs/ARCHITECTURE.md` against the crates as they are.

mod systems;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::step::{Step, command, root};

/// What may lie at the top of the source tree, beside dot-files and what git ignores.
const TOP: [&str; 11] = [
    "Cargo.toml",
    "Cargo.lock",
    "LICENSE",
    "README.md",
    "benches",
    "clippy.toml",
    "config",
    "crates",
    "docs",
    "fixtures",
    "rustfmt.toml",
];

/// A row of the table of crates.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    /// None: beside the floors (chores, benches).
    floor: Option<u8>,
    may_use: BTreeSet<String>,
    never_knows: BTreeSet<String>,
}

/// Runs all checks and fails with all that is wrong.
pub(crate) fn check(_: &mut Step) -> Result<()> {
    let page = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).context("docs/ARCHITECTURE.md")?;
    let output = command("cargo")
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .current_dir(root())
        .output()
        .context("cargo metadata")?;
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
    let crates = crates(&metadata);
    let mut wrong = against_tables(&crates, &rows(&page), &only_in(&page));
    wrong.extend(crates.iter().flat_map(|(name, found)| lib_page(name, &found.folder)));
    for (name, row) in rows(&page) {
        // Chores and benches are for the machine that builds.
        if let Some(found) = crates.get(&name).filter(|_| row.floor.is_some()) {
            wrong.extend(systems::check(&name, &found.folder)?);
        }
    }
    for entry in fs::read_dir(root())? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let is_ours = name.starts_with('.') || name.starts_with("target") || name == "data" || TOP.contains(&&*name);
        if !is_ours {
            wrong.push(format!("`{name}` does not belong at the top of the source tree"));
        }
    }
    if wrong.is_empty() { Ok(()) } else { bail!("\n{}", wrong.join("\n")) }
}

/// A crate as it is.
#[derive(Debug)]
struct Found {
    folder: PathBuf,
    /// Names of what it depends on, and whether only its tests do.
    uses: Vec<(String, bool)>,
}

fn crates(metadata: &Value) -> BTreeMap<String, Found> {
    let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    list(metadata, "packages")
        .iter()
        .map(|package| {
            let manifest = PathBuf::from(text(package, "manifest_path"));
            let uses = list(package, "dependencies");
            let uses = uses.iter().map(|used| (text(used, "name"), used["kind"] == "dev")).collect();
            let folder = manifest.parent().unwrap_or(Path::new("")).to_owned();
            (text(package, "name"), Found { folder, uses })
        })
        .collect()
}

/// The table with the columns Floor, Crate, One line, May use, Never knows.
fn rows(page: &str) -> BTreeMap<String, Row> {
    let mut rows = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [floor, name, _, may_use, never_knows] = cells[..] else { continue };
        let Some(name) = names(name).into_iter().next() else { continue };
        rows.insert(name, Row { floor: floor.parse().ok(), may_use: names(may_use), never_knows: names(never_knows) });
    }
    rows
}

/// The table with the columns Package, Only in, Why.
fn only_in(page: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut out = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [package, places, _] = cells[..] else { continue };
        for package in names(package) {
            out.insert(package, names(places));
        }
    }
    out
}

/// The words in backquotes.
fn names(cell: &str) -> BTreeSet<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn against_tables(
    crates: &BTreeMap<String, Found>,
    rows: &BTreeMap<String, Row>,
    only_in: &BTreeMap<String, BTreeSet<String>>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    for name in rows.keys().filter(|name| !crates.contains_key(*name)) {
        wrong.push(format!("docs/ARCHITECTURE.md has a row for `{name}`, which is no crate here"));
    }
    for (name, found) in crates {
        let Some(row) = rows.get(name) else {
            wrong.push(format!("`{name}` has no row in docs/ARCHITECTURE.md"));
            continue;
        };
        for (used, is_dev) in &found.uses {
            if let Some(other) = rows.get(used) {
                let is_down = row.floor.is_none_or(|floor| other.floor.is_some_and(|other| other < floor));
                if !(is_down || *is_dev && used == name) {
                    wrong.push(format!("`{name}` uses `{used}`, which is not on a lower floor"));
                } else if !is_dev && !row.may_use.contains(used) {
                    wrong.push(format!(
                        "`{name}` uses `{used}`: a new edge needs its row in docs/ARCHITECTURE.md and a decision record"
                    ));
                }
            }
            if !is_dev && row.never_knows.contains(used) {
                wrong.push(format!("`{name}` depends on `{used}`, which it never knows"));
            }
            if let Some(places) = only_in.get(used).filter(|places| !is_dev && !places.contains(name)) {
                wrong.push(format!("`{name}` depends on `{used}`, which lives only in {places:?}"));
            }
        }
        for word in row.may_use.iter().filter(|word| rows.contains_key(*word)) {
            if !found.uses.iter().any(|(used, _)| used == word) {
                wrong.push(format!("docs/ARCHITECTURE.md lets `{name}` use `{word}`, and it does not"));
            }
        }
    }
    wrong
}

/// `lib.rs` is the contents page: a purpose and an "It is not" list.
fn lib_page(name: &str, folder: &Path) -> Vec<String> {
    let Ok(text) = fs::read_to_string(folder.join("src/lib.rs")) else { return Vec::new() };
    let mut wrong = Vec::new();
    if !text.starts_with("//! ") {
        wrong.push(format!("{name}/src/lib.rs does not begin with its purpose"));
    }
    if name.starts_with("netstats-") && name != "netstats-bench" && !text.contains("//! # It is not") {
        wrong.push(format!("{name}/src/lib.rs has no \"It is not\" list"));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "\
| Floor | Crate | One line | May use | Never knows |
|---|---|---|---|---|
| 0 | `a` | words | - | `serde`, clocks |
| 1 | `b` | words | `a` | |
| 1 | `c` | words | - | |

| Package | Only in | Why |
|---|---|---|
| `tide` | `c` | routes |
";

    fn against(name: &str, uses: &[(&str, bool)]) -> Vec<String> {
        let mut crates: BTreeMap<String, Found> = BTreeMap::new();
        for other in ["a", "b", "c"] {
            let uses = if other == "b" && name != "b" { vec![("a".to_owned(), false)] } else { Vec::new() };
            crates.insert(other.to_owned(), Found { folder: PathBuf::new(), uses });
        }
        crates.get_mut(name).unwrap().uses = uses.iter().map(|(used, dev)| ((*used).to_owned(), *dev)).collect();
        against_tables(&crates, &rows(PAGE), &only_in(PAGE))
    }

    #[test]
    fn the_allowed_edge_passes() {
        assert_eq!(against("b", &[("a", false), ("serde", false)]), Vec::<String>::new());
    }

    #[test]
    fn edges_up_or_sideways_or_new_are_found() {
        assert!(against("a", &[("b", false)])[0].contains("not on a lower floor"));
        assert!(against("b", &[("a", false), ("c", false)])[0].contains("not on a lower floor"));
        assert!(against("b", &[("a", false), ("c", true)])[0].contains("not on a lower floor"));
        assert!(against("c", &[("a", false)])[0].contains("a new edge"));
        assert!(against("c", &[("a", true)]).is_empty());
    }

    #[test]
    fn forbidden_packages_are_found() {
        assert!(against("a", &[("serde", false)])[0].contains("never knows"));
        assert!(against("a", &[("tide", false)])[0].contains("lives only in"));
        assert!(against("c", &[("tide", false)]).is_empty());
    }

    #[test]
    fn a_row_that_no_crate_uses_is_found() {
        assert!(against("b", &[])[0].contains("and it does not"));
    }
}
