//! Linux.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use sd_notify::NotifyState;

use super::{PingGroups, State};

/// `CAP_NET_RAW` (capabilities(7)).
const CAP_NET_RAW: u32 = 13;

/// The kernel's word on whether something keeps its clock right.
#[expect(unsafe_code, reason = "adjtimex has no safe wrapper in std")]
pub(crate) fn is_clock_synchronised() -> Option<bool> {
    // SAFETY: all-zero is a valid timex: no mode is set, so the call only reads.
    let mut state: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: `state` is a valid timex that the call fills.
    let is_read = unsafe { libc::adjtimex(&raw mut state) } >= 0;
    is_read.then_some(state.status & libc::STA_UNSYNC == 0)
}

/// What kind of file system a path is on.
pub(crate) fn file_system(path: &Path) -> Option<String> {
    let path = fs::canonicalize(path).ok()?;
    kind_of(&path, &fs::read_to_string("/proc/self/mountinfo").ok()?)
}

/// The deepest mount above `path`, the latest of several at one place (proc(5)).
fn kind_of(path: &Path, mounts: &str) -> Option<String> {
    let parsed = mounts.lines().filter_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let place = before.split(' ').nth(4)?.replace("\\040", " ");
        let depth = Path::new(&place).components().count();
        path.starts_with(&place).then_some((depth, after.split(' ').next()?))
    });
    parsed.max_by_key(|(depth, _)| *depth).map(|(_, kind)| kind.to_owned())
}

/// Files that this process may have open.
pub(crate) fn open_files() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let soft = line.split_whitespace().next()?;
    if soft == "unlimited" { Some(u64::MAX) } else { soft.parse().ok() }
}

/// `net.ipv4.ping_group_range` (icmp(7)), beside what this process is.
pub(crate) fn ping_groups() -> Option<PingGroups> {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ping_group_range").ok()?;
    groups_of(&range, &fs::read_to_string("/proc/self/status").ok()?)
}

fn groups_of(range: &str, status: &str) -> Option<PingGroups> {
    let mut bounds = range.split_whitespace().map(str::parse);
    let range = (bounds.next()?.ok()?, bounds.next()?.ok()?);
    let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    let effective = line("Gid:")?.split_whitespace().nth(1);
    let others = line("Groups:")?.split_whitespace();
    let own = effective.into_iter().chain(others).filter_map(|group| group.parse().ok()).collect();
    let rights = u64::from_str_radix(line("CapEff:")?.trim(), 16).ok()?;
    Some(PingGroups { range, own, has_raw: rights >> CAP_NET_RAW & 1 == 1 })
}

/// `nameserver` lines of resolv.conf(5).
pub(crate) fn name_servers() -> Option<usize> {
    let text = fs::read_to_string("/etc/resolv.conf").ok()?;
    Some(text.lines().filter(|line| line.trim_start().starts_with("nameserver")).count())
}

/// Memory of this process that is in RAM.
pub(crate) fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1_024)
}

/// Whether this process is the administrator's.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

/// Tells systemd, if it started us.
pub(crate) fn tell(state: State) {
    let state = match state {
        State::Running => NotifyState::Ready,
        State::Alive => NotifyState::Watchdog,
        State::Stopping => NotifyState::Stopping,
    };
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "the service manager cannot be told how we do");
    }
}

/// How long systemd waits for a sign of life; none if it does not ask.
pub(crate) fn watched_within() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_and_latest_mount_counts() {
        let mounts = "22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n\
                      30 22 0:40 / /srv/my\\040data rw - nfs4 host:/x rw\n\
                      31 22 0:41 / /srv rw - xfs /dev/sdb rw\n\
                      32 22 0:42 / /srv rw - tmpfs tmpfs rw\n";
        let kind = |path: &str| kind_of(Path::new(path), mounts).unwrap();
        assert_eq!(kind("/srv/my data/log"), "nfs4");
        assert_eq!(kind("/srv/other"), "tmpfs");
        assert_eq!(kind("/srvx"), "ext4");
    }

    #[test]
    fn groups_and_rights_are_read() {
        let status = "Name:\tx\nGid:\t1000\t1001\t1000\t1000\nGroups:\t4 27 \nCapEff:\t0000000000002000\n";
        let groups = groups_of("1\t0\n", status).unwrap();
        assert_eq!(groups, PingGroups { range: (1, 0), own: vec![1001, 4, 27], has_raw: true });
        assert!(!groups_of("0 9", &status.replace("2000", "0000")).unwrap().has_raw);
        assert!(ping_groups().is_some() && open_files().is_some() && is_clock_synchronised().is_some());
        assert!(file_system(Path::new("/")).is_some());
    }
}
