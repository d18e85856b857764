//! What is fine and what is not. Pure: it is told what was found.

use std::net::IpAddr;
use std::path::Path;

use super::Finding;
use crate::platform::{PingGroups, RESOLVER};

/// The command that opens the range for good.
const OPEN_PING: &str = "echo 'net.ipv4.ping_group_range=0 2147483647' | sudo tee /etc/sysctl.d/60-network-stats.conf && \
                         sudo sysctl --system";
/// Files and sockets besides the server's connections: the stores' files, probes' sockets.
const OTHER_FILES: u64 = 512;

/// File systems of other machines.
const NETWORK: [&str; 14] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "9p",
    "fuse.sshfs",
    "fuse.glusterfs",
    "ceph",
    "afs",
    "afpfs",
    "webdav",
    "lustre",
    "network",
];
/// File systems that are gone with the machine's next start.
const IN_MEMORY: [&str; 3] = ["tmpfs", "ramfs", "ram"];

pub(super) fn file_system(kind: Option<&str>) -> Finding {
    let check = "file system";
    match kind {
        None => Finding::fine(check, "the system does not say what kind it is"),
        Some(kind) if NETWORK.contains(&kind) => Finding::advice(
            check,
            format!("the data folder is on a network file system ({kind}), which may hold up every write"),
            "use a disk of this machine, and back up over the network: network-stats log backup DIR",
        ),
        Some(kind) if IN_MEMORY.contains(&kind) => Finding::advice(
            check,
            format!("the data folder is in memory ({kind}): it is gone with the next start of the machine"),
            "give a folder on a disk with --data-dir",
        ),
        Some("overlay") => Finding::advice(
            check,
            "the data folder is in a container's own layer and goes with the container",
            "mount a volume there",
        ),
        Some(kind) => Finding::fine(check, kind),
    }
}

pub(super) fn space(free: u64, floor: u64) -> Finding {
    let check = "free space";
    let mib = |bytes: u64| bytes >> 20;
    let found = format!("{} MiB free; nothing is written below {} MiB", mib(free), mib(floor));
    if free < floor {
        return Finding::fault(check, found, "make room, or move the floor with --min-free-mib");
    }
    if free < floor.saturating_mul(2) {
        return Finding::advice(
            check,
            found,
            "make room soon: a destination pinged each minute takes some 11 MB a year",
        );
    }
    Finding::fine(check, found)
}

/// `is_able`: a socket could be opened.
pub(super) fn ping_groups(groups: &PingGroups, is_able: bool) -> Finding {
    let check = "ping groups";
    let (first, last) = groups.range;
    let range = format!("net.ipv4.ping_group_range is {first} to {last}");
    let is_member = groups.own.iter().any(|group| (first..=last).contains(group));
    match (is_member, is_able) {
        (true, _) => Finding::fine(check, format!("{range}: this process may ping")),
        (false, true) => Finding::fine(check, format!("{range}: not for this process, which has CAP_NET_RAW instead"))
            .hint("a service that runs as another user needs the range or the right, too"),
        (false, false) => Finding::fault(check, format!("{range}: this process may not ping"), OPEN_PING),
    }
}

pub(super) fn open_files(limit: Option<u64>, connections: u64) -> Finding {
    let (check, needed) = ("open files", connections + OTHER_FILES);
    match limit {
        None => Finding::fine(check, "no limit that matters here"),
        Some(limit) if limit < needed => Finding::advice(
            check,
            format!("at most {limit} may be open; with every connection taken it would need {needed}"),
            format!("ulimit -n {needed}, or LimitNOFILE={needed} in the service"),
        ),
        Some(limit) => Finding::fine(check, format!("{limit} may be open, {needed} are enough")),
    }
}

pub(super) fn clock(is_synchronised: Option<bool>) -> Finding {
    let check = "clock";
    match is_synchronised {
        Some(true) => Finding::fine(check, "kept right by the system"),
        Some(false) => Finding::advice(
            check,
            "nothing keeps the clock right: round trips are not touched by that, the times of samples are",
            match std::env::consts::OS {
                "windows" => "start the Windows Time service: w32tm /resync",
                _ => "sudo timedatectl set-ntp true, or install chrony",
            },
        ),
        None => Finding::fine(check, "the system does not say whether something keeps it right")
            .hint("see to it that the time is set automatically"),
    }
}

