//! The real program, from the command line to the log on disk and back. Traffic stays on loopback.
#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "tests keep time and may say SKIP")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{Product, program, root, run, said};

const JOB: &str = "/api/jobs/this-machine/metrics";

/// A job that measures two loopback addresses, and one that waits for its start, also on loopback.
const CONFIG: &str = r#"(
    limits: (min_interval_s: 1),
    starter: (
        destinations: [
            (name: "here", host: "127.0.0.1"),
            (name: "beyond", host: "127.0.0.2", tags: ["out"], status: paused),
        ],
        jobs: [
            (name: "this-machine", interval: "1s", metrics: [ping, packet_loss, jitter], destinations: ["here"],
             packets: 2, spacing: "10ms", timeout: "500ms"),
            (name: "internet", enabled: false, interval: "1s", metrics: [ping], destination_tags: ["out"],
             packets: 2, spacing: "10ms", timeout: "500ms"),
        ],
    ),
)"#;

fn positions(rows: &Value) -> BTreeSet<u64> {
    rows.as_array().unwrap().iter().map(|row| row["position"].as_u64().unwrap()).collect()
}

fn has_success(rows: &Value) -> bool {
    rows.as_array().unwrap().iter().any(|row| row["status"] == "success")
}

/// A folder for data, and a config file beside it.
fn place(config: &str) -> (tempfile::TempDir, std::path::PathBuf, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("test.ron");
    fs::write(&file, config).unwrap();
    let data = folder.path().join("data");
    let file = file.to_str().unwrap().to_owned();
    (folder, data, file)
}

#[test]
fn a_newcomer_sees_real_samples_within_five_seconds_and_nothing_leaves_the_machine() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let product = Product::start(&data, &["--config", "config/network-stats.ron"]);
    let start_command = product.line_with(" start internet");
    assert!(start_command.trim_start().ends_with("start internet"), "{start_command}");
    if product.get("/api/health")["privileges"]["icmp"].is_null() {
        println!("SKIP: this system does not let the tests ping");
        return;
    }
    let rows = product.until(JOB, |rows| {
        ["127.0.0.1", "::1"].iter().all(|address| {
            rows.as_array().unwrap().iter().any(|row| row["resolved_address"] == *address && row["status"] == "success")
        })
    });
    let waited = product.since.elapsed();
    assert!(waited < Duration::from_secs(5), "samples after {waited:?}: {rows}");
    let row = rows.as_array().unwrap().iter().find(|row| row["metric"] == "ping").unwrap();
    assert!(row["response_time_ms"].as_f64().unwrap() > 0.0 && row["packets_sent"] == 10, "{row}");

    let destinations = product.get("/api/destinations");
    for destination in destinations["items"].as_array().unwrap() {
        let is_here = ["127.0.0.1", "::1"].iter().any(|address| destination["host"] == *address);
        assert_eq!(destination["status"] == "active", is_here, "{destination}");
    }
    assert_eq!(product.get("/api/jobs/internet")["state"]["name"], "stopped");
    assert_eq!(product.get("/api/jobs/internet/metrics"), json!([]));
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&data).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o700, "the data folder is its owner's");
    }
}

#[test]
fn a_stop_is_quick_and_a_restart_keeps_everything() {
    let (_folder, data, config) = place(CONFIG);
    let product = Product::start(&data, &["--config", &config]);
    let before = positions(&product.until(JOB, |rows| !rows.as_array().unwrap().is_empty()));
    let destinations = product.get("/api/destinations")["items"].as_array().unwrap().len();
    let (status, after) = product.stop();
    assert_eq!(status.code(), Some(0));
    assert!(after < Duration::from_secs(5), "the stop took {after:?}");
    assert!(!data.join("address").exists());

    let again = Product::start(&data, &["--config", &config]);
    assert!(before.is_subset(&positions(&again.get(JOB))), "samples are gone");
    assert_eq!(
        again.get("/api/destinations")["items"].as_array().unwrap().len(),
        destinations,
        "the starter came twice"
    );
    assert_eq!(again.stop().0.code(), Some(0));
}

