//! TCP and HTTP against servers of this process: good ones, and ones that do everything wrong.

use std::net::SocketAddr;
use std::sync::Arc;

use netstats_event::{FailReason, HttpMeasured, HttpOptions, HttpOutcome, ProbeOptions, TcpOptions, TcpOutcome};
use netstats_probe::{HttpProbe, Outcome, Probe, Request, Resolver, TcpProbe, Tls};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// A listener on the loopback whose connections are handed to `serve`.
async fn server<F, T>(serve: F) -> SocketAddr
where
    F: Fn(TcpStream) -> T + Send + 'static,
    T: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

/// A port that nobody listens on.
async fn closed_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// Reads a request's head and says `response`.
async fn answer<S: AsyncReadExt + AsyncWriteExt + Unpin>(mut stream: S, response: &str) {
    let mut request = vec![0; 8 << 10];
    let _ = stream.read(&mut request).await;
    let _ = stream.write_all(response.as_bytes()).await;
    let _ = stream.shutdown().await;
}

async fn ask(tls: Tls, host: &str, options: HttpOptions) -> HttpMeasured {
    let probe = HttpProbe::new(Arc::new(Resolver::system()), tls);
    let options = Arc::new(ProbeOptions { http: options, ..ProbeOptions::default() });
    let report = probe.run(&Request { options, ..Request::to(host) }).await;
    assert!(report.first_sent.is_some());
    match report.outcome {
        Outcome::Http(sample) => sample,
        other => panic!("{other:?}"),
    }
}

fn plain(port: u16) -> HttpOptions {
    HttpOptions { tls: false, port: Some(port), timeout_ms: 5_000, ..HttpOptions::default() }
}

