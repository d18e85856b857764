//! What handlers read from a call, the same everywhere: times, zones, positions, pages, conditions.

use hyper::StatusCode;
use hyper::header::{ETAG, HeaderValue, IF_MATCH, LINK};
use jiff::tz::TimeZone;
use netstats_event::{Position, Timestamp};

use crate::json::parse_moment;
use crate::problem::Problem;
use crate::reply::Reply;
use crate::route::Asked;

impl Asked {
    /// The time of a query parameter, perhaps told from `now`; none if it is not given.
    pub(crate) fn time(&self, name: &str, now: Timestamp) -> Result<Option<Timestamp>, Problem> {
        self.query.get(name).map(|text| parse_moment(text, name, now)).transpose()
    }

    /// The time zone of `tz`; UTC if it is not given.
    pub(crate) fn zone(&self) -> Result<TimeZone, Problem> {
        let Some(name) = self.query.get("tz") else { return Ok(TimeZone::UTC) };
        TimeZone::get(name).map_err(|_| {
            let shown: String = name.chars().take(80).collect();
            Problem::invalid(format!("there is no time zone {shown:?}"))
                .field("tz")
                .accepted("an IANA time zone, as Europe/Berlin or UTC")
        })
    }

    /// `limit` of a page; `most` if it is not given.
    pub(crate) fn limit(&self, most: usize) -> usize {
        // Its bounds are checked with the route's declaration.
        self.query.get("limit").and_then(|text| text.parse().ok()).unwrap_or(most).min(most)
    }

    /// The number that `cursor` of a page holds: where the page before ended.
    pub(crate) fn cursor(&self) -> Result<Option<u64>, Problem> {
        let Some(text) = self.query.get("cursor") else { return Ok(None) };
        text.parse().map(Some).map_err(|_| {
            Problem::invalid("cursor is not one of ours")
                .field("cursor")
                .hint("follow the address in the Link header as it is, or leave the cursor out")
        })
    }

    /// The answer with a `Link` to the page after `cursor`: the same question, from where this page ended.
    pub(crate) fn with_next(&self, reply: Reply, cursor: impl std::fmt::Display) -> Reply {
        self.with_link(reply, "cursor", &cursor.to_string())
    }

    /// The answer with a `Link` to the same question where one parameter has another value.
    pub(crate) fn with_link(&self, reply: Reply, changed: &str, to: &str) -> Reply {
        let mut address = format!("<{}?", self.path);
        for (name, value) in self.query.pairs().filter(|(name, _)| *name != changed) {
            address.push_str(&crate::path::encode(name));
            address.push('=');
            address.push_str(&crate::path::encode(value));
            address.push('&');
        }
        match HeaderValue::from_str(&format!("{address}{changed}={to}>; rel=\"next\"")) {
            Ok(link) => reply.header(LINK, link),
            Err(_) => reply,
        }
    }

    /// Refuses a change of something that is not any more what the caller saw: `version` is the position of the event
    /// that made it what it is.
    pub(crate) fn if_match(&self, version: Position) -> Result<(), Problem> {
        let Some(tags) = self.headers.get(IF_MATCH) else { return Ok(()) };
        let current = format!("v{version}");
        let tags = tags.to_str().unwrap_or_default();
        let is_met = crate::finish::listed(tags).any(|tag| {
            let version = tag.split_once('.').map_or(tag, |(version, _)| version);
            version == "*" || version == current
        });
        if is_met {
            return Ok(());
        }
        let problem = Problem::new(
            StatusCode::PRECONDITION_FAILED,
            "changed-meanwhile",
            format!("somebody changed this since you read it: it is at version {current} now"),
        )
        .field("if-match")
        .accepted(format!("\"{current}\""))
        .hint("read it again, and send the ETag of that answer");
        Err(match HeaderValue::from_str(&format!("\"{current}\"")) {
            Ok(tag) => problem.header(ETAG, tag),
            Err(_) => problem,
        })
    }
}
