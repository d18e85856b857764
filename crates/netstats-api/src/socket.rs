//! `/ws`: the handshake, and the sockets that are open.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{
    CONNECTION, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::{HeaderMap, Method, Request, StatusCode, Version};
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::app::App;
use crate::declare::Access;
use crate::door::Upgrade;
use crate::path::Query;
use crate::problem::Problem;
use crate::protocol::read_query;
use crate::reply::Reply;
use crate::server::Slots;
use crate::who::Who;

/// Bytes read at once from a socket: clients say little.
const READ_BUFFER_BYTES: usize = 4 * 1024;
/// Bytes gathered before they are written without a flush.
const FLUSH_BYTES: usize = 8 * 1024;
/// Bytes that may wait for a socket to take them.
const WRITE_BUFFER_BYTES: usize = 256 * 1024;

/// The open WebSockets.
pub(crate) struct Sockets {
    app: Arc<App>,
    slots: Arc<Slots>,
    /// Each session holds a clone: when all are gone, all sessions have ended.
    alive: mpsc::Sender<()>,
}

/// Tells when every session has ended.
pub(crate) struct Ended(mpsc::Receiver<()>);

impl Ended {
    pub(crate) async fn all(mut self) {
        while self.0.recv().await.is_some() {}
    }
}

impl Sockets {
    pub(crate) fn new(app: Arc<App>) -> (Self, Ended) {
        let (alive, ended) = mpsc::channel(1);
        (Self { app, slots: Arc::new(Slots::default()), alive }, Ended(ended))
    }

    /// What the door calls for `/ws`.
    pub(crate) fn into_upgrade(self) -> Upgrade {
        Box::new(move |request, who| self.upgrade(request, who))
    }

    fn upgrade(&self, mut request: Request<Incoming>, who: Who) -> Result<Reply, Problem> {
        who.may(Access::Needs(netstats_event::Role::Viewer))?;
        let key = check(request.method(), request.version(), request.headers())?;
        let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes())).map_err(|_| Problem::internal())?;
        let limits = &self.app.context.limits;
        let most = limits.sockets;
        let slot = self.slots.take(who.address, most, most).ok_or_else(|| {
            Problem::unavailable("too many WebSockets are open").accepted(format!("at most {most}")).closing()
        })?;
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(FLUSH_BYTES)
            .max_write_buffer_size(WRITE_BUFFER_BYTES)
            .max_message_size(Some(limits.message_bytes))
            .max_frame_size(Some(limits.message_bytes));
        let query = Query::parse(request.uri().query())?;
        let first = read_query(&query, &self.app.context.inventory.current(), self.app.now())?;
        let (app, alive) = (self.app.clone(), self.alive.clone());
        let upgrading = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let _held = (slot, alive);
            match upgrading.await {
                Ok(upgraded) => {
                    let stream = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config));
                    crate::session::run(app, who, stream.await, first).await;
                }
                Err(error) => tracing::debug!(%error, "the upgrade to a WebSocket failed"),
            }
        });
        Ok(Reply::new(StatusCode::SWITCHING_PROTOCOLS)
            .header(UPGRADE, HeaderValue::from_static("websocket"))
            .header(CONNECTION, HeaderValue::from_static("Upgrade"))
            .header(SEC_WEBSOCKET_ACCEPT, accept))
    }
}

/// The client's half of the handshake (RFC 6455 4.2.1); the key.
fn check<'h>(method: &Method, version: Version, headers: &'h HeaderMap) -> Result<&'h str, Problem> {
    const VERSION: HeaderValue = HeaderValue::from_static("13");
    let has = |name: &HeaderName, word: &str| {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|part| part.trim().eq_ignore_ascii_case(word))
    };
    if method != Method::GET {
        return Err(Problem::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            "a WebSocket is opened with GET",
        )
        .accepted("GET")
        .header(hyper::header::ALLOW, HeaderValue::from_static("GET")));
    }
    if version != Version::HTTP_11 || !has(&UPGRADE, "websocket") || !has(&CONNECTION, "upgrade") {
        return Err(Problem::new(StatusCode::UPGRADE_REQUIRED, "upgrade-required", "/ws speaks WebSocket only")
            .hint("connect with a WebSocket client: ws://localhost:8080/ws")
            .header(UPGRADE, HeaderValue::from_static("websocket"))
            .header(CONNECTION, HeaderValue::from_static("Upgrade")));
    }
    if headers.get(SEC_WEBSOCKET_VERSION) != Some(&VERSION) {
        return Err(Problem::new(
            StatusCode::UPGRADE_REQUIRED,
            "websocket-version",
            "not a WebSocket version known here",
        )
        .field("sec-websocket-version")
        .accepted("13")
        .header(SEC_WEBSOCKET_VERSION, VERSION));
    }
    let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).iter();
    let key = keys.next().and_then(|key| key.to_str().ok()).filter(|_| keys.next().is_none());
    // 16 bytes in base64.
    let is_good = |key: &str| {
        let digits = key.strip_suffix("==").unwrap_or_default();
        digits.len() == 22 && digits.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/')
    };
    key.filter(|key| is_good(key))
        .ok_or_else(|| Problem::malformed("the WebSocket key is not 16 bytes in base64").field("sec-websocket-key"))
}