#[test]
fn kill_dash_nine_keeps_what_was_acknowledged() {
    let (_folder, data, config) = place(CONFIG);
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        let product = Product::start(&data, &["--config", &config]);
        let names = product.get("/api/destinations");
        for name in &acknowledged {
            let is_there = names["items"].as_array().unwrap().iter().any(|item| item["name"] == *name);
            assert!(is_there, "{name} was acknowledged and is gone");
        }
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::park_timeout(Duration::from_millis(150 + 130 * round));
                product.signal("KILL");
            });
            for n in 0.. {
                let name = format!("d-{round}-{n}");
                match product.ask("POST", "/api/destinations", Some(&json!({"name": name, "host": "127.0.0.3"}))) {
                    Ok((201, _)) => acknowledged.push(name),
                    Ok((status, problem)) => panic!("{status}: {problem}"),
                    Err(_) => break,
                }
            }
        });
        drop(product);
    }
    assert!(!acknowledged.is_empty());
    let verified = run(&["log", "verify", "--config", &config, "--data-dir", data.to_str().unwrap()]);
    assert_eq!(verified.status.code(), Some(0), "{}", said(&verified));
}

#[test]
fn the_log_is_proved_and_the_views_come_back_the_same() {
    let (_folder, data, config) = place(CONFIG);
    let product = Product::start(&data, &["--config", &config]);
    product.until(JOB, |rows| rows.as_array().unwrap().len() >= 6);
    let settings = ["--config", &config, "--data-dir", data.to_str().unwrap()];
    let held = run(&[&["log", "verify"][..], &settings].concat());
    assert_eq!(held.status.code(), Some(1), "{}", said(&held));
    assert!(said(&held).contains(&format!("in use by process {}", product.id())), "{}", said(&held));
    product.stop();

    let verified = run(&[&["log", "verify"][..], &settings].concat());
    let text = said(&verified);
    assert_eq!(verified.status.code(), Some(0), "{text}");
    let head = text.lines().find_map(|line| line.strip_prefix("head ")).unwrap().to_owned();
    let noted = run(&[&["log", "verify", "--head", &head][..], &settings].concat());
    assert!(noted.status.success() && said(&noted).contains("still holds the history"), "{}", said(&noted));
    let (position, _) = head.split_once(':').unwrap();
    let other = format!("{position}:{}", "0".repeat(32));
    let forged = run(&[&["log", "verify", "--head", &other][..], &settings].concat());
    assert_eq!(forged.status.code(), Some(3), "{}", said(&forged));

    let rebuilt = run(&[&["views", "rebuild"][..], &settings].concat());
    assert_eq!(rebuilt.status.code(), Some(0), "{}", said(&rebuilt));
    assert!(said(&rebuilt).contains("the same"), "{}", said(&rebuilt));

    let again = Product::start(&data, &["--config", &config]);
    assert!(!again.get(JOB).as_array().unwrap().is_empty());
}

#[test]
fn one_command_starts_measuring_beyond_this_machine_and_one_stops_it() {
    let (_folder, data, config) = place(CONFIG);
    let product = Product::start(&data, &["--config", &config]);
    let settings = ["--config", &config, "--data-dir", data.to_str().unwrap()];
    let started = run(&[&["start", "internet"][..], &settings].concat());
    assert!(started.status.success(), "{}", said(&started));
    assert_eq!(product.get("/api/destinations/beyond")["status"], "active");
    assert_eq!(product.get("/api/jobs/internet")["state"]["name"], "running");
    product.until("/api/jobs/internet/metrics", |rows| !rows.as_array().unwrap().is_empty());

    assert!(run(&[&["stop", "internet"][..], &settings].concat()).status.success());
    assert_eq!(product.get("/api/jobs/internet")["state"]["name"], "stopped");
    assert!(run(&[&["destination", "pause", "beyond"][..], &settings].concat()).status.success());
    assert_eq!(product.get("/api/destinations/beyond")["status"], "paused");
    let unknown = run(&[&["start", "intrenet"][..], &settings].concat());
    assert_eq!(unknown.status.code(), Some(1), "{}", said(&unknown));
    product.stop();
    let nobody = run(&[&["start", "internet", "--listen", "127.0.0.1:9"][..], &settings].concat());
    assert_eq!(nobody.status.code(), Some(1));
    assert!(said(&nobody).contains("no product answers"), "{}", said(&nobody));
}

