//! What a route says of itself, in one place: who may, which parameters it takes, what it reads and gives. The checks in
//! `route.rs` and the OpenAPI document are made from it, so a route cannot do one thing and document another.

use std::borrow::Cow;

use hyper::StatusCode;
use netstats_event::Role;
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Access {
    /// Anybody who comes through the door: what is needed to get credentials, and the documents about the API.
    Everybody,
    /// Whoever has this role or a higher one.
    Needs(Role),
}

/// A query parameter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Param {
    pub(crate) name: &'static str,
    pub(crate) kind: ParamKind,
    /// One sentence, without a full stop.
    pub(crate) says: &'static str,
}

/// What a parameter's text must be. Words, flags and whole numbers are checked before the handler runs.
#[derive(Clone, Copy, Debug)]
#[allow(dead_code, reason = "the kinds that routes may choose from")]
pub(crate) enum ParamKind {
    Text,
    /// One of these.
    Word(&'static [&'static str]),
    Flag,
    /// Within these bounds.
    Whole(u64, u64),
    /// RFC 3339 with a zone, or told from now.
    Time,
    /// A position in the log, or a time.
    AsOf,
    /// An IANA time zone.
    Zone,
    /// Texts with commas between them.
    List,
    /// A text that may be given several times.
    Many,
}

pub(crate) const fn param(name: &'static str, kind: ParamKind, says: &'static str) -> Param {
    Param { name, kind, says }
}

/// Of every route that changes something.
pub(crate) const REASON: Param =
    param("reason", ParamKind::Text, "Why, in the caller's own words, for the audit trail");
/// Of every route with [`crate::route::Route::selectable`].
pub(crate) const FIELDS: Param = param(
    "fields",
    ParamKind::List,
    "Only these fields of each entry, with commas between them; `latest.status` is a field of a field",
);
/// Of every route with [`crate::route::Route::paged`].
pub(crate) const CURSOR: Param =
    param("cursor", ParamKind::Text, "Where the page before ended: follow the Link header as it is");
/// For routes that answer from what was known then; read it with [`crate::moment::Moment::of`].
pub(crate) const AS_OF: Param = param("as_of", ParamKind::AsOf, "Answer from what was known at this position or time");
/// For routes with civil days and hours; read it with [`crate::route::Asked::zone`].
pub(crate) const TZ: Param =
    param("tz", ParamKind::Zone, "IANA time zone of days and hours, as Europe/Berlin; else UTC");
/// The start of a time range; RFC 3339 or told from now, as `now-24h`.
pub(crate) const START_TIME: Param = param(
    "start_time",
    ParamKind::Time,
    "Not before this time, or `now-24h`, `now-7d`; else a fitting span before the end",
);
/// The end of a time range; RFC 3339 or told from now, as `now-24h`.
pub(crate) const END_TIME: Param = param("end_time", ParamKind::Time, "Before this time, or `now-1h`; else now");

type Named = (String, RefOr<Schema>);

/// A JSON shape: its name, and how to collect its schema and those it is made of.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) name: fn() -> Cow<'static, str>,
    pub(crate) schema: fn() -> RefOr<Schema>,
    pub(crate) parts: fn(&mut Vec<Named>),
}

impl Shape {
    pub(crate) fn of<T: ToSchema>() -> Self {
        Self { name: T::name, schema: T::schema, parts: T::schemas }
    }
}

/// What a successful answer holds.
#[derive(Clone, Copy)]
#[allow(dead_code, reason = "what routes may choose from")]
pub(crate) enum Gives {
    /// JSON of this shape.
    Json(Shape),
    /// Something else, of this type.
    Other(&'static str),
    /// No body.
    Nothing,
}

/// A route's own words and shapes.
pub(crate) struct About {
    /// The resource, to group by.
    pub(crate) tag: &'static str,
    /// One sentence, without a full stop.
    pub(crate) summary: &'static str,
    /// The shape of the body it reads.
    pub(crate) reads: Option<Shape>,
    /// It does without a body as well.
    pub(crate) is_body_optional: bool,
    /// The status of an answer that is no refusal.
    pub(crate) status: StatusCode,
    pub(crate) gives: Gives,
    /// What else an answer may hold, by its content type: which is up to the parameters.
    pub(crate) or_gives: &'static [&'static str],
    /// It may be refused in another shape than ours, as JSON.
    pub(crate) refuses_as: Option<Shape>,
}
