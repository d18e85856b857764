//! Who may come in: logins, users, API tokens.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{HeaderValue, LOCATION, RETRY_AFTER, SET_COOKIE};
use netstats_event::{Event, Meta, Role, TokenSpec, UserId, UserSpec};
use netstats_inventory::{AccessCommand, Command, Inventory, Token, User};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::{App, position_only};
use crate::command::{blocking, carry_out};
use crate::json::{Fields, NameText, RoleWord, Time, TimeInput, parse, read_time};
use crate::limits::{HASH_WAIT, SESSION_LASTS};
use crate::problem::Problem;
use crate::reply::Reply;
use crate::route::Call;
use crate::secret::{self, TOKEN_PREFIX};
use crate::who::By;

/// Who asks, and what they may do.
#[derive(Serialize, ToSchema)]
#[schema(as = Me)]
pub(crate) struct MeJson {
    /// As the audit trail names them.
    actor: String,
    /// viewer, operator or admin; null for nobody.
    role: Option<&'static str>,
    /// What a page sends in the header X-NSC-CSRF with each change; null without a session.
    csrf: Option<String>,
    /// Somebody must log in: users are known, or others can reach this server.
    login_needed: bool,
    /// No user is known yet, and the first one is made with the setup token: POST /api/setup.
    setup_needed: bool,
}

/// A name and its password.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape of a body that `login` reads field by field")]
pub(crate) struct LoginInput {
    name: String,
    #[schema(format = Password)]
    password: String,
}

