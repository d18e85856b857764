//! What holds for every resource: entity tags, conditions, pages, picked fields, compression, repeats, as-of reads.

mod support;

use serde_json::{Value, json};
use support::{Answer, NOW, Server, ping, start};

async fn with(server: &Server, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Answer {
    let body = body.map(|body| serde_json::to_vec(body).unwrap());
    let mut headers = headers.to_vec();
    if body.is_some() {
        headers.push(("content-type", "application/json"));
    }
    server.ask(method, path, &headers, body.as_deref()).await
}

#[tokio::test]
async fn what_did_not_change_is_not_sent_again() {
    let server = start().await;
    server.furnish().await;
    for path in ["/api/destinations", "/api/destinations/1", "/api/jobs", "/api/jobs/1", "/api/openapi.json"] {
        let first = server.get(path).await;
        let Some(tag) = first.header("etag").map(str::to_owned) else {
            assert!(first.body.len() > 64 * 1024, "{path} has no tag");
            continue;
        };
        assert_eq!(first.header("cache-control"), Some("private, no-cache"), "{path}");
        let again = with(&server, "GET", path, &[("if-none-match", &tag)], None).await;
        assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
        let other = with(&server, "GET", path, &[("if-none-match", "\"0\"")], None).await;
        assert_eq!(other.status, 200, "{path}");
    }
    // A sample changes how it does, and so the tag.
    let before = server.get("/api/destinations/1").await.header("etag").unwrap().to_owned();
    server.append(vec![ping(1, 1, NOW)]);
    let after = server.get("/api/destinations/1").await.header("etag").unwrap().to_owned();
    assert_ne!(before, after);
    assert_eq!(before.split('.').next(), after.split('.').next(), "the version is that of the description");
    server.stop().await;
}

#[tokio::test]
async fn a_change_of_what_was_changed_meanwhile_is_refused_with_the_current_version() {
    let server = start().await;
    server.furnish().await;
    for (path, patch) in
        [("/api/destinations/1", json!({"description": "x"})), ("/api/jobs/1", json!({"description": "x"}))]
    {
        let seen = server.get(path).await;
        let tag = seen.header("etag").unwrap().to_owned();
        let body = seen.json();
        let changed = with(&server, "PATCH", path, &[("if-match", &tag)], Some(&patch)).await;
        let new_tag = changed.header("etag").unwrap().to_owned();
        changed.is(200);
        for (method, sent) in [("PATCH", Some(&patch)), ("PUT", Some(&body)), ("DELETE", None)] {
            let refused = with(&server, method, path, &[("if-match", &tag)], sent).await;
            assert_eq!(refused.header("etag").unwrap(), format!("{}\"", new_tag.split('.').next().unwrap()));
            refused.refuses(412, Some("if-match"));
        }
        // What a sample changes is no reason to refuse.
        server.append(vec![ping(1, 1, NOW)]);
        with(&server, "PUT", path, &[("if-match", &new_tag)], Some(&body)).await.is(200);
        with(&server, "DELETE", path, &[("if-match", "*")], None).await.is(200);
    }
    server.stop().await;
}

#[tokio::test]
async fn lists_go_by_pages_that_miss_nothing_and_repeat_nothing() {
    let server = start().await;
    for i in 0..7 {
        server.post("/api/destinations", &json!({"name": format!("d{i}"), "host": "192.0.2.1"})).await.is(201);
    }
    let (mut path, mut seen) = ("/api/destinations?limit=3&fields=name".to_owned(), Vec::new());
    loop {
        let page = server.get(&path).await;
        let next = page.header("link").map(|link| link.split(['<', '>']).nth(1).unwrap().to_owned());
        let json = page.is(200);
        let items = json["items"].as_array().unwrap();
        assert!(items.len() <= 3 && !items.is_empty());
        seen.extend(items.iter().map(|item| item["name"].as_str().unwrap().to_owned()));
        match next {
            Some(next) => path = next,
            None => break,
        }
    }
    assert_eq!(seen, (0..7).map(|i| format!("d{i}")).collect::<Vec<_>>());
    for (query, field) in [("limit=0", "limit"), ("limit=x", "limit"), ("limit=10001", "limit"), ("cursor=x", "cursor")]
    {
        server.get(&format!("/api/destinations?{query}")).await.refuses(422, Some(field));
    }
    server.get("/api/destinations?fields=nmae").await.refuses(422, Some("fields"));
    let one = server.get("/api/destinations/1?fields=id,latest.status").await.is(200);
    assert_eq!(one, json!({"id": 1, "latest": {"status": "unknown"}}));
    server.stop().await;
}

#[tokio::test]
async fn a_repeated_post_with_a_key_gives_the_same_answer_and_no_second_entry() {
    let server = start().await;
    let body = json!({"name": "gw", "host": "192.0.2.1"});
    let key = [("idempotency-key", "7f1c")];
    let first = with(&server, "POST", "/api/destinations", &key, Some(&body)).await;
    assert_eq!(first.header("idempotent-replay"), None);
    let again = with(&server, "POST", "/api/destinations", &key, Some(&body)).await;
    assert_eq!(again.header("idempotent-replay"), Some("true"));
    assert_eq!(again.header("location"), Some("/api/destinations/1"));
    assert_eq!(first.is(201), again.is(201));
    assert_eq!(server.get("/api/destinations").await.is(200)["items"].as_array().unwrap().len(), 1);
    let other = json!({"name": "gw2", "host": "192.0.2.1"});
    with(&server, "POST", "/api/destinations", &key, Some(&other)).await.refuses(422, Some("idempotency-key"));
    // A refusal changed nothing: the same key may try again.
    let second = [("idempotency-key", "second")];
    with(&server, "POST", "/api/destinations", &second, Some(&json!({"name": "gw", "host": "192.0.2.1"})))
        .await
        .refuses(409, Some("name"));
    with(&server, "POST", "/api/destinations", &second, Some(&other)).await.is(201);
    let long = "k".repeat(129);
    with(&server, "POST", "/api/destinations", &[("idempotency-key", &long)], Some(&body))
        .await
        .refuses(400, Some("idempotency-key"));
    // Kept for a day by the server's clock.
    server.now.fetch_add(86_400_001, std::sync::atomic::Ordering::Relaxed);
    with(&server, "POST", "/api/destinations", &key, Some(&body)).await.refuses(409, Some("name"));
    server.stop().await;
}

#[tokio::test]
async fn past_the_most_kept_answers_the_oldest_are_forgotten() {
    let server = start().await;
    server.furnish().await;
    let start_job = |key: usize| {
        let server = &server;
        async move {
            let key = key.to_string();
            let answer = with(server, "POST", "/api/jobs/1/start", &[("idempotency-key", &key)], None).await;
            let is_replay = answer.header("idempotent-replay").is_some();
            answer.is(200);
            is_replay
        }
    };
    for key in 0..1_024 {
        assert!(!start_job(key).await);
    }
    assert!(!start_job(1_024).await, "one more than are kept");
    assert!(!start_job(0).await, "the oldest is forgotten");
    assert!(start_job(1_024).await, "the newest is not");
    server.stop().await;
}

#[tokio::test]
async fn answers_are_compressed_for_those_who_take_it() {
    let server = start().await;
    server.furnish().await;
    let plain = server.get("/api/jobs/1").await;
    assert_eq!((plain.header("content-encoding"), plain.header("vary")), (None, Some("accept-encoding")));
    for (accepted, encoding) in [("gzip", "gzip"), ("gzip, deflate, br", "br")] {
        let answer = with(&server, "GET", "/api/jobs/1", &[("accept-encoding", accepted)], None).await;
        assert_eq!(answer.header("content-encoding"), Some(encoding));
        assert!(answer.body.len() < plain.body.len());
        let tag = answer.header("etag").unwrap().to_owned();
        assert!(tag.ends_with(&format!("-{encoding}\"")), "{tag}");
        let headers = [("accept-encoding", accepted), ("if-none-match", tag.as_str())];
        assert_eq!(with(&server, "GET", "/api/jobs/1", &headers, None).await.status, 304);
        // The tag of a compressed answer guards a change as the plain one does.
        let patch = json!({"description": encoding});
        with(&server, "PATCH", "/api/jobs/1", &[("if-match", &tag)], Some(&patch)).await.is(200);
    }
    server.stop().await;
}

#[tokio::test]
async fn what_was_known_at_a_position_or_time_can_be_asked_for() {
    let server = start().await;
    server.furnish().await;
    server.send("PATCH", "/api/destinations/1", &json!({"host": "192.0.2.9"})).await.is(200);
    server.ask("DELETE", "/api/jobs/1", &[], None).await.is(200);
    let host = |json: &Value| json["host"].as_str().unwrap().to_owned();
    assert_eq!(host(&server.get("/api/destinations/1?as_of=3").await.is(200)), "192.0.2.1");
    assert_eq!(host(&server.get("/api/destinations/1?as_of=4").await.is(200)), "192.0.2.9");
    assert_eq!(server.get("/api/jobs/1?as_of=4").await.is(200)["name"], "pings");
    server.get("/api/jobs/1?as_of=2").await.refuses(404, None);
    assert_eq!(server.get("/api/destinations?as_of=1").await.is(200)["items"].as_array().unwrap().len(), 1);
    assert_eq!(server.get("/api/destinations?as_of=0").await.is(200)["items"], json!([]));
    // Times are the journal's own: long ago nothing was known, and in a hundred years all of this.
    assert_eq!(server.get("/api/jobs?as_of=2001-01-01T00:00:00Z").await.is(200)["items"], json!([]));
    assert_eq!(host(&server.get("/api/destinations/1?as_of=2126-01-01T00:00:00Z").await.is(200)), "192.0.2.9");
    for bad in ["6", "-1", "yesterday", ""] {
        server.get(&format!("/api/jobs?as_of={bad}")).await.refuses(422, Some("as_of"));
    }
    server.stop().await;
}

#[tokio::test]
async fn head_and_options_are_right_on_every_route() {
    let server = start().await;
    server.furnish().await;
    for (method, path) in netstats_api::routes() {
        let path = path.replace(":id", "1");
        let options = server.ask("OPTIONS", &path, &[], None).await;
        assert_eq!(options.status, 204, "{path}");
        assert!(options.header("allow").unwrap().split(", ").any(|allowed| allowed == method), "{method} {path}");
        let other = server.ask("TRACE", &path, &[], None).await;
        assert_eq!(other.header("allow"), options.header("allow"));
        other.refuses(405, None);
        if method == "GET" {
            let (get, head) = (server.get(&path).await, server.ask("HEAD", &path, &[], None).await);
            assert_eq!((get.status, get.header("content-type")), (head.status, head.header("content-type")), "{path}");
            assert!(head.body.is_empty(), "{path}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn the_document_and_its_page_need_no_other_host() {
    let server = start().await;
    let moved = server.get("/docs").await;
    assert_eq!((moved.status, moved.header("location")), (308, Some("/docs/")));
    let page = server.get("/docs/").await;
    let text = String::from_utf8(page.body.clone()).unwrap();
    assert_eq!(page.status, 200);
    assert!(!text.contains("http://") && !text.contains("https://"), "{text}");
    assert!(page.header("content-security-policy").unwrap().contains("script-src 'self';"));
    for part in text.split("src=\"").skip(1).chain(text.split("href=\"").skip(1)) {
        let file = part.split('"').next().unwrap().trim_start_matches("./");
        assert_eq!(server.get(&format!("/docs/{file}")).await.status, 200, "{file}");
    }
    for script in text.split("<script").skip(1) {
        assert!(script.split('>').next().unwrap().contains("src="), "an inline script: {script}");
    }
    let start = server.get("/docs/swagger-initializer.js").await;
    assert!(String::from_utf8(start.body).unwrap().contains("/api/openapi.json"));
    server.get("/docs/../Cargo.toml").await.refuses(400, None);
    server.get("/docs/nothing").await.refuses(404, None);
    server.stop().await;
}
