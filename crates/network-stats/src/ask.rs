//! Commands that ask the running product.

use std::io::Write;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use crate::client::Client;
use crate::data_dir::{address_file, token_file};
use crate::settings::Decided;

/// A line on standard output.
pub(crate) fn say(line: &str) {
    // Nobody reading is no reason to fail.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// The product that has this data folder, else the one at the address of the settings.
pub(crate) fn running(decided: &Decided) -> Client {
    let announced = std::fs::read_to_string(address_file(&decided.data_dir));
    let token = std::fs::read_to_string(token_file(&decided.data_dir)).ok();
    let scheme = if decided.config.server.tls.is_some() { "https" } else { "http" };
    let url = announced.unwrap_or_else(|_| format!("{scheme}://{}", decided.listen));
    Client::new(&url, token, decided.trust.clone())
}

/// Starts a job, and resumes those of its destinations that are paused.
pub(crate) fn start(decided: &Decided, job: &str) -> Result<()> {
    let client = running(decided);
    let found = client.ask("GET", &format!("/api/jobs/{}", escape(job)), None)?;
    let list = client.ask("GET", "/api/destinations", None)?;
    for destination in list["items"].as_array().into_iter().flatten() {
        if is_member(&found, destination) && destination["status"] == "paused" {
            set_status(&client, destination, "active")?;
        }
    }
    let started = client.ask("POST", &format!("/api/jobs/{}/start", escape(job)), Some(&json!({})))?;
    say(&format!("job {} is {}", name(&started), started["state"]["name"].as_str().unwrap_or("started")));
    Ok(())
}

/// Stops a job.
pub(crate) fn stop(decided: &Decided, job: &str) -> Result<()> {
    let stopped = running(decided).ask("POST", &format!("/api/jobs/{}/stop", escape(job)), Some(&json!({})))?;
    say(&format!("job {} is stopped", name(&stopped)));
    Ok(())
}

/// Pauses or resumes a destination.
pub(crate) fn destination(decided: &Decided, destination: &str, status: &str) -> Result<()> {
    let client = running(decided);
    let found = client.ask("GET", &format!("/api/destinations/{}", escape(destination)), None)?;
    set_status(&client, &found, status)
}

/// Takes up the config file again.
pub(crate) fn reload(decided: &Decided) -> Result<()> {
    running(decided).ask("POST", "/api/config/reload", Some(&json!({})))?;
    say("the config file was taken up");
    Ok(())
}

/// Says how the product does. What fails answers 503, which is an error here.
pub(crate) fn health(decided: &Decided) -> Result<()> {
    let health = running(decided).ask("GET", "/api/health", None)?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    say(&format!("{}, {} events", text(&health["status"]), health["log"]["last"]));
    for problem in health["problems"].as_array().into_iter().flatten() {
        say(&format!("  {}", text(&problem["message"])));
    }
    Ok(())
}

/// Shows what is logged, or changes it until the next start.
pub(crate) fn log_level(decided: &Decided, level: Option<&str>) -> Result<()> {
    let body = level.map(|level| json!({"level": level}));
    let method = if body.is_some() { "PUT" } else { "GET" };
    let answer = running(decided).ask(method, "/api/log-level", body.as_ref())?;
    say(answer["level"].as_str().context("the product's reply has no level")?);
    Ok(())
}

fn is_member(job: &Value, destination: &Value) -> bool {
    let holds = |list: &Value, wanted: &Value| list.as_array().is_some_and(|list| list.contains(wanted));
    let tags = destination["tags"].as_array().into_iter().flatten();
    holds(&job["destination_ids"], &destination["id"])
        || holds(&job["destinations"], &destination["name"])
        || tags.into_iter().any(|tag| holds(&job["destination_tags"], tag))
}

fn set_status(client: &Client, destination: &Value, status: &str) -> Result<()> {
    // PUT takes the whole entry; what the product adds to it (id, latest, times) is not the client's to send.
    let mut body = Map::new();
    for key in ["name", "host", "port", "display_name", "description", "tags"] {
        if let Some(value) = destination.get(key).filter(|value| !value.is_null()) {
            body.insert(key.to_owned(), value.clone());
        }
    }
    body.insert("status".to_owned(), status.into());
    let id = destination["id"].as_u64().context("the product's reply has no id")?;
    client.ask("PUT", &format!("/api/destinations/{id}"), Some(&Value::Object(body)))?;
    say(&format!("destination {} is {status}", name(destination)));
    Ok(())
}

fn name(entry: &Value) -> &str {
    entry["name"].as_str().unwrap_or("?")
}

/// A path segment: everything but letters, digits and `-._~` as `%XX` (RFC 3986).
pub(crate) fn escape(text: &str) -> String {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    text.bytes().map(|byte| if is_plain(&byte) { char::from(byte).into() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_by_id_by_name_or_by_tag() {
        let destination = json!({"id": 3, "name": "a", "tags": ["x", "y"]});
        assert!(is_member(&json!({"destination_ids": [3]}), &destination));
        assert!(is_member(&json!({"destinations": ["a"]}), &destination));
        assert!(is_member(&json!({"destination_tags": ["y"]}), &destination));
        assert!(!is_member(&json!({"destination_ids": [4], "destination_tags": ["z"]}), &destination));
    }

    #[test]
    fn names_travel_in_paths_escaped() {
        assert_eq!(escape("my job/ä"), "my%20job%2F%C3%A4");
        assert_eq!(escape("a-b._~9"), "a-b._~9");
    }
}
