//! The `log` commands of the real program: backup while it runs, stat, dump, damage, repair, restore.
#![expect(clippy::disallowed_methods, reason = "tests keep time")]

mod support;

use std::fs;
use std::path::Path;

use serde_json::Value;
use support::{Product, run, said};

const CONFIG: &str = r#"(
    limits: (min_interval_s: 1),
    starter: (
        destinations: [(name: "here", host: "127.0.0.1")],
        jobs: [(name: "this-machine", interval: "1s", metrics: [ping], packets: 2, spacing: "10ms", timeout: "500ms", destinations: ["here"])],
    ),
)"#;

fn command(data: &Path, config: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let data = data.to_str().unwrap();
    let output = run(&[arguments, &["--data-dir", data, "--config", config]].concat());
    (output.status.code(), said(&output))
}

#[test]
fn a_log_is_backed_up_while_it_runs_and_repaired_and_restored_when_it_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("test.ron");
    fs::write(&config, CONFIG).unwrap();
    let config = config.to_str().unwrap();
    let (data, kept) = (folder.path().join("data"), folder.path().join("kept"));
    let kept = kept.to_str().unwrap();
    let product = Product::start(&data, &["--config", config]);
    let health = product.until("/api/health", |health| health["log"]["last"].as_u64() > Some(5));
    let (code, text) = command(&data, config, &["log", "backup", kept]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("events added") && text.contains("head "), "{text}");
    assert!(health["log"]["last"].is_u64());
    product.kill();

    let (code, text) = command(&data, config, &["log", "stat"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("destination_added: 1 events"), "{text}");
    let (code, text) = command(&data, config, &["log", "dump", "--json", "--kind", "destination_added"]);
    assert_eq!(code, Some(0), "{text}");
    let line: Value = serde_json::from_str(text.lines().find(|line| line.starts_with('{')).unwrap()).unwrap();
    assert_eq!(line["data"]["destination"]["name"], "here", "{line}");
    let (code, text) = command(&data, config, &["log", "repair", "--dry-run"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("every event is there"), "{text}");

    // A hole in the middle of what the store holds.
    let journal = data.join("log/fjall/0.jnl");
    let mut bytes = fs::read(&journal).unwrap();
    bytes[600..640].fill(0);
    fs::write(&journal, &bytes).unwrap();
    let (code, text) = command(&data, config, &["log", "verify"]);
    assert_eq!(code, Some(3), "{text}");
    for part in ["0.jnl is damaged from byte", "positions", "last good time", "log repair --dry-run"] {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
    let (code, text) = command(&data, config, &["log", "repair", "--dry-run"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("lost: positions") && text.contains("proved after a hole"), "{text}");
    let (code, text) = command(&data, config, &["log", "repair", "--apply"]);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(fs::read(data.join("log.damaged-1/fjall/0.jnl")).unwrap(), bytes, "the evidence is as it was");
    assert_eq!(command(&data, config, &["log", "verify"]).0, Some(0));

    let anew = folder.path().join("anew");
    let (code, text) = command(&anew, config, &["log", "restore", kept]);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(command(&anew, config, &["log", "verify"]).0, Some(0));
    let again = Product::start(&anew, &["--config", config]);
    assert_eq!(again.get("/api/destinations")["items"][0]["name"], "here");
    assert_eq!(again.stop().0.code(), Some(0));
}

#[test]
fn wrong_places_and_kinds_are_usage_errors() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("test.ron");
    fs::write(&config, "()").unwrap();
    let config = config.to_str().unwrap();
    for arguments in [
        &["log", "dump", "--from", "yesterday"][..],
        &["log", "dump", "--kind", "pong"],
        &["log", "repair"],
        &["log", "repair", "--dry-run", "--rejoin"],
    ] {
        let (code, text) = command(folder.path(), config, arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {text}");
    }
}
