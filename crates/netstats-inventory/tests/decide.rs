//! Commands and their answers, one by one.

mod common;

use common::{World, destination, job};
use netstats_event::{
    DestinationId, DestinationSpec, DnsTransport, Event, JobId, JobSpec, ManagedBy, Meta, Metric, Timestamp,
    WeeklyHours, WeeklySpan,
};
use netstats_inventory::{
    Command, DesiredJob, DesiredState, JobState, Policy, Rejection, RejectionKind, Starter, job_status,
};

const D1: DestinationId = DestinationId(1);
const D2: DestinationId = DestinationId(2);
const J1: JobId = JobId(1);

/// Two destinations, `router` and `web`, and a job `line` on the first.
fn world() -> World {
    let mut world = World::default();
    world.run(Command::AddDestination(destination("router", "192.0.2.1"))).unwrap();
    world.run(Command::AddDestination(destination("web", "www.example.com"))).unwrap();
    world.run(Command::AddJob(JobSpec { destinations: vec![D1], ..job("line") })).unwrap();
    world
}

fn names(events: &[Event]) -> Vec<&'static str> {
    events.iter().map(Event::name).collect()
}

fn no(world: &mut World, command: Command) -> Rejection {
    world.run(command).expect_err("it is refused")
}

fn declared(spec: JobSpec, destinations: &[&str]) -> DesiredJob {
    DesiredJob { spec, destinations: destinations.iter().map(|name| (*name).to_owned()).collect() }
}

fn file(digest: u8, destinations: Vec<DestinationSpec>, jobs: Vec<DesiredJob>) -> DesiredState {
    DesiredState { digest: [digest; 32], destinations, jobs, starter: None }
}

#[test]
fn ids_are_given_in_order_and_never_twice() {
    let mut world = world();
    world.run(Command::RemoveDestination { id: D2 }).unwrap();
    let events = world.run(Command::AddDestination(destination("web", "www.example.com"))).unwrap();
    assert!(matches!(&events[..], [Event::DestinationAdded(e)] if e.id == DestinationId(3)));
}

#[test]
fn an_id_or_a_name_of_any_case_finds_an_entry() {
    let world = world();
    for text in ["1", "router", "ROUTER", "Router"] {
        assert_eq!(world.state.find_destination(text).unwrap().id, D1, "{text}");
    }
    for text in ["", "3", "0", "99999999999999999999", "rooter", "1 "] {
        assert!(world.state.find_destination(text).is_none(), "{text:?}");
    }
    assert_eq!(world.state.find_job("LINE").unwrap().id, J1);
    let no = world.state.resolve_destination("ruter").unwrap_err();
    assert_eq!((no.kind, no.hint.as_deref()), (RejectionKind::NotFound, Some("did you mean \"router\"?")));
    assert_eq!(world.state.resolve_job("lin").unwrap_err().hint.as_deref(), Some("did you mean \"line\"?"));
    assert_eq!(world.state.resolve_destinations(&["web".into(), "1".into()]), Ok(vec![D2, D1]));
    let no = world.state.resolve_destinations(&["web".into(), "wep".into()]).unwrap_err();
    assert_eq!((no.kind, no.field.as_deref()), (RejectionKind::Invalid, Some("destinations[1]")));
}

#[test]
fn a_name_is_taken_whatever_its_case() {
    let mut world = world();
    let refused = [
        Command::AddDestination(destination("ROUTER", "192.0.2.9")),
        Command::ChangeDestination { id: D2, spec: destination("Router", "192.0.2.9") },
        Command::AddJob(job("Line")),
    ];
    for command in refused {
        let no = no(&mut world, command);
        assert_eq!((no.kind, no.field.as_deref()), (RejectionKind::Conflict, Some("name")), "{no}");
    }
    let renamed = world.run(Command::ChangeDestination { id: D1, spec: destination("ROUTER", "192.0.2.1") }).unwrap();
    assert_eq!(names(&renamed), ["destination_changed"], "its own name may change its case");
}

