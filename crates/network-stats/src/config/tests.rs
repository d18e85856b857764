use std::path::Path;

use netstats_event::{ManagedBy, Metric};

use super::*;

fn complaint(text: &str) -> String {
    complaint_about(text.as_bytes())
}

fn complaint_about(bytes: &[u8]) -> String {
    parse(Path::new("x.ron"), bytes).expect_err("it should be refused").to_string()
}

pub(super) fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

#[test]
fn the_default_file_is_right_and_measures_this_machine_only() {
    let config = load(&root().join("config/network-stats.ron")).unwrap_or_else(|problem| panic!("{problem}"));
    let (desired, left_out) = config.desired(Some([192, 168, 1, 1].into()));
    assert!(desired.destinations.is_empty() && desired.jobs.is_empty() && left_out.is_empty());
    let starter = desired.starter.unwrap();
    assert_eq!(starter.destinations.len(), 5);
    for spec in &starter.destinations {
        let is_local = ["127.0.0.1", "::1"].contains(&spec.host.as_str());
        assert_eq!(spec.paused, !is_local, "{}", spec.name);
        assert_eq!(spec.managed_by, ManagedBy::User);
    }
    let [this_machine, internet] = &starter.jobs[..] else { panic!("two jobs") };
    assert!(this_machine.spec.enabled && !internet.spec.enabled);
    assert_eq!(this_machine.spec.metrics, [Metric::Ping, Metric::PacketLoss, Metric::Jitter]);
    assert_eq!(this_machine.destinations, ["localhost-v4", "localhost-v6"]);
}

#[test]
fn without_a_gateway_its_entry_is_left_out_and_named() {
    let config = built_in().unwrap();
    let (desired, left_out) = config.desired(None);
    assert_eq!(left_out, ["gateway"]);
    assert!(desired.starter.unwrap().destinations.iter().all(|spec| spec.name != "gateway"));
    let text = "(starter: (destinations: [(name: \"g\", host_from: default_gateway)], \
                jobs: [(name: \"j\", interval: \"1m\", metrics: [ping], destinations: [\"g\"])]))";
    let (desired, _) = parse(Path::new("x"), text.as_bytes()).unwrap().desired(None);
    assert!(desired.starter.unwrap().jobs.is_empty(), "a job without destinations is no job");
    let managed = "(destinations: [(name: \"g\", host_from: default_gateway)])";
    assert!(complaint(managed).starts_with("x.ron:1:40: `host_from` is for `starter`"), "{}", complaint(managed));
}

#[test]
fn every_example_is_right() {
    let mut count = 0;
    for entry in std::fs::read_dir(root().join("config/examples")).unwrap() {
        let path = entry.unwrap().path();
        load(&path).unwrap_or_else(|problem| panic!("{problem}"));
        count += 1;
    }
    assert!(count >= 4, "{count} examples");
}

#[test]
fn an_empty_struct_is_a_config() {
    let config = parse(Path::new("x.ron"), b"()").unwrap();
    let (desired, _) = config.desired(None);
    assert!(desired.starter.is_none() && desired.jobs.is_empty() && desired.destinations.is_empty());
    assert_eq!(config.policy, Policy::default());
    assert_eq!(config.summary(), "0 destinations, 0 jobs");
}

#[test]
fn an_unknown_key_is_named_with_the_nearest() {
    let said = complaint("(\n    limits: (\n        min_intervall_s: 5,\n    ),\n)");
    assert!(said.starts_with("x.ron:3:9: there is no key `min_intervall_s` here\n"), "{said}");
    assert!(said.contains("\n     3 |         min_intervall_s: 5,\n       |         ^\n"), "{said}");
    assert!(said.contains("= did you mean `min_interval_s`?"), "{said}");
}

#[test]
fn an_unknown_word_is_named_with_the_nearest() {
    let said = complaint("(jobs: [(name: \"j\", interval: \"1m\", metrics: [pong])])");
    assert!(said.starts_with("x.ron:1:47: `pong` is not known here\n"), "{said}");
    assert!(said.contains("= did you mean `ping`?"), "{said}");
    let said = complaint("(jobs: [(name: \"j\", interval: \"1m\", metrics: [\"ping\"])])");
    assert!(said.starts_with("x.ron:1:47: a word without quotes"), "{said}");
}

