//! Whose request it is, and what they may do.

use std::borrow::Cow;
use std::net::IpAddr;

use hyper::StatusCode;
use hyper::header::{HeaderValue, WWW_AUTHENTICATE};
use netstats_event::{Role, SessionId, TokenId, UserId};

use crate::declare::Access;
use crate::problem::Problem;

/// Whoever asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Who {
    /// What they may do; nothing without credentials.
    pub(crate) role: Option<Role>,
    /// As the audit trail names them.
    pub(crate) actor: Cow<'static, str>,
    pub(crate) by: By,
    /// From where.
    pub(crate) address: IpAddr,
}

/// How they proved it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// Not at all.
    Nothing,
    /// A cookie came without the header that a page of another site cannot send: it does not count for a change.
    CookieAlone,
    /// Being on this machine, while no user is known, or reading the data folder.
    Place,
    Token(UserId, TokenId),
    Session(UserId, SessionId),
}

impl Who {
    /// Somebody on this machine, where no user is known: the single-machine default.
    pub(crate) const fn local(address: IpAddr) -> Self {
        Self { role: Some(Role::Admin), actor: Cow::Borrowed("api:local"), by: By::Place, address }
    }

    /// Somebody of whom nothing is known.
    pub(crate) const fn nobody(address: IpAddr, by: By) -> Self {
        Self { role: None, actor: Cow::Borrowed("nobody"), by, address }
    }

    /// The user behind the credential, if there is one.
    pub(crate) const fn user(&self) -> Option<UserId> {
        match self.by {
            By::Token(user, _) | By::Session(user, _) => Some(user),
            By::Nothing | By::CookieAlone | By::Place => None,
        }
    }

    pub(crate) fn is(&self, role: Role) -> bool {
        self.role.is_some_and(|own| own >= role)
    }

    /// They may do what `access` is about.
    ///
    /// # Errors
    /// 401 without credentials, 403 with those of too low a role.
    pub(crate) fn may(&self, access: Access) -> Result<(), Problem> {
        let Access::Needs(needed) = access else { return Ok(()) };
        match self.role {
            Some(role) if role >= needed => Ok(()),
            Some(role) => Err(Problem::new(
                StatusCode::FORBIDDEN,
                "role-too-low",
                format!("{} is {}, and this needs {}", self.actor, role.name(), needed.name()),
            )
            .accepted(needed.name())
            .hint("an admin can change the role: PATCH /api/users/{id}")),
            None if self.by == By::CookieAlone => Err(Problem::new(
                StatusCode::FORBIDDEN,
                "csrf",
                "a change with a session's cookie needs the session's CSRF header too",
            )
            .field("x-nsc-csrf")
            .hint("send the `csrf` of GET /api/me in the header X-NSC-CSRF")),
            None => Err(unauthorized("this needs a login or an API token")),
        }
    }
}

/// 401.
pub(crate) fn unauthorized(detail: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
        .hint("POST /api/login with name and password, or send the header Authorization: Bearer nsc_...")
        .header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"network-stats\""))
}
