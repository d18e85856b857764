//! netstats-probe
