//! JSON lines and a JSON array of flat rows on any `Write`: the same objects as `GET /api/jobs/{id}/metrics`.

use std::io::{self, Write};

use crate::column::{Cell, Column, Line};
use crate::csv::write_real;
use crate::time::TimeText;

/// Between objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonStyle {
    /// One object a line.
    Lines,
    /// One array.
    Array,
}

/// Writes lines as JSON objects.
#[derive(Debug)]
pub struct JsonWriter<W> {
    out: W,
    columns: Vec<&'static Column>,
    style: JsonStyle,
    time: TimeText,
    record: Vec<u8>,
    any: bool,
}

impl<W: Write> JsonWriter<W> {
    /// A writer with these columns. Undefined values are written as null, so that every object has the same keys.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn new(mut out: W, columns: Vec<&'static Column>, style: JsonStyle) -> io::Result<Self> {
        if style == JsonStyle::Array {
            out.write_all(b"[")?;
        }
        Ok(Self { out, columns, style, time: TimeText::default(), record: Vec::with_capacity(2_048), any: false })
    }

    /// Writes one line.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&mut self, line: &Line<'_>) -> io::Result<()> {
        self.record.clear();
        if self.style == JsonStyle::Array && self.any {
            self.record.push(b',');
        }
        self.any = true;
        for (i, column) in self.columns.iter().enumerate() {
            self.record.push(if i == 0 { b'{' } else { b',' });
            self.record.push(b'"');
            self.record.extend_from_slice(column.name.as_bytes());
            self.record.extend_from_slice(b"\":");
            write_value(&mut self.record, &mut self.time, (column.value)(line));
        }
        self.record.push(b'}');
        if self.style == JsonStyle::Lines {
            self.record.push(b'\n');
        }
        self.out.write_all(&self.record)
    }

    /// Ends the array and gives the writer back, flushed.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn finish(mut self) -> io::Result<W> {
        if self.style == JsonStyle::Array {
            self.out.write_all(b"]")?;
        }
        self.out.flush()?;
        Ok(self.out)
    }
}

fn write_value(out: &mut Vec<u8>, time: &mut TimeText, cell: Cell<'_>) {
    match cell {
        Cell::Empty => out.extend_from_slice(b"null"),
        Cell::Count(count) => out.extend_from_slice(itoa::Buffer::new().format(count).as_bytes()),
        Cell::Real(real) => write_real(out, real),
        Cell::Truth(truth) => out.extend_from_slice(if truth { b"true" } else { b"false" }),
        Cell::Time(at) => write_text(out, time.write(at)),
        Cell::Address(address) => write_text(out, &address.to_string()),
        Cell::Text(text) => write_text(out, &text),
    }
}

/// A JSON string (RFC 8259 section 7).
fn write_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 => {
                // Writing to a vector does not fail.
                let _ = write!(out, "\\u{byte:04x}");
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn texts_read_back(text in any::<String>()) {
            let mut out = Vec::new();
            write_text(&mut out, &text);
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
    }
}
