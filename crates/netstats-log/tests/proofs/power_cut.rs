//! Power cuts: an ext4 image lies on btrfs, and a reflink of it at a random moment is what a disk holds when the power
//! goes: only what reached the block layer. Every acknowledged event must be in it.
//!
//! The same rig with fjall's own default (a commit is not synced) must lose events, or it proves nothing.

use std::io::Write;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;

use netstats_log::FjallLog;

use crate::child::{Appender, folder_and_socket, options, parse_ack};
use crate::support::{Acknowledged, Random, count, prove, tell, wait};

/// Batches that the unsynced child appends at most: fjall's journal must not be rotated, which syncs it.
const CONTROL_BATCHES: u64 = 20_000;

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    output.status.success().then_some(()).ok_or_else(|| format!("{program} {}: {}", arguments.join(" "), said.trim()))
}

/// A mounted image; unmounted when dropped.
struct Mount(PathBuf);

impl Mount {
    fn of(image: &Path, at: &Path) -> Result<Self, String> {
        std::fs::create_dir_all(at).unwrap();
        run("mount", &["-o", "loop", &image.to_string_lossy(), &at.to_string_lossy()])?;
        Ok(Self(at.to_owned()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if run("umount", &[&self.0.to_string_lossy()]).is_err() {
            // Somebody still looks at it; it goes when they do.
            let _ = run("umount", &["-l", &self.0.to_string_lossy()]);
        }
    }
}

/// The disk: mounted at `work`, its image on btrfs. Fields drop in this order.
struct Disk {
    work: Mount,
    image: PathBuf,
    below: Mount,
    folder: TempDir,
}

impl Disk {
    fn new() -> Result<Self, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: u64| {
            let path = folder.path().join(name);
            std::fs::File::create(&path).unwrap().set_len(bytes).unwrap();
            path
        };
        let btrfs = file("btrfs", 2 << 30);
        run("mkfs.btrfs", &["-q", &btrfs.to_string_lossy()])?;
        let below = Mount::of(&btrfs, &folder.path().join("below"))?;
        let image = below.0.join("ext4");
        std::fs::File::create(&image).unwrap().set_len(300 << 20).unwrap();
        run("mkfs.ext4", &["-q", &image.to_string_lossy()])?;
        let work = Mount::of(&image, &folder.path().join("work"))?;
        Ok(Self { work, image, below, folder })
    }

    /// What is on the disk at this moment, mounted as a new start would find it.
    fn cut(&self) -> Mount {
        let crash = self.below.0.join("crash");
        run("cp", &["--reflink=always", &self.image.to_string_lossy(), &crash.to_string_lossy()]).unwrap();
        Mount::of(&crash, &self.folder.path().join("crash")).unwrap()
    }
}

/// Runs children on the disk and cuts the power under them; `check` looks at the folder as it is after a cut.
fn cuts(
    disk: &Disk,
    body: &str,
    cuts: u64,
    random: &mut Random,
    mut check: impl FnMut(&Path, Acknowledged, &str),
) -> u64 {
    const CUTS_OF_ONE_CHILD: u64 = 20;
    let mut all = 0;
    for begin in (0..cuts).step_by(CUTS_OF_ONE_CHILD as usize) {
        let name = format!("log-{begin}");
        let mut child = Appender::of(body, &disk.work.0.join(&name), None);
        child.go();
        let newest = Arc::new(Mutex::new(Acknowledged::default()));
        std::thread::scope(|scope| {
            let lines = child.lines();
            scope.spawn(|| {
                for line in lines.map_while(Result::ok) {
                    if let Some(ack) = parse_ack(&line) {
                        *newest.lock().unwrap() = ack;
                    }
                }
            });
            for cut in begin..cuts.min(begin + CUTS_OF_ONE_CHILD) {
                wait(Duration::from_millis(1 + random.below(100)));
                let acknowledged = *newest.lock().unwrap();
                let crash = disk.cut();
                check(&crash.0.join(&name), acknowledged, &format!("cut {cut}, seed {}", random.seed));
            }
            all += newest.lock().unwrap().last;
            child.kill();
        });
        std::fs::remove_dir_all(disk.work.0.join(&name)).unwrap();
    }
    all
}

/// The rig, or a word why it cannot be had here.
fn disk() -> Option<Disk> {
    match Disk::new() {
        Ok(disk) => Some(disk),
        Err(why) => {
            tell(&format!("SKIP: power cuts need root, loop devices, btrfs-progs and e2fsprogs: {why}"));
            None
        }
    }
}

#[test]
fn no_acknowledged_event_is_lost_when_the_power_goes() {
    let Some(disk) = disk() else { return };
    let mut random = Random::new();
    let number = count(100);
    let check = |folder: &Path, acknowledged: Acknowledged, context: &str| {
        if acknowledged.last == 0 && !folder.exists() {
            return;
        }
        let log = FjallLog::open_with(folder, options()).unwrap_or_else(|error| panic!("{context}: {error}"));
        prove(&log, acknowledged, context);
    };
    let all = cuts(&disk, "child::the_child_appends_and_tells", number, &mut random, check);
    assert!(all > number, "the children hardly wrote anything");
    tell(&format!("{number} power cuts, {all} events acknowledged, 0 lost"));

    let number = count(20);
    let mut lost = 0;
    let check = |folder: &Path, acknowledged: Acknowledged, _: &str| {
        lost += u64::from(unsynced_last(folder) < acknowledged.last);
    };
    cuts(&disk, "power_cut::the_child_that_does_not_sync", number, &mut random, check);
    tell(&format!("the same without syncs: {lost} of {number} power cuts lost acknowledged events"));
    assert!(lost * 2 > number, "{lost} of {number}: this rig has no teeth");
}

/// Not a test of its own: a child that commits with fjall's default and takes that for durable.
#[test]
fn the_child_that_does_not_sync() {
    let Some((folder, socket)) = folder_and_socket() else { return };
    let mut out = TcpStream::connect(socket).unwrap();
    let database = fjall::Database::builder(folder).open().unwrap();
    let keyspace = database.keyspace("log", fjall::KeyspaceCreateOptions::default).unwrap();
    for number in 1..=CONTROL_BATCHES {
        let mut batch = database.batch();
        batch.insert(&keyspace, number.to_be_bytes(), [7; 300]);
        batch.commit().unwrap();
        if writeln!(out, "ack {number} {:032x}", 0).is_err() {
            return;
        }
    }
    // The parent kills it.
    std::thread::park();
}

/// The last event of such a child that is there.
fn unsynced_last(folder: &Path) -> u64 {
    let opened = fjall::Database::builder(folder).open().and_then(|database| {
        let keyspace = database.keyspace("log", fjall::KeyspaceCreateOptions::default)?;
        let last = keyspace.last_key_value().map(|guard| guard.key()).transpose()?;
        Ok(last.map_or(0, |key| u64::from_be_bytes(key.as_ref().try_into().unwrap())))
    });
    opened.unwrap_or(0)
}