#[test]
fn nothing_to_change_is_no_event() {
    let mut world = world();
    let same = world.state.destinations[&D1].spec.clone();
    assert!(world.run(Command::ChangeDestination { id: D1, spec: same }).unwrap().is_empty());
    let same = world.state.jobs[&J1].spec.clone();
    assert!(world.run(Command::ChangeJob { id: J1, spec: same }).unwrap().is_empty());
    assert!(world.run(Command::StartJob { id: J1 }).unwrap().is_empty());
    assert_eq!(names(&world.run(Command::StopJob { id: J1 }).unwrap()), ["job_stopped"]);
    assert!(world.run(Command::StopJob { id: J1 }).unwrap().is_empty());
    assert_eq!(names(&world.run(Command::StartJob { id: J1 }).unwrap()), ["job_started"]);
}

#[test]
fn what_is_not_there_is_not_found() {
    let mut world = world();
    let (d, j) = (DestinationId(9), JobId(9));
    let commands = [
        Command::ChangeDestination { id: d, spec: destination("x", "192.0.2.1") },
        Command::RemoveDestination { id: d },
        Command::ChangeJob { id: j, spec: job("x") },
        Command::RemoveJob { id: j },
        Command::StartJob { id: j },
        Command::StopJob { id: j },
    ];
    for command in commands {
        let no = no(&mut world, command);
        assert!(no.kind == RejectionKind::NotFound && no.message.contains('9'), "{no}");
    }
}

#[test]
fn a_removed_destination_leaves_its_jobs_first() {
    let mut world = world();
    let events = world.run(Command::RemoveDestination { id: D1 }).unwrap();
    assert_eq!(names(&events), ["job_changed", "destination_removed"]);
    assert_eq!(events[0].meta().unwrap().reason.as_deref(), Some("its destination \"router\" was removed"));
    assert!(world.state.jobs[&J1].spec.destinations.is_empty());
}

#[test]
fn a_destination_joins_the_jobs_of_its_tags_at_once() {
    let mut world = world();
    assert_eq!(world.state.members(&world.state.jobs[&J1]), [D1]);
    let tagged =
        DestinationSpec { tags: vec![" LAN ".into(), "lan".into(), "a".into()], ..destination("nas", "192.0.2.7") };
    world.run(Command::AddDestination(tagged)).unwrap();
    let nas = world.state.find_destination("nas").unwrap();
    assert_eq!(nas.spec.tags, ["a", "lan"], "tags are in lower case, sorted, without repeats");
    assert_eq!(world.state.members(&world.state.jobs[&J1]), [D1, nas.id]);
    assert_eq!(world.state.jobs_of(nas), [J1]);
}

#[test]
fn texts_are_trimmed_and_empty_ones_are_none() {
    let mut world = World::default();
    let spec = DestinationSpec {
        display_name: Some("  ".into()),
        description: Some(" two\nlines ".into()),
        managed_by: ManagedBy::Config,
        ..destination("  Küche  ", " WWW.Example.COM. ")
    };
    world.run(Command::AddDestination(spec)).unwrap();
    let spec = &world.state.find_destination("küche").unwrap().spec;
    assert_eq!((spec.name.as_str(), spec.host.as_str()), ("Küche", "www.example.com"));
    assert_eq!((&spec.display_name, spec.description.as_deref()), (&None, Some("two\nlines")));
    assert_eq!(spec.managed_by, ManagedBy::User, "a door cannot make an entry the file's");
}

