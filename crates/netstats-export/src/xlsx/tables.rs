//! The sheets made of tables and sentences.

use std::collections::BTreeMap;

use netstats_event::{DestinationId, Timestamp};
use netstats_stats::{Loss, mos, percentile, quantile, r_factor, summarise};
use rust_xlsxwriter::{
    Color, ConditionalFormatCell, ConditionalFormatCellRule, Format, Sparkline, Worksheet, XlsxError,
};

use super::charts::SeriesPlace;
use super::looks::{Looks, PALETTE, begin, line, serial, set_up_print, text};
use crate::names::Names;
use crate::report::{DestinationReport, Report};

/// One line of figures, computed once for the summary and the statistics.
struct Figures {
    n: usize,
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
        let sorted = destination.sorted_ms();
        let summary = summarise(&sorted);
        let field = |get: fn(&netstats_stats::Summary) -> f64| summary.as_ref().map(get);
        let interval = destination.loss.interval(0.95);
        let loss = destination.loss.ratio();
        let median = quantile(&sorted, 0.5);
        let jitter = destination.jitter_ms();
        let first = sorted.first().copied();
        Self {
            n: sorted.len(),
            min: field(|s| s.min),
            mean: field(|s| s.mean),
            median,
            p95: percentile(&sorted, 0.95).ok(),
            p99: percentile(&sorted, 0.99).ok(),
            max: field(|s| s.max),
            stddev: summary.as_ref().and_then(|s| s.stddev),
            pdv_p95: percentile(&sorted, 0.95).ok().zip(first).map(|(p95, min)| p95 - min),
            jitter,
            smoothed: destination.smoothed_jitter_ms(),
            loss: loss.map(|ratio| ratio * 100.0),
            loss_low: interval.as_ref().map(|interval| interval.low * 100.0),
            loss_high: interval.as_ref().map(|interval| interval.high * 100.0),
            mos: median
                .zip(jitter)
                .zip(loss)
                .map(|((latency, jitter), loss)| mos(r_factor(latency / 2.0, jitter, loss))),
            availability: destination.slots.availability().map(|share| share * 100.0),
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

/// By which method availability is accounted for here.
const METHOD: &str = "Availability here counts slots: those with at least one reply, of those that said anything. Maintenance counts like any other time.";

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
    sheet.write_string_with_format(row, 0, METHOD, &looks.note)?;
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
        number(sheet, row, 2, whole(destination.loss.sent), &looks.count)?;
        number(sheet, row, 3, figures.loss, &looks.percent)?;
        number(sheet, row, 4, figures.median, &looks.millis)?;
        number(sheet, row, 5, figures.p95, &looks.millis)?;
        number(sheet, row, 6, figures.jitter, &looks.millis)?;
        number(sheet, row, 7, figures.availability, &looks.percent)?;
        number(sheet, row, 8, whole(destination.outages.len() as u64), &looks.count)?;
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
    if pinged.is_empty() {
        let mut sentences = vec!["No pings were sent in this range.".to_owned()];
        sentences.extend(super::others::verdict(report));
        return sentences;
    }
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
    let outages: usize = pinged.iter().map(|d| d.outages.len()).sum();
    sentences.push(match outages {
        0 => "Every destination answered in every slot that said anything.".to_owned(),
        1 => "There was one outage; see the sheet Outages.".to_owned(),
        n => format!("There were {n} outages; see the sheet Outages."),
    });
    let inconclusive: u64 = pinged.iter().map(|d| d.slots.inconclusive).sum();
    if inconclusive > 0 {
        sentences.push(format!(
            "{inconclusive} slots say nothing about a destination, because our own side failed; they count for nothing."
        ));
    }
    sentences.extend(super::others::verdict(report));
    sentences
}

/// A line of figures for each destination.
pub(super) fn statistics(sheet: &mut Worksheet, report: &Report, looks: &Looks) -> Result<(), XlsxError> {
    const HEADERS: [(&str, f64); 24] = [
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
    ];
    let note =
        "Percentiles need 20 (p95) or 100 (p99) round trips; an empty cell is undefined. Definitions: sheet About.";
    let first = begin(sheet, "Statistics", note, &HEADERS, looks)?;
    for (row, destination) in (first..).zip(report.destinations.values()) {
        let figures = Figures::of(destination);
        let (slots, loss) = (destination.slots, destination.loss);
        sheet.write_string(row, 0, line(&destination.name))?;
        let values = [
            (whole(loss.sent), &looks.count),
            (whole(loss.lost), &looks.count),
            (whole(destination.late), &looks.count),
            (figures.loss, &looks.percent),
            (figures.loss_low, &looks.percent),
            (figures.loss_high, &looks.percent),
            (whole(destination.longest_loss_run), &looks.count),
            (whole(figures.n as u64), &looks.count),
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
            (figures.availability, &looks.percent),
        ];
        for (column, (value, format)) in (1..).zip(values) {
            number(sheet, row, column, value, format)?;
        }
    }
    Ok(())
}

/// Spans without an answer.
pub(super) fn outages(sheet: &mut Worksheet, report: &Report, looks: &Looks) -> Result<(), XlsxError> {
    const HEADERS: [(&str, f64); 7] = [
        ("Destination", 28.0),
        ("Last answer before", 24.0),
        ("First slot without an answer", 24.0),
        ("First answer again", 24.0),
        ("Minutes without an answer", 14.0),
        ("Slots without an answer", 12.0),
        ("How it began", 16.0),
    ];
    let note = "An outage lasts from the first slot without any reply to the next slot with one. Times: see About.";
    let mut row = begin(sheet, "Outages", note, &HEADERS, looks)?;
    let zone = &report.head.time_zone;
    for destination in report.destinations.values() {
        for outage in &destination.outages {
            sheet.write_string(row, 0, line(&destination.name))?;
            let ended = outage.to.unwrap_or(report.head.range.end);
            number(sheet, row, 1, outage.last_good.map(|at| serial(zone, at)), &looks.time)?;
            number(sheet, row, 2, Some(serial(zone, outage.from)), &looks.time)?;
            match outage.to {
                Some(to) => number(sheet, row, 3, Some(serial(zone, to)), &looks.time)?,
                None => {
                    sheet.write_string(row, 3, "not in this range")?;
                }
            }
            number(sheet, row, 4, Some(ended.since(outage.from).as_secs_f64() / 60.0), &looks.rate)?;
            number(sheet, row, 5, whole(outage.slots), &looks.count)?;
            sheet.write_string(row, 6, outage.cause.name())?;
            row += 1;
        }
    }
    if row == 4 {
        sheet.write_string(row, 0, "No outage in this range.")?;
    }
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
        row += 1;
    }
    if row == 4 {
        sheet.write_string(row, 0, "No route was traced in this range.")?;
    }
    Ok(())
}

/// What the words mean and what the report rests on.
pub(super) fn about(sheet: &mut Worksheet, report: &Report, looks: &Looks) -> Result<(), XlsxError> {
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
        ("Availability", "Slots with at least one reply, of those with a conclusive outcome. Slots that failed on our side, or while our own network was down, count for nothing.".to_owned()),
        ("Outage", "From the first slot without any reply to the next slot with one; inconclusive slots neither begin nor end it.".to_owned()),
    ];
    sheet.write_string_with_format(0, 0, "About this report", &looks.title)?;
    sheet.set_column_width(0, 24)?;
    sheet.set_column_width(1, 110)?;
    set_up_print(sheet, None, 0.0)?;
    for (row, (label, fact)) in (2..).zip(facts) {
        sheet.write_string_with_format(row, 0, label, &looks.label)?;
        sheet.write_string_with_format(row, 1, text(&fact), &looks.wrapped)?;
    }
    Ok(())
}
