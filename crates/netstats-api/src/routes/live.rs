//! `GET /api/stream`: the live updates of `/ws` as Server-Sent Events (WHATWG HTML, section 9.2), for browsers'
//! `EventSource`, curl, and whatever reads lines. The id of each event is its position: a client that reconnects with
//! `Last-Event-ID` goes on without gap or repeat.

use std::fmt::Write as _;
use std::sync::Arc;

use hyper::header::{HeaderName, HeaderValue};
use hyper::{Method, StatusCode};
use netstats_broadcast::{Delivery, Follow, Step, Subscription, Update};
use netstats_event::{Position, Role};
use netstats_log::ReadLimit;
use tokio::time::{MissedTickBehavior, interval};

use crate::app::App;
use crate::command::blocking;
use crate::declare::{Param, ParamKind, param};
use crate::feed;
use crate::limits::STREAMS;
use crate::problem::Problem;
use crate::protocol::{Say, Wanted, wanted_of};
use crate::reply::Reply;
use crate::route::{Call, Route, route};
use crate::server::stopped;
use crate::stream::{Feeder, Gone, Stream};
use crate::who::Who;

const EVENT_STREAM: &str = "text/event-stream";
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Told to nginx and its like: pass on what comes, as it comes.
const NO_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// Bytes gathered before they are handed on.
const BATCH_BYTES: usize = 32 * 1024;
/// Events read from the log at a time.
const READ: usize = 1_024;

/// What narrows the updates, as in a `subscribe` of `/ws`.
pub(crate) const FILTER: [Param; 4] = [
    param("destinations", ParamKind::List, "Only about these destinations, by name or id"),
    param("jobs", ParamKind::List, "Only about these jobs, by name or id"),
    param("tags", ParamKind::List, "Only about destinations and jobs with one of these tags"),
    param("kinds", ParamKind::List, "Only these kinds or families of events, as ping_measured,config"),
];

pub(crate) fn routes() -> Vec<Route<App>> {
    let stream = route(Method::GET, "/api/stream", stream)
        .says("live", "Updates as they come, as Server-Sent Events")
        .query(&FILTER)
        .query(&[param(
            "from",
            ParamKind::Whole(0, u64::MAX),
            "First what came after this position; the header Last-Event-ID goes before it",
        )])
        .gives_other(EVENT_STREAM);
    vec![stream]
}

async fn stream(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    let wanted =
        Wanted { shows_access: call.who.is(Role::Admin), ..wanted_of(&call.query, &app.context.inventory.current())? };
    let from = match call.headers.get(LAST_EVENT_ID) {
        None => call.query.get("from").and_then(|text| text.parse().ok()),
        Some(id) => Some(id.to_str().ok().and_then(|text| text.trim().parse().ok()).ok_or_else(|| {
            Problem::malformed("Last-Event-ID is no position")
                .field("last-event-id")
                .accepted("the id of an event of ours")
        })?),
    };
    let place = app.streams.clone().try_acquire_owned().map_err(|_| {
        Problem::unavailable("too many streams are open").accepted(format!("at most {STREAMS}")).closing()
    })?;
    let who = call.who.clone();
    let limit = app.context.limits.socket_write_time;
    let stream = Stream::fed_by(limit, move |feeder| async move {
        let _place = place;
        Live { app, who, wanted, text: String::new(), feeder }.run(from.map(Position)).await
    });
    Ok(Reply::new(StatusCode::OK)
        .stream(HeaderValue::from_static(EVENT_STREAM), stream)
        .header(NO_BUFFERING, HeaderValue::from_static("no")))
}

/// One stream.
struct Live {
    app: Arc<App>,
    who: Who,
    wanted: Wanted,
    /// Gathered, and not handed on yet.
    text: String,
    feeder: Feeder,
}

impl Live {
    /// Until the client goes, the server stops, or the credential does not count any more.
    async fn run(mut self, from: Option<Position>) -> Result<(), Gone> {
        let position = self.app.context.broadcaster.position();
        self.say(None, &Say::Hello { position: position.0, version: self.app.context.version });
        let past = match from {
            None => position,
            Some(from) => match feed::reset(&self.app.clone(), "default", from) {
                None => from,
                Some(reset) => {
                    self.say(Some(position), &reset);
                    position
                }
            },
        };
        self.flush().await?;
        let Some(live) = self.catch_up(past).await? else { return Ok(()) };
        self.follow(live, past).await
    }

