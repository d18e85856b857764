//! Random histories, rows in memory, events in a slice.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};

use netstats_event::*;
use netstats_projector::{Error, ErrorKind, EventReader, Projector, ReadLimit, RowBatch, RowReader};
use netstats_series::{Series, SeriesProjector};
use proptest::collection::vec;
use proptest::prelude::*;

/// A view's rows.
#[derive(Debug, Default)]
pub(crate) struct Rows(pub(crate) Mutex<BTreeMap<Vec<u8>, Vec<u8>>>);

impl Rows {
    pub(crate) fn store(&self, batch: RowBatch) {
        let mut rows = self.0.lock().unwrap();
        for (key, row) in batch.changes {
            match row {
                Some(row) => rows.insert(key, row),
                None => rows.remove(&key),
            };
        }
    }
}

impl RowReader for Rows {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.0.lock().unwrap().get(key).cloned())
    }

    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), Error> {
        for (key, row) in self.0.lock().unwrap().range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix))
        {
            if !visit(key, row) {
                break;
            }
        }
        Ok(())
    }

    fn range(
        &self,
        keys: std::ops::Range<&[u8]>,
        descending: bool,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), Error> {
        let rows = self.0.lock().unwrap();
        let mut found = rows.range(keys.start.to_vec()..keys.end.to_vec());
        while let Some((key, row)) = if descending { found.next_back() } else { found.next() } {
            if !visit(key, row) {
                break;
            }
        }
        Ok(())
    }
}

/// A log in memory: the event at position n is number n - 1.
pub(crate) struct Events(pub(crate) Vec<Envelope>);

impl EventReader for Events {
    fn read(&self, from: Position, limit: ReadLimit) -> Result<Vec<Envelope>, Error> {
        Ok(self.0.iter().filter(|event| event.position >= from).take(limit.records).cloned().collect())
    }

    fn get(&self, positions: &[Position]) -> Result<Vec<Envelope>, Error> {
        assert!(positions.is_sorted(), "positions are asked for in ascending order");
        let event = |position: &Position| self.0.get(usize::try_from(position.0).ok()?.checked_sub(1)?).cloned();
        let events: Option<Vec<_>> = positions.iter().map(event).collect();
        events.ok_or_else(|| Error::new(ErrorKind::NotFound, "no such position"))
    }
}

/// A projector on its rows.
pub(crate) struct View {
    pub(crate) projector: SeriesProjector,
    pub(crate) series: Series,
    pub(crate) rows: Arc<Rows>,
}

impl View {
    pub(crate) fn open(rows: Arc<Rows>) -> Self {
        let (mut projector, series) = SeriesProjector::new();
        projector.attach(rows.clone());
        projector.load(&*rows).unwrap();
        Self { projector, series, rows }
    }

    pub(crate) fn flush(&mut self) {
        let mut batch = RowBatch::default();
        self.projector.flush(&mut batch);
        self.rows.store(batch);
    }

    pub(crate) fn of(events: &[Envelope]) -> Self {
        let mut view = Self::open(Arc::default());
        view.projector.apply(events);
        view.flush();
        view
    }
}

pub(crate) const T0: i64 = 1_790_000_000_000;

pub(crate) fn head(job: u32, destination: u32, slot: i64) -> SampleHead {
    SampleHead {
        job: JobId(job),
        destination: DestinationId(destination),
        slot_at: Timestamp::from_millis(slot),
        lateness_us: 0,
        flags: SampleFlags::default(),
    }
}

pub(crate) fn ping(head: SampleHead, echoes: Vec<Echo>) -> Event {
    Event::PingMeasured(PingMeasured {
        head,
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        transport: Transport::IcmpDatagram,
        clock: ClockSource::Kernel,
        payload_bytes: 56,
        spacing_ms: 200,
        timeout_ms: 2_000,
        echoes,
        ttl: Some(64),
        duplicates: 0,
        reordered: 0,
        bad_replies: 0,
    })
}

pub(crate) fn replies(micros: impl IntoIterator<Item = u32>) -> Vec<Echo> {
    micros.into_iter().map(|us| Echo::Reply(Rtt::from_micros(us))).collect()
}

