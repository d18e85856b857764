//! The sheets made of a table and a chart of it.

use std::collections::{BTreeMap, BTreeSet};

use netstats_event::DestinationId;
use rust_xlsxwriter::{
    Chart, ChartEmptyCells, ChartFormat, ChartLegendPosition, ChartLine, ChartSolidFill, ChartType, Color,
    ConditionalFormat3ColorScale, Worksheet, XlsxError,
};

use super::looks::{Looks, PALETTE, begin, line, serial, set_up_print, text};
use super::tables::number;
use crate::limits::{MAX_CHART_SERIES, MAX_COLUMN_DESTINATIONS, MAX_HEATMAPS};
use crate::report::{BIN_ENDS, DestinationReport, Report, bin_of};

/// Where a destination's line over time stands in the sheet "Response time".
pub(super) struct SeriesPlace {
    pub(super) first_row: u32,
    pub(super) last_row: u32,
    pub(super) median_column: u16,
}

const CHART_WIDTH: u32 = 1_100;
const CHART_HEIGHT: u32 = 420;

fn stroke(place: usize, dashed: bool) -> ChartFormat {
    let mut line = ChartLine::new();
    line.set_color(Color::RGB(PALETTE[place % PALETTE.len()])).set_width(if dashed { 0.75 } else { 1.75 });
    if dashed {
        line.set_dash_type(rust_xlsxwriter::ChartLineDashType::Dash);
    }
    let mut format = ChartFormat::new();
    format.set_line(&line);
    format
}

fn fill(place: usize) -> ChartFormat {
    let mut colour = ChartSolidFill::new();
    colour.set_color(Color::RGB(PALETTE[place % PALETTE.len()]));
    let mut format = ChartFormat::new();
    format.set_solid_fill(&colour);
    format
}

fn finish_chart(chart: &mut Chart, title: &str, x: &str, y: &str) {
    chart.title().set_name(title);
    chart.x_axis().set_name(x);
    chart.y_axis().set_name(y).set_min(0);
    chart.legend().set_position(ChartLegendPosition::Bottom);
    chart.show_empty_cells_as(ChartEmptyCells::Gaps);
    chart.set_width(CHART_WIDTH).set_height(CHART_HEIGHT).set_alt_text(title);
}

/// Median and p95 of each destination over time, with a line chart on a true time axis.
pub(super) fn response_time(
    sheet: &mut Worksheet,
    report: &Report,
    looks: &Looks,
) -> Result<BTreeMap<DestinationId, SeriesPlace>, XlsxError> {
    let minutes = report.bucket.as_secs() / 60;
    let note = format!(
        "Median and 95th percentile of all round trips in each {minutes} min, in ms. p95 from 20 round trips on. The chart shows the first {MAX_CHART_SERIES} destinations."
    );
    let with_rtts: Vec<(&DestinationId, &DestinationReport)> =
        report.destinations.iter().filter(|(_, destination)| !destination.course.is_empty()).collect();
    let names: Vec<String> = with_rtts
        .iter()
        .flat_map(|(_, destination)| [line(&destination.name), format!("{} p95", line(&destination.name))])
        .collect();
    let headers: Vec<(&str, f64)> =
        std::iter::once(("From", 24.0)).chain(names.iter().map(|name| (name.as_str(), 14.0))).collect();
    let first_row = begin(sheet, "Response time", &note, &headers, looks)?;
    let times: BTreeSet<u32> =
        with_rtts.iter().flat_map(|(_, destination)| destination.course.iter().map(|it| it.bucket)).collect();
    let mut rows = BTreeMap::new();
    for (row, bucket) in (first_row..).zip(times) {
        sheet.write_number_with_format(
            row,
            0,
            serial(&report.head.time_zone, report.bucket_start(bucket)),
            &looks.time,
        )?;
        rows.insert(bucket, row);
    }
    let last_row = first_row + u32::try_from(rows.len()).unwrap_or(0).saturating_sub(1);
    let mut places = BTreeMap::new();
    let mut chart = Chart::new(ChartType::ScatterStraight);
    for (place, (id, destination)) in with_rtts.iter().enumerate() {
        let median_column = u16::try_from(1 + 2 * place).unwrap_or(u16::MAX - 1);
        for times in &destination.course {
            let row = rows[&times.bucket];
            sheet.write_number_with_format(row, median_column, times.median_ms, &looks.millis)?;
            number(sheet, row, median_column + 1, times.p95_ms, &looks.millis)?;
        }
        if place < MAX_CHART_SERIES {
            for (offset, dashed) in [(0, false), (1, true)] {
                let column = median_column + offset;
                chart
                    .add_series()
                    .set_name(("Response time", first_row - 1, column))
                    .set_categories(("Response time", first_row, 0, last_row, 0))
                    .set_values(("Response time", first_row, column, last_row, column))
                    .set_format(&mut stroke(place, dashed));
            }
        }
        places.insert(**id, SeriesPlace { first_row, last_row, median_column });
    }
    if places.is_empty() {
        sheet.write_string(first_row, 0, "No round trip in this range.")?;
        return Ok(places);
    }
    finish_chart(&mut chart, "Response time", "", "ms");
    chart.x_axis().set_num_format("mm-dd hh:mm");
    let beside = u16::try_from(2 + 2 * with_rtts.len().min(3)).unwrap_or(8);
    sheet.insert_chart(first_row, beside, &chart)?;
    Ok(places)
}

