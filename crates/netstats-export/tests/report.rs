//! A report over a day of made-up pings: what Python's openpyxl and csv read back is what the events say.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::Command;

use jiff::tz::TimeZone;
use netstats_event::{
    ClockSource, DestinationId, Echo, Envelope, FailReason, Hop, HopAnswer, JobId, Metric, PingMeasured, Position,
    ProbeKind, RouteTraced, Rtt, SampleFlags, SampleHead, SlotFailed, Timestamp, TracerouteProtocol, Transport,
};
use netstats_export::{CsvStyle, CsvWriter, JsonStyle, JsonWriter, Names, Report, ReportHead, XlsxReport, columns_for};
use netstats_series::rows_of;

const START_MS: i64 = 1_792_879_200_000; // 2026-10-24T22:00:00Z: midnight in Berlin, on the day with 25 hours
const METRICS: [Metric; 2] = [Metric::Ping, Metric::Traceroute];

/// A small linear congruential generator: the same history in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from((self.0 >> 33) % u64::from(limit)).unwrap()
    }
}

fn head(destination: u32, minute: i64) -> SampleHead {
    SampleHead {
        job: JobId(1),
        destination: DestinationId(destination),
        slot_at: Timestamp::from_millis(START_MS + minute * 60_000 + i64::from(destination) * 100),
        lateness_us: 40,
        flags: SampleFlags::default(),
    }
}

/// Twenty-five hours, a burst a minute to two destinations; the second is down for ten minutes and traced twice.
fn history() -> Vec<Envelope> {
    let mut numbers = Numbers(7);
    let mut events = Vec::new();
    for minute in 0..1_500 {
        for destination in 1..=2 {
            let is_down = destination == 2 && (600..610).contains(&minute);
            let echo = |numbers: &mut Numbers| match numbers.below(200) {
                0 => Echo::Lost,
                _ if is_down => Echo::Lost,
                _ => Echo::Reply(Rtt::from_micros(10_000 * destination + numbers.below(3_000))),
            };
            let echoes = (0..10).map(|_| echo(&mut numbers)).collect();
            let burst = PingMeasured {
                head: head(destination, minute),
                address: [192, 0, 2, u8::try_from(destination).unwrap()].into(),
                transport: Transport::IcmpRaw,
                clock: ClockSource::Kernel,
                payload_bytes: 56,
                spacing_ms: 200,
                timeout_ms: 2_000,
                echoes,
                ttl: Some(57),
                duplicates: 0,
                reordered: 0,
                bad_replies: 0,
            };
            events.push(burst.into());
        }
        if minute == 30 || minute == 700 {
            let hop = |ttl: u8, last: u8| Hop {
                ttl,
                answers: vec![HopAnswer::Answer {
                    from: [192, 0, 2, last].into(),
                    rtt: Rtt::from_micros(900),
                    icmp_type: 11,
                    icmp_code: 0,
                }],
                ..Hop::default()
            };
            let route = RouteTraced {
                head: head(2, minute),
                address: [192, 0, 2, 2].into(),
                protocol: TracerouteProtocol::Icmp,
                clock: ClockSource::Kernel,
                hops: vec![hop(1, if minute == 30 { 99 } else { 98 }), hop(2, 2)],
                reached: true,
                duration_us: 40_000,
            };
            events.push(route.into());
        }
    }
    events.push(
        SlotFailed {
            head: head(1, 1_500),
            probe: ProbeKind::Ping,
            reason: FailReason::NotPermitted,
            detail: "=cmd|' /C calc'!A0".to_owned(),
        }
        .into(),
    );
    let envelope =
        |(position, event)| Envelope { position: Position(position), recorded_at: Timestamp::default(), event };
    (1..).zip(events).map(envelope).collect()
}

fn names() -> Names {
    let mut names = Names::default();
    names.add_job(JobId(1), "office \"north\"");
    names.add_destination(DestinationId(1), "=1+1", "192.0.2.1");
    names.add_destination(DestinationId(2), "Zürich; gateway\nB", "192.0.2.2");
    names
}

