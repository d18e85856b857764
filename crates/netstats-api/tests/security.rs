//! Every route against everybody who may come at it: the roles, credentials that do not count any more, pages of other
//! sites, names pointed at us.

mod support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use support::{Answer, BOUND, Server, start, start_with};

/// Who may call each route. A new route has a row here, or the test fails.
const ROUTES: &[(&str, &str, &str)] = &[
    ("GET", "/api/health", "viewer"),
    ("GET", "/metrics", "viewer"),
    ("GET", "/api/openapi.json", "everybody"),
    ("GET", "/api/asyncapi.json", "everybody"),
    ("GET", "/api/destinations", "viewer"),
    ("POST", "/api/destinations", "operator"),
    ("GET", "/api/destinations/:id", "viewer"),
    ("PUT", "/api/destinations/:id", "operator"),
    ("PATCH", "/api/destinations/:id", "operator"),
    ("DELETE", "/api/destinations/:id", "operator"),
    ("GET", "/api/jobs", "viewer"),
    ("POST", "/api/jobs", "operator"),
    ("GET", "/api/jobs/:id", "viewer"),
    ("PUT", "/api/jobs/:id", "operator"),
    ("PATCH", "/api/jobs/:id", "operator"),
    ("DELETE", "/api/jobs/:id", "operator"),
    ("POST", "/api/jobs/:id/start", "operator"),
    ("POST", "/api/jobs/:id/stop", "operator"),
    ("GET", "/api/jobs/:id/metrics", "viewer"),
    ("POST", "/api/what-if", "operator"),
    ("POST", "/api/test", "operator"),
    ("GET", "/api/stream", "viewer"),
    ("GET", "/api/export/stream", "viewer"),
    ("GET", "/api/prometheus/api/v1/query", "viewer"),
    ("POST", "/api/prometheus/api/v1/query", "viewer"),
    ("GET", "/api/prometheus/api/v1/query_range", "viewer"),
    ("POST", "/api/prometheus/api/v1/query_range", "viewer"),
    ("GET", "/api/prometheus/api/v1/labels", "viewer"),
    ("POST", "/api/prometheus/api/v1/labels", "viewer"),
    ("GET", "/api/prometheus/api/v1/series", "viewer"),
    ("POST", "/api/prometheus/api/v1/series", "viewer"),
    ("GET", "/api/prometheus/api/v1/label/:id/values", "viewer"),
    ("GET", "/api/prometheus/api/v1/metadata", "viewer"),
    ("GET", "/api/prometheus/api/v1/status/buildinfo", "viewer"),
    ("GET", "/api/annotations", "viewer"),
    ("POST", "/api/annotations", "operator"),
    ("GET", "/api/annotations/:id", "viewer"),
    ("PUT", "/api/annotations/:id", "operator"),
    ("PATCH", "/api/annotations/:id", "operator"),
    ("DELETE", "/api/annotations/:id", "operator"),
    ("GET", "/api/maintenance", "viewer"),
    ("POST", "/api/maintenance", "operator"),
    ("GET", "/api/maintenance/:id", "viewer"),
    ("PUT", "/api/maintenance/:id", "operator"),
    ("PATCH", "/api/maintenance/:id", "operator"),
    ("DELETE", "/api/maintenance/:id", "operator"),
    ("GET", "/api/accounting", "viewer"),
    ("PUT", "/api/accounting", "operator"),
    ("PATCH", "/api/accounting", "operator"),
    ("GET", "/api/jobs/:id/analytics", "viewer"),
    ("GET", "/api/destinations/:id/analytics", "viewer"),
    ("GET", "/api/series", "viewer"),
    ("GET", "/api/compare", "viewer"),
    ("GET", "/api/top", "viewer"),
    ("GET", "/api/outages", "viewer"),
    ("GET", "/api/paths", "viewer"),
    ("GET", "/api/heatmap", "viewer"),
    ("GET", "/api/jobs/:id/export", "viewer"),
    ("GET", "/api/export", "viewer"),
    ("GET", "/api/me", "everybody"),
    ("POST", "/api/login", "everybody"),
    ("POST", "/api/logout", "everybody"),
    ("POST", "/api/setup", "everybody"),
    ("POST", "/api/me/password", "viewer"),
    ("GET", "/api/users", "admin"),
    ("POST", "/api/users", "admin"),
    ("GET", "/api/users/:id", "admin"),
    ("PATCH", "/api/users/:id", "admin"),
    ("DELETE", "/api/users/:id", "admin"),
    ("GET", "/api/tokens", "viewer"),
    ("POST", "/api/tokens", "viewer"),
    ("DELETE", "/api/tokens/:id", "viewer"),
    ("GET", "/api/events", "viewer"),
    ("POST", "/api/undo/:id", "operator"),
    ("GET", "/api/inventory", "viewer"),
    ("POST", "/api/inventory", "operator"),
    ("POST", "/api/config/reload", "admin"),
    ("GET", "/api/anomalies", "viewer"),
    ("GET", "/api/correlation", "viewer"),
    ("GET", "/api/exports", "viewer"),
    ("POST", "/api/exports", "operator"),
    ("GET", "/api/exports/:id", "viewer"),
    ("PUT", "/api/exports/:id", "operator"),
    ("PATCH", "/api/exports/:id", "operator"),
    ("DELETE", "/api/exports/:id", "operator"),
    ("POST", "/api/exports/:id/run", "operator"),
    ("POST", "/api/exports/:id/cancel", "operator"),
    ("GET", "/api/exports/:id/runs", "viewer"),
    ("GET", "/api/exports/:id/file", "viewer"),
    ("GET", "/api/policy", "operator"),
    ("GET", "/api/log-level", "admin"),
    ("PUT", "/api/log-level", "admin"),
    ("GET", "/ws", "viewer"),
];

