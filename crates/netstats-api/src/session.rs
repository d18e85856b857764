//! One WebSocket: subscriptions, replay, live updates, heartbeats. One live queue for all its subscriptions, so that
//! positions come in order.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use netstats_broadcast::{Delivery, JOIN_DISTANCE, Subscription, Update, replay};
use netstats_event::Position;
use netstats_log::ReadLimit;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error as SocketError};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::app::App;
use crate::command::blocking;
use crate::json::update_text;
use crate::problem::Problem;
use crate::protocol::{Ask, Op, Say, Wanted, read, union};
use crate::server::stopped;

/// Updates sent before the socket is flushed and the other side is listened to again.
const BATCH: usize = 128;
/// Messages a client may send at once after it was quiet, in seconds of its rate.
const BURST_S: u32 = 10;
/// Heartbeats without a sign of life after which a client is given up.
const SILENT_HEARTBEATS: u32 = 3;
/// How long a goodbye may take.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// Why a session ends.
enum End {
    /// Said to the client.
    Close(CloseCode, &'static str),
    /// The client is gone, or does not take anything any more.
    Gone,
}

struct Session {
    app: Arc<App>,
    stream: WebSocketStream<TokioIo<Upgraded>>,
    subscriptions: Vec<(String, Wanted)>,
    live: Option<Subscription>,
    /// Everything wanted up to here was sent (or told as a lag).
    position: Position,
    tokens: f64,
    counted_at: Instant,
    heard_at: Instant,
}

/// Talks until one side has enough.
pub(crate) async fn run(app: Arc<App>, stream: WebSocketStream<TokioIo<Upgraded>>) {
    let now = Instant::now();
    let position = app.context.broadcaster.position();
    let tokens = f64::from(app.context.limits.messages_per_s * BURST_S);
    let mut session = Session {
        app,
        stream,
        subscriptions: Vec::new(),
        live: None,
        position,
        tokens,
        counted_at: now,
        heard_at: now,
    };
    if let Err(End::Close(code, reason)) = session.talk().await {
        let frame = CloseFrame { code, reason: reason.into() };
        let goodbye = async {
            let _ = session.stream.close(Some(frame)).await;
            // Until the client has answered, so that what was sent arrives.
            while let Some(Ok(_)) = session.stream.next().await {}
        };
        let _ = timeout(CLOSE_TIME, goodbye).await;
    }
}

/// The next live delivery; never, without a subscription.
async fn next(live: &mut Option<Subscription>) -> Option<Delivery> {
    match live {
        Some(live) => live.recv().await,
        None => std::future::pending().await,
    }
}

impl Session {
    async fn talk(&mut self) -> Result<(), End> {
        let hello = Say::Hello { position: self.position.0, version: self.app.context.version };
        self.say(&hello).await?;
        let mut heartbeat = interval(self.app.context.limits.heartbeat);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        heartbeat.reset();
        let stop = stopped(self.app.stopping.clone());
        let mut stop = std::pin::pin!(stop);
        loop {
            tokio::select! {
                biased;
                () = &mut stop => return Err(End::Close(CloseCode::Away, "the server stops")),
                message = self.stream.next() => self.heard(message).await?,
                _ = heartbeat.tick() => self.beat().await?,
                delivery = next(&mut self.live) => self.deliver(delivery).await?,
            }
        }
    }

    async fn heard(&mut self, message: Option<Result<Message, SocketError>>) -> Result<(), End> {
        let message = match message {
            None => return Err(End::Gone),
            Some(Ok(message)) => message,
            Some(Err(error)) => {
                return Err(match error {
                    SocketError::Capacity(CapacityError::MessageTooLong { .. }) => {
                        End::Close(CloseCode::Size, "the message is too long")
                    }
                    SocketError::Capacity(_) => End::Close(CloseCode::Size, "too much"),
                    SocketError::Utf8(_) => End::Close(CloseCode::Invalid, "the text is not UTF-8"),
                    SocketError::Protocol(_) => End::Close(CloseCode::Protocol, "not RFC 6455"),
                    _ => End::Gone,
                });
            }
        };
        self.heard_at = Instant::now();
        self.count()?;
        match message {
            Message::Text(text) => self.obey(text.as_str()).await,
            Message::Binary(_) => Err(End::Close(CloseCode::Unsupported, "this protocol is JSON text")),
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => Ok(()),
        }
    }

