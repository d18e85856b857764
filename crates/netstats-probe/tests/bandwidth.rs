//! Bandwidth over the loopback: our own responder with its limits, and an ndt7 server of this process.

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use netstats_event::{
    BandwidthDirection, BandwidthEngine, BandwidthMeasured, BandwidthOptions, FailReason, ProbeOptions, Throughput,
};
use netstats_probe::{BandwidthProbe, Outcome, Probe, Report, Request, Resolver, Responder, ResponderConfig};
use netstats_probe::{SurgeTransport, Tls};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request as Asked, Response};

const TOKEN: &str = "a token of sixteen or more";

async fn responder(max_bytes_per_s: u64, max_day_bytes: u64) -> SocketAddr {
    let config = ResponderConfig { token: TOKEN.to_owned(), max_bytes_per_s, max_day_bytes };
    let responder = Responder::open("127.0.0.1:0".parse().unwrap(), config).await.unwrap();
    let address = responder.address().unwrap();
    tokio::spawn(responder.run());
    address
}

async fn run(address: SocketAddr, token: &str, bandwidth: BandwidthOptions) -> Report {
    let secrets = tempfile::tempdir().unwrap();
    std::fs::write(secrets.path().join("lab"), format!("{token}\n")).unwrap();
    let folder = Some(secrets.path().to_owned());
    let probe =
        BandwidthProbe::new(Arc::new(SurgeTransport::new()), Arc::new(Resolver::system()), Tls::default(), folder);
    let bandwidth = BandwidthOptions { port: Some(address.port()), ..bandwidth };
    let options = Arc::new(ProbeOptions { bandwidth, ..ProbeOptions::default() });
    probe.run(&Request { options, ..Request::to("127.0.0.1") }).await
}

async fn measured(address: SocketAddr, token: &str, bandwidth: BandwidthOptions) -> BandwidthMeasured {
    match run(address, token, bandwidth).await.outcome {
        Outcome::Bandwidth(sample) => sample,
        other => panic!("{other:?}"),
    }
}

fn short() -> BandwidthOptions {
    BandwidthOptions { duration_s: 2, credential: Some("lab".to_owned()), ..BandwidthOptions::default() }
}

/// Bytes a second, start-up left out.
fn rate(found: &Throughput) -> f64 {
    let counted = &found.bytes_per_100ms[usize::from(found.skipped)..];
    counted.iter().map(|bytes| f64::from(*bytes)).sum::<f64>() / counted.len() as f64 * 10.0
}

#[tokio::test]
async fn a_responder_moves_as_much_as_it_may_each_way() {
    let address = responder(4_000_000, 0).await;
    for streams in [1, 3] {
        let sample = measured(address, TOKEN, BandwidthOptions { streams, ..short() }).await;
        assert_eq!((sample.failure.as_deref(), sample.engine.as_str()), (None, "responder"));
        for found in [sample.down.as_ref().unwrap(), sample.up.as_ref().unwrap()] {
            assert!(found.bytes_per_100ms.len() > 10 && found.skipped > 0, "{found:?}");
            // Chunks are a thirtieth of a second's worth, and the machine may be busy.
            assert!((2_500_000.0..4_800_000.0).contains(&rate(found)), "{} of 4000000 B/s: {found:?}", rate(found));
        }
    }
}

#[tokio::test]
async fn a_wrong_token_and_a_spent_day_are_refused() {
    let address = responder(0, 1_000_000).await;
    let wrong = measured(address, "another token of that length", short()).await;
    assert!(wrong.failure.unwrap().contains("the token is wrong"));
    assert_eq!((wrong.down, wrong.up), (None, None));
    let down = BandwidthOptions { direction: BandwidthDirection::Down, ..short() };
    let first = measured(address, TOKEN, down.clone()).await;
    assert!(first.up.is_none());
    let second = measured(address, TOKEN, down).await;
    assert!(second.failure.unwrap().contains("of the day are spent"));
    assert!(
        Responder::open(
            "127.0.0.1:0".parse().unwrap(),
            ResponderConfig { token: "short".into(), max_bytes_per_s: 0, max_day_bytes: 0 }
        )
        .await
        .is_err()
    );
}

#[tokio::test]
async fn the_byte_budget_of_a_run_ends_it() {
    let address = responder(2_000_000, 0).await;
    let sample = measured(address, TOKEN, BandwidthOptions { max_run_bytes: 2_000_000, ..short() }).await;
    assert!(sample.failure.unwrap().contains("byte budget"));
    let moved = |found: &Option<Throughput>| {
        found.iter().flat_map(|found| &found.bytes_per_100ms).map(|bytes| u64::from(*bytes)).sum::<u64>()
    };
    assert!(moved(&sample.down) + moved(&sample.up) <= 2_000_000 + 2 * (128 << 10));
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let sample = measured(closed, TOKEN, short()).await;
    assert!(sample.failure.unwrap().contains("refuses"));
    let report = run(closed, TOKEN, BandwidthOptions { credential: Some("../etc/passwd".into()), ..short() }).await;
    assert!(matches!(report.outcome, Outcome::Failed { reason: FailReason::BadOptions, .. }), "{report:?}");
    let report = run(closed, TOKEN, BandwidthOptions { credential: Some("other".into()), ..short() }).await;
    assert!(matches!(report.outcome, Outcome::Failed { reason: FailReason::BadOptions, .. }), "{report:?}");
}

/// As the protocol says: binary messages down, or counts of what came up, ten times a second at most.
async fn ndt7_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut is_down = false;
                #[expect(clippy::result_large_err, reason = "the library's signature")]
                let check = |asked: &Asked, mut response: Response| {
                    let protocol = asked.headers()["Sec-WebSocket-Protocol"].clone();
                    assert_eq!(protocol, "net.measurementlab.ndt.v7");
                    response.headers_mut().insert("Sec-WebSocket-Protocol", protocol);
                    is_down = asked.uri().path() == "/ndt/v7/download";
                    Ok(response)
                };
                let mut socket = tokio_tungstenite::accept_hdr_async(stream, check).await.unwrap();
                let begin = tokio::time::Instant::now();
                if is_down {
                    while socket.send(Message::binary(vec![0; 50_000])).await.is_ok() {
                        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                    }
                    return;
                }
                let (mut bytes, mut told) = (0, begin);
                while let Some(Ok(message)) = socket.next().await {
                    bytes += message.len();
                    if told.elapsed().as_millis() >= 100 {
                        told = tokio::time::Instant::now();
                        let elapsed = begin.elapsed().as_micros();
                        let text = format!("{{\"AppInfo\":{{\"ElapsedTime\":{elapsed},\"NumBytes\":{bytes}}}}}");
                        if socket.send(Message::text(text)).await.is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn an_ndt7_server_is_measured_both_ways() {
    let address = ndt7_server().await;
    // The test's server takes as fast as it can: the default budget would end the way up first on a fast machine.
    let max_run_bytes = 1 << 40;
    let options = BandwidthOptions { engine: BandwidthEngine::Ndt7, credential: None, max_run_bytes, ..short() };
    let sample = measured(address, TOKEN, options).await;
    assert_eq!(sample.failure, None);
    assert!((500_000.0..5_500_000.0).contains(&rate(&sample.down.unwrap())), "5 MB/s at most");
    let up = sample.up.unwrap();
    assert!(rate(&up) > 500_000.0);
    assert_eq!(up.retransmits.is_some(), cfg!(target_os = "linux"), "Linux tells what was sent again");
}
