//! From hyper to tide and back, checked. http-types makes invalid strings of foreign header bytes and panics on others
//! (RUSTSEC-2026-0174), so a request's head is judged here, byte by byte, and travels through tide as an extension.

use std::collections::hash_map::RandomState;
use std::convert::Infallible;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, TRANSFER_ENCODING};
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Version};
use tracing::Instrument;

use crate::browser::{self, Hosts};
use crate::encoding;
use crate::guard::Pulse;
use crate::limits::Limits;
use crate::path::{Query, check_path};
use crate::problem::Problem;
use crate::reply::Reply;
use crate::route::{Asked, Call, Carried};
use crate::stream::StreamBody;
use crate::who::Who;

/// What happens to an upgrade request for `/ws` whose head has passed all checks.
pub(crate) type Upgrade = Box<dyn Fn(Request<Incoming>, Who) -> Result<Reply, Problem> + Send + Sync>;

/// Whose request it is, by its head.
pub(crate) type Knock = Box<dyn Fn(&Method, &HeaderMap, IpAddr) -> Result<Who, Problem> + Send + Sync>;

/// What came of a request's head.
enum Opened {
    /// The answer already: an upgrade.
    Answered(Reply),
    /// A call with its body still to be read.
    Asked(Call, Incoming),
}

/// What a request is called in the log and in a refusal: written out only where somebody reads it.
#[derive(Clone, Copy)]
struct RequestId {
    /// This start's own number.
    start: u32,
    number: u64,
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{:x}", self.start, self.number)
    }
}

/// The door: judges, routes, answers.
pub(crate) struct Door {
    app: tide::Server<()>,
    hosts: Hosts,
    limits: Arc<Limits>,
    knock: Knock,
    upgrade: Upgrade,
    base: http_types::Url,
    /// Request ids: this start's own number, and a count.
    start: u32,
    count: AtomicU64,
}

impl Door {
    pub(crate) fn new(
        app: tide::Server<()>,
        hosts: Hosts,
        limits: Arc<Limits>,
        knock: Knock,
        upgrade: Upgrade,
    ) -> Self {
        let start = (RandomState::new().build_hasher().finish() & 0xffff_ffff) as u32;
        let base = http_types::Url::parse("http://localhost/").expect("a constant URL");
        Self { app, hosts, limits, knock, upgrade, base, start, count: AtomicU64::new(0) }
    }

    /// Answers one request; whatever happens inside, the connection gets a response.
    pub(crate) async fn answer(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
        pulse: &Arc<Pulse>,
    ) -> Result<Response<Either<Full<Bytes>, StreamBody>>, Infallible> {
        pulse.busy();
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let accepted = encoding::accepted(request.headers());
        // The path alone: a query may hold what is nobody's business.
        let (start, method, path) = (self.start, request.method(), request.uri().path());
        let span = tracing::debug_span!("request", id = %RequestId { start, number }, %peer, %method, path);
        let result = match span.in_scope(|| self.open(request, peer)) {
            Ok(Opened::Answered(reply)) => Ok(reply),
            Ok(Opened::Asked(call, body)) => self.route(call, body).instrument(span.clone()).await,
            Err(problem) => Err(problem),
        };
        let reply = result.unwrap_or_else(|problem| {
            let id = RequestId { start, number }.to_string();
            if problem.status.is_server_error() {
                let (status, cause) = (problem.status.as_u16(), problem.cause.as_deref().unwrap_or_default());
                tracing::warn!(request_id = %id, status, detail = %problem.detail, cause, "request failed");
            }
            problem.into_reply(&id)
        });
        let reply = encoding::encode(reply, accepted).await;
        tracing::debug!(parent: &span, status = reply.status.as_u16(), "answered");
        if reply.status != StatusCode::SWITCHING_PROTOCOLS && reply.stream.is_none() {
            pulse.idle();
        }
        let mut response = Response::new(match reply.stream {
            Some(stream) => Either::Right(stream.into_body(pulse.clone())),
            None => Either::Left(Full::new(reply.body)),
        });
        *response.status_mut() = reply.status;
        *response.headers_mut() = reply.headers;
        if reply.status != StatusCode::SWITCHING_PROTOCOLS {
            harden(response.headers_mut());
        }
        Ok(response)
    }

    /// Judges a request by its head.
    fn open(&self, mut request: Request<Incoming>, peer: SocketAddr) -> Result<Opened, Problem> {
        self.check_head(&request)?;
        let path = request.uri().path();
        browser::check(&self.hosts, request.method(), request.headers(), !is_api(path))?;
        let who = (self.knock)(request.method(), request.headers(), peer.ip())?;
        if path == "/ws" {
            return (self.upgrade)(request, who).map(Opened::Answered);
        }
        let query = Query::parse(request.uri().query())?;
        let path = path.to_owned();
        // HEAD is GET whose body hyper leaves out.
        let method = if request.method() == Method::HEAD { Method::GET } else { request.method().clone() };
        let headers = std::mem::take(request.headers_mut());
        let call = Asked { method, path, query, headers, body: Bytes::new(), id: String::new(), who };
        Ok(Opened::Asked(Box::new(call), request.into_body()))
    }