    /// Takes a token for a message; they come back with the time.
    fn count(&mut self) -> Result<(), End> {
        let rate = f64::from(self.app.context.limits.messages_per_s);
        let gained = self.heard_at.duration_since(self.counted_at).as_secs_f64() * rate;
        self.tokens = (self.tokens + gained).min(rate * f64::from(BURST_S)) - 1.0;
        self.counted_at = self.heard_at;
        if self.tokens < 0.0 { Err(End::Close(CloseCode::Policy, "too many messages")) } else { Ok(()) }
    }

    async fn obey(&mut self, text: &str) -> Result<(), End> {
        let inventory = self.app.context.inventory.current();
        match read(text, &inventory) {
            Ok(Op::Ping) => {
                let position = self.position.0;
                self.say(&Say::Pong { position }).await
            }
            Ok(Op::Unsubscribe { id }) => self.unsubscribe(&id).await,
            Ok(Op::Subscribe(ask)) => self.subscribe(ask).await,
            Err((problem, id)) => self.refuse(&problem, id.as_deref()).await,
        }
    }

    async fn refuse(&mut self, problem: &Problem, id: Option<&str>) -> Result<(), End> {
        self.say(&Say::Error {
            code: problem.code,
            message: &problem.detail,
            id,
            field: problem.field.as_deref(),
            accepted: problem.accepted.as_deref(),
            hint: problem.hint.as_deref(),
        })
        .await
    }

    async fn unsubscribe(&mut self, id: &str) -> Result<(), End> {
        let before = self.subscriptions.len();
        self.subscriptions.retain(|(known, _)| known != id);
        if self.subscriptions.len() == before {
            let problem = Problem::not_found("there is no subscription of that id");
            return self.refuse(&problem, Some(id)).await;
        }
        self.listen().await?;
        self.say(&Say::Unsubscribed { id }).await
    }

    /// A subscription of an id that is there replaces it.
    async fn subscribe(&mut self, ask: Ask) -> Result<(), End> {
        let Ask { id, wanted, from, snapshot } = ask;
        let most = self.app.context.limits.subscriptions;
        if self.subscriptions.len() >= most && !self.subscriptions.iter().any(|(known, _)| *known == id) {
            let problem = Problem::new(hyper::StatusCode::CONFLICT, "too-many-subscriptions", "too many subscriptions")
                .accepted(format!("at most {most}"));
            return self.refuse(&problem, Some(&id)).await;
        }
        let mut past = from;
        if let Some(from) = from {
            let (first, head) = (self.app.context.journal.first(), self.app.context.journal.head().last);
            let why = if from.next() < first {
                Some("what came after that position is not kept any more: load everything again")
            } else if from.0 > head {
                Some("that position is not in this log: load everything again")
            } else {
                None
            };
            if let Some(message) = why {
                past = None;
                let position = self.app.context.broadcaster.position().0;
                self.say(&Say::Reset { id: &id, position, first: first.0, message }).await?;
            }
        }
        // The bulk of the past first: the live queue would overflow meanwhile.
        if let Some(past) = &mut past {
            self.say(&Say::Subscribed { id: &id, position: past.0 }).await?;
            while self.app.context.broadcaster.position().0.saturating_sub(past.0) > JOIN_DISTANCE {
                *past = self.replay(&wanted, *past, Position(u64::MAX)).await?;
            }
        }
        self.subscriptions.retain(|(known, _)| *known != id);
        self.subscriptions.push((id.clone(), wanted.clone()));
        let joined_after = self.listen().await?;
        match past {
            Some(mut past) => {
                while past < joined_after {
                    past = self.replay(&wanted, past, joined_after).await?;
                }
            }
            None if snapshot => self.snapshot(&id, joined_after).await?,
            None => self.say(&Say::Subscribed { id: &id, position: joined_after.0 }).await?,
        }
        Ok(())
    }

    /// Changes the live queue to what is subscribed now, without gap or repeat; returns where the new one begins.
    async fn listen(&mut self) -> Result<Position, End> {
        let filter = union(self.subscriptions.iter().map(|(_, wanted)| &wanted.filter));
        let fresh = if self.subscriptions.is_empty() {
            None
        } else {
            let subscribed = self.app.context.broadcaster.subscribe(filter);
            Some(subscribed.map_err(|_| End::Close(CloseCode::Again, "too many subscriptions are open"))?)
        };
        let joined_after =
            fresh.as_ref().map_or_else(|| self.app.context.broadcaster.position(), Subscription::joined_after);
        // What the old one holds from before is still owed; what comes after, the new one has too.
        let mut old = std::mem::replace(&mut self.live, fresh);
        while let Some(delivery) = old.as_mut().and_then(Subscription::try_recv) {
            match delivery {
                Delivery::Update(update) if update.envelope.position > joined_after => break,
                delivery => self.pass_on(delivery).await?,
            }
        }
        self.position = self.position.max(joined_after);
        self.flush().await?;
        Ok(joined_after)
    }

