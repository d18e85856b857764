//! The bytes of version 1, for ever: every kind's fixture is written once and then only read. The expected events are
//! built here field by field, so that a fixture that decodes to anything else is a broken format.
//!
//! A new kind: run with `UPDATE_FIXTURES=1` once, which writes missing files and never changes one.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;

use netstats_event::{
    AccessDenied, AccountingChanged, AccountingSpec, AddressFamily, AnnotationAdded, AnnotationChanged, AnnotationId,
    AnnotationRemoved, AnnotationSpec, AnswerChanged, AnswerRecord, BandwidthDirection, BandwidthEngine,
    BandwidthMeasured, BandwidthOptions, ClockSource, ClockStepped, CollectorStalled, CollectorStarted,
    CollectorStopped, ConfigApplied, DestinationAdded, DestinationChanged, DestinationId, DestinationRemoved,
    DestinationSpec, DnsFailure, DnsOptions, DnsOutcome, DnsTransport, Echo, Event, ExportFormat, ExportId,
    ExportJobCreated, ExportJobDeleted, ExportJobUpdated, ExportOutcome, ExportRun, ExportRunFinished,
    ExportRunRequested, ExportSchedule, ExportSpec, FailReason, Hop, HopAnswer, HostSlept, HttpMeasured, HttpOptions,
    HttpOutcome, IcmpError, JobAdded, JobChanged, JobId, JobRemoved, JobSpec, JobStarted, JobStopped, Kind,
    MaintenanceAdded, MaintenanceChanged, MaintenanceId, MaintenanceRemoved, MaintenanceSpec, ManagedBy, Meta, Metric,
    MissReason, MplsLabel, NameResolved, ObserverOutages, PathChanged, PingMeasured, PingOptions, Position, ProbeKind,
    ProbeOptions, Role, RouteTraced, Rtt, SampleFlags, SampleHead, SamplesLost, SamplesSummarised, SessionEnded,
    SessionId, SessionStarted, SlotFailed, SlotsMissed, SlotsSuppressed, SuppressReason, TcpMeasured, TcpOptions,
    TcpOutcome, Throughput, Timestamp, TokenAdded, TokenId, TokenRevoked, TokenSpec, TracerouteOptions,
    TracerouteProtocol, Transport, UplinkLost, UplinkRestored, UserAdded, UserChanged, UserId, UserRemoved, UserSpec,
    WeeklyHours, WeeklySpan, decode, encode,
};

fn meta() -> Meta {
    Meta { actor: "user:ada".to_owned(), reason: Some("moved office".to_owned()), command_id: Some([9; 16]) }
}

fn head() -> SampleHead {
    SampleHead {
        job: JobId(3),
        destination: DestinationId(70_000),
        slot_at: Timestamp::from_millis(1_795_000_000_123),
        lateness_us: 456,
        flags: SampleFlags { self_delayed: true, under_own_load: false, clock_suspect: true, uplink_down: false },
    }
}

fn user() -> UserSpec {
    UserSpec { name: "ada".to_owned(), role: Role::Operator, password_hash: "$argon2id$v=19$...".to_owned() }
}

fn token() -> TokenSpec {
    TokenSpec {
        user: UserId(7),
        name: "backup script".to_owned(),
        role: Role::Viewer,
        hash: [3; 32],
        expires_at: Some(Timestamp::from_millis(1_795_000_000_123)),
    }
}

fn v4() -> IpAddr {
    "192.0.2.7".parse().unwrap()
}

fn v6() -> IpAddr {
    "2001:db8::7".parse().unwrap()
}

fn destination() -> DestinationSpec {
    DestinationSpec {
        name: "münchen-gw".to_owned(),
        host: "gw.example.net".to_owned(),
        port: Some(443),
        display_name: Some("Gateway \"Süd\"".to_owned()),
        description: Some("line one\nline two".to_owned()),
        tags: vec!["office".to_owned(), "wan".to_owned()],
        paused: true,
        managed_by: ManagedBy::Config,
    }
}

