//! netstats-stats