#[test]
fn a_bad_destination_is_refused_naming_the_field() {
    let base = || destination("d", "192.0.2.1");
    let cases: Vec<(&str, DestinationSpec)> = vec![
        ("name", destination("", "192.0.2.1")),
        ("name", destination("   ", "192.0.2.1")),
        ("name", destination("12", "192.0.2.1")),
        ("name", destination("١٢", "192.0.2.1")),
        ("name", destination("..", "192.0.2.1")),
        ("name", destination("a/b", "192.0.2.1")),
        ("name", destination("a,b", "192.0.2.1")),
        ("name", destination("a%2fb", "192.0.2.1")),
        ("name", destination("a\0b", "192.0.2.1")),
        ("name", destination("a\r\nb", "192.0.2.1")),
        ("name", destination("a\u{202e}b", "192.0.2.1")),
        ("name", destination("a\u{200b}b", "192.0.2.1")),
        ("name", destination(&"x".repeat(129), "192.0.2.1")),
        ("host", destination("d", "0x7f.1")),
        ("host", destination("d", "")),
        ("port", DestinationSpec { port: Some(0), ..base() }),
        ("display_name", DestinationSpec { display_name: Some("x".repeat(129)), ..base() }),
        ("display_name", DestinationSpec { display_name: Some("a\nb".into()), ..base() }),
        ("description", DestinationSpec { description: Some("x".repeat(4_097)), ..base() }),
        ("description", DestinationSpec { description: Some("a\u{1b}[2Jb".into()), ..base() }),
        ("tags", DestinationSpec { tags: vec![String::new()], ..base() }),
        ("tags", DestinationSpec { tags: vec!["a,b".into()], ..base() }),
        ("tags", DestinationSpec { tags: vec!["x".repeat(129)], ..base() }),
        ("tags", DestinationSpec { tags: (0..65).map(|i| i.to_string()).collect(), ..base() }),
    ];
    let mut world = World::default();
    for (field, spec) in cases {
        let no = no(&mut world, Command::AddDestination(spec.clone()));
        assert_eq!((no.kind, no.field.as_deref()), (RejectionKind::Invalid, Some(field)), "{spec:?}: {no}");
    }
    let fits = DestinationSpec {
        display_name: Some("é".repeat(128)),
        description: Some("é".repeat(4_096)),
        tags: (0..64)
            .map(|i| format!("{i}{}", "x".repeat(126 - i / 10)))
            .map(|tag| tag[..tag.len().min(128)].to_owned())
            .collect(),
        port: Some(65_535),
        ..destination(&"é".repeat(128), "192.0.2.1")
    };
    let events = world.run(Command::AddDestination(fits)).unwrap();
    netstats_event::encode(&events[0], Timestamp::default()).expect("what is accepted can be recorded");
}

type Edit = fn(&mut JobSpec);

