//! A WebSocket client that speaks the protocol of `/ws`.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
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