    /// One batch of the log for one subscription; returns the last position looked at.
    async fn replay(&mut self, wanted: &Wanted, past: Position, to: Position) -> Result<Position, End> {
        if *self.app.stopping.borrow() {
            return Err(End::Close(CloseCode::Away, "the server stops"));
        }
        let (app, filter) = (self.app.clone(), wanted.filter.clone());
        let limit = ReadLimit { records: 1_024, ..ReadLimit::default() };
        let read = blocking(move || replay(&*app.context.journal, &filter, past, to, limit)).await;
        let Ok(Ok((updates, looked_at))) = read else {
            return Err(End::Close(CloseCode::Error, "the log cannot be read"));
        };
        let inventory = self.app.context.inventory.current();
        for update in updates {
            if wanted.wants(&update.envelope.event, &inventory) {
                self.send_update(&update).await?;
            }
        }
        self.flush().await?;
        // At the tail nothing more comes of it.
        Ok(if looked_at == past { to.min(self.app.context.broadcaster.position()).max(past) } else { looked_at })
    }

    /// All destinations and jobs, as known at least at `position`.
    async fn snapshot(&mut self, id: &str, position: Position) -> Result<(), End> {
        let _ = timeout(Duration::from_secs(5), self.app.context.runner.wait_for_async(position)).await;
        let text = crate::routes::snapshot_text(&self.app, id, position);
        self.send(text).await?;
        self.flush().await
    }

    async fn deliver(&mut self, delivery: Option<Delivery>) -> Result<(), End> {
        // Ended from the other side: too slow too often, or the program ends.
        let Some(delivery) = delivery else {
            return Err(End::Close(CloseCode::Again, "too slow, or the server stops"));
        };
        self.pass_on(delivery).await?;
        for _ in 1..BATCH {
            let Some(delivery) = self.live.as_mut().and_then(Subscription::try_recv) else { break };
            self.pass_on(delivery).await?;
        }
        self.flush().await
    }

    async fn pass_on(&mut self, delivery: Delivery) -> Result<(), End> {
        match delivery {
            Delivery::Update(update) => {
                self.position = update.envelope.position;
                let inventory = self.app.context.inventory.current();
                let is_wanted = self.subscriptions.iter().any(|(_, w)| w.wants(&update.envelope.event, &inventory));
                if is_wanted { self.send_update(&update).await } else { Ok(()) }
            }
            Delivery::Lagged(lag) => {
                self.position = lag.to;
                self.say(&Say::Lagged { missed: lag.missed, from: lag.from.0, to: lag.to.0 }).await
            }
        }
    }

    async fn send_update(&mut self, update: &Arc<Update>) -> Result<(), End> {
        let app = &self.app;
        let text = update.encoded(|envelope| update_text(envelope, &app.context.inventory.current()));
        let text = text.to_string();
        self.send(text).await
    }

    /// Ping and heartbeat: the client sees how far it is, and proxies see life.
    async fn beat(&mut self) -> Result<(), End> {
        let limits = &self.app.context.limits;
        if self.heard_at.elapsed() > limits.heartbeat * SILENT_HEARTBEATS {
            return Err(End::Close(CloseCode::Policy, "no answer to pings"));
        }
        // Read before the queue is looked at: what is published up to here is in the queue or sent.
        let position = self.app.context.broadcaster.position();
        while let Some(delivery) = self.live.as_mut().and_then(Subscription::try_recv) {
            self.pass_on(delivery).await?;
        }
        self.position = self.position.max(position);
        let position = self.position.0;
        self.feed(Message::Ping(Bytes::new())).await?;
        self.say(&Say::Heartbeat { position }).await
    }

    async fn say(&mut self, say: &Say<'_>) -> Result<(), End> {
        let text = serde_json::to_string(say).map_err(|_| End::Gone)?;
        self.send(text).await?;
        self.flush().await
    }

    async fn send(&mut self, text: String) -> Result<(), End> {
        self.feed(Message::text(text)).await
    }

    async fn feed(&mut self, message: Message) -> Result<(), End> {
        match timeout(self.app.context.limits.socket_write_time, self.stream.feed(message)).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(End::Gone),
        }
    }

    async fn flush(&mut self) -> Result<(), End> {
        match timeout(self.app.context.limits.socket_write_time, self.stream.flush()).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(End::Gone),
        }
    }
}