fn report_head() -> ReportHead {
    ReportHead {
        title: "Network quality".to_owned(),
        scope: "All destinations of the job office".to_owned(),
        range: Timestamp::from_millis(START_MS)..Timestamp::from_millis(START_MS + 1_501 * 60_000),
        time_zone: TimeZone::get("Europe/Berlin").unwrap(),
        time_zone_name: "Europe/Berlin".to_owned(),
        generated_at: Timestamp::from_millis(START_MS + 90_100_000),
        generator: "Network Stats Collector test".to_owned(),
        position: Position(3_003),
        chain: "00".repeat(16),
    }
}

fn folder() -> std::path::PathBuf {
    std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
}

/// Runs a Python script; none (and a SKIP line) if Python or the module is missing.
fn python(module: &str, script: &str, file: &std::path::Path) -> Option<String> {
    let has = Command::new("python3").args(["-c", &format!("import {module}")]).output();
    if !has.is_ok_and(|output| output.status.success()) {
        let mut err = std::io::stderr().lock();
        writeln!(err, "SKIP: Python's {module} is not installed (pip install {module})").unwrap();
        return None;
    }
    let output = Command::new("python3").arg("-c").arg(script).arg(file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

/// The report as an xlsx file, and what it says.
fn make(events: &[Envelope], name: &str) -> (std::path::PathBuf, Report) {
    let mut xlsx = XlsxReport::new(report_head(), names(), METRICS.to_vec()).unwrap();
    for event in events {
        xlsx.add(event).unwrap();
    }
    let path = folder().join(name);
    let report = xlsx.finish(std::fs::File::create(&path).unwrap()).unwrap();
    (path, report)
}

/// The raw rows as JSON objects: what the API gives.
fn json_rows(events: &[Envelope]) -> Vec<BTreeMap<String, serde_json::Value>> {
    let mut names = names();
    let mut json = JsonWriter::new(Vec::new(), columns_for(&METRICS), JsonStyle::Array).unwrap();
    for row in events.iter().flat_map(|event| rows_of(event, &METRICS)) {
        names.complete(&row);
        json.write(&names.line(&row)).unwrap();
    }
    serde_json::from_slice(&json.finish().unwrap()).unwrap()
}

#[test]
fn the_report_counts_what_the_events_say() {
    let (_, report) = make(&history(), "counts.xlsx");
    let [first, second] = [1, 2].map(|id| &report.destinations[&DestinationId(id)]);
    assert_eq!((first.loss.sent, second.loss.sent), (15_000, 15_000));
    assert!(second.loss.lost >= 100 && second.longest_loss_run >= 100);
    assert_eq!((first.slots.inconclusive, first.outages.len()), (1, 0));
    let outage = &second.outages[0];
    assert_eq!((second.outages.len(), outage.slots), (1, 10));
    assert_eq!(outage.from, head(2, 600).slot_at);
    assert_eq!((outage.last_good, outage.to), (Some(head(2, 599).slot_at), Some(head(2, 610).slot_at)));
    // The long day of the switch, and the rest of the next.
    assert_eq!(second.days.values().map(|day| day.answered + day.silent).collect::<Vec<_>>(), [1_500]);
    assert_eq!(report.paths.len(), 2);
}

#[test]
fn openpyxl_reads_every_raw_row_back() {
    let events = history();
    let (path, _) = make(&events, "raw.xlsx");
    let script = r#"
import sys, json, datetime, openpyxl
book = openpyxl.load_workbook(sys.argv[1])
assert book.sheetnames == ["Summary", "Statistics", "Success rate", "Response time", "Distribution", "Heatmap", "Outages", "Paths", "About", "Raw data"], book.sheetnames
for sheet in book:
    for row in sheet.iter_rows():
        for cell in row:
            assert cell.data_type != "f", (sheet.title, cell.coordinate, cell.value)
            assert cell.hyperlink is None
raw = book["Raw data"]
assert raw.freeze_panes == "A2"
rows = list(raw.iter_rows(values_only=True))
def plain(value):
    if isinstance(value, datetime.datetime):
        return "T" + value.isoformat(timespec="milliseconds")
    return value
print(json.dumps([dict(zip(rows[0], map(plain, row))) for row in rows[1:]]))
"#;
    let Some(printed) = python("openpyxl", script, &path) else { return };
    let read: Vec<BTreeMap<String, serde_json::Value>> = serde_json::from_str(&printed).unwrap();
    let expected = json_rows(&events);
    assert_eq!(read.len(), expected.len());
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    for (read, expected) in read.iter().zip(&expected) {
        for (name, value) in expected {
            if name == "timestamp" {
                let at: jiff::Timestamp = value.as_str().unwrap().parse().unwrap();
                let local = at.to_zoned_datetime(zone.clone()).strftime("T%Y-%m-%dT%H:%M:%S.%3f").to_string();
                assert_eq!(read[name], local);
            } else if let (Some(read), Some(expected)) = (read[name].as_f64(), value.as_f64()) {
                assert!((read - expected).abs() <= 1e-12 * expected.abs(), "{name}: {read} for {expected}");
            } else {
                assert_eq!(&read[name], value, "{name}");
            }
        }
    }
}

#[test]
fn pythons_csv_reads_every_row_back() {
    let events = history();
    let mut names = names();
    let styles = [
        CsvStyle::default(),
        CsvStyle { separator: b';', decimal_comma: true, byte_order_mark: true, guard_formulas: false },
    ];
    for (i, style) in styles.into_iter().enumerate() {
        let path = folder().join(format!("rows{i}.csv"));
        let file = std::io::BufWriter::new(std::fs::File::create(&path).unwrap());
        let mut csv = CsvWriter::new(file, columns_for(&METRICS), style).unwrap();
        for row in events.iter().flat_map(|event| rows_of(event, &METRICS)) {
            names.complete(&row);
            csv.write(&names.line(&row)).unwrap();
        }
        csv.finish().unwrap();
        let script = r#"
import sys, csv, json
with open(sys.argv[1], newline="", encoding="utf-8") as file:
    text = file.read()
separator = ";" if text.startswith("\ufeff") else ","
print(json.dumps(list(csv.DictReader(text.lstrip("\ufeff").splitlines(keepends=True), delimiter=separator))))
"#;
        let Some(printed) = python("csv", script, &path) else { return };
        let read: Vec<BTreeMap<String, String>> = serde_json::from_str(&printed).unwrap();
        let expected = json_rows(&events);
        assert_eq!(read.len(), expected.len());
        for (read, expected) in read.iter().zip(&expected) {
            for (name, value) in expected {
                let cell = &read[name];
                match value {
                    serde_json::Value::Null => assert_eq!(cell, "", "{name}"),
                    serde_json::Value::Number(number) => {
                        let number = number.as_f64().unwrap();
                        assert_eq!(
                            cell.replace(',', ".").parse::<f64>().unwrap().to_bits(),
                            number.to_bits(),
                            "{name}"
                        );
                    }
                    serde_json::Value::String(text) => {
                        let is_guarded = style.guard_formulas && text.starts_with('=');
                        let expected = if is_guarded { format!("'{text}") } else { text.clone() };
                        assert_eq!(*cell, expected, "{name}");
                    }
                    other => assert_eq!(*cell, other.to_string(), "{name}"),
                }
            }
        }
    }
}

#[test]
fn an_empty_range_makes_a_report_that_says_so() {
    let (path, report) = make(&[], "empty.xlsx");
    assert!(report.destinations.is_empty());
    let script = r#"
import sys, openpyxl
book = openpyxl.load_workbook(sys.argv[1])
print(" ".join(str(cell.value) for row in book["Summary"] for cell in row if cell.value))
"#;
    if let Some(printed) = python("openpyxl", script, &path) {
        assert!(printed.contains("Nothing was measured in this range."), "{printed}");
    }
}