#[test]
fn a_bad_job_is_refused_naming_the_field() {
    let cases: &[(&str, Edit)] = &[
        ("name", |job| job.name = "7".into()),
        ("interval_s", |job| job.interval_s = 0),
        ("interval_s", |job| job.interval_s = 59),
        ("interval_s", |job| job.interval_s = 7 * 86_400 + 1),
        ("metrics", |job| job.metrics.clear()),
        ("destinations", |job| job.destination_tags.clear()),
        ("destinations", |job| job.destinations = vec![DestinationId(99)]),
        ("destination_tags", |job| job.destination_tags = vec![" ".into()]),
        ("end_time", |job| {
            (job.start_time, job.end_time) = (Some(Timestamp::from_secs(5)), Some(Timestamp::from_secs(5)))
        }),
        ("active_hours.time_zone", |job| hours(job, "Europe/Berln", &[(0, 480, 1_080)])),
        ("active_hours.time_zone", |job| hours(job, "", &[(0, 480, 1_080)])),
        ("active_hours.spans", |job| hours(job, "UTC", &[])),
        ("active_hours.spans", |job| {
            hours(job, "UTC", &(0..129).map(|i| (i % 7, u16::from(i), 600)).collect::<Vec<_>>())
        }),
        ("active_hours.spans.day", |job| hours(job, "UTC", &[(7, 0, 10)])),
        ("active_hours.spans.from", |job| hours(job, "UTC", &[(0, 1_440, 10)])),
        ("active_hours.spans.to", |job| hours(job, "UTC", &[(0, 0, 1_441)])),
        ("active_hours.spans.to", |job| hours(job, "UTC", &[(0, 0, 0)])),
        ("active_hours", |job| {
            // 5 January 2026 is a Monday.
            hours(job, "UTC", &[(1, 0, 600)]);
            (job.start_time, job.end_time) =
                (Some(Timestamp::from_secs(1_767_571_200)), Some(Timestamp::from_secs(1_767_571_260)));
        }),
        ("packets", |job| job.options.ping.packets = 0),
        ("packets", |job| job.options.ping.packets = 1_001),
        ("spacing_ms", |job| job.options.ping.spacing_ms = 9),
        ("spacing_ms", |job| job.options.ping.spacing_ms = 60_001),
        ("timeout_ms", |job| job.options.ping.timeout_ms = 9),
        ("timeout_ms", |job| job.options.ping.timeout_ms = 60_001),
        ("options.ping.payload_bytes", |job| job.options.ping.payload_bytes = 15),
        ("options.ping.payload_bytes", |job| job.options.ping.payload_bytes = 65_508),
        ("options.ping.dscp", |job| job.options.ping.dscp = Some(64)),
        ("options.ping.source", |job| job.options.ping.source = Some("eth0; reboot".into())),
        ("options.traceroute.max_hops", |job| job.options.traceroute.max_hops = 65),
        ("options.traceroute.probes_per_hop", |job| job.options.traceroute.probes_per_hop = 11),
        ("options.traceroute.timeout_ms", |job| job.options.traceroute.timeout_ms = 0),
        ("options.traceroute.port", |job| job.options.traceroute.port = Some(0)),
        ("options.dns.name", |job| job.options.dns.name = Some("a..b".into())),
        ("options.dns.name", |job| job.options.dns.name = Some("a b".into())),
        ("options.dns.server", |job| job.options.dns.server = Some("127.1".into())),
        ("options.dns.server", |job| job.options.dns.server = Some("192.0.2.53:0".into())),
        ("options.dns.server", |job| job.options.dns.server = Some("192.0.2.53:65536".into())),
        ("options.dns.server", |job| {
            (job.options.dns.server, job.options.dns.transport) = (Some("192.0.2.53".into()), DnsTransport::System);
        }),
        ("options.dns.record_types", |job| job.options.dns.record_types = vec![]),
        ("options.dns.record_types", |job| job.options.dns.record_types = vec!["AAAAA".into()]),
        ("options.dns.expect_rcodes", |job| job.options.dns.expect_rcodes = vec!["NXDOMAN".into()]),
        ("options.dns.expect_answers", |job| job.options.dns.expect_answers = vec!["x".into(); 17]),
        ("options.dns.expect_answers", |job| job.options.dns.expect_answers = vec![String::new()]),
        ("options.dns.timeout_ms", |job| job.options.dns.timeout_ms = 60_001),
        ("options.bandwidth.duration_s", |job| job.options.bandwidth.duration_s = 1),
        ("options.bandwidth.duration_s", |job| job.options.bandwidth.duration_s = 61),
        ("options.bandwidth.streams", |job| job.options.bandwidth.streams = 0),
        ("options.bandwidth.streams", |job| job.options.bandwidth.streams = 33),
        ("options.bandwidth.max_run_bytes", |job| job.options.bandwidth.max_run_bytes = 0),
        ("options.bandwidth.port", |job| job.options.bandwidth.port = Some(0)),
        ("options.tcp.port", |job| job.options.tcp.port = Some(0)),
        ("options.tcp.timeout_ms", |job| job.options.tcp.timeout_ms = 0),
        ("options.http.path", |job| job.options.http.path = "x".into()),
        ("options.http.path", |job| job.options.http.path = "/a b".into()),
        ("options.http.path", |job| job.options.http.path = "/\r\nHost: x".into()),
        ("options.http.path", |job| job.options.http.path = format!("/{}", "x".repeat(2_048))),
        ("options.http.method", |job| job.options.http.method = "POST".into()),
        ("options.http.expect_status", |job| job.options.http.expect_status = vec![200, 600]),
        ("options.http.expect_status", |job| job.options.http.expect_status = (100..165).collect()),
        ("options.http.expect_body", |job| job.options.http.expect_body = Some("x".repeat(1_025))),
        ("options.http.expect_body", |job| {
            (job.options.http.expect_body, job.options.http.method) = (Some("x".into()), "head".into());
        }),
        ("options.http.max_redirects", |job| job.options.http.max_redirects = 6),
        ("options.http.timeout_ms", |job| job.options.http.timeout_ms = 60_001),
        ("interval_s", |job| (job.options.ping.packets, job.options.ping.spacing_ms) = (60, 1_000)),
        ("interval_s", |job| {
            (job.metrics, job.options.http.timeout_ms) = (vec![Metric::Http], 60_000);
        }),
        ("interval_s", |job| (job.metrics, job.options.bandwidth.duration_s) = (vec![Metric::Bandwidth], 30)),
    ];
    let mut world = world();
    for (i, (field, edit)) in cases.iter().enumerate() {
        let mut spec = job("new");
        edit(&mut spec);
        let no = no(&mut world, Command::AddJob(spec));
        assert_eq!((no.kind, no.field.as_deref()), (RejectionKind::Invalid, Some(*field)), "case {i}: {no}");
    }
}

