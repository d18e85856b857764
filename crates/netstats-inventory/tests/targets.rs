//! The target policy against every way to write an address that must not be probed.

#![allow(clippy::print_stdout, reason = "says what it counted")]

mod common;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use common::World;
use netstats_event::{Event, JobSpec, Metric, ProbeKind};
use netstats_inventory::{Command, Contact, Network, Policy, RejectionKind, TargetPolicy, canonical_host};

/// Ways to write an IPv4 address: what browsers, `inet_aton` and IPv6 know.
fn spellings_v4(address: Ipv4Addr) -> Vec<String> {
    let [a, b, c, d] = address.octets();
    let whole = address.to_bits();
    let (high, low) = (whole >> 16, whole & 0xffff);
    let rest = whole & 0x00ff_ffff;
    let mut out = vec![
        address.to_string(),
        format!("{address}."),
        format!(" {address} "),
        format!("{whole}"),
        format!("0x{whole:x}"),
        format!("0X{whole:08X}"),
        format!("0{whole:o}"),
        format!("{a}.{rest}"),
        format!("{a}.{b}.{low}"),
        format!("0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}"),
        format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
        format!("{a}.0x{rest:x}"),
        format!("{a:03}.{b:03}.{c:03}.{d:03}"),
        format!("{a}.{b}.{c}.0x{d:x}"),
        format!("{a}.{b}.{c}.{}", u32::from(d) + 256),
        format!("::ffff:{address}"),
        format!("[::ffff:{address}]"),
        format!("::FFFF:{high:x}:{low:x}"),
        format!("0:0:0:0:0:ffff:{high:x}:{low:x}"),
        format!("0000:0000:0000:0000:0000:ffff:{high:04x}:{low:04x}"),
        format!("::ffff:{address}%eth0"),
        format!("::{address}"),
        format!("64:ff9b::{address}"),
        format!("64:ff9b::{high:x}:{low:x}"),
        format!("64:ff9b:1::{high:x}:{low:x}"),
        format!("[64:FF9B::{high:X}:{low:X}]"),
        format!("2002:{high:x}:{low:x}::"),
        format!("2002:{high:x}:{low:x}::1"),
        format!("2001:0:4136:e378:8000:63bf:{:x}:{:x}", high ^ 0xffff, low ^ 0xffff),
        format!("2001:db8::5efe:{high:x}:{low:x}"),
        format!("2001:db8::200:5efe:{high:x}:{low:x}"),
        format!("::ffff:0:{high:x}:{low:x}"),
        format!("http://{address}/"),
        format!("{address}:80"),
        format!("{address}/32"),
        format!("user@{address}"),
        format!("{a}%2e{b}%2e{c}%2e{d}"),
        format!("{a}\u{3002}{b}\u{3002}{c}\u{3002}{d}"),
        format!("\u{ff10}{address}"),
        format!("{address}\0"),
        format!("{address}\r\n"),
        format!("{address}#@example.com"),
    ];
    out.sort();
    out.dedup();
    out
}

fn spellings_v6(address: Ipv6Addr) -> Vec<String> {
    let s = address.segments();
    let long: Vec<String> = s.iter().map(|part| format!("{part:04x}")).collect();
    let short: Vec<String> = s.iter().map(|part| format!("{part:x}")).collect();
    let last = Ipv4Addr::from_bits(u32::from(s[6]) << 16 | u32::from(s[7]));
    let mut out = vec![
        address.to_string(),
        address.to_string().to_uppercase(),
        format!("[{address}]"),
        long.join(":"),
        long.join(":").to_uppercase(),
        short.join(":"),
        format!("[{}]", short.join(":")),
        format!("{}:{last}", short[..6].join(":")),
        format!("{address}%eth0"),
        format!("[{address}%25eth0]"),
        format!("[{address}]:443"),
        format!("{address}/128"),
        format!("{address}."),
    ];
    out.sort();
    out.dedup();
    out
}

/// Never to be probed, whoever asks.
const NEVER_V4: [&str; 12] = [
    "169.254.169.254",
    "169.254.0.1",
    "169.254.255.255",
    "0.0.0.0",
    "0.1.2.3",
    "224.0.0.1",
    "239.255.255.250",
    "255.255.255.255",
    "240.0.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
];
const NEVER_V6: [&str; 9] = [
    "::",
    "ff02::1",
    "ff05::1:3",
    "fd00:ec2::254",
    "fd20:ce::254",
    "fec0::1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "64:ff9b::a00:1",
];

/// How each probe asks: with the port of a service, or past all services.
fn contacts(host: &str) -> Vec<Contact<'_>> {
    let one = |probe, port| Contact { host, probe, port };
    vec![
        one(ProbeKind::Ping, None),
        one(ProbeKind::Traceroute, None),
        one(ProbeKind::Traceroute, Some(443)),
        one(ProbeKind::Tcp, Some(443)),
        one(ProbeKind::Http, Some(443)),
        one(ProbeKind::Dns, Some(53)),
        one(ProbeKind::Bandwidth, Some(7_123)),
    ]
}

