//! One WebSocket: subscriptions, replay, live updates, heartbeats. One live queue for all its subscriptions, so that
//! positions come in order; a replay at a speed of its own has the socket to itself.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use netstats_broadcast::{Delivery, JOIN_DISTANCE, Subscription, Update, replay};
use netstats_event::{Position, Role};
use netstats_log::ReadLimit;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error as SocketError};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::app::App;
use crate::command::blocking;
use crate::feed;
use crate::playback::Playback;
use crate::problem::Problem;
use crate::protocol::{Ask, Op, PlayAsk, Say, Speed, Wanted, read, union};
use crate::server::stopped;
use crate::who::Who;

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
    who: Who,
    stream: WebSocketStream<TokioIo<Upgraded>>,
    subscriptions: Vec<(String, Wanted)>,
    live: Option<Subscription>,
    playback: Option<Playback>,
    /// Everything wanted up to here was sent (or told as a lag).
    position: Position,
    tokens: f64,
    counted_at: Instant,
    heard_at: Instant,
}

/// Talks until one side has enough; first of all replays what was asked for in the address.
pub(crate) async fn run(app: Arc<App>, who: Who, stream: WebSocketStream<TokioIo<Upgraded>>, first: Option<PlayAsk>) {
    let now = Instant::now();
    let position = app.context.broadcaster.position();
    let tokens = f64::from(app.context.limits.messages_per_s * BURST_S);
    let mut session = Session {
        app,
        who,
        stream,
        subscriptions: Vec::new(),
        live: None,
        playback: None,
        position,
        tokens,
        counted_at: now,
        heard_at: now,
    };
    if let Err(End::Close(code, reason)) = session.talk(first).await {
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

/// When the replay has something to do; never, without one or while it is paused.
async fn due(playback: Option<&Playback>) {
    match playback.and_then(|playback| playback.due(Instant::now())) {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

impl Session {
    async fn talk(&mut self, first: Option<PlayAsk>) -> Result<(), End> {
        let hello = Say::Hello { position: self.position.0, version: self.app.context.version };
        self.say(&hello).await?;
        let mut heartbeat = interval(self.app.context.limits.heartbeat);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        heartbeat.reset();
        if let Some(ask) = first {
            self.play(ask).await?;
        }
        let stop = stopped(self.app.stopping.clone());
        let mut stop = std::pin::pin!(stop);
        loop {
            tokio::select! {
                biased;
                () = &mut stop => return Err(End::Close(CloseCode::Away, "the server stops")),
                message = self.stream.next() => self.heard(message).await?,
                _ = heartbeat.tick() => self.beat().await?,
                delivery = next(&mut self.live) => self.deliver(delivery).await?,
                () = due(self.playback.as_ref()) => self.play_on().await?,
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
        match read(text, &inventory, self.app.now()) {
            Ok(Op::Ping) => {
                let position = self.position.0;
                self.say(&Say::Pong { position }).await
            }
            Ok(Op::Unsubscribe { id }) => self.unsubscribe(&id).await,
            Ok(Op::Subscribe(ask)) if self.playback.is_some() => {
                let problem =
                    Problem::new(hyper::StatusCode::CONFLICT, "replaying", "a replay has the socket to itself")
                        .hint("unsubscribe the replay first, or open another socket");
                self.refuse(&problem, Some(&ask.id)).await
            }
            Ok(Op::Subscribe(ask)) => self.subscribe(ask).await,
            Ok(Op::Replay(ask)) => self.play(ask).await,
            Ok(Op::Pause { id }) => self.pause(&id, true, None).await,
            Ok(Op::Resume { id, speed }) => self.pause(&id, false, speed).await,
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

    async fn play(&mut self, mut ask: PlayAsk) -> Result<(), End> {
        ask.wanted.shows_access = self.who.is(Role::Admin);
        let id = ask.id.clone();
        if !self.subscriptions.is_empty() || self.playback.is_some() {
            let problem = Problem::new(hyper::StatusCode::CONFLICT, "subscribed", "a replay has the socket to itself")
                .hint("unsubscribe everything first, or open another socket");
            return self.refuse(&problem, Some(&id)).await;
        }
        match Playback::begin(&self.app, ask).await {
            Ok(playback) => {
                let (from, to) = playback.span();
                let speed = playback.speed.to_string();
                self.playback = Some(playback);
                self.say(&Say::Replaying { id: &id, from: from.0, to: to.0, speed }).await
            }
            Err(problem) => self.refuse(&problem, Some(&id)).await,
        }
    }

    /// Sends what is due of the replay; at its end says so, and follows if that was asked for.
    async fn play_on(&mut self) -> Result<(), End> {
        let Some(playback) = &mut self.playback else { return Ok(()) };
        let Ok(over) = playback.fill(&self.app).await else {
            return Err(End::Close(CloseCode::Error, "the log cannot be read"));
        };
        if let Some(over) = over {
            self.playback = None;
            self.position = over.position;
            self.say(&Say::Replayed { id: &over.id, position: over.position.0 }).await?;
            if over.follow {
                let ask = Ask { id: over.id, wanted: over.wanted, from: Some(over.position), snapshot: false };
                self.subscribe(ask).await?;
            }
            return Ok(());
        }
        for _ in 0..BATCH {
            let Some(frame) = self.playback.as_mut().and_then(|playback| playback.take(Instant::now())) else { break };
            self.position = frame.position;
            self.send(frame.text).await?;
        }
        self.flush().await
    }

    async fn pause(&mut self, id: &str, is_paused: bool, speed: Option<Speed>) -> Result<(), End> {
        let Some(playback) = self.playback.as_mut().filter(|playback| playback.id == id) else {
            return self.refuse(&Problem::not_found("there is no replay of that id"), Some(id)).await;
        };
        playback.pause(is_paused, speed);
        let (position, speed) = (playback.position().0, playback.speed.to_string());
        if is_paused {
            self.say(&Say::Paused { id, position }).await
        } else {
            self.say(&Say::Resumed { id, position, speed }).await
        }
    }

    async fn unsubscribe(&mut self, id: &str) -> Result<(), End> {
        if self.playback.take_if(|playback| playback.id == id).is_some() {
            return self.say(&Say::Unsubscribed { id }).await;
        }
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
        let Ask { id, mut wanted, from, snapshot } = ask;
        wanted.shows_access = self.who.is(Role::Admin);
        let most = self.app.context.limits.subscriptions;
        if self.subscriptions.len() >= most && !self.subscriptions.iter().any(|(known, _)| *known == id) {
            let problem = Problem::new(hyper::StatusCode::CONFLICT, "too-many-subscriptions", "too many subscriptions")
                .accepted(format!("at most {most}"));
            return self.refuse(&problem, Some(&id)).await;
        }
        let mut past = from;
        if let Some(from) = from {
            let app = self.app.clone();
            if let Some(reset) = feed::reset(&app, &id, from) {
                past = None;
                self.say(&reset).await?;
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
        for update in updates {
            self.send_update(&update, Some(wanted)).await?;
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
                self.send_update(&update, None).await
            }
            Delivery::Lagged(lag) => {
                self.position = lag.to;
                self.say(&Say::Lagged { missed: lag.missed, from: lag.from.0, to: lag.to.0 }).await
            }
        }
    }

    /// An update, if this one or, without one, any of the subscriptions wants it.
    async fn send_update(&mut self, update: &Arc<Update>, one: Option<&Wanted>) -> Result<(), End> {
        let text = match one {
            Some(wanted) => feed::text_for(&self.app, update, std::iter::once(wanted)).await,
            None => feed::text_for(&self.app, update, self.subscriptions.iter().map(|(_, wanted)| wanted)).await,
        };
        match text.map_err(|_| End::Close(CloseCode::Error, "the log cannot be read"))? {
            Some(text) => self.send(text.to_string()).await,
            None => Ok(()),
        }
    }

    /// Ping and heartbeat: the client sees how far it is, and proxies see life.
    async fn beat(&mut self) -> Result<(), End> {
        let limits = &self.app.context.limits;
        if self.heard_at.elapsed() > limits.heartbeat * SILENT_HEARTBEATS {
            return Err(End::Close(CloseCode::Policy, "no answer to pings"));
        }
        if !self.app.gate.still_counts(&self.app.context, &self.who) {
            return Err(End::Close(CloseCode::Policy, "the login or token does not count any more"));
        }
        // Read before the queue is looked at: what is published up to here is in the queue or sent.
        let position = self.app.context.broadcaster.position();
        while let Some(delivery) = self.live.as_mut().and_then(Subscription::try_recv) {
            self.pass_on(delivery).await?;
        }
        // What a replay has sent so far is all that its client has.
        self.position = self.playback.as_ref().map_or(self.position.max(position), Playback::position);
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
