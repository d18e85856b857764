//! The other end of `/ws`, for the command line: reads what a server says.

use futures_util::{SinkExt, StreamExt};
use hyper::header::{AUTHORIZATION, HeaderValue};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};

use crate::Error;

/// Hands each text of `ws://{authority}/ws?{query}` to `each`, until it returns false or the server has said all, and
/// sends the server what comes out of `said`. `stream` is connected to that server; `token` lets in.
///
/// # Errors
/// The server refuses (with its own words), or the connection breaks.
pub async fn watch(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    authority: &str,
    token: Option<&str>,
    query: &str,
    mut said: UnboundedReceiver<String>,
    mut each: impl FnMut(&str) -> bool,
) -> Result<(), Error> {
    let told = |error: SocketError| Error::Watch(in_words(&error));
    let mut request = format!("ws://{authority}/ws?{query}").into_client_request().map_err(told)?;
    if let Some(value) = token.and_then(|token| HeaderValue::from_str(&format!("Bearer {token}")).ok()) {
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    let connected = client_async(request, stream).await;
    let (mut socket, _) = connected.map_err(|error| Error::Watch(in_words(&error)))?;
    loop {
        let message = tokio::select! {
            message = socket.next() => message,
            Some(text) = said.recv() => {
                socket.send(Message::text(text)).await.map_err(|error| Error::Watch(in_words(&error)))?;
                continue;
            }
        };
        let Some(message) = message else { break };
        match message.map_err(|error| Error::Watch(in_words(&error)))? {
            Message::Text(text) if !each(text.as_str()) => {
                // Said goodbye or not, nothing more is read.
                let _ = socket.close(None).await;
                break;
            }
            Message::Close(frame) => {
                let Some(frame) = frame.filter(|frame| !frame.reason.is_empty()) else { break };
                return Err(Error::Watch(format!("the product closed the connection: {}", frame.reason)));
            }
            _ => {}
        }
    }
    Ok(())
}

fn in_words(error: &SocketError) -> String {
    let SocketError::Http(response) = error else { return error.to_string() };
    let body = response.body().as_deref().unwrap_or_default();
    let problem: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let part = |name: &str| problem.as_ref().and_then(|problem| problem[name].as_str()).map(str::to_owned);
    match (part("detail"), part("accepted")) {
        (Some(detail), Some(accepted)) => format!("{detail} (accepted: {accepted})"),
        (Some(detail), None) => detail,
        _ => format!("the product answers with {}", response.status()),
    }
}
