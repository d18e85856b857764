//! Sealing beside appending: what an append takes while epochs are sealed in the background, beside the same appends
//! without sealing in the same run; how fast a sealed log is read and one series found in it.
#![allow(missing_docs, reason = "a program of its own")]
#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a bench times and tells")]

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use netstats_event::{
    ClockSource, DestinationId, Draft, Echo, JobId, Kind, PingMeasured, Position, Rtt, SampleFlags, SampleHead,
    Timestamp, Transport, encode,
};
use netstats_log::{FjallLog, Log, LogOptions, ReadLimit, SeriesKey};

const DESTINATIONS: u64 = 100;
const BATCH: u64 = 10;
const APPENDS: u64 = 20_000;
const START_MS: i64 = 1_795_000_000_000;

fn burst(number: u64) -> Draft {
    let rtt = |i: u64| Echo::Reply(Rtt::from_micros(12_000 + (number * 7_919 + i * 104_729) as u32 % 1_500));
    let slot_ms = START_MS + (number / DESTINATIONS * 60_000) as i64;
    let event = PingMeasured {
        head: SampleHead {
            job: JobId(1),
            destination: DestinationId((number % DESTINATIONS) as u32),
            slot_at: Timestamp::from_millis(slot_ms),
            lateness_us: (number * 31 % 900) as u32,
            flags: SampleFlags::default(),
        },
        address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, (number % DESTINATIONS) as u8)),
        transport: Transport::IcmpDatagram,
        clock: ClockSource::Kernel,
        payload_bytes: 56,
        spacing_ms: 100,
        timeout_ms: 2_000,
        echoes: (0..10).map(rtt).collect(),
        ttl: Some(57),
        duplicates: 0,
        reordered: 0,
        bad_replies: 0,
    };
    encode(&event.into(), Timestamp::from_millis(slot_ms + 915)).unwrap()
}

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
