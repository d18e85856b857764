//! What a handler gives back: handed from tide to hyper without passing through http-types.

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{HeaderMap, StatusCode};
use netstats_event::Position;
use serde::Serialize;

use crate::stream::Stream;

pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(crate) const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// A response in the making.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// A body that is made while it is sent; then `body` is empty.
    pub(crate) stream: Option<Stream>,
    /// The position of the event that made the entry shown what it is: part of its `ETag`.
    pub(crate) version: Option<u64>,
}

impl Reply {
    pub(crate) fn new(status: StatusCode) -> Self {
        Self { status, headers: HeaderMap::with_capacity(8), body: Bytes::new(), stream: None, version: None }
    }

    /// 200 with a JSON body.
    pub(crate) fn json(body: &impl Serialize) -> Self {
        Self::new(StatusCode::OK).body(JSON, to_bytes(body))
    }

    pub(crate) fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    pub(crate) fn body(mut self, content_type: HeaderValue, body: impl Into<Bytes>) -> Self {
        self.headers.insert(CONTENT_TYPE, content_type);
        self.body = body.into();
        self
    }

    /// With a body that is made while it is sent.
    pub(crate) fn stream(mut self, content_type: HeaderValue, stream: Stream) -> Self {
        self.headers.insert(CONTENT_TYPE, content_type);
        self.stream = Some(stream);
        self
    }

    /// Shows an entry as the event at `position` made it.
    pub(crate) fn version(mut self, position: Position) -> Self {
        self.version = Some(position.0);
        self
    }

    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }
}

/// One of our shapes as JSON.
pub(crate) fn to_bytes(body: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(2_048);
    serde_json::to_writer(&mut bytes, body).expect("our shapes have string keys and finite numbers");
    bytes
}
