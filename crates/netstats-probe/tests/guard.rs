//! The guard in front of every probe: an address that it denies gets no packet, whether it was written, resolved, or
//! redirected to; and a name is judged anew each time, since it can be pointed elsewhere.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use hickory_proto::op::Message;
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{RData, Record, RecordType};
use netstats_event::{
    DnsOptions, FailReason, HttpOptions, HttpOutcome, ProbeKind, ProbeOptions, TcpOptions, TracerouteOptions,
    TracerouteProtocol,
};
use netstats_probe::{Contact, Guard, Outcome, Probes, ProbesConfig, Report, Request, Resolver};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

/// Nobody answers there (RFC 5737).
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// Denies the loopback, and counts how often it was asked.
fn no_loopback(asked: Arc<AtomicUsize>) -> Guard {
    Arc::new(move |address: IpAddr, _: Contact<'_>| {
        asked.fetch_add(1, Ordering::Relaxed);
        if address.is_loopback() { Err("no loopback here".to_owned()) } else { Ok(()) }
    })
}

/// A DNS server that answers with an address elsewhere, until it is switched to answer with ours.
async fn rebinding(is_here: Arc<AtomicBool>) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = vec![0; 1_500];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let Ok(question) = Message::from_vec(&buffer[..length]) else { continue };
            let mut answer = question.clone().into_response();
            let query = &question.queries[0];
            if query.query_type() == RecordType::A {
                let to = if is_here.load(Ordering::Relaxed) { Ipv4Addr::LOCALHOST } else { ELSEWHERE };
                answer.add_answer(Record::from_rdata(query.name().clone(), 0, RData::A(A(to))));
            }
            let _ = socket.send_to(&answer.to_vec().unwrap(), from).await;
        }
    });
    address
}

/// A listener that counts who comes, over TCP and UDP at the same port.
async fn trap() -> (u16, Arc<AtomicUsize>) {
    let caught = Arc::new(AtomicUsize::new(0));
    // The same port for both: found by trying.
    let (tcp, udp) = loop {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
            break (tcp, udp);
        }
    };
    let port = tcp.local_addr().unwrap().port();
    let (by_tcp, by_udp) = (Arc::clone(&caught), Arc::clone(&caught));
    tokio::spawn(async move {
        while tcp.accept().await.is_ok() {
            by_tcp.fetch_add(1, Ordering::Relaxed);
        }
    });
    tokio::spawn(async move {
        let mut buffer = [0; 1_500];
        while udp.recv_from(&mut buffer).await.is_ok() {
            by_udp.fetch_add(1, Ordering::Relaxed);
        }
    });
    (port, caught)
}

fn options(port: u16) -> Arc<ProbeOptions> {
    let mut options = ProbeOptions::default();
    options.ping.packets = 1;
    options.ping.timeout_ms = 100;
    options.traceroute = TracerouteOptions {
        protocol: TracerouteProtocol::Tcp,
        port: Some(port),
        max_hops: 1,
        probes_per_hop: 1,
        timeout_ms: 100,
        reverse_names: false,
        ..TracerouteOptions::default()
    };
    options.dns = DnsOptions { name: Some("x.example".into()), timeout_ms: 100, ..DnsOptions::default() };
    options.tcp = TcpOptions { port: Some(port), timeout_ms: 100, ..TcpOptions::default() };
    options.http = HttpOptions { tls: false, port: Some(port), timeout_ms: 100, ..HttpOptions::default() };
    options.bandwidth.port = Some(port);
    Arc::new(options)
}

fn is_denied(report: &Report) -> bool {
    matches!(&report.outcome, Outcome::Failed { reason: FailReason::Denied, detail } if detail.contains("no loopback"))
}