    async fn route(&self, mut call: Call, body: Incoming) -> Result<Reply, Problem> {
        if !body.is_end_stream() {
            // In a box: it is rare, and would make every request's future larger.
            call.body = Box::pin(self.body(&call.method, &call.headers, body)).await?;
        }
        let routed = self.app.respond::<_, http_types::Response>(self.carried(call)?);
        let mut response = tokio::time::timeout(self.limits.handler_time, routed)
            .await
            .map_err(|_| {
                Problem::unavailable(format!("no answer within {} s", self.limits.handler_time.as_secs()))
                    .hint("ask for less, or again later")
            })?
            .map_err(|_| Problem::internal())?;
        let carried = response.ext_mut().get_mut::<std::sync::Mutex<Option<Carried>>>();
        match carried.and_then(|slot| slot.get_mut().ok()?.take()) {
            Some(Carried(result)) => result,
            // Every endpoint carries; tide itself answers only where none is mounted, and `*` takes all.
            None => Err(Problem::internal()),
        }
    }

    /// The request that tide sees: method and path, and the call as an extension.
    fn carried(&self, call: Call) -> Result<http_types::Request, Problem> {
        let method = &call.method;
        let known = method.as_str().parse::<http_types::Method>().map_err(|_| {
            Problem::new(StatusCode::NOT_IMPLEMENTED, "method-unknown", format!("{method} is not a method known here"))
        })?;
        let mut url = self.base.clone();
        url.set_path(&call.path);
        let mut request = http_types::Request::new(known, url);
        request.ext_mut().insert(Some(call));
        Ok(request)
    }

    /// The head, byte by byte, before anything acts on it.
    fn check_head(&self, request: &Request<Incoming>) -> Result<(), Problem> {
        let headers = request.headers();
        if headers.len() > self.limits.head_fields {
            let detail = format!("the request has {} header fields", headers.len());
            let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            return Err(Problem::new(status, "too-many-headers", detail)
                .accepted(format!("at most {}", self.limits.head_fields))
                .closing());
        }
        // hyper bounds what it buffers, and lets a head a little larger through when it comes in one piece.
        let line = request.method().as_str().len() + request.uri().path_and_query().map_or(0, |it| it.as_str().len());
        let fields: usize =
            headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len()).sum();
        if line + "  HTTP/1.1\r\n\r\n".len() + fields > self.limits.head_bytes {
            let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            return Err(Problem::new(status, "head-too-large", "the head of the request is too large")
                .accepted(format!("at most {} bytes", self.limits.head_bytes))
                .closing());
        }
        for (name, value) in headers {
            if !value.as_bytes().iter().all(|byte| matches!(byte, b'\t' | 0x20..=0x7e)) {
                return Err(Problem::malformed(format!("the header {name} holds a byte outside visible ASCII"))
                    .field(name.as_str())
                    .closing());
            }
        }
        if request.version() != Version::HTTP_11 && request.version() != Version::HTTP_10 {
            return Err(Problem::malformed("only HTTP/1.1 and HTTP/1.0 are spoken here").closing());
        }
        let mut encodings = headers.get_all(TRANSFER_ENCODING).iter();
        if let Some(encoding) = encodings.next()
            && (encodings.next().is_some() || !encoding.as_bytes().eq_ignore_ascii_case(b"chunked"))
        {
            return Err(Problem::malformed("the only transfer encoding taken is one \"chunked\"")
                .field("transfer-encoding")
                .closing());
        }
        let uri = request.uri();
        if uri.authority().is_some() || uri.scheme().is_some() {
            return Err(Problem::malformed("the request line holds a whole URL")
                .hint("this is no proxy: send the path alone, as in GET /api/health HTTP/1.1")
                .closing());
        }
        check_path(uri.path())
    }

    async fn body(&self, method: &Method, headers: &HeaderMap, body: Incoming) -> Result<Bytes, Problem> {
        if method == Method::GET {
            return Err(Problem::malformed("a GET or HEAD request has no body").closing());
        }
        let limit = self.limits.body_bytes;
        let too_large = || {
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "the body is too large")
                .accepted(format!("at most {limit} bytes"))
                .closing()
        };
        let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > limit as u64) {
            return Err(too_large());
        }
        match tokio::time::timeout(self.limits.body_time, Limited::new(body, limit).collect()).await {
            Ok(Ok(collected)) => Ok(collected.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
            Ok(Err(_)) => Err(Problem::malformed("the body broke off or is badly chunked").closing()),
            Err(_) => Err(Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                "body-too-slow",
                format!("the body did not come within {} s", self.limits.body_time.as_secs()),
            )
            .closing()),
        }
    }
}

/// Paths that only our own pages and programs may ask for; the others are documents and files of the UI.
fn is_api(path: &str) -> bool {
    path == "/ws" || path == "/metrics" || path == "/api" || path.starts_with("/api/")
}

/// Headers that every response carries unless it has its own.
fn harden(headers: &mut HeaderMap) {
    const CSP: HeaderName = hyper::header::CONTENT_SECURITY_POLICY;
    headers.insert(hyper::header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(hyper::header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.entry(CSP).or_insert(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
    if headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html")) {
        headers.insert(hyper::header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(hyper::header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    }
    headers.insert(HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin"));
}
