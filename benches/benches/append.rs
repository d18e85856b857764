//! Durable appends: the Journal on the fjall engine, beside fjall alone with the same bytes and the same syncs.
#![allow(missing_docs, reason = "criterion's macros")]

use std::sync::Arc;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fjall::{Database, KeyspaceCreateOptions, PersistMode};
use netstats_bench::event;
use netstats_event::{ChainHash, Event, HEADER_BYTES, Position, Timestamp, encode};
use netstats_log::{FjallLog, Journal, MemoryLog};

fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append");
    for events in [1_u64, 100, 1_000] {
        let batch: Vec<Event> = (0..events).map(event).collect();
        group.throughput(Throughput::Elements(events));

        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(Arc::new(FjallLog::open(folder.path().join("log")).unwrap())).unwrap();
        group.bench_function(BenchmarkId::new("journal", events), |bench| {
            bench.iter_batched(|| batch.clone(), |batch| journal.append(batch).unwrap(), BatchSize::PerIteration);
        });
        // Two batches in flight, as several callers give them: the next is encoded while the last one syncs.
        group.bench_function(BenchmarkId::new("journal-2-in-flight", events), |bench| {
            let mut last = None;
            let submit = |batch| last.replace(journal.submit(batch)).map(|ticket| ticket.wait().unwrap());
            bench.iter_batched(|| batch.clone(), submit, BatchSize::PerIteration);
            last.map(|ticket| ticket.wait().unwrap());
        });
        drop(journal);

        let journal = Journal::open(Arc::new(MemoryLog::new())).unwrap();
        group.bench_function(BenchmarkId::new("journal-in-memory", events), |bench| {
            bench.iter_batched(|| batch.clone(), |batch| journal.append(batch).unwrap(), BatchSize::PerIteration);
        });
        drop(journal);

        // The yardstick: the same records, ready made, one value each.
        let folder = tempfile::tempdir().unwrap();
        let database = Database::builder(folder.path()).open().unwrap();
        let keyspace = database.keyspace("log", KeyspaceCreateOptions::default).unwrap();
        let mut value = Vec::with_capacity(HEADER_BYTES + 256);
        encode(&batch[0], Timestamp::from_millis(1)).unwrap().write(Position(1), ChainHash::default(), &mut value);
        let mut next = 1_u64;
        group.bench_function(BenchmarkId::new("fjall-alone", events), |bench| {
            bench.iter(|| {
                let mut commit = database.batch().durability(Some(PersistMode::SyncData));
                for _ in 0..events {
                    commit.insert(&keyspace, next.to_be_bytes(), value.as_slice());
                    next += 1;
                }
                commit.commit().unwrap();
            });
        });
    }
    group.finish();
}

/// Ready again: a log of a million bursts, closed in order.
fn open(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let journal = Journal::open(Arc::new(FjallLog::open(&path).unwrap())).unwrap();
    for thousand in 0..1_000 {
        journal.append((thousand * 1_000..(thousand + 1) * 1_000).map(event).collect()).unwrap();
    }
    drop(journal);
    let mut group = criterion.benchmark_group("open");
    group.sample_size(10);
    group.bench_function("1000000", |bench| {
        bench.iter_batched(|| (), |()| FjallLog::open(&path).unwrap(), BatchSize::PerIteration);
    });
    group.finish();
}

criterion_group!(benches, append, open);
criterion_main!(benches);
