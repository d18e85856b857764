//! Namespaces, cables, addresses and routes.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::{PLACE, link};
use crate::step::command;

pub(super) const NODES: [&str; 7] = ["prober", "r1", "r2", "r2b", "r3", "link", "target"];

fn name(node: &str) -> String {
    format!("netstats-{node}")
}

/// A program inside a node.
pub(crate) fn inside(node: &str, program: &str) -> Command {
    let mut command = command("ip");
    command.args(["netns", "exec", &name(node), program]);
    command
}

/// Runs a program in the prober, with the lab's place in its environment.
pub(super) fn enter_prober(
    run: &mut dyn FnMut(&str, &[&str]) -> Result<()>,
    program: &[&str],
    more: &[&str],
) -> Result<()> {
    let place = format!("NETSTATS_LAB={PLACE}");
    let node = name("prober");
    let arguments = [&["netns", "exec", &node, "env", &place], program, more].concat();
    run("ip", &arguments)
}

fn run(mut command: Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// `ip -n NODE ARGUMENTS`, written as one line.
fn ip(node: &str, line: &str) -> Result<()> {
    let mut ip = command("ip");
    ip.args(["-n", &name(node)]).args(line.split(' '));
    run(ip)
}

/// Kernel settings of a node; those that this kernel does not have are left out.
fn tune(node: &str) {
    for setting in [
        "net.ipv4.ip_forward=1",
        "net.ipv6.conf.all.forwarding=1",
        "net.ipv6.conf.all.accept_dad=0",
        "net.ipv6.conf.default.accept_dad=0",
        "net.ipv4.conf.all.rp_filter=0",
        "net.ipv4.conf.default.rp_filter=0",
        "net.ipv4.icmp_ratelimit=0",
        "net.ipv4.icmp_ratemask=0",
        "net.ipv4.icmp_msgs_per_sec=1000000",
        "net.ipv6.icmp.ratelimit=0",
        "net.ipv4.fib_multipath_hash_policy=1",
        "net.ipv6.fib_multipath_hash_policy=1",
    ] {
        let _ = inside(node, "sysctl").args(["-qw", setting]).output();
    }
}

/// A cable between two nodes; each end is named after the node at the other.
fn cable(a: &str, b: &str) -> Result<()> {
    ip(a, &format!("link add to-{b} type veth peer name to-{a} netns {}", name(b)))?;
    for (node, other) in [(a, b), (b, a)] {
        // Segmentation and checksums are made before the cable, so that what is on it can be read and sent on.
        let mut ethtool = inside(node, "ethtool");
        run({
            ethtool.args(["-K", &format!("to-{other}"), "tx", "off", "gso", "off", "tso", "off", "gro", "off"]);
            ethtool
        })?;
        ip(node, &format!("link set to-{other} up"))?;
    }
    Ok(())
}

/// Addresses for a cable of number `n`: `.1` at `a`, `.2` at `b`.
fn number(a: &str, at_a: &str, b: &str, at_b: &str, n: u8) -> Result<()> {
    for (node, to, last) in [(a, at_a, 1), (b, at_b, 2)] {
        ip(node, &format!("addr add 198.18.{n}.{last}/30 dev to-{to}"))?;
        ip(node, &format!("addr add 2001:2:0:{n}::{last}/64 dev to-{to} nodad"))?;
    }
    Ok(())
}

/// Everything, after what was there before is gone.
pub(super) fn up(is_plain: bool) -> Result<()> {
    down()?;
    fs::create_dir_all(PLACE)?;
    let nodes: &[&str] = if is_plain { &["prober", "target"] } else { &NODES };
    for node in nodes {
        run({
            let mut ip = command("ip");
            ip.args(["netns", "add", &name(node)]);
            ip
        })?;
        tune(node);
        ip(node, "link set lo up")?;
    }
    ip("target", "route add local 198.19.0.0/16 dev lo")?;
    ip("target", "-6 route add local 2001:2:0:100::/64 dev lo")?;
    let _ = inside("target", "sysctl").args(["-qw", "net.ipv6.ip_nonlocal_bind=1"]).output();
    if is_plain { plain() } else { routed() }
}

fn plain() -> Result<()> {
    cable("prober", "target")?;
    number("prober", "target", "target", "prober", 0)?;
    ip("prober", "route add default via 198.18.0.2")?;
    ip("prober", "-6 route add default via 2001:2:0:0::2")
}

fn routed() -> Result<()> {
    for (a, b, n) in [("prober", "r1", 0), ("r1", "r2", 1), ("r2", "r3", 2), ("r1", "r2b", 11), ("r2b", "r3", 12)] {
        cable(a, b)?;
        number(a, b, b, a, n)?;
    }
    cable("r3", "link")?;
    cable("link", "target")?;
    number("r3", "link", "target", "link", 3)?;
    for node in ["to-r3", "to-target"] {
        // The link itself has no address: it only carries.
        ip("link", &format!("link set {node} promisc on"))?;
    }
    for (node, way, n) in [("prober", 0, "0"), ("r1", 1, "1"), ("r2", 2, "2"), ("r2b", 12, "12")] {
        ip(node, &format!("route add default via 198.18.{way}.2"))?;
        ip(node, &format!("-6 route add default via 2001:2:0:{n}::2"))?;
    }
    for (node, back) in [("r2", 1), ("r2b", 11), ("r3", 2)] {
        ip(node, &format!("route add 198.18.0.0/30 via 198.18.{back}.1"))?;
        ip(node, &format!("-6 route add 2001:2:0:0::/64 via 2001:2:0:{back}::1"))?;
    }
    ip("r3", "route add 198.18.1.0/30 via 198.18.2.1")?;
    ip("target", "route add default via 198.18.3.1")?;
    ip("target", "-6 route add default via 2001:2:0:3::1")?;
    ip("r3", "route add 198.19.0.0/16 via 198.18.3.2")?;
    ip("r3", "-6 route add 2001:2:0:100::/64 via 2001:2:0:3::2")?;
    faults()?;
    link::start()?;
    start("target", &["serve"], "serve")
}

/// Networks that cannot be reached, that go round in circles, and that have two paths.
fn faults() -> Result<()> {
    for (kind, n) in [("unreachable", 200), ("prohibit", 201), ("blackhole", 202)] {
        ip("r3", &format!("route add {kind} 198.18.{n}.0/24"))?;
        ip("r3", &format!("-6 route add {kind} 2001:2:0:{n}::/64"))?;
    }
    ip("r3", "route add 198.18.203.0/24 via 198.18.2.1")?;
    ip("r3", "-6 route add 2001:2:0:203::/64 via 2001:2:0:2::1")?;
    ip("r3", "route add 198.18.204.0/24 via 198.18.3.2")?;
    ip("r3", "-6 route add 2001:2:0:204::/64 via 2001:2:0:3::2")?;
    ip("target", "route add local 198.18.204.0/24 dev lo")?;
    ip("r1", "route add 198.18.204.0/24 nexthop via 198.18.1.2 nexthop via 198.18.11.2")?;
    ip("r1", "-6 route add 2001:2:0:204::/64 nexthop via 2001:2:0:1::2 nexthop via 2001:2:0:11::2")?;
    // Errors of IPv6 come from an address that was given, not from one that is only routed here.
    ip("r3", "-6 route add 2001:2:0:101::/64 via 2001:2:0:3::2")?;
    for last in 1..=10 {
        for n in [101, 204] {
            ip("target", &format!("addr add 2001:2:0:{n}::{last}/128 dev lo nodad"))?;
        }
    }
    Ok(())
}

/// Starts this program again in a node, to run until the lab goes down.
pub(super) fn start(node: &str, words: &[&str], log: &str) -> Result<()> {
    let own = std::env::current_exe()?;
    let sink = fs::File::create(format!("{PLACE}/{log}.log"))?;
    let mut child = inside(node, &own.to_string_lossy());
    child.arg("lab").args(words).stdin(Stdio::null()).stdout(sink.try_clone()?).stderr(sink);
    let child = child.spawn().context("a process of the lab cannot be started")?;
    let pids = format!("{PLACE}/pids");
    let known = fs::read_to_string(&pids).unwrap_or_default();
    Ok(fs::write(pids, format!("{known}{} ", child.id()))?)
}

/// Limits of rate at both ends of the link.
pub(super) fn shape(rate_mbit: u32) -> Result<()> {
    for node in ["r3", "target"] {
        let mut tc = inside(node, "tc");
        if rate_mbit == 0 {
            let _ = tc.args(["qdisc", "del", "dev", "to-link", "root"]).output();
            continue;
        }
        let rate = format!("{rate_mbit}mbit");
        tc.args(["qdisc", "replace", "dev", "to-link", "root", "tbf", "rate", &rate]);
        tc.args(["burst", "16kb", "latency", "50ms"]);
        run(tc)?;
    }
    Ok(())
}

/// Which processors (a mask; 0: whoever sent) take in what comes to a node from the prober.
pub(super) fn steer(node: &str, processors: u8) -> Result<()> {
    let order = format!("echo {processors:x} > /sys/class/net/to-prober/queues/rx-0/rps_cpus");
    let mut sh = inside(node, "sh");
    sh.args(["-c", &order]);
    run(sh)
}

/// Ends what runs in it and removes it.
pub(super) fn down() -> Result<()> {
    let pids = fs::read_to_string(format!("{PLACE}/pids")).unwrap_or_default();
    for pid in pids.split_whitespace() {
        // Only what is still one of ours: numbers are used again.
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if line.contains("lab") {
            let _ = command("kill").arg(pid).output();
        }
    }
    for node in NODES {
        if fs::exists(format!("/run/netns/{}", name(node)))? {
            run({
                let mut ip = command("ip");
                ip.args(["netns", "del", &name(node)]);
                ip
            })?;
        }
    }
    let _ = fs::remove_dir_all(PLACE);
    Ok(())
}
