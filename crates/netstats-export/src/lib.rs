//! netstats-export
