//! Random exports, a hundred of each format: every row that Python reads back is one of the log, and none is missing.
//! `NETSTATS_LONG=10` makes ten times as many.

mod support;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use netstats_event::{
    AnswerRecord, BandwidthMeasured, ClockSource, DestinationId, DnsFailure, DnsOutcome, Echo, Envelope, Event,
    FailReason, Hop, HopAnswer, JobId, Metric, NameResolved, PingMeasured, Position, ProbeKind, RouteTraced, Rtt,
    SampleFlags, SampleHead, SlotFailed, TcpMeasured, TcpOutcome, Throughput, Timestamp, TracerouteProtocol, Transport,
    decode, encode,
};
use netstats_export::{CsvStyle, Export, Format, Names, ReportHead, columns_for};
use serde_json::Value;
use support::{Numbers, folder, python};

const START_MS: i64 = 1_774_738_800_000; // 2026-03-28T23:00:00Z: midnight in Berlin, on the day with 23 hours

type Rows = Vec<BTreeMap<String, Value>>;

/// Texts that some program somewhere takes for something else.
const TEXTS: [&str; 16] = [
    "plain",
    "=1+1",
    "+cmd|' /C calc'!A0",
    "-2",
    "@SUM(A1)",
    "\tx",
    "a,b;c\"d\"",
    "line\nbreak",
    " blanks ",
    "Zürich 東京 🛰",
    "\u{202e}backwards",
    "'quoted'",
    "NULL",
    "1e5",
    "https://example.net/",
    "_x000D_",
];

fn text(numbers: &mut Numbers) -> String {
    if numbers.below(40) == 0 { "long ".repeat(800) } else { TEXTS[numbers.below(16) as usize].to_owned() }
}

fn rtt(numbers: &mut Numbers) -> Rtt {
    let largest = [100, 20_000, 4_000_000][numbers.below(3) as usize];
    Rtt::from_micros(1 + numbers.below(largest))
}

fn maybe<T>(numbers: &mut Numbers, make: impl FnOnce(&mut Numbers) -> T) -> Option<T> {
    (numbers.below(3) > 0).then(|| make(numbers))
}

fn event(numbers: &mut Numbers) -> Event {
    let head = SampleHead {
        job: JobId(1 + numbers.below(3)),
        destination: DestinationId(1 + numbers.below(4)),
        slot_at: Timestamp::from_millis(START_MS + i64::from(numbers.below(86_400_000))),
        lateness_us: numbers.below(1_000),
        flags: SampleFlags {
            self_delayed: numbers.below(9) == 0,
            under_own_load: numbers.below(9) == 0,
            clock_suspect: numbers.below(9) == 0,
            uplink_down: numbers.below(9) == 0,
        },
    };
    let address = [192, 0, 2, u8::try_from(numbers.below(255)).unwrap()].into();
    match numbers.below(9) {
        0..=3 => {
            let echo = |numbers: &mut Numbers| match numbers.below(8) {
                0 => Echo::Lost,
                1 => Echo::Late(rtt(numbers)),
                2 => Echo::NotSent(101),
                _ => Echo::Reply(rtt(numbers)),
            };
            let count = 1 + numbers.below(30);
            PingMeasured {
                head,
                address,
                transport: Transport::IcmpRaw,
                clock: ClockSource::Kernel,
                payload_bytes: 56,
                spacing_ms: 200,
                timeout_ms: 2_000,
                echoes: (0..count).map(|_| echo(numbers)).collect(),
                ttl: maybe(numbers, |it| u8::try_from(it.below(255)).unwrap()),
                duplicates: u16::try_from(numbers.below(3)).unwrap(),
                reordered: 0,
                bad_replies: 0,
            }
            .into()
        }
        4 => {
            let hop = |ttl: u8, numbers: &mut Numbers| Hop {
                ttl,
                answers: vec![match numbers.below(3) {
                    0 => HopAnswer::Silent,
                    _ => HopAnswer::Answer { from: address, rtt: rtt(numbers), icmp_type: 11, icmp_code: 0 },
                }],
                ..Hop::default()
            };
            RouteTraced {
                head,
                address,
                protocol: TracerouteProtocol::Icmp,
                clock: ClockSource::Kernel,
                hops: (1..=5).map(|ttl| hop(ttl, numbers)).collect(),
                reached: numbers.below(2) == 0,
                duration_us: 40_000,
            }
            .into()
        }
        5 => NameResolved {
            head,
            name: text(numbers),
            record_type: "TXT".to_owned(),
            server: maybe(numbers, text),
            transport: "udp".to_owned(),
            clock: ClockSource::User,
            attempts: 1,
            is_expected: numbers.below(2) == 0,
            outcome: match numbers.below(3) {
                0 => DnsOutcome::Failure(DnsFailure::Timeout),
                _ => DnsOutcome::Response {
                    rtt: rtt(numbers),
                    rcode: u16::try_from(numbers.below(6)).unwrap(),
                    flags: 0x8180,
                    answers: vec![AnswerRecord { record_type: "TXT".to_owned(), ttl_s: 60, data: text(numbers) }],
                },
            },
        }
        .into(),
        6 => {
            let way = |numbers: &mut Numbers| Throughput {
                bytes_per_100ms: (0..20).map(|_| 1_000 + numbers.below(9_000_000)).collect(),
                skipped: 3,
                retransmits: None,
            };
            BandwidthMeasured {
                head,
                address,
                engine: "responder".to_owned(),
                down: maybe(numbers, way),
                up: maybe(numbers, way),
                idle_rtt: maybe(numbers, rtt),
                loaded_rtt_p95: maybe(numbers, rtt),
                is_cpu_bound: numbers.below(2) == 0,
                cpu_permille: 10,
                failure: None,
            }
            .into()
        }
        7 => TcpMeasured {
            head,
            address,
            port: 443,
            outcome: if numbers.below(2) == 0 { TcpOutcome::Timeout } else { TcpOutcome::Connected(rtt(numbers)) },
        }
        .into(),
        _ => SlotFailed { head, probe: ProbeKind::Http, reason: FailReason::Denied, detail: text(numbers) }.into(),
    }
}

