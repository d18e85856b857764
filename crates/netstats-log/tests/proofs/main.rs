//! What the log promises, tried with force: kills, power cuts, torn writes, damage, failing system calls.
//!
//! Each rig has a short size for every run of the tests; `NETSTATS_LONG=N` multiplies the counts, and `NETSTATS_SEED`
//! repeats a run that failed. docs/RELIABILITY.md says what was run and what came out.

mod child;
mod damage;
mod kill;
#[cfg(target_os = "linux")]
mod power_cut;
#[cfg(target_os = "linux")]
mod recorder;
mod support;
#[cfg(target_os = "linux")]
mod syscalls;
#[cfg(target_os = "linux")]
mod torn;
