//! One WebSocket.

use std::sync::Arc;

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;

use crate::app::App;

pub(crate) async fn run(_app: Arc<App>, _stream: WebSocketStream<TokioIo<Upgraded>>) {}
