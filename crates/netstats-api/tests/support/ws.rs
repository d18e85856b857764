//! A WebSocket client that speaks the protocol of `/ws`.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use super::{BOUND, Server};

pub struct Client(pub WebSocketStream<TcpStream>);

/// Connected, and greeted.
pub async fn connect(server: &Server) -> Client {
    connect_to(server, "/ws").await
}

/// The same with a query.
pub async fn connect_to(server: &Server, path: &str) -> Client {
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (mut client, response) =
        client_async(format!("ws://{}{path}", server.address), stream).await.map(|(s, r)| (Client(s), r)).unwrap();
    assert_eq!(response.status(), 101);
    assert_eq!(client.hear().await["type"], "hello");
    client
}

impl Client {
    pub async fn say(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    /// The next text as it is, or how it was closed.
    pub async fn next_text(&mut self) -> Result<String, u16> {
        loop {
            let message = tokio::time::timeout(BOUND, self.0.next()).await.expect("a message in time");
            match message {
                Some(Ok(Message::Text(text))) => return Ok(text.as_str().to_owned()),
                Some(Ok(Message::Close(frame))) => return Err(frame.map_or(1005, |frame| frame.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(1006),
            }
        }
    }

    /// The next text, or how it was closed.
    pub async fn next(&mut self) -> Result<Value, u16> {
        self.next_text().await.map(|text| serde_json::from_str(&text).unwrap())
    }

    pub async fn hear(&mut self) -> Value {
        self.next().await.unwrap()
    }

    pub async fn subscribe(&mut self, message: Value) -> Value {
        let mut message = message;
        message["op"] = json!("subscribe");
        self.say(message).await;
        self.hear().await
    }

    /// All texts of updates until a message of that type comes; and that message.
    pub async fn updates_until(&mut self, kind: &str) -> (Vec<String>, Value) {
        let mut updates = Vec::new();
        loop {
            let text = self.next_text().await.unwrap();
            let message: Value = serde_json::from_str(&text).unwrap();
            match message["type"].as_str().unwrap() {
                "update" => updates.push(text),
                "heartbeat" => {}
                found => {
                    assert_eq!(found, kind, "{text}");
                    return (updates, message);
                }
            }
        }
    }
}

/// A socket whose frames the test makes itself.
pub async fn raw(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let request = format!(
        "GET /ws HTTP/1.1\r\nhost: {}\r\nconnection: keep-alive, Upgrade\r\nupgrade: WebSocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        server.address
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    // The example of RFC 6455 1.3.
    assert!(head.starts_with("HTTP/1.1 101") && head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
    stream
}

/// A masked frame with a mask of zeros.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        n @ 0..126 => bytes.push(0x80 | u8::try_from(n).unwrap()),
        n @ 126..65_536 => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&u16::try_from(n).unwrap().to_be_bytes());
        }
        n => {
            bytes.push(0x80 | 127);
            bytes.extend_from_slice(&(n as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(payload);
    bytes
}
