//! The sheets of the probes that are not pings. A sheet is there only if something of its kind was measured.

use netstats_event::Metric;
use netstats_stats::bufferbloat_grade;
use rust_xlsxwriter::{Format, Worksheet, XlsxError};

use super::looks::{Looks, begin, line, serial, text};
use super::tables::{number, whole};
use crate::probes::{ProbeKey, ProbeReport};
use crate::report::Report;

/// What a column holds.
#[derive(Clone, Copy)]
enum Field {
    Name,
    Target,
    All,
    Answered,
    Silent,
    Inconclusive,
    Median(&'static str),
    P95(&'static str),
    Min(&'static str),
    Max(&'static str),
    Codes,
    Grade,
    CpuBound,
    Certificate,
}

struct OtherSheet {
    metric: Metric,
    name: &'static str,
    /// One measurement in words, for the verdict: one, several.
    words: [&'static str; 2],
    note: &'static str,
    columns: &'static [(&'static str, f64, Field)],
}

const SHEETS: [OtherSheet; 4] = [
    OtherSheet {
        metric: Metric::Dns,
        name: "DNS",
        words: ["DNS lookup", "DNS lookups"],
        note: "A lookup is answered if the response is what the job expects. Response codes by number (0: no error, 3: no such name).",
        columns: &[
            ("Destination", 28.0, Field::Name),
            ("Name and type", 30.0, Field::Target),
            ("Lookups", 10.0, Field::All),
            ("Answered", 10.0, Field::Answered),
            ("Failed", 10.0, Field::Silent),
            ("Inconclusive", 13.0, Field::Inconclusive),
            ("Median ms", 11.0, Field::Median("time")),
            ("p95 ms", 11.0, Field::P95("time")),
            ("Max ms", 11.0, Field::Max("time")),
            ("Response codes", 30.0, Field::Codes),
        ],
    },
    OtherSheet {
        metric: Metric::Http,
        name: "HTTP",
        words: ["HTTP request", "HTTP requests"],
        note: "The time is that of the whole request; its phases are medians. The certificate is the one seen last.",
        columns: &[
            ("Destination", 28.0, Field::Name),
            ("Requests", 10.0, Field::All),
            ("As expected", 10.0, Field::Answered),
            ("Failed", 10.0, Field::Silent),
            ("Inconclusive", 13.0, Field::Inconclusive),
            ("Median ms", 11.0, Field::Median("time")),
            ("p95 ms", 11.0, Field::P95("time")),
            ("Max ms", 11.0, Field::Max("time")),
            ("DNS ms", 10.0, Field::Median("dns")),
            ("Connect ms", 11.0, Field::Median("connect")),
            ("TLS ms", 10.0, Field::Median("tls")),
            ("First byte ms", 12.0, Field::Median("first byte")),
            ("Status codes", 24.0, Field::Codes),
            ("Certificate ends", 24.0, Field::Certificate),
        ],
    },
    OtherSheet {
        metric: Metric::Tcp,
        name: "TCP",
        words: ["TCP connection", "TCP connections"],
        note: "From the first packet to the connection. A refusal is not an answer.",
        columns: &[
            ("Destination", 28.0, Field::Name),
            ("Port", 10.0, Field::Target),
            ("Attempts", 10.0, Field::All),
            ("Connected", 10.0, Field::Answered),
            ("Failed", 10.0, Field::Silent),
            ("Inconclusive", 13.0, Field::Inconclusive),
            ("Median ms", 11.0, Field::Median("time")),
            ("p95 ms", 11.0, Field::P95("time")),
            ("Max ms", 11.0, Field::Max("time")),
            ("Outcomes", 30.0, Field::Codes),
        ],
    },
    OtherSheet {
        metric: Metric::Bandwidth,
        name: "Bandwidth",
        words: ["bandwidth test", "bandwidth tests"],
        note: "Payload that arrived, in Mbit/s (10^6). Where our own processor was the limit the figures are at least what they say.",
        columns: &[
            ("Destination", 28.0, Field::Name),
            ("Tests", 9.0, Field::All),
            ("Done", 9.0, Field::Answered),
            ("Failed", 9.0, Field::Silent),
            ("Inconclusive", 13.0, Field::Inconclusive),
            ("Down median", 12.0, Field::Median("down")),
            ("Down min", 11.0, Field::Min("down")),
            ("Down max", 11.0, Field::Max("down")),
            ("Up median", 12.0, Field::Median("up")),
            ("Up min", 11.0, Field::Min("up")),
            ("Up max", 11.0, Field::Max("up")),
            ("Idle round trip ms", 13.0, Field::Median("idle")),
            ("Loaded round trip ms", 13.0, Field::Median("loaded")),
            ("Added by load ms", 13.0, Field::Median("added")),
            ("Bufferbloat grade", 13.0, Field::Grade),
            ("Bound by our processor", 13.0, Field::CpuBound),
        ],
    },
];

/// Puts the sheets that have something to show in front of the sheet at `at`.
pub(super) fn insert(sheets: &mut Vec<Worksheet>, at: usize, report: &Report, looks: &Looks) -> Result<(), XlsxError> {
    let shown = SHEETS.iter().filter(|sheet| of(report, sheet.metric).next().is_some());
    for (at, about) in (at..).zip(shown) {
        let mut sheet = Worksheet::new();
        sheet.set_name(about.name)?;
        fill(&mut sheet, about, report, looks)?;
        sheets.insert(at, sheet);
    }
    Ok(())
}

fn of(report: &Report, metric: Metric) -> impl Iterator<Item = (&ProbeKey, &ProbeReport)> {
    report.probes.iter().filter(move |(key, _)| key.metric == metric)
}

fn fill(sheet: &mut Worksheet, about: &OtherSheet, report: &Report, looks: &Looks) -> Result<(), XlsxError> {
    let headers: Vec<(&str, f64)> = about.columns.iter().map(|(name, width, _)| (*name, *width)).collect();
    let first = begin(sheet, about.name, about.note, &headers, looks)?;
    for (row, (key, probe)) in (first..).zip(of(report, about.metric)) {
        for (column, (name, _, field)) in (0..).zip(about.columns) {
            let value = match *field {
                Field::Name => {
                    sheet.write_string(row, column, line(&probe.name))?;
                    continue;
                }
                Field::Target => {
                    sheet.write_string(row, column, line(&key.target))?;
                    continue;
                }
                Field::Codes => {
                    sheet.write_string(row, column, text(&probe.codes_in_words()))?;
                    continue;
                }
                Field::Grade => {
                    sheet.write_string(row, column, probe.median("added").map_or("", bufferbloat_grade))?;
                    continue;
                }
                Field::All => whole(probe.slots.answered + probe.slots.silent + probe.slots.inconclusive),
                Field::Answered => whole(probe.slots.answered),
                Field::Silent => whole(probe.slots.silent),
                Field::Inconclusive => whole(probe.slots.inconclusive),
                Field::CpuBound => whole(probe.cpu_bound),
                Field::Median(what) => probe.median(what),
                Field::P95(what) => probe.p95(what),
                Field::Min(what) => probe.min(what),
                Field::Max(what) => probe.max(what),
                Field::Certificate => probe.certificate_expires.map(|at| serial(&report.head.time_zone, at)),
            };
            number(sheet, row, column, value, look(*field, name, looks))?;
        }
    }
    Ok(())
}

/// Counts are whole, times have three decimals, rates two.
fn look<'a>(field: Field, name: &str, looks: &'a Looks) -> &'a Format {
    match field {
        Field::Certificate => &looks.time,
        Field::Median(_) | Field::P95(_) | Field::Min(_) | Field::Max(_) if name.ends_with(" ms") => &looks.millis,
        Field::Median(_) | Field::P95(_) | Field::Min(_) | Field::Max(_) => &looks.rate,
        _ => &looks.count,
    }
}

/// A sentence for each kind that was measured.
pub(super) fn verdict(report: &Report) -> Vec<String> {
    let sentence = |sheet: &OtherSheet| {
        let (answered, silent) = of(report, sheet.metric).fold((0, 0), |(answered, silent), (_, probe)| {
            (answered + probe.slots.answered, silent + probe.slots.silent)
        });
        let all: u64 = answered + silent;
        (all > 0).then(|| match silent {
            0 if all == 1 => format!("The {} succeeded.", sheet.words[0]),
            0 => format!("All {all} {} succeeded.", sheet.words[1]),
            _ => format!("Of {all} {}, {silent} failed.", sheet.words[usize::from(all != 1)]),
        })
    };
    SHEETS.iter().filter_map(sentence).collect()
}
