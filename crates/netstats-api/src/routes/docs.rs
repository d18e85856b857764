//! The API about itself: its OpenAPI document, and the page to try it out.

use std::sync::{Arc, LazyLock};

use hyper::StatusCode;
use hyper::header::{CONTENT_SECURITY_POLICY, HeaderValue, LOCATION};
use utoipa_swagger_ui::{Config, serve};

use crate::app::App;
use crate::problem::Problem;
use crate::reply::{JSON, Reply};
use crate::route::Call;

/// The page's own policy: its scripts are files of ours; it sets styles on elements and draws icons from `data:`.
const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
    font-src 'self'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// `GET /api/openapi.json`
pub(crate) async fn openapi(_: Arc<App>, _: Call) -> Result<Reply, Problem> {
    Ok(Reply::new(StatusCode::OK).body(JSON, crate::openapi::json()))
}

/// `GET /api/asyncapi.json`: what is said on `/ws`. The file is written by hand; a test of `protocol.rs` holds it to the
/// code.
pub(crate) async fn asyncapi(_: Arc<App>, _: Call) -> Result<Reply, Problem> {
    Ok(Reply::new(StatusCode::OK).body(JSON, crate::protocol::ASYNCAPI.as_bytes()))
}

/// The files of the page at `/docs/`; none for other paths.
pub(crate) fn page(call: &Call) -> Option<Reply> {
    static CONFIG: LazyLock<Arc<Config<'static>>> =
        LazyLock::new(|| Arc::new(Config::from("/api/openapi.json").try_it_out_enabled(true)));
    if call.path == "/docs" {
        let reply = Reply::new(StatusCode::PERMANENT_REDIRECT);
        return Some(reply.header(LOCATION, HeaderValue::from_static("/docs/")));
    }
    let file = serve(call.path.strip_prefix("/docs/")?, CONFIG.clone()).ok().flatten()?;
    let kind = HeaderValue::from_str(&file.content_type).ok()?;
    Some(
        Reply::new(StatusCode::OK)
            .header(CONTENT_SECURITY_POLICY, HeaderValue::from_static(CSP))
            .body(kind, file.bytes.into_owned()),
    )
}
