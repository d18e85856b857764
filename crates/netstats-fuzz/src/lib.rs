//! Coverage-guided fuzz targets: whatever reads bytes from outside, fed with any bytes. Each target is a program of a few
//! lines; what it runs lies in the module `fuzz` of the crate that does the reading, beside what it tests.
//!
//! `cargo xtask test fuzz` builds the targets with coverage counters and libFuzzer (decision 26) and runs each of them
//! for a minute. Built in any other way they are programs that say so, so that they compile everywhere.
//!
//! # It is not
//! - part of the product: nothing depends on it;
//! - the only look at wrong bytes: seeded mutations and property tests run in every crate, on every system.

mod allocation;

pub use allocation::Bounded;

/// Makes a program of a function that takes bytes, and of another that gives inputs to begin with.
#[macro_export]
macro_rules! target {
    ($run:path) => {
        $crate::target!($run, Vec::new);
    };
    ($run:path, $seeds:path) => {
        #[cfg(netstats_fuzz)]
        #[global_allocator]
        static ALLOCATOR: $crate::Bounded = $crate::Bounded;

        #[cfg(netstats_fuzz)]
        libfuzzer_sys::fuzz_target!(init: $crate::sow($seeds), |bytes: &[u8]| { $run(bytes) });

        #[cfg(not(netstats_fuzz))]
        fn main() -> std::process::ExitCode {
            $crate::not_instrumented()
        }
    };
}

/// Writes what a target begins with into the folder that `NETSTATS_FUZZ_SEEDS` names, if it names one.
///
/// # Panics
/// The folder cannot be written.
pub fn sow(seeds: impl FnOnce() -> Vec<Vec<u8>>) {
    let Some(folder) = std::env::var_os("NETSTATS_FUZZ_SEEDS").map(std::path::PathBuf::from) else { return };
    for (number, seed) in seeds().iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{number}")), seed).expect("a folder for seeds that can be written");
    }
}

/// What a target does that was built without the fuzzer.
#[must_use]
pub fn not_instrumented() -> std::process::ExitCode {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "this was built without the fuzzer: run `cargo xtask test fuzz`");
    std::process::ExitCode::from(2)
}