fn job() -> JobSpec {
    JobSpec {
        name: "core".to_owned(),
        description: Some("all".to_owned()),
        tags: vec!["a".to_owned()],
        enabled: true,
        interval_s: 300,
        metrics: Metric::ALL.to_vec(),
        destinations: vec![DestinationId(1), DestinationId(2)],
        destination_tags: vec!["wan".to_owned()],
        start_time: Some(Timestamp::from_secs(1_790_000_000)),
        end_time: Some(Timestamp::from_secs(1_800_000_000)),
        active_hours: Some(WeeklyHours {
            time_zone: "Europe/Berlin".to_owned(),
            spans: vec![WeeklySpan { weekday: 4, from_minute: 480, to_minute: 1_080 }],
        }),
        options: options(),
        managed_by: ManagedBy::User,
    }
}

fn options() -> ProbeOptions {
    ProbeOptions {
        ping: PingOptions {
            packets: 20,
            spacing_ms: 50,
            timeout_ms: 1_500,
            payload_bytes: 1_400,
            dscp: Some(46),
            dont_fragment: true,
            source: Some("eth0".to_owned()),
            family: AddressFamily::V6,
        },
        traceroute: TracerouteOptions {
            protocol: TracerouteProtocol::Udp,
            max_hops: 40,
            probes_per_hop: 5,
            timeout_ms: 900,
            port: Some(33_434),
            reverse_names: false,
            family: AddressFamily::V4,
        },
        dns: DnsOptions {
            name: Some("example.net".to_owned()),
            server: Some("192.0.2.53".to_owned()),
            transport: DnsTransport::Tls,
            record_types: vec!["A".to_owned(), "MX".to_owned()],
            expect_rcodes: vec!["NXDOMAIN".to_owned()],
            expect_answers: vec!["192.0.2.1".to_owned()],
            timeout_ms: 700,
            random_prefix: true,
        },
        bandwidth: BandwidthOptions {
            engine: BandwidthEngine::Iperf3,
            port: Some(5_201),
            direction: BandwidthDirection::Up,
            duration_s: 5,
            streams: 4,
            max_run_bytes: 1 << 40,
            max_day_bytes: 7,
            credential: Some("lab".to_owned()),
        },
        tcp: TcpOptions { port: Some(22), timeout_ms: 800, family: AddressFamily::V6 },
        http: HttpOptions {
            tls: false,
            port: Some(8_080),
            path: "/status?x=1".to_owned(),
            method: "HEAD".to_owned(),
            expect_status: vec![204, 301],
            expect_body: Some("ok".to_owned()),
            max_redirects: 3,
            verify_tls: false,
            timeout_ms: 4_000,
            family: AddressFamily::V4,
        },
    }
}

fn ping() -> PingMeasured {
    PingMeasured {
        head: head(),
        address: v6(),
        transport: Transport::IcmpRaw,
        clock: ClockSource::KernelReceive,
        payload_bytes: 56,
        spacing_ms: 200,
        timeout_ms: 2_000,
        echoes: vec![
            Echo::Reply(Rtt::from_micros(12_345)),
            Echo::Lost,
            Echo::Late(Rtt::from_micros(2_100_000)),
            Echo::NotSent(105),
            Echo::Error(IcmpError { icmp_type: 3, icmp_code: 13, from: Some(v4()) }),
            Echo::Error(IcmpError { icmp_type: 11, icmp_code: 0, from: None }),
            Echo::Reply(Rtt::from_micros(1)),
        ],
        ttl: Some(57),
        duplicates: 2,
        reordered: 1,
        bad_replies: 4,
    }
}

