//! `replay`: the updates of a span of the log, as the running product tells them.

use std::io::Write;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::ask::{escape, running, say};
use crate::cli::ReplayArgs;
use crate::settings::Decided;

/// Prints each update as a line of JSON, word by word what live subscribers got.
pub(crate) fn replay(decided: &Decided, asked: &ReplayArgs) -> Result<()> {
    let client = running(decided);
    let stream = client.connect()?;
    stream.set_nonblocking(true)?;
    let (mut refused, mut updates, mut is_live) = (None, 0_u64, false);
    let each = |text: &str| {
        let message: Value = serde_json::from_str(text).unwrap_or_default();
        match message["type"].as_str() {
            Some("update") => {
                updates += 1;
                say(text);
            }
            Some("replayed") => {
                is_live = true;
                return asked.follow;
            }
            Some("paused") => note(&format!("paused after {updates} updates; Enter goes on")),
            Some("resumed") => note("goes on"),
            Some("error") if is_live => note("live updates cannot be paused"),
            Some("error") => {
                refused = Some(message);
                return false;
            }
            _ => {}
        }
        true
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::from_std(stream)?;
        let (authority, token) = (client.authority(), client.token());
        let (query, turns) = (query(asked), turns(asked.interactive));
        let watched = match client.tls()? {
            None => netstats_api::watch(stream, authority, token, &query, turns, each).await,
            Some((config, name)) => {
                let stream = tokio_rustls::TlsConnector::from(config).connect(name, stream).await;
                let stream = stream.with_context(|| format!("no TLS connection to {authority} that can be trusted"))?;
                netstats_api::watch(stream, authority, token, &query, turns, each).await
            }
        };
        watched.context("the replay broke off")
    })?;
    match refused {
        Some(error) => bail!("{}", error["message"].as_str().unwrap_or("the product refuses")),
        None => Ok(()),
    }
}

/// A line for whoever sits there, beside the updates.
fn note(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// What the lines of standard input say to the product: the replay pauses, and goes on. Nothing, unless it was asked
/// for: a program in the background that reads from its terminal is stopped.
fn turns(is_interactive: bool) -> UnboundedReceiver<String> {
    let (send, turns) = unbounded_channel();
    if is_interactive {
        std::thread::spawn(move || {
            let ops = ["pause", "resume"].into_iter().cycle();
            let mut lines = std::io::stdin().lines().map_while(Result::ok).zip(ops);
            lines.try_for_each(|(_, op)| send.send(json!({"op": op}).to_string()))
        });
    }
    turns
}

fn query(asked: &ReplayArgs) -> String {
    let mut query = format!("replay_from={}&speed={}", escape(&asked.from), escape(&asked.speed));
    let optional =
        [("to", &asked.to), ("destinations", &asked.destinations), ("jobs", &asked.jobs), ("kinds", &asked.kinds)];
    for (name, value) in optional {
        if let Some(value) = value {
            query += &format!("&{name}={}", escape(value));
        }
    }
    if asked.follow {
        query += "&follow=true";
    }
    query
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_travels_in_the_address() {
        let asked = ReplayArgs {
            from: "2026-11-24T04:00:00+01:00".to_owned(),
            to: Some("99".to_owned()),
            speed: "max".to_owned(),
            follow: true,
            interactive: false,
            destinations: None,
            jobs: Some("core pings".to_owned()),
            kinds: None,
        };
        assert_eq!(
            query(&asked),
            "replay_from=2026-11-24T04%3A00%3A00%2B01%3A00&speed=max&to=99&jobs=core%20pings&follow=true"
        );
    }
}
