//! Starts the real program and talks to it.
#![allow(dead_code, reason = "each test file uses its part")]

#[cfg(unix)]
mod unix;
#[cfg(unix)]
use unix as system;
#[cfg(windows)]
mod windows;
#[cfg(windows)]
use windows as system;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longer than anything should take on a busy machine; shorter than a patience.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The top of the source tree.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// The program, with these arguments and none of our environment's settings.
pub(crate) fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_network-stats"));
    command.args(arguments).current_dir(root()).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("NETWORK_STATS_") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs it to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    program(arguments).output().unwrap()
}

/// As the manual says: a folder that only its owner can read.
pub(crate) fn close_to_others(folder: &Path) {
    system::close_to_others(folder);
}

/// What a run said, both ways.
pub(crate) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The running product; killed when dropped.
pub(crate) struct Product {
    child: Child,
    lines: Mutex<Receiver<String>>,
    /// `http://127.0.0.1:PORT`
    pub(crate) url: String,
    /// When it said where it listens.
    pub(crate) since: Instant,
}

impl Product {
    /// Starts it on a free port with that data folder, and waits for its start line.
    pub(crate) fn start(data: &Path, more: &[&str]) -> Self {
        Self::start_as("serve", data, more)
    }

    /// The same with another command than `serve`.
    pub(crate) fn start_as(command: &str, data: &Path, more: &[&str]) -> Self {
        let mut command = program(&[command, "--listen", "127.0.0.1:0", "--log-level", "warn", "--data-dir"]);
        command.arg(data).args(more);
        Self::spawn(command)
    }

    /// Starts this, and waits for its start line.
    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut child = system::signalled_alone(&mut command).stdout(Stdio::piped()).spawn().unwrap();
        let (send, lines) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        let mut product = Self { child, lines: Mutex::new(lines), url: String::new(), since: Instant::now() };
        let line = product.line_with("://");
        product.since = Instant::now();
        product.url = line[line.find("http").unwrap()..].split_whitespace().next().unwrap().to_owned();
        product
    }

    /// The next line that holds `text`.
    pub(crate) fn line_with(&self, text: &str) -> String {
        let end = Instant::now() + PATIENCE;
        let lines = self.lines.lock().unwrap();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = lines.recv_timeout(left).unwrap_or_else(|error| panic!("no line with {text:?}: {error}"));
            if line.contains(text) {
                return line;
            }
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// One request: status and JSON; an error if the product does not answer.
    pub(crate) fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> std::io::Result<(u16, Value)> {
        self.ask_with_head(method, path, body).map(|(status, _, json)| (status, json))
    }

    /// The same with the head of the reply, in small letters.
    pub(crate) fn ask_with_head(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> std::io::Result<(u16, String, Value)> {
        self.ask_as("", method, path, body)
    }

    /// The same with more header lines, each ending with `\r\n`.
    pub(crate) fn ask_as(
        &self,
        headers: &str,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> std::io::Result<(u16, String, Value)> {
        let authority = self.url.trim_start_matches("http://");
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut stream = TcpStream::connect(authority)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n{headers}Content-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply)?;
        let cut = || std::io::Error::other(format!("a cut reply: {reply:?}"));
        let (head, body) = reply.split_once("\r\n\r\n").ok_or_else(cut)?;
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(cut)?;
        let small = head.to_ascii_lowercase();
        assert!(!small.contains("transfer-encoding"), "the test's client reads plain replies only");
        Ok((status, small, serde_json::from_str(body).unwrap_or(Value::Null)))
    }

    /// What GET answers with 200.
    pub(crate) fn get(&self, path: &str) -> Value {
        let (status, json) = self.ask("GET", path, None).unwrap();
        assert_eq!(status, 200, "GET {path}: {json}");
        json
    }

    /// Asks until the answer pleases.
    pub(crate) fn until(&self, path: &str, mut pleases: impl FnMut(&Value) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let json = self.get(path);
            if pleases(&json) {
                return json;
            }
            assert!(Instant::now() < end, "GET {path} stays at {json}");
            thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// Sends a signal by name (`TERM`, `KILL`), or what the system has in its place.
    pub(crate) fn signal(&self, name: &str) {
        system::signal(self.id(), name);
    }

    /// Has it take up the config file again: by a signal where there is one for that.
    pub(crate) fn reload(&self) {
        if cfg!(unix) {
            return self.signal("HUP");
        }
        let (status, answer) =
            self.ask("POST", "/api/config/reload", Some(&Value::Object(Default::default()))).unwrap();
        assert_eq!(status, 200, "{answer}");
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "the product does not end");
            thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// The signal to stop; how it ended, and after how long.
    pub(crate) fn stop(mut self) -> (ExitStatus, Duration) {
        let start = Instant::now();
        self.signal("TERM");
        let status = self.ended();
        (status, start.elapsed())
    }

    /// Killed, with nothing that it could do about it.
    pub(crate) fn kill(mut self) {
        self.signal("KILL");
        self.ended();
    }
}

impl Drop for Product {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
