//! Paths and query strings, decoded once and checked: what passes here is valid UTF-8 without control characters,
//! and no segment can mean another place.

use crate::declare::{Param, ParamKind};
use crate::limits::{MAX_PATH_BYTES, MAX_QUERY_BYTES, MAX_QUERY_PARAMETERS};
use crate::problem::Problem;

/// Checks a raw path (`/api/jobs/my%20job`) without keeping the decoded form: the routing table matches the raw one,
/// and a parameter is decoded again by [`decode`].
pub(crate) fn check_path(raw: &str) -> Result<(), Problem> {
    if raw.len() > MAX_PATH_BYTES {
        let detail = format!("the path has {} bytes", raw.len());
        return Err(Problem::new(hyper::StatusCode::URI_TOO_LONG, "path-too-long", detail)
            .accepted(format!("at most {MAX_PATH_BYTES} bytes")));
    }
    let refused = |why: &str| Problem::malformed(format!("the path {why}"));
    if !raw.starts_with('/') {
        return Err(refused("does not start with /").hint("send the path alone, as in GET /api/health HTTP/1.1"));
    }
    if !raw.bytes().all(|b| (0x21..=0x7e).contains(&b) && b != b'\\') {
        return Err(refused("holds a byte that must be percent-encoded"));
    }
    for segment in raw[1..].split('/') {
        if segment.bytes().all(|b| b != b'%' && b != b'.') {
            continue;
        }
        let decoded = decode(segment, false).map_err(&refused)?;
        if decoded == "." || decoded == ".." {
            return Err(refused("holds a . or .. segment"));
        }
        if decoded.contains(['/', '\\']) {
            return Err(refused("holds an encoded slash"));
        }
    }
    Ok(())
}

/// Percent-decodes one path segment or query part; the error completes the sentence "the path ...".
pub(crate) fn decode(raw: &str, plus_is_space: bool) -> Result<String, &'static str> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || rest.next().and_then(|b| char::from(b).to_digit(16));
                match (digit(), digit()) {
                    (Some(high), Some(low)) => u8::try_from(high * 16 + low).expect("two hexadecimal digits"),
                    _ => return Err("holds a % without two hexadecimal digits"),
                }
            }
            b'+' if plus_is_space => b' ',
            other => other,
        });
    }
    let text = String::from_utf8(bytes).map_err(|_| "is not UTF-8 when decoded")?;
    if text.chars().any(char::is_control) { Err("holds a control character") } else { Ok(text) }
}

/// Percent-encodes all but unreserved characters (RFC 3986 2.3).
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

impl Param {
    /// The value is of its kind, as far as that can be told from the value alone.
    fn check(&self, value: &str) -> Result<(), Problem> {
        let name = self.name;
        let refused = |accepted: String| {
            let shown: String = value.chars().take(80).collect();
            Err(Problem::invalid(format!("{name} is {shown:?}")).field(name).accepted(accepted))
        };
        match self.kind {
            ParamKind::Word(words) if !words.contains(&value) => {
                refused(words.join(", ")).map_err(|problem| crate::nearest::hint(problem, value, words.iter().copied()))
            }
            ParamKind::Flag if !matches!(value, "true" | "false") => refused("true, false".to_owned()),
            ParamKind::Whole(least, most)
                if !value.bytes().all(|b| b.is_ascii_digit())
                    || !value.parse().is_ok_and(|number: u64| (least..=most).contains(&number)) =>
            {
                refused(format!("a whole number from {least} to {most}"))
            }
            _ => Ok(()),
        }
    }
}

