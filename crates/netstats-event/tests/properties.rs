//! Properties of the codec over arbitrary bursts.

use std::net::IpAddr;

use netstats_event::{
    ClockSource, Column, ColumnWriter, Columns, DestinationId, Echo, Event, IcmpError, JobId, PingMeasured, Rtt,
    SampleFlags, SampleHead, Timestamp, Transport, decode, encode,
};
use proptest::prelude::*;

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)]
}

fn echo() -> impl Strategy<Value = Echo> {
    prop_oneof![
        any::<u32>().prop_map(|us| Echo::Reply(Rtt::from_micros(us))),
        any::<u32>().prop_map(|us| Echo::Late(Rtt::from_micros(us))),
        Just(Echo::Lost),
        any::<i32>().prop_map(Echo::NotSent),
        (any::<u8>(), any::<u8>(), proptest::option::of(address()))
            .prop_map(|(icmp_type, icmp_code, from)| Echo::Error(IcmpError { icmp_type, icmp_code, from })),
    ]
}

prop_compose! {
    fn burst()(
        ids in any::<(u32, u32, u32)>(),
        slot_ms in -1_000_000_000_000_i64..9_000_000_000_000,
        flags in any::<[bool; 4]>(),
        address in address(),
        sizes in any::<(u16, u32, u32)>(),
        echoes in proptest::collection::vec(echo(), 0..60),
        ttl in proptest::option::of(any::<u8>()),
        counts in any::<(u16, u16, u16)>(),
    ) -> PingMeasured {
        let [self_delayed, under_own_load, clock_suspect, uplink_down] = flags;
        PingMeasured {
            head: SampleHead {
                job: JobId(ids.0),
                destination: DestinationId(ids.1),
                slot_at: Timestamp::from_millis(slot_ms),
                lateness_us: ids.2,
                flags: SampleFlags { self_delayed, under_own_load, clock_suspect, uplink_down },
            },
            address,
            transport: Transport::IcmpDatagram,
            clock: ClockSource::User,
            payload_bytes: sizes.0,
            spacing_ms: sizes.1,
            timeout_ms: sizes.2,
            echoes,
            ttl,
            duplicates: counts.0,
            reordered: counts.1,
            bad_replies: counts.2,
        }
    }
}

/// The column writer's columns, given back one by one as an archive would.
fn put_together(writer: &ColumnWriter, series: (JobId, DestinationId)) -> Option<Columns> {
    let mut columns = writer.columns();
    let mut next = |length: usize| match columns.next()? {
        Column::Values(numbers) => (numbers.len() == length).then(|| Column::Values(numbers.clone())),
        constant => Some(constant.clone()),
    };
    let whole = Columns::read((201, 1), series, writer.rows(), 1 << 20, &mut next);
    assert!(columns.next().is_none(), "every column is asked for");
    whole
}

proptest! {
    #[test]
    fn bursts_come_out_of_columns_byte_by_byte(bursts in proptest::collection::vec(burst(), 1..20)) {
        let mut writer = ColumnWriter::of(201, 1).unwrap();
        let series = (JobId(7), DestinationId(9));
        let mut payloads = Vec::new();
        for mut burst in bursts {
            (burst.head.job, burst.head.destination) = series;
            let payload = encode(&Event::from(burst), Timestamp::default()).unwrap().payload;
            prop_assert!(writer.push(&payload));
            payloads.push((payload, writer.last_end_ms()));
        }
        let columns = put_together(&writer, series).unwrap();
        for (row, (payload, end_ms)) in payloads.iter().enumerate() {
            prop_assert_eq!(&columns.payload(row).unwrap(), payload);
            prop_assert_eq!(columns.event(row).unwrap(), decode(201, 1, payload).unwrap());
            prop_assert_eq!(columns.end_ms(row), *end_ms);
        }
        prop_assert!(columns.event(payloads.len()).is_none());
    }

    #[test]
    fn columns_take_no_payload_that_would_come_back_different(burst in burst(), at in any::<prop::sample::Index>(), bit in 0_u32..8) {
        let payload = encode(&Event::from(burst.clone()), Timestamp::default()).unwrap().payload;
        let mut damaged = payload.clone();
        damaged[at.index(payload.len())] ^= 1_u8 << bit;
        let mut writer = ColumnWriter::of(201, 1).unwrap();
        if writer.push(&damaged) {
            let head = decode(201, 1, &damaged).unwrap().head().copied().unwrap();
            let columns = put_together(&writer, (head.job, head.destination)).unwrap();
            prop_assert_eq!(columns.payload(0).unwrap(), damaged);
        } else {
            prop_assert_eq!(writer.rows(), 0);
        }
    }

    #[test]
    fn a_burst_reads_back_whole(burst in burst()) {
        let event = Event::from(burst);
        let draft = encode(&event, Timestamp::default()).unwrap();
        prop_assert_eq!(decode(draft.kind, draft.version, &draft.payload).unwrap(), event);
    }

    #[test]
    fn arbitrary_bytes_never_panic(kind in 0_u16..500, bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = decode(kind, 1, &bytes);
        let _ = netstats_event::Record::read(&bytes);
    }
}
