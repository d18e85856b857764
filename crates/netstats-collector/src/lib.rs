//! netstats-collector
