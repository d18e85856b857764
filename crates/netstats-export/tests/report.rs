//! A report over a day of made-up pings: what Python's openpyxl and csv read back is what the events say.

mod support;

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use netstats_event::{DestinationId, Envelope};
use netstats_export::{CsvStyle, CsvWriter, JsonStyle, JsonWriter, Report, XlsxReport, columns_for};
use netstats_series::rows_of;
use support::{METRICS, accounts, folder, head, history, names, python, report_head};

/// The report as an xlsx file, and what it says.
fn make(events: &[Envelope], name: &str) -> (std::path::PathBuf, Report) {
    let accounts = accounts(events, &report_head().range);
    let columns = columns_for(&METRICS);
    let mut xlsx = XlsxReport::new(report_head(), names(), METRICS.to_vec(), columns, &accounts).unwrap();
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
    assert_eq!((second.outages.len(), outage.checks, outage.counted_ms), (1, 10, 600_000));
    assert_eq!(second.account.as_ref().unwrap().down_ms, 600_000);
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
