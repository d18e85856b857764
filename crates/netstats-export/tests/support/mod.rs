//! A day of made-up pings, and Python to read files back with.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::Range;
use std::process::Command;

use jiff::tz::TimeZone;
use netstats_event::{
    BandwidthMeasured, ClockSource, DestinationId, DnsFailure, DnsOutcome, Echo, Envelope, FailReason, Hop, HopAnswer,
    JobId, Metric, NameResolved, PingMeasured, Position, ProbeKind, RouteTraced, Rtt, SampleFlags, SampleHead,
    SlotFailed, TcpMeasured, TcpOutcome, Throughput, Timestamp, TracerouteProtocol, Transport,
};
use netstats_export::{Names, ReportHead};
use netstats_series::{AccountBasis, CheckStream, check_of};
use netstats_stats::{Accounting, Stretch};

pub const START_MS: i64 = 1_792_879_200_000; // 2026-10-24T22:00:00Z: midnight in Berlin, on the day with 25 hours
pub const METRICS: [Metric; 2] = [Metric::Ping, Metric::Traceroute];

/// A small linear congruential generator: the same history in every run.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from((self.0 >> 33) % u64::from(limit)).unwrap()
    }
}

pub fn head(destination: u32, minute: i64) -> SampleHead {
    SampleHead {
        job: JobId(1),
        destination: DestinationId(destination),
        slot_at: Timestamp::from_millis(START_MS + minute * 60_000 + i64::from(destination) * 100),
        lateness_us: 40,
        flags: SampleFlags::default(),
    }
}

/// Twenty-five hours, a burst a minute to two destinations; the second is down for ten minutes and traced twice.
pub fn history() -> Vec<Envelope> {
    let mut numbers = Numbers(7);
    let mut events = Vec::new();
    for minute in 0..1_500 {
        for destination in 1..=2 {
            let is_down = destination == 2 && (600..610).contains(&minute);
            let echo = |numbers: &mut Numbers| match numbers.below(200) {
                0 => Echo::Lost,
                _ if is_down => Echo::Lost,
                _ => Echo::Reply(Rtt::from_micros(10_000 * destination + numbers.below(3_000))),
            };
            let echoes = (0..10).map(|_| echo(&mut numbers)).collect();
            let burst = PingMeasured {
                head: head(destination, minute),
                address: [192, 0, 2, u8::try_from(destination).unwrap()].into(),
                transport: Transport::IcmpRaw,
                clock: ClockSource::Kernel,
                payload_bytes: 56,
                spacing_ms: 200,
                timeout_ms: 2_000,
                echoes,
                ttl: Some(57),
                duplicates: 0,
                reordered: 0,
                bad_replies: 0,
            };
            events.push(burst.into());
        }
        if minute == 30 || minute == 700 {
            let hop = |ttl: u8, last: u8| Hop {
                ttl,
                answers: vec![HopAnswer::Answer {
                    from: [192, 0, 2, last].into(),
                    rtt: Rtt::from_micros(900),
                    icmp_type: 11,
                    icmp_code: 0,
                }],
                ..Hop::default()
            };
            let route = RouteTraced {
                head: head(2, minute),
                address: [192, 0, 2, 2].into(),
                protocol: TracerouteProtocol::Icmp,
                clock: ClockSource::Kernel,
                hops: vec![hop(1, if minute == 30 { 99 } else { 98 }), hop(2, 2)],
                reached: true,
                duration_us: 40_000,
            };
            events.push(route.into());
        }
    }
    events.push(
        SlotFailed {
            head: head(1, 1_500),
            probe: ProbeKind::Ping,
            reason: FailReason::NotPermitted,
            detail: "=cmd|' /C calc'!A0".to_owned(),
        }
        .into(),
    );
    let envelope =
        |(position, event)| Envelope { position: Position(position), recorded_at: Timestamp::default(), event };
    (1..).zip(events).map(envelope).collect()
}

pub fn names() -> Names {
    let mut names = Names::default();
    names.add_job(JobId(1), "office \"north\"");
    names.add_destination(DestinationId(1), "=1+1", "192.0.2.1");
    names.add_destination(DestinationId(2), "Zürich; gateway\nB", "192.0.2.2");
    names
}

pub fn report_head() -> ReportHead {
    ReportHead {
        title: "Network quality".to_owned(),
        scope: "All destinations of the job office".to_owned(),
        range: Timestamp::from_millis(START_MS)..Timestamp::from_millis(START_MS + 1_501 * 60_000),
        time_zone: TimeZone::get("Europe/Berlin").unwrap(),
        time_zone_name: "Europe/Berlin".to_owned(),
        generated_at: Timestamp::from_millis(START_MS + 90_100_000),
        generator: "Network Stats Collector test".to_owned(),
        accounting: Accounting::default(),
        position: Position(3_003),
        chain: "00".repeat(16),
    }
}

