//! The numbers that stand for enum variants on disk. They are for ever.

use super::Meaning;
use crate::{
    AddressFamily, BandwidthDirection, BandwidthEngine, ClockSource, DnsTransport, ExportFormat, ExportOutcome,
    FailReason, ManagedBy, Metric, MissReason, ObserverOutages, ProbeKind, Role, SuppressReason, TracerouteProtocol,
    Transport,
};

/// An enum whose variants have numbers on disk.
pub(super) trait Code: Sized {
    fn code(&self) -> u8;
    fn from_code(code: u8) -> Meaning<Self>;
}

macro_rules! codes {
    ($($name:ident { $($variant:ident = $code:literal),* $(,)? })*) => {
        $(impl Code for $name {
            fn code(&self) -> u8 {
                match self {
                    $(Self::$variant => $code,)*
                }
            }

            fn from_code(code: u8) -> Meaning<Self> {
                match code {
                    $($code => Ok(Self::$variant),)*
                    _ => Err(concat!("an unknown ", stringify!($name))),
                }
            }
        })*
    };
}

codes! {
    Metric { Ping = 0, PacketLoss = 1, Jitter = 2, Traceroute = 3, Dns = 4, Bandwidth = 5, Tcp = 6, Http = 7 }
    ProbeKind { Ping = 0, Traceroute = 1, Dns = 2, Bandwidth = 3, Tcp = 4, Http = 5 }
    AddressFamily { Any = 0, V4 = 4, V6 = 6 }
    TracerouteProtocol { Auto = 0, Icmp = 1, Udp = 2, Tcp = 3 }
    DnsTransport { Udp = 0, Tcp = 1, Tls = 2, Https = 3, System = 4 }
    BandwidthEngine { Responder = 0, Ndt7 = 1, Iperf3 = 2 }
    BandwidthDirection { Both = 0, Down = 1, Up = 2 }
    ManagedBy { User = 0, Config = 1 }
    ObserverOutages { Excluded = 0, Up = 1, Down = 2 }
    ExportFormat { Xlsx = 0, Csv = 1, Json = 2, JsonLines = 3, Parquet = 4, Pack = 5 }
    ExportOutcome { Done = 0, Failed = 1, Cancelled = 2 }
    Role { Viewer = 0, Operator = 1, Admin = 2 }
    ClockSource { Kernel = 0, KernelReceive = 1, User = 2 }
    Transport { IcmpDatagram = 0, IcmpRaw = 1, IcmpHelper = 2, Udp = 3, Tcp = 4 }
    FailReason {
        NotPermitted = 0, NameNotResolved = 1, NoRoute = 2, Socket = 3, BadOptions = 4, Denied = 5, Internal = 6,
    }
    MissReason { Overrun = 0, QueueFull = 1, HostSlept = 2, CollectorDown = 3, Stalled = 4, ClockStepped = 5 }
    SuppressReason { UplinkDown = 0, Budget = 1, OwnLoad = 2, DiskFull = 3 }
}
