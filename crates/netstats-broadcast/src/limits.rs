//! How much waits for a subscriber, and for how long it is put up with.

/// Updates that wait for one subscriber; one more and it is told that it lags.
pub const MAX_WAITING: usize = 1_024;
/// How often a subscriber may lag before it is dropped.
pub const MAX_LAGS: u32 = 3;
/// Subscriptions at once.
pub const MAX_SUBSCRIPTIONS: usize = 16_384;
/// How many events behind the newest a follower is when it stops reading the log and joins the live updates. Well below
/// [`MAX_WAITING`], so that joining does not make it lag.
pub const JOIN_DISTANCE: u64 = 256;
