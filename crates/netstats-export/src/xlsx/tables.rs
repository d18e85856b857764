//! The sheets made of tables and sentences.

use std::collections::BTreeMap;

use netstats_event::{DestinationId, Timestamp};
use netstats_stats::{Accounting, Blindness, Loss, mos, r_factor};
use rust_xlsxwriter::{
    Color, ConditionalFormatCell, ConditionalFormatCellRule, Format, Sparkline, Worksheet, XlsxError,
};

use super::charts::SeriesPlace;
use super::looks::{Looks, PALETTE, begin, fit_height, line, serial, set_up_print, text};
use crate::names::Names;
use crate::report::{DestinationReport, Outage, Report};

/// One line of figures, computed once for the summary and the statistics.
struct Figures {
    n: u64,
    min: Option<f64>,
    mean: Option<f64>,
    median: Option<f64>,
    p95: Option<f64>,
    p99: Option<f64>,
    max: Option<f64>,
    stddev: Option<f64>,
    pdv_p95: Option<f64>,
    jitter: Option<f64>,
    smoothed: Option<f64>,
    loss: Option<f64>,
    loss_low: Option<f64>,
    loss_high: Option<f64>,
    mos: Option<f64>,
    availability: Option<f64>,
}

impl Figures {
    fn of(destination: &DestinationReport) -> Self {
        let moments = &destination.moments;
        let millis = |micros: f64| micros / 1_000.0;
        let interval = destination.loss.interval(0.95);
        let loss = destination.loss.ratio();
        let (median, p95) = (destination.median_ms(), destination.p95_ms());
        let jitter = destination.jitter_ms();
        let min = moments.extremes.map(|(min, _)| millis(min.into()));
        Self {
            n: moments.n,
            min,
            mean: moments.mean().map(millis),
            median,
            p95,
            p99: destination.p99_ms(),
            max: moments.extremes.map(|(_, max)| millis(max.into())),
            stddev: moments.stddev().map(millis),
            pdv_p95: p95.zip(min).map(|(p95, min)| p95 - min),
            jitter,
            smoothed: destination.smoothed_jitter_ms(),
            loss: loss.map(|ratio| ratio * 100.0),
            loss_low: interval.as_ref().map(|interval| interval.low * 100.0),
            loss_high: interval.as_ref().map(|interval| interval.high * 100.0),
            mos: median
                .zip(jitter)
                .zip(loss)
                .map(|((latency, jitter), loss)| mos(r_factor(latency / 2.0, jitter, loss))),
            availability: destination.account.as_ref().and_then(|it| it.ratio()).map(|share| share * 100.0),
        }
    }
}

/// Writes a number, or leaves the cell empty.
pub(super) fn number(
    sheet: &mut Worksheet,
    row: u32,
    column: u16,
    value: Option<f64>,
    format: &Format,
) -> Result<(), XlsxError> {
    if let Some(value) = value.filter(|value| value.is_finite()) {
        sheet.write_number_with_format(row, column, value, format)?;
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "Excel has no larger integers")]
pub(super) const fn whole(count: u64) -> Option<f64> {
    Some(count as f64)
}

/// `2026-11-24 03:42 to 2026-11-25 03:42 (Europe/Berlin)`.
fn range_in_words(report: &Report) -> String {
    let head = &report.head;
    let minute = |at: Timestamp| {
        jiff::Timestamp::from_millisecond(at.as_millis()).map_or_else(
            |_| String::new(),
            |at| at.to_zoned_datetime(head.time_zone.clone()).strftime("%Y-%m-%d %H:%M").to_string(),
        )
    };
    format!("{} to {} ({})", minute(head.range.start), minute(head.range.end), head.time_zone_name)
}

/// By which method availability is accounted for.
fn method_in_words(method: &Accounting) -> String {
    let mut words = "Availability is the share of the time accounted for in which a destination answered. ".to_owned();
    words += &match method.retries {
        0 => "Every failed check counts.".to_owned(),
        1 => "A failed check counts only if the next one fails too.".to_owned(),
        n => format!("A failed check counts only if the {n} after it fail too."),
    };
    if method.grace_ms > 0 {
        words += &format!(" Outages shorter than {} s do not count.", method.grace_ms as f64 / 1_000.0);
    }
    words += match method.is_maintenance_excluded {
        true => " Maintenance is left out.",
        false => " Maintenance counts like any other time.",
    };
    words += match method.blindness {
        Blindness::Excluded => " Time in which our own side could not measure is left out.",
        Blindness::Up => " Time in which our own side could not measure counts as answered.",
        Blindness::Down => " Time in which our own side could not measure counts as not answered.",
    };
    words
}

