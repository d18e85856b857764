//! Who comes in: credentials of a request to a [`Who`]. The door asks here once for each request, before its body is
//! read; what a route needs is compared in `route.rs`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hyper::header::{AUTHORIZATION, COOKIE, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method};
use netstats_event::{AccessDenied, Event, Meta, SessionId, Timestamp, TokenId};
use tokio::sync::Semaphore;

use crate::context::ApiContext;
use crate::limits::{DENIAL_EVERY, HASHES_AT_ONCE, MAX_DENIALS, SESSION_IDLE, SESSION_LASTS};
use crate::problem::Problem;
use crate::secret;
use crate::throttle::Throttle;
use crate::who::{By, Who, unauthorized};

pub(crate) const CSRF: HeaderName = HeaderName::from_static("x-nsc-csrf");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// How the server is reached, as far as it matters for who may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reach {
    /// From this machine only, and directly.
    pub(crate) is_local: bool,
    /// Browsers see `https`: by our TLS, or a proxy's.
    pub(crate) is_secure: bool,
    /// A proxy stands in front and names the client.
    pub(crate) is_proxied: bool,
}

/// The gate.
pub(crate) struct Gate {
    pub(crate) reach: Reach,
    pub(crate) throttle: Throttle,
    /// Passwords hashed at the same time: each takes 19 MiB and a processor.
    pub(crate) hashing: Semaphore,
    /// The one-time token that lets the first admin be made; none once it was used.
    setup: Mutex<Option<[u8; 32]>>,
    /// What lets the command line of this machine in: it reads it in the data folder.
    place: Option<[u8; 32]>,
    used: Mutex<Used>,
    denials: Mutex<HashMap<(IpAddr, &'static str), Denial>>,
}

/// When credentials were last used, since the start.
#[derive(Debug, Default)]
struct Used {
    sessions: HashMap<SessionId, Timestamp>,
    tokens: HashMap<TokenId, Timestamp>,
}

#[derive(Clone, Copy, Debug)]
struct Denial {
    told: Timestamp,
    since: u32,
}

impl Gate {
    pub(crate) fn new(context: &ApiContext, reach: Reach) -> Self {
        let hash = |secret: &Option<String>| secret.as_deref().map(secret::hash);
        Self {
            reach,
            throttle: Throttle::default(),
            hashing: Semaphore::new(HASHES_AT_ONCE),
            setup: Mutex::new(hash(&context.setup_token)),
            place: hash(&context.place_token),
            used: Mutex::default(),
            denials: Mutex::default(),
        }
    }

    /// `__Host-nsc` where the browser holds it to https; `nsc` on plain http.
    pub(crate) const fn cookie_name(&self) -> &'static str {
        if self.reach.is_secure { "__Host-nsc" } else { "nsc" }
    }

    /// The cookie that holds a session's secret; an empty one takes it away.
    pub(crate) fn cookie(&self, secret: &str, lasts: Duration) -> Option<HeaderValue> {
        let (name, age) = (self.cookie_name(), lasts.as_secs());
        let secure = if self.reach.is_secure { "; Secure" } else { "" };
        HeaderValue::from_str(&format!("{name}={secret}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}"))
            .ok()
    }

    /// The address of whoever asks; behind a proxy the one that the proxy saw.
    fn address(&self, headers: &HeaderMap, peer: IpAddr) -> IpAddr {
        let forwarded = || headers.get_all(FORWARDED_FOR).iter().next_back()?.to_str().ok()?.rsplit(',').next();
        let named = self.reach.is_proxied.then(forwarded).flatten().and_then(|text| text.trim().parse().ok());
        named.unwrap_or(peer)
    }

