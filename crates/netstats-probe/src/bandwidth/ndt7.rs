//! Against an ndt7 server (m-lab/ndt-server, spec/ndt7-protocol.md): one WebSocket, bytes one way.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::meter::{Meter, throughput};
use super::protocol::Way;
use super::responder::noise;
use super::{Moved, Plan, stream_to};
use crate::clock::now;
use crate::platform;

const SUBPROTOCOL: &str = "net.measurementlab.ndt.v7";
const FIRST_MESSAGE: usize = 1 << 13;
/// The protocol allows 2^24; more than this is not faster.
const LARGEST_MESSAGE: usize = 1 << 20;
/// A message may grow while it is at most this part of what has been sent.
const GROWTH: u64 = 16;

pub(super) async fn run(plan: &Plan, way: Way) -> Result<Moved, String> {
    let stream = stream_to(plan).await?;
    let meter = Meter::new(plan.max_bytes);
    let retransmits = if is_plain(plan.address.port()) {
        talk(stream, "ws", plan, way, &meter, |stream| stream).await?
    } else {
        let stream = plan.tls.connect(stream, &plan.host, true, &["http/1.1"]).await.stream?;
        talk(stream, "wss", plan, way, &meter, |stream| stream.get_ref().0).await?
    };
    Ok(Moved {
        throughput: throughput(meter.whole_bins(), plan.duration, retransmits),
        bytes: meter.total(),
        is_cut: meter.is_spent(),
    })
}

/// Public servers speak TLS at 443; the port of plain HTTP and high ports without it are for test set-ups.
const fn is_plain(port: u16) -> bool {
    !matches!(port, 443 | 4443 | 8443)
}

/// Moves the bytes; `tcp` finds the connection under the stream. Up: what was sent again, where the system tells.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    scheme: &str,
    plan: &Plan,
    way: Way,
    meter: &Meter,
    tcp: impl Fn(&S) -> &TcpStream,
) -> Result<Option<u32>, String> {
    let path = if way == Way::Down { "download" } else { "upload" };
    let authority = if plan.host.contains(':') { format!("[{}]", plan.host) } else { plan.host.clone() };
    let url = format!("{scheme}://{authority}:{}/ndt/v7/{path}", plan.address.port());
    let mut request = url.into_client_request().map_err(|error| error.to_string())?;
    request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static(SUBPROTOCOL));
    let config = WebSocketConfig::default().max_message_size(Some(1 << 24)).max_frame_size(Some(1 << 24));
    let (socket, _) = tokio_tungstenite::client_async_with_config(request, stream, Some(config))
        .await
        .map_err(|error| format!("this is no ndt7 server: {error}"))?;
    match way {
        Way::Down => download(socket, plan, meter).await.map(|()| None),
        Way::Up => upload(socket, plan, meter, tcp).await,
    }
}

async fn download<S: AsyncRead + AsyncWrite + Unpin>(
    mut socket: WebSocketStream<S>,
    plan: &Plan,
    meter: &Meter,
) -> Result<(), String> {
    let end = now() + plan.duration;
    loop {
        match tokio::time::timeout_at(end.into(), socket.next()).await {
            Ok(Some(Ok(message))) => {
                if !meter.add(message.len()) || message.is_close() {
                    break;
                }
            }
            Ok(Some(Err(error))) if meter.total() == 0 => return Err(format!("the ndt7 server broke off: {error}")),
            // The server ends after its own ten seconds, in order or not.
            Ok(Some(Err(_)) | None) | Err(_) => break,
        }
    }
    let _ = tokio::time::timeout(Duration::from_millis(500), socket.close(None)).await;
    Ok(())
}

async fn upload<S: AsyncRead + AsyncWrite + Unpin>(
    socket: WebSocketStream<S>,
    plan: &Plan,
    meter: &Meter,
    tcp: impl Fn(&S) -> &TcpStream,
) -> Result<Option<u32>, String> {
    let (mut sink, mut source) = socket.split();
    let end = now() + plan.duration;
    let (mut size, mut sent) = (FIRST_MESSAGE, 0_u64);
    let mut body = noise(size);
    loop {
        tokio::select! {
            biased;
            message = source.next() => match message {
                // The server says what it has received: the receiver's figure is the true one.
                Some(Ok(Message::Text(text))) => {
                    if let Some((at, bytes)) = app_info(&text) {
                        meter.reported(at, bytes);
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => break,
            },
            sending = sink.send(Message::binary(body.clone())) => {
                if sending.is_err() {
                    break;
                }
                sent += size as u64;
                if size < LARGEST_MESSAGE && (size as u64) < sent / GROWTH {
                    size *= 2;
                    body = noise(size);
                }
            }
            () = tokio::time::sleep_until(end.into()) => break,
        }
        if now() >= end || sent >= plan.max_bytes {
            break;
        }
    }
    let _ = tokio::time::timeout(Duration::from_millis(500), sink.close()).await;
    if meter.total() == 0 {
        return Err("the ndt7 server did not say what it received".to_owned());
    }
    Ok(sink.reunite(source).ok().and_then(|socket| platform::retransmits(tcp(socket.get_ref()))))
}

/// Elapsed time and bytes of a measurement message.
pub(super) fn app_info(text: &str) -> Option<(Duration, u64)> {
    let message: Value = serde_json::from_str(text).ok()?;
    let info = &message["AppInfo"];
    Some((Duration::from_micros(info["ElapsedTime"].as_u64()?), info["NumBytes"].as_u64()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_measurement_is_read() {
        let text = r#"{"AppInfo":{"ElapsedTime":250000,"NumBytes":1234},"TCPInfo":{"RTT":9}}"#;
        assert_eq!(app_info(text), Some((Duration::from_millis(250), 1_234)));
        assert_eq!(app_info("{}"), None);
        assert_eq!(app_info("x"), None);
    }
}
