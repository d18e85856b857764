//! Export jobs of the real program, over kills.
#![expect(clippy::disallowed_methods, reason = "tests keep time")]

mod support;

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use support::Product;

/// Nothing is measured: only files are made.
const CONFIG: &str = "(starter: (destinations: [(name: \"here\", host: \"127.0.0.1\", status: paused)]))";
/// Kills until one falls into the making of a file.
const MOST_ROUNDS: usize = 60;

/// Names of all that is in a folder, and below.
fn inside(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let entries = entries.map(|entry| entry.unwrap().path());
    entries.flat_map(|path| [vec![path.display().to_string()], inside(&path)].concat()).collect()
}

#[test]
fn a_run_that_a_kill_cut_off_is_told_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (data, config) = (folder.path().join("data"), folder.path().join("test.ron"));
    fs::write(&config, CONFIG).unwrap();
    let start = || Product::start(&data, &["--config", config.to_str().unwrap()]);
    let mut product = start();
    let wish = json!({"name": "evidence", "range": "today", "format": "pack"});
    assert_eq!(product.ask("POST", "/api/exports", Some(&wish)).unwrap().0, 201);
    for round in 1..=MOST_ROUNDS {
        let asked = product.ask("POST", "/api/exports/evidence/run?reason=for%20the%20provider", None).unwrap();
        assert_eq!(asked.0, 202, "{}", asked.1);
        product.kill();
        product = start();
        // Whatever became of it is told, once.
        let runs = product.until("/api/exports/evidence/runs", |runs| runs["items"].as_array().unwrap().len() == round);
        let run = &runs["items"][0];
        assert_eq!((&run["actor"], &run["reason"]), (&json!("api:local"), &json!("for the provider")), "{run}");
        let left = inside(&data.join("exports"));
        assert!(left.iter().all(|name| !name.ends_with(".part")), "{left:?}");
        if run["outcome"] == "done" {
            let file = data.join("exports").join(run["file"].as_str().unwrap());
            assert_eq!(run["bytes"], fs::metadata(file).unwrap().len());
            continue;
        }
        assert_eq!(run["outcome"], "failed");
        assert!(run["error"].as_str().unwrap().starts_with("interrupted: "), "{run}");
        assert_eq!((&run["file"], &run["scheduled_for"]), (&Value::Null, &Value::Null));
        let done = runs["items"].as_array().unwrap().iter().filter(|run| run["outcome"] == "done").count();
        assert_eq!(left.len(), if done == 0 { 0 } else { 1 + done }, "{left:?}");
        let state = &product.get("/api/exports/evidence")["state"];
        assert_eq!((&state["name"], &state["underway"]), (&json!("idle"), &Value::Null));
        // It is asked for again, and made.
        assert_eq!(product.ask("POST", "/api/exports/evidence/run", None).unwrap().0, 202);
        let again = product.until("/api/exports/evidence/runs", |runs| runs["items"].as_array().unwrap().len() > round);
        assert_eq!(again["items"][0]["outcome"], "done", "{again}");
        return;
    }
    panic!("no kill of {MOST_ROUNDS} fell into the making of a file");
}
