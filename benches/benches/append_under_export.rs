//! What an export does to probing: appends at a steady pace on fjall, each waited for until it is durable, while a file of
//! the log's rows is made, and without, in turns in one run. Prints how long appends took, and how much the export moved
//! it.
//!
//! `cargo bench -p netstats-bench --bench append_under_export -- [FORMAT]`, with FORMAT as of the API (csv);
//! `NETSTATS_LONG=N` (1) makes the log N times 250,000 rows long: 20 are five million.

#![allow(missing_docs, clippy::print_stdout, reason = "a program that prints figures")]
#![expect(clippy::disallowed_methods, reason = "a bench measures with the clock")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use netstats_bench::{DESTINATIONS, START_MS, event, peak_mib};
use netstats_event::{DestinationId, JobId, Metric, Position, Timestamp};
use netstats_export::{Export, Format, Names, ReportHead, columns_for};
use netstats_log::{FjallLog, Journal};
use netstats_projector::{MemoryViews, Runner};
use netstats_series::{RawQuery, Series, SeriesProjector};

const ROWS: u64 = 250_000;
const AT_ONCE: u64 = 1_000;
/// Workers of a collector, each with a burst to record every so often: 200 appends a second.
const WORKERS: u64 = 4;
const PACE: Duration = Duration::from_millis(20);
const ROUNDS: usize = 5;
/// Fewer would say nothing about the slowest in a hundred.
const LEAST_TIME: Duration = Duration::from_secs(10);
const PORTION: usize = 4_096;

struct Rig {
    journal: Arc<Journal>,
    series: Series,
    rows: u64,
    format: Format,
    /// The number of the next burst.
    next: AtomicU64,
}

impl Rig {
    /// Records a burst every [`PACE`] with each worker until told to stop; how long each took, in microseconds.
    fn record(&self, stop: &AtomicBool) -> Vec<u64> {
        thread::scope(|scope| {
            let workers: Vec<_> = (0..WORKERS).map(|worker| scope.spawn(move || self.work(worker, stop))).collect();
            workers.into_iter().flat_map(|worker| worker.join().expect("a worker")).collect()
        })
    }

    fn work(&self, worker: u64, stop: &AtomicBool) -> Vec<u64> {
        let mut took = Vec::new();
        let mut due = Instant::now() + PACE * u32::try_from(worker).unwrap_or(0) / u32::try_from(WORKERS).unwrap_or(1);
        while !stop.load(Ordering::Relaxed) {
            while let Some(left) = due.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
                thread::park_timeout(left);
            }
            let burst = event(self.next.fetch_add(1, Ordering::Relaxed));
            let begin = Instant::now();
            self.journal.append(vec![burst]).expect("a disk that takes it");
            took.push(u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX));
            due = (due + PACE).max(begin);
        }
        took
    }

    /// Makes the file; its rows.
    fn export(&self) -> io::Result<u64> {
        let end = START_MS + i64::try_from(self.rows / DESTINATIONS + 1).unwrap_or(0) * 60_000;
        let (from, to) = (Timestamp::from_millis(START_MS), Timestamp::from_millis(end));
        let mut names = Names::default();
        names.add_job(JobId(1), "office");
        (0..u32::try_from(DESTINATIONS).unwrap_or(0))
            .for_each(|id| names.add_destination(DestinationId(id), &format!("destination {id}"), "192.0.2.1"));
        let metrics = vec![Metric::Ping];
        let query =
            RawQuery { metrics: metrics.clone(), from, to, as_of: Some(Position(self.rows)), ..RawQuery::default() };
        let export = Export {
            format: self.format,
            head: ReportHead {
                title: "Network quality".to_owned(),
                scope: "all".to_owned(),
                range: from..to,
                time_zone: TimeZone::UTC,
                time_zone_name: "UTC".to_owned(),
                generated_at: to,
                generator: "bench".to_owned(),
                accounting: netstats_stats::Accounting::default(),
                position: Position(self.rows),
                chain: String::new(),
            },
            names,
            columns: columns_for(&metrics),
            metrics,
            accounts: BTreeMap::new(),
        };
        let portions = self.series.portions(&*self.journal, &query, PORTION);
        let out = File::options().write(true).open("/dev/null")?;
        export.write(portions.map(|portion| portion.map_err(io::Error::other)), None, out)
    }

    /// Appends while files are made, one after another, for [`LEAST_TIME`]; and for how long that was.
    fn exporting(&self) -> (Vec<u64>, Duration) {
        let (stop, begin) = (AtomicBool::new(false), Instant::now());
        let took = thread::scope(|scope| {
            let recording = scope.spawn(|| self.record(&stop));
            loop {
                let written = self.export().expect("a file");
                assert_eq!(written, self.rows, "a row for each burst");
                if begin.elapsed() >= LEAST_TIME {
                    break;
                }
            }
            stop.store(true, Ordering::Relaxed);
            recording.join().expect("the workers")
        });
        (took, begin.elapsed())
    }

    /// Appends for so long.
    fn alone(&self, time: Duration) -> Vec<u64> {
        let (stop, end) = (AtomicBool::new(false), Instant::now() + time);
        thread::scope(|scope| {
            let recording = scope.spawn(|| self.record(&stop));
            while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
                thread::park_timeout(left);
            }
            stop.store(true, Ordering::Relaxed);
            recording.join().expect("the workers")
        })
    }
}