fn route() -> RouteTraced {
    RouteTraced {
        head: head(),
        address: v4(),
        protocol: TracerouteProtocol::Icmp,
        clock: ClockSource::Kernel,
        hops: vec![
            Hop {
                ttl: 1,
                answers: vec![
                    HopAnswer::Answer { from: v4(), rtt: Rtt::from_micros(900), icmp_type: 11, icmp_code: 0 },
                    HopAnswer::Silent,
                    HopAnswer::NotSent(1),
                ],
                mpls: vec![MplsLabel { label: 16_001, traffic_class: 5, is_bottom: true, ttl: 254 }],
                name: Some("r1.example.net".to_owned()),
            },
            Hop { ttl: 2, answers: vec![HopAnswer::Silent], ..Hop::default() },
        ],
        reached: true,
        duration_us: 31_000,
    }
}

fn lookup(outcome: DnsOutcome) -> NameResolved {
    NameResolved {
        head: head(),
        name: "example.net".to_owned(),
        record_type: "AAAA".to_owned(),
        server: Some("192.0.2.53:53".to_owned()),
        transport: "udp".to_owned(),
        clock: ClockSource::KernelReceive,
        attempts: 2,
        outcome,
        is_expected: true,
    }
}

fn response() -> DnsOutcome {
    DnsOutcome::Response {
        rtt: Rtt::from_micros(20_300),
        rcode: 3,
        flags: 0x8580,
        answers: vec![AnswerRecord { record_type: "AAAA".to_owned(), data: "2001:db8::1".to_owned(), ttl_s: 300 }],
    }
}

fn bandwidth() -> BandwidthMeasured {
    BandwidthMeasured {
        head: head(),
        address: v4(),
        engine: "responder".to_owned(),
        down: Some(Throughput { bytes_per_100ms: vec![1, 600_000, 598_000], skipped: 1, retransmits: Some(3) }),
        up: Some(Throughput { bytes_per_100ms: vec![5], skipped: 0, retransmits: None }),
        idle_rtt: Some(Rtt::from_micros(20_000)),
        loaded_rtt_p95: Some(Rtt::from_micros(95_000)),
        is_cpu_bound: true,
        cpu_permille: 950,
        failure: Some("up: budget spent".to_owned()),
    }
}

fn web(outcome: HttpOutcome) -> HttpMeasured {
    HttpMeasured {
        head: head(),
        url: "https://example.net/".to_owned(),
        address: Some(v4()),
        dns: Some(Rtt::from_micros(1)),
        connect: Some(Rtt::from_micros(2)),
        tls: Some(Rtt::from_micros(3)),
        first_byte: Some(Rtt::from_micros(4)),
        total: Some(Rtt::from_micros(10)),
        certificate_expires: Some(Timestamp::from_secs(1_900_000_000)),
        redirects: 1,
        body_bytes: 4_096,
        outcome,
    }
}

fn annotation() -> AnnotationSpec {
    AnnotationSpec {
        title: "cable cut".to_owned(),
        text: Some("the digger again".to_owned()),
        start_time: Timestamp::from_millis(1_795_000_000_123),
        end_time: Some(Timestamp::from_millis(1_795_000_600_000)),
        destinations: vec![DestinationId(1), DestinationId(70_000)],
        tags: vec!["wan".to_owned()],
    }
}

fn maintenance() -> MaintenanceSpec {
    MaintenanceSpec {
        title: "router upgrade".to_owned(),
        text: Some("every Sunday".to_owned()),
        start_time: Timestamp::from_secs(1_790_000_000),
        end_time: Some(Timestamp::from_secs(1_800_000_000)),
        weekly: Some(WeeklyHours {
            time_zone: "Europe/Berlin".to_owned(),
            spans: vec![WeeklySpan { weekday: 6, from_minute: 1_320, to_minute: 240 }],
        }),
        destinations: vec![DestinationId(2)],
        destination_tags: vec!["core".to_owned()],
    }
}

fn accounting() -> AccountingSpec {
    AccountingSpec {
        retries: 2,
        grace_s: 90,
        is_maintenance_excluded: false,
        observer_outages: ObserverOutages::Down,
        max_loss_ppm: Some(10_000),
        max_p95_us: Some(150_000),
    }
}

