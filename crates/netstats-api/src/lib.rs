//! netstats-api
