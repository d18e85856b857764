//! CSV (RFC 4180) of our own: out, and in again without a loss. Spreadsheets read it, so a text that they would take for a
//! formula is guarded.

use crate::problem::Problem;

/// One record; fields are quoted where they must be.
pub(crate) fn record<'a>(fields: impl IntoIterator<Item = &'a str>) -> String {
    let quoted = |field: &str| {
        if field.contains(['"', ',', '\r', '\n']) {
            format!("\"{}\"", field.replace('"', "\"\""))
        } else {
            field.to_owned()
        }
    };
    fields.into_iter().map(quoted).collect::<Vec<_>>().join(",") + "\r\n"
}

/// A text of somebody's own: one that a spreadsheet would take for a formula gets an apostrophe, which [`unguarded`]
/// takes off again.
pub(crate) fn guarded(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\'']) { "'" } else { "" };
    format!("{guard}{text}")
}

/// The text without its guard.
pub(crate) fn unguarded(text: &str) -> &str {
    text.strip_prefix('\'').unwrap_or(text)
}

/// Names or tags in one field, with semicolons between them. A comma is in no name (`netstats_inventory` refuses it), so
/// where a semicolon is in one, commas stand between and after them.
pub(crate) fn joined(items: &[&str]) -> String {
    if items.iter().any(|item| item.contains(';')) {
        items.iter().map(|item| format!("{item},")).collect()
    } else {
        items.join(";")
    }
}

/// The names or tags of one field.
pub(crate) fn split(text: &str) -> impl Iterator<Item = &str> {
    let between = if text.contains(',') { ',' } else { ';' };
    text.split(between).map(str::trim).filter(|item| !item.is_empty())
}

/// RFC 4180, with either line end; records of one empty field are left out.
pub(crate) fn records(text: &str) -> Result<Vec<Vec<String>>, Problem> {
    let (mut records, mut record, mut field) = (Vec::new(), Vec::new(), String::new());
    let (mut chars, mut is_quoted, mut line) = (text.chars().peekable(), false, 1);
    let end = |record: &mut Vec<String>, field: &mut String, records: &mut Vec<Vec<String>>| {
        record.push(std::mem::take(field));
        let record = std::mem::take(record);
        if record.len() > 1 || !record[0].is_empty() {
            records.push(record);
        }
    };
    while let Some(c) = chars.next() {
        match c {
            '"' if is_quoted && chars.peek() == Some(&'"') => field.extend(chars.next()),
            '"' if is_quoted => is_quoted = false,
            '"' if field.is_empty() => is_quoted = true,
            ',' if !is_quoted => record.push(std::mem::take(&mut field)),
            '\r' if !is_quoted && chars.peek() == Some(&'\n') => {}
            '\n' if !is_quoted => {
                line += 1;
                end(&mut record, &mut field, &mut records);
            }
            c => {
                line += usize::from(c == '\n');
                field.push(c);
            }
        }
    }
    if is_quoted {
        return Err(Problem::invalid(format!("a quoted field is open at the end, line {line}")));
    }
    end(&mut record, &mut field, &mut records);
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_in_a_field_come_back_whatever_is_in_a_name() {
        for items in [&["a", "b c"][..], &["a;b"], &["a;b", "c"], &["a"], &[]] {
            assert_eq!(split(&joined(items)).collect::<Vec<_>>(), items);
        }
        assert_eq!(split(" a ; b;; ").collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn records_come_back_with_what_they_hold() {
        let fields = ["a \"b\", c", "two\r\nlines", "", "plain", "'quoted'"];
        let text = record(fields) + &record(fields);
        assert_eq!(records(&text).unwrap(), [fields, fields]);
        for text in ["=1+1", "+1", "-1", "@x", "'a", "\ta", "a"] {
            assert_eq!(unguarded(&guarded(text)), text);
        }
        assert!(records("\"a").is_err());
    }
}