#[test]
fn a_wrong_unit_points_at_the_value() {
    let said = complaint("(\n  jobs: [\n    (name: \"j\", interval: \"5min\", metrics: [ping]),\n  ],\n)");
    assert!(said.starts_with("x.ron:3:27: \"5min\" is not a duration"), "{said}");
    assert!(said.contains("did you mean `m`?"), "{said}");
    let said = complaint("(jobs: [(name: \"j\", interval: 300, metrics: [ping])])");
    assert!(said.starts_with("x.ron:1:31: text in double quotes is expected"), "{said}");
}

#[test]
fn a_name_used_twice_points_at_the_second() {
    let said = complaint("(destinations: [\n(name: \"a\", host: \"::1\"),\n(name: \"A\", host: \"::1\"),\n])");
    assert!(said.starts_with("x.ron:3:8: \"A\" is the name of destinations[0] too"), "{said}");
    let said = complaint(
        "(destinations: [(name: \"a\", host: \"::1\")], starter: (destinations: [(name: \"a\", host: \"::1\")]))",
    );
    assert!(said.starts_with("x.ron:1:76: there is a destination named \"a\" already"), "{said}");
    let said = complaint("(destinations: [(name: \"a\", name: \"b\", host: \"::1\")])");
    assert!(said.starts_with("x.ron:1:29: the key `name` is here twice"), "{said}");
}

#[test]
fn a_job_of_an_undeclared_destination_is_refused_with_the_nearest() {
    let said = complaint(
        "(destinations: [(name: \"router\", host: \"::1\")],\n jobs: [(name: \"j\", interval: \"1m\", metrics: [ping], destinations: [\"ruoter\"])])",
    );
    assert!(said.starts_with("x.ron:2:69: no destination \"ruoter\" is declared"), "{said}");
    assert!(said.contains("did you mean \"router\"?"), "{said}");
}

#[test]
fn a_job_that_names_no_destination_is_refused_with_its_place() {
    let said = complaint("(\n    jobs: [(name: \"j\", interval: \"1m\", metrics: [ping])],\n)");
    assert!(said.starts_with("x.ron:2:12: "), "{said}");
    assert!(said.contains("destination"), "{said}");
}

#[test]
fn the_interval_floor_names_the_limit() {
    let text = "(jobs: [(name: \"j\", interval: \"59s\", metrics: [ping], destination_tags: [\"t\"])])";
    assert!(complaint(text).contains("x.ron:1:31: 59 s is below the floor of 60 s"), "{}", complaint(text));
    let lowered = text.replace("(jobs", "(limits: (min_interval_s: 1), jobs");
    assert_eq!(parse(Path::new("x"), lowered.as_bytes()).unwrap().desired(None).0.jobs[0].spec.interval_s, 59);
    assert!(complaint("(limits: (min_interval_s: 0))").contains("x.ron:1:27: 0 is out of range"));
    assert!(complaint(&text.replace("59s", "90500ms")).contains("whole number of seconds"));
}

#[test]
fn syntax_errors_have_their_place() {
    for (text, place) in [
        ("", "x.ron:1:1: "),
        ("(", "x.ron:1:2: the file ends too early"),
        ("(\n server: (listen: \"localhost:1\")\n limits: ())", "x.ron:3:2: expected comma"),
        ("()\n)", "x.ron:2:1: nothing may follow"),
        ("(log_level: info)", "x.ron:1:13: text in double quotes is expected"),
        ("(server: (listen: \"0.0.0.0:80\"))", "x.ron:1:19: 0.0.0.0 can be reached by other machines"),
        ("(log_level: \"loud\")", "x.ron:1:13: \"loud\" is not a log level"),
        ("(destinations: [(name: \"a\")])", "x.ron:1:17: destination \"a\" has no `host`"),
        ("(destinations: [(host: \"::1\")])", "the key `name` is missing"),
        ("(destinations: [(name: \"a\", host: \"::1\", port: 65536)])", "too large"),
        ("(destinations: [(name: \"a\", host: \"::1\", port: -1)])", "x.ron:1:48: "),
    ] {
        let said = complaint(text);
        assert!(said.contains(place), "{text}: {said}");
    }
}