/// What, when, the verdict, and a line for each destination.
pub(super) fn summary(
    sheet: &mut Worksheet,
    report: &Report,
    series: &BTreeMap<DestinationId, SeriesPlace>,
    looks: &Looks,
) -> Result<(), XlsxError> {
    const HEADERS: [(&str, f64); 10] = [
        ("Destination", 28.0),
        ("Host", 24.0),
        ("Pings sent", 12.0),
        ("Loss %", 9.0),
        ("Median ms", 11.0),
        ("p95 ms", 11.0),
        ("Jitter ms", 11.0),
        ("Availability %", 13.0),
        ("Outages", 9.0),
        ("Median over time", 26.0),
    ];
    sheet.write_string_with_format(0, 0, line(&report.head.title), &looks.title)?;
    sheet.write_string_with_format(
        1,
        0,
        line(&format!("{}. {}", range_in_words(report), report.head.scope)),
        &looks.note,
    )?;
    set_up_print(sheet, None, 0.0)?;
    let mut row = 3;
    for sentence in verdict(report) {
        sheet.write_string(row, 0, line(&sentence))?;
        row += 1;
    }
    sheet.write_string_with_format(row, 0, method_in_words(&report.head.accounting), &looks.note)?;
    row += 2;
    for (column, (name, width)) in (0..).zip(HEADERS) {
        sheet.write_string_with_format(row, column, name, &looks.header)?;
        sheet.set_column_width(column, width)?;
    }
    let first = row + 1;
    for (place, (id, destination)) in report.destinations.iter().enumerate() {
        row += 1;
        let figures = Figures::of(destination);
        sheet.write_string(row, 0, line(&destination.name))?;
        sheet.write_string(row, 1, line(&destination.host))?;
        number(sheet, row, 2, whole(destination.loss.sent).filter(|sent| *sent > 0.0), &looks.count)?;
        number(sheet, row, 3, figures.loss, &looks.percent)?;
        number(sheet, row, 4, figures.median, &looks.millis)?;
        number(sheet, row, 5, figures.p95, &looks.millis)?;
        number(sheet, row, 6, figures.jitter, &looks.millis)?;
        number(sheet, row, 7, figures.availability, &looks.share)?;
        let outages = destination.account.as_ref().and_then(|account| whole(account.outages.len() as u64));
        number(sheet, row, 8, outages, &looks.count)?;
        if let Some(at) = series.get(id).filter(|at| at.first_row <= at.last_row) {
            let sparkline = Sparkline::new()
                .set_range(("Response time", at.first_row, at.median_column, at.last_row, at.median_column))
                .set_sparkline_color(Color::RGB(PALETTE[place % PALETTE.len()]));
            sheet.add_sparkline(row, 9, &sparkline)?;
        }
    }
    if row >= first {
        colour_scale(sheet, first, row)?;
    }
    Ok(())
}

/// Loss and availability in colours, each with a limit that people use: loss from 0.1 % and 1 %, availability under
/// 99.9 % and 99 %.
fn colour_scale(sheet: &mut Worksheet, first: u32, last: u32) -> Result<(), XlsxError> {
    let bad = Format::new().set_background_color(Color::RGB(0xF8_CB_AD)).set_font_color(Color::RGB(0x84_22_00));
    let fair = Format::new().set_background_color(Color::RGB(0xFF_EB_9C)).set_font_color(Color::RGB(0x66_4C_00));
    let rules = [
        (3, ConditionalFormatCellRule::GreaterThanOrEqualTo(1.0), &bad),
        (3, ConditionalFormatCellRule::GreaterThanOrEqualTo(0.1), &fair),
        (7, ConditionalFormatCellRule::LessThan(99.0), &bad),
        (7, ConditionalFormatCellRule::LessThan(99.9), &fair),
    ];
    for (column, rule, format) in rules {
        let condition = ConditionalFormatCell::new().set_rule(rule).set_format(format).set_stop_if_true(true);
        sheet.add_conditional_format(first, column, last, column, &condition)?;
    }
    Ok(())
}

