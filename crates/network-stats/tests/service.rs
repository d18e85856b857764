//! The product under a service manager, and stores of other versions.
#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_methods, reason = "tests keep time")]

mod support;

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use support::{PATIENCE, Product, close_to_others, program, root, run, said};

#[test]
fn the_service_manager_is_told_that_it_runs_lives_and_stops() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let heard = |wanted: &str| {
        let mut bytes = [0; 4_096];
        loop {
            let count = socket.recv(&mut bytes).unwrap_or_else(|error| panic!("{wanted} is not heard: {error}"));
            if String::from_utf8_lossy(&bytes[..count]).lines().any(|line| line == wanted) {
                return;
            }
        }
    };
    let mut command = program(&["serve", "--listen", "127.0.0.1:0", "--config", "config/network-stats.ron"]);
    command.arg("--data-dir").arg(folder.path().join("data"));
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "100000");
    let product = Product::spawn(command);
    heard("READY=1");
    heard("WATCHDOG=1");
    heard("WATCHDOG=1");
    assert!(product.stop().0.success());
    heard("STOPPING=1");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let place = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &place);
        } else {
            fs::copy(entry.path(), place).unwrap();
        }
    }
}

/// A data folder with the store of that format.
fn with_store(folder: &Path, format: &str) -> std::path::PathBuf {
    let data = folder.join(format);
    copy(&root().join("fixtures/stores").join(format), &data.join("log"));
    close_to_others(&data);
    data
}

#[test]
fn a_store_of_every_released_format_is_opened_and_proved() {
    let folder = tempfile::tempdir().unwrap();
    let mut count = 0;
    for format in fs::read_dir(root().join("fixtures/stores")).unwrap() {
        let format = format.unwrap().file_name().into_string().unwrap();
        let data = with_store(folder.path(), &format);
        let verified = run(&["log", "verify", "--data-dir", data.to_str().unwrap()]);
        assert!(verified.status.success() && said(&verified).contains("is right"), "{format}: {}", said(&verified));
        count += 1;
    }
    assert!(count >= 2, "{count} formats");
}

#[test]
fn a_store_of_a_newer_program_is_refused_untouched_with_a_line_that_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let data = with_store(folder.path(), "2");
    let manifest = data.join("log/MANIFEST");
    let lines = fs::read_to_string(&manifest).unwrap().replacen("format 2", "format 9", 1);
    let (body, _) = lines.trim_end().rsplit_once('\n').unwrap();
    let body = format!("{body}\n");
    let newer = format!("{body}crc32c {:08x}\n", crc32c::crc32c(body.as_bytes()));
    fs::write(&manifest, &newer).unwrap();
    let refused = run(&["serve", "--listen", "127.0.0.1:0", "--data-dir", data.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(said(&refused).contains("newer"), "{}", said(&refused));
    assert_eq!(fs::read_to_string(&manifest).unwrap(), newer);
}
