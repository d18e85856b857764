//! Times as RFC 3339 in UTC with milliseconds: `2026-11-24T04:18:12.345Z`.

use netstats_event::Timestamp;
use serde::{Serialize, Serializer};
use utoipa::openapi::schema::{AnyOfBuilder, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{KnownFormat, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::problem::Problem;

/// A moment on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time(pub(crate) Timestamp);

impl Time {
    /// The 24 characters.
    fn text(self) -> [u8; 24] {
        let millis = self.0.as_millis();
        let (days, in_day) = (millis.div_euclid(86_400_000), millis.rem_euclid(86_400_000));
        // Days to civil date, proleptic Gregorian: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
        let z = days + 719_468;
        let era = z.div_euclid(146_097);
        let day_of_era = z.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted + 2) / 5 + 1;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let mut out = *b"0000-00-00T00:00:00.000Z";
        let mut put = |at: usize, width: usize, mut value: i64| {
            for i in (at..at + width).rev() {
                out[i] = b'0' + u8::try_from(value % 10).unwrap_or(0);
                value /= 10;
            }
        };
        // A timestamp lies between the years 1677 and 2262: four digits are enough.
        put(0, 4, year);
        put(5, 2, month);
        put(8, 2, day);
        put(11, 2, in_day / 3_600_000);
        put(14, 2, in_day / 60_000 % 60);
        put(17, 2, in_day / 1_000 % 60);
        put(20, 3, in_day % 1_000);
        out
    }
}

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(std::str::from_utf8(&self.text()).unwrap_or_default())
    }
}

impl PartialSchema for Time {
    fn schema() -> RefOr<Schema> {
        let date_time = SchemaFormat::KnownFormat(KnownFormat::DateTime);
        ObjectBuilder::new().schema_type(Type::String).format(Some(date_time)).into()
    }
}

impl ToSchema for Time {}

/// A moment on its way in, for the OpenAPI document: what [`parse_moment`] reads.
pub(crate) struct TimeInput;

impl PartialSchema for TimeInput {
    fn schema() -> RefOr<Schema> {
        time_schema().description(Some(ACCEPTED)).into()
    }
}

impl ToSchema for TimeInput {}

/// A text that says a moment: RFC 3339, or told from now.
pub(crate) fn time_schema() -> AnyOfBuilder {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let date_time = text().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));
    let from_now = text().pattern(Some("^now([-+][0-9]{1,6}[smhdw])?$"));
    AnyOfBuilder::new().item(date_time).item(from_now).examples(["2026-11-24T04:18:12Z", "now-24h"])
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(std::str::from_utf8(&self.text()).unwrap_or_default())
    }
}

/// What is taken for a moment.
const ACCEPTED: &str = "an RFC 3339 time with a zone, as 2026-11-24T04:18:12Z or 2026-11-24T05:18:12.5+01:00, \
                        or one told from now, as now, now-24h, now-7d (s, m, h, d, w)";

/// Reads an RFC 3339 time; `field` is named in the refusal.
fn parse_time(text: &str, field: &str) -> Result<Timestamp, Problem> {
    let refused = |why: &str, hint: Option<&str>| {
        let problem = Problem::invalid(format!("{field} {why}")).field(field).accepted(ACCEPTED);
        match hint {
            Some(hint) => problem.hint(hint),
            None => problem,
        }
    };
    let time: jiff::Timestamp = text.trim().parse().map_err(|_| {
        let is_local = text.trim().parse::<jiff::civil::DateTime>().is_ok();
        // An unencoded + in a query string arrives as a space.
        let has_space = text.trim().rsplit_once(' ').is_some_and(|(_, zone)| zone.contains(':') && zone.len() == 5);
        if is_local && has_space {
            refused("is not a time", Some("a + in a URL is written %2B"))
        } else if is_local {
            refused("has no zone", Some("add Z for UTC, or an offset as +01:00"))
        } else {
            refused("is not a time", None)
        }
    })?;
    i64::try_from(time.as_nanosecond())
        .map(|nanos| Timestamp::from_nanos(nanos).to_whole_millis())
        .map_err(|_| refused("is too far away", None).accepted("a time between the years 1678 and 2262"))
}

