//! The process that the rigs maltreat: this test binary once more, appending and telling what was acknowledged. It
//! speaks through a socket of its own (`send`, not `write`), so that failing writes do not make it dumb.
//!
//! It says, a line each: `open LAST`, or `refused WHY`; then `ack LAST CHAIN` after every batch; if an append fails
//! `failed LAST WHY`; at the end, or after a failure, `read COUNT` for what it could read and prove.

use std::io::{self, BufRead, BufReader, ErrorKind, Lines, Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use netstats_event::{
    ClockSource, DestinationId, Echo, Event, JobId, JobStarted, Meta, PingMeasured, Rtt, SampleFlags, SampleHead,
    Timestamp, Transport,
};
use netstats_log::{FjallLog, Journal, Log, LogOptions, verify};

use crate::support::{Acknowledged, wait};

const FOLDER: &str = "NETSTATS_PROOF_FOLDER";
const SOCKET: &str = "NETSTATS_PROOF_SOCKET";
const BATCHES: &str = "NETSTATS_PROOF_BATCHES";

/// Small epochs: they begin, end and are put away while the rig does its worst.
pub(crate) fn options() -> LogOptions {
    LogOptions { epoch_events: 2_000, witness_every: Duration::from_millis(20), ..LogOptions::default() }
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

/// Where a child works and whom it tells; none if this process is no child.
pub(crate) fn folder_and_socket() -> Option<(PathBuf, String)> {
    Some((std::env::var_os(FOLDER)?.into(), std::env::var(SOCKET).ok()?))
}

/// Not a test of its own: the body of the child.
#[test]
fn the_child_appends_and_tells() {
    let Some((folder, socket)) = folder_and_socket() else { return };
    let batches = std::env::var(BATCHES).map_or(u64::MAX, |text| text.parse().unwrap());
    let mut out = TcpStream::connect(socket).unwrap();
    out.set_nodelay(true).unwrap();
    // The parent says when: a tracer may have to attach first.
    BufReader::new(out.try_clone().unwrap()).lines().next();
    let log = match FjallLog::open_with(&folder, options()) {
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

/// What a child says, to its end: Wine may keep the socket of a process that was killed.
pub(crate) struct Ears {
    socket: TcpStream,
    child: Arc<Mutex<Child>>,
}

impl Ears {
    fn new(socket: &TcpStream, child: &Arc<Mutex<Child>>) -> io::Result<Lines<BufReader<Self>>> {
        socket.set_read_timeout(Some(Duration::from_millis(500)))?;
        Ok(BufReader::new(Self { socket: socket.try_clone()?, child: child.clone() }).lines())
    }
}

impl Read for Ears {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            // Dead before it was silent: there is nothing more.
            let is_dead = self.child.lock().unwrap().try_wait()?.is_some();
            match self.socket.read(bytes) {
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    if is_dead {
                        return Ok(0);
                    }
                }
                done => return done,
            }
        }
    }
}

/// The child as its parent sees it. Killed when dropped.
pub(crate) struct Appender {
    child: Arc<Mutex<Child>>,
    socket: TcpStream,
    lines: Lines<BufReader<Ears>>,
}

impl Appender {
    /// A child that is ready to open the log in `folder`, and appends that many batches, or for ever.
    pub(crate) fn ready(folder: &Path, batches: Option<u64>) -> Self {
        Self::of("child::the_child_appends_and_tells", folder, batches)
    }

    /// A child with that test as its body.
    pub(crate) fn of(body: &str, folder: &Path, batches: Option<u64>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", body, "--nocapture", "--test-threads=1"])
            .env(FOLDER, folder)
            .env(SOCKET, listener.local_addr().unwrap().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if let Some(batches) = batches {
            command.env(BATCHES, batches.to_string());
        }
        let child = Arc::new(Mutex::new(command.spawn().unwrap()));
        let (socket, _) = listener.accept().unwrap();
        let lines = Ears::new(&socket, &child).unwrap();
        Self { child, socket, lines }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.lock().unwrap().id()
    }

    /// Lets it begin.
    pub(crate) fn go(&mut self) {
        // It may be dead already.
        let _ = self.socket.write_all(b"go\n");
    }

    /// The next thing it says; none when it has ended.
    pub(crate) fn next(&mut self) -> Option<String> {
        self.lines.next()?.ok()
    }

    /// A reader of its own for another thread: what it says until it ends.
    pub(crate) fn lines(&self) -> Lines<BufReader<Ears>> {
        Ears::new(&self.socket, &self.child).unwrap()
    }

    pub(crate) fn kill(&mut self) {
        let mut child = self.child.lock().unwrap();
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Reads how it found the log: the last position there.
    pub(crate) fn opened(&mut self) -> Result<u64, String> {
        let line = self.next().unwrap_or_else(|| "it ended without a word".to_owned());
        line.strip_prefix("open ").map(|last| last.parse().unwrap()).ok_or(line)
    }

    /// Reads what is acknowledged until it is killed, `after` a while.
    pub(crate) fn read_until_killed(mut self, after: Duration, before: Acknowledged) -> Acknowledged {
        std::thread::scope(|scope| {
            let Self { child, lines, .. } = &mut self;
            scope.spawn(move || {
                wait(after);
                let mut child = child.lock().unwrap();
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

    /// Everything it says until it ends; at most that long, then it is killed and says no `end`.
    pub(crate) fn read_to_end(mut self, at_most: Duration) -> Vec<String> {
        let (done, is_done) = channel::<()>();
        std::thread::scope(|scope| {
            let Self { child, lines, .. } = &mut self;
            scope.spawn(move || {
                let is_late = is_done.recv_timeout(at_most) == Err(RecvTimeoutError::Timeout);
                let mut child = child.lock().unwrap();
                if is_late {
                    let _ = child.kill();
                }
                child.wait().unwrap();
            });
            let said = lines.map_while(Result::ok).collect();
            drop(done);
            said
        })
    }
}

impl Drop for Appender {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What a whole `ack` line says; a kill may have cut it off.
pub(crate) fn parse_ack(line: &str) -> Option<Acknowledged> {
    let words: Vec<&str> = line.split(' ').collect();
    let ["ack", last, chain] = words[..] else { return None };
    Some(Acknowledged { last: last.parse().ok()?, chain: chain.parse().ok()? })
}
