//! A strict JSON reader: repeated keys and deep nesting are refused, unknown fields get the nearest known one, and
//! every refusal names its field.

use std::fmt;

use hyper::StatusCode;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use crate::limits::MAX_JSON_DEPTH;
use crate::problem::Problem;

/// A JSON value, its objects in the order given.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(entries) => entries.iter().find(|(key, _)| key == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// JSON Merge Patch (RFC 7396).
    pub(crate) fn merge(&mut self, patch: Self) {
        let Self::Object(changes) = patch else {
            *self = patch;
            return;
        };
        if !matches!(self, Self::Object(_)) {
            *self = Self::Object(Vec::new());
        }
        let Self::Object(entries) = self else { return };
        for (key, change) in changes {
            let at = entries.iter().position(|(name, _)| *name == key);
            match (at, change) {
                // Kept as null: for our readers absent and null are the same, and an unknown field is still told.
                (Some(at), Self::Null) => entries[at].1 = Self::Null,
                (Some(at), change) => entries[at].1.merge(change),
                (None, change) => {
                    let mut fresh = Self::Null;
                    fresh.merge(change);
                    entries.push((key, fresh));
                }
            }
        }
    }
}

/// Parses a body.
///
/// # Errors
/// 400 with line and column.
pub(crate) fn parse(bytes: &[u8]) -> Result<Json, Problem> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(Problem::malformed("the body is empty").accepted("a JSON object"));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Depth(0).deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    value.map_err(|error| {
        let full = error.to_string();
        let text = full.rsplit_once(" at line ").map_or(full.as_str(), |(text, _)| text);
        let problem = Problem::new(
            StatusCode::BAD_REQUEST,
            "malformed-json",
            format!("the body is not JSON: {text} at {}:{} (line:column)", error.line(), error.column()),
        );
        if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
            problem.hint("the body is UTF-16: send UTF-8")
        } else if bytes.starts_with(&[0xef, 0xbb, 0xbf]) {
            problem.hint("the body starts with a byte order mark: leave it out")
        } else {
            problem
        }
    })
}

#[derive(Clone, Copy)]
struct Depth(usize);

impl<'de> DeserializeSeed<'de> for Depth {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Depth {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Json, E> {
        serde_json::Number::from_f64(value).map(Json::Number).ok_or_else(|| E::custom("a number is not finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
        let inner = self.deeper()?;
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(inner)? {
            values.push(value);
        }
        Ok(Json::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let inner = self.deeper()?;
        let mut entries = Vec::new();
        let mut seen = std::collections::HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if !seen.insert(key.clone()) {
                let key: String = key.chars().take(80).collect();
                return Err(A::Error::custom(format!("the key {key:?} is given twice")));
            }
            entries.push((key, map.next_value_seed(inner)?));
        }
        Ok(Json::Object(entries))
    }
}

impl Depth {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.0 >= MAX_JSON_DEPTH {
            return Err(E::custom(format!("nested more than {MAX_JSON_DEPTH} deep")));
        }
        Ok(Self(self.0 + 1))
    }
}

/// The fields of an object, asked for one by one; what nobody asked for is refused at the end.
pub(crate) struct Fields<'a> {
    path: String,
    entries: &'a [(String, Json)],
    known: Vec<&'static str>,
    ignored: &'static [&'static str],
}

impl<'a> Fields<'a> {
    /// `path` is empty at the top.
    pub(crate) fn of(json: &'a Json, path: &str) -> Result<Self, Problem> {
        match json {
            Json::Object(entries) => Ok(Self { path: path.to_owned(), entries, known: Vec::new(), ignored: &[] }),
            other => {
                let what = if path.is_empty() { "the body" } else { path };
                let problem = Problem::invalid(format!("{what} is {}", other.kind())).accepted("an object");
                Err(if path.is_empty() { problem } else { problem.field(path) })
            }
        }
    }