/// What the accounts of these events rest on: each check holds until the next of its stream, the last for a minute.
pub fn accounts(events: &[Envelope], range: &Range<Timestamp>) -> BTreeMap<DestinationId, AccountBasis> {
    let mut streams = BTreeMap::new();
    for event in events {
        let Some(((slot, probe, known), head)) = check_of(&event.event).zip(event.event.head()) else { continue };
        let checks: &mut Vec<Stretch> = streams.entry((head.destination, head.job, probe)).or_default();
        if let Some(before) = checks.last_mut() {
            before.to = slot;
        }
        checks.push(Stretch { from: slot, to: slot + 60_000, known, checks: 1 });
    }
    let mut accounts = BTreeMap::new();
    for ((destination, job, probe), stretches) in streams {
        let basis: &mut AccountBasis = accounts.entry(destination).or_insert_with(|| AccountBasis {
            range: range.start.as_millis()..range.end.as_millis(),
            ..AccountBasis::default()
        });
        basis.streams.push(CheckStream { job, probe, stretches });
    }
    accounts
}

pub fn folder() -> std::path::PathBuf {
    std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
}

/// Runs a Python script; none (and a SKIP line) if Python or the module is missing.
pub fn python(module: &str, script: &str, file: &std::path::Path) -> Option<String> {
    let has = Command::new("python3").args(["-c", &format!("import {module}")]).output();
    if !has.is_ok_and(|output| output.status.success()) {
        let mut err = std::io::stderr().lock();
        writeln!(err, "SKIP: Python's {module} is not installed (pip install {module})").unwrap();
        return None;
    }
    let output = Command::new("python3").arg("-c").arg(script).arg(file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

/// Eight days of every probe, hourly, to two destinations: what fills every sheet.
pub fn everything() -> Vec<Envelope> {
    let mut numbers = Numbers(11);
    let mut events = Vec::new();
    for hour in 0..192 {
        for destination in 1..=2_u32 {
            let address = [192, 0, 2, u8::try_from(destination).unwrap()].into();
            let rtt = |numbers: &mut Numbers, ms: u32| Rtt::from_micros(ms * 1_000 + numbers.below(ms * 400));
            let head = head(destination, hour * 60);
            let evening = u32::from((18..23).contains(&(hour % 24))) * 25;
            let echo = |numbers: &mut Numbers| match numbers.below(100) {
                0 => Echo::Lost,
                _ if destination == 2 && (100..103).contains(&hour) => Echo::Lost,
                _ => Echo::Reply(rtt(numbers, 10 * destination + evening)),
            };
            let burst = PingMeasured {
                head,
                address,
                transport: Transport::IcmpRaw,
                clock: ClockSource::Kernel,
                payload_bytes: 56,
                spacing_ms: 200,
                timeout_ms: 2_000,
                echoes: (0..20).map(|_| echo(&mut numbers)).collect(),
                ttl: Some(57),
                duplicates: 0,
                reordered: 0,
                bad_replies: 0,
            };
            events.push(burst.into());
            events.push(
                NameResolved {
                    head,
                    name: "example.net".to_owned(),
                    record_type: "AAAA".to_owned(),
                    server: Some("192.0.2.53".to_owned()),
                    transport: "udp".to_owned(),
                    clock: ClockSource::User,
                    attempts: 1,
                    outcome: match numbers.below(50) {
                        0 => DnsOutcome::Failure(DnsFailure::Timeout),
                        _ => DnsOutcome::Response {
                            rtt: rtt(&mut numbers, 8),
                            rcode: 0,
                            flags: 0x8180,
                            answers: Vec::new(),
                        },
                    },
                    is_expected: true,
                }
                .into(),
            );
            let way = |numbers: &mut Numbers, most: u32| Throughput {
                bytes_per_100ms: (0..20).map(|_| most + numbers.below(100_000)).collect(),
                skipped: 3,
                retransmits: None,
            };
            if hour % 24 == 3 {
                events.push(
                    BandwidthMeasured {
                        head,
                        address,
                        engine: "responder".to_owned(),
                        down: Some(way(&mut numbers, 1_200_000)),
                        up: Some(way(&mut numbers, 480_000)),
                        idle_rtt: Some(rtt(&mut numbers, 9)),
                        loaded_rtt_p95: Some(rtt(&mut numbers, 40)),
                        is_cpu_bound: false,
                        cpu_permille: 100,
                        failure: None,
                    }
                    .into(),
                );
            }
            let connected = TcpOutcome::Connected(rtt(&mut numbers, 12));
            events.push(TcpMeasured { head, address, port: 443, outcome: connected }.into());
        }
    }
    let envelope =
        |(position, event)| Envelope { position: Position(position), recorded_at: Timestamp::default(), event };
    (1..).zip(events).map(envelope).collect()
}
