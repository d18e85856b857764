//! netstats-web