/// The events as a log gives them back, in the order of their slots.
fn log(numbers: &mut Numbers) -> Vec<Envelope> {
    let count = numbers.below(40);
    let mut events: Vec<Envelope> = (1..=u64::from(count))
        .map(|position| {
            let draft = encode(&event(numbers), Timestamp::default()).unwrap();
            let event = decode(draft.kind, draft.version, &draft.payload).unwrap();
            Envelope { position: Position(position), recorded_at: Timestamp::default(), event }
        })
        .collect();
    events.sort_by_key(|envelope| (envelope.event.head().unwrap().slot_at, envelope.position));
    events
}

fn export(numbers: &mut Numbers, format: Format) -> Export {
    let mut names = Names::default();
    (1..=2).for_each(|id| names.add_job(JobId(id), &text(numbers)));
    (1..=3).for_each(|id| names.add_destination(DestinationId(id), &text(numbers), "192.0.2.1"));
    let all = Metric::ALL.to_vec();
    let metrics = if numbers.below(2) == 0 { all } else { vec![Metric::Ping, Metric::Dns] };
    let head = ReportHead {
        title: text(numbers),
        scope: text(numbers),
        range: Timestamp::from_millis(START_MS)..Timestamp::from_millis(START_MS + 86_400_000),
        time_zone: TimeZone::get("Europe/Berlin").unwrap(),
        time_zone_name: "Europe/Berlin".to_owned(),
        generated_at: Timestamp::from_millis(START_MS),
        generator: "test".to_owned(),
        accounting: netstats_stats::Accounting::default(),
        position: Position(40),
        chain: "00".repeat(16),
    };
    let columns = columns_for(&metrics);
    Export { format, head, names, metrics, columns, accounts: BTreeMap::new() }
}

fn write(seed: u64, format: Format, path: &Path) -> (Vec<Envelope>, Vec<Metric>) {
    let mut numbers = Numbers(seed);
    let events = log(&mut numbers);
    let export = export(&mut numbers, format);
    let metrics = export.metrics.clone();
    let size = 1 + numbers.below(20) as usize;
    let portions = events.chunks(size).map(|portion| Ok(portion.to_vec()));
    export.write(portions, None, File::create(path).unwrap()).unwrap();
    (events, metrics)
}

/// What every format must say, told by the events and by nothing of ours that writes files.
fn check_against_log(rows: &Rows, events: &[Envelope], metrics: &[Metric]) {
    let mut rows = rows.iter();
    for envelope in events {
        let (head, probe) = (envelope.event.head().unwrap(), envelope.event.probe().unwrap());
        for metric in metrics.iter().filter(|metric| metric.probe() == probe) {
            let row = rows.next().expect("a row of every event");
            assert_eq!(row["position"], envelope.position.0);
            assert_eq!((&row["job_id"], &row["destination_id"]), (&head.job.0.into(), &head.destination.0.into()));
            assert_eq!(row["metric"], metric.name());
            let at: jiff::Timestamp = row["timestamp"].as_str().unwrap().parse().unwrap();
            assert_eq!(at.as_millisecond(), head.slot_at.as_millis());
            if let Event::PingMeasured(burst) = &envelope.event {
                check_burst(row, burst);
            }
        }
    }
    assert!(rows.next().is_none(), "a row of no event");
}

fn check_burst(row: &BTreeMap<String, Value>, burst: &PingMeasured) {
    let came: Vec<u32> = burst
        .echoes
        .iter()
        .filter_map(|it| if let Echo::Reply(rtt) = it { Some(rtt.as_micros()) } else { None })
        .collect();
    let count = |is: fn(&Echo) -> bool| burst.echoes.iter().filter(|echo| is(echo)).count() as u64;
    let sent = count(|echo| !matches!(echo, Echo::NotSent(_)));
    let received = count(|echo| matches!(echo, Echo::Reply(_) | Echo::Late(_)));
    assert_eq!((&row["packets_sent"], &row["packets_received"]), (&sent.into(), &received.into()));
    let millis = |us: Option<&u32>| us.map_or(Value::Null, |us| (f64::from(*us) / 1_000.0).into());
    assert!(same(&row["min_ms"], &millis(came.iter().min())), "{row:?}");
    assert!(same(&row["max_ms"], &millis(came.iter().max())), "{row:?}");
    let loss = (sent > 0 && !burst.head.flags.uplink_down).then(|| (sent - received) as f64 / sent as f64 * 100.0);
    assert!(same(&row["packet_loss_percent"], &loss.map_or(Value::Null, Value::from)), "{row:?}");
}