fn all_routes() -> impl Iterator<Item = (&'static str, &'static str)> {
    netstats_api::routes().chain([("GET", "/ws")])
}

#[test]
fn every_route_has_a_row() {
    let rows: Vec<_> = ROUTES.iter().map(|(method, path, _)| (*method, *path)).collect();
    for route in all_routes() {
        assert!(rows.contains(&route), "{route:?} has no row: say who may call it");
    }
    assert_eq!(rows.len(), all_routes().count(), "a row for a route that is not there");
}

const PASSWORD: &str = "correct horse battery";

/// Asks with these headers, and for a change with a body that no route takes.
async fn ask(server: &Server, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let has_body = matches!(method, "POST" | "PUT" | "PATCH");
    let mut headers = headers.to_vec();
    if has_body {
        headers.push(("content-type", "application/json"));
    }
    server.ask(method, &path.replace(":id", "4000000"), &headers, has_body.then_some(&b"[]"[..])).await
}

async fn bearer(server: &Server, token: &str, method: &str, path: &str, body: Option<&Value>) -> Answer {
    let header = format!("Bearer {token}");
    let body = body.map(|body| serde_json::to_vec(body).unwrap());
    let headers = [("authorization", header.as_str()), ("content-type", "application/json")];
    server.ask(method, path, &headers[..if body.is_some() { 2 } else { 1 }], body.as_deref()).await
}

/// A server with users, and what each of them sends.
struct Guarded {
    server: Server,
    admin: String,
    operator: String,
    viewer: String,
    revoked: String,
    expired: String,
    removed: String,
}

async fn guarded() -> Guarded {
    let server = start().await;
    server.furnish().await;
    let body = json!({"name": "ada", "role": "admin", "password": PASSWORD});
    server.post("/api/users", &body).await.is(201);
    // From here on everybody needs credentials.
    server.get("/api/jobs").await.refuses(401, None);
    let session = login(&server, "ada", PASSWORD).await;
    let token = |user: &'static str, role: &'static str, expires: Option<&'static str>| {
        let body = json!({"name": format!("{role} of {user}"), "user": user, "role": role, "expires_at": expires});
        let (server, session) = (&server, &session);
        async move {
            let made = session.send(server, "POST", "/api/tokens", Some(&body)).await.is(201);
            (made["id"].as_u64().unwrap(), made["token"].as_str().unwrap().to_owned())
        }
    };
    let (_, admin) = token("ada", "admin", None).await;
    for (name, role) in [("olga", "operator"), ("vera", "viewer"), ("rick", "operator")] {
        bearer(&server, &admin, "POST", "/api/users", Some(&json!({"name": name, "role": role}))).await.is(201);
    }
    let (_, operator) = token("olga", "operator", None).await;
    let (_, viewer) = token("vera", "viewer", None).await;
    let (id, revoked) = token("ada", "admin", None).await;
    bearer(&server, &admin, "DELETE", &format!("/api/tokens/{id}"), None).await.is(200);
    let (_, expired) = token("ada", "admin", Some("2026-11-24T04:00:10Z")).await;
    let (_, removed) = token("rick", "operator", None).await;
    bearer(&server, &admin, "DELETE", "/api/users/rick", None).await.is(200);
    server.now.fetch_add(20_000, Ordering::Relaxed);
    Guarded { server, admin, operator, viewer, revoked, expired, removed }
}

