//! Answers of the door over a real socket: one job, one destination, a list of 1,000 destinations, a day of rows.
//! Server and clients share the machine, so the figures are lower bounds.

#![allow(missing_docs, reason = "criterion's macros")]
#![expect(clippy::disallowed_methods, reason = "a bench measures with the clock")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use netstats_api::{Api, ApiContext};
use netstats_bench::Client;
use netstats_broadcast::BroadcastProjector;
use netstats_event::{
    ClockSource, DestinationId, DestinationSpec, Echo, Event, JobId, JobSpec, Meta, Metric, PingMeasured, Rtt,
    SampleFlags, SampleHead, Timestamp, Transport,
};
use netstats_inventory::{Command, InventoryProjector, Policy, decide};
use netstats_log::{Journal, MemoryLog};
use netstats_projector::{MemoryViews, Projector, Runner};
use netstats_series::{AvailabilityProjector, SeriesProjector};

const DESTINATIONS: u32 = 1_000;
/// A day of one-minute slots on three destinations.
const SLOTS: i64 = 1_440;
const NOW: i64 = 1_795_492_800_000;

/// A furnished server; lives as long as the process.
fn serve() -> SocketAddr {
    let journal = Journal::open(Arc::new(MemoryLog::default())).expect("a journal in memory");
    let (inventory_projector, inventory) = InventoryProjector::new();
    let (series_projector, series) = SeriesProjector::new();
    let (availability_projector, availability) = AvailabilityProjector::new();
    let (broadcast_projector, broadcaster) = BroadcastProjector::new();
    let projectors: Vec<Box<dyn Projector>> = vec![
        Box::new(inventory_projector),
        Box::new(series_projector),
        Box::new(availability_projector),
        Box::new(broadcast_projector),
    ];
    let runner = Runner::start(journal.clone(), Arc::new(MemoryViews::default()), projectors).expect("projectors");
    let runner = Arc::new(runner);
    let append = |events: Vec<Event>| {
        let appended = journal.append(events).expect("an append in memory");
        assert!(runner.wait_for(appended.last, Duration::from_secs(60)));
    };
    let carry_out = |command| {
        let events = decide(&inventory.current(), command, &Meta::by("system"), &Policy::default());
        append(events.expect("a good command"));
    };
    for i in 1..=DESTINATIONS {
        let (name, host) = (format!("destination-{i}"), format!("192.0.2.{}", i % 250));
        carry_out(Command::AddDestination(DestinationSpec { name, host, ..Default::default() }));
    }
    carry_out(Command::AddJob(JobSpec {
        name: "pings".to_owned(),
        enabled: true,
        interval_s: 60,
        metrics: vec![Metric::Ping],
        destinations: vec![DestinationId(1), DestinationId(2), DestinationId(3)],
        ..Default::default()
    }));
    for slot in 0..SLOTS {
        append((1..=3).map(|destination| ping(destination, NOW - (SLOTS - slot) * 60_000)).collect());
    }
    let clock = Arc::new(|| Timestamp::from_millis(NOW));
    let mut context = ApiContext::new(journal, runner, inventory, series, availability, broadcaster, clock);
    context.limits.connections_per_address = 256;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("tokio");
    let runtime: &'static _ = Box::leak(Box::new(runtime));
    let local = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = runtime.block_on(netstats_api::bind(local)).expect("a free port");
    let address = listener.local_addr().expect("an address");
    runtime.spawn(Api::new(context).serve(vec![listener], std::future::pending()));
    address
}

fn ping(destination: u32, slot_ms: i64) -> Event {
    let head = SampleHead {
        job: JobId(1),
        destination: DestinationId(destination),
        slot_at: Timestamp::from_millis(slot_ms),
        lateness_us: 100,
        flags: SampleFlags::default(),
    };
    Event::PingMeasured(PingMeasured {
        head,
        address: "192.0.2.1".parse().expect("an address"),
        transport: Transport::IcmpDatagram,
        clock: ClockSource::User,
        payload_bytes: 56,
        spacing_ms: 200,
        timeout_ms: 2_000,
        echoes: (0..10).map(|i| Echo::Reply(Rtt::from_micros(10_000 + i))).collect(),
        ttl: Some(57),
        duplicates: 0,
        reordered: 0,
        bad_replies: 0,
    })
}

/// So many requests by so many clients at once.
fn load(address: SocketAddr, path: &str, clients: u64, requests: u64) -> Duration {
    let mut clients: Vec<Client> = (0..clients).map(|_| Client::new(address, path)).collect();
    let each = requests.div_ceil(clients.len() as u64);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for client in &mut clients {
            scope.spawn(move || (0..each).for_each(|_| assert!(client.ask() > 0)));
        }
    });
    start.elapsed()
}

fn query(criterion: &mut Criterion) {
    let address = serve();
    let mut group = criterion.benchmark_group("query");
    group.throughput(Throughput::Elements(1)).sample_size(20);
    for (name, path, clients) in [
        ("job, 1 connection", "/api/jobs/1", 1),
        ("job, 16 connections", "/api/jobs/1", 16),
        ("destination, 16 connections", "/api/destinations/1", 16),
        ("health, 16 connections", "/api/health", 16),
        ("list of 1,000 destinations, 4 connections", "/api/destinations", 4),
        ("a day of rows (4,320), 1 connection", "/api/jobs/1/metrics", 1),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|requests| load(address, path, clients, requests));
        });
    }
    group.finish();
}

criterion_group!(benches, query);
criterion_main!(benches);