/// The first admin.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape of a body that `setup` reads field by field")]
pub(crate) struct SetupInput {
    /// As the server's console showed it.
    token: String,
    name: String,
    #[schema(format = Password, min_length = 12, max_length = 1024)]
    password: String,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape of a body that `change_password` reads field by field")]
pub(crate) struct PasswordInput {
    #[schema(format = Password)]
    old: String,
    #[schema(format = Password, min_length = 12, max_length = 1024)]
    new: String,
}

/// `GET /api/me`
pub(crate) async fn me(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    let has_users = !app.context.inventory.current().access.users.is_empty();
    let csrf = match call.who.by {
        By::Session(..) => app.gate.session_secret(&call.headers).map(secret::csrf),
        _ => None,
    };
    Ok(Reply::json(&MeJson {
        actor: call.who.actor.clone().into_owned(),
        role: call.who.role.map(Role::name),
        csrf,
        login_needed: has_users || !app.gate.reach.is_local,
        setup_needed: !has_users && !app.gate.reach.is_local,
    })
    .header(hyper::header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
}

/// `POST /api/login`
pub(crate) async fn login(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    let json = parse(&call.body)?;
    let mut fields = Fields::of(&json, "")?;
    let (name, password) = (fields.required_text("name")?, fields.required_text("password")?);
    fields.done()?;
    let user = check(&app, &call, &name, password).await?;
    let secret = secret::to_text(&secret::random()?);
    let (id, hash, address) = (user.id, secret::hash(&secret), Some(call.who.address));
    let expires_at = app.now().plus(SESSION_LASTS);
    let start = AccessCommand::StartSession { user: id, hash, address, expires_at };
    let meta = Meta::by(&format!("user:{}", user.spec.name));
    carry_out(&app, meta, |_| Ok(Command::Access(start.clone()))).await?;
    let cookie = app.gate.cookie(&secret, SESSION_LASTS).ok_or_else(Problem::internal)?;
    let me = MeJson {
        actor: format!("user:{}", user.spec.name),
        role: Some(user.spec.role.name()),
        csrf: Some(secret::csrf(&secret)),
        login_needed: true,
        setup_needed: false,
    };
    Ok(Reply::json(&me).header(SET_COOKIE, cookie))
}

/// The user of that name, if the password is theirs. The same work is done for a name that is nobody's.
async fn check(app: &Arc<App>, call: &Call, name: &str, password: String) -> Result<Arc<User>, Problem> {
    const NOBODYS: &str = "$argon2id$v=19$m=19456,t=2,p=1$00000000000000000000000000000000$00";
    let address = call.who.address;
    if let Some(wait) = app.gate.throttle.wait(name, address, app.now()) {
        app.gate.denied(&app.context, &call.who, "POST /api/login", "too many wrong passwords");
        return Err(too_soon(wait));
    }
    let user = app.context.inventory.current().access.user_by_name(name).cloned();
    let turn = tokio::time::timeout(HASH_WAIT, app.gate.hashing.acquire()).await;
    let _turn = turn.map_err(|_| Problem::unavailable("too many logins at once"))?.map_err(|_| Problem::internal())?;
    let kept = user.as_ref().map_or(NOBODYS, |user| &user.spec.password_hash).to_owned();
    let is_right = blocking(move || secret::verify_password(&password, &kept)).await?;
    match user.filter(|_| is_right) {
        Some(user) => {
            app.gate.throttle.succeeded(name, address);
            Ok(user)
        }
        None => {
            app.gate.throttle.failed(name, address, app.now());
            app.gate.denied(&app.context, &call.who, "POST /api/login", "wrong name or password");
            Err(Problem::new(StatusCode::UNAUTHORIZED, "wrong-password", "the name or the password is wrong"))
        }
    }
}

fn too_soon(wait: Duration) -> Problem {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let problem = Problem::new(
        StatusCode::TOO_MANY_REQUESTS,
        "too-many-tries",
        format!("too many wrong passwords: the next try counts in {seconds} s"),
    );
    match HeaderValue::from_str(&seconds.to_string()) {
        Ok(value) => problem.header(RETRY_AFTER, value),
        Err(_) => problem,
    }
}

/// `POST /api/logout`
pub(crate) async fn logout(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    if let By::Session(_, id) = call.who.by {
        let end = AccessCommand::EndSession { id };
        carry_out(&app, Meta { reason: Some("logout".to_owned()), ..app.meta(&call) }, |_| {
            Ok(Command::Access(end.clone()))
        })
        .await?;
    }
    let cookie = app.gate.cookie("", Duration::ZERO).ok_or_else(Problem::internal)?;
    Ok(Reply::new(StatusCode::NO_CONTENT).header(SET_COOKIE, cookie))
}

/// `POST /api/setup`: the first admin, with the one-time token of the server's console.
pub(crate) async fn setup(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    let json = parse(&call.body)?;
    let mut fields = Fields::of(&json, "")?;
    let token = fields.required_text("token")?;
    let (name, password) = (fields.required_text("name")?, fields.required_text("password")?);
    fields.done()?;
    if !call.who.address.to_canonical().is_loopback() || !app.gate.is_setup(&token) {
        app.gate.denied(&app.context, &call.who, "POST /api/setup", "setup from elsewhere or with a wrong token");
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "setup",
            "this is not the setup token, or not the machine it counts on",
        )
        .field("token")
        .hint("the server shows it on its console when it starts without users; ask from the same machine"));
    }
    let spec = UserSpec { password_hash: hashed(&app, &name, password).await?, name, role: Role::Admin };
    let done = carry_out(&app, Meta::by("setup"), |state| {
        if state.access.users.is_empty() {
            Ok(Command::Access(AccessCommand::AddUser(spec.clone())))
        } else {
            Err(Problem::new(StatusCode::CONFLICT, "conflict", "there are users already"))
        }
    })
    .await?;
    app.gate.set_up();
    user_reply(&done.inventory, &done.events)
}

/// The hash of a password that may be one.
async fn hashed(app: &Arc<App>, name: &str, password: String) -> Result<String, Problem> {
    secret::check_password(&password, name)?;
    let turn = tokio::time::timeout(HASH_WAIT, app.gate.hashing.acquire()).await;
    let _turn = turn.map_err(|_| Problem::unavailable("too many logins at once"))?.map_err(|_| Problem::internal())?;
    blocking(move || secret::hash_password(&password)).await?
}

/// `POST /api/me/password`
pub(crate) async fn change_password(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    let json = parse(&call.body)?;
    let mut fields = Fields::of(&json, "")?;
    let (old, new) = (fields.required_text("old")?, fields.required_text("new")?);
    fields.done()?;
    let By::Session(id, _) = call.who.by else {
        return Err(Problem::new(StatusCode::CONFLICT, "conflict", "only somebody who is logged in has a password"));
    };
    let user = app.context.inventory.current().access.users.get(&id).cloned().ok_or_else(Problem::internal)?;
    check(&app, &call, &user.spec.name, old).await?;
    let password_hash = hashed(&app, &user.spec.name, new).await?;
    let wish = |state: &Inventory| {
        let user = state.access.users.get(&id).ok_or_else(|| Problem::not_found("you are not there any more"))?;
        let spec = UserSpec { password_hash: password_hash.clone(), ..user.spec.clone() };
        Ok(Command::Access(AccessCommand::ChangeUser { id, spec }))
    };
    let done = carry_out(&app, app.meta(&call), wish).await?;
    position_only(done.position)
}

/// A user.
#[derive(Serialize, ToSchema)]
#[schema(as = User)]
pub(crate) struct UserJson<'a> {
    id: u32,
    name: &'a str,
    role: &'static str,
    has_password: bool,
    created_at: Time,
    position: u64,
}