fn hours(job: &mut JobSpec, zone: &str, spans: &[(u8, u16, u16)]) {
    let spans = spans.iter().map(|&(weekday, from_minute, to_minute)| WeeklySpan { weekday, from_minute, to_minute });
    job.active_hours = Some(WeeklyHours { time_zone: zone.to_owned(), spans: spans.collect() });
}

#[test]
fn the_edges_of_every_range_are_accepted() {
    let cases: &[Edit] = &[
        |job| job.interval_s = 60,
        |job| job.interval_s = 7 * 86_400,
        |job| hours(job, "europe/berlin", &[(6, 1_439, 1_440), (0, 0, 1)]),
        |job| (job.options.ping.packets, job.options.ping.spacing_ms) = (1_000, 50),
        |job| (job.options.ping.packets, job.options.ping.timeout_ms, job.interval_s) = (1, 60_000, 61),
        |job| job.options.ping.payload_bytes = 16,
        |job| job.options.ping.payload_bytes = 65_507,
        |job| job.options.ping.dscp = Some(63),
        |job| job.options.dns.server = Some("[2001:db8::53]:5353".into()),
        |job| job.options.dns.name = Some("_sip._tcp.example.com.".into()),
        |job| job.options.bandwidth.duration_s = 60,
        |job| job.options.http.timeout_ms = 60_000,
        // 59 gaps of a second and two for the last packet: 61 s.
        |job| (job.options.ping.packets, job.options.ping.spacing_ms, job.interval_s) = (60, 1_000, 62),
    ];
    let mut world = world();
    for (i, edit) in cases.iter().enumerate() {
        let mut spec = job(&format!("case {i}"));
        edit(&mut spec);
        let events = world.run(Command::AddJob(spec)).unwrap_or_else(|no| panic!("case {i}: {no}"));
        netstats_event::encode(&events[0], Timestamp::default()).unwrap();
    }
    let zone = &world.state.find_job("case 2").unwrap().spec.active_hours.as_ref().unwrap().time_zone;
    assert_eq!(zone, "Europe/Berlin", "zone names get their own spelling");
    assert_eq!(world.state.find_job("case 9").unwrap().spec.options.dns.name.as_deref(), Some("_sip._tcp.example.com"));
}

#[test]
fn the_interval_floor_is_the_operators() {
    let mut world = world();
    let no = no(&mut world, Command::AddJob(JobSpec { interval_s: 5, ..job("fast") }));
    assert_eq!(
        no.to_string(),
        "interval_s: 5 s is below the floor of 60 s (accepted: 60 to 604800 s); `limits.min_interval_s` in the config \
         file sets the floor, down to 1 s"
    );
    world.policy.min_interval_s = 1;
    world.run(Command::AddJob(JobSpec { interval_s: 5, ..job("fast") })).unwrap();
    world.policy.min_interval_s = 0;
    let zero = world.run(Command::AddJob(JobSpec { interval_s: 0, ..job("zero") }));
    assert_eq!(zero.unwrap_err().accepted.as_deref(), Some("1 to 604800 s"), "there is a floor under the floor");
}

