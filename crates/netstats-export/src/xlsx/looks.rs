//! How cells and sheets look: one palette, one set of number formats, one print set-up.

use jiff::tz::TimeZone;
use netstats_event::Timestamp;
use rust_xlsxwriter::{Color, Format, FormatAlign, FormatBorder, Worksheet, XlsxError};

use crate::column::Look;
use crate::limits::MAX_CELL_CHARS;
use crate::report::offset_seconds;

/// Colours that stay apart for colour-blind eyes (Okabe and Ito), in the order in which lines take them.
pub(super) const PALETTE: [u32; 8] =
    [0x00_72_B2, 0xD5_5E_00, 0x00_9E_73, 0xCC_79_A7, 0xE6_9F_00, 0x56_B4_E9, 0x66_66_66, 0xA6_7C_00];

/// The formats.
pub(super) struct Looks {
    pub(super) title: Format,
    pub(super) note: Format,
    pub(super) header: Format,
    pub(super) text: Format,
    pub(super) wrapped: Format,
    pub(super) label: Format,
    pub(super) count: Format,
    pub(super) millis: Format,
    pub(super) percent: Format,
    pub(super) share: Format,
    pub(super) rate: Format,
    pub(super) score: Format,
    pub(super) time: Format,
    pub(super) date: Format,
}

impl Looks {
    pub(super) fn new() -> Self {
        let number = |format: &str| Format::new().set_num_format(format);
        Self {
            title: Format::new().set_bold().set_font_size(16).set_font_color(Color::RGB(0x1F_3A_5F)),
            note: Format::new().set_italic().set_font_color(Color::RGB(0x59_59_59)),
            header: Format::new()
                .set_bold()
                .set_font_color(Color::White)
                .set_background_color(Color::RGB(0x1F_3A_5F))
                .set_border_bottom(FormatBorder::Thin)
                .set_align(FormatAlign::VerticalCenter)
                .set_text_wrap(),
            text: Format::new(),
            wrapped: Format::new().set_text_wrap().set_align(FormatAlign::Top),
            label: Format::new().set_bold().set_align(FormatAlign::Top),
            count: number("#,##0"),
            millis: number("0.000"),
            percent: number("0.00"),
            share: number("0.000"),
            rate: number("0.00"),
            score: number("0.0"),
            time: number("yyyy-mm-dd hh:mm:ss.000"),
            date: number("yyyy-mm-dd"),
        }
    }

    pub(super) const fn of(&self, look: Look) -> &Format {
        match look {
            Look::Text | Look::Truth => &self.text,
            Look::Count => &self.count,
            Look::Millis => &self.millis,
            Look::Percent => &self.percent,
            Look::Rate => &self.rate,
            Look::Time => &self.time,
        }
    }
}

/// Landscape, as many pages wide as it takes to be read, repeated header row and first column, page numbers. `width` is
/// that of the columns, in characters.
pub(super) fn set_up_print(sheet: &mut Worksheet, header_row: Option<u32>, width: f64) -> Result<(), XlsxError> {
    const CHARS_OF_A_PAGE: f64 = 190.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded before")]
    let pages = (width / CHARS_OF_A_PAGE).ceil().clamp(1.0, 40.0) as u16;
    sheet.set_landscape().set_paper_size(9).set_print_fit_to_pages(pages, 0);
    sheet.set_footer("&L&A&CPage &P of &N&R&D");
    if pages > 1 {
        sheet.set_repeat_columns(0, 0)?;
    }
    if let Some(row) = header_row {
        sheet.set_repeat_rows(row, row)?;
    }
    Ok(())
}

/// Title and note in the first two rows, header in the fourth; returns the first row below.
pub(super) fn begin(
    sheet: &mut Worksheet,
    title: &str,
    note: &str,
    headers: &[(&str, f64)],
    looks: &Looks,
) -> Result<u32, XlsxError> {
    const HEADER_ROW: u32 = 3;
    sheet.write_string_with_format(0, 0, text(title), &looks.title)?;
    sheet.write_string_with_format(1, 0, text(note), &looks.note)?;
    for (column, (name, width)) in (0..).zip(headers) {
        sheet.write_string_with_format(HEADER_ROW, column, *name, &looks.header)?;
        sheet.set_column_width(column, *width)?;
    }
    if !headers.is_empty() {
        sheet.set_row_height(HEADER_ROW, 32)?;
        sheet.set_freeze_panes(HEADER_ROW + 1, 1)?;
    }
    let width = headers.iter().map(|(_, width)| width).sum();
    set_up_print(sheet, (!headers.is_empty()).then_some(HEADER_ROW), width)?;
    Ok(HEADER_ROW + 1)
}

/// Makes a row as high as wrapped text in a column of so many characters takes: not every program does that by itself.
pub(super) fn fit_height(sheet: &mut Worksheet, row: u32, text: &str, width: f64) -> Result<(), XlsxError> {
    const LINE_HEIGHT: f64 = 15.0;
    // Words break early, and letters are wider in some fonts.
    const FILLED: f64 = 0.85;
    #[expect(clippy::cast_precision_loss, reason = "a cell has at most 32,767 characters")]
    let lines = (text.chars().count() as f64 / (width * FILLED)).ceil().clamp(1.0, 27.0);
    if lines > 1.0 {
        sheet.set_row_height(row, LINE_HEIGHT * lines)?;
    }
    Ok(())
}

/// Excel's serial day number of a moment on the clocks of a zone.
pub(super) fn serial(zone: &TimeZone, at: Timestamp) -> f64 {
    let local_ms = at.as_millis() + i64::from(offset_seconds(zone, at)) * 1_000;
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of the years up to 2262 are far below 2^53")]
    let days = local_ms as f64 / 86_400_000.0;
    days + 25_569.0
}

/// A name or a sentence on one line, whatever is in it.
pub(super) fn line(of: &str) -> String {
    text(&of.split(char::is_whitespace).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" "))
}

/// Text as Excel takes it: at most 32,767 characters (UTF-16), without the control characters that XML forbids.
pub(super) fn text(text: &str) -> String {
    const MARK: &str = " ... (cut)";
    let clean = |c: char| if c.is_control() && !matches!(c, '\t' | '\n' | '\r') { '\u{fffd}' } else { c };
    // Bytes are at least as many as UTF-16 units, and plain ASCII has nothing to clean.
    if text.len() <= MAX_CELL_CHARS && text.bytes().all(|byte| (b' '..0x7f).contains(&byte)) {
        return text.to_owned();
    }
    if text.chars().map(char::len_utf16).sum::<usize>() <= MAX_CELL_CHARS {
        return text.chars().map(clean).collect();
    }
    let mut left = MAX_CELL_CHARS - MARK.len();
    let fits = |c: &char| {
        left = left.saturating_sub(c.len_utf16());
        left > 0
    };
    text.chars().take_while(fits).map(clean).chain(MARK.chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_days_are_excels() {
        let at = Timestamp::from_millis(1_795_000_000_500);
        assert!((serial(&TimeZone::UTC, at) - 46_344.462_968_75).abs() < 1e-6);
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        assert!((serial(&berlin, at) - serial(&TimeZone::UTC, at) - 1.0 / 24.0).abs() < 1e-9);
    }

    #[test]
    fn long_text_is_cut_with_a_mark() {
        let long = text(&"€".repeat(40_000));
        assert!(long.encode_utf16().count() <= MAX_CELL_CHARS && long.ends_with("(cut)"));
        assert_eq!(text("a\u{1}b\n"), "a\u{fffd}b\n");
    }
}
