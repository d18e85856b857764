//! Questions to a long history: minutely bursts of ten from many destinations, seeded, written into a log that seals
//! itself, folded into views on disk, asked over HTTP. Prints figures; see `docs/PERFORMANCE.md`.
//!
//! `NETSTATS_DESTINATIONS` (1,000) and `NETSTATS_DAYS` (30) say how much; `NETSTATS_ASKED` (200) how often each question
//! is asked. 1,000 x 30 is 43.2 million bursts: some minutes to write on two quiet cores, and about 8 GB of disk on the
//! way. `NETSTATS_KEEP=FOLDER` keeps what was written, and asks what an earlier run kept there.

#![allow(missing_docs, clippy::print_stdout, reason = "a program that prints figures")]
#![expect(clippy::disallowed_methods, reason = "a bench measures with the clock")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use netstats_api::{Api, ApiContext};
use netstats_bench::{Client, Random, peak_mib, ping};
use netstats_broadcast::BroadcastProjector;
use netstats_event::{
    DestinationSpec, Draft, Echo, Envelope, Event, JobSpec, Meta, Metric, Position, Rtt, Timestamp, encode,
};
use netstats_inventory::{Command, Inventory, InventoryProjector, Policy, decide};
use netstats_log::{FjallLog, Journal, Log, LogOptions};
use netstats_projector::{FjallViews, Runner};
use netstats_series::{AvailabilityProjector, Series, SeriesProjector};

const START: i64 = 1_790_000_000_000;
const MINUTE: i64 = 60_000;

fn setting(name: &str, default: u32) -> u32 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Noisy round trips with a heavy tail, one packet in 200 lost.
fn burst(destination: u32, slot: i64, random: &mut Random) -> Event {
    let base = 5_000 + destination * 20;
    let mut echo = || match random.below(200) {
        0 => Echo::Lost,
        1 => Echo::Reply(Rtt::from_micros(base + random.below(100_000))),
        _ => Echo::Reply(Rtt::from_micros(base + random.below(600) + random.below(600))),
    };
    ping(destination, slot, (0..10).map(|_| echo()).collect()).into()
}

fn config(destinations: u32) -> Vec<Draft> {
    let (mut inventory, mut drafts) = (Inventory::default(), Vec::new());
    let mut carry_out = |command| {
        for event in decide(&inventory, command, &Meta::by("system"), &Policy::default()).expect("a good command") {
            let (position, recorded_at) = (Position(drafts.len() as u64 + 1), Timestamp::from_millis(START));
            drafts.push(encode(&event, recorded_at).expect("within limits"));
            inventory.apply(&Envelope { position, recorded_at, event });
        }
    };
    for i in 1..=destinations {
        let (name, host) = (format!("destination-{i}"), format!("192.0.2.{}", i % 250));
        carry_out(Command::AddDestination(DestinationSpec {
            name,
            host,
            tags: vec!["all".into()],
            ..Default::default()
        }));
    }
    carry_out(Command::AddJob(JobSpec {
        name: "pings".to_owned(),
        enabled: true,
        interval_s: 60,
        metrics: vec![Metric::Ping],
        destination_tags: vec!["all".to_owned()],
        ..Default::default()
    }));
    drafts
}

fn write(log: &FjallLog, destinations: u32, minutes: i64) -> u64 {
    let mut random = Random(7);
    for some in config(destinations).chunks(1_000) {
        log.append(some).expect("an append");
    }
    for minute in 0..minutes {
        let slot = START + minute * MINUTE;
        let recorded_at = Timestamp::from_millis(slot + 4_000);
        let drafts: Vec<Draft> = (1..=destinations)
            .map(|id| encode(&burst(id, slot, &mut random), recorded_at).expect("within limits"))
            .collect();
        for some in drafts.chunks(1_000) {
            log.append(some).expect("an append");
        }
    }
    log.tail().0 - 1
}

struct Opened {
    journal: Arc<Journal>,
    runner: Arc<Runner>,
    series: Series,
    context: ApiContext,
}

fn open(folder: &Path, now: i64) -> Opened {
    let log = FjallLog::open_with(folder.join("log"), LogOptions::default()).expect("a log");
    let journal = Journal::open(Arc::new(log)).expect("a journal");
    let views = FjallViews::open(folder.join("views")).expect("views");
    let (inventory_projector, inventory) = InventoryProjector::new();
    let (series_projector, series) = SeriesProjector::new();
    let (availability_projector, availability) = AvailabilityProjector::new();
    let (broadcast_projector, broadcaster) = BroadcastProjector::new();
    let runner = Runner::start(
        journal.clone(),
        Arc::new(views),
        vec![
            Box::new(inventory_projector),
            Box::new(series_projector),
            Box::new(availability_projector),
            Box::new(broadcast_projector),
        ],
    );
    let runner = Arc::new(runner.expect("projectors"));
    let clock = Arc::new(move || Timestamp::from_millis(now));
    let context =
        ApiContext::new(journal.clone(), runner.clone(), inventory, series.clone(), availability, broadcaster, clock);
    Opened { journal, runner, series, context }
}

fn size_of(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(
            |entry| {
                if entry.path().is_dir() { size_of(&entry.path()) } else { entry.metadata().map_or(0, |m| m.len()) }
            },
        )
        .sum()
}

/// Asks questions and prints how long the answers took.
fn ask(address: SocketAddr, name: &str, times: u32, mut path: impl FnMut(u32) -> String) {
    let mut took: Vec<Duration> = Vec::new();
    let mut bytes = 0;
    for i in 0..times {
        let mut client = Client::new(address, &path(i));
        let start = Instant::now();
        bytes = client.ask();
        took.push(start.elapsed());
    }
    took.sort_unstable();
    let at = |share: usize| took[(took.len() * share / 100).min(took.len() - 1)].as_secs_f64() * 1_000.0;
    println!("{name:<58} p50 {:>8.2} ms  p99 {:>8.2} ms  most {:>8.2} ms  {bytes} bytes", at(50), at(99), at(100));
}