/// Milliseconds at this share of the sorted times.
fn at(sorted: &[u64], share: f64) -> f64 {
    let millis: Vec<f64> = sorted.iter().map(|us| Duration::from_micros(*us).as_secs_f64() * 1_000.0).collect();
    netstats_stats::quantile(&millis, share).unwrap_or(f64::NAN)
}

fn show(what: &str, took: &mut [u64]) -> [f64; 3] {
    took.sort_unstable();
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|share| at(took, share));
    println!("{what:10} {:6} appends: p50 {p50:.3} ms, p99 {p99:.3} ms, p99.9 {p999:.3} ms", took.len());
    [p50, p99, p999]
}

fn main() -> io::Result<()> {
    // cargo bench adds --bench.
    let name =
        std::env::args().skip(1).find(|argument| !argument.starts_with("--")).unwrap_or_else(|| "csv".to_owned());
    let format = Format::from_name(&name).filter(|format| *format != Format::Pack);
    let format = format.ok_or_else(|| io::Error::other(format!("there is no format {name} here")))?;
    let long: u64 = std::env::var("NETSTATS_LONG").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let rows = ROWS * long;
    let folder = tempfile::tempdir()?;
    let log = FjallLog::open(folder.path().join("log")).map_err(io::Error::other)?;
    let journal = Journal::open(Arc::new(log)).map_err(io::Error::other)?;
    let (projector, series) = SeriesProjector::new();
    let views = Arc::new(MemoryViews::default());
    let runner = Runner::start(journal.clone(), views, vec![Box::new(projector)]).map_err(io::Error::other)?;
    for thousand in 0..rows / AT_ONCE {
        let bursts = (thousand * AT_ONCE..(thousand + 1) * AT_ONCE).map(event).collect();
        journal.append(bursts).map_err(io::Error::other)?;
    }
    assert!(runner.wait_for(Position(rows), Duration::from_secs(600)), "the view follows");
    let rig = Rig { journal, series, rows, format, next: AtomicU64::new(rows) };
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        let (mut exporting, time) = rig.exporting();
        let mut alone = rig.alone(time);
        println!("round {round}: {:.1} s each", time.as_secs_f64());
        show("  export", &mut exporting);
        show("  alone", &mut alone);
        with.append(&mut exporting);
        without.append(&mut alone);
    }
    println!("{rows} rows as {name}, {ROUNDS} rounds:");
    let (with, without) = (show("export", &mut with), show("alone", &mut without));
    let [p50, p99, p999] = [0, 1, 2].map(|i| (with[i] / without[i] - 1.0) * 100.0);
    println!("moved by: p50 {p50:+.1} %, p99 {p99:+.1} %, p99.9 {p999:+.1} %; {:?} MiB", peak_mib());
    Ok(())
}