/// Sentences that a manager can quote, each with the counts that carry it.
fn verdict(report: &Report) -> Vec<String> {
    if report.rows.is_empty() {
        return vec!["Nothing was measured in this range.".to_owned()];
    }
    let pinged: Vec<_> = report.destinations.values().filter(|d| d.loss.sent > 0).collect();
    let mut sentences = Vec::new();
    if pinged.is_empty() {
        sentences.push("No pings were sent in this range.".to_owned());
    } else {
        sentences.extend(losses(&pinged));
    }
    sentences.extend(availability(report));
    let inconclusive: u64 = pinged.iter().map(|d| d.slots.inconclusive).sum();
    if inconclusive > 0 {
        sentences.push(format!(
            "{inconclusive} slots say nothing about a destination, because our own side failed; they count for nothing."
        ));
    }
    sentences.extend(super::others::verdict(report));
    sentences
}

/// What availability comes to, and whose is the least.
fn availability(report: &Report) -> Vec<String> {
    let accounts = || report.destinations.values().filter_map(|it| Some((it, it.account.as_ref()?)));
    let shares = accounts().filter_map(|(destination, account)| Some((destination, account, account.ratio()?)));
    let least = shares.min_by(|a, b| a.2.total_cmp(&b.2));
    let Some((destination, account, share)) = least else { return Vec::new() };
    let minutes = |ms: i64| ms as f64 / 60_000.0;
    let outages: usize = accounts().map(|(_, account)| account.outages.len()).sum();
    vec![
        match account.down_ms {
            0 => "Every destination was available for all of the time accounted for.".to_owned(),
            down => format!(
                "The least available was {}: {:.3} %, {:.1} of {:.1} minutes accounted for without an answer.",
                line(&destination.name),
                share * 100.0,
                minutes(down),
                minutes(account.up_ms + down),
            ),
        },
        match outages {
            0 => "There was no outage.".to_owned(),
            1 => "There was one outage; see the sheet Outages.".to_owned(),
            n => format!("There were {n} outages; see the sheet Outages."),
        },
    ]
}

/// How much was lost, and where the most.
fn losses(pinged: &[&DestinationReport]) -> Vec<String> {
    let all = pinged.iter().fold(Loss::default(), |sum, destination| sum.plus(destination.loss));
    let mut sentences = Vec::new();
    if let (Some(ratio), Some(interval)) = (all.ratio(), all.interval(0.95)) {
        sentences.push(format!(
            "Of {} pings to {} destination{}, {} were lost: {:.3} % (95 % interval {:.3} to {:.3} %).",
            all.sent,
            pinged.len(),
            if pinged.len() == 1 { "" } else { "s" },
            all.lost,
            ratio * 100.0,
            interval.low * 100.0,
            interval.high * 100.0,
        ));
    }
    let worst = pinged
        .iter()
        .filter(|d| d.loss.lost > 0)
        .max_by(|a, b| a.loss.ratio().unwrap_or(0.0).total_cmp(&b.loss.ratio().unwrap_or(0.0)));
    sentences.push(worst.map_or_else(
        || "No destination lost a ping.".to_owned(),
        |worst| {
            format!(
                "The most was lost to {}: {} of {} ({:.3} %), {} in a row at the worst.",
                worst.name,
                worst.loss.lost,
                worst.loss.sent,
                worst.loss.ratio().unwrap_or(0.0) * 100.0,
                worst.longest_loss_run,
            )
        },
    ));
    sentences
}

