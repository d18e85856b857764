//! What the process holds, and whether it grows.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::faults::Fault;

/// One look (Linux: /proc).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Look {
    rss_mib: u64,
    files: u64,
    threads: u64,
    journals_mib: u64,
    disk_mib: u64,
}

impl Look {
    pub(super) fn at(process: u32, data: &Path) -> Result<Self> {
        let proc = Path::new("/proc").join(process.to_string());
        let status = fs::read_to_string(proc.join("status")).context("the soak needs /proc")?;
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.split_whitespace().next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0)
        };
        Ok(Self {
            rss_mib: number("VmRSS:") / 1_024,
            threads: number("Threads:"),
            files: fs::read_dir(proc.join("fd"))?.count() as u64,
            journals_mib: bytes(data, &|name| name.ends_with(".jnl")) >> 20,
            disk_mib: bytes(data, &|_| true) >> 20,
        })
    }
}

/// Bytes on disk of the files in a folder whose names please. Files come and go meanwhile.
fn bytes(folder: &Path, pleases: &dyn Fn(&str) -> bool) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let each = entries.map(|entry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => bytes(&entry.path(), pleases),
        Ok(meta) if pleases(&entry.file_name().to_string_lossy()) => on_disk(&meta),
        _ => 0,
    });
    each.sum()
}

#[cfg(unix)]
fn on_disk(meta: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::blocks(meta) * 512
}

#[cfg(not(unix))]
fn on_disk(meta: &fs::Metadata) -> u64 {
    meta.len()
}

/// The most of a minute.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    most: Look,
    looks: u32,
    pub(super) faults: Vec<Fault>,
}

impl Row {
    pub(super) fn take(&mut self, look: &Look) {
        let Look { rss_mib, files, threads, journals_mib, disk_mib } = &mut self.most;
        for (most, now) in [
            (rss_mib, look.rss_mib),
            (files, look.files),
            (threads, look.threads),
            (journals_mib, look.journals_mib),
            (disk_mib, look.disk_mib),
        ] {
            *most = (*most).max(now);
        }
        self.looks += 1;
    }

    /// The process was looked at in that minute.
    pub(super) fn has_looks(&self) -> bool {
        self.looks > 0
    }

    pub(super) fn line(&self, minute: usize) -> String {
        let Look { rss_mib, files, threads, journals_mib, disk_mib } = self.most;
        let faults: Vec<String> = self.faults.iter().map(ToString::to_string).collect();
        format!("| {minute} | {rss_mib} | {files} | {threads} | {journals_mib} | {disk_mib} | {} |", faults.join(", "))
    }
}

const HEAD: &str = "| minute | memory MiB | files | threads | journals MiB | all on disk MiB | faults |\n|---|---|---|---|---|---|---|\n";

/// The most of each minute; of a long run every fifth line is the most of five minutes.
pub(super) fn table(rows: &[Row]) -> String {
    let step = if rows.len() > 30 { 5 } else { 1 };
    let mut text = HEAD.to_owned();
    for (number, rows) in rows.chunks(step).enumerate() {
        let mut all = Row::default();
        for row in rows {
            all.take(&row.most);
            all.faults.extend(&row.faults);
        }
        let _ = writeln!(text, "{}", all.line(number * step));
    }
    text
}

type Figure = fn(&Look) -> u64;

/// What is more in the last third than in the second, beyond what goes up and down anyway. The first third warms up:
/// caches and journals fill to their bounds.
pub(super) fn growth(rows: &[Row]) -> Vec<String> {
    let third = rows.len() / 3;
    if third == 0 {
        return Vec::new();
    }
    let most = |rows: &[Row], of: Figure| rows.iter().map(|row| of(&row.most)).max().unwrap_or(0);
    let figures: [(&str, Figure, u64); 4] = [
        ("memory MiB", |look| look.rss_mib, 16),
        ("open files", |look| look.files, 16),
        ("threads", |look| look.threads, 8),
        ("journals MiB", |look| look.journals_mib, 128),
    ];
    let mut grown = Vec::new();
    for (name, of, slack) in figures {
        let (before, after) = (most(&rows[third..2 * third], of), most(&rows[2 * third..], of));
        if after > before + before / 5 + slack {
            grown.push(format!("{name} grew from {before} to {after}"));
        }
    }
    grown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(memory: impl Fn(u64) -> u64) -> Vec<Row> {
        (0..30)
            .map(|minute| {
                let mut row = Row::default();
                row.take(&Look { rss_mib: memory(minute), files: 40, threads: 12, ..Look::default() });
                row
            })
            .collect()
    }

    #[test]
    fn what_grows_is_named_and_what_goes_up_and_down_is_not() {
        assert_eq!(growth(&rows(|minute| 60 + minute % 7)), Vec::<String>::new());
        assert_eq!(growth(&rows(|minute| 60 + minute.min(9) * 10)), Vec::<String>::new(), "it warms up");
        let [grown] = &growth(&rows(|minute| 60 + minute * 5))[..] else { panic!("one figure grows") };
        assert_eq!(grown, "memory MiB grew from 155 to 205");
        assert!(growth(&[]).is_empty());
    }
}
