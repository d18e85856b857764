//! What one computation takes at most. Past a limit the answer says so or is thinned in a documented way.

/// Points of which a trend considers all pairs (two million slopes); more are thinned to medians of equal blocks.
pub const MAX_TREND_POINTS: usize = 2_000;
/// Points among which change points are sought; more are refused (`None`): bring buckets, not raw samples.
pub const MAX_CHANGE_POINTS_INPUT: usize = 10_000;
/// Bins of a histogram.
pub const MAX_HISTOGRAM_BINS: usize = 10_000;