pub(crate) fn failed(head: SampleHead, detail: &str) -> Event {
    let (probe, reason) = (ProbeKind::Ping, FailReason::NotPermitted);
    Event::SlotFailed(SlotFailed { head, probe, reason, detail: detail.to_owned() })
}

pub(crate) fn envelopes(events: impl IntoIterator<Item = Event>) -> Vec<Envelope> {
    let recorded = |i: u64| Timestamp::from_millis(T0 + i.cast_signed() * 10);
    (1..).zip(events).map(|(i, event)| Envelope { position: Position(i), recorded_at: recorded(i), event }).collect()
}

fn echo() -> impl Strategy<Value = Echo> {
    prop_oneof![
        12 => (9_000_u32..14_000).prop_map(|us| Echo::Reply(Rtt::from_micros(us))),
        1 => any::<u32>().prop_map(|us| Echo::Reply(Rtt::from_micros(us))),
        1 => Just(Echo::Lost),
        1 => Just(Echo::Late(Rtt::from_micros(2_100_000))),
        1 => Just(Echo::NotSent(101)),
        1 => (0_u8..16).prop_map(|code| Echo::Error(IcmpError { icmp_type: 3, icmp_code: code, from: None })),
    ]
}

fn flags() -> impl Strategy<Value = SampleFlags> {
    prop_oneof![
        9 => Just(SampleFlags::default()),
        1 => any::<(bool, bool)>().prop_map(|(clock_suspect, uplink_down)| SampleFlags {
            clock_suspect,
            uplink_down,
            ..SampleFlags::default()
        }),
    ]
}

fn rtt() -> impl Strategy<Value = Rtt> {
    (100_u32..90_000).prop_map(Rtt::from_micros)
}

fn sample() -> impl Strategy<Value = Event> {
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let tcp = prop_oneof![
        3 => rtt().prop_map(TcpOutcome::Connected),
        1 => rtt().prop_map(TcpOutcome::Refused),
        1 => Just(TcpOutcome::Timeout),
        1 => Just(TcpOutcome::Local(13)),
    ];
    let http = prop_oneof![
        3 => Just(HttpOutcome::Expected(200)),
        1 => Just(HttpOutcome::UnexpectedStatus(503)),
        1 => Just(HttpOutcome::Timeout("connect".into())),
        1 => Just(HttpOutcome::Local("no socket".into())),
    ];
    let dns = prop_oneof![
        3 => rtt().prop_map(|rtt| DnsOutcome::Response { rtt, rcode: 0, flags: 0x8180, answers: vec![] }),
        1 => Just(DnsOutcome::Failure(DnsFailure::Timeout)),
        1 => Just(DnsOutcome::Failure(DnsFailure::Local(1))),
    ];
    let hop = |ttl| {
        vec(prop_oneof![3 => rtt().prop_map(Some), 1 => Just(None)], 1..4).prop_map(move |answers| Hop {
            ttl,
            answers: answers
                .into_iter()
                .map(|rtt| match rtt {
                    Some(rtt) => HopAnswer::Answer { from: here, rtt, icmp_type: 11, icmp_code: 0 },
                    None => HopAnswer::Silent,
                })
                .collect(),
            ..Hop::default()
        })
    };
    let unplaced = head(0, 0, 0);
    prop_oneof![
        8 => vec(echo(), 0..12).prop_map(move |echoes| ping(unplaced, echoes)),
        2 => "[a-z ]{0,12}".prop_map(move |detail| failed(unplaced, &detail)),
        2 => tcp.prop_map(move |outcome| {
            Event::TcpMeasured(TcpMeasured { head: unplaced, address: here, port: 443, outcome })
        }),
        1 => (http, prop::option::of(rtt())).prop_map(move |(outcome, total)| {
            Event::HttpMeasured(HttpMeasured {
                head: unplaced,
                url: "http://localhost/".into(),
                address: Some(here),
                dns: None,
                connect: total,
                tls: None,
                first_byte: total,
                total,
                certificate_expires: None,
                redirects: 0,
                body_bytes: 10,
                outcome,
            })
        }),
        1 => (dns, any::<bool>()).prop_map(move |(outcome, is_expected)| {
            Event::NameResolved(NameResolved {
                head: unplaced,
                name: "localhost".into(),
                record_type: "A".into(),
                server: None,
                transport: "udp".into(),
                clock: ClockSource::User,
                attempts: 1,
                outcome,
                is_expected,
            })
        }),
        1 => ((hop(1), hop(2)), any::<bool>()).prop_map(move |((one, two), reached)| {
            Event::RouteTraced(RouteTraced {
                head: unplaced,
                address: here,
                protocol: TracerouteProtocol::Udp,
                clock: ClockSource::User,
                hops: vec![one, two],
                reached,
                duration_us: 1_000,
            })
        }),
        1 => (prop::option::of(vec(any::<u32>(), 0..5)), prop::option::of("[a-z]{1,5}")).prop_map(
            move |(down, failure)| {
                let way = |bytes_per_100ms| Throughput { bytes_per_100ms, skipped: 1, retransmits: None };
                Event::BandwidthMeasured(BandwidthMeasured {
                    head: unplaced,
                    address: here,
                    engine: "responder".into(),
                    down: down.map(way),
                    up: None,
                    idle_rtt: None,
                    loaded_rtt_p95: None,
                    is_cpu_bound: false,
                    cpu_permille: 5,
                    failure,
                })
            }
        ),
    ]
}