    /// Fields that may be there and say nothing: what a GET shows and a PUT gives back.
    pub(crate) fn ignore(mut self, names: &'static [&'static str]) -> Self {
        self.ignored = names;
        self
    }

    pub(crate) fn path(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// The value of a field; null is as good as absent.
    pub(crate) fn value(&mut self, name: &'static str) -> Option<&'a Json> {
        self.known.push(name);
        self.entries.iter().find(|(key, _)| key == name).map(|(_, value)| value).filter(|value| **value != Json::Null)
    }

    /// The value of a field without asking for it.
    pub(crate) fn peek(&self, name: &str) -> Option<&'a Json> {
        self.entries.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    fn wrong(&self, name: &str, given: &Json, accepted: &str) -> Problem {
        let field = self.path(name);
        Problem::invalid(format!("{field} is {}", given.kind())).field(field).accepted(accepted)
    }

    /// A refusal of a field's value.
    pub(crate) fn refuse(&self, name: &str, why: &str, accepted: &str) -> Problem {
        let field = self.path(name);
        Problem::invalid(format!("{field} {why}")).field(field).accepted(accepted)
    }

    pub(crate) fn text(&mut self, name: &'static str) -> Result<Option<String>, Problem> {
        match self.value(name) {
            None => Ok(None),
            Some(Json::Text(text)) => Ok(Some(text.clone())),
            Some(other) => Err(self.wrong(name, other, "a text")),
        }
    }

    pub(crate) fn required_text(&mut self, name: &'static str) -> Result<String, Problem> {
        self.text(name)?.ok_or_else(|| self.refuse(name, "is missing", "a text"))
    }

    pub(crate) fn flag(&mut self, name: &'static str) -> Result<Option<bool>, Problem> {
        match self.value(name) {
            None => Ok(None),
            Some(Json::Bool(value)) => Ok(Some(*value)),
            Some(other) => Err(self.wrong(name, other, "true or false")),
        }
    }

    /// A whole number that fits `T`.
    pub(crate) fn number<T: TryFrom<u64> + Bounded>(&mut self, name: &'static str) -> Result<Option<T>, Problem> {
        let accepted = || format!("a whole number from 0 to {}", T::MOST);
        match self.value(name) {
            None => Ok(None),
            Some(Json::Number(number)) => {
                // 5.0 is 5: some programs have no integers.
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "checked to be whole and in range"
                )]
                let whole = number.as_u64().or_else(|| {
                    number.as_f64().filter(|f| f.fract() == 0.0 && (0.0..9e15).contains(f)).map(|f| f as u64)
                });
                let fits = whole.and_then(|whole| T::try_from(whole).ok());
                fits.map(Some).ok_or_else(|| self.refuse(name, &format!("is {number}"), &accepted()))
            }
            Some(other) => Err(self.wrong(name, other, &accepted())),
        }
    }

    /// A number within `range`, in `scale` parts, rounded: 0.5 percent in 10,000 parts each are 5,000 millionths.
    pub(crate) fn scaled(
        &mut self,
        name: &'static str,
        range: std::ops::RangeInclusive<f64>,
        scale: f64,
    ) -> Result<Option<u32>, Problem> {
        let accepted = || format!("a number from {} to {}", range.start(), range.end());
        match self.value(name) {
            None => Ok(None),
            Some(Json::Number(number)) => {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be in range")]
                let parts = number.as_f64().filter(|f| range.contains(f)).map(|f| (f * scale).round() as u32);
                parts.map(Some).ok_or_else(|| self.refuse(name, &format!("is {number}"), &accepted()))
            }
            Some(other) => Err(self.wrong(name, other, &accepted())),
        }
    }

    pub(crate) fn texts(&mut self, name: &'static str) -> Result<Option<Vec<String>>, Problem> {
        let Some(value) = self.value(name) else { return Ok(None) };
        let Json::List(values) = value else { return Err(self.wrong(name, value, "a list of texts")) };
        let text = |(i, value): (usize, &Json)| match value {
            Json::Text(text) => Ok(text.clone()),
            other => {
                let field = format!("{}[{i}]", self.path(name));
                Err(Problem::invalid(format!("{field} is {}", other.kind())).field(field).accepted("a text"))
            }
        };
        values.iter().enumerate().map(text).collect::<Result<_, _>>().map(Some)
    }

    /// One word of a fixed set.
    pub(crate) fn word<T>(
        &mut self,
        name: &'static str,
        all: &[&'static str],
        find: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        find(&text).map(Some).ok_or_else(|| {
            let shown: String = text.chars().take(80).collect();
            let problem = self.refuse(name, &format!("is {shown:?}"), &all.join(", "));
            crate::nearest::hint(problem, &text, all.iter().copied())
        })
    }

    /// Refuses fields that nobody asked for.
    pub(crate) fn done(self) -> Result<(), Problem> {
        for (key, _) in self.entries {
            if !self.known.contains(&key.as_str()) && !self.ignored.contains(&key.as_str()) {
                let shown: String = key.chars().take(80).collect();
                let problem = Problem::invalid(format!("there is no field {:?} here", self.path(&shown)))
                    .field(self.path(&shown))
                    .accepted(self.known.join(", "));
                return Err(crate::nearest::hint(problem, key, self.known.iter().copied()));
            }
        }
        Ok(())
    }
}

