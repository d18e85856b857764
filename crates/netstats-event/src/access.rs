//! Config events about who may come in. They hold hashes only: the log is for ever.

use std::net::IpAddr;

use crate::{Meta, Role, SessionId, Timestamp, TokenId, UserId};

/// A user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserSpec {
    /// Unique, case-insensitively.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Argon2id of the password as a PHC string; empty for one who comes with tokens only.
    pub password_hash: String,
}

/// An API token of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSpec {
    /// Whose it is: it dies with them, and never may more than they.
    pub user: UserId,
    /// What it is for, in its owner's words.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// BLAKE3 of the token, which is 256 random bits.
    pub hash: [u8; 32],
    /// Not at or after.
    pub expires_at: Option<Timestamp>,
}

/// A user was added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserAdded {
    /// Their id.
    pub id: UserId,
    /// Who they are.
    pub spec: UserSpec,
    /// By whom.
    pub meta: Meta,
}

/// A user was changed: the whole new state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserChanged {
    /// Their id.
    pub id: UserId,
    /// Who they are now.
    pub spec: UserSpec,
    /// By whom.
    pub meta: Meta,
}

/// A user was removed, and their tokens and sessions with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRemoved {
    /// Their id.
    pub id: UserId,
    /// By whom.
    pub meta: Meta,
}

/// A token was added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenAdded {
    /// Its id.
    pub id: TokenId,
    /// What it is.
    pub spec: TokenSpec,
    /// By whom.
    pub meta: Meta,
}

/// A token was revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRevoked {
    /// Its id.
    pub id: TokenId,
    /// By whom.
    pub meta: Meta,
}

/// Somebody logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionStarted {
    /// The session's id.
    pub id: SessionId,
    /// Who.
    pub user: UserId,
    /// BLAKE3 of the session's secret, which is 256 random bits.
    pub hash: [u8; 32],
    /// From where.
    pub address: Option<IpAddr>,
    /// Not at or after.
    pub expires_at: Timestamp,
    /// By whom.
    pub meta: Meta,
}

/// A session ended before its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionEnded {
    /// The session's id.
    pub id: SessionId,
    /// By whom, and why.
    pub meta: Meta,
}

/// Somebody was not let in. One event stands for all of a kind within a while, so that nobody fills the log by trying.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessDenied {
    /// From where.
    pub address: Option<IpAddr>,
    /// What they asked for, as `POST /api/jobs`.
    pub request: String,
    /// Why they were not let in.
    pub reason: String,
    /// How often since the last such event.
    pub count: u32,
    /// Who they said or proved to be.
    pub meta: Meta,
}