fn export() -> ExportSpec {
    ExportSpec {
        name: "monthly report".to_owned(),
        title: Some("Berlin".to_owned()),
        jobs: vec![JobId(3)],
        destinations: vec![DestinationId(70_000)],
        destination_tags: vec!["wan".to_owned()],
        metrics: vec![Metric::Ping, Metric::Http],
        range: "last-month".to_owned(),
        time_zone: "Europe/Berlin".to_owned(),
        format: ExportFormat::Pack,
        is_excel_csv: true,
        schedule: Some(ExportSchedule { minutes: vec![90, 720], weekdays: vec![0, 6], month_days: vec![1, 31] }),
        folder: Some("provider/berlin".to_owned()),
        keep: 12,
        enabled: true,
    }
}

fn run() -> ExportRun {
    ExportRun {
        slot: Some(Timestamp::from_secs(1_795_000_000)),
        started_at: Timestamp::from_millis(1_795_000_001_250),
        finished_at: Timestamp::from_millis(1_795_000_009_750),
        from: Timestamp::from_secs(1_792_000_000),
        to: Timestamp::from_secs(1_794_600_000),
        position: Position(123_456),
        outcome: ExportOutcome::Cancelled,
        error: Some("called off".to_owned()),
        file: Some("provider/berlin/report.xlsx".to_owned()),
        bytes: 4_097,
        rows: 1_000,
        digest: Some([0xcd; 32]),
    }
}

