//! Folding samples into the series view, rows stored every 50,000 events as the runner does: target 500,000 bursts of
//! 10 round trips a second.
#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

use std::net::{IpAddr, Ipv4Addr};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use netstats_event::{
    ClockSource, DestinationId, Echo, Envelope, Event, JobId, PingMeasured, Position, Rtt, SampleFlags, SampleHead,
    Timestamp, Transport,
};
use netstats_projector::{Checkpoint, MemoryViews, Projector, RowBatch, ViewStore};
use netstats_series::SeriesProjector;

const EVENTS: usize = 200_000;
const DESTINATIONS: usize = 1_000;
const READ: usize = 4_096;
const FLUSH: usize = 50_000;

/// Minutely bursts of ten noisy round trips from 1,000 destinations, one packet in 200 lost.
fn events() -> Vec<Envelope> {
    let mut state = 7_u64;
    let mut random = move |below: u32| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from(state >> 33).unwrap_or(0) % below
    };
    (0..EVENTS)
        .map(|i| {
            let minute = i64::try_from(i / DESTINATIONS).unwrap();
            let slot_at = Timestamp::from_millis(1_790_000_000_000 + minute * 60_000);
            let base = 5_000 + u32::try_from(i % DESTINATIONS).unwrap() * 20;
            let mut echo = || match random(200) {
                0 => Echo::Lost,
                1 => Echo::Reply(Rtt::from_micros(base + random(100_000))),
                _ => Echo::Reply(Rtt::from_micros(base + random(600) + random(600))),
            };
            let echoes = (0..10).map(|_| echo()).collect();
            let event = Event::PingMeasured(PingMeasured {
                head: SampleHead {
                    job: JobId(1),
                    destination: DestinationId(u32::try_from(i % DESTINATIONS).unwrap()),
                    slot_at,
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
            });
            Envelope { position: Position(i as u64 + 1), recorded_at: slot_at, event }
        })
        .collect()
}

fn fold(c: &mut Criterion) {
    let events = events();
    let mut group = c.benchmark_group("fold");
    group.throughput(Throughput::Elements(EVENTS as u64));
    group.sample_size(10);
    group.bench_function("series_200k_bursts_of_10", |b| {
        b.iter_batched(
            || (SeriesProjector::new(), MemoryViews::new()),
            |((mut projector, series), views)| {
                for part in events.chunks(FLUSH) {
                    part.chunks(READ).for_each(|run| projector.apply(run));
                    let mut batch = RowBatch::default();
                    projector.flush(&mut batch);
                    let (version, position) = (projector.version(), series.position());
                    let checkpoint = Checkpoint { version, position, recorded_at: part[part.len() - 1].recorded_at };
                    views.commit(projector.name(), &batch, checkpoint).unwrap();
                }
                assert_eq!(series.position(), Position(EVENTS as u64));
                (projector, views)
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();

    let (mut projector, series) = SeriesProjector::new();
    projector.apply(&events);
    assert!(series.memory_bytes() / DESTINATIONS <= 2_048, "{} bytes in all", series.memory_bytes());
}

criterion_group!(benches, fold);
criterion_main!(benches);
