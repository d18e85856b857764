//! Durations and sizes as people write them: `"5m"`, `"1h30m"`, `"200ms"`, `"10GiB"`.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A span of time in the config file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

/// A number of bytes in the config file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

const TIME_UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
const SIZE_UNITS: [(&str, u64); 9] = [
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// Reads a duration: numbers with units, largest unit first, each unit once.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong =
        |why: String| format!("\"{text}\" is not a duration: {why}; write for example \"30s\", \"5m\" or \"1h30m\"");
    let mut total: u64 = 0;
    let mut rest = text.trim();
    let mut smallest = u64::MAX;
    if rest.is_empty() {
        return Err(wrong("it is empty".to_owned()));
    }
    while !rest.is_empty() {
        let (number, after) = leading_number(rest).map_err(&wrong)?;
        let end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = (after[..end].trim(), &after[end..]);
        let Some(&(_, millis)) = TIME_UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(wrong(unknown_unit(unit, &TIME_UNITS.map(|(name, _)| name))));
        };
        if millis >= smallest {
            return Err(wrong("larger units come first, and each unit once".to_owned()));
        }
        smallest = millis;
        total = number
            .checked_mul(millis)
            .and_then(|part| total.checked_add(part))
            .ok_or_else(|| wrong("it is too long".to_owned()))?;
        rest = after;
    }
    Ok(Duration::from_millis(total))
}

/// Reads a size: one number with one unit.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = |why: String| format!("\"{text}\" is not a size: {why}; write for example \"500MB\" or \"10GiB\"");
    let (number, unit) = leading_number(text.trim()).map_err(&wrong)?;
    let unit = unit.trim();
    let Some(&(_, bytes)) = SIZE_UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(wrong(unknown_unit(unit, &SIZE_UNITS.map(|(name, _)| name))));
    };
    number.checked_mul(bytes).ok_or_else(|| wrong("it is too large".to_owned()))
}

fn leading_number(text: &str) -> Result<(u64, &str), String> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    if end == 0 {
        return Err(format!("a whole number is expected before `{text}`"));
    }
    let number = text[..end].parse().map_err(|_| "the number is too large".to_owned())?;
    Ok((number, &text[end..]))
}

fn unknown_unit(unit: &str, known: &[&str]) -> String {
    let list = known.join(", ");
    if unit.is_empty() {
        return format!("the unit is missing (one of {list})");
    }
    // "min", "sec", "hours", "gb": the first letter tells what was meant; "mo" and the like are left alone.
    let meant = known.iter().find(|name| name.eq_ignore_ascii_case(unit)).or_else(|| {
        ["ms", "s", "m", "h", "d"].iter().find(|name| match **name {
            "ms" => unit.starts_with("mil"),
            "m" => unit.starts_with("min"),
            "s" => unit.starts_with("sec"),
            "h" => unit.starts_with('h'),
            "d" => unit.starts_with("day"),
            _ => false,
        })
    });
    match meant.filter(|name| known.contains(name)) {
        Some(meant) => format!("`{unit}` is not a unit (one of {list}); did you mean `{meant}`?"),
        None => format!("`{unit}` is not a unit (one of {list})"),
    }
}

struct Text<T> {
    expected: &'static str,
    read: fn(&str) -> Result<T, String>,
}

impl<T> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.read)(text).map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a duration in quotes, such as \"30s\", \"5m\" or \"1h30m\"";
        deserializer.deserialize_str(Text { expected, read: |text| parse_duration(text).map(Self) })
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a size in quotes, such as \"500MB\" or \"10GiB\"";
        deserializer.deserialize_str(Text { expected, read: |text| parse_size(text).map(Self) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_write_them() {
        let ms = |text| parse_duration(text).unwrap().as_millis();
        assert_eq!(ms("200ms"), 200);
        assert_eq!(ms("5m"), 300_000);
        assert_eq!(ms("1h30m"), 5_400_000);
        assert_eq!(ms("1d"), 86_400_000);
        assert_eq!(ms("1h 30m"), 5_400_000);
        assert_eq!(ms("90s"), 90_000);
    }

    #[test]
    fn a_wrong_duration_says_what_is_expected() {
        for (text, says) in [
            ("", "empty"),
            ("5", "unit is missing"),
            ("5min", "did you mean `m`?"),
            ("5 hours", "did you mean `h`?"),
            ("5S", "did you mean `s`?"),
            ("m", "whole number"),
            ("-5m", "whole number"),
            ("1.5h", "`.` is not a unit"),
            ("30m1h", "larger units come first"),
            ("1m1m", "each unit once"),
            ("99999999999999999999s", "too large"),
            ("99999999999999999d", "too long"),
            ("5µs", "is not a unit"),
        ] {
            let error = parse_duration(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn sizes_know_decimal_and_binary_units() {
        assert_eq!(parse_size("10GiB").unwrap(), 10 << 30);
        assert_eq!(parse_size("500 MB").unwrap(), 500_000_000);
        assert_eq!(parse_size("0B").unwrap(), 0);
        assert!(parse_size("10gib").unwrap_err().contains("did you mean `GiB`?"));
        assert!(parse_size("10").unwrap_err().contains("unit is missing"));
        assert!(parse_size("99999999TiB").unwrap_err().contains("too large"));
    }
}
