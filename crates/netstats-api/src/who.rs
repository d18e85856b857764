//! Whose request it is, and what they may do.

use std::borrow::Cow;

use hyper::StatusCode;
use hyper::header::{HeaderValue, WWW_AUTHENTICATE};
use netstats_event::Role;

use crate::declare::Access;
use crate::problem::Problem;

/// Whoever asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Who {
    /// What they may do; nothing without credentials.
    pub(crate) role: Option<Role>,
    /// As the audit trail names them.
    pub(crate) actor: Cow<'static, str>,
}

impl Who {
    /// Somebody on this machine, where no user is known: the single-machine default.
    pub(crate) const fn local() -> Self {
        Self { role: Some(Role::Admin), actor: Cow::Borrowed("api:local") }
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
            None => Err(Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", "this needs a login or an API token")
                .hint("POST /api/login with name and password, or send the header Authorization: Bearer nsc_...")
                .header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"network-stats\""))),
        }
    }
}
