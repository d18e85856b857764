//! What a round trip costs on disk, everything counted: bursts of ten every minute from 100 destinations, sealed once a
//! day as a running log does, folded into the views of samples as it comes.
//!
//! The default is six hours. Longer, with the figures of docs/PERFORMANCE.md (30 days):
//! `NETSTATS_LONG=120 cargo test --release -p netstats-series --test disk -- --nocapture`

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use netstats_event::*;
use netstats_log::{FjallLog, Journal, Log, LogOptions};
use netstats_projector::{FjallViews, Runner};
use netstats_series::*;

const DESTINATIONS: u32 = 100;
const START_MS: i64 = 1_795_046_400_000;
const MINUTES_OF_A_DAY: u32 = 1_440;
/// What is made, appended and folded at a time.
const MINUTES_OF_A_PART: u32 = 360;

/// A generator of its own: the same bytes on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let high = u32::try_from(self.0 >> 33).unwrap();
        u32::try_from((u64::from(high) * u64::from(end)) >> 31).unwrap()
    }

    /// Noise around 0, near to a normal distribution, of a standard deviation of about `sigma`.
    fn noise(&mut self, sigma: u32) -> i64 {
        // The sum of twelve even numbers from 0 to 1 has a variance of 1.
        let sum: i64 = (0..12).map(|_| i64::from(self.below(4_096))).sum();
        (sum - 6 * 4_095) * i64::from(sigma) / 4_095
    }
}

/// A path's round trips: a base that drifts over the day, noise, now and then a spike, some loss.
struct Destination {
    base_us: i64,
    sigma_us: u32,
    offset_ms: i64,
    ttl: u8,
}

fn destination(number: u32) -> Destination {
    Destination {
        base_us: 2_000 + i64::from(number) * 1_300,
        // About 10 bits of noise on average, some paths quieter, some louder.
        sigma_us: 140 + (number * 37) % 300,
        offset_ms: i64::from(number * 577 % 600) * 100,
        ttl: 50 + u8::try_from(number % 12).unwrap(),
    }
}

/// A minute of one destination, and when the burst was over.
fn burst(random: &mut Random, number: u32, minute: u32) -> (i64, Event) {
    let of = destination(number);
    let drift = i64::from(minute % MINUTES_OF_A_DAY).abs_diff(720).cast_signed() * 2;
    let echoes: Vec<Echo> = (0..10)
        .map(|_| match random.below(1_000) {
            0..2 => Echo::Lost,
            2..12 => Echo::Reply(rtt(of.base_us + drift + i64::from(random.below(40_000)))),
            _ => Echo::Reply(rtt(of.base_us + drift + random.noise(of.sigma_us))),
        })
        .collect();
    let slot_ms = START_MS + i64::from(minute) * 60_000 + of.offset_ms;
    let lateness_us = 60 + random.below(500);
    let last_ms = echoes.last().and_then(Echo::rtt).map_or(2_000, |rtt| i64::from(rtt.as_micros()) / 1_000);
    let recorded_ms = slot_ms + 900 + last_ms + 1 + i64::from(random.below(5));
    let head = SampleHead {
        job: JobId(1),
        destination: DestinationId(number + 1),
        slot_at: Timestamp::from_millis(slot_ms),
        lateness_us,
        flags: SampleFlags::default(),
    };
    let event = PingMeasured {
        head,
        address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, u8::try_from(number).unwrap())),
        transport: Transport::IcmpDatagram,
        clock: ClockSource::Kernel,
        payload_bytes: 56,
        spacing_ms: 100,
        timeout_ms: 2_000,
        echoes,
        ttl: Some(of.ttl),
        duplicates: 0,
        reordered: 0,
        bad_replies: 0,
    };
    (recorded_ms, event.into())
}

fn rtt(micros: i64) -> Rtt {
    Rtt::from_micros(u32::try_from(micros.max(50)).unwrap())
}

/// A part's bursts as they are appended: in the order in which they are over.
fn part(random: &mut Random, number: u32) -> Vec<Draft> {
    let minutes = number * MINUTES_OF_A_PART..(number + 1) * MINUTES_OF_A_PART;
    let mut bursts: Vec<(i64, Event)> = minutes
        .flat_map(|minute| (0..DESTINATIONS).map(move |number| (number, minute)))
        .map(|(number, minute)| burst(random, number, minute))
        .collect();
    bursts.sort_by_key(|(at, _)| *at);
    bursts.iter().map(|(at, event)| encode(event, Timestamp::from_millis(*at)).unwrap()).collect()
}

