//! RFC 3339 in UTC with milliseconds: the one form of a moment in csv and json.

use jiff::tz::TimeZone;
use netstats_event::Timestamp;

/// Writes moments; keeps the last day's text, since neighbours share it.
#[derive(Debug, Default)]
pub(crate) struct TimeText {
    day: i64,
    text: [u8; 24],
}

impl TimeText {
    /// `2026-11-24T03:42:21.123Z`. Moments outside the years 0000 to 9999 cannot occur: an `i64` of nanoseconds ends
    /// in 2262.
    pub(crate) fn write(&mut self, at: Timestamp) -> &str {
        let millis = at.as_millis();
        let day = millis.div_euclid(86_400_000);
        if day != self.day || self.text[0] == 0 {
            self.day = day;
            // Days of an `i64` of nanoseconds are well inside what a calendar can hold.
            let date =
                jiff::Timestamp::from_second(day * 86_400).unwrap_or_default().to_zoned_datetime(TimeZone::UTC).date();
            digits(&mut self.text[0..4], date.year().unsigned_abs().into());
            digits(&mut self.text[5..7], date.month().unsigned_abs().into());
            digits(&mut self.text[8..10], date.day().unsigned_abs().into());
            for (i, mark) in [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'.'), (23, b'Z')] {
                self.text[i] = mark;
            }
        }
        let in_day = u32::try_from(millis.rem_euclid(86_400_000)).unwrap_or(0);
        digits(&mut self.text[11..13], in_day / 3_600_000);
        digits(&mut self.text[14..16], in_day / 60_000 % 60);
        digits(&mut self.text[17..19], in_day / 1_000 % 60);
        digits(&mut self.text[20..23], in_day % 1_000);
        std::str::from_utf8(&self.text).unwrap_or("")
    }
}

fn digits(into: &mut [u8], mut value: u32) {
    for digit in into.iter_mut().rev() {
        *digit = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn agrees_with_a_calendar_library(nanos in any::<i64>()) {
            let at = Timestamp::from_nanos(nanos);
            let jiff = jiff::Timestamp::from_millisecond(at.as_millis()).unwrap();
            let mut text = TimeText::default();
            prop_assert_eq!(text.write(at), format!("{jiff:.3}"));
        }
    }

    #[test]
    fn a_kept_day_does_not_leak_into_the_next() {
        let mut text = TimeText::default();
        assert_eq!(text.write(Timestamp::from_millis(1_795_000_000_123)), "2026-11-18T11:06:40.123Z");
        assert_eq!(text.write(Timestamp::from_millis(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(text.write(Timestamp::from_millis(-1)), "1969-12-31T23:59:59.999Z");
    }
}
