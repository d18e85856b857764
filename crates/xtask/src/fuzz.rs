//! The step `fuzz`: builds the targets of `netstats-fuzz` once with coverage counters, runs each for a minute, two at a
//! time, and keeps what made one fail. `NETSTATS_LONG=N` multiplies the minute, `NETSTATS_FUZZ=icmp,dns` picks targets.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::step::{Step, command, root, say};
use crate::tools;

/// What one minute is multiplied with.
const LONG: &str = "NETSTATS_LONG";
const PICK: &str = "NETSTATS_FUZZ";
/// Of each target.
const TIME: Duration = Duration::from_secs(60);
/// Targets that run at the same time.
const AT_ONCE: usize = 2;
/// An input that takes longer is a hang. Generous: the machine may be busy.
const HANG_S: u32 = 30;
/// Memory of a target. One allocation is bounded by the target itself, see `netstats-fuzz`.
const MOST_MIB: u32 = 1_024;

/// Coverage counters at every edge, and comparisons told to the fuzzer: what `cargo fuzz` sets too, without the
/// sanitizers that need another toolchain.
const FLAGS: [&str; 6] = [
    "--cfg=netstats_fuzz",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// A target and the longest input that it gets.
const TARGETS: [(&str, usize); 18] = [
    // The slow ones first: two run at a time, and the last should not run alone.
    ("http", 4_096),
    ("query", 1_024),
    ("body", 2_048),
    ("ws", 2_048),
    ("pack", 32_768),
    ("segment", 65_536),
    ("segment_page", 8_192),
    ("journal", 8_192),
    ("config", 16_384),
    ("event", 2_048),
    ("record", 2_048),
    ("small_files", 1_024),
    ("icmp", 1_024),
    ("quoted", 1_024),
    ("dns", 1_232),
    ("http_response", 8_192),
    ("bandwidth", 1_024),
    ("certificate", 2_048),
];

/// What a target's run came to.
struct Ran {
    name: &'static str,
    runs: u64,
    edges: u64,
    inputs: String,
    seconds: f64,
    failure: Option<String>,
}

/// Builds and runs all targets; fails with every input that one of them failed on.
pub(crate) fn run(step: &mut Step) -> Result<()> {
    if cfg!(windows) || !["c++", "g++", "clang++"].into_iter().any(tools::has) {
        step.skip("coverage-guided fuzzing: it needs Linux or macOS and a C++ compiler");
        return Ok(());
    }
    let picked = std::env::var(PICK).unwrap_or_default();
    let picked: Vec<&str> = picked.split(',').filter(|name| !name.is_empty()).collect();
    if let Some(unknown) = picked.iter().find(|name| TARGETS.iter().all(|(target, _)| target != *name)) {
        bail!("{PICK}: there is no target `{unknown}`");
    }
    let times: u32 = std::env::var(LONG).map_or(Ok(1), |text| text.parse()).with_context(|| LONG)?;
    let programs = build(step)?;
    let wanted = |(name, _): &&(&'static str, usize)| picked.is_empty() || picked.contains(name);
    let queue = Mutex::new(TARGETS.iter().filter(wanted));
    let ran = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().expect("nobody panics with the queue").next();
                    let Some((name, longest)) = next else { return };
                    let one = one(&programs, name, *longest, TIME * times);
                    ran.lock().expect("nobody panics with the results").push(one);
                }
            });
        }
    });
    let ran = ran.into_inner().expect("nobody panics with the results");
    let ran = ran.into_iter().collect::<Result<Vec<Ran>>>()?;
    for Ran { name, runs, edges, inputs, seconds, .. } in &ran {
        say(&format!("    {name:13} {runs:>10} runs, {edges:>6} edges, {seconds:>4.0} s, corpus {inputs}"));
    }
    let failures: Vec<String> = ran.into_iter().filter_map(|ran| ran.failure).collect();
    if failures.is_empty() { Ok(()) } else { bail!("{}", failures.join("\n")) }
}

fn folder() -> PathBuf {
    root().join("target/fuzz")
}

/// Builds every target, apart from everything else, because of the flags; the folder with the programs.
fn build(step: &Step) -> Result<PathBuf> {
    // With a target named, build scripts and procedural macros are built without the flags.
    let host = command("rustc").args(["--print", "host-tuple"]).output().context("rustc")?;
    let host = String::from_utf8(host.stdout)?.trim().to_owned();
    let arguments = ["build", "--package", "netstats-fuzz", "--bins", "--profile", "fuzz", "--target", &host];
    let folder = folder();
    let flags = FLAGS.join("\x1f");
    let variables = [("CARGO_ENCODED_RUSTFLAGS", &*flags), ("CARGO_TARGET_DIR", &*folder.to_string_lossy())];
    step.run_with("cargo", &arguments, &root(), &variables)?;
    Ok(folder.join(host).join("fuzz"))
}

