//! Stores as earlier formats of this program wrote them (`fixtures/stores/FORMAT`) open, prove and rebuild; a newer one
//! is refused and left as it is.
//!
//! Each holds the same 250 events in epochs of 100; journals are kept without the zeros at their end.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};

use netstats_event::Position;
use netstats_log::{ErrorKind, FjallLog, Log, LogOptions, ReadLimit, backup, examine, restore, verify};

const HEAD: &str = "250:971cf35b9da83d0821a1a14163261509";

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Every file but the locks, with its bytes.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if !path.ends_with("lock") {
            found.insert(path.clone(), fs::read(path).unwrap());
        }
    }
    found
}

fn golden(format: u32) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "../../fixtures/stores", &format.to_string()].iter().collect()
}

#[test]
fn every_format_opens_proves_and_rebuilds_to_the_same_records() {
    let folder = tempfile::tempdir().unwrap();
    for format in 1..=2 {
        let path = folder.path().join(format!("{format}/log"));
        copy(&golden(format), &path);
        assert!(examine(&path).unwrap().is_whole(), "format {format}");
        let kept = folder.path().join(format!("{format}/kept"));
        let restored = folder.path().join(format!("{format}/restored"));
        backup(&path, &kept).unwrap();
        restore(&kept, &restored, None, None).unwrap();
        let log = FjallLog::open_with(&path, LogOptions { epoch_events: 100, ..LogOptions::default() }).unwrap();
        assert_eq!(format!("{}:{}", log.head().last, log.head().chain), HEAD, "format {format}");
        assert_eq!(log.last_config(), Position(250), "format {format}");
        let report = verify(&log, NonZero::<usize>::MIN).unwrap();
        assert!(report.is_whole() && report.records == 250, "format {format}: {:?}", report.damage);
        let again = FjallLog::open(&restored).unwrap();
        let all = |log: &FjallLog| log.read(Position(1), ReadLimit::default()).unwrap();
        assert_eq!(all(&log), all(&again), "format {format}");
    }
}

#[test]
fn a_newer_format_is_refused_and_not_a_byte_is_changed() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["MANIFEST", "witness"] {
        let path = folder.path().join(name);
        copy(&golden(2), &path);
        let text = fs::read_to_string(path.join(name)).unwrap();
        let (first, rest) = text.split_once('\n').unwrap();
        assert!(first.starts_with("format "), "{first}");
        let body = format!("format 99\n{}", &rest[..rest.find("crc32c ").unwrap()]);
        fs::write(path.join(name), format!("{body}crc32c {:08x}\n", crc32c::crc32c(body.as_bytes()))).unwrap();
        let before = files(&path);
        let refused = FjallLog::open(&path).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid, "{name}: {refused}");
        assert!(refused.to_string().contains("newer program"), "{name}: {refused}");
        assert_eq!(files(&path), before, "{name}");
    }
}
