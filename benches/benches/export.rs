//! Files of many rows: minutely bursts of ten from a hundred destinations, seeded, written to a file or to nowhere.
//! Prints rows a second and the most memory that was in RAM; `benches/xlsx_vs_python.py` runs it beside Python's writers.
//!
//! A pack can be proved afterwards, which takes memory too: `/usr/bin/time -v network-stats verify-pack FILE`.
//!
//! `cargo bench -p netstats-bench --bench export -- FORMAT [FILE]`, with FORMAT as of the API, and FILE left out for
//! `/dev/null`; `NETSTATS_ROWS` (1,000,000) says how many rows, of twelve columns.

#![allow(missing_docs, clippy::print_stdout, reason = "a program that prints figures")]
#![expect(clippy::disallowed_methods, reason = "a bench measures with the clock")]

use std::fs::File;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use jiff::tz::TimeZone;
use netstats_bench::{Random, peak_mib, ping};
use netstats_event::{
    ChainHash, DestinationId, Echo, Envelope, JobId, Metric, Position, ProbeKind, Rtt, Timestamp, encode,
};
use netstats_export::{Export, Format, Linked, Names, Proof, ReportHead, SigningKey, columns_named};
use netstats_series::{AccountBasis, CheckStream};
use netstats_stats::{Accounting, Known, Stretch};

const START: i64 = 1_790_000_000_000;
const MINUTE: i64 = 60_000;
const DESTINATIONS: u64 = 100;
const PORTION: u64 = 4_096;
const COLUMNS: [&str; 12] = [
    "timestamp",
    "position",
    "job",
    "destination",
    "status",
    "response_time_ms",
    "min_ms",
    "mean_ms",
    "max_ms",
    "jitter_ms",
    "packet_loss_percent",
    "packets_sent",
];

fn burst(number: u64, random: &mut Random) -> Envelope {
    let mut echo = || match random.below(200) {
        0 => Echo::Lost,
        _ => Echo::Reply(Rtt::from_micros(10_000 + random.below(3_000))),
    };
    let minute = i64::try_from(number / DESTINATIONS).unwrap_or(0);
    let destination = u32::try_from(number % DESTINATIONS).unwrap_or(0) + 1;
    let event = ping(destination, START + minute * MINUTE, (0..10).map(|_| echo()).collect());
    Envelope { position: Position(number + 1), recorded_at: Timestamp::from_millis(START), event: event.into() }
}

fn export(format: Format, rows: u64) -> Export {
    let mut names = Names::default();
    names.add_job(JobId(1), "office");
    for id in 1..=u32::try_from(DESTINATIONS).unwrap_or(0) {
        names.add_destination(DestinationId(id), &format!("destination {id}"), "192.0.2.1");
    }
    let end = START + i64::try_from(rows / DESTINATIONS + 1).unwrap_or(0) * MINUTE;
    Export {
        format,
        head: ReportHead {
            title: "Network quality".to_owned(),
            scope: "all".to_owned(),
            range: Timestamp::from_millis(START)..Timestamp::from_millis(end),
            time_zone: TimeZone::UTC,
            time_zone_name: "UTC".to_owned(),
            generated_at: Timestamp::from_millis(end),
            generator: "bench".to_owned(),
            accounting: Accounting::default(),
            position: Position(rows),
            chain: String::new(),
        },
        names,
        metrics: vec![Metric::Ping],
        columns: columns_named(COLUMNS).expect("columns that there are"),
        accounts: (1..=DESTINATIONS).map(|id| account(id, rows)).collect(),
    }
}

/// Every burst of a destination was answered.
fn account(destination: u64, rows: u64) -> (DestinationId, AccountBasis) {
    let checks = (rows + DESTINATIONS - destination) / DESTINATIONS;
    let range = START..START + i64::try_from(checks).unwrap_or(0) * MINUTE;
    let stretches = vec![Stretch { from: range.start, to: range.end, known: Known::Up, checks }];
    let streams = vec![CheckStream { job: JobId(1), probe: ProbeKind::Ping, stretches }];
    let id = DestinationId(u32::try_from(destination).unwrap_or(0));
    (id, AccountBasis { streams, range, ..AccountBasis::default() })
}

/// The records of the events that were read last.
fn linked(events: &[Envelope], before: &mut ChainHash) -> Vec<Linked> {
    let linked = |event: &Envelope| {
        let draft = encode(&event.event, event.recorded_at).expect("an event within every limit");
        let linked = Linked { before: *before, record: draft.at(event.position, *before) };
        *before = linked.record.chain;
        linked
    };
    events.iter().map(linked).collect()
}

fn main() -> io::Result<()> {
    // cargo bench adds --bench.
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let name = arguments.next().unwrap_or_else(|| "csv".to_owned());
    let format = Format::from_name(&name).ok_or_else(|| io::Error::other(format!("there is no format {name}")))?;
    let rows: u64 = std::env::var("NETSTATS_ROWS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let out = match arguments.next() {
        Some(path) => File::create(path)?,
        None => File::options().write(true).open("/dev/null")?,
    };
    // The events are made beforehand where only the writing is to be measured; a portion of them comes again and again.
    let mut random = Random(7);
    let is_workbook = matches!(format, Format::Xlsx | Format::Pack);
    let same: Vec<Envelope> = (0..PORTION).map(|number| burst(number, &mut random)).collect();
    let read = Mutex::new(Vec::new());
    let portions = (0..rows.div_ceil(PORTION)).map(|portion| {
        let numbers = portion * PORTION..((portion + 1) * PORTION).min(rows);
        if is_workbook {
            let events: Vec<_> = numbers.map(|number| burst(number, &mut random)).collect();
            if format == Format::Pack {
                *read.lock().unwrap_or_else(PoisonError::into_inner) = events.clone();
            }
            return Ok(events);
        }
        Ok(same[..usize::try_from(numbers.end - numbers.start).unwrap_or(0)].to_vec())
    });
    let begin = Instant::now();
    let (key, mut before) = (SigningKey::from_seed(&[7; 32]), ChainHash::default());
    let mut records = |_: &[Position]| Ok(linked(&read.lock().unwrap_or_else(PoisonError::into_inner), &mut before));
    let proof = (format == Format::Pack).then_some(Proof { records: &mut records, key: &key });
    let written = export(format, rows).write(portions, proof, out)?;
    let seconds = begin.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let rate = written as f64 / seconds;
    println!("{name}: {written} rows x {} in {seconds:.2} s, {rate:.0} rows/s, {:?} MiB", COLUMNS.len(), peak_mib());
    Ok(())
}
