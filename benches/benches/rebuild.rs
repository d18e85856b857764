//! Views rebuilt from a log on disk: target 500,000 samples a second, the same bytes with 1, 2 and 4 decoding threads.
//!
//! `cargo bench -p netstats-bench --bench rebuild` takes 1,000,000 samples, `NETSTATS_LONG=10` ten times as many. It
//! prints a line for each number of threads and fails if the digests differ.
#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a bench says what it measured")]

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZero;
use std::sync::Arc;
use std::time::Instant;

use netstats_event::{
    ClockSource, DestinationId, Echo, Event, JobId, PingMeasured, Rtt, SampleFlags, SampleHead, Timestamp, Transport,
};
use netstats_inventory::InventoryProjector;
use netstats_log::{FjallLog, Journal};
use netstats_projector::{FjallViews, Projector, digest, rebuild_all};
use netstats_series::SeriesProjector;

const DESTINATIONS: u32 = 1_000;
const BATCH: u32 = 4_000;

/// A burst of ten round trips, one packet in 200 lost.
fn ping(number: u32) -> Event {
    let (destination, minute) = (number % DESTINATIONS, number / DESTINATIONS);
    let mut state = u64::from(number) | 1;
    let mut random = move |below: u32| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from(state >> 33).unwrap_or(0) % below
    };
    let mut echo = || match random(200) {
        0 => Echo::Lost,
        _ => Echo::Reply(Rtt::from_micros(5_000 + destination * 20 + random(600) + random(600))),
    };
    let echoes = (0..10).map(|_| echo()).collect();
    PingMeasured {
        head: SampleHead {
            job: JobId(1),
            destination: DestinationId(destination),
            slot_at: Timestamp::from_millis(1_790_000_000_000 + i64::from(minute) * 60_000),
            lateness_us: 0,
            flags: SampleFlags::default(),
        },
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        transport: Transport::IcmpDatagram,
        clock: ClockSource::Kernel,
        payload_bytes: 56,
        spacing_ms: 200,
        timeout_ms: 2_000,
        echoes,
        ttl: Some(64),
        duplicates: 0,
        reordered: 0,
        bad_replies: 0,
    }
    .into()
}

fn projectors() -> Vec<Box<dyn Projector>> {
    vec![Box::new(InventoryProjector::new().0), Box::new(SeriesProjector::new().0)]
}

fn main() {
    let times = std::env::var("NETSTATS_LONG").map_or(1, |times| times.parse().expect("a whole number"));
    let samples: u32 = 1_000_000 * times;
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(Arc::new(FjallLog::open(folder.path().join("log")).unwrap())).unwrap();
    let begin = Instant::now();
    let tickets =
        (0..samples / BATCH).map(|batch| journal.append((0..BATCH).map(|n| ping(batch * BATCH + n)).collect()));
    tickets.for_each(|appended| assert!(appended.is_ok(), "{appended:?}"));
    println!("{samples} samples appended at {:.0}/s", f64::from(samples) / begin.elapsed().as_secs_f64());
    let mut digests = Vec::new();
    for threads in [1, 2, 4] {
        let begin = Instant::now();
        let digest = FjallViews::replace(folder.path().join("views"), |views| {
            rebuild_all(&journal, views, projectors(), NonZero::new(threads).unwrap())?;
            digest(views.as_ref(), "series")
        });
        let rate = f64::from(samples) / begin.elapsed().as_secs_f64();
        println!("{threads} decoding threads: {rate:.0} samples/s rebuilt and stored");
        digests.push(digest.unwrap());
    }
    assert!(digests.windows(2).all(|pair| pair[0] == pair[1]), "the views differ");
    println!("the digests are equal");
}
