//! Pings to this machine, through every engine that it allows.
#![allow(clippy::print_stdout, reason = "SKIP lines are for the test runner")]

use std::sync::Arc;
use std::time::Duration;

use netstats_event::{Echo, FailReason, PingOptions, ProbeOptions};
use netstats_probe::{
    Burst, IcmpTransport, Outcome, PingProbe, Probe, Probes, ProbesConfig, Request, Resolver, SurgeTransport,
    capabilities,
};

fn transports() -> Vec<Arc<dyn IcmpTransport>> {
    let mut all: Vec<Arc<dyn IcmpTransport>> = Vec::new();
    // On Windows the portable engine panics: it asks an unbound raw socket for its address.
    if !cfg!(windows) {
        all.push(Arc::new(SurgeTransport::new()));
    }
    all.extend(Probes::open(&ProbesConfig::default()).icmp().cloned().filter(|icmp| icmp.name() != "surge"));
    all
}

/// True, with a line for the test runner, if this machine does not let us ping that family.
fn is_skipped(is_v6: bool) -> bool {
    let found = capabilities();
    let icmp = if is_v6 { found.icmp_v6 } else { found.icmp_v4 };
    let has_address = !is_v6 || std::net::UdpSocket::bind("[::1]:0").is_ok();
    match (icmp.transport, has_address) {
        (Some(_), true) => false,
        (None, _) => {
            println!("SKIP: {}", icmp.problem.unwrap_or_default());
            true
        }
        (_, false) => {
            println!("SKIP: this machine has no IPv6 loopback");
            true
        }
    }
}

fn short() -> Burst {
    Burst {
        packets: 5,
        spacing: Duration::from_millis(10),
        timeout: Duration::from_millis(500),
        ..Burst::to([127, 0, 0, 1].into())
    }
}

#[tokio::test]
async fn every_echo_of_the_loopback_comes_back_and_none_takes_no_time() {
    for address in ["127.0.0.1", "::1"] {
        let address: std::net::IpAddr = address.parse().unwrap();
        if is_skipped(address.is_ipv6()) {
            continue;
        }
        for transport in transports() {
            // A machine that is busy with other things is no reason to call an echo lost.
            let patient = Burst { address, timeout: Duration::from_secs(5), ..short() };
            let result = transport.burst(patient).await.unwrap();
            let name = transport.name();
            assert_eq!(result.echoes.len(), 5, "{name}");
            for echo in &result.echoes {
                let rtt = echo.rtt().unwrap_or_else(|| panic!("{name} {address}: {:?}", result.echoes));
                assert!((1..5_000_000).contains(&rtt.as_micros()), "{name}: {rtt}");
            }
            assert_eq!((result.duplicates, result.reordered, result.bad_replies), (0, 0, 0), "{name} {address}");
            assert!(result.first_sent.is_some());
            assert_eq!(transport.trouble(), None);
        }
    }
}

#[tokio::test]
async fn silence_is_lost_and_ends_in_time() {
    if is_skipped(false) {
        return;
    }
    for transport in transports() {
        // Nothing answers here: TEST-NET-1 goes to no loopback address, so the system refuses or nothing comes back.
        let burst =
            Burst { packets: 2, timeout: Duration::from_millis(100), linger: Duration::from_millis(50), ..short() };
        let burst = Burst { address: [240, 0, 0, 1].into(), ..burst };
        let begin = tokio::time::Instant::now();
        let result = transport.burst(burst).await.unwrap();
        assert!(begin.elapsed() < Duration::from_secs(2));
        assert!(
            result.echoes.iter().all(|echo| !matches!(echo, Echo::Reply(_) | Echo::Late(_))),
            "{:?}",
            result.echoes
        );
    }
}

#[tokio::test]
async fn many_bursts_at_once_do_not_mix() {
    if is_skipped(false) {
        return;
    }
    for transport in transports() {
        let mut tasks = tokio::task::JoinSet::new();
        // The portable engine has the system's receive buffer: 256 small packets, requests on loopback included.
        let hosts = if transport.name() == "surge" { 40_u8 } else { 250 };
        for host in 1..=hosts {
            let transport = Arc::clone(&transport);
            tasks.spawn(async move { transport.burst(Burst { address: [127, 0, 0, host].into(), ..short() }).await });
        }
        while let Some(result) = tasks.join_next().await {
            let result = result.unwrap().unwrap();
            assert!(result.echoes.iter().all(|echo| echo.rtt().is_some()), "{:?}", result.echoes);
            assert_eq!((result.duplicates, result.bad_replies), (0, 0));
        }
    }
}

#[tokio::test]
async fn the_probe_pins_addresses_and_names_what_is_wrong() {
    if is_skipped(false) {
        return;
    }
    for transport in transports() {
        let probe = PingProbe::new(transport, Arc::new(Resolver::system()));
        let ping = PingOptions { packets: 2, spacing_ms: 10, timeout_ms: 300, ..PingOptions::default() };
        let options = Arc::new(ProbeOptions { ping, ..ProbeOptions::default() });
        let run = |host: &str| Request { options: Arc::clone(&options), ..Request::to(host) };
        let report = probe.run(&run("127.0.0.1")).await;
        let Outcome::Ping(sample) = report.outcome else { panic!("{report:?}") };
        assert_eq!((sample.address.to_string().as_str(), sample.echoes.len()), ("127.0.0.1", 2));
        assert!(report.answers.is_empty());
        let report = probe.run(&run("localhost")).await;
        let Outcome::Ping(sample) = report.outcome else { panic!("{report:?}") };
        assert!(sample.address.is_loopback() && report.answers.contains(&sample.address), "{:?}", report.answers);
        let report = probe.run(&run("no-such-host.invalid")).await;
        let Outcome::Failed { reason, detail } = report.outcome else { panic!("{report:?}") };
        assert_eq!(reason, FailReason::NameNotResolved);
        assert!(detail.contains("no-such-host.invalid"), "{detail}");
        let report = probe.run(&run("fe80::1%no-such-if")).await;
        assert!(matches!(report.outcome, Outcome::Failed { reason: FailReason::NoRoute, .. }));
    }
}
