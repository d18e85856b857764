//! `network-stats doctor` on machines in good and in bad states.
#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "tests keep time and may say SKIP")]

#[cfg(target_os = "linux")]
#[path = "../../netstats-log/tests/support/disk.rs"]
mod disk;
mod support;

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use support::{Product, program, root, run, said};

/// Its report and its exit code.
fn report(output: &Output) -> (Value, i32) {
    let text = String::from_utf8_lossy(&output.stdout);
    let report: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {}", said(output)));
    let code = output.status.code().unwrap();
    assert_eq!(report["exit_code"], code, "{report}");
    (report, code)
}

fn doctor(data: &Path, more: &[&str]) -> (Value, i32) {
    let mut command = program(&["doctor", "--json", "--listen", "127.0.0.1:0", "--data-dir"]);
    report(&command.arg(data).args(more).output().unwrap())
}

/// The finding of that check; it says what to do unless it is fine.
fn finding<'a>(report: &'a Value, check: &str) -> &'a Value {
    let checks = report["checks"].as_array().unwrap();
    for finding in checks {
        assert!(finding["verdict"] == "fine" || finding["do"].is_string(), "{finding}");
    }
    checks.iter().find(|finding| finding["check"] == check).unwrap_or_else(|| panic!("no {check}: {report}"))
}

#[test]
fn a_machine_that_is_fine_ends_with_zero_and_every_check_is_told_as_text_too() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (found, code) = doctor(&data, &["--min-free-mib", "1"]);
    assert_eq!(finding(&found, "log")["found"], "there is none yet");
    assert!(!data.exists(), "nothing is made");
    for check in
        ["config", "data", "file system", "free space", "port", "ping IPv4", "open files", "clock", "gateway", "dns"]
    {
        let verdict = &finding(&found, check)["verdict"];
        assert!(verdict != "fault" || check == "ping IPv4", "{found}");
    }
    let text = run(&["doctor", "--listen", "127.0.0.1:0", "--data-dir", data.to_str().unwrap(), "--min-free-mib", "1"]);
    assert_eq!(text.status.code(), Some(code));
    // How much is free changes from one look to the next.
    for finding in found["checks"].as_array().unwrap().iter().filter(|finding| finding["check"] != "free space") {
        assert!(said(&text).contains(finding["found"].as_str().unwrap()), "{finding}: {}", said(&text));
    }
}

#[test]
fn a_wrong_config_ends_with_two() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.ron");
    fs::write(&file, "(limits: (min_intervall_s: 5))").unwrap();
    let (found, code) = doctor(&folder.path().join("data"), &["--config", file.to_str().unwrap()]);
    assert_eq!((code, &finding(&found, "config")["verdict"]), (2, &Value::from("fault")));
    assert!(finding(&found, "config")["found"].as_str().unwrap().contains("did you mean `min_interval_s`?"));
}

#[test]
fn a_taken_port_is_a_fault_unless_the_running_product_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let with = |data: &Path, address: &str| {
        let mut command = program(&["doctor", "--json", "--min-free-mib", "1", "--listen", address, "--data-dir"]);
        report(&command.arg(data).output().unwrap())
    };
    let (found, code) = with(&data, &address);
    assert_eq!((code, &finding(&found, "port")["verdict"]), (1, &Value::from("fault")));
    assert!(finding(&found, "port")["do"].as_str().unwrap().contains("--listen localhost:PORT"));

    let product = Product::start(&data, &["--config", "config/network-stats.ron"]);
    let (found, _) = with(&data, product.url.trim_start_matches("http://"));
    assert_eq!(finding(&found, "port")["verdict"], "fine", "{found}");
    assert!(finding(&found, "log")["found"].as_str().unwrap().starts_with("a running product has it"), "{found}");
    let healthy = run(&["health", "--data-dir", data.to_str().unwrap()]);
    assert!(healthy.status.success() && said(&healthy).contains("events"), "{}", said(&healthy));
    product.stop();
    let nobody = run(&["health", "--data-dir", data.to_str().unwrap(), "--listen", "127.0.0.1:9"]);
    assert_eq!(nobody.status.code(), Some(1), "{}", said(&nobody));
}

#[test]
fn a_damaged_log_ends_with_three_and_names_the_repair() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    Product::start(&data, &["--config", "config/network-stats.ron"]).stop();
    let (found, _) = doctor(&data, &["--min-free-mib", "1"]);
    assert!(finding(&found, "log")["found"].as_str().unwrap().contains(", head "), "{found}");
    let journal = data.join("log/fjall/0.jnl");
    let mut bytes = fs::read(&journal).unwrap();
    bytes[600..640].fill(0);
    fs::write(&journal, &bytes).unwrap();
    let (found, code) = doctor(&data, &["--min-free-mib", "1"]);
    assert_eq!((code, &finding(&found, "log")["verdict"]), (3, &Value::from("fault")), "{found}");
    assert!(finding(&found, "log")["do"].as_str().unwrap().contains("log repair --dry-run"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_and_one_that_is_read_only_are_faults() {
    let Some(disk) = disk::Disk::mount(64) else { return };
    let data = disk.path().join("data");
    fs::create_dir(&data).unwrap();
    let hog = disk.fill(0);
    let (found, code) = doctor(&data, &["--min-free-mib", "16"]);
    assert_eq!((code, &finding(&found, "free space")["verdict"]), (1, &Value::from("fault")), "{found}");
    assert_eq!(
        (&finding(&found, "data")["verdict"], &finding(&found, "data")["do"]),
        (&"fault".into(), &"make room".into())
    );
    assert_eq!(finding(&found, "file system")["verdict"], "advice", "a tmpfs is no place for data: {found}");
    hog.make_room();
    assert!(Command::new("mount").args(["-o", "remount,ro"]).arg(disk.path()).status().unwrap().success());
    let (found, code) = doctor(&data, &["--min-free-mib", "16"]);
    assert_eq!((code, &finding(&found, "data")["verdict"]), (1, &Value::from("fault")), "{found}");
    assert!(finding(&found, "data")["found"].as_str().unwrap().contains("Read-only"), "{found}");
}

/// In a network of its own nobody may ping until somebody opens the range; as a user without rights.
#[cfg(target_os = "linux")]
#[test]
fn a_closed_ping_group_range_is_a_fault_with_the_command_that_opens_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let copy = folder.path().join("network-stats");
    fs::copy(env!("CARGO_BIN_EXE_network-stats"), &copy).unwrap();
    let arguments = ["doctor", "--json", "--listen", "127.0.0.1:0", "--min-free-mib", "1", "--data-dir"];
    let nobody = ["--net", "--", "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs", "--"];
    let output = Command::new("unshare")
        .args(nobody)
        .arg(&copy)
        .args(arguments)
        .arg(folder.path().join("data"))
        .current_dir(folder.path())
        .env_clear()
        .output();
    let Some(output) = output.ok().filter(|output| !output.stdout.is_empty()) else {
        println!("SKIP: a network of its own and another user need root, unshare and setpriv");
        return;
    };
    let (found, code) = report(&output);
    assert_eq!(code, 1, "{found}");
    let groups = finding(&found, "ping groups");
    assert_eq!(groups["verdict"], "fault", "{found}");
    assert!(groups["do"].as_str().unwrap().contains("net.ipv4.ping_group_range=0 2147483647"), "{groups}");
    assert_eq!(finding(&found, "ping IPv4")["verdict"], "fault");
    assert_eq!(finding(&found, "gateway")["verdict"], "advice");
    let _ = root();
}
