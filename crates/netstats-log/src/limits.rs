//! How much at most. Past a limit the answer is an error that names it.

use std::time::Duration;

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
/// Events of one sealed segment. An epoch is closed long before; only a batch may go over its end.
pub const MAX_SEGMENT_EVENTS: u64 = 1 << 21;
/// Records of one page of a segment: what a look at a series decodes at least.
pub const MAX_PAGE_ROWS: usize = 4_096;
/// Numbers of one column of a page, and those of one more burst.
pub const MAX_PAGE_VALUES: usize = 65_536;
/// Bytes of payloads of a page that keeps them as they are, and those of one more payload.
pub const MAX_PAGE_PAYLOAD_BYTES: usize = 1024 * 1024;
/// Bytes of a page in the file.
pub const MAX_PAGE_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of decoded pages that are kept for the next look. The least recently used go first, and all of them when
/// nobody reads.
pub const SEGMENT_CACHE_BYTES: usize = 160 * 1024 * 1024;

/// Bytes of journals kept as they were before recoveries, all copies together.
pub const MAX_COPIED_BYTES: u64 = 128 * 1024 * 1024;
/// How long such a copy is kept.
pub const KEEP_COPIES: Duration = Duration::from_hours(7 * 24);
/// How far the store's sequence numbers go on from one batch to the next: it also counts flushes, never this many.
pub const MAX_SEQNO_STEP: u64 = 1 << 40;
/// An append that the disk has not answered for this long makes the log read-only.
pub const STUCK_AFTER: Duration = Duration::from_secs(5);
/// How long a failed store may take to let go of its files, and a read to wait for it to be opened again.
pub const DROP_WITHIN: Duration = Duration::from_secs(10);
/// Bytes of a journal of the store at which a new one is begun when the log is opened, and at which a running log is opened
/// anew after a sealing: what is sealed need not lie in a journal too.
pub const WORN_JOURNAL_BYTES: u64 = 8 * 1024 * 1024;