impl<'a> UserJson<'a> {
    fn new(user: &'a User) -> Self {
        Self {
            id: user.id.0,
            name: &user.spec.name,
            role: user.spec.role.name(),
            has_password: !user.spec.password_hash.is_empty(),
            created_at: Time(user.created_at),
            position: user.changed.0,
        }
    }
}

/// A list of users.
#[derive(Serialize, ToSchema)]
#[schema(as = Users)]
pub(crate) struct UserList<'a> {
    items: Vec<UserJson<'a>>,
    position: u64,
}

/// A user as an admin describes them.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape of a body that `add_user` reads field by field")]
pub(crate) struct UserInput {
    name: NameText,
    /// viewer, where left out.
    role: Option<RoleWord>,
    /// Without one they come with API tokens only.
    #[schema(format = Password, min_length = 12, max_length = 1024)]
    password: Option<String>,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape of a body that `patch_user` reads field by field")]
pub(crate) struct UserPatch {
    name: Option<NameText>,
    role: Option<RoleWord>,
    /// Ends the user's sessions.
    #[schema(format = Password, min_length = 12, max_length = 1024)]
    password: Option<String>,
}

fn read_role(fields: &mut Fields<'_>) -> Result<Option<Role>, Problem> {
    fields.word("role", &Role::ALL.map(Role::name), Role::from_name)
}

fn find_user<'a>(inventory: &'a Inventory, id: &str) -> Result<&'a Arc<User>, Problem> {
    inventory.access.find_user(id).ok_or_else(|| {
        let shown: String = id.chars().take(80).collect();
        Problem::not_found(format!("there is no user {shown:?}"))
    })
}

fn user_reply(inventory: &Inventory, events: &[Event]) -> Result<Reply, Problem> {
    let id = events.iter().find_map(|event| match event {
        Event::UserAdded(e) => Some(e.id),
        Event::UserChanged(e) => Some(e.id),
        _ => None,
    });
    let user = id.and_then(|id| inventory.access.users.get(&id)).ok_or_else(Problem::internal)?;
    let reply = Reply::json(&UserJson::new(user)).version(user.changed).status(StatusCode::CREATED);
    Ok(match HeaderValue::from_str(&format!("/api/users/{}", user.id)) {
        Ok(location) => reply.header(LOCATION, location),
        Err(_) => reply,
    })
}

/// `GET /api/users`
pub(crate) async fn users(app: Arc<App>, _: Call) -> Result<Reply, Problem> {
    let inventory = app.context.inventory.current();
    let items = inventory.access.users.values().map(|user| UserJson::new(user)).collect();
    Ok(Reply::json(&UserList { items, position: inventory.position.0 }))
}