/// Writes and seals what `main` asks about.
#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn make(folder: &Path, destinations: u32, minutes: i64) {
    let start = Instant::now();
    let log = FjallLog::open_with(folder.join("log"), LogOptions::default()).expect("a log");
    let last = write(&log, destinations, minutes);
    log.seal_now().expect("sealed");
    log.close();
    drop(log);
    let rtts = f64::from(destinations) * minutes as f64 * 10.0;
    let log_bytes = size_of(&folder.join("log"));
    println!("{last} events of {destinations} destinations written and sealed in {:.1?}", start.elapsed());
    println!("log {:.2} B/RTT ({log_bytes} bytes)", log_bytes as f64 / rtts);
    println!("at most resident, writing and sealing: {} MiB", peak_mib().unwrap_or(0));
}

/// Folds it into views, from nothing.
#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn fold(folder: &Path, now: i64) {
    let start = Instant::now();
    let opened = open(folder, now);
    let last = Position(opened.journal.tail().0 - 1);
    assert!(opened.runner.wait_for(last, Duration::from_secs(7_200)));
    let (took, held) = (start.elapsed(), opened.series.memory_bytes() / 1_024);
    println!(
        "folded in {took:.1?}, {:.0} events/s; the series view holds {held} KiB",
        last.0 as f64 / took.as_secs_f64()
    );
    opened.runner.stop();
    opened.journal.close();
    drop(opened);
    println!(
        "views {} bytes; at most resident, folding: {} MiB",
        size_of(&folder.join("views")),
        peak_mib().unwrap_or(0)
    );
}

fn main() {
    let (destinations, days) = (setting("NETSTATS_DESTINATIONS", 1_000), setting("NETSTATS_DAYS", 30));
    let times = setting("NETSTATS_ASKED", 200);
    let minutes = i64::from(days) * 1_440;
    let now = START + minutes * MINUTE;
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let kept = std::env::var_os("NETSTATS_KEEP").map(PathBuf::from);
    let folder = kept.as_deref().unwrap_or(scratch.path());
    if !folder.join("log").exists() {
        make(folder, destinations, minutes);
    }
    if !folder.join("views").exists() {
        fold(folder, now);
    }

    let start = Instant::now();
    let mut opened = open(folder, now);
    let last = Position(opened.journal.tail().0 - 1);
    assert!(opened.runner.wait_for(last, Duration::from_secs(600)));
    println!("cold start, ready in {:.2?}", start.elapsed());

    opened.context.limits.connections_per_address = 256;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("tokio");
    let listener = runtime.block_on(netstats_api::bind(([127, 0, 0, 1], 0).into())).expect("a free port");
    let address = listener.local_addr().expect("an address");
    runtime.spawn(Api::new(opened.context.clone()).serve(vec![listener], std::future::pending()));

    let mut random = Random(11);
    let mut any = move || 1 + random.below(destinations);
    let series = |id: u32, from: &str, points: u32| {
        format!("/api/series?destination={id}&start_time={from}&end_time=now&max_points={points}")
    };
    ask(address, "24 h raw of one destination, series", times, |_| series(any(), "now-24h", 1_500));
    ask(address, "24 h raw of one destination, rows", times, |_| {
        format!("/api/jobs/1/metrics?destination={}&start_time=now-24h", any())
    });
    for days in [10, 30].into_iter().filter(|of| *of <= days) {
        ask(address, &format!("24 h raw of one destination, {days} d ago"), times, |_| {
            series(any(), &format!("now-{days}d"), 1_500).replace("=now&", &format!("=now-{}d&", days - 1))
        });
    }
    for days in [1, 10, 30].into_iter().filter(|of| *of <= days) {
        ask(address, &format!("{days} d of one destination, buckets of 1 h"), times, |_| {
            series(any(), &format!("now-{days}d"), (days * 24 + 1).min(721))
        });
    }
    for days in [1, 10, 30].into_iter().filter(|of| *of <= days) {
        ask(address, &format!("{days} d of one destination, 24 h of it asked for as 1 h"), times, |_| {
            let end = format!("now-{}d", days - 1);
            let id = any();
            format!("/api/series?destination={id}&start_time=now-{days}d&end_time={end}&max_points=30")
        });
    }
    ask(address, "worst 20 by p95 over 24 h", times.min(50), |_| "/api/top?by=p95&worst=20&start_time=now-24h".into());
    ask(address, "all destinations, now", times.min(50), |_| "/api/destinations".into());
    let step = |i: u32| START + minutes * MINUTE / 2 + i64::from(i) * 15 * MINUTE;
    let time = |at: i64| {
        let seconds = Timestamp::from_millis(at).as_millis() / 1_000;
        format!("now-{}s", now / 1_000 - seconds)
    };
    ask(address, "all destinations as of a moment, the first", 1, |_| {
        format!("/api/destinations?as_of={}", time(step(0)))
    });
    ask(address, "all destinations, scrubbing by 15 min", 60, |i| {
        format!("/api/destinations?as_of={}", time(step(i + 1)))
    });
    ask(address, "24 h of one destination as 1 h, as of moments", times, |i| {
        format!("{}&as_of={}", series(any(), "now-1d", 30).replace("&end_time=now", ""), time(step(i % 60)))
    });
    println!("at most resident since the cold start: {} MiB", peak_mib().unwrap_or(0));
    opened.runner.stop();
    opened.journal.close();
}