/// Share of answered slots by local day, with a column chart.
pub(super) fn success_rate(sheet: &mut Worksheet, report: &Report, looks: &Looks) -> Result<(), XlsxError> {
    let note = format!(
        "Slots with at least one reply, in percent of the conclusive ones, by day of {}. The chart shows the first {MAX_CHART_SERIES} destinations.",
        report.head.time_zone_name
    );
    let pinged: Vec<_> =
        report.destinations.values().filter(|it| !it.days.is_empty()).take(MAX_COLUMN_DESTINATIONS).collect();
    let names: Vec<String> = pinged.iter().map(|destination| line(&destination.name)).collect();
    let headers: Vec<(&str, f64)> =
        std::iter::once(("Day", 14.0)).chain(names.iter().map(|name| (name.as_str(), 16.0))).collect();
    let first_row = begin(sheet, "Success rate", &note, &headers, looks)?;
    let days: BTreeSet<i32> = pinged.iter().flat_map(|d| d.days.keys().copied()).collect();
    if days.is_empty() {
        sheet.write_string(first_row, 0, "No slot in this range.")?;
        return Ok(());
    }
    let last_row = first_row + u32::try_from(days.len()).unwrap_or(1) - 1;
    let mut chart = Chart::new(ChartType::Column);
    for (row, day) in (first_row..).zip(&days) {
        sheet.write_number_with_format(row, 0, f64::from(*day) + 25_569.0, &looks.date)?;
    }
    for (place, destination) in pinged.iter().enumerate() {
        let column = u16::try_from(1 + place).unwrap_or(u16::MAX);
        for (row, day) in (first_row..).zip(&days) {
            if let Some(share) = destination.days.get(day).and_then(|slots| slots.answered_share()) {
                sheet.write_number_with_format(row, column, share * 100.0, &looks.percent)?;
            }
        }
        if place < MAX_CHART_SERIES {
            chart
                .add_series()
                .set_name(("Success rate", first_row - 1, column))
                .set_categories(("Success rate", first_row, 0, last_row, 0))
                .set_values(("Success rate", first_row, column, last_row, column))
                .set_format(&mut fill(place));
        }
    }
    finish_chart(&mut chart, "Success rate by day", "", "%");
    chart.x_axis().set_num_format("yyyy-mm-dd");
    chart.y_axis().set_max(100);
    sheet.insert_chart(first_row, u16::try_from(2 + names.len().min(6)).unwrap_or(8), &chart)?;
    Ok(())
}