/// `GET /api/users/{id}`
pub(crate) async fn show_user(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    let inventory = app.context.inventory.current();
    let user = find_user(&inventory, &call.id)?;
    Ok(Reply::json(&UserJson::new(user)).version(user.changed))
}

/// `POST /api/users`
pub(crate) async fn add_user(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    let json = parse(&call.body)?;
    let mut fields = Fields::of(&json, "")?;
    let name = fields.required_text("name")?;
    let role = read_role(&mut fields)?.unwrap_or_default();
    let password = fields.text("password")?;
    fields.done()?;
    if password.is_none() && app.context.inventory.current().access.users.is_empty() {
        return Err(Problem::invalid("the first user needs a password: nobody could log in").field("password"));
    }
    let password_hash = match password {
        Some(password) => hashed(&app, &name, password).await?,
        None => String::new(),
    };
    let spec = UserSpec { name, role, password_hash };
    let done = carry_out(&app, app.meta(&call), |_| Ok(Command::Access(AccessCommand::AddUser(spec.clone())))).await?;
    user_reply(&done.inventory, &done.events)
}

/// `PATCH /api/users/{id}`
pub(crate) async fn patch_user(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    let json = parse(&call.body)?;
    let mut fields = Fields::of(&json, "")?;
    let (name, role, password) = (fields.text("name")?, read_role(&mut fields)?, fields.text("password")?);
    fields.done()?;
    let user = find_user(&app.context.inventory.current(), &call.id)?.clone();
    let password_hash = match password {
        Some(password) => Some(hashed(&app, name.as_deref().unwrap_or(&user.spec.name), password).await?),
        None => None,
    };
    let wish = |state: &Inventory| {
        let user = find_user(state, &user.id.to_string())?;
        call.if_match(user.changed)?;
        let mut spec = user.spec.clone();
        spec.name = name.clone().unwrap_or(spec.name);
        spec.role = role.unwrap_or(spec.role);
        spec.password_hash = password_hash.clone().unwrap_or(spec.password_hash);
        Ok(Command::Access(AccessCommand::ChangeUser { id: user.id, spec }))
    };
    let done = carry_out(&app, app.meta(&call), wish).await?;
    let user = done.inventory.access.users.get(&user.id).ok_or_else(Problem::internal)?;
    Ok(Reply::json(&UserJson::new(user)).version(user.changed))
}

/// `DELETE /api/users/{id}`
pub(crate) async fn remove_user(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    let id = find_user(&app.context.inventory.current(), &call.id)?.id;
    let wish = |state: &Inventory| {
        call.if_match(find_user(state, &id.to_string())?.changed)?;
        Ok(Command::Access(AccessCommand::RemoveUser { id }))
    };
    let done = carry_out(&app, app.meta(&call), wish).await?;
    position_only(done.position)
}

/// An API token, without its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = Token)]
pub(crate) struct TokenJson<'a> {
    id: u32,
    name: &'a str,
    user_id: u32,
    role: &'static str,
    created_at: Time,
    expires_at: Option<Time>,
    /// Since the server's start.
    last_used_at: Option<Time>,
    /// The token itself, in the answer that made it and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

impl<'a> TokenJson<'a> {
    fn new(app: &App, token: &'a Token, secret: Option<String>) -> Self {
        Self {
            id: token.id.0,
            name: &token.spec.name,
            user_id: token.spec.user.0,
            role: token.spec.role.name(),
            created_at: Time(token.created_at),
            expires_at: token.spec.expires_at.map(Time),
            last_used_at: app.gate.last_use(token.id).map(Time),
            token: secret,
        }
    }
}

/// A list of API tokens.
#[derive(Serialize, ToSchema)]
#[schema(as = Tokens)]
pub(crate) struct TokenList<'a> {
    items: Vec<TokenJson<'a>>,
    position: u64,
}

