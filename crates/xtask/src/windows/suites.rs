//! The workspace's tests for Windows, run under Wine, crate by crate.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use super::{Lab, ready};
use crate::step::{root, say};

/// From the ground up. Not here: `xtask` and `netstats-bench`, which are for the machine that builds.
const CRATES: [&str; 13] = [
    "netstats-event",
    "netstats-stats",
    "netstats-log",
    "netstats-probe",
    "netstats-projector",
    "netstats-inventory",
    "netstats-series",
    "netstats-collector",
    "netstats-broadcast",
    "netstats-export",
    "netstats-web",
    "netstats-api",
    "network-stats",
];

/// What a crate's tests came to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Count {
    passed: u64,
    failed: u64,
    ignored: u64,
    /// What the tests said that they left out.
    skips: Vec<String>,
    failures: Vec<String>,
}

/// Runs the tests of these crates, or of all, and sums up.
pub(super) fn run(crates: &[&str]) -> Result<()> {
    if let Some(unknown) = crates.iter().find(|name| !CRATES.contains(name)) {
        bail!("`{unknown}` is none of {CRATES:?}");
    }
    let lab = ready()?;
    let (mut all, mut wrong) = (Count::default(), Vec::new());
    for name in CRATES.iter().filter(|name| crates.is_empty() || crates.contains(name)) {
        let (is_well, log) = of(&lab, name)?;
        let count = count(&String::from_utf8_lossy(&fs::read(&log)?));
        let Count { passed, failed, ignored, skips, failures } = count;
        say(&format!("{name:20} {passed} passed, {failed} failed, {ignored} ignored"));
        if !is_well {
            wrong.push(*name);
            say(&format!("{name:20} FAILED, see {}", log.display()));
            failures.iter().for_each(|test| say(&format!("    {test}")));
        }
        skips.iter().for_each(|reason| say(&format!("    SKIP: {reason}")));
        all.passed += passed;
        all.failed += failed;
        all.ignored += ignored;
        all.skips.extend(skips);
    }
    say(&format!("{} passed, {} failed, {} ignored, {} skipped", all.passed, all.failed, all.ignored, all.skips.len()));
    if wrong.is_empty() { Ok(()) } else { bail!("{}", wrong.join(", ")) }
}

/// Whether all is well with a crate, and what its tests said.
fn of(lab: &Lab, name: &str) -> Result<(bool, PathBuf)> {
    let folder = root().join("target-windows/xtask");
    fs::create_dir_all(&folder)?;
    let log = folder.join(format!("{name}.log"));
    let file = File::create(&log)?;
    let line = format!("nice cargo test -p {name} --no-default-features --no-fail-fast -- --show-output");
    let status = lab
        .inside("/src")
        .arg(line)
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .status()
        .context("the chroot does not run")?;
    Ok((status.success(), log))
}

/// What a run of cargo test said.
fn count(text: &str) -> Count {
    let mut count = Count::default();
    for line in text.lines().map(str::trim) {
        if let Some(sums) = line.strip_prefix("test result: ") {
            let sum = |what: &str| {
                let part = sums.split([';', '.']).find_map(|part| part.trim().strip_suffix(what));
                part.and_then(|number| number.trim().parse::<u64>().ok()).unwrap_or(0)
            };
            count.passed += sum("passed");
            count.failed += sum("failed");
            count.ignored += sum("ignored");
        } else if let Some(reason) = line.strip_prefix("SKIP: ") {
            if !count.skips.iter().any(|known| known == reason) {
                count.skips.push(reason.to_owned());
            }
        } else if let Some(test) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
            count.failures.push(test.to_owned());
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_all_binaries_are_added_and_skips_told_once() {
        let said = "running 2 tests\ntest a ... ok\ntest b ... FAILED\n\nSKIP: no python\n    SKIP: no python\n\
                    test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s\n\
                    test result: ok. 20 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 3.10s\n";
        let expected = Count {
            passed: 21,
            failed: 1,
            ignored: 2,
            skips: vec!["no python".to_owned()],
            failures: vec!["b".to_owned()],
        };
        assert_eq!(count(said), expected);
    }
}
