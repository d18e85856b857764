//! What a stop could not record because the log was read-only: noted beside the log, and recorded as `samples_lost` as
//! soon as the log takes events again. A process that ends between the two says it twice rather than never.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use netstats_event::{Event, SamplesLost, Timestamp};
use netstats_log::Journal;
use serde::{Deserialize, Serialize};

const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The note.
pub(crate) struct Lost {
    path: PathBuf,
    journal: Arc<Journal>,
    /// Recorded or written, one after the other.
    one: Mutex<()>,
}

#[derive(Serialize, Deserialize)]
struct Note {
    count: u64,
    from_ns: i64,
    to_ns: i64,
    reason: String,
}

impl Lost {
    pub(crate) fn new(path: PathBuf, journal: Arc<Journal>) -> Self {
        Self { path, journal, one: Mutex::new(()) }
    }

    /// Notes it, together with what waits since an earlier stop.
    pub(crate) fn note(&self, lost: SamplesLost) {
        let _one = self.one.lock().unwrap_or_else(PoisonError::into_inner);
        let before = read(&self.path).ok().flatten();
        let lost = match before {
            Some(before) => SamplesLost {
                count: before.count.saturating_add(lost.count),
                from: before.from.min(lost.from),
                to: before.to.max(lost.to),
                ..lost
            },
            None => lost,
        };
        match write(&self.path, &lost) {
            Ok(()) => tracing::warn!(events = lost.count, "not recorded: the next start says so in the log"),
            Err(error) => tracing::error!(%error, events = lost.count, "not recorded, and it cannot be noted"),
        }
    }

    /// Records what is noted, if the log takes it; true if nothing is left to record.
    pub(crate) fn record(&self) -> bool {
        let _one = self.one.lock().unwrap_or_else(PoisonError::into_inner);
        let lost = match read(&self.path) {
            Ok(Some(lost)) => lost,
            Ok(None) => return true,
            Err(error) => {
                tracing::error!(%error, "what the last stop could not record cannot be read: {}", self.path.display());
                return true;
            }
        };
        if self.journal.refusal().is_some() {
            return false;
        }
        match self.journal.append(vec![Event::from(lost)]) {
            Ok(_) => match fs::remove_file(&self.path) {
                Ok(()) => true,
                Err(error) => {
                    tracing::error!(%error, "{} is recorded and cannot be removed: remove it", self.path.display());
                    true
                }
            },
            Err(error) => {
                tracing::warn!(%error, "what the last stop could not record waits on");
                false
            }
        }
    }

    /// Tries until nothing is left to record.
    pub(crate) async fn until_recorded(self: Arc<Self>) {
        loop {
            let this = Arc::clone(&self);
            if tokio::task::spawn_blocking(move || this.record()).await.unwrap_or(true) {
                return;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

fn read(path: &Path) -> io::Result<Option<SamplesLost>> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        bytes => bytes?,
    };
    let Note { count, from_ns, to_ns, reason } = serde_json::from_slice(&bytes)?;
    Ok(Some(SamplesLost { count, from: Timestamp::from_nanos(from_ns), to: Timestamp::from_nanos(to_ns), reason }))
}

/// Either the old note or the new one is there after a crash.
fn write(path: &Path, lost: &SamplesLost) -> io::Result<()> {
    let SamplesLost { count, from, to, ref reason } = *lost;
    let note = Note { count, from_ns: from.as_nanos(), to_ns: to.as_nanos(), reason: reason.clone() };
    let temporary = path.with_extension("new");
    let mut file = File::create(&temporary)?;
    file.write_all(&serde_json::to_vec(&note)?)?;
    file.sync_all()?;
    netstats_log::rename(&temporary, path)
}
