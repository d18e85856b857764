//! Commands about who may come in.

use netstats_event::{
    Event, Meta, Role, SessionEnded, SessionStarted, TokenAdded, TokenId, TokenRevoked, TokenSpec, UserAdded,
    UserChanged, UserId, UserRemoved, UserSpec,
};

use crate::access::{Access, User};
use crate::command::{AccessCommand, Rejection};
use crate::limits::{MAX_SESSIONS_OF_USER, MAX_TOKENS, MAX_USERS};
use crate::model::name_key;
use crate::validate;

pub(crate) fn decide(state: &Access, command: AccessCommand, meta: &Meta) -> Result<Vec<Event>, Rejection> {
    match command {
        AccessCommand::AddUser(spec) => add_user(state, spec, meta),
        AccessCommand::ChangeUser { id, spec } => change_user(state, id, spec, meta),
        AccessCommand::RemoveUser { id } => remove_user(state, id, meta),
        AccessCommand::AddToken(spec) => add_token(state, spec, meta),
        AccessCommand::RevokeToken { id } => {
            state.tokens.get(&id).ok_or_else(|| Rejection::not_found(format!("there is no token {id}")))?;
            Ok(vec![TokenRevoked { id, meta: meta.clone() }.into()])
        }
        AccessCommand::StartSession { user, hash, address, expires_at } => {
            find(state, user)?;
            let mut of_user: Vec<_> = state.sessions.values().filter(|s| s.user == user).map(|s| s.id).collect();
            of_user.truncate(of_user.len().saturating_sub(MAX_SESSIONS_OF_USER - 1));
            let because = Meta { reason: Some("too many sessions of this user".to_owned()), ..meta.clone() };
            let mut events: Vec<Event> =
                of_user.into_iter().map(|id| SessionEnded { id, meta: because.clone() }.into()).collect();
            let id = state.next_session;
            events.push(SessionStarted { id, user, hash, address, expires_at, meta: meta.clone() }.into());
            Ok(events)
        }
        AccessCommand::EndSession { id } => {
            let is_there = state.sessions.contains_key(&id);
            Ok(is_there.then(|| SessionEnded { id, meta: meta.clone() }.into()).into_iter().collect())
        }
    }
}

fn find(state: &Access, id: UserId) -> Result<&User, Rejection> {
    state.users.get(&id).map(|user| &**user).ok_or_else(|| Rejection::not_found(format!("there is no user {id}")))
}

fn checked(state: &Access, spec: UserSpec, own: Option<UserId>) -> Result<UserSpec, Rejection> {
    let name = validate::name("name", &spec.name)?;
    let key = name_key(&name);
    if let Some(other) = state.users.values().find(|user| Some(user.id) != own && name_key(&user.spec.name) == key) {
        return Err(Rejection::conflict(format!("there is a user named {:?} already", other.spec.name)).at("name"));
    }
    Ok(UserSpec { name, ..spec })
}

fn add_user(state: &Access, spec: UserSpec, meta: &Meta) -> Result<Vec<Event>, Rejection> {
    let spec = checked(state, spec, None)?;
    if state.users.len() >= MAX_USERS || state.next_user.0 == u32::MAX {
        return Err(Rejection::conflict(format!("there are {MAX_USERS} users already, the most allowed")));
    }
    if state.users.is_empty() && spec.role != Role::Admin {
        return Err(
            Rejection::conflict("the first user must be an admin: somebody must be able to add others").at("role")
        );
    }
    Ok(vec![UserAdded { id: state.next_user, spec, meta: meta.clone() }.into()])
}

/// A new password ends the user's sessions: whoever knew the old one is out.
fn change_user(state: &Access, id: UserId, spec: UserSpec, meta: &Meta) -> Result<Vec<Event>, Rejection> {
    let old = find(state, id)?;
    let spec = checked(state, spec, Some(id))?;
    if spec == old.spec {
        return Ok(Vec::new());
    }
    if old.spec.role == Role::Admin && spec.role != Role::Admin && state.admins_besides(id) == 0 {
        return Err(last_admin(old).at("role"));
    }
    let has_new_password = spec.password_hash != old.spec.password_hash;
    let mut events = if has_new_password { end_sessions(state, id, "new password", meta) } else { Vec::new() };
    events.push(UserChanged { id, spec, meta: meta.clone() }.into());
    Ok(events)
}

/// Tokens and sessions first, so that at no point a credential is without its user.
fn remove_user(state: &Access, id: UserId, meta: &Meta) -> Result<Vec<Event>, Rejection> {
    let user = find(state, id)?;
    if user.spec.role == Role::Admin && state.admins_besides(id) == 0 {
        return Err(last_admin(user));
    }
    let because = Meta { reason: Some("the user was removed".to_owned()), ..meta.clone() };
    let of_user = |id: &TokenId| state.tokens.get(id).is_some_and(|token| token.spec.user == user.id);
    let mut events = end_sessions(state, id, "the user was removed", meta);
    events.extend(
        state.tokens.keys().copied().filter(of_user).map(|id| TokenRevoked { id, meta: because.clone() }.into()),
    );
    events.push(UserRemoved { id, meta: meta.clone() }.into());
    Ok(events)
}

fn last_admin(user: &User) -> Rejection {
    Rejection::conflict(format!("{:?} is the only admin: nobody could manage users any more", user.spec.name))
        .hinting("make somebody else an admin first")
}

fn end_sessions(state: &Access, user: UserId, why: &str, meta: &Meta) -> Vec<Event> {
    let because = Meta { reason: Some(why.to_owned()), ..meta.clone() };
    let of_user = state.sessions.values().filter(|session| session.user == user);
    of_user.map(|session| SessionEnded { id: session.id, meta: because.clone() }.into()).collect()
}

fn add_token(state: &Access, spec: TokenSpec, meta: &Meta) -> Result<Vec<Event>, Rejection> {
    let name = validate::name("name", &spec.name)?;
    let owner = find(state, spec.user)?;
    if spec.role > owner.spec.role {
        return Err(Rejection::invalid(
            "role",
            format!("a token of {:?} cannot be {}", owner.spec.name, spec.role.name()),
        )
        .accepting(format!("at most {}", owner.spec.role.name())));
    }
    if state.tokens.len() >= MAX_TOKENS || state.next_token.0 == u32::MAX {
        return Err(Rejection::conflict(format!("there are {MAX_TOKENS} tokens already, the most allowed"))
            .hinting("revoke some that are not needed any more"));
    }
    Ok(vec![TokenAdded { id: state.next_token, spec: TokenSpec { name, ..spec }, meta: meta.clone() }.into()])
}