#[test]
fn hints_name_the_nearest() {
    let mut world = world();
    let mut spec = job("new");
    hours(&mut spec, "Europe/Berln", &[(0, 0, 10)]);
    assert_eq!(no(&mut world, Command::AddJob(spec)).hint.as_deref(), Some("did you mean \"Europe/Berlin\"?"));
    let mut spec = job("new");
    spec.options.dns.expect_rcodes = vec!["nxdoman".into()];
    assert_eq!(no(&mut world, Command::AddJob(spec)).hint.as_deref(), Some("did you mean \"NXDOMAIN\"?"));
}

#[test]
fn tcp_needs_a_port_from_somewhere() {
    let mut world = world();
    let tcp = |destinations: &[DestinationId]| JobSpec {
        metrics: vec![Metric::Tcp],
        destinations: destinations.to_vec(),
        destination_tags: vec![],
        ..job("tcp")
    };
    let no = no(&mut world, Command::AddJob(tcp(&[D1])));
    assert_eq!(no.field.as_deref(), Some("options.tcp.port"));
    let spec = DestinationSpec { port: Some(443), ..destination("web", "www.example.com") };
    world.run(Command::ChangeDestination { id: D2, spec }).unwrap();
    world.run(Command::AddJob(tcp(&[D1, D2]))).unwrap();
    let mut own = JobSpec { name: "own".into(), ..tcp(&[D1]) };
    own.options.tcp.port = Some(22);
    world.run(Command::AddJob(own)).unwrap();
    let later = JobSpec { name: "later".into(), destination_tags: vec!["later".into()], ..tcp(&[]) };
    world.run(Command::AddJob(later)).expect("a tag may yet match a destination with a port");
}

#[test]
fn there_are_only_so_many_entries() {
    let mut world = world();
    world.policy = Policy { max_destinations: 2, max_jobs: 1, ..Policy::default() };
    for command in [Command::AddDestination(destination("x", "192.0.2.3")), Command::AddJob(job("x"))] {
        let no = no(&mut world, command);
        assert_eq!(no.kind, RejectionKind::Conflict);
        assert!(no.hint.unwrap().contains("limits.max_"));
    }
}

#[test]
fn who_asks_must_fit_into_the_log() {
    let mut world = world();
    let stop = || Command::StopJob { id: J1 };
    for (field, actor, reason) in
        [("actor", String::new(), 0), ("actor", "x".repeat(129), 0), ("reason", "a".into(), 4_097)]
    {
        let meta = Meta { actor, reason: Some("x".repeat(reason)), command_id: None };
        assert_eq!(world.run_as(stop(), &meta).unwrap_err().field.as_deref(), Some(field));
    }
}

#[test]
fn a_job_says_since_when_and_why() {
    let mut world = world();
    let now = Timestamp::from_secs(1_767_300_000);
    let started = world.state.jobs[&J1].created_at;
    let status = job_status(&world.state, &world.state.jobs[&J1], now);
    assert_eq!((status.state, status.since, status.why.as_str()), (JobState::Running, started, "enabled by api:local"));
    assert!(status.next_run.unwrap() > now);
    let meta = Meta { reason: Some("too loud".into()), ..Meta::by("user:ann") };
    world.run_as(Command::StopJob { id: J1 }, &meta).unwrap();
    let job = &world.state.jobs[&J1];
    assert_eq!(
        (job.enabled_since, job.changed, job.enabled_changed),
        (None, world.state.position, world.state.position)
    );
    let status = job_status(&world.state, job, now);
    assert_eq!(
        (status.state.name(), status.why.as_str(), status.next_run),
        ("stopped", "not enabled by user:ann: too loud", None)
    );
    assert_eq!(status.since, job.updated_at);
    world.run(Command::StartJob { id: J1 }).unwrap();
    world.run(Command::RemoveDestination { id: D1 }).unwrap();
    let status = job_status(&world.state, &world.state.jobs[&J1], now);
    assert!(status.why.starts_with("it has no destination"), "{}", status.why);
}

