//! The UI's files, as HTTP: caching, encodings, a strict content security policy.

use hyper::StatusCode;
use hyper::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, ETAG, HeaderName, HeaderValue,
    IF_NONE_MATCH, VARY,
};

use crate::reply::Reply;
use crate::route::Call;

/// The file at a path; none if there is none.
pub(crate) fn find(call: &Call) -> Option<Reply> {
    if let Some(page) = crate::routes::docs::page(call) {
        return Some(page);
    }
    let asset = netstats_web::find(&crate::path::decode(&call.path, false).ok()?)?;
    let given = |name: HeaderName| call.headers.get(name).and_then(|value| value.to_str().ok());
    let body = asset.negotiate(given(ACCEPT_ENCODING));
    let mut reply = Reply::new(StatusCode::OK)
        .header(ETAG, HeaderValue::from_static(body.etag))
        .header(CACHE_CONTROL, HeaderValue::from_static(asset.cache_control()))
        .header(CONTENT_SECURITY_POLICY, HeaderValue::from_static(netstats_web::CONTENT_SECURITY_POLICY))
        .header(VARY, HeaderValue::from_static("accept-encoding"));
    if given(IF_NONE_MATCH).is_some_and(|tags| netstats_web::etag_matches(tags, body.etag)) {
        reply.status = StatusCode::NOT_MODIFIED;
        return Some(reply);
    }
    if let Some(encoding) = body.encoding {
        reply = reply.header(CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    Some(reply.body(HeaderValue::from_static(asset.content_type), bytes::Bytes::from_static(body.bytes)))
}
