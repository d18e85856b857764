//! Repeated requests: whoever sends `Idempotency-Key` with a POST and does not hear the answer may send it again, and
//! gets the same answer instead of a second entry (draft-ietf-httpapi-idempotency-key-header-07).

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use hyper::header::{HeaderName, HeaderValue};
use hyper::{Method, StatusCode};
use netstats_event::Timestamp;

use crate::context::Clock;
use crate::limits::{KEPT_FOR, MAX_KEPT_ANSWERS, MAX_KEPT_BYTES, MAX_KEY_CHARS};
use crate::problem::Problem;
use crate::reply::Reply;
use crate::route::Call;

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAY: HeaderName = HeaderName::from_static("idempotent-replay");

/// The answers given, by whose request it was and its key.
pub(crate) struct Repeats {
    kept: Mutex<Kept>,
    clock: Clock,
}

#[derive(Debug, Default)]
struct Kept {
    answers: HashMap<String, Answer>,
    /// Keys in the order in which their requests came.
    order: VecDeque<String>,
    bytes: usize,
}

#[derive(Debug)]
struct Answer {
    /// Digest of the request: the same key on another one is a mistake.
    request: u64,
    at: Timestamp,
    /// None while the first request is under way.
    reply: Option<Reply>,
}

/// What is to be done with a request.
pub(crate) enum First {
    /// Carry it out; there is no key.
    Plain,
    /// Carry it out, and tell how it went.
    Keyed(Turn),
    /// It was carried out: this was the answer.
    Known(Reply),
}

/// The first request of a key. Dropped without an answer, the key is free again.
pub(crate) struct Turn {
    repeats: Arc<Repeats>,
    key: String,
}

impl Repeats {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { kept: Mutex::default(), clock }
    }

    /// Looks a request up.
    ///
    /// # Errors
    /// 400 for a key that is none, 409 while the first is under way, 422 for a key of another request.
    pub(crate) fn look_up(self: &Arc<Self>, call: &Call) -> Result<First, Problem> {
        let Some(key) = call.headers.get(KEY).filter(|_| call.method == Method::POST) else { return Ok(First::Plain) };
        let key = key.to_str().unwrap_or_default();
        if key.is_empty() || key.len() > MAX_KEY_CHARS {
            return Err(Problem::malformed("the Idempotency-Key has the wrong length")
                .field("idempotency-key")
                .accepted(format!("1 to {MAX_KEY_CHARS} characters, as a UUID")));
        }
        let key = format!("{}\n{key}", call.who.actor);
        let (request, now) = (digest(call), (self.clock)());
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.forget_old(now);
        match kept.answers.get(&key) {
            Some(answer) if answer.request != request => Err(Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "key-reused",
                "this key was used for another request",
            )
            .field("idempotency-key")
            .hint("give each request a key of its own, as a fresh UUID")),
            Some(Answer { reply: Some(reply), .. }) => {
                Ok(First::Known(reply.clone().header(REPLAY, HeaderValue::from_static("true"))))
            }
            Some(_) => {
                Err(Problem::new(StatusCode::CONFLICT, "under-way", "the first request of this key is under way")
                    .field("idempotency-key")
                    .hint("ask again in a moment"))
            }
            None => {
                kept.order.push_back(key.clone());
                kept.answers.insert(key.clone(), Answer { request, at: now, reply: None });
                Ok(First::Keyed(Turn { repeats: self.clone(), key }))
            }
        }
    }
}

impl Kept {
    fn forget_old(&mut self, now: Timestamp) {
        while let Some(key) = self.order.front() {
            let answer = self.answers.get(key);
            let is_old = answer.is_none_or(|answer| answer.at.plus(KEPT_FOR) <= now);
            if !is_old && self.answers.len() < MAX_KEPT_ANSWERS && self.bytes <= MAX_KEPT_BYTES {
                return;
            }
            let gone = self.order.pop_front().and_then(|key| self.answers.remove(&key));
            self.bytes -= gone.and_then(|answer| answer.reply).map_or(0, |reply| reply.body.len());
        }
    }
}

impl Turn {
    /// It was carried out. A refusal is not kept: it changed nothing, and the request may be tried again.
    pub(crate) fn done(self, reply: &Reply) {
        let mut kept = self.repeats.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = kept.answers.get_mut(&self.key) {
            answer.reply = Some(reply.clone());
            kept.bytes += reply.body.len();
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut kept = self.repeats.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.answers.get(&self.key).is_some_and(|answer| answer.reply.is_none()) {
            kept.answers.remove(&self.key);
            kept.order.retain(|key| *key != self.key);
        }
    }
}

fn digest(call: &Call) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(call.path.as_bytes());
    for (name, value) in call.query.pairs() {
        hasher.write(name.as_bytes());
        hasher.write_u8(0);
        hasher.write(value.as_bytes());
        hasher.write_u8(0);
    }
    hasher.write(&call.body);
    hasher.finish()
}