/// What becomes of a host as a user may write it: refused when it is saved, or when it is probed.
fn is_denied(policy: &TargetPolicy, written: &str, probe: ProbeKind, port: Option<u16>) -> bool {
    let Ok(host) = canonical_host(written) else { return true };
    policy.check_host(Contact { host: &host, probe, port }).is_err()
}

#[test]
fn no_spelling_of_a_denied_address_passes() {
    let policy = TargetPolicy::default();
    let v4 = NEVER_V4.iter().flat_map(|text| spellings_v4(text.parse().unwrap()));
    let v6 = NEVER_V6.iter().flat_map(|text| spellings_v6(text.parse().unwrap()));
    let table: Vec<String> = v4.chain(v6).collect();
    assert!(table.len() >= 200, "{} spellings", table.len());
    let mut checked = 0;
    for written in &table {
        for contact in contacts("") {
            assert!(is_denied(&policy, written, contact.probe, contact.port), "{written:?} {contact:?}");
            checked += 1;
        }
    }
    println!("{} spellings, {checked} checks", table.len());
}

#[test]
fn services_of_this_machine_are_not_for_those_who_come_from_elsewhere() {
    let far = TargetPolicy { local_services: false, ..TargetPolicy::default() };
    let table: Vec<String> = ["127.0.0.1", "127.0.0.2", "127.1.2.3", "127.255.255.254"]
        .iter()
        .flat_map(|text| spellings_v4(text.parse().unwrap()))
        .chain(spellings_v6(Ipv6Addr::LOCALHOST))
        .collect();
    assert!(table.len() >= 100, "{} spellings", table.len());
    for written in &table {
        for contact in contacts("").into_iter().filter(|contact| contact.port.is_some()) {
            assert!(is_denied(&far, written, contact.probe, contact.port), "{written:?} {contact:?}");
        }
    }
    // Pings of this machine are what the product starts with; they ask nobody anything.
    for host in ["127.0.0.1", "::1"] {
        far.check_host(Contact { host, probe: ProbeKind::Ping, port: None }).unwrap();
        TargetPolicy::default().check_host(Contact { host, probe: ProbeKind::Tcp, port: Some(22) }).unwrap();
    }
}

fn check(policy: &TargetPolicy, host: &str, address: &str, probe: ProbeKind, port: Option<u16>) -> Result<(), String> {
    policy.check(address.parse::<IpAddr>().unwrap(), Contact { host, probe, port }).map_err(|denied| denied.rule)
}

#[test]
fn a_name_is_judged_by_the_address_it_has_now() {
    let policy = TargetPolicy::default();
    let http = |address| check(&policy, "shop.example", address, ProbeKind::Http, Some(443));
    assert_eq!(http("192.0.2.1"), Ok(()));
    assert_eq!(http("127.0.0.1"), Err("loopback-by-name".to_owned()), "it was pointed at us");
    assert_eq!(http("::ffff:127.0.0.1"), Err("loopback-by-name".to_owned()));
    assert_eq!(http("169.254.169.254"), Err("metadata".to_owned()));
    assert_eq!(http("::ffff:169.254.169.254"), Err("metadata".to_owned()));
    for own in ["localhost", "LOCALHOST.", "printer.localhost"] {
        assert_eq!(check(&policy, own, "127.0.0.1", ProbeKind::Http, Some(3_000)), Ok(()), "{own}");
    }
}

#[test]
fn rules_of_the_file_go_before_the_built_in_ones() {
    let network = |text: &str| vec![text.parse::<Network>().unwrap()];
    let ping = |policy: &TargetPolicy, address| check(policy, address, address, ProbeKind::Ping, None);
    let mut policy = TargetPolicy { allow: network("169.254.10.0/24"), ..TargetPolicy::default() };
    assert_eq!(ping(&policy, "169.254.10.9"), Ok(()));
    assert_eq!(ping(&policy, "169.254.11.9"), Err("link-local".to_owned()));
    policy.deny = network("169.254.10.9");
    assert_eq!(ping(&policy, "169.254.10.9"), Err("169.254.10.9/32".to_owned()), "deny is the last word");
    policy = TargetPolicy { only: network("10.1.0.0/16"), ..TargetPolicy::default() };
    assert_eq!(ping(&policy, "10.1.200.3"), Ok(()));
    assert_eq!(ping(&policy, "10.2.0.1"), Err("only".to_owned()));
    assert_eq!(ping(&policy, "127.0.0.1"), Err("only".to_owned()));
    assert_eq!(ping(&policy, "2001:db8::1"), Err("only".to_owned()));
    assert_eq!(ping(&TargetPolicy::default(), "fe80::1"), Err("link-local".to_owned()));
    let router = check(&TargetPolicy::default(), "fe80::1%eth0", "fe80::1", ProbeKind::Ping, None);
    assert_eq!(router, Ok(()), "the router's own address, its interface named");
    let asked = check(&TargetPolicy::default(), "fe80::1%eth0", "fe80::1", ProbeKind::Tcp, Some(22));
    assert_eq!(asked, Err("link-local".to_owned()));
}

