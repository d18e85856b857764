//! The log of the real program: stories by one id, levels that change while it runs, and no secret in it.
#![expect(clippy::disallowed_methods, reason = "tests keep time")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use serde_json::{Value, json};
use support::{Product, close_to_others, program, run, said};

const CONFIG: &str = r#"(
    log_level: "LEVEL",
    limits: (min_interval_s: 1),
    starter: (
        destinations: [(name: "here", host: "127.0.0.1")],
        jobs: [(name: "this-machine", interval: "1s", metrics: [ping], destinations: ["here"], packets: 2, spacing: "10ms", timeout: "500ms")],
    ),
)"#;

/// A folder with a config file, data and a log file in it.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new(config: &str) -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        fs::write(place.config(), config).unwrap();
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn config(&self) -> PathBuf {
        self.at("test.ron")
    }

    fn start(&self, more: &[&str]) -> Product {
        let mut command = program(&["serve", "--listen", "127.0.0.1:0", "--log-format", "json", "--config"]);
        command.arg(self.config()).arg("--data-dir").arg(self.at("data"));
        command.arg("--log-file").arg(self.at("x.log")).args(more);
        Product::spawn(command)
    }

    /// Every line is a JSON object.
    fn lines(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.at("x.log")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    }
}

#[test]
fn a_slots_whole_story_is_found_by_one_id_and_a_requests_by_another() {
    let place = Place::new(&CONFIG.replace("LEVEL", "info,netstats_collector=debug,netstats_api=debug"));
    let product = place.start(&[]);
    let rows = product.until("/api/jobs/this-machine/metrics", |rows| !rows.as_array().unwrap().is_empty());
    let (_, problem) = product.ask("GET", "/api/jobs/nobody", None).unwrap();
    assert!(product.stop().0.success());

    let row = &rows[0];
    let millis = row["timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond();
    let id = format!("{}-{}-ping-{millis}", row["job_id"], row["destination_id"]);
    let lines = place.lines();
    let is_about = |line: &&Value| line["slot"] == *id || line["span"]["slot"] == *id;
    let story: Vec<&Value> = lines.iter().filter(is_about).collect();
    let told: Vec<&str> = story.iter().map(|line| line["message"].as_str().unwrap()).collect();
    assert_eq!(told, ["begins", "ends", "recorded"], "{id}: {story:?}");
    assert_eq!(story[2]["position"], row["position"]);
    assert_eq!(story[0]["span"]["host"], "127.0.0.1");

    let id = problem["request_id"].as_str().unwrap();
    let answered = lines.iter().find(|line| line["span"]["id"] == *id).unwrap_or_else(|| panic!("{id}: {lines:?}"));
    assert_eq!((&answered["status"], &answered["span"]["path"]), (&json!(404), &json!("/api/jobs/nobody")));
}

#[test]
fn the_level_changes_while_it_runs_by_the_route_by_the_command_and_by_the_file() {
    let place = Place::new(&CONFIG.replace("LEVEL", "warn"));
    let product = place.start(&[]);
    assert_eq!(product.get("/api/log-level"), json!({"level": "warn"}));
    let settings = ["--config", place.config().to_str().unwrap(), "--data-dir", place.at("data").to_str().unwrap()]
        .map(str::to_owned);
    let command = |words: &[&str]| {
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        let output = run(&[words, &settings].concat());
        assert!(output.status.success(), "{}", said(&output));
        said(&output)
    };
    let (status, answer) = product.ask("PUT", "/api/log-level", Some(&json!({"level": "loud"}))).unwrap();
    assert_eq!((status, &answer["field"]), (422, &json!("level")), "{answer}");
    let (status, answer) = product.ask("PUT", "/api/log-level", Some(&json!({"level": "debug"}))).unwrap();
    assert_eq!((status, answer), (200, json!({"level": "debug"})));
    product.get("/api/jobs");
    assert_eq!(command(&["log-level", "error"]), "error\n");
    product.get("/api/destinations");
    fs::write(place.config(), CONFIG.replace("LEVEL", "info")).unwrap();
    command(&["config", "reload"]);
    assert_eq!(command(&["log-level"]), "info\n");
    assert!(product.stop().0.success());

    let lines = place.lines();
    let has = |path: &str| lines.iter().any(|line| line["span"]["path"] == *path);
    assert!(has("/api/jobs"), "told at debug: {lines:?}");
    assert!(!has("/api/destinations"), "not told at error");
}

#[test]
fn a_level_of_the_command_line_goes_before_that_of_a_reloaded_file() {
    let place = Place::new(&CONFIG.replace("LEVEL", "info"));
    let product = place.start(&["--log-level", "warn"]);
    fs::write(place.config(), CONFIG.replace("LEVEL", "debug")).unwrap();
    let (_, answer) = product.ask("POST", "/api/config/reload", Some(&json!({}))).unwrap();
    assert!(answer["warnings"][0].as_str().unwrap().contains("--log-level"), "{answer}");
    assert_eq!(product.get("/api/log-level"), json!({"level": "warn"}));
}

/// `network-stats responder`, ended when dropped.
struct Responder(Child);

impl Drop for Responder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A responder whose log goes to `log`, and its port.
fn responder(token: &Path, log: &Path) -> (Responder, String) {
    use std::io::{BufRead, BufReader};
    let mut child = program(&["responder", "--at", "127.0.0.1:0", "--max-mbps", "80", "--token-file"])
        .arg(token)
        .stdout(Stdio::piped())
        .stderr(fs::File::create(log).unwrap())
        .spawn()
        .unwrap();
    let line = BufReader::new(child.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    (Responder(child), line.rsplit(':').next().unwrap().to_owned())
}

#[test]
fn no_password_token_cookie_or_credential_is_in_the_log_even_if_everything_is_logged() {
    let credential = "credential-of-this-test-0123456789";
    let place = Place::new("()");
    let data = place.at("data");
    fs::create_dir_all(data.join("secrets")).unwrap();
    close_to_others(&data);
    fs::write(data.join("secrets/line"), credential).unwrap();
    let (responder, port) = responder(&data.join("secrets/line"), &place.at("responder.log"));
    let config = format!(
        r#"(limits: (min_interval_s: 1), destinations: [(name: "here", host: "127.0.0.1")],
            jobs: [(name: "speed", interval: "30s", metrics: [bandwidth], destinations: ["here"],
                    bandwidth: (port: {port}, duration: "2s", credential: "line"))])"#
    );
    fs::write(place.config(), config).unwrap();
    let product = place.start(&["--log-level", "trace"]);
    let place_token = fs::read_to_string(data.join("token")).unwrap();
    product
        .until("/api/jobs/speed/metrics", |rows| rows.as_array().unwrap().iter().any(|row| row["status"] == "success"));

    let (password, wrong, next) = ("correct horse battery", "wrong horse wrong battery", "another horse battery");
    let ask = |headers: &str, method: &str, path: &str, body: &Value| {
        product.ask_as(headers, method, path, Some(body)).unwrap()
    };
    let (status, _, made) =
        ask("", "POST", "/api/users", &json!({"name": "ada", "role": "admin", "password": password}));
    assert_eq!(status, 201, "{made}");
    let (status, ..) = ask("", "POST", "/api/login", &json!({"name": "ada", "password": wrong}));
    assert_eq!(status, 401);
    let (status, head, me) = ask("", "POST", "/api/login", &json!({"name": "ada", "password": password}));
    assert_eq!(status, 200);
    let cookie = head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap().split(';').next().unwrap();
    let csrf = me["csrf"].as_str().unwrap();
    let session = format!("Cookie: {cookie}\r\nX-NSC-CSRF: {csrf}\r\n");
    let (status, _, made) = ask(&session, "POST", "/api/tokens", &json!({"name": "t", "role": "admin"}));
    assert_eq!(status, 201, "{made}");
    let token = made["token"].as_str().unwrap();
    let bearer = format!("Authorization: Bearer {token}\r\n");
    assert_eq!(product.ask_as(&bearer, "GET", "/api/jobs", None).unwrap().0, 200);
    assert_eq!(product.ask_as("Authorization: Bearer nsc_nobodys\r\n", "GET", "/api/jobs", None).unwrap().0, 401);
    // A query that a wrong client puts a token into.
    let _ = product.ask_as(&bearer, "GET", &format!("/api/jobs?token={token}"), None).unwrap();
    let (status, _, answer) = ask(&session, "POST", "/api/me/password", &json!({"old": password, "new": next}));
    assert_eq!(status, 200, "{answer}");
    let place_header = format!("Authorization: Bearer {place_token}\r\n");
    assert_eq!(product.ask_as(&place_header, "GET", "/api/users", None).unwrap().0, 200);
    assert!(product.stop().0.success());
    drop(responder);

    let log = fs::read_to_string(place.at("x.log")).unwrap() + &fs::read_to_string(place.at("responder.log")).unwrap();
    assert!(log.contains("\"TRACE\"") || log.contains("\"DEBUG\""), "something is logged: {log}");
    let cookie_value = cookie.split_once('=').unwrap().1;
    for secret in [credential, password, wrong, next, cookie_value, csrf, token, &place_token, "nsc_nobodys"] {
        assert!(!secret.is_empty() && !log.to_lowercase().contains(&secret.to_lowercase()), "{secret:?} is in the log");
    }
}
