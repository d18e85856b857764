//! Code for one system lies in `platform/` and nowhere else: so it is seen at once what a new system needs, and macOS,
//! which nobody here runs, builds by construction.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

/// What only code for one system says.
const WORDS: [&str; 7] = ["target_os", "target_family", "libc::", "std::os::", "windows_sys::", "\"/proc/", "\"/sys/"];
const SYSTEMS: [&str; 2] = ["unix", "windows"];

/// Lines of a crate's own code, outside `platform/` and outside tests, that are for one system.
pub(super) fn check(name: &str, folder: &Path) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for file in sources(&folder.join("src"))? {
        for (number, line) in of_one_system(&fs::read_to_string(&file)?) {
            let file = file.strip_prefix(folder).unwrap_or(&file).display();
            wrong.push(format!("{name}/{file}:{number} is for one system and belongs into platform/: {line}"));
        }
    }
    Ok(wrong)
}

/// All Rust files below that are neither in `platform/` nor tests.
fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "platform" {
            found.extend(sources(&path)?);
        } else if name.ends_with(".rs") && name != "tests.rs" && !name.ends_with("_tests.rs") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Number and text of such lines; the tests at a file's end may be for one system, and code for all may be in use on
/// one only.
fn of_one_system(text: &str) -> Vec<(usize, &str)> {
    let code: Vec<&str> = text.lines().take_while(|line| *line != "#[cfg(test)]").map(str::trim).collect();
    let is_of_one = |at: &usize| {
        let line = code[*at];
        let is_condition = line.contains("cfg") && SYSTEMS.iter().any(|system| has_word(line, system));
        let is_told = code[*at..].iter().take(2).any(|line| line.contains("dead_code"));
        !line.starts_with("//") && !is_told && (is_condition || WORDS.iter().any(|word| line.contains(word)))
    };
    (0..code.len()).filter(is_of_one).map(|at| (at + 1, code[at])).collect()
}

fn has_word(line: &str, word: &str) -> bool {
    line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|other| other == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_for_one_system_is_found_and_that_of_tests_is_left_alone() {
        let code = "// cfg(unix) is told of here\n#[cfg(unix)]\nuse std::os::unix::fs::MetadataExt;\nlet windows = cfg(x);\n\
                    if cfg!(windows) {}\nread(\"/proc/self/status\");\nlet windowed = 1;\n\
                    #[cfg_attr(\n    not(target_os = \"linux\"),\n    allow(dead_code)\n)]\n#[cfg(test)]\n#[cfg(unix)]\n";
        let found: Vec<usize> = of_one_system(code).into_iter().map(|(number, _)| number).collect();
        assert_eq!(found, [2, 3, 4, 5, 6]);
    }
}
