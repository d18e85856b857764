//! DNS against a server of this process that knows every fault.

use std::net::SocketAddr;
use std::sync::Arc;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use netstats_event::{
    ClockSource, DnsFailure, DnsOptions, DnsOutcome, DnsTransport, FailReason, NameResolved, ProbeOptions,
};
use netstats_probe::{DnsProbe, Outcome, Probe, Request, Resolver, Tls};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

/// What the server does with a question, by the first label of its name.
fn answers(query: &[u8], is_tcp: bool) -> Vec<Vec<u8>> {
    let Ok(question) = Message::from_vec(query) else { return Vec::new() };
    let name = question.queries[0].name().clone();
    let mut reply = question.clone().into_response();
    reply.metadata.recursion_available = true;
    let record = |name: &Name, last| Record::from_rdata(name.clone(), 60, RData::A(A::new(192, 0, 2, last)));
    if question.queries[0].query_type() == RecordType::A {
        reply.add_answer(record(&name, 1));
    }
    let plain = name.to_ascii().to_ascii_lowercase();
    let label = plain.split('.').next().unwrap_or_default().to_owned();
    let bytes = |message: &Message| message.to_vec().unwrap();
    match label.as_str() {
        "nxdomain" | "refused" | "servfail" => {
            reply.answers.clear();
            reply.metadata.response_code = match label.as_str() {
                "nxdomain" => ResponseCode::NXDomain,
                "refused" => ResponseCode::Refused,
                _ => ResponseCode::ServFail,
            };
        }
        "silent" => return Vec::new(),
        "wrongid" => reply.metadata.id = reply.metadata.id.wrapping_add(1),
        "lowered" => return vec![bytes(&reply).to_ascii_lowercase()],
        "othername" => {
            let other: Name = "other.example.".parse().unwrap();
            reply.queries[0].set_name(other);
        }
        "garbage" => return vec![[&query[..2], &[0x80; 30]].concat()],
        "cut" if !is_tcp => {
            reply.answers.clear();
            reply.metadata.truncation = true;
        }
        // The forged answer comes first.
        "forged" => {
            let mut forged = reply.clone();
            forged.metadata.id ^= 0x5555;
            forged.answers = vec![record(&name, 66)];
            return vec![bytes(&forged), bytes(&reply)];
        }
        "twice" => return vec![bytes(&reply), bytes(&reply)],
        _ => {}
    }
    vec![bytes(&reply)]
}

async fn server() -> SocketAddr {
    // The same port for both: found by trying.
    let (udp, tcp) = loop {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
            break (udp, tcp);
        }
    };
    let address = udp.local_addr().unwrap();
    tokio::spawn(async move {
        let mut query = [0; 2048];
        let mut dropped = 0;
        while let Ok((count, from)) = udp.recv_from(&mut query).await {
            // "flaky" loses its first question.
            if query[12..count].windows(5).any(|part| part.eq_ignore_ascii_case(b"flaky")) && dropped == 0 {
                dropped += 1;
                continue;
            }
            for reply in answers(&query[..count], false) {
                udp.send_to(&reply, from).await.unwrap();
            }
        }
    });
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = tcp.accept().await {
            tokio::spawn(async move {
                while let Ok(length) = stream.read_u16().await {
                    let mut query = vec![0; usize::from(length)];
                    stream.read_exact(&mut query).await.unwrap();
                    for reply in answers(&query, true) {
                        stream.write_u16(reply.len().try_into().unwrap()).await.unwrap();
                        stream.write_all(&reply).await.unwrap();
                    }
                }
            });
        }
    });
    address
}

async fn look_up(server: SocketAddr, name: &str, options: DnsOptions) -> NameResolved {
    let dns = DnsOptions { name: Some(name.to_owned()), server: Some(server.to_string()), ..options };
    let options = Arc::new(ProbeOptions { dns, ..ProbeOptions::default() });
    let probe = DnsProbe::new(Arc::new(Resolver::system()), Tls::default());
    let report = probe.run(&Request { options, ..Request::to("destination.example") }).await;
    match report.outcome {
        Outcome::Dns(sample) => sample,
        other => panic!("{other:?}"),
    }
}

fn quick() -> DnsOptions {
    DnsOptions { timeout_ms: 400, ..DnsOptions::default() }
}

#[tokio::test]
async fn an_answer_is_timed_by_the_best_clock_and_kept_whole() {
    let server = server().await;
    let sample = look_up(server, "www.example", DnsOptions::default()).await;
    let DnsOutcome::Response { rtt, rcode: 0, flags, answers } = &sample.outcome else { panic!("{sample:?}") };
    assert!(rtt.as_micros() < 1_000_000);
    assert_eq!(flags & 0x0180, 0x0180, "recursion desired and available");
    assert_eq!((answers.len(), answers[0].data.as_str(), answers[0].ttl_s), (1, "192.0.2.1", 60));
    assert_eq!(
        (sample.name.as_str(), sample.record_type.as_str(), sample.transport.as_str()),
        ("www.example", "A", "udp")
    );
    assert_eq!((sample.server, sample.attempts, sample.is_expected), (Some(server.to_string()), 1, true));
    if cfg!(target_os = "linux") {
        // The kernel begins to stamp a moment after it was asked to: the first answers may be too early for it.
        let mut clock = sample.clock;
        for _ in 0..50 {
            if clock != ClockSource::User {
                break;
            }
            clock = look_up(server, "www.example", DnsOptions::default()).await.clock;
        }
        assert_ne!(clock, ClockSource::User);
    }
    let both = DnsOptions { record_types: vec!["A".into(), "AAAA".into()], ..DnsOptions::default() };
    let sample = look_up(server, "www.example", both).await;
    assert!(matches!(&sample.outcome, DnsOutcome::Response { answers, .. } if answers.len() == 1));
    assert_eq!(sample.record_type, "A+AAAA");
}