#[tokio::test]
async fn no_probe_talks_to_a_denied_address_however_it_is_reached() {
    let asked = Arc::new(AtomicUsize::new(0));
    let config = ProbesConfig { guard: Some(no_loopback(Arc::clone(&asked))), ..ProbesConfig::default() };
    let probes = Probes::open(&config);
    let (port, caught) = trap().await;
    for host in ["127.0.0.1", "localhost", "127.8.9.10", "::1"] {
        for kind in ProbeKind::ALL {
            let request = Request { port: Some(port), options: options(port), ..Request::to(host) };
            let report = probes.get(kind).unwrap().run(&request).await;
            assert!(is_denied(&report), "{host} by {}: {report:?}", kind.name());
        }
    }
    assert_eq!(asked.load(Ordering::Relaxed), 4 * ProbeKind::ALL.len(), "each run asks");
    assert_eq!(caught.load(Ordering::Relaxed), 0, "nobody came");
}

#[tokio::test]
async fn a_name_that_is_pointed_at_us_later_is_denied_from_then_on() {
    let config = ProbesConfig { guard: Some(no_loopback(Arc::default())), ..ProbesConfig::default() };
    let is_here = Arc::new(AtomicBool::new(false));
    let probes = Probes::resolving(&config, Resolver::asking(rebinding(Arc::clone(&is_here)).await));
    let (port, caught) = trap().await;
    let request = || Request { port: Some(port), options: options(port), ..Request::to("rebind.example") };
    let report = probes.get(ProbeKind::Tcp).unwrap().run(&request()).await;
    assert!(matches!(&report.outcome, Outcome::Tcp(sample) if sample.address == ELSEWHERE), "{report:?}");
    is_here.store(true, Ordering::Relaxed);
    for kind in ProbeKind::ALL {
        let report = probes.get(kind).unwrap().run(&request()).await;
        assert!(is_denied(&report), "{}: {report:?}", kind.name());
    }
    is_here.store(false, Ordering::Relaxed);
    let report = probes.get(ProbeKind::Tcp).unwrap().run(&request()).await;
    assert!(!is_denied(&report), "and is probed again once it points elsewhere");
    assert_eq!(caught.load(Ordering::Relaxed), 0, "nobody came");
}

#[tokio::test]
async fn a_redirect_to_a_denied_port_is_not_followed_and_is_no_loss() {
    let (denied_port, caught) = trap().await;
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = server.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = server.accept().await {
            let _ = stream.read(&mut [0; 4_096]).await;
            let head = format!(
                "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{denied_port}/secret\r\nContent-Length: 0\r\n\r\n"
            );
            let _ = stream.write_all(head.as_bytes()).await;
        }
    });
    let guard: Guard =
        Arc::new(
            move |_, contact: Contact<'_>| {
                if contact.port == Some(denied_port) { Err("that port is denied".to_owned()) } else { Ok(()) }
            },
        );
    let probes = Probes::open(&ProbesConfig { guard: Some(guard), ..ProbesConfig::default() });
    let http = HttpOptions { tls: false, port: Some(port), max_redirects: 3, ..HttpOptions::default() };
    let mut options = ProbeOptions { http, ..ProbeOptions::default() };
    let request = Request { options: Arc::new(options.clone()), ..Request::to("127.0.0.1") };
    let report = probes.get(ProbeKind::Http).unwrap().run(&request).await;
    let Outcome::Failed { reason: FailReason::Denied, detail } = &report.outcome else { panic!("{report:?}") };
    assert!(detail.starts_with("redirected: ") && detail.contains("that port is denied"), "{detail}");
    assert_eq!(caught.load(Ordering::Relaxed), 0);
    // Not followed at all, it is an answer like any other.
    options.http.max_redirects = 0;
    let request = Request { options: Arc::new(options), ..Request::to("127.0.0.1") };
    let report = probes.get(ProbeKind::Http).unwrap().run(&request).await;
    assert!(
        matches!(&report.outcome, Outcome::Http(sample) if sample.outcome == HttpOutcome::Expected(302)),
        "{report:?}"
    );
}
