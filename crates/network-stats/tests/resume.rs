//! Killed under load, again and again: a client that comes back with its last position has every event once.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "tests wait by the clock and say what they counted"
)]

mod support;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use support::{PATIENCE, Product};
use tokio::time::timeout;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

/// Kills in the ordinary run; `NETSTATS_LONG=N` multiplies.
const KILLS: u64 = 10;

/// What a client has, over all its connections.
#[derive(Default)]
struct Seen {
    texts: Vec<String>,
    connections: usize,
}

impl Seen {
    fn position(&self) -> u64 {
        self.texts.len() as u64
    }
}

/// Follows everything from its last position on, until the connection breaks or `enough` is there.
async fn follow(authority: &str, seen: &Mutex<Seen>, enough: Option<u64>) {
    let Ok(stream) = tokio::net::TcpStream::connect(authority).await else { return };
    let Ok((mut socket, _)) = client_async(format!("ws://{authority}/ws"), stream).await else { return };
    let from = {
        let mut seen = seen.lock().unwrap();
        seen.connections += 1;
        seen.position()
    };
    let subscribe = json!({"op": "subscribe", "id": "all", "from": from});
    if socket.send(Message::text(subscribe.to_string())).await.is_err() {
        return;
    }
    while enough.is_none_or(|enough| seen.lock().unwrap().position() < enough) {
        let Ok(message) = timeout(PATIENCE, socket.next()).await else { panic!("nothing comes any more") };
        let Some(Ok(message)) = message else { return };
        let Message::Text(text) = message else { continue };
        let json: Value = serde_json::from_str(text.as_str()).unwrap();
        match json["type"].as_str().unwrap() {
            "update" => {
                let mut seen = seen.lock().unwrap();
                assert_eq!(json["position"].as_u64(), Some(seen.position() + 1), "no gap, no repeat: {text}");
                seen.texts.push(text.as_str().to_owned());
            }
            "hello" | "subscribed" | "heartbeat" => {}
            // Slower than the writers: what was left out comes with the next subscription.
            "lagged" => return,
            other => panic!("{other}: {text}"),
        }
    }
}

#[test]
fn a_client_that_comes_back_after_a_crash_has_every_event_once() {
    let long: u64 = std::env::var("NETSTATS_LONG").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let folder = tempfile::tempdir().unwrap();
    let seen = Arc::new(Mutex::new(Seen::default()));
    let acknowledged = AtomicU64::new(0);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for round in 0..KILLS * long {
        let product = Product::start(folder.path(), &[]);
        let authority = product.url.trim_start_matches("http://").to_owned();
        let following = {
            let (seen, authority) = (Arc::clone(&seen), authority.clone());
            runtime.spawn(async move {
                loop {
                    follow(&authority, &seen, None).await;
                    if tokio::net::TcpStream::connect(&authority).await.is_err() {
                        return;
                    }
                }
            })
        };
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for writer in 0..2 {
                let (product, is_over, acknowledged) = (&product, &is_over, &acknowledged);
                scope.spawn(move || {
                    for i in 0_u64.. {
                        if is_over.load(Ordering::Relaxed) {
                            return;
                        }
                        let body = json!({"name": format!("{round}.{writer}.{i}"), "host": "192.0.2.1"});
                        // Whether an answer that was cut off counts is not known, and nobody claims it.
                        if let Ok((201, made)) = product.ask("POST", "/api/destinations", Some(&body)) {
                            acknowledged.fetch_max(made["position"].as_u64().unwrap(), Ordering::Relaxed);
                        }
                    }
                });
            }
            // A different moment each round; what is waited for is load, not an event.
            std::thread::park_timeout(Duration::from_millis(150 + round * 97 % 400));
            product.signal("KILL");
            is_over.store(true, Ordering::Relaxed);
        });
        drop(product);
        runtime.block_on(async { timeout(PATIENCE, following).await.expect("the follower sees the end") }).unwrap();
    }
    let product = Product::start(folder.path(), &[]);
    let authority = product.url.trim_start_matches("http://").to_owned();
    let last = product.get("/api/health")["position"].as_u64().unwrap();
    assert!(last >= acknowledged.load(Ordering::Relaxed), "an acknowledged event is missing");
    let whole = Mutex::new(Seen::default());
    runtime.block_on(async {
        follow(&authority, &seen, Some(last)).await;
        follow(&authority, &whole, Some(last)).await;
    });
    let (seen, whole) = (seen.lock().unwrap(), whole.lock().unwrap());
    assert_eq!(seen.texts, whole.texts, "what was told live is what the log tells");
    println!("{} kills, {} events, {} connections", KILLS * long, seen.position(), seen.connections);
}
