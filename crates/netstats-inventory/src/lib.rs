//! netstats-inventory