#[tokio::test]
async fn every_fault_has_its_name() {
    let server = server().await;
    for (name, failure) in [
        ("silent.example", DnsFailure::Timeout),
        ("wrongid.example", DnsFailure::Timeout),
        ("othername.example", DnsFailure::Timeout),
        ("lowered.a-name-with-many-letters.example", DnsFailure::Timeout),
        ("garbage.example", DnsFailure::Malformed),
    ] {
        let sample = look_up(server, name, quick()).await;
        assert_eq!(sample.outcome, DnsOutcome::Failure(failure), "{name}");
        assert!(!sample.is_expected);
        assert_eq!(sample.attempts, 2);
    }
    for (name, code) in [("nxdomain.example", 3), ("servfail.example", 2), ("refused.example", 5)] {
        let sample = look_up(server, name, quick()).await;
        assert!(matches!(sample.outcome, DnsOutcome::Response { rcode, .. } if rcode == code), "{sample:?}");
        assert!(!sample.is_expected);
    }
    let wanted = DnsOptions { expect_rcodes: vec!["NXDOMAIN".into()], ..quick() };
    assert!(look_up(server, "nxdomain.example", wanted).await.is_expected);
}

#[tokio::test]
async fn forged_answers_are_passed_over_and_cut_ones_fetched_whole() {
    let server = server().await;
    for (name, attempts) in [("forged.example", 1), ("twice.example", 1), ("cut.example", 2), ("flaky.example", 2)] {
        let sample = look_up(server, name, DnsOptions { timeout_ms: 2_000, ..DnsOptions::default() }).await;
        let DnsOutcome::Response { answers, .. } = &sample.outcome else { panic!("{name}: {sample:?}") };
        assert_eq!(answers.iter().map(|record| record.data.as_str()).collect::<Vec<_>>(), ["192.0.2.1"], "{name}");
        assert_eq!(sample.attempts, attempts, "{name}");
    }
}

#[tokio::test]
async fn a_closed_port_refuses_and_tcp_works_alone() {
    let closed = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for transport in [DnsTransport::Udp, DnsTransport::Tcp, DnsTransport::Tls, DnsTransport::Https] {
        let sample = look_up(closed, "www.example", DnsOptions { transport, ..quick() }).await;
        assert_eq!(sample.outcome, DnsOutcome::Failure(DnsFailure::Refused), "{transport:?}");
    }
    let server = server().await;
    let tcp = DnsOptions { transport: DnsTransport::Tcp, ..quick() };
    let sample = look_up(server, "www.example", tcp).await;
    assert!(matches!(&sample.outcome, DnsOutcome::Response { answers, .. } if answers.len() == 1), "{sample:?}");
    assert_eq!(sample.transport, "tcp");
}

/// A listener that shakes hands with a certificate that nobody knows.
async fn with_unknown_certificate() -> SocketAddr {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = acceptor.accept(stream).await;
        }
    });
    address
}

/// A listener that knows no TLS at all.
async fn without_tls() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"220 good day\r\n").await;
            let _ = stream.read(&mut [0; 2_048]).await;
        }
    });
    address
}

#[tokio::test]
async fn a_channel_that_is_not_secure_is_named() {
    for server in [with_unknown_certificate().await, without_tls().await] {
        for transport in [DnsTransport::Tls, DnsTransport::Https] {
            let options = DnsOptions { transport, timeout_ms: 5_000, ..DnsOptions::default() };
            let sample = look_up(server, "www.example", options).await;
            assert_eq!(sample.outcome, DnsOutcome::Failure(DnsFailure::Secure), "{transport:?}");
            assert!(!sample.is_expected);
        }
    }
}

#[tokio::test]
async fn a_server_without_an_address_is_no_failure_of_the_name() {
    let dns = DnsOptions { server: Some("no-such-host.invalid".into()), ..quick() };
    let options = Arc::new(ProbeOptions { dns, ..ProbeOptions::default() });
    let probe = DnsProbe::new(Arc::new(Resolver::system()), Tls::default());
    let report = probe.run(&Request { options, ..Request::to("destination.example") }).await;
    assert!(matches!(report.outcome, Outcome::Failed { reason: FailReason::NameNotResolved, .. }), "{report:?}");
}

#[tokio::test]
async fn what_cannot_be_asked_fails_here() {
    let probe = DnsProbe::new(Arc::new(Resolver::system()), Tls::default());
    let report = probe.run(&Request::to("127.0.0.1")).await;
    assert!(matches!(report.outcome, Outcome::Failed { reason: FailReason::BadOptions, .. }), "{report:?}");
}