/// An API token as its owner describes it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape of a body that `add_token` reads field by field")]
pub(crate) struct TokenInput {
    /// What it is for.
    name: NameText,
    /// Whose it is: by name or id, for admins; else one's own.
    user: Option<String>,
    /// viewer, where left out; not more than its owner.
    role: Option<RoleWord>,
    expires_at: Option<TimeInput>,
}

/// `GET /api/tokens`: one's own; all for an admin.
pub(crate) async fn tokens(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    let inventory = app.context.inventory.current();
    let is_shown = |token: &Token| call.who.is(Role::Admin) || Some(token.spec.user) == call.who.user();
    let shown = inventory.access.tokens.values().filter(|token| is_shown(token));
    let items = shown.map(|token| TokenJson::new(&app, token, None)).collect();
    Ok(Reply::json(&TokenList { items, position: inventory.position.0 }))
}

/// `POST /api/tokens`
pub(crate) async fn add_token(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    let json = parse(&call.body)?;
    let mut fields = Fields::of(&json, "")?;
    let name = fields.required_text("name")?;
    let role = read_role(&mut fields)?.unwrap_or_default();
    let owner = fields.text("user")?;
    let expires_at = read_time(&mut fields, "expires_at", app.now())?;
    fields.done()?;
    if expires_at.is_some_and(|at| at <= app.now()) {
        return Err(Problem::invalid("expires_at is over already").field("expires_at").accepted("a time to come"));
    }
    let user = owner_of(&app, &call, owner.as_deref())?;
    if call.who.role.is_none_or(|own| role > own) {
        return Err(
            Problem::new(StatusCode::FORBIDDEN, "role-too-low", "nobody gives more than they have").field("role")
        );
    }
    let secret = format!("{TOKEN_PREFIX}{}", secret::to_text(&secret::random()?));
    let spec = TokenSpec { user, name, role, hash: secret::hash(&secret), expires_at };
    let done = carry_out(&app, app.meta(&call), |_| Ok(Command::Access(AccessCommand::AddToken(spec.clone())))).await?;
    let id = done.events.iter().find_map(|event| match event {
        Event::TokenAdded(e) => Some(e.id),
        _ => None,
    });
    let token = id.and_then(|id| done.inventory.access.tokens.get(&id)).ok_or_else(Problem::internal)?;
    Ok(Reply::json(&TokenJson::new(&app, token, Some(secret))).status(StatusCode::CREATED))
}

/// Whose token is to be made: one's own, or for an admin anybody's.
fn owner_of(app: &App, call: &Call, wanted: Option<&str>) -> Result<UserId, Problem> {
    let inventory = app.context.inventory.current();
    match (wanted, call.who.user()) {
        (Some(wanted), own) => {
            let user = find_user(&inventory, wanted).map_err(|problem| problem.field("user"))?.id;
            if Some(user) == own || call.who.is(Role::Admin) {
                Ok(user)
            } else {
                Err(Problem::new(StatusCode::FORBIDDEN, "role-too-low", "only an admin makes tokens for others")
                    .field("user"))
            }
        }
        (None, Some(own)) => Ok(own),
        (None, None) => Err(Problem::invalid("a token is somebody's, and you are no user")
            .field("user")
            .hint("add a user first: POST /api/users; without users no token is needed on this machine")),
    }
}

/// `DELETE /api/tokens/{id}`
pub(crate) async fn revoke_token(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    let shown: String = call.id.chars().take(80).collect();
    let none = || Problem::not_found(format!("there is no token {shown:?}"));
    let id = netstats_event::TokenId(call.id.parse().map_err(|_| none())?);
    let wish = |state: &Inventory| {
        let token = state.access.tokens.get(&id).ok_or_else(none)?;
        // Others' tokens are not there for those who may not see them.
        if !call.who.is(Role::Admin) && Some(token.spec.user) != call.who.user() {
            return Err(none());
        }
        Ok(Command::Access(AccessCommand::RevokeToken { id }))
    };
    let done = carry_out(&app, app.meta(&call), wish).await?;
    position_only(done.position)
}
