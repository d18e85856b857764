//! Pieces that several kinds share.

use std::net::IpAddr;

use rkyv::{Archive, Deserialize, Serialize};

use super::Meaning;
use crate::{DestinationId, JobId, Meta, Rtt, SampleFlags, SampleHead, Timestamp};

/// An address: 4 or 16 bytes.
#[derive(Archive, Serialize, Deserialize)]
pub(super) struct AddressV1 {
    pub(super) bytes: [u8; 16],
    /// 4 or 6.
    pub(super) family: u8,
}

impl AddressV1 {
    pub(super) fn new(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => {
                let mut bytes = [0; 16];
                bytes[..4].copy_from_slice(&v4.octets());
                Self { bytes, family: 4 }
            }
            IpAddr::V6(v6) => Self { bytes: v6.octets(), family: 6 },
        }
    }

    pub(super) fn get(&self) -> Meaning<IpAddr> {
        address(self.family, self.bytes)
    }
}

pub(super) fn address(family: u8, bytes: [u8; 16]) -> Meaning<IpAddr> {
    match family {
        4 => Ok(IpAddr::from([bytes[0], bytes[1], bytes[2], bytes[3]])),
        6 => Ok(IpAddr::from(bytes)),
        _ => Err("an address that is neither IPv4 nor IPv6"),
    }
}

/// See [`SampleHead`].
#[derive(Archive, Serialize, Deserialize)]
pub(super) struct HeadV1 {
    pub(super) job: u32,
    pub(super) destination: u32,
    pub(super) slot_at_ms: i64,
    pub(super) lateness_us: u32,
    /// Bits: 0 self-delayed, 1 under own load, 2 clock suspect, 3 uplink down.
    pub(super) flags: u8,
}

impl HeadV1 {
    pub(super) fn new(head: &SampleHead) -> Self {
        let SampleFlags { self_delayed, under_own_load, clock_suspect, uplink_down } = head.flags;
        let bits = [self_delayed, under_own_load, clock_suspect, uplink_down];
        Self {
            job: head.job.0,
            destination: head.destination.0,
            slot_at_ms: head.slot_at.as_millis(),
            lateness_us: head.lateness_us,
            flags: bits.iter().enumerate().fold(0, |flags, (i, set)| flags | (u8::from(*set) << i)),
        }
    }

    pub(super) fn get(&self) -> SampleHead {
        head(self.job, self.destination, self.slot_at_ms, self.lateness_us, self.flags)
    }
}

pub(super) fn head(job: u32, destination: u32, slot_at_ms: i64, lateness_us: u32, flags: u8) -> SampleHead {
    SampleHead {
        job: JobId(job),
        destination: DestinationId(destination),
        slot_at: Timestamp::from_millis(slot_at_ms),
        lateness_us,
        flags: SampleFlags {
            self_delayed: flags & 1 != 0,
            under_own_load: flags & 2 != 0,
            clock_suspect: flags & 4 != 0,
            uplink_down: flags & 8 != 0,
        },
    }
}

/// See [`Meta`].
#[derive(Archive, Serialize, Deserialize)]
pub(super) struct MetaV1 {
    actor: String,
    reason: Option<String>,
    command_id: Option<[u8; 16]>,
}

impl MetaV1 {
    pub(super) fn new(meta: &Meta) -> Self {
        Self { actor: meta.actor.clone(), reason: meta.reason.clone(), command_id: meta.command_id }
    }

    pub(super) fn get(self) -> Meta {
        Meta { actor: self.actor, reason: self.reason, command_id: self.command_id }
    }
}

pub(super) fn rtt_us(rtt: Option<Rtt>) -> Option<u32> {
    rtt.map(Rtt::as_micros)
}

pub(super) fn rtt(us: Option<u32>) -> Option<Rtt> {
    us.map(Rtt::from_micros)
}
