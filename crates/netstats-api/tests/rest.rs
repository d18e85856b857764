//! Every route, through a real socket.

mod support;

use serde_json::{Value, json};
use support::{NOW, ping, start, start_with};

#[tokio::test]
async fn a_destination_lives_from_post_to_delete() {
    let server = start().await;
    let list = server.get("/api/destinations").await.is(200);
    assert_eq!(list, json!({"items": [], "position": 0}));
    let body =
        json!({"name": "gw", "host": "192.0.2.1", "port": 443, "display_name": "Gateway", "tags": ["b", "a", "a"]});
    let answer = server.post("/api/destinations", &body).await;
    assert_eq!(answer.header("location"), Some("/api/destinations/1"));
    let made = answer.is(201);
    assert_eq!((&made["id"], &made["status"], &made["managed_by"]), (&json!(1), &json!("active"), &json!("user")));
    assert_eq!((&made["tags"], &made["port"], &made["description"]), (&json!(["a", "b"]), &json!(443), &Value::Null));
    assert_eq!(made["latest"]["status"], "unknown");
    assert_eq!(made["position"], 1);
    assert!(made["created_at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(server.get("/api/destinations/1").await.is(200), made);
    assert_eq!(server.get("/api/destinations/GW").await.is(200), made);
    // What a GET shows can be given back by PUT.
    let mut changed = made.clone();
    changed["name"] = json!("my router");
    changed["status"] = json!("paused");
    let answer = server.send("PUT", "/api/destinations/gw", &changed).await.is(200);
    assert_eq!(
        (&answer["name"], &answer["latest"]["status"], &answer["id"]),
        (&json!("my router"), &json!("paused"), &json!(1))
    );
    assert_eq!(server.get("/api/destinations/my%20router").await.is(200)["id"], 1);
    let answer = server.send("PATCH", "/api/destinations/1", &json!({"status": "active", "port": null})).await.is(200);
    assert_eq!(
        (&answer["name"], &answer["port"], &answer["display_name"]),
        (&json!("my router"), &Value::Null, &json!("Gateway"))
    );
    assert_eq!(server.get("/api/destinations?tag=a&status=active").await.is(200)["items"].as_array().unwrap().len(), 1);
    assert_eq!(server.get("/api/destinations?tag=c").await.is(200)["items"], json!([]));
    let gone = server.ask("DELETE", "/api/destinations/1?reason=moved", &[], None).await.is(200);
    assert_eq!(gone, json!({"position": 4}));
    server.get("/api/destinations/1").await.refuses(404, None);
    server.ask("DELETE", "/api/destinations/1", &[], None).await.refuses(404, None);
    // Ids are not given twice.
    assert_eq!(server.post("/api/destinations", &body).await.is(201)["id"], 2);
    server.stop().await;
}

#[tokio::test]
async fn a_job_lives_from_post_to_delete() {
    let server = start().await;
    server.furnish().await;
    let job = server.get("/api/jobs/1").await.is(200);
    assert_eq!((&job["name"], &job["interval_s"], &job["enabled"]), (&json!("pings"), &json!(60), &json!(true)));
    assert_eq!((&job["destinations"], &job["destination_ids"]), (&json!(["one", "two"]), &json!([1, 2])));
    assert_eq!((&job["packets"], &job["options"]["ping"]["packets"]), (&json!(3), &json!(3)));
    assert_eq!(job["state"]["name"], "running");
    assert!(job["state"]["next_run"].is_string() && job["state"]["since"].is_string());
    assert_eq!(server.get("/api/jobs/PINGS").await.is(200)["id"], 1);
    assert_eq!(server.get("/api/jobs").await.is(200)["items"].as_array().unwrap().len(), 1);
    let stopped = server.post("/api/jobs/1/stop", &json!({"reason": "quiet hours"})).await.is(200);
    assert_eq!((&stopped["state"]["name"], &stopped["enabled"]), (&json!("stopped"), &json!(false)));
    // Without a body, as `requests.post(url)` sends it.
    let started = server.ask("POST", "/api/jobs/pings/start", &[], None).await.is(200);
    assert_eq!(started["state"]["name"], "running");
    // Starting what runs changes nothing.
    let again = server.post("/api/jobs/1/start", &json!({})).await.is(200);
    assert_eq!(again["position"], started["position"]);
    // PUT gives back what GET showed, with one thing changed.
    let mut changed = started.clone();
    changed["packets"] = json!(5);
    changed["interval"] = json!("5m");
    changed["active_hours"] =
        json!({"time_zone": "Europe/Berlin", "spans": [{"day": "mon", "from": "08:00", "to": "18:00"}]});
    let put = server.send("PUT", "/api/jobs/1", &changed).await.is(200);
    assert_eq!(
        (&put["packets"], &put["options"]["ping"]["packets"], &put["interval_s"]),
        (&json!(5), &json!(5), &json!(300))
    );
    assert_eq!(put["active_hours"]["spans"], json!([{"day": "mon", "from": "08:00", "to": "18:00"}]));
    assert_eq!(put["state"]["name"], "scheduled");
    let patched = server
        .send(
            "PATCH",
            "/api/jobs/1",
            &json!({"active_hours": null, "options": {"ping": {"packets": 7}},
        "destinations": ["two"], "end_time": "2020-01-01T00:00:00Z"}),
        )
        .await
        .is(200);
    assert_eq!(
        (&patched["packets"], &patched["destinations"], &patched["active_hours"]),
        (&json!(7), &json!(["two"]), &Value::Null)
    );
    assert_eq!(patched["state"]["name"], "completed");
    // A removed destination leaves its jobs.
    server.ask("DELETE", "/api/destinations/two", &[], None).await.is(200);
    assert_eq!(server.get("/api/jobs/1").await.is(200)["destinations"], json!([]));
    server.ask("DELETE", "/api/jobs/1", &[], None).await.is(200);
    server.get("/api/jobs/1").await.refuses(404, None);
    server.stop().await;
}

#[tokio::test]
async fn what_is_not_acceptable_is_named_with_its_field() {
    let server = start().await;
    server.furnish().await;
    for (body, code, field) in [
        (json!([]), 422, None),
        (json!({"host": "192.0.2.9"}), 422, Some("name")),
        (json!({"name": "x"}), 422, Some("host")),
        (json!({"name": 5, "host": "192.0.2.9"}), 422, Some("name")),
        (json!({"name": "x", "hots": "192.0.2.9"}), 422, Some("host")),
        (json!({"name": "x", "host": "192.0.2.9", "prot": 1}), 422, Some("prot")),
        (json!({"name": "x", "host": "192.0.2.9", "port": 0}), 422, Some("port")),
        (json!({"name": "x", "host": "192.0.2.9", "port": 65_536}), 422, Some("port")),
        (json!({"name": "x", "host": "192.0.2.9", "port": 1.5}), 422, Some("port")),
        (json!({"name": "x", "host": "192.0.2.9", "port": "443"}), 422, Some("port")),
        (json!({"name": "x", "host": "192.0.2.9", "tags": "a"}), 422, Some("tags")),
        (json!({"name": "x", "host": "192.0.2.9", "tags": [1]}), 422, Some("tags[0]")),
        (json!({"name": "x", "host": "192.0.2.9", "status": "off"}), 422, Some("status")),
        (json!({"name": "ONE", "host": "192.0.2.9"}), 409, Some("name")),
        (json!({"name": "", "host": "192.0.2.9"}), 422, Some("name")),
        (json!({"name": "a".repeat(129), "host": "192.0.2.9"}), 422, Some("name")),
        (json!({"name": "17", "host": "192.0.2.9"}), 422, Some("name")),
    ] {
        server.post("/api/destinations", &body).await.refuses(code, field);
    }
    for host in [
        "",
        "0x7f.1",
        "0177.0.0.1",
        "2130706433",
        "a\u{0}b",
        "a\r\nb",
        "file:///etc/passwd",
        "http://a",
        "user@a",
        "a b",
        "a_b..c",
        &"a".repeat(254),
        &format!("{}.test", "a".repeat(64)),
        "a:80",
        "[::1]:80",
        "a/b",
    ] {
        server.post("/api/destinations", &json!({"name": "x", "host": host})).await.refuses(422, Some("host"));
    }
    let job = |change: Value| {
        let mut job = json!({"name": "j", "interval": "60s", "metrics": ["ping"], "destinations": ["one"]});
        for (key, value) in change.as_object().unwrap() {
            job[key] = value.clone();
        }
        job
    };
    for (change, code, field) in [
        (json!({"name": "Pings"}), 409, Some("name")),
        (json!({"interval": "59s"}), 422, Some("interval_s")),
        (json!({"interval": "0s"}), 422, Some("interval_s")),
        (json!({"interval": "-5m"}), 422, Some("interval")),
        (json!({"interval": 60}), 422, Some("interval")),
        (json!({"interval": null, "interval_s": 1e308}), 422, Some("interval_s")),
        (json!({"interval": null}), 422, Some("interval")),
        (json!({"interval": "60s", "interval_s": 61}), 422, Some("interval")),
        (json!({"metrics": []}), 422, Some("metrics")),
        (json!({"metrics": ["pong"]}), 422, Some("metrics[0]")),
        (json!({"metrics": null}), 422, Some("metrics")),
        (json!({"destinations": ["three"]}), 422, Some("destinations[0]")),
        (json!({"destinations": [99]}), 422, Some("destinations[0]")),
        (json!({"destinations": "one"}), 422, Some("destinations")),
        (json!({"packets": 0}), 422, Some("packets")),
        (json!({"packets": 5, "options": {"ping": {"packets": 6}}}), 422, Some("packets")),
        (json!({"options": {"png": {}}}), 422, Some("options.png")),
        (json!({"options": {"ping": {"dscp": 64}}}), 422, Some("options.ping.dscp")),
        (json!({"start_time": "2026-01-02T00:00:00"}), 422, Some("start_time")),
        (json!({"start_time": "2026-01-02T00:00:00Z", "end_time": "2026-01-01T00:00:00Z"}), 422, Some("end_time")),
        (json!({"end_time": "9999-01-01T00:00:00Z"}), 422, Some("end_time")),
        (json!({"active_hours": {"spans": []}}), 422, Some("active_hours.time_zone")),
        (
            json!({"active_hours": {"time_zone": "Mars/Olympus", "spans": [{"day": "mon", "from": "08:00", "to": "09:00"}]}}),
            422,
            Some("active_hours.time_zone"),
        ),
        (
            json!({"active_hours": {"time_zone": "UTC", "spans": [{"day": "moon", "from": "08:00", "to": "09:00"}]}}),
            422,
            Some("active_hours.spans[0].day"),
        ),
        (
            json!({"active_hours": {"time_zone": "UTC", "spans": [{"day": "mon", "from": "8:00", "to": "09:00"}]}}),
            422,
            Some("active_hours.spans[0].from"),
        ),
        (
            json!({"active_hours": {"time_zone": "UTC", "spans": [{"day": "mon", "from": "08:00", "to": "24:01"}]}}),
            422,
            Some("active_hours.spans[0].to"),
        ),
    ] {
        server.post("/api/jobs", &job(change)).await.refuses(code, field);
    }
    let problem = server.post("/api/jobs", &job(json!({"intervall": "60s"}))).await.refuses(422, Some("intervall"));
    assert_eq!(problem["hint"], "did you mean \"interval\"?");
    let problem = server.post("/api/jobs", &job(json!({"interval": 59}))).await.refuses(422, Some("interval"));
    assert_eq!(problem["detail"], "interval is the number 59, without a unit");
    assert_eq!(problem["accepted"], "a duration as \"60s\", \"5m\", \"1h30m\", from 60 s to 604800 s");
    assert_eq!(problem["hint"], "write \"59s\", or give seconds as interval_s");
    let problem = server.post("/api/jobs", &job(json!({"interval": "59s"}))).await.refuses(422, Some("interval_s"));
    assert!(problem["accepted"].as_str().unwrap().contains("60"), "{problem}");
    assert_eq!(server.get("/api/jobs").await.is(200)["items"].as_array().unwrap().len(), 1, "nothing half-applied");
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_is_not_json_is_refused_with_line_and_column() {
    let server = start().await;
    for body in ["", "{", "{\"name\": NaN}", "{\"a\":1,\"a\":2}", "nonsense", "{\"name\": \"\\ud800\"}", "\u{0}"] {
        let problem = server.post_text("/api/destinations", body.as_bytes()).await.refuses(400, None);
        assert!(body.is_empty() || problem["detail"].as_str().unwrap().contains(":"), "{problem}");
    }
    server.post_text("/api/destinations", &[b'"', 0xff, 0xfe, b'"']).await.refuses(400, None);
    server.post_text("/api/destinations", "[".repeat(100_000).as_bytes()).await.refuses(400, None);
    server.post_text("/api/destinations", &vec![b' '; 1_048_577]).await.refuses(413, None);
    let form = [("content-type", "application/x-www-form-urlencoded")];
    server.ask("POST", "/api/destinations", &form, Some(b"name=x&host=y")).await.refuses(415, Some("content-type"));
    server.stop().await;
}

#[tokio::test]
async fn paths_and_methods_that_are_not_there_say_what_is() {
    let server = start().await;
    server.furnish().await;
    let problem = server.get("/api/destination").await.refuses(404, None);
    assert_eq!(problem["hint"], "did you mean \"/api/destinations\"?");
    let problem = server.get("/api/destinations/onne").await.refuses(404, None);
    assert_eq!(problem["hint"], "did you mean \"one\"?");
    let answer = server.ask("DELETE", "/api/jobs", &[], None).await;
    assert_eq!(answer.header("allow"), Some("GET, HEAD, OPTIONS, POST"));
    answer.refuses(405, None);
    let answer = server.ask("OPTIONS", "/api/jobs/1", &[], None).await;
    assert_eq!((answer.status, answer.header("allow")), (204, Some("DELETE, GET, HEAD, OPTIONS, PATCH, PUT")));
    let head = server.ask("HEAD", "/api/jobs/1", &[], None).await;
    let get = server.get("/api/jobs/1").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), get.header("content-length"));
    for path in [
        "/api/jobs/0",
        "/api/jobs/99999999999999999999",
        "/api/jobs/-1",
        "/api/jobs/1/start/now",
        "/api",
        "/nothing.js",
    ] {
        server.get(path).await.refuses(404, None);
    }
    server.get("/api/jobs/1/start").await.refuses(405, None);
    server.get("/api/jobs?limt=1").await.refuses(422, Some("limt"));
    server.get("/api/jobs/%2e%2e").await.refuses(400, None);
    server.stop().await;
}

#[tokio::test]
async fn a_jobs_rows_are_a_flat_list_in_pages() {
    let server = start().await;
    server.furnish().await;
    let events =
        (0..10).flat_map(|i| [ping(1, 1, NOW - 600_000 + i * 60_000), ping(1, 2, NOW - 600_000 + i * 60_000 + 7)]);
    server.append(events.collect());
    let all = server.get("/api/jobs/1/metrics").await.is(200);
    let all = all.as_array().unwrap();
    assert_eq!(all.len(), 60);
    let row = &all[0];
    assert_eq!(
        (&row["job"], &row["destination"], &row["metric"], &row["status"]),
        (&json!("pings"), &json!("one"), &json!("ping"), &json!("partial"))
    );
    let millis = |name: &str| row[name].as_f64();
    assert_eq!((millis("response_time_ms"), millis("min_ms"), millis("max_ms")), (Some(2.0), Some(1.5), Some(2.5)));
    assert_eq!(
        (&row["packets_sent"], &row["packets_received"], &row["p95_ms"], &row["error"]),
        (&json!(3), &json!(2), &Value::Null, &Value::Null)
    );
    assert!((row["packet_loss_percent"].as_f64().unwrap() - 100.0 / 3.0).abs() < 1e-9);
    assert!(row.get("http_status").is_none(), "columns of other probes are left out");
    // Pages of every size and both orders add up to the whole.
    for order in ["asc", "desc"] {
        let whole = server.get(&format!("/api/jobs/1/metrics?order={order}")).await.is(200);
        for limit in [1, 2, 3, 4, 7, 59, 60, 61] {
            let mut path = format!("/api/jobs/1/metrics?order={order}&limit={limit}");
            let mut rows = Vec::new();
            loop {
                let answer = server.get(&path).await;
                let link = answer.header("link").map(str::to_owned);
                let page = answer.is(200);
                assert!(page.as_array().unwrap().len() <= limit);
                rows.extend(page.as_array().unwrap().clone());
                assert!(rows.len() <= 60, "{order} {limit}: pages repeat");
                let Some(link) = link else { break };
                path = link.strip_prefix('<').unwrap().split('>').next().unwrap().to_owned();
            }
            assert_eq!(Value::Array(rows), whole, "{order} {limit}");
        }
    }
    let rows = |path: &'static str| async { server.get(path).await.is(200).as_array().unwrap().len() };
    assert_eq!(rows("/api/jobs/pings/metrics?metric=ping&destination=two").await, 10);
    assert_eq!(rows("/api/jobs/1/metrics?metric=ping,jitter&destination=1,two").await, 40);
    assert_eq!(
        rows("/api/jobs/1/metrics?start_time=2026-11-24T03:55:00Z&end_time=2026-11-24T03:56:00Z&metric=ping").await,
        2
    );
    assert_eq!(rows("/api/jobs/1/metrics?end_time=2020-01-01T00:00:00Z").await, 0);
    let few = server.get("/api/jobs/1/metrics?fields=position,error&limit=1").await.is(200);
    assert_eq!(few, json!([{"position": 4, "error": null}]));
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=-1", "limit"),
        ("limit=100001", "limit"),
        ("limit=x", "limit"),
        ("order=up", "order"),
        ("start_time=yesterday", "start_time"),
        ("end_time=2026-01-01T00:00:00", "end_time"),
        ("metric=pong", "metric"),
        ("start_time=2026-02-01T00:00:00Z&end_time=2026-01-01T00:00:00Z", "start_time"),
        ("destination=three", "destination"),
        ("cursor=x", "cursor"),
        ("cursor=1.2", "cursor"),
        ("cursor=1.1.18446744073709551615", "cursor"),
        ("cursor=1.1.9", "cursor"),
        ("fields=nope", "fields"),
        ("n[]=1", "n[]"),
    ] {
        server.get(&format!("/api/jobs/1/metrics?{query}")).await.refuses(422, Some(field));
    }
    // The samples of removed entries stay, under their ids, with their last names.
    server.ask("DELETE", "/api/jobs/1", &[], None).await.is(200);
    server.ask("DELETE", "/api/destinations/2", &[], None).await.is(200);
    let left = server.get("/api/jobs/1/metrics?metric=ping").await.is(200);
    assert_eq!((&left[1]["job"], &left[1]["destination"]), (&json!("pings"), &json!("two")));
    server.get("/api/jobs/2/metrics").await.refuses(404, None);
    server.stop().await;
}

