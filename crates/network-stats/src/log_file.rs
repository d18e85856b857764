//! A log file that is put aside when it is full: `name`, then `name.1` (the newest before it) to `name.N`. It is written
//! by a thread of its own, so that a disk that hangs holds up nobody who has something to say.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

use crate::config::LogFormat;

/// Lines that wait for the disk; what comes on top is counted and left out.
const MAX_WAITING_LINES: usize = 10_000;
/// How long a flush waits.
const FLUSH_WITHIN: Duration = Duration::from_secs(1);

enum Order {
    Line(Vec<u8>),
    /// Answered when everything before is written.
    Flush(SyncSender<()>),
}

/// The way to the writing thread.
#[derive(Clone)]
pub(crate) struct LogFile {
    orders: SyncSender<Order>,
    left_out: Arc<AtomicU64>,
}

impl LogFile {
    /// Opens the file, goes on at its end, and keeps `files` full ones of `bytes` beside it.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn open(path: &Path, bytes: u64, files: u32, format: LogFormat) -> io::Result<Self> {
        let mut rolling = Rolling::open(path, bytes, files)?;
        let (orders, taken) = sync_channel(MAX_WAITING_LINES);
        let left_out = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&left_out);
        let write = move || write_all(&taken, &mut rolling, &counted, format);
        std::thread::Builder::new().name("log-file".to_owned()).spawn(write)?;
        Ok(Self { orders, left_out })
    }

    /// Waits a moment until what was said is in the file.
    pub(crate) fn flush(&self) {
        let (done, written) = sync_channel(1);
        if self.orders.try_send(Order::Flush(done)).is_ok() {
            let _ = written.recv_timeout(FLUSH_WITHIN);
        }
    }
}

impl Write for LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.orders.try_send(Order::Line(line.to_vec())).is_err() {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogFile {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// The thread: ends with the last sender.
fn write_all(orders: &Receiver<Order>, rolling: &mut Rolling, left_out: &AtomicU64, format: LogFormat) {
    while let Ok(order) = orders.recv() {
        let missing = left_out.swap(0, Ordering::Relaxed);
        if missing > 0 {
            // A full disk has no room for this either: it is counted on.
            let line = left_out_line(missing, format);
            if rolling.write(line.as_bytes()).is_err() {
                left_out.fetch_add(missing, Ordering::Relaxed);
            }
        }
        match order {
            Order::Line(line) => {
                if rolling.write(&line).is_err() {
                    left_out.fetch_add(1, Ordering::Relaxed);
                }
            }
            Order::Flush(done) => {
                let _ = done.try_send(());
            }
        }
    }
}

fn left_out_line(lines: u64, format: LogFormat) -> String {
    let message = format!("{lines} lines are left out here: the disk did not take them in time");
    match format {
        LogFormat::Text => format!("WARN network_stats::log_file: {message}\n"),
        LogFormat::Json => format!("{{\"level\":\"WARN\",\"message\":\"{message}\"}}\n"),
    }
}

/// The files.
struct Rolling {
    path: PathBuf,
    bytes: u64,
    files: u32,
    file: Option<File>,
    written: u64,
}

impl Rolling {
    fn open(path: &Path, bytes: u64, files: u32) -> io::Result<Self> {
        let mut this = Self { path: path.to_owned(), bytes, files, file: None, written: 0 };
        this.reopen()?;
        Ok(this)
    }

    fn reopen(&mut self) -> io::Result<&mut File> {
        let file = File::options().create(true).append(true).open(&self.path)?;
        self.written = file.metadata()?.len();
        Ok(self.file.insert(file))
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.written > 0 && self.written + line.len() as u64 > self.bytes {
            // Closed first: some systems do not rename what is open.
            self.file = None;
            self.put_aside();
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => self.reopen()?,
        };
        file.write_all(line)?;
        self.written += line.len() as u64;
        Ok(())
    }

    /// Each file one number on; the oldest goes. What cannot be renamed is written on.
    fn put_aside(&self) {
        let numbered = |number: u32| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        for number in (1..self.files).rev() {
            let _ = fs::rename(numbered(number), numbered(number + 1));
        }
        let _ = fs::rename(&self.path, numbered(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let files = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_full_file_is_put_aside_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        let mut file = LogFile::open(&path, 20, 2, LogFormat::Text).unwrap();
        for number in 0..10 {
            file.write_all(format!("line {number}\n").as_bytes()).unwrap();
        }
        LogFile::flush(&file);
        assert_eq!(names(folder.path()), ["x.log", "x.log.1", "x.log.2"]);
        let text = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(text("x.log.2"), "line 4\nline 5\n");
        assert_eq!(text("x.log.1"), "line 6\nline 7\n");
        assert_eq!(text("x.log"), "line 8\nline 9\n");
    }

    #[test]
    fn a_line_longer_than_a_file_is_written_whole_and_a_later_start_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        let mut rolling = Rolling::open(&path, 8, 3).unwrap();
        rolling.write(b"0123456789\n").unwrap();
        assert_eq!(names(folder.path()), ["x.log"]);
        let mut again = Rolling::open(&path, 20, 3).unwrap();
        again.write(b"next\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "0123456789\nnext\n");
    }

    #[test]
    fn what_the_disk_does_not_take_is_counted_and_told() {
        let folder = tempfile::tempdir().unwrap();
        let mut rolling = Rolling::open(&folder.path().join("x.log"), 1_000, 3).unwrap();
        let (orders, taken) = sync_channel(1);
        let mut file = LogFile { orders, left_out: Arc::new(AtomicU64::new(0)) };
        for line in ["first\n", "second\n", "third\n"] {
            file.write_all(line.as_bytes()).unwrap();
        }
        let left_out = Arc::clone(&file.left_out);
        drop(file);
        write_all(&taken, &mut rolling, &left_out, LogFormat::Text);
        let text = fs::read_to_string(folder.path().join("x.log")).unwrap();
        assert!(text.starts_with("WARN network_stats::log_file: 2 lines are left out"), "{text}");
        assert!(text.ends_with("first\n"), "{text}");
        assert!(LogFile::open(&folder.path().join("no/x.log"), 1_000, 1, LogFormat::Text).is_err());
    }
}