#[test]
fn a_reload_takes_up_the_file_and_a_bad_file_changes_nothing() {
    let (_folder, data, config) = place(CONFIG);
    let product = Product::start(&data, &["--config", &config]);
    let with = |entry: &str| CONFIG.replacen('(', &format!("(destinations: [{entry}],"), 1);
    let has = |list: &Value, name: &str| list["items"].as_array().unwrap().iter().any(|item| item["name"] == name);

    fs::write(&config, with(r#"(name: "declared", host: "127.0.0.4")"#)).unwrap();
    product.reload();
    product.until("/api/destinations", |list| has(list, "declared"));
    let (status, problem) = product.ask("DELETE", "/api/destinations/declared", None).unwrap();
    assert_eq!(status, 409, "{problem}");
    assert!(problem["hint"].as_str().unwrap().contains("config file"), "{problem}");

    fs::write(&config, with(r#"(name: "declared", hots: "127.0.0.4")"#)).unwrap();
    let (status, problem) = product.ask("POST", "/api/config/reload", Some(&json!({}))).unwrap();
    assert!((400..500).contains(&status), "{status}: {problem}");
    assert!(problem.to_string().contains("test.ron:1:"), "{problem}");
    assert!(has(&product.get("/api/destinations"), "declared"));

    fs::write(&config, CONFIG).unwrap();
    let reloaded = run(&["config", "reload", "--config", &config, "--data-dir", data.to_str().unwrap()]);
    assert!(reloaded.status.success(), "{}", said(&reloaded));
    assert!(!has(&product.get("/api/destinations"), "declared"));
    assert!(has(&product.get("/api/destinations"), "here"), "what is the user's stays");
}

#[test]
fn a_raised_floor_leaves_jobs_running_and_says_which() {
    let (_folder, data, config) = place("(limits: (min_interval_s: 5))");
    let product = Product::start(&data, &["--config", &config]);
    let here = json!({"name": "here", "host": "127.0.0.1", "status": "paused"});
    assert_eq!(product.ask("POST", "/api/destinations", Some(&here)).unwrap().0, 201);
    let often = json!({"name": "often", "interval": "5s", "metrics": ["ping"], "destinations": ["here"]});
    let (status, job) = product.ask("POST", "/api/jobs", Some(&often)).unwrap();
    assert_eq!(status, 201, "{job}");

    fs::write(&config, "(limits: (min_interval_s: 60))").unwrap();
    let (status, applied) = product.ask("POST", "/api/config/reload", Some(&json!({}))).unwrap();
    assert_eq!(status, 200, "{applied}");
    assert!(applied.to_string().contains("job \\\"often\\\" runs every 5 s, below the floor of 60 s"), "{applied}");
    assert_eq!(product.get("/api/jobs/often")["interval_s"], 5);
}

#[test]
fn a_wrong_config_ends_with_two_and_says_where() {
    let (_folder, data, config) = place("(\n  limits: (\n    min_intervall_s: 5,\n  ),\n)");
    for arguments in
        [vec!["check-config", &config], vec!["serve", "--config", &config, "--data-dir", data.to_str().unwrap()]]
    {
        let output = run(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let text = said(&output);
        assert!(text.contains("test.ron:3:5: there is no key `min_intervall_s`"), "{text}");
        assert!(text.contains("did you mean `min_interval_s`?"), "{text}");
    }
    assert!(!data.exists(), "nothing is made before the config is right");
    let right = run(&["check-config", "config/network-stats.ron"]);
    assert_eq!(right.status.code(), Some(0), "{}", said(&right));
}

#[test]
fn a_wrong_command_line_ends_with_two() {
    for arguments in
        [&["--lsiten", "x"][..], &["serve", "--listen", "0.0.0.0:80"], &["frobnicate"], &["--log-level", "x"]]
    {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", said(&output));
    }
    assert_eq!(run(&["--help"]).status.code(), Some(0));
    assert_eq!(run(&["--version"]).status.code(), Some(0));
}

#[test]
fn variables_count_after_flags_and_before_the_file() {
    let (_folder, data, config) = place(r#"(server: (listen: "127.0.0.1:1"), log_level: "loud")"#);
    let output = program(&["serve", "--data-dir", data.to_str().unwrap()])
        .env("NETWORK_STATS_CONFIG", &config)
        .output()
        .unwrap();
    assert!(said(&output).contains("\"loud\" is not a log level"), "{}", said(&output));
    let output =
        program(&["serve", "--listen", "8.8.8.8:1"]).env("NETWORK_STATS_LISTEN", "9.9.9.9:1").output().unwrap();
    assert!(said(&output).contains("8.8.8.8 can be reached"), "{}", said(&output));
    let output = program(&["serve"]).env("NETWORK_STATS_LISTEN", "9.9.9.9:1").output().unwrap();
    assert!(said(&output).contains("9.9.9.9 can be reached"), "{}", said(&output));
}

#[test]
fn a_taken_port_and_a_taken_folder_are_told_apart() {
    let (folder, data, config) = place(CONFIG);
    let product = Product::start(&data, &["--config", &config]);
    let address = product.url.trim_start_matches("http://");
    let other = folder.path().join("other");
    let taken = run(&["serve", "--config", &config, "--listen", address, "--data-dir", other.to_str().unwrap()]);
    assert_eq!(taken.status.code(), Some(1));
    assert!(
        said(&taken).contains("another process listens at") && said(&taken).contains("--listen"),
        "{}",
        said(&taken)
    );

    let taken = run(&["serve", "--config", &config, "--listen", "127.0.0.1:0", "--data-dir", data.to_str().unwrap()]);
    assert_eq!(taken.status.code(), Some(1));
    assert!(said(&taken).contains(&format!("in use by process {}", product.id())), "{}", said(&taken));
}

#[test]
fn tokio_is_the_only_runtime() {
    let (_folder, data, config) = place(CONFIG);
    let product = Product::start(&data, &["--config", &config]);
    product.until(JOB, |rows| !rows.as_array().unwrap().is_empty());
    let tasks = Path::new("/proc").join(product.id().to_string()).join("task");
    let Ok(tasks) = fs::read_dir(tasks) else {
        println!("SKIP: no /proc here to list threads");
        return;
    };
    let names: Vec<String> =
        tasks.map(|task| fs::read_to_string(task.unwrap().path().join("comm")).unwrap_or_default()).collect();
    assert!(names.len() > 1);
    let foreign =
        |name: &&String| ["async-std", "async-io", "smol", "blocking-"].iter().any(|word| name.contains(word));
    assert_eq!(names.iter().filter(foreign).count(), 0, "{names:?}");
}

#[test]
fn the_start_is_quick() {
    let (_folder, data, config) = place(CONFIG);
    Product::start(&data, &["--config", &config]).stop();
    let start = Instant::now();
    let product = Product::start(&data, &["--config", &config]);
    let took = product.since - start;
    // A second on a machine that has nothing else to do; tests share theirs.
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(has_success(&product.until(JOB, |rows| has_success(rows) || rows.as_array().unwrap().len() > 20)));
    let _ = root();
}

#[test]
fn a_file_comes_from_the_running_product_and_from_a_folder_that_nobody_holds() {
    let (folder, data, config) = place(CONFIG);
    let product = Product::start(&data, &["--config", &config]);
    product.until(JOB, has_success);
    let out = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let export = |more: &[&str]| {
        let data = data.to_str().unwrap();
        run(&[&["export", "this-machine", "--config", &config, "--data-dir", data, "--metric", "ping"], more].concat())
    };
    let online = export(&["--output", &out("online.csv")]);
    assert!(online.status.success(), "{}", said(&online));
    let lines = |name: &str| fs::read_to_string(out(name)).unwrap().lines().map(str::to_owned).collect::<Vec<_>>();
    assert!(lines("online.csv").len() > 1 && lines("online.csv")[0].starts_with("timestamp,"));
    assert!(product.stop().0.success());

    let offline = export(&["--output", &out("offline.csv")]);
    assert!(offline.status.success(), "{}", said(&offline));
    let (before, after) = (lines("online.csv"), lines("offline.csv"));
    assert_eq!(before[..], after[..before.len()], "the same rows, and those that came since");

    let refused = export(&["--output", &out("wrong.csv"), "--from", "tomorrow"]);
    assert!(!refused.status.success() && said(&refused).contains("start_time"), "{}", said(&refused));
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("wrong")), "nothing half is left: {left:?}");
}