/// Reads a moment: an RFC 3339 time, or one told from `now`, as `now`, `now-24h`, `now-7d`, `now+30m`.
pub(crate) fn parse_moment(text: &str, field: &str, now: Timestamp) -> Result<Timestamp, Problem> {
    let Some(rest) = text.trim().strip_prefix("now") else { return parse_time(text, field) };
    let shift = || {
        if rest.is_empty() {
            return Some(0);
        }
        // An unencoded + in a query string arrives as a space.
        let (is_back, amount) = match rest.split_at_checked(1)? {
            ("-", amount) => (true, amount),
            ("+" | " ", amount) => (false, amount),
            _ => return None,
        };
        let (number, unit) = amount.split_at_checked(amount.len().checked_sub(1)?)?;
        let unit_ms = match unit {
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 7 * 86_400_000,
            _ => return None,
        };
        let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        let by = number.parse::<i64>().ok().filter(|_| is_number)?.checked_mul(unit_ms)?;
        Some(if is_back { -by } else { by })
    };
    let millis = shift().and_then(|shift| now.as_millis().checked_add(shift));
    let is_representable = |millis: &i64| (i64::MIN / 1_000_000..=i64::MAX / 1_000_000).contains(millis);
    millis
        .filter(is_representable)
        .map(Timestamp::from_millis)
        .ok_or_else(|| Problem::invalid(format!("{field} is not a moment")).field(field).accepted(ACCEPTED))
}

/// Reads a moment as every door does: an RFC 3339 time with a zone, or one told from `now`, as `now-24h`; in whole
/// milliseconds.
///
/// # Errors
/// It is neither; the text says what would be taken.
pub fn moment_of(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    parse_moment(text, "the time", now).map_err(|problem| match &problem.accepted {
        Some(accepted) => format!("{}: expected {accepted}", problem.detail),
        None => problem.detail.clone(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_go_out_with_milliseconds_and_z() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (1_709_164_800_001, "2024-02-29T00:00:00.001Z"),
            (1_795_496_400_500, "2026-11-24T05:00:00.500Z"),
        ] {
            assert_eq!(Time(Timestamp::from_millis(millis)).to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn a_time_that_went_out_comes_in_the_same(millis in i64::MIN / 1_000_000..i64::MAX / 1_000_000) {
            let time = Timestamp::from_millis(millis);
            prop_assert_eq!(parse_time(&Time(time).to_string(), "t").unwrap(), time);
        }

        #[test]
        fn no_text_hurts(text in ".*") {
            let _ = parse_time(&text, "t");
        }
    }

    #[test]
    fn a_moment_can_be_told_from_now() {
        let now = Timestamp::from_millis(1_795_492_800_000);
        let moment = |text: &str| parse_moment(text, "t", now).map(|at| at.as_millis() - now.as_millis());
        assert_eq!(moment("now").unwrap(), 0);
        assert_eq!(moment("now-24h").unwrap(), -86_400_000);
        assert_eq!(moment("now-7d").unwrap(), moment("now-1w").unwrap());
        assert_eq!((moment("now+30m").unwrap(), moment("now 90s").unwrap()), (1_800_000, 90_000));
        assert_eq!(moment("2026-11-24T04:00:01Z").unwrap(), 1_000);
        for bad in
            ["now-", "now-h", "now-1", "now-1y", "now--1h", "nowadays", "now-1.5h", "now-99999999999999999d", "now+é"]
        {
            assert_eq!(parse_moment(bad, "t", now).unwrap_err().field.as_deref(), Some("t"), "{bad}");
        }
    }

    #[test]
    fn a_time_without_a_zone_is_refused_with_what_to_add() {
        let problem = parse_time("2026-11-24T04:18:12", "start_time").unwrap_err();
        assert_eq!((problem.status.as_u16(), problem.field.as_deref()), (422, Some("start_time")));
        assert!(problem.hint.as_ref().unwrap().contains("add Z"));
        for bad in ["", "yesterday", "9999-12-31T23:59:59Z", "1e308", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z"] {
            assert!(parse_time(bad, "t").is_err(), "{bad}");
        }
        let half = parse_time("2026-11-24T05:18:12.5+01:00", "t").unwrap();
        assert_eq!(Time(half).to_string(), "2026-11-24T04:18:12.500Z");
    }
}