/// Runs one target. What it finds on its way stays in `target/fuzz/corpus`, and it begins with that the next time.
#[expect(clippy::disallowed_methods, reason = "chores are timed by the clock on the wall")]
fn one(programs: &Path, name: &'static str, longest: usize, time: Duration) -> Result<Ran> {
    let folder = folder();
    let place = |kind: &str| -> Result<PathBuf> {
        let place = folder.join(kind).join(name);
        if matches!(kind, "seeds" | "scratch") {
            let _ = fs::remove_dir_all(&place);
        }
        fs::create_dir_all(&place)?;
        Ok(place)
    };
    let (corpus, seeds, found, scratch) = (place("corpus")?, place("seeds")?, place("found")?, place("scratch")?);
    let log = folder.join(format!("{name}.log"));
    let output = File::create(&log)?;
    let program = programs.join(name);
    let mut fuzzer = command(&program.to_string_lossy());
    fuzzer.current_dir(root()).env("NETSTATS_FUZZ_SEEDS", &seeds).env("TMPDIR", &scratch).env("RUST_BACKTRACE", "1");
    fuzzer.args([&corpus, &seeds]);
    fuzzer.args(kept(name));
    fuzzer.arg(format!("-max_total_time={}", time.as_secs())).arg(format!("-max_len={longest}"));
    fuzzer.arg(format!("-timeout={HANG_S}")).arg(format!("-rss_limit_mb={MOST_MIB}"));
    fuzzer.arg(format!("-artifact_prefix={}/", found.display())).arg("-print_final_stats=1");
    fuzzer.stdin(Stdio::null()).stdout(Stdio::from(output.try_clone()?)).stderr(Stdio::from(output));
    let start = Instant::now();
    let status = fuzzer.status().with_context(|| format!("the target {name} cannot be started"))?;
    let seconds = start.elapsed().as_secs_f64();
    let said = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    let (edges, inputs) = coverage(&said);
    let failure = (!status.success()).then(|| explain(name, &program, &said));
    Ok(Ran { name, runs: runs(&said), edges, inputs, seconds, failure })
}

/// Folders of the sources that hold inputs of a target.
fn kept(name: &str) -> Vec<PathBuf> {
    let folders = match name {
        "config" => vec!["config".to_owned(), "config/examples".to_owned(), "fixtures/fuzz/config".to_owned()],
        _ => vec![format!("fixtures/fuzz/{name}")],
    };
    folders.into_iter().map(|folder| root().join(folder)).filter(|folder| folder.is_dir()).collect()
}

/// What a target said of its inputs: the number it ran.
fn runs(said: &str) -> u64 {
    let number = said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    number.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
}

/// Of the last line like `#123 DONE cov: 456 ft: 789 corp: 12/3Kb ...`: edges, and number and size of the corpus.
fn coverage(said: &str) -> (u64, String) {
    let last = said.lines().rfind(|line| line.starts_with('#') && line.contains(" cov: ")).unwrap_or_default();
    let word = |name: &str| last.split_whitespace().skip_while(|word| *word != name).nth(1);
    (word("cov:").and_then(|edges| edges.parse().ok()).unwrap_or(0), word("corp:").unwrap_or("0").to_owned())
}

/// Why a target failed, where its input is, and how to see it again.
fn explain(name: &str, program: &Path, said: &str) -> String {
    let input = said.lines().find_map(|line| line.split_once("Test unit written to ")).map(|(_, path)| path.trim());
    let Some(input) = input else {
        let last: Vec<&str> = said.lines().rev().take(20).collect();
        let last: Vec<&str> = last.into_iter().rev().collect();
        return format!("the target {name} failed without an input:\n{}", last.join("\n"));
    };
    let telling =
        |line: &&str| line.contains("panicked at") || line.starts_with("SUMMARY:") || line.contains("ERROR: ");
    let mut why: Vec<&str> = Vec::new();
    let mut lines = said.lines();
    while let Some(line) = lines.next() {
        if telling(&line) {
            why.push(line);
            // A panic's message stands on the line after its place.
            why.extend(line.contains("panicked at").then(|| lines.next()).flatten());
        }
    }
    let (why, program) = (why.join("\n  "), program.display());
    format!("the target {name} failed:\n  {why}\n  the input is kept: {input}\n  see it again: {program} {input}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_is_run() {
        let folder = root().join("crates/netstats-fuzz/src/targets");
        let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<String> = files.map(|path| path.file_stem().unwrap().to_string_lossy().into()).collect();
        let mut targets = TARGETS.map(|(name, _)| name);
        files.sort();
        targets.sort_unstable();
        assert_eq!(files, targets);
    }

    #[test]
    fn what_a_target_says_is_understood() {
        let said = "#2\tINITED cov: 3 ft: 4 corp: 1/1b exec/s: 0 rss: 31Mb\n\
            #1048576\tDONE   cov: 456 ft: 789 corp: 12/3Kb lim: 4 exec/s: 524288 rss: 35Mb\n\
            stat::number_of_executed_units: 1048576\n";
        assert_eq!((runs(said), coverage(said)), (1_048_576, (456, "12/3Kb".to_owned())));
        assert_eq!((runs(""), coverage("")), (0, (0, "0".to_owned())));
    }

    #[test]
    fn a_failure_names_the_input_and_how_to_see_it_again() {
        let said = "thread '<unnamed>' panicked at a.rs:1:2:\nindex out of bounds\nnote\n\
            ==1== ERROR: libFuzzer: deadly signal\nSUMMARY: libFuzzer: deadly signal\n\
            artifact_prefix='x/'; Test unit written to x/crash-00\n";
        let told = explain("icmp", Path::new("target/icmp"), said);
        for part in ["a.rs:1:2", "index out of bounds", "kept: x/crash-00", "again: target/icmp x/crash-00"] {
            assert!(told.contains(part), "{told}");
        }
        assert!(explain("icmp", Path::new("icmp"), "no such flag").contains("without an input:\nno such flag"));
    }
}