/// Bits of a number of each series, if nothing but how often each value comes is known: the order-0 entropy.
fn entropy_bits(counts: &[HashMap<u32, u32>]) -> f64 {
    let (mut bits, mut all) = (0.0, 0.0);
    for counts in counts {
        let n: f64 = counts.values().map(|count| f64::from(*count)).sum();
        bits -= counts.values().map(|count| f64::from(*count) * (f64::from(*count) / n).log2()).sum::<f64>();
        all += n;
    }
    bits / all
}

/// Bytes that files really take, by what they are.
#[derive(Default)]
struct Disk {
    sealed: u64,
    tables: u64,
    journals: u64,
}

impl Disk {
    fn of(folder: &Path) -> Self {
        let mut disk = Self::default();
        disk.add(folder);
        disk
    }

    fn add(&mut self, folder: &Path) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                self.add(&path);
                continue;
            }
            let extension = path.extension().and_then(|extension| extension.to_str());
            match extension {
                Some("segment") => self.sealed += bytes(&path),
                Some("jnl") => self.journals += bytes(&path),
                _ => self.tables += bytes(&path),
            }
        }
    }
}

/// What a file takes: fjall makes its journals 64 MiB long at once, and the system gives them blocks as they are written.
fn bytes(path: &Path) -> u64 {
    let metadata = fs::metadata(path).unwrap();
    #[cfg(unix)]
    return std::os::unix::fs::MetadataExt::blocks(&metadata) * 512;
    #[cfg(not(unix))]
    return metadata.len();
}

#[test]
#[expect(clippy::print_stderr, reason = "the table belongs into the test's output")]
fn a_round_trip_costs_at_most_two_bytes_everything_counted() {
    let parts: u32 = std::env::var("NETSTATS_LONG").map_or(1, |parts| parts.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let (log_folder, views_folder) = (folder.path().join("log"), folder.path().join("views"));
    let mut random = Random(20_261_124);
    let mut counts = vec![HashMap::new(); DESTINATIONS as usize];
    let mut round_trips = 0_u64;
    {
        let log = Arc::new(FjallLog::open_with(&log_folder, LogOptions::default()).unwrap());
        let journal = Journal::open(log.clone()).unwrap();
        let ((projector, _series), (availability, _)) = (SeriesProjector::new(), AvailabilityProjector::new());
        let views = Arc::new(FjallViews::open(&views_folder).unwrap());
        let runner = Runner::start(journal.clone(), views, vec![Box::new(projector), Box::new(availability)]).unwrap();
        for number in 0..parts {
            for part in part(&mut random, number).chunks(100) {
                let last = log.append(part).unwrap().last;
                for draft in part {
                    let Ok(Event::PingMeasured(ping)) = decode(draft.kind, draft.version, &draft.payload) else {
                        panic!()
                    };
                    for rtt in ping.echoes.iter().filter_map(Echo::rtt) {
                        *counts[ping.head.destination.0 as usize - 1].entry(rtt.as_micros()).or_default() += 1;
                        round_trips += 1;
                    }
                }
                assert!(runner.wait_for(last, Duration::from_secs(60)));
            }
        }
        runner.stop();
        log.seal_now().unwrap();
        assert!(log.segments().len() >= parts.div_ceil(4) as usize);
    }
    // Opened once more, as after an update: what was left to be removed is removed.
    let log = FjallLog::open_with(&log_folder, LogOptions::default()).unwrap();
    let stopped = CollectorStopped { reason: "an event, as each start and each stop brings one".to_owned() };
    log.append(&[encode(&stopped.into(), Timestamp::from_millis(START_MS)).unwrap()]).unwrap();
    drop(log);
    drop(FjallViews::open(&views_folder).unwrap());
    let (log, views) = (Disk::of(&log_folder), Disk::of(&views_folder));
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let each = |bytes: u64| bytes as f64 / round_trips as f64;
    let kept = each(log.sealed + log.tables + views.sealed + views.tables);
    eprintln!(
        "{} hours, {round_trips} round trips, order-0 entropy {:.3} bytes each",
        parts * 6,
        entropy_bits(&counts) / 8.0
    );
    eprintln!(
        "log: segments {:.3}, tables and small files {:.3}, journals {:.3}",
        each(log.sealed),
        each(log.tables),
        each(log.journals)
    );
    eprintln!("views: tables and small files {:.3}, journals {:.3}", each(views.tables), each(views.journals));
    eprintln!(
        "bytes a round trip: {kept:.3} without and {:.3} with journals",
        kept + each(log.journals + views.journals)
    );
    assert!(kept <= 2.0, "{kept} bytes a round trip");
}
