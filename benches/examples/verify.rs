//! The full proof of a large log: seeded bursts of 100 destinations are appended, then every checksum, position and chain
//! value is verified, first as the store keeps new events, then sealed.
//!
//! `cargo run --release -p netstats-bench --example verify -- EVENTS [THREADS]`
#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a bench times and tells")]

use std::num::NonZero;
use std::thread::available_parallelism;
use std::time::Instant;

use netstats_bench::burst;
use netstats_log::{FjallLog, Log, LogOptions, verify};

const BATCH: u64 = 4_000;

fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u64>().expect("a number"));
    let events = arguments.next().unwrap_or(1_000_000).next_multiple_of(BATCH);
    let most = available_parallelism().unwrap_or(NonZero::<usize>::MIN).get() as u64;
    let most = arguments.next().unwrap_or(most).max(1);
    let folder = tempfile::tempdir().expect("a folder");
    let open = || {
        let options = LogOptions { seals: false, ..LogOptions::default() };
        FjallLog::open_with(folder.path().join("log"), options).expect("the log opens")
    };
    let log = open();
    timed("appended", events, || {
        for batch in 0..events / BATCH {
            let drafts: Vec<_> = (batch * BATCH..(batch + 1) * BATCH).map(burst).collect();
            log.append(&drafts).expect("the disk takes it");
        }
    });
    let prove = |log: &FjallLog, what: &str| {
        for threads in [1, most] {
            timed(&format!("verified, {what}, {threads} threads"), events, || {
                let threads = NonZero::new(threads as usize).expect("at least one");
                let report = verify(log, threads).expect("the log can be read");
                assert!(report.is_whole() && report.records == events, "{report:?}");
                assert_eq!(report.head, log.head());
            });
        }
    };
    prove(&log, "hot");
    timed("sealed and compared", events, || {
        log.seal_now().expect("the disk takes it");
    });
    log.close();
    drop(log);
    let log = open();
    println!("{} segments, {} bytes on disk", log.segments().len(), log.disk_bytes());
    prove(&log, "sealed");
}

fn timed(what: &str, events: u64, work: impl FnOnce()) {
    let start = Instant::now();
    work();
    let took = start.elapsed().as_secs_f64();
    println!("{what}: {events} events in {took:.1} s, {:.0} events/s", events as f64 / took);
}
