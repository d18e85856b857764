//! The other end of our own bandwidth test: `network-stats responder`.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::meter::{Meter, throughput};
use super::protocol::{self, TestRequest, TokenKey, Way};
use crate::clock::now;
use crate::limits::{CHUNK_BYTES, HELLO_WITHIN, MAX_TEST, MAX_TEST_STREAMS, TEST_GRACE};

/// What a responder may be made to do.
#[derive(Clone, Debug)]
pub struct ResponderConfig {
    /// Who knows this may test.
    pub token: String,
    /// Bytes a second, each way, of all streams together; 0: no limit.
    pub max_bytes_per_s: u64,
    /// Bytes within 24 hours, both ways together; 0: no limit.
    pub max_day_bytes: u64,
}

/// Answers bandwidth tests until dropped.
pub struct Responder {
    listener: TcpListener,
    shared: Arc<Shared>,
}

struct Shared {
    key: TokenKey,
    config: ResponderConfig,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Whose test runs, and how many streams it has: one prober at a time, or both would measure each other.
    tester: Option<(IpAddr, usize)>,
    day: Option<(Instant, u64)>,
}

impl Responder {
    /// Listens.
    ///
    /// # Errors
    /// The address cannot be listened at; the token is empty.
    pub async fn open(address: SocketAddr, config: ResponderConfig) -> io::Result<Self> {
        if config.token.len() < 16 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a token has at least 16 characters"));
        }
        let key = TokenKey::of(&config.token);
        let shared = Arc::new(Shared { key, config, state: Mutex::default() });
        Ok(Self { listener: TcpListener::bind(address).await?, shared })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until dropped.
    pub async fn run(self) {
        loop {
            match self.listener.accept().await {
                Ok((stream, from)) => {
                    let shared = Arc::clone(&self.shared);
                    tokio::spawn(async move {
                        if let Err(error) = shared.serve(stream, from.ip()).await {
                            tracing::debug!(%from, %error, "a bandwidth test broke off");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "no connection can be accepted");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        }
    }
}

impl Shared {
    async fn serve(self: Arc<Self>, mut stream: TcpStream, from: IpAddr) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let heard = tokio::time::timeout(HELLO_WITHIN, protocol::hear(&mut stream, &self.key)).await;
        let request = match heard.map_err(|_| io::ErrorKind::TimedOut)?? {
            Ok(request) => request,
            Err(why) => return protocol::refuse(&mut stream, why).await,
        };
        let _lease = match self.take_lease(from) {
            Ok(lease) => lease,
            Err(why) => return protocol::refuse(&mut stream, why).await,
        };
        let left = self.left_today();
        if left == 0 {
            return protocol::refuse(&mut stream, "the responder's bytes of the day are spent").await;
        }
        protocol::accept(&mut stream).await?;
        let meter = Meter::new(request.max_bytes.min(left));
        let duration = Duration::from_millis(request.duration_ms.into()).min(MAX_TEST);
        let moved = match request.way {
            Way::Down => tokio::time::timeout(duration + TEST_GRACE, self.send(&mut stream, &meter, duration)).await,
            Way::Up => tokio::time::timeout(duration + TEST_GRACE, self.receive(&mut stream, &meter)).await,
        };
        self.spend(meter.total());
        moved.map_err(|_| io::ErrorKind::TimedOut)??;
        self.finish(stream, request, &meter, duration).await
    }

    async fn send(&self, stream: &mut TcpStream, meter: &Meter, duration: Duration) -> io::Result<()> {
        let chunk = noise(CHUNK_BYTES);
        let begin = now();
        while now().duration_since(begin) < duration {
            stream.write_all(&chunk).await?;
            if !meter.add(chunk.len()) {
                break;
            }
            self.pace(begin, meter.total()).await;
        }
        stream.shutdown().await
    }

    async fn receive(&self, stream: &mut TcpStream, meter: &Meter) -> io::Result<()> {
        let mut buffer = vec![0; CHUNK_BYTES];
        let begin = now();
        loop {
            let count = stream.read(&mut buffer).await?;
            if count == 0 || !meter.add(count) {
                return Ok(());
            }
            self.pace(begin, meter.total()).await;
        }
    }

    /// Up: the receiver's figure is the true one.
    async fn finish(
        &self,
        mut stream: TcpStream,
        request: TestRequest,
        meter: &Meter,
        duration: Duration,
    ) -> io::Result<()> {
        if request.way == Way::Up {
            let bins = throughput(meter.whole_bins(), duration, None).map_or(Vec::new(), |found| found.bytes_per_100ms);
            protocol::send_bins(&mut stream, &bins).await?;
            stream.shutdown().await?;
        }
        Ok(())
    }

    /// Waits until so many bytes are allowed to have moved. Each stream has its share of the rate.
    async fn pace(&self, begin: Instant, moved: u64) {
        let rate = self.config.max_bytes_per_s;
        if rate == 0 {
            return;
        }
        let streams = self.state().tester.map_or(1, |(_, streams)| streams as u64).max(1);
        let due = begin + Duration::from_secs_f64(moved as f64 * streams as f64 / rate as f64);
        if due > now() {
            tokio::time::sleep_until(due.into()).await;
        }
    }

    fn take_lease(self: &Arc<Self>, from: IpAddr) -> Result<Lease, &'static str> {
        let mut state = self.state();
        match &mut state.tester {
            Some((tester, _)) if *tester != from => return Err("another prober's test is running"),
            Some((_, streams)) if *streams >= MAX_TEST_STREAMS => return Err("too many streams"),
            Some((_, streams)) => *streams += 1,
            tester => *tester = Some((from, 1)),
        }
        Ok(Lease(Arc::clone(self)))
    }

    fn left_today(&self) -> u64 {
        let limit = self.config.max_day_bytes;
        match self.state().day {
            _ if limit == 0 => u64::MAX,
            Some((since, spent)) if since.elapsed() < DAY => limit.saturating_sub(spent),
            _ => limit,
        }
    }

    fn spend(&self, bytes: u64) {
        let mut state = self.state();
        match &mut state.day {
            Some((since, spent)) if since.elapsed() < DAY => *spent = spent.saturating_add(bytes),
            day => *day = Some((now(), bytes)),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// A stream's part in a test.
struct Lease(Arc<Shared>);

impl Drop for Lease {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.tester = state.tester.and_then(|(tester, streams)| (streams > 1).then_some((tester, streams - 1)));
    }
}

/// Bytes that no device on the way can compress.
pub(super) fn noise(bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    let mut key = [0; 32];
    let _ = getrandom::fill(&mut key);
    blake3::Hasher::new_keyed(&key).finalize_xof().fill(&mut noise);
    noise
}
