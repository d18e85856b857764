//! Sealing beside appending: what an append takes while epochs are sealed in the background, beside the same appends
//! without sealing in the same run; how fast a sealed log is read and one series found in it.
#![allow(missing_docs, reason = "a program of its own")]
#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a bench times and tells")]

use std::time::{Duration, Instant};

use netstats_bench::{DESTINATIONS, burst};
use netstats_event::{DestinationId, Draft, JobId, Kind, Position, Timestamp};
use netstats_log::{FjallLog, Log, LogOptions, ReadLimit, SeriesKey};

const BATCH: u64 = 10;
const APPENDS: u64 = 20_000;

/// Appends small batches one after the other; how long each took, sorted.
fn appends(log: &FjallLog) -> Vec<Duration> {
    let mut took: Vec<Duration> = (0..APPENDS)
        .map(|number| {
            let batch: Vec<Draft> = (number * BATCH..(number + 1) * BATCH).map(burst).collect();
            let start = Instant::now();
            log.append(&batch).unwrap();
            start.elapsed()
        })
        .collect();
    took.sort_unstable();
    took
}

fn tell(what: &str, took: &[Duration]) {
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    println!("{what}: median {:?}, p99 {:?}, p99.9 {:?}, longest {:?}", at(0.5), at(0.99), at(0.999), at(1.0));
}

fn rate(what: &str, events: u64, work: impl FnOnce()) {
    let start = Instant::now();
    work();
    println!("{what}: {:.0} events/s", events as f64 / start.elapsed().as_secs_f64());
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    // Ten epochs are closed and sealed while the appends go on.
    let options = |seals| LogOptions { epoch_events: APPENDS * BATCH / 10, seals, ..LogOptions::default() };
    for (name, seals) in [("appends of 10 without sealing", false), ("appends of 10 while sealing", true)] {
        let log = FjallLog::open_with(folder.path().join(name), options(seals)).unwrap();
        let took = appends(&log);
        tell(name, &took);
        println!("  {} segments were sealed meanwhile", log.segments().len());
    }

    let log =
        FjallLog::open_with(folder.path().join("log"), LogOptions { seals: false, ..LogOptions::default() }).unwrap();
    let events = 144_000;
    for thousand in 0..events / 1_000 {
        log.append(&(thousand * 1_000..(thousand + 1) * 1_000).map(burst).collect::<Vec<_>>()).unwrap();
    }
    let read = |what: &str| {
        rate(what, events, || {
            let mut next = Position(1);
            while next < log.tail() {
                next = log.events(next, ReadLimit::default()).unwrap().last().unwrap().position.next();
            }
        });
    };
    read("events read, not sealed");
    rate("sealed and compared", events, || {
        log.seal_now().unwrap();
    });
    read("events read, sealed");
    rate("records with their chain read, sealed", events, || {
        let mut next = Position(1);
        while next < log.tail() {
            next = log.read(next, ReadLimit::default()).unwrap().last().unwrap().position.next();
        }
    });
    drop(log);
    let log = FjallLog::open(folder.path().join("log")).unwrap();
    rate("one destination's day out of 100, nothing decoded before", events / DESTINATIONS, || {
        let key = SeriesKey { job: JobId(1), destination: DestinationId(42), kind: Kind::PingMeasured };
        let slots = Timestamp::from_millis(0)..Timestamp::from_millis(i64::MAX / 1_000_000);
        let series = log.series(key, slots.clone()).unwrap();
        let found: usize = series.pages.iter().map(|page| log.series_events(page, slots.clone()).unwrap().len()).sum();
        assert_eq!(found as u64, events / DESTINATIONS);
    });
}
