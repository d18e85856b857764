//! Files that are made again and again: what goes into them, when, and how each making ended. The files themselves lie
//! outside the log.

use crate::{DestinationId, ExportId, JobId, Meta, Metric, Position, Timestamp};

/// What kind of file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExportFormat {
    /// The report as an Excel workbook.
    #[default]
    Xlsx,
    /// Rows, RFC 4180.
    Csv,
    /// Rows, one JSON array.
    Json,
    /// Rows, a JSON object a line.
    JsonLines,
    /// Rows, Apache Parquet.
    Parquet,
    /// The report with the records it was made of, signed.
    Pack,
}

impl ExportFormat {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Xlsx, Self::Csv, Self::Json, Self::JsonLines, Self::Parquet, Self::Pack];

    /// The name at every door.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Xlsx => "xlsx",
            Self::Csv => "csv",
            Self::Json => "json",
            Self::JsonLines => "jsonl",
            Self::Parquet => "parquet",
            Self::Pack => "pack",
        }
    }

    /// The format of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }
}

/// When a file is made by itself: at these minutes of the day, on every day, or on these days of the week or month only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportSchedule {
    /// Minutes since midnight on the clock of the export's zone: sorted, without repeats, not empty.
    pub minutes: Vec<u16>,
    /// Days of the week, 0 is Monday: sorted, without repeats.
    pub weekdays: Vec<u8>,
    /// Days of the month from 1; one that a month does not have is its last: sorted, without repeats.
    pub month_days: Vec<u8>,
}

/// A file that can be made again and again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportSpec {
    /// Unique, case-insensitively.
    pub name: String,
    /// The report's title.
    pub title: Option<String>,
    /// What these jobs measured: sorted, without repeats; empty for all.
    pub jobs: Vec<JobId>,
    /// Only these destinations: sorted, without repeats.
    pub destinations: Vec<DestinationId>,
    /// And those that carry one of these tags. All destinations, if there are neither ids nor tags.
    pub destination_tags: Vec<String>,
    /// Only these metrics: sorted, without repeats; empty for those of the jobs.
    pub metrics: Vec<Metric>,
    /// Which span of time, in words told from the moment of the making: `yesterday`, `last-month`, `last-7-days`.
    pub range: String,
    /// The IANA zone of days and hours.
    pub time_zone: String,
    /// What kind of file.
    pub format: ExportFormat,
    /// csv for a spreadsheet of a country with decimal commas: `;` between fields, byte order mark.
    pub is_excel_csv: bool,
    /// When it is made; none: only when somebody asks.
    pub schedule: Option<ExportSchedule>,
    /// The folder inside the exports folder; none for one of its name.
    pub folder: Option<String>,
    /// How many of its files are kept; the oldest go first.
    pub keep: u32,
    /// The schedule counts.
    pub enabled: bool,
}

/// How a making ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExportOutcome {
    /// The file is there.
    #[default]
    Done,
    /// There is none, and `error` says why.
    Failed,
    /// Somebody called it off.
    Cancelled,
}

impl ExportOutcome {
    /// The name at every door.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// One making of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportRun {
    /// The time of the schedule that it was made for; none if somebody asked for it.
    pub slot: Option<Timestamp>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
    /// Slots from here on.
    pub from: Timestamp,
    /// Up to, and without, these.
    pub to: Timestamp,
    /// The last position that the file could know.
    pub position: Position,
    /// How it ended.
    pub outcome: ExportOutcome,
    /// Why there is no file.
    pub error: Option<String>,
    /// Where the file is inside the exports folder, with `/` between folders.
    pub file: Option<String>,
    /// Its size.
    pub bytes: u64,
    /// Rows in it.
    pub rows: u64,
    /// BLAKE3 of it.
    pub digest: Option<[u8; 32]>,
}

/// An export job was created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportJobCreated {
    /// Its id.
    pub id: ExportId,
    /// What it is.
    pub spec: ExportSpec,
    /// By whom.
    pub meta: Meta,
}

/// An export job was updated: the whole new state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportJobUpdated {
    /// Its id.
    pub id: ExportId,
    /// What it is now.
    pub spec: ExportSpec,
    /// By whom.
    pub meta: Meta,
}

/// An export job was deleted. Its files stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportJobDeleted {
    /// Its id.
    pub id: ExportId,
    /// By whom.
    pub meta: Meta,
}

/// Somebody asked for a run of an export job; what the schedule asks for is not told. Its end, with no planned time, is
/// told by an [`ExportRunFinished`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportRunRequested {
    /// The export job.
    pub id: ExportId,
    /// By whom.
    pub meta: Meta,
}

/// A run of an export job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportRunFinished {
    /// The export job.
    pub id: ExportId,
    /// How it went.
    pub run: ExportRun,
    /// Who asked for it; `system` for the schedule.
    pub meta: Meta,
}