fn place(event: &mut Event, new: SampleHead) {
    match event {
        Event::PingMeasured(e) => e.head = new,
        Event::RouteTraced(e) => e.head = new,
        Event::NameResolved(e) => e.head = new,
        Event::BandwidthMeasured(e) => e.head = new,
        Event::TcpMeasured(e) => e.head = new,
        Event::HttpMeasured(e) => e.head = new,
        Event::SlotFailed(e) => e.head = new,
        _ => {}
    }
}

/// Some job's samples of some destination, slot after slot; or an event of another family.
fn stretch() -> impl Strategy<Value = Vec<Event>> {
    let start = prop_oneof![
        6 => 0_i64..20 * 60,
        // The wall clock was wrong for a while.
        1 => -3_000_i64..60 * 24 * 40,
    ];
    let samples = (1_u32..3, 1_u32..4, start, vec((sample(), flags()), 1..6), 1_usize..60).prop_map(
        |(job, destination, start, samples, times)| {
            let slots = (0_i64..).map(move |i| T0 + (start + i) * 60_000);
            std::iter::repeat_n(samples, times)
                .flatten()
                .zip(slots)
                .map(|((mut event, flags), slot)| {
                    place(&mut event, SampleHead { flags, ..head(job, destination, slot) });
                    event
                })
                .collect::<Vec<_>>()
        },
    );
    let suppressed = (1_u32..3, 1_u32..4, 0_i64..1_200).prop_map(|(job, destination, slot)| {
        let at = Timestamp::from_millis(T0 + slot * 60_000);
        vec![Event::SlotsSuppressed(SlotsSuppressed {
            job: JobId(job),
            destination: DestinationId(destination),
            probe: ProbeKind::Ping,
            first_slot_at: at,
            last_slot_at: at,
            count: 1,
            reason: SuppressReason::UplinkDown,
        })]
    });
    prop_oneof![
        8 => samples,
        1 => suppressed,
        1 => Just(vec![Event::UplinkLost(UplinkLost { reason: "no route".into(), gateway: None })]),
        1 => Just(vec![Event::UplinkRestored(UplinkRestored { gateway: None })]),
        1 => Just(vec![Event::JobStarted(JobStarted { job: JobId(1), meta: Meta::by("api:local") })]),
    ]
}

/// A history: stretches of samples of a few jobs and destinations, mixed in order.
pub(crate) fn history() -> impl Strategy<Value = Vec<Envelope>> {
    vec(stretch(), 0..12).prop_map(|stretches| envelopes(stretches.into_iter().flatten()))
}