    /// Whose request it is.
    ///
    /// # Errors
    /// 401 for a token that does not count: whoever sends one means it.
    pub(crate) fn who(
        &self,
        context: &ApiContext,
        method: &Method,
        headers: &HeaderMap,
        peer: IpAddr,
    ) -> Result<Who, Problem> {
        let address = self.address(headers, peer);
        let inventory = context.inventory.current();
        let access = &inventory.access;
        if access.users.is_empty() && self.reach.is_local {
            return Ok(Who::local(address));
        }
        if let Some(given) = headers.get(AUTHORIZATION) {
            let token = given.to_str().ok().and_then(|text| text.split_once(' '));
            let token =
                token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
            let hash = secret::hash(token.unwrap_or_default());
            if self.place.is_some_and(|place| secret::same(&place, &hash)) && peer.to_canonical().is_loopback() {
                return Ok(Who { actor: Cow::Borrowed("cli"), ..Who::local(address) });
            }
            let now = (context.clock)();
            let Some((token, _, role)) = access.token(&hash, now) else {
                let who = Who::nobody(address, By::Nothing);
                self.denied(context, &who, "a token", "the token is unknown, revoked or expired");
                return Err(unauthorized("this API token is unknown, revoked or expired"));
            };
            self.used.lock().unwrap_or_else(PoisonError::into_inner).tokens.insert(token.id, now);
            let actor = Cow::Owned(format!("token:{}", token.spec.name));
            return Ok(Who { role: Some(role), actor, by: By::Token(token.spec.user, token.id), address });
        }
        let Some(secret) = self.session_secret(headers) else { return Ok(Who::nobody(address, By::Nothing)) };
        let now = (context.clock)();
        let Some((session, user)) = access.session(&secret::hash(secret), now) else {
            return Ok(Who::nobody(address, By::Nothing));
        };
        // Its start by this clock; the journal's may differ.
        if !self.keep_alive(session.id, session.expires_at.minus(SESSION_LASTS), now) {
            return Ok(Who::nobody(address, By::Nothing));
        }
        let is_look = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
        let csrf = headers.get(CSRF).map(HeaderValue::as_bytes).unwrap_or_default();
        if !is_look && !secret::same(csrf, secret::csrf(secret).as_bytes()) {
            return Ok(Who::nobody(address, By::CookieAlone));
        }
        let actor = Cow::Owned(format!("user:{}", user.spec.name));
        Ok(Who { role: Some(user.spec.role), actor, by: By::Session(user.id, session.id), address })
    }

    /// What the cookie holds.
    pub(crate) fn session_secret<'h>(&self, headers: &'h HeaderMap) -> Option<&'h str> {
        let pairs = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(';'));
        pairs
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(name, _)| *name == self.cookie_name())
            .map(|(_, s)| s)
    }

    /// Notes the use of a session; false if it was left alone for too long. After a restart it counts from its start.
    fn keep_alive(&self, id: SessionId, started_at: Timestamp, now: Timestamp) -> bool {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let last = used.sessions.get(&id).copied().unwrap_or(started_at).max(started_at);
        if now.since(last) > SESSION_IDLE {
            return false;
        }
        used.sessions.retain(|_, last| now.since(*last) <= SESSION_IDLE);
        used.sessions.insert(id, now);
        true
    }

    /// When a token was last used, since the start.
    pub(crate) fn last_use(&self, token: TokenId) -> Option<Timestamp> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).tokens.get(&token).copied()
    }

    /// The credential still counts, for connections that live on: a WebSocket asks now and then.
    pub(crate) fn still_counts(&self, context: &ApiContext, who: &Who) -> bool {
        let inventory = context.inventory.current();
        let access = &inventory.access;
        let now = (context.clock)();
        match who.by {
            By::Place => who.actor == "cli" || (access.users.is_empty() && self.reach.is_local),
            By::Nothing | By::CookieAlone => false,
            By::Token(user, token) => {
                let counts = access.tokens.get(&token).is_some_and(|t| t.spec.expires_at.is_none_or(|at| now < at));
                counts && access.users.contains_key(&user)
            }
            By::Session(user, session) => {
                access.sessions.get(&session).is_some_and(|session| now < session.expires_at)
                    && access.users.get(&user).is_some_and(|user| Some(user.spec.role) >= who.role)
            }
        }
    }

    /// The setup token is this one, and no user is known yet.
    pub(crate) fn is_setup(&self, given: &str) -> bool {
        let setup = self.setup.lock().unwrap_or_else(PoisonError::into_inner);
        setup.is_some_and(|setup| secret::same(&setup, &secret::hash(given)))
    }

    /// It was used.
    pub(crate) fn set_up(&self) {
        *self.setup.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Notes in the audit trail that somebody was not let in: one event for each address and reason within a while.
    pub(crate) fn denied(&self, context: &ApiContext, who: &Who, request: &str, reason: &'static str) {
        let now = (context.clock)();
        let mut denials = self.denials.lock().unwrap_or_else(PoisonError::into_inner);
        if denials.len() >= MAX_DENIALS {
            denials.retain(|_, denial| now.since(denial.told) < DENIAL_EVERY);
        }
        let is_full = denials.len() >= MAX_DENIALS;
        let count = match denials.get_mut(&(who.address, reason)) {
            Some(denial) if now.since(denial.told) < DENIAL_EVERY => {
                denial.since += 1;
                return;
            }
            Some(denial) => std::mem::take(&mut denial.since) + 1,
            // From more addresses than can be told apart: those that are known are told on.
            None if is_full => return,
            None => 1,
        };
        denials.insert((who.address, reason), Denial { told: now, since: 0 });
        drop(denials);
        let event = AccessDenied {
            address: Some(who.address),
            request: request.chars().take(200).collect(),
            reason: reason.to_owned(),
            count,
            meta: Meta::by(who.actor.as_ref()),
        };
        // Nobody waits for it: a full disk must not keep the door from saying no.
        drop(context.journal.submit(vec![Event::from(event)]));
    }
}
