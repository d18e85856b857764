//! Who may come in: users, their API tokens and sessions. Hashes only.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use netstats_event::{
    Envelope, Event, Position, Role, SessionId, SessionStarted, Timestamp, TokenAdded, TokenId, TokenSpec, UserId,
    UserSpec,
};

use crate::model::name_key;

/// A user, as they are known at a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Their number.
    pub id: UserId,
    /// Who they are.
    pub spec: UserSpec,
    /// When they were added.
    pub created_at: Timestamp,
    /// The event that last changed them.
    pub changed: Position,
}

/// An API token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its number.
    pub id: TokenId,
    /// What it is.
    pub spec: TokenSpec,
    /// When it was added.
    pub created_at: Timestamp,
    /// The event that added it.
    pub added: Position,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its number.
    pub id: SessionId,
    /// Whose it is.
    pub user: UserId,
    /// BLAKE3 of its secret.
    pub hash: [u8; 32],
    /// From where it was started.
    pub address: Option<IpAddr>,
    /// When it was started.
    pub started_at: Timestamp,
    /// Not at or after.
    pub expires_at: Timestamp,
}

/// Users, tokens and sessions at a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// Users by id.
    pub users: BTreeMap<UserId, Arc<User>>,
    /// Tokens by id; those that expired are among them until they are revoked.
    pub tokens: BTreeMap<TokenId, Arc<Token>>,
    /// Sessions by id. Those that expired leave when the next one starts.
    pub sessions: BTreeMap<SessionId, Arc<Session>>,
    /// The id of the next user. Ids are not used twice.
    pub next_user: UserId,
    /// The id of the next token. Ids are not used twice.
    pub next_token: TokenId,
    /// The id of the next session. Ids are not used twice.
    pub next_session: SessionId,
    token_hashes: BTreeMap<[u8; 32], TokenId>,
    session_hashes: BTreeMap<[u8; 32], SessionId>,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            users: BTreeMap::new(),
            tokens: BTreeMap::new(),
            sessions: BTreeMap::new(),
            next_user: UserId(1),
            next_token: TokenId(1),
            next_session: SessionId(1),
            token_hashes: BTreeMap::new(),
            session_hashes: BTreeMap::new(),
        }
    }
}

impl Access {
    /// The user of that name, whatever its case.
    #[must_use]
    pub fn user_by_name(&self, name: &str) -> Option<&Arc<User>> {
        let key = name_key(name);
        self.users.values().find(|user| name_key(&user.spec.name) == key)
    }

    /// The user of that id or name.
    #[must_use]
    pub fn find_user(&self, id_or_name: &str) -> Option<&Arc<User>> {
        match id_or_name.parse() {
            Ok(id) => self.users.get(&UserId(id)),
            Err(_) => self.user_by_name(id_or_name),
        }
    }

    /// The token of that hash with its owner and what it may do, if it counts at `now`.
    #[must_use]
    pub fn token(&self, hash: &[u8; 32], now: Timestamp) -> Option<(&Arc<Token>, &Arc<User>, Role)> {
        let token = self.tokens.get(self.token_hashes.get(hash)?)?;
        let user = self.users.get(&token.spec.user)?;
        let counts = token.spec.expires_at.is_none_or(|at| now < at);
        counts.then(|| (token, user, token.spec.role.min(user.spec.role)))
    }

    /// The session of that hash with its user, if it counts at `now`.
    #[must_use]
    pub fn session(&self, hash: &[u8; 32], now: Timestamp) -> Option<(&Arc<Session>, &Arc<User>)> {
        let session = self.sessions.get(self.session_hashes.get(hash)?)?;
        let user = self.users.get(&session.user)?;
        (now < session.expires_at).then_some((session, user))
    }

    /// Admins besides `except`.
    pub(crate) fn admins_besides(&self, except: UserId) -> usize {
        self.users.values().filter(|user| user.id != except && user.spec.role == Role::Admin).count()
    }

    /// Folds one event; returns what it touched.
    pub(crate) fn apply(&mut self, envelope: &Envelope) -> Touched {
        let (position, at) = (envelope.position, envelope.recorded_at);
        let mut touched = Touched::default();
        match &envelope.event {
            Event::UserAdded(e) => {
                self.insert_user(User { id: e.id, spec: e.spec.clone(), created_at: at, changed: position });
                touched.users.push(e.id);
            }
            Event::UserChanged(e) => {
                if let Some(old) = self.users.get(&e.id) {
                    let created_at = old.created_at;
                    self.insert_user(User { id: e.id, spec: e.spec.clone(), created_at, changed: position });
                    touched.users.push(e.id);
                }
            }
            Event::UserRemoved(e) => {
                self.users.remove(&e.id);
                touched.users.push(e.id);
            }
            Event::TokenAdded(TokenAdded { id, spec, .. }) => {
                self.insert_token(Token { id: *id, spec: spec.clone(), created_at: at, added: position });
                touched.tokens.push(*id);
            }
            Event::TokenRevoked(e) => {
                if let Some(token) = self.tokens.remove(&e.id) {
                    self.token_hashes.remove(&token.spec.hash);
                }
                touched.tokens.push(e.id);
            }
            Event::SessionStarted(e) => {
                let over: Vec<_> = self.sessions.values().filter(|s| s.expires_at <= at).map(|s| s.id).collect();
                over.iter().for_each(|id| self.end_session(*id));
                touched.sessions.extend(over);
                let SessionStarted { id, user, hash, address, expires_at, .. } = e.clone();
                self.insert_session(Session { id, user, hash, address, started_at: at, expires_at });
                touched.sessions.push(id);
            }
            Event::SessionEnded(e) => {
                self.end_session(e.id);
                touched.sessions.push(e.id);
            }
            _ => {}
        }
        touched
    }

    fn end_session(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.remove(&id) {
            self.session_hashes.remove(&session.hash);
        }
    }

    pub(crate) fn insert_user(&mut self, user: User) {
        self.next_user = self.next_user.max(UserId(user.id.0.saturating_add(1)));
        self.users.insert(user.id, Arc::new(user));
    }

    pub(crate) fn insert_token(&mut self, token: Token) {
        self.next_token = self.next_token.max(TokenId(token.id.0.saturating_add(1)));
        self.token_hashes.insert(token.spec.hash, token.id);
        self.tokens.insert(token.id, Arc::new(token));
    }

    pub(crate) fn insert_session(&mut self, session: Session) {
        self.next_session = self.next_session.max(SessionId(session.id.0.saturating_add(1)));
        self.session_hashes.insert(session.hash, session.id);
        self.sessions.insert(session.id, Arc::new(session));
    }
}

/// What an event touched.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    pub(crate) users: Vec<UserId>,
    pub(crate) tokens: Vec<TokenId>,
    pub(crate) sessions: Vec<SessionId>,
}
