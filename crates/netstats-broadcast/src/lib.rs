//! netstats-broadcast