#[test]
fn times_need_a_zone_and_hours_a_shape() {
    let job = |more: &str| {
        format!("(jobs: [(name: \"j\", interval: \"1m\", metrics: [ping], destination_tags: [\"t\"], {more})])")
    };
    assert!(complaint(&job("start_time: \"2026-12-01T00:00:00\"")).contains("RFC 3339"));
    let hours = |zone: &str, span: &str| job(&format!("active_hours: (time_zone: \"{zone}\", spans: [{span}])"));
    let good = "(days: [mon], from: \"22:00\", to: \"06:00\")";
    parse(Path::new("x"), hours("Europe/Berlin", good).as_bytes()).unwrap();
    assert!(complaint(&hours("Berlin", good)).contains("there is no time zone"));
    assert!(complaint(&hours("UTC", "(days: [mon], from: \"8\", to: \"9:00\")")).contains("not a time of day"));
    assert!(complaint(&hours("UTC", "(days: [mon], from: \"24:00\", to: \"09:00\")")).contains("\"23:59\""));
    assert!(complaint(&hours("UTC", "(days: [], from: \"08:00\", to: \"09:00\")")).contains("at least one day"));
    assert!(complaint(&hours("UTC", "")).contains("it is never open"));
}

#[test]
fn windows_line_ends_and_a_byte_order_mark_are_fine() {
    let text = "\u{feff}(\r\n    limits: (\r\n        min_interval_s: 5,\r\n    ),\r\n)\r\n";
    assert_eq!(parse(Path::new("x"), text.as_bytes()).unwrap().policy.min_interval_s, 5);
    let said = complaint(&text.replace("min_interval_s", "min_interval"));
    assert!(said.starts_with("x.ron:3:9: ") && !said.contains('\r'), "{said}");
}

#[test]
fn utf_16_is_recognised() {
    let utf16: Vec<u8> = "\u{feff}()".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(complaint_about(&utf16).contains("UTF-16"));
    let without_mark: Vec<u8> = "()  ".encode_utf16().flat_map(u16::to_be_bytes).collect();
    assert!(complaint_about(&without_mark).contains("UTF-16"));
}

#[test]
fn bytes_that_are_no_text_are_placed() {
    let said = complaint_about(b"(\n  log_level: \"inf\xffo\")");
    assert!(said.starts_with("x.ron:2:18: the file is not UTF-8"), "{said}");
}

#[test]
fn a_file_over_the_limit_is_refused() {
    let padded = |bytes: usize| format!("(){}", " ".repeat(bytes - 2));
    assert!(parse(Path::new("x"), padded(MAX_FILE_BYTES).as_bytes()).is_ok());
    assert!(complaint(&padded(MAX_FILE_BYTES + 1)).contains("may have 1048576"));
}

#[test]
fn a_depth_bomb_is_refused() {
    for text in ["(".repeat(100_000), format!("(jobs: {}", "[".repeat(100_000)), format!("(x: {}", "(a:".repeat(5_000))]
    {
        complaint(&text);
    }
}

#[test]
fn any_cut_of_the_default_file_is_refused_without_a_panic() {
    let text = std::fs::read_to_string(root().join("config/network-stats.ron")).unwrap();
    let end = text.trim_end().len();
    for cut in (0..end).step_by(7).filter(|cut| text.is_char_boundary(*cut)) {
        assert!(complaint(&text[..cut]).starts_with("x.ron:"), "cut at {cut}");
    }
}

#[test]
fn a_missing_file_says_what_to_do() {
    let said = load(Path::new("nowhere/x.ron")).unwrap_err().to_string();
    assert!(said.contains("--config FILE"), "{said}");
}