/// A line of figures for each destination.
pub(super) fn statistics(sheet: &mut Worksheet, report: &Report, looks: &Looks) -> Result<(), XlsxError> {
    const HEADERS: [(&str, f64); 29] = [
        ("Destination", 28.0),
        ("Pings sent", 11.0),
        ("Lost", 9.0),
        ("Late", 9.0),
        ("Loss %", 9.0),
        ("Loss % from (95 %)", 11.0),
        ("Loss % to (95 %)", 11.0),
        ("Longest loss run", 10.0),
        ("Round trips", 11.0),
        ("Min ms", 10.0),
        ("Mean ms", 10.0),
        ("Median ms", 10.0),
        ("p95 ms", 10.0),
        ("p99 ms", 10.0),
        ("Max ms", 10.0),
        ("Std dev ms", 10.0),
        ("Jitter ms (mean |IPDV|)", 13.0),
        ("PDV p95 ms", 10.0),
        ("Jitter ms (RFC 3550)", 12.0),
        ("MOS (estimated)", 11.0),
        ("Slots answered", 10.0),
        ("Slots silent", 10.0),
        ("Slots inconclusive", 12.0),
        ("Availability %", 12.0),
        ("Available min", 12.0),
        ("Not available min", 12.0),
        ("Not known min", 12.0),
        ("Maintenance left out min", 14.0),
        ("Not to be measured min", 14.0),
    ];
    let note =
        "Percentiles need 20 (p95) or 100 (p99) round trips; an empty cell is undefined. Definitions: sheet About.";
    let first = begin(sheet, "Statistics", note, &HEADERS, looks)?;
    for (row, destination) in (first..).zip(report.destinations.values()) {
        let figures = Figures::of(destination);
        let (slots, loss) = (destination.slots, destination.loss);
        let account = destination.account.as_ref();
        let minutes = |ms: fn(&netstats_stats::Availability) -> i64| account.map(|it| ms(it) as f64 / 60_000.0);
        sheet.write_string(row, 0, line(&destination.name))?;
        let values = [
            (whole(loss.sent), &looks.count),
            (whole(loss.lost), &looks.count),
            (whole(destination.late), &looks.count),
            (figures.loss, &looks.percent),
            (figures.loss_low, &looks.percent),
            (figures.loss_high, &looks.percent),
            (whole(destination.longest_loss_run), &looks.count),
            (whole(figures.n), &looks.count),
            (figures.min, &looks.millis),
            (figures.mean, &looks.millis),
            (figures.median, &looks.millis),
            (figures.p95, &looks.millis),
            (figures.p99, &looks.millis),
            (figures.max, &looks.millis),
            (figures.stddev, &looks.millis),
            (figures.jitter, &looks.millis),
            (figures.pdv_p95, &looks.millis),
            (figures.smoothed, &looks.millis),
            (figures.mos, &looks.score),
            (whole(slots.answered), &looks.count),
            (whole(slots.silent), &looks.count),
            (whole(slots.inconclusive), &looks.count),
            (figures.availability, &looks.share),
            (minutes(|it| it.up_ms), &looks.rate),
            (minutes(|it| it.down_ms), &looks.rate),
            (minutes(|it| it.unknown_ms), &looks.rate),
            (minutes(|it| it.maintenance_ms), &looks.rate),
            (minutes(|it| it.unmeasured_ms), &looks.rate),
        ];
        for (column, (value, format)) in (1..).zip(values) {
            number(sheet, row, column, value, format)?;
        }
    }
    Ok(())
}

/// Spans without an answer.
pub(super) fn outages(sheet: &mut Worksheet, report: &Report, looks: &Looks) -> Result<(), XlsxError> {
    const HEADERS: [(&str, f64); 9] = [
        ("Destination", 28.0),
        ("Last answer before", 24.0),
        ("First check without an answer", 30.0),
        ("First answer again", 24.0),
        ("Minutes", 11.0),
        ("Minutes that count", 11.0),
        ("Minutes in maintenance", 15.0),
        ("Checks without an answer", 20.0),
        ("How it began", 16.0),
    ];
    let note = "From the first check without an answer to the next answer, by the method of the summary. An outage that was all in maintenance left out is not here.";
    let mut row = begin(sheet, "Outages", note, &HEADERS, looks)?;
    let first = row;
    for destination in report.destinations.values() {
        for outage in &destination.outages {
            sheet.write_string(row, 0, line(&destination.name))?;
            outage_line(sheet, row, outage, &report.head.time_zone, looks)?;
            row += 1;
        }
    }
    if row == first {
        sheet.write_string(row, 0, "No outage in this range.")?;
    }
    Ok(())
}

fn outage_line(
    sheet: &mut Worksheet,
    row: u32,
    outage: &Outage,
    zone: &jiff::tz::TimeZone,
    looks: &Looks,
) -> Result<(), XlsxError> {
    number(sheet, row, 1, outage.last_good.map(|at| serial(zone, at)), &looks.time)?;
    match outage.is_cut {
        true => sheet.write_string(row, 2, "before this range")?,
        false => sheet.write_number_with_format(row, 2, serial(zone, outage.from), &looks.time)?,
    };
    match outage.to {
        Some(to) => sheet.write_number_with_format(row, 3, serial(zone, to), &looks.time)?,
        None => sheet.write_string(row, 3, "not in this range")?,
    };
    let minutes = |ms: f64| Some(ms / 60_000.0);
    let length = outage.known_to.since(outage.from).as_secs_f64() / 60.0;
    number(sheet, row, 4, Some(length), &looks.rate)?;
    number(sheet, row, 5, minutes(outage.counted_ms as f64), &looks.rate)?;
    number(sheet, row, 6, minutes(outage.maintenance_ms as f64), &looks.rate)?;
    number(sheet, row, 7, whole(outage.checks), &looks.count)?;
    sheet.write_string(row, 8, outage.cause.map_or("", netstats_series::RowStatus::name))?;
    Ok(())
}

