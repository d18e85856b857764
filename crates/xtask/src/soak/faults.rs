//! What happens to the product.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::park_timeout;
use std::time::Duration;

use anyhow::{Result, bail};

use super::FLOOR_MIB;
use crate::product::Product;
use crate::step::command;
use crate::tools;

/// A seeded generator (SplitMix64): the same seed gives the same faults.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % most
    }

    pub(super) fn between(&mut self, from_s: u64, to_s: u64) -> Duration {
        Duration::from_millis(from_s * 1_000 + self.below((to_s - from_s) * 1_000))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Kill,
    Freeze,
    FullDisk,
    Reload,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "kill",
            Self::Freeze => "freeze",
            Self::FullDisk => "full",
            Self::Reload => "reload",
        })
    }
}

impl Fault {
    /// Kills are rare: what grows needs a life to grow in.
    pub(super) fn choose(random: &mut Random, can_fill: bool) -> Self {
        match random.below(10) {
            0 => Self::Kill,
            1..=4 => Self::Freeze,
            5..=7 if can_fill => Self::FullDisk,
            _ => Self::Reload,
        }
    }

    pub(super) fn happen(self, product: &mut Product, disk: &Disk, random: &mut Random) -> Result<()> {
        match self {
            Self::Kill => product.kill_and_start(),
            Self::Freeze => {
                product.signal("STOP")?;
                park_timeout(random.between(2, 8));
                product.signal("CONT")
            }
            Self::FullDisk => {
                disk.fill()?;
                park_timeout(random.between(4, 12));
                disk.make_room()
            }
            Self::Reload => product.setup.run(&["config", "reload"]).map(drop),
        }
    }
}

/// Where the data is: a tmpfs of its own where that is allowed.
pub(super) struct Disk {
    place: PathBuf,
    is_own: bool,
}

impl Disk {
    pub(super) fn make(place: &Path, mib: u64) -> Result<Self> {
        // Of a run that was cut off.
        let _ = command("umount").arg(place).output();
        let _ = fs::remove_dir_all(place);
        fs::create_dir_all(place)?;
        let size = format!("size={mib}m");
        let mounted = tools::is_root()
            && command("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(place).output()?.status.success();
        Ok(Self { place: place.to_owned(), is_own: mounted })
    }

    pub(super) const fn can_fill(&self) -> bool {
        self.is_own
    }

    pub(super) fn in_words(&self) -> &'static str {
        if self.is_own { "on a tmpfs of its own" } else { "on this disk (SKIP: a full disk needs root)" }
    }

    fn hog(&self) -> PathBuf {
        self.place.join("hog")
    }

    /// Takes all room but for half of what the product leaves free.
    fn fill(&self) -> Result<()> {
        let output = command("df").args(["--block-size=1M", "--output=avail"]).arg(&self.place).output()?;
        let text = String::from_utf8(output.stdout)?;
        let free: u64 = text.lines().last().unwrap_or_default().trim().parse()?;
        let taken = format!("{}M", free.saturating_sub(FLOOR_MIB / 2));
        let status = command("fallocate").args(["-l", &taken]).arg(self.hog()).status()?;
        if status.success() { Ok(()) } else { bail!("the disk does not fill") }
    }

    fn make_room(&self) -> Result<()> {
        Ok(fs::remove_file(self.hog())?)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.is_own {
            let _ = command("umount").arg("--lazy").arg(&self.place).status();
        }
    }
}
