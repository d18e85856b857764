//! netstats-series