#[test]
fn ports_are_those_that_are_allowed() {
    let at = |policy: &TargetPolicy, probe, port| check(policy, "x.example", "192.0.2.1", probe, Some(port));
    let mut policy = TargetPolicy::default();
    assert_eq!(at(&policy, ProbeKind::Tcp, 25), Ok(()), "a connection that says nothing");
    assert_eq!(at(&policy, ProbeKind::Http, 25), Err("not-http".to_owned()));
    assert_eq!(at(&policy, ProbeKind::Http, 8_443), Ok(()));
    policy.deny_ports = vec![8_000..=8_999];
    assert_eq!(at(&policy, ProbeKind::Http, 8_443), Err("8000-8999".to_owned()));
    policy = TargetPolicy { ports: vec![443..=443, 25..=25], ..TargetPolicy::default() };
    assert_eq!(at(&policy, ProbeKind::Tcp, 80), Err("ports".to_owned()));
    assert_eq!((at(&policy, ProbeKind::Tcp, 443), at(&policy, ProbeKind::Http, 25)), (Ok(()), Ok(())));
    policy = TargetPolicy { own: vec!["[::]:8080".parse().unwrap()], ..TargetPolicy::default() };
    let own = |host, port| check(&policy, host, host, ProbeKind::Http, Some(port));
    assert_eq!(own("127.0.0.1", 8_080), Err("own-listener".to_owned()));
    assert_eq!((own("127.0.0.1", 8_081), own("192.0.2.1", 8_080)), (Ok(()), Ok(())));
}

#[test]
fn networks_are_read_strictly() {
    for (text, shown) in [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("192.0.2.1", "192.0.2.1/32"),
        ("fd00::/8", "fd00::/8"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("::/0", "::/0"),
    ] {
        assert_eq!(text.parse::<Network>().unwrap().to_string(), shown);
    }
    for text in ["", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/+8", "::/129", "10.0.0/8", "x/8", "10.0.0.0/8/8"] {
        assert!(text.parse::<Network>().unwrap_err().contains("not a network"), "{text}");
    }
    assert!("10.0.0.5/8".parse::<Network>().unwrap_err().contains("10.0.0.0/8"));
    let all: Network = "0.0.0.0/0".parse().unwrap();
    assert!(all.holds("255.1.2.3".parse().unwrap()) && !all.holds("::1".parse().unwrap()));
}

#[test]
fn what_is_denied_is_not_saved() {
    let mut world = World::default();
    let no = world.run(Command::AddDestination(common::destination("meta", "169.254.169.254"))).unwrap_err();
    assert_eq!((no.kind, no.field.as_deref()), (RejectionKind::Denied, Some("host")));
    assert!(no.message.contains("rule metadata") && no.hint.unwrap().contains("targets"), "{}", no.message);
    world.run(Command::AddDestination(common::destination("web", "192.0.2.1"))).unwrap();
    let id = world.state.destination_by_name("web").unwrap().id;
    let job = common::job("smtp by http");
    let mut spec = JobSpec { destinations: vec![id], destination_tags: Vec::new(), metrics: vec![Metric::Http], ..job };
    spec.options.http.port = Some(25);
    let no = world.run(Command::AddJob(spec.clone())).unwrap_err();
    assert_eq!((no.kind, no.field.as_deref()), (RejectionKind::Denied, Some("options.http.port")));
    spec.options.http.port = Some(443);
    world.run(Command::AddJob(spec.clone())).unwrap();
    spec.name = "asks the metadata service".into();
    spec.metrics = vec![Metric::Dns];
    spec.options.dns.name = Some("x.example".into());
    spec.options.dns.server = Some("169.254.169.254:53".into());
    let no = world.run(Command::AddJob(spec)).unwrap_err();
    assert_eq!((no.kind, no.field.as_deref()), (RejectionKind::Denied, Some("options.dns.server")));
}

#[test]
fn what_the_policy_denies_since_can_still_be_renamed() {
    let mut world = World::default();
    world.run(Command::AddDestination(common::destination("web", "192.0.2.1"))).unwrap();
    let mut targets = TargetPolicy::default();
    targets.deny.push("192.0.2.0/24".parse().unwrap());
    world.policy = Policy { targets, ..Policy::default() };
    let id = world.state.destination_by_name("web").unwrap().id;
    let events =
        world.run(Command::ChangeDestination { id, spec: common::destination("old web", "192.0.2.1") }).unwrap();
    assert!(matches!(&events[..], [Event::DestinationChanged(_)]));
    let no =
        world.run(Command::ChangeDestination { id, spec: common::destination("old web", "192.0.2.2") }).unwrap_err();
    assert_eq!(no.kind, RejectionKind::Denied);
}