#[test]
fn the_file_adds_changes_and_removes_what_it_manages() {
    let mut world = world();
    let a = || destination("a", "192.0.2.10");
    let b = || destination("b", "192.0.2.11");
    let on_a = || declared(JobSpec { destination_tags: vec![], ..job("file job") }, &["A"]);
    let events = world.run(Command::ApplyConfig(file(1, vec![a(), b()], vec![on_a()]))).unwrap();
    assert_eq!(names(&events), ["destination_added", "destination_added", "job_added", "config_applied"]);
    let a_id = world.state.find_destination("a").unwrap().id;
    assert_eq!(world.state.find_job("file job").unwrap().spec.destinations, [a_id]);
    assert_eq!(world.state.config_digest, Some([1; 32]));

    let again = Command::ApplyConfig(file(1, vec![b(), a()], vec![on_a()]));
    assert!(world.run(again).unwrap().is_empty(), "the same file, in another order, is nothing new");
    let events = world.run(Command::ApplyConfig(file(2, vec![a(), b()], vec![on_a()]))).unwrap();
    assert_eq!(names(&events), ["config_applied"], "another text that says the same");

    // The user's job holds on to `b`, which leaves the file; `a` moves.
    let b_id = world.state.find_destination("b").unwrap().id;
    world.run(Command::AddJob(JobSpec { destinations: vec![b_id, D1], ..job("mine") })).unwrap();
    let moved = vec![destination("a", "192.0.2.99")];
    let events = world.run(Command::ApplyConfig(file(3, moved, vec![]))).unwrap();
    let expected = ["job_removed", "destination_changed", "job_changed", "destination_removed", "config_applied"];
    assert_eq!(names(&events), expected);
    assert_eq!(world.state.find_job("mine").unwrap().spec.destinations, [D1]);
    assert_eq!(events[0].meta().unwrap().reason.as_deref(), Some("no longer in the config file"));
    assert_eq!(world.state.find_destination("a").unwrap().id, a_id, "a change keeps the id");
}

#[test]
fn what_the_file_manages_is_changed_only_there() {
    let mut world = World::default();
    let a = destination("a", "192.0.2.10");
    let job = declared(job("j"), &["a"]);
    world.run(Command::ApplyConfig(file(1, vec![a.clone()], vec![job.clone()]))).unwrap();
    let commands = [
        Command::ChangeDestination { id: D1, spec: a },
        Command::RemoveDestination { id: D1 },
        Command::ChangeJob { id: J1, spec: job.spec },
        Command::RemoveJob { id: J1 },
        Command::StartJob { id: J1 },
        Command::StopJob { id: J1 },
    ];
    for command in commands {
        let no = no(&mut world, command);
        assert_eq!(no.kind, RejectionKind::Conflict);
        assert!(no.hint.as_deref().unwrap().contains("in the config file"), "{no}");
    }
}

#[test]
fn the_file_takes_over_a_users_entry_of_the_same_name() {
    let mut world = world();
    let router = destination("Router", "192.0.2.1");
    let line = declared(JobSpec { destination_tags: vec![], ..job("LINE") }, &["router"]);
    let events = world.run_as(Command::ApplyConfig(file(1, vec![router], vec![line])), &Meta::by("config")).unwrap();
    assert_eq!(names(&events), ["destination_changed", "job_changed", "config_applied"]);
    for event in &events[..2] {
        assert!(event.meta().unwrap().reason.as_deref().unwrap().contains("taken over from the user"));
    }
    let (router, line) = (world.state.find_destination("router").unwrap(), world.state.find_job("line").unwrap());
    assert_eq!((router.id, router.spec.managed_by, line.spec.managed_by), (D1, ManagedBy::Config, ManagedBy::Config));
    let events = world.run(Command::ApplyConfig(file(2, vec![], vec![]))).unwrap();
    assert_eq!(names(&events), ["job_removed", "destination_removed", "config_applied"]);
    assert!(world.state.find_destination("web").is_some(), "the user's own stay");
}

