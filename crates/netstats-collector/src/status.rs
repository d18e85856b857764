//! How the collector is, for `/api/health`.

/// Counts since the start, and what is wrong now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// (job, destination, probe) combinations planned.
    pub planned: usize,
    /// Runs under way.
    pub running: usize,
    /// Runs waiting for a worker.
    pub waiting: usize,
    /// Slots that were run.
    pub slots_run: u64,
    /// Of those, how many failed on our side.
    pub slots_failed: u64,
    /// Slots that were not run.
    pub slots_missed: u64,
    /// Median lateness of the last runs, in microseconds.
    pub lateness_p50_us: u32,
    /// 95th percentile of the lateness of the last runs, in microseconds.
    pub lateness_p95_us: u32,
    /// 99th percentile of the lateness of the last runs, in microseconds.
    pub lateness_p99_us: u32,
    /// Events that wait for the journal.
    pub unrecorded: usize,
    /// Events given up because the journal refused for too long.
    pub dropped: u64,
    /// What is wrong now, in words; empty if nothing is.
    pub problems: Vec<String>,
}