    /// From the log until it is near the present; none if the server stops meanwhile.
    async fn catch_up(&mut self, past: Position) -> Result<Option<Subscription>, Gone> {
        let mut follow = Follow::new(self.app.context.broadcaster.clone(), self.wanted.filter.clone(), past);
        loop {
            if *self.app.stopping.borrow() {
                return Ok(None);
            }
            let app = self.app.clone();
            let limit = ReadLimit { records: READ, ..ReadLimit::default() };
            let step = blocking(move || {
                let step = follow.step(&*app.context.journal, limit);
                (step, follow)
            });
            let (step, after) = step.await.map_err(|_| Gone)?;
            follow = after;
            match step.map_err(|_| Gone)? {
                Step::Live(live) => return Ok(Some(live)),
                Step::Replayed(updates) => {
                    for update in &updates {
                        self.pass_on(update).await?;
                    }
                    self.flush().await?;
                }
            }
        }
    }

    async fn follow(&mut self, mut live: Subscription, past: Position) -> Result<(), Gone> {
        let mut position = past.max(live.joined_after());
        let mut heartbeat = interval(self.app.context.limits.heartbeat);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        heartbeat.reset();
        let stop = stopped(self.app.stopping.clone());
        let mut stop = std::pin::pin!(stop);
        loop {
            tokio::select! {
                biased;
                () = &mut stop => return Ok(()),
                () = self.feeder.gone() => return Err(Gone),
                delivery = live.recv() => {
                    // Ended from the other side: too slow too often, or the program ends. The client comes back.
                    let Some(delivery) = delivery else { return Ok(()) };
                    position = self.deliver(delivery).await?;
                    while let Some(delivery) = live.try_recv() {
                        position = self.deliver(delivery).await?;
                    }
                }
                _ = heartbeat.tick() => {
                    if !self.app.gate.still_counts(&self.app.context, &self.who) {
                        return Ok(());
                    }
                    // Read before the queue is looked at: what is published up to here is in the queue or sent.
                    let published = self.app.context.broadcaster.position();
                    while let Some(delivery) = live.try_recv() {
                        position = self.deliver(delivery).await?;
                    }
                    position = position.max(published);
                    self.say(Some(position), &Say::Heartbeat { position: position.0 });
                }
            }
            self.flush().await?;
        }
    }

    async fn deliver(&mut self, delivery: Delivery) -> Result<Position, Gone> {
        match delivery {
            Delivery::Update(update) => {
                self.pass_on(&update).await?;
                Ok(update.envelope.position)
            }
            Delivery::Lagged(lag) => {
                self.say(Some(lag.to), &Say::Lagged { missed: lag.missed, from: lag.from.0, to: lag.to.0 });
                Ok(lag.to)
            }
        }
    }

    async fn pass_on(&mut self, update: &Arc<Update>) -> Result<(), Gone> {
        let text = feed::text_for(&self.app, update, std::iter::once(&self.wanted)).await.map_err(|_| Gone)?;
        if let Some(text) = text {
            self.event(Some(update.envelope.position), "update", &text);
        }
        if self.text.len() >= BATCH_BYTES { self.flush().await } else { Ok(()) }
    }

    fn say(&mut self, position: Option<Position>, say: &Say<'_>) {
        if let Ok(text) = serde_json::to_string(say) {
            self.event(position, say.name(), &text);
        }
    }

    /// JSON of ours is one line.
    fn event(&mut self, position: Option<Position>, name: &str, data: &str) {
        if let Some(position) = position {
            let _ = writeln!(self.text, "id: {position}");
        }
        let _ = write!(self.text, "event: {name}\ndata: {data}\n\n");
    }

    async fn flush(&mut self) -> Result<(), Gone> {
        if self.text.is_empty() {
            return Ok(());
        }
        self.feeder.feed(std::mem::take(&mut self.text).into()).await
    }
}
