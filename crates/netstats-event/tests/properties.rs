//! Properties of the codec over arbitrary bursts.

use std::net::IpAddr;

use netstats_event::{
    ClockSource, DestinationId, Echo, Event, IcmpError, JobId, PingMeasured, Rtt, SampleFlags, SampleHead, Timestamp,
    Transport, decode, encode,
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

proptest! {
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