#[tokio::test]
async fn a_connection_is_timed_and_a_refusal_is_one() {
    let open = server(|_| async {}).await;
    for (port, is_open) in [(open.port(), true), (closed_port().await.port(), false)] {
        let tcp = TcpOptions { port: Some(port), timeout_ms: 2_000, ..TcpOptions::default() };
        let options = Arc::new(ProbeOptions { tcp, ..ProbeOptions::default() });
        let probe = TcpProbe::new(Arc::new(Resolver::system()));
        let report = probe.run(&Request { options, ..Request::to("127.0.0.1") }).await;
        let Outcome::Tcp(sample) = report.outcome else { panic!("{report:?}") };
        assert_eq!((sample.port, sample.address), (port, "127.0.0.1".parse().unwrap()));
        match sample.outcome {
            TcpOutcome::Connected(rtt) => assert!(is_open && rtt.as_micros() < 1_000_000),
            TcpOutcome::Refused(_) => assert!(!is_open),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_connection_without_a_port_or_a_name_says_so() {
    let probe = TcpProbe::new(Arc::new(Resolver::system()));
    let report = probe.run(&Request::to("127.0.0.1")).await;
    assert!(matches!(report.outcome, Outcome::Failed { reason: FailReason::BadOptions, .. }), "{report:?}");
    let report = probe.run(&Request { port: Some(80), ..Request::to("no-such-host.invalid") }).await;
    assert!(matches!(report.outcome, Outcome::Failed { reason: FailReason::NameNotResolved, .. }), "{report:?}");
}

#[tokio::test]
async fn a_request_is_timed_phase_by_phase() {
    let server = server(|stream| answer(stream, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")).await;
    let options = HttpOptions { expect_body: Some("ell".to_owned()), ..plain(server.port()) };
    let sample =
        ask(Tls::default(), "localhost", HttpOptions { family: netstats_event::AddressFamily::V4, ..options }).await;
    assert_eq!(sample.outcome, HttpOutcome::Expected(200));
    assert_eq!(sample.url, format!("http://localhost:{}/", server.port()));
    assert_eq!((sample.address, sample.body_bytes, sample.redirects), ("127.0.0.1".parse().ok(), 5, 0));
    assert_eq!((sample.tls, sample.certificate_expires), (None, None));
    let (dns, connect, first, total) = (sample.dns, sample.connect, sample.first_byte, sample.total);
    assert!(dns.is_some() && connect.is_some() && first.is_some());
    assert!(total > first && total > connect, "the whole is more than its parts: {sample:?}");
    let literal = ask(Tls::default(), "127.0.0.1", plain(server.port())).await;
    assert_eq!(literal.dns, None, "an address is not looked up");
}

#[tokio::test]
async fn a_response_that_is_not_expected_is_told_from_none() {
    let not_found = server(|stream| answer(stream, "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno")).await;
    let sample = ask(Tls::default(), "127.0.0.1", plain(not_found.port())).await;
    assert_eq!(sample.outcome, HttpOutcome::UnexpectedStatus(404));
    let wanted = HttpOptions { expect_status: vec![404], ..plain(not_found.port()) };
    assert_eq!(ask(Tls::default(), "127.0.0.1", wanted.clone()).await.outcome, HttpOutcome::Expected(404));
    let text = HttpOptions { expect_body: Some("yes".into()), ..wanted };
    assert_eq!(ask(Tls::default(), "127.0.0.1", text).await.outcome, HttpOutcome::UnexpectedBody(404));
    let refused = ask(Tls::default(), "127.0.0.1", plain(closed_port().await.port())).await;
    assert_eq!((refused.outcome, refused.connect, refused.total), (HttpOutcome::Refused, None, None));
    let no_name = ask(Tls::default(), "no-such-host.invalid", plain(80)).await;
    assert!(matches!(no_name.outcome, HttpOutcome::NameNotResolved(_)), "{no_name:?}");
}

#[tokio::test]
async fn silence_is_a_timeout_in_its_phase() {
    let silent = server(|stream| async move {
        let _held = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let slow = HttpOptions { timeout_ms: 100, ..plain(silent.port()) };
    let sample = ask(Tls::default(), "127.0.0.1", slow.clone()).await;
    assert_eq!(sample.outcome, HttpOutcome::Timeout("first_byte".into()));
    let sample = ask(Tls::default(), "127.0.0.1", HttpOptions { tls: true, verify_tls: false, ..slow }).await;
    assert_eq!(sample.outcome, HttpOutcome::Timeout("tls".into()));
    let half = server(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf").await;
        std::future::pending::<()>().await;
    })
    .await;
    let sample = ask(Tls::default(), "127.0.0.1", HttpOptions { timeout_ms: 200, ..plain(half.port()) }).await;
    assert_eq!(sample.outcome, HttpOutcome::Timeout("body".into()));
}

#[tokio::test]
async fn redirects_are_followed_as_far_as_the_job_allows() {
    let server = server(|mut stream| async move {
        let mut request = vec![0; 8 << 10];
        let length = stream.read(&mut request).await.unwrap_or(0);
        let text = String::from_utf8_lossy(&request[..length]).into_owned();
        let hop = text.strip_prefix("GET /").and_then(|rest| rest.split(' ').next()?.parse::<u32>().ok()).unwrap_or(0);
        let response = if hop == 0 {
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nend".to_owned()
        } else {
            format!("HTTP/1.1 302 Found\r\nLocation: /{}\r\nContent-Length: 0\r\n\r\n", hop - 1)
        };
        let _ = stream.write_all(response.as_bytes()).await;
    })
    .await;
    for (from, allowed, status, followed) in [(3, 5, 200, 3), (3, 2, 302, 2), (3, 0, 302, 0), (9, 99, 302, 5)] {
        let options = HttpOptions { path: format!("/{from}"), max_redirects: allowed, ..plain(server.port()) };
        let sample = ask(Tls::default(), "127.0.0.1", options).await;
        assert_eq!((sample.outcome, sample.redirects), (HttpOutcome::Expected(status), followed));
    }
    let away = self::server(|stream| {
        answer(stream, "HTTP/1.1 302 x\r\nLocation: ftp://127.0.0.1/\r\nContent-Length: 0\r\n\r\n")
    })
    .await;
    let sample = ask(Tls::default(), "127.0.0.1", HttpOptions { max_redirects: 1, ..plain(away.port()) }).await;
    assert!(matches!(&sample.outcome, HttpOutcome::Protocol(why) if why.contains("neither http nor https")));
}

/// An authority, and what it says of `name` until `not_after`.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn trusted(&self) -> Tls {
        Tls::trusting(&[self.0.der().to_vec()]).unwrap()
    }

    async fn https(&self, name: &str, not_after_year: i32) -> SocketAddr {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        params.not_after = rcgen::date_time_ymd(not_after_year, 1, 1);
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let chain = vec![CertificateDer::from(certificate.der().to_vec())];
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        server(move |stream| {
            let acceptor = acceptor.clone();
            async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    answer(stream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
                }
            }
        })
        .await
    }
}

#[tokio::test]
async fn a_certificate_is_checked_and_its_end_is_told_even_when_it_is_refused() {
    let authority = Authority::new();
    let good = authority.https("127.0.0.1", 2090).await;
    let https = |address: SocketAddr| HttpOptions { tls: true, ..plain(address.port()) };
    let sample = ask(authority.trusted(), "127.0.0.1", https(good)).await;
    assert_eq!(sample.outcome, HttpOutcome::Expected(200));
    assert!(sample.tls.is_some());
    let end_of_2089 = 3_786_912_000;
    assert_eq!(sample.certificate_expires.map(|at| at.as_secs()), Some(end_of_2089));
    let expired = authority.https("127.0.0.1", 2020).await;
    let other = authority.https("other.example", 2090).await;
    for (address, tls, why) in [
        (expired, authority.trusted(), "expired"),
        (other, authority.trusted(), "another name"),
        (good, Authority::new().trusted(), "issuer is unknown"),
    ] {
        let sample = ask(tls, "127.0.0.1", https(address)).await;
        assert!(matches!(&sample.outcome, HttpOutcome::Tls(told) if told.contains(why)), "{why}: {sample:?}");
        assert!(sample.certificate_expires.is_some() && sample.tls.is_none());
    }
    let unchecked = HttpOptions { verify_tls: false, ..https(expired) };
    assert_eq!(ask(Tls::default(), "127.0.0.1", unchecked).await.outcome, HttpOutcome::Expected(200));
    let not_tls = server(|stream| answer(stream, "HTTP/1.1 400 Bad Request\r\n\r\n")).await;
    let sample = ask(authority.trusted(), "127.0.0.1", https(not_tls)).await;
    assert!(matches!(sample.outcome, HttpOutcome::Tls(_)), "{sample:?}");
}
