//! How much at most. Past a limit the answer is an error that names it.

/// Events of one submitted batch: they get consecutive positions in one commit.
pub const MAX_BATCH_EVENTS: usize = 16_384;
/// Payload bytes of one submitted batch.
pub const MAX_BATCH_BYTES: usize = 16 * 1024 * 1024;
/// Events that one commit gathers from several batches. A single larger batch is committed alone.
pub const MAX_GROUP_EVENTS: usize = 4_096;
/// Events waiting for the writer; past it a submit answers Unavailable.
pub const MAX_QUEUED_EVENTS: usize = 65_536;
/// Payload bytes waiting for the writer.
pub const MAX_QUEUED_BYTES: usize = 64 * 1024 * 1024;
/// Records that one read answers.
pub const MAX_READ_RECORDS: usize = 65_536;
/// Bytes of records that one read answers (and one record more).
pub const MAX_READ_BYTES: usize = 32 * 1024 * 1024;