#[tokio::test]
async fn health_tells_how_far_the_views_are_and_what_is_wrong() {
    let server = start_with(|context| {
        context.report = std::sync::Arc::new(|| netstats_api::Report {
            privileges: netstats_api::PrivilegesReport { icmp: None, fix: Some("sudo setcap ...".to_owned()) },
            problems: vec![netstats_api::ProblemReport {
                message: "no ICMP".to_owned(),
                fix: Some("sudo setcap ...".to_owned()),
            }],
            ..Default::default()
        });
    })
    .await;
    server.furnish().await;
    let health = server.get("/api/health").await.is(200);
    assert_eq!(
        (&health["status"], &health["position"], &health["log"]["first"]),
        (&json!("degraded"), &json!(3), &json!(1))
    );
    assert_eq!(health["projectors"][0], json!({"name": "inventory", "position": 3, "lag": 0, "failure": null}));
    assert_eq!(health["privileges"], json!({"icmp": null, "fix": "sudo setcap ..."}));
    assert_eq!(health["log"]["head"].as_str().unwrap().len(), 32);
    server.stop().await;
}

#[tokio::test]
async fn a_reload_reports_what_changed_or_why_the_old_config_stays() {
    let server = start().await;
    server.post("/api/config/reload", &json!({})).await.refuses(404, None);
    server.stop().await;
    let server = start_with(|context| {
        let count = std::sync::atomic::AtomicUsize::new(0);
        context.reload =
            Some(std::sync::Arc::new(move || match count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
                0 => Ok(netstats_api::Reloaded { position: 7, changed: 2, warnings: vec![] }),
                _ => Err(netstats_api::ReloadRefused {
                    message: "a.ron:3:7: unknown key".to_owned(),
                    ..Default::default()
                }),
            }));
    })
    .await;
    let done = server.post("/api/config/reload", &json!({})).await.is(200);
    assert_eq!(done, json!({"position": 7, "changed": 2, "warnings": []}));
    let problem = server.post("/api/config/reload", &json!({})).await.refuses(422, None);
    assert!(problem["detail"].as_str().unwrap().contains("a.ron:3:7"));
    server.stop().await;
}