/// A browser that is logged in.
struct Session {
    cookie: String,
    csrf: String,
}

async fn login(server: &Server, name: &str, password: &str) -> Session {
    let answer = server.post("/api/login", &json!({"name": name, "password": password})).await;
    let cookie = answer.header("set-cookie").unwrap_or_default().to_owned();
    let me = answer.is(200);
    for flag in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(flag), "{cookie}");
    }
    let cookie = cookie.split(';').next().unwrap().to_owned();
    Session { cookie, csrf: me["csrf"].as_str().unwrap().to_owned() }
}

impl Session {
    async fn send(&self, server: &Server, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let body = body.map(|body| serde_json::to_vec(body).unwrap());
        let mut headers = vec![("cookie", self.cookie.as_str()), ("x-nsc-csrf", self.csrf.as_str())];
        if body.is_some() {
            headers.push(("content-type", "application/json"));
        }
        server.ask(method, path, &headers, body.as_deref()).await
    }
}

#[tokio::test]
async fn every_route_lets_in_whom_its_row_says_and_nobody_else() {
    let guarded = guarded().await;
    let server = &guarded.server;
    let header = |token: &str| format!("Bearer {token}");
    let all = [
        ("nobody", None, 0),
        ("a revoked token", Some(header(&guarded.revoked)), 0),
        ("an expired token", Some(header(&guarded.expired)), 0),
        ("a removed user's token", Some(header(&guarded.removed)), 0),
        ("an unknown token", Some(header("nsc_00")), 0),
        ("another scheme", Some("Basic YWRhOnBhc3N3b3Jk".to_owned()), 0),
        ("a viewer", Some(header(&guarded.viewer)), 1),
        ("an operator", Some(header(&guarded.operator)), 2),
        ("an admin", Some(header(&guarded.admin)), 3),
    ];
    for (method, path, needed) in ROUTES {
        let needed = ["everybody", "viewer", "operator", "admin"].iter().position(|role| role == needed).unwrap();
        for (name, authorization, has) in &all {
            let headers: Vec<_> = authorization.iter().map(|value| ("authorization", value.as_str())).collect();
            let answer = ask(server, method, path, &headers).await;
            let status = match answer.status {
                // Wrong credentials are told of even where none are needed.
                401 if *has == 0 && authorization.is_some() => continue,
                // The setup token is not one of these.
                403 if *path == "/api/setup" => continue,
                status => status,
            };
            let is_in = !matches!(status, 401 | 403);
            assert_eq!(is_in, *has >= needed, "{method} {path} by {name}: {status}");
            if !is_in {
                assert_eq!(status, if *has == 0 { 401 } else { 403 }, "{method} {path} by {name}");
                assert_eq!(answer.header("www-authenticate").is_some(), *has == 0);
            }
        }
        for (name, host, origin) in [
            ("a wrong host", Some(format!("evil.test:{}", server.address.port())), None),
            ("a wrong origin", None, Some("http://evil.test")),
        ] {
            let mut headers = vec![("authorization", all[8].1.as_deref().unwrap())];
            headers.extend(host.iter().map(|host| ("host", host.as_str())));
            headers.extend(origin.map(|origin| ("origin", origin)));
            let status = ask(server, method, path, &headers).await.status;
            assert!(matches!(status, 403 | 421), "{method} {path} by an admin with {name}: {status}");
        }
    }
    guarded.server.stop().await;
}

