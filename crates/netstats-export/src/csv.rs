//! RFC 4180 on any `Write`.

use std::io::{self, Write};

use crate::column::{Cell, Column, Line};
use crate::time::TimeText;

/// How the csv is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CsvStyle {
    /// Between fields: `,` or `;` or a tab.
    pub separator: u8,
    /// Decimal comma, for spreadsheets of such locales; needs another separator than the comma.
    pub decimal_comma: bool,
    /// Byte order mark in front, which Excel wants in order to see UTF-8.
    pub byte_order_mark: bool,
    /// Put `'` before text that a spreadsheet would take for a formula (CWE-1236).
    pub guard_formulas: bool,
}

impl Default for CsvStyle {
    fn default() -> Self {
        Self { separator: b',', decimal_comma: false, byte_order_mark: false, guard_formulas: true }
    }
}

/// Writes lines as csv.
#[derive(Debug)]
pub struct CsvWriter<W> {
    out: W,
    columns: Vec<&'static Column>,
    style: CsvStyle,
    time: TimeText,
    record: Vec<u8>,
}

impl<W: Write> CsvWriter<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn new(out: W, columns: Vec<&'static Column>, style: CsvStyle) -> io::Result<Self> {
        let mut writer = Self { out, columns, style, time: TimeText::default(), record: Vec::with_capacity(1_024) };
        if style.byte_order_mark {
            writer.record.extend_from_slice("\u{feff}".as_bytes());
        }
        for i in 0..writer.columns.len() {
            writer.separate(i);
            writer.record.extend_from_slice(writer.columns[i].name.as_bytes());
        }
        writer.end_record()?;
        Ok(writer)
    }

    /// Writes one line.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&mut self, line: &Line<'_>) -> io::Result<()> {
        for i in 0..self.columns.len() {
            self.separate(i);
            self.field((self.columns[i].value)(line));
        }
        self.end_record()
    }

    /// Gives the writer back, flushed.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }

    fn separate(&mut self, field: usize) {
        if field > 0 {
            self.record.push(self.style.separator);
        }
    }

    fn end_record(&mut self) -> io::Result<()> {
        self.record.extend_from_slice(b"\r\n");
        self.out.write_all(&self.record)?;
        self.record.clear();
        Ok(())
    }

    fn field(&mut self, cell: Cell<'_>) {
        match cell {
            Cell::Empty => {}
            Cell::Count(count) => self.record.extend_from_slice(itoa::Buffer::new().format(count).as_bytes()),
            Cell::Real(real) => self.real(real),
            Cell::Truth(truth) => self.record.extend_from_slice(if truth { b"true" } else { b"false" }),
            Cell::Time(at) => self.record.extend_from_slice(self.time.write(at).as_bytes()),
            Cell::Address(address) => {
                // Writing to a vector does not fail.
                let _ = write!(self.record, "{address}");
            }
            Cell::Text(text) => self.text(&text),
        }
    }

    fn real(&mut self, real: f64) {
        let start = self.record.len();
        write_real(&mut self.record, real);
        if self.style.decimal_comma {
            for byte in &mut self.record[start..] {
                if *byte == b'.' {
                    *byte = b',';
                }
            }
        }
    }

    fn text(&mut self, text: &str) {
        let guard = self.style.guard_formulas && looks_like_formula(text);
        let quote = guard
            || text.bytes().any(|byte| byte == self.style.separator || matches!(byte, b'"' | b'\r' | b'\n'))
            || text.starts_with(' ')
            || text.ends_with(' ');
        if !quote {
            self.record.extend_from_slice(text.as_bytes());
            return;
        }
        self.record.push(b'"');
        if guard {
            self.record.push(b'\'');
        }
        for byte in text.bytes() {
            if byte == b'"' {
                self.record.push(b'"');
            }
            self.record.push(byte);
        }
        self.record.push(b'"');
    }
}

/// Shortest decimal that reads back to the same number, without an exponent for the sizes that occur here.
pub(crate) fn write_real(out: &mut Vec<u8>, real: f64) {
    // Nearly all numbers are whole microseconds shown in milliseconds: three decimals say them exactly.
    let thousandths = real * 1_000.0;
    if thousandths.fract() == 0.0
        && (0.0..1e15).contains(&thousandths)
        && (thousandths / 1_000.0).to_bits() == real.to_bits()
    {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole and in range, as just checked"
        )]
        let thousandths = thousandths as u64;
        out.extend_from_slice(itoa::Buffer::new().format(thousandths / 1_000).as_bytes());
        let rest = thousandths % 1_000;
        if rest > 0 {
            let digits = [rest / 100, rest / 10 % 10, rest % 10];
            let used = 3 - digits.iter().rev().take_while(|digit| **digit == 0).count();
            out.push(b'.');
            out.extend(digits[..used].iter().map(|digit| b"0123456789"[*digit as usize]));
        }
        return;
    }
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(real);
    out.extend_from_slice(text.strip_suffix(".0").unwrap_or(text).as_bytes());
}

/// True for text that a spreadsheet may run: it starts, after blanks, with `=`, `+`, `-`, `@` or their full-width
/// forms, or with a tab, a carriage return or a NUL.
pub(crate) fn looks_like_formula(text: &str) -> bool {
    let first = text.trim_start_matches([' ', '\u{a0}', '\u{3000}']).chars().next();
    matches!(first, Some('=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '\0' | '＝' | '＋' | '－' | '＠'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn real(value: f64) -> String {
        let mut out = Vec::new();
        write_real(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn reals_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (12.345, "12.345"),
            (12.3, "12.3"),
            (7.0, "7"),
            (0.001, "0.001"),
            (0.000_5, "0.0005"),
            (33.333_333_333_333_336, "33.333333333333336"),
        ] {
            assert_eq!(real(value), text);
        }
    }

    proptest! {
        #[test]
        fn reals_read_back(value in -1e12_f64..1e12) {
            prop_assert_eq!(real(value).parse::<f64>().unwrap().to_bits(), value.to_bits());
        }

        #[test]
        fn milliseconds_read_back(micros in any::<u32>()) {
            let value = f64::from(micros) / 1_000.0;
            prop_assert_eq!(real(value).parse::<f64>().unwrap().to_bits(), value.to_bits());
        }
    }
}
