//! The process that the rigs maltreat: this test binary once more, appending and telling what was acknowledged.
//!
//! It says, a line each: `open LAST`, or `refused WHY`; then `ack LAST CHAIN` after every batch; if an append fails
//! `failed LAST WHY`; at the end, or after a failure, `read COUNT` for what it could read and prove.

use std::io::{BufRead, BufReader, Lines, Write};
use std::net::IpAddr;
use std::num::NonZero;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use netstats_event::{
    ClockSource, DestinationId, Echo, Event, JobId, JobStarted, Meta, PingMeasured, Rtt, SampleFlags, SampleHead,
    Timestamp, Transport,
};
use netstats_log::{FjallLog, Journal, Log, LogOptions, verify};

use crate::support::Acknowledged;

const FOLDER: &str = "NETSTATS_PROOF_FOLDER";
const BATCHES: &str = "NETSTATS_PROOF_BATCHES";

/// Small epochs: they begin, end and are put away while the rig does its worst.
pub(crate) fn options() -> LogOptions {
    LogOptions { epoch_events: 2_000, witness_every: Duration::from_millis(20) }
}

/// What is appended: pings, kinds that nobody knows, long ones among them, and now and then a config event.
pub(crate) fn batch(number: u64) -> Vec<Event> {
    let ping = |n: u64| {
        let rtt = |echo: u64| Echo::Reply(Rtt::from_micros(u32::try_from(200 + n % 700 + echo * 13).unwrap()));
        PingMeasured {
            head: SampleHead {
                job: JobId(1),
                destination: DestinationId(u32::try_from(n % 7 + 1).unwrap()),
                slot_at: Timestamp::from_millis(1_795_564_800_000 + i64::try_from(number).unwrap() * 1_000),
                lateness_us: 3,
                flags: SampleFlags::default(),
            },
            address: IpAddr::from([192, 0, 2, 1]),
            transport: Transport::IcmpRaw,
            clock: ClockSource::Kernel,
            payload_bytes: 56,
            spacing_ms: 10,
            timeout_ms: 1_000,
            echoes: (0..10).map(|echo| if (n + echo).is_multiple_of(31) { Echo::Lost } else { rtt(echo) }).collect(),
            ttl: Some(60),
            duplicates: 0,
            reordered: 0,
            bad_replies: 0,
        }
    };
    let mut events: Vec<Event> = (0..1 + number % 40).map(|n| ping(number + n).into()).collect();
    if number % 5 == 2 {
        let length = 40 + usize::try_from(number).unwrap() * 37 % 1_500;
        events.push(Event::Unknown { kind: 900, version: 1, payload: vec![number.to_le_bytes()[0]; length] });
    }
    if number % 20 == 7 {
        events.push(JobStarted { job: JobId(1), meta: Meta::by("test") }.into());
    }
    events
}

/// Not a test of its own: the body of the child.
#[test]
fn the_child_appends_and_tells() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let batches = std::env::var(BATCHES).map_or(u64::MAX, |text| text.parse().unwrap());
    // The parent says when: a tracer may have to attach first.
    std::io::stdin().lines().next();
    let mut out = std::io::stdout();
    let log = match FjallLog::open_with(folder, options()) {
        Ok(log) => Arc::new(log),
        Err(error) => return writeln!(out, "refused {error}").unwrap(),
    };
    let journal = Journal::open(log.clone()).unwrap();
    writeln!(out, "open {}", log.head().last).unwrap();
    for number in 0..batches {
        match journal.append(batch(number)) {
            Ok(appended) => {
                // The head may be further: another batch is never under way here.
                assert_eq!(log.head().last, appended.last.0);
                writeln!(out, "ack {} {}", appended.last, log.head().chain).unwrap();
            }
            Err(error) => {
                writeln!(out, "failed {} {error}", log.head().last).unwrap();
                break;
            }
        }
    }
    match verify(log.as_ref(), NonZero::<usize>::MIN) {
        Ok(report) if report.is_whole() => writeln!(out, "read {}", report.records).unwrap(),
        other => writeln!(out, "unread {other:?}").unwrap(),
    }
    drop(journal);
    drop(log);
    writeln!(out, "end").unwrap();
}

/// The child as its parent sees it. Killed when dropped.
pub(crate) struct Appender {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
    /// Everything it said so far.
    pub(crate) said: Vec<String>,
}

impl Appender {
    /// A child that is ready to open the log in `folder`, and appends that many batches, or for ever.
    pub(crate) fn ready(folder: &Path, batches: Option<u64>) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "child::the_child_appends_and_tells", "--nocapture", "--test-threads=1"])
            .env(FOLDER, folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        if let Some(batches) = batches {
            command.env(BATCHES, batches.to_string());
        }
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { stdin: child.stdin.take(), child, lines, said: Vec::new() }
    }

    /// Lets it begin.
    pub(crate) fn go(&mut self) {
        // A closed stdin is a word to begin as well; the child may be dead already.
        let _ = self.stdin.take().unwrap().write_all(b"go\n");
    }

    /// The next thing it says; none when it has ended. A last line that a kill cut off is not one.
    pub(crate) fn next(&mut self) -> Option<String> {
        let line = self.lines.next()?.ok()?;
        self.said.push(line.clone());
        Some(line)
    }

    /// Reads until it says how it found the log; the last position it found.
    pub(crate) fn opened(&mut self) -> Result<u64, String> {
        while let Some(line) = self.next() {
            // The test harness has begun this line.
            if let Some((_, last)) = line.split_once("open ") {
                return Ok(last.trim().parse().unwrap());
            }
            if let Some((_, why)) = line.split_once("refused ") {
                return Err(why.to_owned());
            }
        }
        Err(format!("it ended without a word: {:?}", self.said))
    }

    /// Ends it, and waits until it has ended.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }

    /// Kills it after a while, from a thread of its own.
    #[expect(clippy::disallowed_methods, reason = "the moment of the kill is random time, nothing is waited for")]
    pub(crate) fn read_until_killed(mut self, after: Duration, before: Acknowledged) -> Acknowledged {
        std::thread::scope(|scope| {
            let Self { child, lines, .. } = &mut self;
            scope.spawn(move || {
                std::thread::sleep(after);
                child.kill().unwrap();
                child.wait().unwrap();
            });
            let mut newest = before;
            for line in lines.map_while(Result::ok) {
                assert!(!line.starts_with("failed"), "{line}");
                newest = parse_ack(&line).unwrap_or(newest);
            }
            newest
        })
    }
}

impl Drop for Appender {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What a whole `ack` line says.
pub(crate) fn parse_ack(line: &str) -> Option<Acknowledged> {
    let words: Vec<&str> = line.split(' ').collect();
    let ["ack", last, chain] = words[..] else { return None };
    Some(Acknowledged { last: last.parse().ok()?, chain: chain.parse().ok()? })
}