/// Routes as they were.
pub(super) fn paths(sheet: &mut Worksheet, report: &Report, names: &Names, looks: &Looks) -> Result<(), XlsxError> {
    const HEADERS: [(&str, f64); 7] = [
        ("Destination", 28.0),
        ("First seen", 24.0),
        ("Last seen", 24.0),
        ("Times seen", 10.0),
        ("Hops", 8.0),
        ("Path hash", 20.0),
        ("Hops (* is silent)", 90.0),
    ];
    let note = "A new line each time the hops that answered changed.";
    let mut row = begin(sheet, "Paths", note, &HEADERS, looks)?;
    let zone = &report.head.time_zone;
    for path in &report.paths {
        sheet.write_string(row, 0, line(names.destination(path.destination).0))?;
        number(sheet, row, 1, Some(serial(zone, path.first)), &looks.time)?;
        number(sheet, row, 2, Some(serial(zone, path.last)), &looks.time)?;
        number(sheet, row, 3, whole(path.seen), &looks.count)?;
        number(sheet, row, 4, whole(u64::from(path.hop_count)), &looks.count)?;
        sheet.write_string(row, 5, format!("{:016x}", path.path_hash))?;
        sheet.write_string_with_format(row, 6, text(&path.hops), &looks.wrapped)?;
        fit_height(sheet, row, &path.hops, 90.0)?;
        row += 1;
    }
    if row == 4 {
        sheet.write_string(row, 0, "No route was traced in this range.")?;
    }
    Ok(())
}

/// What the words mean and what the report rests on.
pub(super) fn about(sheet: &mut Worksheet, report: &Report, looks: &Looks) -> Result<(), XlsxError> {
    const ABOUT_CHARS: f64 = 110.0;
    let head = &report.head;
    let rows: u64 = report.rows.values().sum();
    let facts = [
        ("Range", range_in_words(report)),
        ("Scope", head.scope.clone()),
        ("Times", format!("Clock times of {}, daylight saving included.", head.time_zone_name)),
        ("Made by", head.generator.clone()),
        ("Rests on", format!("Every event up to log position {} with chain {}.", head.position, head.chain)),
        ("Raw rows", rows.to_string()),
        ("Round trip", "ICMP echo, from sending to the matching reply (RFC 2681). A lost packet has no round trip: it is an empty cell, never 0 and never the timeout.".to_owned()),
        ("Loss", "Lost packets of those that left this machine (RFC 7680, RFC 6673). Late answers are counted apart and are not lost. The interval is Wilson's at 95 %.".to_owned()),
        ("Jitter (mean |IPDV|)", "Mean absolute difference of neighbouring round trips (RFC 3393), inside bursts, never across a lost packet.".to_owned()),
        ("PDV", "Round trip minus the smallest of the range (RFC 5481).".to_owned()),
        ("Jitter (RFC 3550)", "J += (|D| - J) / 16 over round trips: an estimate, since the RFC means one-way times.".to_owned()),
        ("MOS", "Estimated by a simplified E-model (ITU-T G.107) from half the median round trip, jitter and loss. Not comparable with other tools' MOS.".to_owned()),
        ("Percentiles", "By linear interpolation (type 7, as in Excel's PERCENTILE.INC).".to_owned()),
        ("Availability", method_in_words(&head.accounting)),
        ("Outage", "From the first check without an answer that counts to the next answer, over times in between in which our own side could not measure. Checks are pings, DNS, TCP and HTTP; if several look at a destination, one answer is enough.".to_owned()),
        ("Slot", "A planned measurement. Answered: something came back. Silent: nothing did. Inconclusive: our own side failed, or our own network was down.".to_owned()),
    ];
    sheet.write_string_with_format(0, 0, "About this report", &looks.title)?;
    sheet.set_column_width(0, 24)?;
    sheet.set_column_width(1, ABOUT_CHARS)?;
    set_up_print(sheet, None, 0.0)?;
    for (row, (label, fact)) in (2..).zip(facts) {
        sheet.write_string_with_format(row, 0, label, &looks.label)?;
        sheet.write_string_with_format(row, 1, text(&fact), &looks.wrapped)?;
        fit_height(sheet, row, &fact, ABOUT_CHARS)?;
    }
    Ok(())
}