#[tokio::test]
async fn every_route_is_closed_to_other_sites_and_open_to_scripts() {
    let server = start().await;
    server.furnish().await;
    let own = format!("http://{}", server.address);
    let port = server.address.port();
    for (method, path) in all_routes() {
        if path == "/api/setup" {
            continue;
        }
        for (name, headers, is_let_in) in [
            ("a script", vec![], true),
            ("our page", vec![("origin", own.clone()), ("sec-fetch-site", "same-origin".to_owned())], true),
            ("typed by the user", vec![("sec-fetch-site", "none".to_owned())], true),
            ("another origin", vec![("origin", "http://evil.test".to_owned())], false),
            ("another port", vec![("origin", format!("http://127.0.0.1:{}", port ^ 1))], false),
            ("another scheme", vec![("origin", format!("https://{}", server.address))], false),
            ("another name for us", vec![("origin", format!("http://localhost:{port}"))], false),
            ("no origin to speak of", vec![("origin", "null".to_owned())], false),
            ("a name pointed at us", vec![("host", format!("evil.test:{port}"))], false),
            ("our name without the port", vec![("host", "127.0.0.1".to_owned())], false),
            ("our name with another port", vec![("host", format!("127.0.0.1:{}", port ^ 1))], false),
            (
                "a name pointed at us, with its own origin",
                vec![("host", format!("evil.test:{port}")), ("origin", format!("http://evil.test:{port}"))],
                false,
            ),
            ("an image on a page elsewhere", vec![("sec-fetch-site", "cross-site".to_owned())], false),
            ("a page on another port of this machine", vec![("sec-fetch-site", "same-site".to_owned())], false),
            (
                "a link from elsewhere",
                vec![
                    ("sec-fetch-site", "cross-site".to_owned()),
                    ("sec-fetch-mode", "navigate".to_owned()),
                    ("sec-fetch-dest", "document".to_owned()),
                ],
                false,
            ),
        ] {
            let headers: Vec<_> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
            let status = ask(&server, method, path, &headers).await.status;
            let is_in = !matches!(status, 403 | 421);
            assert_eq!(is_in, is_let_in, "{method} {path} by {name}: {status}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_session_changes_things_with_its_header_and_not_with_its_cookie_alone() {
    let guarded = guarded().await;
    let server = &guarded.server;
    let session = login(server, "ADA", PASSWORD).await;
    let cookie = [("cookie", session.cookie.as_str())];
    let me = server.ask("GET", "/api/me", &cookie, None).await.is(200);
    assert_eq!((&me["actor"], &me["role"], &me["csrf"]), (&json!("user:ada"), &json!("admin"), &json!(session.csrf)));
    server.ask("GET", "/api/users", &cookie, None).await.is(200);
    let stop = "/api/jobs/1/stop";
    server.ask("POST", stop, &cookie, None).await.refuses(403, Some("x-nsc-csrf"));
    let wrong = [("cookie", session.cookie.as_str()), ("x-nsc-csrf", "0")];
    server.ask("POST", stop, &wrong, None).await.refuses(403, Some("x-nsc-csrf"));
    session.send(server, "POST", stop, None).await.is(200);
    // A token is no cookie: no page of another site can make a browser send it.
    bearer(server, &guarded.operator, "POST", "/api/jobs/1/start", None).await.is(200);
    let out = session.send(server, "POST", "/api/logout", None).await;
    assert_eq!(out.status, 204);
    assert!(out.header("set-cookie").unwrap().contains("Max-Age=0"));
    server.ask("GET", "/api/users", &cookie, None).await.refuses(401, None);
    guarded.server.stop().await;
}

#[tokio::test]
async fn a_session_ends_when_it_is_left_alone_and_at_its_age_and_with_a_new_password() {
    let guarded = guarded().await;
    let server = &guarded.server;
    let is_in = |session: &Session| {
        let cookie = session.cookie.clone();
        async move { server.ask("GET", "/api/users", &[("cookie", &cookie)], None).await.status == 200 }
    };
    let hours = |hours: i64| server.now.fetch_add(hours * 3_600_000, Ordering::Relaxed);
    let session = login(server, "ada", PASSWORD).await;
    for _ in 0..13 {
        hours(12);
        assert!(is_in(&session).await);
    }
    hours(12);
    assert!(!is_in(&session).await, "seven days old");
    let session = login(server, "ada", PASSWORD).await;
    hours(12);
    server.now.fetch_add(1, Ordering::Relaxed);
    assert!(!is_in(&session).await, "left alone");
    let (one, two) = (login(server, "ada", PASSWORD).await, login(server, "ada", PASSWORD).await);
    let body = json!({"old": PASSWORD, "new": "another horse battery"});
    two.send(server, "POST", "/api/me/password", Some(&json!({"old": "wrong horse battery", "new": PASSWORD})))
        .await
        .refuses(401, None);
    two.send(server, "POST", "/api/me/password", Some(&body)).await.is(200);
    assert!(!is_in(&one).await && !is_in(&two).await);
    server.post("/api/login", &json!({"name": "ada", "password": PASSWORD})).await.refuses(401, None);
    login(server, "ada", "another horse battery").await;
    guarded.server.stop().await;
}

#[tokio::test]
async fn guessing_passwords_slows_down_and_is_in_the_audit_trail_once() {
    let guarded = guarded().await;
    let server = &guarded.server;
    let wrong = json!({"name": "ada", "password": "wrong horse battery"});
    let guess = || server.post("/api/login", &wrong);
    for _ in 0..5 {
        guess().await.refuses(401, None);
    }
    let answer = guess().await;
    assert_eq!(answer.header("retry-after"), Some("1"));
    answer.refuses(429, None);
    // The right password too waits: otherwise the wait would tell it.
    server.post("/api/login", &json!({"name": "ada", "password": PASSWORD})).await.refuses(429, None);
    server.now.fetch_add(1_000, Ordering::Relaxed);
    guess().await.refuses(401, None);
    server.now.fetch_add(2_000, Ordering::Relaxed);
    login(server, "ada", PASSWORD).await;
    let trail = bearer(server, &guarded.admin, "GET", "/api/events?kind=access_denied", None).await.is(200);
    let wrong: Vec<_> =
        trail["items"].as_array().unwrap().iter().filter(|e| e["data"]["why"] == "wrong name or password").collect();
    assert_eq!(wrong.len(), 1, "one event for all of them: {trail}");
    assert_eq!(wrong[0]["data"]["address"], "127.0.0.1");
    // Viewers see what was changed, and not who tried to come in.
    let seen = bearer(server, &guarded.viewer, "GET", "/api/events", None).await.is(200);
    assert!(seen["items"].as_array().unwrap().iter().all(|event| event["kind"].as_str().unwrap().contains('_')));
    let kinds: Vec<_> = seen["items"].as_array().unwrap().iter().map(|e| e["kind"].as_str().unwrap()).collect();
    assert!(!kinds.iter().any(|kind| kind.starts_with("user") || kind.starts_with("access")), "{kinds:?}");
    guarded.server.stop().await;
}

#[tokio::test]
async fn no_secret_is_in_the_log_or_in_any_answer_but_the_first() {
    let guarded = guarded().await;
    let session = login(&guarded.server, "ada", PASSWORD).await;
    let journal = &guarded.server.journal;
    let secrets = [
        guarded.admin.clone(),
        guarded.viewer.clone(),
        session.cookie.split('=').nth(1).unwrap().to_owned(),
        session.csrf.clone(),
        PASSWORD.to_owned(),
    ];
    for envelope in journal.read(netstats_event::Position(1), Default::default()).unwrap() {
        let text = format!("{envelope:?}");
        for secret in &secrets {
            assert!(!text.contains(secret.as_str()), "{}", envelope.event.name());
            assert!(!text.contains(secret.trim_start_matches("nsc_")), "{}", envelope.event.name());
        }
    }
    for path in ["/api/tokens", "/api/users", "/api/events"] {
        let text = bearer(&guarded.server, &guarded.admin, "GET", path, None).await.is(200).to_string();
        assert!(!secrets.iter().any(|secret| text.contains(secret)) && !text.contains("argon2"), "{path}");
    }
    guarded.server.stop().await;
}

#[tokio::test]
async fn nobody_gives_more_than_they_have_or_touches_others_tokens() {
    let guarded = guarded().await;
    let server = &guarded.server;
    let token = |role: &str| json!({"name": "x", "role": role});
    bearer(server, &guarded.viewer, "POST", "/api/tokens", Some(&token("operator"))).await.refuses(403, Some("role"));
    let other = json!({"name": "x", "user": "ada"});
    bearer(server, &guarded.viewer, "POST", "/api/tokens", Some(&other)).await.refuses(403, Some("user"));
    let own = bearer(server, &guarded.viewer, "POST", "/api/tokens", Some(&token("viewer"))).await.is(201);
    let seen = bearer(server, &guarded.viewer, "GET", "/api/tokens", None).await.is(200);
    assert_eq!(seen["items"].as_array().unwrap().len(), 2, "{seen}");
    assert!(seen["items"][0]["last_used_at"].is_string() && seen["items"][1]["last_used_at"].is_null());
    bearer(server, &guarded.viewer, "DELETE", "/api/tokens/1", None).await.refuses(404, None);
    bearer(server, &guarded.viewer, "DELETE", &format!("/api/tokens/{}", own["id"]), None).await.is(200);
    bearer(server, own["token"].as_str().unwrap(), "GET", "/api/jobs", None).await.refuses(401, None);
    // There is always an admin.
    bearer(server, &guarded.admin, "DELETE", "/api/users/ada", None).await.refuses(409, None);
    let demoted = json!({"role": "viewer"});
    bearer(server, &guarded.admin, "PATCH", "/api/users/ada", Some(&demoted)).await.refuses(409, Some("role"));
    for (body, field) in [
        (json!({"name": "x", "password": "short"}), "password"),
        (json!({"name": "x", "role": "root"}), "role"),
        (json!({"name": "VERA"}), "name"),
        (json!({"name": ""}), "name"),
    ] {
        let answer = bearer(server, &guarded.admin, "POST", "/api/users", Some(&body)).await;
        let status = if field == "name" && body["name"] == "VERA" { 409 } else { 422 };
        answer.refuses(status, Some(field));
    }
    guarded.server.stop().await;
}

#[tokio::test]
async fn behind_a_proxy_nobody_is_local_and_the_setup_token_makes_the_first_admin_once() {
    let server = start_with(|context| {
        context.behind_proxy = true;
        context.allowed_hosts = vec!["stats.test".to_owned()];
        context.setup_token = Some("the setup token".to_owned());
        context.place_token = Some("the place token".to_owned());
    })
    .await;
    let host = ("host", "stats.test");
    server.ask("GET", "/api/jobs", &[host], None).await.refuses(401, None);
    let me = server.ask("GET", "/api/me", &[host], None).await.is(200);
    assert_eq!((&me["setup_needed"], &me["role"]), (&json!(true), &Value::Null));
    // The command line on this machine reads its token in the data folder.
    bearer(&server, "the place token", "GET", "/api/users", None).await.is(200);
    let setup = |token: &'static str, from: Option<&'static str>| {
        let body = json!({"token": token, "name": "ada", "password": PASSWORD}).to_string();
        let server = &server;
        async move {
            let mut headers = vec![host, ("content-type", "application/json"), ("origin", "https://stats.test")];
            headers.extend(from.map(|from| ("x-forwarded-for", from)));
            server.ask("POST", "/api/setup", &headers, Some(body.as_bytes())).await
        }
    };
    setup("wrong", None).await.refuses(403, Some("token"));
    setup("the setup token", Some("192.0.2.1")).await.refuses(403, Some("token"));
    setup("the setup token", Some("192.0.2.1, 127.0.0.1")).await.is(201);
    setup("the setup token", None).await.refuses(403, Some("token"));
    let body = json!({"name": "ada", "password": PASSWORD}).to_string();
    let headers = [host, ("content-type", "application/json")];
    let answer = server.ask("POST", "/api/login", &headers, Some(body.as_bytes())).await;
    let cookie = answer.header("set-cookie").unwrap().to_owned();
    assert!(cookie.starts_with("__Host-nsc=") && cookie.contains("; Secure"), "{cookie}");
    server.stop().await;
}

#[tokio::test]
async fn a_websocket_ends_with_the_credential_that_opened_it() {
    use futures_util::StreamExt;
    use tokio_tungstenite::tungstenite::client::IntoClientRequest;

    let server = start_with(|context| context.limits.heartbeat = Duration::from_millis(50)).await;
    server.post("/api/users", &json!({"name": "ada", "role": "admin", "password": PASSWORD})).await.is(201);
    let session = login(&server, "ada", PASSWORD).await;
    let open = |cookie: Option<String>| {
        let mut request = format!("ws://{}/ws", server.address).into_client_request().unwrap();
        if let Some(cookie) = cookie {
            request.headers_mut().insert("cookie", cookie.parse().unwrap());
        }
        async move {
            let stream = tokio::net::TcpStream::connect(request.uri().authority().unwrap().as_str()).await.unwrap();
            tokio_tungstenite::client_async(request, stream).await
        }
    };
    assert!(open(None).await.is_err(), "without a credential there is no handshake");
    let (mut socket, _) = open(Some(session.cookie.clone())).await.unwrap();
    session.send(&server, "POST", "/api/logout", None).await;
    let ended = tokio::time::timeout(BOUND, async {
        while let Some(message) = socket.next().await {
            if let Ok(tokio_tungstenite::tungstenite::Message::Close(frame)) = message {
                return frame.map(|frame| u16::from(frame.code));
            }
        }
        None
    });
    assert_eq!(ended.await.unwrap(), Some(1008));
    server.stop().await;
}