#[test]
fn a_bad_file_changes_nothing_and_says_where() {
    let mut world = world();
    let a = || destination("a", "192.0.2.10");
    let before = world.state.clone();
    let cases: Vec<(&str, DesiredState)> = vec![
        ("destinations[1].host", file(1, vec![a(), destination("b", "127.1")], vec![])),
        ("destinations[1].name", file(1, vec![a(), destination("A", "192.0.2.11")], vec![])),
        ("destinations[0].name", file(1, vec![destination("17", "192.0.2.11")], vec![])),
        ("jobs[0].interval_s", file(1, vec![a()], vec![declared(JobSpec { interval_s: 1, ..job("j") }, &["a"])])),
        ("jobs[1].name", file(1, vec![], vec![declared(job("j"), &[]), declared(job("J"), &[])])),
        ("jobs[0].destinations[1]", file(1, vec![a()], vec![declared(job("j"), &["a", "aa"])])),
        // `router` is the user's: a file is right or wrong in itself.
        ("jobs[0].destinations[0]", file(1, vec![], vec![declared(job("j"), &["router"])])),
        (
            "starter.destinations[0].host",
            DesiredState {
                starter: Some(Starter { destinations: vec![destination("s", "")], jobs: vec![] }),
                ..file(1, vec![], vec![])
            },
        ),
        (
            "starter.destinations[0].name",
            DesiredState {
                starter: Some(Starter { destinations: vec![destination("A", "192.0.2.9")], jobs: vec![] }),
                ..file(1, vec![a()], vec![])
            },
        ),
        (
            "starter.jobs[0].destinations[0]",
            DesiredState {
                starter: Some(Starter { destinations: vec![], jobs: vec![declared(job("j"), &["x"])] }),
                ..file(1, vec![a()], vec![])
            },
        ),
    ];
    for (field, desired) in cases {
        let no = no(&mut world, Command::ApplyConfig(desired));
        assert_eq!(no.field.as_deref(), Some(field), "{no}");
    }
    assert_eq!(world.state, before);
}

#[test]
fn the_starter_is_appended_once_and_is_the_users() {
    let with_starter = |digest| DesiredState {
        starter: Some(Starter {
            destinations: vec![destination("s", "127.0.0.1")],
            jobs: vec![declared(job("sj"), &["s", "a"])],
        }),
        ..file(digest, vec![destination("a", "192.0.2.10")], vec![])
    };
    let mut world = World::default();
    let events = world.run_as(Command::ApplyConfig(with_starter(1)), &Meta::by("config")).unwrap();
    assert_eq!(names(&events), ["destination_added", "destination_added", "job_added", "config_applied"]);
    assert!(matches!(events.last(), Some(Event::ConfigApplied(e)) if e.starter));
    assert!(world.state.starter_applied);
    assert_eq!(world.state.find_destination("s").unwrap().spec.managed_by, ManagedBy::User);
    assert_eq!(world.state.find_job("sj").unwrap().spec.destinations.len(), 2);

    let s = world.state.find_destination("s").unwrap().id;
    world.run(Command::RemoveDestination { id: s }).unwrap();
    world.run(Command::RemoveJob { id: J1 }).unwrap();
    let events = world.run(Command::ApplyConfig(with_starter(2))).unwrap();
    assert_eq!(names(&events), ["config_applied"], "what the user removed does not come back");

    let mut used = World::default();
    used.run(Command::AddDestination(destination("x", "192.0.2.1"))).unwrap();
    used.run(Command::RemoveDestination { id: D1 }).unwrap();
    let events = used.run(Command::ApplyConfig(with_starter(1))).unwrap();
    assert_eq!(names(&events), ["destination_added", "config_applied"], "the log is not empty any more");
    assert!(!used.state.starter_applied);
}

#[test]
fn a_file_may_exchange_entries_at_the_limit() {
    let mut world =
        World { policy: Policy { max_destinations: 1, max_jobs: 1, ..Policy::default() }, ..World::default() };
    let one = |digest, name| file(digest, vec![destination(name, "192.0.2.1")], vec![declared(job(name), &[name])]);
    world.run(Command::ApplyConfig(one(1, "a"))).unwrap();
    world.run(Command::ApplyConfig(one(2, "b"))).unwrap();
    let two = file(3, vec![destination("b", "192.0.2.1"), destination("c", "192.0.2.1")], vec![]);
    let no = no(&mut world, Command::ApplyConfig(two));
    assert_eq!((no.kind, no.field.as_deref()), (RejectionKind::Conflict, Some("destinations")));
}