/// One event of every kind, every field set to something that is not its default.
fn events() -> Vec<Event> {
    let id = DestinationId(70_000);
    vec![
        DestinationAdded { id, spec: destination(), meta: meta() }.into(),
        DestinationChanged { id, spec: destination(), meta: meta() }.into(),
        DestinationRemoved { id, meta: meta() }.into(),
        JobAdded { id: JobId(3), spec: job(), meta: meta() }.into(),
        JobChanged { id: JobId(3), spec: job(), meta: meta() }.into(),
        JobRemoved { id: JobId(3), meta: meta() }.into(),
        JobStarted { job: JobId(3), meta: meta() }.into(),
        JobStopped { job: JobId(3), meta: meta() }.into(),
        ConfigApplied { digest: [0xab; 32], starter: true, meta: meta() }.into(),
        AnnotationAdded { id: AnnotationId(4), spec: annotation(), meta: meta() }.into(),
        AnnotationChanged { id: AnnotationId(4), spec: annotation(), meta: meta() }.into(),
        AnnotationRemoved { id: AnnotationId(4), meta: meta() }.into(),
        MaintenanceAdded { id: MaintenanceId(5), spec: maintenance(), meta: meta() }.into(),
        MaintenanceChanged { id: MaintenanceId(5), spec: maintenance(), meta: meta() }.into(),
        MaintenanceRemoved { id: MaintenanceId(5), meta: meta() }.into(),
        AccountingChanged { spec: accounting(), meta: meta() }.into(),
        ExportJobCreated { id: ExportId(6), spec: export(), meta: meta() }.into(),
        ExportJobUpdated { id: ExportId(6), spec: export(), meta: meta() }.into(),
        ExportJobDeleted { id: ExportId(6), meta: meta() }.into(),
        ExportRunFinished { id: ExportId(6), run: run(), meta: meta() }.into(),
        ExportRunRequested { id: ExportId(6), meta: meta() }.into(),
        ping().into(),
        route().into(),
        lookup(response()).into(),
        bandwidth().into(),
        TcpMeasured { head: head(), address: v4(), port: 22, outcome: TcpOutcome::Connected(Rtt::from_micros(700)) }
            .into(),
        web(HttpOutcome::Tls("certificate expired".to_owned())).into(),
        SlotFailed {
            head: head(),
            probe: ProbeKind::Traceroute,
            reason: FailReason::NotPermitted,
            detail: "no raw sockets".to_owned(),
        }
        .into(),
        SlotsMissed {
            job: JobId(3),
            destination: id,
            probe: ProbeKind::Dns,
            first_slot_at: Timestamp::from_millis(1),
            last_slot_at: Timestamp::from_millis(60_001),
            count: 2,
            reason: MissReason::HostSlept,
        }
        .into(),
        SlotsSuppressed {
            job: JobId(3),
            destination: id,
            probe: ProbeKind::Http,
            first_slot_at: Timestamp::from_millis(-5),
            last_slot_at: Timestamp::from_millis(5),
            count: 1,
            reason: SuppressReason::Budget,
        }
        .into(),
        CollectorStarted {
            version: "0.1.0".to_owned(),
            boot_id: "b".to_owned(),
            host: "h".to_owned(),
            system: "linux".to_owned(),
            monotonic_ns: 1 << 50,
            is_after_crash: true,
            last_seen: Some(Timestamp::from_millis(17)),
        }
        .into(),
        CollectorStopped { reason: "signal".to_owned() }.into(),
        ClockStepped { by_ns: -3_600_000_000_000 }.into(),
        HostSlept { for_ns: 5 }.into(),
        CollectorStalled { for_ns: 6 }.into(),
        UserAdded { id: UserId(7), spec: user(), meta: meta() }.into(),
        UserChanged { id: UserId(7), spec: UserSpec { role: Role::Admin, ..user() }, meta: meta() }.into(),
        UserRemoved { id: UserId(7), meta: meta() }.into(),
        TokenAdded { id: TokenId(8), spec: token(), meta: meta() }.into(),
        TokenRevoked { id: TokenId(8), meta: meta() }.into(),
        SessionStarted {
            id: SessionId(9),
            user: UserId(7),
            hash: [5; 32],
            address: Some(v6()),
            expires_at: Timestamp::from_millis(1_795_000_000_123),
            meta: meta(),
        }
        .into(),
        SessionEnded { id: SessionId(9), meta: meta() }.into(),
        AccessDenied {
            address: Some(v4()),
            request: "POST /api/login".to_owned(),
            reason: "wrong password".to_owned(),
            count: 12,
            meta: meta(),
        }
        .into(),
        UplinkLost { reason: "no route".to_owned(), gateway: Some(v4()) }.into(),
        UplinkRestored { gateway: Some(v6()) }.into(),
        AnswerChanged { destination: id, host: "example.net".to_owned(), before: vec![v4()], after: vec![v4(), v6()] }
            .into(),
        SamplesLost {
            count: 7,
            from: Timestamp::from_millis(1_795_564_000_000),
            to: Timestamp::from_millis(1_795_564_060_000),
            reason: "the disk was full".to_owned(),
        }
        .into(),
        PathChanged {
            job: JobId(3),
            destination: id,
            before: vec![vec![v4()], vec![], vec![v6()]],
            after: vec![vec![v4()], vec![v4(), v6()]],
        }
        .into(),
        SamplesSummarised {
            first: Position(1),
            last: Position(262_144),
            kinds: vec![201, 206],
            samples: 260_000,
            digest: [0xab; 32],
            bytes_before: 4_000_000,
            bytes_after: 1_300_000,
        }
        .into(),
    ]
}

fn fixture(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "../../fixtures/events/v1", &format!("{name}.bin")].iter().collect()
}

fn payload(event: &Event) -> Vec<u8> {
    encode(event, Timestamp::default()).unwrap().payload
}

#[test]
fn every_kind_has_a_golden_event() {
    let seen: BTreeSet<Kind> = events().iter().filter_map(Event::kind).collect();
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), Kind::ALL);
}

#[test]
fn golden_bytes_decode_to_every_field_and_are_written_again() {
    for event in events() {
        let kind = event.kind().unwrap();
        let file = fixture(kind.name());
        if !file.exists() && std::env::var_os("UPDATE_FIXTURES").is_some() {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, payload(&event)).unwrap();
        }
        let bytes = std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        assert_eq!(decode(kind.code(), 1, &bytes).unwrap(), event, "{} decodes to something else", kind.name());
        assert_eq!(payload(&event), bytes, "{} is written differently", kind.name());
    }
}

