//! What a client is told when it cannot have what it asked for: RFC 9457 problem details.

use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};
use serde::Serialize;
use utoipa::ToSchema;

use crate::reply::{PROBLEM_JSON, Reply};

/// A refusal: what happened, which field, what would be taken, what to do. In a box, so that a `Result` stays small.
#[derive(Clone, Debug)]
pub(crate) struct Problem(Box<Details>);

#[derive(Clone, Debug)]
pub(crate) struct Details {
    pub(crate) status: StatusCode,
    /// Stable name for programs, the last part of `type`.
    pub(crate) code: &'static str,
    pub(crate) detail: String,
    pub(crate) field: Option<String>,
    pub(crate) accepted: Option<String>,
    pub(crate) hint: Option<String>,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// For our log alone.
    pub(crate) cause: Option<String>,
    /// The request cannot be followed by another on the same connection.
    pub(crate) closes: bool,
}

/// The JSON shape.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemJson<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    request_id: &'a str,
}

impl std::ops::Deref for Problem {
    type Target = Details;

    fn deref(&self) -> &Details {
        &self.0
    }
}

impl std::ops::DerefMut for Problem {
    fn deref_mut(&mut self) -> &mut Details {
        &mut self.0
    }
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self(Box::new(Details {
            status,
            code,
            detail: detail.into(),
            field: None,
            accepted: None,
            hint: None,
            headers: Vec::new(),
            cause: None,
            closes: false,
        }))
    }

    /// 400: the request itself is not well-formed.
    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", detail)
    }

    /// 422: well-formed, and not acceptable.
    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail)
    }

    /// 404.
    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", detail)
    }

    /// 403: a browser acts for a page that is not ours.
    pub(crate) fn foreign(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "foreign-page", detail)
    }

    /// 500, without a word about the inside.
    pub(crate) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "this request met a fault of ours; the server goes on")
            .hint("the server's log names the cause next to this request_id")
    }

    /// 503: not now.
    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
            .header(hyper::header::RETRY_AFTER, HeaderValue::from_static("2"))
    }

    pub(crate) fn field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    pub(crate) fn accepted(mut self, accepted: impl Into<String>) -> Self {
        self.accepted = Some(accepted.into());
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What the log shall say, and the client shall not know.
    pub(crate) fn because(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(crate) fn closing(mut self) -> Self {
        self.closes = true;
        self
    }

    pub(crate) fn into_reply(self, request_id: &str) -> Reply {
        let closes = self.closes;
        let body = ProblemJson {
            kind: format!("urn:network-stats:problem:{}", self.code),
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            field: self.field.as_deref(),
            accepted: self.accepted.as_deref(),
            hint: self.hint.as_deref(),
            request_id,
        };
        let bytes = serde_json::to_vec(&body).expect("strings and numbers serialise");
        let mut reply = Reply::new(self.status).body(PROBLEM_JSON, bytes);
        if let Ok(value) = HeaderValue::from_str(request_id) {
            reply = reply.header(HeaderName::from_static("x-request-id"), value);
        }
        for (name, value) in self.0.headers {
            reply = reply.header(name, value);
        }
        if closes {
            reply = reply.header(hyper::header::CONNECTION, HeaderValue::from_static("close"));
        }
        reply
    }
}
