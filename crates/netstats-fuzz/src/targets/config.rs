//! The config file.
#![cfg_attr(netstats_fuzz, no_main)]

netstats_fuzz::target!(network_stats::fuzz::config);