#[test]
fn every_variant_of_every_outcome_reads_back() {
    let tcp = |outcome| Event::from(TcpMeasured { head: head(), address: v6(), port: 1, outcome });
    let one = Rtt::from_micros(1);
    let mut all: Vec<Event> =
        [DnsFailure::Timeout, DnsFailure::Refused, DnsFailure::Malformed, DnsFailure::Secure, DnsFailure::Local(-4)]
            .map(|failure| lookup(DnsOutcome::Failure(failure)).into())
            .to_vec();
    all.extend(
        [TcpOutcome::Refused(one), TcpOutcome::Timeout, TcpOutcome::Unreachable(113), TcpOutcome::Local(1)].map(tcp),
    );
    all.extend(
        [
            HttpOutcome::Expected(200),
            HttpOutcome::UnexpectedStatus(500),
            HttpOutcome::UnexpectedBody(200),
            HttpOutcome::NameNotResolved("n".to_owned()),
            HttpOutcome::Refused,
            HttpOutcome::Timeout("connect".to_owned()),
            HttpOutcome::Unreachable(101),
            HttpOutcome::Protocol("p".to_owned()),
            HttpOutcome::Local("l".to_owned()),
        ]
        .map(|outcome| web(outcome).into()),
    );
    for event in all {
        let kind = event.kind().unwrap();
        assert_eq!(decode(kind.code(), 1, &payload(&event)).unwrap(), event);
    }
}

#[test]
fn payloads_decode_at_every_alignment() {
    for event in events() {
        let (kind, bytes) = (event.kind().unwrap(), payload(&event));
        for shift in 0..16 {
            let mut moved = vec![0; shift];
            moved.extend_from_slice(&bytes);
            assert_eq!(decode(kind.code(), 1, &moved[shift..]).unwrap(), event, "{} at +{shift}", kind.name());
        }
    }
}

#[test]
fn unknown_kinds_and_versions_are_kept() {
    let unknown = Event::Unknown { kind: 201, version: 9, payload: vec![1, 2, 3] };
    assert_eq!(decode(201, 9, &[1, 2, 3]).unwrap(), unknown);
    let draft = encode(&unknown, Timestamp::default()).unwrap();
    assert_eq!((draft.kind, draft.version, draft.payload), (201, 9, vec![1, 2, 3]));
    assert!(matches!(decode(9_999, 1, &[]).unwrap(), Event::Unknown { kind: 9_999, .. }));
}

#[test]
fn what_is_over_a_limit_is_refused_by_name() {
    let mut spec = destination();
    spec.name = "x".repeat(netstats_event::MAX_NAME_CHARS + 1);
    let error = encode(&DestinationAdded { id: DestinationId(1), spec, meta: meta() }.into(), Timestamp::default());
    assert_eq!(error.unwrap_err().to_string(), "name holds 129, the limit is 128");

    let mut burst = ping();
    burst.echoes = vec![Echo::Lost; netstats_event::MAX_BURST_PACKETS + 1];
    assert!(encode(&burst.into(), Timestamp::default()).is_err());

    let mut long = lookup(response());
    let DnsOutcome::Response { answers, .. } = &mut long.outcome else { unreachable!() };
    answers[0].data = "x".repeat(netstats_event::MAX_PAYLOAD_BYTES);
    let error = encode(&long.into(), Timestamp::default()).unwrap_err();
    assert!(error.to_string().starts_with("payload holds"), "{error}");
}

#[test]
fn damaged_payloads_are_refused_or_decode_but_never_panic() {
    for event in events() {
        let (kind, bytes) = (event.kind().unwrap(), payload(&event));
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let _ = decode(kind.code(), 1, &damaged);
        }
        for length in 0..bytes.len() {
            let _ = decode(kind.code(), 1, &bytes[..length]);
        }
    }
}
