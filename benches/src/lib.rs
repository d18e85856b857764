//! Criterion benches of the hot paths; see `docs/PERFORMANCE.md`.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};

use netstats_event::{
    ClockSource, DestinationId, Draft, Echo, Event, JobId, PingMeasured, Rtt, SampleFlags, SampleHead, Timestamp,
    Transport, encode,
};

/// Destinations of [`burst`].
pub const DESTINATIONS: u64 = 100;
/// The slot of the first [`burst`].
pub const START_MS: i64 = 1_795_000_000_000;

/// Numbers that look like chance, and are the same in every run (a linear congruence, Knuth's).
#[derive(Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next one, below that.
    pub fn below(&mut self, below: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from(self.0 >> 33).unwrap_or(0) % below.max(1)
    }
}

/// A ping of job 1 that brought this.
#[must_use]
pub fn ping(destination: u32, slot_ms: i64, echoes: Vec<Echo>) -> PingMeasured {
    PingMeasured {
        head: SampleHead {
            job: JobId(1),
            destination: DestinationId(destination),
            slot_at: Timestamp::from_millis(slot_ms),
            lateness_us: 120,
            flags: SampleFlags::default(),
        },
        address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        transport: Transport::IcmpDatagram,
        clock: ClockSource::Kernel,
        payload_bytes: 56,
        spacing_ms: 200,
        timeout_ms: 2_000,
        echoes,
        ttl: Some(57),
        duplicates: 0,
        reordered: 0,
        bad_replies: 0,
    }
}

/// The outcome of a ping of ten echoes: one of the [`DESTINATIONS`] after the other, each every minute, with times that
/// differ as much as in the field.
#[must_use]
pub fn event(number: u64) -> Event {
    let rtt = |i: u64| Echo::Reply(Rtt::from_micros(12_000 + (number * 7_919 + i * 104_729) as u32 % 1_500));
    let destination = number % DESTINATIONS;
    let mut event =
        ping(destination as u32, START_MS + (number / DESTINATIONS * 60_000) as i64, (0..10).map(rtt).collect());
    event.head.lateness_us = (number * 31 % 900) as u32;
    event.address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, destination as u8));
    event.spacing_ms = 100;
    event.into()
}

/// The same, recorded.
///
/// # Panics
/// Never: the event is one that can be recorded.
#[must_use]
pub fn burst(number: u64) -> Draft {
    let event = event(number);
    let slot_at = event.head().expect("a sample").slot_at;
    encode(&event, Timestamp::from_millis(slot_at.as_millis() + 915)).expect("an event within every limit")
}

/// The most memory that this process had resident since this was asked last, in MiB; Linux says it in a file, others say
/// nothing.
#[must_use]
pub fn peak_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    // Linux begins to watch anew.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? / 1_024)
}

/// A client that keeps its connection.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    request: Vec<u8>,
    buffer: Vec<u8>,
}

impl Client {
    /// Connects, to ask for one path over and over.
    ///
    /// # Panics
    /// Nobody listens.
    #[must_use]
    pub fn new(address: SocketAddr, path: &str) -> Self {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_nodelay(true).expect("an option of TCP");
        let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n").into_bytes();
        Self { stream, request, buffer: vec![0; 1 << 16] }
    }

    /// One request and its whole answer; its bytes.
    ///
    /// # Panics
    /// The answer is not a 200.
    pub fn ask(&mut self) -> usize {
        self.stream.write_all(&self.request).expect("the server reads");
        let (mut read, mut needed) = (0, usize::MAX);
        while read < needed {
            let at = if needed == usize::MAX { read } else { 0 };
            let n = self.stream.read(&mut self.buffer[at..]).expect("the server answers");
            assert!(n > 0, "the server closed");
            read += n;
            if needed == usize::MAX
                && let Some(end) = self.buffer[..read].windows(4).position(|four| four == b"\r\n\r\n")
            {
                let head = std::str::from_utf8(&self.buffer[..end]).expect("ASCII");
                assert!(head.starts_with("HTTP/1.1 200"), "{head}");
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
                needed = end + 4 + length.parse::<usize>().expect("a number");
            }
        }
        read
    }
}
