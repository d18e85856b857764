//! Durations as people write them: `"90s"`, `"5m"`, `"1h30m"`, or a number of seconds.

const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];

/// What is accepted, for refusals.
pub(crate) const ACCEPTED: &str = "a duration as \"60s\", \"5m\", \"1h30m\"";

/// Whole seconds of a duration; none if it is not one.
pub(crate) fn parse_seconds(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    let mut seconds = 0_u64;
    let mut smallest = usize::MAX;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().ok()?;
        let (unit, size) = UNITS
            .iter()
            .enumerate()
            .find_map(|(i, (name, size))| rest[digits..].starts_with(name).then_some((UNITS.len() - i, size)))?;
        // Each unit once, from the largest down.
        if unit >= smallest {
            return None;
        }
        smallest = unit;
        seconds = seconds.checked_add(number.checked_mul(*size)?)?;
        rest = &rest[digits + 1..];
    }
    Some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_write_them() {
        for (text, seconds) in [("60s", 60), ("5m", 300), ("1h30m", 5_400), ("1d", 86_400), ("0s", 0), (" 2m ", 120)] {
            assert_eq!(parse_seconds(text), Some(seconds), "{text}");
        }
        for bad in
            ["", "5", "m", "5 m", "-5m", "1.5h", "5M", "5m5m", "1s1m", "5min", "999999999999999999999s", "5mm", "٣s"]
        {
            assert_eq!(parse_seconds(bad), None, "{bad}");
        }
    }
}