#[tokio::test]
async fn many_writers_at_once_lose_nothing_and_read_their_own_writes() {
    let server = std::sync::Arc::new(start().await);
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let server = server.clone();
            tokio::spawn(async move {
                for i in 0..10 {
                    let name = format!("w{writer}-{i}");
                    let made = server.post("/api/destinations", &json!({"name": name, "host": "192.0.2.1"})).await;
                    // Told to repeat under contention, it is repeated.
                    let made = if made.status == 503 {
                        server.post("/api/destinations", &json!({"name": name, "host": "192.0.2.1"})).await
                    } else {
                        made
                    };
                    let id = made.is(201)["id"].clone();
                    assert_eq!(server.get(&format!("/api/destinations/{id}")).await.is(200)["name"], json!(name));
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let list = server.get("/api/destinations").await.is(200);
    assert_eq!(list["items"].as_array().unwrap().len(), 80);
    assert_eq!(list["position"], 80);
}

#[tokio::test]
async fn the_page_is_served_with_its_tag_its_encoding_and_a_strict_policy() {
    let server = start().await;
    let plain = server.get("/").await;
    assert_eq!((plain.status, plain.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(plain.header("content-security-policy").unwrap().contains("script-src 'self'"));
    assert_eq!((plain.header("x-frame-options"), plain.header("vary")), (Some("DENY"), Some("accept-encoding")));
    let tag = plain.header("etag").unwrap().to_owned();
    let again = server.ask("GET", "/", &[("if-none-match", &tag)], None).await;
    assert_eq!((again.status, again.body.len(), again.header("etag")), (304, 0, Some(tag.as_str())));
    let packed = server.ask("GET", "/", &[("accept-encoding", "br, gzip")], None).await;
    assert!(packed.status == 200 && packed.body.len() <= plain.body.len());
    // A page of the UI by its address, and a link from another site to it.
    let link = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
    assert_eq!(server.ask("GET", "/destinations/one", &link, None).await.body, plain.body);
    server.ask("POST", "/", &[], None).await.refuses(405, None);
    server.stop().await;
}

#[tokio::test]
async fn an_answer_of_a_moment_ago_is_not_given_once_an_event_or_the_clock_has_changed_it() {
    let server = start().await;
    server.furnish().await;
    let status = |path: &'static str| async {
        let json = server.get(path).await.is(200);
        json.get("items").map_or(&json, |items| &items[0])["latest"]["status"].as_str().unwrap().to_owned()
    };
    for path in ["/api/destinations/1", "/api/destinations"] {
        assert_eq!(status(path).await, "unknown");
    }
    server.append(vec![ping(1, 1, NOW)]);
    for path in ["/api/destinations/1", "/api/destinations"] {
        assert_eq!(status(path).await, "degraded");
    }
    // Three intervals later nothing fresh is known, and the job's next run is another.
    let next_run = server.get("/api/jobs/1").await.is(200)["state"]["next_run"].clone();
    server.now.fetch_add(600_000, std::sync::atomic::Ordering::Relaxed);
    for path in ["/api/destinations/1", "/api/destinations"] {
        assert_eq!(status(path).await, "unknown");
    }
    assert_ne!(server.get("/api/jobs/1").await.is(200)["state"]["next_run"], next_run);
    // More entries than answers are kept: each still has its own.
    for i in 0..1_100 {
        let event = netstats_event::DestinationAdded {
            id: netstats_event::DestinationId(10 + i),
            spec: netstats_event::DestinationSpec {
                name: format!("d{i}"),
                host: "192.0.2.1".into(),
                ..Default::default()
            },
            meta: netstats_event::Meta::by("system"),
        };
        let _ = server.journal.append(vec![event.into()]).unwrap();
    }
    server.append(vec![ping(1, 1, NOW)]);
    for i in (0..1_100).chain([0]) {
        let id = 10 + i;
        assert_eq!(server.get(&format!("/api/destinations/{id}")).await.is(200)["name"], json!(format!("d{i}")));
    }
    server.stop().await;
}

/// Folds until it meets an event.
struct Fragile;

impl netstats_projector::Projector for Fragile {
    fn name(&self) -> &'static str {
        "fragile"
    }
    fn version(&self) -> u32 {
        1
    }
    fn load(&mut self, _: &dyn netstats_projector::RowReader) -> Result<(), netstats_projector::Error> {
        Ok(())
    }
    fn apply(&mut self, _: &[netstats_event::Envelope]) {
        panic!("that event");
    }
    fn flush(&mut self, _: &mut netstats_projector::RowBatch) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn health_names_the_view_that_stands_still_and_why() {
    let server = start_with(|context| {
        let views = std::sync::Arc::new(netstats_projector::MemoryViews::new());
        let runner = netstats_projector::Runner::start(context.journal.clone(), views, vec![Box::new(Fragile)]);
        context.runner = std::sync::Arc::new(runner.unwrap());
    })
    .await;
    server.journal.append(vec![netstats_event::CollectorStopped { reason: "test".into() }.into()]).unwrap();
    let health = loop {
        let answer = server.get("/api/health").await;
        if answer.status == 503 {
            break answer.json();
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert_eq!(health["status"], "failing");
    assert_eq!(health["projectors"][0]["name"], "fragile");
    let failure = health["projectors"][0]["failure"].as_str().unwrap();
    assert!(failure.contains("panicked: that event"), "{failure}");
    let told = health["problems"].to_string();
    assert!(told.contains("the view fragile stands still") && told.contains("views rebuild"), "{told}");
}
