//! Certificates of servers.
#![cfg_attr(netstats_fuzz, no_main)]

netstats_fuzz::target!(netstats_probe::fuzz::certificate);