/// How the round trips are spread: bins that grow by a fixed factor, so that 1 ms and 1 s both have detail.
pub(super) fn distribution(sheet: &mut Worksheet, report: &Report, looks: &Looks) -> Result<(), XlsxError> {
    let timed: Vec<_> =
        report.destinations.values().filter(|it| it.moments.n > 0).take(MAX_COLUMN_DESTINATIONS).collect();
    let names: Vec<String> = timed.iter().map(|destination| line(&destination.name)).collect();
    let headers: Vec<(&str, f64)> =
        std::iter::once(("Up to ms", 12.0)).chain(names.iter().map(|name| (name.as_str(), 16.0))).collect();
    let note = "Round trips by size: each line counts those below its limit and not below the one before.";
    let first_row = begin(sheet, "Distribution", note, &headers, looks)?;
    let ends_of = |destination: &&DestinationReport| destination.moments.extremes;
    let (smallest, largest) = (timed.iter().filter_map(ends_of).map(|it| it.0), timed.iter().filter_map(ends_of));
    let (Some(smallest), Some(largest)) = (smallest.min(), largest.map(|it| it.1).max()) else {
        sheet.write_string(first_row, 0, "No round trip in this range.")?;
        return Ok(());
    };
    let bins = bin_of(smallest)..=bin_of(largest);
    let ends = &BIN_ENDS[bins.clone()];
    let last_row = first_row + u32::try_from(ends.len()).unwrap_or(1) - 1;
    for (row, end) in (first_row..).zip(ends) {
        #[expect(clippy::cast_precision_loss, reason = "at most an hour in microseconds")]
        sheet.write_number_with_format(row, 0, *end as f64 / 1_000.0, &looks.millis)?;
    }
    let mut chart = Chart::new(ChartType::Column);
    for (place, destination) in timed.iter().enumerate() {
        let column = u16::try_from(1 + place).unwrap_or(u16::MAX);
        for (row, count) in (first_row..).zip(&destination.bins[bins.clone()]) {
            #[expect(clippy::cast_precision_loss, reason = "Excel has no larger integers")]
            sheet.write_number_with_format(row, column, *count as f64, &looks.count)?;
        }
        if place < MAX_CHART_SERIES {
            chart
                .add_series()
                .set_name(("Distribution", first_row - 1, column))
                .set_categories(("Distribution", first_row, 0, last_row, 0))
                .set_values(("Distribution", first_row, column, last_row, column))
                .set_format(&mut fill(place))
                .set_gap(20);
        }
    }
    finish_chart(&mut chart, "Distribution of round trips", "up to ms", "round trips");
    sheet.insert_chart(first_row, u16::try_from(2 + names.len().min(6)).unwrap_or(8), &chart)?;
    Ok(())
}

/// Median round trip by weekday and hour, one block a destination, in colours.
pub(super) fn heatmap(sheet: &mut Worksheet, report: &Report, looks: &Looks) -> Result<(), XlsxError> {
    const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    sheet.write_string_with_format(0, 0, "Heatmap", &looks.title)?;
    let note = format!(
        "Median of the bursts' medians in ms by weekday and hour of {}. At most {MAX_HEATMAPS} destinations.",
        report.head.time_zone_name
    );
    sheet.write_string_with_format(1, 0, text(&note), &looks.note)?;
    sheet.set_column_width(0, 16)?;
    for column in 1..=24 {
        sheet.set_column_width(column, 8)?;
    }
    set_up_print(sheet, None, 0.0)?;
    let mut row = 3;
    for destination in report.destinations.values().filter(|d| !d.week_ms.is_empty()) {
        sheet.write_string_with_format(row, 0, line(&destination.name), &looks.header)?;
        for hour in 0..24_u16 {
            sheet.write_string_with_format(row, 1 + hour, format!("{hour:02}:00"), &looks.header)?;
        }
        for (day, name) in DAYS.iter().enumerate() {
            let at = row + 1 + u32::try_from(day).unwrap_or(0);
            sheet.write_string(at, 0, *name)?;
            for hour in 0..24 {
                if let Some(median) = destination.week_ms.get(&(day * 24 + hour)) {
                    let column = u16::try_from(1 + hour).unwrap_or(24);
                    sheet.write_number_with_format(at, column, *median, &looks.millis)?;
                }
            }
        }
        let scale = ConditionalFormat3ColorScale::new()
            .set_minimum_color(Color::RGB(0xFF_FF_FF))
            .set_midpoint_color(Color::RGB(0xFD_DB_A2))
            .set_maximum_color(Color::RGB(0xD5_5E_00));
        sheet.add_conditional_format(row + 1, 1, row + 7, 24, &scale)?;
        row += 10;
    }
    if row == 3 {
        sheet.write_string(row, 0, "No round trip in this range.")?;
    }
    Ok(())
}