/// The same number bit by bit, whole or not; or the same otherwise.
fn same(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a.to_bits() == b.to_bits(),
        _ => a == b,
    }
}

fn exports() -> u64 {
    let times = std::env::var("NETSTATS_LONG").ok().and_then(|times| times.parse().ok()).unwrap_or(1);
    100 * times
}

/// Writes all exports in a format, and what Python makes of each file; none without Python.
fn read_back(format: Format, module: &str, script: &str) -> Option<Vec<(Rows, Rows)>> {
    let place: PathBuf = folder().join(format!("random-{}", format.name()));
    let _ = std::fs::remove_dir_all(&place);
    std::fs::create_dir_all(&place).unwrap();
    let mut right = Vec::new();
    for seed in 0..exports() {
        let (events, metrics) = write(seed, format, &place.join(format!("{seed:06}.{}", format.name())));
        let json = place.join(format!("{seed:06}.expected"));
        write(seed, Format::Json, &json);
        let rows: Rows = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
        check_against_log(&rows, &events, &metrics);
        right.push(rows);
    }
    let printed = python(module, script, &place)?;
    let read: Vec<Rows> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(read.len(), right.len());
    Some(read.into_iter().zip(right).collect())
}

/// Every cell, with what the format makes of a value that it cannot say as it is.
fn compare(read: Option<Vec<(Rows, Rows)>>, as_written: impl Fn(&str, &Value) -> Value) {
    for (number, (read, right)) in read.into_iter().flatten().enumerate() {
        assert_eq!(read.len(), right.len(), "export {number}");
        for (read, right) in read.iter().zip(&right) {
            assert_eq!(read.keys().collect::<Vec<_>>(), right.keys().collect::<Vec<_>>());
            for (name, value) in right {
                let expected = as_written(name, value);
                assert!(same(&read[name], &expected), "export {number}, {name}: {} for {expected}", read[name]);
            }
        }
    }
}

#[test]
fn a_hundred_workbooks_say_what_the_log_says() {
    let script = r#"
import sys, json, datetime, pathlib, openpyxl
def plain(value):
    return "T" + value.isoformat(timespec="milliseconds") if isinstance(value, datetime.datetime) else value
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.xlsx")):
    book = openpyxl.load_workbook(path, read_only=True)
    rows = [list(map(plain, row)) for row in book["Raw data"].iter_rows(values_only=True)]
    head, rows = rows[0], rows[1:]
    print(json.dumps([dict(zip(head, row + [None] * (len(head) - len(row)))) for row in rows]))
"#;
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    compare(read_back(Format::Xlsx, "openpyxl", script), |name, value| match value.as_str() {
        Some(text) if matches!(name, "timestamp" | "certificate_expires") => {
            let at: jiff::Timestamp = text.parse().unwrap();
            at.to_zoned_datetime(zone.clone()).strftime("T%Y-%m-%dT%H:%M:%S.%3f").to_string().into()
        }
        // A workbook has no empty texts.
        Some("") => Value::Null,
        _ => value.clone(),
    });
}

#[test]
fn a_hundred_csv_files_say_what_the_log_says() {
    let script = r#"
import sys, json, csv, pathlib
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.csv")):
    with open(path, newline="", encoding="utf-8") as file:
        print(json.dumps(list(csv.DictReader(file))))
"#;
    compare(read_back(Format::Csv(CsvStyle::default()), "csv", script), |_, value| match value {
        Value::Null => "".into(),
        Value::Number(number) if number.is_f64() => {
            let real = number.as_f64().unwrap();
            if real.fract() == 0.0 { format!("{real:.0}").into() } else { number.to_string().into() }
        }
        Value::String(text) if text.trim_start_matches(' ').starts_with(['=', '+', '-', '@', '\t']) => {
            format!("'{text}").into()
        }
        Value::String(text) => text.clone().into(),
        other => other.to_string().into(),
    });
}

#[test]
fn a_hundred_parquet_files_say_what_the_log_says() {
    let script = r#"
import sys, json, datetime, pathlib, pyarrow.parquet
def plain(value):
    if isinstance(value, datetime.datetime):
        assert value.utcoffset() == datetime.timedelta(0), value
        return value.strftime("%Y-%m-%dT%H:%M:%S.") + "%03dZ" % (value.microsecond // 1000)
    return value
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.parquet")):
    rows = pyarrow.parquet.read_table(path).to_pylist()
    print(json.dumps([{name: plain(value) for name, value in row.items()} for row in rows]))
"#;
    compare(read_back(Format::Parquet, "pyarrow", script), |_, value| value.clone());
}