/// Integers with their largest value.
pub(crate) trait Bounded {
    const MOST: u64;
}

macro_rules! bounded {
    ($($type:ty),*) => {
        $(impl Bounded for $type {
            #[allow(clippy::cast_lossless, reason = "one of them is u64 itself")]
            const MOST: u64 = <$type>::MAX as u64;
        })*
    };
}

bounded!(u8, u16, u32, u64);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_not_json_is_refused_with_line_and_column() {
        for (body, says) in [
            ("{\n  \"a\": }", "2:8"),
            ("", "empty"),
            ("{\"a\":1}x", "1:8"),
            ("{\"a\":1,\"a\":2}", "\"a\" is given twice"),
            ("{\"a\":NaN}", "1:"),
            ("{\"a\":Infinity}", "1:"),
            ("{\"a\":1e999}", "1:"),
            ("{\"a\":\"\\ud800\"}", "1:"),
            ("{'a':1}", "1:2"),
            ("{\"a\":1,}", "1:8"),
            ("\u{feff}{}", "1:1"),
        ] {
            let problem = parse(body.as_bytes()).unwrap_err();
            assert_eq!(problem.status.as_u16(), 400);
            assert!(problem.detail.contains(says), "{body}: {}", problem.detail);
        }
        assert!(parse(&[b'"', 0xff, b'"']).is_err());
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(parse(deep(32).as_bytes()).is_ok());
        assert!(parse(deep(33).as_bytes()).unwrap_err().detail.contains("32 deep"));
        assert!(parse(deep(500_000).as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_hurt(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }
    }

    #[test]
    fn a_field_is_refused_by_its_path_and_an_unknown_one_gets_the_nearest() {
        let json =
            parse(br#"{"port": 70000, "tags": ["a", 1], "hots": "x", "n": 1e308, "f": 5.0, "neg": -1, "b": "yes"}"#)
                .unwrap();
        let mut fields = Fields::of(&json, "options").unwrap();
        let problem = fields.number::<u16>("port").unwrap_err();
        assert_eq!(problem.field.as_deref(), Some("options.port"));
        assert_eq!(problem.accepted.as_deref(), Some("a whole number from 0 to 65535"));
        assert_eq!(fields.texts("tags").unwrap_err().field.as_deref(), Some("options.tags[1]"));
        assert!(
            fields.number::<u64>("n").is_err() && fields.number::<u32>("neg").is_err() && fields.flag("b").is_err()
        );
        assert_eq!(fields.number::<u8>("f").unwrap(), Some(5));
        assert_eq!(fields.text("host").unwrap(), None);
        assert!(fields.required_text("name").is_err());
        let problem = fields.done().unwrap_err();
        assert_eq!(
            (problem.field.as_deref(), problem.hint.as_deref()),
            (Some("options.hots"), Some("did you mean \"host\"?"))
        );
        assert!(Fields::of(&Json::List(Vec::new()), "").is_err());
    }

    #[test]
    fn a_merge_patch_changes_what_it_names() {
        let mut json = parse(br#"{"a": {"b": 1, "c": 2}, "d": [1, 2]}"#).unwrap();
        json.merge(parse(br#"{"a": {"b": null, "x": {"y": 3}}, "d": [9]}"#).unwrap());
        assert_eq!(json, parse(br#"{"a": {"b": null, "c": 2, "x": {"y": 3}}, "d": [9]}"#).unwrap());
    }
}
