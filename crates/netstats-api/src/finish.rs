//! What is done to every answer of a handler: picking fields, and the entity tag.
//!
//! An entry's tag is `"v42.9c1e..."`: 42 is the position of the event that made the entry what it is, and the rest is
//! a digest of the body, which also shows how the entry does. `If-None-Match` compares all of it; `If-Match`, which
//! guards a change, compares the first part alone (see [`crate::route::Asked::if_match`]): a new sample is no reason to
//! refuse one.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hasher};

use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH};
use hyper::{Method, StatusCode};
use serde_json::{Map, Value};

use crate::limits::MAX_TAGGED_BYTES;
use crate::problem::Problem;
use crate::reply::{JSON, Reply, to_bytes};
use crate::route::Call;

/// What the request asked of its answer, whatever the handler makes.
pub(crate) struct Finish {
    fields: Option<String>,
    if_none_match: Option<HeaderValue>,
    is_look: bool,
}

impl Finish {
    pub(crate) fn of(call: &Call, is_selectable: bool) -> Self {
        Self {
            fields: call.query.get("fields").filter(|_| is_selectable).map(str::to_owned),
            if_none_match: call.headers.get(IF_NONE_MATCH).cloned(),
            is_look: call.method == Method::GET,
        }
    }

    pub(crate) fn apply(self, mut reply: Reply) -> Result<Reply, Problem> {
        let is_json = reply.headers.get(CONTENT_TYPE) == Some(&JSON);
        if !is_json || !reply.status.is_success() {
            return Ok(reply);
        }
        if let Some(fields) = &self.fields {
            let json = serde_json::from_slice(&reply.body).map_err(|_| Problem::internal())?;
            reply.body = to_bytes(&select(json, fields)?).into();
        }
        if reply.headers.contains_key(ETAG) || !(self.is_look || reply.version.is_some()) {
            return Ok(reply);
        }
        if reply.body.len() > MAX_TAGGED_BYTES {
            return Ok(reply);
        }
        let tag = tag(reply.version, &reply.body);
        let is_known = self.is_look
            && self.if_none_match.as_ref().and_then(|tags| tags.to_str().ok()).is_some_and(|tags| names(tags, &tag));
        if is_known {
            reply.status = StatusCode::NOT_MODIFIED;
            reply.body = bytes::Bytes::new();
            reply.headers.remove(CONTENT_TYPE);
        }
        if let Ok(value) = HeaderValue::from_str(&tag) {
            reply.headers.insert(ETAG, value);
            // May be kept by the one who asked, and is asked for again each time.
            reply.headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("private, no-cache"));
        }
        Ok(reply)
    }
}

fn tag(version: Option<u64>, body: &[u8]) -> String {
    // Its keys are fixed; a digest that two bodies share costs one stale answer, so 64 bits are enough.
    let mut hasher = DefaultHasher::new();
    hasher.write(body);
    match version {
        Some(version) => format!("\"v{version}.{:016x}\"", hasher.finish()),
        None => format!("\"{:016x}\"", hasher.finish()),
    }
}

/// The tags of an `If-None-Match` or `If-Match`, without quotes, weakness and the mark of an encoding.
pub(crate) fn listed(tags: &str) -> impl Iterator<Item = &str> {
    tags.split(',').map(|tag| {
        let tag = tag.trim();
        let tag = tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"');
        tag.split_once('-').map_or(tag, |(tag, _)| tag)
    })
}

fn names(tags: &str, tag: &str) -> bool {
    listed(tags).any(|listed| listed == "*" || listed == tag.trim_matches('"'))
}

/// The JSON with the named fields alone: of the entries of `items`, if it is a list.
fn select(mut json: Value, fields: &str) -> Result<Value, Problem> {
    let wanted: BTreeSet<&str> = fields.split(',').map(str::trim).collect();
    let entries: &mut [Value] = match json.get_mut("items") {
        Some(Value::Array(items)) => items,
        _ => std::slice::from_mut(&mut json),
    };
    if let Some(first) = entries.first() {
        for field in &wanted {
            let path = field.split('.').try_fold(first, |at, part| at.as_object()?.get(part));
            if path.is_none() && !entries.iter().any(|entry| has(entry, field)) {
                let known: Vec<&str> = first.as_object().into_iter().flat_map(Map::keys).map(String::as_str).collect();
                let problem =
                    Problem::invalid(format!("there is no field {field:?}")).field("fields").accepted(known.join(", "));
                return Err(crate::nearest::hint(problem, field, known.iter().copied()));
            }
        }
    }
    for entry in entries {
        *entry = pick(std::mem::take(entry), &wanted);
    }
    Ok(json)
}

fn has(entry: &Value, field: &str) -> bool {
    field.split('.').try_fold(entry, |at, part| at.as_object()?.get(part)).is_some()
}

fn pick(entry: Value, wanted: &BTreeSet<&str>) -> Value {
    let Value::Object(fields) = entry else { return entry };
    let mut out = Map::new();
    for (key, value) in fields {
        if wanted.contains(key.as_str()) {
            out.insert(key, value);
            continue;
        }
        let inner: BTreeSet<&str> =
            wanted.iter().filter_map(|w| w.strip_prefix(key.as_str())?.strip_prefix('.')).collect();
        if !inner.is_empty() {
            out.insert(key, pick(value, &inner));
        }
    }
    Value::Object(out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_pick_within_entries_and_an_unknown_one_gets_the_nearest() {
        let list = json!({"items": [{"id": 1, "name": "a", "latest": {"status": "up", "since": null}}], "position": 7});
        let picked = select(list.clone(), "id, latest.status").unwrap();
        assert_eq!(picked, json!({"items": [{"id": 1, "latest": {"status": "up"}}], "position": 7}));
        let problem = select(list, "nmae").unwrap_err();
        assert_eq!((problem.status.as_u16(), problem.field.as_deref()), (422, Some("fields")));
        assert_eq!(problem.hint.as_deref(), Some("did you mean \"name\"?"));
        assert_eq!(select(json!({"items": []}), "whatever").unwrap(), json!({"items": []}));
        assert_eq!(select(json!({"id": 1, "name": "a"}), "name").unwrap(), json!({"name": "a"}));
    }

    #[test]
    fn a_tag_is_known_whatever_its_encoding() {
        assert!(names("\"x\", W/\"v1.00ff-br\"", "\"v1.00ff\""));
        assert!(names("*", "\"v1.00ff\"") && !names("\"v1.00fe\"", "\"v1.00ff\"") && !names("", "\"v1.00ff\""));
    }
}