/// A query string's parameters, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    pub(crate) fn parse(raw: Option<&str>) -> Result<Self, Problem> {
        let raw = raw.unwrap_or_default();
        if raw.len() > MAX_QUERY_BYTES {
            let detail = format!("the query string has {} bytes", raw.len());
            return Err(Problem::new(hyper::StatusCode::URI_TOO_LONG, "query-too-long", detail)
                .accepted(format!("at most {MAX_QUERY_BYTES} bytes")));
        }
        let mut pairs = Vec::new();
        for part in raw.split('&').filter(|part| !part.is_empty()) {
            if pairs.len() == MAX_QUERY_PARAMETERS {
                return Err(Problem::malformed("the query string has too many parameters")
                    .accepted(format!("at most {MAX_QUERY_PARAMETERS}")));
            }
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let text = |raw| decode(raw, true).map_err(|why| Problem::malformed(format!("the query string {why}")));
            pairs.push((text(name)?, text(value)?));
        }
        Ok(Self { pairs })
    }

    /// Refuses parameters that are not in `known`, repeated ones, and values that are none of their kind.
    pub(crate) fn only(&self, known: &[Param]) -> Result<(), Problem> {
        for (i, (name, value)) in self.pairs.iter().enumerate() {
            let Some(param) = known.iter().find(|param| param.name == name) else {
                let problem =
                    Problem::invalid(format!("there is no query parameter {name:?} here")).field(name.clone());
                let names = known.iter().map(|param| param.name);
                return Err(if known.is_empty() {
                    problem.accepted("none")
                } else {
                    let accepted = names.clone().collect::<Vec<_>>().join(", ");
                    crate::nearest::hint(problem.accepted(accepted), name, names)
                });
            };
            let may_repeat = matches!(param.kind, ParamKind::Many);
            if !may_repeat && self.pairs[..i].iter().any(|(before, _)| before == name) {
                return Err(
                    Problem::invalid(format!("the query parameter {name:?} is given twice")).field(name.clone())
                );
            }
            param.check(value)?;
        }
        Ok(())
    }

    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Every value of a parameter that may be given several times.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs().filter(move |(given, _)| *given == name).map(|(_, value)| value)
    }

    /// Both together.
    pub(crate) fn and(mut self, mut other: Self) -> Self {
        self.pairs.append(&mut other.pairs);
        self
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::declare::param;

    #[test]
    fn a_path_that_could_mean_another_place_is_refused() {
        for path in [
            "/api/jobs/%2e%2e",
            "/api/jobs/..",
            "/api/./jobs",
            "/api/%2E/jobs",
            "/api/jobs/..%2fhealth",
            "/api/jobs/a%5cb",
            "/api/jobs/a\\b",
            "/api/jobs/%00",
            "/api/jobs/%0d%0a",
            "/api/jobs/%ff",
            "/api/jobs/%c0%ae",
            "/api/jobs/%",
            "/api/jobs/%4",
            "/api/jobs/%zz",
            "/api/jobs/%+1",
            "*",
            "",
        ] {
            assert!(check_path(path).is_err(), "{path}");
        }
        for path in ["/", "/api/jobs/1", "/api/jobs/my%20job", "/a.b", "/api/jobs/%E2%82%AC", "//", "/...", "/%25"] {
            assert!(check_path(path).is_ok(), "{path}");
        }
        assert_eq!(check_path(&format!("/{}", "a".repeat(8_192))).unwrap_err().status, 414);
    }

    #[test]
    fn every_encoded_byte_is_decoded_once_or_refused() {
        for byte in 0..=255_u8 {
            let good = (0x20..0x7f).contains(&byte);
            assert_eq!(decode(&format!("%{byte:02x}"), false).ok(), good.then(|| char::from(byte).to_string()));
        }
        assert_eq!(decode("%2525", false).unwrap(), "%25");
    }

    #[test]
    fn a_query_parameter_is_known_and_given_once() {
        let query = Query::parse(Some("limit=5&start_time=2026-01-01T00%3A00%3A00Z&x=a+b&")).unwrap();
        assert_eq!((query.get("limit"), query.get("x"), query.get("y")), (Some("5"), Some("a b"), None));
        let text = |name| param(name, ParamKind::Text, "");
        let problem = query.only(&["limit", "start_time", "end_time"].map(text)).unwrap_err();
        assert_eq!((problem.status.as_u16(), problem.field.as_deref()), (422, Some("x")));
        assert!(Query::parse(Some("limit=1&limit=2")).unwrap().only(&[text("limit")]).is_err());
        let problem = Query::parse(Some("limt=1")).unwrap().only(&[text("limit")]).unwrap_err();
        assert_eq!(problem.hint.as_deref(), Some("did you mean \"limit\"?"));
        assert_eq!(Query::parse(Some("n[]=1")).unwrap().only(&[]).unwrap_err().status, 422);
        let many = (0..10_000).map(|i| format!("a{i}=")).collect::<Vec<_>>().join("&");
        assert!(Query::parse(Some(&many)).is_err());
        assert!(Query::parse(Some(&"a=&".repeat(65))).unwrap_err().detail.contains("too many"));
    }

    #[test]
    fn a_value_is_of_its_parameters_kind() {
        let only = |query: &str, kind| Query::parse(Some(query)).unwrap().only(&[param("p", kind, "")]);
        assert!(only("p=asc", ParamKind::Word(&["asc", "desc"])).is_ok());
        let problem = only("p=dsc", ParamKind::Word(&["asc", "desc"])).unwrap_err();
        assert_eq!((problem.field.as_deref(), problem.accepted.as_deref()), (Some("p"), Some("asc, desc")));
        assert!(only("p", ParamKind::Flag).is_err() && only("p=true", ParamKind::Flag).is_ok());
        for (value, is_good) in
            [("1", true), ("9", true), ("0", false), ("10", false), ("+1", false), ("", false), ("1e0", false)]
        {
            assert_eq!(only(&format!("p={value}").replace('+', "%2B"), ParamKind::Whole(1, 9)).is_ok(), is_good);
        }
    }
}