pub(super) fn gateway(gateway: Option<IpAddr>) -> Finding {
    match gateway {
        Some(gateway) => Finding::fine("gateway", gateway.to_string()),
        None => Finding::advice(
            "gateway",
            "this machine has no default gateway (IPv4)",
            "fine for a closed network; an outage of our own network cannot be told from one of a destination",
        ),
    }
}

/// `servers`: name servers that the system is set to; none if it is not known how to tell.
pub(super) fn resolver(servers: Option<usize>, localhost: bool) -> Finding {
    let check = "dns";
    match (servers, localhost) {
        (_, false) => Finding::advice(check, "not even `localhost` resolves", RESOLVER),
        (Some(0), true) => Finding::advice(
            check,
            "no name server is set: destinations by name cannot be measured",
            "set one (/etc/resolv.conf), or give destinations by address",
        ),
        (Some(count), true) => Finding::fine(check, format!("{count} name server(s) set")),
        (None, true) => Finding::fine(check, "the system resolves"),
    }
}

/// How the folder is closed to others; `mode` where there are such.
pub(super) fn rights(path: &Path, mode: Option<u32>) -> Finding {
    match mode {
        Some(mode) if mode & 0o077 != 0 => Finding::advice(
            "data rights",
            format!("others can read {} (mode {mode:03o})", path.display()),
            format!("chmod 700 '{}'; a start does so if nothing else is in it", path.display()),
        ),
        Some(_) => Finding::fine("data rights", "only its owner can read it"),
        None => {
            Finding::fine("data rights", "access lists are not looked at: the service's installation closes the folder")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn other_machines_and_memory_are_no_place_for_data() {
        for bad in ["nfs4", "cifs", "fuse.sshfs", "network", "tmpfs", "overlay"] {
            assert_eq!(file_system(Some(bad)).verdict, Verdict::Advice, "{bad}");
        }
        for good in [Some("ext4"), Some("local"), None] {
            assert_eq!(file_system(good).verdict, Verdict::Fine, "{good:?}");
        }
    }

    #[test]
    fn below_the_floor_is_a_fault_and_near_it_an_advice() {
        let floor = 256 << 20;
        assert_eq!(space(floor - 1, floor).verdict, Verdict::Fault);
        assert_eq!(space(floor, floor).verdict, Verdict::Advice);
        assert_eq!(space(2 * floor, floor).verdict, Verdict::Fine);
    }

    #[test]
    fn who_may_not_ping_is_told_the_command() {
        let groups = |range, has_raw| PingGroups { range, own: vec![1000, 27], has_raw };
        let closed = ping_groups(&groups((1, 0), false), false);
        assert_eq!(closed.verdict, Verdict::Fault);
        assert!(closed.fix.unwrap().contains("ping_group_range=0 2147483647"));
        assert_eq!(ping_groups(&groups((1, 0), true), true).verdict, Verdict::Fine);
        assert_eq!(ping_groups(&groups((27, 30), false), true).verdict, Verdict::Fine);
    }

    #[test]
    fn few_files_no_clock_no_gateway_and_no_names_are_advice() {
        for finding in [
            open_files(Some(256), 768),
            clock(Some(false)),
            gateway(None),
            resolver(Some(0), true),
            resolver(None, false),
            rights(Path::new("x"), Some(0o755)),
        ] {
            assert_eq!((finding.verdict, finding.code), (Verdict::Advice, 0), "{finding:?}");
            assert!(finding.fix.is_some());
        }
        for finding in [
            open_files(Some(4_096), 768),
            open_files(None, 768),
            clock(Some(true)),
            clock(None),
            gateway(Some([192, 0, 2, 1].into())),
            resolver(Some(2), true),
            rights(Path::new("x"), Some(0o700)),
            rights(Path::new("x"), None),
        ] {
            assert_eq!(finding.verdict, Verdict::Fine, "{finding:?}");
        }
    }
}
