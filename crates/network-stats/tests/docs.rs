//! Documents that say what the program says, and links that lead somewhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use netstats_event::{Family, Kind};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

#[test]
fn events_md_lists_every_kind_under_its_family() {
    let page = fs::read_to_string(root().join("docs/EVENTS.md")).unwrap();
    let mut family = None;
    let mut found = BTreeSet::new();
    for line in page.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            let word = title.split(':').next().unwrap().to_lowercase();
            let all = [Family::Config, Family::Sample, Family::Run, Family::Observer];
            family = all.into_iter().find(|family| family.name() == word);
        }
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        if let Ok(code) = cells[0].parse::<u16>() {
            let kind = Kind::from_code(code).unwrap_or_else(|| panic!("there is no kind {code}"));
            assert_eq!(cells[1], format!("`{}`", kind.name()));
            assert_eq!(Some(kind.family()), family, "{} is in the wrong table", kind.name());
            found.insert(code);
        }
    }
    let all: BTreeSet<u16> = Kind::ALL.iter().map(|kind| kind.code()).collect();
    assert_eq!(found, all);
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut pages = vec![root().join("README.md")];
    for folder in ["docs", "docs/decisions"] {
        pages.extend(fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path()));
    }
    let mut broken = Vec::new();
    for page in pages.iter().filter(|page| page.extension().is_some_and(|ending| ending == "md")) {
        let text = fs::read_to_string(page).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap();
            let is_local = !file.is_empty() && !file.contains("://") && !file.contains(' ');
            if is_local && !page.parent().unwrap().join(file).exists() {
                broken.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
}

#[test]
fn decisions_are_numbered_without_gaps() {
    let names = fs::read_dir(root().join("docs/decisions")).unwrap();
    let mut names: Vec<String> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    for (i, name) in names.iter().enumerate() {
        assert!(name.starts_with(&format!("{:04}-", i + 1)), "{name} is number {}", i + 1);
    }
}
